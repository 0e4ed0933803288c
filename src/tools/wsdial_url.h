/* ws: and wss: URLs (RFC 6455 3).  Pure. */
#ifndef TOOLS_WSDIAL_URL_H
#define TOOLS_WSDIAL_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* A name's 255 bytes, brackets and a port. */
#define WSDIAL_AUTHORITY_MAX 264

struct wsdial_url {
	bool tls;			      /* wss: */
	uint16_t port;			      /* the scheme's own when none was said */
	struct span path;		      /* "/" when the URL has none; without the query */
	struct span query;		      /* p is NULL when there was no '?' */
	char host[256];			      /* a name, or an address without its brackets */
	char authority[WSDIAL_AUTHORITY_MAX]; /* for Host: the scheme's own port is left out */
};

/*
 * Take a URL apart; path and query point into text.  0; -1 with *why, a static text: another
 * scheme, user information, a fragment (RFC 6455 3), a host or port that is none, or a byte that
 * has to be escaped.
 */
int wsdial_url_parse(struct span text, struct wsdial_url *out, const char **why);

#endif
