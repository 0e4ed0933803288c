/* Unit tests of src/tools/wsdial_url.[ch]. */
#include "tools/wsdial_url.h"

#include <stdio.h>

#include "unit.h"

static void
expect(const char *text, bool tls, const char *host, unsigned port, const char *authority,
    const char *path, const char *query)
{
	const char *why = "unset";
	struct wsdial_url url;

	ck_assert_msg(wsdial_url_parse(span_from_str(text), &url, &why) == 0, "%s: %s", text, why);
	ck_assert_ptr_null(why);
	ck_assert(url.tls == tls);
	ck_assert_str_eq(url.host, host);
	ck_assert_uint_eq(url.port, port);
	ck_assert_str_eq(url.authority, authority);
	ck_assert_msg(
	    span_eq(url.path, span_from_str(path)), "%s: path %.*s", text, SPAN_ARG(url.path));
	ck_assert((url.query.p == NULL) == (query == NULL));
	ck_assert(span_eq(url.query, span_from_str(query)));
}

static void
refuse(const char *text, const char *word)
{
	const char *why = NULL;
	struct wsdial_url url;

	ck_assert_msg(wsdial_url_parse(span_from_str(text), &url, &why) == -1, "taken: %s", text);
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, word) != NULL, "%s: %s, not about %s", text, why, word);
}

START_TEST(wsdial_url_takes_names_and_addresses)
{
	expect("ws://example.com/", false, "example.com", 80, "example.com", "/", NULL);
	expect("wss://example.com/", true, "example.com", 443, "example.com", "/", NULL);
	expect("ws://192.0.2.1:8080/", false, "192.0.2.1", 8080, "192.0.2.1:8080", "/", NULL);
	expect("ws://[::1]/", false, "::1", 80, "[::1]", "/", NULL);
	expect("wss://[2001:db8::1]:8443/", true, "2001:db8::1", 8443, "[2001:db8::1]:8443", "/",
	    NULL);
}
END_TEST

START_TEST(wsdial_url_compares_the_scheme_without_regard_to_case)
{
	expect("WS://a/", false, "a", 80, "a", "/", NULL);
	expect("Wss://a/", true, "a", 443, "a", "/", NULL);
}
END_TEST

START_TEST(wsdial_url_leaves_the_schemes_own_port_out_of_host)
{
	expect("ws://a:80/", false, "a", 80, "a", "/", NULL);
	expect("wss://a:443/", true, "a", 443, "a", "/", NULL);
	expect("ws://a:443/", false, "a", 443, "a:443", "/", NULL);
	expect("wss://a:80/", true, "a", 80, "a:80", "/", NULL);
	expect("ws://a:/", false, "a", 80, "a", "/", NULL);
	expect("ws://[::1]:80", false, "::1", 80, "[::1]", "/", NULL);
}
END_TEST

START_TEST(wsdial_url_splits_path_and_query)
{
	expect("ws://a", false, "a", 80, "a", "/", NULL);
	expect("ws://a?", false, "a", 80, "a", "/", "");
	expect("ws://a?x=/y?z", false, "a", 80, "a", "/", "x=/y?z");
	expect("ws://a/b/c%20d?e=f&g", false, "a", 80, "a", "/b/c%20d", "e=f&g");
	expect("ws://a:1/b:2@c", false, "a", 1, "a:1", "/b:2@c", NULL);
}
END_TEST

START_TEST(wsdial_url_refuses_other_schemes)
{
	refuse("", "ws://");
	refuse("ws", "ws://");
	refuse("ws:/a", "ws://");
	refuse("http://a/", "ws://");
	refuse("wsss://a/", "ws://");
	refuse("a.example/chat", "ws://");
}
END_TEST

START_TEST(wsdial_url_refuses_what_rfc_6455_3_does_not_know)
{
	refuse("ws://a/#top", "fragment");
	refuse("ws://user@a/", "Authorization");
	refuse("ws://user:secret@a/", "Authorization");
}
END_TEST

START_TEST(wsdial_url_refuses_bytes_that_have_to_be_escaped)
{
	refuse("ws://a/b c", "escaped");
	refuse("ws://a/\x01", "escaped");
	refuse("ws://a/\xc3\xa4", "escaped");
	refuse("ws://\xc3\xa4.example/", "escaped");
	refuse("ws://a/\r\nX: y", "escaped");
}
END_TEST

START_TEST(wsdial_url_refuses_bad_hosts_and_ports)
{
	char text[400], host[260], authority[300];

	refuse("ws://", "host");
	refuse("ws:///path", "host");
	refuse("ws://:80/", "host");
	refuse("ws://::1/", "host");
	refuse("ws://[::1/", "host");
	refuse("ws://[]/", "host");
	refuse("ws://[v1.x]/", "host");
	refuse("ws://[::1]x/", "host");
	refuse("ws://a%2eb/", "host");
	refuse("ws://a:0/", "port");
	refuse("ws://a:65536/", "port");
	refuse("ws://a:x/", "port");
	refuse("ws://a:-1/", "port");
	refuse("ws://a:18446744073709551617/", "port");
	snprintf(text, sizeof(text), "ws://%0256d/", 1);
	refuse(text, "host");
	/* The longest one. */
	snprintf(host, sizeof(host), "%0255d", 1);
	snprintf(authority, sizeof(authority), "%s:12345", host);
	snprintf(text, sizeof(text), "ws://%s/", authority);
	expect(text, false, host, 12345, authority, "/", NULL);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_url_takes_names_and_addresses,
		wsdial_url_compares_the_scheme_without_regard_to_case,
		wsdial_url_leaves_the_schemes_own_port_out_of_host,
		wsdial_url_splits_path_and_query,
		wsdial_url_refuses_other_schemes,
		wsdial_url_refuses_what_rfc_6455_3_does_not_know,
		wsdial_url_refuses_bytes_that_have_to_be_escaped,
		wsdial_url_refuses_bad_hosts_and_ports,
	};

	return unit_run("wsdial_url", cases, UNIT_COUNT(cases));
}
