/*
 * Where connected sockets wait: an epoll set of the loop's own, edge-triggered, so that a socket
 * costs no memory but its owner's, no system call but its reads and writes, and no second look of
 * the kernel at what was told already.
 *
 * The kernel tells of each socket once: when bytes came, when its end came, when it takes bytes
 * again (poller_events_fn).  What the owner left in the socket, or elsewhere, nobody tells of
 * again; so the owner puts itself on a list (poller_queue), and has its turn in the loop's next
 * one, which does not sleep before (poller_again_fn).
 *
 * The set is nested: libevent watches it as one descriptor, and sleeps.  While its sockets have
 * much to say that detour is left out: then the set is what sleeps, for a millisecond at most, and
 * libevent is asked now and then.
 *
 * Internal to io/; the loop's thread.
 */
#ifndef IO_POLLER_H
#define IO_POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct poller;

/* Events that tell that no more than an end stands behind what a read may bring. */
#define POLLER_END ((uint32_t)EPOLLRDHUP | EPOLLHUP | EPOLLERR)
/* The same for a mark within the bytes (urgent data), which cuts reads short. */
#define POLLER_MARK ((uint32_t)EPOLLPRI)

/*
 * The kernel tells (events of epoll_ctl(2)); arg as given to poller_add.  It may have been closed
 * in this turn.
 */
typedef void poller_events_fn(void *arg, uint32_t events);
/* Its turn, after poller_queue. */
typedef void poller_again_fn(void *arg);

struct poller *poller_new(
    struct loop *l, poller_events_fn *events, poller_again_fn *again); /* NULL: errno */
void poller_free(struct poller *p);

/*
 * Put a socket into the set; what it has already is told too.  0, or -1 with errno.  Closing it
 * takes it out.
 */
int poller_add(struct poller *p, int fd, void *arg);

/*
 * Change arg of a socket, and whether is to be told that it takes bytes again (out).  What it has
 * now is told once more.  0, or -1 with errno.
 */
int poller_change(struct poller *p, int fd, void *arg, bool out);

/*
 * Have poller_again_fn called in the next turn: the place in the list, which is not 0; 0 without
 * memory.
 */
uint32_t poller_queue(struct poller *p, void *arg);
/* Before it was called: it is not called, or for another one. */
void poller_replace(struct poller *p, uint32_t place, void *arg_or_null);

/*
 * A turn's events, libevent's too, and whoever was queued before.  wait: it may sleep until there
 * is something.
 */
void poller_turn(struct poller *p, bool wait);

#endif
