/*
 * Range (RFC 9110 14.1, 14.2) and lists of entity tags (RFC 9110 8.8.3, 13.1)
 * for static files.  Pure; any thread; the gateway's static files call it.
 */
#include "codec/http_range.h"

#include <string.h>

/* The number at the start of s, which is moved behind it; too big gives UINT64_MAX. */
static bool
range_take_number(struct span *s, uint64_t *out)
{
	size_t i;

	*out = 0;
	for (i = 0; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		unsigned digit = (unsigned)(s->p[i] - '0');

		*out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
	}
	s->p += i;
	s->n -= i;
	return i > 0;
}

/* The last n bytes (RFC 9110 14.1.2 suffix-range). */
static enum http_range
range_suffix(uint64_t n, uint64_t size, uint64_t *first, uint64_t *last)
{
	if (n == 0)
		return HTTP_RANGE_UNSATISFIABLE; /* RFC 9110 14.1.2 */
	if (size == 0) /* satisfiable, but no first-last says "all of nothing" */
		return HTTP_RANGE_NONE;
	*first = n < size ? size - n : 0;
	*last = size - 1;
	return HTTP_RANGE_ONE;
}

/* One range-spec. */
static enum http_range
range_one(struct span s, uint64_t size, uint64_t *first, uint64_t *last)
{
	uint64_t a, b = UINT64_MAX;

	if (s.n > 1 && s.p[0] == '-') {
		s.p++, s.n--;
		if (!range_take_number(&s, &a) || s.n != 0)
			return HTTP_RANGE_NONE;
		return range_suffix(a, size, first, last);
	}
	if (!range_take_number(&s, &a) || s.n == 0 || s.p[0] != '-')
		return HTTP_RANGE_NONE;
	s.p++, s.n--;
	if (s.n != 0 && (!range_take_number(&s, &b) || s.n != 0))
		return HTTP_RANGE_NONE;
	if (b < a)
		return HTTP_RANGE_NONE; /* invalid, to be ignored (RFC 9110 14.1.1) */
	if (a >= size)
		return HTTP_RANGE_UNSATISFIABLE; /* RFC 9110 15.5.17 */
	*first = a;
	*last = b < size ? b : size - 1;
	return HTTP_RANGE_ONE;
}

enum http_range
http_range_parse(struct span value, uint64_t size, uint64_t *first, uint64_t *last)
{
	static const struct span unit = SPAN_LIT("bytes=");
	struct span one, more;

	value = span_trim(value);
	if (value.n < unit.n || !span_eq_nocase((struct span){ value.p, unit.n }, unit))
		return HTTP_RANGE_NONE; /* an unknown unit is ignored (RFC 9110 14.2) */
	value.p += unit.n;
	value.n -= unit.n;
	if (!span_next_item(&value, &one) || span_next_item(&value, &more))
		return HTTP_RANGE_NONE;
	return range_one(one, size, first, last);
}

/*
 * Take an entity-tag off the list; *item is its opaque part with the quotes,
 * *is_weak tells W/.  A backslash is an ordinary character in it (8.8.3).
 */
static bool
etag_next(struct span *list, struct span *item, bool *is_weak)
{
	const char *end;

	while (list->n > 0 && (*list->p == ',' || *list->p == ' ' || *list->p == '\t'))
		list->p++, list->n--;
	*is_weak = list->n >= 2 && list->p[0] == 'W' && list->p[1] == '/';
	if (*is_weak) {
		list->p += 2;
		list->n -= 2;
	}
	if (list->n < 2 || list->p[0] != '"' ||
	    (end = memchr(list->p + 1, '"', list->n - 1)) == NULL)
		return false;
	*item = (struct span){ list->p, (size_t)(end + 1 - list->p) };
	list->p += item->n;
	list->n -= item->n;
	return true;
}

bool
http_etag_list_has(struct span list, struct span tag, bool weak)
{
	struct span item, wanted;
	bool item_weak, tag_weak;

	if (span_eq(span_trim(list), SPAN_LIT("*")))
		return true; /* RFC 9110 13.1.1, 13.1.2 */
	if (!etag_next(&tag, &wanted, &tag_weak) || tag.n != 0)
		return false;
	while (etag_next(&list, &item, &item_weak)) {
		/* Strong comparison wants both strong (RFC 9110 8.8.3.2). */
		if (span_eq(item, wanted) && (weak || (!item_weak && !tag_weak)))
			return true;
	}
	return false;
}
