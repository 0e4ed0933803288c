/*
 * Connected sockets: their life, and what they wait for.  See transport.h; transport_read.c and
 * transport_write.c have the bytes.
 *
 * Edge-triggered: the kernel tells once of what came (io/poller.h), and `more` remembers it until
 * a read has shown that the socket is empty: one that found nothing, or, of a byte stream, one
 * that found less than it had room for.  The latter shows nothing when the kernel told of an end
 * or an urgent byte (`marked`), which stand behind what a read brings and of which it does not
 * tell again: then it is read until nothing is there.  Nothing tells of descriptors that a Unix
 * peer passes (unix(7)), which cut reads short,
 * too: what it sent behind them is read when it sends more.
 *
 * The invariant, which all of it is about: whenever a callback has returned, a transport that
 * wants to read (or shakes hands) and has `more`, or bytes in OpenSSL, is on the loop's list of
 * those that have their turn next.  So a read that filled its memory, a peek, a callback that did
 * not read, and reading that was not wanted for a while need nothing else.  While it is not
 * wanted, what the kernel tells is remembered and nothing is done: no system call at either end.
 *
 * Whether the kernel takes bytes again is asked for only while it has refused some, as it would
 * tell of each packet that a Unix peer takes.  After transport_close nothing is called up any more.
 */
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/outq.h"
#include "io/poller.h"
#include "io/tls.h"
#include "io/transport_int.h"

static bool
transport_wants_read(const struct transport *t)
{
	return (t->want_read || t->handshaking) && !t->eof;
}

/* Whether there may be something to read that no event will tell of. */
static bool
transport_has_more(const struct transport *t)
{
	return t->more || (t->tls != NULL && !t->handshaking && tls_pending(t->tls));
}

static void
transport_watch_out(struct transport *t, bool out)
{
	t->out_told = out;
	if (poller_change(loop_poller(t->loop), t->fd, t, out) == -1 && t->err == 0)
		t->err = 0xfff & (unsigned)errno;
}

void
transport_kick(struct transport *t)
{
	if (t->again != 0)
		return;
	t->again = poller_queue(loop_poller(t->loop), t);
	/*
	 * Without memory the kernel is asked for an event, which comes at once unless it takes no
	 * bytes.
	 */
	if (t->again == 0)
		transport_watch_out(t, true);
}

void
transport_update(struct transport *t)
{
	if (t->fd == -1 || t->broken)
		return;
	if ((t->q != NULL) != t->out_told)
		transport_watch_out(t, t->q != NULL);
	if (t->err != 0 || (!t->in_callback && transport_wants_read(t) && transport_has_more(t)))
		transport_kick(t);
}

void
transport_fail(struct transport *t, const char *why)
{
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
	if (good && poller_add(loop_poller(t->loop), t->fd, t) == 0)
		return 0;
	tls_free(t->tls);
	t->tls = NULL;
	close(t->fd);
	t->fd = -1;
	return -1;
}

int
transport_start(struct transport *t, struct loop *loop, const struct transport_events *ev, int fd,
    struct tls_ctx *ctx)
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
	transport_update(t);
	return 0;
}

int
transport_start_client(struct transport *t, struct loop *loop, const struct transport_events *ev,
    int fd, struct tls_ctx *ctx, const char *host, unsigned offer)
{
	transport_init(t, loop, ev, fd);
	if (loop_tls(loop) != NULL)
		t->tls = tls_client_new(ctx, loop_tls(loop), fd, host, offer);
	t->handshaking = true;
	if (transport_started(t, t->tls != NULL) == -1)
		return -1;
	/* The client speaks first. */
	transport_kick(t);
	return 0;
}

void
transport_move(struct transport *dst, struct transport *src, const struct transport_events *ev)
{
	*dst = *src;
	dst->ev = ev;
	dst->in_callback = false;
	src->tls = NULL;
	src->q = NULL;
	src->again = 0;
	src->fd = -1;
	if (dst->again != 0)
		poller_replace(loop_poller(dst->loop), dst->again, dst);
	/* What is in the socket is told to dst then. */
	dst->more = dst->marked = false;
	if (poller_change(loop_poller(dst->loop), dst->fd, dst, dst->out_told) == -1)
		transport_break(dst, errno);
	transport_update(dst);
}

/* Something has come, or the kernel takes bytes again. */
static void
transport_run(struct transport *t, bool readable, bool writable)
{
	if (t->err == 0 && writable && t->q != NULL)
		transport_on_writable(t);
	if (t->fd != -1 && t->err == 0 && readable)
		transport_on_readable(t);
	if (t->fd != -1 && t->err != 0)
		transport_fail(t, strerror(t->err));
}

void
transport_on_events(void *arg, uint32_t events)
{
	struct transport *t = arg;

	/* Closed by what another of the same batch has done. */
	if (t->fd == -1 || t->broken)
		return;
	/* What nearly all of them are. */
	if (events == EPOLLIN && t->again == 0 && t->err == 0 && !t->out_told) {
		t->more = true;
		transport_on_readable(t); /* of an error in it tells transport_kick */
		return;
	}
	if ((events & ~(uint32_t)EPOLLOUT) != 0)
		t->more = true;
	if ((events & (POLLER_END | POLLER_MARK)) != 0)
		t->marked = true;
	if (t->out_told && t->q == NULL) {
		/* What transport_kick had asked for. */
		transport_watch_out(t, false);
		t->more = true;
	}
	/* What is on the list is read when its turn comes. */
	transport_run(
	    t, t->more && t->again == 0, (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0);
}

void
transport_on_again(void *arg)
{
	struct transport *t = arg;

	t->again = 0;
	if (!t->broken)
		transport_run(t, t->handshaking || transport_has_more(t), false);
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
	if (t->again != 0)
		poller_replace(loop_poller(t->loop), t->again, NULL);
	t->again = 0;
	outq_drop(&t->q);
	if (t->tls != NULL)
		loop_note_bulk(t->loop); /* OpenSSL has had kilobytes for it */
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
