/*
 * What a request to the admin endpoint asks for, and whether it may: the paths and methods of
 * wsrelayd(8), filters in the query, and what keeps web pages out.  Pure; any thread.
 */
#ifndef DAEMON_ADMIN_REQUEST_H
#define DAEMON_ADMIN_REQUEST_H

#include "base/addr.h"
#include "codec/http1.h"
#include "gateway/walk.h"

enum admin_what {
	ADMIN_METRICS,
	ADMIN_HEALTHZ,
	ADMIN_READYZ,
	ADMIN_STATUS,
	ADMIN_CONNECTIONS,
	ADMIN_CLOSE,
	ADMIN_RELOAD,
	ADMIN_DRAIN,
};

struct admin_request {
	enum admin_what what;
	bool is_head;
	bool tsv;		      /* Accept: text/tab-separated-values; else JSON */
	struct gateway_filter filter; /* of CONNECTIONS; the id of CLOSE */
};

/* What a request that is refused gets. */
struct admin_refusal {
	unsigned status;   /* 400, 403, 404, 405 */
	const char *allow; /* static; with 405 */
	const char *why;   /* static; one plain line */
};

/*
 * Take a request apart.  tcp: it came over TCP, where any program of this machine, a web browser
 * too, can connect: then Host must name this machine (RFC 9110 7.2), or a page could be served to
 * a browser under a name that was rebound to 127.0.0.1 meanwhile.  A POST that says which page it
 * comes from (Origin, Sec-Fetch-Site) is always refused. 0, or -1 with *no filled.
 */
int admin_request_parse(
    const struct http_head *h, bool tcp, struct admin_request *out, struct admin_refusal *no);

/*
 * Whether a Host field's value is localhost, a name below it, or a loopback address, with any
 * port.
 */
bool admin_host_is_local(struct span authority);

/* An id as /connections shows it, `17` or `17.5`; 0 or -1. */
int admin_id_parse(struct span text, uint64_t *connection, uint32_t *stream);

#endif
