/* Sec-WebSocket-Key and -Accept (RFC 6455 4.1, 4.2.2).  Pure. */
#ifndef CODEC_WS_KEY_H
#define CODEC_WS_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define WS_NONCE_N 16
#define WS_KEY_N 24    /* base64 of 16 bytes */
#define WS_ACCEPT_N 28 /* base64 of 20 bytes */

/* Whether key is the canonical base64 of exactly 16 bytes. */
bool ws_key_valid(struct span key);

/* The accept value for a key into out (WS_ACCEPT_N characters and NUL). 0, or -1 when the
 * library refuses (SHA-1 not available). */
int ws_key_accept(struct span key, char out[WS_ACCEPT_N + 1]);

/*
 * The key (WS_KEY_N characters and NUL) of a nonce that the caller has selected randomly (RFC 6455
 * 4.1).
 */
void ws_key_make(const uint8_t nonce[WS_NONCE_N], char out[WS_KEY_N + 1]);

#endif
