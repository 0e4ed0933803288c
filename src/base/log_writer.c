/*
 * The thread that writes a log, so that nobody who logs waits for a disk, a pipe that nobody
 * reads, or syslogd.  See log_int.h.
 *
 * Lines wait in a ring of fixed size; when it is full, they are lost and counted.  The thread
 * takes as many as fit into one write: to a pipe or a terminal no more than PIPE_BUF bytes of
 * whole lines, so that they stay whole beside those of others.  What it could not write is lost,
 * and told once where somebody may see it: a message in the log about the access log, one on
 * standard error about the log itself.
 *
 * The lock is not held while something is written.  An end does not wait long for a pipe that
 * nobody reads: the process is about to end, and the thread is left behind where it is, with the
 * log, which is freed by it then.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/log_int.h"
#include "base/mem.h"

#define WRITER_RING (1 << 20)
#define WRITER_BATCH 65536
#define WRITER_TICK_MS 1000

/* Before each line in the ring. */
struct writer_record {
	uint16_t n;
	uint8_t level;
};

struct log_writer {
	struct log *log; /* borrowed: its owner */
	pthread_t thread;
	pthread_cond_t more, over;
	char *ring;   /* mapped */
	size_t at, n; /* what waits */
	bool sleeps, stop, ended;
	/* nobody waits for it any more: the log is its own, `tell` is not to be used */
	bool abandoned;
	enum log_level level; /* of the batch's line, for syslog */
	size_t batch_n;
	unsigned batch_lines;
	char batch[WRITER_BATCH];
};

/* ---- the ring; the lock is held */

static void
writer_copy_in(struct log_writer *w, const void *p, size_t n)
{
	size_t to = (w->at + w->n) % WRITER_RING, first = WRITER_RING - to;

	first = first < n ? first : n;
	memcpy(w->ring + to, p, first);
	memcpy(w->ring, (const char *)p + first, n - first);
	w->n += n;
}

static void
writer_peek(const struct log_writer *w, void *p, size_t off, size_t n)
{
	size_t from = (w->at + off) % WRITER_RING, first = WRITER_RING - from;

	first = first < n ? first : n;
	memcpy(p, w->ring + from, first);
	memcpy((char *)p + first, w->ring, n - first);
}

bool
log_writer_put(struct log_writer *w, enum log_level level, const char *p, size_t n)
{
	struct writer_record r = { .n = (uint16_t)n, .level = (uint8_t)level };

	if (w->stop || sizeof(r) + n > WRITER_RING - w->n)
		return false;
	writer_copy_in(w, &r, sizeof(r));
	writer_copy_in(w, p, n);
	if (w->sleeps)
		pthread_cond_signal(&w->more);
	w->sleeps = false;
	return true;
}

/* Take lines for one write to the target. */
static void
writer_fill(struct log_writer *w, const struct log_target *t)
{
	size_t max = t->can_block ? PIPE_BUF : WRITER_BATCH;
	struct writer_record r;

	w->batch_n = w->batch_lines = 0;
	while (w->n > 0) {
		writer_peek(w, &r, 0, sizeof(r));
		if (w->batch_n + r.n + 1 > max || (w->batch_lines > 0 && t->kind == LOG_K_SYSLOG))
			return;
		writer_peek(w, w->batch + w->batch_n, sizeof(r), r.n);
		w->level = (enum log_level)r.level;
		w->batch_n += r.n;
		w->batch[w->batch_n++] = '\n';
		w->batch_lines++;
		w->at = (w->at + sizeof(r) + r.n) % WRITER_RING;
		w->n -= sizeof(r) + r.n;
		/* The same pages again: a log that never backs up touches few of them. */
		if (w->n == 0)
			w->at = 0;
	}
}

/* ---- the thread */

/* The lock is not held. */
static bool
writer_give(struct log_writer *w, struct log_target *t)
{
	switch (t->kind) {
	case LOG_K_OFF:
		break;
	case LOG_K_SYSLOG:
		syslog(log_priorities[w->level], "%.*s", (int)w->batch_n - 1, w->batch);
		break;
	case LOG_K_STDERR:
	case LOG_K_FILE:
		return log_target_write(t, w->batch, w->batch_n);
	}
	return true;
}

static void
writer_failed(struct log_writer *w, const struct log_target *t, int err)
{
	char what[300];
	bool first = !w->log->failing;

	log_lose(w->log, w->batch_lines);
	w->log->failing = true;
	if (!first || t->kind == LOG_K_STDERR)
		return;
	snprintf(
	    what, sizeof(what), "%s; lines are lost until it can be written again", strerror(err));
	pthread_mutex_unlock(&w->log->lock);
	log_tell(w->log, log_target_name(t), what);
	pthread_mutex_lock(&w->log->lock);
}

/*
 * It goes well: what had been lost is told, in the log itself or, about an access log, in the
 * other one.
 */
static void
writer_recovered(struct log_writer *w)
{
	struct log *log = w->log;
	uint64_t n;

	log->failing = false;
	if (atomic_load_explicit(&log->unsaid, memory_order_relaxed) == 0 || w->n > WRITER_RING / 2)
		return;
	if (log->tell == NULL) {
		log_put_unsaid(log);
		return;
	}
	n = atomic_exchange_explicit(&log->unsaid, 0, memory_order_relaxed);
	pthread_mutex_unlock(&log->lock);
	log_warn(log->tell, "%llu lines of the access log were lost", (unsigned long long)n);
	pthread_mutex_lock(&log->lock);
}

static void
writer_write(struct log_writer *w)
{
	struct log *log = w->log;
	struct log_target *t;
	bool good;
	int err;

	log_look(log);
	t = log->target;
	t->refs++;
	writer_fill(w, t);
	pthread_mutex_unlock(&log->lock);
	good = writer_give(w, t);
	err = errno;
	pthread_mutex_lock(&log->lock);
	if (!w->abandoned && good)
		writer_recovered(w);
	else if (!w->abandoned)
		writer_failed(w, t, err);
	log_target_unref(t);
}

/* Wait for a line, or for the time to tell what was suppressed. */
static void
writer_sleep(struct log_writer *w)
{
	struct timespec until;

	w->sleeps = true;
	if (w->log->limit.n_waiting == 0) {
		pthread_cond_wait(&w->more, &w->log->lock);
	} else {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += WRITER_TICK_MS / 1000;
		pthread_cond_timedwait(&w->more, &w->log->lock, &until);
	}
	w->sleeps = false;
	log_put_suppressed(w->log, false);
}

/* ---- its life */

static void
writer_clear(struct log_writer *w)
{
	pthread_cond_destroy(&w->more);
	pthread_cond_destroy(&w->over);
	mem_map_free(w->ring, WRITER_RING);
	mem_free(w);
}

static void *
writer_main(void *arg)
{
	struct log_writer *w = arg;
	struct log *log = w->log;
	bool abandoned;

	pthread_mutex_lock(&log->lock);
	while (!w->abandoned && (w->n > 0 || !w->stop)) {
		if (w->n > 0)
			writer_write(w);
		else
			writer_sleep(w);
	}
	w->ended = true;
	pthread_cond_signal(&w->over);
	abandoned = w->abandoned;
	pthread_mutex_unlock(&log->lock);
	if (abandoned) {
		writer_clear(w);
		log_dispose(log);
	}
	return NULL;
}

static int
writer_start(struct log_writer *w)
{
	sigset_t all, old;
	int err;

	/* Signals are the main thread's; SIGPIPE among them is an error of write(2) here. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, writer_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err == 0)
		pthread_setname_np(w->thread, "log");
	errno = err;
	return err == 0 ? 0 : -1;
}

struct log_writer *
log_writer_new(struct log *log)
{
	struct log_writer *w = mem_zalloc(sizeof(*w));
	pthread_condattr_t monotonic;
	int saved;

	if (w == NULL)
		return NULL;
	if ((w->ring = mem_map(WRITER_RING)) == NULL) {
		mem_free(w);
		return NULL;
	}
	w->log = log;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->more, &monotonic);
	pthread_cond_init(&w->over, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (writer_start(w) == 0)
		return w;
	saved = errno;
	writer_clear(w);
	errno = saved;
	return NULL;
}

bool
log_writer_free(struct log_writer *w)
{
	struct timespec until;
	bool ended;

	if (w == NULL)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOG_END_MS / 1000;
	pthread_mutex_lock(&w->log->lock);
	log_put_suppressed(w->log, true);
	w->stop = true;
	pthread_cond_signal(&w->more);
	while (!w->ended && pthread_cond_timedwait(&w->over, &w->log->lock, &until) != ETIMEDOUT)
		continue;
	ended = w->ended;
	w->abandoned = !ended;
	if (!ended)
		pthread_detach(w->thread);
	pthread_mutex_unlock(&w->log->lock);
	if (!ended)
		return false;
	pthread_join(w->thread, NULL);
	writer_clear(w);
	return true;
}
