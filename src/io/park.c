/* Idle sockets.  See park.h. */
#include <sys/epoll.h>

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "io/loop.h"
#include "io/park.h"

/* Parked sockets that are woken in one turn. */
#define PARK_BATCH 64

struct park {
	struct loop_timer timer;	/* first */
	struct loop *loop;		/* borrowed */
	struct event ev;		/* the set has something */
	struct park_entry *awake;
	void *reserve;			/* owned; NULL while it is in use */
	size_t entry_bytes;
	park_idle_fn *idle;
	park_ready_fn *ready;
	int fd;				/* owned: the set */
};

static void
park_on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct epoll_event v[PARK_BATCH];
	struct park *p = arg;
	int n;

	(void)what;
	n = epoll_wait(fd, v, PARK_BATCH, 0);
	for (int i = 0; i < n; i++)
		p->ready(v[i].data.ptr);
}

void
park_sweep(struct park *p)
{
	struct park_entry *e, *next;

	for (e = p->awake; e != NULL; e = next) {
		next = e->next;
		if (e->touched)
			e->touched = false;
		else
			p->idle(e);
	}
}

static void
park_on_timer(struct loop_timer *t)
{
	struct park *p = (struct park *)(void *)t;

	park_sweep(p);
	if (p->awake != NULL)
		loop_timer_arm(p->loop, t, loop_now_ms(p->loop) + PARK_SWEEP_MS);
}

struct park *
park_new(struct loop *l, size_t entry_bytes, park_idle_fn *idle, park_ready_fn *ready)
{
	struct park *p;

	if ((p = mem_zalloc(sizeof(*p))) == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	p->loop = l;
	p->idle = idle;
	p->ready = ready;
	p->timer.fn = park_on_timer;
	p->entry_bytes = entry_bytes;
	if ((p->reserve = loop_object(l, entry_bytes)) == NULL ||
	    (p->fd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		loop_object_free_later(l, p->reserve);
		mem_free(p);
		return NULL;
	}
	event_assign(&p->ev, loop_base(l), p->fd, EV_READ | EV_PERSIST, park_on_ready, p);
	if (event_add(&p->ev, NULL) == -1) {
		close(p->fd);
		loop_object_free_later(l, p->reserve);
		mem_free(p);
		errno = ENOMEM;
		return NULL;
	}
	return p;
}

void
park_free(struct park *p)
{
	if (p == NULL)
		return;
	loop_timer_stop(p->loop, &p->timer);
	event_del(&p->ev);
	close(p->fd);
	loop_object_free_later(p->loop, p->reserve);
	mem_free(p);
}

void *
park_get(struct park *p)
{
	void *entry = loop_object(p->loop, p->entry_bytes);

	if (entry == NULL) {
		entry = p->reserve;
		p->reserve = NULL;
	}
	return entry;
}

void
park_put(struct park *p, void *entry)
{
	/* A new reserve, not this object: an event of this turn may still name it. */
	if (p->reserve == NULL)
		p->reserve = loop_object(p->loop, p->entry_bytes);
	loop_object_free_later(p->loop, entry);
}

void
park_watch(struct park *p, struct park_entry *e)
{
	if (p->awake == NULL && !wheel_armed(&p->timer.w))
		loop_timer_arm(p->loop, &p->timer, loop_now_ms(p->loop) + PARK_SWEEP_MS);
	if ((e->next = p->awake) != NULL)
		e->next->prev = &e->next;
	e->prev = &p->awake;
	p->awake = e;
	e->touched = true;
}

void
park_unwatch(struct park_entry *e)
{
	if ((*e->prev = e->next) != NULL)
		e->next->prev = e->prev;
}

int
park_sleep(struct park *p, int fd, void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = arg };

	return epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &ev);
}

int
park_move(struct park *p, int fd, void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = arg };

	return epoll_ctl(p->fd, EPOLL_CTL_MOD, fd, &ev);
}

void
park_wake(struct park *p, int fd)
{
	epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
}
