/*
 * The tree into the snapshot's structs: each key of each section parsed, from
 * the section itself, for a route's WebSocket keys from [websocket], else from
 * its default.
 */
#include "base/mem.h"
#include "config/keys.h"
#include "config/stages.h"
#include "config/value.h"

struct assign {
	struct config *c;
	struct config_report *rep;
	const struct config_tsection *s; /* NULL: a section that is not there */
	struct config_shown head;
	const char *title;
};

static void
assign_bad(
    struct assign *a, const struct config_key *k, const struct config_text *v, const char *why)
{
	struct config_shown shown, expected;

	config_error(a->rep, v->file, v->line, "%s %s=%s: %s%sexpected %s", a->title, k->name,
	    config_show(&shown, span_from_str(v->text)), why != NULL ? why : "",
	    why != NULL ? "; " : "", config_key_expected(k, expected.text, sizeof(expected.text)));
}

static void
assign_default(struct assign *a, const struct config_key *k, void *base)
{
	struct span def = span_from_str(k->def);
	const char *why;

	if (def.n > 0 && config_value_set(k, base, def, &why) == CONFIG_VALUE_NO_MEMORY)
		config_no_memory(a->rep);
}

/* The same item twice in a list where that can only be a mistake. */
static void
assign_check_unique(
    struct assign *a, const struct config_key *k, const struct config_entry *e, size_t i)
{
	struct config_shown shown;

	for (size_t j = 0; k->unique && j < i; j++)
		if (strcmp(e->v[i].text, e->v[j].text) == 0) {
			config_error(a->rep, e->v[i].file, e->v[i].line,
			    "%s %s=%s: it is in the list "
			    "already; expected each once",
			    a->title, k->name, config_show(&shown, span_from_str(e->v[i].text)));
			return;
		}
}

/* The values of an entry into the field.  `quiet` when they were reported elsewhere. */
static void
assign_entry(
    struct assign *a, const struct config_key *k, struct config_entry *e, void *base, bool quiet)
{
	const char *why;

	for (size_t i = 0; i < e->n; i++) {
		switch (config_value_set(k, base, span_from_str(e->v[i].text), &why)) {
		case CONFIG_VALUE_OK:
			if (!quiet)
				assign_check_unique(a, k, e, i);
			break;
		case CONFIG_VALUE_BAD:
			e->bad = true;
			if (!quiet)
				assign_bad(a, k, &e->v[i], why);
			break;
		case CONFIG_VALUE_NO_MEMORY:
			config_no_memory(a->rep);
			return;
		}
	}
}

static void
assign_key(struct assign *a, const struct config_key *k, void *base)
{
	struct config_entry *e = config_tree_find(a->s, k);
	struct config_shown expected;
	bool inherited = false;

	if (!config_key_is_list(k))
		assign_default(a, k, base);
	/* An emptied scalar is back at its default; an emptied list is empty. */
	if ((e == NULL || (e->n == 0 && !config_key_is_list(k))) && a->s != NULL &&
	    a->s->type != k->section) {
		e = config_tree_find(a->c->sources->section[k->section].v, k);
		inherited = true;
	}
	if (e != NULL)
		assign_entry(a, k, e, base, inherited);
	if (k->required && a->s != NULL && (e == NULL || (e->n == 0 && !e->bad)))
		config_error(a->rep, a->s->file, a->s->line, "%s %s is missing; expected %s",
		    a->title, k->name,
		    config_key_expected(k, expected.text, sizeof(expected.text)));
}

static void
assign_section(struct assign *a, enum config_section_type type, size_t index)
{
	a->s =
	    index < a->c->sources->section[type].n ? &a->c->sources->section[type].v[index] : NULL;
	a->title = config_show_head(&a->head, type, a->s != NULL ? a->s->name : NULL);
	for (size_t i = 0; i < config_keys_n && !a->rep->no_memory; i++)
		if (config_key_in(&config_keys[i], type))
			assign_key(
			    a, &config_keys[i], config_base(a->c, type, index, &config_keys[i]));
}

/* An array of n zeroed structs; *count is n afterwards, or 0 without memory. */
static void *
assign_array(struct assign *a, size_t n, size_t size, size_t *count)
{
	void *v = n > 0 ? mem_zalloc(n * size) : NULL;

	*count = v != NULL ? n : 0;
	if (n > 0 && v == NULL)
		config_no_memory(a->rep);
	return v;
}

static char *
assign_name(struct assign *a, const struct config_tsection *s)
{
	char *name = mem_strdup(s->name);

	if (name == NULL)
		config_no_memory(a->rep);
	return name;
}

static void
assign_named(struct assign *a)
{
	struct config *c = a->c;
	const struct config_tsection *s;

	s = c->sources->section[CONFIG_S_LISTEN].v;
	for (size_t i = 0; i < c->n_listen; i++) {
		c->listen[i].section = &s[i];
		c->listen[i].name = assign_name(a, &s[i]);
		c->listen[i].file = s[i].file;
		c->listen[i].line = s[i].line;
		assign_section(a, CONFIG_S_LISTEN, i);
	}
	s = c->sources->section[CONFIG_S_ROUTE].v;
	for (size_t i = 0; i < c->n_route; i++) {
		c->route[i].name = assign_name(a, &s[i]);
		c->route[i].file = s[i].file;
		c->route[i].line = s[i].line;
		c->route[i].index = i;
		assign_section(a, CONFIG_S_ROUTE, i);
	}
	s = c->sources->section[CONFIG_S_BACKEND].v;
	for (size_t i = 0; i < c->n_backend; i++) {
		c->backend[i].name = assign_name(a, &s[i]);
		c->backend[i].file = s[i].file;
		c->backend[i].line = s[i].line;
		c->backend[i].index = i;
		assign_section(a, CONFIG_S_BACKEND, i);
	}
}

void
config_assign(struct config *c, struct config_report *rep)
{
	struct assign a = { .c = c, .rep = rep };
	struct config_sources *t = c->sources;

	c->listen =
	    assign_array(&a, t->section[CONFIG_S_LISTEN].n, sizeof(*c->listen), &c->n_listen);
	c->route = assign_array(&a, t->section[CONFIG_S_ROUTE].n, sizeof(*c->route), &c->n_route);
	c->backend =
	    assign_array(&a, t->section[CONFIG_S_BACKEND].n, sizeof(*c->backend), &c->n_backend);
	if (rep->no_memory)
		return;
	assign_section(&a, CONFIG_S_SERVER, 0);
	c->server.section = a.s;
	assign_section(&a, CONFIG_S_WEBSOCKET, 0);
	assign_named(&a);
}
