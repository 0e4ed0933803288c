/*
 * What goes out of a connected socket: at once, and what the kernel refuses as soon as it takes
 * it.  See transport.h and transport.c.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>

#include "io/outq.h"
#include "io/packet.h"
#include "io/sock.h"
#include "io/tls.h"
#include "io/transport_int.h"

#define OUTQ_IOV 16

/*
 * The peer takes no more. Whoever reads on (transport_read_on) may still find its last words and
 * its end; a send that met the reset has also taken it away from the reads to come.
 */
static void
transport_write_failed(struct transport *t, int err)
{
	if (!t->read_on || (err != EPIPE && err != ECONNRESET)) {
		transport_break(t, err);
		return;
	}
	t->unwritable = true;
	t->was_reset = err == ECONNRESET;
	outq_drop(&t->q);
}

/* Not a part of transport_send, whose way for one piece, which most are, stays short. */
__attribute__((noinline)) static ssize_t
transport_send_several(struct transport *t, const struct iovec *iov, int n, int flags)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };

	return sock_sendmsg(t->fd, &m, flags);
}

/*
 * Nothing was sent, as errno tells: whether the kernel only takes none now.  When it has no memory
 * the socket is not full, and no event tells of more: one has to be asked for anew.
 */
static bool
transport_is_refusal(struct transport *t)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return true;
	if (errno != ENOBUFS && errno != ENOMEM)
		return false;
	t->out_told = false;
	return true;
}

/* send or sendmsg; the bytes sent, or -1 with errno. */
static inline ssize_t
transport_send(struct transport *t, const struct iovec *iov, int n, int more)
{
	int flags = MSG_NOSIGNAL | more;
	ssize_t sent;

	do {
		sent = n == 1 ? sock_send(t->fd, iov->iov_base, iov->iov_len, flags)
			      : transport_send_several(t, iov, n, flags);
	} while (sent == -1 && errno == EINTR);
	return sent;
}

/*
 * The kernel has refused bytes for the first time.  By default a Unix socket takes less than a
 * read brings, and each time the rest would have to wait; TCP finds its size by itself.
 */
static bool
transport_widen(struct transport *t)
{
	int family, room = LOOP_SCRATCH;
	socklen_t n = sizeof(family);

	t->narrow = false;
	return getsockopt(t->fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0 && family == AF_UNIX &&
	    setsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0;
}

static bool transport_flush(struct transport *t);

/* The kernel has not taken all of it, or was not asked: sent is 0, bytes, or -1 with errno. */
static int
transport_put_rest(struct transport *t, const struct iovec *iov, int n, ssize_t sent)
{
	if (sent == -1) {
		if (!transport_is_refusal(t)) {
			transport_write_failed(t, errno);
			return -1;
		}
		sent = 0;
	}
	for (int i = 0; i < n; i++) {
		size_t skip = (size_t)sent < iov[i].iov_len ? (size_t)sent : iov[i].iov_len;

		sent -= (ssize_t)skip;
		if (skip < iov[i].iov_len &&
		    outq_append(&t->q, loop_queued(t->loop),
			(const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip,
			false) == -1) {
			transport_break(t, ENOMEM);
			return -1;
		}
	}
	if (t->narrow && t->q != NULL && transport_widen(t) && !transport_flush(t))
		return -1;
	transport_update(t);
	return 0;
}

/*
 * Put bytes on the wire behind those that wait.  more: 0, or MSG_MORE when a FIN follows at once.
 */
static inline int
transport_put(struct transport *t, const struct iovec *iov, int n, int more)
{
	ssize_t sent = 0;

	if (t->q == NULL) {
		sent = transport_send(t, iov, n, more);
		if (n == 1 && (size_t)sent == iov->iov_len)
			return 0;
	}
	return transport_put_rest(t, iov, n, sent);
}

/* One packet: 1 sent, 0 the kernel takes none now, -1 broken. */
static int
transport_send_packet(struct transport *t, const void *p, size_t n)
{
	int sent = packet_send(t->fd, p, n);

	if (sent == 0)
		(void)transport_is_refusal(t);
	if (sent == -1)
		transport_write_failed(t, errno);
	return sent;
}

static int
transport_put_packet(struct transport *t, const struct iovec *iov)
{
	int sent = t->q == NULL ? transport_send_packet(t, iov->iov_base, iov->iov_len) : 0;

	if (sent != 0)
		return sent == 1 ? 0 : -1;
	if (outq_append(&t->q, loop_queued(t->loop), iov->iov_base, iov->iov_len, true) == -1) {
		transport_break(t, ENOMEM);
		return -1;
	}
	transport_update(t);
	return 0;
}

static int
transport_put_out(struct transport *t, int more)
{
	struct iovec iov;
	const void *p;

	tls_out(t->tls, &p, &iov.iov_len);
	if (iov.iov_len == 0)
		return 0;
	iov.iov_base = (void *)(uintptr_t)p;
	return transport_put(t, &iov, 1, more);
}

int
transport_put_tls(struct transport *t)
{
	return transport_put_out(t, 0);
}

static int
transport_write_tls(struct transport *t, const struct iovec *iov, int n, int more)
{
	enum tls_status st = more != 0 ? tls_write_last(t->tls, iov, n) : tls_write(t->tls, iov, n);

	if (transport_put_out(t, more) == -1)
		return -1;
	if (st != TLS_OK) {
		transport_break(t, EPROTO);
		return -1;
	}
	return 0;
}

static inline int
transport_write_more(struct transport *t, const struct iovec *iov, int n, int more)
{
	if (t->fd == -1 || t->err != 0 || t->broken || t->fin_wanted || t->unwritable)
		return -1;
	if (t->tls != NULL)
		return transport_write_tls(t, iov, n, more);
	if (t->packets)
		return transport_put_packet(t, iov);
	return transport_put(t, iov, n, more);
}

int
transport_write(struct transport *t, const struct iovec *iov, int n)
{
	return transport_write_more(t, iov, n, 0);
}

int
transport_write_fin(struct transport *t, const struct iovec *iov, int n)
{
	if (transport_write_more(t, iov, n, MSG_MORE) == -1)
		return -1;
	t->fin_wanted = true;
	/* of TLS: close_notify, see transport_on_writable */
	t->fin_sent = t->tls != NULL || t->q == NULL;
	/*
	 * By shutdown, not by close: that would send a reset, and nothing else, if something came
	 * meanwhile.
	 */
	if (t->q == NULL)
		shutdown(t->fd, SHUT_WR);
	return 0;
}

void
transport_send_fin(struct transport *t)
{
	if (t->fin_sent)
		return;
	if (t->tls != NULL && !t->handshaking) {
		tls_close_notify(t->tls);
		t->fin_sent = true; /* once, even when the kernel takes it later */
		if (transport_put_tls(t) == -1 || t->q != NULL)
			return;
	}
	t->fin_sent = true;
	shutdown(t->fd, SHUT_WR);
}

void
transport_limit_unsent(struct transport *t, int n)
{
	setsockopt(t->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &n, sizeof(n));
}

void
transport_fin(struct transport *t)
{
	if (t->fd == -1 || t->fin_wanted)
		return;
	t->fin_wanted = true;
	if (t->q == NULL && t->err == 0 && !t->broken)
		transport_send_fin(t);
}

bool
transport_finish(struct transport *t)
{
	if (t->fd == -1 || t->q != NULL || t->err != 0 || t->broken)
		return false;
	if (t->tls == NULL || t->handshaking || t->fin_sent)
		return true;
	tls_close_notify(t->tls);
	t->fin_wanted = t->fin_sent = true;
	return transport_put_tls(t) == 0 && t->q == NULL;
}

static bool
transport_flush_packets(struct transport *t)
{
	struct iovec first;
	int sent = 1;

	while (t->q != NULL) {
		outq_peek(t->q, &first, 1);
		if ((sent = transport_send_packet(t, first.iov_base, first.iov_len)) != 1)
			break;
		outq_consume_packet(&t->q);
	}
	return sent != -1;
}

/*
 * Send from the queue until it is empty or the kernel takes no more; false when the connection
 * broke.
 */
static bool
transport_flush(struct transport *t)
{
	struct iovec iov[OUTQ_IOV];
	size_t waiting;
	ssize_t sent;
	int n;

	if (t->packets)
		return transport_flush_packets(t);
	while ((n = outq_peek(t->q, iov, OUTQ_IOV)) > 0) {
		waiting = 0;
		for (int i = 0; i < n; i++)
			waiting += iov[i].iov_len;
		if ((sent = transport_send(t, iov, n, 0)) == -1) {
			if (transport_is_refusal(t))
				break;
			transport_write_failed(t, errno);
			return false;
		}
		outq_consume(&t->q, (size_t)sent);
		if ((size_t)sent < waiting)
			break;
	}
	return true;
}

void
transport_on_writable(struct transport *t)
{
	/* Nothing waits any more when nothing can be written: the same to who was held for it. */
	if (!transport_flush(t) && !t->unwritable)
		return;
	transport_update(t);
	if (t->q != NULL)
		return;
	if (t->fin_wanted) {
		if (!t->fin_sent)
			transport_send_fin(t);
		else
			shutdown(t->fd, SHUT_WR); /* behind close_notify */
	}
	t->ev->drained(t);
}
