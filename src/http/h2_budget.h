/*
 * What a client may cost on one HTTP/2 connection: token buckets that a busy
 * honest client never empties, and a flood does.  Pure; time is handed in.
 * Internal to http/.
 */
#ifndef HTTP_H2_BUDGET_H
#define HTTP_H2_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Streams that were begun for nothing: RST_STREAM from the client (CVE-2023-44487), streams that
 * its errors made us reset (MadeYouReset, CVE-2025-8671), streams past MAX_CONCURRENT_STREAMS. 
 * Whoever closes all its streams at once four times in a row stays below the burst.
 */
#define H2_RESET_BURST 1000
#define H2_RESET_BURST_STREAMS 4 /* or so many times MaxStreams */
#define H2_RESET_RATE 100	 /* a second */

/* Frames without a use of their own: PING, SETTINGS, PRIORITY, unknown ones, empty DATA. */
#define H2_GLITCH_BURST 2000
#define H2_GLITCH_RATE 200
#define H2_GLITCH_SETTINGS 10 /* what a SETTINGS costs: it may touch every stream */

/* WINDOW_UPDATE: earned by the DATA that we send, too. */
#define H2_WINDOW_BURST 10000
#define H2_WINDOW_RATE 1000
#define H2_WINDOW_PER_DATA 8

struct h2_bucket {
	uint32_t burst, rate; /* tokens; tokens a second */
	uint32_t tokens;
	uint32_t part;	/* thousandths of a token */
	uint64_t at_ms; /* when it was filled last */
};

void h2_bucket_init(struct h2_bucket *b, uint32_t burst, uint32_t rate, uint64_t now_ms);

/* Take n tokens; false when there are not so many: nothing is taken. */
bool h2_bucket_take(struct h2_bucket *b, uint32_t n, uint64_t now_ms);

/* Put n tokens in, up to the burst. */
void h2_bucket_put(struct h2_bucket *b, uint32_t n);

#endif
