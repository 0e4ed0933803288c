/*
 * Unit tests of src/gateway/static.[ch].
 *
 * The stream is a fake one: it notes the response, takes as many bytes as the case says and
 * queues the rest, and minds the rules: nothing is written while something is queued, the
 * stream is closed or aborted exactly once, and done is called exactly once.
 */
#include "gateway/static.h"
#include "gateway/static_roots.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/reply.h"
#include "unit_io.h"

/* 2020-01-02T03:04:05.678Z */
#define MTIME 1577934245
#define DATE "Thu, 02 Jan 2020 03:04:05 GMT"
#define EARLIER "Thu, 02 Jan 2020 03:04:04 GMT"
#define LATER "Thu, 02 Jan 2020 03:04:06 GMT"
#define TAG(size) "\"15e5f2d6108fa780-" size "\""
#define HELLO "hello, world\n"
#define HELLO_TAG TAG("d")

#define BIG (6 * 1024 * 1024 + 12345)

static char dir[200], root[220];
static struct loop *loop;
static struct config_listen listen_section;
static struct stream_info info;
static struct config_route route;

/* The carrier, and what done was told. */
static struct fake {
	struct stream s;
	unsigned status;
	char fields[16384];
	enum http_body body;
	uint64_t length;
	struct buf out;
	size_t take; /* bytes that go out at once */
	size_t queued;
	size_t turn_bytes, turn_max; /* written since the last turn; the most of them */
	bool respond_fails, write_fails;
	bool trickles; /* takes a byte each time that it is looked at */
	bool stop_on_done;
	unsigned ended, closed, aborted;
	unsigned done;
	unsigned done_status;
	uint64_t done_bytes;
	bool done_complete;
} f;

static int
fake_respond(struct stream *s, const struct stream_response *r)
{
	size_t n = 0;

	ck_assert_ptr_eq(s, &f.s);
	ck_assert_uint_eq(f.status, 0);
	f.status = r->status;
	f.body = r->body;
	f.length = r->content_length;
	for (size_t i = 0; i < r->n_fields; i++) {
		ck_assert(http_is_token(r->field[i].name));
		ck_assert(http_is_field_value(r->field[i].value));
		n += (size_t)snprintf(f.fields + n, sizeof(f.fields) - n, "%.*s: %.*s\n",
		    SPAN_ARG(r->field[i].name), SPAN_ARG(r->field[i].value));
		ck_assert_uint_lt(n, sizeof(f.fields));
	}
	return f.respond_fails ? -1 : 0;
}

static int
fake_write(struct stream *s, const struct iovec *iov, int n)
{
	size_t bytes = 0, can = f.take;

	ck_assert_ptr_eq(s, &f.s);
	ck_assert_uint_ne(f.status, 0);
	ck_assert_uint_eq(f.ended + f.closed + f.aborted, 0);
	ck_assert_uint_eq(f.queued, 0);
	if (f.write_fails)
		return -1;
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(buf_append(&f.out, iov[i].iov_base, iov[i].iov_len), 0);
		bytes += iov[i].iov_len;
	}
	ck_assert_uint_le(bytes, LOOP_SCRATCH);
	f.queued = bytes > can ? bytes - can : 0;
	f.turn_bytes += bytes;
	if (f.turn_bytes > f.turn_max)
		f.turn_max = f.turn_bytes;
	return 0;
}

static void
fake_end(struct stream *s)
{
	ck_assert_ptr_eq(s, &f.s);
	ck_assert_uint_eq(f.closed + f.aborted, 0);
	f.ended++;
}

static void
fake_close(struct stream *s, uint64_t linger_ms)
{
	ck_assert_ptr_eq(s, &f.s);
	ck_assert_uint_gt(linger_ms, 0);
	f.closed++;
}

static void
fake_abort(struct stream *s)
{
	ck_assert_ptr_eq(s, &f.s);
	f.aborted++;
}

static size_t
fake_queued(const struct stream *s)
{
	ck_assert_ptr_eq(s, &f.s);
	if (f.trickles)
		f.queued--;
	return f.queued;
}

static const struct stream_info *
fake_info(const struct stream *s)
{
	ck_assert_ptr_eq(s, &f.s);
	return &info;
}

static const struct stream_ops fake_ops = {
	.respond = fake_respond,
	.write = fake_write,
	.end = fake_end,
	.close = fake_close,
	.abort = fake_abort,
	.queued = fake_queued,
	.info = fake_info,
};

static void
on_done(void *arg, unsigned status, uint64_t body_bytes, bool complete)
{
	ck_assert_ptr_eq(arg, &f);
	f.done++;
	f.done_status = status;
	f.done_bytes = body_bytes;
	f.done_complete = complete;
	if (f.stop_on_done)
		loop_stop(loop);
}

/* ---- files */

static const char *
path_of(const char *name)
{
	static char path[600];

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%s", root, name), (int)sizeof(path));
	return path;
}

static void
put_bytes(const char *name, const void *p, size_t n)
{
	struct timespec ts[2] = { { MTIME, 678000000 }, { MTIME, 678000000 } };
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	ck_assert_int_eq(futimens(fd, ts), 0);
	close(fd);
}

static void
put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

static char *
big_bytes(void)
{
	char *p = malloc(BIG);
	uint32_t seed = 1;

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)unit_random(&seed);
	return p;
}

static void
put_big(void)
{
	char *p = big_bytes();

	put_bytes("big.bin", p, BIG);
	free(p);
}

static void
put_socket(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_lt(snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path_of(name)),
	    (int)sizeof(sun.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
}

static void
setup(void)
{
	char secret[300];
	int fd;

	unit_dir(dir, sizeof(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
	snprintf(root, sizeof(root), "%s/root", dir);
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	ck_assert_int_ne(fd = open(secret, O_WRONLY | O_CREAT, 0644), -1);
	close(fd);
	ck_assert_int_eq(mkdir(root, 0755), 0);
	ck_assert_int_eq(mkdir(path_of("sub"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("empty"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("odd"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("odd/index.html"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("evil.example"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of(".well-known"), 0755), 0);
	put("index.html", "root index");
	put("sub/index.html", "sub index");
	put("sub/a.txt", "in sub");
	put("hello.txt", HELLO);
	put("a b%.css", "odd name");
	put("empty.js", "");
	put("digits", "0123456789");
	put(".hidden", "hidden");
	put(".well-known/x", "known");
	ck_assert_int_eq(symlink("sub/a.txt", path_of("in.txt")), 0);
	ck_assert_int_eq(symlink("sub", path_of("insub")), 0);
	ck_assert_int_eq(symlink("../secret", path_of("out.txt")), 0);
	ck_assert_int_eq(symlink("..", path_of("outdir")), 0);
	ck_assert_int_eq(symlink("/etc/passwd", path_of("passwd")), 0);
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0644), 0);
	put_socket("socket");
	ck_assert_ptr_nonnull(loop = loop_new());
	memset(&info, 0, sizeof(info));
	listen_section.idle_connection_timeout_ms = 300000;
	info.listen = &listen_section;
	info.http = "1.1";
	memset(&route, 0, sizeof(route));
	route.path = (char *)(uintptr_t) "/";
	route.path_is_prefix = true;
	route.document_root = root;
}

static void
teardown(void)
{
	char command[300];

	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* ---- requests */

/* "Name: value" lines into h. */
static void
add_fields(struct http_head *h, const char *text)
{
	while (*text != '\0') {
		const char *colon = strchr(text, ':'), *end = strchr(text, '\n');

		h->field[h->n_fields].name = (struct span){ text, (size_t)(colon - text) };
		h->field[h->n_fields++].value =
		    span_trim((struct span){ colon + 1, (size_t)(end - colon - 1) });
		text = end + 1;
	}
}

/* Begin a response; method "GET", fields "A: b\n" lines. */
static void
begin(const char *method, const char *target, const char *fields)
{
	static struct http_head h;
	struct stream_request r = { .head = &h };
	struct static_roots *roots = static_roots_new(loop);
	const char *query = strchr(target, '?');
	size_t take = f.take;
	bool respond_fails = f.respond_fails, write_fails = f.write_fails;

	memset(&f, 0, sizeof(f));
	f.take = take;
	f.respond_fails = respond_fails;
	f.write_fails = write_fails;
	f.s.ops = &fake_ops;
	buf_init(&f.out, 64 << 20);
	ck_assert_int_eq(buf_reserve(&f.out, 1024), 0);
	memset(&h, 0, sizeof(h));
	h.method = span_from_str(method);
	h.path = (struct span){ target, query != NULL ? (size_t)(query - target) : strlen(target) };
	h.query = query != NULL ? span_from_str(query + 1) : SPAN_NONE;
	add_fields(&h, fields);
	static_start(loop, roots, &f.s, &r, &route, on_done, &f);
	static_roots_free(roots); /* what is open is the file's */
	/* Borrowed for the call. */
	memset(&h, 'x', sizeof(h));
}

static void
turn(void)
{
	f.turn_bytes = 0;
	unit_loop_turns(loop, 1);
}

/* The carrier's queue goes out. */
static void
room(void)
{
	if (f.queued == 0)
		return;
	f.queued = 0;
	if (f.s.ev != NULL)
		f.s.ev->room(&f.s);
}

static void
get(const char *method, const char *target, const char *fields)
{
	int fds = unit_count_fds();

	if (f.take == 0)
		f.take = SIZE_MAX;
	begin(method, target, fields);
	for (int i = 0; i < 1000 && f.done == 0; i++) {
		turn();
		room();
	}
	turn();
	ck_assert_msg(f.done == 1, "%s %s: done %u times", method, target, f.done);
	ck_assert_uint_eq(f.closed + f.aborted, 1);
	ck_assert_ptr_null(f.s.ev);
	ck_assert_uint_eq(f.done_status, f.status);
	ck_assert_int_eq(unit_count_fds(), fds);
}

/* A response that is whole. */
static void
get_whole(const char *method, const char *target, const char *fields)
{
	get(method, target, fields);
	ck_assert(f.done_complete);
	ck_assert_uint_eq(f.closed, 1);
	ck_assert_uint_eq(f.ended, 1);
	ck_assert_uint_eq(f.done_bytes, f.out.n);
	if (f.body == HTTP_BODY_LENGTH && strcmp(method, "HEAD") != 0)
		ck_assert_uint_eq(f.out.n, f.length);
	else
		ck_assert_uint_eq(f.out.n, 0);
}

static void
drop(void)
{
	buf_clear(&f.out);
}

static bool
body_is(const char *text)
{
	return span_eq(buf_span(&f.out), span_from_str(text));
}

/* The value of a field of the response, or "". */
static const char *
field(const char *name)
{
	static char value[9000];
	char line[100];
	const char *p;

	snprintf(line, sizeof(line), "%s: ", name);
	if ((p = strstr(f.fields, line)) == NULL)
		return "";
	snprintf(
	    value, sizeof(value), "%.*s", (int)strcspn(p + strlen(line), "\n"), p + strlen(line));
	return value;
}

/* ---- whole files */

#define HELLO_FIELDS                                \
	"Content-Type: text/plain; charset=utf-8\n" \
	"X-Content-Type-Options: nosniff\n"         \
	"Accept-Ranges: bytes\n"                    \
	"ETag: " HELLO_TAG "\n"                     \
	"Last-Modified: " DATE "\n"                 \
	"Cache-Control: no-cache\n"

START_TEST(static_serves_a_file)
{
	get_whole("GET", "/hello.txt", "");
	ck_assert_uint_eq(f.status, 200);
	ck_assert_str_eq(f.fields, HELLO_FIELDS);
	ck_assert(body_is(HELLO));
	drop();
}
END_TEST

START_TEST(static_serves_head)
{
	get_whole("HEAD", "/hello.txt", "Range: bytes=1-2\n");
	ck_assert_uint_eq(f.status, 200);
	ck_assert_str_eq(f.fields, HELLO_FIELDS);
	ck_assert_int_eq(f.body, HTTP_BODY_LENGTH);
	ck_assert_uint_eq(f.length, strlen(HELLO));
	drop();
}
END_TEST

START_TEST(static_serves_an_empty_file)
{
	get_whole("GET", "/empty.js", "");
	ck_assert_uint_eq(f.status, 200);
	ck_assert_str_eq(field("Content-Type"), "text/javascript; charset=utf-8");
	ck_assert_str_eq(field("ETag"), TAG("0"));
	drop();
}
END_TEST

START_TEST(static_date_is_never_in_the_future)
{
	struct timespec ts[2] = { { 4000000000, 0 }, { 4000000000, 0 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path_of("hello.txt"), ts, 0), 0);
	get_whole("GET", "/hello.txt", "");
	ck_assert_str_ne(field("Last-Modified"), "");
	ck_assert_ptr_null(strstr(field("Last-Modified"), "2096"));
	drop();
}
END_TEST

/* ---- which file */

static const struct {
	const char *target;
	unsigned status;
	const char *body;
} paths[] = {
	{ "/", 200, "root index" },
	{ "/?x=/../y", 200, "root index" },
	{ "//", 200, "root index" },
	{ "/index.html", 200, "root index" },
	{ "/sub/", 200, "sub index" },
	{ "/sub/a.txt", 200, "in sub" },
	{ "//sub//a.txt", 200, "in sub" },
	{ "/sub/%61.txt", 200, "in sub" },
	{ "/a%20b%25.css", 200, "odd name" },
	{ "/.well-known/x", 200, "known" },
	{ "/nothing", 404, NULL },
	{ "/hello.txt/", 404, NULL },
	{ "/hello.txt/x", 404, NULL },
	{ "/HELLO.TXT", 404, NULL },
	{ "/empty/", 404, NULL },
	{ "/odd/", 404, NULL },
	{ "/.hidden", 404, NULL },
	{ "/%2ehidden", 404, NULL },
	{ "/sub/../.hidden", 404, NULL },
	{ "/fifo", 404, NULL },
	{ "/socket", 404, NULL },
	/* out of it */
	{ "/../secret", 404, NULL },
	{ "/sub/../../secret", 404, NULL },
	{ "/%2e%2e/secret", 404, NULL },
	{ "/.%2e/secret", 404, NULL },
	{ "/%2e%2e%2fsecret", 404, NULL },
	{ "/..%5csecret", 404, NULL },
	{ "/..\\secret", 404, NULL },
	{ "/%252e%252e/secret", 404, NULL },
	{ "//etc/passwd", 404, NULL },
	{ "/hello.txt%00", 404, NULL },
	{ "/hello.txt%00.html", 404, NULL },
	{ "/sub%2fa.txt", 404, NULL },
	{ "/out.txt", 404, NULL },
	{ "/outdir/", 404, NULL },
	{ "/outdir/secret", 404, NULL },
	{ "/outdir/root/hello.txt", 404, NULL },
	{ "/passwd", 404, NULL },
	{ "/%", 400, NULL },
	{ "/hello.txt%4", 400, NULL },
	{ "/%gg", 400, NULL },
};

START_TEST(static_finds_files_beneath_the_root_only)
{
	char big[5000];

	for (size_t i = 0; i < UNIT_COUNT(paths); i++) {
		get_whole("GET", paths[i].target, "");
		ck_assert_msg(f.status == paths[i].status, "%s: %u", paths[i].target, f.status);
		ck_assert_msg(
		    paths[i].body == NULL || body_is(paths[i].body), "%s", paths[i].target);
		drop();
		get_whole("HEAD", paths[i].target, "");
		ck_assert_msg(f.status == paths[i].status, "%s: %u", paths[i].target, f.status);
		drop();
	}
	memset(big, 'x', sizeof(big) - 1);
	big[0] = '/';
	big[sizeof(big) - 1] = '\0';
	get_whole("GET", big, "");
	ck_assert_uint_eq(f.status, 404);
	drop();
}
END_TEST

START_TEST(static_follows_links_beneath_the_root)
{
	get_whole("GET", "/in.txt", "");
	if (f.status == 200) { /* a kernel with openat2 */
		ck_assert(body_is("in sub"));
		drop();
		get_whole("GET", "/insub/a.txt", "");
		ck_assert(body_is("in sub"));
	}
	drop();
}
END_TEST

START_TEST(static_takes_the_prefix_off)
{
	static const struct {
		const char *route, *target;
		unsigned status;
		const char *body;
	} cases[] = {
		{ "/files/*", "/files/hello.txt", 200, HELLO },
		{ "/files/*", "/files/", 200, "root index" },
		{ "/files/*", "/files/sub/a.txt", 200, "in sub" },
		{ "/files/*", "/files//hello.txt", 200, HELLO },
		{ "/files/*", "/files/files/hello.txt", 404, NULL },
		{ "/files/*", "/files/../hello.txt", 404, NULL },
		{ "/files/*", "/files", 301, NULL },
		{ "/hel*", "/hello.txt", 404, NULL },
		{ "/x-*", "/x-hello.txt", 200, HELLO },
		/* exact routes */
		{ "/hello.txt", "/hello.txt", 200, HELLO },
		{ "/deep/down/hello.txt", "/deep/down/hello.txt", 200, HELLO },
		{ "/", "/", 200, "root index" },
		{ "/demo/", "/demo/", 200, "root index" },
		{ "/sub", "/sub", 404, NULL },
		{ "/sub/a.txt", "/sub/a.txt", 404, NULL },
		{ "/.hidden", "/.hidden", 404, NULL },
		{ "/x/..", "/x/..", 404, NULL },
	};
	char path[100];

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		size_t n = strlen(cases[i].route);

		memcpy(path, cases[i].route, n + 1);
		route.path_is_prefix = path[n - 1] == '*';
		if (route.path_is_prefix)
			path[n - 1] = '\0';
		route.path = path;
		get_whole("GET", cases[i].target, "");
		ck_assert_msg(f.status == cases[i].status, "%s: %u", cases[i].target, f.status);
		ck_assert(cases[i].body == NULL || body_is(cases[i].body));
		drop();
	}
}
END_TEST

START_TEST(static_redirects_folders)
{
	static const struct {
		const char *target, *location;
	} cases[] = {
		{ "/sub", "/sub/" },
		{ "/sub?", "/sub/?" },
		{ "/sub?a=b&c=//d", "/sub/?a=b&c=//d" },
		{ "/s%75b", "/s%75b/" },
		{ "/empty", "/empty/" },
		/* nothing here may name another host */
		{ "//evil.example", "/evil.example/" },
		{ "////evil.example?x", "/evil.example/?x" },
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		get_whole(i % 2 == 0 ? "GET" : "HEAD", cases[i].target, "");
		ck_assert_uint_eq(f.status, 301);
		ck_assert_str_eq(field("Location"), cases[i].location);
		ck_assert_int_eq(f.body, HTTP_BODY_NONE);
		drop();
	}
	get_whole("GET", "/\\evil.example", "");
	ck_assert_uint_eq(f.status, 404);
	drop();
	/* the route's own folder, when its path came without the slash */
	route.path = (char *)(uintptr_t) "/files/";
	get_whole("GET", "/files?q", "");
	ck_assert_uint_eq(f.status, 301);
	ck_assert_str_eq(field("Location"), "/files/?q");
	drop();
}
END_TEST

START_TEST(static_knows_get_and_head_only)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get",
		"PATCH", "CONNECT" };

	for (size_t i = 0; i < UNIT_COUNT(methods); i++) {
		get_whole(methods[i], "/hello.txt", "");
		ck_assert_uint_eq(f.status, 405);
		ck_assert_str_eq(field("Allow"), "GET, HEAD");
		drop();
	}
}
END_TEST

START_TEST(static_tells_of_files_that_may_not_be_read)
{
	put("locked.txt", "locked");
	ck_assert_int_eq(chmod(path_of("locked.txt"), 0), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	get_whole("GET", "/locked.txt", "");
	ck_assert_uint_eq(f.status, 403);
	drop();
	get_whole("GET", "/hello.txt", "");
	ck_assert_uint_eq(f.status, 200);
	drop();
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(static_is_busy_without_descriptors)
{
	struct rlimit old, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	f.take = SIZE_MAX;
	begin("GET", "/hello.txt", "");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_uint_eq(f.done, 1);
	ck_assert_uint_eq(f.status, 503);
	ck_assert_uint_eq(f.done_status, 503);
	ck_assert_str_ne(field("Retry-After"), "");
	drop();
}
END_TEST

START_TEST(static_has_nothing_without_a_root)
{
	route.document_root = (char *)(uintptr_t) "/nonexistent/folder";
	get_whole("GET", "/hello.txt", "");
	ck_assert_uint_eq(f.status, 404);
	drop();
}
END_TEST

/* ---- conditions (RFC 9110 13) */

static const struct {
	const char *fields;
	unsigned status;
} conditions[] = {
	{ "If-None-Match: " HELLO_TAG "\n", 304 },
	{ "If-None-Match: W/" HELLO_TAG "\n", 304 },
	{ "If-None-Match: \"a\", " HELLO_TAG ", \"b\"\n", 304 },
	{ "If-None-Match: \"a\"\nif-none-match: " HELLO_TAG "\n", 304 },
	{ "If-None-Match: *\n", 304 },
	{ "If-None-Match: \"a\"\n", 200 },
	{ "If-None-Match: nonsense\n", 200 },
	{ "If-None-Match: " TAG("e") "\n", 200 },
	{ "If-Modified-Since: " DATE "\n", 304 },
	{ "If-Modified-Since: " LATER "\n", 304 },
	{ "If-Modified-Since: " EARLIER "\n", 200 },
	{ "If-Modified-Since: Thursday, 02-Jan-20 03:04:05 GMT\n", 304 },
	{ "If-Modified-Since: yesterday\n", 200 },
	{ "If-Modified-Since: " DATE "\nIf-Modified-Since: " DATE "\n", 200 },
	/* the tag wins */
	{ "If-None-Match: \"a\"\nIf-Modified-Since: " DATE "\n", 200 },
	{ "If-None-Match: " HELLO_TAG "\nIf-Modified-Since: " EARLIER "\n", 304 },
	{ "If-Match: " HELLO_TAG "\n", 200 },
	{ "If-Match: *\n", 200 },
	{ "If-Match: \"a\", " HELLO_TAG "\n", 200 },
	{ "If-Match: \"a\"\n", 412 },
	{ "If-Match: W/" HELLO_TAG "\n", 412 },
	{ "If-Match: \n", 412 },
	{ "If-Unmodified-Since: " DATE "\n", 200 },
	{ "If-Unmodified-Since: " LATER "\n", 200 },
	{ "If-Unmodified-Since: " EARLIER "\n", 412 },
	{ "If-Unmodified-Since: yesterday\n", 200 },
	{ "If-Match: " HELLO_TAG "\nIf-Unmodified-Since: " EARLIER "\n", 200 },
	{ "If-Match: \"a\"\nIf-None-Match: " HELLO_TAG "\n", 412 },
	{ "If-Match: " HELLO_TAG "\nIf-None-Match: " HELLO_TAG "\n", 304 },
	{ "If-None-Match: " HELLO_TAG "\nRange: bytes=0-0\n", 304 },
	{ "If-Match: \"a\"\nRange: bytes=0-0\n", 412 },
};

START_TEST(static_minds_conditions)
{
	for (size_t i = 0; i < UNIT_COUNT(conditions); i++)
		for (int head = 0; head < 2; head++) {
			get_whole(head ? "HEAD" : "GET", "/hello.txt", conditions[i].fields);
			ck_assert_msg(f.status == conditions[i].status, "%s: %u",
			    conditions[i].fields, f.status);
			if (f.status == 304)
				ck_assert_str_eq(f.fields,
				    "ETag: " HELLO_TAG "\n"
				    "Last-Modified: " DATE "\nCache-Control: no-cache\n");
			drop();
		}
}
END_TEST

START_TEST(static_conditions_need_a_file)
{
	get_whole("GET", "/nothing", "If-None-Match: *\n");
	ck_assert_uint_eq(f.status, 404);
	drop();
}
END_TEST

START_TEST(static_tag_changes_with_the_file)
{
	char tag[100];
	struct timespec ts[2] = { { MTIME, 678000001 }, { MTIME, 678000001 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path_of("hello.txt"), ts, 0), 0);
	get_whole("GET", "/hello.txt", "If-None-Match: " HELLO_TAG "\n");
	ck_assert_uint_eq(f.status, 200);
	snprintf(tag, sizeof(tag), "If-None-Match: %s\n", field("ETag"));
	drop();
	get_whole("GET", "/hello.txt", tag);
	ck_assert_uint_eq(f.status, 304);
	drop();
}
END_TEST

/* ---- ranges (RFC 9110 14) */

static const struct {
	const char *fields;
	unsigned status;
	const char *range, *body;
} ranges[] = {
	{ "Range: bytes=0-0\n", 206, "bytes 0-0/10", "0" },
	{ "Range: bytes=2-4\n", 206, "bytes 2-4/10", "234" },
	{ "Range: bytes=7-\n", 206, "bytes 7-9/10", "789" },
	{ "Range: bytes=7-99\n", 206, "bytes 7-9/10", "789" },
	{ "Range: bytes=-3\n", 206, "bytes 7-9/10", "789" },
	{ "Range: bytes=-99\n", 206, "bytes 0-9/10", "0123456789" },
	{ "Range: bytes=0-\n", 206, "bytes 0-9/10", "0123456789" },
	{ "Range: bytes=10-\n", 416, "bytes */10", "" },
	{ "Range: bytes=10-20\n", 416, "bytes */10", "" },
	{ "Range: bytes=-0\n", 416, "bytes */10", "" },
	{ "Range: bytes=99999999999999999999-\n", 416, "bytes */10", "" },
	/* ignored */
	{ "Range: bytes=4-2\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2,4-5\n", 200, "", "0123456789" },
	{ "Range: lines=1-2\n", 200, "", "0123456789" },
	{ "Range: bytes=x\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nRange: bytes=1-2\n", 200, "", "0123456789" },
	/* If-Range */
	{ "Range: bytes=1-2\nIf-Range: " TAG("a") "\n", 206, "bytes 1-2/10", "12" },
	{ "Range: bytes=1-2\nIf-Range: W/" TAG("a") "\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: \"x\"\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: \"x\", " TAG("a") "\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: *\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: " DATE "\n", 206, "bytes 1-2/10", "12" },
	{ "Range: bytes=1-2\nIf-Range: " LATER "\n", 200, "", "0123456789" },
	{ "Range: bytes=1-2\nIf-Range: " TAG("a") "\nIf-Range: " TAG("a") "\n", 200, "",
	    "0123456789" },
	{ "Range: bytes=99-\nIf-Range: \"x\"\n", 200, "", "0123456789" },
};

START_TEST(static_sends_ranges)
{
	for (size_t i = 0; i < UNIT_COUNT(ranges); i++) {
		get_whole("GET", "/digits", ranges[i].fields);
		ck_assert_msg(f.status == ranges[i].status, "%s: %u", ranges[i].fields, f.status);
		ck_assert_str_eq(field("Content-Range"), ranges[i].range);
		ck_assert_msg(body_is(ranges[i].body), "%s", ranges[i].fields);
		if (f.status != 416)
			ck_assert_str_eq(field("ETag"), TAG("a"));
		drop();
	}
	get_whole("GET", "/empty.js", "Range: bytes=0-\n");
	ck_assert_uint_eq(f.status, 416);
	ck_assert_str_eq(field("Content-Range"), "bytes */0");
	drop();
}
END_TEST

/* A date of this very second may still change: it is no strong validator (RFC 9110 8.8.2.2). */
START_TEST(static_takes_no_fresh_date_for_a_range)
{
	char fields[200];
	struct timespec ts[2] = { { 4000000000, 0 }, { 4000000000, 0 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path_of("digits"), ts, 0), 0);
	for (int i = 0; i < 50; i++) {
		get_whole("GET", "/digits", "");
		snprintf(fields, sizeof(fields), "Range: bytes=1-2\nIf-Range: %s\n",
		    field("Last-Modified"));
		drop();
		get_whole("GET", "/digits", fields);
		ck_assert_uint_eq(f.status, 200);
		drop();
	}
}
END_TEST

/* ---- streaming */

static void
assert_big(size_t first, size_t n)
{
	char *p = big_bytes();

	ck_assert_uint_eq(f.out.n, n);
	ck_assert(memcmp(f.out.p, p + first, n) == 0);
	free(p);
}

START_TEST(static_streams_a_big_file)
{
	put_big();
	f.take = SIZE_MAX;
	get_whole("GET", "/big.bin", "");
	assert_big(0, BIG);
	/* Others got turns in between; turn() has the ends of two in it. */
	ck_assert_uint_le(f.turn_max, 2 * 4 * LOOP_SCRATCH);
	drop();
	get_whole("GET", "/big.bin", "Range: bytes=1000001-2000002\n");
	ck_assert_uint_eq(f.status, 206);
	assert_big(1000001, 1000002);
	drop();
}
END_TEST

/* Nothing of the scratch is touched within static_start: a caller's bytes may be in it. */
START_TEST(static_leaves_the_scratch_alone)
{
	uint8_t *p = loop_scratch(loop);

	put_big();
	memset(p, 'x', LOOP_SCRATCH);
	f.take = SIZE_MAX;
	begin("GET", "/big.bin", "");
	for (size_t i = 0; i < LOOP_SCRATCH; i++)
		ck_assert_int_eq(p[i], 'x');
	while (f.done == 0)
		turn();
	assert_big(0, BIG);
	drop();
}
END_TEST

/* fake_write sees to it that no piece comes while another is queued. */
START_TEST(static_waits_for_room)
{
	static const size_t takes[] = { 0, 1, 1000, 16384, LOOP_SCRATCH - 1 };

	put_big();
	for (size_t i = 0; i < UNIT_COUNT(takes); i++) {
		f.take = takes[i];
		begin("GET", "/big.bin", "");
		for (int n = 0; n < 1000 && f.done == 0; n++) {
			size_t before = f.out.n;

			turn();
			turn();
			if (f.queued > 0)
				ck_assert_uint_le(f.out.n - before, LOOP_SCRATCH);
			/* Not done before the kernel has it all. */
			ck_assert(f.done == 0 || f.queued == 0);
			room();
		}
		turn();
		ck_assert_uint_eq(f.done, 1);
		ck_assert(f.done_complete);
		ck_assert_uint_eq(f.done_bytes, BIG);
		assert_big(0, BIG);
		drop();
	}
}
END_TEST

START_TEST(static_waits_for_what_is_queued_already)
{
	f.take = SIZE_MAX;
	begin("GET", "/hello.txt", ""); /* for the set-up of f only */
	drop();
	put_big();
	f.take = 10;
	begin("GET", "/big.bin", "");
	ck_assert_uint_eq(f.out.n, 16384);
	for (int i = 0; i < 5; i++)
		turn();
	ck_assert_uint_eq(f.out.n, 16384);
	ck_assert_uint_eq(f.done, 0);
	f.s.ev->reset(&f.s, STREAM_E_PEER, "gone");
	f.s.ev = NULL;
	ck_assert_uint_eq(f.done, 1);
	turn();
	drop();
}
END_TEST

START_TEST(static_breaks_off_a_file_that_shrinks)
{
	put_big();
	f.take = SIZE_MAX;
	begin("GET", "/big.bin", "");
	ck_assert_uint_eq(f.done, 0);
	ck_assert_int_eq(truncate(path_of("big.bin"), 700000), 0);
	for (int i = 0; i < 100 && f.done == 0; i++)
		turn();
	ck_assert_uint_eq(f.done, 1);
	ck_assert(!f.done_complete);
	ck_assert_uint_eq(f.aborted, 1);
	ck_assert_uint_eq(f.closed + f.ended, 0);
	ck_assert_uint_eq(f.done_bytes, f.out.n);
	ck_assert_uint_le(f.out.n, 700000);
	turn();
	drop();
}
END_TEST

START_TEST(static_sends_no_more_of_a_file_that_grows)
{
	char *p = big_bytes();
	int fd;

	put_big();
	f.take = SIZE_MAX;
	begin("GET", "/big.bin", "");
	ck_assert_int_ne(fd = open(path_of("big.bin"), O_WRONLY | O_APPEND), -1);
	ck_assert_int_eq(write(fd, p, BIG), BIG);
	close(fd);
	free(p);
	while (f.done == 0)
		turn();
	ck_assert(f.done_complete);
	assert_big(0, BIG);
	drop();
}
END_TEST

/* The client leaves: at the start, while waiting for room, with the next share on its way. */
START_TEST(static_ends_with_its_stream)
{
	int fds = unit_count_fds();

	put_big();
	f.take = _i == 0 ? 10 : SIZE_MAX;
	begin("GET", "/big.bin", "");
	for (int i = 0; i < _i; i++)
		turn();
	if (_i == 0)
		room();
	ck_assert_uint_eq(f.done, 0);
	f.s.ev->reset(&f.s, STREAM_E_PEER, "gone");
	f.s.ev = NULL;
	ck_assert_uint_eq(f.done, 1);
	ck_assert(!f.done_complete);
	ck_assert_uint_eq(f.done_status, 200);
	ck_assert_uint_eq(f.done_bytes, f.out.n);
	for (int i = 0; i < 3; i++)
		turn();
	ck_assert_uint_eq(f.done, 1);
	ck_assert_uint_eq(f.closed + f.aborted + f.ended, 0);
	ck_assert_int_eq(unit_count_fds(), fds);
	drop();
}
END_TEST

START_TEST(static_gives_up_a_stream_that_takes_no_head)
{
	f.respond_fails = true;
	get("GET", "/hello.txt", "");
	ck_assert(!f.done_complete);
	ck_assert_uint_eq(f.aborted, 1);
	ck_assert_uint_eq(f.done_bytes, 0);
	drop();
}
END_TEST

START_TEST(static_gives_up_a_stream_that_takes_no_body)
{
	put_big();
	f.write_fails = true;
	get("GET", "/big.bin", "");
	ck_assert(!f.done_complete);
	ck_assert_uint_eq(f.aborted, 1);
	drop();
	f.write_fails = false;
	f.take = SIZE_MAX;
	begin("GET", "/big.bin", "");
	f.write_fails = true;
	for (int i = 0; i < 10 && f.done == 0; i++)
		turn();
	ck_assert_uint_eq(f.done, 1);
	ck_assert(!f.done_complete);
	ck_assert_uint_eq(f.aborted, 1);
	turn();
	drop();
}
END_TEST

static void
on_stop(struct loop_timer *t)
{
	(void)t;
	loop_stop(loop);
}

static void
wait_ms(uint64_t ms)
{
	struct loop_timer t = { .fn = on_stop };

	loop_timer_arm(loop, &t, loop_now_ms(loop) + ms);
	unit_loop_run(loop);
}

START_TEST(static_drops_a_client_that_takes_nothing)
{
	put_big();
	listen_section.idle_connection_timeout_ms = 10;
	f.take = 10;
	begin("GET", "/big.bin", "");
	/* As long as it takes something, it may go on. */
	f.trickles = true;
	wait_ms(100);
	ck_assert_uint_eq(f.done, 0);
	f.trickles = false;
	f.stop_on_done = true;
	unit_loop_run(loop);
	ck_assert_uint_eq(f.done, 1);
	ck_assert(!f.done_complete);
	ck_assert_uint_eq(f.aborted, 1);
	drop();
}
END_TEST

START_TEST(static_never_drops_a_client_when_told_so)
{
	static const uint64_t never[] = { 0, CONFIG_NEVER };

	put_big();
	listen_section.idle_connection_timeout_ms = never[_i];
	f.take = 10;
	begin("GET", "/big.bin", "");
	wait_ms(30);
	ck_assert_uint_eq(f.done, 0);
	f.s.ev->reset(&f.s, STREAM_E_PEER, "gone");
	turn();
	drop();
}
END_TEST

START_TEST(static_passes_over_a_body)
{
	uint8_t body[] = "body";

	put_big();
	f.take = 10;
	begin("GET", "/big.bin", "");
	f.s.ev->bytes(&f.s, body, 4);
	f.s.ev->end(&f.s);
	for (int i = 0; i < 100 && f.done == 0; i++) {
		turn();
		room();
	}
	turn();
	ck_assert(f.done_complete);
	assert_big(0, BIG);
	drop();
}
END_TEST

START_TEST(static_survives_without_memory)
{
	static const char *const targets[] = { "/hello.txt", "/sub?q", "/nothing" };
	bool pending = false;

	for (size_t i = 0; i < UNIT_COUNT(targets); i++) {
		pending = false;
		for (unsigned long n = 1; !pending; n++) {
			ck_assert_uint_lt(n, 20);
			f.take = SIZE_MAX;
			mem_fail_nth(n + 2); /* the first two are the fake's own */
			begin("GET", targets[i], "");
			pending = mem_fail_pending();
			mem_fail_nth(0);
			turn();
			ck_assert_uint_eq(f.done, 1);
			ck_assert_uint_eq(f.closed + f.aborted, 1);
			if (!pending)
				ck_assert(f.done_status == 500 || f.done_status == 503);
			drop();
		}
	}
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ static_serves_a_file, 1 },
		{ static_serves_head, 1 },
		{ static_serves_an_empty_file, 1 },
		{ static_date_is_never_in_the_future, 1 },
		{ static_finds_files_beneath_the_root_only, 1 },
		{ static_follows_links_beneath_the_root, 1 },
		{ static_takes_the_prefix_off, 1 },
		{ static_redirects_folders, 1 },
		{ static_knows_get_and_head_only, 1 },
		{ static_tells_of_files_that_may_not_be_read, 1 },
		{ static_is_busy_without_descriptors, 1 },
		{ static_has_nothing_without_a_root, 1 },
		{ static_minds_conditions, 1 },
		{ static_conditions_need_a_file, 1 },
		{ static_tag_changes_with_the_file, 1 },
		{ static_sends_ranges, 1 },
		{ static_takes_no_fresh_date_for_a_range, 1 },
		{ static_streams_a_big_file, 1 },
		{ static_leaves_the_scratch_alone, 1 },
		{ static_waits_for_room, 1 },
		{ static_waits_for_what_is_queued_already, 1 },
		{ static_breaks_off_a_file_that_shrinks, 1 },
		{ static_sends_no_more_of_a_file_that_grows, 1 },
		{ static_ends_with_its_stream, 3 },
		{ static_gives_up_a_stream_that_takes_no_head, 1 },
		{ static_gives_up_a_stream_that_takes_no_body, 1 },
		{ static_drops_a_client_that_takes_nothing, 1 },
		{ static_never_drops_a_client_when_told_so, 2 },
		{ static_passes_over_a_body, 1 },
		{ static_survives_without_memory, 1 },
	};

	return unit_run_cases("static", cases, UNIT_COUNT(cases), setup, teardown);
}
