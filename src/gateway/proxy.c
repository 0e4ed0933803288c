/*
 * proxy: an ordinary request is carried to an http backend and its response
 * back (RFC 9110 7.6).  A WebSocket handshake on the same route is forward.c's.
 *
 * The life of an exchange: the request's head is copied as the backend gets it; a connection
 * that waits in the pool is taken, or one is dialled; head and body go out, interim responses,
 * the final head and its body come back, each byte as it comes; the connection goes into the
 * pool.  Meanwhile the client is held whenever the backend does not take what it got, and the
 * backend whenever the client does not, so that a body of any length costs no more memory than
 * what one read brings.
 *
 * Neither side's framing reaches the other: both carriers make their own out of "so many bytes" or
 * "an end that will be told".  Trailers pass in both directions where the next message has a place
 * for them, but for those that must not stand there.  What ends early on one side is cut off on
 * the other: a backend that fails in the middle of a body breaks the client's stream, and a client
 * that leaves, also one that only half-closes its connection before the response is over, aborts
 * the backend's.
 *
 * One thread.  Called by gateway.c, both streams, the dial and a timer.  Invariants: b is NULL
 * but between the connection to the backend and its end; ss.s is the client's stream until the
 * exchange is freed; exactly one of finish, break and refuse ends it.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/connect.h"
#include "gateway/forward_head.h"
#include "gateway/forwarded.h"
#include "http/h1_pool.h"

/* How long a client that waits for 100 (Continue) is left to the backend. */
#define PROXY_CONTINUE_MS 1000
#define PROXY_LINGER_MS 2000

struct proxy {
	struct session ss; /* first */
	struct connect connect;
	struct stream *b;	   /* the backend's; owned */
	struct forward_head *head; /* owned */
	struct loop_timer timer;   /* what may not stand still for ever */
	uint64_t bytes_in, bytes_out;
	uint64_t seen_in, seen_out; /* when the timer was armed */
	size_t seen_queued_s, seen_queued_b;
	unsigned status; /* of the response; 0: none yet */
	bool is_head;
	bool complete; /* the whole request has come */
	bool reused;   /* b was taken from the pool */
	bool expects;  /* the client waits for 100 (Continue) */
	bool trailers; /* the request had some, which are gone */
};

_Static_assert(sizeof(struct proxy) <= LOOP_OBJECT_MAX, "struct proxy is too big");

static void proxy_on_timer(struct loop_timer *t);
static void proxy_refuse_unconnected(struct proxy *f);

/* ---- the end */

static void
proxy_free(struct proxy *f)
{
	loop_timer_stop(f->ss.gw->env.loop, &f->timer);
	connect_cancel(&f->connect);
	if (f->b != NULL)
		stream_abort(f->b);
	mem_free(f->head);
	session_free(&f->ss);
}

static void
proxy_end(struct proxy *f, unsigned status, enum session_side by, const char *reason)
{
	struct session_end e = { .status = status,
		.bytes_in = f->bytes_in,
		.bytes_out = f->bytes_out,
		.by = by,
		.reason = reason };

	session_access(&f->ss, &e);
	proxy_free(f);
}

/*
 * All of the response came.  What the client still sends of its request is not wanted (RFC 9110
 * 7.5).
 */
static void
proxy_finish(struct proxy *f)
{
	struct stream *s = f->ss.s;

	if (f->b != NULL && backends_idle_begin(f->ss.backend, f->ss.route->backend)) {
		if (f->ss.route->backend->max_connections != 0)
			backends_pool_join(&f->ss.gw->crowd, f->ss.backend);
		h1_pool_put(f->ss.gw->pool, backends_addr(f->ss.backend), f->b, backends_idle_end,
		    f->ss.backend);
	} else if (f->b != NULL) {
		stream_close(f->b, 0);
	}
	f->b = NULL;
	stream_end(s);
	proxy_end(f, f->status, SESSION_BY_NONE, NULL);
	stream_close(s, PROXY_LINGER_MS);
}

/* A response that is not whole must not look so. */
static void
proxy_break(struct proxy *f, enum session_side by, const char *why)
{
	struct stream *s = f->ss.s;

	proxy_end(f, f->status, by, why);
	stream_abort(s);
}

static void
proxy_refuse(struct proxy *f, enum reply kind, enum session_side by, const char *why)
{
	static const char *const texts[] = {
		[SESSION_BY_CLIENT] = "the request's body did not come in time",
		[SESSION_BY_BACKEND] = "the application cannot be reached",
		[SESSION_BY_GATEWAY] = "the gateway cannot pass this request on",
	};
	const char *said =
	    kind == REPLY_GATEWAY_TIMEOUT ? "the application did not answer in time" : texts[by];
	struct stream *s = f->ss.s;
	bool head = f->is_head;
	char text[300];

	snprintf(text, sizeof(text), "%s", why);
	if (by != SESSION_BY_BACKEND)
		session_log(&f->ss, LOG_L_INFO, "%s", text);
	proxy_end(f, reply_status(s, kind), by, text);
	reply_send(s, kind, head, said);
}

/* ---- what stands still */

static void
proxy_arm(struct proxy *f)
{
	struct loop *loop = f->ss.gw->env.loop;
	uint64_t ms = stream_info(f->ss.s)->listen->idle_connection_timeout_ms;

	f->seen_in = f->bytes_in;
	f->seen_out = f->bytes_out;
	f->seen_queued_s = stream_queued(f->ss.s);
	f->seen_queued_b = f->b != NULL ? stream_queued(f->b) : 0;
	if (f->expects)
		ms = PROXY_CONTINUE_MS;
	if (ms != CONFIG_NEVER && ms != 0)
		loop_timer_arm(loop, &f->timer, loop_now_ms(loop) + ms);
}

static bool
proxy_got_on(const struct proxy *f)
{
	return f->bytes_in != f->seen_in || f->bytes_out != f->seen_out ||
	    stream_queued(f->ss.s) < f->seen_queued_s ||
	    (f->b != NULL && stream_queued(f->b) < f->seen_queued_b);
}

/* Send the 100 (Continue) that the client waits for; once. */
static void
proxy_continue(struct proxy *f)
{
	if (!f->expects)
		return;
	f->expects = false;
	stream_inform(f->ss.s, 100, NULL, 0);
}

/*
 * IdleConnectionTimeout without a step: a client that takes nothing or sends nothing is
 * dropped.  An application may be silent as long as it likes once it has answered; until then
 * ResponseTimeout holds.
 */
static void
proxy_on_timer(struct loop_timer *t)
{
	struct proxy *f = (struct proxy *)(void *)((char *)t - offsetof(struct proxy, timer));
	size_t for_backend = f->b != NULL ? stream_queued(f->b) : 0;

	if (f->expects && f->b != NULL)
		proxy_continue(f); /* the backend does not say it: RFC 9110 10.1.1 */
	else if (proxy_got_on(f))
		;
	else if (stream_queued(f->ss.s) > 0) {
		proxy_break(f, SESSION_BY_CLIENT, "the client does not take the response");
		return;
	} else if (f->status != 0 && for_backend > 0) {
		proxy_break(f, SESSION_BY_BACKEND, "the backend does not take the request");
		return;
	} else if (!f->complete && for_backend == 0 && f->b != NULL && f->status == 0) {
		proxy_refuse(f, REPLY_REQUEST_TIMEOUT, SESSION_BY_CLIENT,
		    "the request's body did not come in time");
		return;
	}
	proxy_arm(f);
}

/* ---- the client's stream */

static void
proxy_client_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct proxy *f = s->user;
	struct iovec iov = { .iov_base = p, .iov_len = n };

	f->bytes_in += n;
	f->expects = false;
	stream_write(f->b, &iov, 1);
	if (stream_queued(f->b) > 0)
		stream_hold(s, STREAM_HOLD_PEER);
}

/* Those that would tell a careless backend who the client is are ours to say. */
static size_t
proxy_pick_trailers(struct http_field *v, const struct http_field *field, size_t n_fields)
{
	size_t n = 0;

	for (size_t i = 0; i < n_fields && n < HTTP1_MAX_TRAILERS; i++)
		if (!forwarded_is(field[i].name))
			v[n++] = field[i];
	return n;
}

static void
proxy_client_trailers(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct http_field v[HTTP1_MAX_TRAILERS];
	struct proxy *f = s->user;

	f->trailers = true;
	if (f->b != NULL)
		stream_trailers(f->b, v, proxy_pick_trailers(v, field, n_fields));
}

static void
proxy_client_end(struct stream *s)
{
	struct proxy *f = s->user;

	f->complete = true;
	f->expects = false;
	if (f->b != NULL)
		stream_end(f->b);
}

static void
proxy_client_room(struct stream *s)
{
	struct proxy *f = s->user;

	if (f->b != NULL)
		stream_release(f->b, STREAM_HOLD_PEER);
}

static void
proxy_client_gone(struct stream *s)
{
	proxy_break(s->user, SESSION_BY_CLIENT, "the client left before the response was over");
}

static void
proxy_client_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct proxy *f = s->user;
	unsigned status = e == STREAM_E_BODY ? 400 : f->status;

	proxy_end(f, status, e == STREAM_E_SHUTDOWN ? SESSION_BY_GATEWAY : SESSION_BY_CLIENT, why);
}

static const struct stream_events proxy_client_events = {
	.bytes = proxy_client_bytes,
	.room = proxy_client_room,
	.trailers = proxy_client_trailers,
	.end = proxy_client_end,
	.gone = proxy_client_gone,
	.reset = proxy_client_reset,
};

/* ---- the backend's stream */

static void
proxy_on_interim(struct stream *b, const struct http_head *h)
{
	struct http_field field[HTTP1_MAX_FIELDS];
	struct proxy *f = b->user;

	if (h->status == 100)
		proxy_continue(f);
	else
		stream_inform(f->ss.s, h->status, field, forward_response_fields(h, field));
}

static void
proxy_on_response(struct stream *b, const struct http_head *h)
{
	struct http_field field[HTTP1_MAX_FIELDS];
	struct proxy *f = b->user;
	struct stream_response r = { .status = h->status, .reason = h->reason, .field = field };

	r.n_fields = forward_response_fields(h, field);
	r.body = http1_response_body(h, f->head->r.method);
	r.content_length = h->content_length;
	/* Of a body that does not come only the length is told (RFC 9110 8.6). */
	if (r.body == HTTP_BODY_NONE && h->body == HTTP_BODY_LENGTH && h->status != 204)
		r.body = HTTP_BODY_LENGTH;
	else if (r.body == HTTP_BODY_CHUNKED)
		r.body = HTTP_BODY_EOF; /* a length that is not known */
	connect_succeeded(&f->connect);
	f->status = h->status;
	f->expects = false;
	stream_respond(f->ss.s, &r);
}

static void
proxy_on_bytes(struct stream *b, uint8_t *p, size_t n)
{
	struct proxy *f = b->user;
	struct iovec iov = { .iov_base = p, .iov_len = n };

	f->bytes_out += n;
	stream_write(f->ss.s, &iov, 1);
	if (stream_queued(f->ss.s) >= f->ss.route->ws.buffer_limit)
		stream_hold(b, STREAM_HOLD_PEER);
}

static size_t
proxy_budget(struct stream *b)
{
	const struct proxy *f = b->user;

	return (size_t)f->ss.route->ws.buffer_limit;
}

/* The backend took what waited of the request's body. */
static void
proxy_on_room(struct stream *b)
{
	struct proxy *f = b->user;

	stream_release(f->ss.s, STREAM_HOLD_PEER);
}

static void
proxy_on_trailers(struct stream *b, const struct http_field *field, size_t n_fields)
{
	struct proxy *f = b->user;

	stream_trailers(f->ss.s, field, n_fields);
}

static void
proxy_on_end(struct stream *b)
{
	proxy_finish(b->user);
}

static bool
proxy_is_idempotent(struct span method)
{
	/* RFC 9110 9.2.2 */
	static const struct span methods[] = { SPAN_LIT("GET"), SPAN_LIT("HEAD"),
		SPAN_LIT("OPTIONS"), SPAN_LIT("TRACE"), SPAN_LIT("PUT"), SPAN_LIT("DELETE") };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (span_eq(method, methods[i]))
			return true;
	return false;
}

/*
 * Nothing came back, and it may be asked twice: once more, on a new connection (RFC 9112 9.3.1,
 * RFC 9110 9.2.2).
 */
static bool
proxy_may_retry(const struct proxy *f, const struct stream *b, enum stream_error e)
{
	return e == STREAM_E_PEER && f->bytes_in == 0 && !f->trailers && !h1_client_answered(b) &&
	    proxy_is_idempotent(f->head->r.method);
}

/* To the same address, if only a waiting connection was on its way out; else to the next. */
static void
proxy_retry(struct proxy *f)
{
	bool again = f->reused;

	f->reused = false;
	stream_hold(f->ss.s, STREAM_HOLD_BACKEND);
	stream_release(f->ss.s, STREAM_HOLD_PEER);
	if (!(again ? connect_dial(&f->connect) : connect_next(&f->connect)))
		proxy_refuse_unconnected(f);
}

static void
proxy_on_reset(struct stream *b, enum stream_error e, const char *why)
{
	struct proxy *f = b->user;
	bool retry = proxy_may_retry(f, b, e);

	f->b = NULL;
	if (f->status != 0) {
		proxy_break(f, SESSION_BY_BACKEND, why);
		return;
	}
	if (!retry || !f->reused)
		connect_failed(&f->connect, e, why);
	if (retry)
		proxy_retry(f);
	else
		proxy_refuse_unconnected(f);
}

static const struct stream_events proxy_backend_events = {
	.interim = proxy_on_interim,
	.response = proxy_on_response,
	.bytes = proxy_on_bytes,
	.room = proxy_on_room,
	.trailers = proxy_on_trailers,
	.end = proxy_on_end,
	.reset = proxy_on_reset,
	.budget = proxy_budget,
};

void
proxy_traffic(const struct session *ss, struct session_traffic *out)
{
	const struct proxy *f = (const struct proxy *)(const void *)ss;

	out->bytes_in = f->bytes_in;
	out->bytes_out = f->bytes_out;
	out->queued_bytes = stream_queued(ss->s) + (f->b != NULL ? stream_queued(f->b) : 0);
}

/* ---- the start */

/* The head went out: now the body, if there is one. */
static void
proxy_started(struct proxy *f)
{
	if (f->complete)
		stream_end(f->b);
	stream_release(f->ss.s, STREAM_HOLD_BACKEND);
	proxy_arm(f);
}

/* How the last address failed is the answer. */
static void
proxy_refuse_unconnected(struct proxy *f)
{
	proxy_refuse(f, f->connect.kind,
	    f->connect.kind == REPLY_INTERNAL ? SESSION_BY_GATEWAY : SESSION_BY_BACKEND,
	    f->connect.why);
}

static void
proxy_on_connected(void *arg, int fd)
{
	struct proxy *f = arg;
	const char *wrong = "out of memory";

	if (fd == -1) {
		proxy_refuse_unconnected(f);
		return;
	}
	f->b = h1_client_start(f->ss.gw->env.loop, fd, &f->head->r,
	    f->ss.route->backend->response_timeout_ms, &proxy_backend_events, f, &wrong);
	if (f->b == NULL)
		proxy_refuse(f, REPLY_INTERNAL, SESSION_BY_GATEWAY, wrong);
	else
		proxy_started(f);
}

/* A connection that waits; false: there is none. */
static bool
proxy_reuse(struct proxy *f)
{
	f->b = h1_pool_start(f->ss.gw->pool, backends_addr(f->ss.backend), &f->head->r,
	    f->ss.route->backend->response_timeout_ms, &proxy_backend_events, f);
	if (f->b == NULL)
		return false;
	f->reused = true;
	connect_reused(&f->connect);
	proxy_started(f);
	return true;
}

/* A request that is to go no further: its final recipient is the gateway (RFC 9110 7.6.2). */
static bool
proxy_is_last(const struct http_head *head)
{
	const struct http_field *f = http_head_find(head, "Max-Forwards");
	uint64_t left;

	return f != NULL && forward_head_counts(head) && http_parse_length(f->value, &left) &&
	    left == 0;
}

static void
proxy_answer_last(struct proxy *f, const struct http_head *head)
{
	bool options = span_eq(head->method, SPAN_LIT("OPTIONS"));

	enum reply kind = options ? REPLY_LAST : REPLY_NOT_IMPLEMENTED;
	struct stream *s = f->ss.s;

	proxy_end(f, reply_status(s, kind), SESSION_BY_GATEWAY, "Max-Forwards is 0");
	/* What a request came with is not shown, which TRACE would. */
	reply_send(
	    s, kind, false, options ? "this is the gateway" : "the gateway does not answer TRACE");
}

void
proxy_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	struct proxy *f;

	if ((f = loop_object(gw->env.loop, sizeof(*f))) == NULL) {
		session_access_refused(
		    gw, stream_info(s), r, route, reply_status(s, REPLY_INTERNAL), "out of memory");
		reply_send(
		    s, REPLY_INTERNAL, span_eq(r->head->method, SPAN_LIT("HEAD")), "out of memory");
		return;
	}
	session_init(&f->ss, gw, SESSION_PROXY, s, r, route);
	connect_init(&f->connect, &f->ss, r, proxy_on_connected, f);
	f->timer.fn = proxy_on_timer;
	f->is_head = span_eq(r->head->method, SPAN_LIT("HEAD"));
	f->complete = r->head->body == HTTP_BODY_NONE ||
	    (r->head->body == HTTP_BODY_LENGTH && r->head->content_length == 0);
	f->expects = r->head->expect_continue && !f->complete;
	stream_attach(s, &proxy_client_events, f);
	if (proxy_is_last(r->head)) {
		proxy_answer_last(f, r->head);
		return;
	}
	stream_hold(s, STREAM_HOLD_BACKEND);
	if ((f->head = forward_head_new(stream_info(s), r, route)) == NULL) {
		proxy_refuse(
		    f, REPLY_INTERNAL, SESSION_BY_GATEWAY, "out of memory, or too many fields");
		return;
	}
	f->head->r.keep = route->backend->send_proxy_protocol == CONFIG_PROXY_OFF;
	f->head->r.repeatable = f->complete && proxy_is_idempotent(f->head->r.method);
	if (!connect_pick(&f->connect) ||
	    !((f->head->r.keep && proxy_reuse(f)) || connect_dial(&f->connect)))
		proxy_refuse_unconnected(f);
}
