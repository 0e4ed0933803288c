/* The command line of wsdial(1), taken apart and checked.  Pure but for getopt's own state. */
#ifndef TOOLS_WSDIAL_OPTIONS_H
#define TOOLS_WSDIAL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "codec/http1.h"
#include "codec/ws_ext.h"
#include "tools/wsdial_url.h"

/* The handshake, from the look-up to the answer, unless --timeout says otherwise. */
#define WSDIAL_HANDSHAKE_MS 10000
/* Silence that ends the wait for the peer's Close, unless --timeout says otherwise. */
#define WSDIAL_CLOSE_MS 5000
#define WSDIAL_DURATION_MS 10000
/* The longest message that is sent or taken, bytes. */
#define WSDIAL_MESSAGE_MAX (64 * 1024 * 1024)
/* What --load may ask for. */
#define WSDIAL_LOAD_CONNECTIONS_MAX 100000
#define WSDIAL_LOAD_IN_FLIGHT_MAX 100000
#define WSDIAL_LOAD_STREAMS_MAX 10000

enum wsdial_http {
	WSDIAL_HTTP_ANY, /* wss: what ALPN gives; ws: HTTP/1.1 */
	WSDIAL_HTTP_1_1,
	WSDIAL_HTTP_2, /* wss: by ALPN; ws: prior knowledge */
};

enum wsdial_what {
	WSDIAL_TALK, /* messages from the command line or the standard input */
	WSDIAL_PING,
	WSDIAL_LOAD,
	WSDIAL_HELP,
	WSDIAL_VERSION,
};

/* All strings are borrowed from argv. */
struct wsdial_options {
	enum wsdial_what mode;
	enum wsdial_http http;
	const char *url_text;
	struct wsdial_url url;
	const char *unix_path; /* NULL: TCP */

	struct http_field *field; /* owned: -H, but for Host, which url.authority has taken */
	size_t n_fields;
	const char *origin;	 /* NULL: none */
	struct buf subprotocols; /* as the field's value; n 0: none */

	bool compress;	     /* offer permessage-deflate */
	bool leave_plain;    /* offer it, but compress nothing */
	struct ws_ext offer; /* with compress */

	uint64_t keepalive_interval_ms; /* 0: off */
	uint64_t keepalive_timeout_ms;	/* 0: PONGs, without waiting for anything */

	bool binary, verbose, json;
	bool counted;
	const char **message; /* owned array */
	size_t n_messages;
	uint64_t count;	     /* with counted: end after so many; UINT64_MAX: the peer ends it */
	uint64_t timeout_ms; /* 0: not said; UINT64_MAX: never */

	bool insecure;
	const char *ca_file, *cert_file, *key_file;

	uint64_t pings;
	uint64_t connections, in_flight, size;
	uint64_t streams; /* WebSockets on each connection; 0: one, and not by --streams */
	uint64_t answer;  /* an answer's size; UINT64_MAX: it is what was sent */
	uint64_t duration_ms;
	bool opens;    /* --opens: connections is set, no messages are sent */
	bool on_input; /* a run for each line of the standard input */
};

/*
 * Parse; 0, or -1 with why (size bytes) saying what is wrong.  wsdial_options_clear is called in
 * either case.  With WSDIAL_HELP and WSDIAL_VERSION nothing else is set.
 */
int wsdial_options_parse(struct wsdial_options *o, int argc, char **argv, char *why, size_t size);
void wsdial_options_clear(struct wsdial_options *o);

/* What --help prints. */
extern const char wsdial_options_help[];

#endif
