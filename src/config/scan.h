/*
 * One INI file's text into the tree.  inih splits the lines; but inih cuts what
 * is too long, takes what it does not understand for something else, and says
 * neither, so each line is looked at before inih gets it, and what is wrong is
 * reported and handed on as an empty line.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include "config/report.h"
#include "config/tree.h"

/* What inih as Debian and Fedora build it takes whole (INI_MAX_LINE 200 with newline and NUL,
 * MAX_SECTION and MAX_NAME 50 with NUL). */
#define CONFIG_SCAN_LINE_MAX 198
#define CONFIG_SCAN_NAME_MAX 49

/* file: borrowed from the tree.  Errors go to the report. */
void config_scan_text(
    struct config_sources *tree, struct config_report *rep, const char *file, struct span text);

/* One `SECTION.KEY=VALUE` or `SECTION.NAME.KEY=VALUE`. */
void config_scan_set(struct config_sources *tree, struct config_report *rep, const char *text);

#endif
