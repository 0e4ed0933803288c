/*
 * Unit tests of src/codec/ws_whole.[ch].  That its rules are the reader's is shown by
 * tests/fuzz/fuzz_ws_msg.c.
 */
#include "codec/ws_whole.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define WHOLE_ROOM 70000

static const struct ws_rules whole_client = { .check_utf8 = true }; /* reads what servers send */
static const struct ws_rules whole_server = { .masked = true, .check_utf8 = true };
static const struct ws_rules whole_ten = { .check_utf8 = true, .max_message = 10 };
static const struct ws_rules whole_deflate = { .check_utf8 = true,
	.max_message = 10,
	.allow_rsv1 = true };
static const struct ws_rules whole_inflated = { .check_utf8 = true,
	.max_message = 10,
	.allow_rsv1 = true,
	.inflated = true };
static const struct ws_rules whole_unchecked = { .check_utf8 = false };

/* Of a copy in a block of just its size. */
static size_t
whole_read(const struct ws_rules *rules, const void *p, size_t n, struct ws_whole *m)
{
	uint8_t *copy = malloc(n != 0 ? n : 1);
	size_t k;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, n);
	k = ws_whole_read(rules, copy, n, m);
	free(copy);
	return k;
}

START_TEST(ws_whole_takes_a_message_only_when_all_of_it_is_there)
{
	static const char masked[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x82\x03";
	static const char plain[] = "\x82\x03"
				    "abc"
				    "\x82";
	struct ws_whole m;

	for (size_t n = 0; n < 11; n++)
		ck_assert_uint_eq(whole_read(&whole_server, masked, n, &m), 0);
	for (size_t n = 11; n <= 13; n++) {
		ck_assert_uint_eq(whole_read(&whole_server, masked, n, &m), 11);
		ck_assert(m.header_n == 6 && m.length == 5);
	}
	for (size_t n = 0; n < 5; n++)
		ck_assert_uint_eq(whole_read(&whole_client, plain, n, &m), 0);
	ck_assert_uint_eq(whole_read(&whole_client, plain, 6, &m), 5);
	ck_assert(m.header_n == 2 && m.length == 3);
}
END_TEST

START_TEST(ws_whole_knows_every_width_of_length)
{
	static const struct {
		size_t length, header_n;
	} cases[] = { { 0, 2 }, { 125, 2 }, { 126, 4 }, { 65535, 4 }, { 65536, 10 },
		{ 69000, 10 } };
	static uint8_t room[WHOLE_ROOM];
	struct ws_whole m;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		size_t hn = ws_frame_write(room, 0x81, cases[i].length, NULL);

		ck_assert_uint_eq(hn, cases[i].header_n);
		memset(room + hn, 'x', cases[i].length);
		ck_assert_uint_eq(whole_read(&whole_client, room, hn + cases[i].length, &m),
		    hn + cases[i].length);
		ck_assert(m.header_n == hn && m.length == cases[i].length);
		ck_assert_uint_eq(whole_read(&whole_client, room, hn + cases[i].length - 1, &m), 0);
	}
}
END_TEST

/* Each of them is a stream that begins with something else, or is forbidden. */
START_TEST(ws_whole_leaves_the_rest_to_the_reader)
{
	static const struct {
		const struct ws_rules *rules;
		const char *p;
		size_t n;
	} cases[] = {
		{ &whole_client,
		    "\x01\x01"
		    "a",
		    3 }, /* a first fragment */
		{ &whole_client,
		    "\x80\x01"
		    "a",
		    3 },			  /* a last one */
		{ &whole_client, "\x88\x00", 2 }, /* Close */
		{ &whole_client,
		    "\x89\x01"
		    "a",
		    3 }, /* Ping */
		{ &whole_client,
		    "\x83\x01"
		    "a",
		    3 }, /* an opcode that there is not */
		{ &whole_client,
		    "\xc1\x01"
		    "a",
		    3 }, /* RSV1, not agreed upon */
		{ &whole_deflate,
		    "\xa1\x01"
		    "a",
		    3 }, /* RSV2 */
		{ &whole_client,
		    "\x81\x81"
		    "abcda",
		    7 }, /* masked by a server */
		{ &whole_server,
		    "\x81\x01"
		    "a",
		    3 }, /* not masked by a client */
		{ &whole_client,
		    "\x81\x7e\x00\x01"
		    "a",
		    5 }, /* not minimal */
		{ &whole_client,
		    "\x81\x7f\0\0\0\0\0\0\0\x01"
		    "a",
		    11 },
		{ &whole_client,
		    "\x81\x7f\0\0\0\x01\0\0\0\0"
		    "a",
		    11 }, /* 4 GiB */
		{ &whole_ten,
		    "\x81\x0b"
		    "abcdefghijk",
		    13 }, /* too long */
		{ &whole_deflate,
		    "\xc1\x0b"
		    "abcdefghijk",
		    13 },
		{ &whole_client, "\x81\x02\xc3\x28", 4 }, /* not UTF-8 */
		{ &whole_client, "\x81\x01\xc3", 3 },	  /* cut within a character */
	};
	struct ws_whole m;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		ck_assert_msg(
		    whole_read(cases[i].rules, cases[i].p, cases[i].n, &m) == 0, "case %zu", i);
}
END_TEST

START_TEST(ws_whole_looks_into_text_only_where_it_has_to)
{
	struct ws_whole m;

	ck_assert_uint_eq(whole_read(&whole_client, "\x81\x02\xc3\xa4", 4, &m), 4);
	ck_assert_uint_eq(whole_read(&whole_unchecked, "\x81\x01\xc3", 3, &m), 3);
	ck_assert_uint_eq(whole_read(&whole_client, "\x82\x01\xc3", 3, &m), 3);
	ck_assert_uint_eq(whole_read(&whole_deflate, "\xc1\x01\xc3", 3, &m), 3); /* compressed */
	ck_assert_uint_eq(whole_read(&whole_inflated,
			      "\xc1\x0b"
			      "abcdefghijk",
			      13, &m),
	    13);
	ck_assert_uint_eq(whole_read(&whole_inflated,
			      "\x81\x0b"
			      "abcdefghijk",
			      13, &m),
	    0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_whole_takes_a_message_only_when_all_of_it_is_there,
		ws_whole_knows_every_width_of_length,
		ws_whole_leaves_the_rest_to_the_reader,
		ws_whole_looks_into_text_only_where_it_has_to,
	};

	return unit_run("ws_whole", cases, UNIT_COUNT(cases));
}
