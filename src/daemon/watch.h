/*
 * What a supervisor is told while the daemon runs: the watchdog's sign of life, and a status line
 * for people.  Nothing is done where no supervisor asked for it.  The main thread's.
 */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include "io/loop.h"

struct daemon;

struct watch {
	struct daemon *d; /* borrowed */
	struct loop_timer watchdog, status;
	uint64_t watchdog_ms; /* between two rounds; 0: no watchdog */
	uint64_t asked_at_ms; /* the round that is not complete yet */
	bool stuck;	      /* and this has been logged */
	char told[160];	      /* the status line that systemd has */
};

void watch_start(struct daemon *d);
void watch_stop(struct daemon *d); /* before the loop is freed */

/* Something has changed that people want to see at once. */
void watch_tell(struct daemon *d);

#endif
