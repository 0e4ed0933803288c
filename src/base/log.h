/*
 * The log: levels, targets stderr, syslog or a file, text or JSON lines.
 * A struct log may be used by any thread; each line is one write(2).
 * Peer-supplied text goes through log_escape first.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <sys/types.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* The longest line with its newline; what is longer is cut. */
#define LOG_LINE_MAX 4096

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };
enum log_format { LOG_F_TEXT, LOG_F_JSON };

struct log;

/*
 * target: "stderr", "syslog", "off" or a file's path (opened for append,
 * created 0640).  The caller owns the result (log_free, which writes what waits, for a second at
 * most).  NULL when the file cannot be opened or there is no memory; errno tells.
 */
struct log *log_new(const char *target, enum log_level level, enum log_format format);
void log_free(struct log *log);

/*
 * From now on nobody who logs waits: not for a reader of a pipe, not for syslogd and, where the
 * process has several threads, not for a disk.  Lines that cannot be written at once are a
 * thread's of the log, which is made when the first of them comes; in a process of one thread,
 * which the kernel serves faster, files are written by who logs. Lines that the thread's queue (1
 * MiB) has no room for are lost and counted.  A file that is removed is made anew.  tell: the log
 * that is told of trouble with this one, and freed after it; NULL is standard error.  Once, before
 * other threads log.
 */
void log_start(struct log *log, struct log *tell, bool threads);

/* Change level and format in a running log (any thread). */
void log_set(struct log *log, enum log_level level, enum log_format format);

/*
 * Point a running log at another target; 0, or -1 with errno and the old
 * target kept.  log_reopen opens the same file again (USR1), same returns.
 */
int log_set_target(struct log *log, const char *target);
int log_reopen(struct log *log);

/*
 * Before the first thread: the log's file goes to this user and group, who have to open it again
 * later, if the log has made it.  One that was there, or to which a link led, is left as it is:
 * who could have put it there must not be given it.
 */
void log_give(struct log *log, uid_t uid, gid_t gid);

/* False too when log is NULL or its target is "off". */
bool log_on(const struct log *log, enum log_level level);

/* How many lines the target did not take since log_new. */
uint64_t log_lost(const struct log *log);
/*
 * How many messages were suppressed by log_peer and log_kind; log must not be NULL, here as there.
 */
uint64_t log_suppressed(const struct log *log);

/*
 * One message.  No newline at the end of fmt.  Text form is
 * "LEVEL: message" for stderr (with sd-daemon's <N> prefix when
 * JOURNAL_STREAM names stderr's device and inode), "RFC3339 LEVEL: message"
 * for a file, "message" for syslog; JSON is
 * {"time":…,"level":…,"message":…} in valid UTF-8.  LEVEL is error, warning,
 * info or debug.  Control characters become spaces in text.  Lines are cut
 * at LOG_LINE_MAX.
 *
 * Before log_start a target that is full, or closed at its other end, is waited for 100 ms
 * once; then lines are dropped and counted until it takes lines again.
 * SIGPIPE is never raised.  errno is kept; log may be NULL.
 */
void log_msg(struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void log_vmsg(struct log *log, enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/*
 * The same for what a peer can cause any number of times: no more than LOG_LIMIT_BURST of a kind
 * in LOG_LIMIT_MS; then they are suppressed, and how many it were is told with the last of them
 * when the time is over. A kind is a place in the source: fmt, or what stands for it.  At
 * LogLevel=debug there is no limit.
 */
#define LOG_LIMIT_BURST 20
#define LOG_LIMIT_MS 10000
void log_peer(struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void log_kind(struct log *log, enum log_level level, const void *kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * A ready line (an access line), written as it is with a newline added,
 * whatever the level; cut at LOG_LINE_MAX too.  log may be NULL.
 */
void log_raw(struct log *log, const char *line, size_t n);

#define log_error(l, ...) log_msg((l), LOG_L_ERROR, __VA_ARGS__)
#define log_warn(l, ...) log_msg((l), LOG_L_WARN, __VA_ARGS__)
#define log_info(l, ...) log_msg((l), LOG_L_INFO, __VA_ARGS__)
#define log_debug(l, ...)                                       \
	do {                                                    \
		if (log_on((l), LOG_L_DEBUG))                   \
			log_msg((l), LOG_L_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * Make text of a peer fit for a log line: bytes outside printable ASCII, and
 * '"' and '\', become \xNN; at most max_in bytes of `in` are shown, "..."
 * marks a cut.  Writes a NUL-terminated string into out (size bytes, at
 * least 8) and returns out.
 */
const char *log_escape(char *out, size_t size, struct span in, size_t max_in);

#endif
