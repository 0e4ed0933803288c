/*
 * Unit tests of src/gateway/ws_rate.c: clients past MessageRate and ByteRate are held and lose
 * nothing, or get Close 1008.  The clock is the real one: what has passed is compared with the
 * time that went by.
 */
#include "base/mem.h"
#include "unit_ws.h"

static uint64_t begun_ms;

static void
begin(void)
{
	uw_open();
	uw_said.n = 0;
	begun_ms = loop_now_ms(uw.loop);
}

/* What may have passed by now at a rate, the burst among it. */
static uint64_t
allowed(uint64_t rate)
{
	return rate + (loop_now_ms(uw.loop) - begun_ms) * rate / 1000 + 1;
}

static bool
is_held(void)
{
	return (uw.client.s.holds & STREAM_HOLD_RATE) != 0;
}

/* Turns until the client is not held for its rate. */
static void
wait_released(void)
{
	uint64_t end = loop_now_ms(uw.loop) + UNIT_IO_DEADLINE_MS;

	while (uw.client.s.ev != NULL && is_held()) {
		ck_assert_uint_lt(loop_now_ms(uw.loop), end);
		unit_loop_turns(uw.loop, 1);
	}
}

static size_t
count(const char *text, char c)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

static uint64_t
delays(void)
{
	return counter_get(&gateway_count(uw.gw, &uw.uc.c->route[0])->rate_delayed);
}

static void
say_numbers(int n)
{
	char text[16];

	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%d", i);
		uw_say(FIN | WS_TEXT, text);
	}
}

START_TEST(ws_rate_nothing_is_added_without_a_limit)
{
	struct ws *w;

	uw_setup_echo("");
	begin();
	w = (struct ws *)(void *)uw.gw->sessions;
	ck_assert_ptr_nonnull(w);
	say_numbers(500);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(count(uw_heard(false), 'T'), 500);
	ck_assert_uint_eq(uw.client.s.holds, 0);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_rate_messages_past_it_wait_in_their_order)
{
	char want[256];
	size_t n = 0;

	uw_setup_echo("MessageRate=20");
	begin();
	say_numbers(40);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(is_held());
	ck_assert_uint_le(count(uw_heard(false), 'T'), allowed(20));
	ck_assert_uint_eq(delays(), 1);
	wait_released();
	for (int i = 0; i < 40; i++)
		n += (size_t)sprintf(want + n, "T(%d)", i);
	ck_assert_str_eq(uw_heard(false), want);
	ck_assert_uint_le(40, allowed(20));
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_rate_a_client_within_it_is_never_held)
{
	uw_setup_echo("MessageRate=1000\nByteRate=1M\nRateAction=close");
	begin();
	for (int i = 0; i < 20; i++) {
		uw_said.n = 0;
		say_numbers(10);
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert(!is_held());
		unit_loop_turns(uw.loop, 1);
	}
	ck_assert_uint_eq(count(uw_heard(false), 'T'), 200);
	ck_assert_uint_eq(delays(), 0);
	uw_drop();
	uw_clear();
}
END_TEST

/* Bytes are given as a carrier does it: no more than the budget, and none while there is a hold. */
START_TEST(ws_rate_a_frame_longer_than_the_rate_passes_at_the_rate)
{
	static char payload[3001];
	size_t at = 0, n;

	memset(payload, 'x', 3000);
	uw_setup_echo("ByteRate=2000");
	begin();
	uw_say(FIN | WS_TEXT, payload);
	while (at < uw_said.n) {
		ck_assert(!is_held());
		n = uw.client.s.ev->budget(&uw.client.s);
		n = n < uw_said.n - at ? n : uw_said.n - at;
		uw_give(&uw.client, uw_said.p + at, n);
		at += n;
		ck_assert_uint_le(at, allowed(2000));
		wait_released();
	}
	ck_assert_uint_eq(strlen(uw_heard(true)), 3000);
	ck_assert_uint_ge(delays(), 1);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_rate_close_is_1008)
{
	static const struct {
		const char *route;
		const char *heard;
	} rows[] = {
		{ "MessageRate=3\nRateAction=close", "T(0)T(1)T(2)<1008>" },
		{ "ByteRate=1\nRateAction=close", "<1008>" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		uw_setup_echo(rows[i].route);
		begin();
		say_numbers(12);
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert_str_eq(uw_heard(false), rows[i].heard);
		ck_assert(uw.client.closed);
		ck_assert_uint_eq(
		    counter_get(&gateway_count(uw.gw, &uw.uc.c->route[0])->rate_closed), 1);
		ck_assert_uint_eq(delays(), 0);
		uw_drop();
		uw_clear();
	}
}
END_TEST

/* The backend has got whole messages only, and is told. */
START_TEST(ws_rate_close_does_not_cut_what_the_backend_got)
{
	uw_setup("MessageRate=2\nRateAction=close", "");
	begin();
	say_numbers(2);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.app.n, uw_said.n);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_str_eq(uw_heard(false), "<1008>");
	ck_assert_uint_eq(uw.app.n, uw_said.n + 8); /* a Close, masked */
	ck_assert_uint_eq(uw.app.out[uw_said.n], FIN | WS_CLOSE);
	ck_assert(uw.app.closed && !uw.app.aborted);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_rate_pings_and_pongs_count)
{
	uw_setup_echo("MessageRate=20");
	begin();
	for (int i = 0; i < 40; i++)
		uw_say(FIN | (i % 2 != 0 ? WS_PING : WS_PONG), "p");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(is_held());
	ck_assert_uint_le(2 * count(uw_heard(false), '['), allowed(20) + 1);
	wait_released();
	ck_assert_uint_eq(count(uw_heard(false), '['), 20);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_rate_fragments_are_one_message)
{
	uw_setup_echo("MessageRate=2\nRateAction=close");
	begin();
	uw_say(WS_TEXT, "a");
	for (int i = 0; i < 100; i++)
		uw_say(WS_CONT, "b");
	uw_say(FIN | WS_CONT, "c");
	uw_say(FIN | WS_TEXT, "d");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(strlen(uw_heard(true)), 103);
	uw_drop();
	uw_clear();
}
END_TEST

/* Whoever is asked for a PONG is not held or closed for it. */
START_TEST(ws_rate_the_answer_to_our_own_ping_is_free)
{
	uint64_t end;

	uw_setup_echo(
	    "MessageRate=1\nRateAction=close\nKeepAliveInterval=20ms\nKeepAliveTimeout=1min");
	begin();
	end = loop_now_ms(uw.loop) + UNIT_IO_DEADLINE_MS;
	for (int i = 0; i < 5; i++) {
		uw.client.n = 0;
		while (uw.client.n == 0) {
			ck_assert_uint_lt(loop_now_ms(uw.loop), end);
			unit_loop_turns(uw.loop, 1);
		}
		ck_assert_uint_eq(uw.client.out[0], FIN | WS_PING);
		uw_said.n = 0;
		uw_said.n += ws_frame_control(
		    uw_said.p, WS_PONG, uw.client.out + 2, 8, (const uint8_t[4]){ 1, 2, 3, 4 });
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert_ptr_nonnull(uw.client.s.ev);
	}
	uw_drop();
	uw_clear();
}
END_TEST

/* Keep-alive and IdleTimeout must not end a client that we do not read. */
START_TEST(ws_rate_a_held_client_is_neither_idle_nor_silent)
{
	uw_setup_echo(
	    "MessageRate=1\nIdleTimeout=300ms\nKeepAliveInterval=100ms\nKeepAliveTimeout=100ms");
	begin();
	say_numbers(2);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(is_held());
	wait_released();
	ck_assert_ptr_nonnull(uw.client.s.ev);
	ck_assert_uint_eq(
	    counter_get(&gateway_count(uw.gw, &uw.uc.c->route[0])->keepalive_timeouts[0]), 0);
	uw_drop();
	uw_clear();
}
END_TEST

/* The client's Close may stand behind what is kept. */
START_TEST(ws_rate_a_drain_does_not_wait_for_the_rate)
{
	uw_setup("MessageRate=1", "");
	begin();
	say_numbers(3);
	uw_say(FIN | WS_CLOSE, "\003\351");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(is_held());
	ck_assert(ws_drain(uw.gw->sessions));
	while (uw.client.s.ev != NULL)
		unit_loop_turns(uw.loop, 1);
	ck_assert_uint_lt(loop_now_ms(uw.loop), begun_ms + 900);
	ck_assert(uw.client.closed && uw.app.closed);
	ck_assert_str_eq(uw_heard(false), "<1001>");
	uw_drop();
	uw_clear();
}
END_TEST

/* A receiver that does not read: what is kept goes on when both allow it. */
START_TEST(ws_rate_and_back_pressure_do_not_undo_each_other)
{
	uw_setup("MessageRate=20", "");
	begin();
	say_numbers(40);
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(is_held());
	uw.app.queued = UW_LIMIT;
	while (uw.client.s.holds != (STREAM_HOLD_RATE | STREAM_HOLD_PEER))
		unit_loop_turns(uw.loop, 1);
	ck_assert_uint_lt(uw.app.n, uw_said.n);
	uw.app.queued = 0;
	uw.app.s.ev->room(&uw.app.s);
	ck_assert_uint_eq(uw.client.s.holds & STREAM_HOLD_PEER, 0);
	wait_released();
	ck_assert_uint_eq(uw.app.n, uw_said.n);
	ck_assert_uint_eq(uw.client.s.holds, 0);
	uw_drop();
	uw_clear();
}
END_TEST

/* What came late because it was not read is not taken for a burst. */
START_TEST(ws_rate_time_in_which_it_was_not_read_is_made_up_for)
{
	static char payload[1001];
	uint64_t until;

	memset(payload, 'x', 900);
	uw_setup("ByteRate=1000\nRateAction=close", "");
	begin();
	uw_say(FIN | WS_TEXT, payload);
	uw.app.queued = UW_LIMIT;
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_uint_eq(uw.client.s.holds, STREAM_HOLD_PEER);
	until = loop_now_ms(uw.loop) + 1500;
	while (loop_now_ms(uw.loop) < until)
		unit_loop_turns(uw.loop, 1);
	uw.app.queued = 0;
	uw.app.s.ev->room(&uw.app.s);
	/* 1500 in the pause, and the 1000 of any time, but for the 906 before */
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_ptr_nonnull(uw.client.s.ev);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_rate_survives_without_memory)
{
	uw_setup_echo("MessageRate=4");
	for (unsigned nth = 1;; nth++) {
		mem_fail_nth(nth);
		if (uw_try_open(NULL) == 0) {
			uw_said.n = 0;
			say_numbers(20);
			uw_give(&uw.client, uw_said.p, uw_said.n);
		}
		if (mem_fail_pending()) {
			mem_fail_nth(0);
			ck_assert(is_held());
			uw_drop();
			break;
		}
		mem_fail_nth(0);
		if (uw.client.s.ev != NULL)
			uw_drop();
		unit_loop_turns(uw.loop, 1);
	}
	uw_clear();
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = { ws_rate_nothing_is_added_without_a_limit,
		ws_rate_messages_past_it_wait_in_their_order,
		ws_rate_a_client_within_it_is_never_held,
		ws_rate_a_frame_longer_than_the_rate_passes_at_the_rate, ws_rate_close_is_1008,
		ws_rate_close_does_not_cut_what_the_backend_got, ws_rate_pings_and_pongs_count,
		ws_rate_fragments_are_one_message, ws_rate_the_answer_to_our_own_ping_is_free,
		ws_rate_a_held_client_is_neither_idle_nor_silent,
		ws_rate_a_drain_does_not_wait_for_the_rate,
		ws_rate_and_back_pressure_do_not_undo_each_other,
		ws_rate_time_in_which_it_was_not_read_is_made_up_for,
		ws_rate_survives_without_memory };

	return unit_run("ws_rate", cases, UNIT_COUNT(cases));
}
