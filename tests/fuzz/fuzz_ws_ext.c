/*
 * Fuzzes src/codec/ws_ext.c.  Input: 1 byte that says what the gateway wants,
 * then a field value.  Oracles: a naive reader, which splits the value at its
 * commas and each element at its semicolons before it looks into one; what is
 * written is read the same again; an answer is one that its offer allows.
 */
#include "codec/ws_ext.h"

#include "codec/http1.h"
#include "oracle.h"

/* Where s[from..n) has the next c outside of quoted strings; n when it has none. */
static size_t
naive_find(const char *s, size_t from, size_t n, char c)
{
	bool quoted = false;

	for (size_t i = from; i < n; i++) {
		if (quoted && s[i] == '\\')
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (!quoted && s[i] == c)
			return i;
	}
	return n;
}

/* A token or what a quoted string stands for, into out (as long as s); -1 when it is neither. */
static int
naive_value(struct span s, char *out)
{
	size_t n = 0;

	if (s.n < 2 || s.p[0] != '"') {
		memcpy(out, s.p, s.n);
		out[s.n] = '\0';
		return http_is_token(s) ? (int)s.n : -1;
	}
	for (size_t i = 1; i < s.n - 1; i++) {
		if (s.p[i] == '"' || (s.p[i] == '\\' && ++i == s.n - 1))
			return -1;
		out[n++] = s.p[i];
	}
	out[n] = '\0';
	return s.p[s.n - 1] == '"' && http_is_token((struct span){ out, n }) ? (int)n : -1;
}

/* The window that a text says, -1 when it may not. */
static int
naive_window(const char *text)
{
	static const char *const good[] = { "8", "9", "10", "11", "12", "13", "14", "15" };

	for (size_t i = 0; i < 8; i++)
		if (strcmp(text, good[i]) == 0)
			return (int)i + 8;
	return -1;
}

/* One parameter; false when the offer has to be declined for it. */
static bool
naive_take(struct span name, const char *value, bool answer, struct ws_ext *x)
{
	int window = value != NULL ? naive_window(value) : -1;
	bool server = span_eq(name, SPAN_LIT("server_max_window_bits"));

	if (server || span_eq(name, SPAN_LIT("client_max_window_bits"))) {
		uint8_t *bits = server ? &x->server_bits : &x->client_bits;
		bool again = *bits != 0;

		if (value == NULL && !server && !answer)
			window = WS_EXT_BITS_OPEN;
		*bits = window > 0 ? (uint8_t)window : 0;
		return !again && window > 0;
	}
	server = span_eq(name, SPAN_LIT("server_no_context_takeover"));
	if (server || span_eq(name, SPAN_LIT("client_no_context_takeover"))) {
		bool *flag = server ? &x->server_no_takeover : &x->client_no_takeover;
		bool again = *flag;

		*flag = true;
		return !again && value == NULL;
	}
	return false;
}

static enum ws_ext_kind
naive_element(struct span element, bool answer, struct ws_ext *x)
{
	enum ws_ext_kind kind = WS_EXT_DEFLATE;
	char *value = malloc(element.n + 1);
	size_t from = 0, to;

	if (value == NULL)
		abort();
	memset(x, 0, sizeof(*x));
	for (int nth = 0; from <= element.n; nth++, from = to + 1) {
		struct span part, name;
		bool has_value;
		size_t eq;

		to = naive_find(element.p, from, element.n, ';');
		part = span_trim((struct span){ element.p + from, to - from });
		eq = naive_find(part.p, 0, part.n, '=');
		has_value = eq < part.n;
		name = span_trim((struct span){ part.p, eq });
		if (!http_is_token(name) || (nth == 0 && has_value) ||
		    (has_value &&
			naive_value(span_trim((struct span){ part.p + eq + 1, part.n - eq - 1 }),
			    value) < 0)) {
			kind = WS_EXT_BAD;
			break;
		}
		if (nth == 0 && !span_eq(name, SPAN_LIT("permessage-deflate")))
			kind = WS_EXT_OTHER;
		else if (nth > 0 && kind == WS_EXT_DEFLATE &&
		    !naive_take(name, has_value ? value : NULL, answer, x))
			kind = WS_EXT_DECLINED;
	}
	free(value);
	return kind;
}

static bool
ext_same(const struct ws_ext *a, const struct ws_ext *b)
{
	return a->server_bits == b->server_bits && a->client_bits == b->client_bits &&
	    a->server_no_takeover == b->server_no_takeover &&
	    a->client_no_takeover == b->client_no_takeover;
}

static void
check_offer(const struct ws_ext *x, const struct ws_ext *wanted, enum ws_ext_side side)
{
	struct ws_ext again, answer;
	char text[WS_EXT_TEXT];
	struct span list = { text, ws_ext_write(x, text) }, item;

	ORACLE(list.n < WS_EXT_TEXT && list.n == strlen(text));
	ORACLE(ws_ext_next(&list, side, &again, &item) == WS_EXT_DEFLATE);
	ORACLE(list.n == 0 && ext_same(x, &again));
	if (ws_ext_accept(x, wanted, &answer))
		ORACLE(ws_ext_answers(x, &answer));
	else
		ORACLE(x->server_bits == 8 || x->client_bits == 8);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_ext wanted, x, naive;
	enum ws_ext_kind kind, naive_kind;
	struct span list, item;
	enum ws_ext_side side;
	char *text;
	size_t n, at = 0, end;

	if (size < 1 || size > 20000)
		return 0;
	side = data[0] & 4 ? WS_EXT_ANSWER : WS_EXT_OFFER;
	wanted = (struct ws_ext){ (uint8_t)(9 + (data[0] >> 3) % 7),
		(uint8_t)(9 + (data[0] >> 5) % 7), data[0] & 1, data[0] & 2 };
	n = size - 1;
	text = oracle_copy(data + 1, n);
	list = (struct span){ text, n };
	for (;;) {
		struct span element = SPAN_NONE;

		while (at <= n && element.n == 0) {
			end = naive_find(text, at, n, ',');
			element = span_trim((struct span){ text + at, end - at });
			at = end + 1;
		}
		kind = ws_ext_next(&list, side, &x, &item);
		naive_kind = element.n == 0 ? WS_EXT_END
					    : naive_element(element, side == WS_EXT_ANSWER, &naive);
		ORACLE(kind == naive_kind);
		if (kind == WS_EXT_END || kind == WS_EXT_BAD)
			break;
		ORACLE(span_eq(item, element));
		if (kind == WS_EXT_DEFLATE) {
			ORACLE(ext_same(&x, &naive));
			check_offer(&x, &wanted, side);
		}
	}
	free(text);
	return 0;
}
