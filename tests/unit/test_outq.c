/* Unit tests of src/io/outq.[ch]: what waits, and the sum of what waits. */
#include "io/outq.h"

#include <stdint.h>
#include <string.h>

#include "base/counter.h"
#include "base/mem.h"
#include "unit.h"

static struct counter total;

static uint8_t
byte_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 256);
}

static void
append(struct outq **q, size_t at, size_t n, bool packet)
{
	uint8_t *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(at + i);
	ck_assert_int_eq(outq_append(q, &total, p, n, packet), 0);
	mem_free(p);
}

/* All of the queue is what stands at `at`, and the sum is that of both queues. */
static void
expect(const struct outq *q, size_t at, const struct outq *other)
{
	struct iovec v[64];
	size_t seen = 0, wrong = 0;
	int n = outq_peek(q, v, 64);

	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < v[i].iov_len; k++)
			wrong += ((const uint8_t *)v[i].iov_base)[k] != byte_at(at + seen++);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(seen, outq_bytes(q));
	ck_assert_uint_eq(outq_bytes(q) + outq_bytes(other), counter_get(&total));
}

START_TEST(outq_keeps_the_order_and_the_sum_of_all_queues)
{
	struct outq *a = NULL, *b = NULL;
	size_t in = 0, out = 0, n;
	uint32_t r = 1;

	append(&b, 0, 777, false);
	for (int i = 0; i < 3000; i++) {
		r = r * 1664525 + 1013904223;
		n = 1 + (r >> 8) % ((r >> 29 & 1) != 0 ? 3000 : 60);
		if ((r >> 31) == 0 && in - out < 30000) {
			append(&a, in, n, false);
			in += n;
		} else {
			n = n < outq_bytes(a) ? n : outq_bytes(a);
			outq_consume(&a, n);
			out += n;
		}
		ck_assert_uint_eq(outq_bytes(a), in - out);
		expect(a, out, b);
	}
	outq_drop(&a);
	ck_assert_ptr_null(a);
	expect(NULL, 0, b);
	outq_drop(&b);
	ck_assert_uint_eq(counter_get(&total), 0);
	outq_drop(&b);
}
END_TEST

START_TEST(outq_counts_packets_with_what_they_cost)
{
	struct outq *q = NULL;

	append(&q, 0, 0, true);
	append(&q, 0, 100, true);
	append(&q, 0, 5000, true);
	ck_assert_uint_eq(outq_bytes(q), 5100 + 3 * OUTQ_PACKET_COST);
	ck_assert_uint_eq(counter_get(&total), outq_bytes(q));
	outq_consume_packet(&q);
	outq_consume_packet(&q);
	ck_assert_uint_eq(outq_bytes(q), 5000 + OUTQ_PACKET_COST);
	ck_assert_uint_eq(counter_get(&total), outq_bytes(q));
	outq_consume_packet(&q);
	ck_assert_ptr_null(q);
	ck_assert_uint_eq(counter_get(&total), 0);
}
END_TEST

START_TEST(outq_without_memory_is_unchanged)
{
	struct outq *q = NULL;
	uint8_t big[5000] = { 0 };

	for (unsigned long n = 1; n <= 2; n++) {
		mem_fail_nth(n);
		ck_assert_int_eq(outq_append(&q, &total, big, sizeof(big), false), -1);
		ck_assert_ptr_null(q);
		ck_assert_uint_eq(counter_get(&total), 0);
	}
	append(&q, 0, 100, false);
	mem_fail_nth(1);
	ck_assert_int_eq(outq_append(&q, &total, big, sizeof(big), false), -1);
	mem_fail_nth(0);
	expect(q, 0, NULL);
	ck_assert_uint_eq(outq_bytes(q), 100);
	outq_drop(&q);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		outq_keeps_the_order_and_the_sum_of_all_queues,
		outq_counts_packets_with_what_they_cost,
		outq_without_memory_is_unchanged,
	};

	return unit_run("outq", cases, UNIT_COUNT(cases));
}
