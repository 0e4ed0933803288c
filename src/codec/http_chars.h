/*
 * Which bytes may stand where in an HTTP message; internal to codec's http
 * files.  Pure.
 */
#ifndef CODEC_HTTP_CHARS_H
#define CODEC_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_C_TOKEN 0x01 /* tchar (RFC 9110 5.6.2) */
#define HTTP_C_VALUE 0x02 /* HTAB, SP, VCHAR, obs-text (RFC 9110 5.5) */
#define HTTP_C_PATH 0x04  /* see http_chars.c */
#define HTTP_C_QUERY 0x08
#define HTTP_C_HOST 0x10 /* unreserved and sub-delims (RFC 3986 3.2.2 reg-name) */
#define HTTP_C_HEX 0x20
#define HTTP_C_GRAPH 0x40 /* VCHAR: 21 to 7E */

extern const uint8_t http_chars[256];

static inline bool
http_char_is(char c, unsigned classes)
{
	return (http_chars[(unsigned char)c] & classes) != 0;
}

/* How many bytes at the start of p[0..n) are of HTTP_C_VALUE. */
size_t http_value_run(const char *p, size_t n);

#endif
