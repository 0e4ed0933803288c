/*
 * Fuzzes src/codec/http_range.c.  Input: three lines: a size, a Range value
 * and an entity tag; then an If-None-Match list.  Oracles: a naive reader of
 * ranges in 128-bit arithmetic, and what must hold between weak
 * and strong comparison.
 */
#include "codec/http_range.h"
#include "oracle.h"

/* A line off *p; the rest when there is no LF. */
static struct span
range_line(const char **p, size_t *n)
{
	const char *lf = memchr(*p, '\n', *n);
	struct span line = { *p, lf != NULL ? (size_t)(lf - *p) : *n };
	size_t skip = lf != NULL ? line.n + 1 : line.n;

	*p += skip;
	*n -= skip;
	return line;
}

/* All of s, which has to be digits; no file is as long as the greatest number. -1: it is none. */
static __int128
naive_number(const char *s, size_t n)
{
	__int128 v = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
		if (v > UINT64_MAX)
			v = UINT64_MAX;
	}
	return n == 0 ? -1 : v;
}

/* The only element of a list, trimmed; false when there is another number of them. */
static bool
naive_only(const char *s, size_t n, struct span *only)
{
	unsigned count = 0;
	size_t i, start = 0;

	for (i = 0; i <= n; i++) {
		if (i < n && s[i] != ',')
			continue;
		if (span_trim((struct span){ s + start, i - start }).n != 0) {
			*only = span_trim((struct span){ s + start, i - start });
			count++;
		}
		start = i + 1;
	}
	return count == 1;
}

static enum http_range
naive_range(struct span value, uint64_t size, uint64_t *first, uint64_t *last)
{
	struct span one = SPAN_NONE;
	const char *dash;
	__int128 a, b;
	size_t left, right;

	value = span_trim(value);
	if (value.n < 6 || !span_eq_nocase((struct span){ value.p, 6 }, SPAN_LIT("bytes=")) ||
	    !naive_only(value.p + 6, value.n - 6, &one) ||
	    (dash = memchr(one.p, '-', one.n)) == NULL)
		return HTTP_RANGE_NONE;
	left = (size_t)(dash - one.p);
	right = one.n - left - 1;
	a = naive_number(one.p, left);
	b = naive_number(dash + 1, right);
	if (left == 0) {
		if (b < 0 || (size == 0 && b > 0))
			return HTTP_RANGE_NONE;
		if (b == 0)
			return HTTP_RANGE_UNSATISFIABLE;
		*first = b >= size ? 0 : size - (uint64_t)b;
		*last = size - 1;
		return HTTP_RANGE_ONE;
	}
	if (a < 0 || (right != 0 && (b < 0 || b < a)))
		return HTTP_RANGE_NONE;
	if (a >= size)
		return HTTP_RANGE_UNSATISFIABLE;
	*first = (uint64_t)a;
	*last = right == 0 || b >= size ? size - 1 : (uint64_t)b;
	return HTTP_RANGE_ONE;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = oracle_copy(data, size);
	const char *p = copy;
	struct span number, value, tag, list;
	uint64_t file, first = 0, last = 0, naive_first = 0, naive_last = 0;
	enum http_range got, wanted;
	__int128 n;

	number = range_line(&p, &size);
	value = range_line(&p, &size);
	tag = range_line(&p, &size);
	list = (struct span){ p, size };
	n = naive_number(number.p, number.n);
	file = n < 0 ? 100 : n > INT64_MAX ? INT64_MAX : (uint64_t)n;

	got = http_range_parse(value, file, &first, &last);
	wanted = naive_range(value, file, &naive_first, &naive_last);
	/* Quotes hide commas from the list reader; no good range has any. */
	if (memchr(value.p, '"', value.n) == NULL) {
		ORACLE(got == wanted);
		ORACLE(got != HTTP_RANGE_ONE || (first == naive_first && last == naive_last));
	}
	ORACLE(got != HTTP_RANGE_ONE || (first <= last && last < file));

	if (http_etag_list_has(list, tag, false))
		ORACLE(http_etag_list_has(list, tag, true));
	if (http_etag_list_has(list, tag, true) && !span_eq(span_trim(list), SPAN_LIT("*"))) {
		const char *opaque = memchr(tag.p, '"', tag.n);
		size_t opaque_n = tag.n - (size_t)(opaque - tag.p);

		ORACLE(memmem(list.p, list.n, opaque, opaque_n) != NULL);
		ORACLE(http_etag_list_has(tag, tag, true));
	}
	free(copy);
	return 0;
}
