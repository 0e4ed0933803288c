/* What the tests of src/gateway/static.c share; see unit_static.h. */
#include "unit_static.h"

#include <sys/stat.h>
#include <sys/un.h>

#include "gateway/static_files.h"

struct us us;

static int
us_fake_respond(struct stream *s, const struct stream_response *r)
{
	size_t n = 0;

	ck_assert_ptr_eq(s, &us.f.s);
	ck_assert_uint_eq(us.f.status, 0);
	us.f.status = r->status;
	us.f.body = r->body;
	us.f.length = r->content_length;
	for (size_t i = 0; i < r->n_fields; i++) {
		ck_assert(http_is_token(r->field[i].name));
		ck_assert(http_is_field_value(r->field[i].value));
		n += (size_t)snprintf(us.f.fields + n, sizeof(us.f.fields) - n, "%.*s: %.*s\n",
		    SPAN_ARG(r->field[i].name), SPAN_ARG(r->field[i].value));
		ck_assert_uint_lt(n, sizeof(us.f.fields));
	}
	return us.f.respond_fails ? -1 : 0;
}

static int
us_fake_write(struct stream *s, const struct iovec *iov, int n)
{
	size_t bytes = 0, can = us.f.take;

	ck_assert_ptr_eq(s, &us.f.s);
	ck_assert_uint_ne(us.f.status, 0);
	ck_assert_uint_eq(us.f.ended + us.f.closed + us.f.aborted, 0);
	ck_assert_uint_eq(us.f.queued, 0);
	if (us.f.write_fails)
		return -1;
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(buf_append(&us.f.out, iov[i].iov_base, iov[i].iov_len), 0);
		bytes += iov[i].iov_len;
	}
	ck_assert_uint_le(bytes, LOOP_SCRATCH);
	us.f.queued = bytes > can ? bytes - can : 0;
	us.f.turn_bytes += bytes;
	if (us.f.turn_bytes > us.f.turn_max)
		us.f.turn_max = us.f.turn_bytes;
	return 0;
}

static ssize_t
us_fake_send_file(struct stream *s, int fd, uint64_t off, size_t n)
{
	size_t can = n < us.f.take ? n : us.f.take;
	char *p;

	ck_assert_ptr_eq(s, &us.f.s);
	ck_assert_uint_ne(us.f.status, 0);
	ck_assert_uint_eq(us.f.ended + us.f.closed + us.f.aborted, 0);
	ck_assert_uint_eq(us.f.queued, 0);
	ck_assert_uint_gt(n, 0);
	if (!us.f.files || us.f.no_files_now || us.f.write_fails) {
		errno = us.f.write_fails ? EPIPE : EOPNOTSUPP;
		return -1;
	}
	us.f.sent_files++;
	p = malloc(can + 1);
	n = (size_t)pread(fd, p, can, (off_t)off);
	ck_assert_int_eq(buf_append(&us.f.out, p, n), 0);
	free(p);
	us.f.turn_bytes += n;
	if (us.f.turn_bytes > us.f.turn_max)
		us.f.turn_max = us.f.turn_bytes;
	if (n > 0 || can == 0)
		return (ssize_t)n;
	errno = ENODATA;
	return -1;
}

static void
us_fake_end(struct stream *s)
{
	ck_assert_ptr_eq(s, &us.f.s);
	ck_assert_uint_eq(us.f.closed + us.f.aborted, 0);
	us.f.ended++;
}

static void
us_fake_close(struct stream *s, uint64_t linger_ms)
{
	ck_assert_ptr_eq(s, &us.f.s);
	ck_assert_uint_gt(linger_ms, 0);
	us.f.closed++;
}

static void
us_fake_abort(struct stream *s)
{
	ck_assert_ptr_eq(s, &us.f.s);
	us.f.aborted++;
}

static size_t
us_fake_queued(const struct stream *s)
{
	ck_assert_ptr_eq(s, &us.f.s);
	if (us.f.trickles)
		us.f.queued--;
	return us.f.queued;
}

static const struct stream_info *
us_fake_info(const struct stream *s)
{
	ck_assert_ptr_eq(s, &us.f.s);
	return &us.info;
}

static const struct stream_ops us_fake_ops = {
	.respond = us_fake_respond,
	.write = us_fake_write,
	.send_file = us_fake_send_file,
	.end = us_fake_end,
	.close = us_fake_close,
	.abort = us_fake_abort,
	.queued = us_fake_queued,
	.info = us_fake_info,
};

static void
us_on_done(void *arg, unsigned status, uint64_t body_bytes, bool complete)
{
	ck_assert_ptr_eq(arg, &us.f);
	us.f.done++;
	us.f.done_status = status;
	us.f.done_bytes = body_bytes;
	us.f.done_complete = complete;
	if (us.f.stop_on_done)
		loop_stop(us.loop);
}

/* ---- files */

const char *
us_path(const char *name)
{
	static char path[600];

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%s", us.root, name), (int)sizeof(path));
	return path;
}

void
us_put_bytes(const char *name, const void *p, size_t n)
{
	struct timespec ts[2] = { { MTIME, 678000000 }, { MTIME, 678000000 } };
	int fd = open(us_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	ck_assert_int_eq(futimens(fd, ts), 0);
	close(fd);
}

void
us_put(const char *name, const char *text)
{
	us_put_bytes(name, text, strlen(text));
}

char *
us_big_bytes(void)
{
	char *p = malloc(BIG);
	uint32_t seed = 1;

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)unit_random(&seed);
	return p;
}

void
us_put_big(void)
{
	char *p = us_big_bytes();

	us_put_bytes("big.bin", p, BIG);
	free(p);
}

static void
us_put_socket(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_lt(snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", us_path(name)),
	    (int)sizeof(sun.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
}

void
us_setup(void)
{
	char secret[300];
	int fd;

	unit_dir(us.dir, sizeof(us.dir));
	ck_assert_int_eq(chmod(us.dir, 0755), 0);
	snprintf(us.root, sizeof(us.root), "%s/root", us.dir);
	snprintf(secret, sizeof(secret), "%s/secret", us.dir);
	ck_assert_int_ne(fd = open(secret, O_WRONLY | O_CREAT, 0644), -1);
	close(fd);
	ck_assert_int_eq(mkdir(us.root, 0755), 0);
	ck_assert_int_eq(mkdir(us_path("sub"), 0755), 0);
	ck_assert_int_eq(mkdir(us_path("empty"), 0755), 0);
	ck_assert_int_eq(mkdir(us_path("odd"), 0755), 0);
	ck_assert_int_eq(mkdir(us_path("odd/index.html"), 0755), 0);
	ck_assert_int_eq(mkdir(us_path("evil.example"), 0755), 0);
	ck_assert_int_eq(mkdir(us_path(".well-known"), 0755), 0);
	us_put("index.html", "root index");
	us_put("sub/index.html", "sub index");
	us_put("sub/a.txt", "in sub");
	us_put("hello.txt", HELLO);
	us_put("a b%.css", "odd name");
	us_put("empty.js", "");
	us_put("digits", "0123456789");
	us_put(".hidden", "hidden");
	us_put(".well-known/x", "known");
	ck_assert_int_eq(symlink("sub/a.txt", us_path("in.txt")), 0);
	ck_assert_int_eq(symlink("sub", us_path("insub")), 0);
	ck_assert_int_eq(symlink("../secret", us_path("out.txt")), 0);
	ck_assert_int_eq(symlink("..", us_path("outdir")), 0);
	ck_assert_int_eq(symlink("/etc/passwd", us_path("passwd")), 0);
	ck_assert_int_eq(mkfifo(us_path("fifo"), 0644), 0);
	us_put_socket("socket");
	ck_assert_ptr_nonnull(us.loop = loop_new());
	memset(&us.info, 0, sizeof(us.info));
	us.listen.idle_connection_timeout_ms = 300000;
	us.info.listen = &us.listen;
	us.info.http = "1.1";
	memset(&us.route, 0, sizeof(us.route));
	us.route.path = (char *)(uintptr_t) "/";
	us.route.path_is_prefix = true;
	us.route.document_root = us.root;
}

void
us_teardown(void)
{
	char command[300];

	loop_free(us.loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", us.dir);
	ck_assert_int_eq(system(command), 0);
}

/* ---- requests */

/* "Name: value" lines into h. */
static void
us_add_fields(struct http_head *h, const char *text)
{
	while (*text != '\0') {
		const char *colon = strchr(text, ':'), *end = strchr(text, '\n');

		h->field[h->n_fields].name = (struct span){ text, (size_t)(colon - text) };
		h->field[h->n_fields++].value =
		    span_trim((struct span){ colon + 1, (size_t)(end - colon - 1) });
		text = end + 1;
	}
}

void
us_begin(const char *method, const char *target, const char *fields)
{
	static struct http_head h;
	struct stream_request r = { .head = &h };
	struct static_files *files = static_files_new(us.loop);
	const char *query = strchr(target, '?');
	size_t take = us.f.take;
	bool sends = us.f.files;
	bool respond_fails = us.f.respond_fails, write_fails = us.f.write_fails;

	memset(&us.f, 0, sizeof(us.f));
	us.f.take = take;
	us.f.files = sends;
	us.f.respond_fails = respond_fails;
	us.f.write_fails = write_fails;
	us.f.s.ops = &us_fake_ops;
	buf_init(&us.f.out, 64 << 20);
	ck_assert_int_eq(buf_reserve(&us.f.out, 1024), 0);
	memset(&h, 0, sizeof(h));
	h.method = span_from_str(method);
	h.path = (struct span){ target, query != NULL ? (size_t)(query - target) : strlen(target) };
	h.query = query != NULL ? span_from_str(query + 1) : SPAN_NONE;
	us_add_fields(&h, fields);
	static_start(us.loop, files, &us.f.s, &r, &us.route, us_on_done, &us.f);
	static_files_free(files); /* what is open is the file's */
	/* Borrowed for the call. */
	memset(&h, 'x', sizeof(h));
}

void
us_turn(void)
{
	us.f.turn_bytes = 0;
	unit_loop_turns(us.loop, 1);
}

void
us_room(void)
{
	if (us.f.queued == 0)
		return;
	us.f.queued = 0;
	if (us.f.s.ev != NULL)
		us.f.s.ev->room(&us.f.s);
}

void
us_get(const char *method, const char *target, const char *fields)
{
	int fds = unit_count_fds();

	if (us.f.take == 0)
		us.f.take = SIZE_MAX;
	us_begin(method, target, fields);
	for (int i = 0; i < 1000 && us.f.done == 0; i++) {
		us_turn();
		us_room();
	}
	us_turn();
	ck_assert_msg(us.f.done == 1, "%s %s: done %u times", method, target, us.f.done);
	ck_assert_uint_eq(us.f.closed + us.f.aborted, 1);
	ck_assert_ptr_null(us.f.s.ev);
	ck_assert_uint_eq(us.f.done_status, us.f.status);
	ck_assert_int_eq(unit_count_fds(), fds);
}

void
us_get_whole(const char *method, const char *target, const char *fields)
{
	us_get(method, target, fields);
	ck_assert(us.f.done_complete);
	ck_assert_uint_eq(us.f.closed, 1);
	ck_assert_uint_eq(us.f.ended, 1);
	ck_assert_uint_eq(us.f.done_bytes, us.f.out.n);
	if (us.f.body == HTTP_BODY_LENGTH && strcmp(method, "HEAD") != 0)
		ck_assert_uint_eq(us.f.out.n, us.f.length);
	else
		ck_assert_uint_eq(us.f.out.n, 0);
}

void
us_drop(void)
{
	buf_clear(&us.f.out);
}

bool
us_body_is(const char *text)
{
	return span_eq(buf_span(&us.f.out), span_from_str(text));
}

const char *
us_field(const char *name)
{
	static char value[9000];
	char line[100];
	const char *p;

	snprintf(line, sizeof(line), "%s: ", name);
	if ((p = strstr(us.f.fields, line)) == NULL)
		return "";
	snprintf(
	    value, sizeof(value), "%.*s", (int)strcspn(p + strlen(line), "\n"), p + strlen(line));
	return value;
}
