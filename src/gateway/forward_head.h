/*
 * The heads of a handshake or an ordinary request on its way to an http backend and back: which
 * fields pass, which are rebuilt.  Internal to gateway/.
 */
#ifndef GATEWAY_FORWARD_HEAD_H
#define GATEWAY_FORWARD_HEAD_H

#include "http/h1_client.h"
#include "http/stream.h"

/* A request for a backend that stays valid until it is freed.  Opaque but for the request in it. */
struct forward_head {
	struct h1_request r;
	bool offers_subprotocol;
	/* what was passed on of Sec-WebSocket-Protocol, one comma-separated list */
	struct span offered;
	struct span extensions;	   /* the same of Sec-WebSocket-Extensions; n 0: nothing */
	struct http_field field[]; /* r.n_fields of them; the bytes of all are behind them */
};

/*
 * A copy of a request for the backend: path, query and end-to-end fields unchanged; hop-by-hop
 * fields (RFC 9110 7.6.1), framing and the handshake's own fields left out; subprotocols filtered
 * by the route's Subprotocols; forwarding fields (X-Forwarded-*, X-Real-IP, Forwarded) of the
 * client removed and set anew by ForwardedHeaders.  An ordinary request keeps its method, and its
 * body is described anew (Expect: 100-continue passes, other expectations do not).  NULL without
 * memory or when there are too many fields.  The caller frees (mem_free).
 */
struct forward_head *forward_head_new(const struct stream_info *info,
    const struct stream_request *r, const struct config_route *route);

/* Whether Max-Forwards counts for the request: each hop takes one off (RFC 9110 7.6.2). */
bool forward_head_counts(const struct http_head *head);

/*
 * Judge a backend's 101: only an offered subprotocol (RFC 6455 4.1).  Its extensions are
 * extension_judge's.  NULL, or what is wrong; *subprotocol is the one chosen (n 0: none), borrowed
 * from h.
 */
const char *forward_check_101(
    const struct forward_head *f, const struct http_head *h, struct span *subprotocol);

/*
 * The fields of a backend's response that go to the client, into v (HTTP1_MAX_FIELDS); returns
 * their number.  The handshake's own are left out of a 101 but for Sec-WebSocket-Protocol.
 * Hop-by-hop fields stay behind, but a 426 keeps Upgrade, with a Connection that names it (RFC
 * 9110 15.5.22); a carrier of HTTP/2 drops both.
 */
size_t forward_response_fields(const struct http_head *h, struct http_field *v);

#endif
