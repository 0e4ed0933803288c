/*
 * Unit tests of src/base/log_writer.c and log_limit.c: the thread that writes, so that nobody else
 * waits, and messages that are limited because peers can cause them.
 */
#include <poll.h>

#include "base/log_int.h"
#include "unit_log.h"

/* ---- the writer's thread */

/* A pipe as standard error; its reading end. */
static int
log_catch_pipe(void)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	log_take_stderr(fds[1]);
	return fds[0];
}

static struct log *
log_new_started(const char *target, struct log *tell)
{
	struct log *log = log_new(target, LOG_L_INFO, LOG_F_TEXT);

	ck_assert_ptr_nonnull(log);
	log_start(log, tell, true);
	return log;
}

/* Wait until a file's text contains this. */
static void
log_wait_file(const char *path, const char *text)
{
	uint64_t end = clock_mono_ms() + 20000;
	char *got = NULL;

	do {
		free(got);
		ck_assert_uint_lt(clock_mono_ms(), end);
		got = access(path, F_OK) == 0 ? log_read_file(path) : strdup("");
	} while (strstr(got, text) == NULL);
	free(got);
}

START_TEST(log_writer_writes_all_lines_in_their_order)
{
	struct log *log = log_new_started(log_path, NULL);
	char *text, *line, want[64];

	for (int i = 0; i < 20000; i++) {
		snprintf(want, sizeof(want), "line %d", i);
		log_raw(log, want, strlen(want));
		if (i % 1000 == 0)
			log_wait_file(log_path, want);
	}
	log_free(log);
	line = text = log_read_file(log_path);
	for (int i = 0; i < 20000; i++) {
		int n = snprintf(want, sizeof(want), "line %d\n", i);

		ck_assert(strncmp(line, want, (size_t)n) == 0);
		line += n;
	}
	ck_assert_str_eq(line, "");
	free(text);
}
END_TEST

/*
 * The point of it: a pipe that nobody reads costs who logs no time, and an end no more than a
 * second.
 */
START_TEST(log_writer_makes_nobody_wait_for_a_full_pipe)
{
	int fd = log_catch_pipe();
	struct log *log = log_new_started("stderr", NULL);
	char *text = log_long_text(1000), last[64];
	uint64_t start = clock_mono_ms(), worst = 0, before;
	unsigned int lines;

	for (int i = 0; i < 5000; i++) {
		before = clock_mono_ms();
		log_info(log, "%s", text);
		worst = clock_mono_ms() - before > worst ? clock_mono_ms() - before : worst;
	}
	/* Each would have waited 100 ms. */
	ck_assert_uint_lt(clock_mono_ms() - start, 20000);
	ck_assert_uint_gt(log_lost(log), 3000);
	ck_assert_uint_lt(log_lost(log), 5000);
	/* When somebody reads again, the rest comes, whole, and how many are missing. */
	lines = 0;
	do {
		lines += log_drain(fd, last, sizeof(last));
		ck_assert_uint_lt(clock_mono_ms() - start, 40000);
	} while (strstr(last, " log lines were lost") == NULL);
	ck_assert_uint_eq(lines - 1 + log_lost(log), 5000);
	log_info(log, "again");
	log_free(log);
	ck_assert_uint_eq(log_drain(fd, last, sizeof(last)), 1);
	ck_assert_str_eq(last, "info: again");
	/* An end with a full pipe. */
	log = log_new_started("stderr", NULL);
	for (int i = 0; i < 200; i++)
		log_info(log, "%s", text);
	start = clock_mono_ms();
	log_free(log);
	ck_assert_uint_lt(clock_mono_ms() - start, 20000);
	free(text);
	close(fd);
}
END_TEST

START_TEST(log_writer_survives_a_reader_that_left)
{
	struct log *log;
	uint64_t end = clock_mono_ms() + 20000;

	signal(SIGPIPE, SIG_DFL);
	close(log_catch_pipe());
	log = log_new_started("stderr", NULL);
	for (int i = 0; i < 10; i++)
		log_error(log, "nobody");
	while (log_lost(log) < 10)
		ck_assert_uint_lt(clock_mono_ms(), end);
	log_free(log);
}
END_TEST

START_TEST(log_writer_tells_of_a_full_disk_once)
{
	int fd = log_catch_pipe();
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct log *log, *lines;
	uint64_t end = clock_mono_ms() + 20000;
	char last[512];

	if (access("/dev/full", W_OK) == -1)
		return;
	/* of the access log in the log, of the log on standard error */
	log = log_new_started(log_path, NULL);
	lines = log_new_started("/dev/full", log);
	for (int i = 0; i < 100; i++)
		log_raw(lines, "line", 4);
	while (log_lost(lines) < 100)
		ck_assert_uint_lt(clock_mono_ms(), end);
	log_wait_file(log_path,
	    "error: while writing the access log /dev/full: No space left on device; lines "
	    "are lost until it can be written again\n");
	/* it goes on, elsewhere */
	ck_assert_int_eq(log_set_target(lines, "off"), 0);
	ck_assert_int_eq(log_set_target(lines, log_path), 0);
	log_raw(lines, "better", 6);
	log_wait_file(log_path, "better\n");
	log_wait_file(log_path, "warning: 100 lines of the access log were lost\n");
	log_free(lines);
	ck_assert_int_eq(log_set_target(log, "/dev/full"), 0);
	for (int i = 0; i < 100; i++)
		log_info(log, "line");
	while (log_lost(log) < 100)
		ck_assert_uint_lt(clock_mono_ms(), end);
	/* The lines are counted before it is told of them. */
	ck_assert_int_eq(poll(&pfd, 1, 20000), 1);
	log_free(log);
	ck_assert_uint_eq(log_drain(fd, last, sizeof(last)), 1);
	ck_assert_ptr_nonnull(
	    strstr(last, "error: while writing the log /dev/full: No space left on device"));
	close(fd);
}
END_TEST

START_TEST(log_writer_makes_a_removed_file_anew)
{
	struct log *log = log_new_started(log_path, NULL);
	uint64_t end = clock_mono_ms() + 20000;

	log_info(log, "first");
	log_wait_file(log_path, "info: first\n");
	ck_assert_int_eq(unlink(log_path), 0);
	while (access(log_path, F_OK) == -1) {
		ck_assert_uint_lt(clock_mono_ms(), end);
		log_info(log, "second");
	}
	log_info(log, "third");
	log_free(log);
	log_wait_file(log_path, "info: third\n");
}
END_TEST

START_TEST(log_writer_start_survives_without_memory)
{
	struct log *log;
	char text[32];

	for (unsigned int nth = 1;; nth++) {
		log = log_new_started(log_path, NULL);
		snprintf(text, sizeof(text), "info: try %u.\n", nth);
		mem_fail_nth(nth);
		log_info(log, "try %u.", nth);
		if (mem_fail_pending())
			break;
		/* Who logs has written it. */
		log_wait_file(log_path, text);
		log_free(log);
	}
	mem_fail_nth(0);
	log_free(log);
	log_wait_file(log_path, text);
}
END_TEST

/* A process of one thread stays one as long as nobody has to wait. */
START_TEST(log_writer_is_made_when_it_is_needed)
{
	int fd = log_catch_pipe();
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	char *text = log_long_text(1000), last[64];
	unsigned int lines = 0;

	log_start(log, NULL, false);
	log_info(log, "by who logs");
	log_wait_file(log_path, "info: by who logs\n");
	ck_assert_ptr_null(log->writer);
	ck_assert_int_eq(log_set_target(log, "stderr"), 0);
	log_info(log, "the same");
	ck_assert_uint_eq(log_drain(fd, last, sizeof(last)), 1);
	ck_assert_ptr_null(log->writer);
	for (int i = 0; i < 200; i++)
		log_info(log, "%s", text);
	ck_assert_ptr_nonnull(log->writer);
	while (lines < 200)
		lines += log_drain(fd, last, sizeof(last));
	ck_assert_uint_eq(log_lost(log), 0);
	log_free(log);
	free(text);
	close(fd);
}
END_TEST

START_TEST(log_writer_without_it_a_removed_file_is_made_anew)
{
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	uint64_t end = clock_mono_ms() + 20000;

	log_start(log, NULL, false);
	log_info(log, "first");
	ck_assert_int_eq(unlink(log_path), 0);
	while (access(log_path, F_OK) == -1) {
		ck_assert_uint_lt(clock_mono_ms(), end);
		log_info(log, "second");
	}
	ck_assert_ptr_null(log->writer);
	log_free(log);
}
END_TEST

/* ---- messages of a kind */

START_TEST(log_peer_limits_messages_of_a_kind)
{
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	char *text;
	int a = 0, b = 0, other = 0, told = 0;

	for (int i = 0; i < 1000; i++) {
		log_peer(log, LOG_L_INFO, "kind a %d", i);
		log_kind(log, LOG_L_WARN, log_path, "kind %c %d", 'b', i);
		if (i < 100)
			log_info(log, "the administrator's %d", i);
	}
	log_free(log);
	text = log_read_file(log_path);
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		told +=
		    strstr(line, "info: 980 more messages like this were suppressed: kind a 999") !=
		    NULL;
		told +=
		    strstr(line,
			"warning: 980 more messages like this were suppressed: kind b 999") != NULL;
		a += strstr(line, "info: kind a") != NULL;
		b += strstr(line, "warning: kind b") != NULL;
		other += strstr(line, "administrator") != NULL;
	}
	ck_assert_int_eq(a, LOG_LIMIT_BURST);
	ck_assert_int_eq(b, LOG_LIMIT_BURST);
	ck_assert_int_eq(other, 100);
	ck_assert_int_eq(told, 2);
	free(text);
}
END_TEST

START_TEST(log_peer_is_not_limited_at_debug)
{
	struct log *log = log_new(log_path, LOG_L_DEBUG, LOG_F_TEXT);
	char *text, *at;
	int n = 0;

	for (int i = 0; i < 1000; i++)
		log_peer(log, LOG_L_INFO, "kind %d", i);
	log_free(log);
	text = log_read_file(log_path);
	for (at = text; (at = strchr(at, '\n')) != NULL; at++)
		n++;
	ck_assert_int_eq(n, 1000);
	free(text);
}
END_TEST

/* The table of kinds itself, with a clock of the test. */
START_TEST(log_limit_begins_anew_with_each_interval)
{
	static struct log_limit l;
	struct log_limit_kind *due;
	static const char kinds[3 * LOG_LIMIT_KINDS][16];
	char text[256];
	struct span said;

	for (uint64_t round = 0; round < 3; round++) {
		uint64_t now = 1000 + round * LOG_LIMIT_MS;

		for (int i = 0; i < LOG_LIMIT_BURST; i++) {
			ck_assert(
			    log_limit_take(&l, kinds[0], LOG_L_INFO, now + (uint64_t)i, &due));
			ck_assert(i > 0 || (due != NULL) == (round > 0));
			if (due == NULL)
				continue;
			said = log_limit_tell(&l, due, text, sizeof(text));
			ck_assert(span_eq(
			    said, SPAN_LIT("2 more messages like this were suppressed: so\"")));
		}
		for (int i = 0; i < 2; i++) {
			ck_assert(!log_limit_take(
			    &l, kinds[0], LOG_L_INFO, now + LOG_LIMIT_MS - 1, &due));
			ck_assert_ptr_null(due);
			log_limit_suppress(&l, kinds[0], SPAN_LIT("so\""));
		}
		ck_assert_ptr_null(log_limit_due(&l, now + LOG_LIMIT_MS - 1, false));
		ck_assert_ptr_nonnull(log_limit_due(&l, now + LOG_LIMIT_MS, false));
		ck_assert_ptr_nonnull(log_limit_due(&l, now, true));
	}
	/* More kinds than there is room for share, and are limited all the same. */
	for (size_t i = 0; i < UNIT_COUNT(kinds); i++)
		for (int j = 0; j < 2 * LOG_LIMIT_BURST; j++)
			if (!log_limit_take(&l, kinds[i], LOG_L_INFO, 1000000, &due))
				log_limit_suppress(&l, kinds[i], SPAN_LIT("x"));
	for (int n = 0; (due = log_limit_due(&l, 0, true)) != NULL; n++) {
		ck_assert_int_lt(n, LOG_LIMIT_KINDS + 1);
		log_limit_tell(&l, due, text, sizeof(text));
	}
	ck_assert_uint_eq(l.n_waiting, 0);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = { log_writer_writes_all_lines_in_their_order,
		log_writer_makes_nobody_wait_for_a_full_pipe,
		log_writer_survives_a_reader_that_left, log_writer_tells_of_a_full_disk_once,
		log_writer_makes_a_removed_file_anew, log_writer_start_survives_without_memory,
		log_writer_is_made_when_it_is_needed,
		log_writer_without_it_a_removed_file_is_made_anew,
		log_peer_limits_messages_of_a_kind, log_peer_is_not_limited_at_debug,
		log_limit_begins_anew_with_each_interval };

	return unit_run_with("log_writer", cases, UNIT_COUNT(cases), log_setup, log_teardown);
}
