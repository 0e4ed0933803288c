/*
 * From a URL to an open WebSocket.  See wsdial_connect.h.
 *
 * A connect is in one of four phases: dialling, shaking hands by TLS, awaiting the answer to the
 * WebSocket handshake, reading the body of an answer that refuses it.  One deadline holds for all;
 * io/dial minds it in the first.  Where the version of HTTP was left to ALPN and an HTTP/2 server
 * does not know WebSockets (RFC 8441), it starts again and offers HTTP/1.1 alone, as browsers do.
 *
 * Runs on the loop; called by wsdial_session.c, calls io/dial, io/transport and the clients of
 * http/.  Invariant: of dial, t and s at most one is in use; wsdial_connect_finish ends all.
 */
#include "tools/wsdial_connect.h"

#include <sys/socket.h>

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "http/h1_client.h"
#include "http/h2_client.h"
#include "io/dial.h"
#include "io/tls.h"
#include "io/transport.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_trace.h"

#define WSDIAL_BODY_MAX 4096 /* of a refusal, for -v */

enum wsdial_phase { WSDIAL_DIAL, WSDIAL_TLS, WSDIAL_ANSWER, WSDIAL_BODY };

struct wsdial_connect {
	const struct wsdial_env *env; /* borrowed */
	wsdial_connect_fn *fn;	      /* one of them */
	wsdial_connect_raw_fn *raw;
	void *arg; /* borrowed */
	enum wsdial_phase phase;
	enum wsdial_http http; /* as said, or HTTP/1.1 at the second try */
	struct loop_timer timer;
	uint64_t deadline_ms;	  /* UINT64_MAX: none */
	struct loop_task failure; /* of what failed within the start */
	struct dial *dial;	  /* owned; NULL: not dialling */
	struct transport t;	  /* during the TLS handshake */
	bool has_transport;
	struct stream *s; /* ref; from the request on */
	struct wsdial_agreed agreed;
	struct buf body;
	char extensions[WS_EXT_TEXT];
	char why[512];
};

static const struct transport_events wsdial_tls_events;
static const struct stream_events wsdial_answer_events;

static void wsdial_connect_dial(struct wsdial_connect *wc);

/* ---- the end */

static void
wsdial_connect_quiet(struct wsdial_connect *wc)
{
	loop_timer_stop(wc->env->loop, &wc->timer);
	loop_later_cancel(wc->env->loop, &wc->failure);
	if (wc->dial != NULL)
		dial_cancel(wc->dial);
	wc->dial = NULL;
	if (wc->has_transport)
		transport_close(&wc->t, false);
	wc->has_transport = false;
	if (wc->s != NULL)
		stream_abort(wc->s);
	wc->s = NULL;
}

void
wsdial_connect_cancel(struct wsdial_connect *wc)
{
	wsdial_connect_quiet(wc);
	buf_clear(&wc->body);
	loop_free_later(wc->env->loop, wc);
}

static void
wsdial_connect_finish(struct wsdial_connect *wc, enum wsdial_status status)
{
	struct stream *s = wc->s;

	if (status == WSDIAL_OK)
		wc->s = NULL; /* it lives on */
	wsdial_connect_quiet(wc);
	if (wc->fn != NULL)
		wc->fn(wc->arg, status, status == WSDIAL_OK ? s : NULL, &wc->agreed, wc->why);
	else
		wc->raw(wc->arg, status, NULL, &wc->agreed, wc->why);
	buf_clear(&wc->body);
	loop_free_later(wc->env->loop, wc);
}

static void __attribute__((format(printf, 2, 3)))
wsdial_connect_say(struct wsdial_connect *wc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(wc->why, sizeof(wc->why), fmt, ap);
	va_end(ap);
}

static void
wsdial_connect_on_failure(struct loop_task *task)
{
	struct wsdial_connect *wc = (struct wsdial_connect *)(void *)((char *)task -
	    offsetof(struct wsdial_connect, failure));

	wsdial_connect_finish(wc, WSDIAL_FAILED);
}

/* Fail from the loop, whoever calls. */
static void
wsdial_connect_fail_later(struct wsdial_connect *wc)
{
	loop_later(wc->env->loop, &wc->failure, wsdial_connect_on_failure);
}

/*
 * What io/ and http/ say is written for the gateway, to whom the other side is a backend: here it
 * is the server.
 */
static void
wsdial_connect_translate(struct wsdial_connect *wc)
{
	static const char theirs[] = "backend", ours[] = "server";
	char *at = wc->why;

	while ((at = strstr(at, theirs)) != NULL) {
		memcpy(at, ours, sizeof(ours) - 1);
		memmove(at + sizeof(ours) - 1, at + sizeof(theirs) - 1,
		    strlen(at + sizeof(theirs) - 1) + 1);
	}
}

static void
wsdial_connect_say_http(struct wsdial_connect *wc, const char *text)
{
	wsdial_connect_say(wc, "%s", text);
	wsdial_connect_translate(wc);
}

static void
wsdial_connect_on_timer(struct loop_timer *timer)
{
	struct wsdial_connect *wc = (struct wsdial_connect *)(void *)((char *)timer -
	    offsetof(struct wsdial_connect, timer));
	static const char *const waiting[] = {
		[WSDIAL_DIAL] = "", /* io/dial has its own timer */
		[WSDIAL_TLS] = "the TLS handshake was not done",
		[WSDIAL_ANSWER] = "no answer to the handshake came",
		[WSDIAL_BODY] = "",
	};

	if (loop_now_ms(wc->env->loop) < wc->deadline_ms) {
		loop_timer_arm(wc->env->loop, timer, wc->deadline_ms);
		return;
	}
	if (wc->phase == WSDIAL_BODY) {
		wsdial_trace_body(wc->env->out, buf_span(&wc->body));
		wsdial_connect_finish(wc, WSDIAL_REFUSED);
		return;
	}
	wsdial_connect_say(wc, "timeout: %s in time", waiting[wc->phase]);
	wsdial_connect_finish(wc, WSDIAL_FAILED);
}

/* ---- the answer */

/* RFC 6455 4.1: one of those that were offered, or none. */
static bool
wsdial_check_subprotocol(
    const struct wsdial_options *o, const struct http_head *h, struct wsdial_agreed *agreed)
{
	const struct http_field *f = http_head_find(h, "Sec-WebSocket-Protocol");
	struct span offered = buf_span(&o->subprotocols), one;

	if (f == NULL)
		return true;
	while (
	    http_head_count(h, "Sec-WebSocket-Protocol") == 1 && span_next_item(&offered, &one)) {
		if (!span_eq(one, f->value))
			continue;
		snprintf(agreed->subprotocol, sizeof(agreed->subprotocol), "%.*s", SPAN_ARG(one));
		return true;
	}
	return false;
}

/* RFC 6455 4.1, RFC 7692 5.1: at most what was offered. */
static bool
wsdial_check_extensions(
    const struct wsdial_options *o, const struct http_head *h, struct wsdial_agreed *agreed)
{
	enum ws_ext_kind kind;
	struct ws_ext answer;

	for (size_t i = 0; i < h->n_fields; i++) {
		struct span list = h->field[i].value, item;

		if (!span_eq_nocase(h->field[i].name, SPAN_LIT("Sec-WebSocket-Extensions")))
			continue;
		while ((kind = ws_ext_next(&list, WS_EXT_ANSWER, &answer, &item)) != WS_EXT_END) {
			if (kind != WS_EXT_DEFLATE || !o->compress || agreed->deflate ||
			    !ws_ext_answers(&o->offer, &answer))
				return false;
			agreed->deflate = true;
			agreed->ext = answer;
		}
	}
	return true;
}

bool
wsdial_connect_check(const struct wsdial_options *o, const struct http_head *h,
    struct wsdial_agreed *agreed, const char **why)
{
	*why = "the server chose a subprotocol that was not offered";
	if (!wsdial_check_subprotocol(o, h, agreed))
		return false;
	*why = "the server answered with an extension that was not offered so";
	return wsdial_check_extensions(o, h, agreed);
}

static void
wsdial_on_response(struct stream *s, const struct http_head *h)
{
	struct wsdial_connect *wc = s->user;
	char reason[300] = "";

	if (h->status == 101) {
		const char *why;
		bool good = wsdial_connect_check(wc->env->o, h, &wc->agreed, &why);

		if (!good)
			wsdial_connect_say(wc, "%s", why);
		wsdial_connect_finish(wc, good ? WSDIAL_OK : WSDIAL_FAILED);
		return;
	}
	if (h->reason.n > 0)
		wsdial_plain(reason, sizeof(reason), h->reason);
	wsdial_connect_say(
	    wc, "the handshake was refused: %u%s%s", h->status, h->reason.n > 0 ? " " : "", reason);
	if (!wc->env->out->verbose) {
		wsdial_connect_finish(wc, WSDIAL_REFUSED);
		return;
	}
	wc->phase = WSDIAL_BODY;
}

static void
wsdial_on_body(struct stream *s, uint8_t *p, size_t n)
{
	struct wsdial_connect *wc = s->user;
	size_t room = WSDIAL_BODY_MAX - wc->body.n;

	if (wc->phase != WSDIAL_BODY)
		return;
	if (buf_append(&wc->body, p, n < room ? n : room) == 0 && n < room)
		return;
	wsdial_trace_body(wc->env->out, buf_span(&wc->body));
	wsdial_connect_finish(wc, WSDIAL_REFUSED);
}

static void
wsdial_on_body_end(struct stream *s)
{
	struct wsdial_connect *wc = s->user;

	wsdial_trace_body(wc->env->out, buf_span(&wc->body));
	wsdial_connect_finish(wc, WSDIAL_REFUSED);
}

/* An HTTP/2 server that has no WebSockets: HTTP/1.1 may have them. */
static bool
wsdial_connect_fall_back(struct wsdial_connect *wc, enum stream_error e)
{
	if (e != STREAM_E_REFUSED || wc->http != WSDIAL_HTTP_ANY)
		return false;
	loop_timer_stop(wc->env->loop, &wc->timer);
	wsdial_out_trace(wc->env->out, "* %s: trying HTTP/1.1", wc->why);
	wc->http = WSDIAL_HTTP_1_1;
	wsdial_connect_dial(wc);
	return true;
}

static void
wsdial_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct wsdial_connect *wc = s->user;

	wc->s = NULL;
	if (wc->phase == WSDIAL_BODY) {
		wsdial_trace_body(wc->env->out, buf_span(&wc->body));
		wsdial_connect_finish(wc, WSDIAL_REFUSED);
		return;
	}
	wsdial_connect_say_http(wc, why);
	if (!wsdial_connect_fall_back(wc, e))
		wsdial_connect_finish(wc, WSDIAL_FAILED);
}

static void
wsdial_on_trace(struct stream *s, bool sent, struct span head)
{
	struct wsdial_connect *wc = s->user;

	wsdial_trace_head(wc->env->out, sent, head);
}

static const struct stream_events wsdial_answer_events = {
	.response = wsdial_on_response,
	.bytes = wsdial_on_body,
	.end = wsdial_on_body_end,
	.reset = wsdial_on_reset,
	.trace = wsdial_on_trace,
};

/* ---- the request */

static void
wsdial_put_field(struct http_field *field, size_t *n, const char *name, struct span value)
{
	if (value.n > 0)
		field[(*n)++] = (struct http_field){ span_from_str(name), value };
}

static bool
wsdial_has_field(const struct wsdial_options *o, const char *name)
{
	for (size_t i = 0; i < o->n_fields; i++)
		if (span_eq_nocase(o->field[i].name, span_from_str(name)))
			return true;
	return false;
}

size_t
wsdial_connect_fields(
    const struct wsdial_options *o, struct http_field *field, char extensions[WS_EXT_TEXT])
{
	size_t n = 0;

	if (!wsdial_has_field(o, "User-Agent"))
		wsdial_put_field(field, &n, "User-Agent", SPAN_LIT("wsdial/" WSRELAYD_VERSION));
	wsdial_put_field(field, &n, "Origin", span_from_str(o->origin));
	wsdial_put_field(field, &n, "Sec-WebSocket-Protocol", buf_span(&o->subprotocols));
	if (o->compress)
		wsdial_put_field(field, &n, "Sec-WebSocket-Extensions",
		    (struct span){ extensions, ws_ext_write(&o->offer, extensions) });
	for (size_t i = 0; i < o->n_fields; i++)
		field[n++] = o->field[i];
	return n;
}

/* The transport is what was asked for. */
static void
wsdial_connect_hand_over(struct wsdial_connect *wc)
{
	wc->raw(wc->arg, WSDIAL_OK, &wc->t, &wc->agreed, NULL);
	wc->has_transport = false;
	wsdial_connect_cancel(wc);
}

/* The transport is ready: the request goes out. */
static void
wsdial_connect_request(struct wsdial_connect *wc, bool http2)
{
	const struct wsdial_options *o = wc->env->o;
	struct http_field *field = mem_alloc((o->n_fields + WSDIAL_OWN_FIELDS) * sizeof(*field));
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.path = o->url.path,
		.query = o->url.query,
		.authority = span_from_str(o->url.authority),
		.field = field,
		.websocket = true };
	const char *why = "out of memory";

	wc->phase = WSDIAL_ANSWER;
	wc->agreed.http = http2 ? "2" : "1.1";
	if (wc->raw != NULL) {
		mem_free(field);
		wsdial_connect_hand_over(wc);
		return;
	}
	wc->has_transport = false;
	if (field == NULL) {
		transport_close(&wc->t, false);
	} else {
		r.n_fields = wsdial_connect_fields(o, field, wc->extensions);
		wc->s = http2
		    ? h2_client_start_on(
			  &wc->t, &r, o->url.tls, CONFIG_NEVER, &wsdial_answer_events, wc, &why)
		    : h1_client_start_on(&wc->t, &r, CONFIG_NEVER, &wsdial_answer_events, wc, &why);
	}
	mem_free(field);
	if (wc->s == NULL) {
		wsdial_connect_say_http(wc, why);
		wsdial_connect_fail_later(wc);
	}
}

/* ---- the connection */

static struct wsdial_connect *
wsdial_of_transport(struct transport *t)
{
	return (struct wsdial_connect *)(void *)((char *)t - offsetof(struct wsdial_connect, t));
}

static void
wsdial_trace_tls(const struct wsdial_connect *wc)
{
	char subject[256], quoted[300];
	const char *alpn = transport_alpn(&wc->t);

	if (!wc->env->out->verbose)
		return;
	transport_peer_subject(&wc->t, subject, sizeof(subject));
	wsdial_out_trace(wc->env->out, "* %s, %s, ALPN %s, certificate %s",
	    transport_tls_version(&wc->t), transport_tls_cipher(&wc->t),
	    alpn[0] != '\0' ? alpn : "none",
	    wsdial_quote(quoted, sizeof(quoted), span_from_str(subject)));
}

static void
wsdial_on_tls_ready(struct transport *t)
{
	struct wsdial_connect *wc = wsdial_of_transport(t);
	bool http2 = strcmp(transport_alpn(t), "h2") == 0;

	wc->agreed.tls = transport_tls_version(t);
	wsdial_trace_tls(wc);
	if (!http2 && wc->http == WSDIAL_HTTP_2) {
		wsdial_connect_say(wc, "the server did not choose HTTP/2 (ALPN)");
		wsdial_connect_finish(wc, WSDIAL_FAILED);
		return;
	}
	wsdial_connect_request(wc, http2);
}

static void
wsdial_on_tls_failed(struct transport *t, const char *why)
{
	struct wsdial_connect *wc = wsdial_of_transport(t);

	wsdial_connect_say(wc, "TLS: %s", why);
	wsdial_connect_finish(wc, WSDIAL_FAILED);
}

/* Nothing is read and nothing drains before the handshake is over. */
static void
wsdial_on_tls_nothing(struct transport *t)
{
	(void)t;
}

static const struct transport_events wsdial_tls_events = {
	.ready = wsdial_on_tls_ready,
	.readable = wsdial_on_tls_nothing,
	.drained = wsdial_on_tls_nothing,
	.failed = wsdial_on_tls_failed,
};

static unsigned
wsdial_tls_offer(enum wsdial_http http)
{
	switch (http) {
	case WSDIAL_HTTP_ANY:
		return TLS_OFFER_HTTP1 | TLS_OFFER_HTTP2;
	case WSDIAL_HTTP_1_1:
		return TLS_OFFER_HTTP1;
	case WSDIAL_HTTP_2:
		return TLS_OFFER_HTTP2;
	}
	return 0;
}

static void
wsdial_connect_on_fd(struct wsdial_connect *wc, int fd)
{
	const struct wsdial_options *o = wc->env->o;
	struct loop *loop = wc->env->loop;
	int ret;

	wc->phase = WSDIAL_TLS;
	ret = o->url.tls ? transport_start_client(&wc->t, loop, &wsdial_tls_events, fd,
			       wc->env->tls, o->url.host, wsdial_tls_offer(wc->http))
			 : transport_start(&wc->t, loop, &wsdial_tls_events, fd, NULL);
	if (ret == -1) {
		wsdial_connect_say(wc, "out of memory");
		wsdial_connect_finish(wc, WSDIAL_FAILED);
		return;
	}
	wc->has_transport = true;
	transport_may_widen(&wc->t);
	if (!o->url.tls)
		wsdial_connect_request(wc, wc->http == WSDIAL_HTTP_2);
}

static void
wsdial_note_peer(struct wsdial_connect *wc, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	const char *path = wc->env->o->unix_path;

	if (path != NULL)
		snprintf(wc->agreed.peer, sizeof(wc->agreed.peer), "unix:%s", path);
	else if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
		addr_format_sa(
		    (struct sockaddr *)&ss, len, true, wc->agreed.peer, sizeof(wc->agreed.peer));
	wsdial_out_trace(wc->env->out, "* connected to %s", wc->agreed.peer);
}

static void
wsdial_on_dialled(void *arg, enum dial_status st, int fd, const char *why)
{
	struct wsdial_connect *wc = arg;
	const struct wsdial_options *o = wc->env->o;

	wc->dial = NULL;
	if (st == DIAL_OK) {
		if (wc->deadline_ms != UINT64_MAX)
			loop_timer_arm(wc->env->loop, &wc->timer, wc->deadline_ms);
		wsdial_note_peer(wc, fd);
		wsdial_connect_on_fd(wc, fd);
		return;
	}
	if (o->unix_path != NULL)
		wsdial_connect_say(wc, "cannot connect to %s: %s", o->unix_path, why);
	else
		wsdial_connect_say(
		    wc, "cannot connect to %s port %u: %s", o->url.host, o->url.port, why);
	wsdial_connect_translate(wc);
	wsdial_connect_finish(wc, WSDIAL_FAILED);
}

/* 0, or -1 with wc->why. */
static int
wsdial_target(struct wsdial_connect *wc, struct addr *to)
{
	const struct wsdial_options *o = wc->env->o;
	const char *why;
	char text[300];

	if (o->unix_path != NULL)
		snprintf(text, sizeof(text), "unix:%s", o->unix_path);
	else
		snprintf(text, sizeof(text), strchr(o->url.host, ':') != NULL ? "[%s]:%u" : "%s:%u",
		    o->url.host, o->url.port);
	if (addr_parse(span_from_str(text), to, &why) == 0)
		return 0;
	wsdial_connect_say(wc, "%s: %s", text, why);
	return -1;
}

static void
wsdial_connect_dial(struct wsdial_connect *wc)
{
	uint64_t now = loop_now_ms(wc->env->loop), left = UINT64_MAX;
	struct addr to;

	wc->phase = WSDIAL_DIAL;
	if (wc->deadline_ms != UINT64_MAX)
		left = wc->deadline_ms > now ? wc->deadline_ms - now : 0;
	wsdial_connect_say(wc, "out of memory");
	if (wsdial_target(wc, &to) == -1 ||
	    (wc->dial = dial_start(wc->env->loop, wc->env->resolver, &to, false, left,
		 wsdial_on_dialled, wc)) == NULL)
		wsdial_connect_fail_later(wc);
}

static struct wsdial_connect *
wsdial_connect_new(const struct wsdial_env *env, void *arg)
{
	uint64_t now = loop_now_ms(env->loop), ms = env->o->timeout_ms;
	struct wsdial_connect *wc;

	if ((wc = mem_zalloc(sizeof(*wc))) == NULL)
		return NULL;
	if (ms == 0)
		ms = WSDIAL_HANDSHAKE_MS;
	wc->env = env;
	wc->arg = arg;
	wc->http = env->o->http;
	wc->timer.fn = wsdial_connect_on_timer;
	wc->deadline_ms = ms < UINT64_MAX - now ? now + ms : UINT64_MAX;
	buf_init(&wc->body, WSDIAL_BODY_MAX);
	return wc;
}

struct wsdial_connect *
wsdial_connect_start(const struct wsdial_env *env, wsdial_connect_fn *fn, void *arg)
{
	struct wsdial_connect *wc = wsdial_connect_new(env, arg);

	if (wc == NULL)
		return NULL;
	wc->fn = fn;
	wsdial_connect_dial(wc);
	return wc;
}

struct wsdial_connect *
wsdial_connect_start_raw(const struct wsdial_env *env, wsdial_connect_raw_fn *fn, void *arg)
{
	struct wsdial_connect *wc = wsdial_connect_new(env, arg);

	if (wc == NULL)
		return NULL;
	wc->raw = fn;
	wsdial_connect_dial(wc);
	return wc;
}
