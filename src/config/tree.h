/*
 * What the files and the --set options say, before it is understood: sections,
 * their keys, each value with the place that it came from.  Later files and
 * --set change it in place.  It stays with the snapshot as its
 * `struct config_sources`, for --dump-config and for the checks' messages.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include "base/span.h"
#include "config/config.h"
#include "config/keys.h"

struct config_text {
	char *text;	  /* owned; never empty */
	const char *file; /* borrowed from the tree, or CONFIG_SET_FILE */
	unsigned line;
};

/* One key of one section.  A scalar has one value, or none when it was emptied. */
struct config_entry {
	const struct config_key *key;
	struct config_text *v;
	size_t n;
	const char *file; /* where it was set last: borrowed as above */
	unsigned line;
	bool bad; /* a value did not parse, or a line meant for it did not */
};

struct config_tsection {
	enum config_section_type type;
	char *name;	  /* owned; NULL for sections without one */
	const char *file; /* where it stands first */
	unsigned line;
	struct config_entry *entry;
	size_t n;
};

struct config_sources {
	struct {
		struct config_tsection *v; /* [server] and [websocket]: at most one */
		size_t n;
	} section[CONFIG_S_COUNT];
	char **file; /* owned names */
	size_t n_files;
	/* A head that was not understood was meant as this type: one may be missing by that. */
	bool broken[CONFIG_S_COUNT];
	struct config_websocket ws; /* [websocket] itself, for the dump */
};

struct config_sources *config_tree_new(void);
void config_tree_free(struct config_sources *t);

/* The name, kept as long as the tree; NULL without memory. */
const char *config_tree_file(struct config_sources *t, const char *name);

/* Find, or add when there is none yet.  Pointers to sections of this type move when one is
 * added.  NULL without memory. */
struct config_tsection *config_tree_section(struct config_sources *t, enum config_section_type type,
    struct span name, const char *file, unsigned line);

/* NULL when there is none; s may be NULL. */
struct config_entry *config_tree_find(const struct config_tsection *s, const struct config_key *k);

/* As config_tree_find with the key's name, and only when it has a value that parsed. */
const struct config_entry *config_tree_get(const struct config_tsection *s, const char *key);

enum config_tree_mode {
	CONFIG_TREE_FILE, /* scalar: replace; list: append, an empty value empties it */
	CONFIG_TREE_SET,  /* both: replace */
};

/* A line that was meant for this key was not understood: its absence needs no second error.
 * 0, or -1 without memory. */
int config_tree_mark_bad(struct config_tsection *s, const struct config_key *k);

/* Whether the key's absence or default comes from an error that is reported already. */
bool config_tree_is_bad(const struct config_tsection *s, const char *key);

/* 0, or -1 without memory. */
int config_tree_assign(struct config_tsection *s, const struct config_key *k, struct span value,
    const char *file, unsigned line, enum config_tree_mode mode);

#endif
