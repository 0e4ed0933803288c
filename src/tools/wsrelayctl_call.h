/* Requests to a daemon's admin endpoint, one at a time. */
#ifndef TOOLS_WSRELAYCTL_CALL_H
#define TOOLS_WSRELAYCTL_CALL_H

#include "base/addr.h"
#include "base/buf.h"

struct ctl_call;

/* to is copied.  NULL: errno tells. */
struct ctl_call *ctl_call_new(const struct addr *to);
void ctl_call_free(struct ctl_call *c);

/* The address as text; as long as c. */
const char *ctl_call_where(const struct ctl_call *c);

/*
 * Ask, and wait for the whole answer.  target: path with query.  accept: a media type; NULL: any.
 * Returns the response's status; the body is in *body until the next call.  0: there was no
 * answer, or not a whole one, and *why says why (until the next call).
 */
unsigned ctl_call_ask(struct ctl_call *c, const char *method, const char *target,
    const char *accept, struct span *body, const char **why);

/* Wait; false: SIGINT or SIGTERM came meanwhile, or before. */
bool ctl_call_wait(struct ctl_call *c, uint64_t ms);

#endif
