/* Unit tests of src/base/span.[ch]. */
#include "base/span.h"

#include "unit.h"

/* The items of a list, each followed by '|'. */
static const char *
span_items(const char *list, char *out, size_t size)
{
	struct span rest = span_from_str(list), item;
	size_t n = 0;

	while (span_next_item(&rest, &item)) {
		ck_assert_uint_lt(n + item.n + 1, size);
		memcpy(out + n, item.p, item.n);
		n += item.n;
		out[n++] = '|';
	}
	out[n] = '\0';
	ck_assert_uint_eq(rest.n, 0);
	return out;
}

START_TEST(span_next_item_splits_and_trims)
{
	static const struct {
		const char *list, *items;
	} rows[] = {
		{ "", "" },
		{ " \t ", "" },
		{ ",", "" },
		{ ",,  ,\t,", "" },
		{ "a", "a|" },
		{ "a,", "a|" },
		{ ",a", "a|" },
		{ " a , b\t,, c ", "a|b|c|" },
		{ "a b,c", "a b|c|" },
		{ "x;q=\"1,2\",y", "x;q=\"1,2\"|y|" },
		{ "x;q=\"\\\",\",y", "x;q=\"\\\",\"|y|" },
		{ "x\\,y", "x\\|y|" },
		{ "x=\"a,b", "x=\"a,b|" },
		{ "x=\"a\\", "x=\"a\\|" },
		{ "\"\",b", "\"\"|b|" },
	};
	char out[64];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_str_eq(span_items(rows[i].list, out, sizeof(out)), rows[i].items);
}
END_TEST

START_TEST(span_next_item_takes_an_absent_list)
{
	struct span list = SPAN_NONE, item;

	ck_assert(!span_next_item(&list, &item));
}
END_TEST

START_TEST(span_list_has_compares_whole_tokens_without_case)
{
	struct span list = SPAN_LIT("keep-alive, Upgrade ,x=\"a, close, b\"");

	ck_assert(span_list_has(list, SPAN_LIT("upgrade")));
	ck_assert(span_list_has(list, SPAN_LIT("Keep-Alive")));
	ck_assert(!span_list_has(list, SPAN_LIT("keep")));
	ck_assert(!span_list_has(list, SPAN_LIT("upgrades")));
	ck_assert(!span_list_has(list, SPAN_LIT("close")));
	ck_assert(!span_list_has(SPAN_NONE, SPAN_LIT("close")));
}
END_TEST

START_TEST(span_eq_nocase_folds_ascii_letters_only)
{
	ck_assert(span_eq_nocase(SPAN_LIT("WebSocket"), SPAN_LIT("websocket")));
	ck_assert(!span_eq_nocase(SPAN_LIT("@["), SPAN_LIT("`{")));
	ck_assert(!span_eq_nocase(SPAN_LIT("\xc4"), SPAN_LIT("\xe4")));
	ck_assert(!span_eq_nocase(SPAN_LIT("a"), SPAN_LIT("ab")));
	ck_assert(span_eq_nocase(SPAN_NONE, SPAN_LIT("")));
}
END_TEST

START_TEST(span_eq_compares_lengths_and_bytes)
{
	ck_assert(span_eq(SPAN_NONE, SPAN_LIT("")));
	ck_assert(span_eq(SPAN_LIT("a\0b"), SPAN_LIT("a\0b")));
	ck_assert(!span_eq(SPAN_LIT("a\0b"), SPAN_LIT("a\0c")));
	ck_assert(!span_eq(SPAN_LIT("a"), SPAN_LIT("A")));
	ck_assert(span_eq(span_from_str(NULL), SPAN_NONE));
}
END_TEST

START_TEST(span_trim_cuts_spaces_and_tabs_only)
{
	ck_assert(span_eq(span_trim(SPAN_LIT(" \t a b\t ")), SPAN_LIT("a b")));
	ck_assert(span_eq(span_trim(SPAN_LIT(" \t ")), SPAN_NONE));
	ck_assert(span_eq(span_trim(SPAN_LIT("\na\r")), SPAN_LIT("\na\r")));
	ck_assert(span_eq(span_trim(SPAN_NONE), SPAN_NONE));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		span_next_item_splits_and_trims,
		span_next_item_takes_an_absent_list,
		span_list_has_compares_whole_tokens_without_case,
		span_eq_nocase_folds_ascii_letters_only,
		span_eq_compares_lengths_and_bytes,
		span_trim_cuts_spaces_and_tabs_only,
	};

	return unit_run("span", cases, UNIT_COUNT(cases));
}
