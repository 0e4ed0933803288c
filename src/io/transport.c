/*
 * Connected sockets: their life, and what they wait for.  See transport.h; transport_read.c and
 * transport_write.c have the bytes.
 *
 * A socket is cold or warm.  It starts cold, in the loop's set of idle sockets (io/park.h), and
 * costs nothing but this struct; there it can only wait for its peer.  When it gets busy, or
 * has to wait for anything else, it becomes warm and has a struct event, which waits for
 * reading, and for writing as well only while the kernel has refused bytes.  A warm one that
 * was idle for a while becomes cold again.  Invariants: io is NULL while cold; a cold transport
 * wants to read, has no queue and is not broken; after transport_close nothing is called up any
 * more.
 */
#include <sys/socket.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/outq.h"
#include "io/tls.h"
#include "io/transport_int.h"

/* Events within an epoch of about two seconds after which a cold socket gets a struct event. */
#define TRANSPORT_WARM 8
#define TRANSPORT_EPOCH_SHIFT 11

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
	event_assign(
	    &io->ev, loop_base(t->loop), t->fd, EV_READ | EV_PERSIST, transport_on_event, t);
	park_watch(loop_park(t->loop), &io->park);
	return io;
}

static void
transport_io_free(struct transport *t)
{
	event_del(&t->io->ev);
	park_unwatch(&t->io->park);
	park_put(loop_park(t->loop), t->io); /* its event may be the one that is running */
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

void
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
	have = event_pending(&t->io->ev, EV_READ | EV_WRITE, NULL)
	    ? event_get_events(&t->io->ev) & (EV_READ | EV_WRITE)
	    : 0;
	if (want == have)
		return;
	if (have != 0)
		event_del(&t->io->ev);
	if (want != 0) {
		event_assign(&t->io->ev, loop_base(t->loop), t->fd, want | EV_PERSIST,
		    transport_on_event, t);
		if (event_add(&t->io->ev, NULL) == -1 && t->err == 0)
			t->err = 0xfff & (unsigned)(errno != 0 ? errno : ENOMEM);
	}
	/* event_del has forgotten what event_active had asked for. */
	if (t->err != 0 ||
	    (t->tls != NULL && t->want_read && !t->eof && !t->in_callback && !t->handshaking &&
		tls_pending(t->tls)))
		event_active(&t->io->ev, EV_READ, 0);
}

void
transport_kick(struct transport *t)
{
	bool cold = t->io == NULL;

	if (transport_warm(t) == -1)
		return;
	if (cold)
		transport_update(t);
	event_active(&t->io->ev, EV_READ, 0);
}

void
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
	if (t->io != NULL)
		return 0;
	transport_close(t, false);
	return -1;
}

void
transport_move(struct transport *dst, struct transport *src, const struct transport_events *ev)
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
