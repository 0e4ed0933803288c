/* ws: and wss: URLs.  Pure; called by wsdial_options.c.  See wsdial_url.h. */
#include "tools/wsdial_url.h"

#include <stdio.h>

#include "base/num.h"
#include "codec/http1.h"

static bool
wsdial_url_take_scheme(struct span *s, bool *tls)
{
	static const struct span plain = { "ws://", 5 }, secure = { "wss://", 6 };
	const struct span *found = NULL;

	if (s->n >= plain.n && span_eq_nocase((struct span){ s->p, plain.n }, plain))
		found = &plain;
	else if (s->n >= secure.n && span_eq_nocase((struct span){ s->p, secure.n }, secure))
		found = &secure;
	if (found == NULL)
		return false;
	*tls = found == &secure;
	s->p += found->n;
	s->n -= found->n;
	return true;
}

/* Split at the first of `at`: what is before it; *s goes on with it. */
static struct span
wsdial_url_take_until(struct span *s, const char *at)
{
	struct span head = { s->p, 0 };

	while (head.n < s->n && strchr(at, s->p[head.n]) == NULL)
		head.n++;
	s->p += head.n;
	s->n -= head.n;
	return head;
}

/* The text behind the last colon that is outside brackets; SPAN_NONE without one. */
static struct span
wsdial_url_port_text(struct span authority)
{
	for (size_t i = authority.n; i-- > 0 && authority.p[i] != ']';)
		if (authority.p[i] == ':')
			return (struct span){ authority.p + i + 1, authority.n - i - 1 };
	return SPAN_NONE;
}

static int
wsdial_url_set_host(struct span authority, struct wsdial_url *out, const char **why)
{
	struct span host = authority, port = wsdial_url_port_text(authority);
	uint64_t number = out->tls ? 443 : 80;

	*why = "its port is not a number from 1 to 65535";
	if (port.n > 0 && (num_parse_uint(port, &number) == -1 || number == 0 || number > 65535))
		return -1;
	if (port.p != NULL)
		host.n -= port.n + 1;
	out->port = (uint16_t)number;
	*why = "its host is missing, or is not a name or an address (IPv6 stands in brackets)";
	if (host.n == 0 || host.n >= sizeof(out->host) || memchr(host.p, '%', host.n) != NULL ||
	    !http_is_authority(authority))
		return -1;
	if (number == (out->tls ? 443 : 80))
		snprintf(out->authority, sizeof(out->authority), "%.*s", SPAN_ARG(host));
	else
		snprintf(
		    out->authority, sizeof(out->authority), "%.*s:%u", SPAN_ARG(host), out->port);
	if (host.p[0] == '[') {
		host.p++;
		host.n -= 2;
	}
	snprintf(out->host, sizeof(out->host), "%.*s", SPAN_ARG(host));
	return 0;
}

int
wsdial_url_parse(struct span text, struct wsdial_url *out, const char **why)
{
	struct span authority;

	memset(out, 0, sizeof(*out));
	*why = "it does not start with ws:// or wss://";
	if (!wsdial_url_take_scheme(&text, &out->tls))
		return -1;
	*why = "a byte in it has to be escaped, as %XX";
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f)
			return -1;
	*why = "a WebSocket's URL has no fragment; write a '#' as %23";
	if (memchr(text.p, '#', text.n) != NULL)
		return -1;
	authority = wsdial_url_take_until(&text, "/?");
	*why = "it has a user's name in it; use -H 'Authorization: ...'";
	if (memchr(authority.p, '@', authority.n) != NULL)
		return -1;
	if (wsdial_url_set_host(authority, out, why) == -1)
		return -1;
	out->path = wsdial_url_take_until(&text, "?");
	if (out->path.n == 0)
		out->path = SPAN_LIT("/");
	if (text.n > 0)
		out->query = (struct span){ text.p + 1, text.n - 1 };
	*why = NULL;
	return 0;
}
