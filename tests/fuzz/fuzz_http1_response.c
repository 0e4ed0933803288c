/*
 * Fuzzes the response side of src/codec/http1.c.  Input: 1 byte for the cuts,
 * then a head.  Oracles as in fuzz_http1_request.c.
 */
#include "oracle_http1.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	static struct naive_head naive;
	enum http1_status scanned, parsed;
	enum http_body body = HTTP_BODY_NONE;
	uint64_t length = 0;
	char status[16];
	size_t n, head_n = 0;
	char *p;
	bool good;

	if (size < 1)
		return 0;
	n = size - 1;
	p = oracle_copy(data + 1, n);
	scanned = oracle_http1_scan(HTTP1_RESPONSE, p, n, data[0], &head_n);
	good = naive_split(HTTP1_RESPONSE, p, n, &naive) &&
	    naive_framing(&naive, naive.start.p[7] == '1', HTTP_BODY_EOF, &body, &length);
	parsed = http1_parse_response(p, scanned == HTTP1_OK ? head_n : n, &h);
	ORACLE(parsed != HTTP1_MORE && (scanned == HTTP1_OK || parsed != HTTP1_OK));
	ORACLE((parsed == HTTP1_OK) == good);
	if (good) {
		ORACLE(naive.head_n == head_n);
		naive_check_fields(&naive, &h);
		ORACLE(h.minor == (naive.start.p[7] == '1'));
		snprintf(status, sizeof(status), "%u", h.status);
		ORACLE(memcmp(status, naive.start.p + 9, 3) == 0);
		ORACLE(naive.start.n <= 13
			? h.reason.n == 0
			: span_eq(
			      h.reason, (struct span){ naive.start.p + 13, naive.start.n - 13 }));
		ORACLE(h.body == body && h.content_length == length);
	}
	free(p);
	return 0;
}
