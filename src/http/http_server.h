/*
 * Connections from clients, whichever version of HTTP they turn out to speak:
 * accepted, through the TLS handshake, then handed to h1_server or h2_server
 * by ALPN or by their first bytes (RFC 9113 3.2, 3.3).
 */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include <sys/socket.h>
#include <time.h>

#include "http/stream.h"

struct tls_ctx;
struct http_conn;

/*
 * In place of a status: a connection that is past a limit, or a rate, is closed without an answer.
 */
#define HTTP_REFUSE_SILENT 1
#define HTTP_REFUSE_SILENT_RATE 2

static inline bool
http_refuses_in_silence(unsigned refuse)
{
	return refuse == HTTP_REFUSE_SILENT || refuse == HTTP_REFUSE_SILENT_RATE;
}

/* How the gateway serves a worker's connections.  Static callbacks; arg is the worker's gateway. */
struct http_handler {
	/* A request; s is to be attached before the call returns. */
	void (*request)(void *arg, struct stream *s, const struct stream_request *r);
	/*
	 * A request that never became one was answered with status (0: dropped without an answer);
	 * r is what could be made of it, NULL: nothing.  For the access line.
	 */
	void (*refused)(void *arg, const struct stream_info *info, const struct stream_request *r,
	    unsigned status, const char *why);
	/*
	 * The client broke the protocol or used up a budget, and the connection ends.  Once; for
	 * the log and the count.
	 */
	void (*broken)(void *arg, const struct stream_info *info, const char *why);
	/* A PROXY header came by a peer (info->client): whether it is believed. */
	bool (*believes)(void *arg, const struct stream_info *info);
	/*
	 * Only now it is known who the client of a connection is, which is counted by that: 0, the
	 * status that its first request gets, or one of HTTP_REFUSE_SILENT...
	 */
	unsigned (*admit)(void *arg, const struct stream_info *info);
	/* The connection is gone: the last call for it. */
	void (*closed)(void *arg, const struct stream_info *info);
	void *arg;
};

/* An accepted connection on its way to a worker. */
struct http_accepted {
	int fd;		       /* ownership goes over */
	struct config *config; /* a reference goes over */
	const struct config_listen *listen;
	struct tls_ctx *tls; /* a reference goes over; NULL in the clear */
	uint64_t connection_id;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	bool counted; /* in the limits */
	/* 0, or the status (503, 429) that its first request gets: a limit is reached */
	unsigned refuse;
};

/* All connections of a worker, for the drain. */
struct http_server_list {
	const struct http_handler *handler; /* borrowed; set by the owner */
	struct stream_info info;	    /* http_conn_info's scratch */
	time_t date_at;			    /* when the date was made */
	char date[sizeof("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")];
	struct http_conn *first;
	bool draining; /* every response is the last of its connection */
};

/* Serve an accepted connection.  0, or -1 without memory: everything in a is disposed of. */
int http_server_start(
    struct loop *loop, struct http_server_list *list, const struct http_accepted *a);

/*
 * The address on this host that the client of a stream connected to; AF_UNSPEC: it cannot be told.
 */
void http_server_local(const struct stream_info *info, struct sockaddr_storage *out);

/*
 * No new request is taken: idle connections are closed now, others after their response (HTTP/2:
 * GOAWAY); WebSockets stay.
 */
void http_server_drain(struct http_server_list *list);
/* The same for the connections whose snapshot is not `current` (reload). */
void http_server_retire(struct http_server_list *list, const struct config *current);
/* Close everything that is left, at once. */
void http_server_abort_all(struct http_server_list *list);

#endif
