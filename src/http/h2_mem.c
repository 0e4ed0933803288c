/*
 * nghttp2's memory.  See h2_mem.h.
 *
 * Each piece has a header of 8 bytes, as malloc's have: free is not told how much it frees.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/slab.h"
#include "http/h2_mem.h"
#include "io/loop.h"

struct h2_piece {
	uint64_t n; /* bytes of data */
	uint8_t data[];
};

/* Larger pieces are seldom asked for, but for tables that grow: malloc can do that in place. */
#define H2_PIECE_MAX 512

/*
 * From here on mapped.  A session has room for a whole frame, of which it needs the start, as
 * payload does not pass through it (NGHTTP2_DATA_FLAG_NO_COPY): fresh pages cost nothing until they
 * are touched, while malloc would hand out what a TLS handshake has just given back.
 */
#define H2_PIECE_MAPPED 16384

_Static_assert(H2_PIECE_MAX <= LOOP_OBJECT_MAX, "the loop has no slab for pieces");

static bool
h2_piece_is_small(size_t n)
{
	return n <= H2_PIECE_MAX - sizeof(struct h2_piece);
}

static bool
h2_piece_is_mapped(size_t n)
{
	return n >= H2_PIECE_MAPPED;
}

static bool
h2_piece_is_malloced(size_t n)
{
	return !h2_piece_is_small(n) && !h2_piece_is_mapped(n);
}

static struct h2_piece *
h2_piece_of(void *p)
{
	return (struct h2_piece *)(void *)((uint8_t *)p - offsetof(struct h2_piece, data));
}

static void *
h2_mem_alloc(size_t n, void *loop)
{
	struct h2_piece *m;

	if (n > SIZE_MAX - sizeof(*m))
		return NULL;
	if (h2_piece_is_small(n))
		m = loop_object_raw(loop, sizeof(*m) + n);
	else if (h2_piece_is_mapped(n))
		m = mem_map(sizeof(*m) + n);
	else
		m = mem_alloc(sizeof(*m) + n);
	if (m == NULL)
		return NULL;
	m->n = n;
	return m->data;
}

static void
h2_mem_free(void *p, void *loop)
{
	struct h2_piece *m;

	(void)loop;
	if (p == NULL)
		return;
	m = h2_piece_of(p);
	if (h2_piece_is_small(m->n))
		slab_free(m);
	else if (h2_piece_is_mapped(m->n))
		mem_map_free(m, sizeof(*m) + m->n);
	else
		mem_free(m);
}

static void *
h2_mem_calloc(size_t count, size_t each, void *loop)
{
	void *p;

	if (each != 0 && count > SIZE_MAX / each)
		return NULL;
	p = h2_mem_alloc(count * each, loop);
	return p != NULL ? memset(p, 0, count * each) : NULL;
}

static void *
h2_mem_realloc(void *p, size_t n, void *loop)
{
	struct h2_piece *m;
	void *q;

	if (p == NULL)
		return h2_mem_alloc(n, loop);
	m = h2_piece_of(p);
	if (h2_piece_is_malloced(m->n) && h2_piece_is_malloced(n)) {
		if ((m = mem_realloc(m, sizeof(*m) + n)) == NULL)
			return NULL;
		m->n = n;
		return m->data;
	}
	if ((q = h2_mem_alloc(n, loop)) == NULL)
		return NULL;
	memcpy(q, p, m->n < n ? m->n : n);
	h2_mem_free(p, loop);
	return q;
}

nghttp2_mem
h2_mem(struct loop *loop)
{
	return (nghttp2_mem){ loop, h2_mem_alloc, h2_mem_free, h2_mem_calloc, h2_mem_realloc };
}
