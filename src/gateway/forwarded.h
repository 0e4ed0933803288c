/*
 * What a backend is told of the client: the values of X-Forwarded-For, -Proto, -Host, X-Real-IP
 * and Forwarded.  What came from a trusted proxy is kept and added to; what anybody else sent is
 * not used.  Internal to gateway/.
 */
#ifndef GATEWAY_FORWARDED_H
#define GATEWAY_FORWARDED_H

#include "base/buf.h"
#include "http/stream.h"

enum forwarded_what {
	FORWARDED_X_FOR,
	FORWARDED_X_PROTO,
	FORWARDED_X_HOST,
	FORWARDED_X_REAL_IP,
	FORWARDED_RFC7239
};

/* The field's name. */
struct span forwarded_name(enum forwarded_what what);

/*
 * Append the value to b; 0, or -1 when it does not fit.  Nothing is appended when there is nothing
 * to say.
 */
int forwarded_value(enum forwarded_what what, const struct stream_info *info,
    const struct stream_request *r, struct buf *b);

/*
 * Whether a request's field is one of these (or of their relatives), which are never passed on as
 * they are.
 */
bool forwarded_is(struct span name);

#endif
