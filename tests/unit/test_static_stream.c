/*
 * Unit tests of src/gateway/static.[ch]: a large file goes out in pieces, as its stream takes them.
 */
#include "unit_static.h"

static void
assert_big(size_t first, size_t n)
{
	char *p = us_big_bytes();

	ck_assert_uint_eq(us.f.out.n, n);
	ck_assert(memcmp(us.f.out.p, p + first, n) == 0);
	free(p);
}

START_TEST(static_streams_a_big_file)
{
	us_put_big();
	us.f.take = SIZE_MAX;
	us_get_whole("GET", "/big.bin", "");
	assert_big(0, BIG);
	/* Others got turns in between; us_turn() has the ends of two in it. */
	ck_assert_uint_le(us.f.turn_max, 2 * LOOP_SCRATCH);
	us_drop();
	us_get_whole("GET", "/big.bin", "Range: bytes=1000001-2000002\n");
	ck_assert_uint_eq(us.f.status, 206);
	assert_big(1000001, 1000002);
	us_drop();
}
END_TEST

START_TEST(static_sends_a_big_file_unread)
{
	us_put_big();
	us.f.take = SIZE_MAX;
	us.f.files = true;
	us_get_whole("GET", "/big.bin", "");
	assert_big(0, BIG);
	ck_assert_uint_eq(us.f.sent_files, (BIG + LOOP_SCRATCH - 1) / LOOP_SCRATCH);
	ck_assert_uint_le(us.f.turn_max, 2 * LOOP_SCRATCH);
	us_drop();
	us_get_whole("GET", "/big.bin", "Range: bytes=1000001-2000002\n");
	assert_big(1000001, 1000002);
	us_drop();
	/* and a small one from memory */
	us_get_whole("GET", "/hello.txt", "");
	ck_assert(us_body_is(HELLO));
	ck_assert_uint_eq(us.f.sent_files, 0);
	us_drop();
	/* One that cannot be sent so from some byte on is read. */
	us_begin("GET", "/big.bin", "");
	us.f.no_files_now = true;
	for (int i = 0; i < 100 && us.f.done == 0; i++)
		us_turn();
	ck_assert(us.f.done_complete);
	assert_big(0, BIG);
	us_drop();
}
END_TEST

START_TEST(static_waits_for_room_of_a_file_unread)
{
	static const size_t takes[] = { 0, 1, 1000, 16384, LOOP_SCRATCH - 1 };

	us_put_big();
	for (size_t i = 0; i < UNIT_COUNT(takes); i++) {
		us.f.take = takes[i];
		us.f.files = true;
		us_begin("GET", "/big.bin", "");
		for (int n = 0; n < 4000 && us.f.done == 0; n++) {
			size_t before = us.f.out.n;

			us_turn();
			if (us.f.queued > 0)
				ck_assert_uint_le(us.f.out.n - before, LOOP_SCRATCH + 4096);
			ck_assert(us.f.done == 0 || us.f.queued == 0);
			us_room();
		}
		us_turn();
		ck_assert_uint_eq(us.f.done, 1);
		ck_assert(us.f.done_complete);
		ck_assert_uint_eq(us.f.done_bytes, BIG);
		assert_big(0, BIG);
		us_drop();
	}
}
END_TEST

/* Nothing of the scratch is touched within static_start: a caller's bytes may be in it. */
START_TEST(static_leaves_the_scratch_alone)
{
	uint8_t *p = loop_scratch(us.loop);

	us_put_big();
	memset(p, 'x', LOOP_SCRATCH);
	us.f.take = SIZE_MAX;
	us_begin("GET", "/big.bin", "");
	for (size_t i = 0; i < LOOP_SCRATCH; i++)
		ck_assert_int_eq(p[i], 'x');
	while (us.f.done == 0)
		us_turn();
	assert_big(0, BIG);
	us_drop();
}
END_TEST

/* us_fake_write sees to it that no piece comes while another is queued. */
START_TEST(static_waits_for_room)
{
	static const size_t takes[] = { 0, 1, 1000, 16384, LOOP_SCRATCH - 1 };

	us_put_big();
	for (size_t i = 0; i < UNIT_COUNT(takes); i++) {
		us.f.take = takes[i];
		us_begin("GET", "/big.bin", "");
		for (int n = 0; n < 1000 && us.f.done == 0; n++) {
			size_t before = us.f.out.n;

			us_turn();
			us_turn();
			if (us.f.queued > 0)
				ck_assert_uint_le(us.f.out.n - before, LOOP_SCRATCH);
			/* Not done before the kernel has it all. */
			ck_assert(us.f.done == 0 || us.f.queued == 0);
			us_room();
		}
		us_turn();
		ck_assert_uint_eq(us.f.done, 1);
		ck_assert(us.f.done_complete);
		ck_assert_uint_eq(us.f.done_bytes, BIG);
		assert_big(0, BIG);
		us_drop();
	}
}
END_TEST

START_TEST(static_waits_for_what_is_queued_already)
{
	us.f.take = SIZE_MAX;
	us_begin("GET", "/hello.txt", ""); /* for the set-up of f only */
	us_drop();
	us_put_big();
	us.f.take = 10;
	us_begin("GET", "/big.bin", "");
	ck_assert_uint_eq(us.f.out.n, 16384);
	for (int i = 0; i < 5; i++)
		us_turn();
	ck_assert_uint_eq(us.f.out.n, 16384);
	ck_assert_uint_eq(us.f.done, 0);
	us.f.s.ev->reset(&us.f.s, STREAM_E_PEER, "gone");
	us.f.s.ev = NULL;
	ck_assert_uint_eq(us.f.done, 1);
	us_turn();
	us_drop();
}
END_TEST

START_TEST(static_breaks_off_a_file_that_shrinks)
{
	us_put_big();
	us.f.take = SIZE_MAX;
	us.f.files = _i == 1;
	us_begin("GET", "/big.bin", "");
	ck_assert_uint_eq(us.f.done, 0);
	ck_assert_int_eq(truncate(us_path("big.bin"), 700000), 0);
	for (int i = 0; i < 100 && us.f.done == 0; i++)
		us_turn();
	ck_assert_uint_eq(us.f.done, 1);
	ck_assert(!us.f.done_complete);
	ck_assert_uint_eq(us.f.aborted, 1);
	ck_assert_uint_eq(us.f.closed + us.f.ended, 0);
	ck_assert_uint_eq(us.f.done_bytes, us.f.out.n);
	ck_assert_uint_le(us.f.out.n, 700000);
	us_turn();
	us_drop();
}
END_TEST

START_TEST(static_sends_no_more_of_a_file_that_grows)
{
	char *p = us_big_bytes();
	int fd;

	us_put_big();
	us.f.take = SIZE_MAX;
	us_begin("GET", "/big.bin", "");
	ck_assert_int_ne(fd = open(us_path("big.bin"), O_WRONLY | O_APPEND), -1);
	ck_assert_int_eq(write(fd, p, BIG), BIG);
	close(fd);
	free(p);
	while (us.f.done == 0)
		us_turn();
	ck_assert(us.f.done_complete);
	assert_big(0, BIG);
	us_drop();
}
END_TEST

/* The client leaves: at the start, while waiting for room, with the next share on its way. */
START_TEST(static_ends_with_its_stream)
{
	int fds = unit_count_fds();

	us_put_big();
	us.f.take = _i == 0 ? 10 : SIZE_MAX;
	us_begin("GET", "/big.bin", "");
	for (int i = 0; i < _i; i++)
		us_turn();
	if (_i == 0)
		us_room();
	ck_assert_uint_eq(us.f.done, 0);
	us.f.s.ev->reset(&us.f.s, STREAM_E_PEER, "gone");
	us.f.s.ev = NULL;
	ck_assert_uint_eq(us.f.done, 1);
	ck_assert(!us.f.done_complete);
	ck_assert_uint_eq(us.f.done_status, 200);
	ck_assert_uint_eq(us.f.done_bytes, us.f.out.n);
	for (int i = 0; i < 3; i++)
		us_turn();
	ck_assert_uint_eq(us.f.done, 1);
	ck_assert_uint_eq(us.f.closed + us.f.aborted + us.f.ended, 0);
	ck_assert_int_eq(unit_count_fds(), fds);
	us_drop();
}
END_TEST

START_TEST(static_gives_up_a_stream_that_takes_no_head)
{
	us.f.respond_fails = true;
	us_get("GET", "/hello.txt", "");
	ck_assert(!us.f.done_complete);
	ck_assert_uint_eq(us.f.aborted, 1);
	ck_assert_uint_eq(us.f.done_bytes, 0);
	us_drop();
}
END_TEST

START_TEST(static_gives_up_a_stream_that_takes_no_body)
{
	us_put_big();
	us.f.files = _i == 1;
	us.f.write_fails = true;
	us_get("GET", "/big.bin", "");
	ck_assert(!us.f.done_complete);
	ck_assert_uint_eq(us.f.aborted, 1);
	us_drop();
	us.f.write_fails = false;
	us.f.take = SIZE_MAX;
	us_begin("GET", "/big.bin", "");
	us.f.write_fails = true;
	for (int i = 0; i < 10 && us.f.done == 0; i++)
		us_turn();
	ck_assert_uint_eq(us.f.done, 1);
	ck_assert(!us.f.done_complete);
	ck_assert_uint_eq(us.f.aborted, 1);
	us_turn();
	us_drop();
}
END_TEST

START_TEST(static_drops_a_client_that_takes_nothing)
{
	us_put_big();
	us.listen.idle_connection_timeout_ms = 10;
	us.f.take = 10;
	us_begin("GET", "/big.bin", "");
	/* As long as it takes something, it may go on. */
	us.f.trickles = true;
	unit_wait_ms(us.loop, 100);
	ck_assert_uint_eq(us.f.done, 0);
	us.f.trickles = false;
	us.f.stop_on_done = true;
	unit_loop_run(us.loop);
	ck_assert_uint_eq(us.f.done, 1);
	ck_assert(!us.f.done_complete);
	ck_assert_uint_eq(us.f.aborted, 1);
	us_drop();
}
END_TEST

START_TEST(static_never_drops_a_client_when_told_so)
{
	static const uint64_t never[] = { 0, CONFIG_NEVER };

	us_put_big();
	us.listen.idle_connection_timeout_ms = never[_i];
	us.f.take = 10;
	us_begin("GET", "/big.bin", "");
	unit_wait_ms(us.loop, 30);
	ck_assert_uint_eq(us.f.done, 0);
	us.f.s.ev->reset(&us.f.s, STREAM_E_PEER, "gone");
	us_turn();
	us_drop();
}
END_TEST

START_TEST(static_passes_over_a_body)
{
	uint8_t body[] = "body";

	us_put_big();
	us.f.take = 10;
	us_begin("GET", "/big.bin", "");
	us.f.s.ev->bytes(&us.f.s, body, 4);
	us.f.s.ev->end(&us.f.s);
	for (int i = 0; i < 100 && us.f.done == 0; i++) {
		us_turn();
		us_room();
	}
	us_turn();
	ck_assert(us.f.done_complete);
	assert_big(0, BIG);
	us_drop();
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ static_streams_a_big_file, 1 },
		{ static_sends_a_big_file_unread, 1 },
		{ static_waits_for_room_of_a_file_unread, 1 },
		{ static_leaves_the_scratch_alone, 1 },
		{ static_waits_for_room, 1 },
		{ static_waits_for_what_is_queued_already, 1 },
		{ static_breaks_off_a_file_that_shrinks, 2 },
		{ static_sends_no_more_of_a_file_that_grows, 1 },
		{ static_ends_with_its_stream, 3 },
		{ static_gives_up_a_stream_that_takes_no_head, 1 },
		{ static_gives_up_a_stream_that_takes_no_body, 2 },
		{ static_drops_a_client_that_takes_nothing, 1 },
		{ static_never_drops_a_client_when_told_so, 2 },
		{ static_passes_over_a_body, 1 },
	};

	return unit_run_cases("static_stream", cases, UNIT_COUNT(cases), us_setup, us_teardown);
}
