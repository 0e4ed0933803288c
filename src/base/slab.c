/*
 * Slabs.  See slab.h.
 *
 * A slab is SLAB_BYTES aligned to its size, so that an object finds its slab's header by masking.
 * Slabs with room are in the owner's list; a full one is in none; empty ones are given back but
 * for a few, which are kept so that what comes and goes with each turn costs no system call.
 */
#include <sys/mman.h>

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/slab.h"

struct slab_object {
	struct slab_object *next; /* of the free ones */
};

struct slab_page {
	struct slab *owner;		/* borrowed */
	struct slab_page *next, **prev; /* of the owner's partial ones; prev NULL: full */
	struct slab_object *free;	/* given back ones */
	uint32_t n_used;
	uint32_t n_touched; /* objects behind these were never given */
};

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_CHECKED 1
#endif
#endif
#ifndef SLAB_CHECKED
#define SLAB_CHECKED 0
#endif

/* Empty slabs that are kept. */
#define SLAB_EMPTY_MAX 4

#define SLAB_HEADER ((sizeof(struct slab_page) + 7) & ~(size_t)7)

void
slab_init(struct slab *s, size_t object_bytes)
{
	memset(s, 0, sizeof(*s));
	s->object_bytes = (object_bytes + 7) & ~(size_t)7;
}

static void
slab_unlink(struct slab_page *pg)
{
	if ((*pg->prev = pg->next) != NULL)
		pg->next->prev = pg->prev;
	pg->prev = NULL;
}

static void
slab_page_free(struct slab_page *pg)
{
	pg->owner->n_pages--;
	slab_unlink(pg);
	mem_pages_free(pg, SLAB_BYTES);
}

void
slab_clear(struct slab *s)
{
	while (s->partial != NULL)
		slab_page_free(s->partial);
}

void
slab_trim(struct slab *s)
{
	struct slab_page *pg, *next;

	for (pg = s->partial; pg != NULL && s->n_empty > 0; pg = next) {
		next = pg->next;
		if (pg->n_used > 0)
			continue;
		s->n_empty--;
		slab_page_free(pg);
	}
}

#if SLAB_CHECKED

/* Each object by itself, so that the sanitizer sees every misuse. */
struct slab_checked {
	struct slab *owner;
	uint64_t data[];
};

void *
slab_alloc_raw(struct slab *s)
{
	struct slab_checked *c = mem_alloc(sizeof(*c) + s->object_bytes);

	if (c == NULL)
		return NULL;
	c->owner = s;
	s->used++;
	return c->data;
}

void *
slab_alloc(struct slab *s)
{
	void *p = slab_alloc_raw(s);

	return p != NULL ? memset(p, 0, s->object_bytes) : NULL;
}

void
slab_free(void *p)
{
	struct slab_checked *c;

	if (p == NULL)
		return;
	c = (struct slab_checked *)(void *)((char *)p - offsetof(struct slab_checked, data));
	c->owner->used--;
	mem_free(c);
}

#else

static struct slab_page *
slab_page_of(void *p)
{
	return (struct slab_page *)((uintptr_t)p & ~(uintptr_t)(SLAB_BYTES - 1));
}

static size_t
slab_capacity(const struct slab *s)
{
	return (SLAB_BYTES - SLAB_HEADER) / s->object_bytes;
}

static void
slab_link(struct slab *s, struct slab_page *pg)
{
	if ((pg->next = s->partial) != NULL)
		pg->next->prev = &pg->next;
	pg->prev = &s->partial;
	s->partial = pg;
}

static struct slab_page *
slab_page_new(struct slab *s)
{
	struct slab_page *pg;

	if ((pg = mem_pages(SLAB_BYTES)) == NULL)
		return NULL;
	pg->owner = s; /* the kernel's pages are zeroed */
	s->n_pages++;
	s->n_empty++;
	slab_link(s, pg);
	return pg;
}

/* *fresh: its bytes are still the kernel's zeros. */
static void *
slab_take(struct slab *s, bool *fresh)
{
	struct slab_page *pg = s->partial;
	struct slab_object *o;

	if (pg == NULL && (pg = slab_page_new(s)) == NULL)
		return NULL;
	o = pg->free;
	*fresh = o == NULL;
	if (o != NULL) {
		pg->free = o->next;
	} else {
		o = (struct slab_object *)(void *)((char *)pg + SLAB_HEADER +
		    pg->n_touched++ * s->object_bytes);
	}
	s->used++;
	if (pg->n_used == 0)
		s->n_empty--;
	if (++pg->n_used == slab_capacity(s))
		slab_unlink(pg);
	return o;
}

void *
slab_alloc(struct slab *s)
{
	bool fresh;
	void *p = slab_take(s, &fresh);

	return p == NULL || fresh ? p : memset(p, 0, s->object_bytes);
}

void *
slab_alloc_raw(struct slab *s)
{
	bool fresh;

	return slab_take(s, &fresh);
}

void
slab_free(void *p)
{
	struct slab_page *pg;
	struct slab_object *o = p;
	struct slab *s;

	if (p == NULL)
		return;
	pg = slab_page_of(p);
	s = pg->owner;
	s->used--;
	o->next = pg->free;
	pg->free = o;
	if (pg->prev == NULL)
		slab_link(s, pg);
	if (--pg->n_used > 0)
		return;
	if (s->n_empty < SLAB_EMPTY_MAX)
		s->n_empty++;
	else
		slab_page_free(pg);
}

#endif
