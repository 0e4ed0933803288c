/* A connection for each WebSocket of --load, over HTTP/1.1 or HTTP/2.  See wsdial_load.h. */
#include "tools/wsdial_load.h"

/* One write; what the kernel refuses of it is copied. */
#define WSDIAL_ONE_WRITE (256 * 1024)

/* What `carried` points to: the connect while state is OPENING, then the stream; NULL: neither. */

static int
wsdial_one_start(struct wsdial_load *load)
{
	(void)load;
	return 0;
}

static void
wsdial_one_push(struct wsdial_load_ws *ws)
{
	struct stream *s = ws->carried;
	struct iovec iov;

	while (s != NULL && stream_queued(s) == 0 &&
	    wsdial_load_ws_piece(ws, WSDIAL_ONE_WRITE, &iov)) {
		if (stream_write(s, &iov, 1) == -1)
			return; /* a reset follows from the loop */
		wsdial_load_ws_sent(ws, iov.iov_len);
	}
}

static void
wsdial_one_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	wsdial_load_ws_take(s->user, p, n);
}

static void
wsdial_one_on_room(struct stream *s)
{
	wsdial_one_push(s->user);
}

static void
wsdial_one_on_end(struct stream *s)
{
	wsdial_load_ws_end(s->user, NULL);
}

static void
wsdial_one_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct wsdial_load_ws *ws = s->user;

	(void)e;
	ws->carried = NULL; /* it is gone */
	wsdial_load_ws_end(ws, why);
}

static const struct stream_events wsdial_one_events = {
	.bytes = wsdial_one_on_bytes,
	.room = wsdial_one_on_room,
	.end = wsdial_one_on_end,
	.reset = wsdial_one_on_reset,
};

static void
wsdial_one_on_connected(void *arg, enum wsdial_status status, struct stream *s,
    const struct wsdial_agreed *agreed, const char *why)
{
	struct wsdial_load_ws *ws = arg;

	ws->carried = s;
	if (status != WSDIAL_OK) {
		wsdial_load_fail(ws->load, status, false, "%s", why);
		return;
	}
	stream_attach(s, &wsdial_one_events, ws);
	wsdial_load_opened(ws, agreed);
}

static int
wsdial_one_open(struct wsdial_load_ws *ws)
{
	ws->carried = wsdial_connect_start(ws->load->env, wsdial_one_on_connected, ws);
	return ws->carried != NULL ? 0 : -1;
}

static void
wsdial_one_leave(struct wsdial_load_ws *ws)
{
	void *carried = ws->carried;

	ws->carried = NULL;
	if (carried == NULL)
		return;
	if (ws->state == WSDIAL_LW_OPENING)
		wsdial_connect_cancel(carried);
	else if (ws->state == WSDIAL_LW_CLOSED)
		stream_close(carried, 0);
	else
		stream_abort(carried);
}

static void
wsdial_one_free(struct wsdial_load *load)
{
	(void)load;
}

const struct wsdial_load_carrier wsdial_load_one = {
	.start = wsdial_one_start,
	.open = wsdial_one_open,
	.push = wsdial_one_push,
	.leave = wsdial_one_leave,
	.free = wsdial_one_free,
};
