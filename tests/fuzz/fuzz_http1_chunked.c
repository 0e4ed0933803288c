/*
 * Fuzzes src/codec/http1_chunked.c.  Input: 1 byte for the cuts, then a chunked body and what
 * follows it.  Oracles: whole, cut and byte by byte give the same; it ends well where, and only
 * where, a naive decoder that has all bytes before it says so, with the same payload, the same
 * trailers and the same end; the trailers that are taken apart are those lines but the forbidden
 * ones; gathered in place all is the same.
 */
#include <strings.h>

#include "codec/http1.h"
#include "oracle.h"

struct chunked_run {
	char *payload, *trailers;
	size_t n, trailers_n;
	size_t taken;
	enum http1_chunk result;
};

/* The piece is writable. */
static enum http1_chunk
chunked_gather(struct http1_chunked *c, const char *p, size_t n, size_t *used, struct span *data)
{
	return http1_chunked_gather(c, (char *)(uintptr_t)p, n, used, data);
}

static void
chunked_run(
    const char *p, size_t n, bool whole, bool gather, uint32_t seed, struct chunked_run *run)
{
	struct http1_chunked c;

	*run = (struct chunked_run){ .payload = oracle_copy(p, n),
		.trailers = oracle_copy(p, n),
		.result = HTTP1_CHUNK_MORE };
	http1_chunked_init(&c);
	while (run->taken < n && run->result == HTTP1_CHUNK_MORE) {
		size_t k = whole ? n : oracle_piece(&seed, n - run->taken), at = 0, used;
		char *piece = oracle_copy(p + run->taken, k);
		struct span data;

		do {
			run->result = (gather ? chunked_gather : http1_chunked_feed)(
			    &c, piece + at, k - at, &used, &data);
			ORACLE(used <= k - at);
			at += used;
			if (run->result == HTTP1_CHUNK_DATA) {
				ORACLE(data.n > 0 && data.n <= used &&
				    data.p >= piece + at - used && data.p + data.n <= piece + at);
				ORACLE(gather || data.p + data.n == piece + at);
				memcpy(run->payload + run->n, data.p, data.n);
				run->n += data.n;
			}
			if (run->result == HTTP1_CHUNK_TRAILER) {
				ORACLE(
				    data.n > 0 && data.n <= used && data.p + data.n == piece + at);
				memcpy(run->trailers + run->trailers_n, data.p, data.n);
				run->trailers_n += data.n;
				run->result = HTTP1_CHUNK_DATA; /* go on */
			}
		} while (run->result == HTTP1_CHUNK_DATA);
		ORACLE(run->result != HTTP1_CHUNK_MORE || at == k);
		run->taken += at;
		free(piece);
	}
}

/* The line at p + *at without its CRLF, behind which *at goes; none: NULL. */
static const char *
naive_line(const char *p, size_t n, size_t *at, size_t *length)
{
	const char *line = p + *at, *crlf = memmem(line, n - *at, "\r\n", 2);

	if (crlf == NULL)
		return NULL;
	*length = (size_t)(crlf - line);
	*at += *length + 2;
	for (size_t i = 0; i < *length; i++)
		if ((unsigned char)line[i] == 0x7f ||
		    ((unsigned char)line[i] < 32 && line[i] != '\t'))
			return NULL;
	return line;
}

/* The size of a chunk by its line; false when the line is none. */
static bool
naive_size(const char *line, size_t length, uint64_t *size)
{
	char digits[17] = "";
	size_t n = 0, i;

	while (n < length && line[n] != 0 && strchr("0123456789abcdefABCDEF", line[n]) != NULL)
		n++;
	if (n == 0 || n > 16)
		return false;
	memcpy(digits, line, n);
	*size = strtoull(digits, NULL, 16);
	if (*size > INT64_MAX)
		return false;
	for (i = n; i < length && (line[i] == ' ' || line[i] == '\t'); i++)
		;
	if (i == length)
		return i == n; /* white space only before an extension */
	return line[i] == ';' && length - n <= 1 + 4096;
}

static bool
naive_trailer(const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length);

	return colon != NULL && http_is_token((struct span){ line, (size_t)(colon - line) });
}

/* Whether p[0..n) starts with a whole chunked body: its bytes and its payload. */
static bool
naive_decode(
    const char *p, size_t n, char *payload, size_t *payload_n, struct span *trailer, size_t *taken)
{
	size_t at = 0, length, trailers, lines = 0;
	const char *line;
	uint64_t size;

	*payload_n = 0;
	do {
		if ((line = naive_line(p, n, &at, &length)) == NULL ||
		    !naive_size(line, length, &size))
			return false;
		if (size == 0)
			break;
		if (size > n - at || n - at - size < 2 || memcmp(p + at + size, "\r\n", 2) != 0)
			return false;
		memcpy(payload + *payload_n, p + at, size);
		*payload_n += size;
		at += size + 2;
	} while (true);
	trailers = at;
	while ((line = naive_line(p, n, &at, &length)) != NULL && length != 0)
		if (!naive_trailer(line, length) || ++lines > HTTP1_MAX_TRAILERS)
			return false;
	*taken = at;
	*trailer = (struct span){ p + trailers, line != NULL ? at - trailers - 2 : 0 };
	return line != NULL && at - trailers <= 8192;
}

/* Each line of the section is a field that was taken, or one that may not stand there. */
static void
check_trailers(struct span all)
{
	struct http_field v[HTTP1_MAX_TRAILERS];
	char *copy = oracle_copy(all.p, all.n);
	size_t n = http1_parse_trailers(copy, all.n, v), at = 0, length, taken = 0;
	const char *line, *colon;
	struct span name;

	while (at < all.n) {
		line = naive_line(copy, all.n, &at, &length);
		ORACLE(line != NULL);
		colon = memchr(line, ':', length);
		name = (struct span){ line, (size_t)(colon - line) };
		if (!http_trailer_allowed(name))
			continue;
		ORACLE(taken < n && v[taken].name.p == name.p && v[taken].name.n == name.n);
		ORACLE(http_is_field_value(v[taken].value));
		ORACLE(v[taken].value.n == 0 ||
		    (v[taken].value.p > colon &&
			v[taken].value.p + v[taken].value.n <= line + length));
		ORACLE(name.n != 4 || strncasecmp(name.p, "host", 4) != 0);
		ORACLE(name.n != 14 || strncasecmp(name.p, "content-length", 14) != 0);
		ORACLE(name.n != 17 || strncasecmp(name.p, "transfer-encoding", 17) != 0);
		taken++;
	}
	ORACLE(taken == n);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span trailers = SPAN_NONE;
	struct chunked_run whole, cut;
	const char *p = (const char *)data + 1;
	size_t n, naive_n, naive_taken = 0;
	char *naive;
	bool ends;

	if (size < 1)
		return 0;
	n = size - 1;
	chunked_run(p, n, true, false, 0, &whole);
	for (int i = 0; i < 5; i++) {
		chunked_run(p, n, i == 4, i >= 2, i % 2 == 0 ? data[0] : 0, &cut);
		ORACLE(cut.result == whole.result && cut.n == whole.n);
		/* Where it is bad, by how far it came. */
		ORACLE(cut.taken == whole.taken || (i >= 2 && whole.result == HTTP1_CHUNK_BAD));
		ORACLE(memcmp(cut.payload, whole.payload, cut.n) == 0);
		free(cut.payload);
		free(cut.trailers);
	}
	naive = oracle_copy(p, n);
	ends = naive_decode(p, n, naive, &naive_n, &trailers, &naive_taken);
	ORACLE(ends == (whole.result == HTTP1_CHUNK_END));
	if (ends) {
		ORACLE(whole.n == naive_n && memcmp(whole.payload, naive, naive_n) == 0);
		ORACLE(whole.taken == naive_taken);
		ORACLE(whole.trailers_n == trailers.n &&
		    memcmp(whole.trailers, trailers.p, trailers.n) == 0);
		check_trailers(trailers);
	}
	free(naive);
	free(whole.payload);
	free(whole.trailers);
	return 0;
}
