/*
 * The program's allocator: thin wrappers over malloc that can be told to
 * fail.  Any thread, called from everywhere; calls libc only.
 *
 * The hook is thread-local, so a test that makes the n-th allocation of its
 * own thread fail does not disturb another's.
 */
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Allocations left until one fails; 0 is off.  The one mutable global. */
static _Thread_local unsigned long mem_countdown;

static int
mem_refuses(void)
{
	if (__builtin_expect(mem_countdown == 0, 1))
		return 0;
	if (--mem_countdown != 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
mem_alloc(size_t n)
{
	if (mem_refuses())
		return NULL;
	return malloc(n != 0 ? n : 1);
}

void *
mem_zalloc(size_t n)
{
	if (mem_refuses())
		return NULL;
	return calloc(1, n != 0 ? n : 1);
}

void *
mem_realloc(void *p, size_t n)
{
	if (mem_refuses())
		return NULL;
	return realloc(p, n != 0 ? n : 1);
}

void
mem_free(void *p)
{
	free(p);
}

char *
mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *
mem_strndup(const char *s, size_t n)
{
	char *copy;

	if (n == SIZE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	copy = mem_alloc(n + 1);
	if (copy == NULL)
		return NULL;
	if (n > 0)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

void
mem_fail_nth(unsigned long n)
{
	mem_countdown = n;
}

int
mem_fail_pending(void)
{
	return mem_countdown != 0;
}
