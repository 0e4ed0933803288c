/*
 * Socket addresses as the INI file names them: `HOST:PORT`, `[IPV6]:PORT`,
 * `*:PORT`, `unix:PATH`, `unix:@NAME`, `systemd:NAME`; and CIDR blocks.
 * Pure text and arithmetic: no look-ups, no sockets are opened here.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/span.h"

enum addr_kind {
	ADDR_IP,      /* a literal IPv4 or IPv6 address and a port: sa is set */
	ADDR_ANY,     /* `*:PORT`: all addresses, both families */
	ADDR_NAME,    /* a host name and a port, to be looked up */
	ADDR_UNIX,    /* a path, or with '@' an abstract name: sa is set */
	ADDR_SYSTEMD, /* a name of sd_listen_fds_with_names */
};

struct addr {
	enum addr_kind kind;
	uint16_t port;	  /* IP, ANY, NAME */
	char name[256];	  /* host name, path, "@NAME" or systemd name; NUL-terminated */
	socklen_t sa_len; /* IP, UNIX */
	union {
		struct sockaddr sa;
		struct sockaddr_storage ss;
		struct sockaddr_un un;
	} u;
};

/*
 * Parse; 0, or -1 with *why set to a static text that says what is wrong
 * ("port is missing", "path is longer than 107 bytes", ...).  Port 0 is
 * taken (tests use it).
 */
int addr_parse(struct span text, struct addr *out, const char **why);

/* The same text again, normalised; returns out; size >= 300. */
const char *addr_format(const struct addr *a, char *out, size_t size);

/* The same address; host names compare without regard to case. */
bool addr_eq(const struct addr *a, const struct addr *b);

/*
 * A peer's address: "192.0.2.1:4711", "[2001:db8::1]:4711", "unix:", or
 * "unknown"; without port "192.0.2.1", "2001:db8::1".  An IPv4-mapped
 * address is shown as the IPv4 address that it is.  Returns out; size >=
 * ADDR_SA_TEXT.
 */
#define ADDR_SA_TEXT 56
const char *addr_format_sa(
    const struct sockaddr *sa, socklen_t len, bool with_port, char *out, size_t size);

/* A CIDR block `192.0.2.0/24`, `2001:db8::/32` or a plain address. */
struct addr_cidr {
	uint8_t net[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits;	 /* of 128 */
};

/* 0, or -1 when it is none.  Bits past the mask are cleared. */
int addr_cidr_parse(struct span text, struct addr_cidr *out);

/*
 * Whether the address is in the block; never for a Unix socket.  An IPv6
 * block shorter than /96 holds no (mapped) IPv4 address: ::/0 is not
 * 0.0.0.0/0.
 */
bool addr_cidr_has(const struct addr_cidr *c, const struct sockaddr *sa);

/* The 16 bytes that stand for a client (IPv4 mapped; unix all zero). */
void addr_client_key(const struct sockaddr *sa, uint8_t out[16]);

/*
 * The same for limits: IPv6 by /64, which is what one customer has.  Whole are the addresses below
 * which many clients share a /64: IPv4 in IPv6 (mapped, and 64:ff9b::/96 of translators, RFC 6052)
 * and link-local ones.
 */
void addr_client_net(const struct sockaddr *sa, uint8_t out[16]);

#endif
