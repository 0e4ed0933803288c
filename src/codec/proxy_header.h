/*
 * The header of the PROXY protocol ("The PROXY protocol, versions 1 & 2"; cited by its sections):
 * what a proxy says in front of a connection's own bytes of whom it speaks for.  Reading is
 * incremental and takes no byte that is not the header's.  Pure.
 */
#ifndef CODEC_PROXY_HEADER_H
#define CODEC_PROXY_HEADER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

#define PROXY_HEADER_V1_MAX 107	 /* 2.1: with its CRLF */
#define PROXY_HEADER_V2_FIXED 16 /* 2.2: signature, command, family, length */
/* What may follow them; the format would allow 65535. */
#define PROXY_HEADER_V2_MAX 2048

union proxy_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/*
 * AF_UNSPEC in both: nothing is said (LOCAL, UNKNOWN, UNSPEC, AF_UNIX, datagrams): the socket's own
 * peer is meant.
 */
struct proxy_header {
	union proxy_address src, dst;
};

enum proxy_header_status { PROXY_HEADER_MORE, PROXY_HEADER_DONE, PROXY_HEADER_BAD };

struct proxy_reader {
	const char *why;		   /* static; after PROXY_HEADER_BAD, for the log */
	uint16_t left;			   /* v2: bytes of the header to come */
	uint16_t address_left;		   /* of these, of the addresses */
	uint16_t value_left;		   /* of the TLV that is skipped */
	uint8_t n;			   /* bytes in data */
	uint8_t tlv_n;			   /* in tlv */
	uint8_t tlv[3];			   /* type and length of the next one */
	bool keeps;			   /* the addresses are of use */
	bool checks;			   /* there are TLVs behind them */
	uint8_t data[PROXY_HEADER_V1_MAX]; /* the line; or what is fixed, and the addresses */
};

void proxy_reader_init(struct proxy_reader *r);

/*
 * Read on with p[0..n); *used of them are the header's.  MORE: all of them, and it is not complete.
 * DONE: *h is filled in, and what follows *used is the connection's own.  BAD: r->why; nothing more
 * may be fed.
 */
enum proxy_header_status proxy_reader_feed(
    struct proxy_reader *r, const uint8_t *p, size_t n, size_t *used, struct proxy_header *h);

/* What is to be said of a connection. */
struct proxy_facts {
	/* The client; another family than the two of IP: unknown.  NULL: nobody, we speak for
	 * ourselves (LOCAL in version 2). */
	const struct sockaddr *src;
	const struct sockaddr *dst; /* what it connected to; not IP: zeros are said */
	const char *tls;	    /* "TLSv1.3"; NULL in the clear */
	const char *alpn;	    /* "h2"; empty or NULL: none */
	struct span authority;	    /* the host that it asked for; n 0: none */
};

/* Enough for whatever is built. */
#define PROXY_HEADER_BUILD_MAX 640

/* Build one into out (PROXY_HEADER_BUILD_MAX bytes), in version 2 with all facts; its length. */
size_t proxy_header_build_v1(const struct proxy_facts *f, uint8_t *out);
size_t proxy_header_build_v2(const struct proxy_facts *f, uint8_t *out);

#endif
