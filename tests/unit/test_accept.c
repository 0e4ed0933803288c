/* Unit tests of src/config/accept.c. */
#include "config/accept.h"

#include "unit.h"

typedef int accept_fn(struct span s, const char **why);

static void
accept_each(accept_fn *accept, const char *const *texts, size_t n, int expected)
{
	for (size_t i = 0; i < n; i++) {
		const char *why = NULL;

		ck_assert_msg(accept(span_from_str(texts[i]), &why) == expected, "\"%s\": %s",
		    texts[i], why != NULL ? why : "taken");
		ck_assert_msg((why != NULL) == (expected == -1), "\"%s\"", texts[i]);
	}
}

#define ACCEPT(fn, ...)                                             \
	do {                                                        \
		static const char *const texts[] = { __VA_ARGS__ }; \
		accept_each(fn, texts, UNIT_COUNT(texts), 0);       \
	} while (0)
#define REFUSE(fn, ...)                                             \
	do {                                                        \
		static const char *const texts[] = { __VA_ARGS__ }; \
		accept_each(fn, texts, UNIT_COUNT(texts), -1);      \
	} while (0)

START_TEST(accept_words)
{
	ACCEPT(config_accept_any, "a", "a b", "/x;y");
	ACCEPT(config_accept_word, "a", "a-b");
	REFUSE(config_accept_word, "a b", "a\tb");
	ACCEPT(config_accept_slash, "/", "/health?x=1");
	REFUSE(config_accept_slash, "health", "/a b");
}
END_TEST

START_TEST(accept_log_targets)
{
	ACCEPT(config_accept_target, "stderr", "syslog", "/var/log/x", "./x", "a/b c");
	REFUSE(config_accept_target, "off", "stdout", "log.txt", "/var/log/");
	ACCEPT(config_accept_target_off, "off", "syslog");
	REFUSE(config_accept_target_off, "of");
}
END_TEST

START_TEST(accept_addresses)
{
	ACCEPT(config_accept_admin, "unix:/a", "127.0.0.1:0", "[::1]:1", "localhost:1");
	REFUSE(config_accept_admin, "systemd:a", "/run/a", "127.0.0.1", "unix:@a", "*:1",
	    "10.0.0.1:1", "a.example:1");
	ACCEPT(config_accept_listen, "unix:/a", "systemd:a", "*:0", "[::1]:80", "a.example:65535");
	REFUSE(config_accept_listen, "a", "*", ":80", "[::1]", "a:65536", "unix:");
	ACCEPT(config_accept_backend, "unix:/a", "unix:@a", "a.example:80", "[::1]:80");
	REFUSE(config_accept_backend, "*:80", "systemd:a", "127.0.0.1:0", "a.example:0", "a");
}
END_TEST

START_TEST(accept_tokens)
{
	ACCEPT(config_accept_token, "chat", "v1.chat", "a!#$%&'*+-.^_`|~9");
	REFUSE(config_accept_token, "a,b", "a b", "(a)", "a/b", "\"a\"", "\xc3\xa4");
}
END_TEST

START_TEST(accept_hosts)
{
	ACCEPT(config_accept_host, "a", "App.Example.com", "*.example.com", "a_b.c", "127.0.0.1",
	    "[::1]", "xn--bcher-kva.example");
	REFUSE(config_accept_host, "*", "*.", "*example.com", "a.*.com", "a:80", "a/b", "http://a",
	    "a..b", ".a", "a.", "[::1",
	    "b\xc3\xbc"
	    "cher.example",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b");
}
END_TEST

START_TEST(accept_paths)
{
	ACCEPT(config_accept_path, "/", "/*", "/a", "/a/*", "/a.b/..c/.d", "/a b", "/\xc3\xbc");
	REFUSE(config_accept_path, "a", "*", "/a*", "/a/*/b", "/**", "/a?b", "/a#b", "/%61", "/a/.",
	    "/a/..", "/./a", "/../a", "/a/../*");
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		accept_words,
		accept_log_targets,
		accept_addresses,
		accept_tokens,
		accept_hosts,
		accept_paths,
	};

	return unit_run("accept", cases, UNIT_COUNT(cases));
}
