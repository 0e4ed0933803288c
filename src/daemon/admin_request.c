/* Requests to the admin endpoint.  See admin_request.h. */
#include "base/num.h"
#include "daemon/admin_request.h"

#define ADMIN_GET "GET, HEAD"
#define ADMIN_POST "POST"

static const struct {
	struct span path;
	const char *allow;
	enum admin_what what;
	bool has_filters;
} admin_paths[] = {
	{ SPAN_LIT("/metrics"), ADMIN_GET, ADMIN_METRICS, false },
	{ SPAN_LIT("/healthz"), ADMIN_GET, ADMIN_HEALTHZ, false },
	{ SPAN_LIT("/readyz"), ADMIN_GET, ADMIN_READYZ, false },
	{ SPAN_LIT("/status"), ADMIN_GET, ADMIN_STATUS, false },
	{ SPAN_LIT("/connections"), ADMIN_GET, ADMIN_CONNECTIONS, true },
	{ SPAN_LIT("/reload"), ADMIN_POST, ADMIN_RELOAD, false },
	{ SPAN_LIT("/drain"), ADMIN_POST, ADMIN_DRAIN, false },
};

static int
admin_no(struct admin_refusal *no, unsigned status, const char *why)
{
	no->status = status;
	no->why = why;
	return -1;
}

/* ---- who may ask */

static bool
admin_span_ends(struct span s, struct span end)
{
	return s.n > end.n && span_eq_nocase((struct span){ s.p + s.n - end.n, end.n }, end);
}

bool
admin_host_is_local(struct span authority)
{
	static const char *const loopback[] = { "127.0.0.0/8", "::1" };
	struct span host = authority;
	struct addr_cidr asked, block;
	const char *colon;

	if (host.n > 0 && host.p[0] == '[') {
		if ((colon = memchr(host.p, ']', host.n)) == NULL)
			return false;
		host = (struct span){ host.p + 1, (size_t)(colon - host.p - 1) };
	} else if ((colon = memchr(host.p != NULL ? host.p : "", ':', host.n)) != NULL) {
		host.n = (size_t)(colon - host.p);
	}
	/* RFC 6761 6.3: nobody else can have these names. */
	if (span_eq_nocase(host, SPAN_LIT("localhost")) ||
	    admin_span_ends(host, SPAN_LIT(".localhost")))
		return true;
	if (memchr(host.p != NULL ? host.p : "", '/', host.n) != NULL ||
	    addr_cidr_parse(host, &asked) == -1)
		return false;
	for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
		if (addr_cidr_parse(span_from_str(loopback[i]), &block) == -1)
			continue;
		/* Both are whole bytes: 127 behind ::ffff:, or all 16. */
		if (memcmp(asked.net, block.net, block.bits / 8) == 0)
			return true;
	}
	return false;
}

static int
admin_check_sender(const struct http_head *h, bool tcp, struct admin_refusal *no)
{
	if (tcp && h->authority.n > 0 && !admin_host_is_local(h->authority))
		return admin_no(no, 403, "the Host field does not name this machine's loopback");
	if (span_eq(h->method, SPAN_LIT("POST")) &&
	    (http_head_find(h, "Origin") != NULL || http_head_find(h, "Sec-Fetch-Site") != NULL))
		return admin_no(no, 403, "web pages may not change anything here");
	return 0;
}

/* ---- filters */

/*
 * Undo percent-encoding into out (size bytes with the NUL); 0, or -1: too long, a broken escape or
 * a NUL.
 */
static int
admin_decode(struct span s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			int high = s.n - i > 2 ? num_hex_digit(s.p[i + 1]) : -1;
			int low = s.n - i > 2 ? num_hex_digit(s.p[i + 2]) : -1;

			if (high == -1 || low == -1)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return -1;
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

static int
admin_kind_parse(const char *text, unsigned *kinds)
{
	static const struct {
		const char *name;
		unsigned bit;
	} words[] = { { "websocket", GATEWAY_SHOW_WEBSOCKET },
		{ "handshake", GATEWAY_SHOW_HANDSHAKE }, { "http", GATEWAY_SHOW_HTTP } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(text, words[i].name) == 0) {
			*kinds = words[i].bit;
			return 0;
		}
	return -1;
}

/* One NAME=VALUE of the query. */
static int
admin_parse_filter(
    struct span name, struct span value, struct gateway_filter *f, struct admin_refusal *no)
{
	char text[GATEWAY_FILTER_ROUTE];

	if (admin_decode(value, text, sizeof(text)) == -1)
		return admin_no(no, 400, "a filter's value is too long or has a broken %-escape");
	if (span_eq(name, SPAN_LIT("route"))) {
		if (text[0] == '\0' || f->route[0] != '\0')
			return admin_no(no, 400, "route: expected one name of a route");
		memcpy(f->route, text, sizeof(f->route));
	} else if (span_eq(name, SPAN_LIT("client"))) {
		if (f->by_client || addr_cidr_parse(span_from_str(text), &f->client) == -1)
			return admin_no(no, 400,
			    "client: expected one address, or one block such as 192.0.2.0/24");
		f->by_client = true;
	} else if (span_eq(name, SPAN_LIT("kind"))) {
		if (f->kinds != 0 || admin_kind_parse(text, &f->kinds) == -1)
			return admin_no(no, 400, "kind: expected websocket, handshake or http");
	} else if (span_eq(name, SPAN_LIT("active_ms"))) {
		if (f->active_ms != 0 || num_parse_uint(span_from_str(text), &f->active_ms) == -1 ||
		    f->active_ms == 0)
			return admin_no(no, 400, "active_ms: expected a number of milliseconds");
	} else {
		return admin_no(
		    no, 400, "an unknown filter; there are route, client, kind and active_ms");
	}
	return 0;
}

static int
admin_parse_filters(struct span query, struct gateway_filter *f, struct admin_refusal *no)
{
	while (query.n > 0) {
		const char *amp = memchr(query.p, '&', query.n), *eq;
		struct span item = { query.p, amp != NULL ? (size_t)(amp - query.p) : query.n };
		struct span name = item, value = SPAN_NONE;

		query.n -= item.n + (amp != NULL);
		query.p += item.n + (amp != NULL);
		if (item.n == 0)
			continue;
		if ((eq = memchr(item.p, '=', item.n)) != NULL) {
			name.n = (size_t)(eq - item.p);
			value = (struct span){ eq + 1, item.n - name.n - 1 };
		}
		if (admin_parse_filter(name, value, f, no) == -1)
			return -1;
	}
	return 0;
}

/* ---- what it asks for */

int
admin_id_parse(struct span text, uint64_t *connection, uint32_t *stream)
{
	const char *dot = text.n > 0 ? memchr(text.p, '.', text.n) : NULL;
	struct span first = { text.p, dot != NULL ? (size_t)(dot - text.p) : text.n };
	uint64_t n = 0;

	if (num_parse_uint(first, connection) == -1)
		return -1;
	if (dot != NULL &&
	    (num_parse_uint((struct span){ dot + 1, text.n - first.n - 1 }, &n) == -1 || n == 0 ||
		n > INT32_MAX))
		return -1;
	*stream = (uint32_t)n;
	return 0;
}

/* The ID of /connections/ID/close; false: it is another path. */
static bool
admin_is_close(struct span path, struct span *id)
{
	static const struct span head = SPAN_LIT("/connections/"), tail = SPAN_LIT("/close");

	if (path.n <= head.n + tail.n || memcmp(path.p, head.p, head.n) != 0 ||
	    memcmp(path.p + path.n - tail.n, tail.p, tail.n) != 0)
		return false;
	*id = (struct span){ path.p + head.n, path.n - head.n - tail.n };
	return memchr(id->p, '/', id->n) == NULL;
}

static bool
admin_method_fits(const struct http_head *h, const char *allow)
{
	if (allow[0] == 'P')
		return span_eq(h->method, SPAN_LIT("POST"));
	return span_eq(h->method, SPAN_LIT("GET")) || span_eq(h->method, SPAN_LIT("HEAD"));
}

static int
admin_check_method(const struct http_head *h, const char *allow, struct admin_refusal *no)
{
	if (admin_method_fits(h, allow))
		return 0;
	no->allow = allow;
	return admin_no(no, 405, "this method is not served here");
}

static int
admin_parse_close(
    const struct http_head *h, struct span id, struct admin_request *out, struct admin_refusal *no)
{
	struct gateway_filter *f = &out->filter;

	if (admin_check_method(h, ADMIN_POST, no) == -1)
		return -1;
	out->what = ADMIN_CLOSE;
	f->by_id = true;
	if (admin_id_parse(id, &f->connection_id, &f->stream_id) == -1)
		return admin_no(no, 404, "there is no such connection");
	return 0;
}

int
admin_request_parse(
    const struct http_head *h, bool tcp, struct admin_request *out, struct admin_refusal *no)
{
	struct span id;

	memset(out, 0, sizeof(*out));
	memset(no, 0, sizeof(*no));
	out->is_head = span_eq(h->method, SPAN_LIT("HEAD"));
	out->tsv = http_head_list_has(h, "Accept", "text/tab-separated-values");
	if (admin_check_sender(h, tcp, no) == -1)
		return -1;
	if (admin_is_close(h->path, &id))
		return admin_parse_close(h, id, out, no);
	for (size_t i = 0; i < sizeof(admin_paths) / sizeof(admin_paths[0]); i++) {
		if (!span_eq(h->path, admin_paths[i].path))
			continue;
		out->what = admin_paths[i].what;
		if (admin_check_method(h, admin_paths[i].allow, no) == -1)
			return -1;
		return admin_paths[i].has_filters ? admin_parse_filters(h->query, &out->filter, no)
						  : 0;
	}
	return admin_no(no, 404,
	    "there are /metrics, /healthz, /readyz, /status, /connections, "
	    "/connections/ID/close, /reload and /drain");
}
