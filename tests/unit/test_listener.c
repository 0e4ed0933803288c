/* Unit tests of src/io/listener.[ch]: which addresses can be opened, and what is left of them. */
#include <sys/stat.h>

#include <dlfcn.h>
#include <netinet/tcp.h>

#include "base/mem.h"
#include "unit_listener.h"

/*
 * Somebody puts a link to this file in place of the path as soon as that is bound; NULL: nobody
 * does.
 */
static const char *bind_linked_to;

/* In place of libc's: the program's own definition comes first at link time. */
int
bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	const struct sockaddr_un *un = (const void *)sa;
	int (*real)(int, const struct sockaddr *, socklen_t), rc;

	*(void **)&real = dlsym(RTLD_NEXT, "bind");
	rc = real(fd, sa, len);
	if (rc == 0 && bind_linked_to != NULL) {
		ck_assert_int_eq(unlink(un->sun_path), 0);
		ck_assert_int_eq(symlink(bind_linked_to, un->sun_path), 0);
	}
	return rc;
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

/* The same with this host and the listener's port. */
static int
listener_test_connect_port(const struct listener *l, const char *host)
{
	const char *colon = strrchr(listener_name(l), ':');
	char text[64];

	snprintf(text, sizeof(text), "%s%s", host, colon);
	return listener_test_connect(text);
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

START_TEST(listener_follows_no_link_that_comes_behind_bind)
{
	struct listener *l;
	struct place p;
	struct stat st;
	mode_t old = umask(022);
	char secret[] = "/tmp/test_listener.XXXXXX";
	int fd = mkstemp(secret);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fchmod(fd, 0600), 0);
	place_init(&p);
	bind_linked_to = secret;
	l = listener_test_open(p.text);
	bind_linked_to = NULL;
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(umask(old), 022);
	listener_free(l);
	ck_assert_int_eq(access(secret, F_OK), 0);
	unlink(secret);
	close(fd);
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
		listener_follows_no_link_that_comes_behind_bind,
		listener_removes_a_stale_path,
		listener_refuses_a_path_that_lives,
		listener_refuses_a_file_of_another_kind,
		listener_reports_a_folder_that_is_missing,
		listener_unlinks_only_its_own_path,
		listener_without_memory_opens_nothing,
	};

	return unit_run("listener", cases, UNIT_COUNT(cases));
}
