/*
 * A connected socket, in the clear or with TLS, that looks the same from
 * above: non-blocking reads into the caller's memory, writes that go out at
 * once and whose rest, if the kernel refuses some, waits in a queue.
 *
 * Embedded in its owner, which must stay allocated until the turn's end after
 * transport_close (loop_free_later).  One thread.  Up-calls are never made from within a down-call.
 */
#ifndef IO_TRANSPORT_H
#define IO_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/span.h"
#include "io/loop.h"
#include "io/outq.h"

struct outq;
struct tls;
struct tls_ctx;
struct transport;

enum io_status { IO_OK, IO_AGAIN, IO_EOF, IO_ERROR };

struct transport_events {
	/* The TLS handshake is over (never for a plain transport). */
	void (*ready)(struct transport *t);
	/*
	 * Read now (transport_read), until IO_AGAIN or once.  Called again, after others had their
	 * turn, for as long as reading is wanted and something may be left.
	 */
	void (*readable)(struct transport *t);
	/* The queue has become empty after the kernel had refused bytes. */
	void (*drained)(struct transport *t);
	/*
	 * The connection is broken (reset, TLS error, handshake failure); why for the log. Only
	 * once; the owner closes.
	 */
	void (*failed)(struct transport *t, const char *why);
};

struct transport {
	struct loop *loop;		   /* borrowed */
	const struct transport_events *ev; /* static */
	struct outq *q;			   /* owned; NULL unless the kernel refused bytes */
	struct tls *tls;		   /* owned; NULL in the clear */
	int fd;				   /* owned; -1 once closed */
	/* its place among those that have a turn (io/poller.h); 0: none */
	uint32_t again;
	/* errno of a failed write; reported from the loop */
	uint16_t err : 12;
	bool want_read : 1, handshaking : 1, fin_wanted : 1, fin_sent : 1, eof : 1, in_callback : 1;
	/* the socket may have something, of which the kernel will not tell again */
	bool more : 1;
	/* an end or a mark stands behind the bytes: a short read has not emptied it */
	bool marked : 1;
	bool out_told : 1; /* the kernel tells when it takes bytes again */
	bool packets : 1;  /* SOCK_SEQPACKET: each write is a packet, each read one */
	bool broken : 1;   /* the owner knows: by `failed` or by IO_ERROR */
	bool read_on : 1;  /* see transport_read_on */
	/* of read_on: a write has failed; and met a reset */
	bool unwritable : 1, was_reset : 1;
	bool narrow : 1; /* see transport_may_widen */
};

/* Two of them for each forwarded WebSocket. */
_Static_assert(sizeof(struct transport) <= 48, "struct transport has grown");

/*
 * Start on a connected non-blocking fd, whose ownership goes over (also on
 * error: then it is closed).  ctx: a server-side TLS handshake comes first, NULL is none.  Reading
 * is
 * wanted from the start.  0, or -1 without memory.
 */
int transport_start(struct transport *t, struct loop *loop, const struct transport_events *ev,
    int fd, struct tls_ctx *ctx);

/*
 * The same with a client-side TLS handshake, see tls_client_new for the rest.  Nothing can be
 * written before `ready`.
 */
int transport_start_client(struct transport *t, struct loop *loop,
    const struct transport_events *ev, int fd, struct tls_ctx *ctx, const char *host,
    unsigned offer);

/*
 * On a server's transport that was started in the clear, has nothing to write and of which all that
 * came in the clear was read: the TLS handshake follows, as if it had been started with ctx.  0, or
 * -1 without memory.
 */
int transport_start_tls(struct transport *t, struct tls_ctx *ctx);

/*
 * Let dst (not in use) take the connection over from src with all that belongs to it; src is as
 * good as closed then.  For an owner that becomes another one: in `ready` or `readable` too.
 * Bytes that were read already are the caller's to hand on.
 */
void transport_move(
    struct transport *dst, struct transport *src, const struct transport_events *ev);

/*
 * Read at most size bytes.  IO_OK with 1 <= *n <= size; IO_AGAIN; IO_EOF (the peer's FIN; with TLS
 * a FIN without close_notify too); IO_ERROR: broken, *why for the log when not NULL.
 */
enum io_status transport_read(
    struct transport *t, void *p, size_t size, size_t *n, const char **why);

/*
 * In the clear: read, but leave in the socket what was read.  As long as it is there `readable`
 * comes again at once.
 */
enum io_status transport_peek(
    struct transport *t, void *p, size_t size, size_t *n, const char **why);

/*
 * Send all of iov (borrowed for the call): now, or what the kernel refuses
 * as soon as it takes it.  0; -1 when the connection is broken, closing or out of
 * memory: the bytes are lost, and `failed` comes from the loop when it has not come yet.
 */
int transport_write(struct transport *t, const struct iovec *iov, int n);

/*
 * The same, and transport_fin, in one: of TCP they leave in one segment, of TLS with close_notify
 * in one piece.  Returns as transport_write; on -1 there is no FIN.  Not for packets.
 */
int transport_write_fin(struct transport *t, const struct iovec *iov, int n);

/* Whether transport_send_file can do it: not with TLS, nor for packets. */
static inline bool
transport_takes_files(const struct transport *t)
{
	return t->tls == NULL && !t->packets;
}

/*
 * Where transport_takes_files: send head (which may be empty), as transport_write does, and behind
 * it n bytes (at least 1) of a file from offset off, without reading them, as far as the kernel
 * takes them now: sendfile(2).  Returns how many of the file's went out; 0 while something is
 * queued, too.  -1 with errno: EOPNOTSUPP for files that cannot be sent so, ENODATA when the file
 * ends at off or before (the head went out with both), or else the connection is broken, as with
 * transport_write.  `drained` does not tell when the kernel takes more: whoever has to wait writes
 * something.
 */
ssize_t transport_send_file(struct transport *t, struct span head, int fd, uint64_t off, size_t n);

/* Bytes that wait for the kernel (with TLS: as encrypted). */
static inline size_t
transport_queued(const struct transport *t)
{
	return t->q != NULL ? outq_bytes(t->q) : 0;
}

/* Whether `readable` is to be called.  What TLS holds already is not forgotten. */
void transport_want_read(struct transport *t, bool want);

/*
 * The kernel is to take no more than about n bytes that it cannot send yet, so that what is
 * written next need not wait behind them.  TCP only; nothing elsewhere.
 */
void transport_limit_unsent(struct transport *t, int n);

/* Send a FIN (with TLS close_notify before it) behind all that was written. */
void transport_fin(struct transport *t);

/*
 * The same for who closes then, because the peer will say nothing more: the FIN is
 * transport_close's.  False when bytes wait for the kernel, or the connection is broken: nothing
 * but transport_fin will do.
 */
bool transport_finish(struct transport *t);

/*
 * The socket is a SOCK_SEQPACKET one: from now on each transport_write (of one iovec) is a packet,
 * which keeps its boundary in the queue too, and each transport_read takes one, which may be empty
 * (IO_OK with *n 0).  Returns how many bytes fit into a packet, at most max.
 */
size_t transport_set_packets(struct transport *t, size_t max);

/*
 * From now on a write that the peer refuses (EPIPE, ECONNRESET) is not `failed`: what it said
 * before it went is still read, then its end or the reset.  What is written is lost without a word
 * from then on, and `drained` comes if bytes waited.  For the clear only.
 */
static inline void
transport_read_on(struct transport *t)
{
	t->read_on = true;
}

/*
 * Its send buffer may be made as large as a read when bytes are refused for the first time (an
 * application's socket, of which the kernel's memory is no worry).  Costs nothing until then;
 * nothing for TCP.
 */
static inline void
transport_may_widen(struct transport *t)
{
	t->narrow = true;
}

/* Declare the connection broken (err is an errno): `failed` comes from the loop. */
void transport_break(struct transport *t, int err);

/* Close now; queued bytes are dropped.  reset: the peer sees a RST, not a FIN. */
void transport_close(struct transport *t, bool reset);

static inline bool
transport_closed(const struct transport *t)
{
	return t->fd == -1;
}

/* For io/loop's poller: the kernel has told of arg, a transport; it has its turn. */
void transport_on_events(void *arg, uint32_t events);
void transport_on_again(void *arg);

/* The address at this end; AF_UNSPEC when it cannot be told. */
void transport_local(const struct transport *t, struct sockaddr_storage *out);

/* Facts about the TLS session; NULL / "" in the clear. */
const char *transport_tls_version(const struct transport *t);
const char *transport_tls_cipher(const struct transport *t);
const char *transport_alpn(const struct transport *t);
/* The peer's certificate's subject into out; an empty string without one. */
void transport_peer_subject(const struct transport *t, char *out, size_t size);

#endif
