/*
 * permessage-deflate in handshakes.  See extension.h.
 *
 * One thread.  Called by echo.c and forward.c; codec/ws_ext.c reads and
 * chooses, here is what the route and the memory allow.
 */
#include "codec/ws_deflate.h"
#include "gateway/extension.h"

#define FIELD "Sec-WebSocket-Extensions"

bool
extension_offers_good(const struct http_head *head, const struct config_route *route)
{
	static const struct ws_ext any = { .server_bits = WS_EXT_BITS_MAX,
		.client_bits = WS_EXT_BITS_MAX };
	struct ws_ext answer;

	return route->ws.compression == CONFIG_COMPRESSION_OFF ||
	    ws_ext_choose(head, &any, &answer) != WS_EXT_BAD;
}

bool
extension_answer(const struct session *ss, const struct http_head *head, struct ws_ext *answer)
{
	const struct config_websocket *c = &ss->route->ws;
	struct ws_ext wanted = { .server_bits = (uint8_t)c->server_max_window_bits,
		.client_bits = (uint8_t)c->client_max_window_bits,
		.server_no_takeover = !c->server_context_takeover,
		.client_no_takeover = !c->client_context_takeover };
	uint64_t used, max;

	if (c->compression != CONFIG_COMPRESSION_EDGE)
		return false;
	used = atomic_load_explicit(&ss->gw->env.deflate_memory->bytes, memory_order_relaxed);
	max = stream_info(ss->s)->config->server.compression_memory;
	if (used >= 2 * max)
		return false;
	if (used >= max)
		wanted.server_no_takeover = wanted.client_no_takeover = true;
	return ws_ext_choose(head, &wanted, answer) == WS_EXT_DEFLATE;
}

bool
extension_declined(const struct http_head *h)
{
	const struct http_field *f = http_head_find(h, "Wsrelayd-Compression");

	return f != NULL && span_eq_nocase(f->value, SPAN_LIT("off"));
}

/* Whether one of the offers allows the answer: the backend does not say which it took. */
static bool
extension_was_offered(struct span offered, const struct ws_ext *answer)
{
	struct ws_ext offer;
	enum ws_ext_kind kind;
	struct span item;

	while ((kind = ws_ext_next(&offered, WS_EXT_OFFER, &offer, &item)) != WS_EXT_END &&
	    kind != WS_EXT_BAD)
		if (kind == WS_EXT_DEFLATE && ws_ext_answers(&offer, answer))
			return true;
	return false;
}

const char *
extension_judge(struct span offered, const struct http_head *h, struct ws_ext *answer, bool *any)
{
	enum ws_ext_kind kind;
	struct ws_ext x;

	*any = false;
	for (size_t i = 0; i < h->n_fields; i++) {
		struct span list = h->field[i].value, item;

		if (!span_eq_nocase(h->field[i].name, SPAN_LIT(FIELD)))
			continue;
		while ((kind = ws_ext_next(&list, WS_EXT_ANSWER, &x, &item)) != WS_EXT_END) {
			if (kind == WS_EXT_BAD)
				return "the backend's 101 has a malformed " FIELD;
			/* RFC 6455 4.1, RFC 7692 7.1: once, and what was offered. */
			if (kind != WS_EXT_DEFLATE || *any || !extension_was_offered(offered, &x))
				return "the backend's 101 has an extension that was not offered";
			*answer = x;
			*any = true;
		}
	}
	return NULL;
}

int
extension_say(
    struct session *ss, const struct ws_ext *x, char text[WS_EXT_TEXT], struct http_field *field)
{
	field->name = SPAN_LIT(FIELD);
	field->value = (struct span){ text, ws_ext_write(x, text) };
	return session_set_extensions(ss, field->value);
}
