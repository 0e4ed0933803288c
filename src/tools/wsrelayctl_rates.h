/*
 * How much each connection has moved between two looks at /connections.  Pure.
 *
 * What was seen is kept by its id, so a look may leave out connections that did not change
 * (?active_ms=): their counters are those of before.
 */
#ifndef TOOLS_WSRELAYCTL_RATES_H
#define TOOLS_WSRELAYCTL_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "tools/wsrelayctl_options.h"

struct ctl_rates;

struct ctl_rate {
	struct span line; /* of the look's text, tab-separated */
	uint64_t messages_in, messages_out, bytes_in, bytes_out; /* since the look before */
};

struct ctl_rates *ctl_rates_new(void); /* NULL without memory */
void ctl_rates_free(struct ctl_rates *r);

/*
 * A look.  whole: text has every connection, and what is not in it is forgotten.  text stays as it
 * is as long as rates of it are asked for.  0; -1: no memory, or the text is no such table.
 */
int ctl_rates_look(struct ctl_rates *r, struct span text, bool whole);

/*
 * Of the last look: how many lines there were, and the sums; those that moved something, the
 * busiest first.
 */
size_t ctl_rates_lines(const struct ctl_rates *r);
void ctl_rates_sums(const struct ctl_rates *r, struct ctl_rate *out);
const struct ctl_rate *ctl_rates_sorted(struct ctl_rates *r, enum ctl_sort sort, size_t *n);

#endif
