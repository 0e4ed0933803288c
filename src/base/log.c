/*
 * The log.  Any thread; called from everywhere, calls clock and mem.
 *
 * A line is made in one buffer on the stack.  Who logs writes it himself, with one write(2), as
 * long as he need not wait for that; else it is handed to a thread (log_writer.c).  The lock
 * guards target and queue; it is not held while that thread writes.  Level and format are atomics,
 * so that log_on costs one load.
 *
 * A log must not stop the gateway: lines that cannot be written are lost, counted, and the count
 * is logged when there is room again.  Messages that peers can cause are limited (log_limit.c), so
 * that they do not fill a disk.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_int.h"
#include "base/mem.h"

#define LOG_LOOK_MS 1000

struct log *
log_new(const char *target, enum log_level level, enum log_format format)
{
	struct log *log = mem_zalloc(sizeof(*log));
	int saved;

	if (log == NULL)
		return NULL;
	if ((log->target = log_target_new(target)) == NULL) {
		saved = errno;
		mem_free(log);
		errno = saved;
		return NULL;
	}
	pthread_mutex_init(&log->lock, NULL);
	atomic_store(&log->off, log->target->kind == LOG_K_OFF);
	log_set(log, level, format);
	return log;
}

void
log_start(struct log *log, struct log *tell, bool threads)
{
	log->tell = tell;
	log->started = true;
	log->threads = threads;
}

void
log_dispose(struct log *log)
{
	log_target_unref(log->target);
	pthread_mutex_destroy(&log->lock);
	mem_free(log);
}

void
log_free(struct log *log)
{
	if (log == NULL)
		return;
	if (log->writer == NULL)
		log_put_suppressed(log, true);
	if (log_writer_free(log->writer))
		log_dispose(log);
}

void
log_set(struct log *log, enum log_level level, enum log_format format)
{
	atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log->format, (int)format, memory_order_relaxed);
}

/* The lock is held.  A write that is under way has the old one until it is over. */
static void
log_swap_target(struct log *log, struct log_target *fresh)
{
	log_target_unref(log->target);
	log->target = fresh;
	atomic_store(&log->off, fresh->kind == LOG_K_OFF);
}

int
log_set_target(struct log *log, const char *target)
{
	struct log_target *fresh = log_target_new(target);

	if (fresh == NULL)
		return -1;
	pthread_mutex_lock(&log->lock);
	log_swap_target(log, fresh);
	pthread_mutex_unlock(&log->lock);
	return 0;
}

int
log_reopen(struct log *log)
{
	struct log_target *fresh;
	int rc = 0, saved = errno;

	/* Opened under the lock: the path must not change in between. */
	pthread_mutex_lock(&log->lock);
	if (log->target->kind == LOG_K_FILE) {
		if ((fresh = log_target_new(log->target->path)) != NULL) {
			log_swap_target(log, fresh);
		} else {
			saved = errno;
			rc = -1;
		}
	}
	pthread_mutex_unlock(&log->lock);
	errno = saved;
	return rc;
}

void
log_give(struct log *log, uid_t uid, gid_t gid)
{
	/* Where that fails it is told when the file is opened again. */
	if (log->target->kind == LOG_K_FILE && log->target->made &&
	    fchown(log->target->fd, uid, gid) == -1)
		log->target->made = false;
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

uint64_t
log_suppressed(const struct log *log)
{
	return atomic_load_explicit(&log->suppressed, memory_order_relaxed);
}

void
log_tell(struct log *log, const char *name, const char *what)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[512];
	int n;

	if (log->tell != NULL) {
		log_error(log->tell, "while writing the access log %s: %s", name, what);
		return;
	}
	n = snprintf(line, sizeof(line), "error: while writing the log %s: %s\n", name, what);
	n = n < (int)sizeof(line) ? n : (int)sizeof(line) - 1;
	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT) != 0 &&
	    write(STDERR_FILENO, line, (size_t)n) == -1)
		return; /* nobody is left to tell */
}

void
log_look(struct log *log)
{
	struct log_target *old = log->target, *fresh;
	uint64_t now = clock_mono_ms();

	if (now < log->looked_ms + LOG_LOOK_MS)
		return;
	log->looked_ms = now;
	if (!log_target_is_gone(old))
		return;
	if ((fresh = log_target_new(old->path)) != NULL) {
		log->target = fresh;
		log_target_unref(old);
	} else if (!log->failing) {
		log->failing = true;
		old->refs++;
		pthread_mutex_unlock(&log->lock);
		log_tell(log, log_target_name(old), "the file was removed and cannot be made anew");
		pthread_mutex_lock(&log->lock);
		log_target_unref(old);
	}
}

/*
 * Whether a line is for the writer, which is made when it is needed for the first time.  The lock
 * is held.
 */
static bool
log_is_queued(struct log *log)
{
	if (log->writer == NULL && log->started && !log_target_is_ready(log->target, log->threads))
		log->writer = log_writer_new(log);
	return log->writer != NULL;
}

/* A made line to the queue or the target; false when it is lost.  The lock is held. */
static bool
log_put(struct log *log, enum log_level level, struct log_line *l)
{
	struct log_target *t;

	if (log->target->kind == LOG_K_OFF)
		return true;
	if (log_is_queued(log))
		return log_writer_put(log->writer, level, l->p, l->n);
	if (log->started)
		log_look(log);
	t = log->target;
	if (t->kind == LOG_K_SYSLOG) {
		syslog(log_priorities[level], "%.*s", (int)l->n, l->p);
		return true;
	}
	l->p[l->n++] = '\n'; /* size leaves room for it */
	if (log_target_write_now(t, l->p, l->n))
		return true;
	/* Trouble: the writer tells of it, and tries again. */
	if (log->started && (log->writer = log_writer_new(log)) != NULL && !t->torn)
		return log_writer_put(log->writer, level, l->p, l->n - 1);
	return false;
}

static bool
log_put_text(struct log *log, enum log_level level, struct span text)
{
	enum log_kind kind = log->target->kind;
	struct log_line line;
	char when[32];

	line.n = 0;
	clock_rfc3339(when, sizeof(when));
	/* syslog keeps the level beside the text. */
	if (atomic_load_explicit(&log->format, memory_order_relaxed) == LOG_F_JSON)
		log_line_make_json(&line, level, when, text);
	else
		log_line_make_text(&line, level, kind == LOG_K_FILE ? when : NULL,
		    log->target->journal, kind != LOG_K_SYSLOG, text);
	return log_put(log, level, &line);
}

void
log_lose(struct log *log, uint64_t n)
{
	atomic_fetch_add_explicit(&log->lost, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&log->unsaid, n, memory_order_relaxed);
}

void
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

static void
log_put_limit(struct log *log, struct log_limit_kind *k)
{
	char text[LOG_LIMIT_SAMPLE + 64];
	enum log_level level = k->level;

	if (!log_put_text(log, level, log_limit_tell(&log->limit, k, text, sizeof(text))))
		log_lose(log, 1);
}

void
log_put_suppressed(struct log *log, bool all)
{
	struct log_limit_kind *k;

	while ((k = log_limit_due(&log->limit, clock_mono_ms(), all)) != NULL)
		log_put_limit(log, k);
}

/* Whether a message of this kind may be logged now; if not, it is counted.  The lock is held. */
static bool
log_lets(struct log *log, enum log_level level, const void *kind, struct span text)
{
	struct log_limit_kind *due;
	bool may;

	if (kind == NULL || log_on(log, LOG_L_DEBUG))
		return true;
	may = log_limit_take(&log->limit, kind, level, clock_mono_ms(), &due);
	if (due != NULL)
		log_put_limit(log, due);
	if (!may) {
		log_limit_suppress(&log->limit, kind, text);
		atomic_fetch_add_explicit(&log->suppressed, 1, memory_order_relaxed);
	}
	return may;
}

__attribute__((format(printf, 4, 0))) static void
log_vput(struct log *log, enum log_level level, const void *kind, const char *fmt, va_list ap)
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
	/* The writer does it by itself, when lines can be written and when the time is over. */
	if (log->writer == NULL) {
		log_put_unsaid(log);
		log_put_suppressed(log, false);
	}
	if (log_lets(log, level, kind, text) && !log_put_text(log, level, text))
		log_lose(log, 1);
	pthread_mutex_unlock(&log->lock);
	errno = saved;
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
	log_vput(log, level, NULL, fmt, ap);
}

void
log_peer(struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vput(log, level, fmt, fmt, ap);
	va_end(ap);
}

void
log_kind(struct log *log, enum log_level level, const void *kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vput(log, level, kind, fmt, ap);
	va_end(ap);
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
	if (!log_put(log, LOG_L_INFO, &line))
		log_lose(log, 1);
	pthread_mutex_unlock(&log->lock);
	errno = saved;
}
