/*
 * What the tests of src/base/log*.c share: a folder for files, a standard error of the test's own,
 * and reading what was written.
 */
#ifndef TESTS_UNIT_LOG_H
#define TESTS_UNIT_LOG_H

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "unit.h"

static char log_dir[64];
static char log_path[96];
static int log_saved_stderr = -1;

static inline void
log_setup(void)
{
	snprintf(log_dir, sizeof(log_dir), "/tmp/test_log.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(log_dir));
	snprintf(log_path, sizeof(log_path), "%s/log", log_dir);
	unsetenv("JOURNAL_STREAM");
	log_saved_stderr = dup(STDERR_FILENO);
}

static inline void
log_teardown(void)
{
	char old[128];

	dup2(log_saved_stderr, STDERR_FILENO);
	close(log_saved_stderr);
	snprintf(old, sizeof(old), "%s.1", log_path);
	unlink(old);
	unlink(log_path);
	rmdir(log_dir);
}

/* Make fd the standard error output. */
static inline void
log_take_stderr(int fd)
{
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

/* The reading end of a new stderr. */
static inline int
log_catch_stderr(int type)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, type, 0, fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	log_take_stderr(fds[1]);
	return fds[0];
}

/* A file's text; the caller frees it. */
static __attribute__((noinline, unused)) char *
log_read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	ck_assert_ptr_nonnull(f);
	if (getdelim(&text, &size, '\0', f) == -1 && text != NULL)
		text[0] = '\0';
	ck_assert_ptr_nonnull(text);
	fclose(f);
	return text;
}

/* "text" of the size given, 'x' and NUL. */
static inline char *
log_long_text(size_t n)
{
	char *text = malloc(n + 1);

	memset(text, 'x', n);
	text[n] = '\0';
	return text;
}

/* Read all there is: the number of lines, and the start of the last one. */
static inline unsigned int
log_drain(int fd, char *last, size_t size)
{
	unsigned int lines = 0;
	char c;
	size_t n = 0;

	last[0] = '\0';
	while (read(fd, &c, 1) == 1) {
		if (c != '\n') {
			if (n + 1 < size)
				last[n++] = c;
			continue;
		}
		last[n] = '\0';
		n = 0;
		lines++;
	}
	return lines;
}

#endif
