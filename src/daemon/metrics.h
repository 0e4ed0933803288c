/*
 * What GET /metrics answers: the Prometheus text of everything that the daemon counts.  For the
 * main thread; workers are not asked, and not held up: their counters are read as they stand.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/metrics_text.h"

struct daemon;

/* Facts of the daemon's life that only metrics tell; in struct daemon. */
struct metrics_life {
	/* seconds since 1970; reloaded: or started, the last that was good */
	double started, reloaded;
	uint64_t reloads[2]; /* by result: bad, good */
	bool last_reload_failed;
};

/*
 * Append the whole text, whose Content-Type is METRICS_TEXT_TYPE, to out.  It grows with the
 * number of routes, backends and listeners: METRICS_MAX is enough as out's maximum.  0, or -1 when
 * out could not take it all: then what is in out is of no use.
 */
#define METRICS_MAX (64u << 20)
int metrics_write(const struct daemon *d, struct buf *out);

/* The daemon serves from now on; a reload was made, or refused. */
void metrics_note_start(struct daemon *d);
void metrics_note_reload(struct daemon *d, bool good);

#endif
