/*
 * The one table of keys.  Parsing (scan.c, value.c), checking (check.c),
 * --dump-config (dump.c), conf/wsrelayd.ini and the man page's lists (docs.c)
 * all come from it: a key is added, changed or lifted here and nowhere else.
 * Constant data; any thread.
 */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum config_section_type {
	CONFIG_S_SERVER,
	CONFIG_S_LISTEN,
	CONFIG_S_WEBSOCKET,
	CONFIG_S_ROUTE,
	CONFIG_S_BACKEND,
};
#define CONFIG_S_COUNT 5

/* How a value is written, and what the field at `offset` is. */
enum config_type {
	CONFIG_T_UINT,	  /* uint64_t */
	CONFIG_T_AUTO,	  /* uint64_t, or `auto`, which is 0 */
	CONFIG_T_SIZE,	  /* uint64_t, bytes */
	CONFIG_T_TIME,	  /* uint64_t, ms */
	CONFIG_T_BOOL,	  /* bool */
	CONFIG_T_ENUM,	  /* any of config.h's enums, by `words` */
	CONFIG_T_STRING,  /* char *, NULL when empty; `accept` judges it */
	CONFIG_T_HOST,	  /* char *, made lower case */
	CONFIG_T_PATH,	  /* char * and path_is_prefix of a route */
	CONFIG_T_LIST,	  /* struct config_list; `accept` judges each item */
	CONFIG_T_JOINED,  /* a list whose items are joined by ':' into a char * */
	CONFIG_T_ADDRS,	  /* struct config_addrs; `accept` judges each item */
	CONFIG_T_CIDRS,	  /* a listener's trusted proxies */
	CONFIG_T_ORIGINS, /* a websocket's allowed origins */
};

/* Judge a text; 0, or -1 with *why a static text. */
typedef int config_accept_fn(struct span text, const char **why);

struct config_key {
	enum config_section_type section;
	const char *name;
	enum config_type type;
	size_t offset;		  /* in the section's struct */
	uint64_t min, max;	  /* of a finite number, size or time */
	bool infinity;		  /* TIME: may be `infinity` */
	bool zero_is_infinity;	  /* TIME: 0 is stored as CONFIG_NEVER */
	const char *const *words; /* ENUM: by value, NULL ends */
	config_accept_fn *accept; /* may be NULL */
	const char *expected;	  /* what is expected, for the types that do not know */
	const char *def;	  /* default as it would be written; "" is none */
	bool required;
	bool unique;	     /* lists: the same item twice is an error */
	const char *doc;     /* sentences for the sample file and the man page */
	const char *example; /* what the sample file shows, else the default */
};

extern const struct config_key config_keys[];
extern const size_t config_keys_n;

struct config_section_info {
	const char *name; /* "listen" */
	bool named;	  /* [listen NAME] */
	const char *head; /* "[listen NAME]" */
	const char *doc;
};
extern const struct config_section_info config_sections[CONFIG_S_COUNT];

bool config_key_is_list(const struct config_key *k);

/* Whether the key can stand in the section: its own, and [websocket]'s in [route]. */
bool config_key_in(const struct config_key *k, enum config_section_type s);

/* Without regard to case; NULL when the section has no such key. */
const struct config_key *config_key_find(enum config_section_type s, struct span name);

/* 0, or -1 when there is no such section. */
int config_section_find(struct span name, enum config_section_type *out);

/* The known name that needs the fewest edits to become `name`; never NULL. */
const struct config_key *config_key_nearest(enum config_section_type s, struct span name);
enum config_section_type config_section_nearest(struct span name);

/* Fewest insertions, deletions, exchanges and swaps of neighbours, without
 * regard to case; each text is cut at 63 bytes. */
unsigned config_edit_distance(struct span a, struct span b);

/* "a number from 1 to 1024, or auto": what the key's value must look like.
 * NUL-terminated, cut at size. */
const char *config_key_expected(const struct config_key *k, char *out, size_t size);

#endif
