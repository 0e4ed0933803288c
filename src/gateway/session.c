/* Sessions: their facts and access lines.  See session.h. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/ws_utf8.h"
#include "gateway/session.h"
#include "policy/subprotocol.h"

/* What of a path or origin is kept. */
#define FACT_MAX 512
/* What a value may take in a line when all of it is escaped; the lines stay below LOG_LINE_MAX. */
#define ACCESS_VALUE_MAX 800
#define ACCESS_LINE_MAX LOG_LINE_MAX

static struct span
fact_cut(struct span s)
{
	return (struct span){ s.p, s.n < FACT_MAX ? s.n : FACT_MAX };
}

/* Who is said to be the client, as text; nothing where it is the peer. */
static struct span
fact_client(const struct stream_request *r, char text[ADDR_SA_TEXT])
{
	if (r->client == NULL)
		return SPAN_NONE;
	addr_format_sa(r->client, sizeof(struct sockaddr_storage), false, text, ADDR_SA_TEXT);
	return span_from_str(text);
}

/* Most are short and stand in the loop's slabs; which, their size tells. */
static struct session_facts *
facts_alloc(struct loop *l, size_t n)
{
	return n <= LOOP_OBJECT_MAX ? loop_object(l, n) : mem_zalloc(n);
}

static size_t
facts_size(const struct session_facts *f)
{
	return offsetof(struct session_facts, data) + f->client_n + f->method_n + f->path_n +
	    f->origin_n + f->subprotocol_n + f->extensions_n;
}

static void
facts_free(struct loop *l, struct session_facts *f)
{
	if (f != NULL && facts_size(f) <= LOOP_OBJECT_MAX)
		loop_object_free_later(l, f);
	else
		mem_free(f);
}

static struct session_facts *
facts_new(struct loop *l, const struct stream_request *r)
{
	const struct http_field *origin = http_head_find(r->head, "Origin");
	char client[ADDR_SA_TEXT];
	struct span v[4] = { fact_client(r, client), fact_cut(r->head->method),
		fact_cut(r->head->path), origin != NULL ? fact_cut(origin->value) : SPAN_NONE };
	struct session_facts *f;
	char *p;

	f = facts_alloc(
	    l, offsetof(struct session_facts, data) + v[0].n + v[1].n + v[2].n + v[3].n);
	if (f == NULL)
		return NULL;
	f->client_n = (uint8_t)v[0].n;
	f->method_n = (uint16_t)v[1].n;
	f->path_n = (uint16_t)v[2].n;
	f->origin_n = (uint16_t)v[3].n;
	f->has_origin = origin != NULL;
	p = f->data;
	for (int i = 0; i < 4; i++) {
		if (v[i].n > 0)
			memcpy(p, v[i].p, v[i].n);
		p += v[i].n;
	}
	return f;
}

void
session_init(struct session *ss, struct gateway *gw, enum session_kind kind, struct stream *s,
    const struct stream_request *r, const struct config_route *route)
{
	ss->gw = gw;
	ss->kind = (uint8_t)kind;
	ss->s = s;
	ss->route = route;
	ss->start_ms = loop_now_ms(gw->env.loop);
	ss->facts = facts_new(gw->env.loop, r);
	if ((ss->next = gw->sessions) != NULL)
		ss->next->prev = &ss->next;
	ss->prev = &gw->sessions;
	gw->sessions = ss;
}

struct span
session_pick_subprotocol(const struct http_head *head, const struct config_list *known)
{
	struct span s = SPAN_NONE;

	for (size_t i = 0; i < head->n_fields && s.n == 0; i++)
		if (span_eq_nocase(head->field[i].name, SPAN_LIT("Sec-WebSocket-Protocol")))
			s = subprotocol_pick(head->field[i].value, known);
	return s;
}

/*
 * Put a fact behind those that are there already, whose length the caller sets; 0 or -1 without
 * memory.
 */
static int
facts_add(struct session *ss, struct span fact)
{
	struct loop *l = ss->gw->env.loop;
	size_t had = facts_size(ss->facts);
	struct session_facts *f = facts_alloc(l, had + fact.n);

	if (f == NULL)
		return -1;
	memcpy(f, ss->facts, had);
	memcpy((char *)f + had, fact.p, fact.n);
	facts_free(l, ss->facts);
	ss->facts = f;
	return 0;
}

int
session_set_subprotocol(struct session *ss, struct span subprotocol)
{
	subprotocol = fact_cut(subprotocol);
	if (subprotocol.n == 0 || ss->facts == NULL)
		return 0;
	if (facts_add(ss, subprotocol) == -1)
		return -1;
	ss->facts->subprotocol_n = (uint16_t)subprotocol.n;
	return 0;
}

int
session_set_extensions(struct session *ss, struct span extensions)
{
	extensions = fact_cut(extensions);
	if (extensions.n == 0 || ss->facts == NULL)
		return 0;
	if (facts_add(ss, extensions) == -1)
		return -1;
	ss->facts->extensions_n = (uint16_t)extensions.n;
	return 0;
}

static void
session_unlink(struct session *ss)
{
	if (ss->prev == NULL)
		return;
	if ((*ss->prev = ss->next) != NULL)
		ss->next->prev = ss->prev;
	ss->prev = NULL;
}

void
session_clear(struct session *ss)
{
	session_unlink(ss);
	backends_release(ss->backend);
	ss->backend = NULL;
	facts_free(ss->gw->env.loop, ss->facts);
}

void
session_free(struct session *ss)
{
	session_clear(ss);
	loop_object_free_later(ss->gw->env.loop, ss);
}

void
session_move(struct session *to, struct session *from, enum session_kind kind)
{
	*to = *from;
	to->kind = (uint8_t)kind;
	if ((*to->prev = to) != NULL && to->next != NULL)
		to->next->prev = &to->next;
	from->prev = NULL;
	from->backend = NULL;
	from->facts = NULL;
	from->s = NULL;
}

void
session_traffic(const struct session *ss, struct session_traffic *out)
{
	memset(out, 0, sizeof(*out));
	switch ((enum session_kind)ss->kind) {
	case SESSION_WEBSOCKET:
		ws_traffic(ss, out);
		break;
	case SESSION_PROXY:
		proxy_traffic(ss, out);
		break;
	case SESSION_STATIC:
	case SESSION_FORWARD:
		out->queued_bytes = stream_queued(ss->s);
		break;
	case SESSION_CURSOR:
		break;
	}
}

/*
 * One line being written, in either form; without memory of the heap, so that it is whole whatever
 * there is.
 */
struct access_line {
	struct buf b;
	bool json;
	char room[ACCESS_LINE_MAX];
};

static void
access_key(struct access_line *a, const char *key)
{
	if (a->json)
		buf_printf(&a->b, "%s\"%s\":", a->b.n > 1 ? "," : "", key);
	else if (a->b.n > 0)
		buf_append_char(&a->b, ' ');
}

static void
access_span(struct access_line *a, const char *key, struct span v, bool present)
{
	bool plain = v.n > 0;
	uint8_t state = WS_UTF8_START;
	bool utf8;
	size_t start;

	access_key(a, key);
	if (!present) {
		buf_append_str(&a->b, a->json ? "null" : "-");
		return;
	}
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
			plain = false;
	}
	if (v.n == 1 && v.p[0] == '-')
		plain = false;
	utf8 = a->json && ws_utf8_feed(&state, (const uint8_t *)v.p, v.n) && state == WS_UTF8_START;
	if (a->json || !plain)
		buf_append_char(&a->b, '"');
	start = a->b.n;
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (a->b.n - start >= ACCESS_VALUE_MAX && (c & 0xc0) != 0x80)
			break; /* never within a character */

		if (c == '"' || c == '\\')
			buf_printf(&a->b, "\\%c", c);
		else if (c < ' ' || c == 0x7f || (c > 0x7f && !utf8))
			buf_printf(&a->b, a->json ? "\\u%04x" : "\\x%02x", c);
		else
			buf_append_char(&a->b, (char)c);
	}
	if (a->json || !plain)
		buf_append_char(&a->b, '"');
}

static void
access_str(struct access_line *a, const char *key, const char *v)
{
	access_span(a, key, span_from_str(v), v != NULL);
}

static void
access_num(struct access_line *a, const char *key, uint64_t v, bool present)
{
	access_key(a, key);
	if (present)
		buf_printf(&a->b, "%llu", (unsigned long long)v);
	else
		buf_append_str(&a->b, a->json ? "null" : "-");
}

static void
access_begin(struct access_line *a, const struct stream_info *info,
    const struct config_route *route, const struct session_facts *f)
{
	char text[128];

	buf_init_over(&a->b, a->room, sizeof(a->room));
	a->json = info->config->server.log_format == LOG_F_JSON;
	if (a->json)
		buf_append_char(&a->b, '{');
	clock_rfc3339(text, sizeof(text));
	access_str(a, "time", text);
	addr_format_sa(info->client, sizeof(struct sockaddr_storage), false, text, sizeof(text));
	if (f != NULL && f->client_n > 0)
		access_span(a, "client", (struct span){ f->data, f->client_n }, true);
	else
		access_str(a, "client", text);
	access_str(a, "listener", info->listen->name);
	access_str(a, "route", route != NULL ? route->name : NULL);
	access_str(a, "http", info->http);
	access_str(a, "tls", info->tls);
}

static void
access_facts(struct access_line *a, const struct session_facts *f, unsigned status)
{
	const char *p = f != NULL ? f->data + f->client_n : NULL;

	access_span(a, "method", (struct span){ p, f != NULL ? f->method_n : 0 },
	    f != NULL && f->method_n > 0);
	p = f != NULL ? p + f->method_n : NULL;
	access_span(
	    a, "path", (struct span){ p, f != NULL ? f->path_n : 0 }, f != NULL && f->path_n > 0);
	access_num(a, "status", status, status != 0);
	p = f != NULL ? p + f->path_n : NULL;
	access_span(a, "origin", (struct span){ p, f != NULL ? f->origin_n : 0 },
	    f != NULL && f->has_origin);
	p = f != NULL ? p + f->origin_n : NULL;
	access_span(a, "subprotocol", (struct span){ p, f != NULL ? f->subprotocol_n : 0 },
	    f != NULL && f->subprotocol_n > 0);
	p = f != NULL ? p + f->subprotocol_n : NULL;
	access_span(a, "extensions", (struct span){ p, f != NULL ? f->extensions_n : 0 },
	    f != NULL && f->extensions_n > 0);
}

static void
access_end(
    struct access_line *a, struct log *log, const struct session_end *e, uint64_t duration_ms)
{
	static const char *const by[] = { NULL, "client", "backend", "gateway" };

	access_num(a, "duration_ms", duration_ms, true);
	access_num(a, "messages_in", e->messages_in, e->is_websocket);
	access_num(a, "messages_out", e->messages_out, e->is_websocket);
	access_num(a, "bytes_in", e->bytes_in, true);
	access_num(a, "bytes_out", e->bytes_out, true);
	access_num(a, "close_code", e->close_code, e->close_code != 0);
	access_str(a, "closed_by", by[e->by]);
	access_str(a, "reason", e->reason);
	if (a->json)
		buf_append_char(&a->b, '}');
	log_raw(log, a->b.p, a->b.n);
}

static void
session_count_request(struct route_counters *c, const struct session_end *e)
{
	counter_add(&c->requests[counters_status(e->status)], 1);
	counter_add(&c->body_bytes[COUNTERS_IN], e->bytes_in);
	counter_add(&c->body_bytes[COUNTERS_OUT], e->bytes_out);
}

void
session_access(struct session *ss, const struct session_end *e)
{
	struct gateway *gw = ss->gw;
	char backend[300];
	struct access_line a;

	/* A WebSocket was counted when it opened. */
	if (!e->is_websocket)
		session_count_request(session_count(ss), e);
	if (!log_on(gw->env.access, LOG_L_INFO))
		return;
	access_begin(&a, stream_info(ss->s), ss->route, ss->facts);
	access_facts(&a, ss->facts, e->status);
	access_str(&a, "backend",
	    ss->backend != NULL ? addr_format(backends_addr(ss->backend), backend, sizeof(backend))
				: NULL);
	access_end(&a, gw->env.access, e, loop_now_ms(gw->env.loop) - ss->start_ms);
}

void
session_access_refused(struct gateway *gw, const struct stream_info *info,
    const struct stream_request *r, const struct config_route *route, unsigned status,
    const char *why)
{
	struct session_end e = { .status = status, .by = SESSION_BY_GATEWAY, .reason = why };
	struct session_facts *f = NULL;
	struct access_line a;

	session_count_request(gateway_count(gw, route), &e);
	if (!log_on(gw->env.access, LOG_L_INFO))
		return;
	if (r != NULL)
		f = facts_new(gw->env.loop, r);
	access_begin(&a, info, route, f);
	access_facts(&a, f, status);
	access_str(&a, "backend", NULL);
	access_end(&a, gw->env.access, &e, 0);
	facts_free(gw->env.loop, f);
}

void
session_log(const struct session *ss, enum log_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!log_on(ss->gw->env.log, level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_kind(ss->gw->env.log, level, fmt, "c=%llu route=%s %s",
	    ss->s != NULL ? (unsigned long long)stream_info(ss->s)->connection_id : 0,
	    ss->route->name, text);
}
