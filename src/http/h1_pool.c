/*
 * Waiting connections to http backends.  See h1_pool.h.
 *
 * An entry owns a stream of h1_client that is over but for its connection; it tells (`reset`)
 * when the peer leaves or says something.  Addresses are few: they stand in a plain list, each
 * only as long as it has entries.
 *
 * Called by gateway/ and by io/ (events).  Invariants: an entry is in its address's list
 * exactly once; an address in the pool's list has an entry.
 */
#include "base/mem.h"
#include "http/h1_pool.h"
#include "io/loop.h"

struct h1_pool_host;

struct h1_pool_entry {
	struct h1_pool_entry *next, **prev; /* first: who frees it later writes there */
	struct stream *s;		    /* owned */
	struct loop_timer timer;
	uint64_t since_ms;
	struct h1_pool_host *host; /* borrowed */
	void (*gone)(void *arg);   /* NULL: nobody cares */
	void *arg;		   /* borrowed */
};

struct h1_pool_host {
	struct h1_pool_host *next, **prev;
	struct h1_pool *pool; /* borrowed */
	struct h1_pool_entry *first;
	size_t n;
	struct addr addr;
};

struct h1_pool {
	struct loop *loop; /* borrowed */
	struct h1_pool_host *hosts;
	size_t n;
};

struct h1_pool *
h1_pool_new(struct loop *loop)
{
	struct h1_pool *p;

	if ((p = mem_zalloc(sizeof(*p))) != NULL)
		p->loop = loop;
	return p;
}

static struct h1_pool_host *
h1_pool_find(struct h1_pool *p, const struct addr *to)
{
	struct h1_pool_host *h;

	for (h = p->hosts; h != NULL; h = h->next)
		if (addr_eq(&h->addr, to))
			return h;
	return NULL;
}

static struct h1_pool_host *
h1_pool_host(struct h1_pool *p, const struct addr *to)
{
	struct h1_pool_host *h = h1_pool_find(p, to);

	if (h != NULL || (h = mem_zalloc(sizeof(*h))) == NULL)
		return h;
	h->pool = p;
	h->addr = *to;
	if ((h->next = p->hosts) != NULL)
		h->next->prev = &h->next;
	h->prev = &p->hosts;
	p->hosts = h;
	return h;
}

/* An address without entries goes. */
static void
h1_pool_check_host(struct h1_pool_host *h)
{
	if (h->n > 0)
		return;
	if ((*h->prev = h->next) != NULL)
		h->next->prev = h->prev;
	mem_free(h);
}

/* Take an entry out; its stream is the caller's. */
static void
h1_pool_unlink(struct h1_pool_entry *e)
{
	struct h1_pool_host *h = e->host;
	struct loop *loop = h->pool->loop;

	if ((*e->prev = e->next) != NULL)
		e->next->prev = e->prev;
	h->n--;
	h->pool->n--;
	h1_pool_check_host(h);
	if (e->gone != NULL)
		e->gone(e->arg);
	loop_timer_stop(loop, &e->timer);
	loop_object_free_later(loop, e);
}

static void
h1_pool_close(struct h1_pool_entry *e)
{
	struct stream *s = e->s;

	h1_pool_unlink(e);
	stream_close(s, 0);
}

void
h1_pool_free(struct h1_pool *p)
{
	if (p == NULL)
		return;
	while (p->hosts != NULL)
		h1_pool_close(p->hosts->first);
	mem_free(p);
}

/* It is dead already. */
static void
h1_pool_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)e;
	(void)why;
	h1_pool_unlink(s->user);
}

static const struct stream_events h1_pool_events = {
	.reset = h1_pool_on_reset,
};

static void
h1_pool_on_timer(struct loop_timer *timer)
{
	h1_pool_close((
	    struct h1_pool_entry *)(void *)((char *)timer - offsetof(struct h1_pool_entry, timer)));
}

struct stream *
h1_pool_start(struct h1_pool *p, const struct addr *to, const struct h1_request *r,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user)
{
	uint64_t now = loop_now_ms(p->loop);
	struct h1_pool_host *h;
	struct stream *s;
	bool look;

	while ((h = h1_pool_find(p, to)) != NULL) {
		s = h->first->s;
		look = !r->repeatable || now - h->first->since_ms >= H1_POOL_FRESH_MS;
		h1_pool_unlink(h->first);
		if (h1_client_again(s, r, response_timeout_ms, ev, user, look) == 0)
			return s;
	}
	return NULL;
}

/* The one that waits longest for this address goes. */
static void
h1_pool_drop_oldest(struct h1_pool_host *h)
{
	struct h1_pool_entry *e = h->first;

	while (e->next != NULL)
		e = e->next;
	h1_pool_close(e);
}

bool
h1_pool_drop(struct h1_pool *p, const struct addr *to)
{
	struct h1_pool_host *h = h1_pool_find(p, to);

	if (h != NULL)
		h1_pool_drop_oldest(h);
	return h != NULL;
}

void
h1_pool_sweep(struct h1_pool *p, bool (*drop)(void *arg))
{
	struct h1_pool_host *h, *next_host;
	struct h1_pool_entry *e, *next;

	for (h = p->hosts; h != NULL; h = next_host) {
		next_host = h->next; /* h goes with its last entry */
		for (e = h->first; e != NULL; e = next) {
			next = e->next;
			if (drop(e->arg))
				h1_pool_close(e);
		}
	}
}

void
h1_pool_put(
    struct h1_pool *p, const struct addr *to, struct stream *s, void (*gone)(void *arg), void *arg)
{
	uint64_t ms = h1_client_keep_ms(s, H1_POOL_IDLE_MS);
	struct h1_pool_entry *e = NULL;
	struct h1_pool_host *h;

	if (p->n >= H1_POOL_MAX || (e = loop_object(p->loop, sizeof(*e))) == NULL ||
	    !h1_client_keep(s, &h1_pool_events, e) || (h = h1_pool_host(p, to)) == NULL) {
		if (e != NULL)
			loop_object_free_later(p->loop, e);
		stream_close(s, 0);
		if (gone != NULL)
			gone(arg);
		return;
	}
	e->s = s;
	e->gone = gone;
	e->arg = arg;
	e->host = h;
	if ((e->next = h->first) != NULL)
		e->next->prev = &e->next;
	e->prev = &h->first;
	h->first = e;
	h->n++;
	p->n++;
	e->timer.fn = h1_pool_on_timer;
	e->since_ms = loop_now_ms(p->loop);
	loop_timer_arm(p->loop, &e->timer,
	    e->since_ms + (ms < H1_POOL_IDLE_MAX_MS ? ms : H1_POOL_IDLE_MAX_MS));
	if (h->n > H1_POOL_PER_ADDRESS)
		h1_pool_drop_oldest(h);
}

size_t
h1_pool_count(const struct h1_pool *p)
{
	return p->n;
}
