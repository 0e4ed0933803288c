/* Round-trip times.  Pure.  See wsdial_stats.h. */
#include "tools/wsdial_stats.h"

/* Buckets of one power of two; below twice that each value has its own. */
#define WSDIAL_SUB 64
#define WSDIAL_SUB_BITS 6

void
wsdial_rtt_add(struct wsdial_rtt *r, uint64_t us)
{
	if (r->n == 0 || us < r->min_us)
		r->min_us = us;
	if (us > r->max_us)
		r->max_us = us;
	r->n++;
	r->sum_us += (double)us;
	r->sum_squares += (double)us * (double)us;
}

double
wsdial_rtt_avg(const struct wsdial_rtt *r)
{
	return r->sum_us / (double)r->n;
}

/* By Newton's method: the program needs nothing else of the mathematical library. */
static double
wsdial_sqrt(double x)
{
	double y = x < 1 ? 1 : x;

	if (x <= 0)
		return 0;
	for (int i = 0; i < 64; i++)
		y = (y + x / y) / 2;
	return y;
}

double
wsdial_rtt_mdev(const struct wsdial_rtt *r)
{
	double avg = wsdial_rtt_avg(r);

	return wsdial_sqrt(r->sum_squares / (double)r->n - avg * avg);
}

/* Bucket e * 64 + s, for e > 0, holds the 2^(e-1) values from (64 + s) << (e - 1) on. */
static unsigned
wsdial_bucket(uint64_t us)
{
	unsigned shift, bucket;

	if (us < 2 * WSDIAL_SUB)
		return (unsigned)us;
	shift = 63 - (unsigned)__builtin_clzll(us) - WSDIAL_SUB_BITS;
	bucket = (shift + 1) * WSDIAL_SUB + ((unsigned)(us >> shift) & (WSDIAL_SUB - 1));
	return bucket < WSDIAL_BUCKETS ? bucket : WSDIAL_BUCKETS - 1;
}

static uint64_t
wsdial_bucket_last(unsigned bucket)
{
	unsigned shift = bucket / WSDIAL_SUB;

	if (shift < 2)
		return bucket;
	shift--;
	return (((uint64_t)(bucket % WSDIAL_SUB) + WSDIAL_SUB + 1) << shift) - 1;
}

void
wsdial_histogram_add(struct wsdial_histogram *h, uint64_t us)
{
	wsdial_rtt_add(&h->all, us);
	h->count[wsdial_bucket(us)]++;
}

uint64_t
wsdial_histogram_value(const struct wsdial_histogram *h, unsigned permille)
{
	uint64_t seen = 0,
		 want = h->all.n / 1000 * permille + (h->all.n % 1000 * permille + 999) / 1000;
	uint64_t last;

	for (unsigned i = 0; i < WSDIAL_BUCKETS && h->all.n > 0; i++) {
		seen += h->count[i];
		if (seen < want || seen == 0)
			continue;
		last = wsdial_bucket_last(i);
		return last < h->all.max_us ? last : h->all.max_us;
	}
	return h->all.max_us;
}
