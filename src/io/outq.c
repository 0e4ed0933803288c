/* The queue of what the kernel refused.  See outq.h. */
#include <stdint.h>
#include <string.h>

#include "base/counter.h"
#include "base/mem.h"
#include "io/outq.h"

/* What one block holds at least, so that many small writes share one. */
#define OUTQ_BLOCK_MIN 1024

struct outq_block {
	struct outq_block *next;
	size_t off, n, cap; /* bytes off..n of data are to be sent */
	uint8_t data[];
};

struct outq {
	struct outq_block *head, *tail; /* owned */
	size_t bytes;
	struct counter *total; /* borrowed */
};

size_t
outq_bytes(const struct outq *q)
{
	return q != NULL ? q->bytes : 0;
}

static void
outq_grow(struct outq *q, size_t n)
{
	q->bytes += n;
	counter_add(q->total, n);
}

static void
outq_shrink(struct outq *q, size_t n)
{
	q->bytes -= n;
	counter_sub(q->total, n);
}

static int
outq_add_block(struct outq *q, const uint8_t *p, size_t n, size_t cap)
{
	struct outq_block *b;

	if ((b = mem_alloc(sizeof(*b) + cap)) == NULL)
		return -1;
	b->next = NULL;
	b->off = 0;
	b->n = n;
	b->cap = cap;
	if (n > 0)
		memcpy(b->data, p, n);
	if (q->tail != NULL)
		q->tail->next = b;
	else
		q->head = b;
	q->tail = b;
	return 0;
}

static int
outq_add(struct outq *q, const uint8_t *p, size_t n, bool packet)
{
	struct outq_block *b = q->tail;
	size_t take = 0;

	if (packet) {
		if (outq_add_block(q, p, n, n) == -1)
			return -1;
		outq_grow(q, n + OUTQ_PACKET_COST);
		return 0;
	}
	if (b != NULL)
		take = b->cap - b->n < n ? b->cap - b->n : n;
	if (take < n &&
	    outq_add_block(
		q, p + take, n - take, n - take > OUTQ_BLOCK_MIN ? n - take : OUTQ_BLOCK_MIN) == -1)
		return -1;
	if (take > 0) {
		memcpy(b->data + b->n, p, take);
		b->n += take;
	}
	outq_grow(q, n);
	return 0;
}

int
outq_append(struct outq **q, struct counter *total, const void *p, size_t n, bool packet)
{
	bool fresh = *q == NULL;

	if (fresh && (*q = mem_zalloc(sizeof(**q))) == NULL)
		return -1;
	(*q)->total = total;
	if (outq_add(*q, p, n, packet) == 0)
		return 0;
	if (fresh) {
		mem_free(*q);
		*q = NULL;
	}
	return -1;
}

int
outq_peek(const struct outq *q, struct iovec *v, int max)
{
	struct outq_block *b = q != NULL ? q->head : NULL;
	int n = 0;

	for (; b != NULL && n < max; b = b->next) {
		v[n].iov_base = b->data + b->off;
		v[n++].iov_len = b->n - b->off;
	}
	return n;
}

static void
outq_pop(struct outq **q)
{
	struct outq_block *b = (*q)->head;

	(*q)->head = b->next;
	mem_free(b);
	if ((*q)->head == NULL) {
		mem_free(*q);
		*q = NULL;
	}
}

void
outq_consume(struct outq **q, size_t n)
{
	while (*q != NULL) {
		struct outq_block *b = (*q)->head;

		if (n < b->n - b->off) {
			b->off += n;
			outq_shrink(*q, n);
			return;
		}
		n -= b->n - b->off;
		outq_shrink(*q, b->n - b->off);
		outq_pop(q);
	}
}

void
outq_consume_packet(struct outq **q)
{
	outq_shrink(*q, (*q)->head->n + OUTQ_PACKET_COST);
	outq_pop(q);
}

void
outq_drop(struct outq **q)
{
	if (*q != NULL)
		outq_shrink(*q, (*q)->bytes);
	while (*q != NULL)
		outq_pop(q);
}
