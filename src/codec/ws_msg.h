/*
 * The rules for a sequence of frames (RFC 6455 5.1 to 5.5, 7.4, 8.1) in one
 * direction, streaming: headers are judged as they come, payload is only
 * counted and checked, nothing is gathered but control payloads.  Pure.
 *
 * A reader is fed any split of the byte stream and hands out events in
 * order.  Its state between calls is small: it is embedded in every
 * connection.
 */
#ifndef CODEC_WS_MSG_H
#define CODEC_WS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ws_frame.h"

/* Close codes (RFC 6455 7.4.1 and IANA's registry). */
enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_NO_STATUS = 1005, /* never on the wire: a Close without a code */
	WS_CLOSE_ABNORMAL = 1006,  /* never on the wire: no Close came */
	WS_CLOSE_NOT_UTF8 = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011,
	WS_CLOSE_RESTART = 1012,
	WS_CLOSE_OVERLOAD = 1013,
	WS_CLOSE_BACKEND = 1014,
};

/* Whether a peer may send this code: 1000-1003, 1007-1014, 3000-4999. */
bool ws_close_code_valid(unsigned code);

/* What does not change during a connection; shared, immutable. */
struct ws_rules {
	uint64_t max_message; /* payload bytes; 0 is no limit (1009) */
	bool masked;	      /* frames must be masked (we are the server); else must not (1002) */
	bool check_utf8;      /* text must be UTF-8 (1007); close reasons are always checked */
	bool allow_rsv1;      /* on the first frame of a data message (RFC 7692 6) */
	bool inflated;	      /* the caller inflates messages with RSV1: their length is what comes
			       * out, which the caller judges; max_message is for the others */
};

struct ws_reader {
	uint64_t left;	    /* payload bytes of the current frame still to come */
	uint64_t length;    /* of the current frame */
	uint64_t message_n; /* payload bytes of the current message so far, announced ones too */
	uint8_t *hold;	    /* owned: NULL, or a split header or control frame; an idle
				 * reader has none */
	uint8_t mask[4];    /* of the current frame */
	uint8_t first;	    /* first header byte of the current frame */
	uint8_t utf8;	    /* ws_utf8 state of the current text message */
	uint8_t hold_n;	    /* bytes in hold */
	unsigned char opcode : 4; /* of the current message (WS_TEXT or WS_BINARY), 0 between */
	unsigned char state : 3;
	unsigned char compressed : 1; /* the current message came with RSV1: its text is not
					 * UTF-8 checked here */
};

/* One for each direction of each idle WebSocket. */
_Static_assert(sizeof(struct ws_reader) <= 40, "struct ws_reader has grown");

void ws_reader_init(struct ws_reader *r);
void ws_reader_clear(struct ws_reader *r);

enum ws_event_kind {
	WS_EV_MORE,	 /* all bytes are taken */
	WS_EV_FRAME,	 /* a data frame's header (checked): frame is set */
	WS_EV_DATA,	 /* a run of its payload: data, n, mask_offset; still masked */
	WS_EV_FRAME_END, /* the data frame is over; message_end tells if the message is too */
	WS_EV_CONTROL,	 /* a whole Ping, Pong or Close: frame, data (unmasked), n; a Close
				 * also has code and reason */
	WS_EV_BAD,	 /* close_code says how to close; why is a static text */
	WS_EV_NOMEM,	 /* no memory to keep a split header: close 1011 */
};

struct ws_event {
	enum ws_event_kind kind;
	struct ws_frame
	    frame;     /* FRAME, CONTROL; kept valid for DATA and FRAME_END too (mask, opcode) */
	uint8_t *data; /* DATA: in the caller's bytes; CONTROL: in them or in the reader, until
				 * the next call */
	size_t n;
	uint64_t mask_offset; /* DATA: payload bytes of this frame before data */
	const uint8_t *raw;   /* FRAME: the header's bytes as they came when they stand in one
				 * piece in the caller's bytes, else the reader's copy of them
				 * (valid until the next call) */
	bool message_start;   /* FRAME: first frame of a message */
	bool message_end;     /* FRAME_END */
	uint16_t code;	      /* CONTROL Close: the code, WS_CLOSE_NO_STATUS when it had none */
	uint16_t close_code;  /* BAD */
	const char *why;      /* BAD */
};

/*
 * Take bytes from p[0..n) up to the next event; *used of them are taken.
 * The caller goes on with the rest until WS_EV_MORE.  After WS_EV_BAD the
 * reader must not be fed again.  Text is checked (still masked) before its
 * WS_EV_DATA is handed out, and as far as it is valid it is handed out first:
 * WS_EV_BAD comes at the first bad byte.  WS_EV_MORE comes with *used == n
 * only.  Frames of length 0 give FRAME and FRAME_END without DATA.  Control
 * payloads are unmasked in place.
 *
 * Judged: RSV bits (5.2), unknown opcodes, control frames fragmented or over
 * 125 bytes (5.5), a continuation without a message, a new message inside
 * one (5.4), masking (5.1), max_message (before a byte of the frame that
 * would pass it is handed out), UTF-8, Close payloads of 1 byte, bad close
 * codes (1002) and reasons that are not UTF-8 (1007).
 */
void ws_reader_next(struct ws_reader *r, const struct ws_rules *rules, uint8_t *p, size_t n,
    size_t *used, struct ws_event *ev);

/* Whether the stream stands between frames; between messages. */
bool ws_reader_at_frame_boundary(const struct ws_reader *r);
bool ws_reader_at_message_boundary(const struct ws_reader *r);

#endif
