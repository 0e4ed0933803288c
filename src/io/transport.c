/*
 * Connected sockets.  See transport.h.
 *
 * A socket is cold or warm.  It starts cold, in the loop's set of idle sockets (io/park.h), and costs nothing but this
 * struct; there it can only wait for its peer.  When it gets busy, or has to wait for anything else, it becomes warm
 * and has a struct event, which waits for reading, and for writing as well only while the kernel has refused bytes.  A warm
 * one that was idle for a while becomes cold again.  Invariants: io is NULL while cold; a cold transport wants to read, has no
 * queue and is not broken; after transport_close nothing is called up any more.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "io/packet.h"
#include "io/outq.h"
#include "io/park.h"
#include "io/tls.h"
#include "io/transport.h"

#define OUTQ_IOV 16
/* Turns of the reading loop over what TLS holds, before others get theirs. */
#define TLS_PENDING_ROUNDS 16

/* Events within an epoch of about two seconds after which a cold socket gets a struct event. */
#define TRANSPORT_WARM 8
#define TRANSPORT_EPOCH_SHIFT 11

/* What a socket needs while it is warm. */
struct transport_io {
	struct park_entry park;		/* first */
	struct event ev;
};

static void transport_on_event(evutil_socket_t fd, short what, void *arg);

static bool
transport_wants_read(const struct transport *t)
{
	return (t->want_read || t->handshaking) && !t->eof;
}

size_t
transport_io_bytes(void)
{
	return sizeof(struct transport_io);
}

static struct transport_io *
transport_io_new(struct transport *t)
{
	struct transport_io *io;

	if ((io = park_get(loop_park(t->loop))) == NULL)
		return NULL;
	event_assign(&io->ev, loop_base(t->loop), t->fd, EV_READ | EV_PERSIST,
	    transport_on_event, t);
	park_watch(loop_park(t->loop), &io->park);
	return io;
}

static void
transport_io_free(struct transport *t)
{
	event_del(&t->io->ev);
	park_unwatch(&t->io->park);
	park_put(loop_park(t->loop), t->io);	/* its event may be the one that is running */
	t->io = NULL;
}

/* Whether the set of idle sockets can do all the waiting. */
static bool
transport_can_be_cold(const struct transport *t)
{
	return transport_wants_read(t) && t->q == NULL && t->err == 0 && !t->broken;
}

void
transport_on_idle(struct park_entry *e)
{
	struct transport_io *io = (struct transport_io *)(void *)e;
	struct transport *t = event_get_callback_arg(&io->ev);

	if (!transport_can_be_cold(t) || (t->tls != NULL && tls_pending(t->tls)))
		return;
	event_del(&io->ev);
	if (park_sleep(loop_park(t->loop), t->fd, t) == -1) {
		event_add(&io->ev, NULL);
		return;
	}
	transport_io_free(t);
	t->fires = 0;
}

/* Out of the set: 0 with an event that waits for nothing yet; -1 without memory: still cold. */
static int
transport_warm(struct transport *t)
{
	if (t->io != NULL)
		return 0;
	if ((t->io = transport_io_new(t)) == NULL)
		return -1;
	park_wake(loop_park(t->loop), t->fd);
	return 0;
}

/* Let the event wait for exactly what is wanted now. */
static void
transport_update(struct transport *t)
{
	short want = 0, have;

	if (t->fd == -1 || (t->io == NULL && transport_can_be_cold(t)))
		return;
	if (transport_warm(t) == -1) {
		/* Told by the next event of the set, or the owner's timer comes first. */
		t->err = ENOMEM;
		return;
	}
	if (t->broken) {
		event_del(&t->io->ev);
		return;
	}
	if (transport_wants_read(t))
		want |= EV_READ;
	if (t->q != NULL)
		want |= EV_WRITE;
	have = event_pending(&t->io->ev, EV_READ | EV_WRITE, NULL) ?
	    event_get_events(&t->io->ev) & (EV_READ | EV_WRITE) : 0;
	if (want == have)
		return;
	if (have != 0)
		event_del(&t->io->ev);
	if (want != 0) {
		event_assign(&t->io->ev, loop_base(t->loop), t->fd,
		    want | EV_PERSIST, transport_on_event, t);
		if (event_add(&t->io->ev, NULL) == -1 && t->err == 0)
			t->err = 0xfff & (unsigned)(errno != 0 ? errno : ENOMEM);
	}
	/* event_del has forgotten what event_active had asked for. */
	if (t->err != 0 || (t->tls != NULL && t->want_read && !t->eof && !t->in_callback &&
	    !t->handshaking && tls_pending(t->tls)))
		event_active(&t->io->ev, EV_READ, 0);
}

/* Call transport_on_event from the loop, whatever the kernel has: no event tells of a break, or of bytes that OpenSSL holds. */
static void
transport_kick(struct transport *t)
{
	bool cold = t->io == NULL;

	if (transport_warm(t) == -1)
		return;
	if (cold)
		transport_update(t);
	event_active(&t->io->ev, EV_READ, 0);
}

/* Tell the owner, unless it knows already. */
static void
transport_fail(struct transport *t, const char *why)
{
	if (t->io != NULL)
		event_del(&t->io->ev);
	else
		park_wake(loop_park(t->loop), t->fd);
	if (t->broken)
		return;
	t->broken = true;
	t->eof = true;
	t->ev->failed(t, why);
}

/* A broken connection is told from the loop, never from within a down-call. */
void
transport_break(struct transport *t, int err)
{
	if (t->fd == -1 || t->err != 0)
		return;
	t->err = 0xfff & (unsigned)(err != 0 ? err : EIO);
	if (!t->broken)
		transport_kick(t);
}

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

static void
transport_init(struct transport *t, struct loop *loop, const struct transport_events *ev, int fd)
{
	memset(t, 0, sizeof(*t));
	t->loop = loop;
	t->ev = ev;
	t->fd = fd;
	t->want_read = true;
}

/* The end of a start: 0, or -1 with all undone. */
static int
transport_started(struct transport *t, bool good)
{
	if (good && loop_park(t->loop) != NULL && park_sleep(loop_park(t->loop), t->fd, t) == 0)
		return 0;
	tls_free(t->tls);
	t->tls = NULL;
	close(t->fd);
	t->fd = -1;
	return -1;
}

int
transport_start(struct transport *t, struct loop *loop,
    const struct transport_events *ev, int fd, struct tls_ctx *ctx)
{
	transport_init(t, loop, ev, fd);
	if (ctx != NULL) {
		if (loop_tls(loop) != NULL)
			t->tls = tls_server_new(ctx, loop_tls(loop), fd);
		t->handshaking = true;
	}
	return transport_started(t, ctx == NULL || t->tls != NULL);
}

int
transport_start_tls(struct transport *t, struct tls_ctx *ctx)
{
	if (loop_tls(t->loop) == NULL ||
	    (t->tls = tls_server_new(ctx, loop_tls(t->loop), t->fd)) == NULL)
		return -1;
	t->handshaking = true;
	return 0;
}

int
transport_start_client(struct transport *t, struct loop *loop,
    const struct transport_events *ev, int fd, struct tls_ctx *ctx, const char *host,
    unsigned offer)
{
	transport_init(t, loop, ev, fd);
	if (loop_tls(loop) != NULL)
		t->tls = tls_client_new(ctx, loop_tls(loop), fd, host, offer);
	t->handshaking = true;
	if (transport_started(t, t->tls != NULL) == -1)
		return -1;
	/* The client speaks first. */
	transport_kick(t);
	if (t->io != NULL)
		return 0;
	transport_close(t, false);
	return -1;
}

void
transport_move(struct transport *dst, struct transport *src,
    const struct transport_events *ev)
{
	*dst = *src;
	dst->ev = ev;
	dst->in_callback = false;
	src->io = NULL;
	src->tls = NULL;
	src->q = NULL;
	src->fd = -1;
	if (dst->io != NULL) {
		event_del(&dst->io->ev);
		event_assign(&dst->io->ev, loop_base(dst->loop), dst->fd, EV_READ | EV_PERSIST,
		    transport_on_event, dst);
		transport_update(dst);
		return;
	}
	if (park_move(loop_park(dst->loop), dst->fd, dst) == -1) {
		transport_break(dst, errno);
		return;
	}
	/* Src's reading loop ends here: what it would have found has to be told. */
	if (dst->tls != NULL && !dst->handshaking && tls_pending(dst->tls))
		transport_kick(dst);
}

size_t
transport_queued(const struct transport *t)
{
	return outq_bytes(t->q);
}

/* send or sendmsg; the bytes sent, 0 when the kernel takes none now, -1 broken. */
static ssize_t
transport_send(struct transport *t, const struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov,
	    .msg_iovlen = (size_t)n };
	ssize_t sent;

	do {
		sent = n == 1 ?
		    send(t->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) :
		    sendmsg(t->fd, &m, MSG_NOSIGNAL);
	} while (sent == -1 && errno == EINTR);
	if (sent == -1 && (errno == EAGAIN || errno == EWOULDBLOCK ||
	    errno == ENOBUFS || errno == ENOMEM))
		return 0;
	return sent;
}

/* Put bytes on the wire behind those that wait. */
static int
transport_put(struct transport *t, const struct iovec *iov, int n)
{
	ssize_t sent = 0;
	int i;

	if (t->q == NULL &&
	    (sent = transport_send(t, iov, n)) == -1) {
		transport_write_failed(t, errno);
		return -1;
	}
	for (i = 0; i < n; i++) {
		size_t skip = (size_t)sent < iov[i].iov_len ?
		    (size_t)sent : iov[i].iov_len;

		sent -= (ssize_t)skip;
		if (skip < iov[i].iov_len && outq_append(&t->q,
		    (const uint8_t *)iov[i].iov_base + skip,
		    iov[i].iov_len - skip, false) == -1) {
			transport_break(t, ENOMEM);
			return -1;
		}
	}
	if (t->q != NULL)
		transport_update(t);
	return 0;
}

/* One packet: 1 sent, 0 the kernel takes none now, -1 broken. */
static int
transport_send_packet(struct transport *t, const void *p, size_t n)
{
	int sent = packet_send(t->fd, p, n);

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
	if (outq_append(&t->q, iov->iov_base, iov->iov_len, true) == -1) {
		transport_break(t, ENOMEM);
		return -1;
	}
	transport_update(t);
	return 0;
}

/* Send what OpenSSL left in the worker's buffer. */
static int
transport_put_tls(struct transport *t)
{
	struct iovec iov;
	const void *p;

	tls_out(t->tls, &p, &iov.iov_len);
	if (iov.iov_len == 0)
		return 0;
	iov.iov_base = (void *)(uintptr_t)p;
	return transport_put(t, &iov, 1);
}

int
transport_write(struct transport *t, const struct iovec *iov, int n)
{
	enum tls_status st;

	if (t->fd == -1 || t->err != 0 || t->broken || t->fin_wanted || t->unwritable)
		return -1;
	if (t->packets)
		return transport_put_packet(t, iov);
	if (t->tls == NULL)
		return transport_put(t, iov, n);
	st = tls_write(t->tls, iov, n);
	if (transport_put_tls(t) == -1)
		return -1;
	if (st != TLS_OK) {
		transport_break(t, EPROTO);
		return -1;
	}
	return 0;
}

static void
transport_send_fin(struct transport *t)
{
	if (t->fin_sent)
		return;
	if (t->tls != NULL && !t->handshaking) {
		tls_close_notify(t->tls);
		t->fin_sent = true;	/* once, even when the kernel takes it later */
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

/* Send from the queue; false when the connection broke. */
static bool
transport_flush(struct transport *t)
{
	struct iovec iov[OUTQ_IOV];
	ssize_t sent;
	int n;

	if (t->packets)
		return transport_flush_packets(t);
	if ((n = outq_peek(t->q, iov, OUTQ_IOV)) == 0)
		return true;
	if ((sent = transport_send(t, iov, n)) == -1) {
		transport_write_failed(t, errno);
		return false;
	}
	outq_consume(&t->q, (size_t)sent);
	return true;
}

static void
transport_on_writable(struct transport *t)
{
	/* Nothing waits any more when nothing can be written: the same to who was held for it. */
	if ((!transport_flush(t) && !t->unwritable) || t->q != NULL)
		return;
	transport_update(t);
	if (t->fin_wanted) {
		if (!t->fin_sent)
			transport_send_fin(t);
		else
			shutdown(t->fd, SHUT_WR);	/* behind close_notify */
	}
	t->ev->drained(t);
}

static void
transport_on_handshake(struct transport *t)
{
	enum tls_status st = tls_handshake(t->tls);

	if (transport_put_tls(t) == -1)
		return;
	switch (st) {
	case TLS_OK:
		t->handshaking = false;
		t->ev->ready(t);
		break;
	case TLS_AGAIN:
		break;
	case TLS_EOF:
	case TLS_TRUNCATED:
		transport_fail(t, "the peer left during the TLS handshake");
		break;
	case TLS_ERROR:
		transport_fail(t, tls_error(t->tls));
		break;
	}
	transport_update(t);
}

static void
transport_on_readable(struct transport *t)
{
	unsigned rounds = 0;

	if (t->handshaking) {
		transport_on_handshake(t);
		if (t->fd == -1 || t->handshaking)
			return;
		if (!tls_pending(t->tls))
			return;
	}
	do {
		if (!t->want_read || t->eof)
			return;
		t->in_callback = true;
		t->ev->readable(t);
		t->in_callback = false;
	} while (t->fd != -1 && t->tls != NULL && t->err == 0 &&
	    tls_pending(t->tls) && ++rounds < TLS_PENDING_ROUNDS);
	if (rounds == TLS_PENDING_ROUNDS && t->fd != -1)
		transport_kick(t);
}

/* Something has come, or the kernel takes bytes again. */
static void
transport_run(struct transport *t, short what)
{
	if (t->err == 0 && (what & EV_WRITE) != 0)
		transport_on_writable(t);
	if (t->fd != -1 && t->err == 0 && (what & EV_READ) != 0)
		transport_on_readable(t);
	if (t->fd != -1 && t->err != 0)
		transport_fail(t, strerror(t->err));
}

void
transport_on_parked(void *arg)
{
	struct transport *t = arg;
	unsigned epoch;

	/* Closed or made warm by what another of the same batch has done. */
	if (t->fd == -1 || t->io != NULL)
		return;
	epoch = (unsigned)(loop_now_ms(t->loop) >> TRANSPORT_EPOCH_SHIFT) & 15;
	if (t->epoch != epoch) {
		t->epoch = epoch & 15;
		t->fires = 0;
	}
	/* Without memory it stays cold: slower, not wrong. */
	if (++t->fires >= TRANSPORT_WARM && transport_warm(t) == 0)
		transport_update(t);
	transport_run(t, EV_READ);
}

static void
transport_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	if (t->fd == -1)
		return;
	t->io->park.touched = true;
	transport_run(t, what);
}

static enum io_status
transport_read_tls(struct transport *t, void *p, size_t size, size_t *n,
    const char **why)
{
	enum tls_status st = tls_read(t->tls, p, size, n);

	if (transport_put_tls(t) == -1 && st == TLS_OK)
		st = TLS_OK;	/* what came is good; the break is told by the loop */
	switch (st) {
	case TLS_OK:
		return IO_OK;
	case TLS_AGAIN:
		return IO_AGAIN;
	case TLS_EOF:
	case TLS_TRUNCATED:
		t->eof = true;
		return IO_EOF;
	case TLS_ERROR:
		break;
	}
	t->eof = true;
	t->broken = true;
	if (why != NULL)
		*why = tls_error(t->tls);
	return IO_ERROR;
}

size_t
transport_set_packets(struct transport *t, size_t max)
{
	t->packets = true;
	return packet_max(t->fd, max);
}

static ssize_t
transport_recv(const struct transport *t, void *p, size_t size, int flags, bool *end)
{
	ssize_t got;

	if (t->packets)
		return packet_recv(t->fd, p, size, end);
	do {
		got = recv(t->fd, p, size, flags);
	} while (got == -1 && errno == EINTR);
	*end = got <= 0;
	return got;
}

static enum io_status
transport_read_clear(struct transport *t, void *p, size_t size, int flags, size_t *n,
    const char **why)
{
	ssize_t got;
	bool end;

	got = transport_recv(t, p, size, flags, &end);
	if (!end) {
		*n = (size_t)got;
		return IO_OK;
	}
	if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return IO_AGAIN;
	if (got == 0 && t->was_reset) {
		errno = ECONNRESET;
		got = -1;
	}
	if (got == -1 && why != NULL)
		*why = strerror(errno);
	t->eof = true;
	t->broken = got == -1;
	transport_update(t);
	return got == 0 ? IO_EOF : IO_ERROR;
}

enum io_status
transport_read(struct transport *t, void *p, size_t size,
    size_t *n, const char **why)
{
	enum io_status st;

	if (t->fd == -1 || t->eof)
		return IO_EOF;
	if (t->tls == NULL)
		return transport_read_clear(t, p, size, 0, n, why);
	st = transport_read_tls(t, p, size, n, why);
	if (t->eof)
		transport_update(t);
	return st;
}

enum io_status
transport_peek(struct transport *t, void *p, size_t size, size_t *n, const char **why)
{
	if (t->fd == -1 || t->eof)
		return IO_EOF;
	return transport_read_clear(t, p, size, MSG_PEEK, n, why);
}

void
transport_want_read(struct transport *t, bool want)
{
	if (t->fd == -1 || t->want_read == want)
		return;
	t->want_read = want;
	transport_update(t);
}

void
transport_close(struct transport *t, bool reset)
{
	struct linger lin = { .l_onoff = 1, .l_linger = 0 };

	if (t->fd == -1)
		return;
	if (t->io != NULL)
		transport_io_free(t);
	outq_drop(&t->q);
	tls_free(t->tls);
	t->tls = NULL;
	if (reset)
		setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin));
	close(t->fd);
	t->fd = -1;
}

void
transport_local(const struct transport *t, struct sockaddr_storage *out)
{
	socklen_t n = sizeof(*out);

	memset(out, 0, sizeof(*out));
	if (t->fd == -1 || getsockname(t->fd, (struct sockaddr *)out, &n) == -1)
		out->ss_family = AF_UNSPEC;
}

const char *
transport_tls_version(const struct transport *t)
{
	return t->tls != NULL ? tls_version(t->tls) : NULL;
}

const char *
transport_tls_cipher(const struct transport *t)
{
	return t->tls != NULL ? tls_cipher(t->tls) : NULL;
}

void
transport_peer_subject(const struct transport *t, char *out, size_t size)
{
	if (t->tls != NULL)
		tls_peer_subject(t->tls, out, size);
	else if (size > 0)
		out[0] = '\0';
}

const char *
transport_alpn(const struct transport *t)
{
	return t->tls != NULL ? tls_alpn(t->tls) : "";
}
