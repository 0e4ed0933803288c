/*
 * Workers.  See worker.h.
 *
 * Where there is more than one, each is a thread.  The only one needs none: it shares the main
 * thread and its loop, which saves the handing over of connections, and what the kernel asks of a
 * process with two threads: a reference on the table of descriptors for each call
 * (docs/performance.md).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/admission.h"
#include "daemon/worker.h"
#include "io/loop.h"
#include "io/tls.h"

struct worker {
	struct worker_env env;
	struct loop *loop;  /* owned; with env.alone the main loop, borrowed */
	struct gateway *gw; /* owned */
	pthread_t thread;
	bool started; /* and not joined */
	_Atomic size_t load;
	struct loop_msg drain; /* to the worker's, once */
	uint64_t spread_ms;
	double phase;
	struct loop_msg drained; /* to the main loop, once */
	struct loop_msg ping;	 /* to the worker's; posted while it is pending */
	_Atomic bool pinged;
	bool ended; /* WORKER_STOP was done */
};

enum worker_task { WORKER_ACCEPT, WORKER_RETIRE, WORKER_STOP };

struct worker_msg {
	struct loop_msg m; /* first */
	struct worker *w;
	enum worker_task task;
	struct http_accepted a;
	struct config *config; /* ref */
};

static void
worker_told_drained(struct loop_msg *m, struct loop *loop)
{
	struct worker *w = (struct worker *)(void *)((char *)m - offsetof(struct worker, drained));

	(void)loop;
	w->env.drained(w->env.arg);
}

static void
worker_on_drained(void *arg)
{
	struct worker *w = arg;

	w->drained.fn = worker_told_drained;
	loop_post(w->env.main, &w->drained);
}

/* The client is known only now: counted like at an accept. */
static unsigned
worker_on_admit(void *arg, const struct stream_info *info)
{
	struct worker *w = arg;
	unsigned refuse =
	    admission_enter(w->env.admission, info->config, info->listen, info->client, false);

	/*
	 * It becomes one of those that are only told; what is closed at once is still load until
	 * then.
	 */
	if (refuse != 0 && !http_refuses_in_silence(refuse))
		atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
	return refuse;
}

static void
worker_on_closed(void *arg, const struct stream_info *info)
{
	struct worker *w = arg;

	admission_leave(w->env.admission, info->config, info->listen,
	    info->counted ? info->client : NULL, info->refused);
	if (!info->refused)
		atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
}

static void
worker_on_msg(struct loop_msg *m, struct loop *loop)
{
	struct worker_msg *msg = (struct worker_msg *)(void *)m;
	struct worker *w = msg->w;

	switch (msg->task) {
	case WORKER_ACCEPT:
		gateway_accept(w->gw, &msg->a);
		break;
	case WORKER_RETIRE:
		gateway_retire(w->gw, msg->config);
		config_unref(msg->config);
		break;
	case WORKER_STOP:
		gateway_end(w->gw);
		w->ended = true;
		loop_stop(loop);
		break;
	}
	mem_free(msg);
}

static struct worker_msg *
worker_msg_new(struct worker *w, enum worker_task task)
{
	struct worker_msg *msg = mem_zalloc(sizeof(*msg));

	if (msg == NULL)
		return NULL;
	msg->m.fn = worker_on_msg;
	msg->w = w;
	msg->task = task;
	return msg;
}

void
worker_accept(struct worker *w, const struct http_accepted *a)
{
	struct worker_msg *msg;

	if (a->refuse == 0)
		atomic_fetch_add_explicit(&w->load, 1, memory_order_relaxed);
	if (w->env.alone) {
		gateway_accept(w->gw, a);
		return;
	}
	if ((msg = worker_msg_new(w, WORKER_ACCEPT)) == NULL) {
		if (a->refuse == 0)
			atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
		admission_leave(w->env.admission, a->config, a->listen,
		    a->counted ? (const struct sockaddr *)&a->peer : NULL, a->refuse != 0);
		close(a->fd);
		tls_ctx_unref(a->tls);
		config_unref(a->config);
		return;
	}
	msg->a = *a;
	loop_post(w->loop, &msg->m);
}

void
worker_retire(struct worker *w, struct config *current)
{
	struct worker_msg *msg = worker_msg_new(w, WORKER_RETIRE);

	if (msg == NULL)
		return; /* old connections keep their snapshot a little longer */
	msg->config = config_ref(current);
	loop_post(w->loop, &msg->m);
}

static void
worker_on_drain(struct loop_msg *m, struct loop *loop)
{
	struct worker *w = (struct worker *)(void *)((char *)m - offsetof(struct worker, drain));

	(void)loop;
	gateway_drain(w->gw, w->spread_ms, w->phase, worker_on_drained, w);
}

void
worker_drain(struct worker *w, uint64_t spread_ms, double phase)
{
	w->spread_ms = spread_ms;
	w->phase = phase;
	w->drain.fn = worker_on_drain;
	loop_post(w->loop, &w->drain);
}

static void
worker_on_call(struct loop_msg *m, struct loop *loop)
{
	struct worker_call *c =
	    (struct worker_call *)(void *)((char *)m - offsetof(struct worker_call, m));

	(void)loop;
	c->fn(c, c->w->gw);
}

void
worker_call(struct worker *w, struct worker_call *c)
{
	c->w = w;
	c->m.fn = worker_on_call;
	loop_post(w->loop, &c->m);
}

uint64_t
worker_websockets(const struct worker *w)
{
	const struct gateway_counters *c = gateway_counters(w->gw);
	uint64_t ended = counter_get(&c->ended), opened = counter_get(&c->opened);

	return opened > ended ? opened - ended : 0;
}

static void
worker_on_ping(struct loop_msg *m, struct loop *loop)
{
	struct worker *w = (struct worker *)(void *)((char *)m - offsetof(struct worker, ping));

	(void)loop;
	atomic_store_explicit(&w->pinged, false, memory_order_release);
}

void
worker_ping(struct worker *w)
{
	if (!worker_answered(w))
		return;
	atomic_store_explicit(&w->pinged, true, memory_order_relaxed);
	w->ping.fn = worker_on_ping;
	loop_post(w->loop, &w->ping);
}

bool
worker_answered(const struct worker *w)
{
	return !atomic_load_explicit(&w->pinged, memory_order_acquire);
}

size_t
worker_load(const struct worker *w)
{
	return atomic_load_explicit(&w->load, memory_order_relaxed);
}

const struct gateway_counters *
worker_counters(const struct worker *w)
{
	return gateway_counters(w->gw);
}

uint64_t
worker_queued(const struct worker *w)
{
	return counter_get(loop_queued(w->loop));
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	loop_run(w->loop);
	return NULL;
}

static int
worker_start_thread(struct worker *w)
{
	char name[16];
	sigset_t all, old;
	int err;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err != 0) {
		errno = err;
		return -1;
	}
	snprintf(name, sizeof(name), "worker-%u", w->env.index % 10000);
	pthread_setname_np(w->thread, name);
	return 0;
}

struct worker *
worker_new(const struct worker_env *env)
{
	struct worker *w;
	struct gateway_env ge = { .resolver = env->resolver,
		.log = env->log,
		.counters = env->counters,
		.index = env->index,
		.access = env->access,
		.deflate_memory = env->deflate_memory,
		.admit = worker_on_admit,
		.closed = worker_on_closed };

	if ((w = mem_zalloc(sizeof(*w))) == NULL)
		return NULL;
	w->env = *env;
	if ((w->loop = env->alone ? env->main : loop_new()) == NULL)
		goto fail;
	ge.loop = w->loop;
	ge.arg = w;
	if ((w->gw = gateway_new(&ge)) == NULL || (!env->alone && worker_start_thread(w) == -1))
		goto fail;
	w->started = true;
	return w;
fail:
	worker_free(w);
	return NULL;
}

void
worker_join(struct worker *w)
{
	struct worker_msg *msg;

	if (w == NULL || !w->started)
		return;
	while ((msg = worker_msg_new(w, WORKER_STOP)) == NULL)
		usleep(10000); /* nothing else can end the thread */
	loop_post(w->loop, &msg->m);
	if (!w->env.alone)
		pthread_join(w->thread, NULL);
	/*
	 * What was posted before is done first, as on a loop of its own; it may ask for an end
	 * too.
	 */
	while (!w->ended)
		loop_run(w->loop);
	w->started = false;
}

void
worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	worker_join(w);
	gateway_free(w->gw);
	if (!w->env.alone)
		loop_free(w->loop);
	mem_free(w);
}
