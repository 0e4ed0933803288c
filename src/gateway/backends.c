/*
 * The shared state of backends' addresses.  See backends.h.
 *
 * Counts and states are atomics, so that a pick takes no lock: it looks at all addresses, decides
 * (policy/balance.h) and then counts itself in by a compare-and-swap, which fails when somebody
 * else was placed there in between; then it looks again.  What changes a state is rare and takes
 * the address's lock, so that each change is logged once.
 *
 * References are held by the views (one for each snapshot, freed with it) and by picks.  Invariant:
 * an address with references is in the registry's list; one without is unlinked and freed by who
 * dropped the last, and is not found any more.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/backends.h"

enum backends_state {
	STATE_RESTING = 1,	/* MaxFails was reached */
	STATE_CHECKED_DOWN = 2, /* the last active check failed */
	STATE_REFUSES = 4,	/* resting, and its last failure took no time */
};

#define STATE_DOWN (STATE_RESTING | STATE_CHECKED_DOWN)

struct backends_address {
	struct addr addr;
	struct backends *owner;	       /* borrowed */
	struct backends_address *next; /* of the registry, under its lock */
	uint64_t hash;
	_Atomic unsigned refs;
	_Atomic unsigned state; /* changed under lock */
	_Atomic unsigned fails; /* in a row; changed under lock */
	_Atomic uint64_t connections;
	_Atomic uint64_t idle;		/* that wait in pools */
	_Atomic uint64_t max;		/* MaxConnections of who came last to wait */
	_Atomic uint64_t rest_until_ms; /* changed under lock */
	pthread_mutex_t lock;
	char name[]; /* the backend's */
};

struct backends {
	struct log *log;      /* borrowed */
	pthread_mutex_t lock; /* over the list */
	struct backends_address *first;
	struct backends_pool *pools; /* under the lock too */
};

/* The addresses of one [backend] of one snapshot, in the order of its Address. */
struct backends_set {
	_Atomic uint64_t turn;
	size_t n;
	struct backends_address *v[]; /* refs */
};

struct backends_view {
	size_t n;
	struct backends_set *set[]; /* owned; by config_backend's index */
};

struct backends *
backends_new(struct log *log)
{
	struct backends *b;

	if ((b = mem_zalloc(sizeof(*b))) == NULL)
		return NULL;
	b->log = log;
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

void
backends_free(struct backends *b)
{
	if (b == NULL)
		return;
	pthread_mutex_destroy(&b->lock);
	mem_free(b);
}

/* ---- addresses and their references ---- */

static struct backends_address *
backends_address_new(struct backends *b, const char *name, const struct addr *addr)
{
	size_t n = strlen(name) + 1;
	struct backends_address *a;
	char text[300];

	if ((a = mem_zalloc(sizeof(*a) + n)) == NULL)
		return NULL;
	a->addr = *addr;
	a->owner = b;
	memcpy(a->name, name, n);
	addr_format(addr, text, sizeof(text));
	a->hash = balance_hash(text, strlen(text));
	atomic_init(&a->refs, 1);
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

static void
backends_unref(struct backends_address *a)
{
	struct backends_address **p;

	/* Whoever frees has to see what the others did with it. */
	if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&a->owner->lock);
	for (p = &a->owner->first; *p != a; p = &(*p)->next)
		continue;
	*p = a->next;
	pthread_mutex_unlock(&a->owner->lock);
	pthread_mutex_destroy(&a->lock);
	mem_free(a);
}

/* One more reference, unless the last one is gone already. */
static bool
backends_try_ref(struct backends_address *a)
{
	unsigned refs = atomic_load_explicit(&a->refs, memory_order_relaxed);

	while (refs > 0)
		if (atomic_compare_exchange_weak_explicit(
			&a->refs, &refs, refs + 1, memory_order_relaxed, memory_order_relaxed))
			return true;
	return false;
}

/* With a reference; NULL without memory. */
static struct backends_address *
backends_find(struct backends *b, const char *name, const struct addr *addr)
{
	struct backends_address *a;

	pthread_mutex_lock(&b->lock);
	for (a = b->first; a != NULL; a = a->next)
		if (addr_eq(&a->addr, addr) && strcmp(a->name, name) == 0 && backends_try_ref(a))
			break;
	if (a == NULL && (a = backends_address_new(b, name, addr)) != NULL) {
		a->next = b->first;
		b->first = a;
	}
	pthread_mutex_unlock(&b->lock);
	return a;
}

const struct addr *
backends_addr(const struct backends_address *a)
{
	return &a->addr;
}

/* ---- the view of a snapshot ---- */

static void
backends_view_free(void *arg)
{
	struct backends_view *view = arg;

	for (size_t i = 0; i < view->n; i++) {
		for (size_t k = 0; view->set[i] != NULL && k < view->set[i]->n; k++)
			backends_unref(view->set[i]->v[k]);
		mem_free(view->set[i]);
	}
	mem_free(view);
}

static struct backends_set *
backends_set_new(struct backends *b, const struct config_backend *cb)
{
	struct backends_set *set;

	if ((set = mem_zalloc(sizeof(*set) + cb->address.n * sizeof(set->v[0]))) == NULL)
		return NULL;
	for (; set->n < cb->address.n; set->n++)
		if ((set->v[set->n] = backends_find(b, cb->name, &cb->address.v[set->n])) == NULL)
			break;
	return set;
}

int
backends_attach(struct backends *b, struct config *c)
{
	struct backends_view *view;

	if ((view = mem_zalloc(sizeof(*view) + c->n_backend * sizeof(view->set[0]))) == NULL)
		return -1;
	view->n = c->n_backend;
	for (size_t i = 0; i < view->n; i++) {
		view->set[i] = backends_set_new(b, &c->backend[i]);
		if (view->set[i] == NULL || view->set[i]->n < c->backend[i].address.n) {
			backends_view_free(view);
			return -1;
		}
	}
	c->attached[CONFIG_ATTACHED_BACKENDS] = view;
	c->attached_free[CONFIG_ATTACHED_BACKENDS] = backends_view_free;
	return 0;
}

static struct backends_set *
backends_set_of(const struct config *c, const struct config_backend *cb)
{
	return ((struct backends_view *)c->attached[CONFIG_ATTACHED_BACKENDS])->set[cb->index];
}

struct backends_address *
backends_get(const struct config *c, const struct config_backend *cb, size_t i)
{
	return backends_set_of(c, cb)->v[i];
}

/* ---- picking ---- */

/* hope: no address is left that is up. */
static bool
backends_may_try(const struct backends_address *a, bool hope, uint64_t now_ms)
{
	unsigned state = atomic_load_explicit(&a->state, memory_order_relaxed);

	if ((state & STATE_CHECKED_DOWN) != 0)
		return false;
	if ((state & STATE_RESTING) == 0 || (hope && (state & STATE_REFUSES) != 0))
		return true;
	return now_ms >= atomic_load_explicit(&a->rest_until_ms, memory_order_relaxed);
}

static bool
backends_was_tried(const struct backends_tried *tried, size_t i)
{
	return (tried->bit[i / 64] >> (i % 64) & 1) != 0;
}

/* How the addresses stand now.  Whether one could be tried if it were not full. */
static bool
backends_look(const struct backends_set *set, const struct config_backend *cb,
    const struct backends_tried *tried, bool hope, uint64_t now_ms, struct balance_candidate *v)
{
	bool full = false;

	for (size_t i = 0; i < set->n; i++) {
		const struct backends_address *a = set->v[i];
		bool has_room;

		v[i].connections = atomic_load_explicit(&a->connections, memory_order_relaxed);
		v[i].hash = a->hash;
		has_room = cb->max_connections == 0 || v[i].connections < cb->max_connections;
		v[i].usable = !backends_was_tried(tried, i) && backends_may_try(a, hope, now_ms);
		full |= v[i].usable && !has_room;
		v[i].usable = v[i].usable && has_room;
	}
	return full;
}

/* The rest is over: the first who comes tries it, for the others it goes on. */
static bool
backends_claim_trial(struct backends_address *a, const struct config_backend *cb, uint64_t now_ms)
{
	bool claimed;

	pthread_mutex_lock(&a->lock);
	claimed = now_ms >= atomic_load_explicit(&a->rest_until_ms, memory_order_relaxed);
	if (claimed)
		atomic_store_explicit(
		    &a->rest_until_ms, now_ms + cb->fail_timeout_ms, memory_order_relaxed);
	pthread_mutex_unlock(&a->lock);
	return claimed;
}

/* Count a connection to it, if nothing has changed since it was looked at. */
static bool
backends_take(struct backends_address *a, const struct config_backend *cb, uint64_t connections,
    bool hope, uint64_t now_ms)
{
	if (!atomic_compare_exchange_strong_explicit(&a->connections, &connections, connections + 1,
		memory_order_relaxed, memory_order_relaxed))
		return false;
	if (hope || (atomic_load_explicit(&a->state, memory_order_relaxed) & STATE_RESTING) == 0 ||
	    backends_claim_trial(a, cb, now_ms))
		return true;
	atomic_fetch_sub_explicit(&a->connections, 1, memory_order_relaxed);
	return false;
}

enum backends_verdict
backends_pick(const struct config *c, const struct config_backend *cb, const uint8_t client[16],
    struct backends_tried *tried, uint64_t now_ms, struct backends_address **out)
{
	struct backends_set *set = backends_set_of(c, cb);
	struct balance_candidate v[BALANCE_MAX];
	uint64_t turn = atomic_fetch_add_explicit(&set->turn, 1, memory_order_relaxed);
	bool full, hope;
	int i;

	do {
		full = backends_look(set, cb, tried, false, now_ms, v);
		hope = (i = balance_pick(cb->balance, v, set->n, turn, client)) == -1;
		if (hope && !full) {
			full = backends_look(set, cb, tried, true, now_ms, v);
			i = balance_pick(cb->balance, v, set->n, turn, client);
		}
		if (i == -1)
			return full ? BACKENDS_FULL : BACKENDS_DOWN;
	} while (!backends_take(set->v[i], cb, v[i].connections, hope, now_ms));
	tried->bit[i / 64] |= (uint64_t)1 << (i % 64);
	atomic_fetch_add_explicit(&set->v[i]->refs, 1, memory_order_relaxed);
	*out = set->v[i];
	return BACKENDS_PICKED;
}

void
backends_release(struct backends_address *a)
{
	if (a == NULL)
		return;
	atomic_fetch_sub_explicit(&a->connections, 1, memory_order_relaxed);
	backends_unref(a);
}

/* ---- connections that wait ---- */

bool
backends_is_crowded(const struct backends_address *a, const struct config_backend *cb)
{
	return cb->max_connections != 0 &&
	    atomic_load_explicit(&a->connections, memory_order_relaxed) +
		atomic_load_explicit(&a->idle, memory_order_relaxed) >
	    cb->max_connections;
}

bool
backends_idle_is_too_many(void *arg)
{
	struct backends_address *a = arg;
	uint64_t max = atomic_load_explicit(&a->max, memory_order_relaxed);

	return max != 0 &&
	    atomic_load_explicit(&a->connections, memory_order_relaxed) +
		atomic_load_explicit(&a->idle, memory_order_relaxed) >
	    max;
}

bool
backends_idle_begin(struct backends_address *a, const struct config_backend *cb)
{
	/* Its pick is about to go: the sum stays as it is. */
	if (backends_is_crowded(a, cb))
		return false;
	atomic_store_explicit(&a->max, cb->max_connections, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->idle, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return true;
}

void
backends_idle_end(void *arg)
{
	struct backends_address *a = arg;

	atomic_fetch_sub_explicit(&a->idle, 1, memory_order_relaxed);
	backends_unref(a);
}

static void
backends_on_called(struct loop_msg *m, struct loop *loop)
{
	struct backends_pool *p =
	    (struct backends_pool *)(void *)((char *)m - offsetof(struct backends_pool, msg));

	(void)loop;
	pthread_mutex_lock(&p->owner->lock);
	p->posted = false;
	pthread_mutex_unlock(&p->owner->lock);
	p->crowded(p->arg);
}

void
backends_pool_join(struct backends_pool *p, struct backends_address *a)
{
	if (p->owner != NULL)
		return;
	p->owner = a->owner;
	p->msg.fn = backends_on_called;
	pthread_mutex_lock(&p->owner->lock);
	p->next = p->owner->pools;
	p->owner->pools = p;
	pthread_mutex_unlock(&p->owner->lock);
}

void
backends_pool_leave(struct backends_pool *p)
{
	struct backends_pool **at;

	if (p->owner == NULL)
		return;
	pthread_mutex_lock(&p->owner->lock);
	for (at = &p->owner->pools; *at != p; at = &(*at)->next)
		continue;
	*at = p->next;
	pthread_mutex_unlock(&p->owner->lock);
}

void
backends_call_pools(struct backends_address *a, const struct loop *but)
{
	pthread_mutex_lock(&a->owner->lock);
	for (struct backends_pool *p = a->owner->pools; p != NULL; p = p->next) {
		if (p->posted || p->loop == but)
			continue;
		p->posted = true;
		loop_post(p->loop, &p->msg);
	}
	pthread_mutex_unlock(&a->owner->lock);
}

/* ---- health ---- */

/* Under the address's lock.  A change from up to down or back is told once. */
static void
backends_set_state(struct backends_address *a, unsigned state, const char *why)
{
	unsigned was = atomic_load_explicit(&a->state, memory_order_relaxed);
	bool up = (state & STATE_DOWN) == 0;
	char addr[300];

	atomic_store_explicit(&a->state, state, memory_order_relaxed);
	if (up == ((was & STATE_DOWN) == 0))
		return;
	addr_format(&a->addr, addr, sizeof(addr));
	if (up)
		log_info(a->owner->log, "backend=%s address=%s is up: %s", a->name, addr, why);
	else
		log_warn(a->owner->log, "backend=%s address=%s is down: %s", a->name, addr, why);
}

static void
backends_failed(struct backends_address *a, const struct config_backend *cb, bool refused,
    const char *why, uint64_t now_ms)
{
	unsigned state = atomic_load_explicit(&a->state, memory_order_relaxed);
	unsigned fails = atomic_load_explicit(&a->fails, memory_order_relaxed);
	char text[256];

	fails += fails < UINT32_MAX;
	atomic_store_explicit(&a->fails, fails, memory_order_relaxed);
	if (cb->max_fails == 0 || fails < cb->max_fails)
		return;
	atomic_store_explicit(
	    &a->rest_until_ms, now_ms + cb->fail_timeout_ms, memory_order_relaxed);
	state = (state & STATE_CHECKED_DOWN) | STATE_RESTING | (refused ? STATE_REFUSES : 0);
	snprintf(text, sizeof(text), "%s (%u in a row)", why, fails);
	backends_set_state(a, state, text);
}

void
backends_report(struct backends_address *a, const struct config_backend *cb,
    enum backends_outcome outcome, const char *why, uint64_t now_ms)
{
	unsigned state = atomic_load_explicit(&a->state, memory_order_relaxed);

	/* What nearly all say. */
	if (outcome == BACKENDS_OK && (state & STATE_RESTING) == 0 &&
	    atomic_load_explicit(&a->fails, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&a->lock);
	if (outcome == BACKENDS_OK) {
		atomic_store_explicit(&a->fails, 0, memory_order_relaxed);
		state = atomic_load_explicit(&a->state, memory_order_relaxed) & STATE_CHECKED_DOWN;
		backends_set_state(a, state, why);
	} else {
		backends_failed(a, cb, outcome == BACKENDS_REFUSED, why, now_ms);
	}
	pthread_mutex_unlock(&a->lock);
}

void
backends_checked(struct backends_address *a, bool up, const char *why)
{
	pthread_mutex_lock(&a->lock);
	if (up) {
		atomic_store_explicit(&a->fails, 0, memory_order_relaxed);
		backends_set_state(a, 0, why);
	} else {
		backends_set_state(a,
		    atomic_load_explicit(&a->state, memory_order_relaxed) | STATE_CHECKED_DOWN,
		    why);
	}
	pthread_mutex_unlock(&a->lock);
}

void
backends_unchecked(struct backends_address *a)
{
	pthread_mutex_lock(&a->lock);
	backends_set_state(a,
	    atomic_load_explicit(&a->state, memory_order_relaxed) & ~(unsigned)STATE_CHECKED_DOWN,
	    "it is not checked any more");
	pthread_mutex_unlock(&a->lock);
}

bool
backends_all_down(const struct config *c, const struct config_backend *cb, uint64_t now_ms)
{
	const struct backends_set *set = backends_set_of(c, cb);

	for (size_t i = 0; i < set->n; i++)
		if (backends_may_try(set->v[i], false, now_ms))
			return false;
	return true;
}

void
backends_status(const struct backends_address *a, struct backends_status *out)
{
	unsigned state = atomic_load_explicit(&a->state, memory_order_relaxed);

	out->connections = atomic_load_explicit(&a->connections, memory_order_relaxed);
	out->fails = atomic_load_explicit(&a->fails, memory_order_relaxed);
	out->up = (state & STATE_DOWN) == 0;
}
