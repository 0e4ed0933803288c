/* Packets on SOCK_SEQPACKET sockets.  See packet.h. */
#include "io/packet.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>

/* unix(7) sockets keep 32 bytes of the send buffer for themselves. */
#define PACKET_OVERHEAD 64

size_t
packet_max(int fd, size_t max)
{
	int sndbuf = 0;
	socklen_t len = sizeof(sndbuf);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, &len) == -1 || sndbuf <= PACKET_OVERHEAD)
		return 1;
	return (size_t)sndbuf - PACKET_OVERHEAD < max ? (size_t)sndbuf - PACKET_OVERHEAD : max;
}

int
packet_send(int fd, const void *p, size_t n)
{
	ssize_t sent;

	do {
		sent = send(fd, p, n, MSG_NOSIGNAL);
	} while (sent == -1 && errno == EINTR);
	if (sent >= 0)
		return 1;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM)
		return 0;
	return -1;
}

static bool
packet_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) != 0;
}

ssize_t
packet_recv(int fd, void *p, size_t size, bool *end)
{
	struct sockaddr_un from;
	struct iovec iov = { .iov_base = p, .iov_len = size };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t got;

	do {
		got = recvmsg(fd, &m, 0);
	} while (got == -1 && errno == EINTR);
	/*
	 * An empty packet looks like the end, even when more packets wait behind it. But it has a
	 * sender: the address that a server is bound to. Where the sender has none, only the
	 * hang-up can tell.
	 */
	*end = got == -1 || (got == 0 && m.msg_namelen == 0 && packet_hung_up(fd));
	return got;
}
