/*
 * Counts by client address: a chained hash table that grows by doubling.
 * An entry lives as long as its client has a connection, so the table is bounded by MaxConnections.
 */
#include <pthread.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/mem.h"
#include "policy/limits.h"

#define LIMITS_MIN_BUCKETS 256

struct limits_entry {
	struct limits_entry *next;
	uint64_t count;
	uint8_t client[16];
};

struct limits {
	pthread_mutex_t lock;	      /* over all below */
	struct limits_entry **bucket; /* owned */
	size_t n_buckets, n;
	uint64_t seed; /* so that nobody can choose addresses that collide */
};

struct limits *
limits_new(void)
{
	struct limits *l;

	if ((l = mem_zalloc(sizeof(*l))) == NULL)
		return NULL;
	l->n_buckets = LIMITS_MIN_BUCKETS;
	if ((l->bucket = mem_zalloc(l->n_buckets * sizeof(*l->bucket))) == NULL) {
		mem_free(l);
		return NULL;
	}
	if (RAND_bytes((unsigned char *)&l->seed, sizeof(l->seed)) != 1) {
		mem_free(l->bucket);
		mem_free(l);
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void
limits_free(struct limits *l)
{
	struct limits_entry *e;

	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n_buckets; i++) {
		while ((e = l->bucket[i]) != NULL) {
			l->bucket[i] = e->next;
			mem_free(e);
		}
	}
	pthread_mutex_destroy(&l->lock);
	mem_free(l->bucket);
	mem_free(l);
}

static size_t
limits_hash(const struct limits *l, const uint8_t client[16], size_t n)
{
	uint64_t h = l->seed;

	for (int i = 0; i < 16; i++) {
		h = (h ^ client[i]) * (l->seed | 1);
		h ^= h >> 29;
	}
	return (size_t)(h & (n - 1));
}

/* Without memory the table stays as it is: slower, not wrong. */
static void
limits_grow(struct limits *l)
{
	size_t n = l->n_buckets * 2;
	struct limits_entry **v = mem_zalloc(n * sizeof(*v)), *e;

	if (v == NULL)
		return;
	for (size_t i = 0; i < l->n_buckets; i++) {
		while ((e = l->bucket[i]) != NULL) {
			size_t to = limits_hash(l, e->client, n);

			l->bucket[i] = e->next;
			e->next = v[to];
			v[to] = e;
		}
	}
	mem_free(l->bucket);
	l->bucket = v;
	l->n_buckets = n;
}

static struct limits_entry **
limits_find(struct limits *l, const uint8_t client[16])
{
	struct limits_entry **p = &l->bucket[limits_hash(l, client, l->n_buckets)];

	while (*p != NULL && memcmp((*p)->client, client, 16) != 0)
		p = &(*p)->next;
	return p;
}

uint64_t
limits_add(struct limits *l, const uint8_t client[16])
{
	struct limits_entry **p, *e;
	uint64_t count = 0;

	pthread_mutex_lock(&l->lock);
	if (l->n > l->n_buckets)
		limits_grow(l);
	p = limits_find(l, client);
	if ((e = *p) == NULL && (e = mem_zalloc(sizeof(*e))) != NULL) {
		memcpy(e->client, client, 16);
		*p = e;
		l->n++;
	}
	if (e != NULL)
		count = ++e->count;
	pthread_mutex_unlock(&l->lock);
	return count;
}

void
limits_remove(struct limits *l, const uint8_t client[16])
{
	struct limits_entry **p, *e;

	pthread_mutex_lock(&l->lock);
	p = limits_find(l, client);
	if ((e = *p) != NULL && --e->count == 0) {
		*p = e->next;
		l->n--;
		mem_free(e);
	}
	pthread_mutex_unlock(&l->lock);
}
