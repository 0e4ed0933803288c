/*
 * WebSocket frame headers (RFC 6455 5.2).  Pure: no state but the bytes, any
 * thread.  codec/ws_msg.c reads with it; whoever sends frames writes with it.
 *
 * Invariant: a header that is read and written again with the same first
 * byte, length and mask gives the same bytes, because only the shortest
 * length encoding is accepted and made.
 */
#include "codec/ws_frame.h"

#include <string.h>

#include "codec/ws_mask.h"

#define FRAME_MASKED 0x80 /* second header byte */
#define FRAME_LENGTH 0x7f
#define FRAME_LENGTH_16 126
#define FRAME_LENGTH_64 127

static uint64_t
frame_read_be(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/*
 * The extended length of width (2 or 8) bytes at p + 2: whether the n bytes
 * that are there already show that it is refused.
 */
static bool
frame_length_is_bad(const uint8_t *p, size_t n, size_t width)
{
	if (width == 2) /* the minimal number of bytes MUST be used (RFC 6455 5.2) */
		return n >= 4 && frame_read_be(p + 2, 2) < FRAME_LENGTH_16;
	if (n >= 3 && (p[2] & 0x80) != 0) /* the top bit MUST be 0 (RFC 6455 5.2) */
		return true;
	return n >= 8 && frame_read_be(p + 2, 6) == 0; /* minimal again: not below 2^16 */
}

enum ws_frame_status
ws_frame_read(const uint8_t *p, size_t n, struct ws_frame *out)
{
	size_t width, header;

	if (n < 2)
		return WS_FRAME_MORE;
	out->fin = (p[0] & WS_BIT_FIN) != 0;
	out->rsv1 = (p[0] & WS_BIT_RSV1) != 0;
	out->rsv2 = (p[0] & 0x20) != 0;
	out->rsv3 = (p[0] & 0x10) != 0;
	out->opcode = p[0] & 0x0f;
	out->masked = (p[1] & FRAME_MASKED) != 0;
	out->length = p[1] & FRAME_LENGTH;

	width = out->length < FRAME_LENGTH_16 ? 0 : out->length == FRAME_LENGTH_16 ? 2 : 8;
	header = 2 + width + (out->masked ? 4 : 0);
	if (width != 0 && frame_length_is_bad(p, n, width))
		return WS_FRAME_BAD;
	if (n < header)
		return WS_FRAME_MORE;
	if (width != 0)
		out->length = frame_read_be(p + 2, width);
	if (out->masked)
		memcpy(out->mask, p + 2 + width, 4);
	else
		memset(out->mask, 0, 4);
	out->header_n = (uint8_t)header;
	return WS_FRAME_OK;
}

size_t
ws_frame_header_size(uint64_t length, bool masked)
{
	size_t n = length < FRAME_LENGTH_16 ? 2 : length <= 0xffff ? 4 : 10;

	return masked ? n + 4 : n;
}

size_t
ws_frame_write(uint8_t *out, uint8_t first, uint64_t length, const uint8_t *mask)
{
	uint8_t bit = mask != NULL ? FRAME_MASKED : 0;
	size_t n = 2;

	out[0] = first;
	if (length < FRAME_LENGTH_16) {
		out[1] = (uint8_t)(bit | length);
	} else {
		size_t width = length <= 0xffff ? 2 : 8;

		out[1] = bit | (width == 2 ? FRAME_LENGTH_16 : FRAME_LENGTH_64);
		for (size_t i = 0; i < width; i++)
			out[n++] = (uint8_t)(length >> (8 * (width - 1 - i)));
	}
	if (mask != NULL) {
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

size_t
ws_frame_control(uint8_t *out, uint8_t opcode, const void *payload, size_t n, const uint8_t *mask)
{
	size_t header;

	if (n > WS_CONTROL_MAX) /* RFC 6455 5.5; a caller's mistake must not write past out */
		n = WS_CONTROL_MAX;
	header = ws_frame_write(out, WS_BIT_FIN | opcode, n, mask);
	if (n == 0)
		return header;
	memmove(out + header, payload, n);
	if (mask != NULL)
		ws_mask_copy(out + header, out + header, n, mask, 0);
	return header + n;
}
