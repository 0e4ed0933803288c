/*
 * The parts of scan.c that look at one line by itself: its bytes, a section's
 * head, a key's name.  Each reports what is wrong and returns false or NULL.
 */
#ifndef CONFIG_SCAN_NAME_H
#define CONFIG_SCAN_NAME_H

#include "config/report.h"
#include "config/tree.h"

/* No NUL and no control characters but tabs. */
bool config_scan_bytes(
    struct config_report *rep, const char *file, unsigned line, struct span text);

/* "[route chat]"; *name is empty for sections without one.  When false, *type is what was
 * probably meant. */
bool config_scan_head(struct config_report *rep, const char *file, unsigned line, struct span text,
    enum config_section_type *type, struct span *name);

/* The type and the name of a section as the head has them, or --set. */
bool config_scan_section_name(struct config_report *rep, const char *file, unsigned line,
    struct span type_name, struct span name, enum config_section_type *type);

/* A line before the first section. */
void config_scan_no_section(
    struct config_report *rep, const char *file, unsigned line, struct span text);

/* "Key = Value" in two, white space cut off. */
bool config_scan_split(struct config_report *rep, const char *file, unsigned line,
    const struct config_tsection *s, struct span text, struct span *name, struct span *value);

/* The key of that name, or what it was meant to be. */
const struct config_key *config_scan_key(struct config_report *rep, const char *file, unsigned line,
    const struct config_tsection *s, struct span name);

/* A value, or a line that continues a list: nothing that may be taken for a comment. */
bool config_scan_value(struct config_report *rep, const char *file, unsigned line,
    const struct config_tsection *s, const struct config_key *k, struct span value);

#endif
