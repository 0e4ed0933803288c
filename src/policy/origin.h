/*
 * AllowedOrigins and RequireOrigin (RFC 6454, RFC 6455 10.2).  Pure.  Values are parsed by
 * config/origin_value.h.
 */
#ifndef POLICY_ORIGIN_H
#define POLICY_ORIGIN_H

#include <stdbool.h>

#include "base/span.h"
#include "config/config.h"

enum origin_verdict { ORIGIN_OK, ORIGIN_NOT_ALLOWED, ORIGIN_MISSING, ORIGIN_TWICE };
const char *origin_verdict_str(enum origin_verdict v); /* for the log */

/* Judge a request: n_origins Origin fields came, origin is the first one's value; has_cookie:
 * the request carries a Cookie field.  Two Origin fields are never right. */
enum origin_verdict origin_check(
    const struct config_websocket *ws, size_t n_origins, struct span origin, bool has_cookie);

#endif
