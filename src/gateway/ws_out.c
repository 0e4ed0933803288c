/* Gathering frames for one write.  See ws_out.h. */
#include "gateway/ws_out.h"
#include "http/stream.h"

void
ws_out_flush(struct ws_out *o)
{
	if (o->n > 0 && o->to != NULL)
		stream_write(o->to, o->v, o->n); /* broken: a reset follows from the loop */
	o->n = 0;
	o->arena_n = 0;
	o->mark_n = -1;
}

void
ws_out_mark(struct ws_out *o)
{
	o->mark_n = o->n;
	o->mark_bytes = o->n > 0 ? o->v[o->n - 1].iov_len : 0;
}

bool
ws_out_revert(struct ws_out *o)
{
	if (o->mark_n == -1)
		return false;
	o->n = o->mark_n;
	if (o->n > 0)
		o->v[o->n - 1].iov_len = o->mark_bytes;
	return true;
}

void
ws_out_bytes(struct ws_out *o, uint8_t *p, size_t n)
{
	struct iovec *last = o->n > 0 ? &o->v[o->n - 1] : NULL;

	if (n == 0 || o->to == NULL)
		return;
	if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += n;
		return;
	}
	if (o->n == WS_OUT_IOV)
		ws_out_flush(o);
	o->v[o->n].iov_base = p;
	o->v[o->n++].iov_len = n;
}

uint8_t *
ws_out_room(struct ws_out *o, size_t n)
{
	uint8_t *p;

	if (o->n == WS_OUT_IOV || o->arena_n + n > WS_OUT_ARENA)
		ws_out_flush(o);
	p = o->arena + o->arena_n;
	o->arena_n += n;
	ws_out_bytes(o, p, n);
	return p;
}
