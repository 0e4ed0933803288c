/*
 * Sets of counters.  See counters.h.
 *
 * The registry's list and the references are under its lock, which is taken by a reload, by the
 * end of a snapshot and by a reader, never by who counts.  Invariant: a set with refs 0 is not
 * written any more, since whoever counts holds the snapshot that it came by; only such sets are
 * freed.
 */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/counters.h"
#include "policy/balance.h"

#define COUNTERS_BUCKETS 1024
#define COUNTERS_LINE 64 /* a cache line: two workers never write into the same one */

TAILQ_HEAD(counters_list, counters_set);

struct counters {
	pthread_mutex_t lock;
	struct counters_list all; /* owned; as they came to be */
	/* of these, those with refs 0; the one that went first is first */
	struct counters_list kept;
	struct counters_set *no_route; /* a ref */
	size_t n_kept;
	unsigned readers; /* while there are any, no set is freed */
	unsigned n_blocks;
	struct counters_set *bucket[COUNTERS_BUCKETS];
};

/* The sets of one snapshot. */
struct counters_view {
	struct counters *cs; /* borrowed */
	size_t n;
	struct counters_set *set[]; /* refs */
};

static const size_t counters_bytes[COUNTERS_KINDS] = {
	[COUNTERS_ROUTE] = sizeof(struct route_counters),
	[COUNTERS_BACKEND] = sizeof(struct backend_counters),
	[COUNTERS_LISTENER] = sizeof(struct listener_counters),
};

/* ---- sets and their references */

static struct counters_set *
counters_set_new(const struct counters *cs, enum counters_kind kind, const char *name)
{
	size_t n = strlen(name) + 1;
	struct counters_set *set;

	if ((set = mem_zalloc(sizeof(*set) + n)) == NULL)
		return NULL;
	set->stride = (counters_bytes[kind] + COUNTERS_LINE - 1) / COUNTERS_LINE * COUNTERS_LINE;
	if ((set->memory = mem_zalloc(cs->n_blocks * set->stride + COUNTERS_LINE)) == NULL) {
		mem_free(set);
		return NULL;
	}
	set->block = (char *)set->memory + COUNTERS_LINE - (uintptr_t)set->memory % COUNTERS_LINE;
	set->kind = kind;
	memcpy(set->name, name, n);
	return set;
}

static void
counters_set_free(struct counters_set *set)
{
	mem_free(set->memory);
	mem_free(set);
}

static struct counters_set **
counters_bucket(struct counters *cs, enum counters_kind kind, const char *name)
{
	return &cs->bucket[(balance_hash(name, strlen(name)) + kind) % COUNTERS_BUCKETS];
}

/* Under the lock: take the set out that nobody has had for the longest time. */
static void
counters_forget_one(struct counters *cs)
{
	struct counters_set **p, *set = TAILQ_FIRST(&cs->kept);

	TAILQ_REMOVE(&cs->kept, set, kept);
	TAILQ_REMOVE(&cs->all, set, all);
	for (p = counters_bucket(cs, set->kind, set->name); *p != set; p = &(*p)->chain)
		continue;
	*p = set->chain;
	cs->n_kept--;
	counters_set_free(set);
}

/* Under the lock. */
static void
counters_unref(struct counters *cs, struct counters_set *set)
{
	if (--set->refs > 0)
		return;
	TAILQ_INSERT_TAIL(&cs->kept, set, kept);
	if (++cs->n_kept > COUNTERS_KEPT && cs->readers == 0)
		counters_forget_one(cs);
}

/* Under the lock: with a reference; NULL without memory. */
static struct counters_set *
counters_find(struct counters *cs, enum counters_kind kind, const char *name)
{
	struct counters_set **bucket = counters_bucket(cs, kind, name), *set = *bucket;

	while (set != NULL && (set->kind != kind || strcmp(set->name, name) != 0))
		set = set->chain;
	if (set == NULL) {
		if ((set = counters_set_new(cs, kind, name)) == NULL)
			return NULL;
		TAILQ_INSERT_TAIL(&cs->all, set, all);
		set->chain = *bucket;
		*bucket = set;
	} else if (set->refs == 0) {
		TAILQ_REMOVE(&cs->kept, set, kept);
		cs->n_kept--;
	}
	set->refs++;
	return set;
}

/* ---- the registry */

struct counters *
counters_new(unsigned n_workers)
{
	struct counters *cs;

	if ((cs = mem_zalloc(sizeof(*cs))) == NULL)
		return NULL;
	pthread_mutex_init(&cs->lock, NULL);
	TAILQ_INIT(&cs->all);
	TAILQ_INIT(&cs->kept);
	cs->n_blocks = n_workers + 1;
	if ((cs->no_route = counters_find(cs, COUNTERS_ROUTE, "")) == NULL) {
		counters_free(cs);
		return NULL;
	}
	return cs;
}

void
counters_free(struct counters *cs)
{
	struct counters_set *set;

	if (cs == NULL)
		return;
	while ((set = TAILQ_FIRST(&cs->all)) != NULL) {
		TAILQ_REMOVE(&cs->all, set, all);
		counters_set_free(set);
	}
	pthread_mutex_destroy(&cs->lock);
	mem_free(cs);
}

struct counters_set *
counters_no_route(struct counters *cs)
{
	return cs->no_route;
}

unsigned
counters_main(const struct counters *cs)
{
	return cs->n_blocks - 1;
}

/* ---- snapshots */

static void
counters_view_free(void *arg)
{
	struct counters_view *view = arg;

	pthread_mutex_lock(&view->cs->lock);
	for (size_t i = 0; i < view->n; i++)
		counters_unref(view->cs, view->set[i]);
	pthread_mutex_unlock(&view->cs->lock);
	mem_free(view);
}

/* Under the lock: 0 with a set more, or -1. */
static int
counters_add(struct counters_view *view, enum counters_kind kind, const char *name,
    struct counters_set **out)
{
	if ((*out = counters_find(view->cs, kind, name)) == NULL)
		return -1;
	view->set[view->n++] = *out;
	return 0;
}

/* Under the lock. */
static int
counters_add_all(struct counters_view *view, struct config *c)
{
	for (size_t i = 0; i < c->n_route; i++) {
		if (counters_add(view, COUNTERS_ROUTE, c->route[i].name, &c->route[i].counters))
			return -1;
		c->route[i].counters->websockets |= c->route[i].action != CONFIG_ACTION_STATIC;
	}
	for (size_t i = 0; i < c->n_backend; i++)
		if (counters_add(
			view, COUNTERS_BACKEND, c->backend[i].name, &c->backend[i].counters))
			return -1;
	for (size_t i = 0; i < c->n_listen; i++)
		if (counters_add(
			view, COUNTERS_LISTENER, c->listen[i].name, &c->listen[i].counters))
			return -1;
	return 0;
}

int
counters_attach(struct counters *cs, struct config *c)
{
	size_t n = c->n_route + c->n_backend + c->n_listen;
	struct counters_view *view;
	int ret;

	if ((view = mem_zalloc(sizeof(*view) + n * sizeof(view->set[0]))) == NULL)
		return -1;
	view->cs = cs;
	pthread_mutex_lock(&cs->lock);
	ret = counters_add_all(view, c);
	pthread_mutex_unlock(&cs->lock);
	if (ret == -1) {
		counters_view_free(view);
		return -1;
	}
	c->attached[CONFIG_ATTACHED_COUNTERS] = view;
	c->attached_free[CONFIG_ATTACHED_COUNTERS] = counters_view_free;
	return 0;
}

/* ---- reading */

static void
counters_sum(const struct counters *cs, const struct counters_set *set, struct counter *sum)
{
	size_t n = counters_bytes[set->kind] / sizeof(*sum);

	for (unsigned k = 0; k < cs->n_blocks; k++) {
		const struct counter *block = counters_block(set, k);

		for (size_t i = 0; i < n; i++)
			counter_add(&sum[i], counter_get(&block[i]));
	}
}

/* Under the lock. */
static int
counters_read_all(struct counters *cs, enum counters_kind kind, struct counters_totals *out)
{
	struct counters_set *set;
	size_t n = 0;

	TAILQ_FOREACH(set, &cs->all, all)
		n += set->kind == kind;
	if ((out->set = mem_zalloc((n + 1) * sizeof(*out->set))) == NULL ||
	    (out->sums = mem_zalloc((n + 1) * counters_bytes[kind])) == NULL)
		return -1;
	TAILQ_FOREACH(set, &cs->all, all) {
		if (set->kind != kind)
			continue;
		counters_sum(cs, set, (void *)((char *)out->sums + out->n * counters_bytes[kind]));
		out->set[out->n++] = set;
	}
	return 0;
}

int
counters_read(struct counters *cs, enum counters_kind kind, struct counters_totals *out)
{
	int ret;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&cs->lock);
	cs->readers++;
	ret = counters_read_all(cs, kind, out);
	pthread_mutex_unlock(&cs->lock);
	if (ret == -1)
		counters_totals_clear(cs, out);
	return ret;
}

void
counters_totals_clear(struct counters *cs, struct counters_totals *t)
{
	pthread_mutex_lock(&cs->lock);
	if (--cs->readers == 0)
		while (cs->n_kept > COUNTERS_KEPT)
			counters_forget_one(cs);
	pthread_mutex_unlock(&cs->lock);
	mem_free(t->set);
	mem_free(t->sums);
	memset(t, 0, sizeof(*t));
}
