/*
 * One WebSocket.  See wsdial_session.h.
 *
 * What is sent is framed and masked into `out`, which goes to the stream when it is large and at
 * the turn's end.  What comes is wsdial_receive.c's.
 *
 * Phases: CONNECTING until the handshake is over; OPEN; CLOSING when our Close is out, until the
 * peer's has come; ENDING when the close handshake is done or given up, until the server has closed
 * the connection (RFC 6455 7.1.1) or a while has passed; OVER when it was told how it ended.
 *
 * Called by wsdial_talk and wsdial_ping.
 */
#include "tools/wsdial_session.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "codec/ws_mask.h"
#include "tools/wsdial_session_int.h"
#include "tools/wsdial_trace.h"

/* Gathered frames go out when they are so many bytes. */
#define WSDIAL_OUT_FLUSH (64 * 1024)
/* Memory for them that is kept for the next ones. */
#define WSDIAL_OUT_KEEP (1024 * 1024)
/* How long the server may take to close the connection after both Closes. */
#define WSDIAL_END_MS 1000

static const struct stream_events wsdial_stream_events;

/* ---- the end */

void
wsdial_session_say(struct wsdial_session *ss, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ss->why, sizeof(ss->why), fmt, ap);
	va_end(ap);
}

/* Nothing runs any more. */
static void
wsdial_session_quiet(struct wsdial_session *ss)
{
	loop_timer_stop(ss->env->loop, &ss->timer);
	loop_later_cancel(ss->env->loop, &ss->flush);
	wsdial_keepalive_stop(&ss->keepalive);
	if (ss->wc != NULL)
		wsdial_connect_cancel(ss->wc);
	ss->wc = NULL;
	ss->phase = WSDIAL_SS_OVER;
}

static void
wsdial_session_leave(struct wsdial_session *ss, bool abort)
{
	struct stream *s = ss->s;

	ss->s = NULL;
	if (s == NULL)
		return;
	if (abort)
		stream_abort(s);
	else
		stream_close(s, 0);
}

void
wsdial_session_over(struct wsdial_session *ss, enum wsdial_status status, bool abort)
{
	if (ss->phase == WSDIAL_SS_OVER)
		return;
	wsdial_session_quiet(ss);
	wsdial_session_leave(ss, abort);
	ss->ev->over(ss, status, ss->why);
}

void
wsdial_session_free(struct wsdial_session *ss)
{
	if (ss == NULL || ss->freed)
		return;
	ss->freed = true;
	wsdial_session_quiet(ss);
	wsdial_session_leave(ss, true);
	ws_reader_clear(&ss->in);
	wsdial_deflate_clear(&ss->deflate);
	buf_clear(&ss->message);
	buf_clear(&ss->out);
	loop_free_later(ss->env->loop, ss);
}

static void
wsdial_session_arm(struct wsdial_session *ss, uint64_t in_ms)
{
	uint64_t now = loop_now_ms(ss->env->loop);

	ss->deadline_ms = in_ms < UINT64_MAX - now ? now + in_ms : UINT64_MAX;
	if (ss->deadline_ms != UINT64_MAX)
		loop_timer_arm(ss->env->loop, &ss->timer, ss->deadline_ms);
}

void
wsdial_session_wait_close(struct wsdial_session *ss)
{
	uint64_t ms = ss->env->o->timeout_ms;

	ss->queued = stream_queued(ss->s);
	wsdial_session_arm(ss, ms != 0 ? ms : WSDIAL_CLOSE_MS);
}

void
wsdial_session_ending(struct wsdial_session *ss, enum wsdial_status status)
{
	ss->phase = WSDIAL_SS_ENDING;
	ss->status = status;
	wsdial_keepalive_stop(&ss->keepalive);
	wsdial_session_arm(ss, WSDIAL_END_MS);
}

static void
wsdial_session_on_timer(struct loop_timer *timer)
{
	struct wsdial_session *ss = (struct wsdial_session *)(void *)((char *)timer -
	    offsetof(struct wsdial_session, timer));

	if (loop_now_ms(ss->env->loop) < ss->deadline_ms) {
		loop_timer_arm(ss->env->loop, timer, ss->deadline_ms);
	} else if (ss->phase == WSDIAL_SS_ENDING) {
		wsdial_session_over(ss, ss->status, false);
	} else if (stream_queued(ss->s) < ss->queued) {
		wsdial_session_wait_close(ss); /* it still takes what was sent before */
	} else {
		wsdial_session_say(ss, "timeout: no Close came from the server");
		wsdial_session_over(ss, WSDIAL_FAILED, true);
	}
}

/* ---- sending */

static void
wsdial_session_flush(struct wsdial_session *ss)
{
	struct iovec iov = { ss->out.p, ss->out.n };

	loop_later_cancel(ss->env->loop, &ss->flush);
	if (ss->out.n > 0 && ss->s != NULL)
		stream_write(ss->s, &iov, 1); /* broken: a reset follows from the loop */
	ss->out.n = 0;
	if (ss->out.cap > WSDIAL_OUT_KEEP)
		buf_clear(&ss->out);
}

static void
wsdial_session_on_flush(struct loop_task *task)
{
	wsdial_session_flush((struct wsdial_session *)(void *)((char *)task -
	    offsetof(struct wsdial_session, flush)));
}

/* No memory for what has to be sent: nothing can be sent any more. */
static int
wsdial_session_no_memory(struct wsdial_session *ss)
{
	wsdial_session_say(ss, "out of memory");
	if (ss->phase != WSDIAL_SS_ENDING)
		wsdial_session_ending(ss, WSDIAL_FAILED);
	return -1;
}

/*
 * Frame the payload that stands at the end of out from `start` on, in front of which there is room.
 */
static void
wsdial_frame_finish(
    struct wsdial_session *ss, size_t start, uint8_t first, size_t n, const void *shown)
{
	struct ws_frame f = { .length = n,
		.opcode = first & 0x0f,
		.fin = (first & WS_BIT_FIN) != 0,
		.rsv1 = (first & WS_BIT_RSV1) != 0 };
	uint32_t random = loop_random(ss->env->loop); /* RFC 6455 5.3 */
	uint8_t *at = (uint8_t *)ss->out.p + start, mask[4];
	size_t header = ws_frame_header_size(n, true);

	memcpy(mask, &random, sizeof(mask));
	wsdial_trace_frame(ss->env->out, true, &f, shown);
	/* dst lies before src: what was put behind the longest header moves up to its own. */
	ws_mask_copy(at + header, at + WS_HEADER_MAX, n, mask, 0);
	ws_frame_write(at, first, n, mask);
	ss->out.n = start + header + n;
	if (ss->out.n >= WSDIAL_OUT_FLUSH)
		wsdial_session_flush(ss);
	else
		loop_later(ss->env->loop, &ss->flush, wsdial_session_on_flush);
}

int
wsdial_session_frame(struct wsdial_session *ss, uint8_t opcode, const void *p, size_t n)
{
	size_t start = ss->out.n;
	uint8_t first = WS_BIT_FIN | opcode;
	int bad;

	if (buf_reserve(&ss->out, WS_HEADER_MAX + n) == -1)
		return wsdial_session_no_memory(ss);
	ss->out.n += WS_HEADER_MAX;
	if (opcode < WS_CLOSE && ss->agreed.deflate && ss->deflate.compresses) {
		first |= WS_BIT_RSV1; /* RFC 7692 6.1 */
		bad = wsdial_deflate_message(&ss->deflate, p, n, &ss->out);
	} else {
		bad = n > 0 ? buf_append(&ss->out, p, n) : 0;
	}
	if (bad != 0) {
		ss->out.n = start;
		return wsdial_session_no_memory(ss);
	}
	wsdial_frame_finish(ss, start, first, ss->out.n - start - WS_HEADER_MAX, p);
	return 0;
}

int
wsdial_session_send(struct wsdial_session *ss, bool binary, const void *p, size_t n)
{
	if (ss->phase != WSDIAL_SS_OPEN)
		return -1;
	return wsdial_session_frame(ss, binary ? WS_BINARY : WS_TEXT, p, n);
}

int
wsdial_session_ping(struct wsdial_session *ss, const void *p, size_t n)
{
	if (ss->phase != WSDIAL_SS_OPEN)
		return -1;
	return wsdial_session_frame(ss, WS_PING, p, n);
}

void
wsdial_session_send_close(struct wsdial_session *ss, unsigned code, const char *reason)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n = 0;

	if (code != WS_CLOSE_NO_STATUS) {
		n = strlen(reason) < sizeof(payload) - 2 ? strlen(reason) : sizeof(payload) - 2;
		memcpy(payload + 2, reason, n);
		payload[0] = (uint8_t)(code >> 8);
		payload[1] = (uint8_t)code;
		n += 2;
	}
	(void)wsdial_session_frame(ss, WS_CLOSE, payload, n);
	wsdial_session_flush(ss);
}

void
wsdial_session_close(struct wsdial_session *ss)
{
	if (ss->phase != WSDIAL_SS_OPEN)
		return;
	ss->phase = WSDIAL_SS_CLOSING;
	wsdial_session_send_close(ss, WS_CLOSE_NORMAL, "");
	if (ss->phase == WSDIAL_SS_CLOSING)
		wsdial_session_wait_close(ss);
}

size_t
wsdial_session_queued(const struct wsdial_session *ss)
{
	return ss->s != NULL ? ss->out.n + stream_queued(ss->s) : 0;
}

/* ---- keep-alive */

static void
wsdial_on_keepalive(void *arg, uint8_t opcode, const void *p, size_t n)
{
	struct wsdial_session *ss = arg;

	if (ss->phase == WSDIAL_SS_OPEN)
		(void)wsdial_session_frame(ss, opcode, p, n);
}

static void
wsdial_on_keepalive_failed(void *arg)
{
	struct wsdial_session *ss = arg;

	wsdial_session_say(ss, "keep-alive timeout: no PONG from the server");
	wsdial_session_over(ss, WSDIAL_FAILED, true);
}

static const struct wsdial_keepalive_ops wsdial_keepalive_session_ops = {
	.send = wsdial_on_keepalive,
	.failed = wsdial_on_keepalive_failed,
};

/* ---- the stream's events */

static void
wsdial_on_room(struct stream *s)
{
	struct wsdial_session *ss = s->user;

	if (ss->phase == WSDIAL_SS_CLOSING)
		wsdial_session_wait_close(ss);
	if (ss->ev->room != NULL && ss->phase == WSDIAL_SS_OPEN)
		ss->ev->room(ss);
}

static void
wsdial_on_end(struct stream *s)
{
	struct wsdial_session *ss = s->user;

	if (ss->phase == WSDIAL_SS_ENDING) {
		wsdial_session_over(ss, ss->status, false);
		return;
	}
	wsdial_session_say(ss, "the server ended the connection without a Close");
	wsdial_session_over(ss, WSDIAL_FAILED, false);
}

static void
wsdial_on_stream_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct wsdial_session *ss = s->user;

	(void)e;
	ss->s = NULL; /* it is gone */
	if (ss->phase == WSDIAL_SS_ENDING) {
		wsdial_session_over(ss, ss->status, false);
		return;
	}
	wsdial_session_say(ss, "the connection broke: %s", why);
	wsdial_session_over(ss, WSDIAL_FAILED, false);
}

static const struct stream_events wsdial_stream_events = {
	.bytes = wsdial_receive,
	.room = wsdial_on_room,
	.end = wsdial_on_end,
	.reset = wsdial_on_stream_reset,
};

/* ---- the start */

static void
wsdial_on_connected(void *arg, enum wsdial_status status, struct stream *s,
    const struct wsdial_agreed *agreed, const char *why)
{
	struct wsdial_session *ss = arg;
	const struct wsdial_options *o = ss->env->o;

	ss->wc = NULL;
	ss->agreed = *agreed;
	if (status != WSDIAL_OK) {
		wsdial_session_say(ss, "%s", why);
		wsdial_session_over(ss, status, false);
		return;
	}
	ss->s = s;
	stream_attach(s, &wsdial_stream_events, ss);
	ss->phase = WSDIAL_SS_OPEN;
	ss->rules.allow_rsv1 = agreed->deflate;
	if (agreed->deflate)
		wsdial_deflate_init(&ss->deflate, ss->env->pool, &agreed->ext, o->leave_plain);
	wsdial_keepalive_start(&ss->keepalive, ss->env->loop, o->keepalive_interval_ms,
	    o->keepalive_timeout_ms, &wsdial_keepalive_session_ops, ss);
	ss->ev->open(ss);
}

struct wsdial_session *
wsdial_session_start(
    const struct wsdial_env *env, const struct wsdial_session_events *ev, void *user)
{
	struct wsdial_session *ss;

	if ((ss = mem_zalloc(sizeof(*ss))) == NULL)
		return NULL;
	ss->env = env;
	ss->ev = ev;
	ss->user = user;
	ss->rules = (struct ws_rules){ .max_message = WSDIAL_MESSAGE_MAX, .check_utf8 = true };
	ss->timer.fn = wsdial_session_on_timer;
	ws_reader_init(&ss->in);
	buf_init(&ss->message, WSDIAL_MESSAGE_MAX);
	buf_init(&ss->out, 2 * (size_t)WSDIAL_MESSAGE_MAX);
	if ((ss->wc = wsdial_connect_start(env, wsdial_on_connected, ss)) == NULL) {
		mem_free(ss);
		return NULL;
	}
	return ss;
}

void *
wsdial_session_user(const struct wsdial_session *ss)
{
	return ss->user;
}

const struct wsdial_agreed *
wsdial_session_agreed(const struct wsdial_session *ss)
{
	return &ss->agreed;
}
