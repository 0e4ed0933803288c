/*
 * HTTP/1.1 connections from clients (RFC 9112 server side): requests one after another,
 * pipelined or not, until one becomes a WebSocket (RFC 6455 4.2).  See http_conn.h.
 *
 * A connection is in one of the states below.  Everything that only HTTP needs
 * (the head's buffer, body and response state, the timer) is in a struct
 * h1_http, which is freed when a WebSocket takes the connection over: an open WebSocket costs
 * the connection's struct and nothing else.
 *
 * Runs on one worker; called by io/transport (events) and by the user of its
 * stream (operations); calls the gateway's http_handler.  Invariants: in
 * H1_HEAD nobody is attached; bytes that nobody can take yet are in the stash,
 * and while it is not empty nothing is read.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/ws_key.h"
#include "http/http_conn.h"
#include "http/reply.h"

/* Bytes of a request's body that are read only to reach the next request. */
#define H1_BODY_DROP 65536
/* Iovecs of one write of the user, with chunk framing around them. */
#define H1_IOV_MAX 32

enum h1_state {
	H1_HEAD,	/* between requests, or a head is incomplete */
	H1_REQUEST,	/* a request is being served */
	H1_WEBSOCKET,	/* the bytes are frames */
	H1_LINGER,	/* our FIN is out; what comes is dropped */
	H1_DEAD,	/* closed; freed at the turn's end */
};

/* What HTTP needs and a WebSocket does not. */
struct h1_http {
	struct loop_timer timer;	/* head, idle, linger: by the state */
	struct loop_task task;		/* flush the head, next request, deliver the stash */
	struct h1_server *h1c;		/* borrowed: the owner */
	struct http1_scan scan;
	struct buf stash;		/* an incomplete head, or bytes that wait */
	struct buf out;			/* response head that waits for its first body bytes */
	uint64_t body_left;		/* request body, HTTP_BODY_LENGTH */
	struct http1_chunked chunked;	/* request body, HTTP_BODY_CHUNKED */
	uint64_t response_left;		/* response body, HTTP_BODY_LENGTH */
	enum http_body body;		/* NONE once the request's body is over */
	enum http_body response_body;	/* as framed: CHUNKED for an unknown length in 1.1 */
	char accept[WS_ACCEPT_N + 1];
	bool first;			/* no request came yet */
	bool started;			/* bytes of the next head came */
	bool keep_alive, is_head, is_websocket, minor0;
	bool responded, response_done, no_body, released, next_wanted;
};

struct h1_server {
	struct http_conn c;	/* first */
	struct stream s;
	struct h1_http *http;	/* owned; NULL for an open WebSocket */
};

static const struct stream_ops h1_ops;
static const struct transport_events h1_events;

static struct h1_server *
h1_of_transport(struct transport *t)
{
	return (struct h1_server *)(void *)((char *)t - offsetof(struct h1_server, c.t));
}

static struct h1_server *
h1_of_stream(const struct stream *s)
{
	return (struct h1_server *)(uintptr_t)((const char *)s -
	    offsetof(struct h1_server, s));
}

static void h1_on_timer(struct loop_timer *t);
static void h1_on_task(struct loop_task *t);
static void h1_later(struct h1_server *h1c);
static void h1_feed(struct h1_server *h1c, uint8_t *p, size_t n);

static const char *
h1_state_str(enum h1_state st)
{
	switch (st) {
	case H1_HEAD: return "head";
	case H1_REQUEST: return "request";
	case H1_WEBSOCKET: return "websocket";
	case H1_LINGER: return "linger";
	case H1_DEAD: return "dead";
	}
	return "?";
}

/* The only place that changes the state. */
static void
h1_set_state(struct h1_server *h1c, enum h1_state to)
{
	static const uint8_t edges[] = {
		[H1_HEAD] = 1 << H1_REQUEST | 1 << H1_LINGER | 1 << H1_DEAD,
		[H1_REQUEST] = 1 << H1_HEAD | 1 << H1_WEBSOCKET | 1 << H1_LINGER | 1 << H1_DEAD,
		[H1_WEBSOCKET] = 1 << H1_LINGER | 1 << H1_DEAD,
		[H1_LINGER] = 1 << H1_DEAD,
	};

	assert((edges[h1c->s.carrier_state] & 1 << to) != 0 ||
	    (fprintf(stderr, "h1: %s to %s\n", h1_state_str(h1c->s.carrier_state),
	    h1_state_str(to)), false));
	h1c->s.carrier_state = (uint8_t)to;
}

static struct h1_http *
h1_http_new(struct h1_server *h1c)
{
	struct h1_http *h;

	if ((h = loop_object(h1c->c.t.loop, sizeof(*h))) == NULL)
		return NULL;
	h->h1c = h1c;
	h->timer.fn = h1_on_timer;
	h->first = true;
	h->keep_alive = true;
	buf_init(&h->stash, HTTP1_MAX_HEAD + LOOP_SCRATCH);
	buf_init(&h->out, HTTP1_MAX_HEAD + 4096);
	http1_scan_init(&h->scan, HTTP1_REQUEST);
	return h;
}

static void
h1_http_free(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	if (h == NULL)
		return;
	loop_timer_stop(h1c->c.t.loop, &h->timer);
	loop_later_cancel(h1c->c.t.loop, &h->task);
	buf_clear(&h->stash);
	buf_clear(&h->out);
	loop_object_free_later(h1c->c.t.loop, h);
	h1c->http = NULL;
}

static void
h1_arm(struct h1_server *h1c, uint64_t in_ms)
{
	if (in_ms == CONFIG_NEVER)
		loop_timer_stop(h1c->c.t.loop, &h1c->http->timer);
	else
		loop_timer_arm(h1c->c.t.loop, &h1c->http->timer,
		    loop_now_ms(h1c->c.t.loop) + in_ms);
}

/* The end of a connection; nothing is called up but `closed`. */
static void
h1_destroy(struct h1_server *h1c, bool reset)
{
	if (h1c->s.carrier_state == H1_DEAD)
		return;
	h1_set_state(h1c, H1_DEAD);
	h1_http_free(h1c);
	http_conn_close(&h1c->c, reset);
	loop_object_free_later(h1c->c.t.loop, h1c);
}

/* The stream breaks under its user, or the connection under nobody. */
static void
h1_fail(struct h1_server *h1c, enum stream_error e, const char *why)
{
	const struct stream_events *ev = h1c->s.ev;
	enum h1_state was = h1c->s.carrier_state;
	bool mid_head = h1c->http != NULL && h1c->http->started;

	if (ev != NULL) {
		h1c->s.ev = NULL;
		ev->reset(&h1c->s, e, why);
	} else if (was == H1_HEAD && mid_head) {
		h1c->c.list->handler->refused(h1c->c.list->handler->arg, http_conn_info(&h1c->c), NULL, 0, why);
	}
	h1_destroy(h1c, false);
}

/* Send what is left and our FIN, then drop what comes until the peer ends too. */
static void
h1_linger(struct h1_server *h1c, uint64_t linger_ms)
{
	if (h1c->http == NULL && (h1c->http = h1_http_new(h1c)) == NULL) {
		h1_destroy(h1c, false);
		return;
	}
	h1_set_state(h1c, H1_LINGER);
	loop_later_cancel(h1c->c.t.loop, &h1c->http->task);
	buf_clear(&h1c->http->stash);
	transport_fin(&h1c->c.t);
	if (h1c->s.carrier_eof && transport_queued(&h1c->c.t) == 0) {
		/* Both directions are over; the owner above may still hold us. */
		h1_destroy(h1c, false);
		return;
	}
	transport_want_read(&h1c->c.t, true);
	h1_arm(h1c, linger_ms);
}

/* A date field is the same for a second. */
static int
h1_put_date(struct buf *b)
{
	char date[32];

	clock_http_date(time(NULL), date, sizeof(date));
	return buf_printf(b, "Date: %s\r\n", date);
}

/* Refuse what never became a request: an answer, and the end of the connection. */
static void
h1_refuse(struct h1_server *h1c, unsigned status, const char *why)
{
	struct buf b;
	struct iovec iov;

	buf_init(&b, 2048);
	if (buf_printf(&b, "HTTP/1.1 %u %s\r\n", status, reply_reason(status)) == 0 &&
	    h1_put_date(&b) == 0 &&
	    buf_printf(&b, "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\n%s\r\n%s\n",
	    strlen(why) + 1, h1c->c.refuse != 0 ? "Retry-After: 5\r\n" : "", why) == 0) {
		iov.iov_base = b.p;
		iov.iov_len = b.n;
		transport_write(&h1c->c.t, &iov, 1);
	}
	buf_clear(&b);
	h1c->c.list->handler->refused(h1c->c.list->handler->arg, http_conn_info(&h1c->c), NULL, status, why);
	h1_linger(h1c, HTTP_LINGER_MS);
}

static void
h1_refuse_head(struct h1_server *h1c, enum http1_status st)
{
	switch (st) {
	case HTTP1_OK:
	case HTTP1_MORE:
		break;
	case HTTP1_BAD:
		h1_refuse(h1c, 400, "the request is not well-formed HTTP");
		break;
	case HTTP1_BAD_VERSION:
		h1_refuse(h1c, 505, "this HTTP version is not spoken here");
		break;
	case HTTP1_BAD_CODING:
		h1_refuse(h1c, 501, "this transfer coding is not known");
		break;
	case HTTP1_TARGET_TOO_LONG:
		h1_refuse(h1c, 414, "the request target is too long");
		break;
	case HTTP1_TOO_LARGE:
		h1_refuse(h1c, 431, "the request head is too large");
		break;
	}
}

/* The checks of RFC 6455 4.2.1 that HTTP/1.1 has and HTTP/2 has not. */
static enum ws_request
h1_judge_websocket(struct h1_http *h, const struct http_head *head, const char **why)
{
	const struct http_field *key, *version;

	/* An Upgrade in 1.0, or without Connection, is to be ignored (RFC 9110 7.8). */
	if (head->minor == 0 || !span_eq(head->method, SPAN_LIT("GET")) ||
	    !http_head_list_has(head, "Upgrade", "websocket") ||
	    !http_head_list_has(head, "Connection", "upgrade"))
		return WS_REQUEST_NONE;
	h->is_websocket = true;
	if (head->body == HTTP_BODY_CHUNKED ||
	    (head->body == HTTP_BODY_LENGTH && head->content_length > 0)) {
		*why = "a WebSocket handshake has no body";
		return WS_REQUEST_BAD;
	}
	version = http_head_find(head, "Sec-WebSocket-Version");
	if (http_head_count(head, "Sec-WebSocket-Version") != 1 ||
	    !span_eq(version->value, SPAN_LIT("13"))) {
		*why = "Sec-WebSocket-Version is not 13";
		return WS_REQUEST_BAD_VERSION;	/* 4.2.1 6 */
	}
	key = http_head_find(head, "Sec-WebSocket-Key");
	if (http_head_count(head, "Sec-WebSocket-Key") != 1 || !ws_key_valid(key->value)) {
		*why = "Sec-WebSocket-Key is missing, repeated or not 16 bytes in base64";
		return WS_REQUEST_BAD;	/* 4.2.1 5 */
	}
	if (ws_key_accept(key->value, h->accept) == -1) {
		*why = "the handshake's answer cannot be computed";
		return WS_REQUEST_BAD;
	}
	return WS_REQUEST_OK;
}

/* A whole head stands at p[0..n). */
static void
h1_request(struct h1_server *h1c, const char *p, size_t n)
{
	struct h1_http *h = h1c->http;
	struct stream_request r;
	struct http_head head;
	enum http1_status st;

	if ((st = http1_parse_request(p, n, &head)) != HTTP1_OK) {
		h1_refuse_head(h1c, st);
		return;
	}
	if (h1c->c.refuse != 0) {
		h1_refuse(h1c, h1c->c.refuse, "too many connections");
		return;
	}
	memset(&r, 0, sizeof(r));
	h->is_websocket = false;
	r.head = &head;
	r.ws = h1_judge_websocket(h, &head, &r.ws_why);
	h->first = false;
	h->started = false;
	h->minor0 = head.minor == 0;
	h->keep_alive = head.keep_alive && !h1c->c.retired;
	h->is_head = span_eq(head.method, SPAN_LIT("HEAD"));
	h->body = head.body;
	h->body_left = head.body == HTTP_BODY_LENGTH ? head.content_length : 0;
	if (h->body == HTTP_BODY_LENGTH && h->body_left == 0)
		h->body = HTTP_BODY_NONE;
	http1_chunked_init(&h->chunked);
	h->responded = h->response_done = h->no_body = h->released = false;
	h->next_wanted = false;
	h1c->c.version = head.minor == 0 ? HTTP_1_0 : HTTP_1_1;
	loop_timer_stop(h1c->c.t.loop, &h->timer);
	h1_set_state(h1c, H1_REQUEST);
	h1c->s.holds = 0;
	h1c->c.list->handler->request(h1c->c.list->handler->arg, &h1c->s, &r);
}

/* Keep bytes that cannot be taken now, and read no more until they are. */
static void
h1_keep(struct h1_server *h1c, const uint8_t *p, size_t n)
{
	if (n == 0)
		return;
	if (h1c->http == NULL && (h1c->http = h1_http_new(h1c)) == NULL) {
		h1_fail(h1c, STREAM_E_MEMORY, "out of memory");
		return;
	}
	if (buf_append(&h1c->http->stash, p, n) == -1) {
		h1_fail(h1c, STREAM_E_MEMORY, "out of memory");
		return;
	}
	transport_want_read(&h1c->c.t, false);
}

static size_t
h1_budget(struct h1_server *h1c, size_t max)
{
	size_t budget = max;

	if (h1c->s.holds != 0)
		return 0;
	if (h1c->s.ev != NULL && h1c->s.ev->budget != NULL)
		budget = h1c->s.ev->budget(&h1c->s);
	return budget < max ? budget : max;
}

/* Bytes of the request's body: handed up when somebody listens. */
static void
h1_hand_body(struct h1_server *h1c, uint8_t *p, size_t n)
{
	if (h1c->s.ev != NULL && h1c->s.ev->bytes != NULL)
		h1c->s.ev->bytes(&h1c->s, p, n);
}

static void
h1_body_end(struct h1_server *h1c)
{
	h1c->http->body = HTTP_BODY_NONE;
	if (h1c->s.ev == NULL && h1c->http->response_done) {
		h1c->http->next_wanted = true;
		h1_later(h1c);
	}
	if (h1c->s.ev != NULL && h1c->s.ev->end != NULL)
		h1c->s.ev->end(&h1c->s);
}

/* Take body bytes; how many of p[0..n) were taken. */
static size_t
h1_feed_body(struct h1_server *h1c, uint8_t *p, size_t n)
{
	struct h1_http *h = h1c->http;
	struct span data;
	size_t used;

	if (h->body == HTTP_BODY_LENGTH) {
		used = n < h->body_left ? n : (size_t)h->body_left;
		h->body_left -= used;
		h1_hand_body(h1c, p, used);
		if (h1c->s.carrier_state == H1_REQUEST && h->body_left == 0)
			h1_body_end(h1c);
		return used;
	}
	switch (http1_chunked_feed(&h->chunked, (const char *)p, n, &used, &data)) {
	case HTTP1_CHUNK_DATA:
		h1_hand_body(h1c, p + (data.p - (const char *)p), data.n);
		break;
	case HTTP1_CHUNK_END:
		h1_body_end(h1c);
		break;
	case HTTP1_CHUNK_BAD:
		h1_fail(h1c, STREAM_E_PROTOCOL, "the request's chunked body is broken");
		break;
	case HTTP1_CHUNK_MORE:
		break;
	}
	return used;
}

/* Head bytes: in the stash already when a part came before. */
static size_t
h1_feed_head(struct h1_server *h1c, uint8_t *p, size_t n)
{
	struct h1_http *h = h1c->http;
	size_t had = h->stash.n, head_n;
	const char *all = (const char *)p;
	enum http1_status st;

	if (!h->started) {
		h->started = true;
		if (!h->first)
			h1_arm(h1c, h1c->c.config->server.handshake_timeout_ms);
	}
	if (had > 0) {
		if (buf_append(&h->stash, p, n) == -1) {
			h1_fail(h1c, STREAM_E_MEMORY, "out of memory");
			return n;
		}
		all = h->stash.p;
	}
	st = http1_scan(&h->scan, all, had + n, &head_n);
	if (st == HTTP1_MORE) {
		if (had == 0 && buf_append(&h->stash, p, n) == -1)
			h1_fail(h1c, STREAM_E_MEMORY, "out of memory");
		return n;
	}
	http1_scan_init(&h->scan, HTTP1_REQUEST);
	if (st != HTTP1_OK) {
		h1_refuse_head(h1c, st);
		return n;
	}
	if (had > 0) {
		/* The head moves out of the stash for the call, so that bytes behind it can be kept there. */
		struct buf head = h->stash;

		buf_init(&h->stash, head.max);
		h1_request(h1c, head.p, head_n);
		buf_clear(&head);
		return head_n - had;
	}
	h1_request(h1c, all, head_n);
	return head_n;
}

/* Bytes have come, in whatever state. */
static void
h1_feed(struct h1_server *h1c, uint8_t *p, size_t n)
{
	size_t used = 0;

	while (n > 0) {
		switch ((enum h1_state)h1c->s.carrier_state) {
		case H1_HEAD:
			used = h1_feed_head(h1c, p, n);
			break;
		case H1_REQUEST:
			if (h1c->http->body == HTTP_BODY_NONE) {
				h1_keep(h1c, p, n);	/* pipelined, or early frames */
				return;
			}
			if (h1c->s.ev != NULL && h1_budget(h1c, n) == 0) {
				h1_keep(h1c, p, n);
				return;
			}
			used = h1_feed_body(h1c, p, n);
			break;
		case H1_WEBSOCKET:
			if ((used = h1_budget(h1c, n)) == 0) {
				h1_keep(h1c, p, n);
				return;
			}
			h1c->s.ev->bytes(&h1c->s, p, used);
			break;
			case H1_LINGER:
		case H1_DEAD:
			return;
		}
		p += used;
		n -= used;
	}
}

/* Give the stash away again as far as somebody takes it. */
static void
h1_feed_stash(struct h1_server *h1c)
{
	struct buf stash = h1c->http->stash;

	if (stash.n == 0)
		return;
	buf_init(&h1c->http->stash, stash.max);
	transport_want_read(&h1c->c.t, h1c->s.holds == 0);
	h1_feed(h1c, (uint8_t *)stash.p, stash.n);
	buf_clear(&stash);
}

/* The peer's FIN. */
static void
h1_on_eof(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	h1c->s.carrier_eof = true;
	switch ((enum h1_state)h1c->s.carrier_state) {
	case H1_HEAD:
		if (h->started)
			h1c->c.list->handler->refused(h1c->c.list->handler->arg, http_conn_info(&h1c->c), NULL, 0,
			    "the client left within the request head");
		h1_destroy(h1c, false);
		break;
	case H1_REQUEST:
		h->keep_alive = false;
		if (h->body != HTTP_BODY_NONE)
			h1_fail(h1c, STREAM_E_PEER, "the client left within the request's body");
		else if (h->is_websocket && h1c->s.ev != NULL)
			h1_fail(h1c, STREAM_E_PEER, "the client left before the handshake was over");
		else if (h1c->s.ev != NULL && h1c->s.ev->gone != NULL)
			h1c->s.ev->gone(&h1c->s);
		break;
	case H1_WEBSOCKET:
		if (h1c->s.ev != NULL)
			h1c->s.ev->end(&h1c->s);
		break;
	case H1_LINGER:
	case H1_DEAD:
		h1_destroy(h1c, false);
		break;
	}
}

static void
h1_on_readable(struct transport *t)
{
	struct h1_server *h1c = h1_of_transport(t);
	size_t n = 0, max = LOOP_SCRATCH;
	uint8_t *p = loop_scratch(t->loop);
	const char *why = "connection error";

	if (h1c->s.carrier_state == H1_HEAD || (h1c->s.carrier_state == H1_REQUEST &&
	    h1c->http->body == HTTP_BODY_NONE))
		max = HTTP_HEAD_READ;
	else if (h1c->s.ev != NULL && (max = h1_budget(h1c, max)) == 0) {
		transport_want_read(t, false);
		return;
	}
	switch (transport_read(t, p, max, &n, &why)) {
	case IO_OK:
		h1_feed(h1c, p, n);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		h1_on_eof(h1c);
		break;
	case IO_ERROR:
		h1_fail(h1c, STREAM_E_PEER, why);
		break;
	}
}

static void
h1_on_drained(struct transport *t)
{
	struct h1_server *h1c = h1_of_transport(t);

	if (h1c->s.carrier_state == H1_LINGER && h1c->s.carrier_eof)
		h1_destroy(h1c, false);
	else if (h1c->s.ev != NULL && h1c->s.ev->room != NULL)
		h1c->s.ev->room(&h1c->s);
}

static void
h1_on_failed(struct transport *t, const char *why)
{
	h1_fail(h1_of_transport(t), STREAM_E_PEER, why);
}

static void
h1_on_timer(struct loop_timer *timer)
{
	struct h1_http *h = (struct h1_http *)(void *)((char *)timer -
	    offsetof(struct h1_http, timer));
	struct h1_server *h1c = h->h1c;

	switch ((enum h1_state)h1c->s.carrier_state) {
	case H1_HEAD:
		if (h->first || h->started)
			h1_refuse(h1c, 408, "the request head was not complete in time");
		else
			h1_linger(h1c, HTTP_LINGER_MS);	/* idle */
		break;
	case H1_LINGER:
		h1_destroy(h1c, false);
		break;
	case H1_REQUEST:
		h1_linger(h1c, HTTP_LINGER_MS);	/* the rest of a body did not come */
		break;
	case H1_WEBSOCKET:
	case H1_DEAD:
		break;
	}
}

static const struct transport_events h1_events = {
	.readable = h1_on_readable,
	.drained = h1_on_drained,
	.failed = h1_on_failed,
};

/* The response is over and its user is gone: the next request, or the end. */
static void
h1_next(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	if (!h->keep_alive || 
	    h1c->c.retired || h1c->s.carrier_eof) {
		h1_linger(h1c, HTTP_LINGER_MS);
		return;
	}
	if (h->body != HTTP_BODY_NONE) {
		/* The short rest of a body that nobody wanted is dropped first. */
		transport_want_read(&h1c->c.t, true);
		h1_arm(h1c, HTTP_LINGER_MS);
		return;
	}
	h1_set_state(h1c, H1_HEAD);
	h1_arm(h1c, h1c->c.listen->idle_connection_timeout_ms);
	transport_want_read(&h1c->c.t, true);
	h1_feed_stash(h1c);
}

/* Send a response head that no body bytes took along. */
static void
h1_flush_head(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;
	struct iovec iov = { .iov_base = h->out.p, .iov_len = h->out.n };

	if (h->out.n == 0)
		return;
	transport_write(&h1c->c.t, &iov, 1);
	buf_clear(&h->out);
}

static void
h1_on_task(struct loop_task *task)
{
	struct h1_http *h = (struct h1_http *)(void *)((char *)task -
	    offsetof(struct h1_http, task));
	struct h1_server *h1c = h->h1c;

	h1_flush_head(h1c);
	if (h->next_wanted) {
		h->next_wanted = false;
		h1_next(h1c);
		return;
	}
	if (h1c->s.holds != 0 || (h1c->s.carrier_state == H1_REQUEST && h->body == HTTP_BODY_NONE))
		return;
	h1_feed_stash(h1c);
	if (h1c->s.carrier_state == H1_WEBSOCKET && h1c->http != NULL && h1c->http->stash.n == 0)
		h1_http_free(h1c);
}

static void
h1_later(struct h1_server *h1c)
{
	loop_later(h1c->c.t.loop, &h1c->http->task, h1_on_task);
}

/* How the response's body is framed (RFC 9112 6). */
static int
h1_put_framing(struct h1_http *h, const struct stream_response *r)
{
	h->no_body = h->is_head || r->status == 204 || r->status == 304 || r->status < 200;
	h->response_body = r->body;
	h->response_left = r->body == HTTP_BODY_LENGTH ? r->content_length : 0;
	if (r->body == HTTP_BODY_LENGTH && r->status != 204)
		return buf_printf(&h->out, "Content-Length: %llu\r\n",
		    (unsigned long long)r->content_length);
	if (r->body == HTTP_BODY_NONE && !h->no_body) {
		h->response_body = HTTP_BODY_LENGTH;
		return buf_append_str(&h->out, "Content-Length: 0\r\n");
	}
	if (r->body == HTTP_BODY_EOF || r->body == HTTP_BODY_CHUNKED) {
		if (h->minor0) {
			h->response_body = HTTP_BODY_EOF;
			h->keep_alive = false;
			return 0;
		}
		h->response_body = HTTP_BODY_CHUNKED;
		return h->is_head || !h->no_body ?
		    buf_append_str(&h->out, "Transfer-Encoding: chunked\r\n") : 0;
	}
	return 0;
}

/* 1: a Date was among them; 0; -1 without memory. */
static int
h1_put_end_to_end(struct buf *b, const struct http_field *f, size_t n)
{
	bool date = false;

	for (size_t i = 0; i < n; i++) {
		/* Whoever made them: nothing that could end a line goes out. */
		if (!http_is_token(f[i].name) || !http_is_field_value(f[i].value))
			continue;
		date |= span_eq_nocase(f[i].name, SPAN_LIT("Date"));
		if (buf_append_span(b, f[i].name) == -1 || buf_append(b, ": ", 2) == -1 ||
		    buf_append_span(b, f[i].value) == -1 || buf_append(b, "\r\n", 2) == -1)
			return -1;
	}
	return date;
}

static int
h1_put_fields(struct buf *b, const struct http_field *f, size_t n)
{
	int ret = h1_put_end_to_end(b, f, n);

	return ret == 0 ? h1_put_date(b) : ret == 1 ? 0 : -1;
}

/* Whether what is left of the request's body is not worth reading if the user does not. */
static bool
h1_body_too_long(const struct h1_http *h)
{
	return h->body == HTTP_BODY_CHUNKED ||
	    (h->body == HTTP_BODY_LENGTH && h->body_left > H1_BODY_DROP);
}

static int
h1_op_respond(struct stream *s, const struct stream_response *r)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	struct span reason = r->reason.n > 0 ? r->reason :
	    span_from_str(reply_reason(r->status));

	if (h1c->s.carrier_state != H1_REQUEST || h->responded)
		return -1;
	h->responded = true;
	/* Bytes behind a refused handshake were meant as frames, never as a request. */
	if (r->close || h1_body_too_long(h) || (h->is_websocket && h->stash.n > 0) || 
	    h1c->c.retired || h1c->s.carrier_eof)
		h->keep_alive = false;
	if (buf_printf(&h->out, "HTTP/1.1 %u %.*s\r\n", r->status, SPAN_ARG(reason)) == -1 ||
	    h1_put_fields(&h->out, r->field, r->n_fields) == -1 ||
	    h1_put_framing(h, r) == -1 ||
	    (!h->keep_alive && buf_append_str(&h->out, "Connection: close\r\n") == -1) ||
	    (h->keep_alive && h->minor0 &&
	    buf_append_str(&h->out, "Connection: keep-alive\r\n") == -1) ||
	    buf_append(&h->out, "\r\n", 2) == -1) {
		buf_clear(&h->out);
		transport_break(&h1c->c.t, ENOMEM);
		return -1;
	}
	h1_later(h1c);
	return 0;
}

/* An interim response (RFC 9110 15.2); HTTP/1.0 knows none. */
static int
h1_op_inform(struct stream *s, unsigned status, const struct http_field *field, size_t n_fields)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct iovec iov;
	struct buf b;
	int ret = -1;

	if (h1c->s.carrier_state != H1_REQUEST || h1c->http->responded || h1c->http->minor0)
		return -1;
	buf_init(&b, HTTP1_MAX_HEAD + 4096);
	if (buf_printf(&b, "HTTP/1.1 %u %s\r\n", status, reply_reason(status)) == 0 &&
	    h1_put_end_to_end(&b, field, n_fields) != -1 && buf_append(&b, "\r\n", 2) == 0) {
		iov.iov_base = b.p;
		iov.iov_len = b.n;
		ret = transport_write(&h1c->c.t, &iov, 1);
	}
	buf_clear(&b);
	return ret;
}

static int
h1_op_accept(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	struct iovec iov;
	int ret;

	if (h1c->s.carrier_state != H1_REQUEST || !h->is_websocket || h->responded)
		return -1;
	h->responded = true;
	if (buf_append_str(&h->out, "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n") == -1 ||
	    buf_printf(&h->out, "Sec-WebSocket-Accept: %s\r\n", h->accept) == -1 ||
	    h1_put_fields(&h->out, field, n_fields) == -1 ||
	    buf_append(&h->out, "\r\n", 2) == -1) {
		transport_break(&h1c->c.t, ENOMEM);
		return -1;
	}
	iov.iov_base = h->out.p;
	iov.iov_len = h->out.n;
	ret = transport_write(&h1c->c.t, &iov, 1);
	buf_clear(&h->out);
	h1_set_state(h1c, H1_WEBSOCKET);
	h1_later(h1c);	/* the stash goes up, and HTTP's memory away */
	return ret;
}

/* Body bytes with their chunk framing around them (RFC 9112 7.1). */
static int
h1_write_chunk(struct h1_server *h1c, const struct iovec *iov, int n, size_t bytes)
{
	struct iovec v[H1_IOV_MAX];
	struct h1_http *h = h1c->http;
	char size[20];
	int i, m = 0, ret;

	if (h->out.n > 0)
		v[m++] = (struct iovec){ h->out.p, h->out.n };
	if (h->response_body == HTTP_BODY_CHUNKED)
		v[m++] = (struct iovec){ size,
		    (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes) };
	for (i = 0; i < n; i++)
		v[m++] = iov[i];
	if (h->response_body == HTTP_BODY_CHUNKED)
		v[m++] = (struct iovec){ (void *)(uintptr_t)"\r\n", 2 };
	ret = transport_write(&h1c->c.t, v, m);
	buf_clear(&h->out);
	return ret;
}

static int
h1_op_write(struct stream *s, const struct iovec *iov, int n)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	size_t bytes = 0;

	if (h1c->s.carrier_state == H1_WEBSOCKET)
		return transport_write(&h1c->c.t, iov, n);
	if (h1c->s.carrier_state != H1_REQUEST || !h->responded || h->response_done ||
	    n > H1_IOV_MAX - 3)
		return -1;
	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	if (h->no_body || bytes == 0)
		return 0;
	if (h->response_body == HTTP_BODY_LENGTH) {
		if (bytes > h->response_left)
			return -1;
		h->response_left -= bytes;
	}
	return h1_write_chunk(h1c, iov, n, bytes);
}

static void
h1_op_end(struct stream *s)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	struct iovec last = { (void *)(uintptr_t)"0\r\n\r\n", 5 };

	if (h1c->s.carrier_state == H1_WEBSOCKET) {
		transport_fin(&h1c->c.t);
		return;
	}
	if (h1c->s.carrier_state != H1_REQUEST || !h->responded || h->response_done)
		return;
	if (!h->no_body && h->response_body == HTTP_BODY_LENGTH && h->response_left > 0)
		return;		/* cut short: stream_close will break it off */
	h->response_done = true;
	if (!h->no_body && h->response_body == HTTP_BODY_CHUNKED) {
		h1_flush_head(h1c);
		transport_write(&h1c->c.t, &last, 1);
	}
}

static void
h1_op_close(struct stream *s, uint64_t linger_ms)
{
	struct h1_server *h1c = h1_of_stream(s);

	s->holds = 0;
	switch ((enum h1_state)h1c->s.carrier_state) {
	case H1_WEBSOCKET:
		h1_linger(h1c, linger_ms);
		break;
	case H1_REQUEST:
		h1_op_end(s);
		if (!h1c->http->response_done) {
			/* The client must see that the body is not whole. */
			h1_destroy(h1c, true);
			break;
		}
		h1c->http->next_wanted = true;
		h1_later(h1c);
		break;
	case H1_HEAD:
	case H1_LINGER:
	case H1_DEAD:
		break;
	}
}

static void
h1_op_abort(struct stream *s)
{
	h1_destroy(h1_of_stream(s), true);
}

static void
h1_op_flow(struct stream *s)
{
	struct h1_server *h1c = h1_of_stream(s);

	if (s->holds != 0) {
		/* A request that waits still has to notice that its client leaves. */
		if (h1c->s.carrier_state == H1_WEBSOCKET || h1c->http->body != HTTP_BODY_NONE)
			transport_want_read(&h1c->c.t, false);
		return;
	}
	if (h1c->http == NULL || h1c->http->stash.n == 0)
		transport_want_read(&h1c->c.t, true);
	if (h1c->http != NULL)
		h1_later(h1c);
}

static size_t
h1_op_queued(const struct stream *s)
{
	return transport_queued(&h1_of_stream(s)->c.t);
}

static const struct stream_info *
h1_op_info(const struct stream *s)
{
	return http_conn_info(&h1_of_stream(s)->c);
}

static const struct stream_ops h1_ops = {
	.respond = h1_op_respond,
	.inform = h1_op_inform,
	.accept = h1_op_accept,
	.write = h1_op_write,
	.end = h1_op_end,
	.close = h1_op_close,
	.abort = h1_op_abort,
	.flow = h1_op_flow,
	.queued = h1_op_queued,
	.info = h1_op_info,
};

/* Between requests: end it now.  Within one: end it after the response. */
static void
h1_retire(struct http_conn *c)
{
	struct h1_server *h1c = (struct h1_server *)(void *)c;

	c->retired = true;
	/* A reload takes nothing from a client whose first request is on its way. */
	if (h1c->s.carrier_state == H1_HEAD && !h1c->http->started &&
	    (!h1c->http->first || c->list->draining))
		h1_linger(h1c, HTTP_LINGER_MS);
	else if (h1c->http != NULL)
		h1c->http->keep_alive = false;
}

static void
h1_abort(struct http_conn *c, const char *why)
{
	h1_fail((struct h1_server *)(void *)c, STREAM_E_SHUTDOWN, why);
}

static const struct http_conn_ops h1_conn_ops = {
	.retire = h1_retire,
	.abort = h1_abort,
};

int
h1_server_start(struct http_conn *from, uint64_t deadline_ms, uint8_t *p, size_t n)
{
	struct loop *loop = from->t.loop;
	struct h1_server *h1c;

	if ((h1c = loop_object(loop, sizeof(*h1c))) == NULL)
		return -1;
	h1c->c.t.loop = loop;
	if ((h1c->http = h1_http_new(h1c)) == NULL) {
		loop_object_free_later(loop, h1c);
		return -1;
	}
	h1c->s.carrier_state = H1_HEAD;
	h1c->s.ops = &h1_ops;
	http_conn_move(&h1c->c, from, &h1_conn_ops, &h1_events);
	loop_timer_arm(loop, &h1c->http->timer, deadline_ms);
	h1_feed(h1c, p, n);
	return 0;
}
