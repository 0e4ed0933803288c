/*
 * GET /healthz: every worker is asked for a sign of life, and the answer is good when all have
 * given it.
 *
 * The main thread alone could say no more than that it runs itself.  There is one round of signs
 * at a time, which whoever asks meanwhile waits for, too; one that is overdue goes on until the
 * worker that is stuck gives its sign, and is the answer at once for who asks then.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/admin_int.h"

/* A worker that needs this long for its turn serves nobody. */
#define HEALTH_MS 5000

/* One worker's sign; its message goes there and comes back. */
struct health_sign {
	struct worker_call call;
	struct loop_msg back;
	struct admin_health *h; /* borrowed: the owner */
	bool awaited;
};

/* A request. */
struct health_waiter {
	struct health_waiter *next, **prev;
	struct admin_health *h; /* borrowed */
	struct stream *s;	/* borrowed */
};

struct admin_health {
	struct daemon *d; /* borrowed */
	struct health_waiter *waiters;
	struct loop_timer timer;
	uint64_t asked_ms; /* when the round began */
	size_t left;	   /* signs that are awaited; 0: no round */
	struct health_sign sign[];
};

static void
health_waiter_free(struct health_waiter *w)
{
	if ((*w->prev = w->next) != NULL)
		w->next->prev = w->prev;
	loop_free_later(w->h->d->loop, w);
}

static void
health_answer(struct admin_health *h, unsigned status, const char *line)
{
	struct health_waiter *w;

	while ((w = h->waiters) != NULL) {
		struct stream *s = w->s;

		health_waiter_free(w);
		admin_reply_line(s, status, NULL, line);
	}
}

/* ---- a round */

static void
health_on_worker(struct worker_call *c, struct gateway *gw)
{
	struct health_sign *sign = (struct health_sign *)(void *)c;

	(void)gw;
	loop_post(sign->h->d->loop, &sign->back);
}

static void
health_on_back(struct loop_msg *m, struct loop *loop)
{
	struct health_sign *sign =
	    (struct health_sign *)(void *)((char *)m - offsetof(struct health_sign, back));
	struct admin_health *h = sign->h;

	sign->awaited = false;
	if (--h->left > 0)
		return;
	loop_timer_stop(loop, &h->timer);
	health_answer(h, 200, "ok");
}

/* Who the round waits for. */
static const char *
health_trouble(const struct admin_health *h, char *line, size_t size)
{
	size_t i = 0;

	while (i + 1 < h->d->n_workers && !h->sign[i].awaited)
		i++;
	snprintf(line, size, "worker-%zu has not answered for %llu ms", i,
	    (unsigned long long)(loop_now_ms(h->d->loop) - h->asked_ms));
	return line;
}

static void
health_on_timer(struct loop_timer *t)
{
	struct admin_health *h =
	    (struct admin_health *)(void *)((char *)t - offsetof(struct admin_health, timer));
	char line[80];

	health_answer(h, 503, health_trouble(h, line, sizeof(line)));
}

static void
health_ask(struct admin_health *h)
{
	struct daemon *d = h->d;

	h->asked_ms = loop_now_ms(d->loop);
	h->left = d->n_workers;
	loop_timer_arm(d->loop, &h->timer, h->asked_ms + HEALTH_MS);
	for (size_t i = 0; i < d->n_workers; i++) {
		h->sign[i].awaited = true;
		worker_call(d->worker[i], &h->sign[i].call);
	}
}

/* ---- requests */

static void
health_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)e;
	(void)why;
	health_waiter_free(s->user);
}

static const struct stream_events health_events = {
	.reset = health_on_reset,
};

static struct admin_health *
health_new(struct daemon *d)
{
	struct admin_health *h;

	if ((h = mem_zalloc(sizeof(*h) + d->n_workers * sizeof(h->sign[0]))) == NULL)
		return NULL;
	h->d = d;
	h->timer.fn = health_on_timer;
	for (size_t i = 0; i < d->n_workers; i++) {
		h->sign[i].h = h;
		h->sign[i].back.fn = health_on_back;
		h->sign[i].call.fn = health_on_worker;
	}
	return h;
}

void
admin_health_start(struct admin *a, struct stream *s)
{
	struct health_waiter *w;
	struct admin_health *h;
	char line[80];

	if ((a->health == NULL && (a->health = health_new(a->d)) == NULL) ||
	    (w = mem_zalloc(sizeof(*w))) == NULL) {
		admin_reply_line(s, 500, NULL, "out of memory");
		return;
	}
	h = a->health;
	if (h->left > 0 && loop_now_ms(a->d->loop) >= h->asked_ms + HEALTH_MS) {
		mem_free(w);
		admin_reply_line(s, 503, NULL, health_trouble(h, line, sizeof(line)));
		return;
	}
	w->h = h;
	w->s = s;
	if ((w->next = h->waiters) != NULL)
		w->next->prev = &w->next;
	w->prev = &h->waiters;
	h->waiters = w;
	stream_attach(s, &health_events, w);
	if (h->left == 0)
		health_ask(h);
}

void
admin_health_free(struct admin *a)
{
	struct admin_health *h = a->health;

	/* The connections have ended, and the threads, which have no sign any more. */
	if (h == NULL)
		return;
	loop_timer_stop(a->d->loop, &h->timer);
	mem_free(h);
}
