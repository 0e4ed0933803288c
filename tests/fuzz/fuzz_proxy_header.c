/*
 * PROXY headers as they come from a socket.  Oracle: however the bytes are split, the outcome is
 * the same; nothing behind the header is taken; bytes that follow change nothing; and what was
 * understood says the same when it is built anew, in both versions.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool good)
{
	if (!good)
		abort();
}

/* In pieces of at most `piece` bytes. */
static enum proxy_header_status
read_split(const uint8_t *data, size_t size, size_t piece, size_t *used, struct proxy_header *h)
{
	enum proxy_header_status st = PROXY_HEADER_MORE;
	struct proxy_reader r;
	size_t n;

	proxy_reader_init(&r);
	*used = 0;
	while (*used < size && st == PROXY_HEADER_MORE) {
		size_t left = size - *used < piece ? size - *used : piece;

		st = proxy_reader_feed(&r, data + *used, left, &n, h);
		check(n <= left && (st != PROXY_HEADER_MORE || n == left));
		check(st != PROXY_HEADER_BAD || r.why != NULL);
		*used += n;
	}
	return st;
}

static void
check_rebuilt(const struct proxy_header *h, size_t (*build)(const struct proxy_facts *, uint8_t *))
{
	uint8_t out[PROXY_HEADER_BUILD_MAX + 1];
	struct proxy_facts f = { .src = &h->src.sa,
		.dst = &h->dst.sa,
		.tls = "TLSv1.3",
		.alpn = "h2",
		.authority = SPAN_LIT("host") };
	struct proxy_header again;
	size_t used, n = build(&f, out);

	out[n] = 'x';
	check(n <= PROXY_HEADER_BUILD_MAX);
	check(read_split(out, n + 1, n + 1, &used, &again) == PROXY_HEADER_DONE && used == n);
	/* Written as IPv6, an IPv4 address is said as what it is. */
	if (h->src.sa.sa_family == AF_INET)
		check(memcmp(h, &again, sizeof(*h)) == 0);
	else
		check((h->src.sa.sa_family == AF_UNSPEC) == (again.src.sa.sa_family == AF_UNSPEC));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, split;
	size_t used, used_split;
	enum proxy_header_status st;

	if (size == 0)
		return 0;
	memset(&whole, 0, sizeof(whole));
	st = read_split(data, size, size, &used, &whole);
	for (size_t piece = 1; piece < 20; piece += 6) {
		memset(&split, 0, sizeof(split));
		check(read_split(data, size, piece, &used_split, &split) == st);
		check(used_split == used);
		check(memcmp(&whole, &split, sizeof(whole)) == 0);
	}
	if (st != PROXY_HEADER_DONE)
		return 0;
	check(used <= PROXY_HEADER_V2_FIXED + PROXY_HEADER_V2_MAX);
	check(whole.src.sa.sa_family == whole.dst.sa.sa_family);
	check(read_split(data, used, used, &used_split, &split) == PROXY_HEADER_DONE);
	check(used < 2 || read_split(data, used - 1, 1, &used_split, &split) == PROXY_HEADER_MORE);
	check_rebuilt(&whole, proxy_header_build_v1);
	check_rebuilt(&whole, proxy_header_build_v2);
	return 0;
}
