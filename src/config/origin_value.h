/*
 * Origins in text (RFC 6454 6.1 and 7): cut apart, and parsed as an
 * AllowedOrigins value.  policy/origin.c compares.  Pure.
 */
#ifndef CONFIG_ORIGIN_VALUE_H
#define CONFIG_ORIGIN_VALUE_H

#include "base/span.h"
#include "config/config.h"

/* Bytes for a host's normal form: a name, or an IPv6 address in brackets. */
#define CONFIG_ORIGIN_HOST_SIZE 256

struct config_origin_parts {
	struct span scheme;		    /* as sent; borrowed from the text */
	bool wildcard;			    /* the host began with "*." */
	char host[CONFIG_ORIGIN_HOST_SIZE]; /* lower case, IPv6 in its shortest form */
	uint16_t port;			    /* the scheme's default filled in; 0: none */
};

/*
 * Cut `scheme "://" host [ ":" port ]`, and nothing behind it; "*." before the host is taken when
 * `pattern` is set.  0, or -1 with *why a static text for what no Origin can be.
 */
int config_origin_cut(
    struct span text, bool pattern, struct config_origin_parts *out, const char **why);

/*
 * Parse an AllowedOrigins value; 0, or -1 with *why a static text ("it has a path: an Origin
 * never has one", "the scheme is missing", ...) for values that can never match; -1 with *why NULL
 * when there is no memory.  The strings in *out are mem_alloc'ed and owned by the caller
 * (config_origin_clear); after -1 there are none.
 */
int config_origin_parse(struct span text, struct config_origin *out, const char **why);
void config_origin_clear(struct config_origin *o);

/* The port that the scheme implies, without regard to case; 0 when none is known. */
uint16_t config_origin_default_port(struct span scheme);

#endif
