/*
 * The first bytes of a connection, before it gets a transport.
 */
#ifndef IO_FIRST_H
#define IO_FIRST_H

#include <stddef.h>

/*
 * Send p[0..n), a few hundred bytes, on a socket that nothing was written to: its buffer takes them
 * at once.  0; -1 with errno when it does not, or is broken.
 */
int first_send(int fd, const void *p, size_t n);

#endif
