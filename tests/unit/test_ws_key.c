/* Unit tests of src/codec/ws_key.[ch]. */
#include "codec/ws_key.h"

#include <string.h>

#include "unit.h"

START_TEST(ws_key_accept_gives_the_examples_of_the_rfc)
{
	char out[WS_ACCEPT_N + 1];

	/* RFC 6455 1.3 */
	ck_assert_int_eq(ws_key_accept(SPAN_LIT("dGhlIHNhbXBsZSBub25jZQ=="), out), 0);
	ck_assert_str_eq(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	/* RFC 8441 has none; a second one, computed with Python's hashlib */
	ck_assert_int_eq(ws_key_accept(SPAN_LIT("x3JJHMbDL1EzLkh9GBhXDw=="), out), 0);
	ck_assert_str_eq(out, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}
END_TEST

START_TEST(ws_key_valid_wants_the_canonical_base64_of_16_bytes)
{
	static const struct {
		const char *key;
		bool valid;
	} rows[] = {
		{ "dGhlIHNhbXBsZSBub25jZQ==", true },
		{ "AAAAAAAAAAAAAAAAAAAAAA==", true },
		{ "+/+/+/+/+/+/+/+/+/+/+w==", true },
		{ "", false },
		{ "dGhlIHNhbXBsZSBub25jZQ=", false },
		{ "dGhlIHNhbXBsZSBub25jZQ===", false },
		{ "dGhlIHNhbXBsZSBub25jZQ== ", false },
		{ "dGhlIHNhbXBsZSBub25jZQAA", false }, /* 18 bytes */
		{ "dGhlIHNhbXBsZSBub25jZQA=", false }, /* 17 bytes */
		{ "dGhlIHNhbXBsZSBub25jZR==", false }, /* bits in the padding */
		{ "dGhlIHNhbXBsZSBub25jZ===", false },
		{ "dGhlIHNhbXBsZSBub25j-Q==", false }, /* base64url */
		{ "dGhlIHNhbXBs ZSBub25jQ==", false },
		{ "dGhlIHNhbXBs\xc3ZSBub25jQ==", false },
		{ "=GhlIHNhbXBsZSBub25jZQ==", false },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_msg(
		    ws_key_valid(span_from_str(rows[i].key)) == rows[i].valid, "%s", rows[i].key);
	ck_assert(!ws_key_valid(SPAN_NONE));
	ck_assert(!ws_key_valid(SPAN_LIT("dGhlIHNhbXBsZSBub25jZ\0==")));
}
END_TEST

START_TEST(ws_key_make_gives_the_nonce_in_base64)
{
	/* RFC 6455 1.3 */
	static const uint8_t nonce[WS_NONCE_N + 1] = "the sample nonce";
	char key[WS_KEY_N + 1];

	ws_key_make(nonce, key);
	ck_assert_str_eq(key, "dGhlIHNhbXBsZSBub25jZQ==");
	ck_assert(ws_key_valid(span_from_str(key)));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		ws_key_accept_gives_the_examples_of_the_rfc,
		ws_key_valid_wants_the_canonical_base64_of_16_bytes,
		ws_key_make_gives_the_nonce_in_base64,
	};

	return unit_run("ws_key", cases, UNIT_COUNT(cases));
}
