/* Unit tests of src/policy/route.c. */
#include "policy/route.h"

#include "unit_config.h"

#define ROUTE(name, match) "[route " name "]\nAction=echo\n" match "\n"

static const char route_text[] = "[listen a]\nAddress=*:0\n" ROUTE("any", "Path=/*")
    ROUTE("any-exact", "Path=/app") ROUTE("any-app", "Path=/app/*")
	ROUTE("any-deep", "Path=/app/deep/*") ROUTE("any-deep-x", "Path=/app/deep/x")
	    ROUTE("utf8", "Path=/\xc3\xbc b/*") ROUTE("wild", "Host=*.example.com\nPath=/app/*")
		ROUTE("wilder", "Host=*.b.example.com\nPath=/app/*")
		    ROUTE("host", "Host=a.b.example.com\nPath=/host/*")
			ROUTE("six", "Host=[::1]\nPath=/*") "[route files]\nAction=static\n"
							    "DocumentRoot=/tmp\nPath=/files/*\n";

static void
route_load(struct unit_config *u)
{
	unit_config_init(u);
	unit_config_load_text(u, route_text);
	ck_assert_msg(u->c != NULL, "%s", unit_config_log(u));
}

struct route_row {
	const char *host, *path, *route;
};

static void
route_expect(const struct unit_config *u, const struct route_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct config_route *r =
		    route_find(u->c, span_from_str(rows[i].host), span_from_str(rows[i].path));

		ck_assert_msg(rows[i].route == NULL
			? r == NULL
			: r != NULL && strcmp(r->name, rows[i].route) == 0,
		    "%s%s goes to %s", rows[i].host, rows[i].path, r != NULL ? r->name : "none");
	}
}

START_TEST(route_path_exact_then_longest)
{
	static const struct route_row rows[] = {
		{ "x", "/", "any" },
		{ "x", "/foo", "any" },
		{ "x", "/app", "any-exact" },
		{ "x", "/app/", "any-app" },
		{ "x", "/app/x", "any-app" },
		{ "x", "/apple", "any" },
		{ "x", "/APP/x", "any" },
		{ "x", "/app/deep", "any-app" },
		{ "x", "/app/deep/", "any-deep" },
		{ "x", "/app/deep/x", "any-deep-x" },
		{ "x", "/app/deep/x/", "any-deep" },
		{ "x", "", NULL },
		{ "x", "*", NULL },
		{ "x", "app/", NULL },
	};
	struct unit_config u;

	route_load(&u);
	route_expect(&u, rows, UNIT_COUNT(rows));
	unit_config_clear(&u);
}
END_TEST

START_TEST(route_host_comes_first)
{
	static const struct route_row rows[] = {
		{ "example.com", "/app/x", "any-app" },
		{ "a.example.com", "/app/x", "wild" },
		{ "A.Example.COM:8443", "/app/x", "wild" },
		{ "a.example.com.", "/app/x", "wild" },
		{ "a.example.com.:80", "/app/x", "wild" },
		{ "c.a.example.com", "/app/x", "wild" },
		{ ".example.com", "/app/x", "any-app" },
		{ "xexample.com", "/app/x", "any-app" },
		{ "b.example.com", "/app/x", "wild" },
		{ "c.b.example.com", "/app/x", "wilder" },
		/* the longer prefix of another host does not win */
		{ "a.example.com", "/app/deep/x", "wild" },
		/* the best host without the path gives way to the next */
		{ "a.b.example.com", "/host/x", "host" },
		{ "a.b.example.com", "/app/x", "wilder" },
		{ "a.b.example.com", "/app", "any-exact" },
		{ "a.b.example.com", "/", "any" },
		{ "[::1]", "/x", "six" },
		{ "[::1]:8080", "/x", "six" },
		{ "[::2]:8080", "/x", "any" },
		{ "[::1", "/x", "any" },
		{ "", "/x", "any" },
		{ ":80", "/x", "any" },
	};
	struct unit_config u;

	route_load(&u);
	route_expect(&u, rows, UNIT_COUNT(rows));
	unit_config_clear(&u);
}
END_TEST

START_TEST(route_escapes_hide_nothing)
{
	static const struct route_row rows[] = {
		{ "x", "/%61pp", "any-exact" },
		{ "x", "/%61%70p/x", "any-app" },
		{ "x", "/app/%64eep/%78", "any-deep-x" },
		{ "x", "/app%2Fx", "any" },
		{ "x", "/app%2f", "any" },
		{ "x", "/app%00", "any" },
		{ "x", "/app%", "any" },
		{ "x", "/app%6", "any" },
		{ "x", "/app%zz", "any" },
		{ "x", "/%2561pp", "any" },
		{ "x", "/%c3%BC%20b/", "utf8" },
		{ "x", "/\xc3\xbc b/", "utf8" },
		{ "x", "/%c3%BC%20b", "any" },
	};
	struct unit_config u;

	route_load(&u);
	route_expect(&u, rows, UNIT_COUNT(rows));
	unit_config_clear(&u);
}
END_TEST

START_TEST(route_dot_segments_have_no_route)
{
	static const struct route_row rows[] = {
		{ "x", "/.", NULL },
		{ "x", "/..", NULL },
		{ "x", "/./app/x", NULL },
		{ "x", "/x/../app/x", NULL },
		{ "x", "/%2e%2E/app", NULL },
		{ "x", "/.%2e", NULL },
		{ "x", "/app/%2e/x", NULL },
		{ "x", "..", NULL },
		{ "x", "/x\\..", NULL },
		{ "x", "/a.b/.c/..", NULL },
		{ "x", "/...", "any" },
		{ "x", "/.a/..b/c..", "any" },
		{ "x", "/a./b../", "any" },
		/* Some applications decode first. */
		{ "x", "/..%2Fapp", NULL },
		{ "x", "/x/%2e.%2fapp", NULL },
		{ "x", "/x%2f..", NULL },
		{ "x", "/x%5C..%5cy", NULL },
		{ "x", "/x%2f..y%2f...", "any" },
		{ "x", "/..%2", "any" },
		{ "x", "/..%252f", "any" },
	};
	struct unit_config u;

	route_load(&u);
	route_expect(&u, rows, UNIT_COUNT(rows));
	unit_config_clear(&u);
}
END_TEST

START_TEST(route_static_folder_goes_to_its_route)
{
	static const struct route_row rows[] = {
		{ "x", "/files", "files" },
		{ "x", "/files/", "files" },
		{ "x", "/filesx", "any" },
		{ "x", "/file", "any" },
	};
	struct unit_config u;

	route_load(&u);
	route_expect(&u, rows, UNIT_COUNT(rows));
	unit_config_clear(&u);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		route_path_exact_then_longest,
		route_host_comes_first,
		route_escapes_hide_nothing,
		route_dot_segments_have_no_route,
		route_static_folder_goes_to_its_route,
	};

	return unit_run("route", cases, UNIT_COUNT(cases));
}
