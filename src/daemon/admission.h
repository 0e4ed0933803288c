/*
 * Who may connect: MaxConnections, MaxConnectionsPerClient and ConnectionRate.  Thread-safe: the
 * main thread asks when it accepts, a worker when a PROXY header has told who the client is, and
 * both say when a connection is over.
 *
 * Clients are addresses, IPv6 by /64.  A Unix socket's peers and TrustedProxies are nobody's
 * address: they are not limited but by MaxConnections.
 */
#ifndef DAEMON_ADMISSION_H
#define DAEMON_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/config.h"

/* Connections past a limit that are kept long enough to be told so. */
#define ADMISSION_REFUSALS 64

struct admission;

struct admission *admission_new(void); /* NULL without memory */
void admission_free(struct admission *a);

/*
 * A connection to a listener of c.  client NULL: who it is, a PROXY header will tell, and then it
 * is asked again.
 * full: MaxConnections is reached.
 * 0: it is let in, and counted for its client, if that is known, until admission_leave.
 * 503 or 429: its first request gets that; until admission_leave it has one of the places for that.
 * One of HTTP_REFUSE_SILENT...: it is to be closed at once; nothing has to be given back.
 */
unsigned admission_enter(struct admission *a, const struct config *c, const struct config_listen *l,
    const struct sockaddr *client, bool full);

/* It is over: what admission_enter said (0 or a status), for the same c, l and client. */
void admission_leave(struct admission *a, const struct config *c, const struct config_listen *l,
    const struct sockaddr *client, bool refused);

#endif
