/* permessage-deflate of one WebSocket's client.  See wsdial_deflate.h.  Pure but for memory. */
#include "tools/wsdial_deflate.h"

#include <string.h>

#define WSDIAL_DEFLATE_LEVEL 6
/* What one call of the codec is given room for. */
#define WSDIAL_DEFLATE_ROOM (32 * 1024)

void
wsdial_deflate_init(struct wsdial_deflate *d, struct ws_deflate_pool *pool,
    const struct ws_ext *agreed, bool leave_plain)
{
	memset(d, 0, sizeof(*d));
	d->pool = pool;
	d->ext = *agreed;
	/* zlib has no window of 8 bits; what is sent may stay as it is (RFC 7692 6). */
	d->compresses = !leave_plain && agreed->client_bits != WS_EXT_BITS_MIN;
}

void
wsdial_deflate_clear(struct wsdial_deflate *d)
{
	if (d->pool == NULL)
		return;
	ws_inflate_put(d->pool, d->in);
	ws_deflate_put(d->pool, d->out);
	d->in = NULL;
	d->out = NULL;
}

/* Room for one call: how much there is, WSDIAL_DEFLATE_ROOM at most; 0: out is full. */
static size_t
wsdial_deflate_room(struct buf *out)
{
	size_t room = out->max - out->n;

	if (room > WSDIAL_DEFLATE_ROOM)
		room = WSDIAL_DEFLATE_ROOM;
	return room >= WS_DEFLATE_OUT_MIN && buf_reserve(out, room) == 0 ? room : 0;
}

int
wsdial_deflate_message(struct wsdial_deflate *d, const void *p, size_t n, struct buf *out)
{
	struct ws_deflate_in in = { p, n };
	enum ws_deflate_status st;
	size_t room, put;

	if (d->out == NULL &&
	    (d->out = ws_deflate_get(d->pool, ws_ext_bits(d->ext.client_bits), WSDIAL_DEFLATE_LEVEL,
		 UINT64_MAX)) == NULL)
		return -1;
	do {
		if ((room = wsdial_deflate_room(out)) == 0)
			return -1;
		st = ws_deflate_run(
		    d->out, &in, WS_DEFLATE_END, (uint8_t *)out->p + out->n, room, &put);
		out->n += put;
	} while (st == WS_DEFLATE_FULL);
	if (d->ext.client_no_takeover) {
		ws_deflate_put(d->pool, d->out);
		d->out = NULL;
	}
	return st == WS_DEFLATE_OK ? 0 : -1;
}

/* All output of a run, or with ending of the message's end. */
static enum ws_deflate_status
wsdial_deflate_drain(
    struct wsdial_deflate *d, struct ws_deflate_in *in, bool ending, struct buf *out)
{
	enum ws_deflate_status st;
	size_t room, put;

	do {
		if ((room = wsdial_deflate_room(out)) == 0)
			return WS_DEFLATE_FULL;
		st = ending ? ws_inflate_end(d->in, (uint8_t *)out->p + out->n, room, &put)
			    : ws_inflate_run(d->in, in, (uint8_t *)out->p + out->n, room, &put);
		if (st == WS_DEFLATE_OK || st == WS_DEFLATE_FULL)
			out->n += put;
	} while (st == WS_DEFLATE_FULL);
	return st;
}

enum ws_deflate_status
wsdial_deflate_inflate(
    struct wsdial_deflate *d, const void *p, size_t n, bool last, struct buf *out)
{
	struct ws_deflate_in in = { p, n };
	enum ws_deflate_status st = WS_DEFLATE_OK;

	/* The largest window takes whatever was agreed on. */
	if (d->in == NULL &&
	    (d->in = ws_inflate_get(d->pool, WS_DEFLATE_BITS_MAX, UINT64_MAX)) == NULL)
		return WS_DEFLATE_NOMEM;
	if (n > 0)
		st = wsdial_deflate_drain(d, &in, false, out);
	if (st == WS_DEFLATE_OK && last)
		st = wsdial_deflate_drain(d, &in, true, out);
	if (last && d->ext.server_no_takeover) {
		ws_inflate_put(d->pool, d->in);
		d->in = NULL;
	}
	return st;
}
