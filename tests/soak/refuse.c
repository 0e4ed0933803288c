/*
 * Makes allocations of a program fail at random, as a machine without memory would: preloaded
 * before the daemon by the soak.  The first eight bytes of the file that SOAK_REFUSE names are how
 * many in a million fail now; the next eight count those that did.  The program, OpenSSL, nghttp2,
 * zlib and libevent all get their share; the C library's own needs (threads, look-ups of names)
 * are left alone, as they go other ways.  What is not refused goes to the next in the
 * line: the C library, or a sanitizer.
 */
#include <sys/mman.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct refuse {
	_Atomic uint64_t rate, count;
};

static struct refuse *refuse;

__attribute__((constructor)) static void
refuse_init(void)
{
	const char *path = getenv("SOAK_REFUSE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd == -1)
		return;
	p = mmap(NULL, sizeof(*refuse), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		refuse = p;
}

/* xorshift: any sequence will do, but it must not allocate. */
static int
refuse_now(void)
{
	static _Thread_local uint32_t x = 2463534242u;
	uint64_t rate;

	if (refuse == NULL ||
	    (rate = atomic_load_explicit(&refuse->rate, memory_order_relaxed)) == 0)
		return 0;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	if (x % 1000000 >= rate)
		return 0;
	atomic_fetch_add_explicit(&refuse->count, 1, memory_order_relaxed);
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t n)
{
	static void *(*next)(size_t);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "malloc");
	return refuse_now() ? NULL : next(n);
}

void *
calloc(size_t n, size_t size)
{
	static void *(*next)(size_t, size_t);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "calloc");
	return refuse_now() ? NULL : next(n, size);
}

void *
realloc(void *p, size_t n)
{
	static void *(*next)(void *, size_t);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "realloc");
	return refuse_now() ? NULL : next(p, n);
}
