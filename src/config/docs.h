/*
 * What people read about the keys, written from the table: conf/wsrelayd.ini and the lists of
 * wsrelayd.ini(5).  Used by tests/unit/test_docs.c, which compares the files with it and, asked to,
 * writes them anew.
 */
#ifndef CONFIG_DOCS_H
#define CONFIG_DOCS_H

#include "base/buf.h"
#include "config/keys.h"

/* The whole of conf/wsrelayd.ini; 0, or -1 when it does not fit or there is no memory. */
int config_docs_ini(struct buf *out);

/* One section's keys as an mdoc(7) list; returns as above. */
int config_docs_man(enum config_section_type s, struct buf *out);

#endif
