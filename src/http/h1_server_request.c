/*
 * Requests of an HTTP/1.1 connection from a client: a head is gathered, judged and handed to the
 * gateway, its body goes up as it comes.  See h1_server.c, which calls this.
 *
 * A head that comes in one read is parsed where it stands; an incomplete one waits in the stash.
 */
#include <stdio.h>
#include <string.h>

#include "http/h1_server_int.h"
#include "http/h1_trailers.h"
#include "http/reply.h"

/* The gateway's own last response. */
static void
h1_answer(struct h1_server *h1c, unsigned status, const char *why)
{
	char retry[32] = "";
	struct buf b;
	struct iovec iov;

	if (h1c->c.refuse != 0)
		snprintf(
		    retry, sizeof(retry), "Retry-After: %s\r\n", http_refusal_retry(h1c->c.refuse));
	buf_init(&b, 2048);
	if (buf_printf(&b, "HTTP/1.1 %u %s\r\n", status, reply_reason(status)) == 0 &&
	    buf_append_span(&b, http_conn_date(&h1c->c)) == 0 &&
	    buf_printf(&b,
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n%s\r\n%s\n",
		strlen(why) + 1, retry, why) == 0) {
		iov.iov_base = b.p;
		iov.iov_len = b.n;
		transport_write_fin(&h1c->c.t, &iov, 1);
	}
	buf_clear(&b);
}

void
h1_refuse(struct h1_server *h1c, unsigned status, const char *why)
{
	h1_answer(h1c, status, why);
	h1c->c.list->handler->refused(
	    h1c->c.list->handler->arg, http_conn_info(&h1c->c), NULL, status, why);
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
		return WS_REQUEST_BAD_VERSION; /* 4.2.1 6 */
	}
	key = http_head_find(head, "Sec-WebSocket-Key");
	if (http_head_count(head, "Sec-WebSocket-Key") != 1 || !ws_key_valid(key->value)) {
		*why = "Sec-WebSocket-Key is missing, repeated or not 16 bytes in base64";
		return WS_REQUEST_BAD; /* 4.2.1 5 */
	}
	if (ws_key_accept(key->value, h->accept) == -1) {
		*why = "the handshake's answer cannot be computed";
		return WS_REQUEST_FAILED;
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
		h1_refuse(h1c, h1c->c.refuse, http_refusal_why(h1c->c.refuse));
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
	h->expects = head.expect_continue && h->body != HTTP_BODY_NONE;
	http1_chunked_init(&h->chunked);
	buf_clear(&h->trailers);
	h->responded = h->response_done = h->no_body = h->released = false;
	h->next_wanted = false;
	h1c->c.version = head.minor == 0 ? HTTP_1_0 : HTTP_1_1;
	loop_timer_stop(h1c->c.t.loop, &h->timer);
	h1_set_state(h1c, H1_REQUEST);
	h1c->s.holds = 0;
	h1c->c.list->handler->request(h1c->c.list->handler->arg, &h1c->s, &r);
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
	h1_trailers_up(&h1c->s, &h1c->http->trailers);
	if (h1c->s.carrier_state != H1_REQUEST)
		return; /* closed by the user */
	if (h1c->s.ev == NULL && h1c->http->response_done) {
		h1c->http->next_wanted = true;
		h1_later(h1c);
	}
	if (h1c->s.ev != NULL && h1c->s.ev->end != NULL)
		h1c->s.ev->end(&h1c->s);
}

/*
 * Where the body ends cannot be told: 400 as long as nothing was answered, and nothing behind it
 * is a request.
 */
static void
h1_body_broken(struct h1_server *h1c)
{
	static const char why[] = "the request's chunked body is broken";
	const struct stream_events *ev = h1c->s.ev;

	if (h1c->s.carrier_state != H1_REQUEST || h1c->http->responded) {
		h1_fail(h1c, STREAM_E_PROTOCOL, why);
		return;
	}
	h1c->s.ev = NULL;
	h1c->s.holds = 0;
	if (ev != NULL)
		ev->reset(&h1c->s, STREAM_E_BODY, why);
	if (h1c->s.carrier_state != H1_REQUEST)
		return;
	h1_flush_head(h1c); /* an interim response */
	h1_answer(h1c, 400, why);
	h1_linger(h1c, HTTP_LINGER_MS);
}

/* Take body bytes; how many of p[0..n) were taken. */
size_t
h1_feed_body(struct h1_server *h1c, uint8_t *p, size_t n)
{
	struct h1_http *h = h1c->http;
	struct span data;
	size_t used;

	h->expects = false;
	if (h->body == HTTP_BODY_LENGTH) {
		used = n < h->body_left ? n : (size_t)h->body_left;
		h->body_left -= used;
		h1_hand_body(h1c, p, used);
		if (h1c->s.carrier_state == H1_REQUEST && h->body_left == 0)
			h1_body_end(h1c);
		return used;
	}
	switch (http1_chunked_gather(&h->chunked, (char *)p, n, &used, &data)) {
	case HTTP1_CHUNK_DATA:
		h1_hand_body(h1c, p + (data.p - (const char *)p), data.n);
		break;
	case HTTP1_CHUNK_TRAILER:
		if (h1_trailers_keep(&h1c->s, &h->trailers, data) == -1)
			h1_fail(h1c, STREAM_E_MEMORY, "out of memory");
		break;
	case HTTP1_CHUNK_END:
		h1_body_end(h1c);
		break;
	case HTTP1_CHUNK_BAD:
		h1_body_broken(h1c);
		break;
	case HTTP1_CHUNK_MORE:
		break;
	}
	return used;
}

/* Head bytes: in the stash already when a part came before. */
size_t
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
		/*
		 * The head moves out of the stash for the call, so that bytes behind it can be
		 * kept there.
		 */
		struct buf head = h->stash;

		buf_init(&h->stash, head.max);
		h1_request(h1c, head.p, head_n);
		buf_clear(&head);
		return head_n - had;
	}
	h1_request(h1c, all, head_n);
	return head_n;
}
