/*
 * Masking (RFC 6455 5.3).  Pure; any thread; every payload byte that is
 * masked or unmasked passes here.
 *
 * The mask is turned once so that its first byte fits src[0]; all steps but
 * the last are multiples of 4, so it never has to be turned again.  Steps go
 * upwards and each one is loaded whole before it is stored: where dst lies
 * before src, a store can only touch bytes that have been loaded.
 */
#include "codec/ws_mask.h"

#include <string.h>

#if defined(__GNUC__) && !defined(WS_MASK_PORTABLE)
#define MASK_VECTORS 1
/* One SSE2 or NEON register; gcc 12 takes wider ones through the stack, at half the speed. */
typedef uint64_t mask_vector __attribute__((vector_size(16)));
#else
#define MASK_VECTORS 0
#endif

#if MASK_VECTORS
/* Mask as many 64-byte blocks of n as there are; returns their bytes. */
static size_t
mask_blocks(uint8_t *dst, const uint8_t *src, size_t n, uint64_t mask)
{
	const mask_vector m = { mask, mask };
	mask_vector a, b, c, d;
	size_t i;

	for (i = 0; n - i >= 64; i += 64) {
		memcpy(&a, src + i, 16);
		memcpy(&b, src + i + 16, 16);
		memcpy(&c, src + i + 32, 16);
		memcpy(&d, src + i + 48, 16);
		a ^= m;
		b ^= m;
		c ^= m;
		d ^= m;
		memcpy(dst + i, &a, 16);
		memcpy(dst + i + 16, &b, 16);
		memcpy(dst + i + 32, &c, 16);
		memcpy(dst + i + 48, &d, 16);
	}
	return i;
}
#endif

void
ws_mask_copy(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4], uint64_t offset)
{
	uint8_t turned[8];
	uint64_t m, w;
	uint32_t m4, w4;
	size_t i = 0;

	for (size_t k = 0; k < sizeof(turned); k++)
		turned[k] = mask[(offset + k) & 3]; /* RFC 6455 5.3: j = i MOD 4 */
	memcpy(&m, turned, sizeof(m));
	memcpy(&m4, turned, sizeof(m4));
#if MASK_VECTORS
	if (n >= 64)
		i = mask_blocks(dst, src, n, m);
#endif
	for (; n - i >= 8; i += 8) {
		memcpy(&w, src + i, 8);
		w ^= m;
		memcpy(dst + i, &w, 8);
	}
	if (n - i >= 4) {
		memcpy(&w4, src + i, 4);
		w4 ^= m4;
		memcpy(dst + i, &w4, 4);
		i += 4;
	}
	for (; i < n; i++)
		dst[i] = src[i] ^ turned[i & 3];
}
