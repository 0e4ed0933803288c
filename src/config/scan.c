/*
 * One INI file's text into the tree; see scan.h.
 *
 * inih calls scan_read for each line and scan_handle for what it made of it.
 * scan_read judges the line, and notes what inih has to make of it; scan_handle
 * compares and stores.  A build of inih that reads a line in another way is so
 * an error, never a different configuration.
 */
#include "config/scan.h"

#include <ini.h>

#include "config/keys.h"
#include "config/scan_name.h"

struct scan {
	struct config_sources *tree; /* borrowed, all of them */
	struct config_report *rep;
	const char *file;
	struct span rest;		 /* not read yet */
	unsigned line;			 /* of the line read last */
	struct config_tsection *section; /* NULL: none, or a bad one */
	bool section_seen;		 /* any head, good or bad */
	const struct config_key *key;	 /* set last here; NULL: none, or a bad one */
	bool key_bad;
	bool due;	   /* inih has to hand up `key` with `value` */
	struct span value; /* borrowed from the text */
};

#define SCAN_ERROR(s, ...) config_error((s)->rep, (s)->file, (s)->line, __VA_ARGS__)

static const char *
scan_head(const struct scan *s, struct config_shown *out)
{
	return config_show_head(out, s->section->type, s->section->name);
}

static struct span
scan_next_line(struct scan *s)
{
	const char *nl = memchr(s->rest.p, '\n', s->rest.n);
	struct span line = { s->rest.p, nl != NULL ? (size_t)(nl - s->rest.p) : s->rest.n };
	size_t used = nl != NULL ? line.n + 1 : line.n;

	s->rest.p += used;
	s->rest.n -= used;
	s->line++;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool
scan_section(struct scan *s, struct span line)
{
	enum config_section_type type;
	struct span name;

	s->section_seen = true;
	s->section = NULL;
	s->key = NULL;
	s->key_bad = false;
	if (!config_scan_head(s->rep, s->file, s->line, line, &type, &name)) {
		s->tree->broken[type] = true;
		return false;
	}
	s->section = config_tree_section(s->tree, type, name, s->file, s->line);
	if (s->section == NULL)
		config_no_memory(s->rep);
	return s->section != NULL;
}

/* A scalar twice in one file; a later file may override it. */
static bool
scan_is_repeated(struct scan *s, const struct config_key *k, struct span value)
{
	const struct config_entry *e = config_tree_find(s->section, k);
	struct config_shown head, shown;

	if (e == NULL || e->file != s->file || config_key_is_list(k))
		return false;
	SCAN_ERROR(s, "%s %s=%s: %s is set on line %u already; expected it once in a file",
	    scan_head(s, &head), k->name, config_show(&shown, value), k->name, e->line);
	return true;
}

static void
scan_mark_bad(struct scan *s, const struct config_key *k)
{
	if (config_tree_mark_bad(s->section, k) == -1)
		config_no_memory(s->rep);
}

static bool
scan_key(struct scan *s, struct span line)
{
	const struct config_key *k;
	struct span name, value;

	s->key = NULL;
	s->key_bad = true;
	if (s->section == NULL) {
		if (!s->section_seen)
			config_scan_no_section(s->rep, s->file, s->line, line);
		return false;
	}
	if (!config_scan_split(s->rep, s->file, s->line, s->section, line, &name, &value))
		return false;
	k = config_scan_key(s->rep, s->file, s->line, s->section, name);
	if (k == NULL || !config_scan_value(s->rep, s->file, s->line, s->section, k, value) ||
	    scan_is_repeated(s, k, value)) {
		scan_mark_bad(s, k != NULL ? k : config_key_nearest(s->section->type, name));
		return false;
	}
	s->key = k;
	s->key_bad = false;
	s->value = value;
	s->due = true;
	return true;
}

/* An indented line that is a section's head, or begins as a key of this section, was meant so. */
static bool
scan_looks_like_key(const struct scan *s, struct span text)
{
	const char *eq = memchr(text.p, '=', text.n);
	struct span name;

	if (text.p[0] == '[' && text.p[text.n - 1] == ']')
		return true;
	if (eq == NULL)
		return false;
	name = span_trim((struct span){ text.p, (size_t)(eq - text.p) });
	return config_key_find(s->section->type, name) != NULL;
}

static bool
scan_continuation(struct scan *s, struct span text)
{
	struct config_shown head, shown;

	if (s->key_bad || (s->section == NULL && s->section_seen))
		return false; /* what it belongs to is reported already */
	config_show(&shown, text);
	if (s->key == NULL) {
		SCAN_ERROR(s,
		    "indented line \"%s\": it continues nothing; expected keys and sections "
		    "to begin in the first column",
		    shown.text);
		return false;
	}
	if (!config_key_is_list(s->key)) {
		SCAN_ERROR(s,
		    "%s %s: the indented line \"%s\" would continue this key, which is no "
		    "list; expected keys to begin in the first column",
		    scan_head(s, &head), s->key->name, shown.text);
		return false;
	}
	if (scan_looks_like_key(s, text)) {
		SCAN_ERROR(s,
		    "%s %s: the indented line \"%s\" would continue this list; expected keys "
		    "and sections to begin in the first column",
		    scan_head(s, &head), s->key->name, shown.text);
		return false;
	}
	if (!config_scan_value(s->rep, s->file, s->line, s->section, s->key, text))
		return false;
	s->value = text;
	s->due = true;
	return true;
}

/* Whether inih may see the line: false also for what is not worth showing. */
static bool
scan_line(struct scan *s, struct span line)
{
	struct span text = span_trim(line);

	if (!config_scan_bytes(s->rep, s->file, s->line, line)) {
		s->key_bad = true;
		return false;
	}
	if (text.n == 0 || text.p[0] == '#' || text.p[0] == ';')
		return false;
	if (line.n > CONFIG_SCAN_LINE_MAX) {
		SCAN_ERROR(s,
		    "the line is %zu bytes long; expected at most %d (a list may go on in "
		    "indented lines, or its key may be repeated)",
		    line.n, CONFIG_SCAN_LINE_MAX);
		s->key_bad = true;
		return false;
	}
	if (line.p[0] == ' ' || line.p[0] == '\t')
		return scan_continuation(s, text);
	if (line.p[0] == '[')
		return scan_section(s, text);
	return scan_key(s, text);
}

/* inih's fgets: one line into out (size bytes), or NULL at the end. */
static char *
scan_read(char *out, int size, void *stream)
{
	struct scan *s = stream;
	struct span line;

	if (s->due)
		SCAN_ERROR(s, "the INI library did not take this line");
	s->due = false;
	if (s->rest.n == 0 || s->rep->no_memory || size < 2)
		return NULL;
	line = scan_next_line(s);
	if (!scan_line(s, line) || line.n + 2 > (size_t)size)
		line.n = 0;
	if (line.n > 0)
		memcpy(out, line.p, line.n);
	out[line.n] = '\n';
	out[line.n + 1] = '\0';
	return out;
}

static int
scan_handle(void *user, const char *section, const char *name, const char *value)
{
	struct scan *s = user;

	(void)section;
	if (name == NULL)
		return 1; /* inih can be built to announce sections */
	if (!s->due || value == NULL || !span_eq(span_from_str(value), s->value) ||
	    !span_eq_nocase(span_from_str(name), span_from_str(s->key->name)))
		return 0;
	s->due = false;
	if (config_tree_assign(
		s->section, s->key, span_from_str(value), s->file, s->line, CONFIG_TREE_FILE) == -1)
		config_no_memory(s->rep);
	return 1;
}

void
config_scan_text(
    struct config_sources *tree, struct config_report *rep, const char *file, struct span text)
{
	struct scan s = { .tree = tree, .rep = rep, .file = file, .rest = text };
	int line;

	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		s.rest.p += 3, s.rest.n -= 3;
	line = ini_parse_stream(scan_read, &s, scan_handle, &s);
	if (line != 0 && rep->errors == 0)
		config_error(rep, file, line > 0 ? (unsigned)line : 0,
		    "the INI library could not read this line");
}
