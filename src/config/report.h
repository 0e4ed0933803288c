/*
 * Errors and warnings of a load, each one line "FILE:LINE: message", counted
 * and handed to the caller's function.  Allocates nothing, so that running
 * out of memory can be reported too.
 */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include <stdarg.h>

#include "base/span.h"
#include "config/config.h"

/* Where --set's values come from, in place of a file's name. */
#define CONFIG_SET_FILE "--set"

struct config_report {
	config_report_fn *fn; /* may be NULL: only count */
	void *arg;
	const char *path; /* FILE: what is said of the whole points there */
	unsigned errors;
	bool no_memory; /* reported once; the load ends soon */
};

/* file is CONFIG_SET_FILE (line is not shown) or a path; line 0 is the file as a whole. */
void config_error(struct config_report *r, const char *file, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_warn(struct config_report *r, const char *file, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_no_memory(struct config_report *r);

/* A value or name fit for a message: escaped, and cut with "..." when it is long. */
#define CONFIG_SHOWN 400
struct config_shown {
	char text[CONFIG_SHOWN];
};
const char *config_show(struct config_shown *out, struct span s);

/* "[server]", "[route chat]". */
const char *config_show_head(struct config_shown *out, unsigned section_type, const char *name);

#endif
