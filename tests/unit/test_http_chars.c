/*
 * Unit tests of src/codec/http_chars.[ch]: the table against the grammars
 * spelt out, and what is made of such characters.
 */
#include "codec/http_chars.h"

#include <string.h>

#include "codec/http1.h"
#include "unit.h"

#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define UNRESERVED ALPHA DIGIT "-._~"
#define SUB_DELIMS "!$&'()*+,;="

static bool
chars_has(const char *set, unsigned b)
{
	return b != 0 && strchr(set, (int)b) != NULL;
}

START_TEST(http_chars_table_is_the_grammars)
{
	for (unsigned b = 0; b < 256; b++) {
		unsigned wanted = 0;

		if (chars_has("!#$%&'*+-.^_`|~" ALPHA DIGIT, b)) /* RFC 9110 5.6.2 */
			wanted |= HTTP_C_TOKEN;
		if (b == '\t' || (b >= ' ' && b != 0x7f)) /* RFC 9110 5.5 */
			wanted |= HTTP_C_VALUE;
		if (b > ' ' && b < 0x7f)
			wanted |= HTTP_C_GRAPH;
		if (chars_has(UNRESERVED SUB_DELIMS, b)) /* RFC 3986 3.2.2 */
			wanted |= HTTP_C_HOST;
		if (chars_has(UNRESERVED SUB_DELIMS ":@/%"
						    "[]|^",
			b)) /* RFC 3986 3.3 */
			wanted |= HTTP_C_PATH;
		if (chars_has(UNRESERVED SUB_DELIMS ":@/%?"
						    "[]|^{}`\\",
			b))
			wanted |= HTTP_C_QUERY;
		if (chars_has(DIGIT "abcdefABCDEF", b))
			wanted |= HTTP_C_HEX;
		ck_assert_msg(http_chars[b] == wanted, "%02x", b);
	}
}
END_TEST

START_TEST(http_is_token_and_field_value_judge_every_byte)
{
	for (unsigned b = 0; b < 256; b++) {
		char s[3] = { 'a', (char)b, 'z' };

		ck_assert(
		    http_is_token((struct span){ s, 3 }) == ((http_chars[b] & HTTP_C_TOKEN) != 0));
		ck_assert(http_is_field_value((struct span){ s, 3 }) ==
		    ((http_chars[b] & HTTP_C_VALUE) != 0));
	}
	ck_assert(!http_is_token(SPAN_NONE));
	ck_assert(http_is_field_value(SPAN_NONE));
}
END_TEST

/*
 * Eight bytes are looked at together: each byte at each place, among bytes at the edges of the
 * class.
 */
START_TEST(http_value_run_ends_at_the_first_byte_that_is_none)
{
	static const char around[] = { 'a', '\t', ' ', '~', (char)0x80, (char)0xff };
	char s[26];

	for (size_t k = 0; k < sizeof(around); k++)
		for (size_t n = 0; n <= sizeof(s); n++)
			for (size_t at = 0; at < n; at++)
				for (unsigned b = 0; b < 256; b++) {
					memset(s, around[k], sizeof(s));
					s[at] = (char)b;
					ck_assert_uint_eq(http_value_run(s, n),
					    (http_chars[b] & HTTP_C_VALUE) != 0 ? n : at);
				}
	ck_assert_uint_eq(http_value_run(s, 0), 0);
}
END_TEST

START_TEST(http_is_authority_takes_host_and_port_only)
{
	static const char *const good[] = { "a", "example.com", "EXAMPLE.com:80", "localhost:65535",
		"127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:443", "[2001:db8::7]:1",
		"[::ffff:192.0.2.1]", "a_b.c-d~e", "xn--bcher-kva.example", "a%20b",
		"host:", "[::]:", "host:0", "host:00080", "!$&'()*+,;=" };
	static const char *const bad[] = { "", ":", ":80", "a b", "a:65536", "a:999999", "a:8o",
		"a:-1", "a:+1", "a:80:80", "user@host", "user:pw@host", "a/b", "a?b", "a#b", "a%2",
		"a%zz", "%", "a%", "[::1", "::1", "[]", "[]:80", "[::1]x", "[::1]:x", "[::1]80",
		"[g::]", "[127.0.0.1]", "[fe80::1%25eth0]", "[v1.a]", "[::1]]", "a]", "a[", "\"a\"",
		"a\\b", "a,b c", "\xc3\xa4.example", "a\tb",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]" };

	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		ck_assert_msg(http_is_authority(span_from_str(good[i])), "%s", good[i]);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		ck_assert_msg(!http_is_authority(span_from_str(bad[i])), "%s", bad[i]);
	ck_assert(!http_is_authority(SPAN_LIT("a\0b")));
	ck_assert(!http_is_authority(SPAN_LIT("[::1\0]")));
	ck_assert(!http_is_authority(SPAN_NONE));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		http_chars_table_is_the_grammars,
		http_is_token_and_field_value_judge_every_byte,
		http_value_run_ends_at_the_first_byte_that_is_none,
		http_is_authority_takes_host_and_port_only,
	};

	return unit_run("http_chars", cases, UNIT_COUNT(cases));
}
