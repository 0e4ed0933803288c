/*
 * PROXY headers.  See proxy_header.h.
 *
 * The reader takes one byte after the other: a header comes once in the life of a connection and is
 * short, and so no byte of what follows can be taken by mistake.  Invariant: data[0..n) is a prefix
 * of a good header.
 */
#include <arpa/inet.h>

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "codec/proxy_header.h"

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char v1_signature[] = "PROXY ";
#define V1_SIGNATURE_N (sizeof(v1_signature) - 1)

/* 2.2: version and command; family and transport. */
#define V2_LOCAL 0x20
#define V2_PROXY 0x21
#define V2_TCP4 0x11
#define V2_TCP6 0x21

#define V2_TCP4_N 12
#define V2_TCP6_N 36
#define V2_UNIX_N 216

/* 2.2.1 to 2.2.6 */
#define TLV_ALPN 0x01
#define TLV_AUTHORITY 0x02
#define TLV_SSL 0x20
#define TLV_SSL_VERSION 0x21
#define TLV_SSL_CLIENT_SSL 0x01

/* What is said in one TLV, at most; a name of DNS has 253. */
#define TLV_TEXT_MAX 255

/* ---- reading */

void
proxy_reader_init(struct proxy_reader *r)
{
	memset(r, 0, sizeof(*r));
}

static enum proxy_header_status
reader_bad(struct proxy_reader *r, const char *why)
{
	r->why = why;
	return PROXY_HEADER_BAD;
}

/* The word up to the next space, or to the end; false: there is none. */
static bool
line_word(struct span *line, struct span *word)
{
	const char *space = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;

	*word = (struct span){ line->p, space != NULL ? (size_t)(space - line->p) : line->n };
	line->p += word->n + (space != NULL);
	line->n -= word->n + (space != NULL);
	return word->n > 0;
}

/* 2.1: decimal, without leading zeros. */
static bool
line_port(struct span word, in_port_t *out)
{
	uint64_t port;

	if (word.n > 5 || (word.n > 1 && word.p[0] == '0') || num_parse_uint(word, &port) == -1 ||
	    port > 65535)
		return false;
	*out = htons((uint16_t)port);
	return true;
}

static bool
line_address(struct span word, sa_family_t family, union proxy_address *out)
{
	char text[INET6_ADDRSTRLEN];

	if (word.n >= sizeof(text) || memchr(word.p, '\0', word.n) != NULL)
		return false;
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	out->sa.sa_family = family;
	return inet_pton(family, text,
		   family == AF_INET ? (void *)&out->in.sin_addr : (void *)&out->in6.sin6_addr) ==
	    1;
}

/* The port stands in the same place in both. */
static in_port_t *
address_port(union proxy_address *a)
{
	return a->sa.sa_family == AF_INET ? &a->in.sin_port : &a->in6.sin6_port;
}

/* 2.1: the line without its CRLF. */
static enum proxy_header_status
reader_parse_line(struct proxy_reader *r, struct proxy_header *h)
{
	struct span line = { (const char *)r->data + V1_SIGNATURE_N, r->n - V1_SIGNATURE_N - 2 };
	struct span word, src, dst, sport, dport;
	sa_family_t family;

	if (!line_word(&line, &word))
		return reader_bad(r, "its protocol is missing");
	/* What follows UNKNOWN must be ignored. */
	if (span_eq(word, SPAN_LIT("UNKNOWN")))
		return PROXY_HEADER_DONE;
	if (!span_eq(word, SPAN_LIT("TCP4")) && !span_eq(word, SPAN_LIT("TCP6")))
		return reader_bad(r, "its protocol is none of TCP4, TCP6 and UNKNOWN");
	family = word.p[3] == '4' ? AF_INET : AF_INET6;
	if (!line_word(&line, &src) || !line_word(&line, &dst) || !line_word(&line, &sport) ||
	    line.n == 0)
		return reader_bad(r, "it has not two addresses and two ports");
	dport = line; /* to the end: another word would be a bad port */
	if (!line_address(src, family, &h->src) || !line_address(dst, family, &h->dst))
		return reader_bad(r, "its addresses are not of its protocol");
	if (!line_port(sport, address_port(&h->src)) || !line_port(dport, address_port(&h->dst)))
		return reader_bad(r, "a port is no number from 0 to 65535");
	return PROXY_HEADER_DONE;
}

static enum proxy_header_status
reader_line_byte(struct proxy_reader *r, uint8_t c, struct proxy_header *h)
{
	bool cr = r->n > 0 && r->data[r->n - 1] == '\r';

	if (r->n < V1_SIGNATURE_N && c != (uint8_t)v1_signature[r->n])
		return reader_bad(r, "there is none");
	if (cr != (c == '\n'))
		return reader_bad(r, "a CR or LF that is not the line's end");
	r->data[r->n++] = c;
	if (c == '\n')
		return reader_parse_line(r, h);
	return r->n < PROXY_HEADER_V1_MAX ? PROXY_HEADER_MORE
					  : reader_bad(r, "its line is longer than 107 bytes");
}

/* 2.2: how long the addresses of a family are; -1: there is no such family or transport. */
static int
v2_address_n(uint8_t family)
{
	static const int n[] = { 0, V2_TCP4_N, V2_TCP6_N, V2_UNIX_N };

	if (family == 0)
		return 0;
	if (family >> 4 < 1 || family >> 4 > 3 || (family & 15) < 1 || (family & 15) > 2)
		return -1;
	return n[family >> 4];
}

/* The first 16 bytes are there. */
static enum proxy_header_status
reader_parse_fixed(struct proxy_reader *r)
{
	uint8_t family = r->data[13];
	unsigned length = (unsigned)r->data[14] << 8 | r->data[15];
	int n = v2_address_n(family);

	if (length > PROXY_HEADER_V2_MAX)
		return reader_bad(r, "it is too long");
	r->left = (uint16_t)length;
	/* LOCAL: "including the family, which is ignored". */
	if (r->data[12] == V2_PROXY) {
		if (n == -1)
			return reader_bad(r, "its family or transport is unknown");
		if ((unsigned)n > length)
			return reader_bad(r, "its addresses are cut short");
		r->address_left = (uint16_t)n;
		r->keeps = family == V2_TCP4 || family == V2_TCP6;
		/* Where the addresses end of a family that is not told nobody can say. */
		r->checks = family != 0;
	}
	return r->left > 0 ? PROXY_HEADER_MORE : PROXY_HEADER_DONE;
}

static enum proxy_header_status
reader_fixed_byte(struct proxy_reader *r, uint8_t c)
{
	if (r->n < sizeof(v2_signature) && c != v2_signature[r->n])
		return reader_bad(r, "there is none");
	if (r->n == sizeof(v2_signature) && c != V2_LOCAL && c != V2_PROXY)
		return reader_bad(r, "its version or command is unknown");
	r->data[r->n++] = c;
	return r->n < PROXY_HEADER_V2_FIXED ? PROXY_HEADER_MORE : reader_parse_fixed(r);
}

/* 2.2.1: type, length, value; false: it ends behind the header's own end. */
static bool
reader_tlv_byte(struct proxy_reader *r, uint8_t c)
{
	if (r->value_left > 0) {
		r->value_left--;
		return true;
	}
	r->tlv[r->tlv_n++] = c;
	if (r->tlv_n < sizeof(r->tlv))
		return r->left > 0;
	r->tlv_n = 0;
	r->value_left = (uint16_t)(r->tlv[1] << 8 | r->tlv[2]);
	return r->value_left <= r->left;
}

static void
reader_take_addresses(const struct proxy_reader *r, struct proxy_header *h)
{
	const uint8_t *p = r->data + PROXY_HEADER_V2_FIXED;

	if (!r->keeps)
		return;
	if (r->data[13] == V2_TCP4) {
		h->src.sa.sa_family = h->dst.sa.sa_family = AF_INET;
		memcpy(&h->src.in.sin_addr, p, 4);
		memcpy(&h->dst.in.sin_addr, p + 4, 4);
		p += 8;
	} else {
		h->src.sa.sa_family = h->dst.sa.sa_family = AF_INET6;
		memcpy(&h->src.in6.sin6_addr, p, 16);
		memcpy(&h->dst.in6.sin6_addr, p + 16, 16);
		p += 32;
	}
	memcpy(address_port(&h->src), p, 2);
	memcpy(address_port(&h->dst), p + 2, 2);
}

static enum proxy_header_status
reader_rest_byte(struct proxy_reader *r, uint8_t c, struct proxy_header *h)
{
	r->left--;
	if (r->address_left > 0) {
		r->address_left--;
		if (r->keeps)
			r->data[r->n++] = c;
	} else if (r->checks && !reader_tlv_byte(r, c)) {
		return reader_bad(r, "a TLV is cut short");
	}
	if (r->left > 0)
		return PROXY_HEADER_MORE;
	reader_take_addresses(r, h);
	return PROXY_HEADER_DONE;
}

static enum proxy_header_status
reader_byte(struct proxy_reader *r, uint8_t c, struct proxy_header *h)
{
	if (r->n == 0 ? c != v2_signature[0] : r->data[0] != v2_signature[0])
		return reader_line_byte(r, c, h);
	return r->n < PROXY_HEADER_V2_FIXED ? reader_fixed_byte(r, c) : reader_rest_byte(r, c, h);
}

enum proxy_header_status
proxy_reader_feed(
    struct proxy_reader *r, const uint8_t *p, size_t n, size_t *used, struct proxy_header *h)
{
	enum proxy_header_status st = PROXY_HEADER_MORE;

	memset(h, 0, sizeof(*h));
	for (*used = 0; *used < n && st == PROXY_HEADER_MORE; ++*used)
		st = reader_byte(r, p[*used], h);
	return st;
}

/* ---- building */

/* An IPv4 address also where it is written as an IPv6 one; false: it is no IP address. */
static bool
address_take(const struct sockaddr *sa, union proxy_address *out)
{
	memset(out, 0, sizeof(*out));
	if (sa == NULL || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	memcpy(out, sa, sa->sa_family == AF_INET ? sizeof(out->in) : sizeof(out->in6));
	if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&out->in6.sin6_addr)) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = out->in6.sin6_port };

		memcpy(&in.sin_addr, out->in6.sin6_addr.s6_addr + 12, 4);
		memset(out, 0, sizeof(*out));
		out->in = in;
	}
	return true;
}

static void
address_widen(union proxy_address *a)
{
	struct sockaddr_in in = a->in;

	if (a->sa.sa_family == AF_INET6)
		return;
	memset(a, 0, sizeof(*a));
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = in.sin_port;
	memset(a->in6.sin6_addr.s6_addr + 10, 0xff, 2);
	memcpy(a->in6.sin6_addr.s6_addr + 12, &in.sin_addr, 4);
}

/* Both in one family, as the format wants them. */
static bool
facts_addresses(const struct proxy_facts *f, struct proxy_header *h)
{
	if (!address_take(f->src, &h->src))
		return false;
	if (!address_take(f->dst, &h->dst))
		h->dst.sa.sa_family = h->src.sa.sa_family;
	if (h->src.sa.sa_family != h->dst.sa.sa_family) {
		address_widen(&h->src);
		address_widen(&h->dst);
	}
	return true;
}

size_t
proxy_header_build_v1(const struct proxy_facts *f, uint8_t *out)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	struct proxy_header h;
	bool v4;
	int n;

	if (!facts_addresses(f, &h)) {
		memcpy(out, "PROXY UNKNOWN\r\n", 15);
		return 15;
	}
	v4 = h.src.sa.sa_family == AF_INET;
	inet_ntop(h.src.sa.sa_family,
	    v4 ? (void *)&h.src.in.sin_addr : (void *)&h.src.in6.sin6_addr, src, sizeof(src));
	inet_ntop(h.dst.sa.sa_family,
	    v4 ? (void *)&h.dst.in.sin_addr : (void *)&h.dst.in6.sin6_addr, dst, sizeof(dst));
	n = snprintf((char *)out, PROXY_HEADER_BUILD_MAX, "PROXY TCP%c %s %s %u %u\r\n",
	    v4 ? '4' : '6', src, dst, ntohs(*address_port(&h.src)), ntohs(*address_port(&h.dst)));
	return (size_t)n;
}

/* The addresses behind the fixed part; where they end. */
static uint8_t *
build_addresses(struct proxy_header *h, uint8_t *p)
{
	bool v4 = h->src.sa.sa_family == AF_INET;
	size_t n = v4 ? 4 : 16;

	memcpy(p, v4 ? (void *)&h->src.in.sin_addr : (void *)&h->src.in6.sin6_addr, n);
	memcpy(p + n, v4 ? (void *)&h->dst.in.sin_addr : (void *)&h->dst.in6.sin6_addr, n);
	memcpy(p + 2 * n, address_port(&h->src), 2);
	memcpy(p + 2 * n + 2, address_port(&h->dst), 2);
	return p + 2 * n + 4;
}

/* A TLV whose value is text; none where there is nothing to say, or too much. */
static uint8_t *
build_text(uint8_t *p, uint8_t type, struct span text)
{
	if (text.n == 0 || text.n > TLV_TEXT_MAX)
		return p;
	*p++ = type;
	*p++ = 0;
	*p++ = (uint8_t)text.n;
	memcpy(p, text.p, text.n);
	return p + text.n;
}

/* 2.2.6: that the client speaks TLS, and which; its certificate is nothing that is told. */
static uint8_t *
build_ssl(uint8_t *p, const char *version)
{
	uint8_t *start = p, *end;

	p += 3;
	*p++ = TLV_SSL_CLIENT_SSL;
	memcpy(p, "\0\0\0\1", 4); /* verify: not zero without a certificate */
	end = build_text(p + 4, TLV_SSL_VERSION, span_from_str(version));
	start[0] = TLV_SSL;
	start[1] = (uint8_t)((end - start - 3) >> 8);
	start[2] = (uint8_t)(end - start - 3);
	return end;
}

size_t
proxy_header_build_v2(const struct proxy_facts *f, uint8_t *out)
{
	uint8_t *p = out + PROXY_HEADER_V2_FIXED;
	struct proxy_header h;
	size_t n;

	memcpy(out, v2_signature, sizeof(v2_signature));
	out[12] = f->src != NULL ? V2_PROXY : V2_LOCAL;
	out[13] = 0;
	if (facts_addresses(f, &h)) {
		out[13] = h.src.sa.sa_family == AF_INET ? V2_TCP4 : V2_TCP6;
		p = build_addresses(&h, p);
	}
	if (f->alpn != NULL)
		p = build_text(p, TLV_ALPN, span_from_str(f->alpn));
	p = build_text(p, TLV_AUTHORITY, f->authority);
	if (f->tls != NULL)
		p = build_ssl(p, f->tls);
	n = (size_t)(p - out) - PROXY_HEADER_V2_FIXED;
	out[14] = (uint8_t)(n >> 8);
	out[15] = (uint8_t)n;
	return (size_t)(p - out);
}
