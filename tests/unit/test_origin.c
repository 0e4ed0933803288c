/* Unit tests of src/policy/origin.c. */
#include "policy/origin.h"

#include "config/origin_value.h"
#include "unit.h"

#define ORIGIN_MAX 8

/* A policy of the space-separated values. */
static void
origin_init(struct config_websocket *ws, const char *values)
{
	const char *why;

	memset(ws, 0, sizeof(*ws));
	ws->allowed_origins = calloc(ORIGIN_MAX, sizeof(*ws->allowed_origins));
	while (*values != '\0') {
		size_t n = strcspn(values, " ");

		ck_assert_uint_lt(ws->n_allowed_origins, ORIGIN_MAX);
		ck_assert_int_eq(config_origin_parse((struct span){ values, n },
				     &ws->allowed_origins[ws->n_allowed_origins++], &why),
		    0);
		values += n;
		values += strspn(values, " ");
	}
}

static void
origin_clear(struct config_websocket *ws)
{
	for (size_t i = 0; i < ws->n_allowed_origins; i++)
		config_origin_clear(&ws->allowed_origins[i]);
	free(ws->allowed_origins);
}

START_TEST(origin_is_compared_as_rfc_6454_says)
{
	static const struct {
		const char *allowed, *origin;
		enum origin_verdict verdict;
	} rows[] = {
		{ "", "https://anything", ORIGIN_OK },
		{ "", "rubbish", ORIGIN_OK },
		{ "*", "https://anything", ORIGIN_OK },
		{ "*", "null", ORIGIN_OK },
		{ "*", "", ORIGIN_OK },
		{ "https://a.example", "https://a.example", ORIGIN_OK },
		{ "https://a.example", "HTTPS://A.Example", ORIGIN_OK },
		{ "https://A.EXAMPLE", "https://a.example", ORIGIN_OK },
		{ "https://a.example", "https://a.example:443", ORIGIN_OK },
		{ "https://a.example:443", "https://a.example", ORIGIN_OK },
		{ "https://a.example", " https://a.example\t", ORIGIN_OK },
		{ "https://a.example", "http://a.example", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "http://a.example:443", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://a.example:444", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://a.example.evil", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://xa.example", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://b.a.example", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://a.example/", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://a.example https://b", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://a.example@b", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "https://a.example.", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "a.example", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "null", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "", ORIGIN_NOT_ALLOWED },
		{ "https://a.example", "*", ORIGIN_NOT_ALLOWED },
		{ "null", "null", ORIGIN_OK },
		{ "null", "https://null", ORIGIN_NOT_ALLOWED },
		{ "null", "nul", ORIGIN_NOT_ALLOWED },
		{ "https://null", "null", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "https://a.example", ORIGIN_OK },
		{ "https://*.example", "https://B.a.Example", ORIGIN_OK },
		{ "https://*.example", "https://example", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "https://.example", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "https://aexample", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "https://a.example.evil", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "http://a.example", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "https://a.example:8443", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "https://*.example", ORIGIN_NOT_ALLOWED },
		{ "https://*.example", "null", ORIGIN_NOT_ALLOWED },
		{ "https://*.example:8443", "https://a.example:8443", ORIGIN_OK },
		{ "http://[::1]:8080", "http://[::1]:8080", ORIGIN_OK },
		{ "http://[0::0:1]", "http://[::1]:80", ORIGIN_OK },
		{ "http://[::1]", "http://[::2]", ORIGIN_NOT_ALLOWED },
		{ "http://127.0.0.1", "http://127.0.0.1", ORIGIN_OK },
		{ "https://xn--bcher-kva.example", "https://XN--bcher-kva.example", ORIGIN_OK },
		{ "app://x", "app://x", ORIGIN_OK },
		{ "app://x", "app://x:1", ORIGIN_NOT_ALLOWED },
		{ "https://a https://b null", "https://b", ORIGIN_OK },
		{ "https://a https://b null", "null", ORIGIN_OK },
		{ "https://a *", "gopher", ORIGIN_OK },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct config_websocket ws;

		origin_init(&ws, rows[i].allowed);
		ck_assert_msg(
		    origin_check(&ws, 1, span_from_str(rows[i].origin), true) == rows[i].verdict,
		    "[%s] with [%s]", rows[i].allowed, rows[i].origin);
		origin_clear(&ws);
	}
}
END_TEST

START_TEST(origin_twice_is_refused)
{
	struct config_websocket ws;

	origin_init(&ws, "*");
	ck_assert_int_eq(origin_check(&ws, 2, SPAN_LIT("https://a"), false), ORIGIN_TWICE);
	origin_clear(&ws);
	origin_init(&ws, "");
	ck_assert_int_eq(origin_check(&ws, 2, SPAN_LIT("https://a"), false), ORIGIN_TWICE);
	origin_clear(&ws);
}
END_TEST

START_TEST(origin_may_be_required)
{
	struct config_websocket ws;

	origin_init(&ws, "https://a");
	ck_assert_int_eq(origin_check(&ws, 0, SPAN_NONE, true), ORIGIN_OK);
	ws.require_origin = CONFIG_ORIGIN_YES;
	ck_assert_int_eq(origin_check(&ws, 0, SPAN_NONE, false), ORIGIN_MISSING);
	ck_assert_int_eq(origin_check(&ws, 1, SPAN_LIT("https://a"), false), ORIGIN_OK);
	ws.require_origin = CONFIG_ORIGIN_WITH_COOKIE;
	ck_assert_int_eq(origin_check(&ws, 0, SPAN_NONE, false), ORIGIN_OK);
	ck_assert_int_eq(origin_check(&ws, 0, SPAN_NONE, true), ORIGIN_MISSING);
	ck_assert_int_eq(origin_check(&ws, 1, SPAN_LIT("https://b"), false), ORIGIN_NOT_ALLOWED);
	origin_clear(&ws);

	/* only where origins are checked at all */
	origin_init(&ws, "");
	ws.require_origin = CONFIG_ORIGIN_YES;
	ck_assert_int_eq(origin_check(&ws, 0, SPAN_NONE, true), ORIGIN_OK);
	origin_clear(&ws);
}
END_TEST

START_TEST(origin_verdicts_have_words)
{
	ck_assert_str_eq(origin_verdict_str(ORIGIN_OK), "origin allowed");
	ck_assert_str_eq(origin_verdict_str(ORIGIN_NOT_ALLOWED), "origin not allowed");
	ck_assert_str_eq(origin_verdict_str(ORIGIN_MISSING), "origin missing");
	ck_assert_str_eq(origin_verdict_str(ORIGIN_TWICE), "two origins");
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		origin_is_compared_as_rfc_6454_says,
		origin_twice_is_refused,
		origin_may_be_required,
		origin_verdicts_have_words,
	};

	return unit_run("origin", cases, UNIT_COUNT(cases));
}
