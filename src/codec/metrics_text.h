/*
 * Writes the Prometheus text exposition format, version 0.0.4: families of samples, each with its
 * HELP and TYPE lines.  Pure; the caller owns the buffer.  What was written so far is of use only
 * if `failed` is still false at the end.
 */
#ifndef CODEC_METRICS_TEXT_H
#define CODEC_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The Content-Type of such a text. */
#define METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Labels of one sample, a histogram's `le` among them. */
#define METRICS_TEXT_LABELS 6

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* One for each family; names as the format wants them, help is plain text. */
struct metrics_family {
	const char *name;
	enum metrics_type type;
	const char *help;
};

struct metrics_label {
	const char *name;  /* [a-zA-Z_][a-zA-Z0-9_]* */
	const char *value; /* escaped here; of what is not UTF-8, bytes become \xNN */
};

struct metrics_text {
	struct buf *out; /* borrowed */
	const struct metrics_family *family;
	bool failed; /* no memory, or out's maximum was reached */
};

void metrics_text_init(struct metrics_text *m, struct buf *out);

/* The samples that follow are f's.  Each family begins once only. */
void metrics_text_begin(struct metrics_text *m, const struct metrics_family *f);

/* One sample; n <= METRICS_TEXT_LABELS, 0 labels is good. */
void metrics_text_uint(
    struct metrics_text *m, const struct metrics_label *label, size_t n, uint64_t value);
void metrics_text_double(
    struct metrics_text *m, const struct metrics_label *label, size_t n, double value);

/*
 * What a histogram has counted: count[i] values were at most bound_us[i] and more than the one
 * before.
 */
struct metrics_histogram {
	const uint64_t *bound_us; /* ascending */
	const uint64_t *count;	  /* n_bounds + 1: the last of those past all bounds */
	size_t n_bounds;
	uint64_t sum_us;
};

/* Its _bucket, _sum and _count samples, in seconds; n < METRICS_TEXT_LABELS. */
void metrics_text_histogram(struct metrics_text *m, const struct metrics_label *label, size_t n,
    const struct metrics_histogram *h);

#endif
