/* Unit tests of src/codec/proxy_header.[ch]. */
#include <arpa/inet.h>

#include <stdio.h>

#include "codec/proxy_header.h"
#include "unit.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define HEADER(s) s, sizeof(s) - 1
#define A4 "\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x01\xbb"
#define A6                                           \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x01\xbb"
#define X16 "xxxxxxxxxxxxxxxx"
#define X216 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 "xxxxxxxx"

static void
show(const union proxy_address *a, char *out, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	out[0] = '\0';
	if (a->sa.sa_family == AF_UNSPEC)
		return;
	if (a->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof(ip));
	snprintf(out, size, "%s %u", ip,
	    ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port));
}

static enum proxy_header_status
feed_two(
    const uint8_t *p, size_t n, size_t at, size_t *used, struct proxy_header *h, const char **why)
{
	enum proxy_header_status st;
	struct proxy_reader r;
	size_t more;

	proxy_reader_init(&r);
	st = proxy_reader_feed(&r, p, at, used, h);
	if (st == PROXY_HEADER_MORE) {
		ck_assert_uint_eq(*used, at);
		st = proxy_reader_feed(&r, p + at, n - at, &more, h);
		*used += more;
	}
	*why = r.why;
	return st;
}

static const struct {
	const char *text;
	size_t n;
	const char *src, *dst;
} good[] = {
	{ HEADER("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"), "192.0.2.7 4711", "10.0.0.1 443" },
	{ HEADER("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"), "0.0.0.0 0",
	    "255.255.255.255 65535" },
	{ HEADER("PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), "2001:db8::7 1", "::1 2" },
	{ HEADER("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535",
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535" },
	{ HEADER("PROXY UNKNOWN\r\n"), "", "" },
	{ HEADER("PROXY UNKNOWN  any thing \t\r\n"), "", "" },
	{ HEADER("PROXY UNKNOWN " X16 X16 X16 X16 X16 "xxxxxxxxxxx\r\n"), "", "" }, /* 107 bytes */
	{ HEADER(SIG "\x21\x11\x00\x0c" A4), "192.0.2.7 4711", "10.0.0.1 443" },
	{ HEADER(SIG "\x21\x11\x00\x14" A4 "\x01\x00\x02h2\x04\x00\x00"), "192.0.2.7 4711",
	    "10.0.0.1 443" },
	{ HEADER(SIG "\x21\x21\x00\x24" A6), "2001:db8::7 4711", "::1 443" },
	{ HEADER(SIG "\x20\x00\x00\x00"), "", "" },
	{ HEADER(SIG "\x20\x11\x00\x0c" A4), "", "" }, /* LOCAL */
	{ HEADER(SIG "\x20\xee\x00\x03xyz"), "", "" },
	{ HEADER(SIG "\x21\x00\x00\x00"), "", "" },
	{ HEADER(SIG "\x21\x00\x00\x03xyz"), "", "" },
	{ HEADER(SIG "\x21\x12\x00\x0c" A4), "", "" }, /* UDP */
	{ HEADER(SIG "\x21\x31\x00\xdb" X216 "\x04\x00\x00"), "", "" },
};

START_TEST(proxy_header_is_read_in_any_split)
{
	char src[80], dst[80];
	uint8_t data[400];
	struct proxy_header h;
	const char *why;
	size_t used;

	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		for (size_t at = 0; at <= good[i].n; at++) {
			memcpy(data, good[i].text, good[i].n);
			memcpy(data + good[i].n, "\r\nPROXY ", 8);
			ck_assert_msg(
			    feed_two(data, good[i].n + 8, at, &used, &h, &why) == PROXY_HEADER_DONE,
			    "row %zu at %zu: %s", i, at, why);
			ck_assert_uint_eq(used, good[i].n);
			show(&h.src, src, sizeof(src));
			show(&h.dst, dst, sizeof(dst));
			ck_assert_str_eq(src, good[i].src);
			ck_assert_str_eq(dst, good[i].dst);
			/* What is not complete is not bad. */
			if (at < good[i].n)
				ck_assert_int_eq(
				    feed_two(data, at, at, &used, &h, &why), PROXY_HEADER_MORE);
		}
}
END_TEST

static const struct {
	const char *text;
	size_t n;
	const char *why;
} bad[] = {
	{ HEADER("GET / HTTP/1.1\r\n"), "there is none" },
	{ HEADER("\x16\x03\x01"), "there is none" },
	{ HEADER("\r\n\r\nx"), "there is none" },
	{ HEADER("PROXY\r\n"), "there is none" },
	{ HEADER("proxy UNKNOWN\r\n"), "there is none" },
	{ HEADER("PROXY \r\n"), "its protocol is missing" },
	{ HEADER("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "its protocol is missing" },
	{ HEADER("PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n"),
	    "its protocol is none of TCP4, TCP6 and UNKNOWN" },
	{ HEADER("PROXY UNKNOWN2\r\n"), "its protocol is none of TCP4, TCP6 and UNKNOWN" },
	{ HEADER("PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n"),
	    "its protocol is none of TCP4, TCP6 and UNKNOWN" },
	{ HEADER("PROXY TCP4\r\n"), "it has not two addresses and two ports" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n"), "it has not two addresses and two ports" },
	{ HEADER("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n"), "it has not two addresses and two ports" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n"), "a port is no number from 0 to 65535" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n"), "a port is no number from 0 to 65535" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n"), "a port is no number from 0 to 65535" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n"), "a port is no number from 0 to 65535" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n"), "a port is no number from 0 to 65535" },
	{ HEADER("PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n"), "its addresses are not of its protocol" },
	{ HEADER("PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n"), "its addresses are not of its protocol" },
	{ HEADER("PROXY TCP4 ::1 ::1 1 2\r\n"), "its addresses are not of its protocol" },
	{ HEADER("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n"), "its addresses are not of its protocol" },
	{ HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"), "a CR or LF that is not the line's end" },
	{ HEADER("PROXY UNKNOWN\rx"), "a CR or LF that is not the line's end" },
	{ HEADER("PROXY UNKNOWN " X16 X16 X16 X16 X16 X16), "its line is longer than 107 bytes" },
	{ HEADER(SIG "\x11\x11\x00\x0c" A4), "its version or command is unknown" },
	{ HEADER(SIG "\x22\x11\x00\x0c" A4), "its version or command is unknown" },
	{ HEADER(SIG "\x21\x01\x00\x00"), "its family or transport is unknown" },
	{ HEADER(SIG "\x21\x10\x00\x0c" A4), "its family or transport is unknown" },
	{ HEADER(SIG "\x21\x13\x00\x0c" A4), "its family or transport is unknown" },
	{ HEADER(SIG "\x21\x41\x00\x00"), "its family or transport is unknown" },
	{ HEADER(SIG "\x21\x11\x00\x0b" A4), "its addresses are cut short" },
	{ HEADER(SIG "\x21\x21\x00\x0c" A4), "its addresses are cut short" },
	{ HEADER(SIG "\x21\x31\x00\x0c" A4), "its addresses are cut short" },
	{ HEADER(SIG "\x21\x11\x08\x01"), "it is too long" },
	{ HEADER(SIG "\x20\x00\xff\xff"), "it is too long" },
	{ HEADER(SIG "\x21\x11\x00\x0d" A4 "\x01"), "a TLV is cut short" },
	{ HEADER(SIG "\x21\x11\x00\x0e" A4 "\x01\x00"), "a TLV is cut short" },
	{ HEADER(SIG "\x21\x11\x00\x0f" A4 "\x01\x00\x01"), "a TLV is cut short" },
	{ HEADER(SIG "\x21\x11\x00\x11" A4 "\x01\x01\x02h2"), "a TLV is cut short" },
};

START_TEST(proxy_header_refuses_bad_ones)
{
	struct proxy_header h;
	const char *why;
	size_t used;

	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		for (size_t at = 0; at <= bad[i].n; at++) {
			ck_assert_msg(feed_two((const uint8_t *)bad[i].text, bad[i].n, at, &used,
					  &h, &why) == PROXY_HEADER_BAD,
			    "row %zu at %zu", i, at);
			ck_assert_str_eq(why, bad[i].why);
		}
}
END_TEST

static union proxy_address
address(const char *ip, uint16_t port)
{
	union proxy_address a;

	memset(&a, 0, sizeof(a));
	if (inet_pton(AF_INET, ip, &a.in.sin_addr) == 1) {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, ip, &a.in6.sin6_addr) == 1) {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons(port);
	} else {
		a.sa.sa_family = AF_UNIX;
	}
	return a;
}

START_TEST(proxy_header_says_what_it_is_told)
{
	static const struct {
		const char *src, *dst, *line;
	} rows[] = {
		{ "192.0.2.7", "10.0.0.1", "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n" },
		{ "2001:db8::7", "::1", "PROXY TCP6 2001:db8::7 ::1 4711 443\r\n" },
		{ "::ffff:192.0.2.7", "::ffff:10.0.0.1",
		    "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n" },
		{ "2001:db8::7", "10.0.0.1",
		    "PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 4711 443\r\n" },
		{ "192.0.2.7", "::1", "PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n" },
		{ "192.0.2.7", "unix", "PROXY TCP4 192.0.2.7 0.0.0.0 4711 0\r\n" },
		{ "2001:db8::7", "unix", "PROXY TCP6 2001:db8::7 :: 4711 0\r\n" },
		{ "unix", "10.0.0.1", "PROXY UNKNOWN\r\n" },
	};
	uint8_t one[PROXY_HEADER_BUILD_MAX], two[PROXY_HEADER_BUILD_MAX];
	struct proxy_header a, b;
	const char *why;
	size_t n, used;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		union proxy_address src = address(rows[i].src, 4711);
		union proxy_address dst = address(rows[i].dst, 443);
		struct proxy_facts f = { .src = &src.sa,
			.dst = &dst.sa,
			.tls = "TLSv1.3",
			.alpn = "h2",
			.authority = SPAN_LIT("host.example") };

		n = proxy_header_build_v1(&f, one);
		ck_assert_uint_eq(n, strlen(rows[i].line));
		ck_assert_mem_eq(one, rows[i].line, n);
		ck_assert_int_eq(feed_two(one, n, 0, &used, &a, &why), PROXY_HEADER_DONE);
		n = proxy_header_build_v2(&f, two);
		ck_assert_int_eq(feed_two(two, n, 0, &used, &b, &why), PROXY_HEADER_DONE);
		ck_assert_uint_eq(used, n);
		ck_assert_mem_eq(&a, &b, sizeof(a));
	}
}
END_TEST

START_TEST(proxy_header_v2_has_tlvs)
{
	static const char wanted[] = SIG "\x21\x11\x00\x32" A4 "\x01\x00\x02h2"
					 "\x02\x00\x0chost.example"
					 "\x20\x00\x0f\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3";
	union proxy_address src = address("192.0.2.7", 4711), dst = address("10.0.0.1", 443);
	struct proxy_facts f = { .src = &src.sa,
		.dst = &dst.sa,
		.tls = "TLSv1.3",
		.alpn = "h2",
		.authority = SPAN_LIT("host.example") };
	uint8_t out[PROXY_HEADER_BUILD_MAX];
	char host[300];

	ck_assert_uint_eq(proxy_header_build_v2(&f, out), sizeof(wanted) - 1);
	ck_assert_mem_eq(out, wanted, sizeof(wanted) - 1);
	/* No host has so many bytes: nothing is said, rather than a part. */
	memset(host, 'a', sizeof(host));
	f.authority = (struct span){ host, sizeof(host) };
	ck_assert_uint_eq(proxy_header_build_v2(&f, out), sizeof(wanted) - 1 - 15);
	f = (struct proxy_facts){ .src = NULL };
	ck_assert_uint_eq(proxy_header_build_v2(&f, out), PROXY_HEADER_V2_FIXED);
	ck_assert_mem_eq(out, SIG "\x20\0\0\0", PROXY_HEADER_V2_FIXED);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		proxy_header_is_read_in_any_split,
		proxy_header_refuses_bad_ones,
		proxy_header_says_what_it_is_told,
		proxy_header_v2_has_tlvs,
	};

	return unit_run("proxy_header", cases, UNIT_COUNT(cases));
}
