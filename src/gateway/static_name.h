/*
 * What a URL's path says about a file beneath DocumentRoot: its name and its
 * type.  Pure: nothing here looks at the file system.
 */
#ifndef GATEWAY_STATIC_NAME_H
#define GATEWAY_STATIC_NAME_H

#include <stdbool.h>

#include "base/span.h"
#include "config/config.h"

#define STATIC_NAME_MAX 4096 /* of a name with its NUL */

enum static_name {
	STATIC_NAME_OK,
	STATIC_NAME_BAD,     /* a '%' that starts no escape: 400 */
	STATIC_NAME_REFUSED, /* it names nothing that is ever served: 404 */
	STATIC_NAME_SLASH,   /* the route's own folder without its final slash: 301 */
};

/*
 * The file's name, relative to DocumentRoot, NUL-terminated into out: path (as sent, without
 * the query) without what the route's prefix matched, or the last segment of an exact route's
 * path; percent-decoded once, empty segments left out.  *is_dir: the path ends in a slash or is
 * empty, out is the folder's name then ("" is DocumentRoot).
 *
 * Refused, raw or percent-encoded: segments that start with a dot (so "." and ".." too) but
 * ".well-known" (RFC 8615), backslashes, control characters and NUL; and an encoded slash,
 * which no file's name can have.
 */
enum static_name static_name_make(
    struct span path, const struct config_route *route, char out[STATIC_NAME_MAX], bool *is_dir);

/* The Content-Type for a file of that name; static. */
const char *static_name_type(const char *name);

#endif
