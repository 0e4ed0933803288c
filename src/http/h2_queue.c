/* Waiting bytes of an HTTP/2 stream.  See h2_queue.h. */
#include <assert.h>
#include <string.h>

#include "base/counter.h"
#include "base/mem.h"
#include "base/slab.h"
#include "http/h2_queue.h"
#include "io/loop.h"

/* What a block of the usual size has room for. */
#define BLOCK_ROOM (H2_BLOCK_SIZE - sizeof(struct h2_block))

_Static_assert(H2_BLOCK_SIZE <= LOOP_OBJECT_MAX, "the loop has no slab for blocks");

/* A block with p[0..n) in it; NULL without memory. */
static struct h2_block *
block_new(struct loop *loop, const uint8_t *p, size_t n)
{
	struct h2_block *b;
	size_t cap = n <= BLOCK_ROOM ? BLOCK_ROOM : n;

	if (cap > UINT32_MAX)
		return NULL;
	b = cap == BLOCK_ROOM ? loop_object_raw(loop, H2_BLOCK_SIZE) : mem_alloc(sizeof(*b) + cap);
	if (b == NULL)
		return NULL;
	b->next = NULL;
	b->last = b;
	b->bytes = 0;
	b->total = loop_queued(loop);
	b->off = 0;
	b->n = (uint32_t)n;
	b->cap = (uint32_t)cap;
	memcpy(b->data, p, n);
	return b;
}

int
h2_queue_append(struct h2_queue *q, struct loop *loop, const void *p, size_t n)
{
	struct h2_block *last = q->first != NULL ? q->first->last : NULL, *b;
	size_t room = last != NULL ? last->cap - last->n : 0;

	if (n == 0)
		return 0;
	if (room > n)
		room = n;
	if (room < n) {
		if ((b = block_new(loop, (const uint8_t *)p + room, n - room)) == NULL)
			return -1;
		if (last != NULL) {
			last->next = b;
			q->first->last = b;
		} else {
			q->first = b;
		}
	}
	if (room > 0) {
		memcpy(last->data + last->n, p, room);
		last->n += (uint32_t)room;
	}
	q->first->bytes += n;
	counter_add(loop_queued(loop), n);
	return 0;
}

void
h2_queue_take(struct h2_queue *q, size_t n, struct h2_block **done)
{
	struct h2_block *b;

	assert(n <= h2_queue_bytes(q));
	if (n > 0)
		counter_sub(q->first->total, n);
	while (n > 0) {
		b = q->first;
		if (n < b->n - b->off) {
			b->off += (uint32_t)n;
			b->bytes -= n;
			return;
		}
		n -= b->n - b->off;
		if ((q->first = b->next) != NULL) {
			b->next->last = b->last;
			b->next->bytes = b->bytes - (b->n - b->off);
		}
		b->next = *done;
		*done = b;
	}
}

void
h2_queue_consume(struct h2_queue *q, size_t n)
{
	struct h2_block *done = NULL;

	h2_queue_take(q, n, &done);
	h2_blocks_free(done);
}

void
h2_blocks_free(struct h2_block *b)
{
	struct h2_block *next;

	for (; b != NULL; b = next) {
		next = b->next;
		if (b->cap == BLOCK_ROOM)
			slab_free(b);
		else
			mem_free(b);
	}
}

void
h2_queue_clear(struct h2_queue *q)
{
	if (q->first != NULL)
		counter_sub(q->first->total, q->first->bytes);
	h2_blocks_free(q->first);
	q->first = NULL;
}
