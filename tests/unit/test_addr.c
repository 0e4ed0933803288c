/* Unit tests of src/base/addr.[ch]. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "unit.h"

static struct addr
addr_take(const char *text)
{
	const char *why = NULL;
	struct addr a;

	if (addr_parse(span_from_str(text), &a, &why) == -1)
		ck_abort_msg("\"%s\" is refused: %s", text, why);
	return a;
}

static void
addr_refuse(const char *text, const char *reason)
{
	const char *why = NULL;
	struct addr a;

	ck_assert_msg(addr_parse(span_from_str(text), &a, &why) == -1, "\"%s\" is taken", text);
	ck_assert_ptr_nonnull(why);
	ck_assert_str_eq(why, reason);
}

/* A sockaddr of an IP address in text. */
static struct sockaddr_storage
addr_sa(const char *ip, uint16_t port)
{
	struct sockaddr_storage ss;
	struct sockaddr_in *sin = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&ss;

	memset(&ss, 0, sizeof(ss));
	if (inet_pton(AF_INET, ip, &sin->sin_addr) == 1) {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, ip, &sin6->sin6_addr), 1);
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
	}
	return ss;
}

START_TEST(addr_parse_takes_ipv4)
{
	struct addr a = addr_take("192.0.2.1:8080");
	struct sockaddr_storage want = addr_sa("192.0.2.1", 8080);

	ck_assert_int_eq(a.kind, ADDR_IP);
	ck_assert_uint_eq(a.port, 8080);
	ck_assert_uint_eq(a.sa_len, sizeof(struct sockaddr_in));
	ck_assert_mem_eq(&a.u.sa, &want, sizeof(struct sockaddr_in));
}
END_TEST

START_TEST(addr_parse_takes_ipv6_in_brackets)
{
	struct addr a = addr_take("[2001:db8::1]:443");
	struct sockaddr_storage want = addr_sa("2001:db8::1", 443);

	ck_assert_int_eq(a.kind, ADDR_IP);
	ck_assert_uint_eq(a.port, 443);
	ck_assert_uint_eq(a.sa_len, sizeof(struct sockaddr_in6));
	ck_assert_mem_eq(&a.u.sa, &want, sizeof(struct sockaddr_in6));
}
END_TEST

START_TEST(addr_parse_takes_any_and_names)
{
	struct addr a = addr_take("*:0");

	ck_assert_int_eq(a.kind, ADDR_ANY);
	ck_assert_uint_eq(a.port, 0);
	a = addr_take("localhost:80");
	ck_assert_int_eq(a.kind, ADDR_NAME);
	ck_assert_str_eq(a.name, "localhost");
	ck_assert_uint_eq(a.port, 80);
	a = addr_take("a-b_c.1x.example.:65535");
	ck_assert_int_eq(a.kind, ADDR_NAME);
	ck_assert_str_eq(a.name, "a-b_c.1x.example.");
	ck_assert_uint_eq(a.port, 65535);
}
END_TEST

START_TEST(addr_parse_takes_unix_paths)
{
	struct addr a = addr_take("unix:/run/x.sock");

	ck_assert_int_eq(a.kind, ADDR_UNIX);
	ck_assert_str_eq(a.name, "/run/x.sock");
	ck_assert_int_eq(a.u.un.sun_family, AF_UNIX);
	ck_assert_str_eq(a.u.un.sun_path, "/run/x.sock");
	ck_assert_uint_eq(
	    a.sa_len, offsetof(struct sockaddr_un, sun_path) + strlen("/run/x.sock") + 1);
	a = addr_take("unix:x");
	ck_assert_str_eq(a.u.un.sun_path, "x");
}
END_TEST

START_TEST(addr_parse_takes_abstract_names)
{
	struct addr a = addr_take("unix:@name");

	ck_assert_int_eq(a.kind, ADDR_UNIX);
	ck_assert_str_eq(a.name, "@name");
	ck_assert_uint_eq(a.sa_len, offsetof(struct sockaddr_un, sun_path) + 5);
	ck_assert_mem_eq(a.u.un.sun_path, "\0name", 6);
}
END_TEST

START_TEST(addr_parse_takes_paths_up_to_107_bytes)
{
	char text[200] = "unix:";

	memset(text + 5, 'p', 107);
	ck_assert_uint_eq(addr_take(text).sa_len, sizeof(struct sockaddr_un));
	text[5] = '@';
	ck_assert_uint_eq(addr_take(text).sa_len, sizeof(struct sockaddr_un) - 1);
	text[5 + 107] = 'p';
	addr_refuse(text, "path is longer than 107 bytes");
	text[5] = 'p';
	addr_refuse(text, "path is longer than 107 bytes");
}
END_TEST

START_TEST(addr_parse_takes_systemd_names)
{
	struct addr a = addr_take("systemd:wsrelayd-http.socket");
	char text[300] = "systemd:";

	ck_assert_int_eq(a.kind, ADDR_SYSTEMD);
	ck_assert_str_eq(a.name, "wsrelayd-http.socket");
	ck_assert_uint_eq(a.sa_len, 0);
	memset(text + 8, 'n', 255);
	ck_assert_uint_eq(strlen(addr_take(text).name), 255);
	text[8 + 255] = 'n';
	addr_refuse(text, "systemd socket name is longer than 255 bytes");
	addr_refuse("systemd:", "systemd socket name is empty");
	addr_refuse("systemd:a:b", "systemd socket name has a character that is not allowed");
}
END_TEST

START_TEST(addr_parse_says_what_is_wrong)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "address is empty" },
		{ "8080", "port is missing" },
		{ "localhost", "port is missing" },
		{ "localhost:", "port is missing" },
		{ "[::1]", "port is missing" },
		{ "[::1]:", "port is missing" },
		{ "[::1", "']' is missing" },
		{ "[::1]80", "':' is missing after ']'" },
		{ "[]:80", "not an IPv6 address" },
		{ "[1.2.3.4]:80", "not an IPv6 address" },
		{ "[fe80::1%eth0]:80", "not an IPv6 address" },
		{ "[::1::]:80", "not an IPv6 address" },
		{ "::1:80", "IPv6 address must be in brackets" },
		{ "2001:db8::1:443", "IPv6 address must be in brackets" },
		{ ":80", "host is missing" },
		{ "*", "port is missing" },
		{ "unix:", "path is empty" },
		{ "unix:@", "abstract name is empty" },
		{ "unix:/a\nb", "path has a control character" },
		{ "256.1.1.1:80", "not an IPv4 address" },
		{ "1.2.3:80", "not an IPv4 address" },
		{ "127.1:80", "not an IPv4 address" },
		{ "1.2.3.4.:80", "not an IPv4 address" },
		{ "1.2.3.4.5:80", "not an IPv4 address" },
		{ "80:80", "not an IPv4 address" },
		{ "example.1:80", "not an IPv4 address" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		addr_refuse(rows[i].text, rows[i].why);
	addr_refuse("http://example.org:80", "IPv6 address must be in brackets");
}
END_TEST

START_TEST(addr_parse_refuses_bad_ports)
{
	static const char *const texts[] = { "h:65536", "h:-1", "h:+1", "h: 1", "h:1 ", "h:0x1",
		"h:http", "h:000080", "h:4294967376", "*:x", "[::1]:x", "1.2.3.4:99999" };

	for (size_t i = 0; i < UNIT_COUNT(texts); i++)
		addr_refuse(texts[i], "port is not a number from 0 to 65535");
}
END_TEST

START_TEST(addr_parse_refuses_bad_host_names)
{
	static const char *const texts[] = { " h:1", "h :1", "a..b:1", ".a:1", ".:1", "..:1",
		"a..:1", "-a:1", "a-:1", "a.-b:1", "a-.b:1", "a/b:1", "a@b:1", "**:1", "*.a:1",
		"\xc3\xa4:1" };

	for (size_t i = 0; i < UNIT_COUNT(texts); i++)
		addr_refuse(texts[i], "host name is not valid");
}
END_TEST

START_TEST(addr_parse_bounds_host_names_and_labels)
{
	char text[300];

	memset(text, 'a', sizeof(text));
	for (size_t i = 63; i < 253; i += 64)
		text[i] = '.';
	memcpy(text + 253, ":80", 4);
	ck_assert_uint_eq(strlen(addr_take(text).name), 253);
	text[253] = 'a';
	memcpy(text + 254, ":80", 4);
	addr_refuse(text, "host name is longer than 253 bytes");
	memset(text, 'a', 64);
	memcpy(text + 63, ":80", 4);
	addr_take(text);
	memcpy(text + 63, "a:80", 5);
	addr_refuse(text, "host name is not valid");
}
END_TEST

START_TEST(addr_parse_refuses_nul_bytes)
{
	const char *why;
	struct addr a;

	ck_assert_int_eq(addr_parse(SPAN_LIT("unix:/a\0b"), &a, &why), -1);
	ck_assert_int_eq(addr_parse(SPAN_LIT("unix:@\0b"), &a, &why), -1);
	ck_assert_int_eq(addr_parse(SPAN_LIT("systemd:a\0b"), &a, &why), -1);
	ck_assert_int_eq(addr_parse(SPAN_LIT("a\0b:80"), &a, &why), -1);
	ck_assert_int_eq(addr_parse(SPAN_LIT("[::1\0]:80"), &a, &why), -1);
	ck_assert_int_eq(addr_parse(SPAN_LIT("a:80\0"), &a, &why), -1);
	ck_assert_int_eq(addr_parse(SPAN_NONE, &a, &why), -1);
}
END_TEST

/* From memory of exactly that size, so that a sanitizer sees a read past it. */
START_TEST(addr_parse_stays_inside_the_span)
{
	static const char *const texts[] = { "unix:/run/x", "unix:@x", "systemd:x",
		"[2001:db8::1]:80", "192.0.2.1:80", "*:80", "a.example.:80" };
	const char *why;
	struct addr a;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
		for (size_t n = 1; n <= strlen(texts[i]); n++) {
			char *copy = malloc(n);

			memcpy(copy, texts[i], n);
			why = NULL;
			if (addr_parse((struct span){ copy, n }, &a, &why) == -1)
				ck_assert_ptr_nonnull(why);
			else
				ck_assert_ptr_null(why);
			free(copy);
		}
	}
}
END_TEST

START_TEST(addr_format_gives_the_text_again)
{
	static const struct {
		const char *text, *normal;
	} rows[] = {
		{ "192.0.2.1:8080", "192.0.2.1:8080" },
		{ "192.0.2.1:00080", "192.0.2.1:80" },
		{ "[2001:DB8:0:0::1]:443", "[2001:db8::1]:443" },
		{ "[::]:0", "[::]:0" },
		{ "[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1" },
		{ "*:80", "*:80" },
		{ "Example.org:80", "Example.org:80" },
		{ "unix:/run/x y", "unix:/run/x y" },
		{ "unix:@name", "unix:@name" },
		{ "systemd:http", "systemd:http" },
	};
	struct addr a, b;
	char out[300];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		a = addr_take(rows[i].text);
		ck_assert_ptr_eq(addr_format(&a, out, sizeof(out)), out);
		ck_assert_str_eq(out, rows[i].normal);
		b = addr_take(out);
		ck_assert(addr_eq(&a, &b));
	}
}
END_TEST

START_TEST(addr_eq_tells_all_kinds_apart)
{
	static const char *const texts[] = { "192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:80",
		"[::1]:80", "[::2]:80", "[::1]:81", "*:80", "*:81", "a:80", "a:81", "b:80",
		"unix:a", "unix:@a", "unix:b", "systemd:a", "systemd:b", "[::ffff:192.0.2.1]:80" };
	struct addr a, b;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
		for (size_t j = 0; j < UNIT_COUNT(texts); j++) {
			a = addr_take(texts[i]);
			b = addr_take(texts[j]);
			ck_assert_msg(addr_eq(&a, &b) == (i == j), "%s %s", texts[i], texts[j]);
		}
	}
	a = addr_take("Example.ORG:80");
	b = addr_take("example.org:80");
	ck_assert(addr_eq(&a, &b));
	a = addr_take("unix:A");
	b = addr_take("unix:a");
	ck_assert(!addr_eq(&a, &b));
}
END_TEST

static void
addr_expect_sa(const char *ip, const char *with_port, const char *without)
{
	struct sockaddr_storage ss = addr_sa(ip, 4711);
	const struct sockaddr *sa = (const struct sockaddr *)&ss;
	char out[ADDR_SA_TEXT];

	ck_assert_str_eq(addr_format_sa(sa, sizeof(ss), true, out, sizeof(out)), with_port);
	ck_assert_str_eq(addr_format_sa(sa, sizeof(ss), false, out, sizeof(out)), without);
}

START_TEST(addr_format_sa_shows_peers)
{
	addr_expect_sa("192.0.2.1", "192.0.2.1:4711", "192.0.2.1");
	addr_expect_sa("2001:db8::1", "[2001:db8::1]:4711", "2001:db8::1");
	addr_expect_sa("::ffff:192.0.2.1", "192.0.2.1:4711", "192.0.2.1");
	addr_expect_sa("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:4711",
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}
END_TEST

START_TEST(addr_format_sa_shows_unix_and_unknown)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_storage ss = addr_sa("192.0.2.1", 1);
	const struct sockaddr *sa = (const struct sockaddr *)&un;
	char out[ADDR_SA_TEXT];

	/* As accept(2) tells of a client that is not bound. */
	addr_format_sa(sa, sizeof(sa_family_t), true, out, sizeof(out));
	ck_assert_str_eq(out, "unix:");
	addr_format_sa(NULL, 0, true, out, sizeof(out));
	ck_assert_str_eq(out, "unknown");
	addr_format_sa(sa, 0, true, out, sizeof(out));
	ck_assert_str_eq(out, "unknown");
	un.sun_family = AF_PACKET;
	addr_format_sa(sa, sizeof(un), true, out, sizeof(out));
	ck_assert_str_eq(out, "unknown");
	addr_format_sa(
	    (struct sockaddr *)&ss, sizeof(struct sockaddr_in) - 1, true, out, sizeof(out));
	ck_assert_str_eq(out, "unknown");
}
END_TEST

static bool
addr_in(const char *block, const char *ip)
{
	struct sockaddr_storage ss = addr_sa(ip, 1);
	struct addr_cidr c;

	ck_assert_msg(addr_cidr_parse(span_from_str(block), &c) == 0, "%s is refused", block);
	return addr_cidr_has(&c, (struct sockaddr *)&ss);
}

START_TEST(addr_cidr_has_compares_the_masked_bits)
{
	ck_assert(addr_in("192.0.2.0/24", "192.0.2.255"));
	ck_assert(!addr_in("192.0.2.0/24", "192.0.3.0"));
	ck_assert(addr_in("192.0.2.77/24", "192.0.2.1"));
	ck_assert(addr_in("10.0.0.0/9", "10.127.255.255"));
	ck_assert(!addr_in("10.0.0.0/9", "10.128.0.0"));
	ck_assert(addr_in("0.0.0.0/0", "255.1.2.3"));
	ck_assert(addr_in("192.0.2.1/31", "192.0.2.0"));
	ck_assert(!addr_in("192.0.2.1/32", "192.0.2.0"));
	ck_assert(addr_in("192.0.2.1", "192.0.2.1"));
	ck_assert(!addr_in("192.0.2.1", "192.0.2.0"));
	ck_assert(addr_in("2001:db8::/32", "2001:db8:ffff::1"));
	ck_assert(!addr_in("2001:db8::/32", "2001:db9::"));
	ck_assert(addr_in("2001:db8:8000::/33", "2001:db8:ffff::1"));
	ck_assert(!addr_in("2001:db8:8000::/33", "2001:db8:7fff::1"));
	ck_assert(addr_in("::1", "::1"));
	ck_assert(!addr_in("::1", "::2"));
	ck_assert(addr_in("::/0", "2001:db8::1"));
}
END_TEST

START_TEST(addr_cidr_keeps_families_apart)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct addr_cidr c;

	ck_assert(addr_in("192.0.2.0/24", "::ffff:192.0.2.1"));
	ck_assert(addr_in("::ffff:192.0.2.0/120", "192.0.2.1"));
	ck_assert(addr_in("::ffff:0:0/96", "192.0.2.1"));
	ck_assert(!addr_in("0.0.0.0/0", "2001:db8::1"));
	ck_assert(!addr_in("::/0", "192.0.2.1"));
	ck_assert(!addr_in("::/80", "::ffff:192.0.2.1"));
	ck_assert_int_eq(addr_cidr_parse(SPAN_LIT("::/0"), &c), 0);
	ck_assert(!addr_cidr_has(&c, (struct sockaddr *)&un));
}
END_TEST

START_TEST(addr_cidr_agrees_with_bits_compared_one_by_one)
{
	uint8_t a[16], b[16];
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct addr_cidr c;
	char text[80], ip[INET6_ADDRSTRLEN];
	unsigned int same;

	for (unsigned int flip = 0; flip < 128; flip++) {
		for (size_t i = 0; i < 16; i++)
			a[i] = b[i] = (uint8_t)(0x5b * (i + 1));
		b[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
		inet_ntop(AF_INET6, a, ip, sizeof(ip));
		memcpy(&sin6.sin6_addr, b, 16);
		for (unsigned int bits = 0; bits <= 128; bits++) {
			snprintf(text, sizeof(text), "%s/%u", ip, bits);
			same = addr_cidr_parse(span_from_str(text), &c) == 0 &&
			    addr_cidr_has(&c, (struct sockaddr *)&sin6);
			if (same != (bits <= flip))
				ck_abort_msg("%s, bit %u", text, flip);
		}
	}
}
END_TEST

START_TEST(addr_cidr_parse_refuses_all_else)
{
	static const char *const texts[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33",
		"10.0.0.0/-1", "10.0.0.0/ 8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.0/8/8",
		"10.0.0/8", "10/8", "256.0.0.0/8", "::/129", "::/0000", "[::1]/128", "[::1]",
		"localhost", "10.0.0.0/255.0.0.0", "::1:", "10.0.0.0/+8",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/1" };
	struct addr_cidr c;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++)
		ck_assert_msg(addr_cidr_parse(span_from_str(texts[i]), &c) == -1, "\"%s\" is taken",
		    texts[i]);
	ck_assert_int_eq(addr_cidr_parse(SPAN_NONE, &c), -1);
	ck_assert_int_eq(addr_cidr_parse(SPAN_LIT("::1\0"), &c), -1);
}
END_TEST

START_TEST(addr_client_key_is_the_same_through_any_socket)
{
	struct sockaddr_storage four = addr_sa("192.0.2.1", 1);
	struct sockaddr_storage mapped = addr_sa("::ffff:192.0.2.1", 2);
	struct sockaddr_storage six = addr_sa("2001:db8::1", 3);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	static const uint8_t zero[16];
	uint8_t a[16], b[16];

	addr_client_key((struct sockaddr *)&four, a);
	addr_client_key((struct sockaddr *)&mapped, b);
	ck_assert_mem_eq(a, b, 16);
	ck_assert_mem_eq(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
	addr_client_key((struct sockaddr *)&six, a);
	ck_assert_mem_eq(a, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	addr_client_key((struct sockaddr *)&un, a);
	ck_assert_mem_eq(a, zero, 16);
}
END_TEST

START_TEST(addr_client_net_is_a_64_of_ipv6)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true },
		{ "2001:db8:0:1::1", "2001:db8:0:2::1", false },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1", "::ffff:192.0.2.1", true },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
		{ "64:ff9b::c000:201", "64:ff9b::c000:202", false },
		{ "64:ff9b:1::1", "64:ff9b:1::2", true },
		{ "fe80::1", "fe80::2", false },
		{ "febf::1", "febf::2", false },
		{ "fec0::1", "fec0::2", true },
		{ "::1", "::2", true },
	};
	uint8_t a[16], b[16];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct sockaddr_storage one = addr_sa(rows[i].a, 1), other = addr_sa(rows[i].b, 2);

		addr_client_net((struct sockaddr *)&one, a);
		addr_client_net((struct sockaddr *)&other, b);
		ck_assert_msg(
		    (memcmp(a, b, 16) == 0) == rows[i].same, "%s and %s", rows[i].a, rows[i].b);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		addr_parse_takes_ipv4,
		addr_parse_takes_ipv6_in_brackets,
		addr_parse_takes_any_and_names,
		addr_parse_takes_unix_paths,
		addr_parse_takes_abstract_names,
		addr_parse_takes_paths_up_to_107_bytes,
		addr_parse_takes_systemd_names,
		addr_parse_says_what_is_wrong,
		addr_parse_refuses_bad_ports,
		addr_parse_refuses_bad_host_names,
		addr_parse_bounds_host_names_and_labels,
		addr_parse_refuses_nul_bytes,
		addr_parse_stays_inside_the_span,
		addr_format_gives_the_text_again,
		addr_eq_tells_all_kinds_apart,
		addr_format_sa_shows_peers,
		addr_format_sa_shows_unix_and_unknown,
		addr_cidr_has_compares_the_masked_bits,
		addr_cidr_keeps_families_apart,
		addr_cidr_agrees_with_bits_compared_one_by_one,
		addr_cidr_parse_refuses_all_else,
		addr_client_key_is_the_same_through_any_socket,
		addr_client_net_is_a_64_of_ipv6,
	};

	return unit_run("addr", cases, UNIT_COUNT(cases));
}
