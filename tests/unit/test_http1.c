/*
 * Unit tests of src/codec/http1.[ch].
 *
 * Each case runs through the scan in one piece, at every cut and byte by
 * byte, the bytes lying elsewhere each time, and then through the parser,
 * from a block of just the head's size.  The verdict is that of the first of
 * them that objects.
 */
#include "codec/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define END "\r\n\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

static char *
h1_copy(const char *p, size_t n)
{
	char *copy = malloc(n != 0 ? n : 1);

	if (copy == NULL)
		ck_abort();
	return memcpy(copy, p, n);
}

/* Scan p[0..n), telling first of a bytes and then of all. */
static enum http1_status
h1_scan_cut(enum http1_kind kind, const char *p, size_t n, size_t a, size_t *head_n)
{
	struct http1_scan s;
	enum http1_status status;
	char *copy = h1_copy(p, a);

	http1_scan_init(&s, kind);
	status = http1_scan(&s, copy, a, head_n);
	free(copy);
	if (status != HTTP1_MORE)
		return status;
	copy = h1_copy(p, n);
	status = http1_scan(&s, copy, n, head_n);
	free(copy);
	return status;
}

/* The scan's verdict, which must not depend on the cut. */
static enum http1_status
h1_scan(enum http1_kind kind, const char *p, size_t n, size_t *head_n)
{
	enum http1_status wanted = h1_scan_cut(kind, p, n, 0, head_n), status = HTTP1_MORE;
	struct http1_scan s;
	size_t got = 0, step = n > 1000 ? n / 100 : 1;

	for (size_t a = 0; a <= n; a += step) {
		status = h1_scan_cut(kind, p, n, a, &got);
		if (status != wanted || (status == HTTP1_OK && got != *head_n))
			ck_abort_msg("%.80s, cut at %zu: %d", p, a, (int)status);
	}
	status = HTTP1_MORE;
	http1_scan_init(&s, kind);
	for (size_t i = 1; i <= n && status == HTTP1_MORE; i++) {
		if (n > 1000) { /* the same, without moving the bytes */
			status = http1_scan(&s, p, i, &got);
		} else {
			char *copy = h1_copy(p, i);

			status = http1_scan(&s, copy, i, &got);
			free(copy);
		}
	}
	if (status != wanted || (status == HTTP1_OK && got != *head_n))
		ck_abort_msg("%.80s, byte by byte: %d", p, (int)status);
	return wanted;
}

/* Parse p[0..n) from *copy, which the caller frees and the spans point into. */
static enum http1_status
h1_parse(enum http1_kind kind, const char *p, size_t n, struct http_head *h, char **copy)
{
	*copy = h1_copy(p, n);
	memset(h, 0xa5, sizeof(*h));
	return kind == HTTP1_REQUEST ? http1_parse_request(*copy, n, h)
				     : http1_parse_response(*copy, n, h);
}

static enum http1_status
h1_verdict(enum http1_kind kind, const char *p, size_t n)
{
	struct http_head h;
	size_t head_n = n;
	enum http1_status scanned = h1_scan(kind, p, n, &head_n), parsed;
	char *copy;

	if (scanned == HTTP1_OK)
		n = head_n;
	parsed = h1_parse(kind, p, n, &h, &copy);
	free(copy);
	if (scanned == HTTP1_OK)
		return parsed;
	/* What the scan refuses the parser refuses too, in its own words. */
	if (parsed == HTTP1_OK || parsed == HTTP1_MORE)
		ck_abort_msg("%.80s: scanned %d, parsed %d", p, (int)scanned, (int)parsed);
	return scanned;
}

static void
h1_check(enum http1_kind kind, const char *p, size_t n, enum http1_status wanted)
{
	enum http1_status status = h1_verdict(kind, p, n);

	ck_assert_msg(status == wanted, "%.200s: %d", p, (int)status);
}

struct h1_row {
	const char *text;
	enum http1_status status;
};

static void
h1_check_rows(enum http1_kind kind, const struct h1_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h1_check(kind, rows[i].text, strlen(rows[i].text), rows[i].status);
}

static const char *
h1_body_name(const struct http_head *h)
{
	static char length[32];

	switch (h->body) {
	case HTTP_BODY_NONE:
		return "none";
	case HTTP_BODY_LENGTH:
		snprintf(length, sizeof(length), "%llu", (unsigned long long)h->content_length);
		return length;
	case HTTP_BODY_CHUNKED:
		return "chunked";
	case HTTP_BODY_EOF:
		return "eof";
	}
	return "?";
}

START_TEST(http1_parses_requests)
{
	static const struct {
		const char *text, *wanted; /* method scheme|authority|path|query minor flags body */
	} rows[] = {
		{ "GET /a/b?c=d&e HTTP/1.1\r\nHost: h:80" END, "GET |h:80|/a/b|c=d&e 1 k none" },
		{ "GET / HTTP/1.1\r\nhOST:h" END, "GET |h|/|- 1 k none" },
		{ "\r\nGET / HTTP/1.1\r\nHost: h" END, "GET |h|/|- 1 k none" },
		{ "GET /? HTTP/1.1\r\nHost: h" END, "GET |h|/| 1 k none" },
		{ "GET //x//?? HTTP/1.1\r\nHost: h" END, "GET |h|//x//|? 1 k none" },
		{ "GET / HTTP/1.0" END, "GET ||/|- 0 - none" },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive" END, "GET ||/|- 0 k none" },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive, close" END, "GET ||/|- 0 - none" },
		{ GET "Connection: close\r\n\r\n", "GET |a|/|- 1 - none" },
		{ GET "Connection: a\r\nConnection: b , CLOSE\r\n\r\n", "GET |a|/|- 1 - none" },
		{ GET "Connection: closed\r\n\r\n", "GET |a|/|- 1 k none" },
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0" END, "POST |h|/|- 1 k 0" },
		{ "POST / HTTP/1.1\r\nHost: h\r\ncontent-length:\t0042 " END,
		    "POST |h|/|- 1 k 42" },
		{ "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807" END,
		    "POST |h|/|- 1 k 9223372036854775807" },
		{ "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED" END,
		    "POST |h|/|- 1 k chunked" },
		{ "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1" END,
		    "PUT |h|/|- 1 ke 1" },
		{ "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1" END,
		    "PUT ||/|- 0 - 1" },
		/* the other forms (RFC 9112 3.2.2 to 3.2.4) */
		{ "GET http://x.y:1/z?q HTTP/1.1\r\nHost: other" END,
		    "GET http|x.y:1|/z|q 1 k none" },
		{ "GET HTTPS://[::1] HTTP/1.1\r\nHost: h" END, "GET HTTPS|[::1]|/|- 1 k none" },
		{ "GET http://x?q HTTP/1.1\r\nHost: x" END, "GET http|x|/|q 1 k none" },
		{ "OPTIONS http://x HTTP/1.1\r\nHost: x" END, "OPTIONS http|x|*|- 1 k none" },
		{ "OPTIONS http://x/ HTTP/1.1\r\nHost: x" END, "OPTIONS http|x|/|- 1 k none" },
		{ "OPTIONS * HTTP/1.1\r\nHost: h" END, "OPTIONS |h|*|- 1 k none" },
		{ "CONNECT h:443 HTTP/1.1\r\nHost: h" END, "CONNECT |h:443|| - 1 k none" },
		{ "CONNECT [::1]:1 HTTP/1.1\r\nHost: h" END, "CONNECT |[::1]:1|| - 1 k none" },
		/* what browsers send unescaped (http_chars.c) */
		{ "GET /a[1]|^?{x:`1`|\\} HTTP/1.1\r\nHost: h" END,
		    "GET |h|/a[1]|^|{x:`1`|\\} 1 k none" },
		{ "GET /%41?100% HTTP/1.1\r\nHost: h" END, "GET |h|/%41|100% 1 k none" },
		{ "M-SEARCH /!$&'()*+,;=:@ HTTP/1.1\r\nHost: h" END,
		    "M-SEARCH |h|/!$&'()*+,;=:@|- 1 k none" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		size_t n = strlen(rows[i].text), head_n;
		struct http_head h;
		char got[256], *copy;
		enum http1_status status;

		ck_assert_int_eq(h1_scan(HTTP1_REQUEST, rows[i].text, n, &head_n), HTTP1_OK);
		ck_assert_uint_eq(head_n, n);
		status = h1_parse(HTTP1_REQUEST, rows[i].text, n, &h, &copy);
		ck_assert_msg(status == HTTP1_OK, "%s: %d", rows[i].text, (int)status);
		snprintf(got, sizeof(got), "%.*s %.*s|%.*s|%.*s|%.*s%s %u %s%s %s",
		    SPAN_ARG(h.method), SPAN_ARG(h.scheme), SPAN_ARG(h.authority), SPAN_ARG(h.path),
		    SPAN_ARG(h.query),
		    h.query.p != NULL	? ""
			: h.path.n != 0 ? "-"
					: " -",
		    h.minor, h.keep_alive ? "k" : "-", h.expect_continue ? "e" : "",
		    h1_body_name(&h));
		ck_assert_str_eq(got, rows[i].wanted);
		free(copy);
	}
}
END_TEST

START_TEST(http1_parses_fields_in_order_and_trims_them)
{
	static const char text[] = GET "X-A:1\r\nx-b:  2 3\t\r\nX-A:\r\nX-C: \t \r\n"
				       "!#$%&'*+-.^_`|~09:\x80\xff\tz\r\n\r\nbody";
	static const struct {
		const char *name, *value;
	} wanted[] = { { "Host", "a" }, { "X-A", "1" }, { "x-b", "2 3" }, { "X-A", "" },
		{ "X-C", "" }, { "!#$%&'*+-.^_`|~09", "\x80\xff\tz" } };
	struct http_head h;
	size_t head_n;

	ck_assert_int_eq(h1_scan(HTTP1_REQUEST, text, sizeof(text) - 1, &head_n), HTTP1_OK);
	ck_assert_uint_eq(head_n, sizeof(text) - 1 - 4);
	ck_assert_int_eq(http1_parse_request(text, head_n, &h), HTTP1_OK);
	ck_assert_uint_eq(h.n_fields, UNIT_COUNT(wanted));
	for (size_t i = 0; i < h.n_fields; i++) {
		ck_assert(span_eq(h.field[i].name, span_from_str(wanted[i].name)));
		ck_assert(span_eq(h.field[i].value, span_from_str(wanted[i].value)));
		ck_assert(
		    h.field[i].name.p > text && h.field[i].name.p < text + head_n); /* no copies */
	}
	ck_assert(span_eq(h.target, SPAN_LIT("/")));
}
END_TEST

START_TEST(http1_refuses_ambiguous_framing)
{
	static const struct h1_row rows[] = {
		/* RFC 9112 6.1, 6.3, 11.2; RFC 9110 8.6 */
		{ GET "Content-Length: 5\r\nTransfer-Encoding: chunked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked\r\nContent-Length: 5" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: gzip, chunked\r\nContent-Length: 0" END, HTTP1_BAD },
		{ GET "Content-Length: 5\r\nContent-Length: 6" END, HTTP1_BAD },
		{ GET "Content-Length: 5\r\nContent-Length: 5" END, HTTP1_BAD },
		{ GET "Content-Length: 5\r\ncontent-length: 0" END, HTTP1_BAD },
		{ GET "Content-Length: 5, 5" END, HTTP1_BAD },
		{ GET "Content-Length: 5,6" END, HTTP1_BAD },
		{ GET "Content-Length: +5" END, HTTP1_BAD },
		{ GET "Content-Length: -5" END, HTTP1_BAD },
		{ GET "Content-Length: -0" END, HTTP1_BAD },
		{ GET "Content-Length: 0x5" END, HTTP1_BAD },
		{ GET "Content-Length: 5 5" END, HTTP1_BAD },
		{ GET "Content-Length: 5\t\x0b" END, HTTP1_BAD },
		{ GET "Content-Length: 5.0" END, HTTP1_BAD },
		{ GET "Content-Length: 5e1" END, HTTP1_BAD },
		{ GET "Content-Length: 1_0" END, HTTP1_BAD },
		{ GET "Content-Length: \"5\"" END, HTTP1_BAD },
		{ GET "Content-Length: five" END, HTTP1_BAD },
		{ GET "Content-Length: \xd9\xa5" END, HTTP1_BAD }, /* an Arabic 5 */
		{ GET "Content-Length:" END, HTTP1_BAD },
		{ GET "Content-Length: 9223372036854775808" END, HTTP1_BAD },
		{ GET "Content-Length: 18446744073709551615" END, HTTP1_BAD },
		{ GET "Content-Length: 18446744073709551616" END, HTTP1_BAD },
		{ GET "Content-Length: 18446744073709551621" END, HTTP1_BAD },
		{ GET "Content-Length: 99999999999999999999999999" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: xchunked" END, HTTP1_BAD_CODING },
		{ GET "Transfer-Encoding: chunkedx" END, HTTP1_BAD_CODING },
		{ GET "Transfer-Encoding: gzip" END, HTTP1_BAD_CODING },
		{ GET "Transfer-Encoding: identity" END, HTTP1_BAD_CODING },
		{ GET "Transfer-Encoding: gzip, chunked" END, HTTP1_BAD_CODING },
		{ GET "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked" END,
		    HTTP1_BAD_CODING },
		{ GET "Transfer-Encoding: chunked, gzip" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked, chunked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked, identity" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: ,chunked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked," END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked;q=1" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: \"chunked\"" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: chun ked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: \x0b"
		      "chunked" END,
		    HTTP1_BAD },
		{ GET "Transfer-Encoding: chunked\x80" END, HTTP1_BAD },
		{ GET "Transfer-Encoding:" END, HTTP1_BAD },
		{ GET "Transfer-Encoding: ," END, HTTP1_BAD },
		{ GET "Transfer-Encoding\t: chunked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding : chunked" END, HTTP1_BAD },
		{ GET "Transfer-Encoding:\r\n chunked" END, HTTP1_BAD },
		{ GET "X: y\r\n Transfer-Encoding: chunked" END, HTTP1_BAD },
		{ GET "X: y\nTransfer-Encoding: chunked" END, HTTP1_BAD },
		{ GET "X: y\rTransfer-Encoding: chunked" END, HTTP1_BAD },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked" END, HTTP1_BAD },
		/* these are no framing at all */
		{ GET "Transfer_Encoding: chunked" END, HTTP1_OK },
		{ GET "X-Transfer-Encoding: chunked" END, HTTP1_OK },
		{ GET "Content_Length: 5" END, HTTP1_OK },
	};

	h1_check_rows(HTTP1_REQUEST, rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(http1_refuses_bad_field_lines)
{
	static const struct h1_row rows[] = {
		/* RFC 9112 2.2, 5.1, 5.2; RFC 9110 5.5 */
		{ GET "X : y" END, HTTP1_BAD },
		{ GET "X\t: y" END, HTTP1_BAD },
		{ GET " X: y" END, HTTP1_BAD },
		{ GET "\tX: y" END, HTTP1_BAD },
		{ GET "X: y\r\n z" END, HTTP1_BAD }, /* obs-fold */
		{ GET "X: y\r\n\tz" END, HTTP1_BAD },
		{ GET "X: y\r\n \r\n\r\n", HTTP1_BAD },
		{ "GET / HTTP/1.1\r\n Host: a" END, HTTP1_BAD },
		{ GET "X: y\n" END, HTTP1_BAD }, /* bare LF */
		{ GET "X: y\n\n", HTTP1_BAD },
		{ GET "\n", HTTP1_BAD },
		{ "GET / HTTP/1.1\nHost: a\n\n", HTTP1_BAD },
		{ GET "X: y\rz" END, HTTP1_BAD }, /* bare CR */
		{ GET "X: y\r\r\n\r\n", HTTP1_BAD },
		{ GET "\rX: y" END, HTTP1_BAD },
		{ GET "\r\r\n", HTTP1_BAD },
		{ GET ": y" END, HTTP1_BAD },
		{ GET "X" END, HTTP1_BAD },
		{ GET "X y: z" END, HTTP1_BAD },
		{ GET "X(y): z" END, HTTP1_BAD },
		{ GET "X\x80: z" END, HTTP1_BAD },
		{ GET "\"X\": z" END, HTTP1_BAD },
		{ GET "X: \x01" END, HTTP1_BAD },
		{ GET "X: \x7f" END, HTTP1_BAD },
		{ GET "X: \x1b[1m" END, HTTP1_BAD },
		{ GET "X: y\x0c" END, HTTP1_BAD },
		{ GET "X:: y" END, HTTP1_OK },
	};

	h1_check_rows(HTTP1_REQUEST, rows, UNIT_COUNT(rows));
	h1_check(HTTP1_REQUEST, GET "X: \0" END, sizeof(GET "X: \0" END) - 1, HTTP1_BAD);
	h1_check(HTTP1_REQUEST, GET "X\0: y" END, sizeof(GET "X\0: y" END) - 1, HTTP1_BAD);
	h1_check(
	    HTTP1_REQUEST, "GET /\0 HTTP/1.1" END, sizeof("GET /\0 HTTP/1.1" END) - 1, HTTP1_BAD);
}
END_TEST

START_TEST(http1_refuses_bad_request_lines)
{
	static const struct h1_row rows[] = {
		/* RFC 9112 2.2, 2.3, 3, 3.2 */
		{ "\r\n\r\nGET / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "\nGET / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "\rGET / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ " GET / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET  / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /  HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1.1 \r\nHost: a" END, HTTP1_BAD },
		{ "GET\t/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /\tHTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / x HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /\r\nHost: a" END, HTTP1_BAD }, /* HTTP/0.9 */
		{ "GET\r\nHost: a" END, HTTP1_BAD },
		{ "GET / \r\nHost: a" END, HTTP1_BAD },
		{ "GE(T / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "G\x80T / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ ": / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "\x16\x03\x01 ", HTTP1_BAD }, /* TLS on a plain port */
		{ "GET / http/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1.\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1.10\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/01.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1,1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/a.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTPS/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/0.9\r\nHost: a" END, HTTP1_BAD_VERSION },
		{ "GET / HTTP/1.2\r\nHost: a" END, HTTP1_BAD_VERSION },
		{ "GET / HTTP/2.0\r\nHost: a" END, HTTP1_BAD_VERSION },
		{ "PRI * HTTP/2.0" END, HTTP1_BAD_VERSION },
		/* targets */
		{ "GET a HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET ?a HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET * HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "OPTIONS ** HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "options * HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET a:80 HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /a#b HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /a?b#c HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /<a> HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /a\"b HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /a\\b HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /{a} HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /?{\"x\":1} HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /a?<b HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /\xc3\xa4 HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /\x7f HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /% HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /%4 HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /%4g HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET /%4?1 HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET ftp://a/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET ws://a/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http:/a HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http:// HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http:///a HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http://u@a/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http://a:b/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http://a\\b/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http://a#b HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET http HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "GET https HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "CONNECT a HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "CONNECT a: HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "CONNECT [::1] HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "CONNECT / HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "CONNECT http://a:80/ HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
		{ "CONNECT u@a:80 HTTP/1.1\r\nHost: a" END, HTTP1_BAD },
	};

	h1_check_rows(HTTP1_REQUEST, rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(http1_wants_exactly_one_good_host)
{
	static const struct h1_row rows[] = {
		/* RFC 9112 3.2 */
		{ "GET / HTTP/1.1" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nX-Host: a" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a\r\nhost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1.0\r\nHost: a\r\nHost: a" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost:" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a, b" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a b" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: u@a" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: http://a" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a/b" END, HTTP1_BAD },
		{ "GET / HTTP/1.1\r\nHost: a:b" END, HTTP1_BAD },
		{ "GET / HTTP/1.0\r\nHost: a/b" END, HTTP1_BAD },
		{ "GET http://a/ HTTP/1.1" END, HTTP1_BAD },
		{ "GET http://a/ HTTP/1.1\r\nHost: a/b" END, HTTP1_BAD },
		{ "GET http://a/ HTTP/1.0" END, HTTP1_OK },
	};

	h1_check_rows(HTTP1_REQUEST, rows, UNIT_COUNT(rows));
}
END_TEST

START_TEST(http1_asks_for_more_at_every_cut_of_a_good_head)
{
	static const char request[] = "\r\n" GET "X: y\r\n\r\n";
	static const char response[] = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
	size_t head_n;

	for (size_t n = 0; n < sizeof(request) - 1; n++)
		ck_assert_int_eq(h1_scan(HTTP1_REQUEST, request, n, &head_n), HTTP1_MORE);
	for (size_t n = 0; n < sizeof(response) - 1; n++)
		ck_assert_int_eq(h1_scan(HTTP1_RESPONSE, response, n, &head_n), HTTP1_MORE);
}
END_TEST

/* The last byte of each is the one that no head can have there. */
START_TEST(http1_scan_refuses_at_the_first_bad_byte)
{
	static const char *const requests[] = { "\x16", " ", "\n", "\r\r", "\r\n\r", "G\r", "G\t",
		"G:", "GET \x01", "GET \t", "GET /\r", "GET /\x80", "GET / HTTP/1.1 ", "GET / \x7f",
		"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\r", "GET / HTTP/1.1\r\n ",
		"GET / HTTP/1.1\r\n\t", "GET / HTTP/1.1\r\n:", "GET / HTTP/1.1\r\n\n", GET " ",
		GET "\t", GET ":", GET "X ", GET "X\t", GET "X\r", GET "X\x80", GET "X: \x01",
		GET "X: \n", GET "X: y\r ", GET "\r\r", GET "\r ", GET "X:\r\n " };
	static const char *const responses[] = { "h", "\r", " ", "HTTP/1.1 200 \x01",
		"HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\r\n ", "HTTP/1.1 200 OK\r\nX " };
	size_t head_n;

	for (size_t i = 0; i < UNIT_COUNT(requests) + UNIT_COUNT(responses); i++) {
		bool is_request = i < UNIT_COUNT(requests);
		const char *text = is_request ? requests[i] : responses[i - UNIT_COUNT(requests)];
		enum http1_kind kind = is_request ? HTTP1_REQUEST : HTTP1_RESPONSE;
		size_t n = strlen(text);

		ck_assert_msg(h1_scan(kind, text, n - 1, &head_n) == HTTP1_MORE, "%s", text);
		ck_assert_msg(h1_scan(kind, text, n, &head_n) == HTTP1_BAD, "%s", text);
	}
}
END_TEST

/* Every byte at every place: scan and parser never disagree, and no control gets through. */
START_TEST(http1_scan_and_parser_agree_on_every_single_damage)
{
	static const char good[] = "GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	const size_t n = sizeof(good) - 1;

	for (size_t i = 0; i < n; i++)
		for (unsigned b = 0; b < 256; b++) {
			char text[sizeof(good)];
			enum http1_status status;

			memcpy(text, good, sizeof(good));
			text[i] = (char)b;
			status = h1_verdict(HTTP1_REQUEST, text, n);
			if (text[i] == good[i] ? status != HTTP1_OK
					       : b < 0x20 && b != '\t' && status == HTTP1_OK)
				ck_abort_msg("byte %02x at %zu: %d", b, i, (int)status);
		}
}
END_TEST

START_TEST(http1_says_the_same_when_asked_again)
{
	static const char bad[] = "GET / HTTP/1.1\r\nX y\r\n\r\n", good[] = GET "\r\nnext";
	struct http1_scan s;
	size_t head_n = 0;

	http1_scan_init(&s, HTTP1_REQUEST);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(http1_scan(&s, bad, sizeof(bad) - 1, &head_n), HTTP1_BAD);
	http1_scan_init(&s, HTTP1_REQUEST);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(http1_scan(&s, good, sizeof(good) - 1, &head_n), HTTP1_OK);
		ck_assert_uint_eq(head_n, sizeof(good) - 1 - 4);
	}
}
END_TEST

/* prefix, fill times 'a', suffix: in a static buffer. */
static size_t
h1_long(char *out, const char *prefix, size_t fill, const char *suffix)
{
	size_t n = strlen(prefix);

	memcpy(out, prefix, n);
	memset(out + n, 'a', fill);
	memcpy(out + n + fill, suffix, strlen(suffix));
	return n + fill + strlen(suffix);
}

START_TEST(http1_bounds_the_request_line)
{
	static char text[40000];
	size_t n, fill = HTTP1_MAX_LINE - strlen("GET / HTTP/1.1");

	n = h1_long(text, "GET /", fill, " HTTP/1.1\r\nHost: a" END);
	h1_check(HTTP1_REQUEST, text, n, HTTP1_OK);
	n = h1_long(text, "GET /", fill + 1, " HTTP/1.1\r\nHost: a" END);
	h1_check(HTTP1_REQUEST, text, n, HTTP1_TARGET_TOO_LONG);
	n = h1_long(text, "\r\nGET /", fill, " HTTP/1.1\r\nHost: a" END);
	h1_check(HTTP1_REQUEST, text, n, HTTP1_OK);
	n = h1_long(text, "GET /", HTTP1_MAX_LINE, "");
	h1_check(HTTP1_REQUEST, text, n, HTTP1_TARGET_TOO_LONG);
	n = h1_long(text, "", HTTP1_MAX_LINE, "");
	h1_check(HTTP1_REQUEST, text, n, HTTP1_MORE);
	n = h1_long(text, "", HTTP1_MAX_LINE + 1, "");
	h1_check(HTTP1_REQUEST, text, n, HTTP1_TOO_LARGE);
	n = h1_long(text, "HTTP/1.1 200 ", HTTP1_MAX_LINE - 13, END);
	h1_check(HTTP1_RESPONSE, text, n, HTTP1_OK);
	n = h1_long(text, "HTTP/1.1 200 ", HTTP1_MAX_LINE - 12, END);
	h1_check(HTTP1_RESPONSE, text, n, HTTP1_TOO_LARGE);
}
END_TEST

START_TEST(http1_bounds_the_head)
{
	static char text[40000];
	size_t n, fill = HTTP1_MAX_HEAD - strlen(GET "X: " END);

	n = h1_long(text, GET "X: ", fill, END);
	h1_check(HTTP1_REQUEST, text, n, HTTP1_OK);
	n = h1_long(text, GET "X: ", fill, END "and a body");
	h1_check(HTTP1_REQUEST, text, n, HTTP1_OK);
	n = h1_long(text, GET "X: ", fill + 1, END);
	h1_check(HTTP1_REQUEST, text, n, HTTP1_TOO_LARGE);
	n = h1_long(text, GET "X", HTTP1_MAX_HEAD, "");
	h1_check(HTTP1_REQUEST, text, n, HTTP1_TOO_LARGE);
}
END_TEST

START_TEST(http1_bounds_the_number_of_fields)
{
	for (size_t fields = HTTP1_MAX_FIELDS - 1; fields <= HTTP1_MAX_FIELDS + 1; fields++) {
		char text[1000] = "GET / HTTP/1.1\r\nHost: a\r\n";
		struct http_head h;

		for (size_t i = 1; i < fields; i++)
			strcat(text, "a:b\r\n");
		strcat(text, "\r\n");
		h1_check(HTTP1_REQUEST, text, strlen(text),
		    fields <= HTTP1_MAX_FIELDS ? HTTP1_OK : HTTP1_TOO_LARGE);
		ck_assert_int_eq(http1_parse_request(text, strlen(text), &h),
		    fields <= HTTP1_MAX_FIELDS ? HTTP1_OK : HTTP1_TOO_LARGE);
	}
}
END_TEST

START_TEST(http1_parses_responses)
{
	static const struct {
		const char *text, *wanted; /* status "reason" minor keep-alive body */
	} rows[] = {
		{ "HTTP/1.1 200 OK" END, "200 \"OK\" 1 k eof" },
		{ "HTTP/1.1 200 " END, "200 \"\" 1 k eof" },
		{ "HTTP/1.1 200" END, "200 \"\" 1 k eof" },
		{ "HTTP/1.1 404 Not \t\xe4 Found" END, "404 \"Not \t\xe4 Found\" 1 k eof" },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3" END, "200 \"OK\" 0 - 3" },
		{ "HTTP/1.0 200 OK\r\nConnection: keep-alive" END, "200 \"OK\" 0 k eof" },
		{ "HTTP/1.1 599 x\r\nConnection: close\r\nTransfer-Encoding: chunked" END,
		    "599 \"x\" 1 - chunked" },
		{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		  "Connection: Upgrade" END,
		    "101 \"Switching Protocols\" 1 k eof" },
		{ "HTTP/1.1 100  two" END, "100 \" two\" 1 k eof" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		size_t n = strlen(rows[i].text), head_n;
		struct http_head h;
		char got[128], *copy;
		enum http1_status status;

		ck_assert_int_eq(h1_scan(HTTP1_RESPONSE, rows[i].text, n, &head_n), HTTP1_OK);
		ck_assert_uint_eq(head_n, n);
		status = h1_parse(HTTP1_RESPONSE, rows[i].text, n, &h, &copy);
		ck_assert_msg(status == HTTP1_OK, "%s: %d", rows[i].text, (int)status);
		snprintf(got, sizeof(got), "%u \"%.*s\" %u %s %s", h.status, SPAN_ARG(h.reason),
		    h.minor, h.keep_alive ? "k" : "-", h1_body_name(&h));
		ck_assert_str_eq(got, rows[i].wanted);
		free(copy);
	}
}
END_TEST

START_TEST(http1_refuses_bad_responses)
{
	static const struct h1_row rows[] = {
		/* RFC 9112 4, 5, 6 */
		{ "\r\nHTTP/1.1 200 OK" END, HTTP1_BAD },
		{ "http/1.1 200 OK" END, HTTP1_BAD },
		{ "SSH-2.0-x\r\n", HTTP1_BAD },
		{ "HTTP/1.1" END, HTTP1_BAD },
		{ "HTTP/1.1 " END, HTTP1_BAD },
		{ "HTTP/1.1 20" END, HTTP1_BAD },
		{ "HTTP/1.1  200 OK" END, HTTP1_BAD },
		{ "HTTP/1.1\t200 OK" END, HTTP1_BAD },
		{ "HTTP/1.1 2000 OK" END, HTTP1_BAD },
		{ "HTTP/1.1 200OK" END, HTTP1_BAD },
		{ "HTTP/1.1 099 x" END, HTTP1_BAD },
		{ "HTTP/1.1 600 x" END, HTTP1_BAD },
		{ "HTTP/1.1 999 x" END, HTTP1_BAD },
		{ "HTTP/1.1 2a0 x" END, HTTP1_BAD },
		{ "HTTP/1.1 -20 x" END, HTTP1_BAD },
		{ "HTTP/1.1 200 a\x01" END, HTTP1_BAD },
		{ "HTTP/1.1 200 a\rb" END, HTTP1_BAD },
		{ "HTTP/1.1 200 OK\n\n", HTTP1_BAD },
		{ "HTTP/2.0 200 OK" END, HTTP1_BAD_VERSION },
		{ "HTTP/1.2 200 OK" END, HTTP1_BAD_VERSION },
		{ "HTTP/1.1 200 OK\r\nX: y\r\n z" END, HTTP1_BAD },
		{ "HTTP/1.1 200 OK\r\nX : y" END, HTTP1_BAD },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2" END, HTTP1_BAD },
		{ "HTTP/1.1 200 OK\r\nContent-Length: +1" END, HTTP1_BAD },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked" END,
		    HTTP1_BAD },
		{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked" END, HTTP1_BAD },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip" END, HTTP1_BAD_CODING },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked" END, HTTP1_BAD },
	};

	h1_check_rows(HTTP1_RESPONSE, rows, UNIT_COUNT(rows));
}
END_TEST

/* No cut of a head, and nothing behind one, is taken for a head by the parser. */
START_TEST(http1_parser_wants_the_whole_head_and_no_more)
{
	static const char good[] = GET "Content-Length: 1\r\n\r\nx";
	const size_t n = sizeof(good) - 2;
	struct http_head h;
	char *copy;

	for (size_t i = 0; i <= n + 1; i++) {
		enum http1_status status = h1_parse(HTTP1_REQUEST, good, i, &h, &copy);

		ck_assert_int_eq(status, i == n ? HTTP1_OK : HTTP1_BAD);
		free(copy);
	}
	ck_assert_int_eq(http1_parse_request(NULL, 0, &h), HTTP1_BAD);
	ck_assert_int_eq(http1_parse_response(NULL, 0, &h), HTTP1_BAD);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		http1_parses_requests,
		http1_parses_fields_in_order_and_trims_them,
		http1_refuses_ambiguous_framing,
		http1_refuses_bad_field_lines,
		http1_refuses_bad_request_lines,
		http1_wants_exactly_one_good_host,
		http1_asks_for_more_at_every_cut_of_a_good_head,
		http1_scan_refuses_at_the_first_bad_byte,
		http1_scan_and_parser_agree_on_every_single_damage,
		http1_says_the_same_when_asked_again,
		http1_bounds_the_request_line,
		http1_bounds_the_head,
		http1_bounds_the_number_of_fields,
		http1_parses_responses,
		http1_refuses_bad_responses,
		http1_parser_wants_the_whole_head_and_no_more,
	};

	return unit_run("http1", cases, UNIT_COUNT(cases));
}
