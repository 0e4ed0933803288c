/*
 * Fuzzes src/codec/ws_utf8.c.  Input: 1 byte for the cuts, 4 of a mask, text.
 * Oracle: a reference that decodes code points; masked and unmasked, whole,
 * cut and byte by byte all have to say the same as it does.
 */
#include "codec/ws_utf8.h"
#include "oracle.h"

static void
utf8_check_cuts(const uint8_t *text, const uint8_t *masked, size_t n, const uint8_t *mask,
    uint32_t seed, size_t good, bool whole)
{
	uint8_t plain_state = WS_UTF8_START, masked_state = WS_UTF8_START;
	size_t at = 0;

	while (at < n) {
		size_t k = oracle_piece(&seed, n - at);
		uint8_t *piece = oracle_copy(text + at, k);
		bool ok = ws_utf8_feed(&plain_state, piece, k);

		free(piece);
		ORACLE(ok == (at + k <= good));
		piece = oracle_copy(masked + at, k);
		ORACLE(ws_utf8_feed_masked(&masked_state, piece, k, mask, at) == ok);
		ORACLE(memcmp(piece, masked + at, k) == 0);
		free(piece);
		ORACLE(plain_state == masked_state);
		at += k;
	}
	ORACLE((plain_state == WS_UTF8_START) == (good == n && whole));
	ORACLE((plain_state == WS_UTF8_REJECT) == (good < n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *mask = data + 1, *text = data + 5;
	uint8_t state = WS_UTF8_START, *masked;
	size_t n, good;
	bool whole;

	if (size < 5)
		return 0;
	n = size - 5;
	good = oracle_utf8(text, n, &whole);
	ORACLE(ws_utf8_feed(&state, text, n) == (good == n));
	ORACLE((state == WS_UTF8_START) == (good == n && whole));

	masked = oracle_copy(text, n);
	for (size_t i = 0; i < n; i++)
		masked[i] ^= mask[i % 4];
	utf8_check_cuts(text, masked, n, mask, data[0], good, whole);
	utf8_check_cuts(text, masked, n, mask, 0, good, whole);
	free(masked);

	if (good == n) {
		size_t cut = ws_utf8_cut(text, n);
		bool cut_is_whole;

		ORACLE(cut <= n && n - cut <= 3);
		ORACLE(oracle_utf8(text, cut, &cut_is_whole) == cut && cut_is_whole);
		ORACLE(!whole || cut == n);
	}
	return 0;
}
