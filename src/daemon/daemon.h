/*
 * The running daemon: listeners, workers, reload, drain, signals.
 * Everything here is the main thread's.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "config/config.h"

/* Exit statuses (INTERFACE.md). */
#define EXIT_USAGE 64
#define EXIT_INTERNAL 70
#define EXIT_SYSTEM 71
#define EXIT_CONFIG 78

struct daemon_options {
	const char *config_path;
	const struct config_set *sets;
	size_t n_sets;
};

/* Start, run until a signal ends it, and clean up.  Returns the exit status; what
 * went wrong was said on stderr. */
int daemon_run(const struct daemon_options *o);

/* -t: read and check everything, start nothing. */
int daemon_test(const struct daemon_options *o);

/* 0, or EXIT_SYSTEM after it was said that the configuration file cannot be read. */
int daemon_check_file(const struct daemon_options *o);

/* Writes a line to stderr; for config_load and tls_ctx_new. */
void daemon_report(void *arg, bool is_error, const char *line);

#endif
