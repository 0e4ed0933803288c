/* Waiting bytes of an HTTP/2 stream.  See h2_queue.h. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "http/h2_queue.h"

int
h2_queue_append(struct h2_queue *q, const void *p, size_t n)
{
	struct h2_block *tail = q->tail, *b;
	size_t room = tail != NULL ? tail->cap - tail->n : 0, cap;

	if (room > n)
		room = n;
	if (room < n) {
		cap = n - room;
		if (cap < H2_BLOCK_SIZE - sizeof(*b))
			cap = H2_BLOCK_SIZE - sizeof(*b);
		if (cap > UINT32_MAX || (b = mem_alloc(sizeof(*b) + cap)) == NULL)
			return -1;
		b->next = NULL;
		b->off = 0;
		b->n = (uint32_t)(n - room);
		b->cap = (uint32_t)cap;
		memcpy(b->data, (const uint8_t *)p + room, n - room);
		if (tail != NULL)
			tail->next = b;
		else
			q->head = b;
		q->tail = b;
	}
	if (room > 0) {
		memcpy(tail->data + tail->n, p, room);
		tail->n += (uint32_t)room;
	}
	q->bytes += n;
	return 0;
}

void
h2_queue_take(struct h2_queue *q, size_t n, struct h2_block **done)
{
	struct h2_block *b;

	assert(n <= q->bytes);
	q->bytes -= n;
	while ((b = q->head) != NULL) {
		if (n < b->n - b->off) {
			b->off += (uint32_t)n;
			return;
		}
		n -= b->n - b->off;
		if ((q->head = b->next) == NULL)
			q->tail = NULL;
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
		mem_free(b);
	}
}

void
h2_queue_clear(struct h2_queue *q)
{
	h2_blocks_free(q->head);
	memset(q, 0, sizeof(*q));
}
