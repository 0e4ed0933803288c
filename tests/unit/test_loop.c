/* Unit tests of src/io/loop.[ch]. */
#include "io/loop.h"

#include <pthread.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "unit_io.h"

/* What happened, in its order, as letters. */
struct trace {
	char text[64];
	size_t n;
};

static void
trace_add(struct trace *tr, char c)
{
	ck_assert_uint_lt(tr->n, sizeof(tr->text) - 1);
	tr->text[tr->n++] = c;
	tr->text[tr->n] = '\0';
}

struct step {
	struct loop_task task;
	struct loop_timer timer;
	struct loop_msg msg;
	struct loop *loop;
	struct trace *trace;
	struct step *then; /* the next one to be queued, if any */
	char letter;
	uint64_t due_ms;
};

static void
step_on_task(struct loop_task *t)
{
	struct step *s = (struct step *)((char *)t - offsetof(struct step, task));

	trace_add(s->trace, s->letter);
	if (s->then != NULL)
		loop_later(s->loop, &s->then->task, step_on_task);
}

static void
step_on_timer(struct loop_timer *t)
{
	struct step *s = (struct step *)((char *)t - offsetof(struct step, timer));

	ck_assert_uint_ge(clock_mono_ms(), s->due_ms);
	trace_add(s->trace, s->letter);
	if (s->then == NULL) {
		loop_stop(s->loop);
		return;
	}
	s->then->due_ms = loop_now_ms(s->loop) + 10;
	loop_timer_arm(s->loop, &s->then->timer, s->then->due_ms);
}

static void
step_on_msg(struct loop_msg *m, struct loop *l)
{
	struct step *s = (struct step *)((char *)m - offsetof(struct step, msg));

	ck_assert_ptr_eq(s->loop, l);
	trace_add(s->trace, s->letter);
	if (s->then != NULL)
		loop_post(l, &s->then->msg);
	else
		loop_stop(l);
}

static void
step_init(struct step *s, struct loop *l, struct trace *tr, char letter)
{
	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->trace = tr;
	s->letter = letter;
	s->timer.fn = step_on_timer;
	s->msg.fn = step_on_msg;
}

static void
steps_init(struct step *s, size_t n, struct loop *l, struct trace *tr)
{
	for (size_t i = 0; i < n; i++)
		step_init(&s[i], l, tr, (char)('a' + (int)i));
}

START_TEST(loop_runs_tasks_in_order_and_each_once)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[3];

	steps_init(s, 3, l, &tr);
	for (int i = 0; i < 3; i++)
		loop_later(l, &s[i].task, step_on_task);
	loop_later(l, &s[0].task, step_on_task);
	ck_assert_uint_eq(tr.n, 0);
	unit_loop_turns(l, 3);
	ck_assert_str_eq(tr.text, "abc");
	loop_later(l, &s[1].task, step_on_task);
	unit_loop_turns(l, 1);
	ck_assert_str_eq(tr.text, "abcb");
	loop_free(l);
}
END_TEST

START_TEST(loop_runs_a_task_that_a_task_queued_in_the_same_turn)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[3];

	steps_init(s, 3, l, &tr);
	s[0].then = &s[2];
	loop_later(l, &s[0].task, step_on_task);
	loop_later(l, &s[1].task, step_on_task);
	unit_loop_turns(l, 1);
	ck_assert_str_eq(tr.text, "abc");
	loop_free(l);
}
END_TEST

static void
step_on_next(struct loop_task *t)
{
	struct step *s = (struct step *)((char *)t - offsetof(struct step, task));

	trace_add(s->trace, s->letter);
	s->due_ms = loop_turn(s->loop);
	loop_stop(s->loop);
}

static void
step_on_again(struct loop_task *t)
{
	struct step *s = (struct step *)((char *)t - offsetof(struct step, task));

	trace_add(s->trace, s->letter);
	s->due_ms = loop_turn(s->loop);
	loop_next(s->loop, t, step_on_next);
}

START_TEST(loop_next_is_the_next_turn_which_waits_for_nothing)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[3];
	uint64_t turn;

	steps_init(s, 3, l, &tr);
	/* Nothing else would end epoll_wait. */
	loop_later(l, &s[0].task, step_on_again);
	unit_loop_run(l);
	ck_assert_str_eq(tr.text, "aa");
	turn = s[0].due_ms;
	loop_next(l, &s[1].task, step_on_task);
	loop_next(l, &s[1].task, step_on_task);
	loop_next(l, &s[2].task, step_on_next);
	unit_loop_run(l);
	ck_assert_str_eq(tr.text, "aabc");
	ck_assert_uint_eq(s[2].due_ms, turn + 1);
	loop_next(l, &s[1].task, step_on_task);
	loop_next(l, &s[2].task, step_on_next);
	loop_next(l, &s[0].task, step_on_task);
	loop_later_cancel(l, &s[0].task);
	loop_later_cancel(l, &s[1].task);
	loop_next(l, &s[1].task, step_on_task);
	unit_loop_run(l);
	ck_assert_str_eq(tr.text, "aabccb");
	loop_free(l);
}
END_TEST

START_TEST(loop_cancels_tasks_wherever_they_stand)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[4];

	steps_init(s, 4, l, &tr);
	for (int cut = 0; cut < 3; cut++) {
		for (int i = 0; i < 3; i++)
			loop_later(l, &s[i].task, step_on_task);
		loop_later_cancel(l, &s[cut].task);
		loop_later_cancel(l, &s[cut].task);
		loop_later(l, &s[3].task, step_on_task); /* the tail is whole */
		unit_loop_turns(l, 1);
	}
	ck_assert_str_eq(tr.text, "bcdacdabd");
	loop_free(l);
}
END_TEST

START_TEST(loop_fires_timers_in_time_and_never_early)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[4];
	uint64_t start = loop_now_ms(l);

	steps_init(s, 4, l, &tr);
	s[0].then = &s[2];
	s[2].then = &s[3];
	s[0].due_ms = start + 30;
	loop_timer_arm(l, &s[0].timer, s[0].due_ms);
	loop_timer_arm(l, &s[1].timer, start + 10);
	loop_timer_stop(l, &s[1].timer);
	loop_timer_stop(l, &s[1].timer);
	unit_loop_run(l);
	ck_assert_str_eq(tr.text, "acd");
	ck_assert_uint_ge(clock_mono_ms() - start, 50);
	loop_free(l);
}
END_TEST

START_TEST(loop_fires_a_timer_that_was_moved_nearer_while_it_waits)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[1];

	steps_init(s, 1, l, &tr);
	loop_timer_arm(l, &s[0].timer, loop_now_ms(l) + 3600 * 1000);
	unit_loop_turns(l, 2);
	s[0].due_ms = loop_now_ms(l) + 16;
	loop_timer_arm(l, &s[0].timer, s[0].due_ms);
	unit_loop_run(l);
	ck_assert_str_eq(tr.text, "a");
	loop_free(l);
}
END_TEST

START_TEST(loop_fires_a_timer_in_the_past_at_once)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[1];

	steps_init(s, 1, l, &tr);
	loop_timer_arm(l, &s[0].timer, 0);
	unit_loop_run(l);
	ck_assert_str_eq(tr.text, "a");
	loop_free(l);
}
END_TEST

static void
loop_test_spin_until_later(uint64_t ms)
{
	while (clock_mono_ms() <= ms + 1)
		continue;
}

static void
loop_test_on_clock_task(struct loop_task *t)
{
	struct step *s = (struct step *)((char *)t - offsetof(struct step, task));
	uint64_t now = loop_now_ms(s->loop);

	loop_test_spin_until_later(now);
	ck_assert_uint_eq(loop_now_ms(s->loop), now);
	s->due_ms = now;
}

START_TEST(loop_reads_the_clock_once_a_turn)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[1];

	steps_init(s, 1, l, &tr);
	loop_later(l, &s[0].task, loop_test_on_clock_task);
	unit_loop_turns(l, 2);
	ck_assert_uint_gt(loop_now_ms(l), s[0].due_ms);
	loop_free(l);
}
END_TEST

START_TEST(loop_takes_mail_in_order_and_mail_of_its_own)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct step s[4];

	steps_init(s, 4, l, &tr);
	s[0].then = &s[2];
	s[1].then = &s[3];
	loop_post(l, &s[0].msg);
	loop_post(l, &s[1].msg);
	ck_assert_uint_eq(tr.n, 0);
	unit_loop_run(l);
	/* c stops the loop, but d came with it. */
	ck_assert_str_eq(tr.text, "abcd");
	loop_free(l);
}
END_TEST

#define MAIL_THREADS 4
#define MAIL_EACH 2000

struct mail {
	struct loop_msg msg;
	struct mail_sender *sender;
	unsigned number;
};

struct mail_sender {
	pthread_t thread;
	struct loop *loop;
	unsigned next;	/* the loop's: what is to come from this one */
	unsigned *left; /* the loop's */
};

static void
mail_on_msg(struct loop_msg *m, struct loop *l)
{
	struct mail *mail = (struct mail *)m;
	struct mail_sender *s = mail->sender;

	ck_assert_uint_eq(mail->number, s->next);
	s->next++;
	mem_free(mail);
	if (--*s->left == 0)
		loop_stop(l);
}

static void *
mail_send(void *arg)
{
	struct mail_sender *s = arg;
	struct mail *m;

	for (unsigned i = 0; i < MAIL_EACH; i++) {
		if ((m = mem_zalloc(sizeof(*m))) == NULL)
			abort();
		m->msg.fn = mail_on_msg;
		m->sender = s;
		m->number = i;
		loop_post(s->loop, &m->msg);
	}
	return NULL;
}

START_TEST(loop_takes_mail_of_many_threads)
{
	struct loop *l = loop_new();
	struct mail_sender s[MAIL_THREADS];
	unsigned left = MAIL_THREADS * MAIL_EACH;

	for (int i = 0; i < MAIL_THREADS; i++) {
		s[i] = (struct mail_sender){ .loop = l, .left = &left };
		ck_assert_int_eq(pthread_create(&s[i].thread, NULL, mail_send, &s[i]), 0);
	}
	unit_loop_run(l);
	for (int i = 0; i < MAIL_THREADS; i++) {
		pthread_join(s[i].thread, NULL);
		ck_assert_uint_eq(s[i].next, MAIL_EACH);
	}
	loop_free(l);
}
END_TEST

/* A message that goes to and fro between two loops on two threads. */
struct ball {
	struct loop_msg msg;
	struct loop *ends[2];
	unsigned bounces;
};

static void
ball_on_msg(struct loop_msg *m, struct loop *l)
{
	struct ball *b = (struct ball *)m;
	struct loop *other = b->ends[l == b->ends[0]];

	if (b->bounces < 2)
		loop_stop(l);
	if (b->bounces-- > 0)
		loop_post(other, m);
}

static void *
ball_thread(void *arg)
{
	loop_run(arg);
	return NULL;
}

START_TEST(loop_wakes_from_waiting_for_mail)
{
	struct ball b = { .msg.fn = ball_on_msg, .bounces = 1000 };
	pthread_t thread;

	b.ends[0] = loop_new();
	b.ends[1] = loop_new();
	ck_assert_int_eq(pthread_create(&thread, NULL, ball_thread, b.ends[1]), 0);
	loop_post(b.ends[0], &b.msg);
	unit_loop_run(b.ends[0]);
	pthread_join(thread, NULL);
	loop_free(b.ends[0]);
	loop_free(b.ends[1]);
}
END_TEST

struct late {
	struct loop_task task;
	struct loop_task last;
	struct loop *loop;
	struct trace *trace;
	char letter;
};

static void
late_on_last(struct loop_task *t)
{
	struct late *x = (struct late *)((char *)t - offsetof(struct late, last));

	trace_add(x->trace, x->letter);
}

/* Given away already, but whole until all tasks of the turn ran. */
static void
late_on_task(struct loop_task *t)
{
	struct late *x = (struct late *)((char *)t - offsetof(struct late, task));

	loop_free_later(x->loop, x);
	loop_later(x->loop, &x->last, late_on_last);
	/* The first word belongs to the loop now, the rest is still ours. */
	trace_add(x->trace, x->letter);
}

START_TEST(loop_frees_later_after_the_tasks_of_the_turn)
{
	struct loop *l = loop_new();
	struct trace tr = { .n = 0 };
	struct late *x;

	for (int i = 0; i < 3; i++) {
		x = mem_zalloc(sizeof(*x));
		ck_assert_ptr_nonnull(x);
		x->loop = l;
		x->trace = &tr;
		x->letter = (char)('a' + i);
		loop_later(l, &x->task, late_on_task);
	}
	loop_free_later(l, NULL);
	unit_loop_turns(l, 2);
	ck_assert_str_eq(tr.text, "abcabc");
	loop_free(l);
}
END_TEST

START_TEST(loop_frees_what_is_left_when_it_is_freed)
{
	struct loop *l = loop_new();

	for (size_t n = 8; n < 4096; n *= 2)
		loop_free_later(l, mem_alloc(n));
	loop_free(l); /* the leak sanitizer would tell */
	loop_free(NULL);
}
END_TEST

START_TEST(loop_scratch_has_headroom)
{
	struct loop *l = loop_new();
	uint8_t *p = loop_scratch(l);

	ck_assert_ptr_eq(p, loop_scratch(l));
	memset(p - LOOP_HEADROOM, 0xa5, LOOP_HEADROOM + LOOP_SCRATCH);
	ck_assert_ptr_nonnull(loop_base(l));
	loop_free(l);
}
END_TEST

START_TEST(loop_random_bits_are_all_used)
{
	struct loop *l = loop_new();
	uint32_t ones = 0, zeros = 0, v;

	for (int i = 0; i < 300; i++) {
		v = loop_random(l);
		ones |= v;
		zeros |= ~v;
	}
	ck_assert_uint_eq(ones, UINT32_MAX);
	ck_assert_uint_eq(zeros, UINT32_MAX);
	loop_free(l);
}
END_TEST

START_TEST(loop_new_fails_cleanly_without_memory)
{
	struct loop *l = NULL;
	int fds;

	loop_free(loop_new());
	fds = unit_count_fds();
	for (unsigned long nth = 1; l == NULL; nth++) {
		ck_assert_uint_lt(nth, 10);
		mem_fail_nth(nth);
		l = loop_new();
		if (l != NULL)
			break;
		ck_assert_int_eq(mem_fail_pending(), 0);
		ck_assert_int_eq(unit_count_fds(), fds);
	}
	mem_fail_nth(0);
	loop_free(l);
	ck_assert_int_eq(unit_count_fds(), fds);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		loop_runs_tasks_in_order_and_each_once,
		loop_runs_a_task_that_a_task_queued_in_the_same_turn,
		loop_next_is_the_next_turn_which_waits_for_nothing,
		loop_cancels_tasks_wherever_they_stand,
		loop_fires_timers_in_time_and_never_early,
		loop_fires_a_timer_that_was_moved_nearer_while_it_waits,
		loop_fires_a_timer_in_the_past_at_once,
		loop_reads_the_clock_once_a_turn,
		loop_takes_mail_in_order_and_mail_of_its_own,
		loop_takes_mail_of_many_threads,
		loop_wakes_from_waiting_for_mail,
		loop_frees_later_after_the_tasks_of_the_turn,
		loop_frees_what_is_left_when_it_is_freed,
		loop_scratch_has_headroom,
		loop_random_bits_are_all_used,
		loop_new_fails_cleanly_without_memory,
	};

	return unit_run("loop", cases, UNIT_COUNT(cases));
}
