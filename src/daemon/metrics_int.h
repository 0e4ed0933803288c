/* What metrics.c and metrics_sets.c share. */
#ifndef DAEMON_METRICS_INT_H
#define DAEMON_METRICS_INT_H

#include "codec/metrics_text.h"

struct counter;
struct daemon;
struct histogram;

/* A family without labels, of one sample. */
void metrics_one(struct metrics_text *m, const struct metrics_family *f, uint64_t value);

/* A histogram, as a sample of the family that was begun. */
void metrics_histogram(
    struct metrics_text *m, const struct metrics_label *label, size_t n, const struct histogram *h);

/* metrics_sets.c: all families of routes, of backends, of listeners.  0 or -1 without memory. */
int metrics_write_routes(struct metrics_text *m, const struct daemon *d);
int metrics_write_backends(struct metrics_text *m, const struct daemon *d);
int metrics_write_listeners(struct metrics_text *m, const struct daemon *d);

#endif
