/*
 * Unit tests of src/codec/ws_ext.[ch].
 *
 * What a field value reads as is written as a text, an element each: "o" is
 * another extension, "-" a declined offer, "BAD" the end by bad grammar, and
 * else the parameters that permessage-deflate had: s and c (no context
 * takeover), S10 and C10 (window bits), C? (no value), "d" for none.
 */
#include "codec/ws_ext.h"

#include <stdio.h>
#include <string.h>

#include "codec/http1.h"
#include "unit.h"

#define EXT_LOG 512
#define PD "permessage-deflate"
#define SB "server_max_window_bits"
#define CB "client_max_window_bits"
#define SN "server_no_context_takeover"
#define CN "client_no_context_takeover"

static void
ext_log_one(char *log, const struct ws_ext *x)
{
	size_t n = strlen(log);
	char server[8] = "", client[8] = "";

	if (x->server_bits != 0)
		snprintf(server, sizeof(server), "S%u", x->server_bits);
	if (x->client_bits == WS_EXT_BITS_OPEN)
		snprintf(client, sizeof(client), "C?");
	else if (x->client_bits != 0)
		snprintf(client, sizeof(client), "C%u", x->client_bits);
	snprintf(log + n, EXT_LOG - n, "%s%s%s%s", x->server_no_takeover ? "s" : "",
	    x->client_no_takeover ? "c" : "", server, client);
	if (strlen(log) == n)
		snprintf(log + n, EXT_LOG - n, "d");
}

static const char *
ext_read(const char *value, enum ws_ext_side side)
{
	static char log[EXT_LOG];
	struct span list = span_from_str(value), item = SPAN_NONE;
	enum ws_ext_kind kind;
	struct ws_ext x;

	log[0] = '\0';
	while ((kind = ws_ext_next(&list, side, &x, &item)) != WS_EXT_END) {
		if (log[0] != '\0')
			strcat(log, " ");
		if (kind == WS_EXT_DEFLATE)
			ext_log_one(log, &x);
		else
			strcat(log,
			    kind == WS_EXT_OTHER	  ? "o"
				: kind == WS_EXT_DECLINED ? "-"
							  : "BAD");
		if (kind == WS_EXT_BAD)
			break;
		ck_assert_uint_gt(item.n, 0);
	}
	return log;
}

START_TEST(ws_ext_reads_every_kind_of_offer)
{
	static const struct {
		const char *value, *wanted;
	} rows[] = {
		{ "", "" },
		{ " \t", "" },
		{ ",", "" },
		{ ", ,,", "" },
		{ PD, "d" },
		{ " " PD "\t", "d" },
		{ "," PD ",", "d" }, /* RFC 9110 5.6.1 */
		{ PD ", " PD "," PD, "d d d" },
		{ "x-webkit-deflate-frame, " PD, "o d" },
		{ "foo; " SB "=10; a=\"b\", " PD "; " SN, "o s" },
		/* parameters, RFC 7692 7.1.1 and 7.1.2 */
		{ PD "; " SN, "s" },
		{ PD "; " CN, "c" },
		{ PD "; " CN "; " SN, "sc" },
		{ PD "; " SB "=8", "S8" },
		{ PD "; " SB "=9", "S9" },
		{ PD "; " SB "=10", "S10" },
		{ PD "; " SB "=15", "S15" },
		{ PD "; " CB, "C?" },
		{ PD "; " CB "=8", "C8" },
		{ PD "; " CB "=12", "C12" },
		{ PD ";" SN ";" CN ";" SB "=11;" CB "=14", "scS11C14" },
		{ PD "; " CB "; " SB "=10, " PD "; " CB, "S10C? C?" }, /* RFC 7692 7.1.3 */
		/* white space, RFC 6455 9.1: "including the implied *LWS rule" */
		{ PD " ;\t" SB " = 10 ; " CN " , " PD, "cS10 d" },
		/* quoted values */
		{ PD "; " SB "=\"10\"", "S10" },
		{ PD "; " CB "=\"8\"", "C8" },
		{ PD "; " SB "=\"1\\0\"", "S10" },
		{ PD "; " SB "=\"\\1\\5\" , foo", "S15 o" },
		{ PD "; " SB "=\"10", "BAD" },
		{ PD "; " SB "=\"10\\", "BAD" },
		{ PD "; " SB "=\"10\\\"", "BAD" },
		{ PD "; " SB "=\"\"", "BAD" },
		{ PD "; " SB "=\"1 0\"", "BAD" },
		{ PD "; " SB "=\"10,\"", "BAD" },
		{ PD "; " SB "=\"10\"\"11\"", "BAD" },
		{ PD "; " SB "=\"10\"1", "BAD" },
		{ "foo; a=\"\x80\"", "BAD" },
		{ "foo; a=\"b c\", " PD, "BAD" },
		/* values that are out of range decline their offer only */
		{ PD "; " SB, "-" },
		{ PD "; " SB "=7", "-" },
		{ PD "; " SB "=0", "-" },
		{ PD "; " SB "=16", "-" },
		{ PD "; " SB "=08", "-" },
		{ PD "; " SB "=010", "-" },
		{ PD "; " SB "=100", "-" },
		{ PD "; " SB "=1e", "-" },
		{ PD "; " SB "=-9", "-" },
		{ PD "; " SB "=+9", "-" },
		{ PD "; " SB "=4294967306", "-" },
		{ PD "; " CB "=7", "-" },
		{ PD "; " CB "=16", "-" },
		{ PD "; " CB "=09", "-" },
		{ PD "; " CB "=x", "-" },
		{ PD "; " SN "=1", "-" },
		{ PD "; " SN "=true", "-" },
		{ PD "; " CN "=\"1\"", "-" },
		/* repeated */
		{ PD "; " SN "; " SN, "-" },
		{ PD "; " CN "; " SN "; " CN, "-" },
		{ PD "; " SB "=10; " SB "=10", "-" },
		{ PD "; " CB "; " CB, "-" },
		{ PD "; " CB "; " CB "=10", "-" },
		/* unknown */
		{ PD "; foo", "-" },
		{ PD "; " SN "; foo=bar, " PD "; " CN, "- c" },
		{ PD "; SERVER_NO_CONTEXT_TAKEOVER", "-" },
		{ "Permessage-Deflate", "o" },
		{ PD "s", "o" },
		/* grammar, RFC 6455 9.1 */
		{ ";", "BAD" },
		{ PD ";", "BAD" },
		{ PD "; , " PD, "BAD" },
		{ PD ";; " SN, "BAD" },
		{ PD "; " SB "=", "BAD" },
		{ PD "; " SB "=, " PD, "BAD" },
		{ PD "; =10", "BAD" },
		{ PD " " PD, "BAD" },
		{ PD "; " SN " " CN, "BAD" },
		{ PD "=10", "BAD" },
		{ "\"" PD "\"", "BAD" },
		{ "(" PD ")", "BAD" },
		{ PD "; " SB "=10=11", "BAD" },
		{ PD ", @", "d BAD" },
		{ PD "; foo; ;", "BAD" }, /* declined, but read to its end */
		{ "foo; a b", "BAD" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_msg(strcmp(ext_read(rows[i].value, WS_EXT_OFFER), rows[i].wanted) == 0,
		    "%s: %s", rows[i].value, ext_read(rows[i].value, WS_EXT_OFFER));
}
END_TEST

START_TEST(ws_ext_reads_answers_in_which_every_window_has_a_value)
{
	ck_assert_str_eq(ext_read(PD "; " CB, WS_EXT_ANSWER), "-");
	ck_assert_str_eq(ext_read(PD "; " CB "=9; " SB "=15; " SN, WS_EXT_ANSWER), "sS15C9");
	ck_assert_str_eq(ext_read(PD "; " SB, WS_EXT_ANSWER), "-");
}
END_TEST

START_TEST(ws_ext_hands_out_the_text_of_each_element)
{
	struct span list = SPAN_LIT(" , " PD " ; " SB "\t= \"10\"\t, foo;a=b , " PD ";" CN " "),
		    item;
	struct ws_ext x;

	ck_assert_int_eq(ws_ext_next(&list, WS_EXT_OFFER, &x, &item), WS_EXT_DEFLATE);
	ck_assert(span_eq(item, SPAN_LIT(PD " ; " SB "\t= \"10\"")));
	ck_assert_int_eq(ws_ext_next(&list, WS_EXT_OFFER, &x, &item), WS_EXT_OTHER);
	ck_assert(span_eq(item, SPAN_LIT("foo;a=b")));
	ck_assert_int_eq(ws_ext_next(&list, WS_EXT_OFFER, &x, &item), WS_EXT_DEFLATE);
	ck_assert(span_eq(item, SPAN_LIT(PD ";" CN)));
	ck_assert_int_eq(ws_ext_next(&list, WS_EXT_OFFER, &x, &item), WS_EXT_END);
}
END_TEST

START_TEST(ws_ext_reads_nothing_behind_any_end)
{
	static const char whole[] = PD "; " SB "=\"1\\0\"; " CN ", foo; a=b, " PD "; " CB;

	for (size_t n = 0; n <= sizeof(whole) - 1; n++) {
		char *cut = malloc(n != 0 ? n : 1);
		struct span list = { cut, n }, item;
		enum ws_ext_kind kind;
		struct ws_ext x;

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, whole, n);
		do {
			kind = ws_ext_next(&list, WS_EXT_OFFER, &x, &item);
		} while (kind != WS_EXT_END && kind != WS_EXT_BAD);
		free(cut);
	}
}
END_TEST

/* Offers, what the gateway wants, and what it says. */
START_TEST(ws_ext_answers_the_first_offer_that_it_can)
{
	static const struct ws_ext all = { .server_bits = 15, .client_bits = 15 };
	static const struct ws_ext ten = { .server_bits = 10, .client_bits = 10 };
	static const struct ws_ext alone = { 15, 15, true, true };
	static const struct {
		const struct ws_ext *wanted;
		const char *value;
		const char *answer; /* NULL: none; "BAD" */
	} rows[] = {
		{ &all, "", NULL },
		{ &all, PD, PD },
		{ &all, PD "; " SN, PD "; " SN },
		{ &all, PD "; " CN, PD "; " CN },
		{ &all, PD "; " SB "=15", PD "; " SB "=15" },
		{ &all, PD "; " SB "=9", PD "; " SB "=9" },
		{ &all, PD "; " SB "=8", NULL },
		{ &all, PD "; " CB, PD },
		{ &all, PD "; " CB "=15", PD },
		{ &all, PD "; " CB "=9", PD "; " CB "=9" },
		{ &all, PD "; " CB "=8", NULL },
		{ &all, PD "; " SB, NULL },
		{ &all, PD "; foo, " PD "; " SB "=8, " PD "; " CN ", " PD, PD "; " CN },
		{ &all, "foo, bar; a=1", NULL },
		{ &all, PD "; " SB "=10, " PD, PD "; " SB "=10" },
		{ &all, PD ", @", "BAD" },	/* also behind the offer that would do */
		{ &ten, PD, PD "; " SB "=10" }, /* the client's cannot be told unasked */
		{ &ten, PD "; " SB "=15; " CB, PD "; " SB "=10; " CB "=10" },
		{ &ten, PD "; " SB "=9; " CB "=12", PD "; " SB "=9; " CB "=10" },
		{ &ten, PD "; " CB "=9", PD "; " SB "=10; " CB "=9" },
		{ &alone, PD, PD "; " SN "; " CN },
		{ &alone, PD "; " SN "; " CN "; " CB, PD "; " SN "; " CN },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct http_head head = { .n_fields = 3 };
		char text[WS_EXT_TEXT] = "";
		struct ws_ext answer;
		enum ws_ext_kind kind;

		head.field[0].name = SPAN_LIT("Host");
		head.field[0].value = SPAN_LIT(PD);
		head.field[1].name = SPAN_LIT("sec-websocket-Extensions");
		head.field[1].value = SPAN_LIT("x-other");
		head.field[2].name = SPAN_LIT("Sec-WebSocket-Extensions");
		head.field[2].value = span_from_str(rows[i].value);
		kind = ws_ext_choose(&head, rows[i].wanted, &answer);
		if (kind == WS_EXT_DEFLATE)
			ck_assert_uint_eq(ws_ext_write(&answer, text), strlen(text));
		else if (kind == WS_EXT_BAD)
			strcpy(text, "BAD");
		ck_assert_msg(strcmp(text, rows[i].answer != NULL ? rows[i].answer : "") == 0,
		    "%s: %s", rows[i].value, text);
	}
}
END_TEST

START_TEST(ws_ext_takes_the_first_of_several_fields)
{
	static const struct ws_ext all = { .server_bits = 15, .client_bits = 15 };
	struct http_head head = { .n_fields = 3 };
	struct ws_ext answer;

	for (size_t i = 0; i < 3; i++)
		head.field[i].name = SPAN_LIT("Sec-WebSocket-Extensions");
	head.field[0].value = SPAN_LIT(PD "; foo");
	head.field[1].value = SPAN_LIT(PD "; " SB "=11, " PD "; " SB "=12");
	head.field[2].value = SPAN_LIT(PD "; " SB "=13");
	ck_assert_int_eq(ws_ext_choose(&head, &all, &answer), WS_EXT_DEFLATE);
	ck_assert_uint_eq(answer.server_bits, 11);
	head.field[2].value = SPAN_LIT(PD ";");
	ck_assert_int_eq(ws_ext_choose(&head, &all, &answer), WS_EXT_BAD);
}
END_TEST

START_TEST(ws_ext_judges_answers_by_their_offer)
{
	static const struct {
		const char *offer, *answer;
		bool good;
	} rows[] = {
		{ PD, PD, true },
		{ PD, PD "; " SN "; " CN, true }, /* both may be told unasked */
		{ PD, PD "; " SB "=8", true },
		{ PD, PD "; " CB "=15", false },
		{ PD "; " SN, PD, false },
		{ PD "; " SN, PD "; " SN, true },
		{ PD "; " CN, PD, true }, /* a hint */
		{ PD "; " SB "=10", PD, false },
		{ PD "; " SB "=10", PD "; " SB "=11", false },
		{ PD "; " SB "=10", PD "; " SB "=10", true },
		{ PD "; " SB "=10", PD "; " SB "=9", true },
		{ PD "; " CB, PD, true },
		{ PD "; " CB, PD "; " CB "=15", true },
		{ PD "; " CB, PD "; " CB "=8", true },
		{ PD "; " CB "=10", PD, true },
		{ PD "; " CB "=10", PD "; " CB "=10", true },
		{ PD "; " CB "=10", PD "; " CB "=11", false },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct span offer = span_from_str(rows[i].offer), item;
		struct span answer = span_from_str(rows[i].answer);
		struct ws_ext x, y;

		ck_assert_int_eq(ws_ext_next(&offer, WS_EXT_OFFER, &x, &item), WS_EXT_DEFLATE);
		ck_assert_int_eq(ws_ext_next(&answer, WS_EXT_ANSWER, &y, &item), WS_EXT_DEFLATE);
		ck_assert_msg(ws_ext_answers(&x, &y) == rows[i].good, "%s / %s", rows[i].offer,
		    rows[i].answer);
	}
}
END_TEST

START_TEST(ws_ext_writes_what_it_reads_and_answers_are_always_allowed)
{
	static const uint8_t bits[] = { 0, 8, 9, 12, 15, WS_EXT_BITS_OPEN };
	struct ws_ext x, y, answer, wanted;
	char text[WS_EXT_TEXT];
	struct span list, item;

	for (unsigned i = 0; i < 4 * 5 * 6; i++) {
		x = (struct ws_ext){ bits[i / 4 % 5], bits[i / 20], i & 1, i & 2 };
		list = (struct span){ text, ws_ext_write(&x, text) };
		ck_assert_int_eq(ws_ext_next(&list, WS_EXT_OFFER, &y, &item), WS_EXT_DEFLATE);
		ck_assert_uint_eq(item.n, strlen(text));
		ck_assert(x.server_bits == y.server_bits && x.client_bits == y.client_bits &&
		    x.server_no_takeover == y.server_no_takeover &&
		    x.client_no_takeover == y.client_no_takeover);
		for (unsigned j = 0; j < 4 * 7 * 7; j++) {
			wanted = (struct ws_ext){ (uint8_t)(9 + j / 4 % 7), (uint8_t)(9 + j / 28),
				j & 1, j & 2 };
			if (!ws_ext_accept(&x, &wanted, &answer))
				continue;
			ck_assert(ws_ext_answers(&x, &answer));
			ck_assert_uint_le(ws_ext_bits(answer.server_bits), wanted.server_bits);
			ck_assert(x.client_bits == 0 ||
			    ws_ext_bits(answer.client_bits) <= wanted.client_bits);
		}
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_ext_reads_every_kind_of_offer,
		ws_ext_reads_answers_in_which_every_window_has_a_value,
		ws_ext_hands_out_the_text_of_each_element,
		ws_ext_reads_nothing_behind_any_end,
		ws_ext_answers_the_first_offer_that_it_can,
		ws_ext_takes_the_first_of_several_fields,
		ws_ext_judges_answers_by_their_offer,
		ws_ext_writes_what_it_reads_and_answers_are_always_allowed,
	};

	return unit_run("ws_ext", cases, UNIT_COUNT(cases));
}
