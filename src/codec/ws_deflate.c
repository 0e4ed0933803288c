/*
 * permessage-deflate's messages on zlib (RFC 7692 7.2).  See ws_deflate.h.
 *
 * Pure but for allocation; a pool and its streams belong to one thread, only
 * the count of bytes is shared.  Called by gateway/ws_edge.c and wsdial; calls
 * zlib, and base/mem for its memory.
 *
 * Invariants: a stream that is got has no history; `dirty` tells that it has to be
 * reset before somebody else gets it.  zlib's calls cannot fail but for what the peer sent
 * and for memory, and everything of the deflate side is allocated in get.
 *
 * RFC 7692 leaves it to the sender what of its earlier messages it refers to (7.1.1), so a
 * compressor may forget them at any time; a decompressor may not.  History that is packed is a
 * message itself (7.2.1), made with the window of the stream that it belongs to: inflating it by a
 * new stream leaves that with just this history.
 */
#include "codec/ws_deflate.h"

#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/mem.h"

#define TAIL_N 4	    /* 00 00 ff ff (RFC 7692 7.2.1) */
#define RUN_MAX (1u << 30)  /* zlib counts in 32 bits */
#define DATA_TYPE_CLEAN 128 /* of inflate: a block has ended, not the last, no bit is left */
#define MEM_LEVEL_MIN 4
#define PACK_LEVEL 1	 /* of history */
#define UNPACK_ROOM 4096 /* zlib is slow with less than 258 bytes */

/* Before each of zlib's allocations: its size, with this; what follows is aligned. */
#define MEM_HEAD 16
/* From here on windows and tables: malloc would keep what many connections have freed. */
#define MEM_LARGE 16384

static const uint8_t deflate_tail[TAIL_N] = { 0x00, 0x00, 0xff, 0xff };

struct ws_inflate {
	z_stream z;
	uint8_t bits;
	uint8_t tail_n; /* bytes of the tail that were given to zlib */
	bool ended;	/* a block with BFINAL was the last thing */
	bool dirty;
};

struct ws_deflate {
	z_stream z;
	uint8_t bits;
	uint8_t level;
	uint8_t carry_n;       /* bytes of carry */
	uint8_t carry[TAIL_N]; /* END was full: the last bytes, which may be of the tail */
	bool pending;	       /* something went in since the last flush */
	bool dirty;
};

/* What a stream that was put away remembers. */
struct ws_history {
	uint32_t n; /* bytes of data */
	uint8_t bits;
	bool packed; /* data is a message that becomes it */
	bool tried;  /* to pack it */
	uint8_t data[];
};

static voidpf
pool_alloc(voidpf opaque, uInt items, uInt size)
{
	struct ws_deflate_memory *memory = opaque;
	size_t n = (size_t)items * size + MEM_HEAD;
	uint8_t *p;

	if (n > RUN_MAX || (p = n >= MEM_LARGE ? mem_map(n) : mem_alloc(n)) == NULL)
		return Z_NULL;
	memcpy(p, &n, sizeof(n));
	atomic_fetch_add_explicit(&memory->bytes, n, memory_order_relaxed);
	return p + MEM_HEAD;
}

static void
pool_free(voidpf opaque, voidpf address)
{
	struct ws_deflate_memory *memory = opaque;
	uint8_t *p = (uint8_t *)address - MEM_HEAD;
	size_t n;

	memcpy(&n, p, sizeof(n));
	atomic_fetch_sub_explicit(&memory->bytes, n, memory_order_relaxed);
	if (n >= MEM_LARGE)
		mem_map_free(p, n);
	else
		mem_free(p);
}

static void
pool_setup(const struct ws_deflate_pool *pool, z_stream *z)
{
	memset(z, 0, sizeof(*z));
	z->zalloc = pool_alloc;
	z->zfree = pool_free;
	z->opaque = pool->memory;
}

static bool
pool_may_grow(const struct ws_deflate_pool *pool, uint64_t max_bytes)
{
	return atomic_load_explicit(&pool->memory->bytes, memory_order_relaxed) < max_bytes;
}

void
ws_deflate_pool_init(struct ws_deflate_pool *pool, struct ws_deflate_memory *memory)
{
	memset(pool, 0, sizeof(*pool));
	pool->memory = memory;
}

static void
inflate_free(struct ws_inflate *z)
{
	if (z == NULL)
		return;
	inflateEnd(&z->z);
	mem_free(z);
}

static void
deflate_free(struct ws_deflate *z)
{
	if (z == NULL)
		return;
	deflateEnd(&z->z);
	mem_free(z);
}

void
ws_deflate_pool_clear(struct ws_deflate_pool *pool)
{
	for (size_t i = 0; i <= WS_DEFLATE_BITS_MAX - WS_DEFLATE_BITS_MIN; i++) {
		inflate_free(pool->inflate[i]);
		deflate_free(pool->deflate[i]);
	}
	ws_deflate_pool_init(pool, pool->memory);
}

/* ---- inflate ---- */

struct ws_inflate *
ws_inflate_get(struct ws_deflate_pool *pool, unsigned bits, uint64_t max_bytes)
{
	struct ws_inflate **spare = &pool->inflate[bits - WS_DEFLATE_BITS_MIN], *z = *spare;

	if (z != NULL) {
		*spare = NULL;
		if (z->dirty)
			inflateReset(&z->z);
		z->tail_n = 0;
		z->ended = z->dirty = false;
		return z;
	}
	if (!pool_may_grow(pool, max_bytes) || (z = mem_zalloc(sizeof(*z))) == NULL)
		return NULL;
	pool_setup(pool, &z->z);
	z->bits = (uint8_t)bits;
	if (inflateInit2(&z->z, -(int)bits) == Z_OK)
		return z;
	mem_free(z);
	return NULL;
}

void
ws_inflate_put(struct ws_deflate_pool *pool, struct ws_inflate *z)
{
	struct ws_inflate **spare;

	if (z == NULL)
		return;
	spare = &pool->inflate[z->bits - WS_DEFLATE_BITS_MIN];
	if (*spare == NULL)
		*spare = z;
	else
		inflate_free(z);
}

/* Until the output is full or zlib wants more input than there is. */
static enum ws_deflate_status
inflate_step(struct ws_inflate *z)
{
	for (;;) {
		int r = inflate(&z->z, Z_SYNC_FLUSH);

		if (r == Z_STREAM_END) {
			/*
			 * BFINAL is no end (RFC 7692 7.2.3.4): what follows are blocks again, which
			 * may refer to what came before them.
			 */
			inflateResetKeep(&z->z);
			z->ended = true;
		} else if (r == Z_OK) {
			z->ended = false;
		} else if (r == Z_MEM_ERROR) {
			return WS_DEFLATE_NOMEM;
		} else if (r != Z_BUF_ERROR) {
			return WS_DEFLATE_BAD;
		}
		if (z->z.avail_out == 0)
			return WS_DEFLATE_FULL;
		if (z->z.avail_in == 0)
			return WS_DEFLATE_OK;
		if (r == Z_BUF_ERROR)
			return WS_DEFLATE_BAD; /* never: there are input and room */
	}
}

enum ws_deflate_status
ws_inflate_run(struct ws_inflate *z, struct ws_deflate_in *in, uint8_t *out, size_t size, size_t *n)
{
	uInt given = in->n < RUN_MAX ? (uInt)in->n : RUN_MAX;
	uInt room = size < RUN_MAX ? (uInt)size : RUN_MAX;
	enum ws_deflate_status status;

	z->dirty = true;
	z->z.next_in = in->p;
	z->z.avail_in = given;
	z->z.next_out = out;
	z->z.avail_out = room;
	status = inflate_step(z);
	if (given > 0)
		in->p += given - z->z.avail_in;
	in->n -= given - z->z.avail_in;
	*n = room - z->z.avail_out;
	if (status == WS_DEFLATE_OK && in->n > 0)
		status = WS_DEFLATE_FULL; /* a run of more than RUN_MAX */
	return status;
}

enum ws_deflate_status
ws_inflate_end(struct ws_inflate *z, uint8_t *out, size_t size, size_t *n)
{
	struct ws_deflate_in tail = { deflate_tail + z->tail_n, (size_t)(TAIL_N - z->tail_n) };
	enum ws_deflate_status status = ws_inflate_run(z, &tail, out, size, n);

	z->tail_n = (uint8_t)(TAIL_N - tail.n);
	if (status != WS_DEFLATE_OK)
		return status;
	z->tail_n = 0;
	/* A message that ends within a block would corrupt the next one. */
	return z->ended || z->z.data_type == DATA_TYPE_CLEAN ? WS_DEFLATE_OK : WS_DEFLATE_BAD;
}

/* ---- deflate ---- */

/*
 * zlib takes 2^(bits + 2) bytes for the window and 2^(mem level + 9) for the tables: as much
 * for both, but for small windows, where too small tables would make many small blocks.
 */
static int
deflate_mem_level(unsigned bits)
{
	int level = (int)bits - 7;

	return level < MEM_LEVEL_MIN ? MEM_LEVEL_MIN : level;
}

unsigned
ws_deflate_bits_for(uint64_t n, unsigned max)
{
	unsigned bits = WS_DEFLATE_BITS_MIN;

	/* zlib does not look back the last 262 bytes of its window. */
	while (bits < max && (UINT64_C(1) << bits) - 262 < n)
		bits++;
	return bits;
}

static void
deflate_renew(struct ws_deflate *z, unsigned level)
{
	if (z->dirty)
		deflateReset(&z->z);
	if (level != z->level)
		deflateParams(&z->z, (int)level, Z_DEFAULT_STRATEGY);
	z->level = (uint8_t)level;
	z->carry_n = 0;
	z->pending = z->dirty = false;
}

struct ws_deflate *
ws_deflate_get(struct ws_deflate_pool *pool, unsigned bits, unsigned level, uint64_t max_bytes)
{
	struct ws_deflate **spare = &pool->deflate[bits - WS_DEFLATE_BITS_MIN], *z = *spare;

	if (z != NULL) {
		*spare = NULL;
		deflate_renew(z, level);
		return z;
	}
	if (!pool_may_grow(pool, max_bytes) || (z = mem_zalloc(sizeof(*z))) == NULL)
		return NULL;
	pool_setup(pool, &z->z);
	z->bits = (uint8_t)bits;
	z->level = (uint8_t)level;
	if (deflateInit2(&z->z, (int)level, Z_DEFLATED, -(int)bits, deflate_mem_level(bits),
		Z_DEFAULT_STRATEGY) == Z_OK)
		return z;
	mem_free(z);
	return NULL;
}

void
ws_deflate_put(struct ws_deflate_pool *pool, struct ws_deflate *z)
{
	struct ws_deflate **spare;

	if (z == NULL)
		return;
	spare = &pool->deflate[z->bits - WS_DEFLATE_BITS_MIN];
	if (*spare == NULL)
		*spare = z;
	else
		deflate_free(z);
}

/* How many of the n bytes that END brought are sent; the tail is left out, or kept until then. */
static size_t
deflate_cut(struct ws_deflate *z, const uint8_t *out, size_t n, bool full)
{
	if (full)
		memcpy(z->carry, out + n - TAIL_N, TAIL_N);
	z->carry_n = full ? TAIL_N : 0;
	return n - TAIL_N;
}

enum ws_deflate_status
ws_deflate_run(struct ws_deflate *z, struct ws_deflate_in *in, enum ws_deflate_flush flush,
    uint8_t *out, size_t size, size_t *n)
{
	uInt given = in->n < RUN_MAX ? (uInt)in->n : RUN_MAX;
	uInt room = size < RUN_MAX ? (uInt)size : RUN_MAX;
	bool full;

	z->dirty = true;
	z->pending |= given > 0;
	*n = 0;
	if (!z->pending) {
		/* RFC 7692 7.2.3.6: the start of an empty block, whose rest is the tail. */
		if (flush == WS_DEFLATE_END)
			out[(*n)++] = 0x00;
		return WS_DEFLATE_OK;
	}
	memcpy(out, z->carry, z->carry_n);
	z->z.next_in = in->p;
	z->z.avail_in = given;
	z->z.next_out = out + z->carry_n;
	z->z.avail_out = room - z->carry_n;
	deflate(&z->z, flush == WS_DEFLATE_MORE ? Z_NO_FLUSH : Z_SYNC_FLUSH);
	if (given > 0)
		in->p += given - z->z.avail_in;
	in->n -= given - z->z.avail_in;
	*n = room - z->z.avail_out;
	/* With a flush zlib says by the room that is left that it is through. */
	full = flush == WS_DEFLATE_MORE ? in->n > 0 : in->n > 0 || z->z.avail_out == 0;
	if (flush == WS_DEFLATE_END)
		*n = deflate_cut(z, out, *n, full);
	if (full)
		return WS_DEFLATE_FULL;
	z->pending = flush == WS_DEFLATE_MORE;
	return WS_DEFLATE_OK;
}

/* ---- history ---- */

static struct ws_history *
history_new(const struct ws_deflate_pool *pool, unsigned bits, size_t n)
{
	struct ws_history *h = pool_alloc(pool->memory, 1, (uInt)(sizeof(*h) + n));

	if (h == Z_NULL)
		return NULL;
	h->n = (uint32_t)n;
	h->bits = (uint8_t)bits;
	h->packed = h->tried = false;
	return h;
}

void
ws_history_free(struct ws_deflate_pool *pool, struct ws_history *h)
{
	if (h != NULL)
		pool_free(pool->memory, h);
}

bool
ws_history_was_packed(const struct ws_history *h)
{
	return h->tried;
}

struct ws_history *
ws_inflate_save(struct ws_deflate_pool *pool, struct ws_inflate *z)
{
	struct ws_history *h;
	uInt n = 0;

	inflateGetDictionary(&z->z, Z_NULL, &n);
	if ((h = history_new(pool, z->bits, n)) == NULL)
		return NULL;
	inflateGetDictionary(&z->z, h->data, &n);
	ws_inflate_put(pool, z);
	return h;
}

struct ws_history *
ws_deflate_save(struct ws_deflate_pool *pool, struct ws_deflate *z)
{
	struct ws_history *h;
	uInt n = 0;

	deflateGetDictionary(&z->z, Z_NULL, &n);
	if ((h = history_new(pool, z->bits, n)) == NULL)
		return NULL;
	deflateGetDictionary(&z->z, h->data, &n);
	ws_deflate_put(pool, z);
	return h;
}

/* What comes out is in the stream's window then, and nobody else needs it. */
static bool
history_unpack(struct ws_inflate *z, const struct ws_history *h)
{
	struct ws_deflate_in in = { h->data, h->n };
	enum ws_deflate_status status;
	uint8_t room[UNPACK_ROOM];
	size_t n;

	do
		status = ws_inflate_run(z, &in, room, sizeof(room), &n);
	while (status == WS_DEFLATE_FULL);
	if (status != WS_DEFLATE_OK)
		return false;
	while ((status = ws_inflate_end(z, room, sizeof(room), &n)) == WS_DEFLATE_FULL)
		;
	return status == WS_DEFLATE_OK;
}

struct ws_inflate *
ws_inflate_restore(struct ws_deflate_pool *pool, struct ws_history *h, uint64_t max_bytes)
{
	struct ws_inflate *z = ws_inflate_get(pool, h->bits, max_bytes);

	if (z == NULL)
		return NULL;
	z->dirty = true;
	if (h->packed ? history_unpack(z, h) : inflateSetDictionary(&z->z, h->data, h->n) == Z_OK) {
		ws_history_free(pool, h);
		return z;
	}
	/* No memory for the window. */
	ws_inflate_put(pool, z);
	return NULL;
}

struct ws_deflate *
ws_deflate_restore(
    struct ws_deflate_pool *pool, struct ws_history *h, unsigned level, uint64_t max_bytes)
{
	struct ws_deflate *z = ws_deflate_get(pool, h->bits, level, max_bytes);

	if (z == NULL)
		return NULL;
	z->dirty = true;
	deflateSetDictionary(&z->z, h->data, h->n);
	ws_history_free(pool, h);
	return z;
}

void
ws_history_pack(struct ws_deflate_pool *pool, struct ws_history **h, uint8_t *room, size_t size,
    uint64_t max_bytes)
{
	struct ws_history *old = *h, *new;
	struct ws_deflate_in in = { old->data, old->n };
	size_t max = old->n - old->n / 8, n;
	struct ws_deflate *z;

	if (old->tried)
		return;
	if (max < WS_DEFLATE_OUT_MIN) {
		old->tried = true;
		return;
	}
	if ((z = ws_deflate_get(pool, old->bits, PACK_LEVEL, max_bytes)) == NULL)
		return;
	old->tried = ws_deflate_run(z, &in, WS_DEFLATE_END, room, size < max ? size : max, &n) !=
	    WS_DEFLATE_OK;
	ws_deflate_put(pool, z);
	if (old->tried || (new = history_new(pool, old->bits, n)) == NULL)
		return;
	memcpy(new->data, room, n);
	new->packed = new->tried = true;
	ws_history_free(pool, old);
	*h = new;
}
