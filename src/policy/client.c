/* Who the client is.  See client.h. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>

#include "policy/client.h"

/* Hops that are looked at; more than that are nobody's honest chain. */
#define CLIENT_MAX_HOPS 64

bool
client_is_trusted(const struct config_listen *l, const struct sockaddr *peer)
{
	for (size_t i = 0; i < l->n_trusted_proxies; i++)
		if (addr_cidr_has(&l->trusted_proxies[i], peer))
			return true;
	return false;
}

static socklen_t
client_copy(const struct sockaddr *sa, struct sockaddr_storage *out)
{
	socklen_t n = sa->sa_family == AF_INET ? sizeof(struct sockaddr_in)
	    : sa->sa_family == AF_INET6	       ? sizeof(struct sockaddr_in6)
					       : sizeof(sa_family_t);

	memset(out, 0, sizeof(*out));
	memcpy(out, sa, n);
	return n;
}

static int
client_parse_ip(struct span ip, uint64_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;
	char text[INET6_ADDRSTRLEN];

	if (ip.n == 0 || ip.n >= sizeof(text) || port > 65535)
		return -1;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
		return -1;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	return 0;
}

int
client_parse_node(struct span s, struct sockaddr_storage *out)
{
	const char *end = s.n > 0 ? memchr(s.p, s.p[0] == '[' ? ']' : ':', s.n) : NULL;
	struct span ip = s, rest = SPAN_NONE;
	uint64_t port = 0;

	if (s.n > 0 && s.p[0] == '[') {
		if (end == NULL)
			return -1;
		ip = (struct span){ s.p + 1, (size_t)(end - s.p) - 1 };
		rest = (struct span){ end + 1, s.n - ip.n - 2 };
		if (memchr(ip.p, ':', ip.n) == NULL)
			return -1; /* brackets are for IPv6 only */
	} else if (end != NULL && memchr(end + 1, ':', s.n - (size_t)(end + 1 - s.p)) == NULL) {
		ip = (struct span){ s.p, (size_t)(end - s.p) };
		rest = (struct span){ end, s.n - ip.n };
		if (memchr(ip.p, '.', ip.n) == NULL)
			return -1;
	}
	if (rest.n > 0 &&
	    (rest.p[0] != ':' ||
		num_parse_uint((struct span){ rest.p + 1, rest.n - 1 }, &port) == -1))
		return -1;
	return client_parse_ip(ip, port, out);
}

/* The for parameter of one element of Forwarded, without quotes; n 0: none. */
static struct span
client_forwarded_for(struct span element)
{
	struct span part, name, value;
	const char *semi, *eq;

	while (element.n > 0) {
		/* A quoted string of ours never holds a semicolon that matters: nodes have none. */
		semi = memchr(element.p, ';', element.n);
		part = (struct span){ element.p,
			semi != NULL ? (size_t)(semi - element.p) : element.n };
		element.p += part.n + (semi != NULL);
		element.n -= part.n + (semi != NULL);
		part = span_trim(part);
		if ((eq = part.n > 0 ? memchr(part.p, '=', part.n) : NULL) == NULL)
			continue;
		name = (struct span){ part.p, (size_t)(eq - part.p) };
		value = (struct span){ eq + 1, part.n - name.n - 1 };
		if (!span_eq_nocase(name, SPAN_LIT("for")))
			continue;
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = (struct span){ value.p + 1, value.n - 2 };
		return value;
	}
	return SPAN_NONE;
}

/* The chain of a field, from the client on; the last CLIENT_MAX_HOPS of it. */
static size_t
client_chain(
    const struct http_head *h, struct span name, bool forwarded, struct span hop[CLIENT_MAX_HOPS])
{
	struct span list, item;
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++) {
		if (!span_eq_nocase(h->field[i].name, name))
			continue;
		list = h->field[i].value;
		while (span_next_item(&list, &item)) {
			if (n == CLIENT_MAX_HOPS)
				memmove(hop, hop + 1, --n * sizeof(*hop));
			hop[n++] = forwarded ? client_forwarded_for(item) : item;
		}
	}
	return n;
}

socklen_t
client_find(const struct config_listen *l, const struct sockaddr *peer, const struct http_head *h,
    struct sockaddr_storage *out)
{
	struct span hop[CLIENT_MAX_HOPS];
	struct sockaddr_storage ss;
	socklen_t len = client_copy(peer, out);
	size_t n;

	if (l->n_trusted_proxies == 0 || !client_is_trusted(l, peer))
		return len;
	if ((n = client_chain(h, SPAN_LIT("X-Forwarded-For"), false, hop)) == 0)
		n = client_chain(h, SPAN_LIT("Forwarded"), true, hop);
	while (n-- > 0 && client_parse_node(hop[n], &ss) == 0) {
		len = client_copy((const struct sockaddr *)&ss, out);
		if (!client_is_trusted(l, (const struct sockaddr *)out))
			break;
	}
	return len;
}
