/* Writing JSON.  See json.h. */
#include "codec/json.h"
#include "codec/ws_utf8.h"

int
json_put_string(struct buf *b, struct span s)
{
	uint8_t state = WS_UTF8_START;
	bool utf8 = ws_utf8_feed(&state, (const uint8_t *)s.p, s.n) && state == WS_UTF8_START;
	int ret = buf_append_char(b, '"');

	for (size_t i = 0; i < s.n && ret == 0; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			ret = buf_printf(b, "\\%c", c);
		else if (c < ' ' || c == 0x7f || (c > 0x7f && !utf8))
			ret = buf_printf(b, "\\u%04x", c);
		else
			ret = buf_append_char(b, (char)c);
	}
	return ret == 0 ? buf_append_char(b, '"') : -1;
}

int
json_put_key(struct buf *b, const char *key)
{
	bool first = b->n == 0 || b->p[b->n - 1] == '{' || b->p[b->n - 1] == '[';

	return buf_printf(b, "%s\"%s\":", first ? "" : ",", key);
}

int
json_put_span(struct buf *b, const char *key, struct span s)
{
	if (s.p == NULL)
		return json_put_null(b, key);
	return json_put_key(b, key) == 0 ? json_put_string(b, s) : -1;
}

int
json_put_str(struct buf *b, const char *key, const char *v)
{
	return json_put_span(b, key, span_from_str(v));
}

int
json_put_num(struct buf *b, const char *key, uint64_t v)
{
	return json_put_key(b, key) == 0 ? buf_printf(b, "%llu", (unsigned long long)v) : -1;
}

int
json_put_null(struct buf *b, const char *key)
{
	return json_put_key(b, key) == 0 ? buf_append_str(b, "null") : -1;
}
