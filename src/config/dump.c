/*
 * --dump-config: every key in force with its value and where it came from.
 * What stands before "  # " reads back as the same configuration.
 */
#include <errno.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "config/keys.h"
#include "config/scan.h"
#include "config/stages.h"
#include "config/value.h"

#define DUMP_MAX ((size_t)64 << 20)

static int
dump_line(struct buf *b, const char *key, const char *sep, const char *value, const char *file,
    unsigned line)
{
	if (buf_printf(b, "%s%s%s  # %s", key, sep, value, file != NULL ? file : "default") == -1)
		return -1;
	if (file == NULL || strcmp(file, CONFIG_SET_FILE) == 0)
		return buf_append_char(b, '\n');
	return buf_printf(b, ":%u\n", line);
}

/* An item that came on a line of its own and has no room behind its key. */
static bool
dump_is_long(const struct config_key *k, const struct config_text *v)
{
	return strlen(k->name) + 1 + strlen(v->text) > CONFIG_SCAN_LINE_MAX;
}

static int
dump_item(struct buf *b, const struct config_key *k, const struct config_text *v)
{
	if (dump_is_long(k, v))
		return dump_line(b, "\t", "", v->text, v->file, v->line);
	return dump_line(b, k->name, "=", v->text, v->file, v->line);
}

/* One line for each item: a repeated list key appends. */
static int
dump_list(struct buf *b, const struct config_key *k, const struct config_entry *e)
{
	if (e == NULL || e->n == 0 || dump_is_long(k, &e->v[0]))
		if (dump_line(b, k->name, "=", "", e != NULL ? e->file : NULL,
			e != NULL ? e->line : 0) == -1)
			return -1;
	for (size_t i = 0; e != NULL && i < e->n; i++)
		if (dump_item(b, k, &e->v[i]) == -1)
			return -1;
	return 0;
}

/* A time that is the default is written as the default is (60s, not 1min), given or not. */
static bool
dump_is_default_time(const struct config_key *k, const void *base)
{
	uint64_t def, now;

	if (k->type != CONFIG_T_TIME || num_parse_time_ms(span_from_str(k->def), &def) == -1)
		return false;
	memcpy(&now, (const char *)base + k->offset, sizeof(now));
	return now == def;
}

static int
dump_scalar(
    struct buf *b, const struct config_key *k, const struct config_entry *e, const void *base)
{
	struct span def = span_from_str(k->def);
	struct buf value;
	int rc;

	if (e == NULL || e->n == 0)
		return buf_printf(b, "%s=%.*s  # default\n", k->name, SPAN_ARG(def));
	buf_init(&value, DUMP_MAX);
	if (dump_is_default_time(k, base))
		rc = buf_append_span(&value, def);
	else
		rc = config_value_format(k, base, &value);
	if (rc == 0)
		rc = buf_append_char(&value, '\0');
	if (rc == 0)
		rc = dump_line(b, k->name, "=", value.p, e->v[0].file, e->v[0].line);
	buf_clear(&value);
	return rc;
}

static int
dump_key(const struct config *c, struct buf *b, enum config_section_type type, size_t index,
    const struct config_key *k)
{
	struct config_sources *t = c->sources;
	const struct config_entry *e = NULL;

	if (index < t->section[type].n)
		e = config_tree_find(&t->section[type].v[index], k);
	if ((e == NULL || (e->n == 0 && !config_key_is_list(k))) && type != k->section)
		e = config_tree_find(t->section[k->section].v, k);
	if (config_key_is_list(k))
		return dump_list(b, k, e);
	/* Only read from: config_base gives what it is given. */
	return dump_scalar(b, k, e, config_base((struct config *)(uintptr_t)c, type, index, k));
}

static int
dump_section(const struct config *c, struct buf *b, enum config_section_type type, size_t index)
{
	const char *name = NULL;
	struct config_shown head;

	if (config_sections[type].named)
		name = c->sources->section[type].v[index].name;
	if (buf_printf(b, "%s%s\n", b->n > 0 ? "\n" : "", config_show_head(&head, type, name)) ==
	    -1)
		return -1;
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_key_in(&config_keys[i], type) &&
		    dump_key(c, b, type, index, &config_keys[i]) == -1)
			return -1;
	return 0;
}

static int
dump_write(int fd, struct span text)
{
	ssize_t n;

	while (text.n > 0) {
		n = write(fd, text.p, text.n);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		text.p += n;
		text.n -= (size_t)n;
	}
	return 0;
}

int
config_dump(const struct config *c, int fd)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, DUMP_MAX);
	for (unsigned t = 0; t < CONFIG_S_COUNT && rc == 0; t++) {
		enum config_section_type type = (enum config_section_type)t;
		size_t n = config_sections[t].named ? c->sources->section[t].n : 1;

		for (size_t i = 0; i < n && rc == 0; i++)
			rc = dump_section(c, &b, type, i);
	}
	if (rc == 0)
		rc = dump_write(fd, buf_span(&b));
	buf_clear(&b);
	return rc;
}
