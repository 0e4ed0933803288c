/*
 * The admin endpoint (AdminAddress): HTTP/1.1 on the main thread's loop, for wsrelayctl,
 * Prometheus and whoever checks health.  Main thread.
 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include "config/config.h"

struct admin;
struct daemon;

struct admin *admin_new(struct daemon *d); /* borrowed; NULL without memory */

/*
 * Open the sockets of c's AdminAddress, unless they are open already; what is open now goes on.
 * Then admin_commit ends what c does not have any more, or admin_abandon closes what was opened.
 * Before the loop is there nothing is accepted yet: admin_start follows.  A Unix socket has mode
 * 0660 and, when privileges will be dropped, the group that c's Group or User says. 0, or -1 after
 * an error was reported.
 */
int admin_prepare(struct admin *a, const struct config *c, config_report_fn *report, void *arg);
void admin_commit(struct admin *a);
void admin_abandon(struct admin *a);

/* Begin to accept, once the daemon's loop is there.  0 or -1 without memory. */
int admin_start(struct admin *a);

/* Ends everything; NULL is nothing.  After all workers are freed, before the loop is. */
void admin_free(struct admin *a);

#endif
