/*
 * What comes in from a connected socket.  See transport.h and transport.c, whose events arrive
 * here.
 */
#include <errno.h>
#include <string.h>

#include "io/packet.h"
#include "io/sock.h"
#include "io/tls.h"
#include "io/transport_int.h"

/* Turns of the reading loop over what TLS holds, before others get theirs. */
#define TLS_PENDING_ROUNDS 16
/* A read of so many bytes takes memory for a while, wherever they go: in queues, in OpenSSL. */
#define TRANSPORT_BULK (16 * 1024)

/* After a call that may have read from the socket: whether that has shown that it is empty. */
static void
transport_note_left(struct transport *t, enum tls_left left)
{
	if (left == TLS_LEFT_NONE)
		t->more = t->marked = false;
	else if (left == TLS_LEFT_END && !t->marked)
		t->more = false;
}

static void
transport_on_handshake(struct transport *t)
{
	enum tls_status st = tls_handshake(t->tls);

	transport_note_left(t, tls_left(t->tls));
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

/* With TLS: what OpenSSL holds behind what was read comes up as well. */
static void
transport_on_readable_tls(struct transport *t)
{
	unsigned rounds = 0;

	if (t->handshaking) {
		transport_on_handshake(t);
		if (t->fd == -1 || t->handshaking || !tls_pending(t->tls))
			return;
	}
	do {
		if (!t->want_read || t->eof)
			return;
		t->in_callback = true;
		t->ev->readable(t);
		t->in_callback = false;
	} while (t->fd != -1 && t->tls != NULL && t->err == 0 && !t->handshaking &&
	    tls_pending(t->tls) && ++rounds < TLS_PENDING_ROUNDS);
	transport_update(t);
}

void
transport_on_readable(struct transport *t)
{
	if (t->tls != NULL) {
		transport_on_readable_tls(t);
		return;
	}
	if (!t->want_read || t->eof)
		return;
	t->in_callback = true;
	t->ev->readable(t);
	t->in_callback = false;
	/* Its owner may have started TLS. */
	if (t->more || t->tls != NULL)
		transport_update(t);
}

static enum io_status
transport_read_tls(struct transport *t, void *p, size_t size, size_t *n, const char **why)
{
	/* What came with the end of a handshake, or was left over: the kernel has no more of it. */
	bool ask = t->more || !tls_pending(t->tls);
	enum tls_status st = tls_read(t->tls, p, size, n, ask);

	transport_note_left(t, tls_left(t->tls));
	if (transport_put_tls(t) == -1 && st == TLS_OK)
		st = TLS_OK; /* what came is good; the break is told by the loop */
	switch (st) {
	case TLS_OK:
		if (*n >= TRANSPORT_BULK)
			loop_note_bulk(t->loop);
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

/* A read has brought nothing: got is 0, or -1 with errno. */
static enum io_status
transport_read_none(struct transport *t, ssize_t got, const char **why)
{
	if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		t->more = t->marked = false;
		return IO_AGAIN;
	}
	if (got == 0 && t->was_reset) {
		errno = ECONNRESET;
		got = -1;
	}
	if (got == -1 && why != NULL)
		*why = strerror(errno);
	t->eof = true;
	t->broken = got == -1;
	return got == 0 ? IO_EOF : IO_ERROR;
}

/*
 * Of packets a read tells nothing of what is left.  Kept out of transport_read, whose way stays
 * short.
 */
__attribute__((noinline)) static enum io_status
transport_read_packet(struct transport *t, void *p, size_t size, size_t *n, const char **why)
{
	bool end;
	ssize_t got = packet_recv(t->fd, p, size, &end);

	if (end)
		return transport_read_none(t, got, why);
	*n = (size_t)got;
	if (*n >= TRANSPORT_BULK)
		loop_note_bulk(t->loop);
	return IO_OK;
}

static inline ssize_t
transport_recv(const struct transport *t, void *p, size_t size, int flags)
{
	ssize_t got;

	do {
		got = sock_recv(t->fd, p, size, flags);
	} while (got == -1 && errno == EINTR);
	return got;
}

enum io_status
transport_read(struct transport *t, void *p, size_t size, size_t *n, const char **why)
{
	ssize_t got;

	if (t->fd == -1 || t->eof)
		return IO_EOF;
	if (t->tls != NULL)
		return transport_read_tls(t, p, size, n, why);
	if (t->packets)
		return transport_read_packet(t, p, size, n, why);
	got = transport_recv(t, p, size, 0);
	if (got <= 0)
		return transport_read_none(t, got, why);
	*n = (size_t)got;
	if ((size_t)got < size && !t->marked)
		t->more = false;
	if (got >= TRANSPORT_BULK)
		loop_note_bulk(t->loop);
	return IO_OK;
}

enum io_status
transport_peek(struct transport *t, void *p, size_t size, size_t *n, const char **why)
{
	ssize_t got;

	if (t->fd == -1 || t->eof)
		return IO_EOF;
	got = transport_recv(t, p, size, MSG_PEEK);
	if (got <= 0)
		return transport_read_none(t, got, why);
	*n = (size_t)got;
	return IO_OK;
}
