/*
 * Messages: from the command line or the standard input to the server, and from it to the standard
 * output.  See wsdial_mode.h.
 *
 * The WebSocket is closed when all that is awaited has come: with -n, COUNT messages; without,
 * nothing is awaited, and the end of the input closes it.  One timer, with --timeout, waits for
 * the next message of -n.
 */
#include "base/mem.h"
#include "codec/ws_utf8.h"
#include "io/loop.h"
#include "tools/wsdial_input.h"
#include "tools/wsdial_mode.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_session.h"

/* The input is not read while so much waits to be sent. */
#define WSDIAL_QUEUE_MAX (256 * 1024)

struct wsdial_talk {
	struct wsdial_mode mode;      /* first */
	const struct wsdial_env *env; /* borrowed */
	struct wsdial_session *ss;    /* owned */
	struct wsdial_input *in;      /* owned; NULL: not opened yet, or -m */
	struct loop_timer timer;
	uint64_t deadline_ms;
	uint64_t received;
	uint64_t lines;
	enum wsdial_status status; /* what has gone wrong here; WSDIAL_OK */
	bool opened, closing, over;
};

/* ---- the end */

static void
wsdial_talk_close(struct wsdial_talk *talk)
{
	if (talk->closing)
		return;
	talk->closing = true;
	loop_timer_stop(talk->env->loop, &talk->timer);
	if (talk->in != NULL)
		wsdial_input_want(talk->in, false);
	wsdial_session_close(talk->ss);
}

/* Something here: the server gets its Close all the same. */
static void
wsdial_talk_fail(struct wsdial_talk *talk)
{
	talk->status = WSDIAL_FAILED;
	wsdial_talk_close(talk);
}

static bool
wsdial_talk_is_enough(const struct wsdial_talk *talk)
{
	return talk->env->o->counted && talk->received >= talk->env->o->count;
}

static void
wsdial_talk_on_over(struct wsdial_session *ss, enum wsdial_status status, const char *why)
{
	struct wsdial_talk *talk = wsdial_session_user(ss);

	talk->over = true;
	if (status != WSDIAL_OK)
		wsdial_out_error(talk->env->out, "%s", why);
	else if (!talk->closing)
		wsdial_out_trace(talk->env->out, "* the server closed after %llu messages",
		    (unsigned long long)talk->received);
	if (talk->status == WSDIAL_OK)
		talk->status = status;
	loop_stop(talk->env->loop);
}

/* ---- waiting for messages */

static void
wsdial_talk_arm(struct wsdial_talk *talk)
{
	const struct wsdial_options *o = talk->env->o;
	uint64_t now = loop_now_ms(talk->env->loop);

	if (!o->counted || o->timeout_ms == 0 || o->timeout_ms >= UINT64_MAX - now || talk->closing)
		return;
	talk->deadline_ms = now + o->timeout_ms;
	loop_timer_arm(talk->env->loop, &talk->timer, talk->deadline_ms);
}

static void
wsdial_talk_on_timer(struct loop_timer *timer)
{
	struct wsdial_talk *talk =
	    (struct wsdial_talk *)(void *)((char *)timer - offsetof(struct wsdial_talk, timer));

	if (loop_now_ms(talk->env->loop) < talk->deadline_ms) {
		loop_timer_arm(talk->env->loop, timer, talk->deadline_ms);
		return;
	}
	wsdial_out_error(talk->env->out, "timeout: no message came (%llu so far)",
	    (unsigned long long)talk->received);
	wsdial_talk_fail(talk);
}

static void
wsdial_talk_on_message(struct wsdial_session *ss, bool binary, const uint8_t *p, size_t n)
{
	struct wsdial_talk *talk = wsdial_session_user(ss);

	if (wsdial_talk_is_enough(talk))
		return; /* COUNT were asked for */
	wsdial_out_message(talk->env->out, binary, p, n);
	talk->received++;
	if (talk->env->out->broken != 0) {
		wsdial_talk_fail(talk); /* main says why */
	} else if (wsdial_talk_is_enough(talk)) {
		wsdial_talk_close(talk);
	} else {
		wsdial_talk_arm(talk);
	}
}

/* ---- what is sent */

static void
wsdial_talk_on_input_end(struct wsdial_talk *talk, const char *error)
{
	if (error != NULL) {
		wsdial_out_error(talk->env->out, "standard input: %s", error);
		wsdial_talk_fail(talk);
	} else if (!talk->env->o->counted || wsdial_talk_is_enough(talk)) {
		wsdial_talk_close(talk);
	}
}

static void
wsdial_talk_on_line(void *arg, const char *p, size_t n, const char *error)
{
	struct wsdial_talk *talk = arg;
	uint8_t state = WS_UTF8_START;
	bool binary = talk->env->o->binary;

	if (p == NULL) {
		wsdial_talk_on_input_end(talk, error);
		return;
	}
	if (talk->closing || talk->over)
		return;
	talk->lines++;
	if (!binary && (!ws_utf8_feed(&state, (const uint8_t *)p, n) || state != WS_UTF8_START)) {
		wsdial_out_error(talk->env->out,
		    "standard input: line %llu is not UTF-8 (-b sends "
		    "any bytes)",
		    (unsigned long long)talk->lines);
		wsdial_talk_fail(talk);
		return;
	}
	(void)wsdial_session_send(talk->ss, binary, p, n);
	if (wsdial_session_queued(talk->ss) > WSDIAL_QUEUE_MAX)
		wsdial_input_want(talk->in, false);
}

static void
wsdial_talk_on_room(struct wsdial_session *ss)
{
	struct wsdial_talk *talk = wsdial_session_user(ss);

	if (talk->in != NULL && !talk->closing)
		wsdial_input_want(talk->in, true);
}

static void
wsdial_talk_on_open(struct wsdial_session *ss)
{
	struct wsdial_talk *talk = wsdial_session_user(ss);
	const struct wsdial_options *o = talk->env->o;

	talk->opened = true;
	for (size_t i = 0; i < o->n_messages; i++)
		(void)wsdial_session_send(ss, o->binary, o->message[i], strlen(o->message[i]));
	wsdial_talk_arm(talk);
	if (wsdial_talk_is_enough(talk)) {
		wsdial_talk_close(talk);
	} else if (o->n_messages > 0) {
		wsdial_talk_on_input_end(talk, NULL);
	} else if ((talk->in = wsdial_input_start(talk->env->loop, talk->env->out,
			WSDIAL_MESSAGE_MAX, wsdial_talk_on_line, talk)) == NULL) {
		wsdial_talk_on_input_end(talk, "it cannot be read");
	}
}

static const struct wsdial_session_events wsdial_talk_events = {
	.open = wsdial_talk_on_open,
	.message = wsdial_talk_on_message,
	.room = wsdial_talk_on_room,
	.over = wsdial_talk_on_over,
};

/* ---- the mode */

static struct wsdial_mode *
wsdial_talk_start(const struct wsdial_env *env)
{
	struct wsdial_talk *talk;

	if ((talk = mem_zalloc(sizeof(*talk))) == NULL)
		return NULL;
	talk->mode.ops = &wsdial_talk_ops;
	talk->env = env;
	talk->timer.fn = wsdial_talk_on_timer;
	if ((talk->ss = wsdial_session_start(env, &wsdial_talk_events, talk)) != NULL)
		return &talk->mode;
	mem_free(talk);
	return NULL;
}

static void
wsdial_talk_interrupt(struct wsdial_mode *m)
{
	struct wsdial_talk *talk = (struct wsdial_talk *)m;

	if (talk->opened)
		wsdial_talk_close(talk);
	else
		loop_stop(talk->env->loop);
}

static bool
wsdial_talk_suspend(struct wsdial_mode *m)
{
	return wsdial_input_suspend(((struct wsdial_talk *)m)->in);
}

static enum wsdial_status
wsdial_talk_finish(struct wsdial_mode *m)
{
	struct wsdial_talk *talk = (struct wsdial_talk *)m;
	enum wsdial_status status = talk->over ? talk->status : WSDIAL_FAILED;

	loop_timer_stop(talk->env->loop, &talk->timer);
	wsdial_input_free(talk->in);
	wsdial_session_free(talk->ss);
	mem_free(talk);
	return status;
}

const struct wsdial_mode_ops wsdial_talk_ops = {
	.start = wsdial_talk_start,
	.interrupt = wsdial_talk_interrupt,
	.suspend = wsdial_talk_suspend,
	.finish = wsdial_talk_finish,
};
