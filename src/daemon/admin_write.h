/*
 * What the admin endpoint says, as JSON for programs or as tab-separated values for wsrelayctl's
 * tables.  In the latter a value that is not there is `-`, and a byte that is no printable ASCII
 * is \xNN: nothing in it can steer a terminal. Pure but for the state of backends.
 */
#ifndef DAEMON_ADMIN_WRITE_H
#define DAEMON_ADMIN_WRITE_H

#include "base/buf.h"
#include "gateway/walk.h"

/* All return 0, or -1 when b is full or there is no memory. */

/* What stands before and behind the connections. */
int admin_write_connections_begin(struct buf *b, bool tsv);
int admin_write_connections_end(struct buf *b, bool tsv);
int admin_write_connection(struct buf *b, bool tsv, bool first, const struct gateway_seen *seen);

struct admin_status {
	const struct config *config; /* in force */
	uint64_t uptime_ms, now_ms;
	size_t workers, connections;
	uint64_t websockets;
	uint64_t max_connections;
	bool draining;
};

/*
 * Why the daemon should get no new clients, a line each, or nothing: it drains, or a backend is
 * wholly down.
 */
int admin_write_unready(struct buf *b, const struct admin_status *st);

/* /status; `version` and so on, then the backends' addresses. */
int admin_write_status(struct buf *b, bool tsv, const struct admin_status *st);

#endif
