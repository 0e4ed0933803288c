/* Unit tests of src/tools/wsrelayctl_table.c. */
#include "tools/wsrelayctl_table.h"
#include "unit.h"

static struct buf b;

static const char *
text(void)
{
	ck_assert_int_eq(buf_append_char(&b, '\0'), 0);
	b.n--;
	return b.p;
}

START_TEST(table_splits)
{
	struct span all = SPAN_LIT("a\tb\t\nc\n\nd"), line, cell;

	ck_assert(ctl_next_line(&all, &line) && line.n == 4);
	ck_assert(ctl_next_cell(&line, &cell) && span_eq(cell, SPAN_LIT("a")));
	ck_assert(ctl_next_cell(&line, &cell) && span_eq(cell, SPAN_LIT("b")));
	ck_assert(ctl_next_cell(&line, &cell) && cell.n == 0);
	ck_assert(!ctl_next_cell(&line, &cell));
	ck_assert(ctl_next_line(&all, &line) && span_eq(line, SPAN_LIT("c")));
	ck_assert(ctl_next_line(&all, &line) && line.n == 0);
	ck_assert(ctl_next_line(&all, &line) && span_eq(line, SPAN_LIT("d")));
	ck_assert(!ctl_next_line(&all, &line));
}
END_TEST

START_TEST(table_numbers_for_people)
{
	static const struct {
		enum ctl_form form;
		uint64_t n;
		const char *shown;
	} rows[] = {
		{ CTL_COUNT, 0, "0" },
		{ CTL_COUNT, 9999, "9999" },
		{ CTL_COUNT, 12345, "12.3k" },
		{ CTL_COUNT, 999949, "1000k" },
		{ CTL_COUNT, 999999, "1.0M" },
		{ CTL_COUNT, 4500000, "4.5M" },
		{ CTL_COUNT, UINT64_MAX, "18.4E" },
		{ CTL_BYTES, 10239, "10239" },
		{ CTL_BYTES, 10240, "10.0K" },
		{ CTL_BYTES, 1048576, "1.0M" },
		{ CTL_BYTES, 123456789, "118M" },
		{ CTL_BYTES, UINT64_MAX, "16.0E" },
		{ CTL_AGE, 0, "0.0s" },
		{ CTL_AGE, 9999, "9.9s" },
		{ CTL_AGE, 59999, "59s" },
		{ CTL_AGE, 310000, "5m10s" },
		{ CTL_AGE, 10920000, "3h02m" },
		{ CTL_AGE, 363600000, "4d05h" },
		{ CTL_TEXT, 12345, "12345" },
	};

	buf_init(&b, 100);
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		b.n = 0;
		ck_assert_int_eq(ctl_put_number(&b, rows[i].form, rows[i].n), 0);
		ck_assert_str_eq(text(), rows[i].shown);
	}
	buf_clear(&b);
}
END_TEST

static const struct ctl_column columns[] = {
	{ "id", "ID", CTL_TEXT },
	{ "n", "COUNT", CTL_COUNT },
	{ "route", "ROUTE", CTL_TEXT },
};

START_TEST(table_is_aligned)
{
	buf_init(&b, 10000);
	ck_assert_int_eq(
	    ctl_put_table(&b,
		SPAN_LIT(
		    "id\tother\troute\tn\n17.5\tx\tchat\t3\n2\tx\ta\x1b[2Jb\t1234567\n3\tx\t-\t-\n"),
		columns, 3),
	    0);
	ck_assert_str_eq(text(),
	    "ID    COUNT  ROUTE\n"
	    "17.5      3  chat\n"
	    "2      1.2M  a\\x1b[2Jb\n"
	    "3         -  -\n");
	buf_clear(&b);
}
END_TEST

START_TEST(table_refuses_what_is_none)
{
	static const struct span rows[] = { SPAN_LIT(""), SPAN_LIT("id\tn\n"), SPAN_LIT("hello\n"),
		SPAN_LIT("id\tn\troute\n1\t2\n") };

	buf_init(&b, 10000);
	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_int_eq(ctl_put_table(&b, rows[i], columns, 3), -1);
	buf_clear(&b);
	/* and says when the result does not fit */
	for (size_t max = 0; max < 40; max++) {
		buf_init(&b, max);
		ck_assert_int_eq(
		    ctl_put_table(
			&b, SPAN_LIT("id\tn\troute\n17\t2\tlonger-than-this\n"), columns, 3),
		    -1);
		buf_clear(&b);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		table_splits,
		table_numbers_for_people,
		table_is_aligned,
		table_refuses_what_is_none,
	};

	return unit_run("wsrelayctl_table", cases, UNIT_COUNT(cases));
}
