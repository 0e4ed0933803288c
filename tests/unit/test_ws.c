/*
 * Unit tests of src/gateway/ws.c and ws_data.c: the echo and the relay between two streams that
 * the test plays (unit_ws.h).  What is said is given whole, split at every byte, byte by byte, and
 * with the n-th allocation failing.
 */
#include "base/mem.h"
#include "unit_ws.h"

/* ---- the echo */

struct echo_row {
	const char *route;
	struct {
		uint8_t first;
		const char *payload;
	} say[6];
	const char *heard;
};

static const struct echo_row echo_rows[] = {
	{ "", { { FIN | WS_TEXT, "hello" } }, "T(hello)" },
	{ "", { { FIN | WS_TEXT, "" }, { FIN | WS_BINARY, "\377\300" } }, "T()B(\377\300)" },
	{ "", { { WS_TEXT, "ab" }, { WS_CONT, "" }, { FIN | WS_CONT, "c" } }, "T(abc)" },
	{ "", { { WS_TEXT, "a" }, { FIN | WS_PING, "x" }, { FIN | WS_CONT, "b" } }, "[x]T(ab)" },
	{ "", { { FIN | WS_PONG, "nobody asked" }, { FIN | WS_TEXT, "t" } }, "T(t)" },
	{ "", { { FIN | WS_TEXT, "t" }, { FIN | WS_CLOSE, "\003\350bye" } }, "T(t)<1000>" },
	{ "", { { FIN | WS_CLOSE, "" }, { FIN | WS_TEXT, "late" } }, "<0>" },
	{ "", { { WS_TEXT, "\303" }, { FIN | WS_CONT, "\244" } }, "T(\303\244)" },
	{ "", { { FIN | WS_CONT, "a" } }, "<1002>" },
	{ "", { { FIN | 0x40 | WS_TEXT, "a" } }, "<1002>" },
	{ "", { { WS_TEXT, "a" }, { FIN | WS_TEXT, "b" } }, "<1002>" },
	{ "", { { FIN | WS_TEXT, "good" }, { FIN | WS_TEXT, "\300" } }, "T(good)<1007>" },
	{ "ValidateUTF8=no", { { FIN | WS_BINARY, "\300" } }, "B(\300)" },
	{ "MaxMessageSize=4", { { FIN | WS_TEXT, "1234" }, { FIN | WS_TEXT, "12345" } },
	    "T(1234)<1009>" },
	{ "MaxMessageSize=4", { { WS_TEXT, "123" }, { FIN | WS_CONT, "45" } }, "<1009>" },
};

static void
say_row(const struct echo_row *r)
{
	uw_said.n = 0;
	for (int i = 0; i < 6 && r->say[i].payload != NULL; i++)
		uw_say(r->say[i].first, r->say[i].payload);
}

/*
 * The Close of a message that was begun may come behind its first fragments: compare what is
 * whole.
 */
static void
assert_heard(const struct echo_row *r, size_t i)
{
	const char *got = uw_heard(false);

	if (strcmp(got, r->heard) != 0)
		ck_abort_msg(
		    "row %td cut at %zu: heard %s, not %s", r - echo_rows, i, got, r->heard);
}

START_TEST(ws_echo_answers_the_same_however_it_is_split)
{
	const struct echo_row *r = &echo_rows[_i];

	uw_setup_echo(r->route);
	say_row(r);
	for (size_t i = 0; i <= uw_said.n; i++) {
		uw_open();
		uw_give(&uw.client, uw_said.p, i);
		uw_give(&uw.client, uw_said.p + i, uw_said.n - i);
		assert_heard(r, i);
		uw_drop();
	}
	uw_open();
	for (size_t i = 0; i < uw_said.n; i++)
		uw_give(&uw.client, uw_said.p + i, 1);
	assert_heard(r, SIZE_MAX);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_echo_survives_without_memory)
{
	uw_setup_echo("");
	uw_said.n = 0;
	uw_say(WS_TEXT, "begin");
	uw_say(FIN | WS_CONT, "end");
	for (unsigned long nth = 1; nth < 12; nth++) {
		mem_fail_nth(nth);
		if (uw_try_open(NULL) == 0) {
			for (size_t i = 0; i < uw_said.n; i++)
				uw_give(&uw.client, uw_said.p + i, 1);
			mem_fail_nth(0);
			ck_assert(strcmp(uw_heard(false), "T(beginend)") == 0 ||
			    strstr(uw_heard(false), "<1011>") != NULL);
			uw_drop();
		}
		mem_fail_nth(0);
		unit_loop_turns(uw.loop, 1);
	}
	uw_clear();
}
END_TEST

/* ---- the relay */

/*
 * Frames go through as they are, the client's mask too: the same bytes come out, however they came
 * in.
 */
START_TEST(ws_relay_passes_frames_unchanged)
{
	static const uint8_t back[] = { 0x01, 0x02, 'h', 'i', 0x89, 0x01, 'p', 0x80, 0x00, 0x82,
		0x7e, 0x00, 0x80 };
	uint8_t from_app[sizeof(back) + 128];

	memcpy(from_app, back, sizeof(back));
	memset(from_app + sizeof(back), 0xc0, 128);
	uw_setup("", "");
	uw_said.n = 0;
	uw_say(WS_TEXT, "text in ");
	uw_say(WS_CONT, "");
	uw_say(FIN | WS_CONT, "fragments");
	uw_say(FIN | WS_BINARY, "\377\376");
	for (size_t i = 0; i <= uw_said.n; i++) {
		uw_open();
		uw_give(&uw.client, uw_said.p, i);
		uw_give(&uw.client, uw_said.p + i, uw_said.n - i);
		ck_assert_uint_eq(uw.app.n, uw_said.n);
		ck_assert_int_eq(memcmp(uw.app.out, uw_said.p, uw_said.n), 0);
		uw_drop();
	}
	for (size_t i = 0; i <= sizeof(from_app); i++) {
		uw_open();
		uw_give(&uw.app, from_app, i);
		uw_give(&uw.app, from_app + i, sizeof(from_app) - i);
		ck_assert_uint_eq(uw.client.n, sizeof(from_app));
		ck_assert_int_eq(memcmp(uw.client.out, from_app, sizeof(from_app)), 0);
		uw_drop();
	}
	uw_clear();
}
END_TEST

/* The next frame in out, unmasked; its first byte. */
static uint8_t
next_frame(const struct uw_fake *f, size_t *at, bool masked, char *payload)
{
	struct ws_frame h;

	ck_assert_int_eq(ws_frame_read(f->out + *at, f->n - *at, &h), WS_FRAME_OK);
	ck_assert_int_eq(h.masked, masked);
	for (size_t i = 0; i < h.length; i++)
		payload[i] = (char)(f->out[*at + h.header_n + i] ^ h.mask[i % 4]);
	payload[h.length] = '\0';
	*at += h.header_n + (size_t)h.length;
	return (uint8_t)(h.fin ? FIN : 0) | h.opcode;
}

START_TEST(ws_relay_passes_a_close_and_waits_for_its_answer)
{
	char payload[200];
	size_t at = 0;

	uw_setup("", "");
	uw_open();
	uw_said.n = 0;
	uw_say(FIN | WS_CLOSE, "\017\240why");
	uw_say(FIN | WS_TEXT, "nothing may follow");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(next_frame(&uw.app, &at, true, payload), FIN | WS_CLOSE);
	ck_assert_str_eq(payload, "\017\240why");
	ck_assert_uint_eq(at, uw.app.n);
	ck_assert_uint_eq(uw.client.n, 0);
	/* what the backend still has to say comes through */
	uw_give(&uw.app, STR("\x81\x02ok\x88\x02\x0f\xa0"));
	ck_assert_str_eq(uw_heard(false), "T(ok)<4000>");
	ck_assert(uw.client.closed && uw.app.closed);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_relay_tells_a_lost_backend)
{
	static const struct {
		const char *said;
		size_t n;
		bool reset;
		const char *heard; /* NULL: the connection is broken off, nothing can be told */
	} rows[] = {
		{ STR(""), false, "<1014>" }, { STR(""), true, "<1014>" },
		{ STR("\x01\x03"
		      "abc"),
		    false, "<1014>" }, /* between fragments */
		{ STR("\x81\x05"
		      "ab"),
		    false, NULL },		      /* within a frame */
		{ STR("\x83\x00"), false, "<1014>" }, /* broke the protocol */
		{ STR("\x81\x82"
		      "mask"),
		    false, "<1014>" }, /* masked */
		{ STR("\x81\x02\xff\xff"), false, "<1014>" },
		{ STR("\x88\x02\x03\xed"), false, "<1014>" }, /* 1005 on the wire */
	};

	uw_setup("", "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uw_open();
		uw_give(&uw.app, rows[i].said, rows[i].n);
		if (uw.app.s.ev != NULL && rows[i].reset)
			uw_give_reset(&uw.app);
		else
			uw_give_end(&uw.app);
		if (rows[i].heard == NULL)
			ck_assert(uw.client.aborted);
		else if (strcmp(uw_heard(false), rows[i].heard) != 0)
			ck_abort_msg("row %zu: %s", i, uw_heard(false));
		uw_drop();
	}
	uw_clear();
}
END_TEST

START_TEST(ws_relay_tells_the_backend_of_a_client_that_vanished)
{
	char payload[200];
	size_t at = 0;

	uw_setup("", "");
	uw_open();
	uw_give_end(&uw.client);
	ck_assert_uint_eq(next_frame(&uw.app, &at, true, payload), FIN | WS_CLOSE);
	ck_assert_str_eq(payload, "\003\351"); /* 1001 */
	ck_assert(uw.app.closed && uw.client.closed);
	uw_drop();
	/* within a frame only an end without a Close is left */
	uw_open();
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "whole");
	uw_give(&uw.client, uw_said.p, uw_said.n - 2);
	at = uw.app.n;
	uw_give_end(&uw.client);
	ck_assert_uint_eq(uw.app.n, at);
	ck_assert(uw.app.aborted);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_relay_does_not_pass_a_byte_of_a_bad_frame)
{
	uw_setup("", "");
	uw_open();
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "good");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	uw_say(FIN | WS_TEXT, "bad \377");
	uw_give(&uw.client, uw_said.p + uw_said.n / 2, uw_said.n - uw_said.n / 2);
	uw_drop();

	uw_open();
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "good");
	uw_say(FIN | WS_TEXT, "bad \377");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_str_eq(uw_heard(false), "<1007>");
	{
		char payload[200];
		size_t at = 0;

		ck_assert_uint_eq(next_frame(&uw.app, &at, true, payload), FIN | WS_TEXT);
		ck_assert_str_eq(payload, "good");
		ck_assert_uint_eq(next_frame(&uw.app, &at, true, payload), FIN | WS_CLOSE);
		ck_assert_uint_eq(at, uw.app.n);
	}
	ck_assert(uw.app.closed);
	uw_drop();
	uw_clear();
}
END_TEST

/* ---- back-pressure and drain */

START_TEST(ws_holds_the_sender_while_the_receiver_does_not_read)
{
	uw_setup("", "");
	uw_open();
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "x");
	uw.app.queued = UW_LIMIT / 2 + 1;
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.client.s.holds, STREAM_HOLD_PEER);
	ck_assert_uint_eq(uw.app.s.holds, 0);
	ck_assert_uint_le(uw.client.s.ev->budget(&uw.client.s), UW_LIMIT / 2);
	uw.app.queued = 0;
	uw.app.s.ev->room(&uw.app.s);
	ck_assert_uint_eq(uw.client.s.holds, 0);
	ck_assert_uint_eq(uw.client.s.ev->budget(&uw.client.s), UW_LIMIT);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_drain_closes_at_a_frame_boundary)
{
	char payload[200];
	size_t at = 0;

	uw_setup("", "");
	uw_open();
	uw_give(&uw.app,
	    STR("\x81\x04"
		"ab"));
	ck_assert(ws_drain(uw.gw->sessions));
	ck_assert(!ws_drain(uw.gw->sessions));
	ck_assert_uint_eq(next_frame(&uw.app, &at, true, payload), FIN | WS_CLOSE);
	ck_assert_uint_eq(uw.client.n, 4); /* the frame is not over */
	uw_give(&uw.app, STR("cd\x81\x01z"));
	ck_assert_str_eq(uw_heard(false), "T(abcd)<1001>");
	uw_said.n = 0;
	uw_say(FIN | WS_CLOSE, "\003\351");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(uw.client.closed && uw.app.closed);
	uw_drop();
	uw_clear();
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ ws_echo_answers_the_same_however_it_is_split, UNIT_COUNT(echo_rows) },
		{ ws_echo_survives_without_memory, 1 },
		{ ws_relay_passes_frames_unchanged, 1 },
		{ ws_relay_passes_a_close_and_waits_for_its_answer, 1 },
		{ ws_relay_tells_a_lost_backend, 1 },
		{ ws_relay_tells_the_backend_of_a_client_that_vanished, 1 },
		{ ws_relay_does_not_pass_a_byte_of_a_bad_frame, 1 },
		{ ws_holds_the_sender_while_the_receiver_does_not_read, 1 },
		{ ws_drain_closes_at_a_frame_boundary, 1 },
	};

	return unit_run_cases("ws", cases, UNIT_COUNT(cases), NULL, NULL);
}
