/*
 * Which route serves a request; see route.h.  Pure, any thread; called by
 * gateway/ for each request and by --explain.
 */
#include "policy/route.h"

#include "base/num.h"

/* How well something matches; larger is better, 0 is not at all. */
#define ROUTE_EXACT SIZE_MAX

/* The next byte of the path with its escape undone; *used bytes stood for it. */
static unsigned char
route_next(struct span path, size_t *used)
{
	int hi, lo, c;

	*used = 1;
	if (path.p[0] != '%' || path.n < 3)
		return (unsigned char)path.p[0];
	hi = num_hex_digit(path.p[1]);
	lo = num_hex_digit(path.p[2]);
	if (hi == -1 || lo == -1)
		return '%';
	c = hi << 4 | lo;
	if (c == '/' || c == '\0')
		return '%'; /* stays as it was sent, and compares as that */
	*used = 3;
	return (unsigned char)c;
}

/* Bytes of the path that stand for all of `prefix`; SIZE_MAX when it does not begin so. */
static size_t
route_skip_prefix(const char *prefix, struct span path)
{
	size_t at = 0, used;

	for (const char *p = prefix; *p != '\0'; p++) {
		if (at == path.n ||
		    route_next((struct span){ path.p + at, path.n - at }, &used) !=
			(unsigned char)*p)
			return SIZE_MAX;
		at += used;
	}
	return at;
}

/*
 * The same, where a slash that is escaped, or a backslash, is one to whoever decodes before
 * looking for segments.
 */
static unsigned char
route_next_or_slash(struct span path, size_t *used)
{
	unsigned char c = route_next(path, used);

	if (c == '%' && path.n >= 3 && num_hex_digit(path.p[1]) == 2 &&
	    num_hex_digit(path.p[2]) == 15) {
		*used = 3;
		return '/';
	}
	return c == '\\' ? '/' : c;
}

/*
 * Whether there may be such a segment: most paths have no escape, and no dot where a segment
 * begins.
 */
static bool
route_may_have_dot_segment(struct span path)
{
	const char *p = path.p, *end = path.p + path.n;

	if (path.n == 0 || memchr(p, '%', path.n) != NULL)
		return path.n > 0;
	for (; p < end && (p = memchr(p, '.', (size_t)(end - p))) != NULL; p++)
		if (p == path.p || p[-1] == '/' || p[-1] == '\\')
			return true;
	return false;
}

/*
 * A segment that is "." or "..", escaped or not: whether it leads elsewhere is not the same to
 * every application.
 */
static bool
route_has_dot_segment(struct span path)
{
	size_t dots = 0, others = 0, used = 1;

	for (size_t at = 0; at < path.n; at += used) {
		unsigned char c =
		    route_next_or_slash((struct span){ path.p + at, path.n - at }, &used);

		if (c == '/') {
			if (others == 0 && (dots == 1 || dots == 2))
				return true;
			dots = others = 0;
		} else if (c == '.') {
			dots++;
		} else {
			others++;
		}
	}
	return others == 0 && (dots == 1 || dots == 2);
}

/* `/app` for a static route of `/app/`, which answers it with the slash added. */
static bool
route_is_folder(const struct config_route *r, struct span path)
{
	size_t n = strlen(r->path);

	return r->action == CONFIG_ACTION_STATIC && r->path_is_prefix && n > 1 && path.n == n - 1 &&
	    memcmp(path.p, r->path, n - 1) == 0;
}

static size_t
route_rank_path(const struct config_route *r, struct span path)
{
	size_t used = route_skip_prefix(r->path, path);

	if (used == SIZE_MAX)
		return route_is_folder(r, path) ? strlen(r->path) : 0;
	if (r->path_is_prefix)
		return strlen(r->path);
	return used == path.n ? ROUTE_EXACT : 0;
}

static size_t
route_rank_host(const struct config_route *r, struct span host)
{
	struct span want = span_from_str(r->host);

	if (r->host == NULL)
		return 1;
	if (want.n < 2 || want.p[0] != '*')
		return span_eq_nocase(want, host) ? ROUTE_EXACT : 0;
	want.p++, want.n--; /* ".example.com" */
	if (host.n <= want.n || host.p[0] == '.')
		return 0;
	return span_eq_nocase(want, (struct span){ host.p + host.n - want.n, want.n }) ? want.n + 1
										       : 0;
}

/* Without the port and a last dot. */
static struct span
route_bare_host(struct span host)
{
	const char *end = NULL;

	if (host.n > 0 && host.p[0] == '[')
		end = memchr(host.p, ']', host.n);
	if (end != NULL) {
		host.n = (size_t)(end - host.p) + 1;
		return host;
	}
	if (host.n > 0 && (end = memchr(host.p, ':', host.n)) != NULL)
		host.n = (size_t)(end - host.p);
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

const struct config_route *
route_find(const struct config *c, struct span host, struct span path)
{
	const struct config_route *best = NULL;
	size_t best_host = 0, best_path = 0, by_host, by_path;

	if (route_may_have_dot_segment(path) && route_has_dot_segment(path))
		return NULL;
	host = route_bare_host(host);
	for (size_t i = 0; i < c->n_route; i++) {
		by_host = route_rank_host(&c->route[i], host);
		if (by_host == 0 || by_host < best_host)
			continue;
		by_path = route_rank_path(&c->route[i], path);
		if (by_path == 0 || (by_host == best_host && by_path <= best_path))
			continue;
		best = &c->route[i];
		best_host = by_host;
		best_path = by_path;
	}
	return best;
}
