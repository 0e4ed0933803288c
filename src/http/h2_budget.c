/* Token buckets.  See h2_budget.h. */
#include "http/h2_budget.h"

void
h2_bucket_init(struct h2_bucket *b, uint32_t burst, uint32_t rate, uint64_t now_ms)
{
	b->burst = burst;
	b->rate = rate;
	b->tokens = burst;
	b->part = 0;
	b->at_ms = now_ms;
}

void
h2_bucket_put(struct h2_bucket *b, uint32_t n)
{
	b->tokens = b->burst - b->tokens > n ? b->tokens + n : b->burst;
}

bool
h2_bucket_take(struct h2_bucket *b, uint32_t n, uint64_t now_ms)
{
	uint64_t parts;

	if (now_ms > b->at_ms) {
		/* A bucket is full after burst / rate seconds, whatever came before. */
		parts = now_ms - b->at_ms < UINT32_MAX ? now_ms - b->at_ms : UINT32_MAX;
		parts = parts * b->rate + b->part;
		b->part = (uint32_t)(parts % 1000);
		h2_bucket_put(b, parts / 1000 < UINT32_MAX ? (uint32_t)(parts / 1000) : UINT32_MAX);
		b->at_ms = now_ms;
	}
	if (b->tokens < n)
		return false;
	b->tokens -= n;
	return true;
}
