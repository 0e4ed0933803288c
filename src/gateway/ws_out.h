/*
 * The frames that one turn sends to one stream, gathered so that they go out
 * with one write: runs of borrowed memory that touch become one run; what has no
 * place in the borrowed memory (new headers, control frames) stands in a small arena.
 * Lives on the stack.  Internal to gateway/.
 */
#ifndef GATEWAY_WS_OUT_H
#define GATEWAY_WS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct stream;

#define WS_OUT_IOV 16
#define WS_OUT_ARENA 1024

struct ws_out {
	struct stream *to; /* borrowed; NULL: everything is dropped */
	int n;
	size_t arena_n;
	int mark_n; /* ws_out_mark; -1: what stood there has gone out */
	size_t mark_bytes;
	struct iovec v[WS_OUT_IOV];
	uint8_t arena[WS_OUT_ARENA];
};

static inline void
ws_out_init(struct ws_out *o, struct stream *to)
{
	o->to = to;
	o->n = 0;
	o->arena_n = 0;
	o->mark_n = -1;
}

/* Send what is gathered. */
void ws_out_flush(struct ws_out *o);

/*
 * Remember this place: ws_out_revert forgets what was added since, and says whether it could
 * (nothing of it has gone out yet).
 */
void ws_out_mark(struct ws_out *o);
bool ws_out_revert(struct ws_out *o);

/* Borrowed bytes, which must stay as they are until the flush. */
void ws_out_bytes(struct ws_out *o, uint8_t *p, size_t n);

/* Room for n bytes (at most 256) in the arena, which go out at this place. */
uint8_t *ws_out_room(struct ws_out *o, size_t n);

#endif
