/* Unit tests of src/gateway/static_name.[ch]. */
#include "gateway/static_name.h"

#include <stdio.h>

#include "unit.h"

static const struct {
	const char *route, *path; /* a route that ends in '*' is a prefix */
	enum static_name st;
	const char *name;
	bool is_dir;
} names[] = {
	{ "/app/*", "/app/a.html", STATIC_NAME_OK, "a.html", false },
	{ "/app/*", "/app/", STATIC_NAME_OK, "", true },
	{ "/app/*", "/app/b/c", STATIC_NAME_OK, "b/c", false },
	{ "/app/*", "/app/b/c/", STATIC_NAME_OK, "b/c", true },
	{ "/app/*", "/app//b///c//", STATIC_NAME_OK, "b/c", true },
	{ "/app/*", "/app//etc/passwd", STATIC_NAME_OK, "etc/passwd", false },
	{ "/*", "/", STATIC_NAME_OK, "", true },
	{ "/*", "//", STATIC_NAME_OK, "", true },
	{ "/*", "/a", STATIC_NAME_OK, "a", false },
	{ "/a*", "/abc", STATIC_NAME_OK, "bc", false },
	{ "/a*", "/a/bc", STATIC_NAME_OK, "bc", false },
	{ "/a*", "/a", STATIC_NAME_OK, "", true },
	/* decoded once */
	{ "/*", "/%61%2e%42%C3%a9", STATIC_NAME_OK, "a.B\xc3\xa9", false },
	{ "/*", "/a%20b", STATIC_NAME_OK, "a b", false },
	{ "/*", "/%2561", STATIC_NAME_OK, "%61", false },
	{ "/*", "/a+b", STATIC_NAME_OK, "a+b", false },
	{ "/*", "/%252e%252e/x", STATIC_NAME_OK, "%2e%2e/x", false },
	/* dots that hide nothing */
	{ "/*", "/a..b/c.", STATIC_NAME_OK, "a..b/c.", false },
	{ "/*", "/.well-known/x", STATIC_NAME_OK, ".well-known/x", false },
	{ "/*", "/a/%2ewell-known", STATIC_NAME_OK, "a/.well-known", false },
	/* the folder's own slash */
	{ "/app/*", "/app", STATIC_NAME_SLASH, NULL, false },
	{ "/app/*", "/ap", STATIC_NAME_REFUSED, NULL, false },
	{ "/app/*", "/b/a.html", STATIC_NAME_REFUSED, NULL, false },
	{ "/app*", "/ap", STATIC_NAME_REFUSED, NULL, false },
	/* an exact route's last segment */
	{ "/x/a.html", "/x/a.html", STATIC_NAME_OK, "a.html", false },
	{ "/", "/", STATIC_NAME_OK, "", true },
	{ "/x/", "/x/", STATIC_NAME_OK, "", true },
	{ "/x/..", "/x/..", STATIC_NAME_REFUSED, NULL, false },
	/* ways out, and what hides them */
	{ "/*", "/..", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/../", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/../etc/passwd", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a/../b", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a/..", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/%2e%2e/x", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/%2E./x", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/.%2e/x", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a/./b", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/.", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/..%2fx", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%2fb", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%2Fb", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a\\b", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/..\\b", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%5cb", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%00", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%00.html", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/%00", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%0a", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a%7f", STATIC_NAME_REFUSED, NULL, false },
	/* hidden files */
	{ "/*", "/.git/config", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/a/.htaccess", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/%2ehtaccess", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/.well-known2/x", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/.well-known/.x", STATIC_NAME_REFUSED, NULL, false },
	{ "/*", "/.well-known/..", STATIC_NAME_REFUSED, NULL, false },
	/* no URL */
	{ "/*", "/%", STATIC_NAME_BAD, NULL, false },
	{ "/*", "/%4", STATIC_NAME_BAD, NULL, false },
	{ "/*", "/a%zz", STATIC_NAME_BAD, NULL, false },
	{ "/*", "/a%4/b", STATIC_NAME_BAD, NULL, false },
	{ "/*", "/../%", STATIC_NAME_BAD, NULL, false },
};

static void
make_route(struct config_route *r, char *path, size_t size, const char *text)
{
	size_t n = strlen(text);

	memset(r, 0, sizeof(*r));
	snprintf(path, size, "%s", text);
	r->path_is_prefix = text[n - 1] == '*';
	if (r->path_is_prefix)
		path[n - 1] = '\0';
	r->path = path;
}

START_TEST(static_name_follows_the_path)
{
	char path[100], *name = malloc(STATIC_NAME_MAX), *url;
	struct config_route r;
	bool is_dir = false;

	for (size_t i = 0; i < UNIT_COUNT(names); i++) {
		size_t n = strlen(names[i].path);

		make_route(&r, path, sizeof(path), names[i].route);
		/* Exactly as long as it says, so that a sanitizer sees each step too far. */
		url = malloc(n);
		memcpy(url, names[i].path, n);
		ck_assert_msg(
		    static_name_make((struct span){ url, n }, &r, name, &is_dir) == names[i].st,
		    "%s %s", names[i].route, names[i].path);
		free(url);
		if (names[i].st != STATIC_NAME_OK)
			continue;
		ck_assert_str_eq(name, names[i].name);
		ck_assert_msg(is_dir == names[i].is_dir, "%s", names[i].path);
	}
	free(name);
}
END_TEST

START_TEST(static_name_has_a_longest)
{
	static char path[STATIC_NAME_MAX + 2];
	char *name = malloc(STATIC_NAME_MAX), route[10];
	struct config_route r;
	bool is_dir;

	make_route(&r, route, sizeof(route), "/*");
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	ck_assert_int_eq(
	    static_name_make((struct span){ path, STATIC_NAME_MAX }, &r, name, &is_dir),
	    STATIC_NAME_OK);
	ck_assert_uint_eq(strlen(name), STATIC_NAME_MAX - 1);
	ck_assert_int_eq(
	    static_name_make((struct span){ path, STATIC_NAME_MAX + 1 }, &r, name, &is_dir),
	    STATIC_NAME_REFUSED);
	free(name);
}
END_TEST

/* Every byte, raw and encoded: only what the rules let through, and never a slash. */
START_TEST(static_name_judges_every_byte)
{
	char path[10], route[10], name[STATIC_NAME_MAX];
	struct config_route r;
	bool is_dir;

	make_route(&r, route, sizeof(route), "/*");
	for (unsigned c = 0; c < 256; c++) {
		bool good = c >= 0x20 && c != 0x7f && c != '/' && c != '\\';

		snprintf(path, sizeof(path), "/x%%%02x", c);
		ck_assert_msg(static_name_make((struct span){ path, 5 }, &r, name, &is_dir) ==
			(good ? STATIC_NAME_OK : STATIC_NAME_REFUSED),
		    "%02x", c);
		if (good)
			ck_assert(strlen(name) == 2 && name[1] == (char)c);
		path[2] = (char)c;
		if (c != '%' && c != '/')
			ck_assert_msg(static_name_make((struct span){ path, 3 }, &r, name,
					  &is_dir) == (good ? STATIC_NAME_OK : STATIC_NAME_REFUSED),
			    "%02x", c);
	}
}
END_TEST

START_TEST(static_name_knows_types)
{
	static const struct {
		const char *name, *type;
	} types[] = {
		{ "index.html", "text/html; charset=utf-8" },
		{ "a/b.CSS", "text/css; charset=utf-8" },
		{ "a.js", "text/javascript; charset=utf-8" },
		{ "a.mjs", "text/javascript; charset=utf-8" },
		{ "a.json", "application/json" },
		{ "a.js.map", "application/json" },
		{ "a.svg", "image/svg+xml" },
		{ "a.ico", "image/vnd.microsoft.icon" },
		{ "a.txt", "text/plain; charset=utf-8" },
		{ "a.woff2", "font/woff2" },
		{ "a.wasm", "application/wasm" },
		{ "a.webmanifest", "application/manifest+json" },
		{ "a.tar.gz", "application/gzip" },
		{ "README", "application/octet-stream" },
		{ "a.", "application/octet-stream" },
		{ "a.html/b", "application/octet-stream" },
		{ "a.html/.png", "image/png" },
		{ "a.unknown", "application/octet-stream" },
		{ "", "application/octet-stream" },
	};

	for (size_t i = 0; i < UNIT_COUNT(types); i++)
		ck_assert_str_eq(static_name_type(types[i].name), types[i].type);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		static_name_follows_the_path,
		static_name_has_a_longest,
		static_name_judges_every_byte,
		static_name_knows_types,
	};

	return unit_run("static_name", cases, UNIT_COUNT(cases));
}
