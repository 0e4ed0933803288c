/*
 * What every connection from a client has, whichever version of HTTP it
 * speaks.  Internal to http/: http_server.c makes it, h1_server and h2_server
 * embed it first and take it over, h1_server where it stands.
 */
#ifndef HTTP_HTTP_CONN_H
#define HTTP_HTTP_CONN_H

#include <netinet/in.h>

#include "http/http_server.h"
#include "io/transport.h"

/* How long a refused or finished connection is read on so that its last bytes arrive. */
#define HTTP_LINGER_MS 2000
/* In a drain: the first request of a connection may be on its way for so long. */
#define HTTP_DRAIN_GRACE_MS 1000
/* Bytes read at once while a head is awaited: what came behind it must be kept. */
#define HTTP_HEAD_READ 16384

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

struct http_conn_ops {
	struct transport_events t; /* first: the transport's ev leads to all of it */
	/* Take no new request: end now when idle, else as soon as what runs is over. */
	void (*retire)(struct http_conn *c);
	/* End at once: every stream is reset, then the connection is closed. */
	void (*abort)(struct http_conn *c, const char *why);
};

struct http_conn {
	struct transport t;
	struct http_server_list *list;	    /* borrowed */
	struct http_conn *next, **prev;	    /* of the list */
	struct config *config;		    /* ref */
	const struct config_listen *listen; /* in config */
	uint64_t id;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} client;
	uint16_t refuse;      /* status for the first request; 0: it is served */
	uint8_t version;      /* enum http_version */
	bool retired : 1;     /* ops->retire was called, or there is a drain */
	bool counted : 1;     /* in the limits, by its client, who is known */
	bool unannounced : 1; /* the PROXY header that it must begin with has not come yet */
};

/* What every idle WebSocket over HTTP/1.1 has. */
_Static_assert(sizeof(struct http_conn) <= 128, "struct http_conn has grown");

static inline const struct http_conn_ops *
http_conn_ops(const struct http_conn *c)
{
	return (const struct http_conn_ops *)(const void *)c->t.ev;
}

/*
 * The facts of a connection, in the list's scratch: valid until the next call for any connection
 * of the worker.
 */
const struct stream_info *http_conn_info(struct http_conn *c);

/*
 * A response's Date field (RFC 9110 6.6.1), as a line with its CRLF; made once a second.  Its
 * value is what stands between HTTP_DATE_NAME and the CRLF.
 */
#define HTTP_DATE_NAME "Date: "
struct span http_conn_date(struct http_conn *c);

/*
 * Let dst take src over, in the list too, with ops of its own.  src's memory stays its owner's, to
 * be freed at the turn's end.
 */
void http_conn_move(struct http_conn *dst, struct http_conn *src, const struct http_conn_ops *ops);

/*
 * What a refused connection's first request is told: c->refuse in words, and the value of
 * Retry-After in seconds.
 */
static inline const char *
http_refusal_why(unsigned status)
{
	return status == 429 ? "too many new connections" : "too many connections";
}

static inline const char *
http_refusal_retry(unsigned status)
{
	return status == 429 ? "1" : "5";
}

/* Close the transport, leave the list, call `closed` and drop the snapshot. */
void http_conn_close(struct http_conn *c, bool reset);

/*
 * The memory of a connection that may become an HTTP/1.1 one where it stands: a loop_object of so
 * many bytes.
 */
#define HTTP_CONN_ROOM 168

/*
 * Serve a connection whose handshake is over and whose first bytes are p[0..n) (borrowed for the
 * call, writable, n may be 0); the first request must be there at deadline_ms.  h1_server_become:
 * the memory behind *c, up to HTTP_CONN_ROOM, is the HTTP/1.1 connection's from now on, and all of
 * it may be closed when it returns.  h2_server_start: from is moved out of.  On -1 (no memory)
 * everything is as it was.
 */
int h1_server_become(struct http_conn *c, uint64_t deadline_ms, uint8_t *p, size_t n);
int h2_server_start(struct http_conn *from, uint64_t deadline_ms, uint8_t *p, size_t n);

#endif
