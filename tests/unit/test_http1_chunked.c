/* Unit tests of src/codec/http1_chunked.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/http1.h"
#include "unit.h"

struct chunked_run {
	char payload[512];
	size_t n;
	char trailers[8192];
	size_t trailers_n;
	size_t taken; /* bytes of the input up to the end */
	enum http1_chunk result;
};

/* Feed p[0..n) from a block of just its size. */
static void
chunked_feed(struct http1_chunked *c, const char *p, size_t n, struct chunked_run *run)
{
	char *copy = malloc(n != 0 ? n : 1);
	size_t at = 0, used;
	struct span data;

	if (copy == NULL)
		ck_abort();
	memcpy(copy, p, n);
	do {
		run->result = http1_chunked_feed(c, copy + at, n - at, &used, &data);
		if (used > n - at || (run->result == HTTP1_CHUNK_MORE && used != n - at))
			ck_abort_msg("used %zu of %zu", used, n - at);
		at += used;
		if (run->result == HTTP1_CHUNK_DATA) {
			if (data.n == 0 || data.p < copy || data.p + data.n != copy + at ||
			    run->n + data.n > sizeof(run->payload))
				ck_abort_msg("bad run of data");
			memcpy(run->payload + run->n, data.p, data.n);
			run->n += data.n;
		}
		if (run->result == HTTP1_CHUNK_TRAILER) {
			if (data.n == 0 || data.p < copy || data.p + data.n != copy + at ||
			    run->trailers_n + data.n > sizeof(run->trailers))
				ck_abort_msg("bad run of trailers");
			memcpy(run->trailers + run->trailers_n, data.p, data.n);
			run->trailers_n += data.n;
		}
	} while (run->result == HTTP1_CHUNK_DATA || run->result == HTTP1_CHUNK_TRAILER);
	run->taken += at;
	free(copy);
}

/* Feed p[0..n) cut at a and b. */
static void
chunked_run(const char *p, size_t n, size_t a, size_t b, struct chunked_run *run)
{
	const size_t cuts[] = { 0, a, b, n };
	struct http1_chunked c;

	memset(run, 0, sizeof(*run));
	http1_chunked_init(&c);
	for (int i = 0; i < 3; i++) {
		chunked_feed(&c, p + cuts[i], cuts[i + 1] - cuts[i], run);
		if (run->result == HTTP1_CHUNK_END || run->result == HTTP1_CHUNK_BAD)
			return;
	}
}

static void
chunked_check(const char *p, size_t n, enum http1_chunk result, const char *payload, size_t rest)
{
	struct chunked_run run;
	struct http1_chunked c;

	for (size_t a = 0; a <= n; a++)
		for (size_t b = a; b <= n; b += n > 100 ? 97 : 1) {
			chunked_run(p, n, a, b, &run);
			if (run.result != result || run.n != strlen(payload) ||
			    memcmp(run.payload, payload, run.n) != 0)
				ck_abort_msg(
				    "%.100s, cut at %zu, %zu: %d", p, a, b, (int)run.result);
			if (result == HTTP1_CHUNK_END && run.taken != n - rest)
				ck_abort_msg("%.100s: took %zu", p, run.taken);
		}
	memset(&run, 0, sizeof(run));
	http1_chunked_init(&c);
	for (size_t i = 0; i < n && run.result != HTTP1_CHUNK_END && run.result != HTTP1_CHUNK_BAD;
	     i++)
		chunked_feed(&c, p + i, 1, &run);
	ck_assert_int_eq(run.result, result);
	ck_assert_uint_eq(run.n, strlen(payload));
}

START_TEST(http1_chunked_gives_the_payload_and_leaves_the_next_message)
{
	static const struct {
		const char *in, *payload;
		size_t rest;
	} rows[] = {
		{ "0\r\n\r\n", "", 0 },
		{ "5\r\nhello\r\n0\r\n\r\n", "hello", 0 },
		{ "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", 5 },
		{ "A\r\n0123456789\r\nb\r\n0123456789a\r\n00\r\n\r\n", "01234567890123456789a", 0 },
		{ "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", 0 },
		{ "2\r\n\r\n\r\n0\r\n\r\n\r\n", "\r\n", 2 }, /* payload that looks like framing */
		{ "3\r\n0\r\n\r\n0\r\n\r\n", "0\r\n", 0 },
		/* extensions (RFC 9112 7.1.1) */
		{ "1;a\r\nx\r\n0;b=c\r\n\r\n", "x", 0 },
		{ "1 ; a = \"b;\\\"c\" ; d\r\nx\r\n0\t;\r\n\r\n", "x", 0 },
		{ "1;\r\nx\r\n0\r\n\r\n", "x", 0 },
		/* trailers (RFC 9112 7.1.2) */
		{ "1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nZ", "x", 1 },
		{ "0\r\nX-Sum:\t \x80\xff\r\n\r\n", "", 0 },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		chunked_check(
		    rows[i].in, strlen(rows[i].in), HTTP1_CHUNK_END, rows[i].payload, rows[i].rest);
}
END_TEST

START_TEST(http1_chunked_refuses_bad_framing)
{
	static const struct {
		const char *in, *payload;
	} rows[] = {
		{ "\r\n", "" },
		{ "\r\n5\r\n", "" },
		{ "g\r\n", "" },
		{ " 5\r\n", "" },
		{ "\t5\r\n", "" },
		{ "+5\r\n", "" },
		{ "-5\r\n", "" },
		{ "0x5\r\n", "" },
		{ "5h\r\n", "" },
		{ "5_0\r\n", "" },
		{ "5 5\r\n", "" },
		{ "5 \r\nhello\r\n", "" }, /* white space only before a ';' */
		{ "5\nhello\r\n", "" },	   /* bare LF */
		{ "5\rhello\r\n", "" },
		{ "5\r\r\nhello\r\n", "" },
		{ "5\r\nhello0\r\n\r\n", "hello" }, /* no CRLF behind the payload */
		{ "5\r\nhello\n0\r\n\r\n", "hello" },
		{ "5\r\nhello\r0\r\n\r\n", "hello" },
		{ "5\r\nhello \r\n0\r\n\r\n", "hello" },
		{ ";a\r\n", "" },
		{ "5;a\nhello\r\n", "" }, /* extension that ends in a bare LF */
		{ "5;a\rb\r\n", "" },
		{ "5;a\x01\r\n", "" },
		{ "5;a\x7f\r\n", "" },
		{ "5 a\r\n", "" },
		/* 2^63 and what does not fit into 64 bits */
		{ "8000000000000000\r\n", "" },
		{ "ffffffffffffffff\r\n", "" },
		{ "10000000000000000\r\n", "" },
		{ "10000000000000005\r\nhello\r\n", "" },
		{ "00000000000000005\r\nhello\r\n", "" },
		/* trailers */
		{ "0\r\nA b: c\r\n\r\n", "" },
		{ "0\r\nA : c\r\n\r\n", "" },
		{ "0\r\n: c\r\n\r\n", "" },
		{ "0\r\n A: c\r\n\r\n", "" },
		{ "0\r\nA: c\r\n d\r\n\r\n", "" }, /* obs-fold */
		{ "0\r\nA\r\n\r\n", "" },
		{ "0\r\nA: b\n\r\n", "" },
		{ "0\r\nA: b\rc\r\n\r\n", "" },
		{ "0\r\nA: \x02\r\n\r\n", "" },
		{ "0\r\n\rx", "" },
		{ "0\r\n\n", "" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		chunked_check(rows[i].in, strlen(rows[i].in), HTTP1_CHUNK_BAD, rows[i].payload, 0);
	chunked_check("5\0\r\n", 4, HTTP1_CHUNK_BAD, "", 0);
	chunked_check("5;a\0b\r\n", 7, HTTP1_CHUNK_BAD, "", 0);
	chunked_check("0\r\nA: \0\r\n\r\n", 10, HTTP1_CHUNK_BAD, "", 0);
}
END_TEST

START_TEST(http1_chunked_asks_for_more_until_the_end)
{
	static const char whole[] = "5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n";
	struct chunked_run run;

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		chunked_run(whole, n, 0, 0, &run);
		ck_assert_int_eq(run.result, HTTP1_CHUNK_MORE);
	}
	chunked_run(whole, sizeof(whole) - 1, 0, 0, &run);
	ck_assert_int_eq(run.result, HTTP1_CHUNK_END);
}
END_TEST

START_TEST(http1_chunked_takes_the_greatest_size)
{
	struct http1_chunked c;
	struct span data;
	size_t used;

	http1_chunked_init(&c);
	ck_assert_int_eq(
	    http1_chunked_feed(&c, "7fffffffffffffff\r\nabc", 21, &used, &data), HTTP1_CHUNK_DATA);
	ck_assert_uint_eq(used, 21);
	ck_assert_uint_eq(data.n, 3);
	ck_assert(c.left == (uint64_t)INT64_MAX - 3);
}
END_TEST

/* "5;", n times 'x', and so on: what an extension may be, for each chunk anew. */
START_TEST(http1_chunked_bounds_extensions_for_each_chunk)
{
	for (size_t n = 4095; n <= 4097; n++) {
		struct chunked_run run;
		struct http1_chunked c;
		char ext[4100];

		memset(&run, 0, sizeof(run));
		memset(ext, 'x', sizeof(ext));
		http1_chunked_init(&c);
		for (int chunk = 0; chunk < 3 && run.result != HTTP1_CHUNK_BAD; chunk++) {
			chunked_feed(&c, "1;", 2, &run);
			chunked_feed(&c, ext, n, &run);
			if (run.result != HTTP1_CHUNK_BAD)
				chunked_feed(&c, "\r\na\r\n", 5, &run);
		}
		ck_assert_int_eq(run.result, n <= 4096 ? HTTP1_CHUNK_MORE : HTTP1_CHUNK_BAD);
		ck_assert_uint_eq(run.n, n <= 4096 ? 3 : 0);
	}
}
END_TEST

START_TEST(http1_chunked_hands_out_trailers_as_they_stand)
{
	static const struct {
		const char *in, *trailers;
	} rows[] = {
		{ "0\r\n\r\nA: b\r\n\r\n", "" },
		{ "1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nX: y\r\n", "A: b\r\nC:\r\n" },
		{ "2;a\r\nA:\r\n0;x=y\r\ngrpc-status:\t0 \r\n\r\n", "grpc-status:\t0 \r\n" },
	};
	struct chunked_run run;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		for (size_t n = strlen(rows[i].in), a = 0; a <= n; a++)
			for (size_t b = a; b <= n; b++) {
				chunked_run(rows[i].in, n, a, b, &run);
				ck_assert_int_eq(run.result, HTTP1_CHUNK_END);
				ck_assert_uint_eq(run.trailers_n, strlen(rows[i].trailers));
				ck_assert_int_eq(
				    memcmp(run.trailers, rows[i].trailers, run.trailers_n), 0);
			}
}
END_TEST

START_TEST(http1_chunked_bounds_the_number_of_trailers)
{
	for (size_t lines = HTTP1_MAX_TRAILERS - 1; lines <= HTTP1_MAX_TRAILERS + 1; lines++) {
		struct chunked_run run;
		struct http1_chunked c;

		memset(&run, 0, sizeof(run));
		http1_chunked_init(&c);
		chunked_feed(&c, "0\r\n", 3, &run);
		for (size_t i = 0; i < lines && run.result != HTTP1_CHUNK_BAD; i++)
			chunked_feed(&c, "a: bcd\r\n", 8, &run);
		if (run.result != HTTP1_CHUNK_BAD)
			chunked_feed(&c, "\r\n", 2, &run);
		ck_assert_int_eq(
		    run.result, lines <= HTTP1_MAX_TRAILERS ? HTTP1_CHUNK_END : HTTP1_CHUNK_BAD);
	}
}
END_TEST

START_TEST(http1_chunked_bounds_trailers_altogether)
{
	for (size_t value = 1000; value <= 1030; value++) {
		struct chunked_run run;
		struct http1_chunked c;

		memset(&run, 0, sizeof(run));
		http1_chunked_init(&c);
		chunked_feed(&c, "0\r\n", 3, &run);
		for (size_t i = 0; i < 8 && run.result != HTTP1_CHUNK_BAD; i++) {
			chunked_feed(&c, "a: ", 3, &run);
			for (size_t k = 0; k < value && run.result != HTTP1_CHUNK_BAD; k++)
				chunked_feed(&c, "b", 1, &run);
			if (run.result != HTTP1_CHUNK_BAD)
				chunked_feed(&c, "\r\n", 2, &run);
		}
		if (run.result != HTTP1_CHUNK_BAD)
			chunked_feed(&c, "\r\n", 2, &run);
		if (run.result != ((value + 5) * 8 + 2 <= 8192 ? HTTP1_CHUNK_END : HTTP1_CHUNK_BAD))
			ck_abort_msg("values of %zu: %d", value, (int)run.result);
	}
}
END_TEST

START_TEST(http1_chunked_stays_at_its_end)
{
	struct http1_chunked c;
	struct span data;
	size_t used;

	http1_chunked_init(&c);
	ck_assert_int_eq(http1_chunked_feed(&c, "0\r\n\r\nGET", 8, &used, &data), HTTP1_CHUNK_END);
	ck_assert_uint_eq(used, 5);
	ck_assert_int_eq(http1_chunked_feed(&c, "GET", 3, &used, &data), HTTP1_CHUNK_END);
	ck_assert_uint_eq(used, 0);
	http1_chunked_init(&c);
	ck_assert_int_eq(http1_chunked_feed(&c, "x", 1, &used, &data), HTTP1_CHUNK_BAD);
	ck_assert_int_eq(http1_chunked_feed(&c, "0\r\n\r\n", 5, &used, &data), HTTP1_CHUNK_BAD);
	http1_chunked_init(&c);
	ck_assert_int_eq(http1_chunked_feed(&c, NULL, 0, &used, &data), HTTP1_CHUNK_MORE);
}
END_TEST

START_TEST(http1_chunked_gathers_what_is_there)
{
	static const struct {
		const char *in, *payload;
		size_t used; /* by the first call */
		enum http1_chunk next;
	} rows[] = {
		{ "1\r\na\r\n2;x=y\r\nbc\r\n3\r\nde", "abcde", 22, HTTP1_CHUNK_MORE },
		{ "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", 16, HTTP1_CHUNK_END },
		{ "1\r\na\r\n1\r\nb\r\n0\r\nx: y\r\n\r\n", "ab", 15, HTTP1_CHUNK_TRAILER },
		{ "1\r\na\r\n1\r\nbX", "ab", 10, HTTP1_CHUNK_BAD },
		{ "1\r\na\r\nX", "a", 6, HTTP1_CHUNK_BAD },
	};
	struct http1_chunked c;
	struct span data;
	char p[64];
	size_t n, used;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		n = strlen(rows[i].in);
		memcpy(p, rows[i].in, n);
		http1_chunked_init(&c);
		ck_assert_int_eq(http1_chunked_gather(&c, p, n, &used, &data), HTTP1_CHUNK_DATA);
		ck_assert_uint_eq(data.n, strlen(rows[i].payload));
		ck_assert_mem_eq(data.p, rows[i].payload, data.n);
		ck_assert_uint_eq(used, rows[i].used);
		ck_assert_int_eq(
		    http1_chunked_gather(&c, p + used, n - used, &used, &data), rows[i].next);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		http1_chunked_gives_the_payload_and_leaves_the_next_message,
		http1_chunked_refuses_bad_framing,
		http1_chunked_asks_for_more_until_the_end,
		http1_chunked_takes_the_greatest_size,
		http1_chunked_bounds_extensions_for_each_chunk,
		http1_chunked_hands_out_trailers_as_they_stand,
		http1_chunked_bounds_the_number_of_trailers,
		http1_chunked_bounds_trailers_altogether,
		http1_chunked_stays_at_its_end,
		http1_chunked_gathers_what_is_there,
	};

	return unit_run("http1_chunked", cases, UNIT_COUNT(cases));
}
