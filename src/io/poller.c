/*
 * Connected sockets.  See poller.h.
 *
 * Nested, an event costs more: the kernel wakes the outer set for each, and there are two calls a
 * turn.  Direct, libevent's descriptors (listening sockets, dials, the mailbox, signals) wait for
 * a millisecond, and for the turn within which it ends.  So it is direct once the set was ready in
 * a row of turns that were near to each other, and nested again as soon as it has been silent.
 */
#include "io/poller.h"

#include <errno.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "io/loop.h"

/* Events that are taken with one call. */
#define POLLER_BATCH 256
/* Direct after so many turns with events, none more than so many milliseconds after the other. */
#define POLLER_STREAK 8
#define POLLER_NEAR_MS 1
/* How long the set sleeps while it is direct. */
#define POLLER_PATIENCE_MS 1
/* Places that each list keeps. */
#define POLLER_PLACES 64

struct poller_list {
	void **v; /* owned; NULL where one was taken back */
	uint32_t n, cap;
};

struct poller {
	struct loop *loop; /* borrowed */
	struct event ev;   /* added unless direct */
	poller_events_fn *events;
	poller_again_fn *again;
	struct poller_list list[2];
	unsigned next; /* the list for the next turn; the other is this turn's, or empty */
	int fd;	       /* owned: the set */
	unsigned streak;
	bool direct;
	bool lively;	   /* direct: libevent had something when it was asked */
	uint64_t ready_ms; /* nested: of the turn before with events */
	uint64_t asked_ms; /* direct: when libevent was asked */
};

/* Take what is there; the number of sockets that had something. */
static int
poller_take(struct poller *p, int timeout_ms)
{
	struct epoll_event v[POLLER_BATCH];
	int n = epoll_wait(p->fd, v, POLLER_BATCH, timeout_ms);

	for (int i = 0; i < n; i++) {
		/* Of many sockets the next one's owner is not in the cache. */
		if (i + 1 < n)
			__builtin_prefetch(v[i + 1].data.ptr);
		p->events(v[i].data.ptr, v[i].events);
	}
	return n;
}

static void
poller_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct poller *p = arg;
	uint64_t now = loop_now_ms(p->loop);

	(void)fd;
	(void)what;
	p->streak = now - p->ready_ms <= POLLER_NEAR_MS ? p->streak + 1 : 0;
	p->ready_ms = now;
	poller_take(p, 0);
	if (p->streak < POLLER_STREAK)
		return;
	event_del(&p->ev);
	p->direct = true;
	p->lively = true;
	p->streak = 0;
}

static void
poller_lists_free(struct poller *p)
{
	mem_free(p->list[0].v);
	mem_free(p->list[1].v);
}

/* 0, or -1 (the list stays as it is). */
static int
poller_list_resize(struct poller_list *l, uint32_t cap)
{
	void **v = mem_realloc(l->v, cap * sizeof(*v));

	if (v == NULL)
		return -1;
	l->v = v;
	l->cap = cap;
	return 0;
}

struct poller *
poller_new(struct loop *l, poller_events_fn *events, poller_again_fn *again)
{
	struct poller *p;

	if ((p = mem_zalloc(sizeof(*p))) == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	p->loop = l;
	p->events = events;
	p->again = again;
	p->fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fd == -1 || poller_list_resize(&p->list[0], POLLER_PLACES) == -1 ||
	    poller_list_resize(&p->list[1], POLLER_PLACES) == -1)
		goto fail;
	event_assign(&p->ev, loop_base(l), p->fd, EV_READ | EV_PERSIST, poller_on_ready, p);
	if (event_add(&p->ev, NULL) == 0)
		return p;
	errno = ENOMEM;
fail:
	if (p->fd != -1)
		close(p->fd);
	poller_lists_free(p);
	mem_free(p);
	return NULL;
}

void
poller_free(struct poller *p)
{
	if (p == NULL)
		return;
	event_del(&p->ev);
	close(p->fd);
	poller_lists_free(p);
	mem_free(p);
}

static int
poller_control(struct poller *p, int op, int fd, void *arg, uint32_t more)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET | more,
		.data.ptr = arg };

	return epoll_ctl(p->fd, op, fd, &ev);
}

int
poller_add(struct poller *p, int fd, void *arg)
{
	return poller_control(p, EPOLL_CTL_ADD, fd, arg, 0);
}

int
poller_change(struct poller *p, int fd, void *arg, bool out)
{
	return poller_control(p, EPOLL_CTL_MOD, fd, arg, out ? EPOLLOUT : 0);
}

/* ---- who has something left */

uint32_t
poller_queue(struct poller *p, void *arg)
{
	struct poller_list *l = &p->list[p->next];

	if (l->n == l->cap && poller_list_resize(l, l->cap * 2) == -1)
		return 0;
	l->v[l->n++] = arg;
	return l->n << 1 | p->next;
}

void
poller_replace(struct poller *p, uint32_t place, void *arg_or_null)
{
	p->list[place & 1].v[(place >> 1) - 1] = arg_or_null;
}

static void
poller_run_list(struct poller *p, struct poller_list *l)
{
	void *arg;

	for (uint32_t i = 0; i < l->n; i++) {
		if ((arg = l->v[i]) == NULL)
			continue;
		l->v[i] = NULL;
		p->again(arg);
	}
	/* Many at once are rare; without memory for less, what is there is kept. */
	if (l->n <= POLLER_PLACES && l->cap > POLLER_PLACES)
		(void)poller_list_resize(l, POLLER_PLACES);
	l->n = 0;
}

/* ---- the turn */

static void
poller_turn_direct(struct poller *p, bool wait)
{
	struct event_base *base = loop_base(p->loop);
	int n = poller_take(p, wait && !p->lively ? POLLER_PATIENCE_MS : 0);

	if (n <= 0 && wait && event_add(&p->ev, NULL) == 0) {
		p->direct = false;
		event_base_loop(base, EVLOOP_ONCE);
		return;
	}
	if (!p->lively && loop_now_ms(p->loop) == p->asked_ms)
		return;
	p->asked_ms = loop_now_ms(p->loop);
	(void)event_base_get_max_events(base, EVENT_BASE_COUNT_ACTIVE, 1);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	p->lively = event_base_get_max_events(base, EVENT_BASE_COUNT_ACTIVE, 0) > 0;
}

void
poller_turn(struct poller *p, bool wait)
{
	struct poller_list *before = &p->list[p->next];

	/* Who is queued from now on has the next turn. */
	p->next ^= 1;
	wait = wait && before->n == 0;
	if (p->direct)
		poller_turn_direct(p, wait);
	else
		event_base_loop(loop_base(p->loop), EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));
	poller_run_list(p, before);
}
