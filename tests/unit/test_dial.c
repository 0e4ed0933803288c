/* Unit tests of src/io/dial.[ch]. */
#include "io/dial.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <netinet/tcp.h>
#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/resolve.h"
#include "unit_io.h"
#include "unit_names.h"

#define TEST_TIMEOUT_MS 10000

struct call {
	struct loop *loop;
	struct resolver *r;
	struct dial *dial;
	bool starting;
	unsigned done;
	enum dial_status status;
	int fd;
	char why[200];
	int fds; /* open before */
};

static void
call_on_done(void *arg, enum dial_status st, int fd, const char *why)
{
	struct call *c = arg;

	ck_assert(!c->starting);
	c->done++;
	c->dial = NULL;
	c->status = st;
	c->fd = fd;
	if (st == DIAL_OK) {
		ck_assert_int_ne(fd, -1);
	} else {
		ck_assert_int_eq(fd, -1);
		ck_assert_ptr_nonnull(why);
		snprintf(c->why, sizeof(c->why), "%s", why);
	}
	loop_stop(c->loop);
}

static void
call_init(struct call *c)
{
	memset(c, 0, sizeof(*c));
	c->loop = loop_new();
	c->r = resolver_new();
	c->fd = -1;
	c->fds = unit_count_fds();
}

static struct dial *
call_start(struct call *c, const struct addr *to, uint64_t timeout_ms)
{
	struct addr copy = *to;

	c->starting = true;
	c->dial = dial_start(c->loop, c->r, &copy, false, timeout_ms, call_on_done, c);
	c->starting = false;
	memset(&copy, 0xa5, sizeof(copy));
	return c->dial;
}

static void
call_run(struct call *c, const struct addr *to, uint64_t timeout_ms)
{
	unsigned before = c->done;

	ck_assert_ptr_nonnull(call_start(c, to, timeout_ms));
	unit_loop_run(c->loop);
	unit_loop_turns(c->loop, 3);
	ck_assert_uint_eq(c->done, before + 1);
}

static void
call_hang_up(struct call *c)
{
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

static void
call_clear(struct call *c)
{
	call_hang_up(c);
	loop_free(c->loop);
	resolver_free(c->r);
}

/* A port of 127.0.0.1 that refuses: bound, but nobody listens. */
static int
dial_test_refusing(struct addr *a)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	char text[40];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
	*a = unit_addr(text);
	return fd;
}

/* A blocking client that fills a backlog of 0: SYNs after it go unanswered. */
static int
dial_test_fill_tcp(const struct addr *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, &a->u.sa, a->sa_len), 0);
	return fd;
}

struct unix_server {
	char dir[64];
	struct addr addr;
	int fd;
	int clients[16]; /* what fills its backlog */
	size_t n;
};

static void
unix_server_open(struct unix_server *u)
{
	char text[100];

	memset(u, 0, sizeof(*u));
	unit_dir(u->dir, sizeof(u->dir));
	snprintf(text, sizeof(text), "unix:%s/s", u->dir);
	u->addr = unit_addr(text);
	u->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(u->fd, &u->addr.u.sa, u->addr.sa_len), 0);
	ck_assert_int_eq(listen(u->fd, 0), 0);
}

static void
unix_server_fill(struct unix_server *u)
{
	int fd, rc;

	do {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert_uint_lt(u->n, UNIT_COUNT(u->clients));
		u->clients[u->n++] = fd;
		rc = connect(fd, &u->addr.u.sa, u->addr.sa_len);
	} while (rc == 0);
	ck_assert_int_eq(errno, EAGAIN);
}

static void
unix_server_close(struct unix_server *u)
{
	if (u->fd != -1)
		close(u->fd);
	u->fd = -1;
	for (size_t i = 0; i < u->n; i++)
		close(u->clients[i]);
	u->n = 0;
}

static void
unix_server_clear(struct unix_server *u)
{
	unix_server_close(u);
	unlink(u->addr.name);
	rmdir(u->dir);
}

static void
dial_test_flags(int fd, bool tcp)
{
	int on = 0;
	socklen_t len = sizeof(on);

	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	if (!tcp)
		return;
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	ck_assert_int_ne(on, 0);
}

/* The other end of fd is what fd listens for. */
static void
dial_test_talks(int listening, int fd)
{
	int peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	char got[4];

	ck_assert_int_ne(peer, -1);
	ck_assert_int_eq(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
	ck_assert_int_eq(recv(peer, got, 4, MSG_WAITALL), 4);
	ck_assert_mem_eq(got, "ping", 4);
	close(peer);
}

START_TEST(dial_connects_to_an_ip_address)
{
	struct call c;
	struct addr a;
	int fd = unit_listen_tcp(8, &a);

	call_init(&c);
	call_run(&c, &a, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_flags(c.fd, true);
	dial_test_talks(fd, c.fd);
	call_hang_up(&c);
	call_run(&c, &a, UINT64_MAX);
	ck_assert_int_eq(c.status, DIAL_OK);
	call_clear(&c);
	close(fd);
}
END_TEST

START_TEST(dial_connects_to_a_unix_socket)
{
	struct unix_server u;
	struct call c;

	unix_server_open(&u);
	call_init(&c);
	call_run(&c, &u.addr, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_flags(c.fd, false);
	dial_test_talks(u.fd, c.fd);
	call_clear(&c);
	unix_server_clear(&u);
}
END_TEST

START_TEST(dial_connects_to_an_abstract_unix_socket)
{
	char text[64];
	struct addr a;
	struct call c;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(text, sizeof(text), "unix:@wsrelayd-unit-%d", (int)getpid());
	a = unit_addr(text);
	ck_assert_int_eq(bind(fd, &a.u.sa, a.sa_len), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	call_init(&c);
	call_run(&c, &a, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_talks(fd, c.fd);
	call_clear(&c);
	close(fd);
}
END_TEST

START_TEST(dial_connects_to_localhost_by_name)
{
	struct addr a, name;
	struct call c;
	char text[40];
	int fd = unit_listen_tcp(8, &a);

	snprintf(text, sizeof(text), "localhost:%u", a.port);
	name = unit_addr(text);
	ck_assert_int_eq(name.kind, ADDR_NAME);
	call_init(&c);
	call_run(&c, &name, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_flags(c.fd, true);
	dial_test_talks(fd, c.fd);
	call_clear(&c);
	close(fd);
}
END_TEST

START_TEST(dial_reports_a_refused_connection)
{
	struct call c;
	struct addr a;
	int fd = dial_test_refusing(&a);

	call_init(&c);
	call_run(&c, &a, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	ck_assert_str_eq(c.why, "Connection refused");
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_clear(&c);
	close(fd);
}
END_TEST

START_TEST(dial_reports_a_missing_path)
{
	struct addr a = unit_addr("unix:/nonexistent/wsrelayd/socket");
	struct call c;

	call_init(&c);
	call_run(&c, &a, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	ck_assert_str_eq(c.why, "No such file or directory");
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_clear(&c);
}
END_TEST

START_TEST(dial_reports_a_dead_unix_socket)
{
	struct unix_server u;
	struct call c;

	unix_server_open(&u);
	unix_server_close(&u);
	call_init(&c);
	call_run(&c, &u.addr, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	ck_assert_str_eq(c.why, "Connection refused");
	call_clear(&c);
	unix_server_clear(&u);
}
END_TEST

START_TEST(dial_reports_an_unknown_name)
{
	struct addr a = unit_addr("unknown.test:80");
	struct call c;

	call_init(&c);
	call_run(&c, &a, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	ck_assert_str_eq(c.why, "name does not resolve: Name or service not known");
	call_clear(&c);
}
END_TEST

START_TEST(dial_refuses_addresses_that_nobody_can_connect_to)
{
	struct addr any = unit_addr("*:80"), systemd = unit_addr("systemd:web");
	struct call c;

	call_init(&c);
	call_run(&c, &any, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	call_run(&c, &systemd, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	call_clear(&c);
}
END_TEST

START_TEST(dial_times_out_while_connecting)
{
	struct addr a;
	struct call c;
	int fd = unit_listen_tcp(0, &a), filler = dial_test_fill_tcp(&a);
	uint64_t start;

	call_init(&c);
	start = clock_mono_ms();
	call_run(&c, &a, 60);
	ck_assert_uint_ge(clock_mono_ms() - start, 59);
	ck_assert_int_eq(c.status, DIAL_TIMEOUT);
	ck_assert_str_eq(c.why, "Connection timed out");
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_run(&c, &a, 0);
	ck_assert_int_eq(c.status, DIAL_TIMEOUT);
	call_clear(&c);
	close(filler);
	close(fd);
}
END_TEST

START_TEST(dial_times_out_during_the_look_up)
{
	struct addr a = unit_addr("gated.test:80");
	struct call c;

	call_init(&c);
	call_run(&c, &a, 30);
	ck_assert_int_eq(c.status, DIAL_TIMEOUT);
	ck_assert_str_eq(c.why, "name look-up timed out");
	fake_set_gate(true);
	call_clear(&c);
}
END_TEST

START_TEST(dial_times_out_on_a_full_unix_backlog)
{
	struct unix_server u;
	struct call c;

	unix_server_open(&u);
	unix_server_fill(&u);
	call_init(&c);
	call_run(&c, &u.addr, 60);
	ck_assert_int_eq(c.status, DIAL_TIMEOUT);
	ck_assert_str_eq(c.why, "the backend's listen backlog stayed full");
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_clear(&c);
	unix_server_clear(&u);
}
END_TEST

struct opener {
	struct loop_timer t;
	struct unix_server *u;
	bool shut; /* close it instead of making room */
};

static void
opener_on_timer(struct loop_timer *t)
{
	struct opener *o = (struct opener *)t;
	int fd;

	if (o->shut) {
		unix_server_close(o->u);
		return;
	}
	while ((fd = accept(o->u->fd, NULL, NULL)) != -1)
		close(fd);
}

START_TEST(dial_tries_a_full_unix_backlog_again_until_there_is_room)
{
	struct unix_server u;
	struct opener o = { .t.fn = opener_on_timer, .u = &u };
	struct call c;

	unix_server_open(&u);
	unix_server_fill(&u);
	call_init(&c);
	loop_timer_arm(c.loop, &o.t, loop_now_ms(c.loop) + 60);
	call_run(&c, &u.addr, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_talks(u.fd, c.fd);
	call_clear(&c);
	unix_server_clear(&u);
}
END_TEST

START_TEST(dial_ends_when_a_full_unix_socket_is_shut)
{
	struct unix_server u;
	struct opener o = { .t.fn = opener_on_timer, .u = &u, .shut = true };
	struct call c;

	unix_server_open(&u);
	unix_server_fill(&u);
	call_init(&c);
	loop_timer_arm(c.loop, &o.t, loop_now_ms(c.loop) + 30);
	call_run(&c, &u.addr, UINT64_MAX);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	ck_assert_str_eq(c.why, "Connection refused");
	call_clear(&c);
	unix_server_clear(&u);
}
END_TEST

/* two.test is 127.0.0.2 and then 127.0.0.1: both sockets get one port. */
static void
dial_test_two(int listening[2], struct addr *name, struct addr *first)
{
	char text[40];
	struct addr a;

	for (int i = 0; i < 100; i++) {
		listening[1] = unit_listen_tcp(8, &a);
		snprintf(text, sizeof(text), "127.0.0.2:%u", a.port);
		*first = unit_addr(text);
		listening[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		snprintf(text, sizeof(text), "two.test:%u", a.port);
		*name = unit_addr(text);
		if (bind(listening[0], &first->u.sa, first->sa_len) == 0)
			return;
		close(listening[0]);
		close(listening[1]);
	}
	ck_abort_msg("no port is free on both addresses");
}

START_TEST(dial_tries_the_next_address_when_one_refuses)
{
	struct addr name, first;
	struct call c;
	int fd[2];

	dial_test_two(fd, &name, &first);
	call_init(&c);
	call_run(&c, &name, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_talks(fd[1], c.fd);
	call_hang_up(&c);
	ck_assert_int_eq(unit_count_fds(), c.fds);
	close(fd[1]);
	call_run(&c, &name, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_REFUSED);
	ck_assert_str_eq(c.why, "Connection refused");
	call_clear(&c);
	close(fd[0]);
}
END_TEST

START_TEST(dial_gives_the_next_address_its_share_of_the_time)
{
	struct addr name, first;
	struct call c;
	int fd[2], filler;

	dial_test_two(fd, &name, &first);
	ck_assert_int_eq(listen(fd[0], 0), 0);
	filler = dial_test_fill_tcp(&first);
	call_init(&c);
	call_run(&c, &name, 200);
	ck_assert_int_eq(c.status, DIAL_OK);
	dial_test_talks(fd[1], c.fd);
	call_hang_up(&c);
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_clear(&c);
	close(filler);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* Start, let some turns go by, cancel: nothing is told, nothing is left. */
static void
dial_test_cancel(const struct addr *to, unsigned turns)
{
	struct call c;

	call_init(&c);
	ck_assert_ptr_nonnull(call_start(&c, to, TEST_TIMEOUT_MS));
	if (turns > 0)
		unit_loop_turns(c.loop, turns);
	ck_assert_uint_eq(c.done, 0);
	dial_cancel(c.dial);
	fake_set_gate(true);
	ck_assert_int_eq(unit_count_fds(), c.fds);
	unit_loop_turns(c.loop, 5);
	ck_assert_uint_eq(c.done, 0);
	call_clear(&c);
}

START_TEST(dial_cancelled_while_connecting)
{
	struct addr a;
	int fd = unit_listen_tcp(0, &a), filler = dial_test_fill_tcp(&a);

	dial_test_cancel(&a, 0);
	dial_test_cancel(&a, 3);
	close(filler);
	close(fd);
}
END_TEST

START_TEST(dial_cancelled_while_a_unix_backlog_is_full)
{
	struct unix_server u;

	unix_server_open(&u);
	unix_server_fill(&u);
	dial_test_cancel(&u.addr, 0);
	dial_test_cancel(&u.addr, 3);
	unix_server_clear(&u);
}
END_TEST

START_TEST(dial_cancelled_during_the_look_up)
{
	struct addr a = unit_addr("gated.test:80");

	dial_test_cancel(&a, 3);
	fake_set_gate(false);
	dial_test_cancel(&a, 0);
}
END_TEST

START_TEST(dial_cancelled_when_its_look_up_is_answered_already)
{
	struct addr name, first;
	struct call c;
	int fd[2];

	dial_test_two(fd, &name, &first);
	call_init(&c);
	call_run(&c, &name, TEST_TIMEOUT_MS); /* the answer is kept */
	call_hang_up(&c);
	ck_assert_ptr_nonnull(call_start(&c, &name, TEST_TIMEOUT_MS));
	dial_cancel(c.dial);
	unit_loop_turns(c.loop, 5);
	ck_assert_uint_eq(c.done, 1);
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_clear(&c);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

START_TEST(dial_cancelled_when_it_is_over_but_not_told)
{
	struct addr none = unit_addr("unix:/nonexistent/wsrelayd/socket");
	struct unix_server u;

	unix_server_open(&u);
	dial_test_cancel(&u.addr, 0);
	dial_test_cancel(&none, 0);
	unix_server_clear(&u);
}
END_TEST

START_TEST(dial_without_memory)
{
	struct addr ip, name;
	struct call c;
	char text[40];
	int fd = unit_listen_tcp(8, &ip);

	snprintf(text, sizeof(text), "one.test:%u", ip.port);
	name = unit_addr(text);
	call_init(&c);
	mem_fail_nth(1);
	ck_assert_ptr_null(call_start(&c, &ip, TEST_TIMEOUT_MS));
	for (unsigned long nth = 1; nth <= 3; nth++) {
		mem_fail_nth(nth);
		ck_assert_ptr_null(call_start(&c, &name, TEST_TIMEOUT_MS));
		ck_assert_int_eq(mem_fail_pending(), 0);
	}
	ck_assert_uint_eq(c.done, 0);
	mem_fail_nth(4); /* the list of addresses */
	call_run(&c, &name, TEST_TIMEOUT_MS);
	ck_assert_int_eq(mem_fail_pending(), 0);
	ck_assert_int_eq(c.status, DIAL_NO_MEMORY);
	ck_assert_int_eq(unit_count_fds(), c.fds);
	call_run(&c, &name, TEST_TIMEOUT_MS);
	ck_assert_int_eq(c.status, DIAL_OK);
	call_clear(&c);
	close(fd);
}
END_TEST

START_TEST(dial_without_descriptors)
{
	struct rlimit old, low;
	struct addr a;
	struct call c;
	int fd = unit_listen_tcp(8, &a), lowest;

	call_init(&c);
	lowest = dup(fd);
	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	call_run(&c, &a, TEST_TIMEOUT_MS);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_int_eq(c.status, DIAL_NO_MEMORY);
	ck_assert_str_eq(c.why, "Too many open files");
	call_clear(&c);
	close(fd);
}
END_TEST

struct redial {
	struct call c;
	struct addr to;
	unsigned left;
};

static void
redial_on_done(void *arg, enum dial_status st, int fd, const char *why)
{
	struct redial *r = arg;

	(void)why;
	ck_assert_int_eq(st, DIAL_REFUSED);
	ck_assert_int_eq(fd, -1);
	if (r->left-- == 0) {
		loop_stop(r->c.loop);
		return;
	}
	ck_assert_ptr_nonnull(
	    dial_start(r->c.loop, r->c.r, &r->to, false, TEST_TIMEOUT_MS, redial_on_done, r));
}

START_TEST(dial_may_be_started_from_the_outcome_of_another)
{
	struct redial r = { .left = 50 };
	int fd;

	call_init(&r.c);
	fd = dial_test_refusing(&r.to);
	ck_assert_ptr_nonnull(
	    dial_start(r.c.loop, r.c.r, &r.to, false, TEST_TIMEOUT_MS, redial_on_done, &r));
	unit_loop_run(r.c.loop);
	call_clear(&r.c);
	close(fd);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		dial_connects_to_an_ip_address,
		dial_connects_to_a_unix_socket,
		dial_connects_to_an_abstract_unix_socket,
		dial_connects_to_localhost_by_name,
		dial_reports_a_refused_connection,
		dial_reports_a_missing_path,
		dial_reports_a_dead_unix_socket,
		dial_reports_an_unknown_name,
		dial_refuses_addresses_that_nobody_can_connect_to,
		dial_times_out_while_connecting,
		dial_times_out_during_the_look_up,
		dial_times_out_on_a_full_unix_backlog,
		dial_tries_a_full_unix_backlog_again_until_there_is_room,
		dial_ends_when_a_full_unix_socket_is_shut,
		dial_tries_the_next_address_when_one_refuses,
		dial_gives_the_next_address_its_share_of_the_time,
		dial_cancelled_while_connecting,
		dial_cancelled_while_a_unix_backlog_is_full,
		dial_cancelled_during_the_look_up,
		dial_cancelled_when_its_look_up_is_answered_already,
		dial_cancelled_when_it_is_over_but_not_told,
		dial_without_memory,
		dial_without_descriptors,
		dial_may_be_started_from_the_outcome_of_another,
	};

	return unit_run("dial", cases, UNIT_COUNT(cases));
}
