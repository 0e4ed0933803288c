/*
 * Arrivals by client: a hash table of sets, a few ways each.  See arrivals.h.
 *
 * An entry is a tag of 63 bits and the time stamp of policy/rate.h; it is free when that lies in
 * the past.  Tags and places are multilinear hashes with keys of this process, so that nobody can
 * choose addresses that meet; places are stirred as well, since neighbouring addresses would crowd
 * in a few sets with some of the keys.
 */
#include <pthread.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/mem.h"
#include "policy/arrivals.h"
#include "policy/rate.h"

#define ARRIVALS_WAYS 8
#define ARRIVALS_SETS (ARRIVALS_MAX / ARRIVALS_WAYS)
#define ARRIVALS_WORDS 5
#define NS_PER_MS 1000000

struct arrivals_entry {
	uint64_t tag;	  /* 0: never used */
	uint64_t through; /* policy/rate.h */
	uint64_t told_ms; /* when ARRIVAL_PAST_FIRST was said */
};

struct arrivals {
	pthread_mutex_t lock;	  /* over the table */
	struct arrivals_entry *v; /* mapped */
	uint64_t key[2][ARRIVALS_WORDS + 1];
};

_Static_assert((ARRIVALS_SETS & (ARRIVALS_SETS - 1)) == 0, "a power of two");

struct arrivals *
arrivals_new(void)
{
	struct arrivals *a;

	if ((a = mem_zalloc(sizeof(*a))) == NULL)
		return NULL;
	/* Zeroed pages, which the kernel gives when they are touched. */
	a->v = mem_map(ARRIVALS_MAX * sizeof(*a->v));
	if (a->v == NULL || RAND_bytes((unsigned char *)a->key, sizeof(a->key)) != 1) {
		mem_map_free(a->v, ARRIVALS_MAX * sizeof(*a->v));
		mem_free(a);
		return NULL;
	}
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

void
arrivals_free(struct arrivals *a)
{
	if (a == NULL)
		return;
	pthread_mutex_destroy(&a->lock);
	mem_map_free(a->v, ARRIVALS_MAX * sizeof(*a->v));
	mem_free(a);
}

static uint32_t
arrivals_hash(const uint64_t key[ARRIVALS_WORDS + 1], const uint32_t word[ARRIVALS_WORDS])
{
	uint64_t h = key[ARRIVALS_WORDS];

	for (int i = 0; i < ARRIVALS_WORDS; i++)
		h += key[i] * word[i];
	return (uint32_t)(h >> 32);
}

/* One to one, and no trace of the steps between neighbours is left (the end of MurmurHash3). */
static uint32_t
arrivals_stir(uint32_t h)
{
	h = (h ^ h >> 16) * 0x85ebca6bU;
	h = (h ^ h >> 13) * 0xc2b2ae35U;
	return h ^ h >> 16;
}

/* Listeners are few and not a peer's to name. */
static uint32_t
arrivals_name(const char *name)
{
	uint32_t h = 2166136261U;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619U;
	return h;
}

/* The entry of the tag, or the one that it may have. */
static struct arrivals_entry *
arrivals_find(struct arrivals_entry *set, uint64_t tag)
{
	struct arrivals_entry *best = set;

	for (int i = 0; i < ARRIVALS_WAYS; i++) {
		if (set[i].tag == tag)
			return &set[i];
		if (set[i].through < best->through)
			best = &set[i];
	}
	*best = (struct arrivals_entry){ .tag = tag };
	return best;
}

static enum arrival
arrivals_judge(struct arrivals_entry *e, uint64_t rate, uint64_t now_ms)
{
	if (rate_credit(e->through, now_ms * NS_PER_MS, rate) > 0) {
		e->through = rate_charge(e->through, now_ms * NS_PER_MS, 1, rate);
		return ARRIVAL_OK;
	}
	if (e->told_ms != 0 && now_ms < e->told_ms + 1000)
		return ARRIVAL_PAST;
	e->told_ms = now_ms;
	return ARRIVAL_PAST_FIRST;
}

enum arrival
arrivals_add(struct arrivals *a, const char *listen, const uint8_t client[16], uint64_t rate,
    uint64_t now_ms)
{
	uint32_t word[ARRIVALS_WORDS], h;
	struct arrivals_entry *set;
	enum arrival ret;
	uint64_t tag;

	memcpy(word, client, 16);
	word[4] = arrivals_name(listen);
	h = arrivals_hash(a->key[0], word);
	tag = ((uint64_t)h << 32 | arrivals_hash(a->key[1], word)) | 1;
	set = a->v + (size_t)(arrivals_stir(h) % ARRIVALS_SETS) * ARRIVALS_WAYS;
	pthread_mutex_lock(&a->lock);
	ret = arrivals_judge(arrivals_find(set, tag), rate, now_ms);
	pthread_mutex_unlock(&a->lock);
	return ret;
}
