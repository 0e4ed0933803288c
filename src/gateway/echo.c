/* echo: the gateway answers by itself. */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/extension.h"
#include "gateway/ws.h"

void
echo_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	struct session ss = { 0 };
	struct http_field field[2] = { { SPAN_LIT("Sec-WebSocket-Protocol"),
	    session_pick_subprotocol(r->head, &route->ws.subprotocols) } };
	size_t n = field[0].value.n > 0 ? 1 : 0;
	char text[WS_EXT_TEXT];
	struct ws_ext ext;
	bool deflate;
	uint64_t start_us = clock_mono_us();

	session_init(&ss, gw, SESSION_WEBSOCKET, s, r, route);
	deflate = extension_answer(&ss, r->head, &ext);
	if (session_set_subprotocol(&ss, field[0].value) == -1 ||
	    (deflate && extension_say(&ss, &ext, text, &field[n++]) == -1) ||
	    ws_start(&ss, NULL, deflate ? &ext : NULL) == -1) {
		struct session_end e = { .by = SESSION_BY_GATEWAY, .reason = "out of memory" };

		session_count_refused(&ss, REFUSED_INTERNAL);
		e.status = reply_status(s, REPLY_INTERNAL);
		session_access(&ss, &e);
		session_clear(&ss);
		reply_send(s, REPLY_INTERNAL, false, "out of memory");
		return;
	}
	stream_accept(s, field, n);
	histogram_add(&gw->count.handshake, clock_mono_us() - start_us);
}
