/* Making what a peer says fit for a terminal.  Pure. */
#ifndef TOOLS_WSDIAL_ESCAPE_H
#define TOOLS_WSDIAL_ESCAPE_H

#include <stddef.h>

#include "base/buf.h"

enum wsdial_escape {
	WSDIAL_ESCAPE_MESSAGE, /* a text: line ends, tabs and UTF-8 stay */
	WSDIAL_ESCAPE_LINE,    /* the same without line ends */
	WSDIAL_ESCAPE_QUOTED,  /* the same without quotes */
	WSDIAL_ESCAPE_BINARY,  /* only printable ASCII stays, and no backslash */
};

/*
 * Append p[0..n) to b with all that could steer a terminal (control characters, C1 too, and what is
 * not UTF-8) as \xNN.  0, or -1 when b is full: what fitted is in it.
 */
int wsdial_escape(struct buf *b, enum wsdial_escape how, const void *p, size_t n);

#endif
