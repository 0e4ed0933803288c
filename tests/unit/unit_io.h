/*
 * What the tests of src/io share: running a loop with a deadline, connected
 * sockets, counting descriptors, a folder for Unix sockets.  Nothing sleeps:
 * a test waits for its condition and fails after UNIT_IO_DEADLINE_MS.
 */
#ifndef TESTS_UNIT_IO_H
#define TESTS_UNIT_IO_H

#include <sys/socket.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/span.h"
#include "io/loop.h"
#include "unit.h"

#define UNIT_IO_DEADLINE_MS 20000

static inline void
unit_on_deadline(struct loop_timer *t)
{
	(void)t;
	ck_abort_msg("the loop was not stopped in time");
}

/* Run until something calls loop_stop. */
static inline void
unit_loop_run(struct loop *l)
{
	struct loop_timer t = { .fn = unit_on_deadline };

	loop_timer_arm(l, &t, loop_now_ms(l) + UNIT_IO_DEADLINE_MS);
	loop_run(l);
	loop_timer_stop(l, &t);
}

struct unit_wait {
	struct loop_timer timer;
	struct loop *loop;
};

static inline void
unit_on_time(struct loop_timer *t)
{
	loop_stop(((struct unit_wait *)t)->loop);
}

/* Run for so long. */
static inline void
unit_wait_ms(struct loop *l, uint64_t ms)
{
	struct unit_wait w = { .timer.fn = unit_on_time, .loop = l };

	loop_timer_arm(l, &w.timer, loop_now_ms(l) + ms);
	unit_loop_run(l);
}

struct unit_turns {
	struct loop_msg msg;
	unsigned left;
};

static inline void
unit_on_turn(struct loop_msg *m, struct loop *l)
{
	struct unit_turns *t = (struct unit_turns *)m;

	if (--t->left == 0)
		loop_stop(l);
	else
		loop_post(l, m);
}

/* Let n turns go by, each of which asks the kernel for events. */
static inline void
unit_loop_turns(struct loop *l, unsigned n)
{
	struct unit_turns t = { .msg.fn = unit_on_turn, .left = n };

	loop_post(l, &t.msg);
	unit_loop_run(l);
}

/* xorshift: the same numbers in every run. */
static inline uint32_t
unit_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static inline int
unit_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static inline bool
unit_fd_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static inline void
unit_unblock(int fd)
{
	ck_assert_int_ne(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), -1);
}

static inline struct addr
unit_addr(const char *text)
{
	const char *why = NULL;
	struct addr a;

	if (addr_parse(span_from_str(text), &a, &why) == -1)
		ck_abort_msg("%s: %s", text, why);
	return a;
}

/* A blocking socket that listens on 127.0.0.1, and its address. */
static inline int
unit_listen_tcp(int backlog, struct addr *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	char text[40];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
	*a = unit_addr(text);
	return fd;
}

/* Two ends of a TCP connection, both non-blocking. */
static inline void
unit_tcp_pair(int fd[2])
{
	struct addr a;
	int l = unit_listen_tcp(1, &a);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd[0], &a.u.sa, a.sa_len), 0);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ne(fd[1], -1);
	unit_unblock(fd[0]);
	unit_unblock(fd[1]);
	close(l);
}

static inline void
unit_unix_pair(int fd[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

/* Close with a RST. */
static inline void
unit_reset(int fd)
{
	struct linger lin = { .l_onoff = 1, .l_linger = 0 };

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin)), 0);
	close(fd);
}

/* A new folder; its path into out. */
static inline void
unit_dir(char *out, size_t size)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(out, size, "%s/wsrelayd-io-XXXXXX", tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(out));
}

#endif
