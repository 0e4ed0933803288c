/* Clocks.  clock_mono_ms never goes back; 0 is some time before start. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);

/* RFC 3339 in UTC with milliseconds, 24 characters and NUL; size >= 25. */
void clock_rfc3339(char *out, size_t size);

/* IMF-fixdate (RFC 9110 5.6.7), 29 characters and NUL; size >= 30. */
void clock_http_date(time_t t, char *out, size_t size);

/* Any of the three dates of RFC 9110 5.6.7; 0 or -1 when it is none. */
int clock_parse_http_date(const char *p, size_t n, time_t *out);

#endif
