/*
 * The only allocator of the program (outside foreign libraries), so that
 * tests can make the n-th allocation fail.  Thread-safe but for the hook,
 * which is thread-local.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/*
 * Like malloc, calloc(1, n), realloc and free: the caller owns the result;
 * NULL when there is no memory.  mem_realloc(NULL, n) allocates; a size of 0
 * is treated as 1.
 */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
void mem_free(void *p);

/*
 * What p points into, and all that it points to, is never freed, because a library would do so
 * twice: leak checkers are told.
 */
void mem_abandon(const void *p);

/*
 * n zeroed bytes straight from the kernel, aligned to n (a power of two, at least a page); NULL
 * without memory.  mem_pages_free gives them back to it.
 */
void *mem_pages(size_t n);
void mem_pages_free(void *p, size_t n);

/* The same for any n, aligned to a page: what is large and must not stay with malloc once freed. */
void *mem_map(size_t n);
void mem_map_free(void *p, size_t n);

/*
 * Give what the C library holds and nobody uses back to the kernel, as far as it can: pages
 * between objects too.  It takes time for each free piece, so it is for calm moments.
 */
void mem_trim(void);

/* A NUL-terminated copy of s, or of the first n bytes of s. */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);

/*
 * Test hook: the n-th allocation of this thread from now on (1 is the next)
 * fails once; 0 switches it off.  mem_fail_pending says whether it is still
 * to come.
 */
void mem_fail_nth(unsigned long n);
int mem_fail_pending(void);

#endif
