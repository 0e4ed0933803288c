/*
 * Unit tests of src/codec/ws_utf8.[ch], against a reference that decodes code
 * points and knows nothing of states.
 */
#include "codec/ws_utf8.h"

#include <string.h>

#include "unit.h"

/*
 * The bytes of the character at p[0..n): decoded, judged by its value, and
 * only the shortest form counts.  0: invalid or cut.
 */
static size_t
ref_character(const uint8_t *p, size_t n)
{
	static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length;
	uint32_t c;

	if (n == 0)
		return 0;
	length = p[0] < 0x80  ? 1
	    : p[0] >> 5 == 6  ? 2
	    : p[0] >> 4 == 14 ? 3
	    : p[0] >> 3 == 30 ? 4
			      : 0;
	if (length == 0 || length > n)
		return 0;
	c = length == 1 ? p[0] : p[0] & (0x7f >> length);
	for (size_t i = 1; i < length; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return length;
}

/* Whether p[0..n), n < 4, can be completed to a character, by trying. */
static bool
ref_completes(const uint8_t *p, size_t n)
{
	static const uint8_t try[] = { 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf };
	uint8_t longer[4];

	memcpy(longer, p, n);
	for (size_t i = 0; n > 0 && i < sizeof(try); i++) {
		longer[n] = try[i];
		if (ref_character(longer, n + 1) == n + 1 ||
		    (n < 3 && ref_completes(longer, n + 1)))
			return true;
	}
	return false;
}

enum ref_verdict { REF_BAD, REF_CUT, REF_WHOLE };

static enum ref_verdict
ref_text(const uint8_t *p, size_t n)
{
	for (;;) {
		size_t k = ref_character(p, n);

		if (n == 0)
			return REF_WHOLE;
		if (k == 0)
			return n < 4 && ref_completes(p, n) ? REF_CUT : REF_BAD;
		p += k;
		n -= k;
	}
}

/* Here and in the other loops of millions no ck_assert: each one that holds is a system call. */
static enum ref_verdict
utf8_verdict(uint8_t state, bool ok)
{
	if (ok != (state != WS_UTF8_REJECT))
		ck_abort_msg("state %u, but the result is %d", state, ok);
	return !ok ? REF_BAD : state == WS_UTF8_START ? REF_WHOLE : REF_CUT;
}

static enum ref_verdict
utf8_plain(const uint8_t *p, size_t n)
{
	uint8_t state = WS_UTF8_START;
	bool ok = ws_utf8_feed(&state, p, n);

	return utf8_verdict(state, ok);
}

static enum ref_verdict
utf8_masked(const uint8_t *p, size_t n, uint64_t offset)
{
	static const uint8_t mask[4] = { 0x81, 0x3c, 0xf0, 0x5a };
	uint8_t masked[200] = { 0 }, before[200], state = WS_UTF8_START;
	bool ok;

	if (n > sizeof(masked))
		ck_abort();
	for (size_t i = 0; i < n; i++)
		masked[i] = p[i] ^ mask[(offset + i) % 4];
	memcpy(before, masked, n);
	ok = ws_utf8_feed_masked(&state, masked, n, mask, offset);
	if (memcmp(before, masked, n) != 0)
		ck_abort_msg("masked bytes were changed");
	return utf8_verdict(state, ok);
}

/*
 * Check a short sequence alone (byte by byte), in a text of ASCII where the
 * wide steps meet it, and masked.
 */
static void
utf8_check(const uint8_t *p, size_t n)
{
	uint8_t text[16];
	enum ref_verdict wanted = ref_text(p, n), in_text;

	if (utf8_plain(p, n) != wanted)
		ck_abort_msg("%02x %02x %02x %02x (%zu)", p[0], p[1], p[2], p[3], n);
	memset(text, 'a', sizeof(text));
	memcpy(text + 1, p, n);
	in_text = wanted == REF_WHOLE ? REF_WHOLE : REF_BAD; /* an 'a' ends a cut one */
	if (utf8_plain(text, sizeof(text)) != in_text)
		ck_abort_msg("in text: %02x %02x %02x %02x (%zu)", p[0], p[1], p[2], p[3], n);
	if (utf8_masked(text, sizeof(text), p[0]) != in_text)
		ck_abort_msg("masked: %02x %02x %02x %02x (%zu)", p[0], p[1], p[2], p[3], n);
}

/* Behind an ASCII byte the other two are what the shorter ones have shown. */
START_TEST(ws_utf8_judges_every_sequence_of_one_two_and_three_bytes)
{
	for (uint32_t v = 0; v < 0x1000000; v++) {
		uint8_t p[4] = { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v, 0 };

		if (p[2] == 0 && p[1] == 0)
			utf8_check(p, 1);
		if (p[2] == 0)
			utf8_check(p, 2);
		if (p[0] >= 0x80)
			utf8_check(p, 3);
	}
}
END_TEST

START_TEST(ws_utf8_judges_sequences_of_four_bytes)
{
	static const uint8_t tail[] = { 0x00, 0x7f, 0x80, 0xa5, 0xbf, 0xc0, 0xff };

	for (unsigned lead = 0xe0; lead <= 0xff; lead++)
		for (unsigned second = 0; second <= 0xff; second++)
			for (size_t i = 0; i < sizeof(tail); i++)
				for (size_t j = 0; j < sizeof(tail); j++) {
					uint8_t p[4] = { (uint8_t)lead, (uint8_t)second, tail[i],
						tail[j] };

					utf8_check(p, 4);
				}
}
END_TEST

/* Every code point encoded, surrogates and what lies above too. */
START_TEST(ws_utf8_takes_every_code_point_but_surrogates)
{
	for (uint32_t c = 0x10000; c < 0x120000; c++) {
		uint8_t p[4] = { (uint8_t)(0xf0 | c >> 18), (uint8_t)(0x80 | (c >> 12 & 0x3f)),
			(uint8_t)(0x80 | (c >> 6 & 0x3f)), (uint8_t)(0x80 | (c & 0x3f)) };

		if (utf8_plain(p, 4) != (c <= 0x10ffff ? REF_WHOLE : REF_BAD))
			ck_abort_msg("U+%X", c);
	}
	for (uint32_t c = 0x800; c < 0x10000; c++) {
		uint8_t p[3] = { (uint8_t)(0xe0 | c >> 12), (uint8_t)(0x80 | (c >> 6 & 0x3f)),
			(uint8_t)(0x80 | (c & 0x3f)) };

		if (utf8_plain(p, 3) != (c < 0xd800 || c > 0xdfff ? REF_WHOLE : REF_BAD))
			ck_abort_msg("U+%X", c);
	}
}
END_TEST

static uint32_t
utf8_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* A text of n bytes or a few less, of characters of all lengths in runs. */
static size_t
utf8_make_text(uint32_t *seed, uint8_t *p, size_t n)
{
	static const char *const characters[] = { "a", "\xc2\x80", "\xd0\xb6", "\xdf\xbf",
		"\xe0\xa0\x80", "\xe6\xbc\xa2", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "abcdefghijklmnop" };
	size_t i = 0;

	for (;;) {
		const char *c = characters[utf8_random(seed) % UNIT_COUNT(characters)];
		size_t run = 1 + utf8_random(seed) % 6;

		for (; run > 0; run--) {
			if (i + strlen(c) > n)
				return i;
			memcpy(p + i, c, strlen(c));
			i += strlen(c);
		}
	}
}

START_TEST(ws_utf8_long_texts_with_damage_are_as_the_reference_says)
{
	uint32_t seed = 1;

	for (unsigned round = 0; round < 40000; round++) {
		uint8_t text[200];
		size_t n = utf8_make_text(&seed, text, utf8_random(&seed) % sizeof(text));
		enum ref_verdict wanted;

		if (round % 2 != 0 && n > 0)
			text[utf8_random(&seed) % n] ^= (uint8_t)(1 << utf8_random(&seed) % 8);
		if (round % 3 == 0)
			n -= n > 0 ? utf8_random(&seed) % 4 % n : 0;
		wanted = ref_text(text, n);
		if (utf8_plain(text, n) != wanted || utf8_masked(text, n, round) != wanted)
			ck_abort_msg("round %u", round);
	}
}
END_TEST

START_TEST(ws_utf8_gives_the_same_however_the_text_is_cut)
{
	static const uint8_t mask[4] = { 1, 2, 0x84, 0xff };
	uint32_t seed = 7;

	for (unsigned round = 0; round < 60; round++) {
		uint8_t text[120], masked[120];
		size_t n = utf8_make_text(&seed, text, sizeof(text));
		enum ref_verdict wanted;

		if (round % 2 != 0)
			text[utf8_random(&seed) % n] ^= 0x40;
		wanted = ref_text(text, n);
		for (size_t i = 0; i < n; i++)
			masked[i] = text[i] ^ mask[i % 4];
		for (size_t a = 0; a <= n; a++) {
			uint8_t s = WS_UTF8_START, t = WS_UTF8_START;
			bool ok = ws_utf8_feed(&s, text, a) && ws_utf8_feed(&s, text + a, n - a);

			ck_assert_int_eq(utf8_verdict(s, ok), wanted);
			ok = ws_utf8_feed_masked(&t, masked, a, mask, 0) &&
			    ws_utf8_feed_masked(&t, masked + a, n - a, mask, a);
			ck_assert_int_eq(utf8_verdict(t, ok), wanted);
		}
	}
}
END_TEST

START_TEST(ws_utf8_fails_at_the_first_byte_that_nothing_can_save)
{
	uint32_t seed = 3;

	for (unsigned round = 0; round < 500; round++) {
		uint8_t text[64], state = WS_UTF8_START;
		size_t n = utf8_make_text(&seed, text, sizeof(text));

		text[utf8_random(&seed) % n] = (uint8_t)utf8_random(&seed);
		for (size_t i = 0; i < n; i++) {
			bool ok = ws_utf8_feed(&state, text + i, 1);

			ck_assert(ok == (ref_text(text, i + 1) != REF_BAD));
		}
	}
}
END_TEST

START_TEST(ws_utf8_stays_rejected)
{
	uint8_t state = WS_UTF8_START;

	ck_assert(!ws_utf8_feed(&state, (const uint8_t *)"\xff", 1));
	ck_assert_uint_eq(state, WS_UTF8_REJECT);
	ck_assert(!ws_utf8_feed(&state, (const uint8_t *)"abcdefghijkl", 12));
	ck_assert(!ws_utf8_feed(&state, NULL, 0));
	ck_assert_uint_eq(state, WS_UTF8_REJECT);
}
END_TEST

START_TEST(ws_utf8_cut_leaves_whole_characters_and_as_many_as_it_can)
{
	uint32_t seed = 5;

	for (unsigned round = 0; round < 200; round++) {
		uint8_t text[80];
		size_t n = utf8_make_text(&seed, text, sizeof(text)), whole = 0;

		for (size_t i = 0; i <= n; i++) {
			if (ref_text(text, i) == REF_WHOLE)
				whole = i;
			ck_assert_uint_eq(ws_utf8_cut(text, i), whole);
		}
	}
	ck_assert_uint_eq(ws_utf8_cut((const uint8_t *)"\x80\x80\x80\x80", 4), 4);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_utf8_judges_every_sequence_of_one_two_and_three_bytes,
		ws_utf8_judges_sequences_of_four_bytes,
		ws_utf8_takes_every_code_point_but_surrogates,
		ws_utf8_long_texts_with_damage_are_as_the_reference_says,
		ws_utf8_gives_the_same_however_the_text_is_cut,
		ws_utf8_fails_at_the_first_byte_that_nothing_can_save,
		ws_utf8_stays_rejected,
		ws_utf8_cut_leaves_whole_characters_and_as_many_as_it_can,
	};

	return unit_run("ws_utf8", cases, UNIT_COUNT(cases));
}
