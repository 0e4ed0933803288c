/* Unit tests of src/config/origin_value.c. */
#include "config/origin_value.h"

#include "base/mem.h"
#include "unit.h"

START_TEST(origin_value_takes_origins)
{
	static const struct {
		const char *text;
		int kind;
		const char *scheme, *host;
		uint16_t port;
	} rows[] = {
		{ "*", CONFIG_ORIGIN_ANY, NULL, NULL, 0 },
		{ "null", CONFIG_ORIGIN_NULL, NULL, NULL, 0 },
		{ "https://app.example.com", CONFIG_ORIGIN_EXACT, "https", "app.example.com", 443 },
		{ "HTTPS://App.Example.COM", CONFIG_ORIGIN_EXACT, "https", "app.example.com", 443 },
		{ "http://localhost", CONFIG_ORIGIN_EXACT, "http", "localhost", 80 },
		{ "http://localhost:8080", CONFIG_ORIGIN_EXACT, "http", "localhost", 8080 },
		{ "https://a:443", CONFIG_ORIGIN_EXACT, "https", "a", 443 },
		{ "http://a:443", CONFIG_ORIGIN_EXACT, "http", "a", 443 },
		{ "https://127.0.0.1:65535", CONFIG_ORIGIN_EXACT, "https", "127.0.0.1", 65535 },
		{ "http://[::1]:8080", CONFIG_ORIGIN_EXACT, "http", "[::1]", 8080 },
		{ "http://[0:0:0::0001]", CONFIG_ORIGIN_EXACT, "http", "[::1]", 80 },
		{ "http://[2001:DB8::A]", CONFIG_ORIGIN_EXACT, "http", "[2001:db8::a]", 80 },
		{ "https://xn--bcher-kva.example", CONFIG_ORIGIN_EXACT, "https",
		    "xn--bcher-kva.example", 443 },
		{ "chrome-extension://abcdef", CONFIG_ORIGIN_EXACT, "chrome-extension", "abcdef",
		    0 },
		{ "https://*.example.com", CONFIG_ORIGIN_WILDCARD, "https", "example.com", 443 },
		{ "https://*.Example.com:8443", CONFIG_ORIGIN_WILDCARD, "https", "example.com",
		    8443 },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct config_origin o;
		const char *why = NULL;

		ck_assert_msg(config_origin_parse(span_from_str(rows[i].text), &o, &why) == 0,
		    "%s: %s", rows[i].text, why);
		ck_assert_int_eq((int)o.kind, rows[i].kind);
		if (rows[i].scheme == NULL) {
			ck_assert_ptr_null(o.scheme);
			ck_assert_ptr_null(o.host);
		} else {
			ck_assert_str_eq(o.scheme, rows[i].scheme);
			ck_assert_str_eq(o.host, rows[i].host);
		}
		ck_assert_uint_eq(o.port, rows[i].port);
		config_origin_clear(&o);
	}
}
END_TEST

START_TEST(origin_value_refuses_what_never_matches)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "the scheme is missing, such as https://" },
		{ "app.example.com", "the scheme is missing, such as https://" },
		{ "*.example.com", "the scheme is missing, such as https://" },
		{ "//a", "the scheme is missing, such as https://" },
		{ "https:a", "the scheme is missing, such as https://" },
		{ "://a", "the scheme is not valid" },
		{ "*://a", "the scheme is not valid" },
		{ "1http://a", "the scheme is not valid" },
		{ "https://", "the host is missing; pages without one send null" },
		{ "file://", "the host is missing; pages without one send null" },
		{ "https://:80", "the host is missing; pages without one send null" },
		{ "https://a/", "it ends with a slash: an Origin never does" },
		{ "https://a/b", "it has a path: an Origin never has one" },
		{ "https://a/b/", "it has a path: an Origin never has one" },
		{ "https://a?b", "it has a query: an Origin never has one" },
		{ "https://a#b", "it has a fragment: an Origin never has one" },
		{ "https://u@a", "it has a user name: an Origin never has one" },
		{ "https://a:", "the port is missing behind the colon" },
		{ "https://a:0", "the port is not a number from 1 to 65535" },
		{ "https://a:65536", "the port is not a number from 1 to 65535" },
		{ "https://a:http", "the port is not a number from 1 to 65535" },
		{ "https://a:80:80", "the port is not a number from 1 to 65535" },
		{ "https://*", "* can only stand before the host, as in *.example.com" },
		{ "https://a*.b", "* can only stand before the host, as in *.example.com" },
		{ "https://a.*.b", "* can only stand before the host, as in *.example.com" },
		{ "https://*.*.b", "* can only stand before the host, as in *.example.com" },
		{ "https://*.", "the domain is missing behind *." },
		{ "https://*.:80", "the domain is missing behind *." },
		{ "https://*.[::1]", "*. cannot stand before an address" },
		{ "https://*.127.0.0.1", "*. cannot stand before an address" },
		{ "https://127.1", "the host ends in a number but is not an IPv4 address" },
		{ "https://256.0.0.1", "the host ends in a number but is not an IPv4 address" },
		{ "https://[::1", "']' is missing" },
		{ "https://[]", "the address in brackets is not IPv6" },
		{ "https://[::g]", "the address in brackets is not IPv6" },
		{ "https://[::1]x", "there is text behind ']'" },
		{ "https://a..b", "a label of the host is empty" },
		{ "https://.a", "a label of the host is empty" },
		{ "https://a b", "the host has a character that a name cannot have" },
		{ "https://b\xc3\xbc"
		  "cher.example",
		    "browsers send other alphabets as punycode (xn--)" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct config_origin o;
		const char *why = NULL;

		ck_assert_msg(config_origin_parse(span_from_str(rows[i].text), &o, &why) == -1,
		    "%s is taken", rows[i].text);
		ck_assert_str_eq(why, rows[i].why);
		ck_assert_ptr_null(o.scheme);
	}
}
END_TEST

START_TEST(origin_value_survives_each_failed_allocation)
{
	for (unsigned long n = 1; n <= 2; n++) {
		struct config_origin o;
		const char *why = "";

		mem_fail_nth(n);
		ck_assert_int_eq(config_origin_parse(SPAN_LIT("https://a"), &o, &why), -1);
		mem_fail_nth(0);
		ck_assert_ptr_null(why);
		ck_assert_ptr_null(o.scheme);
		ck_assert_ptr_null(o.host);
	}
}
END_TEST

START_TEST(origin_value_takes_no_pattern_from_requests)
{
	struct config_origin_parts parts;
	char text[400] = "https://";
	const char *why;

	ck_assert_int_eq(
	    config_origin_cut(SPAN_LIT("https://*.example.com"), false, &parts, &why), -1);
	memset(text + 8, 'a', sizeof(text) - 8);
	ck_assert_int_eq(config_origin_cut((struct span){ text, 8 + 255 }, false, &parts, &why), 0);
	ck_assert_uint_eq(strlen(parts.host), 255);
	ck_assert_int_eq(
	    config_origin_cut((struct span){ text, 8 + 256 }, false, &parts, &why), -1);
	ck_assert_int_eq(config_origin_cut(SPAN_NONE, false, &parts, &why), -1);
	ck_assert_int_eq(
	    config_origin_cut((struct span){ "https://a\0b", 11 }, false, &parts, &why), -1);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		origin_value_takes_origins,
		origin_value_refuses_what_never_matches,
		origin_value_survives_each_failed_allocation,
		origin_value_takes_no_pattern_from_requests,
	};

	return unit_run("origin_value", cases, UNIT_COUNT(cases));
}
