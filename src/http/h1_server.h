/*
 * One HTTP/1.1 connection from a client (RFC 9112 server side): requests one
 * after another, pipelined or not, until one becomes a WebSocket (RFC 6455 4.2).
 */
#ifndef HTTP_H1_SERVER_H
#define HTTP_H1_SERVER_H

#include <sys/socket.h>

#include "http/stream.h"

struct tls_ctx;
struct h1_server;
struct http_server_list;

/* How the gateway serves a worker's connections.  Static callbacks; arg is the worker's gateway. */
struct http_handler {
	/* A request; s is to be attached before the call returns. */
	void (*request)(void *arg, struct stream *s, const struct stream_request *r);
	/* A request that never became one was answered with status (0: dropped without an answer); head may be
	 * NULL. For the access line. */
	void (*refused)(void *arg, const struct stream_info *info, unsigned status, const char *why);
	/* The connection is gone: the last call for it. */
	void (*closed)(void *arg, const struct stream_info *info);
	void *arg;
};

/* An accepted connection on its way to a worker. */
struct http_accepted {
	int fd;				/* ownership goes over */
	struct config *config;		/* a reference goes over */
	const struct config_listen *listen;
	struct tls_ctx *tls;		/* a reference goes over; NULL in the clear */
	uint64_t connection_id;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	unsigned refuse;		/* 0, or the status (503, 429) that its first request gets: a limit is reached */
};

/* All connections of a worker, for the drain. */
struct http_server_list {
	struct h1_server *first;
	bool draining;			/* every response is the last of its connection */
};

/* Serve an accepted connection.  0, or -1 without memory: everything in a is disposed of. */
int h1_server_start(struct loop *loop, struct http_server_list *list,
    const struct http_handler *handler, const struct http_accepted *a);

/* No new request is taken: idle connections are closed now, others after their response; WebSockets stay. */
void http_server_drain(struct http_server_list *list);
/* Idle keep-alive connections whose snapshot is not `current` are closed, busy ones after their response (reload). */
void http_server_retire(struct http_server_list *list, const struct config *current);
/* Close everything that is left, at once. */
void http_server_abort_all(struct http_server_list *list);

#endif
