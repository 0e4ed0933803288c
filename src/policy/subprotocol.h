/* Subprotocol selection (RFC 6455 4.2.2, 11.3.4).  Pure. */
#ifndef POLICY_SUBPROTOCOL_H
#define POLICY_SUBPROTOCOL_H

#include "base/span.h"
#include "config/config.h"

/*
 * The first of the client's offers (a comma-separated list; several fields are handed in one after
 * another by the caller) that is in the allowed list (exact, case-sensitive); n == 0 when none.
 */
struct span subprotocol_pick(struct span offers, const struct config_list *allowed);
bool subprotocol_allowed(struct span name, const struct config_list *allowed);

#endif
