/*
 * Active health checks: one prober for the daemon, on the main thread's loop, connects to each
 * address of a backend with HealthCheckInterval, or asks it for HealthCheckPath, and tells
 * gateway/backends.h what it found.
 */
#ifndef GATEWAY_PROBER_H
#define GATEWAY_PROBER_H

#include "config/config.h"

struct loop;
struct prober;
struct resolver;

struct prober *prober_new(struct loop *loop, struct resolver *r); /* NULL without memory */
void prober_free(struct prober *p); /* before the loop and the resolver, which are borrowed */

/*
 * From now on check the addresses of c (backends_attach), of which a reference is kept, and no
 * others: what was found of an address that is not checked any more is forgotten.  0; -1 without
 * memory: nothing is changed.
 */
int prober_set(struct prober *p, struct config *c);

#endif
