/*
 * Telling backends by PROXY headers who the client is.  See announce.h.
 *
 * Built while the request is there, sent when a backend is connected, again for each one that is
 * tried.  A new socket's buffer takes a header whole ("The PROXY protocol" 2: it must be sent at
 * once, and may be taken to be), so nothing of it ever has to wait.
 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "codec/proxy_header.h"
#include "gateway/announce.h"
#include "http/http_server.h"
#include "io/first.h"

struct announce {
	size_t n;
	uint8_t data[];
};

/* Host without its port; IPv6 without its brackets. */
static struct span
announce_host(struct span authority)
{
	const char *colon = authority.n > 0 ? memrchr(authority.p, ':', authority.n) : NULL;

	/* Not one of those within brackets. */
	if (colon != NULL &&
	    memchr(colon, ']', authority.n - (size_t)(colon - authority.p)) == NULL)
		authority.n = (size_t)(colon - authority.p);
	if (authority.n >= 2 && authority.p[0] == '[' && authority.p[authority.n - 1] == ']')
		authority = (struct span){ authority.p + 1, authority.n - 2 };
	return authority;
}

static size_t
announce_build(enum config_proxy_protocol version, const struct proxy_facts *f, uint8_t *out)
{
	switch (version) {
	case CONFIG_PROXY_OFF:
		break;
	case CONFIG_PROXY_V1:
		return proxy_header_build_v1(f, out);
	case CONFIG_PROXY_V2:
		return proxy_header_build_v2(f, out);
	}
	return 0;
}

struct announce *
announce_new(enum config_proxy_protocol version, const struct stream_info *info,
    const struct stream_request *r)
{
	uint8_t out[PROXY_HEADER_BUILD_MAX];
	struct sockaddr_storage local;
	struct proxy_facts f = { .src = r->client != NULL ? r->client : info->client,
		.dst = (const struct sockaddr *)&local,
		.tls = info->tls,
		.alpn = info->alpn,
		.authority = announce_host(r->head->authority) };
	struct announce *a;
	size_t n;

	http_server_local(info, &local);
	n = announce_build(version, &f, out);
	if ((a = mem_alloc(sizeof(*a) + n)) == NULL)
		return NULL;
	a->n = n;
	memcpy(a->data, out, n);
	return a;
}

int
announce_send(const struct announce *a, int fd)
{
	return first_send(fd, a->data, a->n);
}

int
announce_send_local(enum config_proxy_protocol version, int fd)
{
	uint8_t out[PROXY_HEADER_BUILD_MAX];
	struct proxy_facts nobody = { .src = NULL };
	size_t n = announce_build(version, &nobody, out);

	return n > 0 ? first_send(fd, out, n) : 0;
}
