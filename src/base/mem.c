/*
 * The program's allocator: thin wrappers over malloc that can be told to
 * fail.  Any thread, called from everywhere; calls libc only.
 *
 * The hook is thread-local, so a test that makes the n-th allocation of its
 * own thread fail does not disturb another's.
 */
#include <sys/mman.h>

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

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

void
mem_abandon(const void *p)
{
#if defined(__SANITIZE_ADDRESS__)
	__lsan_ignore_object(p);
#else
	(void)p;
#endif
}

void
mem_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void *
mem_pages(size_t n)
{
	char *p, *aligned;

	if (mem_refuses())
		return NULL;
	p = mmap(NULL, 2 * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	aligned = (char *)(((uintptr_t)p + n - 1) & ~(uintptr_t)(n - 1));
	if (aligned > p)
		munmap(p, (size_t)(aligned - p));
	if (aligned < p + n)
		munmap(aligned + n, (size_t)(p + n - aligned));
	return aligned;
}

void
mem_pages_free(void *p, size_t n)
{
	munmap(p, n);
}

void *
mem_map(size_t n)
{
	void *p;

	if (mem_refuses())
		return NULL;
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p != MAP_FAILED ? p : NULL;
}

void
mem_map_free(void *p, size_t n)
{
	munmap(p, n);
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
