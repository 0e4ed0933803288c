/* Histograms.  See counter.h. */
#include "base/counter.h"

const uint64_t histogram_bound_us[HISTOGRAM_BOUNDS] = { 500, 1000, 2500, 5000, 10000, 25000, 50000,
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000 };

void
histogram_add(struct histogram *h, uint64_t us)
{
	unsigned i = 0;

	while (i < HISTOGRAM_BOUNDS && us > histogram_bound_us[i])
		i++;
	counter_add(&h->count[i], 1);
	counter_add(&h->sum_us, us);
}
