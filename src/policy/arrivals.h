/*
 * How often each client comes: new connections a second for each address and listener.
 * Thread-safe.
 *
 * The table has a fixed size, whatever comes.  A client needs an entry only as long as it has used
 * up a part of its second's worth, which is a second at most, so that a table that is larger than
 * the number of connections that can be accepted in a second forgets nobody.  If it has to, it
 * forgets who is nearest to being free again: more is let in then, never less.
 */
#ifndef POLICY_ARRIVALS_H
#define POLICY_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

#define ARRIVALS_MAX 131072 /* clients of the last second */

struct arrivals;

enum arrival {
	ARRIVAL_OK,
	ARRIVAL_PAST,	    /* past the rate */
	ARRIVAL_PAST_FIRST, /* past the rate, and the first one of this client for a second */
};

/* NULL without memory; most of it is taken when it is needed */
struct arrivals *arrivals_new(void);
void arrivals_free(struct arrivals *a);

/*
 * A client (addr_client_net) has connected to a listener with this rate (not 0): past the rate it
 * is not counted.
 */
enum arrival arrivals_add(struct arrivals *a, const char *listen, const uint8_t client[16],
    uint64_t rate, uint64_t now_ms);

#endif
