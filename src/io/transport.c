/*
 * Connected sockets.  See transport.h.
 *
 * One struct event for each socket that is not idle: it waits for reading, and for
 * writing as well only while the kernel has refused bytes.  A socket that only waits for its peer and was silent
 * for a while is parked (io/park.h) and has none.  Invariants: io is armed for
 * want_read and for a non-empty queue, nothing else; a parked transport wants to read and has no queue; q_bytes is the sum of
 * the blocks; after transport_close nothing is called up any more.
 */
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mem.h"
#include "io/packet.h"
#include "io/park.h"
#include "io/tls.h"
#include "io/transport.h"

/* What one block holds at least, so that many small writes share one. */
#define OUTQ_BLOCK_MIN 1024
#define OUTQ_IOV 16
/* What a packet that waits costs beside its bytes. */
#define OUTQ_PACKET_COST 64
/* Turns of the reading loop over what TLS holds, before others get theirs. */
#define TLS_PENDING_ROUNDS 16

struct outq_block {
	struct outq_block *next;
	size_t off, n, cap;	/* bytes off..n of data are to be sent */
	uint8_t data[];
};

/* What a socket needs while it is awake. */
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

static struct transport_io *
transport_io_new(struct transport *t)
{
	struct transport_io *io;

	if (loop_park(t->loop) == NULL || (io = loop_object(t->loop, sizeof(*io))) == NULL)
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
	loop_object_free_later(t->loop, t->io);	/* its event may be the one that is running */
	t->io = NULL;
}

void
transport_on_idle(struct park_entry *e)
{
	struct transport_io *io = (struct transport_io *)(void *)e;
	struct transport *t = event_get_callback_arg(&io->ev);

	if (!t->want_read || t->handshaking || t->eof || t->broken || t->err != 0 ||
	    t->q_head != NULL || (t->tls != NULL && tls_pending(t->tls)))
		return;
	event_del(&io->ev);
	if (park_sleep(loop_park(t->loop), t->fd, t) == -1)
		event_add(&io->ev, NULL);
	else
		transport_io_free(t);
}

/*
 * A parked transport has its event again; 0, or -1 without memory: the
 * connection is broken, and since no event can tell it, it is left to its next event or timer.
 */
static int
transport_unpark(struct transport *t)
{
	if (t->io != NULL)
		return 0;
	if ((t->io = transport_io_new(t)) == NULL)
		return -1;
	park_wake(loop_park(t->loop), t->fd);
	if (transport_wants_read(t) && event_add(&t->io->ev, NULL) == -1) {
		event_active(&t->io->ev, EV_READ, 0);
		t->err = ENOMEM;
	}
	return 0;
}

void
transport_on_parked(void *arg)
{
	struct transport *t = arg;

	/* Closed or woken by what another of the same batch has done. */
	if (t->fd == -1 || t->io != NULL)
		return;
	if (transport_unpark(t) == -1) {
		park_wake(loop_park(t->loop), t->fd);
		t->broken = t->eof = true;
		t->ev->failed(t, "out of memory");
		return;
	}
	transport_on_event(t->fd, EV_READ, t);
}

/* No event will tell of bytes that OpenSSL has read already. */
static void
transport_wake_tls(struct transport *t)
{
	if (t->tls != NULL && t->want_read && !t->eof && !t->in_callback &&
	    !t->handshaking && tls_pending(t->tls))
		event_active(&t->io->ev, EV_READ, 0);
}

/* Let the event wait for exactly what is wanted now. */
static void
transport_update(struct transport *t)
{
	short want = 0, have;

	if (t->fd == -1)
		return;
	if (t->broken) {
		if (t->io != NULL)
			event_del(&t->io->ev);
		return;
	}
	if (transport_unpark(t) == -1)
		return;
	if (transport_wants_read(t))
		want |= EV_READ;
	if (t->q_head != NULL)
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
			t->err = errno != 0 ? errno : ENOMEM;
	}
	/* event_del has forgotten what event_active had asked for. */
	if (t->err != 0)
		event_active(&t->io->ev, EV_READ, 0);
	else
		transport_wake_tls(t);
}

/* Tell the owner, unless it knows already. */
static void
transport_fail(struct transport *t, const char *why)
{
	event_del(&t->io->ev);
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
	t->err = err != 0 ? err : EIO;
	if (!t->broken && transport_unpark(t) == 0)
		event_active(&t->io->ev, EV_READ, 0);
}

static void
transport_drop_queue(struct transport *t)
{
	struct outq_block *b;

	while ((b = t->q_head) != NULL) {
		t->q_head = b->next;
		mem_free(b);
	}
	t->q_tail = NULL;
	t->q_bytes = 0;
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
	transport_drop_queue(t);
}

int
transport_start(struct transport *t, struct loop *loop,
    const struct transport_events *ev, int fd, struct tls_ctx *ctx)
{
	memset(t, 0, sizeof(*t));
	t->loop = loop;
	t->ev = ev;
	t->fd = fd;
	t->want_read = true;
	if ((t->io = transport_io_new(t)) == NULL)
		goto fail;
	if (ctx != NULL) {
		if (loop_tls(loop) == NULL ||
		    (t->tls = tls_server_new(ctx, loop_tls(loop), fd)) == NULL)
			goto fail;
		t->handshaking = true;
	}
	if (event_add(&t->io->ev, NULL) == -1)
		goto fail;
	return 0;
fail:
	tls_free(t->tls);
	t->tls = NULL;
	if (t->io != NULL)
		transport_io_free(t);
	close(fd);
	t->fd = -1;
	return -1;
}

/* What a packet takes of the limit, or many empty ones would take memory without end. */
static uint32_t
transport_cost(const struct transport *t, size_t n)
{
	return (uint32_t)(t->packets ? n + OUTQ_PACKET_COST : n);
}

static int
transport_enqueue(struct transport *t, const uint8_t *p, size_t n)
{
	struct outq_block *b = t->q_tail;
	size_t take = 0, cap;

	if (b != NULL && !t->packets) {
		take = b->cap - b->n < n ? b->cap - b->n : n;
		memcpy(b->data + b->n, p, take);
		b->n += take;
	}
	if (take < n || t->packets) {
		cap = n - take > OUTQ_BLOCK_MIN || t->packets ? n - take : OUTQ_BLOCK_MIN;
		if ((b = mem_alloc(sizeof(*b) + cap)) == NULL)
			return -1;
		b->next = NULL;
		b->off = 0;
		b->n = n - take;
		b->cap = cap;
		memcpy(b->data, p + take, n - take);
		if (t->q_tail != NULL)
			t->q_tail->next = b;
		else
			t->q_head = b;
		t->q_tail = b;
	}
	t->q_bytes += transport_cost(t, n);
	return 0;
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

	if (t->q_head == NULL &&
	    (sent = transport_send(t, iov, n)) == -1) {
		transport_write_failed(t, errno);
		return -1;
	}
	for (i = 0; i < n; i++) {
		size_t skip = (size_t)sent < iov[i].iov_len ?
		    (size_t)sent : iov[i].iov_len;

		sent -= (ssize_t)skip;
		if (skip < iov[i].iov_len && transport_enqueue(t,
		    (const uint8_t *)iov[i].iov_base + skip,
		    iov[i].iov_len - skip) == -1) {
			transport_break(t, ENOMEM);
			return -1;
		}
	}
	if (t->q_head != NULL)
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
	int sent = t->q_head == NULL ? transport_send_packet(t, iov->iov_base, iov->iov_len) : 0;

	if (sent != 0)
		return sent == 1 ? 0 : -1;
	if (transport_enqueue(t, iov->iov_base, iov->iov_len) == -1) {
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
		if (transport_put_tls(t) == -1 || t->q_head != NULL)
			return;
	}
	t->fin_sent = true;
	shutdown(t->fd, SHUT_WR);
}

void
transport_fin(struct transport *t)
{
	if (t->fd == -1 || t->fin_wanted)
		return;
	t->fin_wanted = true;
	if (t->q_head == NULL && t->err == 0 && !t->broken)
		transport_send_fin(t);
}

static void
transport_pop(struct transport *t)
{
	struct outq_block *b = t->q_head;

	if ((t->q_head = b->next) == NULL)
		t->q_tail = NULL;
	mem_free(b);
}

static bool
transport_flush_packets(struct transport *t)
{
	int sent = 1;

	while (t->q_head != NULL) {
		if ((sent = transport_send_packet(t, t->q_head->data, t->q_head->n)) != 1)
			break;
		t->q_bytes -= transport_cost(t, t->q_head->n);
		transport_pop(t);
	}
	return sent != -1;
}

/* Send from the queue; false when the connection broke. */
static bool
transport_flush(struct transport *t)
{
	struct iovec iov[OUTQ_IOV];
	struct outq_block *b;
	ssize_t sent;
	int n = 0;

	if (t->packets)
		return transport_flush_packets(t);
	for (b = t->q_head; b != NULL && n < OUTQ_IOV; b = b->next) {
		iov[n].iov_base = b->data + b->off;
		iov[n++].iov_len = b->n - b->off;
	}
	if (n == 0)
		return true;
	if ((sent = transport_send(t, iov, n)) == -1) {
		transport_write_failed(t, errno);
		return false;
	}
	t->q_bytes -= (uint32_t)sent;
	while ((b = t->q_head) != NULL) {
		if ((size_t)sent < b->n - b->off) {
			b->off += (size_t)sent;
			break;
		}
		sent -= (ssize_t)(b->n - b->off);
		transport_pop(t);
	}
	return true;
}

static void
transport_on_writable(struct transport *t)
{
	/* Nothing waits any more when nothing can be written: the same to who was held for it. */
	if ((!transport_flush(t) && !t->unwritable) || t->q_head != NULL)
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
		event_active(&t->io->ev, EV_READ, 0);
}

static void
transport_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	if (t->fd == -1)
		return;
	t->io->park.touched = true;
	if (t->err == 0 && (what & EV_WRITE) != 0)
		transport_on_writable(t);
	if (t->fd != -1 && t->err == 0 && (what & EV_READ) != 0)
		transport_on_readable(t);
	if (t->fd != -1 && t->err != 0)
		transport_fail(t, strerror(t->err));
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
transport_recv(const struct transport *t, void *p, size_t size, bool *end)
{
	ssize_t got;

	if (t->packets)
		return packet_recv(t->fd, p, size, end);
	do {
		got = recv(t->fd, p, size, 0);
	} while (got == -1 && errno == EINTR);
	*end = got <= 0;
	return got;
}

enum io_status
transport_read(struct transport *t, void *p, size_t size, size_t *n,
    const char **why)
{
	enum io_status st;
	ssize_t got;
	bool end;

	if (t->fd == -1 || t->eof)
		return IO_EOF;
	if (t->tls != NULL) {
		st = transport_read_tls(t, p, size, n, why);
		if (t->eof)
			transport_update(t);
		return st;
	}
	got = transport_recv(t, p, size, &end);
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
	transport_drop_queue(t);
	tls_free(t->tls);
	t->tls = NULL;
	if (reset)
		setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin));
	close(t->fd);
	t->fd = -1;
}

const char *
transport_tls_version(const struct transport *t)
{
	return t->tls != NULL ? tls_version(t->tls) : NULL;
}

const char *
transport_alpn(const struct transport *t)
{
	return t->tls != NULL ? tls_alpn(t->tls) : "";
}
