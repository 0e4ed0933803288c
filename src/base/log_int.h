/*
 * The inside of the log, shared by log.c, log_line.c (form), log_target.c (files and the like),
 * log_writer.c (the thread that writes) and log_limit.c.  Nobody else includes it.
 */
#ifndef BASE_LOG_INT_H
#define BASE_LOG_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"

/* ---- log_line.c: a line being made, cut silently at size */

struct log_line {
	char p[LOG_LINE_MAX];
	size_t n;
	size_t size;
};

extern const char *const log_level_names[];
extern const int log_priorities[]; /* of syslog(3) */

void log_line_add(struct log_line *l, const char *p, size_t n);
void log_line_make_json(
    struct log_line *l, enum log_level level, const char *when, struct span text);
/* when: NULL is none; journal: with sd-daemon's prefix; named: with the level's name. */
void log_line_make_text(struct log_line *l, enum log_level level, const char *when, bool journal,
    bool named, struct span text);

/* ---- log_target.c */

enum log_kind { LOG_K_OFF, LOG_K_STDERR, LOG_K_SYSLOG, LOG_K_FILE };

struct log_target {
	enum log_kind kind;
	int fd;		/* owned when kind is LOG_K_FILE */
	char *path;	/* owned; a file's, else NULL */
	bool can_block; /* not a regular file */
	bool stalled;	/* the last line had to be dropped */
	bool journal;	/* stderr is the journal's stream */
	bool torn;	/* the last line is there in part only */
	bool made;	/* the file was not there before, nor anything else by its name */
	unsigned refs;	/* under the log's lock: the log, and a write that is under way */
};

/* "stderr", "syslog", "off" or a path; one reference.  NULL: errno tells. */
struct log_target *log_target_new(const char *name);
/* With the lock held, or by who is alone; NULL is nothing. */
void log_target_unref(struct log_target *t);
/* For messages about the log itself. */
const char *log_target_name(const struct log_target *t);
/* Whether the file has been removed. */
bool log_target_is_gone(const struct log_target *t);

/*
 * Whether a line can be given now, without waiting; threads: others would wait for a disk as well.
 */
bool log_target_is_ready(const struct log_target *t, bool threads);

/*
 * Give whole lines, newlines and all, to the fd.  Now: waits LOG_STALL_MS once and then gives up.
 * False: not all.
 */
#define LOG_STALL_MS 100
bool log_target_write_now(struct log_target *t, const char *p, size_t n);
/* The same, for as long as it takes.  False: errno tells. */
bool log_target_write(struct log_target *t, const char *p, size_t n);

/* ---- log_limit.c: messages of a kind */

#define LOG_LIMIT_KINDS 64
#define LOG_LIMIT_SAMPLE 160

struct log_limit_kind {
	const void *kind; /* NULL: free */
	uint64_t start_ms;
	uint32_t count, suppressed;
	enum log_level level;
	char sample[LOG_LIMIT_SAMPLE]; /* the last one that was suppressed */
};

struct log_limit {
	struct log_limit_kind kind[LOG_LIMIT_KINDS];
	unsigned n_waiting; /* kinds with suppressed messages */
};

/*
 * Whether one more message of the kind may be logged now.  If an interval of it is over in which
 * some were suppressed, *due is its entry, to be told first (log_limit_tell).
 */
bool log_limit_take(struct log_limit *l, const void *kind, enum log_level level, uint64_t now_ms,
    struct log_limit_kind **due);
/* One was suppressed. */
void log_limit_suppress(struct log_limit *l, const void *kind, struct span text);
/* Any entry whose interval is over, or any at all, that has something to tell; NULL: none. */
struct log_limit_kind *log_limit_due(struct log_limit *l, uint64_t now_ms, bool any);
/* What is to be said of it, into text; it is said from then on. */
struct span log_limit_tell(struct log_limit *l, struct log_limit_kind *k, char *text, size_t size);

/* ---- log_writer.c: the queue and its thread */

struct log_writer;

struct log {
	pthread_mutex_t lock;	   /* over all that is not atomic */
	struct log_target *target; /* ref */
	struct log_writer *writer; /* owned; NULL: who logs writes */
	struct log *tell;	   /* borrowed; where trouble is told; NULL: standard error */
	struct log_limit limit;
	bool failing;	       /* the trouble was told */
	bool started, threads; /* log_start */
	uint64_t looked_ms;    /* when it was looked whether the file is still there */
	atomic_int level;
	atomic_int format;
	atomic_bool off;		 /* target->kind is LOG_K_OFF */
	atomic_uint_fast64_t lost;	 /* since the log was opened */
	atomic_uint_fast64_t unsaid;	 /* of these, not logged yet */
	atomic_uint_fast64_t suppressed; /* messages of a kind that came too often */
};

struct log_writer *log_writer_new(struct log *log); /* started; NULL: errno tells */
/*
 * Writes what is left, for LOG_END_MS at most, and ends; false: it hangs in a write, and frees the
 * log itself when that is over. Without the lock.
 */
#define LOG_END_MS 1000
bool log_writer_free(struct log_writer *w);
/* With the lock held: a line without its newline; false: there is no room. */
bool log_writer_put(struct log_writer *w, enum log_level level, const char *p, size_t n);

/* ---- log.c */

/* The memory of a log that has no writer any more. */
void log_dispose(struct log *log);
/* Trouble with the log, to who may see it.  The lock is not held. */
void log_tell(struct log *log, const char *name, const char *what);

/* With the lock held: */

/* A file that was removed is made anew; looks once a second. */
void log_look(struct log *log);

void log_lose(struct log *log, uint64_t n);
/*
 * Tell of lines that were lost, in this log; and of messages that were suppressed, whose time has
 * come or of all.
 */
void log_put_unsaid(struct log *log);
void log_put_suppressed(struct log *log, bool all);

#endif
