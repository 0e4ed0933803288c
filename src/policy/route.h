/*
 * Which route serves a request: the most specific host, then an exact path, then the longest
 * prefix; the order in the file does not matter.  Pure.
 *
 * A path is compared as an application would understand it: %-escapes are undone first (but for
 * %2F and %00, which are never what they stand for), so that /%61dmin cannot slip past the rules
 * of /admin into a wider route.  For the same reason a path with a "." or ".." segment, escaped or
 * not, matches no route: clients take them out before they send (RFC 3986 5.2.4), and
 * applications differ about the rest.
 */
#ifndef POLICY_ROUTE_H
#define POLICY_ROUTE_H

#include "base/span.h"
#include "config/config.h"

/*
 * host: Host or :authority as sent (a port and a last dot are passed over, case does not matter);
 * path: the path without the query, as sent.  NULL when none matches.  An exact host beats a
 * wildcard, a longer wildcard a shorter one, any wildcard no host; the host is decided first: when
 * no route of the best matching host has a matching path, the next best host is tried.  A prefix
 * `/app/` does not match `/app`, but for static, which redirects from there.
 */
const struct config_route *route_find(const struct config *c, struct span host, struct span path);

#endif
