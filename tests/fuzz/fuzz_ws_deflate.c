/*
 * Fuzzes src/codec/ws_deflate.c.  Input: 1 byte of options (bit 0: what
 * follows is text to compress, else compressed messages; bits 1 to 3 the
 * window; bit 4: takeover; bits 5 to 7 the level), 1 for the cuts, 1 for the
 * allocation that fails, then the data.
 *
 * Oracle is zlib itself, whole: what is deflated here in runs, flushed
 * here and there and let out through small rooms it inflates to the same text;
 * and what it makes of compressed messages is made of them here, however
 * they are cut.  Between messages streams are put away and made again, by the seed.
 */
#include "codec/ws_deflate.h"

#define ZLIB_CONST
#include <zlib.h>

#include "base/mem.h"
#include "oracle.h"

#define MESSAGES 3
#define ROOM_MAX 4096

struct bytes {
	uint8_t *p;
	size_t n, size;
};

static void
bytes_add(struct bytes *b, const void *p, size_t n)
{
	if (b->size - b->n < n) {
		b->size = 2 * (b->size + n);
		if ((b->p = realloc(b->p, b->size)) == NULL)
			abort();
	}
	if (n != 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

struct run {
	struct ws_deflate_memory memory;
	struct ws_deflate_pool pool;
	unsigned bits, level;
	bool takeover;
	uint32_t seed;
};

/* Room for output, of a size by the seed; its caller frees it. */
static uint8_t *
run_room(struct run *r, size_t *size)
{
	uint32_t seed = r->seed != 0 ? r->seed : 1;
	uint8_t *room;

	*size = WS_DEFLATE_OUT_MIN + oracle_piece(&seed, ROOM_MAX) - 1;
	if ((room = malloc(*size)) == NULL)
		abort();
	return room;
}

/* zlib's own opinion of a message: false when it is none. */
static bool
reference_inflate(z_stream *z, const uint8_t *p, size_t n, struct bytes *out)
{
	static const uint8_t tail[] = { 0x00, 0x00, 0xff, 0xff };
	struct bytes whole = { NULL, 0, 0 };
	bool good = true, last_ended = false;
	uint8_t *room = malloc(1 << 16);

	if (room == NULL)
		abort();
	bytes_add(&whole, p, n);
	bytes_add(&whole, tail, sizeof(tail));
	z->next_in = whole.p;
	z->avail_in = (uInt)whole.n;
	do {
		int status;

		z->next_out = room;
		z->avail_out = 1 << 16;
		status = inflate(z, Z_SYNC_FLUSH);
		bytes_add(out, room, (1 << 16) - z->avail_out);
		if (status == Z_STREAM_END && inflateResetKeep(z) == Z_OK)
			last_ended = true;
		else if (status == Z_OK)
			last_ended = false;
		else if (status != Z_BUF_ERROR)
			good = false;
	} while (good && (z->avail_in > 0 || z->avail_out == 0));
	free(whole.p);
	free(room);
	return good && (last_ended || z->data_type == 128);
}

/* What is made of a message here; in pieces and through rooms by the seed. */
static enum ws_deflate_status
run_inflate(struct run *r, struct ws_inflate *z, const uint8_t *p, size_t n, struct bytes *out)
{
	enum ws_deflate_status status = WS_DEFLATE_OK;
	size_t at = 0, size, k;

	while (at < n && status == WS_DEFLATE_OK) {
		size_t piece = oracle_piece(&r->seed, n - at);
		uint8_t *copy = oracle_copy(p + at, piece);
		struct ws_deflate_in in = { copy, piece };

		do {
			uint8_t *room = run_room(r, &size);

			status = ws_inflate_run(z, &in, room, size, &k);
			ORACLE(k <= size && in.n <= piece && in.p == copy + piece - in.n);
			bytes_add(out, room, k);
			free(room);
		} while (status == WS_DEFLATE_FULL);
		ORACLE(status != WS_DEFLATE_OK || in.n == 0);
		at += piece;
		free(copy);
	}
	while (status == WS_DEFLATE_OK || status == WS_DEFLATE_FULL) {
		uint8_t *room = run_room(r, &size);

		status = ws_inflate_end(z, room, size, &k);
		ORACLE(k <= size);
		bytes_add(out, room, k);
		free(room);
		if (status == WS_DEFLATE_OK)
			return status;
	}
	return status;
}

static void
run_deflate(struct run *r, struct ws_deflate *z, const uint8_t *p, size_t n, struct bytes *out)
{
	size_t at = 0, size, k;

	for (;;) {
		size_t piece = at < n ? oracle_piece(&r->seed, n - at) : 0;
		uint8_t *copy = oracle_copy(p + at, piece);
		struct ws_deflate_in in = { copy, piece };
		enum ws_deflate_flush flush =
		    (r->seed >> 16 & 3) != 0 ? WS_DEFLATE_MORE : WS_DEFLATE_FLUSH;
		enum ws_deflate_status status;

		if (at + piece == n && (piece == 0 || (r->seed >> 18 & 1) != 0))
			flush = WS_DEFLATE_END;
		do {
			uint8_t *room = run_room(r, &size);

			status = ws_deflate_run(z, &in, flush, room, size, &k);
			ORACLE(k <= size);
			bytes_add(out, room, k);
			free(room);
		} while (status == WS_DEFLATE_FULL);
		ORACLE(status == WS_DEFLATE_OK && in.n == 0);
		free(copy);
		at += piece;
		if (flush == WS_DEFLATE_END)
			return;
	}
}

/* Put a stream away after a message, and pack what it remembers; NULL: it is awake. */
static struct ws_history *
run_inflate_rest(struct run *r, struct ws_inflate **z)
{
	uint8_t *room;
	struct ws_history *h;
	size_t size;

	if (!r->takeover || (r->seed & 1) != 0 || (h = ws_inflate_save(&r->pool, *z)) == NULL)
		return NULL;
	*z = NULL;
	if ((r->seed & 2) != 0)
		ws_deflate_pool_clear(&r->pool);
	if ((r->seed & 4) != 0)
		return h;
	room = run_room(r, &size);
	ws_history_pack(&r->pool, &h, room, size, UINT64_MAX);
	free(room);
	return h;
}

static void
run_deflate_rest(struct run *r, struct ws_deflate **z)
{
	struct ws_history *h;

	if (!r->takeover || (r->seed & 1) != 0 || (h = ws_deflate_save(&r->pool, *z)) == NULL)
		return;
	if ((r->seed & 2) != 0)
		ws_deflate_pool_clear(&r->pool);
	/* Without memory it forgets. */
	if ((*z = ws_deflate_restore(&r->pool, h, r->level, UINT64_MAX)) == NULL)
		ws_history_free(&r->pool, h);
}

/* Compressed messages: the same verdict and text as zlib's. */
static void
check_inflate(struct run *r, const uint8_t *p, size_t n)
{
	struct ws_inflate *z = NULL;
	struct ws_history *h = NULL;
	z_stream ref = { .next_in = NULL };

	ORACLE(inflateInit2(&ref, -(int)r->bits) == Z_OK);
	for (size_t i = 0, at = 0; i < MESSAGES; i++) {
		size_t k = i == MESSAGES - 1 ? n - at : oracle_piece(&r->seed, n - at + 1) - 1;
		struct bytes wanted = { NULL, 0, 0 }, got = { NULL, 0, 0 };
		enum ws_deflate_status status = WS_DEFLATE_NOMEM;
		bool good = reference_inflate(&ref, p + at, k, &wanted);

		if (h != NULL && (z = ws_inflate_restore(&r->pool, h, UINT64_MAX)) != NULL)
			h = NULL;
		else if (h == NULL && z == NULL)
			z = ws_inflate_get(&r->pool, r->bits, UINT64_MAX);
		if (z != NULL)
			status = run_inflate(r, z, p + at, k, &got);
		if (status == WS_DEFLATE_NOMEM) {
			ORACLE(!mem_fail_pending());
			good = false;
		} else if (r->bits == WS_DEFLATE_BITS_MAX) {
			/* A smaller window also holds what one call has brought. */
			ORACLE((status == WS_DEFLATE_OK) == good);
			ORACLE(got.n == wanted.n &&
			    (got.n == 0 || memcmp(got.p, wanted.p, got.n) == 0));
		} else if (good && status == WS_DEFLATE_OK) {
			ORACLE(got.n == wanted.n &&
			    (got.n == 0 || memcmp(got.p, wanted.p, got.n) == 0));
		}
		free(wanted.p);
		free(got.p);
		if (!r->takeover) {
			ws_inflate_put(&r->pool, z);
			z = NULL;
			inflateReset(&ref);
		}
		if (r->takeover && (!good || status != WS_DEFLATE_OK))
			break;
		h = run_inflate_rest(r, &z);
		at += k;
	}
	ws_inflate_put(&r->pool, z);
	ws_history_free(&r->pool, h);
	inflateEnd(&ref);
}

static void
check_deflate(struct run *r, const uint8_t *p, size_t n)
{
	struct ws_deflate *z = NULL;
	z_stream ref = { .next_in = NULL };

	ORACLE(inflateInit2(&ref, -(int)r->bits) == Z_OK);
	for (size_t i = 0, at = 0; i < MESSAGES; i++) {
		size_t k = i == MESSAGES - 1 ? n - at : oracle_piece(&r->seed, n - at + 1) - 1;
		struct bytes wire = { NULL, 0, 0 }, got = { NULL, 0, 0 };

		if (z == NULL &&
		    (z = ws_deflate_get(&r->pool, r->bits, r->level, UINT64_MAX)) == NULL)
			break;
		run_deflate(r, z, p + at, k, &wire);
		ORACLE(wire.n > 0);
		ORACLE(reference_inflate(&ref, wire.p, wire.n, &got));
		ORACLE(got.n == k && (k == 0 || memcmp(got.p, p + at, k) == 0));
		free(wire.p);
		free(got.p);
		if (!r->takeover) {
			ws_deflate_put(&r->pool, z);
			z = NULL;
			inflateReset(&ref);
		}
		run_deflate_rest(r, &z);
		at += k;
	}
	ws_deflate_put(&r->pool, z);
	inflateEnd(&ref);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = { .seed = 0 };

	if (size < 3 || size > 8192)
		return 0;
	r.bits = 15 - (data[0] >> 1 & 7) % 7;
	r.takeover = data[0] & 16;
	r.level = 1 + (data[0] >> 5);
	r.seed = data[1];
	ws_deflate_pool_init(&r.pool, &r.memory);
	mem_fail_nth(data[2]);
	if (data[0] & 1)
		check_deflate(&r, data + 3, size - 3);
	else
		check_inflate(&r, data + 3, size - 3);
	mem_fail_nth(0);
	ws_deflate_pool_clear(&r.pool);
	ORACLE(r.memory.bytes == 0);
	return 0;
}
