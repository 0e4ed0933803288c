/*
 * Addresses in text and back, and CIDR blocks.  Pure, any thread; called by
 * the configuration, the listeners, the access line and the limits.
 *
 * IPv4 and IPv6 meet in 16 bytes: IPv4 is ::ffff:a.b.c.d there, as a socket
 * of both families shows it, so that a client is the same client whichever
 * socket it came through.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/num.h"

#define ADDR_HOST_MAX 253 /* RFC 1035 2.3.4, in text */
#define ADDR_LABEL_MAX 63
#define ADDR_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define ADDR_MAPPED_BITS 96

static const uint8_t addr_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

_Static_assert(ADDR_PATH_MAX == 107, "the messages below say so");

static int
addr_bad(const char **why, const char *text)
{
	*why = text;
	return -1;
}

/* A NUL-terminated copy for inet_pton; false when it cannot be a literal. */
static bool
addr_copy(struct span s, char *out, size_t size)
{
	if (s.n == 0 || s.n >= size || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

static bool
addr_has_prefix(struct span s, struct span prefix)
{
	return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

static struct span
addr_skip(struct span s, size_t n)
{
	return (struct span){ s.p + n, s.n - n };
}

static bool
addr_has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

static int
addr_parse_unix(struct span path, struct addr *out, const char **why)
{
	bool abstract = path.n > 0 && path.p[0] == '@';

	if (path.n == 0)
		return addr_bad(why, "path is empty");
	if (abstract && path.n == 1)
		return addr_bad(why, "abstract name is empty");
	if (path.n > ADDR_PATH_MAX)
		return addr_bad(why, "path is longer than 107 bytes");
	if (addr_has_control(path))
		return addr_bad(why, "path has a control character");
	out->kind = ADDR_UNIX;
	memcpy(out->name, path.p, path.n);
	out->u.un.sun_family = AF_UNIX;
	memcpy(out->u.un.sun_path, path.p, path.n);
	out->sa_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n);
	/* A path counts its NUL; an abstract name is as long as it is. */
	if (abstract)
		out->u.un.sun_path[0] = '\0';
	else
		out->sa_len++;
	return 0;
}

/* The rule of sd_is_fdname: no ':' and no control characters, 255 at most. */
static int
addr_parse_systemd(struct span name, struct addr *out, const char **why)
{
	if (name.n == 0)
		return addr_bad(why, "systemd socket name is empty");
	if (name.n > 255)
		return addr_bad(why, "systemd socket name is longer than 255 bytes");
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < 0x20 || name.p[i] > 0x7e || name.p[i] == ':')
			return addr_bad(why,
			    "systemd socket name has a character that is not"
			    " allowed");
	out->kind = ADDR_SYSTEMD;
	memcpy(out->name, name.p, name.n);
	return 0;
}

static bool
addr_host_char(char c)
{
	c = span_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of 1 to 63 characters, none with '-' at an end; one dot may end it. */
static bool
addr_host_valid(struct span host)
{
	size_t start = 0;

	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	for (size_t i = 0; i <= host.n; i++) {
		if (i < host.n && host.p[i] != '.') {
			if (!addr_host_char(host.p[i]))
				return false;
			continue;
		}
		if (i == start || i - start > ADDR_LABEL_MAX)
			return false;
		if (host.p[start] == '-' || host.p[i - 1] == '-')
			return false;
		start = i + 1;
	}
	return true;
}

/* Whether the last label is digits only: meant as IPv4, and never a name. */
static bool
addr_looks_ipv4(struct span host)
{
	size_t i = host.n;

	if (i > 0 && host.p[i - 1] == '.')
		i--;
	if (i == 0 || host.p[i - 1] == '.')
		return false;
	while (i > 0 && host.p[i - 1] >= '0' && host.p[i - 1] <= '9')
		i--;
	return i == 0 || host.p[i - 1] == '.';
}

static int
addr_set_ipv4(struct span host, struct addr *out, const char **why)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&out->u.ss;
	char text[INET_ADDRSTRLEN];

	if (!addr_copy(host, text, sizeof(text)) || inet_pton(AF_INET, text, &sin->sin_addr) != 1)
		return addr_bad(why, "not an IPv4 address");
	sin->sin_family = AF_INET;
	sin->sin_port = htons(out->port);
	out->sa_len = sizeof(*sin);
	out->kind = ADDR_IP;
	return 0;
}

static int
addr_set_ipv6(struct span host, struct addr *out, const char **why)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&out->u.ss;
	char text[INET6_ADDRSTRLEN];

	if (!addr_copy(host, text, sizeof(text)) ||
	    inet_pton(AF_INET6, text, &sin6->sin6_addr) != 1)
		return addr_bad(why, "not an IPv6 address");
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(out->port);
	out->sa_len = sizeof(*sin6);
	out->kind = ADDR_IP;
	return 0;
}

static int
addr_set_host(struct span host, struct addr *out, const char **why)
{
	if (span_eq(host, SPAN_LIT("*"))) {
		out->kind = ADDR_ANY;
		return 0;
	}
	if (host.n == 0)
		return addr_bad(why, "host is missing");
	if (memchr(host.p, ':', host.n) != NULL)
		return addr_bad(why, "IPv6 address must be in brackets");
	if (host.n > ADDR_HOST_MAX)
		return addr_bad(why, "host name is longer than 253 bytes");
	if (addr_looks_ipv4(host))
		return addr_set_ipv4(host, out, why);
	if (!addr_host_valid(host))
		return addr_bad(why, "host name is not valid");
	out->kind = ADDR_NAME;
	memcpy(out->name, host.p, host.n);
	return 0;
}

static int
addr_set_port(struct span text, struct addr *out, const char **why)
{
	uint64_t port;

	if (text.n == 0)
		return addr_bad(why, "port is missing");
	if (text.n > 5 || num_parse_uint(text, &port) == -1 || port > UINT16_MAX)
		return addr_bad(why, "port is not a number from 0 to 65535");
	out->port = (uint16_t)port;
	return 0;
}

static int
addr_parse_ipv6_port(struct span text, struct addr *out, const char **why)
{
	const char *close = memchr(text.p, ']', text.n);
	struct span host, rest;

	if (close == NULL)
		return addr_bad(why, "']' is missing");
	host = (struct span){ text.p + 1, (size_t)(close - text.p) - 1 };
	rest = addr_skip(text, host.n + 2);
	if (rest.n == 0)
		return addr_bad(why, "port is missing");
	if (rest.p[0] != ':')
		return addr_bad(why, "':' is missing after ']'");
	if (addr_set_port(addr_skip(rest, 1), out, why) == -1)
		return -1;
	return addr_set_ipv6(host, out, why);
}

static int
addr_parse_host_port(struct span text, struct addr *out, const char **why)
{
	const char *colon = memrchr(text.p, ':', text.n);
	struct span host;

	if (colon == NULL)
		return addr_bad(why, "port is missing");
	host = (struct span){ text.p, (size_t)(colon - text.p) };
	if (addr_set_port(addr_skip(text, host.n + 1), out, why) == -1)
		return -1;
	return addr_set_host(host, out, why);
}

int
addr_parse(struct span text, struct addr *out, const char **why)
{
	memset(out, 0, sizeof(*out));
	if (text.n == 0)
		return addr_bad(why, "address is empty");
	if (addr_has_prefix(text, SPAN_LIT("unix:")))
		return addr_parse_unix(addr_skip(text, 5), out, why);
	if (addr_has_prefix(text, SPAN_LIT("systemd:")))
		return addr_parse_systemd(addr_skip(text, 8), out, why);
	if (text.p[0] == '[')
		return addr_parse_ipv6_port(text, out, why);
	return addr_parse_host_port(text, out, why);
}

/* Done for each proxied request, where inet_ntop's printf shows. */
static void
addr_format_ipv4(const uint8_t *ip, char *out)
{
	for (int i = 0; i < 4; i++) {
		if (ip[i] >= 100)
			*out++ = (char)('0' + ip[i] / 100);
		if (ip[i] >= 10)
			*out++ = (char)('0' + ip[i] / 10 % 10);
		*out++ = (char)('0' + ip[i] % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

/* An IP address in text; `port` is negative for none. */
static void
addr_format_ip(int family, const void *ip, int port, char *out, size_t size)
{
	bool six = family == AF_INET6;
	char host[INET6_ADDRSTRLEN];

	if (six)
		inet_ntop(family, ip, host, sizeof(host));
	else
		addr_format_ipv4(ip, host);
	if (port < 0) {
		size = strnlen(host, size - 1);
		memcpy(out, host, size);
		out[size] = '\0';
		return;
	}
	snprintf(out, size, "%s%s%s:%d", six ? "[" : "", host, six ? "]" : "", port);
}

/* The address in a sockaddr of IPv4 or IPv6, else NULL. */
static const void *
addr_ip(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return &((const struct sockaddr_in *)sa)->sin_addr;
	if (sa->sa_family == AF_INET6)
		return &((const struct sockaddr_in6 *)sa)->sin6_addr;
	return NULL;
}

const char *
addr_format(const struct addr *a, char *out, size_t size)
{
	assert(size >= 300);
	switch (a->kind) {
	case ADDR_IP:
		addr_format_ip(a->u.sa.sa_family, addr_ip(&a->u.sa), a->port, out, size);
		break;
	case ADDR_ANY:
		snprintf(out, size, "*:%u", a->port);
		break;
	case ADDR_NAME:
		snprintf(out, size, "%s:%u", a->name, a->port);
		break;
	case ADDR_UNIX:
		snprintf(out, size, "unix:%s", a->name);
		break;
	case ADDR_SYSTEMD:
		snprintf(out, size, "systemd:%s", a->name);
		break;
	}
	return out;
}

bool
addr_eq(const struct addr *a, const struct addr *b)
{
	if (a->kind != b->kind || a->port != b->port)
		return false;
	switch (a->kind) {
	case ADDR_IP:
		return a->u.sa.sa_family == b->u.sa.sa_family &&
		    memcmp(addr_ip(&a->u.sa), addr_ip(&b->u.sa),
			a->u.sa.sa_family == AF_INET ? 4 : 16) == 0;
	case ADDR_ANY:
		return true;
	case ADDR_NAME:
		return span_eq_nocase(span_from_str(a->name), span_from_str(b->name));
	case ADDR_UNIX:
	case ADDR_SYSTEMD:
		return strcmp(a->name, b->name) == 0;
	}
	return false;
}

/* How long a sockaddr of this family has to be before it is looked into. */
static socklen_t
addr_sa_min(const struct sockaddr *sa, socklen_t len)
{
	if (len < (socklen_t)sizeof(sa->sa_family))
		return sizeof(sa->sa_family);
	if (sa->sa_family == AF_INET)
		return sizeof(struct sockaddr_in);
	if (sa->sa_family == AF_INET6)
		return sizeof(struct sockaddr_in6);
	return sizeof(sa->sa_family);
}

const char *
addr_format_sa(const struct sockaddr *sa, socklen_t len, bool with_port, char *out, size_t size)
{
	static const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	uint8_t key[16];
	int family, port = -1;

	if (sa == NULL || len < addr_sa_min(sa, len))
		sa = &nothing;
	if (addr_ip(sa) == NULL) {
		snprintf(out, size, "%s", sa->sa_family == AF_UNIX ? "unix:" : "unknown");
		return out;
	}
	/* sin_port and sin6_port stand at the same place. */
	if (with_port)
		port = ntohs(((const struct sockaddr_in *)sa)->sin_port);
	addr_client_key(sa, key);
	family = memcmp(key, addr_mapped, 12) == 0 ? AF_INET : AF_INET6;
	addr_format_ip(family, family == AF_INET ? key + 12 : key, port, out, size);
	return out;
}

void
addr_client_key(const struct sockaddr *sa, uint8_t out[16])
{
	memset(out, 0, 16);
	if (sa->sa_family == AF_INET) {
		memcpy(out, addr_mapped, 12);
		memcpy(out + 12, addr_ip(sa), 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(out, addr_ip(sa), 16);
	}
}

void
addr_client_net(const struct sockaddr *sa, uint8_t out[16])
{
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	addr_client_key(sa, out);
	if (memcmp(out, addr_mapped, 12) != 0 && memcmp(out, nat64, 12) != 0 &&
	    !(out[0] == 0xfe && (out[1] & 0xc0) == 0x80))
		memset(out + 8, 0, 8);
}

/* Clear all but the first `bits` bits. */
static void
addr_mask(uint8_t ip[16], unsigned int bits)
{
	for (unsigned int i = 0; i < 16; i++, bits -= bits < 8 ? bits : 8)
		if (bits < 8)
			ip[i] &= (uint8_t)(0xff00 >> bits);
}

int
addr_cidr_parse(struct span text, struct addr_cidr *out)
{
	const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	size_t n = slash != NULL ? (size_t)(slash - text.p) : text.n;
	char host[INET6_ADDRSTRLEN];
	uint64_t bits, most;

	memset(out, 0, sizeof(*out));
	if (!addr_copy((struct span){ text.p, n }, host, sizeof(host)))
		return -1;
	if (inet_pton(AF_INET6, host, out->net) == 1)
		most = 128;
	else if (inet_pton(AF_INET, host, out->net + 12) == 1)
		most = 32;
	else
		return -1;
	bits = most;
	if (slash != NULL &&
	    (text.n - n > 4 || num_parse_uint(addr_skip(text, n + 1), &bits) == -1 || bits > most))
		return -1;
	if (most == 32) {
		memcpy(out->net, addr_mapped, 12);
		bits += ADDR_MAPPED_BITS;
	}
	out->bits = (uint8_t)bits;
	addr_mask(out->net, out->bits);
	return 0;
}

bool
addr_cidr_has(const struct addr_cidr *c, const struct sockaddr *sa)
{
	uint8_t ip[16];

	if (addr_ip(sa) == NULL)
		return false;
	addr_client_key(sa, ip);
	/* `::/0` is all of IPv6, and IPv4 only lodges there. */
	if (c->bits < ADDR_MAPPED_BITS && memcmp(ip, addr_mapped, 12) == 0)
		return false;
	addr_mask(ip, c->bits);
	return memcmp(ip, c->net, sizeof(ip)) == 0;
}
