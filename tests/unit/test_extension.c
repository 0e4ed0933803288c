/* Unit tests of src/gateway/extension.c: what a route and the memory make of offers and answers. */
#include "gateway/extension.h"
#include "unit_ws.h"

#define PD "permessage-deflate"
#define FIELD "Sec-WebSocket-Extensions"

static struct http_head
head_of(const char *name, const char *value)
{
	struct http_head h = { .n_fields = 1 };

	h.field[0].name = span_from_str(name);
	h.field[0].value = span_from_str(value);
	return h;
}

/* What is answered to an offer on the route of `uw`; NULL: nothing. */
static const char *
answer_to(const char *offer)
{
	static char text[WS_EXT_TEXT];
	struct http_head h = head_of(FIELD, offer);
	struct session ss = { .gw = uw.gw, .s = &uw.client.s, .route = &uw.uc.c->route[0] };
	struct ws_ext x;

	if (!extension_answer(&ss, &h, &x))
		return NULL;
	ws_ext_write(&x, text);
	return text;
}

START_TEST(extension_answers_by_the_route)
{
	static const struct {
		const char *route, *answer;
	} rows[] = {
		{ "MaxAge=0", NULL },
		{ "Compression=off", NULL },
		{ "Compression=edge", PD },
		{ "Compression=edge\nServerContextTakeover=no", PD "; server_no_context_takeover" },
		{ "Compression=edge\nClientContextTakeover=no", PD "; client_no_context_takeover" },
		{ "Compression=edge\nServerMaxWindowBits=9", PD "; server_max_window_bits=9" },
		{ "Compression=edge\nClientMaxWindowBits=14", PD "; client_max_window_bits=14" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		uw_setup_echo(rows[i].route);
		uw_open(); /* for the stream's info */
		if (rows[i].answer == NULL)
			ck_assert_ptr_null(answer_to(PD "; client_max_window_bits"));
		else
			ck_assert_str_eq(answer_to(PD "; client_max_window_bits"), rows[i].answer);
		ck_assert_ptr_null(answer_to("foo"));
		uw_drop();
		uw_clear();
	}
	uw_setup("Compression=passthrough", "");
	uw_open();
	ck_assert_ptr_null(answer_to(PD));
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(extension_answers_less_when_there_is_little_memory)
{
	const uint64_t max = 256 << 20;

	uw_setup_echo("Compression=edge");
	uw_open();
	uw.deflate_memory.bytes = max - 1;
	ck_assert_str_eq(answer_to(PD), PD);
	uw.deflate_memory.bytes = max;
	ck_assert_str_eq(
	    answer_to(PD), PD "; server_no_context_takeover; client_no_context_takeover");
	uw.deflate_memory.bytes = 2 * max - 1;
	ck_assert_ptr_nonnull(answer_to(PD));
	uw.deflate_memory.bytes = 2 * max;
	ck_assert_ptr_null(answer_to(PD));
	uw.deflate_memory.bytes = 0;
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(extension_judges_the_grammar_where_the_route_looks)
{
	struct http_head bad = head_of(FIELD, PD "; ;"), good = head_of(FIELD, "foo, " PD "; bar");

	uw_setup_echo("Compression=edge");
	ck_assert(!extension_offers_good(&bad, &uw.uc.c->route[0]));
	ck_assert(extension_offers_good(&good, &uw.uc.c->route[0]));
	uw_clear();
	uw_setup_echo("Compression=off");
	ck_assert(extension_offers_good(&bad, &uw.uc.c->route[0]));
	uw_clear();
}
END_TEST

START_TEST(extension_judges_what_a_backend_answers)
{
	static const struct {
		const char *offered, *answer;
		bool good, any;
	} rows[] = {
		{ PD, PD, true, true },
		{ PD, "", true, false },
		{ "", PD, false, false },
		{ PD, "foo", false, false },
		{ PD, PD ", " PD, false, false },
		{ PD, PD ";", false, false },
		{ PD, PD "; client_max_window_bits=9", false, false },
		{ PD ", " PD "; client_max_window_bits", PD "; client_max_window_bits=9", true,
		    true },
		{ PD "; server_no_context_takeover, " PD "; server_max_window_bits=9",
		    PD "; server_max_window_bits=9", true, true },
		{ PD "; server_no_context_takeover, " PD "; server_max_window_bits=9", PD, false,
		    false },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct http_head h = head_of(FIELD, rows[i].answer);
		struct ws_ext x;
		bool any;
		const char *why = extension_judge(span_from_str(rows[i].offered), &h, &x, &any);

		ck_assert_msg((why == NULL) == rows[i].good, "row %zu: %s", i, why);
		ck_assert(why != NULL || any == rows[i].any);
	}
}
END_TEST

START_TEST(extension_is_declined_by_off_only)
{
	static const char *const values[] = { "off", "Off", "on", "", "off, off" };

	for (size_t i = 0; i < UNIT_COUNT(values); i++) {
		struct http_head h = head_of("wsrelayd-compression", values[i]);

		ck_assert_int_eq(extension_declined(&h), i < 2);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		extension_answers_by_the_route,
		extension_answers_less_when_there_is_little_memory,
		extension_judges_the_grammar_where_the_route_looks,
		extension_judges_what_a_backend_answers,
		extension_is_declined_by_off_only,
	};

	return unit_run("extension", cases, UNIT_COUNT(cases));
}
