/*
 * Bytes of an HTTP/2 stream that wait: for the peer's window, or for the
 * user.  Blocks in a row; a queue is no more than a pointer to the first.  Internal to http/.
 */
#ifndef HTTP_H2_QUEUE_H
#define HTTP_H2_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct loop;

/* A block's whole size when little is written; it comes from the loop's slabs. */
#define H2_BLOCK_SIZE 1024

struct counter;

struct h2_block {
	struct h2_block *next;
	struct h2_block *last; /* in the first only, as the next one */
	size_t bytes;	       /* of the whole queue */
	struct counter *total; /* borrowed: loop_queued */
	uint32_t off, n, cap;  /* bytes off..n of data are in use */
	uint8_t data[];
};

struct h2_queue {
	struct h2_block *first; /* owned; NULL: it is empty */
};

/* How many bytes wait. */
static inline size_t
h2_queue_bytes(const struct h2_queue *q)
{
	return q->first != NULL ? q->first->bytes : 0;
}

/*
 * Copy p[0..n) to the end.  0, or -1 without memory: nothing is changed.  The loop is that of the
 * connection, always the same for a queue; it outlives the blocks.
 */
int h2_queue_append(struct h2_queue *q, struct loop *loop, const void *p, size_t n);

/* Take n <= h2_queue_bytes bytes off and free the blocks that are used up. */
void h2_queue_consume(struct h2_queue *q, size_t n);

/*
 * The same, but blocks that are used up go to the front of *done (owned by the caller from now
 * on), so that spans of them stay valid.
 */
void h2_queue_take(struct h2_queue *q, size_t n, struct h2_block **done);

void h2_queue_clear(struct h2_queue *q);
void h2_blocks_free(struct h2_block *b); /* a whole list */

#endif
