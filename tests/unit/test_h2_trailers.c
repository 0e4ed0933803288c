/* Unit tests of src/http/h2_trailers.c. */
#include <string.h>

#include "base/mem.h"
#include "http/h2_trailers.h"
#include "unit.h"

/* Only told apart, never looked into. */
static const struct h2_stream *
stream_of(int *n)
{
	return (const struct h2_stream *)(const void *)n;
}

START_TEST(h2_trailers_are_kept_for_each_stream_and_way)
{
	struct http_field v[HTTP1_MAX_TRAILERS];
	struct h2_trailers *list = NULL, *tr;
	int s[2] = { 0, 0 };

	for (int i = 0; i < 2; i++)
		for (int way = H2_TRAILERS_IN; way <= H2_TRAILERS_OUT; way++) {
			char value[] = { (char)('0' + i), (char)('0' + way) };

			ck_assert_int_eq(h2_trailers_begin(&list, stream_of(&s[i]), way), 0);
			ck_assert_int_eq(h2_trailers_add(list, stream_of(&s[i]), way, SPAN_LIT("x"),
					     (struct span){ value, 2 }),
			    0);
			ck_assert_int_eq(h2_trailers_add(list, stream_of(&s[i]), way,
					     SPAN_LIT("empty"), SPAN_NONE),
			    0);
		}
	ck_assert_int_eq(h2_trailers_begin(&list, stream_of(&s[0]), H2_TRAILERS_IN), -1);
	tr = h2_trailers_take(&list, stream_of(&s[1]), H2_TRAILERS_IN);
	ck_assert_uint_eq(h2_trailers_fields(tr, v), 2);
	ck_assert(span_eq(v[0].name, SPAN_LIT("x")) && span_eq(v[0].value, SPAN_LIT("10")));
	ck_assert(span_eq(v[1].name, SPAN_LIT("empty")) && v[1].value.n == 0);
	h2_trailers_free(tr);
	ck_assert_ptr_null(h2_trailers_take(&list, stream_of(&s[1]), H2_TRAILERS_IN));
	h2_trailers_drop(&list, stream_of(&s[0]));
	ck_assert_ptr_null(h2_trailers_take(&list, stream_of(&s[0]), H2_TRAILERS_OUT));
	h2_trailers_drop(&list, stream_of(&s[1]));
	ck_assert_ptr_null(list);
}
END_TEST

START_TEST(h2_trailers_drop_what_may_not_stand_there)
{
	struct http_field v[HTTP1_MAX_TRAILERS];
	struct h2_trailers *list = NULL, *tr;
	int s = 0;

	ck_assert_int_eq(
	    h2_trailers_add(list, stream_of(&s), H2_TRAILERS_IN, SPAN_LIT("x"), SPAN_NONE), -1);
	ck_assert_int_eq(h2_trailers_begin(&list, stream_of(&s), H2_TRAILERS_IN), 0);
	for (size_t i = 0; i < HTTP1_MAX_TRAILERS; i++)
		ck_assert_int_eq(
		    h2_trailers_add(list, stream_of(&s), H2_TRAILERS_IN,
			i == 3 ? SPAN_LIT("x") : SPAN_LIT("content-length"), SPAN_LIT("5")),
		    0);
	ck_assert_int_eq(
	    h2_trailers_add(list, stream_of(&s), H2_TRAILERS_IN, SPAN_LIT("x"), SPAN_NONE), -1);
	tr = h2_trailers_take(&list, stream_of(&s), H2_TRAILERS_IN);
	ck_assert_uint_eq(h2_trailers_fields(tr, v), 1);
	h2_trailers_free(tr);
}
END_TEST

START_TEST(h2_trailers_bound_their_bytes)
{
	static char text[HTTP1_MAX_TRAILER_BYTES];
	struct h2_trailers *list = NULL;
	int s = 0;

	memset(text, 'x', sizeof(text));
	for (size_t more = 0; more < 2; more++) {
		ck_assert_int_eq(h2_trailers_begin(&list, stream_of(&s), H2_TRAILERS_IN), 0);
		ck_assert_int_eq(h2_trailers_add(list, stream_of(&s), H2_TRAILERS_IN, SPAN_LIT("a"),
				     (struct span){ text, sizeof(text) - 5 + more }),
		    more == 0 ? 0 : -1);
		h2_trailers_drop(&list, stream_of(&s));
	}
}
END_TEST

START_TEST(h2_trailers_without_memory)
{
	struct h2_trailers *list = NULL;
	int s = 0;

	for (uint64_t n = 1;; n++) {
		mem_fail_nth(n);
		if (h2_trailers_begin(&list, stream_of(&s), H2_TRAILERS_IN) == 0)
			(void)h2_trailers_add(
			    list, stream_of(&s), H2_TRAILERS_IN, SPAN_LIT("x"), SPAN_LIT("y"));
		h2_trailers_drop(&list, stream_of(&s));
		ck_assert_ptr_null(list);
		if (mem_fail_pending())
			break;
	}
	mem_fail_nth(0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_trailers_are_kept_for_each_stream_and_way,
		h2_trailers_drop_what_may_not_stand_there,
		h2_trailers_bound_their_bytes,
		h2_trailers_without_memory,
	};

	return unit_run("h2_trailers", cases, UNIT_COUNT(cases));
}
