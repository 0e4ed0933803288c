/*
 * Opening static files.  Any thread; called by gateway/static.c only.
 *
 * The kernel resolves the whole name beneath DocumentRoot in one step, so that
 * there is no time between a check and its use.  DocumentRoot itself, which may be a
 * link, is static_roots.c's.
 */
#include "gateway/static_open.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define STATIC_OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
/* A rename somewhere in the tree makes openat2 give up with EAGAIN. */
#define STATIC_OPEN_TRIES 8

#ifdef SYS_openat2
/* linux/openat2.h, which not every system with a new kernel has. */
#define STATIC_RESOLVE_NO_MAGICLINKS 0x02
#define STATIC_RESOLVE_BENEATH 0x08

struct static_open_how {
	uint64_t flags, mode, resolve;
};

static int
static_openat2(int root, const char *name)
{
	struct static_open_how how = { .flags = STATIC_OPEN_FLAGS,
		.resolve = STATIC_RESOLVE_BENEATH | STATIC_RESOLVE_NO_MAGICLINKS };
	unsigned tries = 0;
	long fd;

	do {
		fd = syscall(SYS_openat2, root, name, &how, sizeof(how));
	} while (fd == -1 && (errno == EAGAIN || errno == EINTR) && ++tries < STATIC_OPEN_TRIES);
	return (int)fd;
}
#else
static int
static_openat2(int root, const char *name)
{
	(void)root;
	(void)name;
	errno = ENOSYS;
	return -1;
}
#endif

/* The folder that name starts with; name is moved behind it.  -1 with errno. */
static int
static_open_folder(int dir, const char **name)
{
	size_t n = (size_t)(strchr(*name, '/') - *name);
	char folder[NAME_MAX + 1];

	if (n > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(folder, *name, n);
	folder[n] = '\0';
	*name += n + 1;
	return openat(dir, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* One folder after another, without following any link. */
static int
static_open_walk(int root, const char *name)
{
	int dir = root, next, fd, err;

	while (strchr(name, '/') != NULL) {
		next = static_open_folder(dir, &name);
		err = errno;
		if (dir != root)
			close(dir);
		errno = err;
		if ((dir = next) == -1)
			return -1;
	}
	fd = openat(dir, name, STATIC_OPEN_FLAGS | O_NOFOLLOW);
	err = errno;
	if (dir != root)
		close(dir);
	errno = err;
	return fd;
}

int
static_open(int root, const char *name)
{
	int fd = static_openat2(root, name);

	/* EPERM: what some container's seccomp filter says to what it does not know. */
	return fd == -1 && (errno == ENOSYS || errno == EPERM) ? static_open_walk(root, name) : fd;
}
