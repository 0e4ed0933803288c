/*
 * The chunked transfer coding (RFC 9112 7.1), taken off as bytes arrive.
 * Pure; any thread; http/ calls it with the bytes behind a head.
 *
 * A byte that frames (sizes, extensions, CRLFs, trailers) moves the automaton
 * by one step; payload is passed in runs.  Bare LFs are refused in extensions
 * and trailers too: hops that disagree on them see different chunks.
 */
#include <string.h>

#include "codec/http1.h"
#include "codec/http_chars.h"

#define CHUNK_MAX_DIGITS 16
#define CHUNK_MAX_EXT 4096				/* bytes for each chunk */
#define CHUNK_MAX_TRAILER (HTTP1_MAX_TRAILER_BYTES + 2) /* with the empty line that ends it */

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_BWS, /* white space before an extension */
	CHUNK_EXT,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* first byte of a trailer line or of the last line */
	CHUNK_NAME,
	CHUNK_VALUE,
	CHUNK_VALUE_LF,
	CHUNK_LAST_LF,
	CHUNK_END,
	CHUNK_BAD,
};

void
http1_chunked_init(struct http1_chunked *c)
{
	memset(c, 0, sizeof(*c));
	c->state = CHUNK_SIZE;
}

/* A byte of the chunk-size, or behind it. */
static enum chunk_state
chunk_size(struct http1_chunked *c, unsigned char b)
{
	unsigned lower = b | 0x20;

	if ((http_chars[b] & HTTP_C_HEX) != 0) {
		unsigned digit = b <= '9' ? (unsigned)b - '0' : lower - 'a' + 10;

		/* Overflows must be foreseen (RFC 9112 7.1); 2^63 is one for us. */
		if (c->digits == CHUNK_MAX_DIGITS || c->left >> 59 != 0)
			return CHUNK_BAD;
		c->digits++;
		c->left = c->left << 4 | digit;
		return CHUNK_SIZE;
	}
	if (c->digits == 0)
		return CHUNK_BAD;
	c->skipped = 0;
	if (b == '\r')
		return CHUNK_SIZE_LF;
	if (b == ';')
		return CHUNK_EXT;
	return b == ' ' || b == '\t' ? CHUNK_BWS : CHUNK_BAD;
}

/* A byte of an extension, behind white space or a ';' (RFC 9112 7.1.1). */
static enum chunk_state
chunk_ext(struct http1_chunked *c, unsigned char b)
{
	if (b == '\r' && c->state == CHUNK_EXT)
		return CHUNK_SIZE_LF;
	if (++c->skipped > CHUNK_MAX_EXT || (http_chars[b] & HTTP_C_VALUE) == 0)
		return CHUNK_BAD;
	if (c->state == CHUNK_EXT || b == ';')
		return CHUNK_EXT;
	return b == ' ' || b == '\t' ? CHUNK_BWS : CHUNK_BAD;
}

/* A byte of a trailer line (RFC 9112 7.1.2), its CRLF not. */
static enum chunk_state
chunk_trailer(struct http1_chunked *c, unsigned char b)
{
	if (c->state == CHUNK_TRAILER && ++c->digits > HTTP1_MAX_TRAILERS)
		return CHUNK_BAD;
	if (c->state == CHUNK_VALUE)
		return (http_chars[b] & HTTP_C_VALUE) != 0 ? CHUNK_VALUE : CHUNK_BAD;
	if (c->state == CHUNK_NAME && b == ':')
		return CHUNK_VALUE;
	return (http_chars[b] & HTTP_C_TOKEN) != 0 ? CHUNK_NAME : CHUNK_BAD;
}

/* The state behind a framing byte. */
static enum chunk_state
chunk_step(struct http1_chunked *c, unsigned char b)
{
	if (c->state >= CHUNK_TRAILER && ++c->skipped > CHUNK_MAX_TRAILER)
		return CHUNK_BAD;
	switch ((enum chunk_state)c->state) {
	case CHUNK_SIZE:
		return chunk_size(c, b);
	case CHUNK_BWS:
	case CHUNK_EXT:
		return chunk_ext(c, b);
	case CHUNK_SIZE_LF:
		if (b != '\n')
			return CHUNK_BAD;
		c->digits = 0;
		c->skipped = 0;
		return c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
	case CHUNK_DATA_CR:
		return b == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF:
		return b == '\n' ? CHUNK_SIZE : CHUNK_BAD;
	case CHUNK_TRAILER:
		return b == '\r' ? CHUNK_LAST_LF : chunk_trailer(c, b);
	case CHUNK_VALUE:
		return b == '\r' ? CHUNK_VALUE_LF : chunk_trailer(c, b);
	case CHUNK_NAME:
		return chunk_trailer(c, b);
	case CHUNK_VALUE_LF:
		return b == '\n' ? CHUNK_TRAILER : CHUNK_BAD;
	case CHUNK_LAST_LF:
		return b == '\n' ? CHUNK_END : CHUNK_BAD;
	case CHUNK_DATA:
	case CHUNK_END:
	case CHUNK_BAD:
		break;
	}
	return (enum chunk_state)c->state;
}

/*
 * How many bytes of p[0..n) are trailer lines: up to what ends the section, or through what is
 * wrong.
 */
static size_t
chunk_trailer_lines(struct http1_chunked *c, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && c->state >= CHUNK_TRAILER && c->state < CHUNK_LAST_LF &&
	    !(c->state == CHUNK_TRAILER && p[i] == '\r'))
		c->state = (uint8_t)chunk_step(c, (unsigned char)p[i++]);
	return i;
}

/* At a chunk's payload: how many bytes of it are among n. */
static size_t
chunk_take(struct http1_chunked *c, size_t n)
{
	size_t k = c->left < n ? (size_t)c->left : n;

	c->left -= k;
	if (c->left == 0)
		c->state = CHUNK_DATA_CR;
	return k;
}

enum http1_chunk
http1_chunked_feed(
    struct http1_chunked *c, const char *p, size_t n, size_t *used, struct span *data)
{
	size_t i = 0, lines;

	while (i < n && c->state != CHUNK_DATA && c->state < CHUNK_TRAILER)
		c->state = (uint8_t)chunk_step(c, (unsigned char)p[i++]);
	if (c->state == CHUNK_DATA && i < n) {
		*data = (struct span){ p + i, chunk_take(c, n - i) };
		*used = i + data->n;
		return HTTP1_CHUNK_DATA;
	}
	lines = c->state >= CHUNK_TRAILER ? chunk_trailer_lines(c, p + i, n - i) : 0;
	*data = (struct span){ p + i, lines };
	i += lines;
	if (lines > 0 && c->state != CHUNK_BAD) {
		*used = i;
		return HTTP1_CHUNK_TRAILER;
	}
	while (i < n && c->state >= CHUNK_TRAILER && c->state < CHUNK_END)
		c->state = (uint8_t)chunk_step(c, (unsigned char)p[i++]);
	*used = i;
	if (c->state == CHUNK_END)
		return HTTP1_CHUNK_END;
	return c->state == CHUNK_BAD ? HTTP1_CHUNK_BAD : HTTP1_CHUNK_MORE;
}

enum http1_chunk
http1_chunked_gather(struct http1_chunked *c, char *p, size_t n, size_t *used, struct span *data)
{
	size_t i = 0, run = 0, run_n = 0, k;
	enum http1_chunk result;

	while (i < n && c->state < CHUNK_TRAILER) {
		if (c->state != CHUNK_DATA) {
			c->state = (uint8_t)chunk_step(c, (unsigned char)p[i++]);
			continue;
		}
		k = chunk_take(c, n - i);
		if (run_n == 0)
			run = i;
		else
			memmove(p + run + run_n, p + i, k);
		run_n += k;
		i += k;
	}
	/* A bad byte is left, so that the next call is made and tells of it. */
	if (c->state == CHUNK_BAD && i > 0)
		i--;
	if (run_n > 0) {
		*data = (struct span){ p + run, run_n };
		*used = i;
		return HTTP1_CHUNK_DATA;
	}
	result = http1_chunked_feed(c, p + i, n - i, used, data);
	*used += i;
	return result;
}
