/*
 * Where a log's lines go.  See log_int.h.
 *
 * Written at once, by who logs, or by the writer's thread for as long as it takes.  Where writing
 * can block or raise SIGPIPE (all but regular files), writing at once asks poll(2) first, waits
 * LOG_STALL_MS once, and from then on gives up until the reader is back.  A line of at most
 * PIPE_BUF bytes does not block once poll says writable.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log_int.h"
#include "base/mem.h"

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line in a pipe is whole");

/*
 * Whether stderr is the stream that systemd made for us.  The variable alone
 * says little: whatever a terminal starts has inherited it.
 */
static bool
log_is_journal(int fd)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (env == NULL || sscanf(env, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool
log_can_block(int fd)
{
	struct stat st;

	return fstat(fd, &st) == -1 || !S_ISREG(st.st_mode);
}

static int
log_target_open_file(struct log_target *t, const char *path)
{
	/* O_NONBLOCK: a FIFO without a reader is an error, not a wait. */
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int saved;

	t->path = mem_strdup(path);
	if (t->path == NULL)
		return -1;
	t->fd = open(path, flags | O_EXCL, 0640);
	t->made = t->fd != -1;
	if (t->fd == -1 && errno == EEXIST)
		t->fd = open(path, flags, 0640);
	if (t->fd == -1) {
		saved = errno;
		mem_free(t->path);
		t->path = NULL;
		errno = saved;
		return -1;
	}
	t->kind = LOG_K_FILE;
	t->can_block = log_can_block(t->fd);
	return 0;
}

static int
log_target_open(struct log_target *t, const char *name)
{
	t->fd = -1;
	if (strcmp(name, "off") == 0) {
		t->kind = LOG_K_OFF;
	} else if (strcmp(name, "stderr") == 0) {
		t->kind = LOG_K_STDERR;
		t->fd = STDERR_FILENO;
		t->can_block = log_can_block(t->fd);
		t->journal = log_is_journal(t->fd);
	} else if (strcmp(name, "syslog") == 0) {
		t->kind = LOG_K_SYSLOG;
		openlog(NULL, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	} else {
		return log_target_open_file(t, name);
	}
	return 0;
}

struct log_target *
log_target_new(const char *name)
{
	struct log_target *t = mem_zalloc(sizeof(*t));
	int saved;

	if (t == NULL)
		return NULL;
	if (log_target_open(t, name) == -1) {
		saved = errno;
		mem_free(t);
		errno = saved;
		return NULL;
	}
	t->refs = 1;
	return t;
}

void
log_target_unref(struct log_target *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	if (t->kind == LOG_K_FILE)
		close(t->fd);
	mem_free(t->path);
	mem_free(t);
}

const char *
log_target_name(const struct log_target *t)
{
	switch (t->kind) {
	case LOG_K_OFF:
		return "off";
	case LOG_K_STDERR:
		return "stderr";
	case LOG_K_SYSLOG:
		return "syslog";
	case LOG_K_FILE:
		return t->path;
	}
	return "?";
}

bool
log_target_is_gone(const struct log_target *t)
{
	struct stat st;

	return t->kind == LOG_K_FILE && fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_nlink == 0;
}

/* write(2) with EINTR, and without SIGPIPE whatever its disposition is. */
static ssize_t
log_write_quiet(int fd, const char *p, size_t n)
{
	static const struct timespec now = { 0, 0 };
	sigset_t pipe_set, old, pending;
	ssize_t rc;
	int saved;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	sigemptyset(&pending);
	sigpending(&pending);
	do
		rc = write(fd, p, n);
	while (rc == -1 && errno == EINTR);
	saved = errno;
	/* Take back the one that we raised, not one from before. */
	if (rc == -1 && saved == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &now) == -1 && errno == EINTR)
			continue;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return rc;
}

static bool
log_writable(const struct log_target *t, int wait_ms)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLOUT };
	int rc;

	do
		rc = poll(&pfd, 1, wait_ms);
	while (rc == -1 && errno == EINTR);
	return rc == 1 && (pfd.revents & POLLOUT) != 0;
}

bool
log_target_is_ready(const struct log_target *t, bool threads)
{
	switch (t->kind) {
	case LOG_K_OFF:
		return true;
	case LOG_K_SYSLOG:
		return false;
	case LOG_K_STDERR:
		return !t->can_block || log_writable(t, 0);
	case LOG_K_FILE:
		return t->can_block ? log_writable(t, 0) : !threads;
	}
	return true;
}

/* A line that is there in part is ended first, so that the next one is whole. */
static bool
log_target_mend(struct log_target *t)
{
	ssize_t rc;

	if (!t->torn)
		return true;
	do
		rc = write(t->fd, "\n", 1);
	while (rc == -1 && errno == EINTR);
	t->torn = rc != 1;
	return rc == 1;
}

bool
log_target_write_now(struct log_target *t, const char *p, size_t n)
{
	ssize_t rc;

	if (t->can_block) {
		if (!log_writable(t, t->stalled ? 0 : LOG_STALL_MS)) {
			t->stalled = true;
			return false;
		}
		rc = log_write_quiet(t->fd, p, n);
	} else {
		if (!log_target_mend(t))
			return false;
		do
			rc = write(t->fd, p, n);
		while (rc == -1 && errno == EINTR);
		t->torn = rc > 0 && rc < (ssize_t)n;
	}
	t->stalled = rc == -1;
	return rc == (ssize_t)n;
}

/* The writer's thread has SIGPIPE blocked. */
bool
log_target_write(struct log_target *t, const char *p, size_t n)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLOUT };
	size_t done = 0;
	ssize_t rc;

	if (!log_target_mend(t))
		return false;
	while (done < n) {
		rc = write(t->fd, p + done, n - done);
		if (rc > 0) {
			done += (size_t)rc;
			continue;
		}
		if (rc == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			poll(&pfd, 1, -1);
		else if (rc == 0 || errno != EINTR)
			break;
	}
	t->torn = done > 0 && done < n && p[done - 1] != '\n';
	return done == n;
}
