/*
 * Subprotocol selection; see subprotocol.h.  Pure, any thread; called by
 * gateway/ for each handshake.
 */
#include "policy/subprotocol.h"

bool
subprotocol_allowed(struct span name, const struct config_list *allowed)
{
	for (size_t i = 0; i < allowed->n; i++)
		if (span_eq(span_from_str(allowed->v[i]), name))
			return true;
	return false;
}

/* The client lists what it wants most first (RFC 6455 4.1, point 10). */
struct span
subprotocol_pick(struct span offers, const struct config_list *allowed)
{
	struct span item;

	while (span_next_item(&offers, &item))
		if (subprotocol_allowed(item, allowed))
			return item;
	return SPAN_NONE;
}
