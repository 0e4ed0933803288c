/*
 * The stages that load.c puts one after the other once the tree is there, and
 * what frees their result.  Private to config/.
 */
#ifndef CONFIG_STAGES_H
#define CONFIG_STAGES_H

#include "config/report.h"
#include "config/tree.h"

/*
 * Fill c's structs from c->sources: every key parsed, or its default; what is required and missing
 * is reported.  Element i of c->listen, route and backend is section i of its type.
 */
void config_assign(struct config *c, struct config_report *rep);

/* The checks that need more than one key, and the file system.  Resolves the
 * routes' backends. */
void config_check(struct config *c, struct config_report *rep);

/* config_check's parts. */
void config_check_listen(const struct config *c, struct config_report *rep);
void config_check_websocket(const struct config *c, struct config_report *rep);
void config_check_route(struct config *c, struct config_report *rep);
void config_check_backend(const struct config *c, struct config_report *rep);

/* Where a key was set, for a message; the section's head when it was not. */
struct config_place {
	const char *file;
	unsigned line;
	struct config_shown head; /* "[route chat]", see config_show_head */
	const char *title;	  /* points into head or to static text */
};
void config_place(struct config_place *out, const struct config_tsection *s, const char *key);

/* Everything that c owns, and c. */
void config_free(struct config *c);

/* The struct that keys of this section of c->sources are fields of; k tells a route's own
 * keys from those of [websocket]. */
void *config_base(
    struct config *c, enum config_section_type type, size_t index, const struct config_key *k);

#endif
