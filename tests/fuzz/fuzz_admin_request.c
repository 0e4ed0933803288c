/*
 * Fuzz target: a request to the admin endpoint.
 *
 * The first byte says whether it came over TCP, the rest is the request's head.  What is let
 * through must be one of the known paths with its method, without a sign of a web page when it
 * changes something, and with a Host of this machine over TCP; filters must hold what the query
 * says by a decoder of its own, and an id must be what the path says.
 */
#include <inttypes.h>

#include "daemon/admin_request.h"
#include "oracle.h"

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The route that a query names, by strtok and strtol; false: none. */
static bool
route_of(struct span query, char *out, size_t size)
{
	char text[HTTP1_MAX_HEAD + 1], *item, *save = NULL;
	bool found = false;

	memcpy(text, query.p, query.n);
	text[query.n] = '\0';
	for (item = strtok_r(text, "&", &save); item != NULL; item = strtok_r(NULL, "&", &save)) {
		size_t n = 0;

		if (strncmp(item, "route=", 6) != 0)
			continue;
		ORACLE(!found);
		found = true;
		for (char *p = item + 6; *p != '\0'; p++) {
			char hex[3] = { 0 };

			if (*p == '%') {
				ORACLE(is_hex(p[1]) && is_hex(p[2]));
				memcpy(hex, p + 1, 2);
				p += 2;
			}
			ORACLE(n + 1 < size);
			out[n++] = hex[0] != 0 ? (char)strtol(hex, NULL, 16) : *p;
		}
		out[n] = '\0';
	}
	return found;
}

static void
check_filters(const struct http_head *h, const struct gateway_filter *f)
{
	char route[GATEWAY_FILTER_ROUTE];
	bool named = h->query.n > 0 && route_of(h->query, route, sizeof(route));

	ORACLE(memchr(f->route, '\0', sizeof(f->route)) != NULL);
	ORACLE(named == (f->route[0] != '\0'));
	if (named)
		ORACLE(strcmp(route, f->route) == 0);
	ORACLE(f->kinds == 0 || f->kinds == 1 || f->kinds == 2 || f->kinds == 4);
	ORACLE(!f->by_client || f->client.bits <= 128);
	ORACLE(!f->by_id);
}

/* The id again as text, but for zeros in front. */
static void
check_id(const struct http_head *h, const struct gateway_filter *f)
{
	char path[100];

	ORACLE(f->by_id);
	if (f->stream_id != 0)
		snprintf(path, sizeof(path), "/connections/%" PRIu64 ".%" PRIu32 "/close",
		    f->connection_id, f->stream_id);
	else
		snprintf(path, sizeof(path), "/connections/%" PRIu64 "/close", f->connection_id);
	ORACLE(h->path.n >= strlen(path));
	if (h->path.n == strlen(path))
		ORACLE(memcmp(path, h->path.p, h->path.n) == 0);
}

static void
check_good(const struct http_head *h, const struct admin_request *r, bool tcp)
{
	static const char *const paths[] = { "/metrics", "/healthz", "/readyz", "/status",
		"/connections", NULL, "/reload", "/drain" };
	bool changes = r->what == ADMIN_CLOSE || r->what == ADMIN_RELOAD || r->what == ADMIN_DRAIN;
	bool post = span_eq(h->method, SPAN_LIT("POST"));

	ORACLE(changes == post);
	ORACLE(post || span_eq(h->method, SPAN_LIT("GET")) || r->is_head);
	ORACLE(r->is_head == span_eq(h->method, SPAN_LIT("HEAD")));
	if (post)
		ORACLE(
		    http_head_count(h, "origin") == 0 && http_head_count(h, "sec-fetch-site") == 0);
	if (tcp && h->authority.n > 0)
		ORACLE(admin_host_is_local(h->authority));
	if (r->what == ADMIN_CLOSE)
		check_id(h, &r->filter);
	else
		ORACLE(span_eq(h->path, span_from_str(paths[r->what])));
	if (r->what == ADMIN_CONNECTIONS)
		check_filters(h, &r->filter);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct admin_request r;
	struct admin_refusal no;
	struct http1_scan scan;
	struct http_head h;
	size_t head_n;
	bool tcp;
	char *p;

	if (size < 1)
		return 0;
	tcp = (data[0] & 1) != 0;
	p = oracle_copy(data + 1, size - 1);
	http1_scan_init(&scan, HTTP1_REQUEST);
	if (http1_scan(&scan, p, size - 1, &head_n) == HTTP1_OK &&
	    http1_parse_request(p, head_n, &h) == HTTP1_OK) {
		if (admin_request_parse(&h, tcp, &r, &no) == 0) {
			check_good(&h, &r, tcp);
		} else {
			ORACLE(no.status == 400 || no.status == 403 || no.status == 404 ||
			    no.status == 405);
			ORACLE(no.why != NULL && (no.status == 405) == (no.allow != NULL));
		}
	}
	free(p);
	return 0;
}
