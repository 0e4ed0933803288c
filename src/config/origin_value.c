/*
 * Origins in text; see origin_value.h.  The same cutter serves the INI file's
 * values and the Origin fields of requests, so that the two cannot disagree.
 */
#include "config/origin_value.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/num.h"

static int
origin_bad(const char **why, const char *text)
{
	*why = text;
	return -1;
}

static bool
origin_is_alpha(char c)
{
	c = span_lower(c);
	return c >= 'a' && c <= 'z';
}

static bool
origin_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3986 3.1 */
static bool
origin_scheme_valid(struct span s)
{
	if (s.n == 0 || !origin_is_alpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!origin_is_alpha(s.p[i]) && !origin_is_digit(s.p[i]) && s.p[i] != '+' &&
		    s.p[i] != '-' && s.p[i] != '.')
			return false;
	return true;
}

uint16_t
config_origin_default_port(struct span scheme)
{
	if (span_eq_nocase(scheme, SPAN_LIT("https")) || span_eq_nocase(scheme, SPAN_LIT("wss")))
		return 443;
	if (span_eq_nocase(scheme, SPAN_LIT("http")) || span_eq_nocase(scheme, SPAN_LIT("ws")))
		return 80;
	return 0;
}

/* The two spellings of an IPv6 address must compare as one: the shortest is kept. */
static int
origin_cut_ipv6(struct span inner, struct config_origin_parts *out, const char **why)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

	if (inner.n == 0 || inner.n >= sizeof(text) || memchr(inner.p, '\0', inner.n) != NULL)
		return origin_bad(why, "the address in brackets is not IPv6");
	memcpy(text, inner.p, inner.n);
	text[inner.n] = '\0';
	if (inet_pton(AF_INET6, text, &a) != 1)
		return origin_bad(why, "the address in brackets is not IPv6");
	inet_ntop(AF_INET6, &a, text, sizeof(text));
	snprintf(out->host, sizeof(out->host), "[%s]", text);
	return 0;
}

/* A browser writes a host that ends in a number as four decimals (WHATWG URL 3.5). */
static bool
origin_is_short_ipv4(const char *host)
{
	const char *dot = strrchr(host, '.');
	const char *last = dot != NULL ? dot + 1 : host;
	struct in_addr a;

	return *last != '\0' && strspn(last, "0123456789") == strlen(last) &&
	    inet_pton(AF_INET, host, &a) != 1;
}

static int
origin_cut_name(struct span host, struct config_origin_parts *out, const char **why)
{
	if (host.n >= sizeof(out->host))
		return origin_bad(why, "the host is longer than a name can be");
	for (size_t i = 0; i < host.n; i++) {
		char c = span_lower(host.p[i]);

		if (c == '*')
			return origin_bad(
			    why, "* can only stand before the host, as in *.example.com");
		if (c == '@')
			return origin_bad(why, "it has a user name: an Origin never has one");
		if ((unsigned char)c >= 0x80)
			return origin_bad(why, "browsers send other alphabets as punycode (xn--)");
		if (!origin_is_alpha(c) && !origin_is_digit(c) && c != '-' && c != '.' && c != '_')
			return origin_bad(why, "the host has a character that a name cannot have");
		if (c == '.' && (i == 0 || host.p[i - 1] == '.'))
			return origin_bad(why, "a label of the host is empty");
		out->host[i] = c;
	}
	out->host[host.n] = '\0';
	if (origin_is_short_ipv4(out->host))
		return origin_bad(why, "the host ends in a number but is not an IPv4 address");
	return 0;
}

static int
origin_cut_port(struct span text, struct config_origin_parts *out, const char **why)
{
	uint64_t port;

	if (text.n == 0)
		return origin_bad(why, "the port is missing behind the colon");
	if (text.n > 5 || num_parse_uint(text, &port) == -1 || port == 0 || port > UINT16_MAX)
		return origin_bad(why, "the port is not a number from 1 to 65535");
	out->port = (uint16_t)port;
	return 0;
}

/* Where the host ends: behind ']', or before the first colon. */
static size_t
origin_host_end(struct span s)
{
	const char *end;

	if (s.n > 0 && s.p[0] == '[') {
		end = memchr(s.p, ']', s.n);
		return end != NULL ? (size_t)(end - s.p) + 1 : s.n;
	}
	end = memchr(s.p, ':', s.n);
	return end != NULL ? (size_t)(end - s.p) : s.n;
}

static int
origin_cut_host_port(struct span s, struct config_origin_parts *out, const char **why)
{
	size_t n = origin_host_end(s);
	struct span host = { s.p, n }, rest = { s.p + n, s.n - n };

	if (host.n == 0)
		return origin_bad(why,
		    out->wildcard ? "the domain is missing behind *."
				  : "the host is missing; pages without one send null");
	if (host.p[0] == '[') {
		if (out->wildcard)
			return origin_bad(why, "*. cannot stand before an address");
		if (host.p[host.n - 1] != ']')
			return origin_bad(why, "']' is missing");
		if (origin_cut_ipv6((struct span){ host.p + 1, host.n - 2 }, out, why) == -1)
			return -1;
	} else if (origin_cut_name(host, out, why) == -1) {
		return -1;
	}
	if (rest.n == 0)
		return 0;
	if (rest.p[0] != ':')
		return origin_bad(why, "there is text behind ']'");
	rest.p++, rest.n--;
	return origin_cut_port(rest, out, why);
}

/* What an Origin never has (RFC 6454 6.1): named, since it is easily pasted from a URL. */
static int
origin_check_tail(struct span s, const char **why)
{
	const char *slash = memchr(s.p, '/', s.n);

	if (memchr(s.p, '?', s.n) != NULL)
		return origin_bad(why, "it has a query: an Origin never has one");
	if (memchr(s.p, '#', s.n) != NULL)
		return origin_bad(why, "it has a fragment: an Origin never has one");
	if (slash != NULL && slash == s.p + s.n - 1)
		return origin_bad(why, "it ends with a slash: an Origin never does");
	if (slash != NULL)
		return origin_bad(why, "it has a path: an Origin never has one");
	return 0;
}

int
config_origin_cut(struct span text, bool pattern, struct config_origin_parts *out, const char **why)
{
	const char *sep = text.n > 0 ? memmem(text.p, text.n, "://", 3) : NULL;
	struct span rest;

	memset(out, 0, sizeof(*out));
	if (sep == NULL)
		return origin_bad(why, "the scheme is missing, such as https://");
	out->scheme = (struct span){ text.p, (size_t)(sep - text.p) };
	if (!origin_scheme_valid(out->scheme))
		return origin_bad(why, "the scheme is not valid");
	out->port = config_origin_default_port(out->scheme);
	rest = (struct span){ sep + 3, text.n - out->scheme.n - 3 };
	if (rest.n > 0 && origin_check_tail(rest, why) == -1)
		return -1;
	if (pattern && rest.n >= 2 && rest.p[0] == '*' && rest.p[1] == '.') {
		out->wildcard = true;
		rest.p += 2, rest.n -= 2;
	}
	return origin_cut_host_port(rest, out, why);
}

/* A name whose last label is a number is an address: nothing can stand before it. */
static bool
origin_wildcard_of_address(const struct config_origin_parts *parts)
{
	struct in_addr a;

	return parts->wildcard && inet_pton(AF_INET, parts->host, &a) == 1;
}

int
config_origin_parse(struct span text, struct config_origin *out, const char **why)
{
	struct config_origin_parts parts;

	memset(out, 0, sizeof(*out));
	out->kind = CONFIG_ORIGIN_ANY;
	if (span_eq(text, SPAN_LIT("*")))
		return 0;
	out->kind = CONFIG_ORIGIN_NULL;
	if (span_eq_nocase(text, SPAN_LIT("null")))
		return 0;
	if (config_origin_cut(text, true, &parts, why) == -1)
		return -1;
	if (origin_wildcard_of_address(&parts))
		return origin_bad(why, "*. cannot stand before an address");
	out->kind = parts.wildcard ? CONFIG_ORIGIN_WILDCARD : CONFIG_ORIGIN_EXACT;
	out->port = parts.port;
	out->scheme = mem_strndup(parts.scheme.p, parts.scheme.n);
	out->host = mem_strdup(parts.host);
	if (out->scheme == NULL || out->host == NULL) {
		config_origin_clear(out);
		*why = NULL;
		return -1;
	}
	for (char *p = out->scheme; *p != '\0'; p++)
		*p = span_lower(*p);
	return 0;
}

void
config_origin_clear(struct config_origin *o)
{
	mem_free(o->scheme);
	mem_free(o->host);
	memset(o, 0, sizeof(*o));
}
