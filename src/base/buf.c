/*
 * The growable buffer.  Owned by whoever embeds it, one thread at a time.
 *
 * Invariants: n <= cap <= max; p is NULL exactly when cap is 0; p has cap + 1
 * bytes, so that vsnprintf has a place for its NUL even when the text fills
 * the buffer to its maximum.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define BUF_MIN_ALLOC 64

void
buf_init(struct buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	/* No object is larger than that, and sums below cannot overflow. */
	b->max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4;
}

void
buf_clear(struct buf *b)
{
	mem_free(b->p);
	b->p = NULL;
	b->n = 0;
	b->cap = 0;
}

int
buf_reserve(struct buf *b, size_t more)
{
	size_t alloc;
	char *p;

	if (more > b->max - b->n)
		return -1;
	if (more <= b->cap - b->n)
		return 0;
	alloc = b->cap != 0 ? (b->cap + 1) * 2 : BUF_MIN_ALLOC;
	if (alloc < b->n + more + 1)
		alloc = b->n + more + 1;
	if (alloc > b->max + 1)
		alloc = b->max + 1;
	p = mem_realloc(b->p, alloc);
	if (p == NULL)
		return -1;
	b->p = p;
	b->cap = alloc - 1;
	return 0;
}

int
buf_append_grow(struct buf *b, const void *p, size_t n)
{
	if (buf_reserve(b, n) == -1)
		return -1;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

int
buf_append_uint(struct buf *b, uint64_t n)
{
	char digits[20], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	return buf_append(b, p, (size_t)(digits + sizeof(digits) - p));
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return rc;
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->n;
	va_list again;
	int len;

	va_copy(again, ap);
	if (b->p != NULL)
		len = vsnprintf(b->p + b->n, room + 1, fmt, ap);
	else
		len = vsnprintf(NULL, 0, fmt, ap);
	if (len > 0 && (size_t)len > room) {
		if (buf_reserve(b, (size_t)len) == 0)
			len = vsnprintf(b->p + b->n, (size_t)len + 1, fmt, again);
		else
			len = -1;
	}
	va_end(again);
	if (len < 0)
		return -1;
	b->n += (size_t)len;
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->n);
	if (n == 0)
		return;
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}
