/*
 * Masking (RFC 6455 5.3), wide: 32 or 16 bytes a step where the compiler
 * offers vectors, with a portable path of 8.  Pure.
 */
#ifndef CODEC_WS_MASK_H
#define CODEC_WS_MASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * dst[i] = src[i] ^ mask[(offset + i) % 4] for i < n.  dst may be src, or
 * lie before it and overlap (dst <= src): bytes are read before they are
 * overwritten.  offset: how many payload bytes of the frame came before.
 */
void ws_mask_copy(
    uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4], uint64_t offset);

#endif
