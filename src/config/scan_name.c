/*
 * One line by itself; see scan_name.h.
 */
#include "config/scan_name.h"

#include "config/scan.h"
#include "config/value.h"

#define SECTIONS_EXPECTED "[server], [listen NAME], [websocket], [route NAME] or [backend NAME]"

bool
config_scan_bytes(struct config_report *rep, const char *file, unsigned line, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			config_error(rep, file, line,
			    "byte %zu of the line is the control character "
			    "0x%02x; expected text%s",
			    i + 1, c,
			    c == 0 ? " in UTF-8 (is this file UTF-16, or not text at all?)" : "");
			return false;
		}
	}
	return true;
}

static bool
scan_name_valid(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = span_lower(name.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
		    c != '.')
			return false;
	}
	return name.n > 0;
}

bool
config_scan_section_name(struct config_report *rep, const char *file, unsigned line,
    struct span type_name, struct span name, enum config_section_type *type)
{
	const struct config_section_info *info;
	struct config_shown a, b;

	if (config_section_find(type_name, type) == -1) {
		*type = config_section_nearest(type_name);
		config_error(rep, file, line, "[%s]: unknown section; did you mean %s?",
		    config_show(&a, type_name), config_sections[*type].head);
		return false;
	}
	info = &config_sections[*type];
	if (!info->named && name.n > 0) {
		config_error(rep, file, line, "[%s %s]: this section has no name; expected %s",
		    info->name, config_show(&b, name), info->head);
		return false;
	}
	if (info->named && !scan_name_valid(name)) {
		config_error(rep, file, line,
		    "[%s%s%s]: expected %s with one name of letters, digits "
		    "and - _ .",
		    info->name, name.n > 0 ? " " : "", config_show(&b, name), info->head);
		return false;
	}
	return true;
}

bool
config_scan_head(struct config_report *rep, const char *file, unsigned line, struct span text,
    enum config_section_type *type, struct span *name)
{
	const char *end = memchr(text.p, ']', text.n);
	struct config_shown shown;
	struct span inner, type_name;

	config_show(&shown, text);
	inner = (struct span){ text.p + 1, (end != NULL ? (size_t)(end - text.p) : text.n) - 1 };
	if (!config_value_next(&inner, &type_name))
		type_name = SPAN_NONE;
	*name = span_trim(inner);
	*type = config_section_nearest(type_name);
	if (end == NULL) {
		config_error(rep, file, line, "%s: the ] is missing; expected %s", shown.text,
		    SECTIONS_EXPECTED);
		return false;
	}
	if (end != text.p + text.n - 1) {
		config_error(rep, file, line,
		    "%s: there is text behind the ]; expected the section's "
		    "head on a line of its own, without a comment",
		    shown.text);
		return false;
	}
	if (text.n - 2 > CONFIG_SCAN_NAME_MAX) {
		config_error(rep, file, line,
		    "%s: what is in the brackets is %zu bytes long; expected "
		    "at most %d",
		    shown.text, text.n - 2, CONFIG_SCAN_NAME_MAX);
		return false;
	}
	return config_scan_section_name(rep, file, line, type_name, *name, type);
}

void
config_scan_no_section(struct config_report *rep, const char *file, unsigned line, struct span text)
{
	struct config_shown shown;

	config_error(rep, file, line, "\"%s\" stands before the first section; expected %s first",
	    config_show(&shown, text), SECTIONS_EXPECTED);
}

bool
config_scan_split(struct config_report *rep, const char *file, unsigned line,
    const struct config_tsection *s, struct span text, struct span *name, struct span *value)
{
	struct config_shown head, shown;
	size_t i = 0;

	while (i < text.n && text.p[i] != '=' && text.p[i] != ':')
		i++;
	config_show(&shown, text);
	if (i == text.n || text.p[i] == ':') {
		config_error(rep, file, line, "%s \"%s\": %s; expected Key=Value",
		    config_show_head(&head, s->type, s->name), shown.text,
		    i == text.n ? "the = is missing" : "there is a : where the = should be");
		return false;
	}
	*name = span_trim((struct span){ text.p, i });
	*value = span_trim((struct span){ text.p + i + 1, text.n - i - 1 });
	if (name->n > 0 && name->n <= CONFIG_SCAN_NAME_MAX)
		return true;
	config_error(rep, file, line, "%s \"%s\": the key is %zu bytes long; expected 1 to %d",
	    config_show_head(&head, s->type, s->name), shown.text, name->n, CONFIG_SCAN_NAME_MAX);
	return false;
}

/* The section that has a key which this one does not have, or NULL. */
static const char *
scan_name_elsewhere(struct span name)
{
	for (unsigned t = 0; t < CONFIG_S_COUNT; t++)
		if (config_key_find((enum config_section_type)t, name) != NULL)
			return config_sections[t].head;
	return NULL;
}

const struct config_key *
config_scan_key(struct config_report *rep, const char *file, unsigned line,
    const struct config_tsection *s, struct span name)
{
	const struct config_key *k = config_key_find(s->type, name);
	struct config_shown head, shown;
	const char *other;

	if (k != NULL)
		return k;
	config_show(&shown, name);
	other = scan_name_elsewhere(name);
	if (other != NULL)
		config_error(rep, file, line,
		    "%s %s: unknown key in this section; did you mean "
		    "%s of %s?",
		    config_show_head(&head, s->type, s->name), shown.text, shown.text, other);
	else
		config_error(rep, file, line, "%s %s: unknown key; did you mean %s?",
		    config_show_head(&head, s->type, s->name), shown.text,
		    config_key_nearest(s->type, name)->name);
	return NULL;
}

/* White space before a ';' or '#' begins a comment for some readers, inih among them. */
static bool
scan_name_has_comment(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == ';' || s.p[i] == '#') &&
		    (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
			return true;
	return false;
}

bool
config_scan_value(struct config_report *rep, const char *file, unsigned line,
    const struct config_tsection *s, const struct config_key *k, struct span value)
{
	struct config_shown head, shown;

	if (!scan_name_has_comment(value))
		return true;
	config_error(rep, file, line,
	    "%s %s=%s: a ; or # at the start of a value or behind white "
	    "space would be taken for a comment by some readers; expected comments on lines of "
	    "their own",
	    config_show_head(&head, s->type, s->name), k->name, config_show(&shown, value));
	return false;
}
