/*
 * Round-trip times: a summary as ping(8) gives it, and percentiles.  Pure; times in microseconds.
 */
#ifndef TOOLS_WSDIAL_STATS_H
#define TOOLS_WSDIAL_STATS_H

#include <stdint.h>

struct wsdial_rtt {
	uint64_t n, min_us, max_us;
	double sum_us, sum_squares;
};

void wsdial_rtt_add(struct wsdial_rtt *r, uint64_t us);
/* Of at least one: the mean, and the standard deviation of all of them. */
double wsdial_rtt_avg(const struct wsdial_rtt *r);
double wsdial_rtt_mdev(const struct wsdial_rtt *r);

/*
 * Counts by size: exact below 128, and to 1/64 of the value above.  Values past the last bucket
 * (about 19 hours) count as that.
 */
#define WSDIAL_BUCKETS 2048
struct wsdial_histogram {
	struct wsdial_rtt all;
	uint64_t count[WSDIAL_BUCKETS];
};

void wsdial_histogram_add(struct wsdial_histogram *h, uint64_t us);

/* The value that permille of 1000 values do not exceed, at most 1/64 too high; 0 of none. */
uint64_t wsdial_histogram_value(const struct wsdial_histogram *h, unsigned permille);

#endif
