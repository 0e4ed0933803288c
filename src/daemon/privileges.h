/* Limits and identity of the process.  Main thread, at start. */
#ifndef DAEMON_PRIVILEGES_H
#define DAEMON_PRIVILEGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "config/config.h"

/* Raise the limit on open files to its hard limit; the limit in force. */
uint64_t privileges_raise_nofile(void);

/* Whether User and Group exist; 0, or -1 after each that does not was reported. */
int privileges_check(const struct config_server *s, config_report_fn *report, void *arg);

/* The group that privileges_drop will take on; -1: it will change nothing. */
int privileges_future_group(const struct config_server *s);

/* Give the file that a log has made, as root, to whom privileges_drop will turn into. */
void privileges_give_log(const struct config_server *s, struct log *log);

/*
 * Take on User and Group when started as root, with the user's own supplementary groups only. 0,
 * or -1 with err: no such user, not permitted. Nothing when neither is set.  When not root and
 * User is another one, an error.
 */
int privileges_drop(const struct config_server *s, char *err, size_t size);

#endif
