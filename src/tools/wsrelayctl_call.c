/*
 * Requests to the admin endpoint.  See wsrelayctl_call.h.
 *
 * Each one has a connection of its own, by the same carrier that speaks to backends
 * (http/h1_client), on a loop that runs until the answer is there.
 */
#include "tools/wsrelayctl_call.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "http/h1_client.h"
#include "io/dial.h"
#include "io/resolve.h"

#define CALL_CONNECT_MS 5000
/* A reload of many certificates takes its time. */
#define CALL_RESPONSE_MS 120000
/* An answer that stands still. */
#define CALL_STALL_MS 30000
/* A million connections. */
#define CALL_BODY_MAX ((size_t)512 << 20)
#define CALL_SIGNALS 2

struct ctl_call {
	struct loop *loop;	   /* owned */
	struct resolver *resolver; /* owned */
	struct addr to;
	char where[300];
	struct loop_timer timer;
	struct event signals[CALL_SIGNALS];
	bool interrupted;
	/* one request */
	const char *method, *target, *accept;
	struct dial *dial;
	struct stream *s;
	struct buf body;
	unsigned status;
	bool done;
	char why[300];
};

static void
call_over(struct ctl_call *c, const char *why)
{
	if (why != NULL)
		snprintf(c->why, sizeof(c->why), "%s", why);
	else
		c->done = true;
	loop_timer_stop(c->loop, &c->timer);
	loop_stop(c->loop);
}

/* ---- the answer */

static void
call_on_response(struct stream *s, const struct http_head *h)
{
	struct ctl_call *c = s->user;

	c->status = h->status;
	loop_timer_arm(c->loop, &c->timer, loop_now_ms(c->loop) + CALL_STALL_MS);
}

static void
call_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct ctl_call *c = s->user;

	loop_timer_arm(c->loop, &c->timer, loop_now_ms(c->loop) + CALL_STALL_MS);
	if (buf_append(&c->body, p, n) == 0)
		return;
	c->s = NULL;
	stream_abort(s);
	call_over(c, "the answer is too long");
}

static void
call_on_end(struct stream *s)
{
	struct ctl_call *c = s->user;

	c->s = NULL;
	stream_close(s, 0);
	call_over(c, NULL);
}

static void
call_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct ctl_call *c = s->user;

	c->s = NULL;
	call_over(c,
	    e == STREAM_E_TIMEOUT ? "the daemon did not answer in time"
		: c->status != 0  ? "the answer was cut short"
				  : why);
}

static const struct stream_events call_events = {
	.response = call_on_response,
	.bytes = call_on_bytes,
	.end = call_on_end,
	.reset = call_on_reset,
};

static void
call_on_timer(struct loop_timer *t)
{
	struct ctl_call *c =
	    (struct ctl_call *)(void *)((char *)t - offsetof(struct ctl_call, timer));

	if (c->s != NULL)
		stream_abort(c->s);
	c->s = NULL;
	call_over(c, "the answer was cut short");
}

/* ---- the request */

static void
call_send(struct ctl_call *c, int fd)
{
	const char *query = strchr(c->target, '?'), *why = "out of memory";
	struct http_field field[1] = { { SPAN_LIT("Accept"), span_from_str(c->accept) } };
	struct h1_request r = { .method = span_from_str(c->method),
		.field = field,
		.n_fields = c->accept != NULL ? 1 : 0,
		.path = span_from_str(c->target),
		.authority = SPAN_LIT("localhost") };

	if (query != NULL) {
		r.path.n = (size_t)(query - c->target);
		r.query = span_from_str(query + 1);
	}
	if (strcmp(c->method, "POST") == 0)
		r.body = HTTP_BODY_LENGTH;
	c->s = h1_client_start(c->loop, fd, &r, CALL_RESPONSE_MS, &call_events, c, &why);
	if (c->s == NULL)
		call_over(c, why);
	else if (r.body == HTTP_BODY_LENGTH)
		stream_end(c->s);
}

static void
call_on_dialled(void *arg, enum dial_status st, int fd, const char *why)
{
	struct ctl_call *c = arg;

	c->dial = NULL;
	if (st == DIAL_OK)
		call_send(c, fd);
	else
		call_over(c, why);
}

unsigned
ctl_call_ask(struct ctl_call *c, const char *method, const char *target, const char *accept,
    struct span *body, const char **why)
{
	c->method = method;
	c->target = target;
	c->accept = accept;
	c->status = 0;
	c->done = false;
	c->body.n = 0;
	snprintf(c->why, sizeof(c->why), "interrupted");
	c->dial =
	    dial_start(c->loop, c->resolver, &c->to, false, CALL_CONNECT_MS, call_on_dialled, c);
	if (c->dial == NULL)
		snprintf(c->why, sizeof(c->why), "out of memory");
	else if (!c->interrupted)
		loop_run(c->loop);
	if (c->dial != NULL)
		dial_cancel(c->dial);
	c->dial = NULL;
	if (c->s != NULL)
		stream_abort(c->s);
	c->s = NULL;
	loop_timer_stop(c->loop, &c->timer);
	*body = buf_span(&c->body);
	*why = c->why;
	return c->done ? c->status : 0;
}

/* ---- waiting, signals */

static void
call_on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct ctl_call *c = arg;

	(void)sig;
	(void)what;
	c->interrupted = true;
	loop_stop(c->loop);
}

static void
call_on_wait(struct loop_timer *t)
{
	struct ctl_call *c =
	    (struct ctl_call *)(void *)((char *)t - offsetof(struct ctl_call, timer));

	loop_stop(c->loop);
}

bool
ctl_call_wait(struct ctl_call *c, uint64_t ms)
{
	if (c->interrupted)
		return false;
	c->timer.fn = call_on_wait;
	loop_timer_arm(c->loop, &c->timer, loop_now_ms(c->loop) + ms);
	loop_run(c->loop);
	loop_timer_stop(c->loop, &c->timer);
	c->timer.fn = call_on_timer;
	return !c->interrupted;
}

static int
call_catch_signals(struct ctl_call *c)
{
	static const int signals[CALL_SIGNALS] = { SIGINT, SIGTERM };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < CALL_SIGNALS; i++) {
		event_assign(&c->signals[i], loop_base(c->loop), signals[i], EV_SIGNAL | EV_PERSIST,
		    call_on_signal, c);
		if (event_add(&c->signals[i], NULL) == -1)
			return -1;
	}
	return 0;
}

struct ctl_call *
ctl_call_new(const struct addr *to)
{
	struct ctl_call *c;

	if ((c = mem_zalloc(sizeof(*c))) == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	c->to = *to;
	addr_format(to, c->where, sizeof(c->where));
	c->timer.fn = call_on_timer;
	buf_init(&c->body, CALL_BODY_MAX);
	if ((c->loop = loop_new()) == NULL || (c->resolver = resolver_new()) == NULL ||
	    call_catch_signals(c) == -1) {
		ctl_call_free(c);
		return NULL;
	}
	return c;
}

const char *
ctl_call_where(const struct ctl_call *c)
{
	return c->where;
}

void
ctl_call_free(struct ctl_call *c)
{
	int saved_errno = errno;

	if (c == NULL)
		return;
	for (size_t i = 0; i < CALL_SIGNALS; i++)
		if (event_initialized(&c->signals[i]))
			event_del(&c->signals[i]);
	loop_free(c->loop);
	resolver_free(c->resolver);
	buf_clear(&c->body);
	mem_free(c);
	errno = saved_errno;
}
