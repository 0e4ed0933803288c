/* Range and entity tags of static files (RFC 9110 13, 14).  Pure. */
#ifndef CODEC_HTTP_RANGE_H
#define CODEC_HTTP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum http_range {
	HTTP_RANGE_NONE, /* send the whole: no bytes unit, bad syntax, more than one range */
	HTTP_RANGE_ONE,	 /* 206 with first..last */
	HTTP_RANGE_UNSATISFIABLE, /* 416 */
};

/* Judge a Range value against a file of size bytes; first and last (both inclusive) with ONE. */
enum http_range http_range_parse(struct span value, uint64_t size, uint64_t *first, uint64_t *last);

/*
 * Whether an If-None-Match / If-Match list has the tag (`"..."`, weak comparison when weak)
 * or is `*`.
 */
bool http_etag_list_has(struct span list, struct span tag, bool weak);

#endif
