/*
 * The judges of text values; see accept.h.
 */
#include "config/accept.h"

#include "base/addr.h"

static int
accept_bad(const char **why, const char *text)
{
	*why = text;
	return -1;
}

static bool
accept_has_space(struct span s)
{
	return s.n > 0 && (memchr(s.p, ' ', s.n) != NULL || memchr(s.p, '\t', s.n) != NULL);
}

int
config_accept_any(struct span s, const char **why)
{
	(void)s;
	(void)why;
	return 0;
}

int
config_accept_word(struct span s, const char **why)
{
	return accept_has_space(s) ? accept_bad(why, "it has white space inside") : 0;
}

int
config_accept_target(struct span s, const char **why)
{
	if (span_eq(s, SPAN_LIT("stderr")) || span_eq(s, SPAN_LIT("syslog")))
		return 0;
	/* Without this a misspelt word would quietly become a file of that name. */
	if (memchr(s.p, '/', s.n) == NULL)
		return accept_bad(why, "a file's path needs a slash, ./ at least");
	if (s.p[s.n - 1] == '/')
		return accept_bad(why, "it names a folder");
	return 0;
}

int
config_accept_target_off(struct span s, const char **why)
{
	return span_eq(s, SPAN_LIT("off")) ? 0 : config_accept_target(s, why);
}

static bool
accept_is_loopback(const struct addr *a)
{
	static const char *const blocks[] = { "127.0.0.0/8", "::1" };
	struct addr_cidr c;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (addr_cidr_parse(span_from_str(blocks[i]), &c) == 0 &&
		    addr_cidr_has(&c, &a->u.sa))
			return true;
	return false;
}

/*
 * There are no keys for a certificate here, so who is not on this machine could not be told apart.
 */
int
config_accept_admin(struct span s, const char **why)
{
	struct addr a;

	if (addr_parse(s, &a, why) == -1)
		return -1;
	switch (a.kind) {
	case ADDR_SYSTEMD:
		return accept_bad(why, "systemd cannot pass the admin endpoint in");
	case ADDR_UNIX:
		return a.name[0] != '@'
		    ? 0
		    : accept_bad(
			  why, "an abstract socket has no permissions: everybody could connect");
	case ADDR_NAME:
		if (span_eq_nocase(span_from_str(a.name), SPAN_LIT("localhost")))
			return 0;
		return accept_bad(why, "over TCP the admin endpoint is for this machine alone");
	case ADDR_IP:
		if (accept_is_loopback(&a))
			return 0;
		return accept_bad(why, "over TCP the admin endpoint is for this machine alone");
	case ADDR_ANY:
		return accept_bad(why, "over TCP the admin endpoint is for this machine alone");
	}
	return 0;
}

int
config_accept_listen(struct span s, const char **why)
{
	struct addr a;

	return addr_parse(s, &a, why);
}

int
config_accept_backend(struct span s, const char **why)
{
	struct addr a;

	if (addr_parse(s, &a, why) == -1)
		return -1;
	if (a.kind == ADDR_ANY)
		return accept_bad(why, "* is no address to connect to");
	if (a.kind == ADDR_SYSTEMD)
		return accept_bad(why, "a socket of systemd is not to connect to");
	if (a.kind != ADDR_UNIX && a.port == 0)
		return accept_bad(why, "port 0 cannot be connected to");
	return 0;
}

int
config_accept_token(struct span s, const char **why)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = span_lower(s.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return accept_bad(why, "it has a character that a token cannot have");
	}
	return 0;
}

int
config_accept_host(struct span s, const char **why)
{
	size_t label = 0;

	if (s.n >= 2 && s.p[0] == '*' && s.p[1] == '.')
		s.p += 2, s.n -= 2;
	if (s.n == 0 || s.n > 253)
		return accept_bad(why, "its length is not that of a name");
	/* An address has neither labels nor a default port to tell apart. */
	if (s.p[0] == '[')
		return s.p[s.n - 1] == ']' ? 0 : accept_bad(why, "']' is missing");
	for (size_t i = 0; i < s.n; i++) {
		char c = span_lower(s.p[i]);

		if (c == '*')
			return accept_bad(why, "* can only stand for the first labels");
		if (c == ':')
			return accept_bad(why, "a host has no port here: any port matches");
		if (c == '/')
			return accept_bad(why, "it has a slash: give the name alone");
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
		    c != '.')
			return accept_bad(why,
			    "it has a character that a name cannot have; "
			    "write other alphabets as punycode (xn--)");
		label = c == '.' ? 0 : label + 1;
		if (label > 63 || (c == '.' && (i == 0 || s.p[i - 1] == '.')))
			return accept_bad(why, "a label is empty or longer than 63 characters");
	}
	return label == 0 ? accept_bad(why, "it ends with a dot") : 0;
}

int
config_accept_path(struct span s, const char **why)
{
	if (s.p[0] != '/')
		return accept_bad(why, "it does not begin with /");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '*' && (i != s.n - 1 || s.p[i - 1] != '/'))
			return accept_bad(why, "* can only be the last character, behind a slash");
		if (s.p[i] == '?')
			return accept_bad(why, "it has a query, which is not matched");
		if (s.p[i] == '#')
			return accept_bad(why, "it has a fragment, which a request never has");
		if (s.p[i] == '%')
			return accept_bad(why, "it has a %-escape: write the character itself");
		if (s.p[i] == '/' &&
		    (span_eq((struct span){ s.p + i, s.n - i }, SPAN_LIT("/.")) ||
			span_eq((struct span){ s.p + i, s.n - i }, SPAN_LIT("/..")) ||
			(s.n - i >= 3 && memcmp(s.p + i, "/./", 3) == 0) ||
			(s.n - i >= 4 && memcmp(s.p + i, "/../", 4) == 0)))
			return accept_bad(why, "it has a . or .. segment, which never matches");
	}
	return 0;
}

int
config_accept_slash(struct span s, const char **why)
{
	if (s.p[0] != '/')
		return accept_bad(why, "it does not begin with /");
	return config_accept_word(s, why);
}
