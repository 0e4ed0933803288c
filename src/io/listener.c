/*
 * Listening sockets.  See listener.h.
 *
 * Main thread: opened at start and reload, accepted from on its loop.  Called
 * by the daemon; calls the loop and the kernel.
 *
 * Invariants: loop is set exactly while accepting is wanted; then either io is
 * pending or, after the kernel had no descriptor or no memory left, retry is
 * armed and paused is set.  The event is taken away in a pause, or the loop
 * would spin on a socket that stays readable.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "io/listener.h"

#define LISTENER_BACKLOG 4096
#define LISTENER_MODE 0660
#define LISTENER_PER_TURN 64
/* Turns in a row with as many connections as were asked for, before more are. */
#define LISTENER_FULL 4
#define LISTENER_RETRY_MS 100

struct listener {
	struct event io;
	struct loop_timer retry;
	struct loop *loop; /* borrowed; NULL: stopped */
	listener_accept_fn *accepted;
	listener_pause_fn *paused_fn; /* may be NULL */
	void *arg;		      /* borrowed */
	int fd;			      /* owned; -1 once freed */
	uint8_t batch, full;	      /* listener_adapt */
	bool paused;
	bool busy;	 /* in listener_accept_some: it frees, not listener_free */
	bool passed;	 /* fd is systemd's, and never closed */
	bool bound_path; /* dev and ino are of the path that we bound */
	dev_t dev;
	ino_t ino;
	struct addr addr; /* what it was opened for */
	char name[300];
};

/* Where an error is told; what is being opened. */
struct listener_open {
	const struct addr *addr;
	struct listener **v;
	size_t *n, max;
	char *err;
	size_t err_size;
};

static int
listener_bad(const struct listener_open *o, const char *why)
{
	char text[300];

	snprintf(o->err, o->err_size, "cannot listen on %s: %s",
	    addr_format(o->addr, text, sizeof(text)), why);
	return -1;
}

/* The name with the port that the kernel gave. */
static void
listener_set_name(struct listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a = l->addr;

	memset(&ss, 0, sizeof(ss));
	if (a.kind == ADDR_UNIX || a.kind == ADDR_SYSTEMD ||
	    getsockname(l->fd, (struct sockaddr *)&ss, &len) == -1) {
		addr_format(&a, l->name, sizeof(l->name));
		return;
	}
	if (a.kind != ADDR_ANY) {
		addr_format_sa((struct sockaddr *)&ss, len, true, l->name, sizeof(l->name));
		return;
	}
	/* sin_port and sin6_port stand at the same place. */
	a.port = ntohs(((struct sockaddr_in *)(void *)&ss)->sin_port);
	addr_format(&a, l->name, sizeof(l->name));
}

/*
 * fd listens: make it the next of v.  It is owned from here on, also on error, but if it was
 * passed.
 */
static int
listener_add(const struct listener_open *o, int fd, const struct stat *path, bool passed)
{
	struct listener *l;

	if (*o->n == o->max || (l = mem_zalloc(sizeof(*l))) == NULL) {
		if (!passed)
			close(fd);
		return listener_bad(
		    o, *o->n == o->max ? "too many listening sockets" : strerror(ENOMEM));
	}
	l->fd = fd;
	l->passed = passed;
	l->addr = *o->addr;
	if (path != NULL) {
		l->bound_path = true;
		l->dev = path->st_dev;
		l->ino = path->st_ino;
	}
	listener_set_name(l);
	o->v[(*o->n)++] = l;
	return 0;
}

/*
 * A TCP socket that listens, or -1 with errno.  v6only says what IPV6_V6ONLY
 * is to be: `[::]:80` leaves IPv4 to others, `*:80` does not.  Accepted
 * sockets inherit TCP_NODELAY, which saves a call for each of them.
 */
static int
listener_tcp(const struct sockaddr *sa, socklen_t len, int v6only)
{
	int fd, on = 1, saved_errno;

	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
		goto fail;
	if (sa->sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) == -1)
		goto fail;
	if (bind(fd, sa, len) == -1 || listen(fd, LISTENER_BACKLOG) == -1)
		goto fail;
	return fd;
fail:
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

static int
listener_open_ip(const struct listener_open *o)
{
	int fd = listener_tcp(&o->addr->u.sa, o->addr->sa_len, 1);

	if (fd == -1)
		return listener_bad(o, strerror(errno));
	return listener_add(o, fd, NULL, false);
}

/* The host knows no IPv6, by its kernel or by its settings. */
static bool
listener_no_ipv6(int err)
{
	return err == EAFNOSUPPORT || err == EADDRNOTAVAIL || err == EPROTONOSUPPORT;
}

static int
listener_open_any(const struct listener_open *o)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(o->addr->port),
		.sin6_addr = IN6ADDR_ANY_INIT };
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(o->addr->port),
		.sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd;

	fd = listener_tcp((struct sockaddr *)&in6, sizeof(in6), 0);
	if (fd == -1 && listener_no_ipv6(errno))
		fd = listener_tcp((struct sockaddr *)&in, sizeof(in), 0);
	if (fd == -1)
		return listener_bad(o, strerror(errno));
	return listener_add(o, fd, NULL, false);
}

/* Whether an address of the list before ai is the same. */
static bool
listener_is_double(const struct addrinfo *list, const struct addrinfo *ai)
{
	for (; list != ai; list = list->ai_next)
		if (list->ai_addrlen == ai->ai_addrlen &&
		    memcmp(list->ai_addr, ai->ai_addr, ai->ai_addrlen) == 0)
			return true;
	return false;
}

static int
listener_open_list(const struct listener_open *o, const struct addrinfo *list)
{
	size_t before = *o->n;
	int fd, skipped = EADDRNOTAVAIL;

	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		if (listener_is_double(list, ai))
			continue;
		fd = listener_tcp(ai->ai_addr, ai->ai_addrlen, 1);
		/* localhost is ::1 too in many a hosts file of a host without IPv6. */
		if (fd == -1 && ai->ai_family == AF_INET6 && listener_no_ipv6(errno)) {
			skipped = errno;
			continue;
		}
		if (fd == -1)
			return listener_bad(o, strerror(errno));
		if (listener_add(o, fd, NULL, false) == -1)
			return -1;
	}
	return *o->n > before ? 0 : listener_bad(o, strerror(skipped));
}

static int
listener_open_name(const struct listener_open *o)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *list;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", o->addr->port);
	rc = getaddrinfo(o->addr->name, port, &hints, &list);
	if (rc != 0)
		return listener_bad(o, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	rc = listener_open_list(o, list);
	freeaddrinfo(list);
	return rc;
}

/* NULL when nobody listens on the path any more, else why it is not to be taken. */
static const char *
listener_probe(const struct addr *a)
{
	int fd, rc, err;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return strerror(errno);
	rc = connect(fd, &a->u.sa, a->sa_len);
	err = errno;
	close(fd);
	/* EAGAIN: its backlog is full, so it is alive. */
	if (rc == 0 || err == EAGAIN || err == EINPROGRESS)
		return "another process is listening there";
	/* ENOENT: whoever left it has removed it meanwhile. */
	return err == ECONNREFUSED || err == ENOENT ? NULL : strerror(err);
}

/* Make way for bind on a path that is taken: NULL, or why not. */
static const char *
listener_remove_stale(const struct addr *a)
{
	struct stat st;
	const char *why;

	if (lstat(a->name, &st) == -1)
		return errno == ENOENT ? NULL : strerror(errno);
	if (!S_ISSOCK(st.st_mode))
		return "a file that is not a socket is in the way";
	if ((why = listener_probe(a)) != NULL)
		return why;
	return unlink(a->name) == 0 || errno == ENOENT ? NULL : strerror(errno);
}

/*
 * On Linux the path gets the socket's mode less the umask, elsewhere all bits less the umask: with
 * this one LISTENER_MODE from the start.  A chmod behind bind would go through a link that
 * somebody has put there meanwhile.  No other thread makes files.
 */
static int
listener_bind_path(const struct addr *a, int fd)
{
	mode_t was = umask(0777 & ~LISTENER_MODE);
	int rc, saved_errno;

	fchmod(fd, LISTENER_MODE);
	rc = bind(fd, &a->u.sa, a->sa_len);
	saved_errno = errno;
	umask(was);
	errno = saved_errno;
	return rc;
}

static const char *
listener_bind_unix(const struct addr *a, int fd)
{
	const char *why;

	if (listener_bind_path(a, fd) == 0)
		return NULL;
	if (errno != EADDRINUSE || a->name[0] == '@')
		return strerror(errno);
	if ((why = listener_remove_stale(a)) != NULL)
		return why;
	return listener_bind_path(a, fd) == 0 ? NULL : strerror(errno);
}

static int
listener_open_unix(const struct listener_open *o)
{
	const char *why, *path = o->addr->name;
	bool is_path = path[0] != '@';
	struct stat st;
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return listener_bad(o, strerror(errno));
	if ((why = listener_bind_unix(o->addr, fd)) != NULL) {
		close(fd);
		return listener_bad(o, why);
	}
	if ((is_path && lstat(path, &st) == -1) || listen(fd, LISTENER_BACKLOG) == -1) {
		listener_bad(o, strerror(errno));
		close(fd);
		if (is_path)
			unlink(path);
		return -1;
	}
	if (listener_add(o, fd, is_path ? &st : NULL, false) == 0)
		return 0;
	if (is_path)
		unlink(path);
	return -1;
}

#ifdef HAVE_LIBSYSTEMD

void
listener_each_passed(void (*fn)(void *arg, const char *name), void *arg)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names);

	for (int i = 0; i < n; i++) {
		fn(arg, names[i]);
		free(names[i]);
	}
	free(names);
}

/* What is to be told when there is no such name. */
struct listener_names {
	char text[200];
	size_t n;
};

static void
listener_add_name(void *arg, const char *name)
{
	struct listener_names *names = arg;
	int n;

	n = snprintf(names->text + names->n, sizeof(names->text) - names->n, "%s%s",
	    names->n > 0 ? ", " : "", name);
	if (n > 0 && (size_t)n < sizeof(names->text) - names->n)
		names->n += (size_t)n;
	else
		names->text[names->n] = '\0';
}

static int
listener_not_passed(const struct listener_open *o)
{
	struct listener_names names = { .n = 0 };
	char why[300];

	listener_each_passed(listener_add_name, &names);
	snprintf(why, sizeof(why), "systemd passed in no socket of this name%s%s%s",
	    names.n > 0 ? " (but " : "", names.text, names.n > 0 ? ")" : "");
	return listener_bad(o, why);
}

/* A socket that systemd made is as it wants it, but for what accepted ones are to inherit. */
static int
listener_add_passed(const struct listener_open *o, int fd)
{
	int on = 1;

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
		return listener_bad(o, "what systemd passed in is no listening stream socket");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return listener_bad(o, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not a Unix socket's */
	if (listener_add(o, fd, NULL, true) == -1)
		return -1;
	return 0;
}

/* The sockets that systemd passed in under this name (sd_listen_fds(3)). */
static int
listener_open_systemd(const struct listener_open *o)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), rc = 0;
	size_t before = *o->n;

	for (int i = 0; i < n; i++) {
		if (rc == 0 && strcmp(names[i], o->addr->name) == 0)
			rc = listener_add_passed(o, SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
	if (rc == 0 && *o->n == before)
		rc = listener_not_passed(o);
	return rc;
}

#else

void
listener_each_passed(void (*fn)(void *arg, const char *name), void *arg)
{
	(void)fn;
	(void)arg;
}

static int
listener_open_systemd(const struct listener_open *o)
{
	return listener_bad(o, "this program was built without libsystemd");
}

#endif

static int
listener_open_kind(const struct listener_open *o)
{
	switch (o->addr->kind) {
	case ADDR_IP:
		return listener_open_ip(o);
	case ADDR_ANY:
		return listener_open_any(o);
	case ADDR_NAME:
		return listener_open_name(o);
	case ADDR_UNIX:
		return listener_open_unix(o);
	case ADDR_SYSTEMD:
		return listener_open_systemd(o);
	}
	return -1;
}

int
listener_open(
    const struct addr *a, struct listener **v, size_t *n, size_t max, char *err, size_t size)
{
	struct listener_open o = {
		.addr = a, .v = v, .n = n, .max = max, .err = err, .err_size = size
	};
	size_t before = *n;

	if (listener_open_kind(&o) == 0)
		return 0;
	while (*n > before)
		listener_free(v[--*n]);
	return -1;
}

static void
listener_pause(struct listener *l, int err)
{
	bool told = l->paused;

	l->paused = true;
	event_del(&l->io);
	loop_timer_arm(l->loop, &l->retry, loop_now_ms(l->loop) + LISTENER_RETRY_MS);
	if (!told && l->paused_fn != NULL)
		l->paused_fn(l->arg, l, err);
}

/* The kernel has descriptors again.  False when the callback stopped the listener. */
static bool
listener_resume(struct listener *l)
{
	if (!l->paused)
		return true;
	if (event_add(&l->io, NULL) == -1) {
		loop_timer_arm(l->loop, &l->retry, loop_now_ms(l->loop) + LISTENER_RETRY_MS);
		return true; /* what was accepted is good; the rest waits for the timer */
	}
	l->paused = false;
	if (l->paused_fn != NULL)
		l->paused_fn(l->arg, l, 0);
	return l->loop != NULL;
}

/* After accept failed: whether it is worth trying again at once. */
static bool
listener_on_error(struct listener *l, int err)
{
	switch (err) {
	case EAGAIN:
		listener_resume(l);
		return false;
	case EINTR:
	case ECONNABORTED: /* these are the dead connection's, see accept(2) */
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM: /* a firewall's rule */
		return true;
	default:
		/* EMFILE and its like; whatever else it is must not make the loop spin. */
		listener_pause(l, err);
		return false;
	}
}

/* False when no more is to be accepted in this turn. */
static bool
listener_accept_one(struct listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	/* An unnamed Unix peer leaves all but the family unset. */
	memset(&ss, 0, sizeof(ss));
	fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return listener_on_error(l, errno);
	if (!listener_resume(l)) {
		close(fd);
		return false;
	}
	l->accepted(l->arg, l, fd, (struct sockaddr *)&ss, len);
	return l->loop != NULL;
}

/* Ask for as many as come at a time: the call that says that there are no more can be saved. */
static void
listener_adapt(struct listener *l, unsigned got)
{
	if (got < l->batch) {
		l->batch = (uint8_t)(got > 0 ? got : 1);
		l->full = 0;
	} else if (++l->full == LISTENER_FULL) {
		l->batch =
		    l->batch < LISTENER_PER_TURN / 2 ? (uint8_t)(l->batch * 2) : LISTENER_PER_TURN;
		l->full = 0;
	}
}

/* The callbacks may stop the listener, and free it. */
static void
listener_accept_some(struct listener *l)
{
	unsigned got = 0;

	l->busy = true;
	while (got < l->batch && listener_accept_one(l))
		got++;
	listener_adapt(l, got);
	l->busy = false;
	if (l->fd == -1)
		mem_free(l);
}

static void
listener_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	listener_accept_some(arg);
}

static void
listener_on_retry(struct loop_timer *t)
{
	listener_accept_some(
	    (struct listener *)(void *)((char *)t - offsetof(struct listener, retry)));
}

int
listener_start(struct listener *l, struct loop *loop, listener_accept_fn *accepted,
    listener_pause_fn *paused, void *arg)
{
	listener_stop(l);
	l->accepted = accepted;
	l->paused_fn = paused;
	l->arg = arg;
	l->retry.fn = listener_on_retry;
	event_assign(&l->io, loop_base(loop), l->fd, EV_READ | EV_PERSIST, listener_on_readable, l);
	if (event_add(&l->io, NULL) == -1)
		return -1;
	l->loop = loop;
	l->batch = LISTENER_PER_TURN;
	return 0;
}

void
listener_stop(struct listener *l)
{
	if (l->loop == NULL)
		return;
	event_del(&l->io);
	loop_timer_stop(l->loop, &l->retry);
	l->loop = NULL;
	l->paused = false;
}

void
listener_accept_rest(struct listener *l)
{
	for (int i = 0; l->loop != NULL && !l->passed && i < LISTENER_BACKLOG; i++)
		if (!listener_accept_one(l))
			break;
}

/* Remove the path, unless somebody has put another socket there since. */
static void
listener_unlink(const struct listener *l)
{
	struct stat st;

	if (l->bound_path && lstat(l->addr.name, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->addr.name);
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	listener_stop(l);
	listener_unlink(l);
	if (!l->passed)
		close(l->fd);
	l->fd = -1;
	if (!l->busy)
		mem_free(l);
}

const struct addr *
listener_addr(const struct listener *l)
{
	return &l->addr;
}

const char *
listener_name(const struct listener *l)
{
	return l->name;
}
