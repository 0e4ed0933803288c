/*
 * Connections to raw backends.  See raw_client.h.
 *
 * Runs on one worker; called by io/transport (events) and by the user of its stream (operations).
 * Once closed by the user (ev is NULL) it lingers: what is queued goes out, what comes is dropped,
 * until the application's end or the time is over.  Invariant: linger is set exactly then.
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "http/raw_client.h"
#include "io/transport.h"

/* How long the kernel may take over the last bytes of a closed stream, at least. */
#define RAW_FLUSH_MS 5000

struct raw_linger;

struct raw_client {
	struct transport t;
	struct stream s;
	struct raw_linger *linger; /* owned; set while closing */
	uint32_t packet_max;
	bool eof;
};

/* What only the end needs. */
struct raw_linger {
	struct loop_timer timer; /* first */
	struct loop_orphan orphan;
	struct raw_client *rc; /* borrowed: the owner */
	uint64_t ms;	       /* from when all is out */
};

static struct raw_client *
raw_of_transport(struct transport *t)
{
	return (struct raw_client *)(void *)((char *)t - offsetof(struct raw_client, t));
}

static struct raw_client *
raw_of_stream(const struct stream *s)
{
	return (struct raw_client *)(uintptr_t)((const char *)s - offsetof(struct raw_client, s));
}

static void
raw_destroy(struct raw_client *rc, bool reset)
{
	struct loop *loop = rc->t.loop;

	if (transport_closed(&rc->t))
		return;
	transport_close(&rc->t, reset);
	if (rc->linger != NULL) {
		loop_timer_stop(loop, &rc->linger->timer);
		loop_disown(&rc->linger->orphan);
		loop_object_free_later(loop, rc->linger);
		rc->linger = NULL;
	}
	loop_object_free_later(loop, rc);
}

static void
raw_fail(struct raw_client *rc, enum stream_error e, const char *why)
{
	const struct stream_events *ev = rc->s.ev;

	rc->s.ev = NULL;
	if (ev != NULL)
		ev->reset(&rc->s, e, why);
	raw_destroy(rc, false);
}

static void
raw_on_eof(struct raw_client *rc)
{
	rc->eof = true;
	if (rc->s.ev != NULL)
		rc->s.ev->end(&rc->s);
	else if (transport_queued(&rc->t) == 0)
		raw_destroy(rc, false);
}

static void
raw_on_readable(struct transport *t)
{
	struct raw_client *rc = raw_of_transport(t);
	uint8_t *p = loop_scratch(t->loop);
	size_t n = 0, max = LOOP_SCRATCH;
	const char *why = "connection error";

	/* A packet is taken whole, whatever the budget: it has a maximum of its own. */
	if (rc->s.ev != NULL && rc->packet_max == 0)
		max = rc->s.ev->budget(&rc->s);
	if (max > LOOP_SCRATCH)
		max = LOOP_SCRATCH;
	if (max == 0) {
		transport_want_read(t, false);
		return;
	}
	switch (transport_read(t, p, max, &n, &why)) {
	case IO_OK:
		if (rc->s.ev == NULL)
			break;
		if (rc->packet_max != 0 && n == LOOP_SCRATCH)
			raw_fail(rc, STREAM_E_PROTOCOL, "a packet is too large");
		else
			rc->s.ev->bytes(&rc->s, p, n);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		raw_on_eof(rc);
		break;
	case IO_ERROR:
		raw_fail(rc, STREAM_E_PEER, why);
		break;
	}
}

static void
raw_arm(struct raw_client *rc, uint64_t in_ms)
{
	struct loop *loop = rc->t.loop;

	loop_timer_arm(loop, &rc->linger->timer, loop_now_ms(loop) + in_ms);
}

static void
raw_on_drained(struct transport *t)
{
	struct raw_client *rc = raw_of_transport(t);

	if (rc->s.ev != NULL)
		rc->s.ev->room(&rc->s);
	else if (rc->eof || rc->linger->ms == 0)
		raw_destroy(rc, false);
	else
		raw_arm(rc, rc->linger->ms);
}

static void
raw_on_failed(struct transport *t, const char *why)
{
	raw_fail(raw_of_transport(t), t->err == ENOMEM ? STREAM_E_MEMORY : STREAM_E_PEER, why);
}

static void
raw_on_ready(struct transport *t)
{
	(void)t; /* no TLS towards a backend */
}

static const struct transport_events raw_events = {
	.ready = raw_on_ready,
	.readable = raw_on_readable,
	.drained = raw_on_drained,
	.failed = raw_on_failed,
};

static void
raw_on_timer(struct loop_timer *timer)
{
	raw_destroy(((struct raw_linger *)(void *)timer)->rc, false);
}

static int
raw_op_respond(struct stream *s, const struct stream_response *r)
{
	(void)s;
	(void)r;
	return -1; /* a server's operation */
}

static int
raw_op_accept(struct stream *s, const struct http_field *field, size_t n)
{
	(void)s;
	(void)field;
	(void)n;
	return -1;
}

static int
raw_op_write(struct stream *s, const struct iovec *iov, int n)
{
	return transport_write(&raw_of_stream(s)->t, iov, n);
}

static void
raw_op_end(struct stream *s)
{
	transport_fin(&raw_of_stream(s)->t);
}

/* The loop ends while we linger. */
static void
raw_on_orphaned(struct loop_orphan *o)
{
	struct raw_linger *g =
	    (struct raw_linger *)(void *)((char *)o - offsetof(struct raw_linger, orphan));

	raw_destroy(g->rc, false);
}

static void
raw_op_close(struct stream *s, uint64_t linger_ms)
{
	struct raw_client *rc = raw_of_stream(s);
	bool queued = transport_queued(&rc->t) > 0;

	transport_fin(&rc->t);
	if ((!queued && (rc->eof || linger_ms == 0)) ||
	    (rc->linger = loop_object(rc->t.loop, sizeof(*rc->linger))) == NULL) {
		raw_destroy(rc, false);
		return;
	}
	rc->linger->rc = rc;
	rc->linger->timer.fn = raw_on_timer;
	rc->linger->orphan.end = raw_on_orphaned;
	loop_adopt(rc->t.loop, &rc->linger->orphan);
	rc->linger->ms = linger_ms;
	raw_arm(rc, queued && linger_ms < RAW_FLUSH_MS ? RAW_FLUSH_MS : linger_ms);
	s->holds = 0;
	transport_want_read(&rc->t, true);
}

static void
raw_op_abort(struct stream *s)
{
	raw_destroy(raw_of_stream(s), true);
}

static void
raw_op_flow(struct stream *s)
{
	transport_want_read(&raw_of_stream(s)->t, s->holds == 0);
}

static size_t
raw_op_queued(const struct stream *s)
{
	return transport_queued(&raw_of_stream(s)->t);
}

static const struct stream_info *
raw_op_info(const struct stream *s)
{
	(void)s;
	return NULL;
}

static const struct stream_ops raw_ops = {
	.respond = raw_op_respond,
	.accept = raw_op_accept,
	.write = raw_op_write,
	.end = raw_op_end,
	.close = raw_op_close,
	.abort = raw_op_abort,
	.flow = raw_op_flow,
	.queued = raw_op_queued,
	.info = raw_op_info,
};

struct stream *
raw_client_start(
    struct loop *loop, int fd, bool packets, const struct stream_events *ev, void *user)
{
	struct raw_client *rc;

	if ((rc = loop_object(loop, sizeof(*rc))) == NULL) {
		close(fd);
		return NULL;
	}
	rc->s.ops = &raw_ops;
	stream_attach(&rc->s, ev, user);
	if (transport_start(&rc->t, loop, &raw_events, fd, NULL) == -1) {
		loop_object_free_later(loop, rc);
		return NULL;
	}
	transport_read_on(&rc->t);
	transport_may_widen(&rc->t);
	if (packets)
		rc->packet_max = (uint32_t)transport_set_packets(&rc->t, RAW_PACKET_MAX);
	return &rc->s;
}

size_t
raw_client_packet_max(const struct stream *s)
{
	return raw_of_stream(s)->packet_max;
}
