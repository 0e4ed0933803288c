/* Writing JSON (RFC 8259).  Pure. */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include <stdint.h>

#include "base/buf.h"

/*
 * Append a string with its quotes.  What is no UTF-8 as a whole has each byte from 0x80 on as the
 * character of that number (\u00e4), so that the result is always valid; so are control
 * characters.  0, or -1 when b is full: what fitted is in it.
 */
int json_put_string(struct buf *b, struct span s);

/*
 * The key with its colon, and a comma before it unless it is the first behind '{' or '['.  key:
 * plain ASCII.
 */
int json_put_key(struct buf *b, const char *key);

/* A member; v NULL (or s.p NULL) is null. */
int json_put_str(struct buf *b, const char *key, const char *v);
int json_put_span(struct buf *b, const char *key, struct span s);
int json_put_num(struct buf *b, const char *key, uint64_t v);
int json_put_null(struct buf *b, const char *key);

#endif
