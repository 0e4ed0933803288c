/* Unit tests of src/tools/wsdial_deflate.[ch]: a client's messages, against itself. */
#include "tools/wsdial_deflate.h"

#include <string.h>

#include "base/mem.h"
#include "unit.h"

#define TEXT "hello hello hello hello hello"

static struct ws_deflate_memory memory;
static struct ws_deflate_pool pool;
static struct wsdial_deflate d;
static struct buf packed, plain;

static void
begin(void)
{
	ws_deflate_pool_init(&pool, &memory);
	buf_init(&packed, 1 << 24);
	buf_init(&plain, 1 << 24);
}

static void
finish(void)
{
	wsdial_deflate_clear(&d);
	ws_deflate_pool_clear(&pool);
	ck_assert_uint_eq(memory.bytes, 0);
	buf_clear(&packed);
	buf_clear(&plain);
}

static void
agree(struct ws_ext agreed, bool leave_plain)
{
	wsdial_deflate_init(&d, &pool, &agreed, leave_plain);
}

static size_t
pack(const char *text)
{
	packed.n = 0;
	ck_assert_int_eq(wsdial_deflate_message(&d, text, strlen(text), &packed), 0);
	return packed.n;
}

/* In pieces of so many bytes, the end with the last one or by itself. */
static enum ws_deflate_status
unpack(size_t piece, bool end_alone)
{
	enum ws_deflate_status st = WS_DEFLATE_OK;

	plain.n = 0;
	for (size_t at = 0; at < packed.n && st == WS_DEFLATE_OK; at += piece) {
		size_t n = packed.n - at < piece ? packed.n - at : piece;

		st = wsdial_deflate_inflate(
		    &d, packed.p + at, n, !end_alone && at + n == packed.n, &plain);
	}
	if (st == WS_DEFLATE_OK && end_alone)
		st = wsdial_deflate_inflate(&d, NULL, 0, true, &plain);
	return st;
}

START_TEST(wsdial_deflate_and_back)
{
	agree((struct ws_ext){ .client_bits = 0 }, false);
	ck_assert(d.compresses);
	for (size_t piece = 1; piece < 40; piece++) {
		pack(TEXT);
		ck_assert_int_eq(unpack(piece, piece % 2 == 0), WS_DEFLATE_OK);
		ck_assert(span_eq(buf_span(&plain), SPAN_LIT(TEXT)));
	}
	pack("");
	ck_assert_uint_ge(packed.n, 1);
	ck_assert_int_eq(unpack(1, true), WS_DEFLATE_OK);
	ck_assert_uint_eq(plain.n, 0);
}
END_TEST

START_TEST(wsdial_deflate_keeps_its_context_as_agreed)
{
	size_t first;

	agree((struct ws_ext){ .client_bits = 0 }, false);
	first = pack(TEXT);
	ck_assert_uint_lt(pack(TEXT), first);
	wsdial_deflate_clear(&d);
	agree((struct ws_ext){ .client_no_takeover = true, .server_no_takeover = true }, false);
	first = pack(TEXT);
	ck_assert_uint_eq(pack(TEXT), first);
	ck_assert_ptr_null(d.out);
	ck_assert_int_eq(unpack(5, true), WS_DEFLATE_OK);
	ck_assert_ptr_null(d.in);
}
END_TEST

START_TEST(wsdial_deflate_leaves_plain_what_it_must)
{
	agree((struct ws_ext){ .client_bits = 10 }, true);
	ck_assert(!d.compresses);
	wsdial_deflate_clear(&d);
	agree((struct ws_ext){ .client_bits = WS_EXT_BITS_MIN }, false);
	ck_assert(!d.compresses);
}
END_TEST

START_TEST(wsdial_deflate_goes_on_over_many_buffers)
{
	size_t n = 3 << 20;
	char *text = mem_alloc(n + 1);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(' ' + i * i % 97 % 90);
	text[n] = '\0';
	agree((struct ws_ext){ .client_bits = 9 }, false);
	pack(text);
	ck_assert_int_eq(unpack(100000, false), WS_DEFLATE_OK);
	ck_assert(span_eq(buf_span(&plain), (struct span){ text, n }));
	mem_free(text);
}
END_TEST

START_TEST(wsdial_deflate_has_a_maximum)
{
	char text[20001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	agree((struct ws_ext){ .client_bits = 0 }, false);
	pack(text);
	buf_clear(&plain);
	buf_init(&plain, 10000);
	ck_assert_int_eq(unpack(1000, false), WS_DEFLATE_FULL);
	packed.n = 0;
	packed.max = 10;
	ck_assert_int_eq(wsdial_deflate_message(&d, text, sizeof(text), &packed), -1);
}
END_TEST

START_TEST(wsdial_deflate_refuses_what_is_none)
{
	agree((struct ws_ext){ .client_bits = 0 }, false);
	ck_assert_int_eq(buf_append(&packed, "\xff\xff\xff\xff", 4), 0);
	ck_assert_int_eq(unpack(4, false), WS_DEFLATE_BAD);
}
END_TEST

START_TEST(wsdial_deflate_survives_without_memory)
{
	bool pending;

	for (unsigned long n = 1;; n++) {
		agree((struct ws_ext){ .client_bits = 0 }, false);
		packed.n = plain.n = 0;
		mem_fail_nth(n);
		if (wsdial_deflate_message(&d, TEXT, strlen(TEXT), &packed) == 0)
			(void)unpack(7, true);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		wsdial_deflate_clear(&d);
		ws_deflate_pool_clear(&pool);
		buf_clear(&packed);
		buf_clear(&plain);
		if (pending)
			break;
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_deflate_and_back,
		wsdial_deflate_keeps_its_context_as_agreed,
		wsdial_deflate_leaves_plain_what_it_must,
		wsdial_deflate_goes_on_over_many_buffers,
		wsdial_deflate_has_a_maximum,
		wsdial_deflate_refuses_what_is_none,
		wsdial_deflate_survives_without_memory,
	};

	return unit_run_with("wsdial_deflate", cases, UNIT_COUNT(cases), begin, finish);
}
