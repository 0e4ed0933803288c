/*
 * Checks of the configuration as a whole; the sections' own are in
 * check_listen.c and check_route.c.
 */
#include <stdio.h>

#include "config/keys.h"
#include "config/stages.h"

void
config_place(struct config_place *out, const struct config_tsection *s, const char *key)
{
	out->title = config_show_head(&out->head, s->type, s->name);
	out->file = s->file;
	out->line = s->line;
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->entry[i].key->name, key) == 0 && s->entry[i].file != NULL) {
			out->file = s->entry[i].file;
			out->line = s->entry[i].line;
		}
}

size_t
config_where(
    char *out, size_t size, const struct config_tsection *s, const char *key, const char *value)
{
	const struct config_entry *e;
	struct config_place at;
	int n;

	out[0] = '\0';
	if (s == NULL)
		return 0;
	config_place(&at, s, key);
	e = value != NULL ? config_tree_get(s, key) : NULL;
	for (size_t i = 0; e != NULL && i < e->n; i++)
		if (strcmp(e->v[i].text, value) == 0) {
			at.file = e->v[i].file;
			at.line = e->v[i].line;
			break;
		}
	if (strcmp(at.file, CONFIG_SET_FILE) == 0)
		n = snprintf(out, size, "%s: ", at.file);
	else
		n = snprintf(out, size, "%s:%u: ", at.file, at.line);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

void
config_check(struct config *c, struct config_report *rep)
{
	/* A head that was not understood may be the one that is missed. */
	if (c->n_listen == 0 && !c->sources->broken[CONFIG_S_LISTEN])
		config_error(
		    rep, rep->path, 1, "there is no [listen NAME] section; expected one or more");
	if (c->n_route == 0 && !c->sources->broken[CONFIG_S_ROUTE])
		config_error(
		    rep, rep->path, 1, "there is no [route NAME] section; expected one or more");
	config_check_listen(c, rep);
	config_check_route(c, rep);
	config_check_websocket(c, rep);
	config_check_backend(c, rep);
}
