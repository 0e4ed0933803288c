/*
 * Objects of one size, packed into slabs of their own: no header and no rounding for each object,
 * and memory that goes back to the kernel when a slab is empty, however the other sizes are
 * interleaved.  For what every connection owns.  One thread; embedded.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_BYTES 65536

struct slab_page;

struct slab {
	/* with room; the fullest that had to be told apart is first */
	struct slab_page *partial;
	size_t object_bytes; /* a multiple of 8 */
	size_t n_pages;
	size_t n_empty; /* of these: without an object */
	size_t used;	/* objects */
};

/* object_bytes: 8 to SLAB_BYTES / 4, rounded up to a multiple of 8.  Allocates nothing. */
void slab_init(struct slab *s, size_t object_bytes);

/*
 * Give the empty slabs that are kept back, too: for calm moments, as it looks at all that have
 * room.
 */
void slab_trim(struct slab *s);

/* All objects must have been freed. */
void slab_clear(struct slab *s);

/* A zeroed object, 8-byte aligned; NULL without memory. */
void *slab_alloc(struct slab *s);

/* The same with whatever bytes are in it. */
void *slab_alloc_raw(struct slab *s);

/* p was given by slab_alloc of any slab of this thread; NULL is nothing. */
void slab_free(void *p);

#endif
