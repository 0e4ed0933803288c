/*
 * The chunk pool.  Belongs to one worker; called by its output queues, calls
 * mem.  Last in, first out, so that the next user gets a warm chunk.
 *
 * Invariants: n_free <= max_free is the length of the list; under
 * AddressSanitizer a cached chunk is poisoned, so that a use after pool_put
 * is found as a use after free would be.
 */
#include "base/pool.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define POOL_POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define POOL_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define POOL_POISON(p, n) ((void)(p), (void)(n))
#define POOL_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

void
pool_init(struct pool *p, size_t chunk_bytes, size_t max_free)
{
	assert(chunk_bytes >= sizeof(void *));
	memset(p, 0, sizeof(*p));
	p->chunk_bytes = chunk_bytes;
	p->max_free = max_free;
}

/* Take a chunk off the list, which is not empty. */
static void *
pool_pop(struct pool *p)
{
	void *chunk = p->free;

	POOL_UNPOISON(chunk, p->chunk_bytes);
	memcpy(&p->free, chunk, sizeof(p->free));
	p->n_free--;
	return chunk;
}

void
pool_clear(struct pool *p)
{
	while (p->free != NULL)
		mem_free(pool_pop(p));
}

void *
pool_get(struct pool *p)
{
	void *chunk;

	chunk = p->free != NULL ? pool_pop(p) : mem_alloc(p->chunk_bytes);
	if (chunk != NULL)
		p->n_used++;
	return chunk;
}

void
pool_put(struct pool *p, void *chunk)
{
	if (chunk == NULL)
		return;
	assert(p->n_used > 0);
	p->n_used--;
	if (p->n_free >= p->max_free) {
		mem_free(chunk);
		return;
	}
	memcpy(chunk, &p->free, sizeof(p->free));
	p->free = chunk;
	p->n_free++;
	POOL_POISON(chunk, p->chunk_bytes);
}
