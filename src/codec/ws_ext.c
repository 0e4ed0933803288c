/*
 * Sec-WebSocket-Extensions (RFC 6455 9.1, RFC 7692 7.1).  Pure; any thread.
 * Called by gateway/ for each handshake, and by wsdial.
 *
 * The grammar is that of RFC 6455 9.1 with RFC 2616's implied white space:
 *   list  = 1#element
 *   element = token *( ";" token [ "=" ( token | quoted-string ) ] )
 * where what a quoted string stands for is a token again.  An element is read
 * to its end whatever its parameters mean, so that bad grammar is found.
 */
#include "codec/ws_ext.h"

#include <stdio.h>

#include "codec/http1.h"
#include "codec/http_chars.h"

#define EXT_NAME "permessage-deflate"
#define EXT_SERVER_BITS "server_max_window_bits"
#define EXT_CLIENT_BITS "client_max_window_bits"
#define EXT_SERVER_ALONE "server_no_context_takeover"
#define EXT_CLIENT_ALONE "client_no_context_takeover"

#define EXT_VALUE_MAX 2 /* digits of a value that can be accepted */

/* A parameter as it was read. */
struct ext_param {
	struct span name;
	char value[EXT_VALUE_MAX]; /* its start */
	size_t value_n;		   /* its whole length */
	bool has_value;
};

static void
ext_skip_space(struct span *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		s->p++, s->n--;
}

/* Pass over the character, and white space around it. */
static bool
ext_skip(struct span *s, char c)
{
	ext_skip_space(s);
	if (s->n == 0 || s->p[0] != c)
		return false;
	s->p++, s->n--;
	ext_skip_space(s);
	return true;
}

/* A token, which is not empty. */
static bool
ext_token(struct span *s, struct span *out)
{
	*out = (struct span){ s->p, 0 };
	while (s->n > 0 && http_char_is(s->p[0], HTTP_C_TOKEN))
		s->p++, s->n--, out->n++;
	return out->n > 0;
}

static void
ext_value_add(struct ext_param *param, char c)
{
	if (param->value_n < EXT_VALUE_MAX)
		param->value[param->value_n] = c;
	param->value_n++;
}

/* Behind the opening quote; what it stands for must be a token (RFC 6455 9.1). */
static bool
ext_quoted(struct span *s, struct ext_param *param)
{
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] == '\\')
			s->p++, s->n--;
		if (s->n == 0 || !http_char_is(s->p[0], HTTP_C_TOKEN))
			return false;
		ext_value_add(param, s->p[0]);
		s->p++, s->n--;
	}
	if (s->n == 0)
		return false;
	s->p++, s->n--;
	return param->value_n > 0;
}

static bool
ext_value(struct span *s, struct ext_param *param)
{
	struct span token;

	param->has_value = true;
	if (s->n > 0 && s->p[0] == '"') {
		s->p++, s->n--;
		return ext_quoted(s, param);
	}
	if (!ext_token(s, &token))
		return false;
	for (size_t i = 0; i < token.n; i++)
		ext_value_add(param, token.p[i]);
	return true;
}

/* 8 to 15, decimal, without leading zeros (RFC 7692 7.1.2.1); else 0. */
static uint8_t
ext_bits(const struct ext_param *param)
{
	const char *v = param->value;

	if (param->value_n == 1 && (v[0] == '8' || v[0] == '9'))
		return (uint8_t)(v[0] - '0');
	if (param->value_n == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5')
		return (uint8_t)(10 + v[1] - '0');
	return 0;
}

/* Take a flag parameter; false when it is repeated or has a value (RFC 7692 7.1.1). */
static bool
ext_take_flag(const struct ext_param *param, bool *flag)
{
	if (param->has_value || *flag)
		return false;
	*flag = true;
	return true;
}

/* Take a window; false when it is repeated, or its value cannot be (RFC 7692 7.1.2). */
static bool
ext_take_bits(const struct ext_param *param, bool may_be_open, uint8_t *bits)
{
	if (*bits != 0)
		return false;
	if (!param->has_value)
		*bits = may_be_open ? WS_EXT_BITS_OPEN : 0;
	else
		*bits = ext_bits(param);
	return *bits != 0;
}

static bool
ext_take(const struct ext_param *param, enum ws_ext_side side, struct ws_ext *out)
{
	if (span_eq(param->name, SPAN_LIT(EXT_SERVER_ALONE)))
		return ext_take_flag(param, &out->server_no_takeover);
	if (span_eq(param->name, SPAN_LIT(EXT_CLIENT_ALONE)))
		return ext_take_flag(param, &out->client_no_takeover);
	if (span_eq(param->name, SPAN_LIT(EXT_SERVER_BITS)))
		return ext_take_bits(param, false, &out->server_bits);
	if (span_eq(param->name, SPAN_LIT(EXT_CLIENT_BITS)))
		return ext_take_bits(param, side == WS_EXT_OFFER, &out->client_bits);
	return false; /* unknown (RFC 7692 7.1) */
}

enum ws_ext_kind
ws_ext_next(struct span *list, enum ws_ext_side side, struct ws_ext *out, struct span *item)
{
	enum ws_ext_kind kind = WS_EXT_DEFLATE;
	struct span name;

	ext_skip_space(list);
	while (ext_skip(list, ','))
		;
	if (list->n == 0)
		return WS_EXT_END;
	*out = (struct ws_ext){ 0 };
	item->p = list->p;
	if (!ext_token(list, &name))
		return WS_EXT_BAD;
	item->n = name.n;
	if (!span_eq(name, SPAN_LIT(EXT_NAME)))
		kind = WS_EXT_OTHER;
	while (ext_skip(list, ';')) {
		struct ext_param param = { .value_n = 0 };

		if (!ext_token(list, &param.name))
			return WS_EXT_BAD;
		item->n = (size_t)(list->p - item->p);
		if (ext_skip(list, '=')) {
			if (!ext_value(list, &param))
				return WS_EXT_BAD;
			item->n = (size_t)(list->p - item->p);
		}
		if (kind == WS_EXT_DEFLATE && !ext_take(&param, side, out))
			kind = WS_EXT_DECLINED;
	}
	return list->n == 0 || ext_skip(list, ',') ? kind : WS_EXT_BAD;
}

static uint8_t
ext_min(unsigned a, unsigned b)
{
	return (uint8_t)(a < b ? a : b);
}

bool
ws_ext_accept(const struct ws_ext *offer, const struct ws_ext *wanted, struct ws_ext *answer)
{
	unsigned client;

	/* zlib cannot do a raw stream with a window of 256 bytes. */
	if (offer->server_bits == WS_EXT_BITS_MIN || offer->client_bits == WS_EXT_BITS_MIN)
		return false;
	*answer = (struct ws_ext){ 0 };
	/* RFC 7692 7.1.1.1: what is asked for must be granted; a server may also tell it. */
	answer->server_no_takeover = offer->server_no_takeover || wanted->server_no_takeover;
	/* 7.1.1.2: the client's is a hint, which is worth memory. */
	answer->client_no_takeover = offer->client_no_takeover || wanted->client_no_takeover;
	/* 7.1.2.1: as asked for or less; it may be told unasked. */
	if (offer->server_bits != 0)
		answer->server_bits = ext_min(offer->server_bits, wanted->server_bits);
	else if (wanted->server_bits < WS_EXT_BITS_MAX)
		answer->server_bits = wanted->server_bits;
	/* 7.1.2.2: never unasked. */
	client = ext_min(ws_ext_bits(offer->client_bits), wanted->client_bits);
	if (offer->client_bits != 0 && client < WS_EXT_BITS_MAX)
		answer->client_bits = (uint8_t)client;
	return true;
}

enum ws_ext_kind
ws_ext_choose(const struct http_head *head, const struct ws_ext *wanted, struct ws_ext *answer)
{
	bool found = false;
	struct ws_ext offer;

	for (size_t i = 0; i < head->n_fields; i++) {
		struct span list = head->field[i].value, item;
		enum ws_ext_kind kind;

		if (!span_eq_nocase(head->field[i].name, SPAN_LIT("Sec-WebSocket-Extensions")))
			continue;
		while ((kind = ws_ext_next(&list, WS_EXT_OFFER, &offer, &item)) != WS_EXT_END) {
			if (kind == WS_EXT_BAD)
				return WS_EXT_BAD;
			if (kind == WS_EXT_DEFLATE && !found)
				found = ws_ext_accept(&offer, wanted, answer);
		}
	}
	return found ? WS_EXT_DEFLATE : WS_EXT_END;
}

bool
ws_ext_answers(const struct ws_ext *offer, const struct ws_ext *answer)
{
	if (offer->server_no_takeover && !answer->server_no_takeover) /* RFC 7692 7.1.1.1 */
		return false;
	if (offer->server_bits != 0 && /* 7.1.2.1 */
	    (answer->server_bits == 0 || answer->server_bits > offer->server_bits))
		return false;
	if (answer->client_bits == 0)
		return true;
	return offer->client_bits != 0 && /* 7.1.2.2 */
	    answer->client_bits <= ws_ext_bits(offer->client_bits);
}

size_t
ws_ext_write(const struct ws_ext *x, char out[WS_EXT_TEXT])
{
	char server[sizeof(EXT_SERVER_BITS) + 8] = "", client[sizeof(EXT_CLIENT_BITS) + 8] = "";
	int n;

	if (x->server_bits != 0)
		snprintf(server, sizeof(server), "; " EXT_SERVER_BITS "=%u", x->server_bits);
	if (x->client_bits == WS_EXT_BITS_OPEN)
		snprintf(client, sizeof(client), "; " EXT_CLIENT_BITS);
	else if (x->client_bits != 0)
		snprintf(client, sizeof(client), "; " EXT_CLIENT_BITS "=%u", x->client_bits);
	n = snprintf(out, WS_EXT_TEXT, EXT_NAME "%s%s%s%s",
	    x->server_no_takeover ? "; " EXT_SERVER_ALONE : "",
	    x->client_no_takeover ? "; " EXT_CLIENT_ALONE : "", server, client);
	return n < 0 ? 0 : (size_t)n < WS_EXT_TEXT ? (size_t)n : WS_EXT_TEXT - 1;
}
