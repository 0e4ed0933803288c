/*
 * UTF-8 validation while text streams (RFC 6455 8.1, RFC 3629): fails at the
 * first byte that can not continue any valid text.  ASCII runs are passed
 * over in wide steps.  Pure.
 */
#ifndef CODEC_WS_UTF8_H
#define CODEC_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_UTF8_START 0 /* between characters: the state of an empty text */
#define WS_UTF8_REJECT 1

/*
 * Go on from *state over p[0..n).  True; or false when the text is invalid
 * (then *state is WS_UTF8_REJECT and stays so).  The text may end where
 * *state is WS_UTF8_START.
 */
bool ws_utf8_feed(uint8_t *state, const uint8_t *p, size_t n);

/*
 * The same over masked bytes, which are left as they are: p[i] stands for
 * p[i] ^ mask[(offset + i) % 4].
 */
bool ws_utf8_feed_masked(
    uint8_t *state, const uint8_t *p, size_t n, const uint8_t mask[4], uint64_t offset);

/*
 * How many bytes of p[0..n) to send so that the cut is between characters:
 * n less the bytes of an unfinished last character (at most 3).  p must be valid
 * UTF-8 but for that.
 */
size_t ws_utf8_cut(const uint8_t *p, size_t n);

#endif
