/* The bytes of a stream that wait, and their gathering into one write. */
#include "http/h2_queue.h"

#include <stdint.h>
#include <string.h>

#include "base/counter.h"
#include "base/mem.h"
#include "http/h2_out.h"
#include "io/loop.h"
#include "unit.h"

static struct loop *loop;
static uint32_t random_state = 1;

static void
setup(void)
{
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
}

static void
teardown(void)
{
	loop_free(loop);
}

static uint32_t
random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

static uint8_t
byte_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 256);
}

static void
append(struct h2_queue *q, size_t at, size_t n)
{
	uint8_t *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(at + i);
	ck_assert_int_eq(h2_queue_append(q, loop, p, n), 0);
	mem_free(p);
}

/* All of the queue is what stands at `at`. */
static void
expect(const struct h2_queue *q, size_t at)
{
	size_t seen = 0;

	for (const struct h2_block *b = q->first; b != NULL; b = b->next) {
		ck_assert_uint_lt(b->off, b->n);
		ck_assert_uint_le(b->n, b->cap);
		if (b->next == NULL)
			ck_assert_ptr_eq(b, q->first->last);
		for (uint32_t i = b->off; i < b->n; i++)
			ck_assert_uint_eq(b->data[i], byte_at(at + seen++));
	}
	ck_assert_uint_eq(seen, h2_queue_bytes(q));
	ck_assert_uint_eq(seen, counter_get(loop_queued(loop)));
}

START_TEST(h2_queue_gives_back_what_it_got)
{
	struct h2_queue q = { 0 };
	size_t in = 0, out = 0, n;

	for (int i = 0; i < 3000; i++) {
		if (random_below(2) == 0) {
			n = random_below(random_below(4) == 0 ? 5000 : 40);
			append(&q, in, n);
			in += n;
		} else {
			n = random_below((uint32_t)h2_queue_bytes(&q) + 1);
			h2_queue_consume(&q, n);
			out += n;
		}
		ck_assert_uint_eq(h2_queue_bytes(&q), in - out);
		expect(&q, out);
	}
	h2_queue_clear(&q);
	ck_assert_ptr_null(q.first);
	ck_assert_uint_eq(h2_queue_bytes(&q), 0);
	ck_assert_uint_eq(counter_get(loop_queued(loop)), 0);
}
END_TEST

START_TEST(h2_queue_owns_nothing_while_empty)
{
	struct h2_queue q = { 0 };

	append(&q, 0, 3000);
	h2_queue_consume(&q, 3000);
	ck_assert_ptr_null(q.first);
	append(&q, 7, 0);
	ck_assert_uint_eq(h2_queue_bytes(&q), 0);
	h2_queue_clear(&q);
}
END_TEST

START_TEST(h2_queue_small_pieces_share_a_block)
{
	struct h2_queue q = { 0 };

	for (size_t i = 0; i < 900; i++)
		append(&q, i, 1);
	ck_assert_ptr_eq(q.first, q.first->last);
	expect(&q, 0);
	h2_queue_clear(&q);
}
END_TEST

START_TEST(h2_queue_without_memory_is_unchanged)
{
	struct h2_queue q = { 0 };
	uint8_t big[4000] = { 0 };

	append(&q, 0, 100);
	mem_fail_nth(1);
	ck_assert_int_eq(h2_queue_append(&q, loop, big, sizeof(big)), -1);
	mem_fail_nth(0);
	expect(&q, 0);
	ck_assert_uint_eq(h2_queue_bytes(&q), 100);
	h2_queue_clear(&q);
}
END_TEST

/* The bytes that a write would send. */
static size_t
out_bytes(const struct h2_out *o, uint8_t *p)
{
	size_t n = 0;

	for (int i = 0; i < o->n_iov; i++) {
		memcpy(p + n, o->iov[i].iov_base, o->iov[i].iov_len);
		n += o->iov[i].iov_len;
	}
	ck_assert_uint_eq(n, o->bytes);
	return n;
}

START_TEST(h2_out_gathers_frames_in_order)
{
	static uint8_t flat[2 * H2_OUT_BYTES];
	static struct h2_out o;
	static size_t size[H2_OUT_ARENA];
	struct h2_queue q = { 0 };
	size_t at = 0, queued = 0, n, frames, got;

	h2_out_init(&o);
	for (int round = 0; round < 20; round++) {
		for (frames = 0;; frames++) {
			n = random_below(random_below(3) == 0 ? 16385 : 300);
			while (h2_queue_bytes(&q) < n) {
				size_t more = random_below(random_below(3) == 0 ? 30000 : 50) + 1;

				append(&q, queued, more);
				queued += more;
			}
			if (!h2_out_has_room(&o, n))
				break;
			h2_out_copy(&o, "123456789", 9);
			h2_out_payload(&o, &q, n);
			size[frames] = n;
		}
		ck_assert_uint_gt(frames, 0);
		got = out_bytes(&o, flat);
		ck_assert_uint_le(got, H2_OUT_BYTES + frames * 9);
		for (size_t f = 0, i = 0; f < frames; f++) {
			ck_assert_mem_eq(flat + i, "123456789", 9);
			i += 9;
			for (size_t k = 0; k < size[f]; k++)
				ck_assert_uint_eq(flat[i++], byte_at(at++));
		}
		h2_out_clear(&o);
		ck_assert_int_eq(o.n_iov, 0);
	}
	h2_queue_clear(&q);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_queue_gives_back_what_it_got,
		h2_queue_owns_nothing_while_empty,
		h2_queue_small_pieces_share_a_block,
		h2_queue_without_memory_is_unchanged,
		h2_out_gathers_frames_in_order,
	};

	return unit_run_with("h2_queue", cases, UNIT_COUNT(cases), setup, teardown);
}
