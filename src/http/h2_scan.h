/*
 * The frame headers in a client's bytes (RFC 9113 4.1), whatever becomes of the frames: nghttp2
 * passes some over without a word.  Pure.  Internal to http/.
 */
#ifndef HTTP_H2_SCAN_H
#define HTTP_H2_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H2_PREFACE_SIZE 24
#define H2_FRAME_HEADER 9

struct h2_scan {
	uint32_t skip; /* bytes until the next header */
	uint8_t n;     /* bytes of it that came */
	uint8_t header[H2_FRAME_HEADER];
};

struct h2_scanned {
	uint32_t length;
	int32_t stream;
	uint8_t type, flags;
};

void h2_scan_init(struct h2_scan *s);

/*
 * Take bytes off *p, *n until a header is complete: true, *out is it; false: all bytes are
 * taken.
 */
bool h2_scan_next(struct h2_scan *s, const uint8_t **p, size_t *n, struct h2_scanned *out);

#endif
