/* Unit tests of src/daemon/admin_request.c: what is asked for, and what is refused. */
#include <stdio.h>

#include "daemon/admin_request.h"
#include "unit.h"

static struct admin_request req;
static struct admin_refusal no;

/* A request by its head's lines, without the last empty one. */
static int
parse(const char *lines, bool tcp)
{
	static char text[4096];
	static struct http_head h;
	int n = snprintf(text, sizeof(text), "%s\r\n", lines);

	ck_assert_int_eq(http1_parse_request(text, (size_t)n, &h), HTTP1_OK);
	return admin_request_parse(&h, tcp, &req, &no);
}

static int
ask(const char *method, const char *target)
{
	char lines[2048];

	snprintf(lines, sizeof(lines), "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target);
	return parse(lines, true);
}

START_TEST(admin_request_knows_its_paths)
{
	static const struct {
		const char *method, *path;
		enum admin_what what;
	} rows[] = {
		{ "GET", "/metrics", ADMIN_METRICS },
		{ "HEAD", "/metrics", ADMIN_METRICS },
		{ "GET", "/metrics?x=y", ADMIN_METRICS },
		{ "GET", "/healthz", ADMIN_HEALTHZ },
		{ "GET", "/readyz", ADMIN_READYZ },
		{ "GET", "/status", ADMIN_STATUS },
		{ "GET", "/connections", ADMIN_CONNECTIONS },
		{ "POST", "/connections/7/close", ADMIN_CLOSE },
		{ "POST", "/reload", ADMIN_RELOAD },
		{ "POST", "/drain", ADMIN_DRAIN },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		ck_assert_int_eq(ask(rows[i].method, rows[i].path), 0);
		ck_assert_int_eq(req.what, rows[i].what);
		ck_assert(req.is_head == (rows[i].method[0] == 'H'));
	}
}
END_TEST

START_TEST(admin_request_refuses_other_paths_and_methods)
{
	static const struct {
		const char *method, *path;
		unsigned status;
		const char *allow;
	} rows[] = {
		{ "GET", "/", 404, NULL },
		{ "GET", "/metrics/", 404, NULL },
		{ "GET", "/Metrics", 404, NULL },
		{ "GET", "/connections/", 404, NULL },
		{ "POST", "/connections//close", 404, NULL },
		{ "POST", "/connections/1/2/close", 404, NULL },
		{ "POST", "/connections/x/close", 404, NULL },
		{ "POST", "/connections/close", 404, NULL },
		{ "POST", "/connections/1.0/close", 404, NULL },
		{ "POST", "/connections/1./close", 404, NULL },
		{ "POST", "/connections/.1/close", 404, NULL },
		{ "POST", "/connections/99999999999999999999/close", 404, NULL },
		{ "POST", "/metrics", 405, "GET, HEAD" },
		{ "DELETE", "/connections", 405, "GET, HEAD" },
		{ "GET", "/reload", 405, "POST" },
		{ "HEAD", "/drain", 405, "POST" },
		{ "PUT", "/reload", 405, "POST" },
		{ "GET", "/connections/1/close", 405, "POST" },
		{ "OPTIONS", "*", 404, NULL },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		ck_assert_msg(ask(rows[i].method, rows[i].path) == -1, "%s", rows[i].path);
		ck_assert_msg(no.status == rows[i].status, "%s: %u", rows[i].path, no.status);
		ck_assert_msg((no.allow == NULL) == (rows[i].allow == NULL), "%s", rows[i].path);
		if (no.allow != NULL)
			ck_assert_str_eq(no.allow, rows[i].allow);
		ck_assert_ptr_nonnull(no.why);
	}
}
END_TEST

START_TEST(admin_request_ids)
{
	ck_assert_int_eq(ask("POST", "/connections/17/close"), 0);
	ck_assert(req.filter.by_id && req.filter.connection_id == 17 && req.filter.stream_id == 0);
	ck_assert_int_eq(ask("POST", "/connections/18446744073709551615.2147483647/close"), 0);
	ck_assert(req.filter.connection_id == UINT64_MAX && req.filter.stream_id == INT32_MAX);
	ck_assert_int_eq(ask("POST", "/connections/1.2147483648/close"), -1);
}
END_TEST

START_TEST(admin_request_filters)
{
	struct sockaddr_storage ss = { .ss_family = AF_INET };

	ck_assert_int_eq(ask("GET", "/connections"), 0);
	ck_assert(req.filter.route[0] == '\0' && !req.filter.by_client && req.filter.kinds == 0);
	ck_assert_int_eq(ask("GET", "/connections?"), 0);
	ck_assert_int_eq(
	    ask("GET",
		"/connections?route=a%20b%2fc&client=127.0.0.0/8&kind=websocket&active_ms=1500"),
	    0);
	ck_assert_str_eq(req.filter.route, "a b/c");
	ck_assert_uint_eq(req.filter.kinds, GATEWAY_SHOW_WEBSOCKET);
	ck_assert_uint_eq(req.filter.active_ms, 1500);
	ck_assert(req.filter.by_client);
	ck_assert_int_eq(req.filter.client.bits, 96 + 8);
	((uint8_t *)&ss)[4] = 127;
	ck_assert(addr_cidr_has(&req.filter.client, (struct sockaddr *)&ss));
	ck_assert_int_eq(ask("GET", "/connections?&&client=2001%3adb8::1&"), 0);
	ck_assert_int_eq(req.filter.client.bits, 128);
}
END_TEST

START_TEST(admin_request_refuses_bad_filters)
{
	static const char *const rows[] = { "route=", "route", "route=a&route=b", "route=%",
		"route=%4", "route=%zz", "route=a%00b", "client=", "client=x", "client=10.0.0.0/33",
		"client=::1&client=::1", "kind=", "kind=ws", "kind=http&kind=http", "active_ms=0",
		"active_ms=x", "active_ms=99999999999999999999", "routes=a", "=a", "%72oute=a" };
	char target[1024];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		snprintf(target, sizeof(target), "/connections?%s", rows[i]);
		ck_assert_msg(ask("GET", target) == -1 && no.status == 400, "%s", rows[i]);
	}
	/* as long as it may be, and one more */
	snprintf(target, sizeof(target), "/connections?route=%0127d", 1);
	ck_assert_int_eq(ask("GET", target), 0);
	snprintf(target, sizeof(target), "/connections?route=%0128d", 1);
	ck_assert_int_eq(ask("GET", target), -1);
}
END_TEST

START_TEST(admin_request_form)
{
	ck_assert_int_eq(
	    parse("GET /status HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n", false), 0);
	ck_assert(!req.tsv);
	ck_assert_int_eq(
	    parse(
		"GET /status HTTP/1.1\r\nHost: x\r\nAccept: text/tab-separated-values\r\n", false),
	    0);
	ck_assert(req.tsv);
}
END_TEST

START_TEST(admin_request_hosts)
{
	static const char *const good[] = { "localhost", "LOCALHOST:8", "a.localhost:80",
		"127.0.0.1", "127.1.2.3:9", "[::1]", "[::1]:9", "[::ffff:127.0.0.1]:9" };
	static const char *const bad[] = { "", "evil.example", "localhost.evil.example",
		"notlocalhost", ".localhost.", "128.0.0.1", "10.0.0.1:9", "[::2]:9",
		"[::", "127.0.0.1.evil.example:80", "127.0.0.0/8", "[::1", "::1" };

	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		ck_assert_msg(admin_host_is_local(span_from_str(good[i])), "%s", good[i]);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		ck_assert_msg(!admin_host_is_local(span_from_str(bad[i])), "%s", bad[i]);
	ck_assert(!admin_host_is_local(SPAN_NONE));
}
END_TEST

START_TEST(admin_request_keeps_web_pages_out)
{
	/* A page whose name was rebound to 127.0.0.1 reads nothing. */
	ck_assert_int_eq(parse("GET /connections HTTP/1.1\r\nHost: evil.example\r\n", true), -1);
	ck_assert_uint_eq(no.status, 403);
	ck_assert_int_eq(parse("GET /connections HTTP/1.1\r\nHost: evil.example\r\n", false), 0);
	/* A form of another page changes nothing, whatever it is sent over. */
	for (int tcp = 0; tcp <= 1; tcp++) {
		ck_assert_int_eq(
		    parse("POST /drain HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n", tcp), -1);
		ck_assert_uint_eq(no.status, 403);
		ck_assert_int_eq(
		    parse(
			"POST /drain HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n",
			tcp),
		    -1);
		ck_assert_uint_eq(no.status, 403);
		ck_assert_int_eq(parse("POST /drain HTTP/1.1\r\nHost: localhost\r\n", tcp), 0);
		ck_assert_int_eq(
		    parse("GET /status HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n", tcp), 0);
	}
	/* HTTP/1.0 knows no Host. */
	ck_assert_int_eq(parse("GET /healthz HTTP/1.0\r\n", true), 0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		admin_request_knows_its_paths,
		admin_request_refuses_other_paths_and_methods,
		admin_request_ids,
		admin_request_filters,
		admin_request_refuses_bad_filters,
		admin_request_form,
		admin_request_hosts,
		admin_request_keeps_web_pages_out,
	};

	return unit_run("admin_request", cases, UNIT_COUNT(cases));
}
