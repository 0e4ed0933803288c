/*
 * Waiting connections to http backends.  See h1_pool.h.
 *
 * An entry is a transport that is read on, so that its peer's end is noticed; whatever
 * comes while nothing was asked makes it useless too (RFC 9112 9.2).  Addresses are few: they stand in a plain list, each only as
 * long as it has entries.
 *
 * Called by gateway/ and by io/ (events).  Invariants: an entry is in its address's list exactly once; an
 * address in the pool's list has an entry.
 */
#include "base/mem.h"
#include "http/h1_client.h"
#include "http/h1_pool.h"
#include "io/transport.h"

struct h1_pool_host;

struct h1_pool_entry {
	struct h1_pool_entry *next, **prev; /* first: who frees it later writes there */
	struct transport t;
	struct loop_timer timer;
	struct h1_pool_host *host; /* borrowed */
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

/* Take an entry out; its transport is valid until the turn's end. */
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
	loop_timer_stop(loop, &e->timer);
	loop_object_free_later(loop, e);
}

static void
h1_pool_close(struct h1_pool_entry *e)
{
	h1_pool_unlink(e);
	transport_close(&e->t, false);
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

static struct h1_pool_entry *
h1_pool_of_transport(struct transport *t)
{
	return (struct h1_pool_entry *)(void *)((char *)t - offsetof(struct h1_pool_entry, t));
}

/* Its end, or bytes that answer nothing. */
static void
h1_pool_on_readable(struct transport *t)
{
	char c;
	size_t n;

	if (transport_read(t, &c, 1, &n, NULL) != IO_AGAIN)
		h1_pool_close(h1_pool_of_transport(t));
}

static void
h1_pool_on_failed(struct transport *t, const char *why)
{
	(void)why;
	h1_pool_close(h1_pool_of_transport(t));
}

static void
h1_pool_on_drained(struct transport *t)
{
	(void)t; /* nothing is written */
}

static const struct transport_events h1_pool_events = {
	.readable = h1_pool_on_readable,
	.drained = h1_pool_on_drained,
	.failed = h1_pool_on_failed,
};

static void
h1_pool_on_timer(struct loop_timer *timer)
{
	h1_pool_close((struct h1_pool_entry *)(void *)((char *)timer -
	    offsetof(struct h1_pool_entry, timer)));
}

struct transport *
h1_pool_get(struct h1_pool *p, const struct addr *to)
{
	struct h1_pool_host *h;
	struct h1_pool_entry *e;
	char c;
	size_t n;

	while ((h = h1_pool_find(p, to)) != NULL) {
		e = h->first;
		h1_pool_unlink(e);
		/* What the loop has not told yet: a peer that has just closed, an answer to nothing. */
		if (e->t.err == 0 && transport_read(&e->t, &c, 1, &n, NULL) == IO_AGAIN)
			return &e->t;
		transport_close(&e->t, false);
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

void
h1_pool_put(struct h1_pool *p, const struct addr *to, struct stream *s)
{
	struct h1_pool_host *h;
	struct h1_pool_entry *e;

	if (p->n >= H1_POOL_MAX || (e = loop_object(p->loop, sizeof(*e))) == NULL) {
		stream_close(s, 0);
		return;
	}
	if (!h1_client_recycle(s, &e->t, &h1_pool_events)) {
		stream_close(s, 0);
		loop_object_free_later(p->loop, e);
		return;
	}
	if ((h = h1_pool_host(p, to)) == NULL) {
		transport_close(&e->t, false);
		loop_object_free_later(p->loop, e);
		return;
	}
	e->host = h;
	if ((e->next = h->first) != NULL)
		e->next->prev = &e->next;
	e->prev = &h->first;
	h->first = e;
	h->n++;
	p->n++;
	e->timer.fn = h1_pool_on_timer;
	loop_timer_arm(p->loop, &e->timer, loop_now_ms(p->loop) + H1_POOL_IDLE_MS);
	transport_want_read(&e->t, true);
	if (h->n > H1_POOL_PER_ADDRESS)
		h1_pool_drop_oldest(h);
}

size_t
h1_pool_count(const struct h1_pool *p)
{
	return p->n;
}
