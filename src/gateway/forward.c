/*
 * forward: a WebSocket handshake is carried to an http backend.  Until the
 * backend's 101 the client's bytes are held and nothing of them is sent; then the
 * session becomes a WebSocket (gateway/ws).  Any other answer is the client's answer.
 * For a raw backend the handshake is over as soon as it is connected.
 *
 * States by what is set: neither (connecting), backend (request sent), responding
 * (a refusal's body is passed on).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/connect.h"
#include "gateway/extension.h"
#include "gateway/forward_head.h"
#include "gateway/ws.h"
#include "http/raw_client.h"

struct forward {
	struct session ss; /* first */
	struct connect connect;
	struct stream *backend;	   /* owned once connected */
	struct forward_head *head; /* owned; http backends */
	char *subprotocol_text;	   /* owned; raw backends: what the gateway picked */
	struct span subprotocol;   /* in it */
	uint64_t start_us;	   /* clock_mono_us */
	struct loop_timer timer;   /* while a refusal's body is passed on */
	uint64_t bytes;		   /* of a refusal's body */
	unsigned status;	   /* of the refusal that is being passed on */
	struct ws_ext ext;	   /* permessage-deflate as the client will be answered */
	bool has_ext;
	bool responding;
};

_Static_assert(sizeof(struct forward) <= LOOP_OBJECT_MAX, "struct forward has grown");

static void
forward_free(struct forward *f)
{
	loop_timer_stop(f->ss.gw->env.loop, &f->timer);
	connect_cancel(&f->connect);
	if (f->backend != NULL)
		stream_close(f->backend, 0);
	f->backend = NULL;
	mem_free(f->head);
	f->head = NULL;
	mem_free(f->subprotocol_text);
	f->subprotocol_text = NULL;
	session_free(&f->ss);
}

/*
 * Write the access line and end everything but the client's stream, which the caller closes behind
 * it: the route may go with its connection's snapshot.
 */
static void
forward_end(struct forward *f, unsigned status, enum session_side by, const char *reason)
{
	struct session_end e = {
		.status = status, .bytes_out = f->bytes, .by = by, .reason = reason
	};

	session_access(&f->ss, &e);
	forward_free(f);
}

static enum counters_refusal
forward_refusal(enum reply kind)
{
	if (kind == REPLY_GATEWAY_TIMEOUT)
		return REFUSED_BACKEND_TIMEOUT;
	if (kind == REPLY_UNAVAILABLE)
		return REFUSED_BACKEND_FULL;
	return kind == REPLY_BAD_GATEWAY ? REFUSED_BACKEND_FAILED : REFUSED_INTERNAL;
}

static const char *
forward_refusal_text(enum reply kind)
{
	if (kind == REPLY_GATEWAY_TIMEOUT)
		return "the application did not answer in time";
	return kind == REPLY_UNAVAILABLE ? "the application has no room for more connections"
					 : "the application cannot be reached";
}

/* The backend failed before it gave an answer; why stays valid. */
static void
forward_refuse(struct forward *f, enum reply kind, const char *why)
{
	struct stream *s = f->ss.s;

	if (kind == REPLY_INTERNAL)
		session_log(&f->ss, LOG_L_WARN, "%s", why);
	session_count_refused(&f->ss, forward_refusal(kind));
	forward_end(f, reply_status(s, kind),
	    kind == REPLY_INTERNAL ? SESSION_BY_GATEWAY : SESSION_BY_BACKEND, why);
	reply_send(s, kind, false, forward_refusal_text(kind));
}

/* To the next address, or the answer is how the last one failed. */
static void
forward_try_next(struct forward *f)
{
	if (!connect_next(&f->connect))
		forward_refuse(f, f->connect.kind, f->connect.why);
}

static void
forward_client_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct forward *f = s->user;

	(void)e;
	if (!f->responding)
		session_count_refused(&f->ss, REFUSED_CLIENT_LEFT);
	forward_end(f, f->status, SESSION_BY_CLIENT, why);
}

/* A body cut short must not look whole. */
static void
forward_break(struct forward *f, enum session_side by, const char *why)
{
	struct stream *s = f->ss.s;

	forward_end(f, f->status, by, why);
	stream_abort(s);
}

/* The body of a refusal must get on: neither side may keep the connection by doing nothing. */
static void
forward_on_timer(struct loop_timer *t)
{
	struct forward *f = (struct forward *)(void *)((char *)t - offsetof(struct forward, timer));

	forward_break(f, SESSION_BY_GATEWAY, "the response did not get on in time");
}

static void
forward_arm(struct forward *f)
{
	struct loop *loop = f->ss.gw->env.loop;
	uint64_t ms = stream_info(f->ss.s)->listen->idle_connection_timeout_ms;

	f->timer.fn = forward_on_timer;
	if (ms != CONFIG_NEVER && ms != 0)
		loop_timer_arm(loop, &f->timer, loop_now_ms(loop) + ms);
}

/* The client took what waited of a refusal's body. */
static void
forward_client_room(struct stream *s)
{
	struct forward *f = s->user;

	forward_arm(f);
	if (f->backend != NULL)
		stream_release(f->backend, STREAM_HOLD_PEER);
}

static void
forward_client_bytes(struct stream *s, uint8_t *p, size_t n)
{
	(void)s; /* held: a WebSocket handshake has no body */
	(void)p;
	(void)n;
}

static void
forward_client_end(struct stream *s)
{
	(void)s;
}

static const struct stream_events forward_client_events = {
	.bytes = forward_client_bytes,
	.room = forward_client_room,
	.end = forward_client_end,
	.reset = forward_client_reset,
};

/* The session is the WebSocket's now; what is left here goes. */
static void
forward_gone(struct forward *f)
{
	connect_cancel(&f->connect);
	mem_free(f->head);
	loop_object_free_later(f->ss.gw->env.loop, f);
}

/* The session becomes a WebSocket.  field has room for one more; 0, or -1 without memory. */
static int
forward_open(struct forward *f, struct span subprotocol, struct http_field *field, size_t n)
{
	struct gateway *gw = f->ss.gw;
	struct stream *s = f->ss.s;
	char text[WS_EXT_TEXT];

	if (session_set_subprotocol(&f->ss, subprotocol) == -1 ||
	    (f->has_ext && extension_say(&f->ss, &f->ext, text, &field[n++]) == -1) ||
	    ws_start(&f->ss, f->backend, f->has_ext ? &f->ext : NULL) == -1)
		return -1;
	stream_accept(s, field, n);
	histogram_add(&gw->count.handshake, clock_mono_us() - f->start_us);
	stream_release(s, STREAM_HOLD_BACKEND);
	return 0;
}

static void
forward_accept(struct forward *f, const struct http_head *h)
{
	struct http_field field[HTTP1_MAX_FIELDS + 1];
	size_t n = forward_response_fields(h, field);
	struct ws_ext passed;
	struct span subprotocol;
	const char *wrong;
	bool passes;

	if ((wrong = forward_check_101(f->head, h, &subprotocol)) != NULL ||
	    (wrong = extension_judge(f->head->extensions, h, &passed, &passes)) != NULL) {
		connect_failed(&f->connect, STREAM_E_PROTOCOL, wrong);
		forward_refuse(f, REPLY_BAD_GATEWAY, wrong);
		return;
	}
	connect_succeeded(&f->connect);
	if (passes)
		f->ext = passed;
	f->has_ext = passes || (f->has_ext && !extension_declined(h));
	if (forward_open(f, subprotocol, field, n) == -1)
		forward_refuse(f, REPLY_INTERNAL, "out of memory");
	else
		forward_gone(f);
}

/* Another status: that response, whole. */
static void
forward_respond(struct forward *f, const struct http_head *h)
{
	struct http_field field[HTTP1_MAX_FIELDS];
	struct stream_response r = { .status = h->status, .reason = h->reason, .field = field };

	r.n_fields = forward_response_fields(h, field);
	r.body = http1_response_body(h, SPAN_LIT("GET"));
	r.content_length = h->content_length;
	if (r.body == HTTP_BODY_CHUNKED)
		r.body = HTTP_BODY_EOF; /* a length that is not known */
	connect_succeeded(&f->connect);
	f->responding = true;
	f->status = h->status;
	session_count_refused(&f->ss, REFUSED_BACKEND_REFUSED);
	session_log(
	    &f->ss, LOG_L_INFO, "the backend refused the handshake with status %u", h->status);
	stream_respond(f->ss.s, &r);
	forward_arm(f);
}

static void
forward_on_response(struct stream *b, const struct http_head *h)
{
	struct forward *f = b->user;

	if (h->status == 101)
		forward_accept(f, h);
	else
		forward_respond(f, h);
}

static void
forward_on_bytes(struct stream *b, uint8_t *p, size_t n)
{
	struct forward *f = b->user;
	struct iovec iov = { .iov_base = p, .iov_len = n };

	f->bytes += n;
	forward_arm(f);
	stream_write(f->ss.s, &iov, 1);
	if (stream_queued(f->ss.s) > 0)
		stream_hold(b, STREAM_HOLD_PEER);
}

static size_t
forward_budget(struct stream *b)
{
	struct forward *f = b->user;

	return (size_t)f->ss.route->ws.buffer_limit;
}

static void
forward_on_trailers(struct stream *b, const struct http_field *field, size_t n_fields)
{
	struct forward *f = b->user;

	stream_trailers(f->ss.s, field, n_fields);
}

static void
forward_on_end(struct stream *b)
{
	struct forward *f = b->user;
	struct stream *s = f->ss.s;

	stream_end(s);
	forward_end(f, f->status, SESSION_BY_BACKEND, NULL);
	stream_close(s, 2000);
}

static void
forward_on_reset(struct stream *b, enum stream_error e, const char *why)
{
	struct forward *f = b->user;

	f->backend = NULL;
	if (f->responding) {
		forward_break(f, SESSION_BY_BACKEND, why);
		return;
	}
	connect_failed(&f->connect, e, why);
	/* Nobody has seen the handshake: another may (RFC 9110 9.2.2). */
	if (e == STREAM_E_PEER && !h1_client_answered(b))
		forward_try_next(f);
	else
		forward_refuse(f, f->connect.kind, f->connect.why);
}

static const struct stream_events forward_backend_events = {
	.response = forward_on_response,
	.bytes = forward_on_bytes,
	.trailers = forward_on_trailers,
	.end = forward_on_end,
	.reset = forward_on_reset,
	.budget = forward_budget,
};

/* A raw backend is connected: the gateway accepts by itself. */
static void
forward_raw(struct forward *f, int fd)
{
	bool packets = f->ss.route->backend->protocol == CONFIG_PROTOCOL_PACKET;
	struct http_field field[2] = { { SPAN_LIT("Sec-WebSocket-Protocol"), f->subprotocol } };

	connect_succeeded(&f->connect);
	f->backend = raw_client_start(f->ss.gw->env.loop, fd, packets, NULL, NULL);
	if (f->backend == NULL ||
	    forward_open(f, f->subprotocol, field, f->subprotocol.n > 0 ? 1 : 0) == -1) {
		forward_refuse(f, REPLY_INTERNAL, "out of memory");
		return;
	}
	mem_free(f->subprotocol_text);
	forward_gone(f);
}

static void
forward_on_connected(void *arg, int fd)
{
	struct forward *f = arg;
	const char *wrong;

	if (fd == -1) {
		forward_refuse(f, f->connect.kind, f->connect.why);
		return;
	}
	if (f->ss.route->backend->protocol != CONFIG_PROTOCOL_HTTP) {
		forward_raw(f, fd);
		return;
	}
	f->backend = h1_client_start(f->ss.gw->env.loop, fd, &f->head->r,
	    f->ss.route->backend->response_timeout_ms, &forward_backend_events, f, &wrong);
	if (f->backend == NULL)
		forward_refuse(f, REPLY_INTERNAL, wrong);
}

/* What has to be kept of the request until the backend is connected; 0 or -1. */
static int
forward_prepare(struct forward *f, const struct stream_request *r)
{
	const struct config_route *route = f->ss.route;
	struct span picked;

	if (route->backend->protocol == CONFIG_PROTOCOL_HTTP) {
		f->head = forward_head_new(stream_info(f->ss.s), r, route);
		return f->head != NULL ? 0 : -1;
	}
	picked = session_pick_subprotocol(r->head, &route->ws.subprotocols);
	if (picked.n == 0)
		return 0;
	if ((f->subprotocol_text = mem_strndup(picked.p, picked.n)) == NULL)
		return -1;
	f->subprotocol = (struct span){ f->subprotocol_text, picked.n };
	return 0;
}

void
forward_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	struct forward *f;

	if ((f = loop_object(gw->env.loop, sizeof(*f))) == NULL) {
		counter_add(&gateway_count(gw, route)->refused[REFUSED_INTERNAL], 1);
		session_access_refused(
		    gw, stream_info(s), r, route, reply_status(s, REPLY_INTERNAL), "out of memory");
		reply_send(s, REPLY_INTERNAL, false, "out of memory");
		return;
	}
	f->start_us = clock_mono_us();
	session_init(&f->ss, gw, SESSION_FORWARD, s, r, route);
	connect_init(&f->connect, &f->ss, r, forward_on_connected, f);
	stream_attach(s, &forward_client_events, f);
	stream_hold(s, STREAM_HOLD_BACKEND);
	f->has_ext = extension_answer(&f->ss, r->head, &f->ext);
	if (forward_prepare(f, r) == -1)
		forward_refuse(f, REPLY_INTERNAL, "out of memory, or too many fields");
	else
		forward_try_next(f);
}
