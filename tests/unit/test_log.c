/*
 * Unit tests of src/base/log.[ch].
 *
 * Stderr is replaced by one end of a socket pair that keeps message borders,
 * so that a test sees each write(2) by itself.
 */
#include "unit_log.h"

/* One write(2) of the log must be this line. */
static void
log_expect_write(int fd, const char *line)
{
	char got[2 * LOG_LINE_MAX];
	ssize_t n = read(fd, got, sizeof(got) - 1);

	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	ck_assert_str_eq(got, line);
}

static void
log_expect_nothing(int fd)
{
	char c;

	ck_assert_int_eq(read(fd, &c, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

static void
log_expect_file(const char *path, const char *text)
{
	char *got = log_read_file(path);

	ck_assert_str_eq(got, text);
	free(got);
}

/* Whether s starts with a time as clock_rfc3339 writes it. */
static bool
log_is_time(const char *s)
{
	static const char form[] = "####-##-##T##:##:##.###Z";

	for (size_t i = 0; form[i] != '\0'; i++) {
		if (form[i] == '#' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return false;
	}
	return true;
}

/* A JSON line of the log without what is before its message. */
static const char *
log_json_message(const char *line, const char *level)
{
	char head[64];

	ck_assert(strncmp(line, "{\"time\":\"", 9) == 0);
	ck_assert(log_is_time(line + 9));
	snprintf(head, sizeof(head), "\",\"level\":\"%s\",\"message\":\"", level);
	ck_assert(strncmp(line + 33, head, strlen(head)) == 0);
	return line + 33 + strlen(head);
}

START_TEST(log_stderr_lines_start_with_their_level)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_DEBUG, LOG_F_TEXT);

	ck_assert_ptr_nonnull(log);
	log_error(log, "broken: %s", "pipe");
	log_expect_write(fd, "error: broken: pipe\n");
	log_warn(log, "%d left", 1);
	log_expect_write(fd, "warning: 1 left\n");
	log_info(log, "c=%d open", 7);
	log_expect_write(fd, "info: c=7 open\n");
	log_debug(log, "x%s", "");
	log_expect_write(fd, "debug: x\n");
	log_expect_nothing(fd);
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_stderr_stays_open_after_free)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);

	log_free(log_new("stderr", LOG_L_INFO, LOG_F_TEXT));
	ck_assert_int_ne(fcntl(STDERR_FILENO, F_GETFD), -1);
	close(fd);
}
END_TEST

START_TEST(log_passes_over_lower_levels)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_WARN, LOG_F_TEXT);

	ck_assert(log_on(log, LOG_L_ERROR));
	ck_assert(log_on(log, LOG_L_WARN));
	ck_assert(!log_on(log, LOG_L_INFO));
	log_info(log, "no");
	log_debug(log, "no");
	log_expect_nothing(fd);
	log_set(log, LOG_L_DEBUG, LOG_F_TEXT);
	log_debug(log, "yes");
	log_expect_write(fd, "debug: yes\n");
	log_set(log, LOG_L_ERROR, LOG_F_TEXT);
	log_warn(log, "no");
	log_expect_nothing(fd);
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_off_is_never_on)
{
	struct log *log = log_new("off", LOG_L_DEBUG, LOG_F_TEXT);

	ck_assert_ptr_nonnull(log);
	ck_assert(!log_on(log, LOG_L_ERROR));
	log_error(log, "nowhere");
	log_raw(log, "nowhere", 7);
	ck_assert_int_eq(log_reopen(log), 0);
	ck_assert_int_eq(log_set_target(log, log_path), 0);
	ck_assert(log_on(log, LOG_L_ERROR));
	ck_assert_int_eq(log_set_target(log, "off"), 0);
	ck_assert(!log_on(log, LOG_L_ERROR));
	log_free(log);
	log_expect_file(log_path, "");
}
END_TEST

START_TEST(log_null_is_never_on)
{
	ck_assert(!log_on(NULL, LOG_L_ERROR));
	log_error(NULL, "nowhere");
	log_debug(NULL, "nowhere");
	log_raw(NULL, "nowhere", 7);
	log_free(NULL);
}
END_TEST

START_TEST(log_syslog_takes_lines)
{
	struct log *log = log_new("syslog", LOG_L_DEBUG, LOG_F_TEXT);

	ck_assert_ptr_nonnull(log);
	log_debug(log, "unit test %s", "of the log");
	ck_assert_int_eq(log_reopen(log), 0);
	ck_assert_uint_eq(log_lost(log), 0);
	log_free(log);
}
END_TEST

START_TEST(log_file_is_private_and_appended_to)
{
	struct log *log;
	struct stat st;
	char *text, *second;

	umask(0);
	for (int i = 1; i <= 2; i++) {
		log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
		ck_assert_ptr_nonnull(log);
		log_warn(log, "line %d", i);
		log_free(log);
	}
	ck_assert_int_eq(stat(log_path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	text = log_read_file(log_path);
	ck_assert(log_is_time(text));
	second = strchr(text, '\n') + 1;
	ck_assert_int_eq(second[-1], '\n');
	second[-1] = '\0';
	ck_assert_str_eq(text + 24, " warning: line 1");
	ck_assert(log_is_time(second));
	ck_assert_str_eq(second + 24, " warning: line 2\n");
	free(text);
}
END_TEST

START_TEST(log_new_tells_why_a_file_cannot_be_opened)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/none/log", log_dir);
	errno = 0;
	ck_assert_ptr_null(log_new(path, LOG_L_INFO, LOG_F_TEXT));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(log_new(log_dir, LOG_L_INFO, LOG_F_TEXT));
	ck_assert_int_eq(errno, EISDIR);
	/* A FIFO that nobody reads must not stop the daemon. */
	ck_assert_int_eq(mkfifo(log_path, 0600), 0);
	ck_assert_ptr_null(log_new(log_path, LOG_L_INFO, LOG_F_TEXT));
	ck_assert_int_eq(errno, ENXIO);
}
END_TEST

START_TEST(log_new_fails_when_memory_is_out)
{
	struct log *log = NULL;
	unsigned long n;

	for (n = 1; log == NULL; n++) {
		mem_fail_nth(n);
		errno = 0;
		log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
		if (log == NULL)
			ck_assert_int_eq(errno, ENOMEM);
	}
	ck_assert_uint_gt(n, 2);
	ck_assert_int_ne(mem_fail_pending(), 0);
	/* Writing a line needs none. */
	mem_fail_nth(1);
	log_error(log, "line");
	log_raw(log, "raw", 3);
	ck_assert_int_ne(mem_fail_pending(), 0);
	mem_fail_nth(0);
	log_free(log);
}
END_TEST

START_TEST(log_set_target_keeps_the_old_one_on_failure)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	char path[128];

	snprintf(path, sizeof(path), "%s/none/log", log_dir);
	ck_assert_int_eq(log_set_target(log, path), -1);
	ck_assert_int_eq(errno, ENOENT);
	mem_fail_nth(1);
	ck_assert_int_eq(log_set_target(log, log_path), -1);
	ck_assert_int_eq(errno, ENOMEM);
	log_info(log, "still here");
	log_expect_write(fd, "info: still here\n");
	ck_assert_int_eq(log_set_target(log, log_path), 0);
	log_raw(log, "there", 5);
	log_expect_nothing(fd);
	log_expect_file(log_path, "there\n");
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_reopen_follows_the_path)
{
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	char old[128];

	snprintf(old, sizeof(old), "%s.1", log_path);
	log_raw(log, "one", 3);
	ck_assert_int_eq(rename(log_path, old), 0);
	log_raw(log, "two", 3);
	ck_assert_int_eq(log_reopen(log), 0);
	log_raw(log, "three", 5);
	log_expect_file(old, "one\ntwo\n");
	log_expect_file(log_path, "three\n");
	log_free(log);
}
END_TEST

START_TEST(log_reopen_keeps_the_old_file_on_failure)
{
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	char old[128];

	snprintf(old, sizeof(old), "%s.1", log_path);
	ck_assert_int_eq(rename(log_path, old), 0);
	ck_assert_int_eq(mkdir(log_path, 0700), 0);
	ck_assert_int_eq(log_reopen(log), -1);
	ck_assert_int_eq(errno, EISDIR);
	mem_fail_nth(1);
	ck_assert_int_eq(log_reopen(log), -1);
	ck_assert_int_eq(errno, ENOMEM);
	log_raw(log, "kept", 4);
	log_expect_file(old, "kept\n");
	ck_assert_int_eq(rmdir(log_path), 0);
	log_free(log);
}
END_TEST

START_TEST(log_targets_leak_no_descriptors)
{
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	int before = dup(STDOUT_FILENO), after;

	close(before);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(log_reopen(log), 0);
		ck_assert_int_eq(log_set_target(log, "stderr"), 0);
		ck_assert_int_eq(log_set_target(log, log_path), 0);
		ck_assert_int_eq(log_set_target(log, log_dir), -1);
	}
	after = dup(STDOUT_FILENO);
	close(after);
	ck_assert_int_le(after, before + 1);
	log_free(log);
}
END_TEST

START_TEST(log_journal_gets_priorities)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log;
	struct stat st;
	char env[64];

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(env, sizeof(env), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", env, 1);
	log = log_new("stderr", LOG_L_DEBUG, LOG_F_TEXT);
	log_error(log, "a");
	log_expect_write(fd, "<3>error: a\n");
	log_warn(log, "b");
	log_expect_write(fd, "<4>warning: b\n");
	log_info(log, "c");
	log_expect_write(fd, "<6>info: c\n");
	log_debug(log, "d");
	log_expect_write(fd, "<7>debug: d\n");
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_journal_of_another_stream_is_none)
{
	char same_device[64];
	const char *const envs[] = { "1:1", "", "x", "1", same_device };
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log;
	struct stat st;

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(same_device, sizeof(same_device), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino + 1);
	for (size_t i = 0; i < UNIT_COUNT(envs); i++) {
		setenv("JOURNAL_STREAM", envs[i], 1);
		log = log_new("stderr", LOG_L_DEBUG, LOG_F_TEXT);
		log_info(log, "a");
		log_expect_write(fd, "info: a\n");
		log_free(log);
	}
	close(fd);
}
END_TEST

START_TEST(log_text_stays_on_one_line)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);

	log_info(log, "%s", "a\nerror: b\r\tc\033[0m\x7f\xc3\xa4");
	log_expect_write(fd, "info: a error: b  c [0m \xc3\xa4\n");
	log_info(log, "%s", "");
	log_expect_write(fd, "info: \n");
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_json_is_escaped)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{ "plain / text", "plain / text" },
		{ "", "" },
		{ "\"quoted\" \\", "\\\"quoted\\\" \\\\" },
		{ "a\nb\tc\x01\x1f\x7f", "a\\u000ab\\u0009c\\u0001\\u001f\\u007f" },
		{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
		    "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xf4\x8f\xbf\xbf \xed\x9f\xbf \xee\x80\x80 \xc2\x80",
		    "\xf4\x8f\xbf\xbf \xed\x9f\xbf \xee\x80\x80 \xc2\x80" },
		/* lone, overlong, surrogate, too large, cut off */
		{ "\x80 \xff \xfe", "\\ufffd \\ufffd \\ufffd" },
		{ "\xc0\xaf", "\\ufffd\\ufffd" },
		{ "\xe0\x9f\xbf", "\\ufffd\\ufffd\\ufffd" },
		{ "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
		{ "\xf0\x8f\xbf\xbf", "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ "\xc3", "\\ufffd" },
		{ "\xe2\x82", "\\ufffd\\ufffd" },
		{ "\xc3(", "\\ufffd(" },
		{ "\xf0\x9f\x98x", "\\ufffd\\ufffd\\ufffdx" },
	};
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_INFO, LOG_F_JSON);
	char got[LOG_LINE_MAX + 1], want[256];
	ssize_t n;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		log_warn(log, "%s", rows[i].text);
		n = read(fd, got, sizeof(got) - 1);
		ck_assert_int_gt(n, 0);
		got[n] = '\0';
		snprintf(want, sizeof(want), "%s\"}\n", rows[i].json);
		ck_assert_str_eq(log_json_message(got, "warning"), want);
	}
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_lines_are_cut_at_their_maximum)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	char got[2 * LOG_LINE_MAX];
	char *text;

	for (size_t n = LOG_LINE_MAX - 10; n < LOG_LINE_MAX + 10; n++) {
		size_t want = n + 7 < LOG_LINE_MAX ? n + 7 : LOG_LINE_MAX;

		text = log_long_text(n);
		log_info(log, "%s", text);
		ck_assert_int_eq(read(fd, got, sizeof(got)), (ssize_t)want);
		ck_assert_int_eq(got[want - 2], 'x');
		ck_assert_int_eq(got[want - 1], '\n');
		want = n + 1 < LOG_LINE_MAX ? n + 1 : LOG_LINE_MAX;
		log_raw(log, text, n);
		ck_assert_int_eq(read(fd, got, sizeof(got)), (ssize_t)want);
		ck_assert_int_eq(got[want - 2], 'x');
		ck_assert_int_eq(got[want - 1], '\n');
		free(text);
	}
	log_free(log);
	close(fd);
}
END_TEST

/* Whatever is cut, the line ends as JSON and between two characters. */
START_TEST(log_json_is_whole_when_cut)
{
	static const char *const tails[] = { "\xf0\x9f\x98\x80", "\n", "\"", "\xff", "\xe2\x82\xac",
		"y" };
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_INFO, LOG_F_JSON);
	char got[2 * LOG_LINE_MAX], want[16];
	char *text;
	ssize_t n;

	for (size_t i = 0; i < UNIT_COUNT(tails); i++) {
		for (size_t at = LOG_LINE_MAX - 90; at < LOG_LINE_MAX; at++) {
			const char *json = i == 1 ? "\\u000a"
			    : i == 2		  ? "\\\""
			    : i == 3		  ? "\\ufffd"
						  : tails[i];
			const char *rest;

			text = log_long_text(at);
			log_info(log, "%s%s", text, tails[i]);
			n = read(fd, got, sizeof(got) - 1);
			ck_assert_int_gt(n, 0);
			ck_assert_int_le(n, LOG_LINE_MAX);
			got[n] = '\0';
			rest = log_json_message(got, "info");
			rest += strspn(rest, "x");
			snprintf(want, sizeof(want), "%s\"}\n", json);
			if (strcmp(rest, "\"}\n") != 0)
				ck_assert_str_eq(rest, want);
			else
				ck_assert_uint_gt((size_t)n + strlen(json), LOG_LINE_MAX);
			free(text);
		}
	}
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_raw_is_written_as_it_is)
{
	int fd = log_catch_stderr(SOCK_SEQPACKET);
	struct log *log = log_new("stderr", LOG_L_ERROR, LOG_F_JSON);

	log_raw(log, "{\"a\":1}trailing", 7);
	log_expect_write(fd, "{\"a\":1}\n");
	log_raw(log, "%s \x01", 4);
	log_expect_write(fd, "%s \x01\n");
	log_raw(log, NULL, 0);
	log_expect_write(fd, "\n");
	log_free(log);
	close(fd);
}
END_TEST

START_TEST(log_keeps_errno)
{
	struct log *log;

	close(log_catch_stderr(SOCK_STREAM));
	log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	errno = EBADMSG;
	log_error(log, "%m");
	ck_assert_int_eq(errno, EBADMSG);
	log_raw(log, "x", 1);
	ck_assert_int_eq(errno, EBADMSG);
	log_free(log);
}
END_TEST

START_TEST(log_survives_a_reader_that_left)
{
	struct log *log;
	int fds[2];

	signal(SIGPIPE, SIG_DFL);
	/* A socket takes the write and raises SIGPIPE ... */
	close(log_catch_stderr(SOCK_STREAM));
	log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	for (unsigned int i = 0; i < 10; i++) {
		ck_assert_uint_eq(log_lost(log), i);
		log_error(log, "nobody");
	}
	/* ... a pipe says so before. */
	ck_assert_int_eq(pipe(fds), 0);
	close(fds[0]);
	log_take_stderr(fds[1]);
	log_error(log, "nobody");
	ck_assert_uint_eq(log_lost(log), 11);
	log_free(log);
}
END_TEST

START_TEST(log_leaves_a_pending_sigpipe_alone)
{
	sigset_t set, pending;
	struct log *log;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	close(log_catch_stderr(SOCK_STREAM));
	log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	log_error(log, "nobody");
	sigpending(&pending);
	ck_assert_int_eq(sigismember(&pending, SIGPIPE), 0);
	raise(SIGPIPE);
	log_error(log, "nobody");
	sigpending(&pending);
	ck_assert_int_eq(sigismember(&pending, SIGPIPE), 1);
	ck_assert_uint_eq(log_lost(log), 2);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	log_free(log);
}
END_TEST

START_TEST(log_does_not_fail_for_a_closed_stderr)
{
	struct log *log;

	close(STDERR_FILENO);
	log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	ck_assert_ptr_nonnull(log);
	log_error(log, "nobody");
	ck_assert_uint_eq(log_lost(log), 1);
	log_free(log);
}
END_TEST

/* Write more than stderr takes; fd is its reading end. */
static void
log_try_full(int fd)
{
	struct log *log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	char *text = log_long_text(1000), last[64];
	uint64_t start = clock_mono_ms();
	unsigned int lines;

	for (int i = 0; i < 2000; i++)
		log_info(log, "%s", text);
	/* It waited once, not each time. */
	ck_assert_uint_lt(clock_mono_ms() - start, 20000);
	ck_assert_uint_gt(log_lost(log), 0);
	lines = log_drain(fd, last, sizeof(last));
	ck_assert_uint_eq(lines + log_lost(log), 2000);
	ck_assert(last[0] == 'i');
	log_info(log, "again");
	ck_assert_uint_eq(log_drain(fd, last, sizeof(last)), 2);
	ck_assert_str_eq(last, "info: again");
	log_info(log, "again");
	ck_assert_uint_eq(log_drain(fd, last, sizeof(last)), 1);
	/* The count itself may be lost, but not forgotten. */
	ck_assert_uint_eq(lines + log_lost(log), 2000);
	ck_assert_str_eq(last, "info: again");
	free(text);
	log_free(log);
}

START_TEST(log_drops_lines_when_a_pipe_is_full)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	log_take_stderr(fds[1]);
	log_try_full(fds[0]);
	close(fds[0]);
}
END_TEST

START_TEST(log_drops_lines_when_a_nonblocking_socket_is_full)
{
	int fd = log_catch_stderr(SOCK_STREAM);

	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	log_try_full(fd);
	close(fd);
}
END_TEST

START_TEST(log_tells_how_many_lines_were_lost)
{
	char last[64], want[64], *text = log_long_text(4000);
	struct log *log;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	log_take_stderr(fds[1]);
	log = log_new("stderr", LOG_L_INFO, LOG_F_TEXT);
	while (log_lost(log) < 7)
		log_raw(log, text, 4000);
	log_drain(fds[0], last, sizeof(last));
	/* An access log has lines of its own form only. */
	log_raw(log, "raw", 3);
	ck_assert_uint_eq(log_drain(fds[0], last, sizeof(last)), 1);
	ck_assert_str_eq(last, "raw");
	log_info(log, "a");
	ck_assert_int_eq(read(fds[0], want, sizeof(want)), 39);
	ck_assert_mem_eq(want, "warning: 7 log lines were lost\ninfo: a\n", 39);
	free(text);
	log_free(log);
	close(fds[0]);
}
END_TEST

#define LOG_THREADS 4
#define LOG_THREAD_LINES 1000

struct log_thread {
	struct log *log;
	pthread_t thread;
	int id;
};

static void *
log_thread_main(void *arg)
{
	struct log_thread *t = arg;

	for (int i = 0; i < LOG_THREAD_LINES; i++) {
		if (i % 2 == 0)
			log_info(t->log, "thread=%d line=%d.", t->id, i);
		else
			log_raw(t->log, "raw.", 4);
		log_debug(t->log, "thread=%d line=%d.", t->id, i);
	}
	return NULL;
}

/* All threads write while this one changes all that can be changed. */
START_TEST(log_lines_of_many_threads_are_whole)
{
	struct log *log = log_new(log_path, LOG_L_INFO, LOG_F_TEXT);
	struct log_thread threads[LOG_THREADS];
	unsigned int lines = 0;
	char *text, *line, *end;

	for (int i = 0; i < LOG_THREADS; i++) {
		threads[i].log = log;
		threads[i].id = i;
		ck_assert_int_eq(
		    pthread_create(&threads[i].thread, NULL, log_thread_main, &threads[i]), 0);
	}
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(log_reopen(log), 0);
		ck_assert_int_eq(log_set_target(log, log_path), 0);
		log_set(log, LOG_L_INFO, i % 2 ? LOG_F_JSON : LOG_F_TEXT);
		ck_assert_uint_eq(log_lost(log), 0);
	}
	for (int i = 0; i < LOG_THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	log_free(log);
	text = log_read_file(log_path);
	for (line = text; *line != '\0'; line = end + 1, lines++) {
		end = strchr(line, '\n');
		ck_assert_ptr_nonnull(end);
		if (!(end[-1] == '.' && (*line == 'r' || *line == '2')) &&
		    !(end[-1] == '}' && *line == '{'))
			ck_abort_msg("line %u is not whole", lines);
	}
	ck_assert_uint_eq(lines, LOG_THREADS * LOG_THREAD_LINES);
	free(text);
}
END_TEST

START_TEST(log_escape_shows_bytes_and_cuts)
{
	static const struct {
		struct span in;
		size_t max;
		const char *out;
	} rows[] = {
		{ SPAN_LIT("plain text~"), 100, "plain text~" },
		{ SPAN_LIT("a\"b\\c"), 100, "a\\x22b\\x5cc" },
		{ SPAN_LIT("\r\n\0\x7f\x80\xff"), 100, "\\x0d\\x0a\\x00\\x7f\\x80\\xff" },
		{ SPAN_NONE, 100, "" },
		{ SPAN_NONE, 0, "" },
		{ SPAN_LIT("a"), 0, "..." },
		{ SPAN_LIT("abcdef"), 6, "abcdef" },
		{ SPAN_LIT("abcdef"), 5, "abcde..." },
		{ SPAN_LIT("\n\n"), 1, "\\x0a..." },
	};
	char out[64];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_str_eq(
		    log_escape(out, sizeof(out), rows[i].in, rows[i].max), rows[i].out);
}
END_TEST

START_TEST(log_escape_stays_inside_its_buffer)
{
	static const char whole[] = "ab\\x0acd\\xffefghij\\x22k";
	struct span in = SPAN_LIT("ab\ncd\xff"
				  "efghij\"k");
	char *out;
	size_t n, at;

	for (size_t size = 8; size < sizeof(whole) + 8; size++) {
		out = malloc(size);
		log_escape(out, size, in, 100);
		n = strlen(out);
		ck_assert_uint_lt(n, size);
		if (size >= sizeof(whole)) {
			ck_assert_str_eq(out, whole);
		} else {
			/* As much as fits, and never half an escape. */
			ck_assert_uint_ge(n + 4, size - 1);
			ck_assert_str_eq(out + n - 3, "...");
			ck_assert(strncmp(out, whole, n - 3) == 0);
			for (at = 0; at < n - 3;)
				at += whole[at] == '\\' ? 4 : 1;
			ck_assert_uint_eq(at, n - 3);
		}
		free(out);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		log_stderr_lines_start_with_their_level,
		log_stderr_stays_open_after_free,
		log_passes_over_lower_levels,
		log_off_is_never_on,
		log_null_is_never_on,
		log_syslog_takes_lines,
		log_file_is_private_and_appended_to,
		log_new_tells_why_a_file_cannot_be_opened,
		log_new_fails_when_memory_is_out,
		log_set_target_keeps_the_old_one_on_failure,
		log_reopen_follows_the_path,
		log_reopen_keeps_the_old_file_on_failure,
		log_targets_leak_no_descriptors,
		log_journal_gets_priorities,
		log_journal_of_another_stream_is_none,
		log_text_stays_on_one_line,
		log_json_is_escaped,
		log_lines_are_cut_at_their_maximum,
		log_json_is_whole_when_cut,
		log_raw_is_written_as_it_is,
		log_keeps_errno,
		log_survives_a_reader_that_left,
		log_leaves_a_pending_sigpipe_alone,
		log_does_not_fail_for_a_closed_stderr,
		log_drops_lines_when_a_pipe_is_full,
		log_drops_lines_when_a_nonblocking_socket_is_full,
		log_tells_how_many_lines_were_lost,
		log_lines_of_many_threads_are_whole,
		log_escape_shows_bytes_and_cuts,
		log_escape_stays_inside_its_buffer,
	};

	return unit_run_with("log", cases, UNIT_COUNT(cases), log_setup, log_teardown);
}
