/*
 * HTTP/1.1 connections to backends: the response's head, up to where its payload begins.  See
 * h1_client.h and h1_client.c, which calls it when there is something to read in H1C_HEAD.
 *
 * A head is scanned where it was read, and copied only while it is incomplete.  After each up-call
 * the state says whether the user wants to go on.
 */
#include "http/h1_client_int.h"

/* Responses before the final one (RFC 9110 15.2), at most. */
#define H1C_INTERIM_MAX 100

/*
 * What the backend says of its own patience; a second of it or none is not worth to be waited for.
 */
static void
h1c_note_keep_alive(struct h1_client *h1c, const struct http_head *h)
{
	uint64_t s;

	h1c->s.carrier_keep_s = KEEP_UNSAID;
	if (!h1c->s.carrier_keep || !http_head_keep_alive_s(h, &s))
		return;
	h1c->s.carrier_keep_s = s < KEEP_UNSAID ? (uint8_t)s : KEEP_UNSAID - 1;
	h1c->s.carrier_keep = s > 0;
}

/* The final head goes up; true when what is behind it is wanted. */
static bool
h1c_respond_up(struct h1_client *h1c, const struct http_head *h)
{
	struct h1_exchange *x = h1c->x;
	const char *why;

	why = h->status == 101 ? h1c_head_judge_switch(h, x->websocket, x->accept) : NULL;
	if (why != NULL) {
		h1c_fail_protocol(h1c, why);
		return false;
	}
	loop_timer_stop(h1c->t.loop, &x->timer);
	x->body = http1_response_body(h, x->is_head ? SPAN_LIT("HEAD") : SPAN_LIT("GET"));
	x->body_left = h->content_length;
	h1c->s.carrier_keep &= h->keep_alive && x->body != HTTP_BODY_EOF;
	h1c_note_keep_alive(h1c, h);
	h1c_set_state(h1c, h->status == 101 ? H1C_OPEN : H1C_BODY);
	h1c->s.ev->response(&h1c->s, h);
	return h1c->s.carrier_state == H1C_OPEN || h1c->s.carrier_state == H1C_BODY;
}

/* An interim head goes up (RFC 9110 15.2); true when the next one is wanted. */
static bool
h1c_inform_up(struct h1_client *h1c, const struct http_head *h)
{
	if (++h1c->x->interim > H1C_INTERIM_MAX) {
		h1c_fail_protocol(h1c, "too many interim responses from the backend");
		return false;
	}
	if (h1c->s.ev->interim != NULL)
		h1c->s.ev->interim(&h1c->s, h);
	return h1c->s.carrier_state == H1C_HEAD;
}

/*
 * Heads at p[0..n), of which the scan knows a part.  HTTP1_MORE: *used bytes were interim
 * responses, the rest is incomplete.  HTTP1_OK: the final
 * head was at the end of *used, and what follows is wanted.  Else the stream is broken or closed.
 */
static enum http1_status
h1c_scan_heads(struct h1_client *h1c, const char *p, size_t n, size_t *used)
{
	struct http_head head;
	enum http1_status st;
	size_t head_n;

	for (*used = 0; *used < n; *used += head_n) {
		st = http1_scan(&h1c->x->scan, p + *used, n - *used, &head_n);
		if (st == HTTP1_MORE)
			return st;
		if (h1c->s.ev->trace != NULL)
			h1c->s.ev->trace(&h1c->s, false,
			    (struct span){ p + *used, st == HTTP1_OK ? head_n : n - *used });
		if (st == HTTP1_OK)
			st = http1_parse_response(p + *used, head_n, &head);
		if (st != HTTP1_OK) {
			h1c_fail_protocol(h1c, h1c_head_error_str(st));
			return st;
		}
		http1_scan_init(&h1c->x->scan, HTTP1_RESPONSE);
		if (head.status >= 200 || head.status == 101) {
			*used += head_n;
			return h1c_respond_up(h1c, &head) ? HTTP1_OK : HTTP1_BAD;
		}
		if (!h1c_inform_up(h1c, &head))
			return HTTP1_BAD;
	}
	return HTTP1_MORE;
}

/* Bytes of the head came, n of them in the scratch. */
static void
h1c_feed_head(struct h1_client *h1c, uint8_t *p, size_t n)
{
	/* The head's memory is ours for the call, whatever the user closes in it. */
	struct buf own = h1c->x->kept;
	const char *all = (const char *)p;
	enum http1_status st;
	size_t used;

	buf_init(&h1c->x->kept, HTTP1_MAX_HEAD);
	if (own.n > 0) {
		if (buf_append(&own, p, n) == -1) {
			buf_clear(&own);
			h1c_fail_memory(h1c);
			return;
		}
		all = own.p;
		n = own.n;
	}
	st = h1c_scan_heads(h1c, all, n, &used);
	if (st == HTTP1_MORE && own.n > 0) {
		buf_consume(&own, used);
		h1c->x->kept = own;
		return;
	}
	if (st == HTTP1_MORE && buf_append(&h1c->x->kept, all + used, n - used) == -1)
		h1c_fail_memory(h1c);
	if (st == HTTP1_OK) {
		/* The head is no longer needed: the payload stands where a read puts it. */
		if (own.n > 0)
			memcpy(p, own.p + used, n - used);
		h1c_take(h1c, own.n > 0 ? p : p + used, n - used);
	}
	buf_clear(&own);
}

void
h1c_read_head(struct h1_client *h1c)
{
	/* Not more than a head: what is behind it may have to be kept. */
	size_t n, room = HTTP1_MAX_HEAD - h1c->x->kept.n;
	uint8_t *p = loop_scratch(h1c->t.loop);
	const char *why = "connection error";

	if (room == 0) {
		h1c_fail_protocol(h1c, h1c_head_error_str(HTTP1_TOO_LARGE));
		return;
	}
	switch (transport_read(&h1c->t, p, room, &n, &why)) {
	case IO_OK:
		h1c->s.carrier_answered = true;
		h1c_feed_head(h1c, p, n);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		h1c_fail(h1c, STREAM_E_PEER,
		    h1c->x->kept.n > 0 ? "backend closed within the response's head"
				       : "backend closed without a response");
		break;
	case IO_ERROR:
		h1c_fail(h1c, STREAM_E_PEER, why);
		break;
	}
}
