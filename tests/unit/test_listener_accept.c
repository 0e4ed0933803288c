/* Unit tests of src/io/listener.[ch]: accepting, stopping, and the pause without descriptors. */
#include <sys/resource.h>

#include <time.h>

#include "unit_listener.h"

START_TEST(listener_stopped_does_not_accept_and_starts_again)
{
	struct owner o;
	int fd;

	owner_init(&o, "127.0.0.1:0");
	listener_stop(o.l);
	listener_stop(o.l);
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	unit_loop_turns(o.loop, 5);
	ck_assert_uint_eq(o.accepted, 0);
	owner_start(&o);
	owner_accept(&o, 1);
	owner_clear(&o);
	close(fd);
}
END_TEST

/* Three clients are in the backlog when the callback stops or frees the listener. */
static void
listener_test_change_in_accept(bool stop, bool restart, bool gone)
{
	struct owner o;
	int fd[3];

	owner_init(&o, "127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		ck_assert_int_ne(fd[i] = listener_test_connect(listener_name(o.l)), -1);
	o.stop_in_accept = stop;
	o.restart_in_accept = restart;
	o.free_in_accept = gone;
	o.stop_at = restart ? 3 : 1;
	unit_loop_run(o.loop);
	unit_loop_turns(o.loop, 5);
	ck_assert_uint_eq(o.accepted, restart ? 3 : 1);
	owner_clear(&o);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

START_TEST(listener_may_be_stopped_and_freed_while_accepting)
{
	listener_test_change_in_accept(true, false, false);
	listener_test_change_in_accept(true, true, false);
	listener_test_change_in_accept(false, false, true);
	listener_test_change_in_accept(true, false, true);
}
END_TEST

START_TEST(listener_accepts_at_most_64_a_turn)
{
	static const unsigned want[] = { 64, 128, 150 };
	struct place p;
	struct owner o;
	int fd[150];

	place_init(&p);
	owner_init(&o, p.text);
	for (size_t i = 0; i < UNIT_COUNT(fd); i++)
		ck_assert_int_ne(fd[i] = listener_test_connect(p.text), -1);
	for (size_t i = 0; i < UNIT_COUNT(want); i++) {
		o.stop_at = o.accepted + 1; /* the turn goes on to its end */
		unit_loop_run(o.loop);
		ck_assert_uint_eq(o.accepted, want[i]);
	}
	for (size_t i = 0; i < UNIT_COUNT(fd); i++)
		close(fd[i]);
	owner_clear(&o);
	place_clear(&p);
}
END_TEST

static uint64_t
listener_test_cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Not one more descriptor can be had. */
static void
low_limit_set(struct rlimit *old)
{
	int lowest = dup(0);
	struct rlimit lim;

	ck_assert_int_ne(lowest, -1);
	close(lowest);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, old), 0);
	lim = *old;
	lim.rlim_cur = (rlim_t)lowest;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void
low_limit_clear(const struct rlimit *old)
{
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, old), 0);
}

START_TEST(listener_pauses_without_descriptors_and_goes_on_by_itself)
{
	struct rlimit low;
	struct owner o;
	uint64_t cpu;
	int fd[3];

	owner_init(&o, "127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		ck_assert_int_ne(fd[i] = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = true;
	unit_loop_run(o.loop);
	ck_assert_int_eq(o.pause_err, EMFILE);
	/* Several tries, which tell nothing new and cost nothing. */
	cpu = listener_test_cpu_ms();
	unit_wait_ms(o.loop, 400);
	ck_assert_uint_lt(listener_test_cpu_ms() - cpu, 200);
	ck_assert_uint_eq(o.pauses, 1);
	ck_assert_uint_eq(o.resumes, 0);
	ck_assert_uint_eq(o.accepted, 0);
	low_limit_clear(&low);
	owner_accept(&o, 3);
	ck_assert_uint_eq(o.resumes, 1);
	/* and it is the event again that tells, not the timer */
	close(fd[0]);
	ck_assert_int_ne(fd[0] = listener_test_connect(listener_name(o.l)), -1);
	owner_accept(&o, 1);
	ck_assert_uint_eq(o.pauses, 1);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	owner_clear(&o);
}
END_TEST

START_TEST(listener_goes_on_when_no_client_waits_any_more)
{
	struct rlimit low;
	struct owner o;
	int fd, listening;

	owner_init(&o, "127.0.0.1:0");
	listener_free(o.l);
	listening = dup(0); /* the number that the next socket gets */
	close(listening);
	o.l = listener_test_open("127.0.0.1:0");
	owner_start(&o);
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = true;
	unit_loop_run(o.loop);
	low_limit_clear(&low);
	close(accept(listening, NULL, NULL)); /* somebody else took it */
	unit_wait_ms(o.loop, 250);
	ck_assert_uint_eq(o.resumes, 1);
	ck_assert_uint_eq(o.accepted, 0);
	close(fd);
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	owner_accept(&o, 1);
	owner_clear(&o);
	close(fd);
}
END_TEST

START_TEST(listener_may_be_stopped_or_freed_in_a_pause)
{
	struct rlimit low;
	struct owner o;
	int fd;

	owner_init(&o, "127.0.0.1:0");
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = true;
	unit_loop_run(o.loop);
	low_limit_clear(&low);
	listener_stop(o.l);
	unit_wait_ms(o.loop, 200);
	ck_assert_uint_eq(o.accepted + o.resumes, 0);
	owner_start(&o);
	o.pauses = 0;
	owner_accept(&o, 1);
	ck_assert_uint_eq(o.resumes, 0); /* a start is not a going on */
	owner_clear(&o);
	close(fd);
}
END_TEST

START_TEST(listener_may_be_freed_when_told_that_it_goes_on)
{
	struct rlimit low;
	struct owner o;
	int fd;

	owner_init(&o, "127.0.0.1:0");
	ck_assert_int_ne(fd = listener_test_connect(listener_name(o.l)), -1);
	low_limit_set(&low);
	o.stop_on_pause = o.free_in_resume = true;
	unit_loop_run(o.loop);
	low_limit_clear(&low);
	unit_loop_run(o.loop);
	unit_loop_turns(o.loop, 3);
	ck_assert_uint_eq(o.resumes, 1);
	ck_assert_uint_eq(o.accepted, 0);
	owner_clear(&o);
	close(fd);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		listener_stopped_does_not_accept_and_starts_again,
		listener_may_be_stopped_and_freed_while_accepting,
		listener_accepts_at_most_64_a_turn,
		listener_pauses_without_descriptors_and_goes_on_by_itself,
		listener_goes_on_when_no_client_waits_any_more,
		listener_may_be_stopped_or_freed_in_a_pause,
		listener_may_be_freed_when_told_that_it_goes_on,
	};

	return unit_run("listener_accept", cases, UNIT_COUNT(cases));
}
