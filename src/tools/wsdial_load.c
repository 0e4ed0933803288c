/*
 * Load: C connections with M messages of S bytes in flight on each, for a while.  See
 * wsdial_mode.h.
 *
 * The server has to send each message back, in order.  All connections are opened first, a batch at
 * a time; then the time runs.  Its end stops the sending; a message that comes back later does not
 * count.  Anything that goes wrong with one connection ends the run: a figure of the others would
 * mean little.
 */
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/loop.h"
#include "tools/wsdial_mode.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_report.h"
#include "tools/wsdial_session.h"

/* Connections that are being opened at once. */
#define WSDIAL_LOAD_BATCH 64
/* What waits to be sent on a connection before its next messages wait, too. */
#define WSDIAL_LOAD_QUEUE (1024 * 1024)
/* Descriptors that are not connections. */
#define WSDIAL_LOAD_FILES 32

struct wsdial_load_conn {
	struct wsdial_load *load;  /* borrowed */
	struct wsdial_session *ss; /* owned */
	uint64_t *sent_us;	   /* borrowed: in_flight places, a ring */
	uint64_t first, n;	   /* of those that are out */
	bool over;
};

struct wsdial_load {
	struct wsdial_mode mode;	/* first */
	const struct wsdial_env *env;	/* borrowed */
	struct wsdial_load_conn *conn;	/* owned */
	uint64_t *ring;			/* owned: all connections' */
	uint8_t *message;		/* owned: size bytes */
	uint64_t started, opened, over; /* connections */
	struct loop_timer timer;	/* the run's end */
	uint64_t began_us, ended_us;
	uint64_t deadline_ms;
	uint64_t messages;
	enum wsdial_status status;
	bool running, closing;
	struct wsdial_agreed agreed; /* of the first one */
	struct wsdial_histogram latency;
};

static const struct wsdial_session_events wsdial_load_events;

/* ---- the end */

static void
wsdial_load_close(struct wsdial_load *load)
{
	if (load->closing)
		return;
	load->closing = true;
	load->running = false;
	load->ended_us = clock_mono_us();
	loop_timer_stop(load->env->loop, &load->timer);
	for (uint64_t i = 0; i < load->started; i++)
		wsdial_session_close(load->conn[i].ss);
	if (load->over == load->started)
		loop_stop(load->env->loop);
}

static void
wsdial_load_on_over(struct wsdial_session *ss, enum wsdial_status status, const char *why)
{
	struct wsdial_load_conn *c = wsdial_session_user(ss);
	struct wsdial_load *load = c->load;

	c->over = true;
	load->over++;
	if (status == WSDIAL_OK && !load->closing) {
		status = WSDIAL_FAILED;
		why = "the server closed a connection";
	}
	if (status != WSDIAL_OK && load->status == WSDIAL_OK) {
		wsdial_out_error(load->env->out, "%s", why);
		load->status = status;
		/* The others need not say good-bye to a server that is in trouble. */
		load->closing = true;
		loop_stop(load->env->loop);
	} else if (load->closing && load->over == load->started) {
		loop_stop(load->env->loop);
	}
}

/* ---- the run */

static void
wsdial_load_fill(struct wsdial_load_conn *c)
{
	struct wsdial_load *load = c->load;
	const struct wsdial_options *o = load->env->o;

	while (load->running && c->n < o->in_flight &&
	    wsdial_session_queued(c->ss) < WSDIAL_LOAD_QUEUE) {
		c->sent_us[(c->first + c->n) % o->in_flight] = clock_mono_us();
		if (wsdial_session_send(c->ss, o->binary, load->message, o->size) == -1)
			return; /* it is over, or will be told so */
		c->n++;
	}
}

static void
wsdial_load_on_message(struct wsdial_session *ss, bool binary, const uint8_t *p, size_t n)
{
	struct wsdial_load_conn *c = wsdial_session_user(ss);
	struct wsdial_load *load = c->load;
	const struct wsdial_options *o = load->env->o;

	(void)p;
	if (c->n == 0 || n != o->size || binary != o->binary) {
		if (load->status == WSDIAL_OK)
			wsdial_out_error(load->env->out,
			    "a message came back otherwise than it was "
			    "sent: --load needs a server that echoes");
		load->status = WSDIAL_FAILED;
		wsdial_load_close(load);
		return;
	}
	if (load->running) {
		wsdial_histogram_add(&load->latency, clock_mono_us() - c->sent_us[c->first]);
		load->messages++;
	}
	c->first = (c->first + 1) % o->in_flight;
	c->n--;
	wsdial_load_fill(c);
}

static void
wsdial_load_on_room(struct wsdial_session *ss)
{
	wsdial_load_fill(wsdial_session_user(ss));
}

static void
wsdial_load_on_timer(struct loop_timer *timer)
{
	struct wsdial_load *load =
	    (struct wsdial_load *)(void *)((char *)timer - offsetof(struct wsdial_load, timer));

	if (loop_now_ms(load->env->loop) < load->deadline_ms)
		loop_timer_arm(load->env->loop, timer, load->deadline_ms);
	else
		wsdial_load_close(load);
}

/* All are open. */
static void
wsdial_load_run(struct wsdial_load *load)
{
	load->running = true;
	load->began_us = clock_mono_us();
	load->deadline_ms = loop_now_ms(load->env->loop) + load->env->o->duration_ms;
	loop_timer_arm(load->env->loop, &load->timer, load->deadline_ms);
	for (uint64_t i = 0; i < load->started; i++)
		wsdial_load_fill(&load->conn[i]);
}

/* ---- opening */

/* Open more of them; 0, or -1 without memory. */
static int
wsdial_load_more(struct wsdial_load *load)
{
	const struct wsdial_options *o = load->env->o;
	struct wsdial_load_conn *c;

	while (load->started < o->connections && load->started - load->opened < WSDIAL_LOAD_BATCH) {
		c = &load->conn[load->started];
		c->load = load;
		c->sent_us = load->ring + load->started * o->in_flight;
		if ((c->ss = wsdial_session_start(load->env, &wsdial_load_events, c)) == NULL)
			return -1;
		load->started++;
	}
	return 0;
}

static void
wsdial_load_on_open(struct wsdial_session *ss)
{
	struct wsdial_load_conn *c = wsdial_session_user(ss);
	struct wsdial_load *load = c->load;

	if (load->opened++ == 0)
		load->agreed = *wsdial_session_agreed(ss);
	if (load->closing) {
		wsdial_session_close(ss);
		return;
	}
	wsdial_session_count_only(ss);
	if (wsdial_load_more(load) == -1) {
		wsdial_out_error(load->env->out, "out of memory");
		load->status = WSDIAL_FAILED;
		wsdial_load_close(load);
	} else if (load->opened == load->env->o->connections) {
		wsdial_load_run(load);
	}
}

static const struct wsdial_session_events wsdial_load_events = {
	.open = wsdial_load_on_open,
	.message = wsdial_load_on_message,
	.room = wsdial_load_on_room,
	.over = wsdial_load_on_over,
};

/* ---- the mode */

static void
wsdial_load_free(struct wsdial_load *load)
{
	loop_timer_stop(load->env->loop, &load->timer);
	for (uint64_t i = 0; i < load->started; i++)
		wsdial_session_free(load->conn[i].ss);
	mem_free(load->conn);
	mem_free(load->ring);
	mem_free(load->message);
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

/* Text that compresses, but not to nothing. */
static void
wsdial_load_make_message(struct wsdial_load *load)
{
	uint32_t state = 2463534242;

	for (uint64_t i = 0; i < load->env->o->size; i++) {
		if (i % 4 == 0) { /* xorshift */
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
		}
		load->message[i] = (uint8_t)("etaoin shrdlucmf"[state >> (i % 4 * 4) & 15]);
	}
}

static struct wsdial_mode *
wsdial_load_start(const struct wsdial_env *env)
{
	const struct wsdial_options *o = env->o;
	struct wsdial_load *load;

	if ((load = mem_zalloc(sizeof(*load))) == NULL)
		return NULL;
	load->mode.ops = &wsdial_load_ops;
	load->env = env;
	load->timer.fn = wsdial_load_on_timer;
	load->conn = mem_zalloc(o->connections * sizeof(*load->conn));
	load->ring = mem_alloc(o->connections * o->in_flight * sizeof(*load->ring));
	load->message = mem_alloc(o->size);
	if (load->conn == NULL || load->ring == NULL || load->message == NULL)
		goto fail;
	wsdial_load_raise_files(o);
	wsdial_load_make_message(load);
	if (!o->json)
		wsdial_out_line(env->out,
		    "LOAD %s: %llu connections, %llu messages of %llu bytes in "
		    "flight on each",
		    o->url_text, (unsigned long long)o->connections,
		    (unsigned long long)o->in_flight, (unsigned long long)o->size);
	if (wsdial_load_more(load) == 0)
		return &load->mode;
fail:
	wsdial_load_free(load);
	return NULL;
}

static void
wsdial_load_interrupt(struct wsdial_mode *m)
{
	struct wsdial_load *load = (struct wsdial_load *)m;

	if (load->running) {
		wsdial_load_close(load);
		return;
	}
	if (load->status == WSDIAL_OK && !load->closing)
		load->status = WSDIAL_FAILED;
	loop_stop(load->env->loop);
}

static bool
wsdial_load_suspend(struct wsdial_mode *m)
{
	(void)m;
	return false;
}

static enum wsdial_status
wsdial_load_finish(struct wsdial_mode *m)
{
	struct wsdial_load *load = (struct wsdial_load *)m;
	enum wsdial_status status = load->status;
	struct wsdial_load_result r = { .messages = load->messages,
		.latency = &load->latency,
		.took_us = load->ended_us - load->began_us };

	if (status == WSDIAL_OK)
		wsdial_report_load(load->env, &load->agreed, &r);
	wsdial_load_free(load);
	return status;
}

const struct wsdial_mode_ops wsdial_load_ops = {
	.start = wsdial_load_start,
	.interrupt = wsdial_load_interrupt,
	.suspend = wsdial_load_suspend,
	.finish = wsdial_load_finish,
};
