/* Gathering frames for one write.  See h2_out.h. */
#include <assert.h>
#include <string.h>

#include "http/h2_out.h"

/* Payload up to this is copied behind its frame's header. */
#define H2_COPY_MAX 512
/*
 * What a DATA frame may take: all blocks but a queue's first and last are full, so 16 KiB stand
 * in 18 of them.
 */
#define H2_FRAME_IOV 24

_Static_assert(16384 / (H2_BLOCK_SIZE - sizeof(struct h2_block)) + 3 < H2_FRAME_IOV,
    "a DATA frame needs more");

bool
h2_out_has_room(const struct h2_out *o, size_t n)
{
	/* What is copied of a frame's payload is its first and last piece at most. */
	return o->bytes == 0 ||
	    (o->bytes + n <= H2_OUT_BYTES && H2_OUT_IOV - o->n_iov >= H2_FRAME_IOV &&
		H2_OUT_ARENA - o->arena_n >= H2_FRAME_HEADER + 2 * H2_COPY_MAX);
}

static void
h2_out_add(struct h2_out *o, void *p, size_t n)
{
	struct iovec *last = o->n_iov > 0 ? &o->iov[o->n_iov - 1] : NULL;

	o->bytes += n;
	if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == (uint8_t *)p) {
		last->iov_len += n;
		return;
	}
	assert(o->n_iov < H2_OUT_IOV);
	o->iov[o->n_iov++] = (struct iovec){ p, n };
}

void
h2_out_copy(struct h2_out *o, const void *p, size_t n)
{
	uint8_t *at = o->arena + o->arena_n;

	assert(n <= H2_OUT_ARENA - o->arena_n);
	memcpy(at, p, n);
	o->arena_n += n;
	h2_out_add(o, at, n);
}

void
h2_out_payload(struct h2_out *o, struct h2_queue *q, size_t n)
{
	size_t left = n, part;

	for (struct h2_block *b = q->first; left > 0; b = b->next) {
		part = b->n - b->off < left ? b->n - b->off : left;
		if (part <= H2_COPY_MAX && part <= H2_OUT_ARENA - o->arena_n)
			h2_out_copy(o, b->data + b->off, part);
		else
			h2_out_add(o, b->data + b->off, part);
		left -= part;
	}
	h2_queue_take(q, n, &o->done);
}

void
h2_out_clear(struct h2_out *o)
{
	h2_blocks_free(o->done);
	h2_out_init(o);
}
