/* Static files: GET and HEAD beneath a route's DocumentRoot (RFC 9110). */
#ifndef GATEWAY_STATIC_H
#define GATEWAY_STATIC_H

#include "http/stream.h"
#include "io/loop.h"

struct static_files;

/*
 * The response is finished or broken; exactly once.  status: what was sent; body_bytes: of the
 * body, as handed to the carrier; complete: all of the response went out as far as the kernel's
 * socket.  s may not be used any more but for its stream_info, which is valid until done returns.
 */
typedef void static_done_fn(void *arg, unsigned status, uint64_t body_bytes, bool complete);

/*
 * Answer a request on a static route: the stream is taken over (attached, closed at the end),
 * whatever happens.  done may be called from within.  r and route are borrowed for the call.
 *
 * The file's name is what the route's prefix leaves of the path; on an exact route it is the
 * path's last segment.  A folder is its index.html; without the final slash, it is 301 to the
 * path with one (exact route: 404).  Hidden files (".name") but .well-known are not there.
 */
void static_start(struct loop *loop, struct static_files *files, struct stream *s,
    const struct stream_request *r, const struct config_route *route, static_done_fn *done,
    void *arg);

#endif
