/*
 * WebSocket frame headers (RFC 6455 5.2): reading, incrementally over any
 * split, and writing.  Pure; knows no message rules (codec/ws_msg.h).
 */
#ifndef CODEC_WS_FRAME_H
#define CODEC_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
	WS_CONT = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa,
};

#define WS_HEADER_MAX 14   /* bytes */
#define WS_CONTROL_MAX 125 /* payload bytes of a control frame (5.5) */

/* First header byte. */
#define WS_BIT_FIN 0x80
#define WS_BIT_RSV1 0x40
#define WS_BIT_RSV 0x70

struct ws_frame {
	uint64_t length;  /* payload bytes, at most 2^63 - 1 */
	uint8_t mask[4];  /* zero when not masked */
	uint8_t opcode;	  /* any of 0 to 15 */
	uint8_t header_n; /* bytes of the header */
	bool fin;
	bool rsv1, rsv2, rsv3;
	bool masked;
};

enum ws_frame_status { WS_FRAME_OK, WS_FRAME_MORE, WS_FRAME_BAD };

/*
 * Read a header from p[0..n).  WS_FRAME_OK: *out is set, the payload starts
 * at p + out->header_n.  WS_FRAME_MORE: it is longer than n (never when
 * n >= WS_HEADER_MAX).  WS_FRAME_BAD, as soon as it is certain: a length
 * that is not minimally encoded or has the top bit set (5.2).  Everything
 * else (opcodes, RSV, masking) is judged by the message rules.
 */
enum ws_frame_status ws_frame_read(const uint8_t *p, size_t n, struct ws_frame *out);

/* Bytes that a header for this payload takes. */
size_t ws_frame_header_size(uint64_t length, bool masked);

/*
 * Write a header into out (at least ws_frame_header_size bytes): first is
 * FIN, RSV and opcode in one byte; mask is 4 bytes, or NULL for an unmasked
 * frame.  Returns the bytes written.
 */
size_t ws_frame_write(uint8_t *out, uint8_t first, uint64_t length, const uint8_t *mask);

/*
 * Build a whole control frame in out (at least WS_HEADER_MAX +
 * WS_CONTROL_MAX bytes): n <= WS_CONTROL_MAX payload bytes; masked when mask
 * is not NULL.  Returns its bytes.
 */
size_t ws_frame_control(
    uint8_t *out, uint8_t opcode, const void *payload, size_t n, const uint8_t *mask);

#endif
