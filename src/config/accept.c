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

int
config_accept_admin(struct span s, const char **why)
{
	struct addr a;

	if (addr_parse(s, &a, why) == -1)
		return -1;
	return a.kind == ADDR_SYSTEMD ? accept_bad(why, "systemd cannot pass the admin endpoint in")
				      : 0;
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
