/*
 * File names and types of static files.  Pure; any thread; called by
 * gateway/static.c only.
 *
 * The name is judged segment by segment after the one decoding that there is,
 * so that nothing can be hidden from the checks by encoding it.  This is the
 * first of two walls: gateway/static_open.c lets the kernel see to it that
 * whatever passes here stays beneath DocumentRoot.
 */
#include "gateway/static_name.h"

#include <stdint.h>

#include "base/num.h"

/* The part of the path that names the file. */
static enum static_name
static_name_rest(struct span path, const struct config_route *route, struct span *rest)
{
	size_t n = strlen(route->path);
	size_t i;

	if (!route->path_is_prefix) {
		for (i = path.n; i > 0 && path.p[i - 1] != '/'; i--)
			;
		*rest = (struct span){ path.p + i, path.n - i };
		return STATIC_NAME_OK;
	}
	if (path.n >= n && memcmp(path.p, route->path, n) == 0) {
		*rest = (struct span){ path.p + n, path.n - n };
		return STATIC_NAME_OK;
	}
	if (path.n + 1 == n && route->path[path.n] == '/' &&
	    memcmp(path.p, route->path, path.n) == 0)
		return STATIC_NAME_SLASH;
	return STATIC_NAME_REFUSED;
}

/* The byte at *i of s, decoded; *i is moved behind it.  -1: not an escape. */
static int
static_name_byte(struct span s, size_t *i)
{
	int high, low;

	if (s.p[*i] != '%')
		return (unsigned char)s.p[(*i)++];
	if (s.n - *i < 3 || (high = num_hex_digit(s.p[*i + 1])) == -1 ||
	    (low = num_hex_digit(s.p[*i + 2])) == -1)
		return -1;
	*i += 3;
	return high << 4 | low;
}

static bool
static_name_is_plain(unsigned char c)
{
	return c >= 0x20 && c != 0x7f && c != '/' && c != '\\';
}

/* Decode one segment behind out[*n]; it is taken off rest, the slash behind it too. */
static enum static_name
static_name_segment(struct span *rest, char *out, size_t *n)
{
	const char *slash = memchr(rest->p, '/', rest->n);
	struct span seg = { rest->p, slash != NULL ? (size_t)(slash - rest->p) : rest->n };
	size_t skip = slash != NULL ? seg.n + 1 : seg.n, i = 0, start;
	int c;

	rest->p += skip;
	rest->n -= skip;
	if (seg.n == 0)
		return STATIC_NAME_OK;
	if (*n > 0)
		out[(*n)++] = '/';
	start = *n;
	while (i < seg.n) {
		if (seg.p[i] != '%')
			c = (unsigned char)seg.p[i++];
		else if ((c = static_name_byte(seg, &i)) == -1)
			return STATIC_NAME_BAD;
		if (!static_name_is_plain((unsigned char)c))
			return STATIC_NAME_REFUSED;
		out[(*n)++] = (char)c;
	}
	if (out[start] == '.' &&
	    !span_eq((struct span){ out + start, *n - start }, SPAN_LIT(".well-known")))
		return STATIC_NAME_REFUSED;
	return STATIC_NAME_OK;
}

/* Whether every '%' starts an escape: what is not a URL is told apart from what is not there. */
static bool
static_name_is_url(struct span s)
{
	const char *p;

	for (size_t i = 0; i < s.n && (p = memchr(s.p + i, '%', s.n - i)) != NULL;) {
		i = (size_t)(p - s.p);
		if (static_name_byte(s, &i) == -1)
			return false;
	}
	return true;
}

enum static_name
static_name_make(
    struct span path, const struct config_route *route, char out[STATIC_NAME_MAX], bool *is_dir)
{
	enum static_name st;
	struct span rest;
	size_t n = 0;

	if (!static_name_is_url(path))
		return STATIC_NAME_BAD;
	if ((st = static_name_rest(path, route, &rest)) != STATIC_NAME_OK)
		return st;
	/* Decoding never makes it longer. */
	if (rest.n >= STATIC_NAME_MAX)
		return STATIC_NAME_REFUSED;
	*is_dir = rest.n == 0 || rest.p[rest.n - 1] == '/';
	while (rest.n > 0)
		if ((st = static_name_segment(&rest, out, &n)) != STATIC_NAME_OK)
			return st;
	out[n] = '\0';
	return STATIC_NAME_OK;
}

const char *
static_name_type(const char *name)
{
	/* What is text says that it is UTF-8; JSON and XML say so by themselves. */
	static const struct {
		char ext[12];
		const char *type;
	} types[] = {
		{ "html", "text/html; charset=utf-8" },
		{ "htm", "text/html; charset=utf-8" },
		{ "css", "text/css; charset=utf-8" },
		{ "js", "text/javascript; charset=utf-8" }, /* RFC 9239 */
		{ "mjs", "text/javascript; charset=utf-8" },
		{ "txt", "text/plain; charset=utf-8" },
		{ "log", "text/plain; charset=utf-8" },
		{ "md", "text/markdown; charset=utf-8" },
		{ "csv", "text/csv; charset=utf-8" },
		{ "vtt", "text/vtt; charset=utf-8" },
		{ "ics", "text/calendar; charset=utf-8" },
		{ "json", "application/json" },
		{ "map", "application/json" },
		{ "webmanifest", "application/manifest+json" },
		{ "xml", "application/xml" },
		{ "xhtml", "application/xhtml+xml" },
		{ "atom", "application/atom+xml" },
		{ "rss", "application/rss+xml" },
		{ "svg", "image/svg+xml" },
		{ "png", "image/png" },
		{ "apng", "image/apng" },
		{ "jpg", "image/jpeg" },
		{ "jpeg", "image/jpeg" },
		{ "gif", "image/gif" },
		{ "webp", "image/webp" },
		{ "avif", "image/avif" },
		{ "bmp", "image/bmp" },
		{ "tif", "image/tiff" },
		{ "tiff", "image/tiff" },
		{ "ico", "image/vnd.microsoft.icon" },
		{ "woff", "font/woff" },
		{ "woff2", "font/woff2" },
		{ "ttf", "font/ttf" },
		{ "otf", "font/otf" },
		{ "mp4", "video/mp4" },
		{ "m4v", "video/mp4" },
		{ "webm", "video/webm" },
		{ "ogv", "video/ogg" },
		{ "mov", "video/quicktime" },
		{ "mp3", "audio/mpeg" },
		{ "m4a", "audio/mp4" },
		{ "aac", "audio/aac" },
		{ "ogg", "audio/ogg" },
		{ "oga", "audio/ogg" },
		{ "opus", "audio/ogg" },
		{ "flac", "audio/flac" },
		{ "wav", "audio/wav" },
		{ "pdf", "application/pdf" },
		{ "wasm", "application/wasm" },
		{ "zip", "application/zip" },
		{ "gz", "application/gzip" },
		{ "tgz", "application/gzip" },
		{ "bz2", "application/x-bzip2" },
		{ "xz", "application/x-xz" },
		{ "zst", "application/zstd" },
		{ "tar", "application/x-tar" },
		{ "7z", "application/x-7z-compressed" },
	};
	const char *slash = strrchr(name, '/'), *dot;

	dot = strrchr(slash != NULL ? slash : name, '.');
	for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (span_eq_nocase(span_from_str(dot + 1), span_from_str(types[i].ext)))
			return types[i].type;
	return "application/octet-stream";
}
