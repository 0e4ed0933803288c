/*
 * Connections to http backends that wait for their next request: one pool for
 * each worker, kept apart by address.  One thread.
 *
 * At most H1_POOL_PER_ADDRESS for an address and H1_POOL_MAX in all wait; each for somewhat less
 * than the backend said that it keeps it, at most H1_POOL_IDLE_MAX_MS, or else for
 * H1_POOL_IDLE_MS: less than the 5 s after which common servers (Node, Apache) close, so that a
 * request seldom meets a connection that is on its way out.
 */
#ifndef HTTP_H1_POOL_H
#define HTTP_H1_POOL_H

#include "base/addr.h"
#include "http/h1_client.h"

#define H1_POOL_PER_ADDRESS 256
#define H1_POOL_MAX 1024
#define H1_POOL_IDLE_MS 4000
#define H1_POOL_IDLE_MAX_MS 60000

struct h1_pool;

struct h1_pool *h1_pool_new(struct loop *loop); /* NULL without memory */
void h1_pool_free(struct h1_pool *p);		/* closes what waits; NULL is nothing */

/*
 * Send a request on the connection to this address that waited last and is still good (its peer
 * has neither closed it nor said anything), as h1_client_start does; NULL: there is none.  A
 * repeatable request goes out without another look at a connection that has waited for less than
 * H1_POOL_FRESH_MS: what the loop has not told yet is found out by its answer, or by none.
 */
#define H1_POOL_FRESH_MS 1000
struct stream *h1_pool_start(struct h1_pool *p, const struct addr *to, const struct h1_request *r,
    uint64_t response_timeout_ms, const struct stream_events *ev, void *user);

/*
 * The user is done with a stream of h1_client whose response is over: its connection waits for
 * the next request to this address if it can, else it is closed.  The stream is over.  gone(arg)
 * is called once, when the connection waits no more (taken, closed or dead), or at once; NULL:
 * nobody cares.
 */
void h1_pool_put(
    struct h1_pool *p, const struct addr *to, struct stream *s, void (*gone)(void *arg), void *arg);

/*
 * Close the one that has waited longest for this address, so that another connection has room;
 * false: there is none.
 */
bool h1_pool_drop(struct h1_pool *p, const struct addr *to);

/* Close those for which drop, asked with each one's arg in turn, says so. */
void h1_pool_sweep(struct h1_pool *p, bool (*drop)(void *arg));

size_t h1_pool_count(const struct h1_pool *p); /* connections that wait */

#endif
