/* Unit tests of src/codec/http_trailers.c. */
#include <string.h>

#include "codec/http1.h"
#include "unit.h"

START_TEST(http_trailers_are_taken_apart)
{
	static const char text[] =
	    "X-Sum: 1\r\nEmpty:\r\nHost: a\r\nGRPC-Message: \ta b\xff\t \r\n";
	struct http_field v[HTTP1_MAX_TRAILERS];

	ck_assert_uint_eq(http1_parse_trailers(text, sizeof(text) - 1, v), 3);
	ck_assert(span_eq(v[0].name, SPAN_LIT("X-Sum")) && span_eq(v[0].value, SPAN_LIT("1")));
	ck_assert(span_eq(v[1].name, SPAN_LIT("Empty")) && v[1].value.n == 0);
	ck_assert(span_eq(v[2].name, SPAN_LIT("GRPC-Message")));
	ck_assert(span_eq(v[2].value, SPAN_LIT("a b\xff")));
	ck_assert_uint_eq(http1_parse_trailers(NULL, 0, v), 0);
}
END_TEST

/* What the chunked decoder would not hand out ends the section. */
START_TEST(http_trailers_end_at_what_is_no_field)
{
	static const char *const rows[] = { "A: 1\r\n\r\nB: 2\r\n", "A: 1\r\nB\r\n", "A: 1\r\nB: 2",
		"A: 1\r\nB : 2\r\n", "A: 1\r\n: 2\r\n", "A: 1\r\nB: \x01\r\n", "A: 1\r\nB: 2\n",
		"A: 1\r\n\n", "A: 1\r\n:a: b\r\n" };
	struct http_field v[HTTP1_MAX_TRAILERS];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		ck_assert_uint_eq(http1_parse_trailers(rows[i], strlen(rows[i]), v), 1);
		ck_assert(span_eq(v[0].value, SPAN_LIT("1")));
	}
}
END_TEST

START_TEST(http_trailers_are_bounded)
{
	struct http_field v[HTTP1_MAX_TRAILERS];
	char text[(HTTP1_MAX_TRAILERS + 5) * 6 + 1] = "";

	for (size_t i = 0; i < HTTP1_MAX_TRAILERS + 5; i++)
		memcpy(text + 6 * i, "a: b\r\n", 6);
	ck_assert_uint_eq(http1_parse_trailers(text, sizeof(text) - 1, v), HTTP1_MAX_TRAILERS);
}
END_TEST

START_TEST(http_trailers_must_not_say_what_the_head_says)
{
	static const char *const forbidden[] = { "Content-Length", "content-length",
		"Transfer-Encoding", "HOST", "Connection", "Keep-Alive", "Proxy-Connection", "TE",
		"Trailer", "Upgrade", "HTTP2-Settings", "Authorization", "Cookie", "Set-Cookie",
		"Origin", "Proxy-Authorization", "WWW-Authenticate", "Cache-Control", "Expect",
		"Range", "If-Match", "Max-Forwards", "Content-Type", "Content-Encoding",
		"Content-Range", "Date", "Location", "Vary", "Sec-WebSocket-Key",
		"sec-websocket-protocol", "Sec-Fetch-Site", ":status", "", "a b" };
	static const char *const allowed[] = { "grpc-status", "Grpc-Message", "Digest", "ETag",
		"Server-Timing", "x-amz-checksum-crc32", "X-Content-Length", "Hosts", "Second" };

	for (size_t i = 0; i < UNIT_COUNT(forbidden); i++)
		if (http_trailer_allowed(span_from_str(forbidden[i])))
			ck_abort_msg("%s is allowed", forbidden[i]);
	for (size_t i = 0; i < UNIT_COUNT(allowed); i++)
		if (!http_trailer_allowed(span_from_str(allowed[i])))
			ck_abort_msg("%s is not allowed", allowed[i]);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		http_trailers_are_taken_apart,
		http_trailers_end_at_what_is_no_field,
		http_trailers_are_bounded,
		http_trailers_must_not_say_what_the_head_says,
	};

	return unit_run("http_trailers", cases, UNIT_COUNT(cases));
}
