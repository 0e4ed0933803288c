/*
 * The event loop of one thread.  See loop.h.
 *
 * Called by the daemon (loop_new, loop_run) and by everything that waits.
 * Invariant: tasks and garbage are empty when epoll_wait is entered.
 */
#include <sys/eventfd.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/mem.h"
#include "base/slab.h"
#include "io/loop.h"
#include "io/poller.h"
#include "io/tls.h"
#include "io/transport.h"

struct garbage {
	struct garbage *next;
};

struct loop {
	struct event_base *base; /* owned */
	struct tls_worker *tls;	 /* owned */
	struct poller *poller;	 /* owned */
	struct wheel wheel;
	struct event timer;   /* wakes for the wheel */
	uint64_t timer_at_ms; /* when it is armed for; UINT64_MAX: it is not */
	uint64_t now_ms;
	bool now_valid;
	bool running;
	struct loop_task *tasks, **tasks_tail;
	struct loop_task *next, **next_tail; /* the next turn's */
	uint32_t turn;
	struct loop_orphan *orphans;
	struct garbage *garbage;		   /* of malloc */
	struct garbage *objects;		   /* of the slabs */
	struct slab slab[LOOP_OBJECT_MAX / 8 + 1]; /* by size; set up at first use */
	struct event mail;
	int mail_fd; /* eventfd */
	pthread_mutex_t mail_lock;
	struct loop_msg *mail_head, **mail_tail; /* under mail_lock */
	uint32_t random[256];
	unsigned random_left;
	uint8_t *scratch; /* owned: headroom and scratch */
	struct counter queued;
	struct loop_timer calm; /* armed while busy_ms waits to be long ago */
	bool calm_armed;
	bool bulk;	  /* since it was calm last: loop_note_bulk */
	uint64_t busy_ms; /* of the last loop_note_bulk, or object that was freed */
};

static void loop_on_calm(struct loop_timer *t);
static void loop_await_calm(struct loop *l);

static void
loop_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->timer_at_ms = UINT64_MAX; /* the turn's end advances the wheel */
}

static void
loop_on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct loop_msg *m, *next;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) == -1 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&l->mail_lock);
	m = l->mail_head;
	l->mail_head = NULL;
	l->mail_tail = &l->mail_head;
	pthread_mutex_unlock(&l->mail_lock);
	for (; m != NULL; m = next) {
		next = m->next;
		m->fn(m, l);
	}
}

void
loop_post(struct loop *l, struct loop_msg *m)
{
	uint64_t one = 1;
	bool first;

	m->next = NULL;
	pthread_mutex_lock(&l->mail_lock);
	first = l->mail_head == NULL;
	*l->mail_tail = m;
	l->mail_tail = &m->next;
	/* Under the lock: the loop may be freed once its last message ran. */
	if (first && write(l->mail_fd, &one, sizeof(one)) == -1) {
		/* EAGAIN: the counter is full, so the loop is woken anyway. */
	}
	pthread_mutex_unlock(&l->mail_lock);
}

static int
loop_init_base(struct loop *l)
{
	struct event_config *cfg;

	if ((cfg = event_config_new()) == NULL)
		return -1;
	/* One thread uses a base; the mailbox has a lock of its own. */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	/*
	 * A closed descriptor is taken out of epoll at the next turn only, when its number may be
	 * another thread's: the kernel says ENOENT then, but the sanitizer takes it for a race.
	 */
#ifndef __SANITIZE_THREAD__
	event_config_set_flag(cfg, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
#endif
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return l->base != NULL ? 0 : -1;
}

struct loop *
loop_new(void)
{
	struct loop *l;

	if ((l = mem_zalloc(sizeof(*l))) == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	pthread_mutex_init(&l->mail_lock, NULL);
	l->mail_tail = &l->mail_head;
	l->tasks_tail = &l->tasks;
	l->next_tail = &l->next;
	l->timer_at_ms = UINT64_MAX;
	l->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->scratch = mem_alloc(LOOP_HEADROOM + LOOP_SCRATCH);
	if (l->mail_fd == -1 || l->scratch == NULL || loop_init_base(l) == -1)
		goto fail;
	wheel_init(&l->wheel, loop_now_ms(l));
	l->calm.fn = loop_on_calm;
	event_assign(&l->timer, l->base, -1, 0, loop_on_timer, l);
	event_assign(&l->mail, l->base, l->mail_fd, EV_READ | EV_PERSIST, loop_on_mail, l);
	if (event_add(&l->mail, NULL) == -1)
		goto fail;
	/* Now, not when the first connection comes: descriptors may be out by then. */
	l->poller = poller_new(l, transport_on_events, transport_on_again);
	if (l->poller == NULL)
		goto fail;
	return l;
fail:
	loop_free(l);
	return NULL;
}

static void
loop_collect(struct loop *l)
{
	struct garbage *g;

	while ((g = l->garbage) != NULL) {
		l->garbage = g->next;
		mem_free(g);
	}
	while ((g = l->objects) != NULL) {
		l->objects = g->next;
		slab_free(g);
	}
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->orphans != NULL)
		l->orphans->end(l->orphans);
	loop_collect(l);
	poller_free(l->poller);
	if (l->base != NULL) {
		if (event_initialized(&l->mail))
			event_del(&l->mail);
		if (event_initialized(&l->timer))
			event_del(&l->timer);
		event_base_free(l->base);
	}
	if (l->mail_fd != -1)
		close(l->mail_fd);
	tls_worker_free(l->tls);
	pthread_mutex_destroy(&l->mail_lock);
	for (size_t i = 0; i <= LOOP_OBJECT_MAX / 8; i++)
		slab_clear(&l->slab[i]);
	mem_free(l->scratch);
	mem_free(l);
}

static void
loop_on_wheel(struct wheel_timer *w, void *arg)
{
	struct loop_timer *t = (struct loop_timer *)(void *)w;

	(void)arg;
	t->fn(t);
}

/* Let epoll_wait end when the wheel has something to do. */
static void
loop_arm_wheel(struct loop *l)
{
	uint64_t now = loop_now_ms(l), in = wheel_next_ms(&l->wheel, now);
	struct timeval tv;

	if (in == UINT64_MAX) {
		if (l->timer_at_ms != UINT64_MAX)
			event_del(&l->timer);
		l->timer_at_ms = UINT64_MAX;
		return;
	}
	if (l->timer_at_ms == now + in)
		return;
	l->timer_at_ms = now + in;
	tv.tv_sec = (time_t)(in / 1000);
	tv.tv_usec = (suseconds_t)(in % 1000 * 1000);
	event_add(&l->timer, &tv);
}

static void
loop_turn_end(struct loop *l)
{
	struct loop_task *t;
	void (*fn)(struct loop_task *);

	wheel_advance(&l->wheel, loop_now_ms(l), loop_on_wheel, l);
	while ((t = l->tasks) != NULL) {
		if ((l->tasks = t->next) == NULL)
			l->tasks_tail = &l->tasks;
		fn = t->fn;
		t->fn = NULL;
		fn(t);
	}
	if (l->objects != NULL)
		loop_await_calm(l);
	loop_collect(l);
	loop_arm_wheel(l);
	l->now_valid = false;
}

/* What waited for this turn is done at its end. */
static void
loop_take_next(struct loop *l)
{
	l->turn++;
	if (l->next == NULL)
		return;
	*l->tasks_tail = l->next;
	l->tasks_tail = l->next_tail;
	l->next = NULL;
	l->next_tail = &l->next;
}

void
loop_run(struct loop *l)
{
	l->running = true;
	loop_turn_end(l); /* what was queued before the first turn */
	while (l->running) {
		poller_turn(l->poller, l->next == NULL);
		loop_take_next(l);
		loop_turn_end(l);
	}
}

void
loop_stop(struct loop *l)
{
	l->running = false;
}

struct counter *
loop_queued(struct loop *l)
{
	return &l->queued;
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

struct tls_worker *
loop_tls(struct loop *l)
{
	if (l->tls == NULL)
		l->tls = tls_worker_new();
	return l->tls;
}

struct poller *
loop_poller(struct loop *l)
{
	return l->poller;
}

uint64_t
loop_now_ms(struct loop *l)
{
	if (!l->now_valid) {
		l->now_ms = clock_mono_ms();
		l->now_valid = true;
	}
	return l->now_ms;
}

uint8_t *
loop_scratch(struct loop *l)
{
	return l->scratch + LOOP_HEADROOM;
}

uint32_t
loop_random(struct loop *l)
{
	if (l->random_left == 0) {
		if (RAND_bytes((unsigned char *)l->random, sizeof(l->random)) != 1)
			abort(); /* no randomness: nothing here can be trusted */
		l->random_left = sizeof(l->random) / sizeof(l->random[0]);
	}
	return l->random[--l->random_left];
}

void
loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t at_ms)
{
	wheel_arm(&l->wheel, &t->w, at_ms);
}

void
loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	if (wheel_armed(&t->w))
		wheel_stop(&l->wheel, &t->w);
}

static void
loop_on_calm(struct loop_timer *t)
{
	struct loop *l = (struct loop *)(void *)((char *)t - offsetof(struct loop, calm));

	l->calm_armed = loop_now_ms(l) < l->busy_ms + LOOP_CALM_MS;
	if (l->calm_armed) {
		loop_timer_arm(l, t, l->busy_ms + LOOP_CALM_MS);
		return;
	}
	for (size_t i = 0; i <= LOOP_OBJECT_MAX / 8; i++)
		slab_trim(&l->slab[i]);
	if (l->bulk)
		mem_trim();
	l->bulk = false;
}

static void
loop_await_calm(struct loop *l)
{
	l->busy_ms = loop_now_ms(l);
	if (!l->calm_armed)
		loop_timer_arm(l, &l->calm, l->busy_ms + LOOP_CALM_MS);
	l->calm_armed = true;
}

void
loop_note_bulk(struct loop *l)
{
	l->bulk = true;
	loop_await_calm(l);
}

void
loop_later(struct loop *l, struct loop_task *t, void (*fn)(struct loop_task *))
{
	if (t->fn != NULL)
		return;
	t->fn = fn;
	t->next = NULL;
	*l->tasks_tail = t;
	l->tasks_tail = &t->next;
}

void
loop_next(struct loop *l, struct loop_task *t, void (*fn)(struct loop_task *))
{
	if (t->fn != NULL)
		return;
	t->fn = fn;
	t->next = NULL;
	*l->next_tail = t;
	l->next_tail = &t->next;
}

static bool
loop_unlink(struct loop_task **p, struct loop_task ***tail, struct loop_task *t)
{
	for (; *p != NULL; p = &(*p)->next) {
		if (*p != t)
			continue;
		if ((*p = t->next) == NULL)
			*tail = p;
		t->fn = NULL;
		return true;
	}
	return false;
}

void
loop_later_cancel(struct loop *l, struct loop_task *t)
{
	if (t->fn != NULL && !loop_unlink(&l->tasks, &l->tasks_tail, t))
		loop_unlink(&l->next, &l->next_tail, t);
}

uint32_t
loop_turn(const struct loop *l)
{
	return l->turn;
}

void
loop_free_later(struct loop *l, void *p)
{
	struct garbage *g = p;

	if (g == NULL)
		return;
	g->next = l->garbage;
	l->garbage = g;
}

static struct slab *
loop_slab(struct loop *l, size_t n)
{
	struct slab *s = &l->slab[(n + 7) / 8];

	if (s->object_bytes == 0)
		slab_init(s, n);
	return s;
}

void *
loop_object(struct loop *l, size_t n)
{
	return slab_alloc(loop_slab(l, n));
}

void *
loop_object_raw(struct loop *l, size_t n)
{
	return slab_alloc_raw(loop_slab(l, n));
}

void
loop_object_free_later(struct loop *l, void *p)
{
	struct garbage *g = p;

	if (g == NULL)
		return;
	g->next = l->objects;
	l->objects = g;
}

void
loop_adopt(struct loop *l, struct loop_orphan *o)
{
	if ((o->next = l->orphans) != NULL)
		o->next->prev = &o->next;
	o->prev = &l->orphans;
	l->orphans = o;
}

void
loop_disown(struct loop_orphan *o)
{
	if (o->prev == NULL)
		return;
	if ((*o->prev = o->next) != NULL)
		o->next->prev = o->prev;
	o->prev = NULL;
}
