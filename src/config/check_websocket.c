/*
 * Checks of [websocket], of the same keys in routes, and of [backend NAME]:
 * mostly settings that have no effect, which are warnings.
 */
#include "config/keys.h"
#include "config/stages.h"

static bool
websocket_finite(uint64_t ms)
{
	return ms != 0 && ms != CONFIG_NEVER;
}

/* Warned of where one of the two was set, so that routes do not repeat it. */
static void
websocket_check_keepalive(uint64_t interval_ms, uint64_t timeout_ms,
    const struct config_tsection *s, struct config_report *rep)
{
	const struct config_entry *e = config_tree_get(s, "KeepAliveTimeout");
	struct config_place at;

	if (websocket_finite(interval_ms) || !websocket_finite(timeout_ms) ||
	    (e == NULL && config_tree_get(s, "KeepAliveInterval") == NULL))
		return;
	config_place(&at, s, e != NULL ? "KeepAliveTimeout" : "KeepAliveInterval");
	config_warn(rep, at.file, at.line,
	    "%s KeepAliveTimeout has no effect: KeepAliveInterval is 0 "
	    "or infinity, which switches keep-alive off",
	    at.title);
}

/* A page's origin is that of its own address, which is never ws: or wss:. */
static void
websocket_check_origins(const struct config_tsection *s, struct config_report *rep)
{
	const struct config_entry *e = config_tree_get(s, "AllowedOrigins");
	struct config_shown head, shown;

	for (size_t i = 0; e != NULL && i < e->n; i++) {
		struct span text = span_from_str(e->v[i].text);
		struct span scheme = { text.p, text.n < 5 ? 0 : text.p[2] == ':' ? 5 : 6 };

		if (text.n < 6 ||
		    (!span_eq_nocase(scheme, SPAN_LIT("ws://")) &&
			!span_eq_nocase(scheme, SPAN_LIT("wss://"))))
			continue;
		config_warn(rep, e->v[i].file, e->v[i].line,
		    "%s AllowedOrigins=%s: browsers send the "
		    "origin of the page, which begins with http:// or https://",
		    config_show_head(&head, s->type, s->name), config_show(&shown, text));
	}
}

static void
websocket_check_rate(
    const struct config_route *r, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;

	if (config_tree_get(s, "RateAction") == NULL || r->ws.message_rate != 0 ||
	    r->ws.byte_rate != 0)
		return;
	config_place(&at, s, "RateAction");
	config_warn(rep, at.file, at.line,
	    "%s RateAction has no effect: neither MessageRate nor ByteRate is set", at.title);
}

static void
websocket_check_require_origin(
    const struct config_route *r, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;

	if (r->ws.require_origin == CONFIG_ORIGIN_NO || r->ws.n_allowed_origins > 0 ||
	    r->action == CONFIG_ACTION_STATIC)
		return;
	config_place(&at, s, "RequireOrigin");
	config_warn(rep, at.file, at.line,
	    "%s RequireOrigin has no effect: AllowedOrigins is not set, "
	    "so every origin is allowed",
	    at.title);
}

void
config_check_websocket(const struct config *c, struct config_report *rep)
{
	const struct config_tsection *s = c->sources->section[CONFIG_S_WEBSOCKET].v;

	if (c->sources->section[CONFIG_S_WEBSOCKET].n > 0) {
		websocket_check_keepalive(c->sources->ws.keepalive_interval_ms,
		    c->sources->ws.keepalive_timeout_ms, s, rep);
		websocket_check_origins(s, rep);
	}
	s = c->sources->section[CONFIG_S_ROUTE].v;
	for (size_t i = 0; i < c->n_route; i++) {
		websocket_check_keepalive(c->route[i].ws.keepalive_interval_ms,
		    c->route[i].ws.keepalive_timeout_ms, &s[i], rep);
		websocket_check_origins(&s[i], rep);
		websocket_check_require_origin(&c->route[i], &s[i], rep);
		websocket_check_rate(&c->route[i], &s[i], rep);
	}
}

static void
backend_check_used(
    const struct config *c, const struct config_backend *b, struct config_report *rep)
{
	for (size_t i = 0; i < c->n_route; i++)
		if (c->route[i].backend_name != NULL &&
		    strcmp(c->route[i].backend_name, b->name) == 0)
			return;
	config_warn(rep, b->file, b->line, "[backend %s] is used by no route", b->name);
}

/* The keys that fit only one kind of backend. */
static void
backend_check_protocol(
    const struct config_backend *b, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;

	if (b->protocol == CONFIG_PROTOCOL_HTTP && b->message_type != CONFIG_MESSAGE_BY_PROTOCOL) {
		config_place(&at, s, "MessageType");
		config_error(rep, at.file, at.line,
		    "%s MessageType: an http backend makes its own "
		    "messages; expected this key left out, or another Protocol",
		    at.title);
	}
	for (size_t i = 0; b->protocol == CONFIG_PROTOCOL_PACKET && i < b->address.n; i++)
		if (b->address.v[i].kind != ADDR_UNIX) {
			config_place(&at, s, "Address");
			config_error(rep, at.file, at.line,
			    "%s Address: packets need a Unix socket; "
			    "expected unix:PATH or unix:@NAME with Protocol=packet",
			    at.title);
			break;
		}
	if (b->protocol != CONFIG_PROTOCOL_HTTP &&
	    config_tree_get(s, "KeepAliveInterval") != NULL &&
	    websocket_finite(b->keepalive_interval_ms)) {
		config_place(&at, s, "KeepAliveInterval");
		config_warn(rep, at.file, at.line,
		    "%s KeepAliveInterval has no effect: there is no "
		    "WebSocket to this backend",
		    at.title);
	}
}

/* Balancing looks at all addresses for each connection (policy/balance.h). */
#define BACKEND_MAX_ADDRESSES 256

static void
backend_check_health(
    const struct config_backend *b, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;

	if (b->address.n > BACKEND_MAX_ADDRESSES) {
		config_place(&at, s, "Address");
		config_error(rep, at.file, at.line,
		    "%s Address: there are %zu; expected at most %d", at.title, b->address.n,
		    BACKEND_MAX_ADDRESSES);
	}
	if (b->health_check_path == NULL)
		return;
	config_place(&at, s, "HealthCheckPath");
	if (b->protocol != CONFIG_PROTOCOL_HTTP)
		config_error(rep, at.file, at.line,
		    "%s HealthCheckPath: only an http backend answers a GET; expected this key "
		    "left out",
		    at.title);
	else if (b->health_check_interval_ms == 0)
		config_warn(rep, at.file, at.line,
		    "%s HealthCheckPath has no effect: HealthCheckInterval is 0", at.title);
}

/* A header would be a packet of its own, which no application expects. */
static void
backend_check_announce(
    const struct config_backend *b, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;

	if (b->send_proxy_protocol == CONFIG_PROXY_OFF || b->protocol != CONFIG_PROTOCOL_PACKET)
		return;
	config_place(&at, s, "SendProxyProtocol");
	config_error(rep, at.file, at.line,
	    "%s SendProxyProtocol: Protocol=packet has no bytes to put it in front of; expected off",
	    at.title);
}

void
config_check_backend(const struct config *c, struct config_report *rep)
{
	const struct config_tsection *s = c->sources->section[CONFIG_S_BACKEND].v;

	for (size_t i = 0; i < c->n_backend; i++) {
		backend_check_used(c, &c->backend[i], rep);
		backend_check_protocol(&c->backend[i], &s[i], rep);
		backend_check_health(&c->backend[i], &s[i], rep);
		backend_check_announce(&c->backend[i], &s[i], rep);
		websocket_check_keepalive(c->backend[i].keepalive_interval_ms,
		    c->backend[i].keepalive_timeout_ms, &s[i], rep);
	}
}
