/* Unit tests of src/io/listener.[ch]. */
#include "io/listener.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "unit_io.h"

#define TEST_MAX 8

/* An accepting listener's owner. */
struct owner {
	struct loop *loop;
	struct listener *l;
	unsigned accepted, stop_at;
	int fds[200];
	char peer[ADDR_SA_TEXT];
	unsigned pauses, resumes;
	int pause_err;
	bool stop_on_pause, stop_in_accept, free_in_accept, restart_in_accept;
	bool free_in_resume;
};

static void owner_start(struct owner *o);

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

static void
owner_start(struct owner *o)
{
	ck_assert_int_eq(listener_start(o->l, o->loop, owner_on_accept, owner_on_pause, o), 0);
}

static struct listener *
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

static void
listener_test_refused(const char *text, const char *want)
{
	struct listener *v[TEST_MAX] = { NULL };
	struct addr a = unit_addr(text);
	char err[300] = "";
	size_t n = 0;
	int fds = unit_count_fds();

	ck_assert_int_eq(listener_open(&a, v, &n, TEST_MAX, err, sizeof(err)), -1);
	ck_assert_uint_eq(n, 0);
	ck_assert_str_eq(err, want);
	ck_assert_int_eq(unit_count_fds(), fds);
}

static void
owner_init(struct owner *o, const char *text)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	o->l = listener_test_open(text);
	owner_start(o);
}

static void
owner_clear(struct owner *o)
{
	listener_free(o->l);
	for (unsigned i = 0; i < o->accepted; i++)
		close(o->fds[i]);
	loop_free(o->loop);
}

static bool
listener_test_has_ipv6(void)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool ok = fd != -1 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	if (fd != -1)
		close(fd);
	return ok;
}

/* A client that is connected, or -1. */
static int
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

/* The same with this host and the listener's port. */
static int
listener_test_connect_port(const struct listener *l, const char *host)
{
	const char *colon = strrchr(listener_name(l), ':');
	char text[64];

	snprintf(text, sizeof(text), "%s%s", host, colon);
	return listener_test_connect(text);
}

static void
owner_accept(struct owner *o, unsigned n)
{
	o->stop_at = o->accepted + n;
	unit_loop_run(o->loop);
	ck_assert_uint_eq(o->accepted, o->stop_at);
}

START_TEST(listener_accepts_on_an_ip_address)
{
	struct owner o;
	int fd, on = 0;
	socklen_t len = sizeof(on);

	owner_init(&o, "127.0.0.1:0");
	ck_assert_int_eq(strncmp(listener_name(o.l), "127.0.0.1:", 10), 0);
	ck_assert_str_ne(listener_name(o.l), "127.0.0.1:0");
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	owner_accept(&o, 1);
	ck_assert_str_eq(o.peer, "127.0.0.1");
	ck_assert_int_eq(getsockopt(o.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	ck_assert_int_ne(on, 0);
	owner_clear(&o);
	close(fd);
}
END_TEST

START_TEST(listener_any_is_reached_by_both_families)
{
	struct owner o;
	int v4, v6;

	owner_init(&o, "*:0");
	ck_assert_int_eq(strncmp(listener_name(o.l), "*:", 2), 0);
	ck_assert_str_ne(listener_name(o.l), "*:0");
	ck_assert_int_ne(v4 = listener_test_connect_port(o.l, "127.0.0.1"), -1);
	owner_accept(&o, 1);
	ck_assert_str_eq(o.peer, "127.0.0.1");
	if (listener_test_has_ipv6()) {
		ck_assert_int_ne(v6 = listener_test_connect_port(o.l, "[::1]"), -1);
		owner_accept(&o, 1);
		ck_assert_str_eq(o.peer, "::1");
		close(v6);
	}
	owner_clear(&o);
	close(v4);
}
END_TEST

START_TEST(listener_ipv6_address_leaves_ipv4_alone)
{
	struct listener *v6, *v4;
	char text[32];

	if (!listener_test_has_ipv6())
		return;
	v4 = listener_test_open("0.0.0.0:0");
	snprintf(text, sizeof(text), "[::]%s", strrchr(listener_name(v4), ':'));
	v6 = listener_test_open(text);
	ck_assert_str_eq(listener_name(v6), text);
	listener_free(v4);
	ck_assert_int_eq(listener_test_connect_port(v6, "127.0.0.1"), -1);
	listener_free(v6);
}
END_TEST

START_TEST(listener_name_opens_every_address)
{
	struct listener *v[TEST_MAX];
	struct addr a = unit_addr("localhost:0");
	char err[300];
	size_t n = 0;
	int fd;

	ck_assert_int_eq(listener_open(&a, v, &n, TEST_MAX, err, sizeof(err)), 0);
	ck_assert_uint_ge(n, 1);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_ne(fd = listener_test_connect(listener_name(v[i])), -1);
		ck_assert_str_eq(listener_addr(v[i])->name, "localhost");
		close(fd);
		listener_free(v[i]);
	}
}
END_TEST

START_TEST(listener_refuses_an_address_in_use)
{
	struct listener *l = listener_test_open("127.0.0.1:0");
	char want[300];

	snprintf(
	    want, sizeof(want), "cannot listen on %s: Address already in use", listener_name(l));
	listener_test_refused(listener_name(l), want);
	listener_free(l);
}
END_TEST

START_TEST(listener_refuses_a_strange_address)
{
	listener_test_refused(
	    "192.0.2.1:0", "cannot listen on 192.0.2.1:0: Cannot assign requested address");
#ifdef HAVE_LIBSYSTEMD
	listener_test_refused("systemd:web",
	    "cannot listen on systemd:web: systemd passed in no socket of this name");
#endif
}
END_TEST

START_TEST(listener_reopens_a_port_with_old_connections)
{
	struct owner o;
	struct listener *l;
	char name[64];
	int fd;

	owner_init(&o, "127.0.0.1:0");
	snprintf(name, sizeof(name), "%s", listener_name(o.l));
	ck_assert_int_ne(fd = listener_test_connect(name), -1);
	owner_accept(&o, 1);
	owner_clear(&o); /* our end is closed first: TIME_WAIT */
	close(fd);
	l = listener_test_open(name);
	listener_free(l);
}
END_TEST

START_TEST(listener_appends_up_to_the_maximum)
{
	struct listener *v[2];
	struct addr a = unit_addr("127.0.0.1:0");
	char err[300];
	size_t n = 0;
	int fds;

	ck_assert_int_eq(listener_open(&a, v, &n, 2, err, sizeof(err)), 0);
	ck_assert_int_eq(listener_open(&a, v, &n, 2, err, sizeof(err)), 0);
	ck_assert_uint_eq(n, 2);
	fds = unit_count_fds();
	ck_assert_int_eq(listener_open(&a, v, &n, 2, err, sizeof(err)), -1);
	ck_assert_str_eq(err, "cannot listen on 127.0.0.1:0: too many listening sockets");
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(unit_count_fds(), fds);
	listener_free(v[0]);
	listener_free(v[1]);
	listener_free(NULL);
}
END_TEST

/* A folder with a path for a socket in it. */
struct place {
	char dir[64];
	char path[80];
	char text[100]; /* unix:PATH */
};

static void
place_init(struct place *p)
{
	unit_dir(p->dir, sizeof(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
	snprintf(p->text, sizeof(p->text), "unix:%s", p->path);
}

static void
place_clear(struct place *p)
{
	unlink(p->path);
	ck_assert_int_eq(rmdir(p->dir), 0);
}

static bool
place_exists(const struct place *p)
{
	struct stat st;

	return lstat(p->path, &st) == 0;
}

/* A foreign socket on the path. */
static int
place_bind(const struct place *p, int type)
{
	struct addr a = unit_addr(p->text);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, &a.u.sa, a.sa_len), 0);
	return fd;
}

static void
place_refused(const struct place *p, const char *why)
{
	char want[300];

	snprintf(want, sizeof(want), "cannot listen on %s: %s", p->text, why);
	listener_test_refused(p->text, want);
	ck_assert(place_exists(p));
}

START_TEST(listener_accepts_on_a_unix_path)
{
	struct place p;
	struct owner o;
	int fd;

	place_init(&p);
	owner_init(&o, p.text);
	ck_assert_str_eq(listener_name(o.l), p.text);
	ck_assert_int_ne(fd = listener_test_connect(p.text), -1);
	owner_accept(&o, 1);
	ck_assert_str_eq(o.peer, "unix:");
	owner_clear(&o);
	ck_assert(!place_exists(&p));
	close(fd);
	place_clear(&p);
}
END_TEST

START_TEST(listener_accepts_on_an_abstract_name)
{
	char text[64], want[128];
	struct owner o;
	int fd;

	snprintf(text, sizeof(text), "unix:@wsrelayd-listener-%d", (int)getpid());
	owner_init(&o, text);
	ck_assert_int_ne(fd = listener_test_connect(text), -1);
	owner_accept(&o, 1);
	snprintf(want, sizeof(want), "cannot listen on %s: Address already in use", text);
	listener_test_refused(text, want);
	owner_clear(&o);
	close(fd);
}
END_TEST

START_TEST(listener_path_has_mode_0660_whatever_the_umask)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	struct listener *l;
	struct place p;
	struct stat st;
	mode_t old = umask(0);

	place_init(&p);
	for (size_t i = 0; i < UNIT_COUNT(masks); i++) {
		umask(masks[i]);
		l = listener_test_open(p.text);
		ck_assert_int_eq(lstat(p.path, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, 0660);
		listener_free(l);
	}
	umask(old);
	place_clear(&p);
}
END_TEST

START_TEST(listener_removes_a_stale_path)
{
	struct listener *l;
	struct place p;
	int fd;

	place_init(&p);
	fd = place_bind(&p, SOCK_STREAM);
	ck_assert_int_eq(listen(fd, 1), 0);
	close(fd);
	l = listener_test_open(p.text);
	ck_assert_int_ne(fd = listener_test_connect(p.text), -1);
	close(fd);
	listener_free(l);
	place_clear(&p);
}
END_TEST

START_TEST(listener_refuses_a_path_that_lives)
{
	struct place p;
	int fd, client[8];
	size_t n;

	place_init(&p);
	fd = place_bind(&p, SOCK_STREAM);
	ck_assert_int_eq(listen(fd, 2), 0);
	place_refused(&p, "another process is listening there");
	/* also when it is so busy that its backlog is full */
	for (n = 0; n < UNIT_COUNT(client); n++) {
		struct addr a = unit_addr(p.text);

		client[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(client[n], &a.u.sa, a.sa_len) == -1)
			break;
	}
	ck_assert_uint_lt(n, UNIT_COUNT(client));
	ck_assert_int_eq(errno, EAGAIN);
	place_refused(&p, "another process is listening there");
	for (size_t i = 0; i <= n; i++)
		close(client[i]);
	close(fd);
	place_clear(&p);
}
END_TEST

START_TEST(listener_refuses_a_file_of_another_kind)
{
	struct place p, q;
	int fd;

	place_init(&p);
	ck_assert_int_ne(fd = open(p.path, O_CREAT | O_WRONLY, 0600), -1);
	close(fd);
	place_refused(&p, "a file that is not a socket is in the way");
	unlink(p.path);
	/* a link is not followed, even to a stale socket */
	place_init(&q);
	close(place_bind(&q, SOCK_STREAM));
	ck_assert_int_eq(symlink(q.path, p.path), 0);
	place_refused(&p, "a file that is not a socket is in the way");
	ck_assert(place_exists(&q));
	place_clear(&q);
	unlink(p.path);
	fd = place_bind(&p, SOCK_DGRAM);
	place_refused(&p, "Protocol wrong type for socket");
	close(fd);
	place_clear(&p);
}
END_TEST

START_TEST(listener_reports_a_folder_that_is_missing)
{
	listener_test_refused("unix:/nonexistent/wsrelayd/s",
	    "cannot listen on unix:/nonexistent/wsrelayd/s: No such file or directory");
}
END_TEST

START_TEST(listener_unlinks_only_its_own_path)
{
	struct listener *l;
	struct place p;
	int fd;

	place_init(&p);
	l = listener_test_open(p.text);
	unlink(p.path);
	fd = place_bind(&p, SOCK_STREAM);
	listener_free(l);
	ck_assert(place_exists(&p));
	close(fd);
	unlink(p.path);
	l = listener_test_open(p.text);
	unlink(p.path);
	listener_free(l); /* gone already */
	place_clear(&p);
}
END_TEST

START_TEST(listener_without_memory_opens_nothing)
{
	struct place p;
	char want[300];

	mem_fail_nth(1);
	listener_test_refused(
	    "127.0.0.1:0", "cannot listen on 127.0.0.1:0: Cannot allocate memory");
	place_init(&p);
	snprintf(want, sizeof(want), "cannot listen on %s: Cannot allocate memory", p.text);
	mem_fail_nth(1);
	listener_test_refused(p.text, want);
	ck_assert(!place_exists(&p));
	place_clear(&p);
}
END_TEST

START_TEST(listener_stopped_does_not_accept_and_starts_again)
{
	struct owner o;
	int fd;

	owner_init(&o, "127.0.0.1:0");
	listener_stop(o.l);
	listener_stop(o.l);
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	unit_loop_turns(o.loop, 5);
	ck_assert_uint_eq(o.accepted, 0);
	owner_start(&o);
	owner_accept(&o, 1);
	owner_clear(&o);
	close(fd);
}
END_TEST

/* Three clients are in the backlog when the callback stops or frees the listener. */
static void
listener_test_change_in_accept(bool stop, bool restart, bool gone)
{
	struct owner o;
	int fd[3];

	owner_init(&o, "127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		ck_assert_int_ne(fd[i] = listener_test_connect(listener_name(o.l)), -1);
	o.stop_in_accept = stop;
	o.restart_in_accept = restart;
	o.free_in_accept = gone;
	o.stop_at = restart ? 3 : 1;
	unit_loop_run(o.loop);
	unit_loop_turns(o.loop, 5);
	ck_assert_uint_eq(o.accepted, restart ? 3 : 1);
	owner_clear(&o);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

START_TEST(listener_may_be_stopped_and_freed_while_accepting)
{
	listener_test_change_in_accept(true, false, false);
	listener_test_change_in_accept(true, true, false);
	listener_test_change_in_accept(false, false, true);
	listener_test_change_in_accept(true, false, true);
}
END_TEST

START_TEST(listener_accepts_at_most_64_a_turn)
{
	static const unsigned want[] = { 64, 128, 150 };
	struct place p;
	struct owner o;
	int fd[150];

	place_init(&p);
	owner_init(&o, p.text);
	for (size_t i = 0; i < UNIT_COUNT(fd); i++)
		ck_assert_int_ne(fd[i] = listener_test_connect(p.text), -1);
	for (size_t i = 0; i < UNIT_COUNT(want); i++) {
		o.stop_at = o.accepted + 1; /* the turn goes on to its end */
		unit_loop_run(o.loop);
		ck_assert_uint_eq(o.accepted, want[i]);
	}
	for (size_t i = 0; i < UNIT_COUNT(fd); i++)
		close(fd[i]);
	owner_clear(&o);
	place_clear(&p);
}
END_TEST

static uint64_t
listener_test_cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Not one more descriptor can be had. */
static void
low_limit_set(struct rlimit *old)
{
	int lowest = dup(0);
	struct rlimit lim;

	ck_assert_int_ne(lowest, -1);
	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, old), 0);
	lim = *old;
	lim.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void
low_limit_clear(const struct rlimit *old)
{
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, old), 0);
}

struct stopper {
	struct loop_timer t;
	struct loop *loop;
};

static void
stopper_on_timer(struct loop_timer *t)
{
	loop_stop(((struct stopper *)t)->loop);
}

/* Let the loop run for that long. */
static void
listener_test_run_for(struct owner *o, uint64_t ms)
{
	struct stopper s = { .t.fn = stopper_on_timer, .loop = o->loop };

	loop_timer_arm(o->loop, &s.t, loop_now_ms(o->loop) + ms);
	unit_loop_run(o->loop);
}

START_TEST(listener_pauses_without_descriptors_and_goes_on_by_itself)
{
	struct rlimit low;
	struct owner o;
	uint64_t cpu;
	int fd[3];

	owner_init(&o, "127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		ck_assert_int_ne(fd[i] = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = true;
	unit_loop_run(o.loop);
	ck_assert_int_eq(o.pause_err, EMFILE);
	/* Several tries, which tell nothing new and cost nothing. */
	cpu = listener_test_cpu_ms();
	listener_test_run_for(&o, 400);
	ck_assert_uint_lt(listener_test_cpu_ms() - cpu, 200);
	ck_assert_uint_eq(o.pauses, 1);
	ck_assert_uint_eq(o.resumes, 0);
	ck_assert_uint_eq(o.accepted, 0);
	low_limit_clear(&low);
	owner_accept(&o, 3);
	ck_assert_uint_eq(o.resumes, 1);
	/* and it is the event again that tells, not the timer */
	close(fd[0]);
	ck_assert_int_ne(fd[0] = listener_test_connect(listener_name(o.l)), -1);
	owner_accept(&o, 1);
	ck_assert_uint_eq(o.pauses, 1);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	owner_clear(&o);
}
END_TEST

START_TEST(listener_goes_on_when_no_client_waits_any_more)
{
	struct rlimit low;
	struct owner o;
	int fd, listening;

	owner_init(&o, "127.0.0.1:0");
	listener_free(o.l);
	listening = dup(0); /* the number that the next socket gets */
	close(listening);
	o.l = listener_test_open("127.0.0.1:0");
	owner_start(&o);
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = true;
	unit_loop_run(o.loop);
	low_limit_clear(&low);
	close(accept(listening, NULL, NULL)); /* somebody else took it */
	listener_test_run_for(&o, 250);
	ck_assert_uint_eq(o.resumes, 1);
	ck_assert_uint_eq(o.accepted, 0);
	close(fd);
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	owner_accept(&o, 1);
	owner_clear(&o);
	close(fd);
}
END_TEST

START_TEST(listener_may_be_stopped_or_freed_in_a_pause)
{
	struct rlimit low;
	struct owner o;
	int fd;

	owner_init(&o, "127.0.0.1:0");
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = true;
	unit_loop_run(o.loop);
	low_limit_clear(&low);
	listener_stop(o.l);
	listener_test_run_for(&o, 200);
	ck_assert_uint_eq(o.accepted + o.resumes, 0);
	owner_start(&o);
	o.pauses = 0;
	owner_accept(&o, 1);
	ck_assert_uint_eq(o.resumes, 0); /* a start is not a going on */
	owner_clear(&o);
	close(fd);
}
END_TEST

START_TEST(listener_may_be_freed_when_told_that_it_goes_on)
{
	struct rlimit low;
	struct owner o;
	int fd;

	owner_init(&o, "127.0.0.1:0");
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = o.free_in_resume = true;
	unit_loop_run(o.loop);
	low_limit_clear(&low);
	unit_loop_run(o.loop);
	unit_loop_turns(o.loop, 3);
	ck_assert_uint_eq(o.resumes, 1);
	ck_assert_uint_eq(o.accepted, 0);
	owner_clear(&o);
	close(fd);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		listener_accepts_on_an_ip_address,
		listener_any_is_reached_by_both_families,
		listener_ipv6_address_leaves_ipv4_alone,
		listener_name_opens_every_address,
		listener_refuses_an_address_in_use,
		listener_refuses_a_strange_address,
		listener_reopens_a_port_with_old_connections,
		listener_appends_up_to_the_maximum,
		listener_accepts_on_a_unix_path,
		listener_accepts_on_an_abstract_name,
		listener_path_has_mode_0660_whatever_the_umask,
		listener_removes_a_stale_path,
		listener_refuses_a_path_that_lives,
		listener_refuses_a_file_of_another_kind,
		listener_reports_a_folder_that_is_missing,
		listener_unlinks_only_its_own_path,
		listener_without_memory_opens_nothing,
		listener_stopped_does_not_accept_and_starts_again,
		listener_may_be_stopped_and_freed_while_accepting,
		listener_accepts_at_most_64_a_turn,
		listener_pauses_without_descriptors_and_goes_on_by_itself,
		listener_goes_on_when_no_client_waits_any_more,
		listener_may_be_stopped_or_freed_in_a_pause,
		listener_may_be_freed_when_told_that_it_goes_on,
	};

	return unit_run("listener", cases, UNIT_COUNT(cases));
}
