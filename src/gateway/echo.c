/* echo: the gateway answers by itself. */
#include "base/log.h"
#include "gateway/ws.h"

void
echo_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	struct session ss = { 0 };
	struct http_field field;
	struct span subprotocol = session_pick_subprotocol(r->head, &route->ws.subprotocols);

	session_init(&ss, gw, SESSION_WEBSOCKET, s, r, route);
	if (session_set_subprotocol(&ss, subprotocol) == -1 || ws_start(&ss, NULL) == -1) {
		struct session_end e = { .by = SESSION_BY_GATEWAY, .reason = "out of memory" };

		e.status = reply_send(s, REPLY_INTERNAL, false, "out of memory");
		session_access(&ss, &e);
		session_clear(&ss);
		return;
	}
	field.name = SPAN_LIT("Sec-WebSocket-Protocol");
	field.value = subprotocol;
	stream_accept(s, &field, subprotocol.n > 0 ? 1 : 0);
}
