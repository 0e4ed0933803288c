/*
 * Messages that came whole (RFC 6455 5.2).  See ws_whole.h.  The rules are those of ws_msg.c;
 * tests/fuzz/fuzz_ws_msg.c compares the two.
 */
#include "codec/ws_whole.h"

#include "codec/ws_utf8.h"

#define WHOLE_LENGTH_16 126
#define WHOLE_LENGTH_64 127

/* The bytes of the frame; 0: its header is not complete, or its length is not minimal, or huge. */
static size_t
whole_measure(const uint8_t *p, size_t n, size_t mask_n, struct ws_whole *out)
{
	size_t length = p[1] & 0x7f, header_n = 2;

	if (length == WHOLE_LENGTH_16) {
		if (n < 4)
			return 0;
		length = (size_t)p[2] << 8 | p[3];
		header_n = 4;
		if (length < WHOLE_LENGTH_16)
			return 0;
	} else if (length == WHOLE_LENGTH_64) {
		/* No single read has 4 GiB. */
		if (n < 10 || (p[2] | p[3] | p[4] | p[5]) != 0)
			return 0;
		length = (size_t)p[6] << 24 | (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
		header_n = 10;
		if (length <= 0xffff)
			return 0;
	}
	out->header_n = header_n + mask_n;
	out->length = length;
	return n >= out->header_n && n - out->header_n >= length ? out->header_n + length : 0;
}

/*
 * Whether the payload behind the header is UTF-8; a function of its own, as not all messages need
 * it.
 */
__attribute__((noinline)) static bool
whole_is_text(const struct ws_rules *rules, const uint8_t *p, const struct ws_whole *m)
{
	uint8_t utf8 = WS_UTF8_START;

	p += m->header_n;
	if (rules->masked ? !ws_utf8_feed_masked(&utf8, p, m->length, p - 4, 0)
			  : !ws_utf8_feed(&utf8, p, m->length))
		return false;
	return utf8 == WS_UTF8_START;
}

size_t
ws_whole_read(const struct ws_rules *rules, const uint8_t *p, size_t n, struct ws_whole *out)
{
	uint8_t plain = rules->allow_rsv1 ? (uint8_t)~WS_BIT_RSV1 : 0xff;
	unsigned op;
	size_t frame_n;

	if (n < 2 || ((p[1] & 0x80) != 0) != rules->masked)
		return 0;
	op = p[0] & plain;
	if (op != (WS_BIT_FIN | WS_TEXT) && op != (WS_BIT_FIN | WS_BINARY))
		return 0;
	frame_n = whole_measure(p, n, rules->masked ? 4 : 0, out);
	if (frame_n == 0)
		return 0;
	if (rules->max_message != 0 && out->length > rules->max_message &&
	    !(rules->inflated && p[0] != op))
		return 0;
	/* Compressed text is not looked at (RFC 7692 6). */
	if (p[0] != (WS_BIT_FIN | WS_TEXT) || !rules->check_utf8)
		return frame_n;
	return whole_is_text(rules, p, out) ? frame_n : 0;
}
