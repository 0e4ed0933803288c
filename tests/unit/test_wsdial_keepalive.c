/* Unit tests of src/tools/wsdial_keepalive.[ch], in short real time. */
#include "tools/wsdial_keepalive.h"

#include "codec/ws_frame.h"
#include "unit_io.h"

static struct loop *loop;
static struct wsdial_keepalive k;
static struct {
	unsigned pings, pongs, failed, stop_at;
	uint8_t token[WSDIAL_TOKEN_N], tokens[8][WSDIAL_TOKEN_N];
	bool answer;
} u;

static void
on_send(void *arg, uint8_t opcode, const void *p, size_t n)
{
	ck_assert_ptr_eq(arg, &u);
	if (opcode == WS_PONG) {
		ck_assert_uint_eq(n, 0);
		u.pongs++;
	} else {
		ck_assert_uint_eq(opcode, WS_PING);
		ck_assert_uint_eq(n, WSDIAL_TOKEN_N);
		memcpy(u.token, p, n);
		memcpy(u.tokens[u.pings++ % 8], p, n);
		if (u.answer) {
			wsdial_keepalive_heard(&k);
			ck_assert(wsdial_keepalive_take(&k, p, n));
		}
	}
	if (u.pings + u.pongs == u.stop_at)
		loop_stop(loop);
}

static void
on_failed(void *arg)
{
	ck_assert_ptr_eq(arg, &u);
	u.failed++;
	loop_stop(loop);
}

static const struct wsdial_keepalive_ops ops = { .send = on_send, .failed = on_failed };

static void
begin(void)
{
	memset(&u, 0, sizeof(u));
	memset(&k, 0, sizeof(k));
	ck_assert_ptr_nonnull(loop = loop_new());
}

static void
finish(void)
{
	wsdial_keepalive_stop(&k);
	loop_free(loop);
}

START_TEST(wsdial_keepalive_is_off_without_an_interval)
{
	wsdial_keepalive_stop(&k); /* was never started */
	wsdial_keepalive_start(&k, loop, 0, 10, &ops, &u);
	unit_loop_turns(loop, 3);
	ck_assert(!wheel_armed(&k.timer.w));
	ck_assert_uint_eq(u.pings + u.pongs + u.failed, 0);
}
END_TEST

START_TEST(wsdial_keepalive_sends_pongs_without_a_timeout)
{
	u.stop_at = 3;
	wsdial_keepalive_start(&k, loop, 20, 0, &ops, &u);
	unit_loop_run(loop);
	ck_assert_uint_eq(u.pongs, 3);
	ck_assert_uint_eq(u.pings + u.failed, 0);
}
END_TEST

START_TEST(wsdial_keepalive_pings_with_fresh_tokens)
{
	u.stop_at = 4;
	u.answer = true;
	wsdial_keepalive_start(&k, loop, 20, 5000, &ops, &u);
	unit_loop_run(loop);
	ck_assert_uint_eq(u.pings, 4);
	ck_assert_uint_eq(u.failed, 0);
	for (unsigned i = 1; i < 4; i++)
		ck_assert_int_ne(memcmp(u.tokens[i - 1], u.tokens[i], WSDIAL_TOKEN_N), 0);
}
END_TEST

START_TEST(wsdial_keepalive_fails_without_its_pong)
{
	uint8_t other[WSDIAL_TOKEN_N] = { 0 };

	u.stop_at = 1;
	wsdial_keepalive_start(&k, loop, 20, 60, &ops, &u);
	unit_loop_run(loop);
	ck_assert(!wsdial_keepalive_take(&k, other, sizeof(other)));
	ck_assert(!wsdial_keepalive_take(&k, u.token, sizeof(u.token) - 1));
	/* What else comes does not stand for it. */
	wsdial_keepalive_heard(&k);
	unit_loop_run(loop);
	ck_assert_uint_eq(u.failed, 1);
	ck_assert_uint_eq(u.pings, 1);
	ck_assert(!wheel_armed(&k.timer.w));
	ck_assert(!wsdial_keepalive_take(&k, u.token, sizeof(u.token)));
}
END_TEST

START_TEST(wsdial_keepalive_takes_a_pong_that_lay_unread)
{
	u.stop_at = 1;
	wsdial_keepalive_start(&k, loop, 20, 60, &ops, &u);
	unit_loop_run(loop);
	/* The loop stood still for longer than the timeout; then the PONG is read. */
	usleep(150 * 1000);
	unit_loop_turns(loop, 1);
	ck_assert_uint_eq(u.failed, 0);
	wsdial_keepalive_heard(&k);
	ck_assert(wsdial_keepalive_take(&k, u.token, sizeof(u.token)));
	u.stop_at = 2;
	unit_loop_run(loop);
	ck_assert_uint_eq(u.failed, 0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_keepalive_is_off_without_an_interval,
		wsdial_keepalive_sends_pongs_without_a_timeout,
		wsdial_keepalive_pings_with_fresh_tokens,
		wsdial_keepalive_fails_without_its_pong,
		wsdial_keepalive_takes_a_pong_that_lay_unread,
	};

	return unit_run_with("wsdial_keepalive", cases, UNIT_COUNT(cases), begin, finish);
}
