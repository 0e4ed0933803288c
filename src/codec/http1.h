/*
 * HTTP/1.1 message heads (RFC 9112), requests and responses; strict, no
 * copies: all spans point into the caller's bytes.  Pure.
 *
 * Two steps, so that a slow sender costs O(bytes) and nothing is kept for
 * each connection but the scan state and the bytes themselves:
 * http1_scan finds the end of the head as bytes arrive and refuses what can
 * never become one; http1_parse_* takes a whole head apart.
 */
#ifndef CODEC_HTTP1_H
#define CODEC_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Request line or status line, bytes without CRLF; a field line may fill the head. */
#define HTTP1_MAX_LINE 8192
#define HTTP1_MAX_HEAD 32768 /* whole head with its final empty line */
#define HTTP1_MAX_FIELDS 100

enum http1_status {
	HTTP1_OK,	       /* the head is complete */
	HTTP1_MORE,	       /* no error so far, not complete */
	HTTP1_BAD,	       /* syntax: 400 */
	HTTP1_BAD_VERSION,     /* HTTP/x.y that is not 1.0 or 1.1: 505 */
	HTTP1_BAD_CODING,      /* a transfer coding but chunked: 501 */
	HTTP1_TARGET_TOO_LONG, /* 414 */
	HTTP1_TOO_LARGE,       /* the head, the number of fields, a method or status line: 431 */
};

/* The start line takes part in the scan: it says which rules hold. */
enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };

struct http1_scan {
	uint32_t pos;	     /* bytes looked at so far */
	uint32_t line_start; /* where the current line starts */
	uint16_t fields;     /* field lines so far */
	uint8_t kind;
	uint8_t state;
};

void http1_scan_init(struct http1_scan *s, enum http1_kind kind);

/*
 * Look at all bytes so far (p[0..n), the same bytes at each call with more
 * behind them; they may have moved in memory).  HTTP1_OK with *head_n, the
 * length of the head including the empty line; HTTP1_MORE; or an error as
 * soon as it is certain: a control character, bare CR or LF (RFC 9112 2.2),
 * NUL, white space before a field line (obs-fold, 5.2) or before the colon
 * (5.1), an empty or over-long line.  For requests at most one leading CRLF
 * is passed over (2.2): it counts as part of the head.
 */
enum http1_status http1_scan(struct http1_scan *s, const char *p, size_t n, size_t *head_n);

struct http_field {
	struct span name;  /* as sent; compare without regard to case */
	struct span value; /* without white space around it; no CR, LF, NUL or other
				 * control characters but HTAB; bytes >= 0x80 may be in it */
};

enum http_body {
	HTTP_BODY_NONE,	  /* request: no body; response: see http1_response_body */
	HTTP_BODY_LENGTH, /* Content-Length, may be 0 */
	HTTP_BODY_CHUNKED,
	HTTP_BODY_EOF, /* response only: until the connection ends */
};

/* A request or response as the HTTP layers hand it on; also made from HTTP/2. */
struct http_head {
	/* request */
	struct span method;
	struct span target;    /* as sent */
	struct span scheme;    /* absolute-form or HTTP/2; else empty */
	struct span authority; /* Host, absolute-form's or :authority; validated host[:port] */
	struct span path;      /* absolute path without the query, as sent; "*" for OPTIONS * */
	struct span query;     /* without the '?'; p is NULL when there was no '?' */
	/* response */
	unsigned status; /* 100 to 999 */
	struct span reason;
	/* both */
	unsigned minor;	       /* HTTP/1.minor; 0 or 1 */
	bool keep_alive;       /* by version and Connection (RFC 9112 9.3) */
	bool expect_continue;  /* Expect: 100-continue */
	bool connection_names; /* Connection has more than close and keep-alive */
	enum http_body body;
	uint64_t content_length; /* with HTTP_BODY_LENGTH */
	size_t n_fields;
	struct http_field field[HTTP1_MAX_FIELDS];
};

/*
 * Take a whole head apart (p[0..n) as http1_scan found it).  HTTP1_OK or
 * the error; never HTTP1_MORE.  Refused for requests: a method that is no
 * token; white space other than single SPs in the request line; a target
 * that is none of origin-form, absolute-form (http, https), authority-form (CONNECT
 * only) or asterisk-form (OPTIONS only), or holds a fragment or bytes that
 * no URI may hold; a Host that is missing in 1.1, repeated, or no valid
 * host[:port] (RFC 9112 3.2); a repeated Content-Length, even when they agree (RFC
 * 9110 8.6 lets us), or one that is not below 2^63; Transfer-Encoding with
 * Content-Length (6.1: request smuggling), TE in 1.0, chunked not last or
 * twice or spelt with empty list elements.
 *
 * A query may hold what browsers send there though RFC 3986 does not know it
 * ([]|^{}`\), a path []|^; a '%' in a path must start an escape.
 */
enum http1_status http1_parse_request(const char *p, size_t n, struct http_head *out);

/*
 * The same for responses; status 100 to 599 only.  body is what the fields say;
 * http1_response_body applies what the request and the status say about it
 * (RFC 9112 6.3: HEAD, 1xx, 204, 304, 2xx to CONNECT have none; without
 * framing it is HTTP_BODY_EOF).
 */
enum http1_status http1_parse_response(const char *p, size_t n, struct http_head *out);
enum http_body http1_response_body(const struct http_head *response, struct span request_method);

/* Fields of one trailer section, at most, and its bytes without the empty line that ends it. */
#define HTTP1_MAX_TRAILERS 32
#define HTTP1_MAX_TRAILER_BYTES 8190

/*
 * Take a trailer section apart (RFC 9110 6.5): p[0..n) are whole field lines, as
 * http1_chunked_feed handed them out.  Returns how many of them are in v (spans point into p):
 * those that must not stand there are left out (http_trailer_allowed).  A line that is none ends
 * it.
 */
size_t http1_parse_trailers(const char *p, size_t n, struct http_field v[HTTP1_MAX_TRAILERS]);

/*
 * Whether a field may stand behind the body (RFC 9110 6.5.1): none that frames or routes the
 * message, changes how it is handled, authenticates, sets cookies or describes the content, no
 * hop-by-hop field, and none of HTTP/2's pseudo-header fields.
 */
bool http_trailer_allowed(struct span name);

/* The first field of that name, or NULL; the number of them. */
const struct http_field *http_head_find(const struct http_head *h, const char *name);
size_t http_head_count(const struct http_head *h, const char *name);

/*
 * Keep-Alive: timeout=N of a response, in seconds; false: it does not say, or not well.  Of
 * several the least.
 */
bool http_head_keep_alive_s(const struct http_head *h, uint64_t *seconds);

/* Whether any field of that name has the token in its comma-separated list. */
bool http_head_list_has(const struct http_head *h, const char *name, const char *token);

/*
 * Hop-by-hop (RFC 9110 7.6.1): Connection, Keep-Alive, Proxy-Connection, TE, Trailer,
 * Transfer-Encoding, Upgrade, Proxy-Authenticate..., HTTP2-Settings and all that Connection
 * names, but never Host and Content-Length.
 */
bool http_head_is_hop_by_hop(const struct http_head *h, struct span name);

bool http_is_token(struct span s);	 /* RFC 9110 5.6.2 token, not empty */
bool http_is_field_value(struct span s); /* no control character but HTAB */
/* 1*DIGIT below 2^63 (RFC 9110 8.6). */
bool http_parse_length(struct span s, uint64_t *out);
/*
 * Set path and query by an absolute path with its query (RFC 9112 3.2.1, RFC 9113
 * 8.3.1 :path).  0, or -1: it is none.
 */
int http_parse_path(struct span t, struct http_head *out);
/* host[:port], no userinfo, not empty; IPv6 in brackets; the port may be empty ("host:"). */
bool http_is_authority(struct span s);

/*
 * The chunked coding (RFC 9112 7.1), incremental and in place.  Feed bytes;
 * each call takes some and may hand out one run of payload.  Extensions are
 * passed over (at most 4096 bytes of them per chunk), trailers checked like
 * fields and handed out as they stand (at most 8192 bytes with the empty line, and
 * HTTP1_MAX_TRAILERS lines).
 */
struct http1_chunked {
	uint64_t left;	  /* of the current chunk */
	uint32_t skipped; /* extension or trailer bytes so far */
	uint8_t state;
	uint8_t digits; /* of the size; then trailer lines */
};
enum http1_chunk {
	HTTP1_CHUNK_MORE,
	HTTP1_CHUNK_DATA,
	HTTP1_CHUNK_TRAILER,
	HTTP1_CHUNK_END,
	HTTP1_CHUNK_BAD,
};

void http1_chunked_init(struct http1_chunked *c);
/*
 * *used: bytes of p taken.  With _DATA *data is a run of payload in p (not empty), with _TRAILER
 * one of trailer lines, their CRLFs too, that ends where *used does; call again with the rest.
 * _MORE: all was taken.  _END: the last chunk and the trailers are over; bytes behind *used are
 * the next message's.
 */
enum http1_chunk http1_chunked_feed(
    struct http1_chunked *c, const char *p, size_t n, size_t *used, struct span *data);
/*
 * The same where the bytes may be written to: the payload of all chunks that are here is put
 * together in place and handed out as one run, so that small chunks cost no more than large ones.
 * *data may end before *used does.
 */
enum http1_chunk http1_chunked_gather(
    struct http1_chunked *c, char *p, size_t n, size_t *used, struct span *data);

#endif
