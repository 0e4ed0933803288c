/* Heads of forwarded handshakes.  See forward_head.h. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "codec/ws_ext.h"
#include "gateway/forward_head.h"
#include "gateway/forwarded.h"
#include "policy/subprotocol.h"

/*
 * Fields of one connection stay behind.  The names of trailers that follow do not, where there is
 * a body that can have
 * some: the carriers make a chunked or HTTP/2 body of it again (RFC 9110 6.6.2).
 */
static bool
stays_behind(const struct http_head *h, struct span name)
{
	if (span_eq_nocase(name, SPAN_LIT("Trailer")) && h->body == HTTP_BODY_CHUNKED)
		return http_head_list_has(h, "Connection", "Trailer");
	return http_head_is_hop_by_hop(h, name);
}

static bool
name_in(struct span name, const struct span *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_eq_nocase(name, list[i]))
			return true;
	return false;
}

#define NAME_IN(name, list) name_in((name), (list), sizeof(list) / sizeof((list)[0]))

/* Fields of the request that are never copied. */
static bool
request_field_rebuilt(struct span name)
{
	static const struct span own[] = { SPAN_LIT("Host"), SPAN_LIT("Content-Length"),
		SPAN_LIT("Expect"), SPAN_LIT("Sec-WebSocket-Key"),
		SPAN_LIT("Sec-WebSocket-Version"), SPAN_LIT("Sec-WebSocket-Extensions"),
		SPAN_LIT("Sec-WebSocket-Protocol"), SPAN_LIT("HTTP2-Settings") };

	return NAME_IN(name, own);
}

/* A request's own, and what the gateway adds. */
#define HEAD_FIELDS_MAX (HTTP1_MAX_FIELDS + 8)
/* What most heads fit into, at once. */
#define HEAD_USUAL 1000

/* Everything that the copy needs, first as offsets into one buffer. */
struct head_maker {
	struct buf b;
	size_t n;
	struct http_field field[HEAD_FIELDS_MAX];
	bool failed;
};

static struct span
maker_put(struct head_maker *m, struct span s)
{
	struct span at = { (const char *)m->b.n, s.n }; /* an offset until the end */

	if (buf_append_span(&m->b, s) == -1)
		m->failed = true;
	return at;
}

static void
maker_field(struct head_maker *m, struct span name, struct span value)
{
	if (m->n == HEAD_FIELDS_MAX) {
		m->failed = true;
		return;
	}
	m->field[m->n].name = maker_put(m, name);
	m->field[m->n++].value = maker_put(m, value);
}

/* What may be passed on of the client's offers, as one list. */
static void
maker_subprotocols(
    struct head_maker *m, const struct http_head *head, const struct config_list *filter)
{
	struct span list, item;
	struct buf b;

	buf_init(&b, HTTP1_MAX_HEAD);
	for (size_t i = 0; i < head->n_fields; i++) {
		if (!span_eq_nocase(head->field[i].name, SPAN_LIT("Sec-WebSocket-Protocol")))
			continue;
		list = head->field[i].value;
		while (span_next_item(&list, &item)) {
			if (!http_is_token(item) ||
			    (filter->n > 0 && !subprotocol_allowed(item, filter)))
				continue;
			if ((b.n > 0 && buf_append(&b, ", ", 2) == -1) ||
			    buf_append_span(&b, item) == -1)
				m->failed = true;
		}
	}
	if (b.n > 0)
		maker_field(m, SPAN_LIT("Sec-WebSocket-Protocol"), buf_span(&b));
	buf_clear(&b);
}

/* Compression=passthrough: the offers of permessage-deflate that can be answered, as one list. */
static void
maker_extensions(struct head_maker *m, const struct http_head *head)
{
	struct span list, item;
	enum ws_ext_kind kind;
	struct ws_ext offer;
	struct buf b;

	buf_init(&b, HTTP1_MAX_HEAD);
	for (size_t i = 0; i < head->n_fields; i++) {
		if (!span_eq_nocase(head->field[i].name, SPAN_LIT("Sec-WebSocket-Extensions")))
			continue;
		list = head->field[i].value;
		while ((kind = ws_ext_next(&list, WS_EXT_OFFER, &offer, &item)) != WS_EXT_END &&
		    kind != WS_EXT_BAD)
			if (kind == WS_EXT_DEFLATE &&
			    ((b.n > 0 && buf_append(&b, ", ", 2) == -1) ||
				buf_append_span(&b, item) == -1))
				m->failed = true;
	}
	if (b.n > 0)
		maker_field(m, SPAN_LIT("Sec-WebSocket-Extensions"), buf_span(&b));
	buf_clear(&b);
}

static void
maker_forwarded_field(struct head_maker *m, enum forwarded_what what,
    const struct stream_info *info, const struct stream_request *r)
{
	struct span value = { (const char *)m->b.n, 0 }; /* an offset, as maker_put's */

	if (forwarded_value(what, info, r, &m->b) == -1 || m->n == HEAD_FIELDS_MAX) {
		m->failed = true;
		return;
	}
	value.n = m->b.n - (size_t)(uintptr_t)value.p;
	if (value.n == 0)
		return;
	m->field[m->n].name = maker_put(m, forwarded_name(what));
	m->field[m->n++].value = value;
}

/* What ForwardedHeaders says. */
static void
maker_forwarded(struct head_maker *m, enum config_forwarded how, const struct stream_info *info,
    const struct stream_request *r)
{
	if (how == CONFIG_FORWARDED_X || how == CONFIG_FORWARDED_BOTH)
		for (int what = FORWARDED_X_FOR; what <= FORWARDED_X_REAL_IP; what++)
			maker_forwarded_field(m, (enum forwarded_what)what, info, r);
	if (how == CONFIG_FORWARDED_RFC7239 || how == CONFIG_FORWARDED_BOTH)
		maker_forwarded_field(m, FORWARDED_RFC7239, info, r);
}

static struct span
head_real(const struct forward_head *f, struct span at)
{
	const char *data = (const char *)&f->field[f->r.n_fields];

	return (struct span){ data + (size_t)(uintptr_t)at.p, at.n };
}

static struct forward_head *
maker_finish(struct head_maker *m, const struct h1_request *r)
{
	struct forward_head *f;

	if (m->failed || m->b.n == 0 ||
	    (f = mem_alloc(sizeof(*f) + m->n * sizeof(f->field[0]) + m->b.n)) == NULL)
		return NULL;
	memset(f, 0, sizeof(*f));
	memcpy(&f->field[m->n], m->b.p, m->b.n);
	f->r = *r;
	f->r.n_fields = m->n;
	f->r.method = head_real(f, r->method);
	f->r.path = head_real(f, r->path);
	f->r.authority = head_real(f, r->authority);
	if (r->query.p != NULL)
		f->r.query = head_real(f, r->query);
	for (size_t i = 0; i < m->n; i++) {
		f->field[i].name = head_real(f, m->field[i].name);
		f->field[i].value = head_real(f, m->field[i].value);
		if (span_eq(f->field[i].name, SPAN_LIT("Sec-WebSocket-Extensions")))
			f->extensions = f->field[i].value;
		if (span_eq(f->field[i].name, SPAN_LIT("Sec-WebSocket-Protocol"))) {
			f->offers_subprotocol = true;
			f->offered = f->field[i].value;
		}
	}
	f->r.field = f->field;
	return f;
}

/* An ordinary request's body, and what else is its own (RFC 9110 8.6, 10.1.1). */
static void
maker_request(struct head_maker *m, const struct http_head *head, struct h1_request *out)
{
	static const struct span with_content[] = { SPAN_LIT("POST"), SPAN_LIT("PUT"),
		SPAN_LIT("PATCH") };

	out->body = head->body;
	out->content_length = head->content_length;
	if (head->body == HTTP_BODY_NONE && NAME_IN(head->method, with_content))
		out->body = HTTP_BODY_LENGTH;
	out->te_trailers = http_head_list_has(head, "TE", "trailers");
	if (head->expect_continue && head->body != HTTP_BODY_NONE)
		maker_field(m, SPAN_LIT("Expect"), SPAN_LIT("100-continue"));
}

bool
forward_head_counts(const struct http_head *head)
{
	static const struct span counting[] = { SPAN_LIT("OPTIONS"), SPAN_LIT("TRACE") };

	return NAME_IN(head->method, counting);
}

/* One hop less; what is no number is none of ours. */
static void
maker_max_forwards(struct head_maker *m, const struct http_field *f)
{
	char digits[24];
	uint64_t left;

	if (http_parse_length(f->value, &left) && left > 0) {
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)left - 1);
		maker_field(m, f->name, span_from_str(digits));
	} else {
		maker_field(m, f->name, f->value);
	}
}

static void
maker_end_to_end(struct head_maker *m, const struct http_head *head)
{
	bool counts = forward_head_counts(head);

	for (size_t i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->field[i];

		if (request_field_rebuilt(f->name) || forwarded_is(f->name) ||
		    stays_behind(head, f->name))
			continue;
		if (counts && span_eq_nocase(f->name, SPAN_LIT("Max-Forwards")))
			maker_max_forwards(m, f);
		else
			maker_field(m, f->name, f->value);
	}
}

struct forward_head *
forward_head_new(const struct stream_info *info, const struct stream_request *r,
    const struct config_route *route)
{
	const struct http_head *head = r->head;
	struct head_maker m;
	struct h1_request out;
	struct forward_head *f;

	memset(&out, 0, sizeof(out));
	buf_init(&m.b, 2 * HTTP1_MAX_HEAD);
	m.failed = buf_reserve(&m.b, HEAD_USUAL) == -1;
	m.n = 0;
	out.websocket = r->ws != WS_REQUEST_NONE;
	out.method = maker_put(&m, out.websocket ? SPAN_LIT("GET") : head->method);
	out.path = maker_put(&m, head->path);
	out.authority = maker_put(&m, head->authority);
	if (head->query.p != NULL) {
		out.query = maker_put(&m, head->query);
		if (out.query.p == NULL)
			m.failed = true; /* never at offset 0: the method stands there */
	}
	maker_end_to_end(&m, head);
	if (out.websocket && route->ws.compression == CONFIG_COMPRESSION_PASSTHROUGH)
		maker_extensions(&m, head);
	if (out.websocket)
		maker_subprotocols(&m, head, &route->ws.subprotocols);
	else
		maker_request(&m, head, &out);
	maker_forwarded(&m, route->backend->forwarded_headers, info, r);
	f = maker_finish(&m, &out);
	buf_clear(&m.b);
	return f;
}

const char *
forward_check_101(const struct forward_head *f, const struct http_head *h, struct span *subprotocol)
{
	const struct http_field *chosen = http_head_find(h, "Sec-WebSocket-Protocol");
	struct span list = f->offered, item;

	*subprotocol = SPAN_NONE;
	if (chosen == NULL)
		return NULL;
	if (http_head_count(h, "Sec-WebSocket-Protocol") > 1)
		return "the backend's 101 has more than one Sec-WebSocket-Protocol";
	while (f->offers_subprotocol && span_next_item(&list, &item)) {
		if (span_eq(item, chosen->value)) {
			*subprotocol = chosen->value;
			return NULL;
		}
	}
	return "the backend's 101 has a subprotocol that was not offered";
}

size_t
forward_response_fields(const struct http_head *h, struct http_field *v)
{
	static const struct span never[] = { SPAN_LIT("Content-Length"),
		SPAN_LIT("Sec-WebSocket-Accept"), SPAN_LIT("Sec-WebSocket-Extensions"),
		SPAN_LIT("Wsrelayd-Compression") };
	bool offers = false;
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++) {
		bool offer =
		    h->status == 426 && span_eq_nocase(h->field[i].name, SPAN_LIT("Upgrade"));

		if (NAME_IN(h->field[i].name, never) ||
		    (!offer && stays_behind(h, h->field[i].name)))
			continue;
		offers |= offer;
		v[n++] = h->field[i];
	}
	/*
	 * Of a hop's own fields this one has an end-to-end meaning in 426 (RFC 9110 7.8, 15.5.22).
	 */
	if (offers && n < HTTP1_MAX_FIELDS)
		v[n++] = (struct http_field){ SPAN_LIT("Connection"), SPAN_LIT("Upgrade") };
	return n;
}
