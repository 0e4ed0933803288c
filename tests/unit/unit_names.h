/*
 * A getaddrinfo and a clock under the test's control, in place of libc's: the
 * program's own definitions come first at link time.  Names of fake_names are
 * answered from that table, `n<number>.test` is 127.0.0.1, and all others are
 * looked up for real.  Included by one source file of a program.
 */
#ifndef TESTS_UNIT_NAMES_H
#define TESTS_UNIT_NAMES_H

#include <sys/syscall.h>

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

struct fake_name {
	const char *name;
	bool gated;	       /* answered only while the gate is open */
	int error;	       /* EAI_..., 0 none */
	const char *addrs[16]; /* NULL ends it */
};

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_changed = PTHREAD_COND_INITIALIZER;
static bool fake_gate;		/* under fake_lock */
static unsigned fake_at_gate;	/* under fake_lock */
static unsigned fake_calls;	/* under fake_lock: of names ending in .test */
static atomic_long fake_skew_s; /* the clock is ahead by this */
static atomic_bool fake_fails;	/* every name of the table, for now */

static const struct fake_name fake_names[] = {
	{ .name = "one.test", .addrs = { "127.0.0.1" } },
	{ .name = "two.test", .addrs = { "127.0.0.2", "127.0.0.1" } },
	{ .name = "many.test",
	    .addrs = { "127.0.0.9", "::1", "127.0.0.9", "127.0.0.8", "127.0.0.7", "127.0.0.6",
		"::1", "127.0.0.5", "127.0.0.4", "127.0.0.3", "127.0.0.2", "127.0.0.1" } },
	{ .name = "gated.test", .gated = true, .addrs = { "127.0.0.1" } },
	{ .name = "fail.test", .error = EAI_AGAIN },
	{ .name = "system.test", .error = EAI_SYSTEM },
};

typedef int fake_getaddrinfo_fn(
    const char *, const char *, const struct addrinfo *, struct addrinfo **);

static inline int
fake_real(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	fake_getaddrinfo_fn *real;

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (real == NULL)
		abort();
	return real(node, service, hints, res);
}

static inline void
fake_wait_at_gate(void)
{
	fake_at_gate++;
	pthread_cond_broadcast(&fake_changed);
	while (!fake_gate)
		pthread_cond_wait(&fake_changed, &fake_lock);
	fake_at_gate--;
}

static inline void
fake_set_gate(bool open)
{
	pthread_mutex_lock(&fake_lock);
	fake_gate = open;
	pthread_cond_broadcast(&fake_changed);
	pthread_mutex_unlock(&fake_lock);
}

/* Until a look-up has come to the closed gate. */
static inline void
fake_await_gate(void)
{
	pthread_mutex_lock(&fake_lock);
	while (fake_at_gate == 0)
		pthread_cond_wait(&fake_changed, &fake_lock);
	pthread_mutex_unlock(&fake_lock);
}

static inline unsigned
fake_count_calls(void)
{
	unsigned n;

	pthread_mutex_lock(&fake_lock);
	n = fake_calls;
	pthread_mutex_unlock(&fake_lock);
	return n;
}

/* A list of those addresses, which freeaddrinfo takes as one of its own. */
static inline int
fake_list(const char *const *addrs, const struct addrinfo *hints, struct addrinfo **res)
{
	struct addrinfo numeric = *hints;

	numeric.ai_flags |= AI_NUMERICHOST;
	for (; *addrs != NULL; addrs++) {
		if (fake_real(*addrs, NULL, &numeric, res) != 0)
			abort();
		res = &(*res)->ai_next;
	}
	return 0;
}

static inline int
fake_answer(const struct fake_name *f, const struct addrinfo *hints, struct addrinfo **res)
{
	if (f->error == EAI_SYSTEM)
		errno = EIO;
	return f->error != 0 ? f->error : fake_list(f->addrs, hints, res);
}

int
getaddrinfo(const char *restrict node, const char *restrict service,
    const struct addrinfo *restrict hints, struct addrinfo **restrict res)
{
	static const struct fake_name numbered = { .addrs = { "127.0.0.1" } };
	const struct fake_name *f = NULL;
	size_t n = strlen(node);

	if (n < 5 || strcasecmp(node + n - 5, ".test") != 0)
		return fake_real(node, service, hints, res);
	if (node[0] == 'n')
		f = &numbered;
	for (size_t i = 0; i < UNIT_COUNT(fake_names); i++)
		if (strcasecmp(fake_names[i].name, node) == 0)
			f = &fake_names[i];
	pthread_mutex_lock(&fake_lock);
	fake_calls++;
	if (f != NULL && f->gated)
		fake_wait_at_gate();
	pthread_mutex_unlock(&fake_lock);
	if (fake_fails)
		return EAI_AGAIN;
	return f != NULL ? fake_answer(f, hints, res) : EAI_NONAME;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE))
		ts->tv_sec += atomic_load(&fake_skew_s);
	return rc;
}

#endif
