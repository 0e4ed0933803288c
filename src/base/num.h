/*
 * Numbers as the INI file writes them.  All return 0, or -1 when the text is
 * not wholly such a value or does not fit.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Infinity for times: "never". */
#define NUM_TIME_INFINITY UINT64_MAX

int num_parse_uint(struct span s, uint64_t *out); /* decimal digits only */
int num_hex_digit(char c);			  /* its value in either case, or -1 */

/* yes/no/true/false/on/off/1/0, without regard to case. */
int num_parse_bool(struct span s, bool *out);

/*
 * `500ms`, `30s`, `2min` (also `m`), `1h`, `1d`, a bare number of seconds, `infinity` in any case;
 * ms out.
 */
int num_parse_time_ms(struct span s, uint64_t *out_ms);

/* bytes, `64K`, `16M`, `1G` (1024; lower case too). */
int num_parse_size(struct span s, uint64_t *out);

/*
 * The shortest form that parses back to the same value ("2min", "16M",
 * "infinity"); writes a NUL-terminated string of at most 24 bytes; size >= 24.
 */
void num_format_time_ms(uint64_t ms, char *out, size_t size);
void num_format_size(uint64_t n, char *out, size_t size);

#endif
