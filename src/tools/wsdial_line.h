/*
 * The line that a person is typing, edited as the terminal's own line discipline would do it, so
 * that it can be taken off the screen and put back while messages come.  Pure: bytes in, text out.
 */
#ifndef TOOLS_WSDIAL_LINE_H
#define TOOLS_WSDIAL_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* The terminal's special characters (termios c_cc); 0: it has none. */
struct wsdial_keys {
	uint8_t erase, kill, werase, eof, lnext, reprint;
};

enum wsdial_line_event {
	WSDIAL_LINE_MORE,   /* the line has changed, or nothing has */
	WSDIAL_LINE_WHOLE,  /* it is complete, in text: taken with wsdial_line_clear */
	WSDIAL_LINE_EOF,    /* end of file, typed on an empty line */
	WSDIAL_LINE_REDRAW, /* asked for by the reprint character */
	WSDIAL_LINE_FULL,   /* the byte was dropped: the line is as long as it may get */
};

struct wsdial_line {
	struct buf text;
	bool literal; /* the next byte has no special meaning */
};

void wsdial_line_init(struct wsdial_line *l, size_t max);
void wsdial_line_clear(struct wsdial_line *l); /* empty again; also at the end */

enum wsdial_line_event wsdial_line_feed(
    struct wsdial_line *l, const struct wsdial_keys *keys, uint8_t byte);

/*
 * How the line looks, into out: control characters as ^X, a tab as a space; only its end where it
 * is wider than columns.  SIZE_MAX: all of it.  0, or -1 when out is full.
 */
int wsdial_line_show(const struct wsdial_line *l, size_t columns, struct buf *out);

#endif
