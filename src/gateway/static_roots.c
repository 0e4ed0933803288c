/*
 * Open document roots.  See static_roots.h.
 *
 * A timer closes all of them some time after the first was opened, so that nothing stays open for a
 * route that nobody asks.  They are few: a fixed table, of which the slots are used in turns.
 *
 * Called by gateway/static_files.c.  Invariant: the timer runs exactly while a slot is in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "gateway/static_roots.h"

#define STATIC_ROOTS_N 16

struct static_roots {
	struct loop *loop; /* borrowed */
	struct loop_timer timer;
	void (*closed)(void *arg);
	void *arg; /* borrowed */
	unsigned next;
	struct {
		char *path; /* owned; NULL: not in use */
		int fd;	    /* owned */
	} root[STATIC_ROOTS_N];
};

static void
static_roots_close_one(struct static_roots *sr, unsigned i)
{
	if (sr->root[i].path == NULL)
		return;
	mem_free(sr->root[i].path);
	close(sr->root[i].fd);
	sr->root[i].path = NULL;
}

void
static_roots_close(struct static_roots *sr)
{
	loop_timer_stop(sr->loop, &sr->timer);
	for (unsigned i = 0; i < STATIC_ROOTS_N; i++)
		static_roots_close_one(sr, i);
	if (sr->closed != NULL)
		sr->closed(sr->arg);
}

static void
static_roots_on_timer(struct loop_timer *t)
{
	static_roots_close(
	    (struct static_roots *)(void *)((char *)t - offsetof(struct static_roots, timer)));
}

struct static_roots *
static_roots_new(struct loop *loop, void (*closed)(void *arg), void *arg)
{
	struct static_roots *sr;

	if ((sr = mem_zalloc(sizeof(*sr))) == NULL)
		return NULL;
	sr->loop = loop;
	sr->closed = closed;
	sr->arg = arg;
	sr->timer.fn = static_roots_on_timer;
	return sr;
}

void
static_roots_free(struct static_roots *sr)
{
	if (sr == NULL)
		return;
	static_roots_close(sr);
	mem_free(sr);
}

/* Open one more; the slot that is next goes for it. */
static int
static_roots_open(struct static_roots *sr, const char *path, bool first)
{
	unsigned i = sr->next;
	char *copy;
	int fd;

	if ((fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	if ((copy = mem_strdup(path)) == NULL) {
		close(fd);
		errno = ENOMEM;
		return -1;
	}
	static_roots_close_one(sr, i);
	sr->root[i].path = copy;
	sr->root[i].fd = fd;
	sr->next = (i + 1) % STATIC_ROOTS_N;
	if (first)
		loop_timer_arm(sr->loop, &sr->timer, loop_now_ms(sr->loop) + STATIC_ROOTS_MS);
	return fd;
}

int
static_roots_get(struct static_roots *sr, const char *path)
{
	bool first = true;

	for (unsigned i = 0; i < STATIC_ROOTS_N; i++) {
		if (sr->root[i].path == NULL)
			continue;
		if (strcmp(sr->root[i].path, path) == 0)
			return sr->root[i].fd;
		first = false;
	}
	return static_roots_open(sr, path, first);
}
