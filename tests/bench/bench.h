/*
 * What the programs of the benchmark share: backend, null proxy and HTTP load.  All are single
 * threads over bare epoll, so that they cost little beside what is measured; they
 * trust their peers, and end with a message when something is not as it has to be.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <sys/epoll.h>
#include <sys/resource.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ws_frame.h"

#define BENCH_SCRATCH (256 * 1024) /* bytes read with one call */
#define BENCH_EVENTS 256

static inline void __attribute__((noreturn, format(printf, 1, 2))) bench_die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (%s)\n", strerror(err));
	exit(1);
}

static inline void
bench_raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		bench_die("getrlimit");
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) == -1)
		bench_die("setrlimit");
}

static inline void
bench_watch(int ep, int op, int fd, uint32_t events, void *arg)
{
	struct epoll_event ev = { .events = events, .data.ptr = arg };

	if (epoll_ctl(ep, op, fd, &ev) == -1)
		bench_die("epoll_ctl");
}

/* A frame header that may come in pieces; n is 0 before its first byte. */
struct bench_header {
	struct ws_frame frame;
	uint8_t raw[WS_HEADER_MAX];
	uint8_t n;
};

/* Take the header's bytes from p[0..n); *used of them.  True when it is whole, in h->frame. */
static inline bool
bench_header_take(struct bench_header *h, const uint8_t *p, size_t n, size_t *used)
{
	*used = 0;
	if (h->n == 0 && ws_frame_read(p, n, &h->frame) == WS_FRAME_OK) {
		*used = h->frame.header_n;
		return true;
	}
	while (*used < n) {
		h->raw[h->n++] = p[(*used)++];
		if (ws_frame_read(h->raw, h->n, &h->frame) == WS_FRAME_OK) {
			h->n = 0;
			return true;
		}
	}
	return false;
}

#endif
