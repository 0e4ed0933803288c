/*
 * Sections, keys and values as they were written; see tree.h.
 */
#include "config/tree.h"

#include "base/mem.h"
#include "config/value.h"

struct config_sources *
config_tree_new(void)
{
	return mem_zalloc(sizeof(struct config_sources));
}

static void
tree_empty_entry(struct config_entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		mem_free(e->v[i].text);
	mem_free(e->v);
	e->v = NULL;
	e->n = 0;
}

static void
tree_clear_section(struct config_tsection *s)
{
	for (size_t i = 0; i < s->n; i++)
		tree_empty_entry(&s->entry[i]);
	mem_free(s->entry);
	mem_free(s->name);
}

void
config_tree_free(struct config_sources *t)
{
	if (t == NULL)
		return;
	for (unsigned type = 0; type < CONFIG_S_COUNT; type++) {
		for (size_t i = 0; i < t->section[type].n; i++)
			tree_clear_section(&t->section[type].v[i]);
		mem_free(t->section[type].v);
	}
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_keys[i].section == CONFIG_S_WEBSOCKET)
			config_value_clear(&config_keys[i], &t->ws);
	for (size_t i = 0; i < t->n_files; i++)
		mem_free(t->file[i]);
	mem_free(t->file);
	mem_free(t);
}

const char *
config_tree_file(struct config_sources *t, const char *name)
{
	char **file = mem_realloc(t->file, (t->n_files + 1) * sizeof(*file));

	if (file == NULL)
		return NULL;
	t->file = file;
	if ((file[t->n_files] = mem_strdup(name)) == NULL)
		return NULL;
	return file[t->n_files++];
}

struct config_tsection *
config_tree_section(struct config_sources *t, enum config_section_type type, struct span name,
    const char *file, unsigned line)
{
	struct config_tsection *v = t->section[type].v;
	size_t n = t->section[type].n;

	for (size_t i = 0; i < n; i++)
		if (span_eq(span_from_str(v[i].name), name))
			return &v[i];
	if ((v = mem_realloc(v, (n + 1) * sizeof(*v))) == NULL)
		return NULL;
	t->section[type].v = v;
	v[n] = (struct config_tsection){ .type = type, .file = file, .line = line };
	if (name.n > 0 && (v[n].name = mem_strndup(name.p, name.n)) == NULL)
		return NULL;
	t->section[type].n++;
	return &v[n];
}

struct config_entry *
config_tree_find(const struct config_tsection *s, const struct config_key *k)
{
	for (size_t i = 0; s != NULL && i < s->n; i++)
		if (s->entry[i].key == k)
			return &s->entry[i];
	return NULL;
}

static const struct config_entry *
tree_find_name(const struct config_tsection *s, const char *key)
{
	for (size_t i = 0; s != NULL && i < s->n; i++)
		if (strcmp(s->entry[i].key->name, key) == 0)
			return &s->entry[i];
	return NULL;
}

const struct config_entry *
config_tree_get(const struct config_tsection *s, const char *key)
{
	const struct config_entry *e = tree_find_name(s, key);

	return e != NULL && e->n > 0 && !e->bad ? e : NULL;
}

bool
config_tree_is_bad(const struct config_tsection *s, const char *key)
{
	const struct config_entry *e = tree_find_name(s, key);

	return e != NULL && e->bad;
}

static struct config_entry *
tree_entry(struct config_tsection *s, const struct config_key *k)
{
	struct config_entry *e = config_tree_find(s, k);

	if (e != NULL)
		return e;
	if ((e = mem_realloc(s->entry, (s->n + 1) * sizeof(*e))) == NULL)
		return NULL;
	s->entry = e;
	e[s->n] = (struct config_entry){ .key = k };
	return &e[s->n++];
}

int
config_tree_mark_bad(struct config_tsection *s, const struct config_key *k)
{
	struct config_entry *e = tree_entry(s, k);

	if (e == NULL)
		return -1;
	e->bad = true;
	return 0;
}

static int
tree_append(struct config_entry *e, struct span text, const char *file, unsigned line)
{
	struct config_text *v = mem_realloc(e->v, (e->n + 1) * sizeof(*v));

	if (v == NULL)
		return -1;
	e->v = v;
	v[e->n] = (struct config_text){ mem_strndup(text.p, text.n), file, line };
	if (v[e->n].text == NULL)
		return -1;
	e->n++;
	return 0;
}

int
config_tree_assign(struct config_tsection *s, const struct config_key *k, struct span value,
    const char *file, unsigned line, enum config_tree_mode mode)
{
	struct config_entry *e = tree_entry(s, k);
	struct span item;

	if (e == NULL)
		return -1;
	e->file = file;
	e->line = line;
	if (!config_key_is_list(k) || mode == CONFIG_TREE_SET || value.n == 0)
		tree_empty_entry(e);
	if (!config_key_is_list(k))
		return value.n > 0 ? tree_append(e, value, file, line) : 0;
	while (config_value_next(&value, &item))
		if (tree_append(e, item, file, line) == -1)
			return -1;
	return 0;
}
