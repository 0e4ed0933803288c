/*
 * One HTTP/2 connection from a client (RFC 9113 server side, RFC 8441).  See
 * h2_int.h for what belongs to which file.
 *
 * In: what the transport reads goes to nghttp2 in slices; after each slice
 * everything that its callbacks put on the pending list is told to the
 * streams' users.  Payload that comes in several DATA frames for one stream is
 * moved together where it stands and handed up as one run.
 *
 * Out: nothing is sent from within an up-call or a down-call.  Whoever has
 * something to send makes the connection dirty; at the turn's end nghttp2 is
 * asked for frames, headers are gathered in a small arena, payload stays where it
 * is queued, and all goes out with few writes.  While the kernel refuses bytes nghttp2
 * is not asked for more, so what waits is bounded by the streams' queues.
 *
 * Runs on one worker; called by http_server.c, io/transport and its own task
 * and timer.  Invariants: nghttp2 is entered (recv, send) only from h2_feed and
 * h2_flush, never one within the other; a connection that is H2_DEAD is not touched but
 * by who is still returning into it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/h2_int.h"

/* Bytes that nghttp2 gets at once: between slices the users hear of it. */
#define H2_SLICE 16384
/* The largest frame that nghttp2 makes by itself; DATA is put together by us. */
#define H2_FRAME_MAX (16384 + 256)
/* What the kernel may hold of us that is not on its way: the next stream's turn comes behind it. */
#define H2_UNSENT (128 << 10)
/* Our SETTINGS. */
#define H2_GREETING_MAX 128
/* What one connection may write in one turn before others get theirs. */
#define H2_TURN_MAX (512 << 10)
/* Frames other than DATA that wait; past it nothing is read while the peer does not read either. */
#define H2_WAITING_MAX 500
/*
 * How long the notice of a graceful end is ahead of the end, at most (RFC 9113 6.8: a round
 * trip).
 */
#define H2_NOTICE_MS 1000
/* nghttp2's, which older versions do not know. */
#define H2_ERR_TOO_MANY_CONTINUATIONS (-905)

_Static_assert(sizeof(struct h2_server) <= 1024, "struct h2_server has grown");

static void h2_on_task(struct loop_task *t);
static void h2_watch(struct h2_server *h2c);

static struct h2_server *
h2_of_transport(struct transport *t)
{
	return (struct h2_server *)(void *)((char *)t - offsetof(struct h2_server, c.t));
}

static uint64_t
h2_now(const struct h2_server *h2c)
{
	return loop_now_ms(h2c->c.t.loop);
}

static uint64_t
h2_after(const struct h2_server *h2c, uint64_t ms)
{
	return ms == CONFIG_NEVER ? CONFIG_NEVER : h2_now(h2c) + ms;
}

void
h2_dirty(struct h2_server *h2c)
{
	if (h2c->state == H2_DEAD)
		return;
	/* Who had a flush in this turn waits for the next: others are served in between. */
	if (h2c->flushed_turn == loop_turn(h2c->c.t.loop))
		loop_next(h2c->c.t.loop, &h2c->task, h2_on_task);
	else
		loop_later(h2c->c.t.loop, &h2c->task, h2_on_task);
}

/* ---- the end */

static void
h2_destroy(struct h2_server *h2c, bool reset)
{
	if (h2c->state == H2_DEAD)
		return;
	h2c->state = H2_DEAD;
	loop_timer_stop(h2c->c.t.loop, &h2c->timer);
	loop_later_cancel(h2c->c.t.loop, &h2c->task);
	h2_streams_free(h2c);
	if (h2c->ng_broken)
		mem_abandon(h2c->ng);
	else
		nghttp2_session_del(h2c->ng);
	http_conn_close(&h2c->c, reset);
	loop_free_later(h2c->c.t.loop, h2c);
}

/* The connection is broken or its client gone. */
static void
h2_fail(struct h2_server *h2c, enum stream_error e, const char *why)
{
	if (h2c->state == H2_DEAD)
		return;
	if (h2c->head_at_ms != 0 && !h2c->told)
		h2c->c.list->handler->refused(
		    h2c->c.list->handler->arg, http_conn_info(&h2c->c), NULL, 0, why);
	h2c->told = true;
	h2c->state = H2_CLOSING;
	h2_streams_reset(h2c, e, why);
	h2_destroy(h2c, false);
}

/* Tell of the client's fault, once. */
static void
h2_tell(struct h2_server *h2c, const char *why)
{
	if (!h2c->told)
		h2c->c.list->handler->broken(
		    h2c->c.list->handler->arg, http_conn_info(&h2c->c), why);
	h2c->told = true;
}

void
h2_terminate(struct h2_server *h2c, uint32_t code, const char *why)
{
	if (h2c->state != H2_OPEN)
		return;
	h2c->state = H2_CLOSING;
	if (code != NGHTTP2_NO_ERROR)
		h2_tell(h2c, why);
	nghttp2_session_terminate_session(h2c->ng, code);
	h2c->linger_at_ms = h2_after(h2c, HTTP_LINGER_MS);
	h2_streams_reset(h2c, code == NGHTTP2_NO_ERROR ? STREAM_E_PEER : STREAM_E_PROTOCOL, why);
	h2_dirty(h2c);
}

int
h2_fatal(struct h2_server *h2c, uint32_t code, const char *why)
{
	if (h2c->fatal == 0) {
		h2c->fatal = code;
		snprintf(h2c->why, sizeof(h2c->why), "%s", why);
	}
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void
h2_goaway_final(struct h2_server *h2c)
{
	h2c->goaway = H2_GOAWAY_FINAL;
	h2c->goaway_at_ms = 0;
	nghttp2_submit_goaway(h2c->ng, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h2c->ng), NGHTTP2_NO_ERROR, NULL, 0);
	h2_dirty(h2c);
}

/*
 * Graceful: no new streams soon, then no new streams; the connection ends with its last one (RFC
 * 9113 6.8).
 */
static void
h2_retire(struct http_conn *c)
{
	struct h2_server *h2c = (struct h2_server *)(void *)c;

	c->retired = true;
	if (h2c->state != H2_OPEN || h2c->goaway != H2_GOAWAY_NONE)
		return;
	h2c->goaway = H2_GOAWAY_NOTICE;
	nghttp2_submit_shutdown_notice(h2c->ng);
	nghttp2_submit_ping(h2c->ng, NGHTTP2_FLAG_NONE, (const uint8_t *)"goodbye");
	h2c->goaway_at_ms = h2_after(h2c, H2_NOTICE_MS);
	h2_arm(h2c);
	h2_dirty(h2c);
}

static void
h2_abort(struct http_conn *c, const char *why)
{
	h2_fail((struct h2_server *)(void *)c, STREAM_E_SHUTDOWN, why);
}

/* All is said: our FIN, and what comes is dropped until the peer's. */
static void
h2_linger(struct h2_server *h2c)
{
	h2c->state = H2_LINGER;
	h2_streams_reset(h2c, STREAM_E_PEER, "the connection has ended");
	h2_streams_free(h2c);
	transport_fin(&h2c->c.t);
	transport_want_read(&h2c->c.t, true);
	h2c->linger_at_ms = h2_after(h2c, HTTP_LINGER_MS);
	h2_arm(h2c);
}

/* ---- time */

static void
h2_earliest(uint64_t *at, uint64_t ms)
{
	if (ms != 0 && ms != CONFIG_NEVER && ms < *at)
		*at = ms;
}

void
h2_arm(struct h2_server *h2c)
{
	uint64_t at = UINT64_MAX;

	if (h2c->state == H2_DEAD)
		return;
	h2_earliest(&at, h2c->linger_at_ms);
	h2_earliest(&at, h2c->stall_at_ms);
	if (h2c->state == H2_OPEN) {
		h2_earliest(&at, h2c->first_at_ms);
		h2_earliest(&at, h2c->head_at_ms);
		h2_earliest(&at, h2c->idle_at_ms);
		h2_earliest(&at, h2c->goaway_at_ms);
	}
	if (at == UINT64_MAX)
		loop_timer_stop(h2c->c.t.loop, &h2c->timer);
	else
		loop_timer_arm(h2c->c.t.loop, &h2c->timer, at);
}

static bool
h2_due(uint64_t at, uint64_t now)
{
	return at != 0 && at <= now;
}

static void
h2_on_timer(struct loop_timer *timer)
{
	struct h2_server *h2c =
	    (struct h2_server *)(void *)((char *)timer - offsetof(struct h2_server, timer));
	uint64_t now = h2_now(h2c);

	if (h2_due(h2c->stall_at_ms, now) && transport_queued(&h2c->c.t) < h2c->stalled_bytes) {
		h2_watch(h2c); /* slow, but it reads */
		return;
	}
	if (h2_due(h2c->stall_at_ms, now)) {
		h2_tell(h2c, "the client does not read");
		h2_fail(h2c, STREAM_E_PEER, "the client does not read");
		return;
	}
	if (h2c->state != H2_OPEN) {
		if (h2_due(h2c->linger_at_ms, now))
			h2_destroy(h2c, false);
		return;
	}
	if (h2_due(h2c->first_at_ms, now)) {
		h2c->c.list->handler->refused(h2c->c.list->handler->arg, http_conn_info(&h2c->c),
		    NULL, 0, "the first request was not complete in time");
		h2c->first_at_ms = 0;
		h2_terminate(h2c, NGHTTP2_NO_ERROR, "no request in time");
	} else if (h2_due(h2c->head_at_ms, now)) {
		h2_terminate(
		    h2c, NGHTTP2_ENHANCE_YOUR_CALM, "a request head was not complete in time");
	} else if (h2_due(h2c->idle_at_ms, now)) {
		h2_terminate(h2c, NGHTTP2_NO_ERROR, "idle");
	} else {
		if (h2_due(h2c->goaway_at_ms, now))
			h2_goaway_final(h2c);
		if (h2_due(h2c->linger_at_ms, now))
			h2_streams_linger(h2c, now);
		h2_arm(h2c);
	}
}

/* What the state of streams and queues means for the times. */
static void
h2_watch(struct h2_server *h2c)
{
	size_t queued = transport_queued(&h2c->c.t);
	uint64_t idle_ms = h2c->c.listen->idle_connection_timeout_ms;

	if (h2c->n_streams > 0 || h2c->first_at_ms != 0)
		h2c->idle_at_ms = 0;
	else if (h2c->idle_at_ms == 0)
		h2c->idle_at_ms = h2_after(h2c, idle_ms);
	if (queued == 0)
		h2c->stall_at_ms = 0;
	else if (h2c->stall_at_ms == 0 || queued < h2c->stalled_bytes)
		h2c->stall_at_ms = h2_after(h2c, idle_ms);
	h2c->stalled_bytes = queued;
	if (h2c->state == H2_OPEN)
		transport_want_read(&h2c->c.t,
		    queued == 0 ||
			nghttp2_session_get_outbound_queue_size(h2c->ng) < H2_WAITING_MAX);
	h2_arm(h2c);
}

/* ---- out */

/* A frame of nghttp2's own; the first is our SETTINGS. */
static void
h2_gather_frame(struct h2_server *h2c, struct h2_out *o, const uint8_t *p, size_t n)
{
	uint8_t first[H2_GREETING_MAX];

	if (!h2c->greeted && n <= sizeof(first) - H2_GREETING_ROOM) {
		memcpy(first, p, n);
		n = h2_session_greeting(h2c, first, n);
		p = first;
	}
	h2c->greeted = true;
	h2_out_copy(o, p, n);
}

/* One write's worth of frames; false when there are no more. */
static bool
h2_gather(struct h2_server *h2c, struct h2_out *o)
{
	const uint8_t *p;
	ssize_t n;

	o->full = false;
	/* A frame of nghttp2's own is copied whole. */
	while (h2_out_has_room(o, H2_FRAME_MAX) && H2_OUT_ARENA - o->arena_n >= H2_FRAME_MAX) {
		if ((n = nghttp2_session_mem_send(h2c->ng, &p)) == 0)
			return o->full;
		if (n < 0) {
			transport_break(&h2c->c.t, ENOMEM);
			return false;
		}
		h2_gather_frame(h2c, o, p, (size_t)n);
	}
	return true;
}

/* Send what nghttp2 has to send, as long as the kernel takes it. */
static void
h2_flush(struct h2_server *h2c)
{
	struct h2_out o;
	size_t sent = 0;
	bool more = true;

	h2c->flushed_turn = loop_turn(h2c->c.t.loop);
	h2c->out = &o;
	h2_out_init(&o);
	while (more && transport_queued(&h2c->c.t) == 0 && sent < H2_TURN_MAX && !h2c->ng_broken) {
		more = h2_gather(h2c, &o);
		sent += o.bytes;
		if (o.n_iov > 0 && transport_write(&h2c->c.t, o.iov, o.n_iov) == -1)
			more = false; /* broken: `failed` follows from the loop */
		h2_out_clear(&o);
	}
	h2c->out = NULL;
	if (more && transport_queued(&h2c->c.t) == 0)
		h2_dirty(h2c);
}

/* GOAWAY by ourselves, after nghttp2 gave up (RFC 9113 6.8). */
static void
h2_write_raw_goaway(struct h2_server *h2c)
{
	uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2c->ng);
	uint32_t code = h2c->raw_goaway;
	uint8_t frame[17] = { 0, 0, 8, NGHTTP2_GOAWAY, 0, 0, 0, 0, 0, (uint8_t)(last >> 24),
		(uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last, (uint8_t)(code >> 24),
		(uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code };
	struct iovec iov = { frame, sizeof(frame) };

	transport_write(&h2c->c.t, &iov, 1);
}

/* After a flush: whether the connection goes on. */
static void
h2_settle(struct h2_server *h2c)
{
	if (h2c->state == H2_LINGER || h2c->state == H2_DEAD)
		return;
	if (nghttp2_session_want_write(h2c->ng) || transport_queued(&h2c->c.t) > 0) {
		h2_watch(h2c);
		return;
	}
	if (h2c->state == H2_OPEN && !nghttp2_session_want_read(h2c->ng)) {
		/* nghttp2 has ended it: an error of the client's, or both sides are through. */
		if (h2c->why[0] == '\0' && h2c->goaway != H2_GOAWAY_FINAL) {
			h2_goaway_final(h2c); /* RFC 9113 6.8: always before the end */
			return;
		}
		h2c->state = H2_CLOSING;
		if (h2c->why[0] != '\0')
			h2_tell(h2c, h2c->why);
		h2_streams_reset(h2c, STREAM_E_PROTOCOL,
		    h2c->why[0] != '\0' ? h2c->why : "the connection has ended");
	}
	if (h2c->state == H2_CLOSING)
		h2_linger(h2c);
	else
		h2_watch(h2c);
}

static void
h2_on_task(struct loop_task *t)
{
	struct h2_server *h2c =
	    (struct h2_server *)(void *)((char *)t - offsetof(struct h2_server, task));

	if (h2c->raw) {
		if (!h2c->greeted)
			h2_flush(h2c); /* SETTINGS comes before all (RFC 9113 3.4) */
		h2_write_raw_goaway(h2c);
		h2_linger(h2c);
		return;
	}
	h2_process(h2c);
	h2_flush(h2c);
	h2_process(h2c);
	h2_settle(h2c);
}

/* ---- in */

/* nghttp2 does not go on. */
static void
h2_on_recv_error(struct h2_server *h2c, ssize_t error)
{
	uint32_t code = NGHTTP2_PROTOCOL_ERROR;

	if (h2c->fatal != 0)
		code = h2c->fatal;
	else if (error == NGHTTP2_ERR_FLOODED || error == H2_ERR_TOO_MANY_CONTINUATIONS)
		code = NGHTTP2_ENHANCE_YOUR_CALM;
	else if (error == NGHTTP2_ERR_NOMEM)
		code = NGHTTP2_INTERNAL_ERROR;
	h2c->state = H2_CLOSING;
	h2c->raw = true;
	h2c->raw_goaway = code;
	h2_tell(h2c, h2c->why[0] != '\0' ? h2c->why : nghttp2_strerror((int)error));
	h2_streams_reset(
	    h2c, STREAM_E_PROTOCOL, h2c->why[0] != '\0' ? h2c->why : nghttp2_strerror((int)error));
	h2_dirty(h2c);
}

/* Bytes have come. */
static void
h2_feed(struct h2_server *h2c, uint8_t *p, size_t n)
{
	ssize_t used;

	h2c->judged = 0;
	while (n > 0 && h2c->state == H2_OPEN && !h2c->ng_broken) {
		used = h2_session_recv(h2c, p, n < H2_SLICE ? n : H2_SLICE);
		if (used < 0) {
			h2c->run.s = h2c->chunk.s = NULL;
			h2_on_recv_error(h2c, used);
			return;
		}
		p += used;
		n -= (size_t)used;
		h2_process(h2c);
		if (h2c->chunk.s != NULL) {
			h2_deliver_run(h2c);
			h2c->run = h2c->chunk;
			h2c->chunk.s = NULL;
		}
	}
	h2_deliver_run(h2c);
	h2_process(h2c);
	h2_dirty(h2c);
}

static void
h2_on_readable(struct transport *t)
{
	struct h2_server *h2c = h2_of_transport(t);
	const char *why = "connection error";
	uint8_t *p = loop_scratch(t->loop);
	size_t n = 0;

	switch (transport_read(t, p, LOOP_SCRATCH, &n, &why)) {
	case IO_OK:
		if (h2c->state == H2_OPEN)
			h2_feed(h2c, p, n);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		h2_fail(h2c, STREAM_E_PEER, "the client closed the connection");
		break;
	case IO_ERROR:
		h2_fail(h2c, STREAM_E_PEER, why);
		break;
	}
}

static void
h2_on_drained(struct transport *t)
{
	struct h2_server *h2c = h2_of_transport(t);

	if (h2c->state == H2_OPEN || h2c->state == H2_CLOSING)
		h2_dirty(h2c);
}

static void
h2_on_failed(struct transport *t, const char *why)
{
	h2_fail(h2_of_transport(t), t->err == ENOMEM ? STREAM_E_MEMORY : STREAM_E_PEER, why);
}

static void
h2_on_ready(struct transport *t)
{
	(void)t; /* the handshake was over before */
}

static const struct http_conn_ops h2_conn_ops = {
	.t = {
		.ready = h2_on_ready,
		.readable = h2_on_readable,
		.drained = h2_on_drained,
		.failed = h2_on_failed,
	},
	.retire = h2_retire,
	.abort = h2_abort,
};

static void
h2_init_budgets(struct h2_server *h2c, uint64_t now)
{
	uint64_t streams = h2c->c.listen->max_streams, resets = H2_RESET_BURST;

	if (streams > resets / H2_RESET_BURST_STREAMS)
		resets = streams < UINT32_MAX / H2_RESET_BURST_STREAMS
		    ? streams * H2_RESET_BURST_STREAMS
		    : UINT32_MAX;
	h2_bucket_init(&h2c->resets, (uint32_t)resets, H2_RESET_RATE, now);
	h2_bucket_init(&h2c->glitches, H2_GLITCH_BURST, H2_GLITCH_RATE, now);
	h2_bucket_init(&h2c->window_updates, H2_WINDOW_BURST, H2_WINDOW_RATE, now);
}

int
h2_server_start(struct http_conn *from, uint64_t deadline_ms, uint8_t *p, size_t n)
{
	struct h2_server *h2c;

	if ((h2c = mem_zalloc(sizeof(*h2c))) == NULL)
		return -1;
	/*
	 * What the session's set-up has to know; the connection itself moves when nothing can
	 * fail any more.
	 */
	h2c->c.config = from->config;
	h2c->c.listen = from->listen;
	if (h2_session_start(h2c, from->t.loop) == -1) {
		nghttp2_session_del(h2c->ng);
		mem_free(h2c);
		return -1;
	}
	http_conn_move(&h2c->c, from, &h2_conn_ops);
	h2c->c.version = HTTP_2;
	h2c->timer.fn = h2_on_timer;
	h2c->pend_tail = &h2c->pend_first;
	h2c->first_at_ms = deadline_ms;
	h2_scan_init(&h2c->scan);
	h2c->flushed_turn = loop_turn(h2c->c.t.loop) - 1;
	h2_init_budgets(h2c, h2_now(h2c));
	h2_arm(h2c);
	transport_limit_unsent(&h2c->c.t, H2_UNSENT);
	if (h2c->c.retired) {
		h2c->c.retired = false;
		h2_retire(&h2c->c);
	}
	h2_feed(h2c, p, n);
	return 0;
}
