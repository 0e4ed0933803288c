/*
 * The log.  Any thread; called from everywhere, calls clock and mem.
 *
 * A line is made in one buffer on the stack and given to the kernel with one
 * write(2).  The lock guards the target, so that it can be changed under
 * running threads; level and format are atomics, so that log_on costs one
 * load.
 *
 * A log must not stop the gateway: where writing can block or raise SIGPIPE
 * (all but regular files), we ask poll(2) first, wait LOG_STALL_MS once, and
 * from then on drop lines until the reader is back.  A line of at most
 * PIPE_BUF bytes does not block once poll says writable.  Lines that were
 * lost are counted, and the count is logged when there is room again.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define LOG_STALL_MS 100

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line in a pipe is whole");

enum log_kind { LOG_K_OFF, LOG_K_STDERR, LOG_K_SYSLOG, LOG_K_FILE };

struct log_target {
	enum log_kind kind;
	int fd;		/* owned when kind is LOG_K_FILE */
	char *path;	/* owned; a file's, else NULL */
	bool can_block; /* not a regular file */
	bool stalled;	/* the last line had to be dropped */
	bool journal;	/* stderr is the journal's stream */
};

struct log {
	pthread_mutex_t lock; /* guards target and its lines' order */
	struct log_target target;
	atomic_int level;
	atomic_int format;
	atomic_bool off;	     /* target.kind is LOG_K_OFF */
	atomic_uint_fast64_t lost;   /* since the log was opened */
	atomic_uint_fast64_t unsaid; /* of these, not logged yet */
};

/* A line being made: cut silently at size. */
struct log_line {
	char p[LOG_LINE_MAX];
	size_t n;
	size_t size;
};

static const char *const log_names[] = { "error", "warning", "info", "debug" };
static const int log_priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/*
 * Whether stderr is the stream that systemd made for us.  The variable alone
 * says little: whatever a terminal starts has inherited it.
 */
static bool
log_is_journal(int fd)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (env == NULL || sscanf(env, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool
log_can_block(int fd)
{
	struct stat st;

	return fstat(fd, &st) == -1 || !S_ISREG(st.st_mode);
}

static int
log_target_open_file(struct log_target *t, const char *path)
{
	int saved;

	t->path = mem_strdup(path);
	if (t->path == NULL)
		return -1;
	/* O_NONBLOCK: a FIFO without a reader is an error, not a wait. */
	t->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (t->fd == -1) {
		saved = errno;
		mem_free(t->path);
		t->path = NULL;
		errno = saved;
		return -1;
	}
	t->kind = LOG_K_FILE;
	t->can_block = log_can_block(t->fd);
	return 0;
}

static int
log_target_open(struct log_target *t, const char *name)
{
	memset(t, 0, sizeof(*t));
	t->fd = -1;
	if (strcmp(name, "off") == 0) {
		t->kind = LOG_K_OFF;
	} else if (strcmp(name, "stderr") == 0) {
		t->kind = LOG_K_STDERR;
		t->fd = STDERR_FILENO;
		t->can_block = log_can_block(t->fd);
		t->journal = log_is_journal(t->fd);
	} else if (strcmp(name, "syslog") == 0) {
		t->kind = LOG_K_SYSLOG;
		openlog(NULL, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	} else {
		return log_target_open_file(t, name);
	}
	return 0;
}

static void
log_target_close(struct log_target *t)
{
	if (t->kind == LOG_K_FILE)
		close(t->fd);
	mem_free(t->path);
}

struct log *
log_new(const char *target, enum log_level level, enum log_format format)
{
	struct log *log = mem_zalloc(sizeof(*log));
	int saved;

	if (log == NULL)
		return NULL;
	if (log_target_open(&log->target, target) == -1) {
		saved = errno;
		mem_free(log);
		errno = saved;
		return NULL;
	}
	pthread_mutex_init(&log->lock, NULL);
	atomic_store(&log->off, log->target.kind == LOG_K_OFF);
	log_set(log, level, format);
	return log;
}

void
log_free(struct log *log)
{
	if (log == NULL)
		return;
	log_target_close(&log->target);
	pthread_mutex_destroy(&log->lock);
	mem_free(log);
}

void
log_set(struct log *log, enum log_level level, enum log_format format)
{
	atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log->format, (int)format, memory_order_relaxed);
}

int
log_set_target(struct log *log, const char *target)
{
	struct log_target fresh, old;

	if (log_target_open(&fresh, target) == -1)
		return -1;
	pthread_mutex_lock(&log->lock);
	old = log->target;
	log->target = fresh;
	atomic_store(&log->off, fresh.kind == LOG_K_OFF);
	pthread_mutex_unlock(&log->lock);
	log_target_close(&old);
	return 0;
}

int
log_reopen(struct log *log)
{
	struct log_target fresh, old;
	int rc = 0, saved = errno;

	/* Opened under the lock: the path must not change in between. */
	pthread_mutex_lock(&log->lock);
	old = (struct log_target){ .kind = LOG_K_OFF };
	if (log->target.kind == LOG_K_FILE) {
		memset(&fresh, 0, sizeof(fresh));
		rc = log_target_open_file(&fresh, log->target.path);
		saved = errno;
		if (rc == 0) {
			old = log->target;
			log->target = fresh;
		}
	}
	pthread_mutex_unlock(&log->lock);
	log_target_close(&old);
	errno = saved;
	return rc;
}

bool
log_on(const struct log *log, enum log_level level)
{
	return log != NULL &&
	    (int)level <= atomic_load_explicit(&log->level, memory_order_relaxed) &&
	    !atomic_load_explicit(&log->off, memory_order_relaxed);
}

uint64_t
log_lost(const struct log *log)
{
	return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

/* write(2) with EINTR, and without SIGPIPE whatever its disposition is. */
static ssize_t
log_write_quiet(int fd, const char *p, size_t n)
{
	static const struct timespec now = { 0, 0 };
	sigset_t pipe_set, old, pending;
	ssize_t rc;
	int saved;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	sigemptyset(&pending);
	sigpending(&pending);
	do
		rc = write(fd, p, n);
	while (rc == -1 && errno == EINTR);
	saved = errno;
	/* Take back the one that we raised, not one from before. */
	if (rc == -1 && saved == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &now) == -1 && errno == EINTR)
			continue;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return rc;
}

static bool
log_writable(struct log_target *t)
{
	struct pollfd pfd = { .fd = t->fd, .events = POLLOUT };
	int rc;

	do
		rc = poll(&pfd, 1, t->stalled ? 0 : LOG_STALL_MS);
	while (rc == -1 && errno == EINTR);
	return rc == 1 && (pfd.revents & POLLOUT) != 0;
}

/* Give a line, newline and all, to the fd; false when it is lost. */
static bool
log_write(struct log_target *t, const char *p, size_t n)
{
	ssize_t rc;

	if (t->can_block) {
		if (!log_writable(t)) {
			t->stalled = true;
			return false;
		}
		rc = log_write_quiet(t->fd, p, n);
	} else {
		do
			rc = write(t->fd, p, n);
		while (rc == -1 && errno == EINTR);
	}
	t->stalled = rc == -1;
	return rc == (ssize_t)n;
}

static void
log_line_add(struct log_line *l, const char *p, size_t n)
{
	if (n > l->size - l->n)
		n = l->size - l->n;
	if (n == 0)
		return;
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void
log_line_str(struct log_line *l, const char *s)
{
	log_line_add(l, s, strlen(s));
}

/* The length of the UTF-8 sequence at s (RFC 3629), 0 when it is none. */
static size_t
log_utf8_len(struct span s)
{
	unsigned char c = (unsigned char)s.p[0], lo = 0x80, hi = 0xbf;
	size_t n;

	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	/* No overlong forms, no surrogates, nothing past U+10FFFF. */
	if (c == 0xe0)
		lo = 0xa0;
	else if (c == 0xed)
		hi = 0x9f;
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xf4)
		hi = 0x8f;
	for (size_t i = 1; i < n; i++, lo = 0x80, hi = 0xbf)
		if ((unsigned char)s.p[i] < lo || (unsigned char)s.p[i] > hi)
			return 0;
	return n;
}

/*
 * The next piece of a JSON string: takes one character off *s, points *out
 * to its escaped form (in `scratch` or in the text itself).
 */
static struct span
log_json_piece(struct span *s, char scratch[8])
{
	unsigned char c = (unsigned char)s->p[0];
	struct span piece = { s->p, 1 };
	size_t n = 1;

	if (c == '"' || c == '\\') {
		piece = (struct span){ scratch, 2 };
		scratch[0] = '\\';
		scratch[1] = (char)c;
	} else if (c < 0x20 || c == 0x7f) {
		piece = (struct span){ scratch, 6 };
		snprintf(scratch, 8, "\\u%04x", c);
	} else if (c >= 0x80) {
		n = log_utf8_len(*s);
		piece.n = n;
		if (n == 0) {
			piece = SPAN_LIT("\\ufffd");
			n = 1;
		}
	}
	s->p += n;
	s->n -= n;
	return piece;
}

/* Text as the inside of a JSON string, cut between characters. */
static void
log_line_json(struct log_line *l, struct span s)
{
	struct span piece;
	char scratch[8];

	while (s.n > 0) {
		piece = log_json_piece(&s, scratch);
		if (piece.n > l->size - l->n)
			return;
		log_line_add(l, piece.p, piece.n);
	}
}

/* Text as it is, but control characters (a newline!) become spaces. */
static void
log_line_text(struct log_line *l, struct span s)
{
	size_t from = l->n;

	log_line_add(l, s.p, s.n);
	for (size_t i = from; i < l->n; i++)
		if ((unsigned char)l->p[i] < 0x20 || l->p[i] == 0x7f)
			l->p[i] = ' ';
}

static void
log_make_json(struct log_line *l, enum log_level level, const char *when, struct span text)
{
	static const char end[] = "\"}";

	l->size = sizeof(l->p) - 1 - strlen(end);
	log_line_str(l, "{\"time\":\"");
	log_line_str(l, when);
	log_line_str(l, "\",\"level\":\"");
	log_line_str(l, log_names[level]);
	log_line_str(l, "\",\"message\":\"");
	log_line_json(l, text);
	l->size += strlen(end);
	log_line_str(l, end);
}

static void
log_make_text(struct log_line *l, const struct log_target *t, enum log_level level,
    const char *when, struct span text)
{
	char prefix[8];

	l->size = sizeof(l->p) - 1;
	if (t->kind == LOG_K_FILE) {
		log_line_str(l, when);
		log_line_str(l, " ");
	}
	if (t->journal) {
		snprintf(prefix, sizeof(prefix), "<%d>", log_priorities[level]);
		log_line_str(l, prefix);
	}
	/* syslog keeps the level beside the text. */
	if (t->kind != LOG_K_SYSLOG) {
		log_line_str(l, log_names[level]);
		log_line_str(l, ": ");
	}
	log_line_text(l, text);
}

/* A made line to the target; false when it is lost.  The lock is held. */
static bool
log_put(struct log_target *t, enum log_level level, struct log_line *l)
{
	switch (t->kind) {
	case LOG_K_OFF:
		return true;
	case LOG_K_SYSLOG:
		syslog(log_priorities[level], "%.*s", (int)l->n, l->p);
		return true;
	case LOG_K_STDERR:
	case LOG_K_FILE:
		l->p[l->n++] = '\n'; /* size leaves room for it */
		return log_write(t, l->p, l->n);
	}
	return true;
}

static bool
log_put_text(struct log *log, enum log_level level, struct span text)
{
	struct log_line line;
	char when[32];

	line.n = 0;
	clock_rfc3339(when, sizeof(when));
	if (atomic_load_explicit(&log->format, memory_order_relaxed) == LOG_F_JSON)
		log_make_json(&line, level, when, text);
	else
		log_make_text(&line, &log->target, level, when, text);
	return log_put(&log->target, level, &line);
}

static void
log_lose(struct log *log)
{
	atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&log->unsaid, 1, memory_order_relaxed);
}

/* Tell of lines that were lost before; the lock is held. */
static void
log_put_unsaid(struct log *log)
{
	uint64_t n = atomic_exchange_explicit(&log->unsaid, 0, memory_order_relaxed);
	char text[64];

	if (n == 0)
		return;
	snprintf(text, sizeof(text), "%" PRIu64 " log lines were lost", n);
	if (!log_put_text(log, LOG_L_WARN, span_from_str(text)))
		atomic_fetch_add_explicit(&log->unsaid, n, memory_order_relaxed);
}

void
log_msg(struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vmsg(log, level, fmt, ap);
	va_end(ap);
}

void
log_vmsg(struct log *log, enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno, len;
	struct span text;
	char msg[LOG_LINE_MAX];

	if (!log_on(log, level))
		return;
	len = vsnprintf(msg, sizeof(msg), fmt, ap);
	text = (struct span){ msg, len > 0 ? (size_t)len : 0 };
	if (text.n >= sizeof(msg))
		text.n = sizeof(msg) - 1;
	pthread_mutex_lock(&log->lock);
	log_put_unsaid(log);
	if (!log_put_text(log, level, text))
		log_lose(log);
	pthread_mutex_unlock(&log->lock);
	errno = saved;
}

void
log_raw(struct log *log, const char *p, size_t n)
{
	struct log_line line;
	int saved = errno;

	/* No check of the level: an access log has none. */
	if (log == NULL || atomic_load_explicit(&log->off, memory_order_relaxed))
		return;
	line.n = 0;
	line.size = sizeof(line.p) - 1;
	log_line_add(&line, p, n);
	pthread_mutex_lock(&log->lock);
	if (!log_put(&log->target, LOG_L_INFO, &line))
		log_lose(log);
	pthread_mutex_unlock(&log->lock);
	errno = saved;
}

/* One byte in its escaped form; returns the form's length. */
static size_t
log_escape_byte(char out[4], unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= 0x20 && c <= 0x7e && c != '"' && c != '\\') {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

const char *
log_escape(char *out, size_t size, struct span in, size_t max_in)
{
	static const char mark[] = "...";
	size_t n = 0, cut = 0, len, i;
	char piece[4];

	for (i = 0; i < in.n && i < max_in; i++) {
		len = log_escape_byte(piece, (unsigned char)in.p[i]);
		if (n + len >= size)
			break;
		memcpy(out + n, piece, len);
		n += len;
		/* The last place from where the mark still fits. */
		if (n + sizeof(mark) <= size)
			cut = n;
	}
	if (i < in.n) {
		memcpy(out + cut, mark, sizeof(mark));
		return out;
	}
	out[n] = '\0';
	return out;
}
