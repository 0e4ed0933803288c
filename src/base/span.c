/*
 * Comma-separated field values (RFC 9110 5.6.1).  Pure, no memory; called by
 * the codecs and the gateway on any thread.
 */
#include "base/span.h"

/* The length of the first element of s: up to a comma outside of quotes. */
static size_t
span_item_length(struct span s)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\')
			i++; /* quoted-pair (RFC 9110 5.6.4) */
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == ',' && !quoted)
			break;
	}
	return i < s.n ? i : s.n;
}

bool
span_next_item(struct span *list, struct span *item)
{
	while (list->n > 0) {
		size_t n = span_item_length(*list);
		size_t skip = n < list->n ? n + 1 : n;

		*item = span_trim((struct span){ list->p, n });
		list->p += skip;
		list->n -= skip;
		if (item->n > 0) /* empty elements do not count (RFC 9110 5.6.1.2) */
			return true;
	}
	return false;
}

bool
span_list_has(struct span list, struct span token)
{
	struct span item;

	while (span_next_item(&list, &item))
		if (span_eq_nocase(item, token))
			return true;
	return false;
}
