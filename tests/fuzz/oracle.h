/*
 * What the fuzz targets of src/codec share: a check that dies, cuts that the
 * input chooses, bytes in blocks of just their size, and a UTF-8 reference.
 * A target's input starts with a few bytes that say how to run; the rest is
 * what is given to the code.
 */
#ifndef TESTS_FUZZ_ORACLE_H
#define TESTS_FUZZ_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has to hold; the fuzzer keeps the input for which it does not. */
#define ORACLE(holds) oracle_check((holds), #holds, __FILE__, __LINE__)

static inline void
oracle_check(bool holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* A copy that the caller frees; a byte read behind it is seen by the address sanitizer. */
static inline void *
oracle_copy(const void *p, size_t n)
{
	void *copy = malloc(n != 0 ? n : 1);

	if (copy == NULL)
		abort();
	if (n != 0)
		memcpy(copy, p, n);
	return copy;
}

/* The next piece of n > 0 bytes: 1 to n, by a seed that the input gave; a seed of 0 is one byte. */
static inline size_t
oracle_piece(uint32_t *seed, size_t n)
{
	if (*seed == 0)
		return 1;
	*seed = *seed * 1664525 + 1013904223;
	if ((*seed >> 30) != 0)
		return 1 + (*seed >> 8) % (n < 12 ? n : 12);
	return 1 + (*seed >> 8) % n;
}

/*
 * The bytes of the character at p[0..n), decoded and judged by its value; 0
 * when it is invalid or longer than n.
 */
static inline size_t
oracle_character(const uint8_t *p, size_t n)
{
	static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = n == 0 ? 0
	    : p[0] < 0x80      ? 1
	    : p[0] >> 5 == 6   ? 2
	    : p[0] >> 4 == 14  ? 3
	    : p[0] >> 3 == 30  ? 4
			       : 0;
	uint32_t c;

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

/* Whether p[0..n), 0 < n < 4, starts a character: by trying what could follow. */
static inline bool
oracle_starts_character(const uint8_t *p, size_t n)
{
	uint8_t longer[4] = { 0 };

	memcpy(longer, p, n);
	for (unsigned a = 0x80; a < 0xc0; a++) {
		longer[n] = (uint8_t)a;
		for (size_t i = n + 1; i < 4; i++)
			longer[i] = 0x80;
		if (oracle_character(longer, 4) > n)
			return true;
	}
	return false;
}

/*
 * Judge p[0..n) as UTF-8: the bytes before the first one that can not stand
 * there, n when there is none.  *whole: it ends between characters.
 */
static inline size_t
oracle_utf8(const uint8_t *p, size_t n, bool *whole)
{
	size_t i = 0, k;

	while ((k = oracle_character(p + i, n - i)) != 0)
		i += k;
	*whole = i == n;
	/* The longest start of a character that stands there. */
	for (k = n - i < 3 ? n - i : 3; k > 0; k--)
		if (oracle_starts_character(p + i, k))
			break;
	return i + k;
}

#endif
