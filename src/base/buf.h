/*
 * A growable byte buffer with a hard maximum.  Embedded: buf_init/buf_clear.
 * Allocates nothing before the first byte.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct buf {
	char *p;  /* owned */
	size_t n; /* bytes in use */
	size_t cap;
	size_t max; /* n never gets past this */
};

void buf_init(struct buf *b, size_t max);

/*
 * The same over size bytes (at least 1) that are the caller's: at most size - 1 are put there, and
 * nothing is allocated.  No buf_clear.
 */
static inline void
buf_init_over(struct buf *b, char *room, size_t size)
{
	*b = (struct buf){ .p = room, .cap = size - 1, .max = size - 1 };
}

/* Free the memory; the buffer is empty and may be used again. */
void buf_clear(struct buf *b);

/*
 * All of these return 0, or -1 when the result would be longer than max or
 * there is no memory; the buffer is unchanged then.
 */
int buf_reserve(struct buf *b, size_t more);		     /* room for `more` bytes past n */
int buf_append_grow(struct buf *b, const void *p, size_t n); /* buf_append's rare half */
int buf_append_uint(struct buf *b, uint64_t n);		     /* decimal */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Heads are made of many short pieces, most of which fit: that is done without a call. */
static inline int
buf_append(struct buf *b, const void *p, size_t n)
{
	if (n > b->cap - b->n)
		return buf_append_grow(b, p, n);
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

static inline int
buf_append_span(struct buf *b, struct span s)
{
	return buf_append(b, s.p, s.n);
}

static inline int
buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

static inline int
buf_append_char(struct buf *b, char c)
{
	return buf_append(b, &c, 1);
}

/* Drop the first n bytes (n <= b->n). */
void buf_consume(struct buf *b, size_t n);

/* The bytes in use; valid until the next change. */
static inline struct span
buf_span(const struct buf *b)
{
	return (struct span){ b->p, b->n };
}

#endif
