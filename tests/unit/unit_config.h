/*
 * Loading a configuration from a text, for the tests of config/ and policy/:
 * the text goes to a file in a folder of its own, and what is reported is
 * gathered, one line each, with "F" for the file's path and "warning: " before
 * warnings.
 */
#ifndef TESTS_UNIT_CONFIG_H
#define TESTS_UNIT_CONFIG_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"
#include "unit.h"

/* Enough for a configuration to be whole; its lines come last, behind the case's own. */
#define UNIT_CONFIG_REST \
	"\n[listen rest]\nAddress=127.0.0.1:0\n[route rest]\nPath=/rest\nAction=echo\n"

struct unit_config {
	char dir[64];	/* of the file; removed at the end */
	char path[128]; /* F */
	struct buf log;
	unsigned errors, warnings;
	struct config *c;
};

static inline void
unit_config_report(void *arg, bool is_error, const char *line)
{
	struct unit_config *u = arg;
	const char *at;

	ck_assert_ptr_null(strchr(line, '\n'));
	u->errors += is_error;
	u->warnings += !is_error;
	if (!is_error)
		ck_assert_int_eq(buf_append_str(&u->log, "warning: "), 0);
	while ((at = strstr(line, u->path)) != NULL) {
		ck_assert_int_eq(buf_append(&u->log, line, (size_t)(at - line)), 0);
		ck_assert_int_eq(buf_append_char(&u->log, 'F'), 0);
		line = at + strlen(u->path);
	}
	ck_assert_int_eq(buf_append_str(&u->log, line), 0);
	ck_assert_int_eq(buf_append_char(&u->log, '\n'), 0);
}

static inline void
unit_config_write(const char *path, struct span text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq((int)write(fd, text.p, text.n), (int)text.n);
	close(fd);
}

static inline void
unit_config_init(struct unit_config *u)
{
	memset(u, 0, sizeof(*u));
	snprintf(u->dir, sizeof(u->dir), "/tmp/wsrelayd-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(u->dir));
	snprintf(u->path, sizeof(u->path), "%s/a.ini", u->dir);
	buf_init(&u->log, 1 << 20);
}

/* A file F.d/NAME beside F. */
static inline void
unit_config_drop_in(struct unit_config *u, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s.d", u->path);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s.d/%s", u->path, name);
	unit_config_write(path, span_from_str(text));
}

/* The log so far as a string; valid until the next load. */
static inline const char *
unit_config_log(struct unit_config *u)
{
	ck_assert_int_eq(buf_append_char(&u->log, '\0'), 0);
	u->log.n--;
	return u->log.p;
}

/* Load the file as it is; u->c is the result. */
static inline void
unit_config_load(struct unit_config *u, const struct config_set *sets, size_t n_sets)
{
	u->log.n = 0;
	u->errors = u->warnings = 0;
	u->c = config_load(u->path, sets, n_sets, unit_config_report, u);
	ck_assert_msg((u->c == NULL) == (u->errors > 0), "%u errors, but %s:\n%s", u->errors,
	    u->c != NULL ? "a snapshot" : "no snapshot", unit_config_log(u));
}

static inline void
unit_config_load_text(struct unit_config *u, const char *text)
{
	unit_config_write(u->path, span_from_str(text));
	unit_config_load(u, NULL, 0);
}

static inline void
unit_config_drop(struct unit_config *u)
{
	config_unref(u->c);
	u->c = NULL;
}

static inline void
unit_config_clear(struct unit_config *u)
{
	char command[128];

	unit_config_drop(u);
	buf_clear(&u->log);
	snprintf(command, sizeof(command), "rm -rf %s", u->dir);
	ck_assert_int_eq(system(command), 0);
}

/* A text, and all that is reported of it ("" is a good one). */
struct unit_config_row {
	const char *text;
	const char *expected;
};

/* Each text with `rest` behind it. */
static inline void
unit_config_expect(const struct unit_config_row *rows, size_t n, const char *rest)
{
	struct unit_config u;
	struct buf text;

	unit_config_init(&u);
	buf_init(&text, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		text.n = 0;
		ck_assert_int_eq(buf_printf(&text, "%s%s", rows[i].text, rest), 0);
		unit_config_write(u.path, buf_span(&text));
		unit_config_load(&u, NULL, 0);
		ck_assert_msg(strcmp(unit_config_log(&u), rows[i].expected) == 0,
		    "of\n%s\nis reported\n%s\nbut expected is\n%s", rows[i].text,
		    unit_config_log(&u), rows[i].expected);
		unit_config_drop(&u);
	}
	buf_clear(&text);
	unit_config_clear(&u);
}

/* A good text with the rest behind it, or the case fails; the caller clears u. */
static inline void
unit_config_good(struct unit_config *u, const char *text)
{
	struct buf whole;

	unit_config_init(u);
	buf_init(&whole, 1 << 20);
	ck_assert_int_eq(buf_printf(&whole, "%s%s", text, UNIT_CONFIG_REST), 0);
	unit_config_write(u->path, buf_span(&whole));
	buf_clear(&whole);
	unit_config_load(u, NULL, 0);
	ck_assert_msg(u->c != NULL, "of\n%s\nis reported\n%s", text, unit_config_log(u));
}

#endif
