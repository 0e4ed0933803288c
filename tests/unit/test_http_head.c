/* Unit tests of src/codec/http_head.c. */
#include <stdio.h>

#include "codec/http1.h"
#include "unit.h"

static void
head_parse(struct http_head *h, const char *fields)
{
	static char text[4096];
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

	ck_assert_int_eq(http1_parse_request(text, (size_t)n, h), HTTP1_OK);
}

START_TEST(http_head_finds_and_counts_without_case)
{
	struct http_head h;

	head_parse(&h, "X-A: 1\r\nx-b: 2\r\nX-a: 3\r\nX-AA: 4\r\n");
	ck_assert(span_eq(http_head_find(&h, "x-a")->value, SPAN_LIT("1")));
	ck_assert(span_eq(http_head_find(&h, "X-B")->value, SPAN_LIT("2")));
	ck_assert_ptr_null(http_head_find(&h, "X"));
	ck_assert_uint_eq(http_head_count(&h, "x-A"), 2);
	ck_assert_uint_eq(http_head_count(&h, "host"), 1);
	ck_assert_uint_eq(http_head_count(&h, "X-"), 0);
}
END_TEST

START_TEST(http_head_list_has_looks_into_all_fields_of_the_name)
{
	struct http_head h;

	head_parse(&h,
	    "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nupgrade: WebSocket\r\n"
	    "X: websocket13\r\n");
	ck_assert(http_head_list_has(&h, "connection", "upgrade"));
	ck_assert(http_head_list_has(&h, "Upgrade", "websocket"));
	ck_assert(http_head_list_has(&h, "Upgrade", "H2C"));
	ck_assert(!http_head_list_has(&h, "Upgrade", "h2"));
	ck_assert(!http_head_list_has(&h, "X", "websocket"));
	ck_assert(!http_head_list_has(&h, "Missing", "websocket"));
}
END_TEST

START_TEST(http_head_reads_keep_alives_timeout)
{
	static const struct {
		const char *fields;
		int s; /* -1: not said */
	} rows[] = {
		{ "", -1 },
		{ "Keep-Alive: max=5\r\n", -1 },
		{ "Keep-Alive: timeout\r\n", -1 },
		{ "Keep-Alive: timeout=\r\n", -1 },
		{ "Keep-Alive: timeout=x, timeout=-1, timeout=5x\r\n", -1 },
		{ "Keep-Alive: timeout=5\r\n", 5 },
		{ "keep-alive: max=3 , TIMEOUT=0 , x\r\n", 0 },
		{ "Keep-Alive: timeout=9\r\nKeep-Alive: timeout=7, timeout=8\r\n", 7 },
	};
	struct http_head h;
	uint64_t s;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		head_parse(&h, rows[i].fields);
		ck_assert_int_eq(http_head_keep_alive_s(&h, &s) ? (int)s : -1, rows[i].s);
	}
}
END_TEST

START_TEST(http_head_knows_hop_by_hop_fields)
{
	static const struct {
		const char *name;
		bool hop;
	} rows[] = {
		{ "Connection", true },
		{ "keep-alive", true },
		{ "Proxy-Connection", true },
		{ "TE", true },
		{ "Trailer", true },
		{ "Transfer-Encoding", true },
		{ "UPGRADE", true },
		{ "Proxy-Authenticate", true },
		{ "Proxy-Authorization", true },
		{ "Proxy-Authentication-Info", true },
		{ "HTTP2-Settings", true },
		{ "X-Hop", true },
		{ "x-other", true },
		{ "Host", false },
		{ "Content-Length", false },
		{ "X-End", false },
		{ "Cookie", false },
		{ "Sec-WebSocket-Key", false },
		{ "X-Hop2", false },
	};
	struct http_head h;

	head_parse(&h,
	    "Connection: close, x-hop\r\nconnection: X-OTHER, host, Content-Length\r\n"
	    "X-End: 1\r\n");
	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_msg(
		    http_head_is_hop_by_hop(&h, span_from_str(rows[i].name)) == rows[i].hop, "%s",
		    rows[i].name);
}
END_TEST

START_TEST(http_response_body_follows_method_and_status)
{
	static const struct {
		unsigned status;
		const char *method;
		enum http_body said, wanted;
	} rows[] = {
		/* RFC 9112 6.3 */
		{ 200, "GET", HTTP_BODY_LENGTH, HTTP_BODY_LENGTH },
		{ 200, "GET", HTTP_BODY_CHUNKED, HTTP_BODY_CHUNKED },
		{ 200, "GET", HTTP_BODY_EOF, HTTP_BODY_EOF },
		{ 200, "GET", HTTP_BODY_NONE, HTTP_BODY_EOF },
		{ 404, "POST", HTTP_BODY_LENGTH, HTTP_BODY_LENGTH },
		{ 200, "HEAD", HTTP_BODY_LENGTH, HTTP_BODY_NONE },
		{ 200, "HEAD", HTTP_BODY_CHUNKED, HTTP_BODY_NONE },
		{ 200, "head", HTTP_BODY_LENGTH, HTTP_BODY_LENGTH }, /* methods have case */
		{ 100, "GET", HTTP_BODY_LENGTH, HTTP_BODY_NONE },
		{ 101, "GET", HTTP_BODY_CHUNKED, HTTP_BODY_NONE },
		{ 199, "GET", HTTP_BODY_EOF, HTTP_BODY_NONE },
		{ 204, "GET", HTTP_BODY_LENGTH, HTTP_BODY_NONE },
		{ 304, "GET", HTTP_BODY_LENGTH, HTTP_BODY_NONE },
		{ 205, "GET", HTTP_BODY_LENGTH, HTTP_BODY_LENGTH },
		{ 200, "CONNECT", HTTP_BODY_LENGTH, HTTP_BODY_NONE },
		{ 299, "CONNECT", HTTP_BODY_EOF, HTTP_BODY_NONE },
		{ 300, "CONNECT", HTTP_BODY_LENGTH, HTTP_BODY_LENGTH },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct http_head h = { .status = rows[i].status, .body = rows[i].said };

		ck_assert_msg(
		    http1_response_body(&h, span_from_str(rows[i].method)) == rows[i].wanted,
		    "row %zu", i);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		http_head_finds_and_counts_without_case,
		http_head_list_has_looks_into_all_fields_of_the_name,
		http_head_reads_keep_alives_timeout,
		http_head_knows_hop_by_hop_fields,
		http_response_body_follows_method_and_status,
	};

	return unit_run("http_head", cases, UNIT_COUNT(cases));
}
