/*
 * Listening sockets: opened, kept over a reload, and accepted from on one loop (the main
 * thread's; docs/architecture.md tells how workers are loaded).
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "io/loop.h"

struct listener;

/*
 * Called for each accepted connection: fd (non-blocking, close-on-exec; TCP_NODELAY set on TCP)
 * goes over.
 */
typedef void listener_accept_fn(
    void *arg, struct listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len);
/*
 * Accepting has been paused (EMFILE, ENFILE, ENOBUFS, ENOMEM: err says which) or goes on again
 * (err 0), told once each; it is tried every 100 ms.  May be NULL.  Both callbacks may stop and
 * free the listener.
 */
typedef void listener_pause_fn(void *arg, struct listener *l, int err);

/*
 * Open all sockets of one Address value: one for IP and UNIX; `*:PORT` is a dual-stack IPv6
 * socket, or IPv4 where there is no IPv6; a NAME every address it resolves to (blocking: start and
 * reload only).  SO_REUSEADDR; backlog 4096 (the kernel caps it).  UNIX paths: mode 0660 until the
 * INI file says otherwise; a stale socket (connect gives ECONNREFUSED) is removed, a live one or
 * another kind of file is an error; the path is unlinked at listener_free if it is still ours
 * (same device and inode).  New sockets are appended to v[*n...max).  0, or -1 with err (size
 * bytes) saying why in words, "cannot listen on 127.0.0.1:80: Permission denied", nothing opened
 * then.
 */
int listener_open(
    const struct addr *a, struct listener **v, size_t *n, size_t max, char *err, size_t size);

/*
 * Closes and stops accepting; a started one before loop_free.  A socket that systemd passed in is
 * left open: it is systemd's as well, a later reload may want it again, and who connects meanwhile
 * waits for the next to accept.
 */
void listener_free(struct listener *l);

/*
 * Tells the name of each listening socket that systemd passed in (FileDescriptorName=), in their
 * order.
 */
void listener_each_passed(void (*fn)(void *arg, const char *name), void *arg);

const struct addr *listener_addr(const struct listener *l); /* what it was opened for */
/* The bound address as text, with the port that the kernel gave for port 0. */
const char *listener_name(const struct listener *l);

/*
 * Begin and stop accepting (also for good on a drain).  Accept takes at most 64 connections a
 * turn. 0 or -1 without memory.
 */
int listener_start(struct listener *l, struct loop *loop, listener_accept_fn *accepted,
    listener_pause_fn *paused, void *arg);
void listener_stop(struct listener *l);

/*
 * Accept what waits already of a started listener that is to be closed: these clients have
 * connected, and closing would reset them.  Nothing where systemd passed the socket in: there they
 * wait on.
 */
void listener_accept_rest(struct listener *l);

#endif
