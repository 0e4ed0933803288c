/* Making what a peer says fit for a terminal.  Pure.  See wsdial_escape.h. */
#include "tools/wsdial_escape.h"

#include <stdbool.h>
#include <stdint.h>

#include "codec/ws_utf8.h"

/* Bytes of the character at p[0..n), 2 to 4, if it is well-formed UTF-8 and no control; else 0. */
static size_t
wsdial_utf8_length(const uint8_t *p, size_t n)
{
	uint8_t state = WS_UTF8_START;
	size_t k;

	for (k = 0; k < n && k < 4; k++) {
		if (!ws_utf8_feed(&state, p + k, 1))
			return 0;
		if (state == WS_UTF8_START)
			break;
	}
	if (k == n || k == 4)
		return 0;
	/* U+0080 to U+009F are the C1 controls. */
	return p[0] == 0xc2 && p[1] < 0xa0 ? 0 : k + 1;
}

static bool
wsdial_is_harmless(enum wsdial_escape how, uint8_t c)
{
	if (c == '\n')
		return how == WSDIAL_ESCAPE_MESSAGE;
	if (c == '\t')
		return how != WSDIAL_ESCAPE_BINARY;
	if (c == '\\')
		return how == WSDIAL_ESCAPE_MESSAGE || how == WSDIAL_ESCAPE_LINE;
	if (c == '"')
		return how != WSDIAL_ESCAPE_QUOTED;
	return c >= ' ' && c < 0x7f;
}

int
wsdial_escape(struct buf *b, enum wsdial_escape how, const void *p, size_t n)
{
	const uint8_t *s = p;
	size_t i, k;

	for (i = 0; i < n; i += k) {
		k = how != WSDIAL_ESCAPE_BINARY && s[i] >= 0x80 ? wsdial_utf8_length(s + i, n - i)
								: 0;
		if (k == 0 && wsdial_is_harmless(how, s[i]))
			k = 1;
		if (k > 0) {
			if (buf_append(b, s + i, k) == -1)
				return -1;
			continue;
		}
		k = 1;
		if (buf_printf(b, "\\x%02x", s[i]) == -1)
			return -1;
	}
	return 0;
}
