/* What the tests of src/io/listener.c share; see unit_listener.h. */
#include "unit_listener.h"

static void
owner_on_accept(void *arg, struct listener *l, int fd, const struct sockaddr *peer, socklen_t len)
{
	struct owner *o = arg;

	ck_assert_ptr_eq(l, o->l);
	ck_assert_int_eq(o->pauses, o->resumes); /* told before */
	ck_assert_uint_lt(o->accepted, UNIT_COUNT(o->fds));
	o->fds[o->accepted++] = fd;
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	addr_format_sa(peer, len, false, o->peer, sizeof(o->peer));
	if (o->accepted == o->stop_at)
		loop_stop(o->loop);
	if (o->stop_in_accept)
		listener_stop(l);
	if (o->restart_in_accept)
		owner_start(o);
	if (o->free_in_accept) {
		listener_free(l);
		o->l = NULL;
	}
}

static void
owner_on_pause(void *arg, struct listener *l, int err)
{
	struct owner *o = arg;

	ck_assert_ptr_eq(l, o->l);
	if (err != 0) {
		o->pauses++;
		o->pause_err = err;
		if (o->stop_on_pause)
			loop_stop(o->loop);
		return;
	}
	o->resumes++;
	ck_assert_uint_eq(o->resumes, o->pauses);
	if (o->free_in_resume) {
		listener_free(l);
		o->l = NULL;
		loop_stop(o->loop);
	}
}

void
owner_start(struct owner *o)
{
	ck_assert_int_eq(listener_start(o->l, o->loop, owner_on_accept, owner_on_pause, o), 0);
}

struct listener *
listener_test_open(const char *text)
{
	struct listener *v[TEST_MAX];
	struct addr a = unit_addr(text);
	char err[300] = "";
	size_t n = 0;

	if (listener_open(&a, v, &n, TEST_MAX, err, sizeof(err)) == -1)
		ck_abort_msg("%s", err);
	ck_assert_uint_eq(n, 1);
	ck_assert(addr_eq(listener_addr(v[0]), &a));
	return v[0];
}

void
owner_init(struct owner *o, const char *text)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	o->l = listener_test_open(text);
	owner_start(o);
}

void
owner_clear(struct owner *o)
{
	listener_free(o->l);
	for (unsigned i = 0; i < o->accepted; i++)
		close(o->fds[i]);
	loop_free(o->loop);
}

void
owner_accept(struct owner *o, unsigned n)
{
	o->stop_at = o->accepted + n;
	unit_loop_run(o->loop);
	ck_assert_uint_eq(o->accepted, o->stop_at);
}

void
place_init(struct place *p)
{
	unit_dir(p->dir, sizeof(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
	snprintf(p->text, sizeof(p->text), "unix:%s", p->path);
}

void
place_clear(struct place *p)
{
	unlink(p->path);
	ck_assert_int_eq(rmdir(p->dir), 0);
}

int
listener_test_connect(const char *text)
{
	struct addr a = unit_addr(text);
	int fd = socket(a.u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ne(fd, -1);
	if (connect(fd, &a.u.sa, a.sa_len) == 0)
		return fd;
	close(fd);
	return -1;
}
