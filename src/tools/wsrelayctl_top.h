/* wsrelayctl top: the busiest connections and the rates, again and again. */
#ifndef TOOLS_WSRELAYCTL_TOP_H
#define TOOLS_WSRELAYCTL_TOP_H

#include "tools/wsrelayctl_call.h"
#include "tools/wsrelayctl_options.h"

/* Whether the daemon's answer was good; else the exit status, after it was said on stderr. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,     /* the daemon said no */
	CTL_UNREACHABLE = 2, /* or said nothing */
	CTL_USAGE = 64,
	CTL_SYSTEM = 71, /* a file cannot be read, standard output cannot be written */
	CTL_CONFIG = 78, /* no AdminAddress */
};

/*
 * wsrelayctl.c: ask, and say what went wrong, with what in front of it unless that is NULL.  body
 * as ctl_call_ask's.
 */
enum ctl_exit ctl_ask(struct ctl_call *c, const char *what, const char *method, const char *target,
    const char *accept, struct span *body);

/* wsrelayctl.c: to standard output. */
enum ctl_exit ctl_write(struct span text);

/*
 * Append /connections with the options' filters, and active_ms unless it is 0; NUL-terminated.  0
 * or -1.
 */
int ctl_put_target(struct buf *b, const struct ctl_options *o, uint64_t active_ms);

enum ctl_exit ctl_top(struct ctl_call *c, const struct ctl_options *o);

#endif
