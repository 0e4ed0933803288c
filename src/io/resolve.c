/*
 * Name look-ups.  See resolve.h.
 *
 * One thread calls getaddrinfo, one name after the other, in the order of
 * asking; loops ask (resolve_start) and are answered through their mailbox.
 * Called by io/dial.c.
 *
 * An answer that is over answers for another RESOLVE_STALE_MS while it is asked for anew, so that
 * a name server which hangs, or another name's, holds up nobody; and up to RESOLVE_KEEP_MS when
 * the new look-up fails.
 *
 * An entry is one name: waiting, being looked up, or answered.  Its queries
 * hang on its list until it is answered; then each of them becomes a message
 * for its loop and is listed as posted until that loop has taken it.
 *
 * Everything is under the resolver's lock but for three things: an answer
 * never changes once its entry is RESOLVE_DONE and a reference on it is held;
 * getaddrinfo runs without the lock; and `cancelled` of a posted query is its
 * own loop's.  A message is posted under the lock, so that no loop which
 * cancelled its queries is touched any more.
 */
#include <sys/queue.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/resolve.h"

/* Names in the cache at most; the oldest answer goes first. */
#define RESOLVE_CACHE_MAX 64
/* A failure is kept only to spare the thread a rush of equal look-ups. */
#define RESOLVE_FAIL_MS 1000

enum resolve_state { RESOLVE_WAITING, RESOLVE_RUNNING, RESOLVE_DONE };

struct resolve {
	struct loop_msg msg;	     /* first: the message is the query */
	LIST_ENTRY(resolve) link;    /* on entry->queries, later on resolver->posted */
	struct resolver *resolver;   /* borrowed: outlives the loops */
	struct resolve_entry *entry; /* one reference */
	struct loop *loop;	     /* borrowed */
	resolve_done_fn *done;
	void *arg; /* borrowed until done or resolve_cancel */
	uint16_t port;
	bool posted;
	bool cancelled; /* only while posted */
};

LIST_HEAD(resolve_list, resolve);

struct resolve_entry {
	TAILQ_ENTRY(resolve_entry) link;
	struct resolve_list queries;
	enum resolve_state state;
	unsigned refs;	   /* resolver->entries has one, each query has one */
	uint64_t until_ms; /* the answer's end, once RESOLVE_DONE */
	uint64_t found_ms; /* when its addresses were found; they may be of an earlier answer */
	size_t n;
	struct resolve_addr v[RESOLVE_MAX_ADDRS]; /* port 0 */
	char error[128];
	char name[];
};

TAILQ_HEAD(resolve_entries, resolve_entry);

struct resolver {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started;
	bool stopping;
	struct resolve_entries entries; /* owned, oldest first */
	struct resolve_list posted;	/* owned by their loops' mailboxes */
	size_t n_entries;
};

static void
resolve_entry_unref(struct resolve_entry *e)
{
	if (--e->refs == 0)
		mem_free(e);
}

static void
resolve_entry_drop(struct resolver *r, struct resolve_entry *e)
{
	TAILQ_REMOVE(&r->entries, e, link);
	r->n_entries--;
	resolve_entry_unref(e);
}

struct resolver *
resolver_new(void)
{
	struct resolver *r;

	if ((r = mem_zalloc(sizeof(*r))) == NULL)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	TAILQ_INIT(&r->entries);
	LIST_INIT(&r->posted);
	return r;
}

/* Queries that nobody cancelled, and messages that no loop took any more. */
static void
resolve_list_free(struct resolve_list *list)
{
	struct resolve *q;

	while ((q = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(q, link);
		resolve_entry_unref(q->entry);
		mem_free(q);
	}
}

void
resolver_free(struct resolver *r)
{
	struct resolve_entry *e;

	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (r->started)
		pthread_join(r->thread, NULL);
	resolve_list_free(&r->posted);
	while ((e = TAILQ_FIRST(&r->entries)) != NULL) {
		resolve_list_free(&e->queries);
		resolve_entry_drop(r, e);
	}
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	mem_free(r);
}

/* On the loop that asked: hand the answer up. */
static void
resolve_on_msg(struct loop_msg *m, struct loop *loop)
{
	struct resolve *q = (struct resolve *)(void *)m;
	struct resolver *r = q->resolver;
	struct resolve_entry *e = q->entry;
	struct resolve_addr v[RESOLVE_MAX_ADDRS];

	(void)loop;
	pthread_mutex_lock(&r->lock);
	LIST_REMOVE(q, link);
	pthread_mutex_unlock(&r->lock);
	if (!q->cancelled) {
		memcpy(v, e->v, e->n * sizeof(v[0]));
		/* sin_port and sin6_port stand at the same place. */
		for (size_t i = 0; i < e->n; i++)
			((struct sockaddr_in *)(void *)&v[i].ss)->sin_port = htons(q->port);
		q->done(q->arg, v, e->n, e->n == 0 ? e->error : NULL);
	}
	pthread_mutex_lock(&r->lock);
	resolve_entry_unref(e);
	pthread_mutex_unlock(&r->lock);
	mem_free(q);
}

static void
resolve_post(struct resolver *r, struct resolve *q)
{
	q->posted = true;
	q->msg.fn = resolve_on_msg;
	LIST_INSERT_HEAD(&r->posted, q, link);
	loop_post(q->loop, &q->msg);
}

/* Copy what getaddrinfo found, in its order (RFC 6724) and without doubles. */
static void
resolve_copy(struct resolve_entry *e, const struct addrinfo *list)
{
	const struct addrinfo *ai;
	size_t i;

	for (ai = list; ai != NULL && e->n < RESOLVE_MAX_ADDRS; ai = ai->ai_next) {
		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		for (i = 0; i < e->n; i++)
			if (e->v[i].len == ai->ai_addrlen &&
			    memcmp(&e->v[i].ss, ai->ai_addr, ai->ai_addrlen) == 0)
				break;
		if (i < e->n)
			continue;
		memcpy(&e->v[i].ss, ai->ai_addr, ai->ai_addrlen);
		e->v[e->n++].len = ai->ai_addrlen;
	}
}

/* On the resolver's thread, without the lock: the entry is RESOLVE_RUNNING. */
static void
resolve_look_up(struct resolve_entry *e)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(e->name, NULL, &hints, &list), saved_errno = errno;

	if (rc == 0) {
		resolve_copy(e, list);
		freeaddrinfo(list);
		if (e->n == 0)
			snprintf(e->error, sizeof(e->error), "no IP address");
		return;
	}
	snprintf(e->error, sizeof(e->error), "%s",
	    rc == EAI_SYSTEM ? strerror(saved_errno) : gai_strerror(rc));
}

static struct resolve_entry *
resolve_next_waiting(struct resolver *r)
{
	struct resolve_entry *e;

	TAILQ_FOREACH(e, &r->entries, link)
		if (e->state == RESOLVE_WAITING)
			return e;
	return NULL;
}

/* e takes the place of an older answer; where it failed, with that one's addresses. */
static void
resolve_replace(struct resolver *r, struct resolve_entry *e, uint64_t now)
{
	struct resolve_entry *old, *next;

	for (old = TAILQ_FIRST(&r->entries); old != NULL; old = next) {
		next = TAILQ_NEXT(old, link);
		if (old == e || old->state != RESOLVE_DONE || strcasecmp(old->name, e->name) != 0)
			continue;
		if (e->n == 0 && old->n != 0 && now < old->found_ms + RESOLVE_KEEP_MS) {
			memcpy(e->v, old->v, sizeof(e->v));
			e->n = old->n;
			e->found_ms = old->found_ms;
		}
		resolve_entry_drop(r, old);
	}
}

static void
resolve_answer(struct resolver *r, struct resolve_entry *e)
{
	uint64_t now = clock_mono_ms();
	struct resolve *q;

	e->found_ms = now;
	e->until_ms = now + (e->n != 0 ? RESOLVE_CACHE_MS : RESOLVE_FAIL_MS);
	resolve_replace(r, e, now);
	e->state = RESOLVE_DONE;
	if (r->stopping)
		return; /* the loops have ended: resolver_free disposes of the queries */
	while ((q = LIST_FIRST(&e->queries)) != NULL) {
		LIST_REMOVE(q, link);
		resolve_post(r, q);
	}
}

static void *
resolve_thread(void *arg)
{
	struct resolver *r = arg;
	struct resolve_entry *e;

	pthread_mutex_lock(&r->lock);
	while (!r->stopping) {
		if ((e = resolve_next_waiting(r)) == NULL) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		e->state = RESOLVE_RUNNING;
		pthread_mutex_unlock(&r->lock);
		resolve_look_up(e);
		pthread_mutex_lock(&r->lock);
		resolve_answer(r, e);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Signals are the main thread's: this one takes none. */
static int
resolve_start_thread(struct resolver *r)
{
	sigset_t all, old;
	int rc;

	if (r->started)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&r->thread, NULL, resolve_thread, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	r->started = rc == 0;
	return rc == 0 ? 0 : -1;
}

/* Whether these are addresses, and not older than that. */
static bool
resolve_is_younger(const struct resolve_entry *e, uint64_t now, uint64_t ms)
{
	return e->state == RESOLVE_DONE && e->n != 0 && now < e->found_ms + ms;
}

/* Drop answers that are of no use any more, and the oldest ones when there are too many. */
static void
resolve_expire(struct resolver *r)
{
	struct resolve_entry *e, *next;
	uint64_t now = clock_mono_ms();

	for (e = TAILQ_FIRST(&r->entries); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->state == RESOLVE_DONE &&
		    ((e->until_ms <= now && !resolve_is_younger(e, now, RESOLVE_KEEP_MS)) ||
			r->n_entries >= RESOLVE_CACHE_MAX))
			resolve_entry_drop(r, e);
	}
}

/* A look-up that is to come. */
static struct resolve_entry *
resolve_entry_new(struct resolver *r, const char *name)
{
	struct resolve_entry *e;
	size_t size = strlen(name) + 1;

	resolve_expire(r);
	if ((e = mem_zalloc(sizeof(*e) + size)) == NULL)
		return NULL;
	LIST_INIT(&e->queries);
	memcpy(e->name, name, size);
	e->refs = 1;
	TAILQ_INSERT_TAIL(&r->entries, e, link);
	r->n_entries++;
	return e;
}

/* What answers a query, or will: a reference for it, or NULL without memory. */
static struct resolve_entry *
resolve_find(struct resolver *r, const char *name)
{
	struct resolve_entry *e = NULL, *pending = NULL, *stale = NULL;
	uint64_t now = clock_mono_ms();

	TAILQ_FOREACH(e, &r->entries, link) {
		if (strcasecmp(e->name, name) != 0)
			continue;
		if (e->state != RESOLVE_DONE) {
			pending = e;
		} else if (e->until_ms > now) {
			e->refs++;
			return e;
		} else if (resolve_is_younger(e, now, RESOLVE_STALE_MS)) {
			stale = e;
		}
	}
	/* An answer that is over but for a little: it is asked for anew, and nobody waits for that. */
	if (stale != NULL)
		stale->refs++; /* before a new one takes its place */
	if (pending == NULL)
		pending = resolve_entry_new(r, name);
	if (stale != NULL)
		return stale;
	if (pending != NULL)
		pending->refs++;
	return pending;
}

/* Under the lock. */
static int
resolve_enter(struct resolver *r, struct resolve *q, const char *name)
{
	struct resolve_entry *e;

	if (resolve_start_thread(r) == -1 || (e = resolve_find(r, name)) == NULL)
		return -1;
	q->entry = e;
	if (e->state == RESOLVE_DONE)
		resolve_post(r, q);
	else
		LIST_INSERT_HEAD(&e->queries, q, link);
	pthread_cond_signal(&r->wake);
	return 0;
}

struct resolve *
resolve_start(struct resolver *r, struct loop *loop, const char *name, uint16_t port,
    resolve_done_fn *done, void *arg)
{
	struct resolve *q;
	int rc;

	if ((q = mem_zalloc(sizeof(*q))) == NULL)
		return NULL;
	q->resolver = r;
	q->loop = loop;
	q->port = port;
	q->done = done;
	q->arg = arg;
	pthread_mutex_lock(&r->lock);
	rc = resolve_enter(r, q, name);
	pthread_mutex_unlock(&r->lock);
	if (rc == -1) {
		mem_free(q);
		return NULL;
	}
	return q;
}

void
resolve_cancel(struct resolve *q)
{
	struct resolver *r = q->resolver;
	struct resolve_entry *e = q->entry;

	pthread_mutex_lock(&r->lock);
	if (q->posted) {
		q->cancelled = true; /* its message frees it, or resolver_free */
		pthread_mutex_unlock(&r->lock);
		return;
	}
	LIST_REMOVE(q, link);
	resolve_entry_unref(e);
	/* Nobody asks any more: the thread need not look it up. */
	if (e->state == RESOLVE_WAITING && LIST_EMPTY(&e->queries))
		resolve_entry_drop(r, e);
	pthread_mutex_unlock(&r->lock);
	mem_free(q);
}
