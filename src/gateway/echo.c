/* echo: the gateway answers by itself. */
#include "base/log.h"
#include "gateway/ws.h"
#include "policy/subprotocol.h"

/* The first of the client's offers, over all its fields, that the route knows. */
static struct span
echo_pick_subprotocol(const struct http_head *head, const struct config_list *known)
{
	struct span s = SPAN_NONE;

	for (size_t i = 0; i < head->n_fields && s.n == 0; i++)
		if (span_eq_nocase(head->field[i].name, SPAN_LIT("Sec-WebSocket-Protocol")))
			s = subprotocol_pick(head->field[i].value, known);
	return s;
}

void
echo_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	struct session ss = { 0 };
	struct http_field field;
	struct span subprotocol = echo_pick_subprotocol(r->head, &route->ws.subprotocols);

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
