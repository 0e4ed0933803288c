/*
 * One value of one key: text to field, field to text, and freeing what the
 * field owns.  Driven by the key's entry in the table.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/buf.h"
#include "base/span.h"
#include "config/keys.h"

enum config_value_status { CONFIG_VALUE_OK, CONFIG_VALUE_BAD, CONFIG_VALUE_NO_MEMORY };

/*
 * Parse `text` into the field of `k` in the struct at `base`.  A scalar is replaced (a string by
 * NULL when the text is empty); for a list one item is appended.  On BAD the field is unchanged
 * and *why is NULL, when config_key_expected says it all, or a static text.
 */
enum config_value_status config_value_set(
    const struct config_key *k, void *base, struct span text, const char **why);

/* Free what the field owns and leave it empty. */
void config_value_clear(const struct config_key *k, void *base);

/* A scalar's value as it would be written (not for lists); 0, or -1 without memory. */
int config_value_format(const struct config_key *k, const void *base, struct buf *out);

/* Cut the next item off at white space; false when there is none. */
bool config_value_next(struct span *list, struct span *item);

#endif
