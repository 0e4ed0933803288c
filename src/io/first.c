/* The first bytes of a connection.  See first.h. */
#include <sys/socket.h>

#include <errno.h>

#include "io/first.h"

int
first_send(int fd, const void *p, size_t n)
{
	ssize_t sent;

	do {
		sent = send(fd, p, n, MSG_NOSIGNAL);
	} while (sent == -1 && errno == EINTR);
	if (sent == -1)
		return -1;
	if ((size_t)sent == n)
		return 0;
	errno = ENOBUFS;
	return -1;
}
