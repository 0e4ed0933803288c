/*
 * Opening connections.  See dial.h.
 *
 * On the caller's loop; called by the backends' side of http/ and the tools,
 * calls io/resolve.c for names.  A dial is at any time in one of these:
 * looking up (query is set), connecting (io is pending), waiting for a Unix
 * backlog (retry is armed), over (task is queued).  Whatever ends it,
 * dial_finish puts the outcome into the task, so that done is called from the
 * turn's end and never from within another call.
 *
 * Of several addresses each gets an equal share of the time that is left: one
 * that does not answer at all must not take the chance from the others.
 */
#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "io/dial.h"
#include "io/resolve.h"

#define DIAL_RETRY_MIN_MS 5
#define DIAL_RETRY_MAX_MS 100

struct dial {
	struct loop_task task;	 /* queued: over */
	struct loop_timer limit; /* of the look-up or of this address */
	struct loop_timer retry;
	struct event io;
	struct loop *loop;	/* borrowed */
	struct resolve *query;	/* owned while looking up */
	struct resolve_addr *v; /* owned, or &one */
	struct resolve_addr one;
	size_t n, i;	      /* v[i] is being tried */
	uint64_t deadline_ms; /* UINT64_MAX: none */
	uint64_t limit_ms;
	unsigned retry_ms;
	bool packets;
	int fd;	 /* owned, -1 none */
	int err; /* why v[i] failed */
	enum dial_status status;
	dial_done_fn *done;
	void *arg; /* borrowed */
	char why[160];
};

static void dial_try(struct dial *d);

/* Nothing is waited for any more. */
static void
dial_quiet(struct dial *d)
{
	if (d->query != NULL) {
		resolve_cancel(d->query);
		d->query = NULL;
	}
	if (event_initialized(&d->io))
		event_del(&d->io);
	loop_timer_stop(d->loop, &d->limit);
	loop_timer_stop(d->loop, &d->retry);
}

static void
dial_close(struct dial *d)
{
	if (event_initialized(&d->io))
		event_del(&d->io);
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
}

static void
dial_free(struct dial *d)
{
	if (d->v != &d->one)
		mem_free(d->v);
	mem_free(d);
}

static void
dial_on_task(struct loop_task *t)
{
	struct dial *d = (struct dial *)(void *)((char *)t - offsetof(struct dial, task));
	int fd = d->fd;

	d->fd = -1;
	d->done(d->arg, d->status, fd, fd == -1 ? d->why : NULL);
	dial_free(d);
}

static void
dial_finish(struct dial *d, enum dial_status status, const char *what, const char *why)
{
	dial_quiet(d);
	if (status != DIAL_OK)
		dial_close(d);
	d->status = status;
	if (status != DIAL_OK)
		snprintf(d->why, sizeof(d->why), "%s%s", what, why);
	loop_later(d->loop, &d->task, dial_on_task);
}

static enum dial_status
dial_status_of(int err)
{
	switch (err) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return DIAL_NO_MEMORY;
	case ETIMEDOUT:
		return DIAL_TIMEOUT;
	default:
		return DIAL_REFUSED;
	}
}

/* What is tried now may last until limit_ms; times beyond the wheel's span come back here. */
static void
dial_arm_limit(struct dial *d)
{
	uint64_t now = loop_now_ms(d->loop), left;

	d->limit_ms = UINT64_MAX;
	if (d->deadline_ms == UINT64_MAX)
		return;
	left = d->deadline_ms > now ? d->deadline_ms - now : 0;
	if (d->n != 0)
		left /= d->n - d->i;
	d->limit_ms = now + left;
	loop_timer_arm(d->loop, &d->limit, d->limit_ms);
}

/* After v[i] failed with err: go on to the next address; false when that is the end. */
static bool
dial_advance(struct dial *d)
{
	enum dial_status status = dial_status_of(d->err);

	if (status == DIAL_NO_MEMORY || d->i + 1 == d->n) {
		dial_finish(d, status, "", strerror(d->err));
		return false;
	}
	dial_close(d);
	d->i++;
	d->retry_ms = DIAL_RETRY_MIN_MS;
	dial_arm_limit(d);
	return true;
}

static void
dial_on_limit(struct loop_timer *t)
{
	struct dial *d = (struct dial *)(void *)((char *)t - offsetof(struct dial, limit));
	bool backlog = wheel_armed(&d->retry.w);

	if (loop_now_ms(d->loop) < d->limit_ms) {
		loop_timer_arm(d->loop, t, d->limit_ms);
		return;
	}
	if (d->query != NULL) {
		dial_finish(d, DIAL_TIMEOUT, "", "name look-up timed out");
		return;
	}
	if (backlog) {
		dial_finish(d, DIAL_TIMEOUT, "", "the backend's listen backlog stayed full");
		return;
	}
	d->err = ETIMEDOUT;
	if (dial_advance(d))
		dial_try(d);
}

static void
dial_on_io(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	socklen_t len = sizeof(d->err);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &d->err, &len) == -1)
		d->err = errno;
	if (d->err == 0)
		dial_finish(d, DIAL_OK, "", "");
	else if (dial_advance(d))
		dial_try(d);
}

static void
dial_on_retry(struct loop_timer *t)
{
	dial_try((struct dial *)(void *)((char *)t - offsetof(struct dial, retry)));
}

/* The kernel tells nobody when a Unix backlog has room again, so ask again. */
static void
dial_retry_later(struct dial *d)
{
	loop_timer_arm(d->loop, &d->retry, loop_now_ms(d->loop) + d->retry_ms);
	d->retry_ms = d->retry_ms * 2 < DIAL_RETRY_MAX_MS ? d->retry_ms * 2 : DIAL_RETRY_MAX_MS;
}

static int
dial_socket(struct dial *d)
{
	int family = d->v[d->i].ss.ss_family, on = 1;

	if (d->fd != -1)
		return 0; /* a retry */
	d->fd = socket(
	    family, (d->packets ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd == -1)
		return -1;
	if (family != AF_UNIX)
		setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return 0;
}

static int
dial_wait(struct dial *d)
{
	event_assign(&d->io, loop_base(d->loop), d->fd, EV_WRITE, dial_on_io, d);
	if (event_add(&d->io, NULL) == 0)
		return 0;
	errno = ENOMEM;
	return -1;
}

/* Connect to v[i]: 0 when it is under way, will be tried again or is done, -1 with err. */
static int
dial_attempt(struct dial *d)
{
	const struct resolve_addr *a = &d->v[d->i];

	if (dial_socket(d) == -1)
		goto fail;
	if (connect(d->fd, (const struct sockaddr *)&a->ss, a->len) == 0) {
		dial_finish(d, DIAL_OK, "", "");
		return 0;
	}
	if (errno == EAGAIN && a->ss.ss_family == AF_UNIX) {
		dial_retry_later(d);
		return 0;
	}
	if ((errno == EINPROGRESS || errno == EINTR) && dial_wait(d) == 0)
		return 0;
fail:
	d->err = errno;
	return -1;
}

static void
dial_try(struct dial *d)
{
	while (dial_attempt(d) == -1)
		if (!dial_advance(d))
			return;
}

static void
dial_on_resolved(void *arg, const struct resolve_addr *v, size_t n, const char *error)
{
	struct dial *d = arg;

	d->query = NULL;
	if (n == 0) {
		dial_finish(d, DIAL_REFUSED, "name does not resolve: ", error);
		return;
	}
	if ((d->v = mem_alloc(n * sizeof(*v))) == NULL) {
		dial_finish(d, DIAL_NO_MEMORY, "", strerror(ENOMEM));
		return;
	}
	memcpy(d->v, v, n * sizeof(*v));
	d->n = n;
	dial_arm_limit(d);
	dial_try(d);
}

/* 0, or -1 without memory. */
static int
dial_begin(struct dial *d, struct resolver *r, const struct addr *to)
{
	switch (to->kind) {
	case ADDR_IP:
	case ADDR_UNIX:
		memcpy(&d->one.ss, &to->u.ss, to->sa_len);
		d->one.len = to->sa_len;
		d->v = &d->one;
		d->n = 1;
		dial_arm_limit(d);
		dial_try(d);
		return 0;
	case ADDR_NAME:
		dial_arm_limit(d);
		d->query = resolve_start(r, d->loop, to->name, to->port, dial_on_resolved, d);
		return d->query != NULL ? 0 : -1;
	case ADDR_ANY:
	case ADDR_SYSTEMD:
		break;
	}
	dial_finish(d, DIAL_REFUSED, "", "not an address that one can connect to");
	return 0;
}

struct dial *
dial_start(struct loop *loop, struct resolver *r, const struct addr *to, bool packets,
    uint64_t timeout_ms, dial_done_fn *done, void *arg)
{
	uint64_t now = loop_now_ms(loop);
	struct dial *d;

	if ((d = mem_zalloc(sizeof(*d))) == NULL)
		return NULL;
	d->packets = packets;
	d->loop = loop;
	d->done = done;
	d->arg = arg;
	d->fd = -1;
	d->retry_ms = DIAL_RETRY_MIN_MS;
	d->limit.fn = dial_on_limit;
	d->retry.fn = dial_on_retry;
	d->deadline_ms = timeout_ms < UINT64_MAX - now ? now + timeout_ms : UINT64_MAX;
	if (dial_begin(d, r, to) == -1) {
		dial_quiet(d);
		dial_free(d);
		return NULL;
	}
	return d;
}

void
dial_cancel(struct dial *d)
{
	dial_quiet(d);
	dial_close(d);
	loop_later_cancel(d->loop, &d->task);
	dial_free(d);
}
