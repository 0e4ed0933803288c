/*
 * Messages of permessage-deflate (RFC 7692 7.2) in pieces of any size, on
 * zlib's raw streams.  Output goes where the caller says and never past it;
 * nothing is gathered here but what zlib needs.  Pure but for allocation.
 *
 * A stream is got from a pool, which belongs to one thread, and put back.
 * With context takeover its user keeps it from the first message to the
 * connection's end; without, for the time of one message: as messages are mostly there
 * whole, one stream of the pool then serves all connections.
 *
 * A stream that stands between two messages can be put away as what it remembers: at most
 * its window, and no more than it has seen, where zlib holds 39 KiB to inflate and 262 to
 * deflate (15 bits).  A stream that is made of it goes on as if nothing had been.
 */
#ifndef CODEC_WS_DEFLATE_H
#define CODEC_WS_DEFLATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_DEFLATE_BITS_MIN 9
#define WS_DEFLATE_BITS_MAX 15
#define WS_DEFLATE_OUT_MIN 64 /* bytes that each call must have room for */

/* What all pools of a program have allocated together; any thread. */
struct ws_deflate_memory {
	_Atomic uint64_t bytes;
};

struct ws_inflate;
struct ws_deflate;

/* Embedded. */
struct ws_deflate_pool {
	struct ws_deflate_memory *memory; /* borrowed, shared */
	/* owned: spare streams, one for each size of window */
	struct ws_inflate *inflate[WS_DEFLATE_BITS_MAX - WS_DEFLATE_BITS_MIN + 1];
	struct ws_deflate *deflate[WS_DEFLATE_BITS_MAX - WS_DEFLATE_BITS_MIN + 1];
};

void ws_deflate_pool_init(struct ws_deflate_pool *pool, struct ws_deflate_memory *memory);
/* Frees the spare streams. */
void ws_deflate_pool_clear(struct ws_deflate_pool *pool);

/*
 * A stream without history whose window has this many bits (9 to 15); level is 1 to 9.  NULL
 * without memory, which includes that the program's zlib memory has reached max_bytes and no
 * stream is spare.
 */
struct ws_inflate *ws_inflate_get(struct ws_deflate_pool *pool, unsigned bits, uint64_t max_bytes);
struct ws_deflate *ws_deflate_get(
    struct ws_deflate_pool *pool, unsigned bits, unsigned level, uint64_t max_bytes);

/* Give it back, whatever state it is in; NULL is nothing. */
void ws_inflate_put(struct ws_deflate_pool *pool, struct ws_inflate *z);
void ws_deflate_put(struct ws_deflate_pool *pool, struct ws_deflate *z);

enum ws_deflate_status {
	WS_DEFLATE_OK,	 /* all input is taken and all output is out */
	WS_DEFLATE_FULL, /* there is more output than room: call again with the rest of the input */
	WS_DEFLATE_BAD,	 /* inflate: not deflate data, or the message ends within it (1007) */
	WS_DEFLATE_NOMEM,
};

/* A run of bytes that is used up from its start. */
struct ws_deflate_in {
	const uint8_t *p; /* borrowed; may be NULL when n is 0 */
	size_t n;
};

/*
 * Inflate a run of a message's payload into out[0..size), size >= WS_DEFLATE_OUT_MIN; *n is what
 * came out.  After the message's last byte ws_inflate_end gives what is still to come (RFC 7692
 * 7.2.2), called again while WS_DEFLATE_FULL; with WS_DEFLATE_OK the stream stands before the next
 * message.  After BAD or NOMEM the stream can only be put back.
 */
enum ws_deflate_status ws_inflate_run(
    struct ws_inflate *z, struct ws_deflate_in *in, uint8_t *out, size_t size, size_t *n);
enum ws_deflate_status ws_inflate_end(struct ws_inflate *z, uint8_t *out, size_t size, size_t *n);

enum ws_deflate_flush {
	WS_DEFLATE_MORE,  /* zlib may keep some of it */
	WS_DEFLATE_FLUSH, /* the peer can inflate all that went in so far */
	WS_DEFLATE_END,	  /* so too, and the message is over (RFC 7692 7.2.1) */
};

/*
 * Deflate a run of a message into out[0..size), size >= WS_DEFLATE_OUT_MIN; *n is what came out.
 * After WS_DEFLATE_FULL it has to be called again with the same flush.  WS_DEFLATE_END gives at
 * least one byte for each message.
 */
enum ws_deflate_status ws_deflate_run(struct ws_deflate *z, struct ws_deflate_in *in,
    enum ws_deflate_flush flush, uint8_t *out, size_t size, size_t *n);

/*
 * Between two messages: what the stream remembers, which the caller owns; z has been put back.
 * NULL without memory: z is as it was.
 */
struct ws_history;
struct ws_history *ws_inflate_save(struct ws_deflate_pool *pool, struct ws_inflate *z);
struct ws_history *ws_deflate_save(struct ws_deflate_pool *pool, struct ws_deflate *z);
void ws_history_free(struct ws_deflate_pool *pool, struct ws_history *h); /* NULL is nothing */

/*
 * A stream that goes on where the one that was saved stood; h is freed.  NULL as ws_inflate_get and
 * ws_deflate_get say: h is as it was.  level may differ from the stream's that was saved.
 */
struct ws_inflate *ws_inflate_restore(
    struct ws_deflate_pool *pool, struct ws_history *h, uint64_t max_bytes);
struct ws_deflate *ws_deflate_restore(
    struct ws_deflate_pool *pool, struct ws_history *h, unsigned level, uint64_t max_bytes);

/*
 * Compress what an inflater remembers, if that makes it smaller; it is tried once.  room is used
 * for the time of the call, size >= WS_DEFLATE_OUT_MIN; what does not fit there stays as it is.
 * Without memory, or with max_bytes in use and no spare stream, nothing is changed, and it may be
 * tried again.
 */
void ws_history_pack(struct ws_deflate_pool *pool, struct ws_history **h, uint8_t *room,
    size_t size, uint64_t max_bytes);
bool ws_history_was_packed(const struct ws_history *h); /* or tried to be */

/* The smallest window (9 to max bits) in which a message of n bytes can refer to its own start. */
unsigned ws_deflate_bits_for(uint64_t n, unsigned max);

#endif
