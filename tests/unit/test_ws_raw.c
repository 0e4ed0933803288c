/*
 * Unit tests of src/gateway/ws_raw.c, Protocol=stream and lines: WebSockets to applications
 * that know none (unit_ws.h).  Each input is given whole, in every split in three, and with the
 * n-th allocation failing.
 */
#include "base/mem.h"
#include "unit_ws.h"

/* ---- from the application */

struct from_row {
	const char *route, *backend;
	const char *in; /* what the application says */
	bool end;	/* and then ends */
	bool joined;
	const char *heard;
};

#define LINES "Protocol=lines"
#define STREAM "Protocol=stream"
#define TEXT_STREAM "Protocol=stream\nMessageType=text"

static const struct from_row from_rows[] = {
	{ "", LINES, "first\nzw\303\266lf\r\n\n\r\na\rb\nlast\r\r\n", false, false,
	    "T(first)T(zw\303\266lf)T()T()T(a\rb)T(last\r)" },
	{ "", LINES, "line\nno line feed", true, false, "T(line)T(no line feed)<1000>" },
	{ "", LINES, "cr\r", true, false, "T(cr\r)<1000>" },
	{ "", LINES, "crs\r\r", true, false, "T(crs\r\r)<1000>" },
	{ "", LINES, "\r", true, false, "T(\r)<1000>" },
	{ "", LINES, "\r\n", true, false, "T()<1000>" },
	{ "", LINES, "", true, false, "<1000>" },
	{ "", LINES, "good\nbad \377\nlate\n", false, false, "T(good)<1014>" },
	{ "", LINES, "good\nends \342\202\nlate\n", false, false, "T(good)<1014>" },
	{ "", LINES, "ends \342\202", true, false, "<1014>" },
	{ "MaxMessageSize=5", LINES, "12345\r\n12345\n1234\r\n123456\n", false, false,
	    "T(12345)T(12345)T(1234)<1014>" },
	{ "MaxMessageSize=5", LINES, "123456", false, false, "<1014>" },
	{ "MaxMessageSize=5", LINES, "12345\r6", false, false, "<1014>" },
	{ "", LINES "\nMessageType=binary", "\377\r\n\300\n", true, false, "B(\377)B(\300)<1000>" },
	{ "", STREAM, "any\377\300 bytes\r\n", true, true, "any\377\300 bytes\r\n<1000>" },
	{ "", TEXT_STREAM, "a\303\244\342\202\254\360\235\204\236z\n", true, true,
	    "a\303\244\342\202\254\360\235\204\236z\n<1000>" },
	{ "MaxMessageSize=3", TEXT_STREAM, "\342\202\254\342\202\254\360\235\204\236aaaaaaaa", true,
	    true, "\342\202\254\342\202\254\360\235\204\236aaaaaaaa<1000>" },
	{ "MaxMessageSize=1", STREAM, "abcdefgh", true, true, "abcdefgh<1000>" },
	{ "", TEXT_STREAM, "\342\202\254 \342\202", true, true, "\342\202\254 <1014>" },
};

/* The application says it in three pieces, cut at i and k. */
static void
from_in_pieces(const struct from_row *r, size_t i, size_t k)
{
	size_t n = strlen(r->in);
	const char *got;

	uw_open();
	uw_give(&uw.app, r->in, i);
	uw_give(&uw.app, r->in + i, k - i);
	uw_give(&uw.app, r->in + k, n - k);
	if (r->end)
		uw_give_end(&uw.app);
	got = uw_heard(r->joined);
	ck_assert_msg(strcmp(got, r->heard) == 0, "%s: \"%s\" cut at %zu and %zu is heard as %s",
	    r->backend, r->in, i, k, got);
	ck_assert_int_eq(uw.app.closed || uw.app.aborted, strchr(r->heard, '<') != NULL);
	ck_assert_int_eq(uw.app.aborted, strstr(r->heard, "<1014>") != NULL && !r->end);
	uw_drop();
}

START_TEST(ws_raw_makes_the_same_messages_of_any_split)
{
	for (size_t row = 0; row < UNIT_COUNT(from_rows); row++) {
		size_t n = strlen(from_rows[row].in);

		uw_setup(from_rows[row].route, from_rows[row].backend);
		for (size_t i = 0; i <= n; i++)
			for (size_t k = i; k <= n; k++)
				from_in_pieces(&from_rows[row], i, k);
		uw_clear();
	}
}
END_TEST

/* What stands before the bad byte may be heard, as far as it came before. */
START_TEST(ws_raw_refuses_a_stream_that_is_not_text)
{
	static const struct {
		const char *good, *bad;
	} rows[] = {
		{ "", "\377" },
		{ "abc", "\300\200" },
		{ "\342\202\254", "\342\202(" },
		{ "z", "\355\240\200" },
		{ "", "\360\200\200\200" },
	};
	char in[64], good[64];

	uw_setup("", TEXT_STREAM);
	for (size_t row = 0; row < UNIT_COUNT(rows); row++) {
		size_t n = (size_t)snprintf(in, sizeof(in), "%s%s", rows[row].good, rows[row].bad);

		for (size_t i = 0; i <= n; i++) {
			const char *got;

			uw_open();
			uw_give(&uw.app, in, i);
			uw_give(&uw.app, in + i, n - i);
			got = uw_heard(true);
			snprintf(good, sizeof(good), "%s<1014>", i > 0 ? rows[row].good : "");
			ck_assert_msg(strcmp(got, good) == 0 || strcmp(got, "<1014>") == 0 ||
				(i < strlen(rows[row].good) && strncmp(got, in, i) == 0),
			    "\"%s\" cut at %zu is heard as %s", in, i, got);
			ck_assert(uw.app.aborted);
			uw_drop();
		}
	}
	uw_clear();
}
END_TEST

START_TEST(ws_raw_keeps_to_the_largest_message)
{
	struct ws_frame f;

	uw_setup("MaxMessageSize=10", TEXT_STREAM);
	uw_open();
	uw_give(&uw.app, STR("\342\202\254\342\202\254\342\202\254\342\202\254aaaaaaaaaaa"));
	for (size_t at = 0; at < uw.client.n; at += f.header_n + (size_t)f.length) {
		ck_assert_int_eq(
		    ws_frame_read(uw.client.out + at, uw.client.n - at, &f), WS_FRAME_OK);
		ck_assert_uint_le(f.length, 10);
	}
	ck_assert_str_eq(uw_heard(false),
	    "T(\342\202\254\342\202\254\342\202\254)T(\342\202\254aaaaaaa)T(aaaa)");
	uw_drop();
	uw_clear();
}
END_TEST

/* ---- from the client */

/* The messages before the bad one: whole, whatever follows. */
static void
say_good(void)
{
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "one");
	uw_say(FIN | WS_TEXT, "");
	uw_say(WS_TEXT, "in ");
	uw_say(FIN | WS_PING, "ping");
	uw_say(WS_CONT, "");
	uw_say(FIN | WS_CONT, "pieces");
}

#define GOOD_LINES "one\n\nin pieces\n"
#define GOOD_STREAM "onein pieces"

static bool
app_got(const char *text)
{
	return uw.app.n == strlen(text) && memcmp(uw.app.out, text, uw.app.n) == 0;
}

static void
client_in_pieces(size_t i, size_t k)
{
	uw_open();
	uw_give(&uw.client, uw_said.p, i);
	uw_give(&uw.client, uw_said.p + i, k - i);
	uw_give(&uw.client, uw_said.p + k, uw_said.n - k);
}

START_TEST(ws_raw_sends_the_same_bytes_of_any_split)
{
	static const char *const rows[][2] = {
		{ STREAM, GOOD_STREAM "two\377" },
		{ LINES "\nMessageType=binary", GOOD_LINES "two\377\n" },
	};

	say_good();
	uw_say(FIN | WS_BINARY, "two\377");
	for (size_t row = 0; row < UNIT_COUNT(rows); row++) {
		uw_setup("", rows[row][0]);
		for (size_t i = 0; i <= uw_said.n; i++)
			for (size_t k = i; k <= uw_said.n; k++) {
				client_in_pieces(i, k);
				ck_assert_msg(app_got(rows[row][1]), "%s cut at %zu and %zu: %.*s",
				    rows[row][0], i, k, (int)uw.app.n, (char *)uw.app.out);
				ck_assert_str_eq(uw_heard(false), "[ping]");
				uw_drop();
				ck_assert(uw.app.closed);
			}
		uw_clear();
	}
}
END_TEST

/*
 * What the protocol cannot carry ends the WebSocket: all messages before it are delivered, and a
 * part of the bad one only together with an abort.
 */
static void
expect_refusal(const char *backend, const char *good, const char *code)
{
	size_t n = strlen(good);

	uw_setup("MaxMessageSize=20", backend);
	for (size_t i = 0; i <= uw_said.n; i++)
		for (size_t k = i; k <= uw_said.n; k++) {
			client_in_pieces(i, k);
			ck_assert_msg(uw.app.n >= n && memcmp(uw.app.out, good, n) == 0 &&
				uw.app.aborted == (uw.app.n > n) &&
				uw.app.closed == !uw.app.aborted,
			    "%s cut at %zu and %zu: %.*s%s", backend, i, k, (int)uw.app.n,
			    (char *)uw.app.out, uw.app.aborted ? ", aborted" : "");
			ck_assert_str_eq(uw_heard(false), code);
			ck_assert(uw.client.closed);
			uw_drop();
		}
	client_in_pieces(uw_said.n, uw_said.n);
	ck_assert(app_got(good) && uw.app.closed);
	uw_drop();
	uw_clear();
}

START_TEST(ws_raw_refuses_lines_that_are_none)
{
	static const char *const with_lf[] = { "two\nlines", "\n", "end\n" };

	for (size_t i = 0; i < UNIT_COUNT(with_lf); i++) {
		say_good();
		uw_say(FIN | WS_TEXT, with_lf[i]);
		uw_say(FIN | WS_TEXT, "late");
		expect_refusal(LINES, GOOD_LINES, "[ping]<1007>");
	}
	say_good();
	uw_say(FIN | WS_TEXT, "bad \377\377");
	expect_refusal(LINES, GOOD_LINES, "[ping]<1007>");
	say_good();
	uw_say(FIN | WS_BINARY, "bytes");
	expect_refusal(LINES, GOOD_LINES, "[ping]<1003>");
	say_good();
	uw_say(FIN | WS_TEXT, "longer than twenty bytes");
	expect_refusal(LINES, GOOD_LINES, "[ping]<1009>");
	say_good();
	uw_said.p[uw_said.n++] = FIN | WS_CONT;
	uw_said.p[uw_said.n++] = 0x80;
	expect_refusal(LINES, GOOD_LINES, "[ping]<1002>");
}
END_TEST

/* A part of the message went out with an earlier frame. */
START_TEST(ws_raw_aborts_when_a_part_of_a_message_stays_one)
{
	static const struct {
		const char *backend, *got;
	} rows[] = { { STREAM, "a part" }, { LINES, "a part" } };

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		uw_setup("", rows[i].backend);
		for (int how = 0; how < 3; how++) {
			uw_open();
			uw_said.n = 0;
			uw_say(WS_TEXT, "a part");
			uw_give(&uw.client, uw_said.p, uw_said.n);
			ck_assert(app_got(rows[i].got));
			uw_said.n = 0;
			uw_say(FIN | WS_TEXT, "no continuation");
			if (how == 0)
				uw_give(&uw.client, uw_said.p, uw_said.n);
			else if (how == 1)
				uw_give_end(&uw.client);
			else
				uw_give_reset(&uw.client);
			ck_assert(app_got(rows[i].got));
			ck_assert(uw.app.aborted);
			uw_drop();
		}
		uw_clear();
	}
}
END_TEST

/* ---- how it ends */

START_TEST(ws_raw_lets_the_application_finish_after_the_clients_close)
{
	static const char *const backends[] = { STREAM, LINES };

	for (size_t i = 0; i < UNIT_COUNT(backends); i++) {
		uw_setup("", backends[i]);
		uw_open();
		uw_said.n = 0;
		uw_say(FIN | WS_TEXT, "ask");
		uw_say(FIN | WS_CLOSE,
		    "\x0f\xa0"
		    "bye");
		uw_say(FIN | WS_TEXT, "after the Close");
		uw_give(&uw.client, uw_said.p, uw_said.n);
		ck_assert(uw.app.ended && !uw.app.closed && uw.client.n == 0);
		ck_assert_int_eq(memcmp(uw.app.out, "ask", 3), 0);
		uw_give(&uw.app, STR("answer\n"));
		ck_assert(!uw.app.closed && !uw.client.closed);
		uw_give_end(&uw.app);
		ck_assert_str_eq(uw_heard(false), i == 0 ? "B(answer\n)<4000>" : "T(answer)<4000>");
		ck_assert(uw.app.closed && uw.client.closed);
		uw_drop();
		/* A reset instead: nobody else answers the client. */
		uw_open();
		uw_give(&uw.client, uw_said.p, uw_said.n);
		uw_give_reset(&uw.app);
		ck_assert_str_eq(uw_heard(false), "<4000>");
		ck_assert(uw.client.closed);
		uw_drop();
		uw_clear();
	}
}
END_TEST

START_TEST(ws_raw_tells_a_reset_by_1014)
{
	uw_setup("", STREAM);
	uw_open();
	uw_give(&uw.app, STR("words"));
	uw_give_reset(&uw.app);
	ck_assert_str_eq(uw_heard(false), "B(words)<1014>");
	ck_assert(!uw.client.closed);
	uw_said.n = 0;
	uw_say(FIN | WS_CLOSE, "\x03\xf6");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(uw.client.closed);
	uw_drop();
	uw_clear();
}
END_TEST

/* After the gateway's own Close the application is not passed on, and its end is noticed. */
START_TEST(ws_raw_drain)
{
	uw_setup("", LINES);
	uw_open();
	uw_give(&uw.app, STR("line\nhalf"));
	ck_assert(ws_drain(uw.gw->sessions));
	ck_assert_str_eq(uw_heard(false), "T(line)<1001>");
	uw_give(&uw.app, STR(" a line\n"));
	uw_give_end(&uw.app);
	ck_assert(uw.app.closed && !uw.client.closed);
	uw_said.n = 0;
	uw_say(FIN | WS_CLOSE, "\x03\xe9");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert(uw.client.closed);
	ck_assert_str_eq(uw_heard(false), "T(line)<1001>");
	uw_drop();
	uw_clear();
}
END_TEST

/* ---- back-pressure */

START_TEST(ws_raw_holds_whoever_fills_the_other)
{
	uw_setup("", STREAM);
	uw_open();
	ck_assert_uint_eq(uw.app.s.ev->budget(&uw.app.s), UW_LIMIT);
	uw.client.queued = UW_LIMIT / 2 + 1;
	uw_give(&uw.app, STR("x"));
	ck_assert_int_eq(uw.app.s.holds, STREAM_HOLD_PEER);
	ck_assert_int_eq(uw.client.s.holds, 0);
	ck_assert_uint_lt(uw.app.s.ev->budget(&uw.app.s), UW_LIMIT);
	uw.client.queued = 0;
	uw.client.s.ev->room(&uw.client.s);
	ck_assert_int_eq(uw.app.s.holds, 0);

	uw.app.queued = UW_LIMIT / 2 + 1;
	uw_said.n = 0;
	uw_say(FIN | WS_TEXT, "x");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_int_eq(uw.client.s.holds, STREAM_HOLD_PEER);
	ck_assert_int_eq(uw.app.s.holds, 0);
	uw.app.queued = 0;
	uw.app.s.ev->room(&uw.app.s);
	ck_assert_int_eq(uw.client.s.holds, 0);
	uw_drop();
	uw_clear();
}
END_TEST

START_TEST(ws_raw_answers_the_last_of_the_pings_that_wait)
{
	uw_setup("", STREAM);
	uw_open();
	uw.client.queued = UW_LIMIT;
	for (int i = 0; i < 1000; i++) {
		uw_said.n = 0;
		uw_say(FIN | WS_PING, "one of many");
		uw_say(FIN | WS_PING, i == 500 ? "" : "the last");
		uw_give(&uw.client, uw_said.p, uw_said.n);
	}
	ck_assert_uint_eq(uw.client.n, 0);
	uw.client.queued = 0;
	uw.client.s.ev->room(&uw.client.s);
	ck_assert_str_eq(uw_heard(false), "[the last]");
	uw.client.s.ev->room(&uw.client.s);
	uw_said.n = 0;
	uw_say(FIN | WS_PING, "now");
	uw_give(&uw.client, uw_said.p, uw_said.n);
	ck_assert_str_eq(uw_heard(false), "[the last][now]");
	/* One that still waits goes with the WebSocket. */
	uw.client.queued = UW_LIMIT;
	uw_give(&uw.client, uw_said.p, uw_said.n);
	uw_drop();
	uw_clear();
}
END_TEST

/* ---- without memory */

/* What a WebSocket does, with the n-th allocation failing; false when none is left to fail. */
static bool
talk_without(unsigned long n, const char *backend, const char *app_says, const char *expected)
{
	bool pending;

	uw_setup("", backend);
	mem_fail_nth(n);
	if (uw_try_open(NULL) == 0) {
		uw_give(&uw.client, uw_said.p, 5);
		uw_give(&uw.client, uw_said.p + 5, uw_said.n - 8);
		uw_give(&uw.client, uw_said.p + uw_said.n - 3, 3);
		uw.client.queued = UW_LIMIT;
		uw_give(&uw.client, uw_said.p, uw_said.n);
		uw.client.queued = 0;
		if (uw.client.s.ev != NULL)
			uw.client.s.ev->room(&uw.client.s);
		uw_give(&uw.app, app_says, strlen(app_says));
		uw_give_end(&uw.app);
		ck_assert(strstr(uw_heard(false), expected) != NULL ||
		    strstr(uw_heard(false), "<1011>") != NULL);
		if (uw.client.s.ev != NULL)
			uw_give_reset(&uw.client);
		ck_assert(uw.app.closed || uw.app.aborted);
	}
	pending = mem_fail_pending();
	mem_fail_nth(0);
	ck_assert_ptr_null(uw.gw->sessions);
	uw_clear();
	return !pending;
}

START_TEST(ws_raw_without_memory)
{
	unsigned long n;

	say_good();
	for (n = 1; talk_without(n, LINES, "one\r\ntwo", "T(one)T(two)<1000>"); n++)
		ck_assert_uint_lt(n, 1000);
	ck_assert_uint_gt(n, 3);
	for (n = 1; talk_without(n, TEXT_STREAM, "text", "T(text)<1000>"); n++)
		ck_assert_uint_lt(n, 1000);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_raw_makes_the_same_messages_of_any_split,
		ws_raw_refuses_a_stream_that_is_not_text,
		ws_raw_keeps_to_the_largest_message,
		ws_raw_sends_the_same_bytes_of_any_split,
		ws_raw_refuses_lines_that_are_none,
		ws_raw_aborts_when_a_part_of_a_message_stays_one,
		ws_raw_lets_the_application_finish_after_the_clients_close,
		ws_raw_tells_a_reset_by_1014,
		ws_raw_drain,
		ws_raw_holds_whoever_fills_the_other,
		ws_raw_answers_the_last_of_the_pings_that_wait,
		ws_raw_without_memory,
	};

	return unit_run("ws_raw", cases, UNIT_COUNT(cases));
}
