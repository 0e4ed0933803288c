/* Frame headers.  See h2_scan.h. */
#include <string.h>

#include "http/h2_scan.h"

void
h2_scan_init(struct h2_scan *s)
{
	memset(s, 0, sizeof(*s));
	s->skip = H2_PREFACE_SIZE;
}

bool
h2_scan_next(struct h2_scan *s, const uint8_t **p, size_t *n, struct h2_scanned *out)
{
	const uint8_t *h = s->header;
	size_t part = *n < s->skip ? *n : s->skip;

	*p += part;
	*n -= part;
	s->skip -= (uint32_t)part;
	part = H2_FRAME_HEADER - (size_t)s->n;
	if (part > *n)
		part = *n;
	memcpy(s->header + s->n, *p, part);
	s->n = (uint8_t)(s->n + part);
	*p += part;
	*n -= part;
	if (s->n < H2_FRAME_HEADER)
		return false;
	out->length = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
	out->type = h[3];
	out->flags = h[4];
	out->stream =
	    (int32_t)(((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) &
		INT32_MAX);
	s->skip = out->length;
	s->n = 0;
	return true;
}
