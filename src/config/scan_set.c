/*
 * --set SECTION.KEY=VALUE and SECTION.NAME.KEY=VALUE; see scan.h.  A NAME may
 * have dots: SECTION ends at the first one, KEY begins behind the last.
 */
#include "config/scan.h"
#include "config/scan_name.h"

#define SET_EXPECTED "SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE"

struct scan_set {
	struct span section, name, key, value;
};

static int
scan_set_cut(struct span text, struct scan_set *out)
{
	const char *eq = memchr(text.p, '=', text.n), *first, *last;
	size_t left;

	if (eq == NULL)
		return -1;
	left = (size_t)(eq - text.p);
	first = memchr(text.p, '.', left);
	last = memrchr(text.p, '.', left);
	if (first == NULL || first == text.p)
		return -1;
	out->section = span_trim((struct span){ text.p, (size_t)(first - text.p) });
	out->name = SPAN_NONE;
	if (last > first)
		out->name = span_trim((struct span){ first + 1, (size_t)(last - first) - 1 });
	out->key = span_trim((struct span){ last + 1, (size_t)(eq - last) - 1 });
	out->value = span_trim((struct span){ eq + 1, text.n - left - 1 });
	return 0;
}

void
config_scan_set(struct config_sources *tree, struct config_report *rep, const char *text)
{
	struct span all = span_from_str(text);
	enum config_section_type type;
	struct config_tsection *s;
	const struct config_key *k;
	struct config_shown shown;
	struct scan_set set;

	if (!config_scan_bytes(rep, CONFIG_SET_FILE, 0, all))
		return;
	if (scan_set_cut(all, &set) == -1) {
		config_error(rep, CONFIG_SET_FILE, 0, "\"%s\": expected " SET_EXPECTED,
		    config_show(&shown, all));
		return;
	}
	if (!config_scan_section_name(rep, CONFIG_SET_FILE, 0, set.section, set.name, &type))
		return;
	s = config_tree_section(tree, type, set.name, CONFIG_SET_FILE, 0);
	if (s == NULL) {
		config_no_memory(rep);
		return;
	}
	k = config_scan_key(rep, CONFIG_SET_FILE, 0, s, set.key);
	if (k == NULL || !config_scan_value(rep, CONFIG_SET_FILE, 0, s, k, set.value))
		return;
	if (config_tree_assign(s, k, set.value, CONFIG_SET_FILE, 0, CONFIG_TREE_SET) == -1)
		config_no_memory(rep);
}
