/*
 * From a URL to an open WebSocket: the connection (TCP or Unix, TLS), the choice of HTTP's version,
 * the handshake and all checks of its answer.
 */
#ifndef TOOLS_WSDIAL_CONNECT_H
#define TOOLS_WSDIAL_CONNECT_H

#include "codec/ws_ext.h"
#include "http/stream.h"
#include "tools/wsdial_options.h"

struct loop;
struct resolver;
struct tls_ctx;
struct transport;
struct ws_deflate_pool;
struct wsdial_connect;
struct wsdial_out;

/* Exit status (INTERFACE: wsdial). */
enum wsdial_status {
	WSDIAL_OK = 0,
	WSDIAL_REFUSED = 1, /* the server answered the handshake, and not with a WebSocket */
	WSDIAL_FAILED = 2,
	WSDIAL_USAGE = 64,
};

/* What all connections of a run share; everything is borrowed. */
struct wsdial_env {
	struct loop *loop;
	struct resolver *resolver;
	const struct wsdial_options *o;
	struct tls_ctx *tls; /* NULL with ws: */
	struct ws_deflate_pool *pool;
	struct wsdial_out *out;
};

/* What was agreed on. */
struct wsdial_agreed {
	const char *http; /* "1.1" or "2"; static */
	const char *tls;  /* "TLSv1.3"; NULL in the clear; static */
	bool deflate;	  /* permessage-deflate, with these parameters */
	struct ws_ext ext;
	char peer[128];	       /* its address */
	char subprotocol[256]; /* empty: none */
};

/*
 * The outcome, once, never from within wsdial_connect_start; the connect is gone when it returns.
 * WSDIAL_OK: s is the open WebSocket's stream, to which the callee attaches at once: bytes may
 * follow.  Else why says what went wrong (borrowed for the call).
 */
typedef void wsdial_connect_fn(void *arg, enum wsdial_status status, struct stream *s,
    const struct wsdial_agreed *agreed, const char *why);

/* NULL only without memory. */
struct wsdial_connect *wsdial_connect_start(
    const struct wsdial_env *env, wsdial_connect_fn *fn, void *arg);

/*
 * The same, but only up to the HTTP connection: with WSDIAL_OK t is to be moved out of
 * (transport_move) within the call, agreed->http says what ALPN chose or --http2 said.
 */
typedef void wsdial_connect_raw_fn(void *arg, enum wsdial_status status, struct transport *t,
    const struct wsdial_agreed *agreed, const char *why);
struct wsdial_connect *wsdial_connect_start_raw(
    const struct wsdial_env *env, wsdial_connect_raw_fn *fn, void *arg);

/*
 * The handshake's own fields and those of -H into field, which has room for
 * WSDIAL_OWN_FIELDS + o->n_fields; extensions is memory for a value.  Returns how many.
 */
#define WSDIAL_OWN_FIELDS 4 /* User-Agent, Origin, -Protocol, -Extensions */
size_t wsdial_connect_fields(
    const struct wsdial_options *o, struct http_field *field, char extensions[WS_EXT_TEXT]);

/*
 * Check the subprotocol and the extensions of a 101 (or 2xx) and note them in agreed; false: why
 * (static) says what is wrong.
 */
bool wsdial_connect_check(const struct wsdial_options *o, const struct http_head *h,
    struct wsdial_agreed *agreed, const char **why);

/* Give up; fn is not called any more.  Not from within fn. */
void wsdial_connect_cancel(struct wsdial_connect *wc);

#endif
