/*
 * Sec-WebSocket-Extensions (RFC 6455 9.1) as far as permessage-deflate (RFC
 * 7692 7.1) goes: reading offers and answers, choosing, writing.  Pure.
 *
 * What breaks the grammar of the field is an error of the handshake (RFC 6455
 * 9.1); parameters that cannot be accepted only decline the offer that they
 * stand in (RFC 7692 7.1).  Names compare exactly: a client that spells one
 * otherwise gets no compression, which always works.
 */
#ifndef CODEC_WS_EXT_H
#define CODEC_WS_EXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct http_head;

#define WS_EXT_BITS_MIN 8
#define WS_EXT_BITS_MAX 15
#define WS_EXT_BITS_ZLIB 9    /* the least that zlib's raw deflate can do */
#define WS_EXT_BITS_OPEN 0xff /* client_max_window_bits without a value: in offers only */

/* The parameters of one permessage-deflate, offered, answered or wanted. */
struct ws_ext {
	uint8_t server_bits; /* server_max_window_bits: 8 to 15; 0: not said */
	uint8_t client_bits; /* client_max_window_bits: the same, or WS_EXT_BITS_OPEN */
	bool server_no_takeover, client_no_takeover;
};

enum ws_ext_kind {
	WS_EXT_END,	 /* no more elements */
	WS_EXT_DEFLATE,	 /* permessage-deflate with parameters that can be accepted */
	WS_EXT_DECLINED, /* permessage-deflate with an unknown or repeated parameter, a value
			  * that is out of range, missing, or not allowed */
	WS_EXT_OTHER,	 /* another extension */
	WS_EXT_BAD,	 /* not the grammar of RFC 6455 9.1 */
};

enum ws_ext_side { WS_EXT_OFFER, WS_EXT_ANSWER };

/*
 * Read the next element of a field value: *list is moved behind it, *item is
 * its text without white space around it.  Empty elements are passed over
 * (RFC 9110 5.6.1).  *out is set with WS_EXT_DEFLATE.  side: only offers have
 * client_max_window_bits without a value (RFC 7692 7.1.2.2).
 */
enum ws_ext_kind ws_ext_next(
    struct span *list, enum ws_ext_side side, struct ws_ext *out, struct span *item);

/*
 * What a server answers to an offer, when it wants this much at most:
 * wanted's bits are 9 to 15.  False: the offer has to be declined, as it asks for a window
 * that zlib does not have.
 */
bool ws_ext_accept(const struct ws_ext *offer, const struct ws_ext *wanted, struct ws_ext *answer);

/* The same for a whole request: the first offer of all its fields that can be accepted.
 * WS_EXT_DEFLATE with *answer; WS_EXT_END: there is none; WS_EXT_BAD. */
enum ws_ext_kind ws_ext_choose(
    const struct http_head *head, const struct ws_ext *wanted, struct ws_ext *answer);

/* Whether a server may give this answer to this offer (RFC 7692 7.1.1, 7.1.2). */
bool ws_ext_answers(const struct ws_ext *offer, const struct ws_ext *answer);

/* Write it as an element into out, with a NUL; returns its length. */
#define WS_EXT_TEXT 144
size_t ws_ext_write(const struct ws_ext *x, char out[WS_EXT_TEXT]);

/* The window bits that an answer leaves a side: 15 when it says nothing (RFC 7692 7.1.2). */
static inline unsigned
ws_ext_bits(uint8_t bits)
{
	return bits == 0 || bits > WS_EXT_BITS_MAX ? WS_EXT_BITS_MAX : bits;
}

#endif
