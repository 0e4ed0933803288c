/*
 * SOCK_SEQPACKET sockets (unix(7)): what packets need that a byte stream does not.
 * Any thread; for io/transport.c.
 */
#ifndef IO_PACKET_H
#define IO_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* How many bytes fit into a packet of this socket, at most max. */
size_t packet_max(int fd, size_t max);

/*
 * Send one packet, which may be empty: 1 sent, never in part; 0 the kernel takes none now;
 * -1 broken, errno tells.
 */
int packet_send(int fd, const void *p, size_t n);

/*
 * Receive one packet, cut at size.  Its length, which may be 0; or with *end set 0 at the peer's
 * end, or -1 with errno (EAGAIN: none is there).
 */
ssize_t packet_recv(int fd, void *p, size_t size, bool *end);

#endif
