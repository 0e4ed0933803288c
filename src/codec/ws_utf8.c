/*
 * UTF-8 validation while text streams (RFC 3629, RFC 6455 8.1).  Pure; any
 * thread; codec/ws_msg.c calls it on every text payload.
 *
 * Between characters, 64 and then 8 bytes are looked at together
 * (utf8_skip); what that can not decide, a character that the input cuts, the
 * last few bytes and everything invalid, goes through an automaton byte by
 * byte, which alone ever rejects.  The masked and the unmasked variant are
 * the same code, compiled twice.
 */
#include "codec/ws_utf8.h"

#include <string.h>

/* WS_UTF8_START and WS_UTF8_REJECT are states 0 and 1. */
enum utf8_state {
	UTF8_TAIL1 = 2, /* one more byte of 80..BF */
	UTF8_TAIL2,
	UTF8_TAIL3,
	UTF8_AFTER_E0, /* then A0..BF: nothing overlong */
	UTF8_AFTER_ED, /* then 80..9F: no surrogates */
	UTF8_AFTER_F0, /* then 90..BF: nothing overlong */
	UTF8_AFTER_F4, /* then 80..8F: nothing above U+10FFFF */
	UTF8_STATES
};

enum utf8_class {
	CLASS_ASCII,
	CLASS_80_8F,
	CLASS_90_9F,
	CLASS_A0_BF,
	CLASS_NEVER,
	CLASS_LEAD2,
	CLASS_E0,
	CLASS_LEAD3,
	CLASS_ED,
	CLASS_F0,
	CLASS_LEAD4,
	CLASS_F4,
	UTF8_CLASSES
};

/* The ranges of RFC 3629 4. */
static const uint8_t utf8_class_of[256] = {
	[0x00 ... 0x7f] = CLASS_ASCII,
	[0x80 ... 0x8f] = CLASS_80_8F,
	[0x90 ... 0x9f] = CLASS_90_9F,
	[0xa0 ... 0xbf] = CLASS_A0_BF,
	[0xc0 ... 0xc1] = CLASS_NEVER,
	[0xc2 ... 0xdf] = CLASS_LEAD2,
	[0xe0] = CLASS_E0,
	[0xe1 ... 0xec] = CLASS_LEAD3,
	[0xed] = CLASS_ED,
	[0xee ... 0xef] = CLASS_LEAD3,
	[0xf0] = CLASS_F0,
	[0xf1 ... 0xf3] = CLASS_LEAD4,
	[0xf4] = CLASS_F4,
	[0xf5 ... 0xff] = CLASS_NEVER,
};

#define R WS_UTF8_REJECT
#define S WS_UTF8_START
#define T1 UTF8_TAIL1
#define T2 UTF8_TAIL2
#define T3 UTF8_TAIL3
static const uint8_t utf8_next[UTF8_STATES][UTF8_CLASSES] = {
	/* 00, 80, 90, A0, C0, C2, E0, E1, ED, F0, F1, F4: the columns of enum utf8_class */
	[WS_UTF8_START] = { S, R, R, R, R, T1, UTF8_AFTER_E0, T2, UTF8_AFTER_ED, UTF8_AFTER_F0, T3,
	    UTF8_AFTER_F4 },
	[WS_UTF8_REJECT] = { R, R, R, R, R, R, R, R, R, R, R, R },
	[UTF8_TAIL1] = { R, S, S, S, R, R, R, R, R, R, R, R },
	[UTF8_TAIL2] = { R, T1, T1, T1, R, R, R, R, R, R, R, R },
	[UTF8_TAIL3] = { R, T2, T2, T2, R, R, R, R, R, R, R, R },
	[UTF8_AFTER_E0] = { R, R, R, T1, R, R, R, R, R, R, R, R },
	[UTF8_AFTER_ED] = { R, T1, T1, R, R, R, R, R, R, R, R, R },
	[UTF8_AFTER_F0] = { R, R, T2, T2, R, R, R, R, R, R, R, R },
	[UTF8_AFTER_F4] = { R, T2, R, R, R, R, R, R, R, R, R, R },
};
#undef R
#undef S
#undef T1
#undef T2
#undef T3

/* What has to be unmasked how: wide[k] is for 8 bytes that stand at a phase of k. */
struct utf8_mask {
	uint64_t wide[4];
	uint8_t byte[4];
};

/* 8 bytes, the first one lowest, on any machine; compilers make one load of it. */
static inline uint64_t
utf8_load(const uint8_t *p)
{
	return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
	    (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
	    (uint64_t)p[7] << 56;
}

/*
 * The bytes of whole valid characters at the start of w, 0 when it starts
 * with none.  Characters of one length often follow each other: four of two
 * bytes and two of three are taken together.
 */
static inline size_t
utf8_characters(uint64_t w)
{
	uint64_t high = w & 0x8080808080808080u;

	if ((w & 0x80) == 0) /* ASCII, how much of it */
		return high == 0 ? 8 : (size_t)__builtin_ctzll(high) / 8;
	if ((w & 0xc0e0) == 0x80c0) { /* C2..DF 80..BF; C0 and C1 are overlong */
		if ((w & 0xc0e0c0e0c0e0c0e0u) == 0x80c080c080c080c0u && (w & 0x1e) != 0 &&
		    (w & 0x1e0000) != 0 && (w & 0x1e00000000u) != 0 && (w & 0x1e000000000000u) != 0)
			return 8;
		return (w & 0x1e) != 0 ? 2 : 0;
	}
	if ((w & 0xc0c0f0) == 0x8080e0) {
		uint64_t a = w & 0x200f, b = w >> 24 & 0x200f;

		if (a == 0 || a == 0x200d) /* E0 80..9F is overlong, ED A0..BF a surrogate */
			return 0;
		if ((w >> 24 & 0xc0c0f0) == 0x8080e0 && b != 0 && b != 0x200d)
			return 6;
		return 3;
	}
	if ((w & 0xc0c0c0f8) == 0x808080f0) { /* code point / 2^16: 1 to 16 */
		uint64_t plane = (w & 7) << 2 | (w >> 12 & 3);

		return plane - 1 < 16 ? 4 : 0;
	}
	return 0;
}

/* Whether none of the 64 bytes (masked with m each 8) has its top bit set. */
static inline bool
utf8_is_ascii_block(const uint8_t *p, uint64_t m)
{
	uint64_t any = 0;

	for (size_t i = 0; i < 64; i += 8)
		any |= utf8_load(p + i) ^ m;
	return (any & 0x8080808080808080u) == 0;
}

/* From between characters: pass over whole valid ones, as far as that is quickly seen. */
static inline size_t
utf8_skip(const uint8_t *p, size_t n, const struct utf8_mask *mask, unsigned phase)
{
	size_t i = 0;

	while (n - i >= 8) {
		uint64_t m = mask != NULL ? mask->wide[(phase + i) & 3] : 0;

		size_t k = utf8_characters(utf8_load(p + i) ^ m);
		if (k == 0)
			break;
		i += k;
		if (k != 8)
			continue;
		/* Steps of 64 leave the phase, and with it m, as they are. */
		while (n - i >= 64 && utf8_is_ascii_block(p + i, m))
			i += 64;
	}
	return i;
}

static inline bool
utf8_feed(uint8_t *state, const uint8_t *p, size_t n, const struct utf8_mask *mask, unsigned phase)
{
	uint8_t s = *state;
	size_t i = 0;

	while (i < n && s != WS_UTF8_REJECT) {
		if (s == WS_UTF8_START && n - i >= 8) {
			size_t k = utf8_skip(p + i, n - i, mask, (unsigned)(phase + i) & 3);

			i += k;
			if (k != 0)
				continue;
		}
		do {
			uint8_t m = mask != NULL ? mask->byte[(phase + i) & 3] : 0;

			s = utf8_next[s][utf8_class_of[p[i++] ^ m]];
		} while (i < n && s > WS_UTF8_REJECT);
	}
	*state = s;
	return s != WS_UTF8_REJECT;
}

bool
ws_utf8_feed(uint8_t *state, const uint8_t *p, size_t n)
{
	return utf8_feed(state, p, n, NULL, 0);
}

bool
ws_utf8_feed_masked(
    uint8_t *state, const uint8_t *p, size_t n, const uint8_t mask[4], uint64_t offset)
{
	struct utf8_mask m;
	uint8_t twice[8];

	memcpy(m.byte, mask, 4);
	memcpy(twice, mask, 4);
	memcpy(twice + 4, mask, 4);
	m.wide[0] = utf8_load(twice);
	for (unsigned k = 1; k < 4; k++) /* RFC 6455 5.3: one byte on is one byte of the mask on */
		m.wide[k] = m.wide[0] >> (8 * k) | m.wide[0] << (64 - 8 * k);
	return utf8_feed(state, p, n, &m, (unsigned)offset & 3);
}

size_t
ws_utf8_cut(const uint8_t *p, size_t n)
{
	for (size_t k = 1; k <= 3 && k <= n; k++) {
		uint8_t b = p[n - k];

		if ((b & 0xc0) == 0x80)
			continue;
		if ((k < 2 && b >= 0xc0) || (k < 3 && b >= 0xe0) || b >= 0xf0)
			return n - k; /* a lead byte with fewer bytes behind it than it says */
		return n;
	}
	return n;
}
