/* --explain: the decisions of the gateway for one request, told. See explain.h. */
#include <string.h>

#include "codec/http1.h"
#include "daemon/explain.h"
#include "policy/origin.h"
#include "policy/route.h"

struct explain_request {
	struct span method, scheme, authority, path;
	uint16_t port;
	bool websocket, tls;
};

static int
explain_port(struct explain_request *q)
{
	struct span a = q->authority;
	uint64_t port;
	size_t i = a.n;

	q->port = q->tls ? 443 : 80;
	while (i > 0 && a.p[i - 1] >= '0' && a.p[i - 1] <= '9')
		i--;
	if (i == 0 || a.p[i - 1] != ':' || i == a.n)
		return 0;
	if (num_parse_uint((struct span){ a.p + i, a.n - i }, &port) == -1 || port > 65535)
		return -1;
	q->port = (uint16_t)port;
	return 0;
}

static int
explain_parse(const char *request, struct explain_request *q)
{
	const char *sp = strchr(request, ' '), *rest, *slash;

	if (sp == NULL || (rest = strstr(sp + 1, "://")) == NULL)
		return -1;
	q->method = (struct span){ request, (size_t)(sp - request) };
	q->scheme = (struct span){ sp + 1, (size_t)(rest - sp - 1) };
	q->websocket =
	    span_eq_nocase(q->scheme, SPAN_LIT("ws")) || span_eq_nocase(q->scheme, SPAN_LIT("wss"));
	q->tls = span_eq_nocase(q->scheme, SPAN_LIT("wss")) ||
	    span_eq_nocase(q->scheme, SPAN_LIT("https"));
	if (!q->websocket && !q->tls && !span_eq_nocase(q->scheme, SPAN_LIT("http")))
		return -1;
	rest += 3;
	slash = rest + strcspn(rest, "/?#");
	q->authority = (struct span){ rest, (size_t)(slash - rest) };
	q->path = *slash == '/' ? (struct span){ slash, strcspn(slash, "?#") } : SPAN_LIT("/");
	if (!http_is_token(q->method) || !http_is_authority(q->authority))
		return -1;
	return explain_port(q);
}

/* Listeners that would take a connection for this URL; their number. */
static size_t
explain_listeners(const struct config *c, const struct explain_request *q, FILE *out)
{
	char text[300];
	size_t n = 0;

	for (size_t i = 0; i < c->n_listen; i++) {
		const struct config_listen *l = &c->listen[i];

		for (size_t j = 0; j < l->address.n; j++) {
			const struct addr *a = &l->address.v[j];
			bool unix_or_passed = a->kind == ADDR_UNIX || a->kind == ADDR_SYSTEMD;

			if (l->tls != q->tls || (!unix_or_passed && a->port != q->port))
				continue;
			fprintf(out, "listener: %s (%s:%u) %s%s", l->name, l->file, l->line,
			    addr_format(a, text, sizeof(text)), l->tls ? " TLS" : "");
			if (l->connection_rate != 0)
				fprintf(out, " ConnectionRate=%llu",
				    (unsigned long long)l->connection_rate);
			fputc('\n', out);
			n++;
		}
	}
	if (n == 0)
		fprintf(out, "listener: none %s port %u; what follows is for any that did\n",
		    q->tls ? "speaks TLS on" : "speaks without TLS on", q->port);
	return n;
}

static const char *
explain_action(enum config_action a)
{
	switch (a) {
	case CONFIG_ACTION_ECHO:
		return "echo";
	case CONFIG_ACTION_FORWARD:
		return "forward";
	case CONFIG_ACTION_PROXY:
		return "proxy";
	case CONFIG_ACTION_STATIC:
		return "static";
	}
	return "?";
}

/* The origin policy's verdict; false when it refuses. */
static bool
explain_origin(const struct config_route *r, const char *origin, FILE *out)
{
	enum origin_verdict plain =
	    origin_check(&r->ws, origin != NULL, span_from_str(origin), false);
	enum origin_verdict cookie =
	    origin_check(&r->ws, origin != NULL, span_from_str(origin), true);

	if (r->ws.n_allowed_origins == 0)
		fprintf(out, "origin: every Origin is allowed\n");
	else if (plain == ORIGIN_OK && cookie == ORIGIN_OK)
		fprintf(out, "origin: allowed\n");
	else if (plain == ORIGIN_OK)
		fprintf(out, "origin: allowed without a Cookie; with one: %s\n",
		    origin_verdict_str(cookie));
	else
		fprintf(out, "origin: refused: %s\n", origin_verdict_str(plain));
	return plain == ORIGIN_OK;
}

static bool
explain_is_connect(const struct explain_request *q)
{
	return span_eq(q->method, SPAN_LIT("CONNECT"));
}

/* What a WebSocket handshake gets; over HTTP/2 426 is 400. */
static void
explain_websocket(const struct config_route *r, bool origin_ok, const char *label, FILE *out)
{
	if (r->action == CONFIG_ACTION_STATIC)
		fprintf(out,
		    "%s: no WebSocket is served: the answer is that to an ordinary request\n",
		    label);
	else if (!origin_ok)
		fprintf(out, "%s: refused with 403\n", label);
	else
		fprintf(out, "%s: served\n", label);
}

static void
explain_ordinary(const struct config_route *r, const struct explain_request *q, FILE *out)
{
	if (r->action == CONFIG_ACTION_STATIC && !span_eq(q->method, SPAN_LIT("GET")) &&
	    !span_eq(q->method, SPAN_LIT("HEAD")))
		fprintf(out, "result: refused with 405: files are served to GET and HEAD\n");
	else if (r->action == CONFIG_ACTION_ECHO || r->action == CONFIG_ACTION_FORWARD)
		fprintf(out, "result: refused with 426: the route serves WebSockets only\n");
	else
		fprintf(out, "result: served\n");
}

static void
explain_result(
    const struct config_route *r, const struct explain_request *q, bool origin_ok, FILE *out)
{
	bool is_get = span_eq(q->method, SPAN_LIT("GET"));

	/*
	 * GET is HTTP/1.1's, CONNECT is HTTP/2's; with another it is none, whatever its fields
	 * say.
	 */
	if (q->websocket && (is_get || explain_is_connect(q))) {
		explain_websocket(r, origin_ok, "result", out);
		return;
	}
	explain_ordinary(r, q, out);
	if (r->action != CONFIG_ACTION_STATIC && is_get)
		explain_websocket(r, origin_ok, "as a WebSocket", out);
}

/* What may end it or slow it down later. */
static void
explain_limits(const struct config_websocket *w, FILE *out)
{
	if (w->message_rate == 0 && w->byte_rate == 0)
		return;
	fprintf(out, "limits:");
	if (w->message_rate != 0)
		fprintf(out, " MessageRate=%llu", (unsigned long long)w->message_rate);
	if (w->byte_rate != 0)
		fprintf(out, " ByteRate=%llu", (unsigned long long)w->byte_rate);
	fprintf(out, ": past it the client is %s\n",
	    w->rate_action == CONFIG_RATE_CLOSE ? "closed with 1008" : "not read for a while");
}

int
explain(const struct config *c, const char *request, const char *origin, FILE *out)
{
	const struct config_route *r;
	struct explain_request q = { .port = 0 };
	bool origin_ok = true;
	char text[300];

	if (explain_parse(request, &q) == -1) {
		fprintf(stderr,
		    "wsrelayd: --explain: '%s' is not 'METHOD URL' with a ws, wss, "
		    "http or https URL\n",
		    request);
		return -1;
	}
	explain_listeners(c, &q, out);
	if (explain_is_connect(&q) && !q.websocket) {
		fprintf(out, "result: refused with 501: this gateway is no forward proxy\n");
		return 0;
	}
	if ((r = route_find(c, q.authority, q.path)) == NULL) {
		fprintf(out, "route: none\nresult: refused with 404\n");
		return 0;
	}
	fprintf(out, "route: %s (%s:%u) Host=%s Path=%s%s\naction: %s\n", r->name, r->file, r->line,
	    r->host != NULL ? r->host : "", r->path, r->path_is_prefix ? "*" : "",
	    explain_action(r->action));
	if (r->action != CONFIG_ACTION_STATIC)
		origin_ok = explain_origin(r, origin, out);
	if (r->action == CONFIG_ACTION_STATIC)
		fprintf(out, "document root: %s\n", r->document_root);
	for (size_t i = 0; r->backend != NULL && i < r->backend->address.n; i++)
		fprintf(out, "backend: %s (%s:%u) %s\n", r->backend->name, r->backend->file,
		    r->backend->line, addr_format(&r->backend->address.v[i], text, sizeof(text)));
	if (r->action != CONFIG_ACTION_STATIC)
		explain_limits(&r->ws, out);
	explain_result(r, &q, origin_ok, out);
	return 0;
}
