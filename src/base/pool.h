/*
 * A pool of chunks of one size, for bytes that the kernel did not take.
 * Embedded: pool_init/pool_clear.  One for each thread; not thread-safe.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

struct pool {
	void *free; /* owned: free chunks, linked by their first word */
	size_t chunk_bytes;
	size_t max_free; /* chunks kept on the free list at most */
	size_t n_free;
	size_t n_used; /* chunks handed out */
};

/*
 * chunk_bytes is at least sizeof(void *).  Nothing is allocated before the
 * first pool_get; at most max_free unused chunks are kept (0 keeps none).
 */
void pool_init(struct pool *p, size_t chunk_bytes, size_t max_free);

/*
 * Free the cached chunks.  Chunks in use stay valid and may still be put;
 * a put after this may cache again.
 */
void pool_clear(struct pool *p);

/*
 * A chunk of chunk_bytes bytes, contents undefined, aligned like malloc's;
 * the caller gives it back with pool_put to the same pool.  NULL when there
 * is no memory.
 */
void *pool_get(struct pool *p);

/* Give a chunk back; NULL is passed over. */
void pool_put(struct pool *p, void *chunk);

/* Chunks in use, and the bytes that they are. */
static inline size_t
pool_used(const struct pool *p)
{
	return p->n_used;
}

static inline size_t
pool_used_bytes(const struct pool *p)
{
	return p->n_used * p->chunk_bytes;
}

#endif
