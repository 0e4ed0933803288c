/*
 * What the actions share: one request or one WebSocket, its facts, and its
 * access line.  Internal to gateway/.
 */
#ifndef GATEWAY_SESSION_H
#define GATEWAY_SESSION_H

#include "gateway/backends.h"
#include "gateway/counters.h"
#include "gateway/gateway.h"
#include "http/reply.h"
#include "http/stream.h"
#include "io/loop.h"

enum session_kind {
	SESSION_STATIC,
	SESSION_FORWARD,
	SESSION_PROXY,
	SESSION_WEBSOCKET,
	SESSION_CURSOR, /* no session: where a walk stands (walk.h); to be passed over */
};
enum session_side { SESSION_BY_NONE, SESSION_BY_CLIENT, SESSION_BY_BACKEND, SESSION_BY_GATEWAY };

/* The texts that the access line needs, in one allocation. */
struct session_facts {
	uint8_t client_n; /* 0: the peer of the connection is the client */
	uint16_t method_n, path_n, origin_n, subprotocol_n, extensions_n;
	bool has_origin;
	char data[]; /* one behind the other, in this order */
};

struct session {
	struct session *next, **prev; /* the worker's list */
	struct gateway *gw;	      /* borrowed */
	struct stream *s;	      /* the client's; NULL once it is over */
	/* in the snapshot that the client's connection holds */
	const struct config_route *route;
	struct backends_address *backend; /* owned pick (backends_pick); NULL: none */
	struct session_facts *facts;	  /* owned; NULL when there was no memory for it */
	uint64_t start_ms;
	uint8_t kind;
	/* Of a WebSocket (ws_int.h), in what would be padding. */
	uint8_t closed_by;   /* enum session_side */
	uint16_t close_code; /* for the access line; 0: open */
	uint32_t last_data;  /* stamp */
};

/* A drain under way (gateway_drain.c). */
struct gateway_drain {
	struct loop_timer timer;
	uint64_t end_ms, count_at_ms;
	double interval_ms, next_ms; /* between two closes (0: all at once); of the next one */
	double phase;
	void (*done)(void *arg); /* NULL: there is no drain, or it is over */
	void *arg;
};

/*
 * What one up-call makes of a WebSocket's messages and bytes is added to the route's counters at
 * its end, whatever their number.
 */
struct gateway_tally {
	/* that the bytes come from (ws_int.h); NULL: no up-call runs */
	const void *leg;
	uint64_t messages, bytes; /* the WebSocket's own counts when it began */
};

struct gateway {
	struct gateway_env env;
	struct counters_set *no_route; /* borrowed */
	struct gateway_tally tally;
	struct http_server_list connections;
	struct http_handler handler;
	struct session *sessions;
	/* keep-alive PINGs: high bits that nobody else's have by chance */
	uint64_t token_base;
	uint32_t last_token;
	struct reader_slot *readers; /* spare ones */
	size_t n_readers;
	struct h1_pool *pool;	    /* owned: connections to backends that wait */
	struct backends_pool crowd; /* pool, as other workers know it */
	struct static_files *files; /* owned: static files that were opened lately */
	struct edge_worker *edge;   /* owned; NULL until a WebSocket compresses (ws_edge.c) */
	struct gateway_counters count;
	struct gateway_drain drain;
	size_t n_connections;
};

/* How a session ended, for its access line. */
struct session_end {
	unsigned status; /* 0: no response was sent */
	uint64_t messages_in, messages_out, bytes_in, bytes_out;
	unsigned close_code; /* 0: not a WebSocket */
	enum session_side by;
	const char *reason; /* NULL: none; shown escaped */
	bool is_websocket;
};

/*
 * A reader for a message that does not end with its read; NULL without memory. Given back when it
 * does.
 */
struct ws_reader;
struct ws_reader *gateway_get_reader(struct gateway *gw);
void gateway_put_reader(struct gateway *gw, struct ws_reader *r);

/* This worker's counters of a route; NULL is none. */
static inline struct route_counters *
gateway_count(const struct gateway *gw, const struct config_route *route)
{
	return counters_block(route != NULL ? route->counters : gw->no_route, gw->env.index);
}

static inline struct route_counters *
session_count(const struct session *ss)
{
	return gateway_count(ss->gw, ss->route);
}

/* A handshake was refused. */
static inline void
session_count_refused(const struct session *ss, enum counters_refusal why)
{
	counter_add(&session_count(ss)->refused[why], 1);
}

static inline unsigned
session_http(const struct session *ss)
{
	return stream_info(ss->s)->http[0] == '2' ? COUNTERS_HTTP_2 : COUNTERS_HTTP_1;
}

/* What ws_edge.c has for a worker; NULL is nothing. */
struct edge_worker;
void ws_edge_worker_free(struct edge_worker *ew);

/* Fill a zeroed session from a request and put it on the worker's list. */
void session_init(struct session *ss, struct gateway *gw, enum session_kind kind, struct stream *s,
    const struct stream_request *r, const struct config_route *route);

/* The first of the client's offers, over all its fields, that the list knows; n 0: none. */
struct span session_pick_subprotocol(const struct http_head *head, const struct config_list *known);

/* Remember the negotiated subprotocol; 0 or -1 without memory. */
int session_set_subprotocol(struct session *ss, struct span subprotocol);
/* The same for the extensions, as they were answered; behind the subprotocol. */
int session_set_extensions(struct session *ss, struct span extensions);

/*
 * Take it off the list and free what it owns; session_free also frees the struct itself at the
 * turn's end (it must stand first in its allocation).
 */
void session_clear(struct session *ss);
void session_free(struct session *ss);

/*
 * Hand a session over to another struct (a handshake that became a WebSocket): `to` takes its
 * place; from is emptied.
 */
void session_move(struct session *to, struct session *from, enum session_kind kind);

/* Write the access line.  The client's stream (ss->s) must still be there. */
void session_access(struct session *ss, const struct session_end *end);

/* The access line of a request that has no session. */
void session_access_refused(struct gateway *gw, const struct stream_info *info,
    const struct stream_request *r, const struct config_route *route, unsigned status,
    const char *why);

/*
 * The request's log prefix and level: "c=ID route=NAME ..."; messages are limited by their fmt
 * (log_kind).
 */
void session_log(const struct session *ss, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Actions.  Each takes the request over. */
void echo_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route);
void forward_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route);
/* Ordinary requests only (r->ws is NONE). */
void proxy_start(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route);

/*
 * Close with 1001 because of a drain, or with 1008 by the administrator's wish; false when it is
 * closing already.
 */
bool ws_drain(struct session *ss);
bool ws_close_by_admin(struct session *ss);

/* What has passed so far, and when; queued_bytes wait in the gateway for either side. */
struct session_traffic {
	uint64_t messages_in, messages_out, bytes_in, bytes_out, queued_bytes;
	uint64_t idle_ms; /* since the last data of a WebSocket; of others 0 */
};
void session_traffic(const struct session *ss, struct session_traffic *out);
/* Of one kind each; *out is zeroed. */
void ws_traffic(const struct session *ss, struct session_traffic *out);
void proxy_traffic(const struct session *ss, struct session_traffic *out);
bool ws_is_closing(const struct session *ss);

/* A connection is gone: was it the last one of a drain? */
void gateway_check_drained(struct gateway *gw);

#endif
