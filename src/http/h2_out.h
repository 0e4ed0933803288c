/*
 * Frames that are gathered for one write: headers and small payload are copied
 * into an arena, large payload stays in the blocks in which it was queued.
 * Lives on the stack of the flush.  Internal to http/.
 */
#ifndef HTTP_H2_OUT_H
#define HTTP_H2_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "http/h2_queue.h"
#include "http/h2_scan.h"

/* One write: what one read brings (LOOP_SCRATCH), with the headers of its frames. */
#define H2_OUT_BYTES (272 << 10)
#define H2_OUT_IOV 128
#define H2_OUT_ARENA (32 << 10)

struct h2_out {
	int n_iov;
	size_t arena_n;
	size_t bytes;
	struct h2_block *done; /* owned: freed once iov was written */
	bool full;	       /* a frame found no room */
	struct iovec iov[H2_OUT_IOV];
	uint8_t arena[H2_OUT_ARENA];
};

static inline void
h2_out_init(struct h2_out *o)
{
	o->n_iov = 0;
	o->arena_n = 0;
	o->bytes = 0;
	o->done = NULL;
	o->full = false;
}

/* Whether a frame with n bytes of payload has room; n is at most 16 KiB, or o is empty. */
bool h2_out_has_room(const struct h2_out *o, size_t n);

/* Copy a piece of a frame. */
void h2_out_copy(struct h2_out *o, const void *p, size_t n);

/*
 * Take n bytes of payload off the queue; they stay where they are until h2_out_clear, or are
 * copied when they are few.
 */
void h2_out_payload(struct h2_out *o, struct h2_queue *q, size_t n);

/* After the write: everything is empty again. */
void h2_out_clear(struct h2_out *o);

#endif
