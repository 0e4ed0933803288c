/*
 * Unit tests of src/gateway/static.[ch]: which file is served, and how a whole one is.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "unit_static.h"

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
	us_get_whole("GET", "/hello.txt", "");
	ck_assert_uint_eq(us.f.status, 200);
	ck_assert_str_eq(us.f.fields, HELLO_FIELDS);
	ck_assert(us_body_is(HELLO));
	us_drop();
}
END_TEST

START_TEST(static_serves_head)
{
	us_get_whole("HEAD", "/hello.txt", "Range: bytes=1-2\n");
	ck_assert_uint_eq(us.f.status, 200);
	ck_assert_str_eq(us.f.fields, HELLO_FIELDS);
	ck_assert_int_eq(us.f.body, HTTP_BODY_LENGTH);
	ck_assert_uint_eq(us.f.length, strlen(HELLO));
	us_drop();
}
END_TEST

START_TEST(static_serves_an_empty_file)
{
	us_get_whole("GET", "/empty.js", "");
	ck_assert_uint_eq(us.f.status, 200);
	ck_assert_str_eq(us_field("Content-Type"), "text/javascript; charset=utf-8");
	ck_assert_str_eq(us_field("ETag"), TAG("0"));
	us_drop();
}
END_TEST

START_TEST(static_date_is_never_in_the_future)
{
	struct timespec ts[2] = { { 4000000000, 0 }, { 4000000000, 0 } };

	ck_assert_int_eq(utimensat(AT_FDCWD, us_path("hello.txt"), ts, 0), 0);
	us_get_whole("GET", "/hello.txt", "");
	ck_assert_str_ne(us_field("Last-Modified"), "");
	ck_assert_ptr_null(strstr(us_field("Last-Modified"), "2096"));
	us_drop();
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
		us_get_whole("GET", paths[i].target, "");
		ck_assert_msg(
		    us.f.status == paths[i].status, "%s: %u", paths[i].target, us.f.status);
		ck_assert_msg(
		    paths[i].body == NULL || us_body_is(paths[i].body), "%s", paths[i].target);
		us_drop();
		us_get_whole("HEAD", paths[i].target, "");
		ck_assert_msg(
		    us.f.status == paths[i].status, "%s: %u", paths[i].target, us.f.status);
		us_drop();
	}
	memset(big, 'x', sizeof(big) - 1);
	big[0] = '/';
	big[sizeof(big) - 1] = '\0';
	us_get_whole("GET", big, "");
	ck_assert_uint_eq(us.f.status, 404);
	us_drop();
}
END_TEST

START_TEST(static_follows_links_beneath_the_root)
{
	us_get_whole("GET", "/in.txt", "");
	if (us.f.status == 200) { /* a kernel with openat2 */
		ck_assert(us_body_is("in sub"));
		us_drop();
		us_get_whole("GET", "/insub/a.txt", "");
		ck_assert(us_body_is("in sub"));
	}
	us_drop();
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
		us.route.path_is_prefix = path[n - 1] == '*';
		if (us.route.path_is_prefix)
			path[n - 1] = '\0';
		us.route.path = path;
		us_get_whole("GET", cases[i].target, "");
		ck_assert_msg(
		    us.f.status == cases[i].status, "%s: %u", cases[i].target, us.f.status);
		ck_assert(cases[i].body == NULL || us_body_is(cases[i].body));
		us_drop();
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
		us_get_whole(i % 2 == 0 ? "GET" : "HEAD", cases[i].target, "");
		ck_assert_uint_eq(us.f.status, 301);
		ck_assert_str_eq(us_field("Location"), cases[i].location);
		ck_assert_int_eq(us.f.body, HTTP_BODY_NONE);
		us_drop();
	}
	us_get_whole("GET", "/\\evil.example", "");
	ck_assert_uint_eq(us.f.status, 404);
	us_drop();
	/* the route's own folder, when its path came without the slash */
	us.route.path = (char *)(uintptr_t) "/files/";
	us_get_whole("GET", "/files?q", "");
	ck_assert_uint_eq(us.f.status, 301);
	ck_assert_str_eq(us_field("Location"), "/files/?q");
	us_drop();
}
END_TEST

START_TEST(static_knows_get_and_head_only)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get",
		"PATCH", "CONNECT" };

	for (size_t i = 0; i < UNIT_COUNT(methods); i++) {
		us_get_whole(methods[i], "/hello.txt", "");
		ck_assert_uint_eq(us.f.status, 405);
		ck_assert_str_eq(us_field("Allow"), "GET, HEAD");
		us_drop();
	}
}
END_TEST

START_TEST(static_tells_of_files_that_may_not_be_read)
{
	us_put("locked.txt", "locked");
	ck_assert_int_eq(chmod(us_path("locked.txt"), 0), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	us_get_whole("GET", "/locked.txt", "");
	ck_assert_uint_eq(us.f.status, 403);
	us_drop();
	us_get_whole("GET", "/hello.txt", "");
	ck_assert_uint_eq(us.f.status, 200);
	us_drop();
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
	us.f.take = SIZE_MAX;
	us_begin("GET", "/hello.txt", "");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_uint_eq(us.f.done, 1);
	ck_assert_uint_eq(us.f.status, 503);
	ck_assert_uint_eq(us.f.done_status, 503);
	ck_assert_str_ne(us_field("Retry-After"), "");
	us_drop();
}
END_TEST

START_TEST(static_has_nothing_without_a_root)
{
	us.route.document_root = (char *)(uintptr_t) "/nonexistent/folder";
	us_get_whole("GET", "/hello.txt", "");
	ck_assert_uint_eq(us.f.status, 404);
	us_drop();
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
			us.f.take = SIZE_MAX;
			mem_fail_nth(n + 3); /* the first three are the fake's own */
			us_begin("GET", targets[i], "");
			pending = mem_fail_pending();
			mem_fail_nth(0);
			us_turn();
			ck_assert_uint_eq(us.f.done, 1);
			ck_assert_uint_eq(us.f.closed + us.f.aborted, 1);
			if (!pending)
				ck_assert(us.f.done_status == 500 || us.f.done_status == 503);
			us_drop();
		}
	}
}

int
main(void)
{
	const TTest *const cases[] = {
		static_serves_a_file,
		static_serves_head,
		static_serves_an_empty_file,
		static_date_is_never_in_the_future,
		static_finds_files_beneath_the_root_only,
		static_follows_links_beneath_the_root,
		static_takes_the_prefix_off,
		static_redirects_folders,
		static_knows_get_and_head_only,
		static_tells_of_files_that_may_not_be_read,
		static_is_busy_without_descriptors,
		static_has_nothing_without_a_root,
		static_survives_without_memory,
	};

	return unit_run_with("static", cases, UNIT_COUNT(cases), us_setup, us_teardown);
}
