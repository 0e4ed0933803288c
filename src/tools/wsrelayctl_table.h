/*
 * Tables for people, out of the tab-separated values that the admin endpoint gives.  Pure but for
 * the output.
 */
#ifndef TOOLS_WSRELAYCTL_TABLE_H
#define TOOLS_WSRELAYCTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Take the next line, or the next cell of a line, off the front.  False when there is none left. */
bool ctl_next_line(struct span *text, struct span *line);
bool ctl_next_cell(struct span *line, struct span *cell);

/* How a cell is shown; `-` stays as it is. */
enum ctl_form {
	CTL_TEXT,  /* left; what could steer a terminal as \xNN */
	CTL_COUNT, /* a number, right: 950, 12.3k, 4.5M */
	CTL_BYTES, /* the same with 1024: 12.3K */
	CTL_AGE,   /* milliseconds: 0.5s, 59s, 5m10s, 3h02m, 4d05h */
};

/* Append a cell as shown.  0, or -1 when b is full. */
int ctl_put_cell(struct buf *b, enum ctl_form form, struct span cell);
int ctl_put_number(struct buf *b, enum ctl_form form, uint64_t n);

struct ctl_column {
	const char *name;  /* in the text's first line */
	const char *title; /* as shown */
	enum ctl_form form;
};

#define CTL_COLUMNS 20

/*
 * Append a table of these columns, with a line of titles: each as wide as its widest cell.  text's
 * first line has the names.  0; -1: a column is not there, or a line has too few, or b is full.
 */
int ctl_put_table(struct buf *b, struct span text, const struct ctl_column *column, size_t n);

#endif
