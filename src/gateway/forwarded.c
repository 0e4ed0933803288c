/* Telling backends who the client is.  See forwarded.h. */
#include "base/addr.h"
#include "gateway/forwarded.h"
#include "policy/client.h"

struct span
forwarded_name(enum forwarded_what what)
{
	switch (what) {
	case FORWARDED_X_FOR:
		return SPAN_LIT("X-Forwarded-For");
	case FORWARDED_X_PROTO:
		return SPAN_LIT("X-Forwarded-Proto");
	case FORWARDED_X_HOST:
		return SPAN_LIT("X-Forwarded-Host");
	case FORWARDED_X_REAL_IP:
		return SPAN_LIT("X-Real-IP");
	case FORWARDED_RFC7239:
		return SPAN_LIT("Forwarded");
	}
	return SPAN_NONE;
}

/* Applications behind CGI's conventions take an underscore for a hyphen. */
static bool
forwarded_name_eq(struct span name, struct span known)
{
	if (name.n != known.n)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (span_lower(name.p[i] == '_' ? '-' : name.p[i]) != span_lower(known.p[i]))
			return false;
	return true;
}

bool
forwarded_is(struct span name)
{
	static const struct span all[] = { SPAN_LIT("X-Forwarded-For"),
		SPAN_LIT("X-Forwarded-Proto"), SPAN_LIT("X-Forwarded-Host"),
		SPAN_LIT("X-Forwarded-Port"), SPAN_LIT("X-Forwarded-Server"), SPAN_LIT("X-Real-IP"),
		SPAN_LIT("Forwarded") };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (forwarded_name_eq(name, all[i]))
			return true;
	return false;
}

static bool
forwarded_trusts(const struct stream_info *info)
{
	return info->listen->n_trusted_proxies > 0 && client_is_trusted(info->listen, info->client);
}

/* Without brackets, "unix:" for a Unix socket's peer. */
static struct span
forwarded_ip(const struct sockaddr *sa, char text[ADDR_SA_TEXT])
{
	struct span ip;

	addr_format_sa(sa, sizeof(struct sockaddr_storage), false, text, ADDR_SA_TEXT);
	ip = span_from_str(text);
	if (ip.n >= 2 && ip.p[0] == '[')
		ip = (struct span){ ip.p + 1, ip.n - 2 };
	return ip;
}

/* All that a trusted proxy sent under this name, as one list that ends with a comma. */
static int
forwarded_chain(
    const struct stream_info *info, const struct stream_request *r, const char *name, struct buf *b)
{
	const struct http_head *h = r->head;

	if (!forwarded_trusts(info))
		return 0;
	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq_nocase(h->field[i].name, span_from_str(name)) &&
		    h->field[i].value.n > 0 &&
		    (buf_append_span(b, h->field[i].value) == -1 || buf_append(b, ", ", 2) == -1))
			return -1;
	return 0;
}

/* A trusted proxy's word, else our own. */
static int
forwarded_single(const struct stream_info *info, const struct stream_request *r, const char *name,
    struct span own, struct buf *b)
{
	const struct http_field *f;

	if (forwarded_trusts(info) && (f = http_head_find(r->head, name)) != NULL && f->value.n > 0)
		own = f->value;
	return buf_append_span(b, own);
}

static struct span
forwarded_proto(const struct stream_info *info)
{
	return info->listen->tls ? SPAN_LIT("https") : SPAN_LIT("http");
}

/* One element of RFC 7239 4: IPv6 and whatever is no token stands in quotes. */
static int
forwarded_element(const struct stream_info *info, const struct stream_request *r, struct buf *b)
{
	char text[ADDR_SA_TEXT];
	struct span ip = forwarded_ip(info->client, text), host = r->head->authority;
	bool v6 =
	    info->client->sa_family == AF_INET6 && ip.n > 0 && memchr(ip.p, ':', ip.n) != NULL;

	if (info->client->sa_family == AF_UNIX)
		ip = SPAN_LIT("unknown");
	if (buf_printf(b, v6 ? "for=\"[%.*s]\"" : "for=%.*s", SPAN_ARG(ip)) == -1)
		return -1;
	/* An authority holds no quote and no backslash. */
	if (host.n > 0 &&
	    buf_printf(b, http_is_token(host) ? ";host=%.*s" : ";host=\"%.*s\"", SPAN_ARG(host)) ==
		-1)
		return -1;
	return buf_printf(b, ";proto=%.*s", SPAN_ARG(forwarded_proto(info)));
}

int
forwarded_value(enum forwarded_what what, const struct stream_info *info,
    const struct stream_request *r, struct buf *b)
{
	char text[ADDR_SA_TEXT];

	switch (what) {
	case FORWARDED_X_FOR:
		if (forwarded_chain(info, r, "X-Forwarded-For", b) == -1)
			return -1;
		return buf_append_span(b, forwarded_ip(info->client, text));
	case FORWARDED_X_PROTO:
		return forwarded_single(info, r, "X-Forwarded-Proto", forwarded_proto(info), b);
	case FORWARDED_X_HOST:
		return forwarded_single(info, r, "X-Forwarded-Host", r->head->authority, b);
	case FORWARDED_X_REAL_IP:
		return buf_append_span(
		    b, forwarded_ip(r->client != NULL ? r->client : info->client, text));
	case FORWARDED_RFC7239:
		if (forwarded_chain(info, r, "Forwarded", b) == -1)
			return -1;
		return forwarded_element(info, r, b);
	}
	return -1;
}
