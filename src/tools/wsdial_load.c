/*
 * Load: C connections with M messages of S bytes in flight on each, for a while; or with --opens,
 * WebSockets that are opened and closed.  See wsdial_mode.h and wsdial_load.h.
 *
 * The server has to send each message back, in order.  All WebSockets are opened first, a batch at
 * a time; then the time runs.  Its end stops the sending; a message that comes back later does not
 * count.  With --on-input each line of the standard input begins a run on the same WebSockets, and
 * a run is over when all that it has sent came back: then each message counts, which is what a
 * benchmark that divides by them needs.  Anything that goes wrong with one connection ends it all:
 * a figure of the others would mean little.
 *
 * Phases: OPENING, READY (with --on-input), RUNNING, DRAINING (the same), CLOSING.
 */
#include <sys/resource.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "io/loop.h"
#include "tools/wsdial_input.h"
#include "tools/wsdial_load.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_report.h"

/* WebSockets that are being opened at once. */
#define WSDIAL_LOAD_BATCH 64
/* Descriptors that are not connections. */
#define WSDIAL_LOAD_FILES 32
#define WSDIAL_LOAD_TICK_MS 1000
#define WSDIAL_LOAD_LINE 256
/* Lines that came while a run was on. */
#define WSDIAL_LOAD_LINES (128 * 1024)

static void wsdial_load_on_next(struct loop_task *task);
static void wsdial_load_run(struct wsdial_load *load);

/* ---- the end */

void
wsdial_load_leave(struct wsdial_load_ws *ws)
{
	struct wsdial_load *load = ws->load;

	if (ws->state == WSDIAL_LW_NONE)
		return;
	load->carrier->leave(ws);
	wsdial_load_ws_clear(ws);
	load->over++;
	if (load->phase == WSDIAL_LOAD_CLOSING && load->over == load->started)
		loop_stop(load->env->loop); /* that was the last one */
}

static void
wsdial_load_close(struct wsdial_load *load)
{
	if (load->phase == WSDIAL_LOAD_CLOSING)
		return;
	if (load->phase == WSDIAL_LOAD_RUNNING)
		load->ended_us = clock_mono_us();
	load->phase = WSDIAL_LOAD_CLOSING;
	load->heard_ms = loop_now_ms(load->env->loop);
	loop_timer_stop(load->env->loop, &load->timer);
	for (uint64_t i = 0; i < load->n; i++) {
		if (load->ws[i].state == WSDIAL_LW_OPENING)
			wsdial_load_leave(&load->ws[i]);
		else
			wsdial_load_ws_close(&load->ws[i]);
	}
	if (load->over == load->started)
		loop_stop(load->env->loop);
}

void
wsdial_load_fail(
    struct wsdial_load *load, enum wsdial_status status, bool polite, const char *fmt, ...)
{
	char why[600];
	va_list ap;

	if (load->status != WSDIAL_OK)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	wsdial_out_error(load->env->out, "%s", why);
	load->status = status;
	if (polite && load->phase != WSDIAL_LOAD_CLOSING)
		wsdial_load_close(load);
	else /* the others need not say good-bye to a server that is in trouble */
		loop_stop(load->env->loop);
}

/* What has taken too long, of what nobody else minds. */
static void
wsdial_load_age(struct wsdial_load_ws *ws, uint64_t now_us)
{
	uint64_t ms = ws->load->env->o->timeout_ms;

	if (ms == 0)
		ms = WSDIAL_HANDSHAKE_MS;
	if (ws->state == WSDIAL_LW_OPENING && (now_us - ws->began_us) / 1000 > ms)
		wsdial_load_fail(ws->load, WSDIAL_FAILED, false,
		    "timeout: no answer to the handshake came in time");
	if (ws->state == WSDIAL_LW_CLOSED && ws->aged)
		wsdial_load_done(ws); /* the server's end is not waited for for ever */
	else
		ws->aged = ws->state == WSDIAL_LW_CLOSED;
}

static void
wsdial_load_on_tick(struct loop_timer *timer)
{
	struct wsdial_load *load =
	    (struct wsdial_load *)(void *)((char *)timer - offsetof(struct wsdial_load, tick));
	uint64_t now = loop_now_ms(load->env->loop), ms = load->env->o->timeout_ms;

	if (ms == 0)
		ms = WSDIAL_CLOSE_MS;
	for (uint64_t i = 0; i < load->n; i++)
		wsdial_load_age(&load->ws[i], clock_mono_us());
	if (load->phase == WSDIAL_LOAD_CLOSING && now - load->heard_ms >= ms)
		wsdial_load_fail(
		    load, WSDIAL_FAILED, false, "timeout: no Close came from the server");
	if (load->phase == WSDIAL_LOAD_DRAINING && now - load->heard_ms >= ms)
		wsdial_load_fail(load, WSDIAL_FAILED, false,
		    "timeout: %llu of the %s did not come back", (unsigned long long)load->out,
		    load->env->o->opens ? "handshakes" : "messages");
	loop_timer_arm(load->env->loop, timer, now + WSDIAL_LOAD_TICK_MS);
}

/* ---- the result of a run */

static void
wsdial_load_report(struct wsdial_load *load)
{
	struct wsdial_load_result r = { .messages = load->messages,
		.latency = &load->latency,
		.in_flight = load->run.in_flight,
		.size = load->run.size,
		.took_us = load->ended_us - load->began_us };

	wsdial_report_load(load->env, &load->agreed, &r);
}

/* All is back, or the time is over and it is not waited for. */
static void
wsdial_load_run_over(struct wsdial_load *load)
{
	load->ended_us = clock_mono_us();
	loop_timer_stop(load->env->loop, &load->timer);
	if (load->input == NULL || load->env->out->broken != 0) {
		wsdial_load_close(load);
		return;
	}
	wsdial_load_report(load);
	load->phase = WSDIAL_LOAD_READY;
	loop_later(load->env->loop, &load->next, wsdial_load_on_next);
}

/* Whether the run has nothing more to do. */
static void
wsdial_load_check_run(struct wsdial_load *load)
{
	bool idle = load->run.in_flight == 0 && !load->env->o->opens;

	if (load->out > 0)
		return;
	if (load->phase == WSDIAL_LOAD_DRAINING ||
	    (load->phase == WSDIAL_LOAD_RUNNING && !idle && load->run.count != UINT64_MAX))
		wsdial_load_run_over(load);
}

static void
wsdial_load_on_timer(struct loop_timer *timer)
{
	struct wsdial_load *load =
	    (struct wsdial_load *)(void *)((char *)timer - offsetof(struct wsdial_load, timer));

	if (loop_now_ms(load->env->loop) < load->deadline_ms) {
		loop_timer_arm(load->env->loop, timer, load->deadline_ms);
	} else if (load->input == NULL) {
		wsdial_load_close(load);
	} else {
		load->phase = WSDIAL_LOAD_DRAINING;
		load->heard_ms = loop_now_ms(load->env->loop);
		wsdial_load_check_run(load);
	}
}

void
wsdial_load_came(struct wsdial_load_ws *ws, uint64_t now_us)
{
	struct wsdial_load *load = ws->load;

	if (load->phase == WSDIAL_LOAD_RUNNING || load->phase == WSDIAL_LOAD_DRAINING) {
		wsdial_histogram_add(&load->latency, now_us - ws->sent_us[ws->first]);
		load->messages++;
	}
	ws->first = (uint32_t)((ws->first + 1) % load->run.in_flight);
	ws->n--;
	load->out--;
	if (load->phase == WSDIAL_LOAD_DRAINING || ws->allowance == 0)
		wsdial_load_check_run(load);
}

/* ---- opening */

static void
wsdial_load_open(struct wsdial_load_ws *ws)
{
	struct wsdial_load *load = ws->load;

	wsdial_load_ws_init(ws);
	load->started++;
	ws->began_us = clock_mono_us();
	if (load->carrier->open(ws) == -1)
		wsdial_load_fail(load, WSDIAL_FAILED, false, "out of memory");
}

/* Open more of them. */
static void
wsdial_load_more(struct wsdial_load *load)
{
	while (load->status == WSDIAL_OK && load->started < load->n &&
	    load->started - load->opened < WSDIAL_LOAD_BATCH)
		wsdial_load_open(&load->ws[load->started]);
}

/* The memory of what it has agreed on; 0, or -1. */
static int
wsdial_load_agree(struct wsdial_load_ws *ws, const struct wsdial_agreed *agreed)
{
	struct wsdial_load *load = ws->load;

	if (load->opened == 0 && load->agreed.http == NULL) {
		load->agreed = *agreed;
		load->deflate = agreed->deflate;
		load->client_bits = agreed->ext.client_bits;
	}
	if (agreed->deflate != load->deflate ||
	    (agreed->deflate && agreed->ext.client_bits != load->client_bits)) {
		wsdial_load_fail(load, WSDIAL_FAILED, true,
		    "the server has agreed to another compression than on the first connection");
		return -1;
	}
	if (!agreed->deflate)
		return 0;
	if ((ws->deflate = mem_zalloc(sizeof(*ws->deflate))) == NULL) {
		wsdial_load_fail(load, WSDIAL_FAILED, false, "out of memory");
		return -1;
	}
	wsdial_deflate_init(ws->deflate, load->env->pool, &agreed->ext, false);
	return 0;
}

static void
wsdial_load_all_open(struct wsdial_load *load)
{
	load->phase = WSDIAL_LOAD_READY;
	if (load->input == NULL) {
		wsdial_load_run(load);
		return;
	}
	wsdial_out_line(load->env->out, "READY");
	loop_later(load->env->loop, &load->next, wsdial_load_on_next);
}

void
wsdial_load_opened(struct wsdial_load_ws *ws, const struct wsdial_agreed *agreed)
{
	struct wsdial_load *load = ws->load;

	ws->state = WSDIAL_LW_OPEN;
	if (wsdial_load_agree(ws, agreed) == -1)
		return;
	if (load->env->o->opens) {
		wsdial_histogram_add(&load->latency, clock_mono_us() - ws->began_us);
		wsdial_load_ws_close(ws);
		return;
	}
	load->opened++;
	wsdial_load_more(load);
	if (load->opened == load->n && load->phase == WSDIAL_LOAD_OPENING)
		wsdial_load_all_open(load);
}

void
wsdial_load_done(struct wsdial_load_ws *ws)
{
	struct wsdial_load *load = ws->load;

	wsdial_load_leave(ws);
	if (!load->env->o->opens || load->phase == WSDIAL_LOAD_CLOSING)
		return;
	load->messages++;
	if (load->phase == WSDIAL_LOAD_RUNNING) {
		wsdial_load_open(ws);
	} else {
		load->out--;
		wsdial_load_check_run(load);
	}
}

/* ---- runs */

/* 0, or -1 without memory. */
static int
wsdial_load_prepare_run(struct wsdial_load *load)
{
	uint64_t in_flight = load->run.in_flight;

	mem_free(load->ring);
	if ((load->ring = mem_alloc(load->n * in_flight * sizeof(*load->ring) + 1)) == NULL ||
	    wsdial_load_make_frames(load) == -1)
		return -1;
	for (uint64_t i = 0; i < load->n; i++) {
		struct wsdial_load_ws *ws = &load->ws[i];

		ws->sent_us = load->ring + i * in_flight;
		ws->first = 0;
		ws->at = 0;
		ws->allowance = load->run.count;
	}
	load->messages = 0;
	load->latency = (struct wsdial_histogram){ .all = { .n = 0 } };
	return 0;
}

static void
wsdial_load_run(struct wsdial_load *load)
{
	if (wsdial_load_prepare_run(load) == -1) {
		wsdial_load_fail(load, WSDIAL_FAILED, false, "out of memory");
		return;
	}
	load->phase = WSDIAL_LOAD_RUNNING;
	load->began_us = clock_mono_us();
	load->deadline_ms = load->began_us / 1000 + load->run.duration_ms;
	loop_timer_arm(load->env->loop, &load->timer, load->deadline_ms);
	for (uint64_t i = 0; i < load->n && load->status == WSDIAL_OK; i++) {
		if (load->env->o->opens) {
			load->out++;
			wsdial_load_open(&load->ws[i]);
		} else {
			wsdial_load_ws_send(&load->ws[i], load->run.in_flight, load->began_us);
		}
	}
	wsdial_load_check_run(load);
}

/* ---- --on-input: IN_FLIGHT,SIZE,TIME,COUNT; what is left out stays as it is */

static bool
wsdial_load_parse_line(struct wsdial_load_run *run, struct span line)
{
	struct span item;

	if (!span_next_item(&line, &item))
		return true;
	if (num_parse_uint(item, &run->in_flight) == -1 ||
	    run->in_flight > WSDIAL_LOAD_IN_FLIGHT_MAX)
		return false;
	if (!span_next_item(&line, &item))
		return true;
	if (num_parse_size(item, &run->size) == -1 || run->size > WSDIAL_MESSAGE_MAX)
		return false;
	if (!span_next_item(&line, &item))
		return true;
	if (num_parse_time_ms(item, &run->duration_ms) == -1 ||
	    run->duration_ms > NUM_TIME_INFINITY / 2)
		return false;
	if (!span_next_item(&line, &item))
		return true;
	return num_parse_uint(item, &run->count) == 0 && run->count > 0 &&
	    !span_next_item(&line, &item);
}

static void
wsdial_load_obey(struct wsdial_load *load, struct span line)
{
	load->run.count = UINT64_MAX;
	if (wsdial_load_parse_line(&load->run, line))
		wsdial_load_run(load);
	else
		wsdial_load_fail(load, WSDIAL_USAGE, true,
		    "standard input: expected IN_FLIGHT,SIZE,TIME,COUNT or the first of these");
}

/* The next of the lines that came, from the turn's end: a run may just be over. */
static void
wsdial_load_on_next(struct loop_task *task)
{
	struct wsdial_load *load =
	    (struct wsdial_load *)(void *)((char *)task - offsetof(struct wsdial_load, next));
	const char *end = load->lines.n > 0 ? memchr(load->lines.p, '\n', load->lines.n) : NULL;
	char line[WSDIAL_LOAD_LINE];
	size_t n;

	if (load->phase != WSDIAL_LOAD_READY)
		return;
	if (end != NULL) {
		n = (size_t)(end - load->lines.p);
		memcpy(line, load->lines.p, n);
		buf_consume(&load->lines, n + 1);
		wsdial_load_obey(load, (struct span){ line, n });
	} else if (load->input_over) {
		wsdial_load_close(load);
	} else {
		wsdial_input_want(load->input, true);
	}
}

static void
wsdial_load_on_line(void *arg, const char *p, size_t n, const char *error)
{
	struct wsdial_load *load = arg;

	wsdial_input_want(load->input, false);
	if (p == NULL)
		load->input_over = true;
	else if (buf_append(&load->lines, p, n) == -1 || buf_append_char(&load->lines, '\n') == -1)
		error = "too much at once";
	if (error != NULL)
		wsdial_load_fail(load, WSDIAL_FAILED, true, "standard input: %s", error);
	else
		loop_later(load->env->loop, &load->next, wsdial_load_on_next);
}

/* ---- the mode */

static void
wsdial_load_free(struct wsdial_load *load)
{
	loop_timer_stop(load->env->loop, &load->timer);
	loop_timer_stop(load->env->loop, &load->tick);
	loop_later_cancel(load->env->loop, &load->next);
	for (uint64_t i = 0; load->ws != NULL && i < load->n; i++) {
		if (load->ws[i].state != WSDIAL_LW_NONE)
			load->carrier->leave(&load->ws[i]);
		wsdial_load_ws_clear(&load->ws[i]);
	}
	if (load->carrier != NULL)
		load->carrier->free(load);
	wsdial_input_free(load->input);
	wsdial_load_free_frames(load);
	buf_clear(&load->lines);
	buf_clear(&load->text);
	mem_free(load->ws);
	mem_free(load->ring);
	mem_free(load);
}

static void
wsdial_load_raise_files(const struct wsdial_options *o)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_cur >= o->connections + WSDIAL_LOAD_FILES)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

static void
wsdial_load_announce(const struct wsdial_env *env)
{
	const struct wsdial_options *o = env->o;
	char streams[64] = "";

	if (o->json)
		return;
	if (o->streams > 0)
		snprintf(streams, sizeof(streams), " of %llu WebSockets",
		    (unsigned long long)o->streams);
	if (o->opens)
		wsdial_out_line(env->out, "OPENS %s: %llu connections%s at a time", o->url_text,
		    (unsigned long long)o->connections, streams);
	else
		wsdial_out_line(env->out,
		    "LOAD %s: %llu connections%s, %llu messages of %llu bytes in "
		    "flight on each",
		    o->url_text, (unsigned long long)o->connections, streams,
		    (unsigned long long)o->in_flight, (unsigned long long)o->size);
}

static void
wsdial_load_init(struct wsdial_load *load, const struct wsdial_env *env)
{
	const struct wsdial_options *o = env->o;

	load->mode.ops = &wsdial_load_ops;
	load->env = env;
	load->timer.fn = wsdial_load_on_timer;
	load->tick.fn = wsdial_load_on_tick;
	load->run = (struct wsdial_load_run){ o->in_flight, o->size, o->duration_ms, UINT64_MAX };
	load->n = o->connections * (o->streams > 0 ? o->streams : 1);
	buf_init(&load->lines, WSDIAL_LOAD_LINES);
	buf_init(&load->text, WSDIAL_MESSAGE_MAX + WSDIAL_MESSAGE_MAX / 2);
}

static struct wsdial_mode *
wsdial_load_start(const struct wsdial_env *env)
{
	const struct wsdial_options *o = env->o;
	struct wsdial_load *load;

	if ((load = mem_zalloc(sizeof(*load))) == NULL)
		return NULL;
	wsdial_load_init(load, env);
	if ((load->ws = mem_zalloc(load->n * sizeof(*load->ws))) == NULL)
		goto fail;
	for (uint64_t i = 0; i < load->n; i++)
		load->ws[i].load = load;
	wsdial_load_raise_files(o);
	load->carrier = o->streams > 0 ? &wsdial_load_h2 : &wsdial_load_one;
	if (load->carrier->start(load) == -1)
		goto fail;
	if (o->on_input &&
	    (load->input = wsdial_input_start(
		 env->loop, env->out, WSDIAL_LOAD_LINE, wsdial_load_on_line, load)) == NULL)
		goto fail;
	if (load->input != NULL)
		wsdial_input_want(load->input, false);
	wsdial_load_announce(env);
	loop_timer_arm(env->loop, &load->tick, loop_now_ms(env->loop) + WSDIAL_LOAD_TICK_MS);
	if (o->opens)
		wsdial_load_all_open(load);
	else
		wsdial_load_more(load);
	return &load->mode;
fail:
	wsdial_load_free(load);
	return NULL;
}

static void
wsdial_load_interrupt(struct wsdial_mode *m)
{
	struct wsdial_load *load = (struct wsdial_load *)m;

	if (load->phase != WSDIAL_LOAD_OPENING) {
		wsdial_load_close(load);
		return;
	}
	if (load->status == WSDIAL_OK)
		load->status = WSDIAL_FAILED;
	loop_stop(load->env->loop);
}

static bool
wsdial_load_suspend(struct wsdial_mode *m)
{
	return wsdial_input_suspend(((struct wsdial_load *)m)->input);
}

static enum wsdial_status
wsdial_load_finish(struct wsdial_mode *m)
{
	struct wsdial_load *load = (struct wsdial_load *)m;
	enum wsdial_status status = load->status;

	if (status == WSDIAL_OK && load->input == NULL)
		wsdial_load_report(load);
	wsdial_load_free(load);
	return status;
}

const struct wsdial_mode_ops wsdial_load_ops = {
	.start = wsdial_load_start,
	.interrupt = wsdial_load_interrupt,
	.suspend = wsdial_load_suspend,
	.finish = wsdial_load_finish,
};
