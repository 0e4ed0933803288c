/*
 * Requests to actions.  See gateway.h.
 *
 * Called by http/ (the http_handler) and by the daemon; calls policy/ for
 * every decision and one of the actions for what is let in.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/ws_msg.h"
#include "gateway/extension.h"
#include "gateway/session.h"
#include "gateway/static.h"
#include "gateway/static_files.h"
#include "http/h1_pool.h"
#include "policy/client.h"
#include "policy/origin.h"
#include "policy/route.h"

/* Readers that are kept for the next large message. */
#define SPARE_READERS 256

struct reader_slot {
	union {
		struct ws_reader r;
		struct reader_slot *next;
	};
};

/* What a handshake's refusal is counted as. */
static enum counters_refusal
gateway_refusal(enum reply kind)
{
	static const uint8_t refusals[] = { [REPLY_NO_ROUTE] = REFUSED_NO_ROUTE,
		[REPLY_NOT_WEBSOCKET] = REFUSED_NOT_WEBSOCKET,
		[REPLY_WS_VERSION] = REFUSED_VERSION,
		[REPLY_WS_BAD] = REFUSED_BAD_REQUEST,
		[REPLY_ORIGIN_REFUSED] = REFUSED_ORIGIN,
		[REPLY_UNAVAILABLE] = REFUSED_DRAINING };

	/* 0 is NO_ROUTE's; all others are the gateway's own trouble. */
	if (kind != REPLY_NO_ROUTE && (kind >= sizeof(refusals) || refusals[kind] == 0))
		return REFUSED_INTERNAL;
	return refusals[kind];
}

static void
gateway_refuse(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route, enum reply kind, const char *why)
{
	bool head = span_eq(r->head->method, SPAN_LIT("HEAD"));

	if (r->ws != WS_REQUEST_NONE || kind == REPLY_NOT_WEBSOCKET)
		counter_add(&gateway_count(gw, route)->refused[gateway_refusal(kind)], 1);
	session_access_refused(gw, stream_info(s), r, route, reply_status(s, kind), why);
	reply_send(s, kind, head, why);
}

/* A static file's session is over when its response is. */
static void
gateway_static_done(void *arg, unsigned status, uint64_t bytes, bool complete)
{
	struct session *ss = arg;
	struct session_end e = { .status = status,
		.bytes_out = bytes,
		.by = complete ? SESSION_BY_NONE : SESSION_BY_CLIENT,
		.reason = complete ? NULL : "the response was broken off" };

	session_access(ss, &e);
	session_free(ss);
}

static void
gateway_static(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	struct session *ss;

	if ((ss = loop_object(gw->env.loop, sizeof(*ss))) == NULL) {
		gateway_refuse(gw, s, r, route, REPLY_INTERNAL, "out of memory");
		return;
	}
	session_init(ss, gw, SESSION_STATIC, s, r, route);
	static_start(gw->env.loop, gw->files, s, r, route, gateway_static_done, ss);
}

/* The checks that every WebSocket route makes, in the order of the contract. */
static bool
gateway_judge_websocket(struct gateway *gw, struct stream *s, const struct stream_request *r,
    const struct config_route *route)
{
	const struct http_field *origin = http_head_find(r->head, "Origin");
	enum origin_verdict v;

	switch (r->ws) {
	case WS_REQUEST_NONE:
		gateway_refuse(gw, s, r, route, REPLY_NOT_WEBSOCKET,
		    "only WebSocket connections are served here");
		return false;
	case WS_REQUEST_BAD_VERSION:
		gateway_refuse(gw, s, r, route, REPLY_WS_VERSION, r->ws_why);
		return false;
	case WS_REQUEST_BAD:
		gateway_refuse(gw, s, r, route, REPLY_WS_BAD, r->ws_why);
		return false;
	case WS_REQUEST_FAILED:
		gateway_refuse(gw, s, r, route, REPLY_INTERNAL, r->ws_why);
		return false;
	case WS_REQUEST_OK:
		break;
	}
	v = origin_check(&route->ws, http_head_count(r->head, "Origin"),
	    origin != NULL ? origin->value : SPAN_NONE, http_head_find(r->head, "Cookie") != NULL);
	if (v != ORIGIN_OK) {
		gateway_refuse(gw, s, r, route, REPLY_ORIGIN_REFUSED, origin_verdict_str(v));
		return false;
	}
	if (!extension_offers_good(r->head, route)) {
		gateway_refuse(gw, s, r, route, REPLY_WS_BAD, "malformed Sec-WebSocket-Extensions");
		return false;
	}
	return true;
}

static void
gateway_on_request(void *arg, struct stream *s, const struct stream_request *came)
{
	struct gateway *gw = arg;
	const struct stream_info *info = stream_info(s);
	struct stream_request q = *came, *r = &q;
	struct sockaddr_storage client;
	const struct config_route *route;

	if (span_eq(r->head->method, SPAN_LIT("CONNECT")) && r->ws == WS_REQUEST_NONE) {
		gateway_refuse(
		    gw, s, r, NULL, REPLY_NOT_IMPLEMENTED, "this gateway is no forward proxy");
		return;
	}
	if (info->listen->n_trusted_proxies > 0) {
		client_find(info->listen, info->client, r->head, &client);
		q.client = (const struct sockaddr *)&client;
	}
	route = route_find(info->config, r->head->authority, r->head->path);
	if (route == NULL) {
		gateway_refuse(gw, s, r, NULL, REPLY_NO_ROUTE, "no route serves this URL");
		return;
	}
	switch (route->action) {
	case CONFIG_ACTION_STATIC:
		gateway_static(gw, s, r, route);
		return;
	case CONFIG_ACTION_ECHO:
		if (gateway_judge_websocket(gw, s, r, route))
			echo_start(gw, s, r, route);
		return;
	case CONFIG_ACTION_FORWARD:
		if (gateway_judge_websocket(gw, s, r, route))
			forward_start(gw, s, r, route);
		return;
	case CONFIG_ACTION_PROXY:
		if (r->ws == WS_REQUEST_NONE)
			proxy_start(gw, s, r, route);
		else if (gateway_judge_websocket(gw, s, r, route))
			forward_start(gw, s, r, route);
		return;
	}
}

static struct listener_counters *
gateway_count_listener(const struct gateway *gw, const struct stream_info *info)
{
	return counters_block(info->listen->counters, gw->env.index);
}

/* A request that never became one.  Of those past a limit it is not asked what they were. */
static void
gateway_count_refused(struct gateway *gw, const struct stream_info *info, unsigned status)
{
	bool rate = status == 429;
	enum counters_trouble why = TROUBLE_REQUEST;

	if (info->unannounced)
		why = TROUBLE_PROXY_HEADER;
	else if (info->listen->tls && info->tls == NULL)
		why = TROUBLE_TLS;
	else if (info->refused && (rate || status == 503))
		why = rate ? TROUBLE_RATE : TROUBLE_LIMIT;
	counter_add(&gateway_count_listener(gw, info)->trouble[why], 1);
	if (why == TROUBLE_LIMIT || why == TROUBLE_RATE)
		counter_add(&gateway_count(gw, NULL)
				 ->refused[rate ? REFUSED_RATE : REFUSED_CONNECTION_LIMIT],
		    1);
}

static const char *
gateway_phase(const struct stream_info *info)
{
	if (info->unannounced)
		return "while PROXY header";
	if (info->refused)
		return "refused";
	return info->listen->tls && info->tls == NULL ? "while TLS handshake" : "bad request";
}

static void
gateway_on_refused(void *arg, const struct stream_info *info, const struct stream_request *r,
    unsigned status, const char *why)
{
	struct gateway *gw = arg;
	char client[64];

	gateway_count_refused(gw, info, status);
	addr_format_sa(info->client, sizeof(struct sockaddr_storage), true, client, sizeof(client));
	log_peer(gw->env.log, LOG_L_INFO, "c=%llu listen=%s client=%s %s: %s",
	    (unsigned long long)info->connection_id, info->listen->name, client,
	    gateway_phase(info), why);
	if (status != 0)
		session_access_refused(gw, info, r, NULL, status, why);
}

static void
gateway_on_broken(void *arg, const struct stream_info *info, const char *why)
{
	struct gateway *gw = arg;
	char client[64];

	counter_add(&gateway_count_listener(gw, info)->trouble[TROUBLE_HTTP2], 1);
	addr_format_sa(info->client, sizeof(struct sockaddr_storage), true, client, sizeof(client));
	log_peer(gw->env.log, LOG_L_INFO, "c=%llu listen=%s client=%s connection ended: %s",
	    (unsigned long long)info->connection_id, info->listen->name, client, why);
}

static void
gateway_on_closed(void *arg, const struct stream_info *info)
{
	struct gateway *gw = arg;

	gw->n_connections--;
	if (!info->refused)
		counter_add(&gateway_count_listener(gw, info)->closed, 1);
	gw->env.closed(gw->env.arg, info);
	gateway_check_drained(gw);
}

/* A listener with ProxyProtocol and no TrustedProxies is for proxies only. */
static bool
gateway_believes(void *arg, const struct stream_info *info)
{
	(void)arg;
	return info->listen->n_trusted_proxies == 0 ||
	    client_is_trusted(info->listen, info->client);
}

static unsigned
gateway_admit(void *arg, const struct stream_info *info)
{
	struct gateway *gw = arg;

	unsigned refuse = gw->env.admit(gw->env.arg, info);

	/* It is one of those past a limit from now on; or it is closed and no more than that. */
	if (http_refuses_in_silence(refuse))
		counter_add(&gateway_count_listener(gw, info)
				 ->trouble[refuse == HTTP_REFUSE_SILENT_RATE ? TROUBLE_RATE
									     : TROUBLE_LIMIT],
		    1);
	else if (refuse != 0)
		counter_add(&gateway_count_listener(gw, info)->closed, 1);
	return refuse;
}

/* Another worker needs room at a backend: what waits here for no good gives way. */
static void
gateway_on_crowded(void *arg)
{
	struct gateway *gw = arg;

	h1_pool_sweep(gw->pool, backends_idle_is_too_many);
}

struct gateway *
gateway_new(const struct gateway_env *env)
{
	struct gateway *gw;

	if ((gw = mem_zalloc(sizeof(*gw))) == NULL)
		return NULL;
	gw->env = *env;
	gw->no_route = counters_no_route(env->counters);
	gw->pool = h1_pool_new(env->loop);
	gw->files = static_files_new(env->loop);
	if (gw->pool == NULL || gw->files == NULL) {
		h1_pool_free(gw->pool);
		static_files_free(gw->files);
		mem_free(gw);
		return NULL;
	}
	gw->crowd.loop = env->loop;
	gw->crowd.crowded = gateway_on_crowded;
	gw->crowd.arg = gw;
	gw->handler.request = gateway_on_request;
	gw->handler.refused = gateway_on_refused;
	gw->handler.broken = gateway_on_broken;
	gw->handler.believes = gateway_believes;
	gw->handler.admit = gateway_admit;
	gw->handler.closed = gateway_on_closed;
	gw->handler.arg = gw;
	gw->connections.handler = &gw->handler;
	gw->token_base = (uint64_t)loop_random(env->loop) << 32;
	return gw;
}

void
gateway_free(struct gateway *gw)
{
	struct reader_slot *slot;

	if (gw == NULL)
		return;
	loop_timer_stop(gw->env.loop, &gw->drain.timer);
	backends_pool_leave(&gw->crowd);
	h1_pool_free(gw->pool);
	static_files_free(gw->files);
	ws_edge_worker_free(gw->edge);
	while ((slot = gw->readers) != NULL) {
		gw->readers = slot->next;
		mem_free(slot);
	}
	mem_free(gw);
}

struct ws_reader *
gateway_get_reader(struct gateway *gw)
{
	struct reader_slot *slot = gw->readers;

	if (slot == NULL)
		return (slot = mem_alloc(sizeof(*slot))) != NULL ? &slot->r : NULL;
	gw->readers = slot->next;
	gw->n_readers--;
	return &slot->r;
}

void
gateway_put_reader(struct gateway *gw, struct ws_reader *r)
{
	struct reader_slot *slot = (struct reader_slot *)(void *)r;

	if (gw->n_readers == SPARE_READERS) {
		mem_free(slot);
		return;
	}
	slot->next = gw->readers;
	gw->readers = slot;
	gw->n_readers++;
}

void
gateway_accept(struct gateway *gw, const struct http_accepted *a)
{
	struct stream_info info = { .config = a->config,
		.listen = a->listen,
		.connection_id = a->connection_id,
		.client = (const struct sockaddr *)&a->peer,
		.refused = a->refuse != 0,
		.counted = a->counted };
	struct config *hold = config_ref(a->config);

	gw->n_connections++;
	if (!info.refused)
		counter_add(&gateway_count_listener(gw, &info)->accepted, 1);
	if (http_server_start(gw->env.loop, &gw->connections, a) == -1) {
		log_peer(gw->env.log, LOG_L_ERROR,
		    "c=%llu out of memory while accepting a connection",
		    (unsigned long long)a->connection_id);
		gateway_on_closed(gw, &info);
	}
	config_unref(hold);
}

void
gateway_retire(struct gateway *gw, const struct config *current)
{
	static_files_flush(gw->files);
	http_server_retire(&gw->connections, current);
}

void
gateway_end(struct gateway *gw)
{
	http_server_abort_all(&gw->connections);
}

const struct gateway_counters *
gateway_counters(const struct gateway *gw)
{
	return &gw->count;
}
