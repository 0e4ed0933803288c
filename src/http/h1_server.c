/*
 * HTTP/1.1 connections from clients (RFC 9112 server side): requests one after another,
 * pipelined or not, until one becomes a WebSocket (RFC 6455 4.2).  See http_conn.h.
 * Here are the states, the bytes as they come and the end; h1_server_request.c has the heads and
 * bodies of requests, h1_server_response.c the way down.
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

#include "http/h1_server_int.h"

/*
 * A WebSocket's end waits at most so many times its CloseTimeout for a client that goes on
 * reading.
 */
#define H1_CLOSE_STEPS 5

static void h1_on_timer(struct loop_timer *t);

static struct h1_server *
h1_of_transport(struct transport *t)
{
	return (struct h1_server *)(void *)((char *)t - offsetof(struct h1_server, c.t));
}

static const char *
h1_state_str(enum h1_state st)
{
	switch (st) {
	case H1_HEAD:
		return "head";
	case H1_REQUEST:
		return "request";
	case H1_WEBSOCKET:
		return "websocket";
	case H1_LINGER:
		return "linger";
	case H1_DEAD:
		return "dead";
	}
	return "?";
}

void
h1_set_state(struct h1_server *h1c, enum h1_state to)
{
	static const uint8_t edges[] = {
		[H1_HEAD] = 1 << H1_REQUEST | 1 << H1_LINGER | 1 << H1_DEAD,
		[H1_REQUEST] = 1 << H1_HEAD | 1 << H1_WEBSOCKET | 1 << H1_LINGER | 1 << H1_DEAD,
		[H1_WEBSOCKET] = 1 << H1_LINGER | 1 << H1_DEAD,
		[H1_LINGER] = 1 << H1_DEAD,
	};

	assert((edges[h1c->s.carrier_state] & 1 << to) != 0 ||
	    (fprintf(
		 stderr, "h1: %s to %s\n", h1_state_str(h1c->s.carrier_state), h1_state_str(to)),
		false));
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
	buf_init(&h->trailers, HTTP1_MAX_TRAILER_BYTES);
	http1_scan_init(&h->scan, HTTP1_REQUEST);
	return h;
}

void
h1_http_free(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	if (h == NULL)
		return;
	loop_timer_stop(h1c->c.t.loop, &h->timer);
	loop_later_cancel(h1c->c.t.loop, &h->task);
	buf_clear(&h->stash);
	buf_clear(&h->out);
	buf_clear(&h->trailers);
	loop_object_free_later(h1c->c.t.loop, h);
	h1c->http = NULL;
}

void
h1_arm(struct h1_server *h1c, uint64_t in_ms)
{
	if (in_ms == CONFIG_NEVER)
		loop_timer_stop(h1c->c.t.loop, &h1c->http->timer);
	else
		loop_timer_arm(
		    h1c->c.t.loop, &h1c->http->timer, loop_now_ms(h1c->c.t.loop) + in_ms);
}

void
h1_destroy(struct h1_server *h1c, bool reset)
{
	if (h1c->s.carrier_state == H1_DEAD)
		return;
	h1_set_state(h1c, H1_DEAD);
	h1_http_free(h1c);
	http_conn_close(&h1c->c, reset);
	loop_object_free_later(h1c->c.t.loop, h1c);
}

/* Whether bytes of a response are missing, which a FIN would make look whole (RFC 9112 8). */
static bool
h1_is_cut_short(const struct h1_server *h1c)
{
	const struct h1_http *h = h1c->http;

	if (h == NULL || h->is_websocket)
		return false;
	return transport_queued(&h1c->c.t) > 0 ||
	    (h1c->s.carrier_state == H1_REQUEST && h->responded && !h->response_done);
}

void
h1_fail(struct h1_server *h1c, enum stream_error e, const char *why)
{
	const struct stream_events *ev = h1c->s.ev;
	enum h1_state was = h1c->s.carrier_state;
	bool mid_head = h1c->http != NULL && h1c->http->started;

	if (ev != NULL) {
		h1c->s.ev = NULL;
		ev->reset(&h1c->s, e, why);
	} else if (was == H1_HEAD && mid_head) {
		h1c->c.list->handler->refused(
		    h1c->c.list->handler->arg, http_conn_info(&h1c->c), NULL, 0, why);
	}
	h1_destroy(h1c, h1_is_cut_short(h1c));
}

/*
 * What waits is the end of a response: a client that takes any of it within an idle connection's
 * time gets all of it.  Of a WebSocket's end it has to take some within each CloseTimeout, and all
 * within H1_CLOSE_STEPS of them.
 */
static void
h1_arm_flush(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	h->flushing = true;
	h->queued = transport_queued(&h1c->c.t);
	h1_arm(h1c, h->steps > 0 ? h->linger_ms : h1c->c.listen->idle_connection_timeout_ms);
}

/* Whether a client that was waited for has taken some, and may have the rest. */
static bool
h1_flush_goes_on(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	return transport_queued(&h1c->c.t) < h->queued && (h->steps == 0 || --h->steps > 0);
}

void
h1_linger(struct h1_server *h1c, uint64_t linger_ms)
{
	bool http = h1c->s.carrier_state != H1_WEBSOCKET;

	if (h1c->http == NULL && (h1c->http = h1_http_new(h1c)) == NULL) {
		h1_destroy(h1c, false);
		return;
	}
	h1c->http->linger_ms = linger_ms;
	h1c->http->is_websocket |= !http;
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
	h1c->http->steps = http ? 0 : H1_CLOSE_STEPS;
	if (transport_queued(&h1c->c.t) > 0)
		h1_arm_flush(h1c);
	else
		h1_arm(h1c, linger_ms);
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
				h1_keep(h1c, p, n); /* pipelined, or early frames */
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
			h1c->c.list->handler->refused(h1c->c.list->handler->arg,
			    http_conn_info(&h1c->c), NULL, 0,
			    "the client left within the request head");
		h1_destroy(h1c, false);
		break;
	case H1_REQUEST:
		h->keep_alive = false;
		if (h->body != HTTP_BODY_NONE)
			h1_fail(h1c, STREAM_E_PEER, "the client left within the request's body");
		else if (h->is_websocket && h1c->s.ev != NULL)
			h1_fail(
			    h1c, STREAM_E_PEER, "the client left before the handshake was over");
		else if (h1c->s.ev != NULL && h1c->s.ev->gone != NULL)
			h1c->s.ev->gone(&h1c->s);
		break;
	case H1_WEBSOCKET:
		if (h1c->s.ev != NULL)
			h1c->s.ev->end(&h1c->s);
		break;
	case H1_LINGER:
		/* What waits is still sent. */
		if (transport_queued(&h1c->c.t) == 0)
			h1_destroy(h1c, false);
		break;
	case H1_DEAD:
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
	enum io_status st;

	if (h1c->s.carrier_state == H1_HEAD ||
	    (h1c->s.carrier_state == H1_REQUEST && h1c->http->body == HTTP_BODY_NONE))
		max = HTTP_HEAD_READ;
	else if (h1c->s.ev != NULL && (max = h1_budget(h1c, max)) == 0) {
		transport_want_read(t, false);
		return;
	}
	st = transport_read(t, p, max, &n, &why);
	/* Not more was read than the user can take. */
	if (st == IO_OK && h1c->s.carrier_state == H1_WEBSOCKET)
		h1c->s.ev->bytes(&h1c->s, p, n);
	else if (st == IO_OK)
		h1_feed(h1c, p, n);
	else if (st == IO_EOF)
		h1_on_eof(h1c);
	else if (st == IO_ERROR)
		h1_fail(h1c, STREAM_E_PEER, why);
}

static void
h1_on_drained(struct transport *t)
{
	struct h1_server *h1c = h1_of_transport(t);
	bool flushed = h1c->http != NULL && h1c->http->flushing;

	if (flushed)
		h1c->http->flushing = false;
	if (h1c->s.carrier_state == H1_LINGER && h1c->s.carrier_eof) {
		h1_destroy(h1c, false);
	} else if (h1c->s.carrier_state == H1_LINGER && flushed) {
		h1_arm(h1c, h1c->http->linger_ms);
	} else if (flushed) {
		h1c->http->next_wanted = true;
		h1_later(h1c);
	} else if (h1c->s.ev != NULL && h1c->s.ev->room != NULL) {
		h1c->s.ev->room(&h1c->s);
	}
}

static void
h1_on_failed(struct transport *t, const char *why)
{
	h1_fail(h1_of_transport(t), t->err == ENOMEM ? STREAM_E_MEMORY : STREAM_E_PEER, why);
}

static void
h1_on_timer(struct loop_timer *timer)
{
	struct h1_http *h =
	    (struct h1_http *)(void *)((char *)timer - offsetof(struct h1_http, timer));
	struct h1_server *h1c = h->h1c;

	if (h->flushing) {
		if (h1_flush_goes_on(h1c))
			h1_arm_flush(h1c);
		else
			h1_destroy(h1c, true);
		return;
	}
	switch ((enum h1_state)h1c->s.carrier_state) {
	case H1_HEAD:
		if (h->started || (h->first && !h1c->c.list->draining))
			h1_refuse(h1c, 408, "the request head was not complete in time");
		else
			h1_linger(h1c, HTTP_LINGER_MS); /* idle */
		break;
	case H1_LINGER:
		h1_destroy(h1c, h1_is_cut_short(h1c));
		break;
	case H1_REQUEST:
		h1_linger(h1c, HTTP_LINGER_MS); /* the rest of a body did not come */
		break;
	case H1_WEBSOCKET:
	case H1_DEAD:
		break;
	}
}

/* The response is over and its user is gone: the next request, or the end. */
static void
h1_next(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;

	if (!h->keep_alive || h1c->c.retired || h1c->s.carrier_eof) {
		h1_linger(h1c, HTTP_LINGER_MS);
		return;
	}
	if (h->body != HTTP_BODY_NONE) {
		/*
		 * The short rest of a body that nobody wanted is dropped first, beginning with
		 * what was held of it.
		 */
		transport_want_read(&h1c->c.t, true);
		h1_arm(h1c, HTTP_LINGER_MS);
		h1_feed_stash(h1c);
		return;
	}
	/* Who sends requests and reads no responses would have us keep them all. */
	if (transport_queued(&h1c->c.t) > 0) {
		transport_want_read(&h1c->c.t, false);
		h1_arm_flush(h1c);
		return;
	}
	h1_set_state(h1c, H1_HEAD);
	h1_arm(h1c, h1c->c.listen->idle_connection_timeout_ms);
	transport_want_read(&h1c->c.t, true);
	h1_feed_stash(h1c);
}

static void
h1_on_task(struct loop_task *task)
{
	struct h1_http *h =
	    (struct h1_http *)(void *)((char *)task - offsetof(struct h1_http, task));
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

void
h1_later(struct h1_server *h1c)
{
	loop_later(h1c->c.t.loop, &h1c->http->task, h1_on_task);
}

/* Between requests: end it now.  Within one: end it after the response. */
static void
h1_retire(struct http_conn *c)
{
	struct h1_server *h1c = (struct h1_server *)(void *)c;

	c->retired = true;
	if (h1c->s.carrier_state == H1_HEAD && !h1c->http->started && !h1c->http->first) {
		h1_linger(h1c, HTTP_LINGER_MS);
		return;
	}
	/*
	 * Nothing is taken from a client whose first request is on its way, but a drain does not
	 * wait for long.
	 */
	if (h1c->s.carrier_state == H1_HEAD && !h1c->http->started && c->list->draining)
		h1_arm(h1c, HTTP_DRAIN_GRACE_MS);
	if (h1c->http != NULL)
		h1c->http->keep_alive = false;
}

static void
h1_abort(struct http_conn *c, const char *why)
{
	h1_fail((struct h1_server *)(void *)c, STREAM_E_SHUTDOWN, why);
}

static const struct http_conn_ops h1_conn_ops = {
	.t = {
		.readable = h1_on_readable,
		.drained = h1_on_drained,
		.failed = h1_on_failed,
	},
	.retire = h1_retire,
	.abort = h1_abort,
};

_Static_assert(sizeof(struct h1_server) <= HTTP_CONN_ROOM, "there is no room for it");

int
h1_server_become(struct http_conn *c, uint64_t deadline_ms, uint8_t *p, size_t n)
{
	struct h1_server *h1c = (struct h1_server *)(void *)c;
	struct h1_http *http;

	if ((http = h1_http_new(h1c)) == NULL)
		return -1;
	memset((char *)h1c + sizeof(*c), 0, sizeof(*h1c) - sizeof(*c));
	c->t.ev = &h1_conn_ops.t;
	h1c->http = http;
	h1c->s.carrier_state = H1_HEAD;
	h1c->s.ops = &h1_ops;
	loop_timer_arm(c->t.loop, &http->timer, deadline_ms);
	h1_feed(h1c, p, n);
	return 0;
}
