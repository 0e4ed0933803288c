/*
 * The front of every connection from a client.  See http_server.h.
 *
 * A struct http_front lives from the accept to the moment when it is known
 * which version of HTTP is spoken: until the end of the TLS handshake, whose
 * ALPN tells, or in the clear, where HTTP2=yes, until the first bytes are the
 * HTTP/2 preface (RFC 9113 3.4) or differ from it.  Most become HTTP/1.1: so a
 * front stands in memory of that size, and what is only its own is beside it
 * (struct front_wait), and nothing has to move, in the event loop neither.
 *
 * Where ProxyProtocol=yes all of this comes behind a PROXY header.  Its bytes are looked at in the
 * socket, and only they are taken out of it: what follows may be TLS, which OpenSSL reads by
 * itself.
 *
 * Runs on one worker; called by the gateway and by io/transport; calls
 * h1_server and h2_server.  Invariant: in FRONT_PREFACE the bytes seen so far
 * are the first n of the preface, so they need not be kept.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/proxy_header.h"
#include "http/http_conn.h"
#include "io/tls.h"

static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define HTTP2_PREFACE_N (sizeof(http2_preface) - 1)

_Static_assert(HTTP2_PREFACE_N <= LOOP_HEADROOM, "the preface is put before the scratch");

enum front_state {
	FRONT_PROXY,   /* the PROXY header is awaited */
	FRONT_TLS,     /* the TLS handshake is under way */
	FRONT_PREFACE, /* the first bytes tell the version */
	FRONT_DEAD,    /* closed or handed over; freed at the turn's end */
};

/* What a PROXY header needs until it has come. */
struct front_proxy {
	struct tls_ctx *tls; /* ref; what comes then, NULL: the clear */
	struct proxy_reader reader;
};

/* The time limit, of what may become another object meanwhile. */
struct front_wait {
	struct loop_timer timer;
	struct http_front *f; /* borrowed: the owner */
};

struct http_front {
	struct http_conn c;	 /* first */
	struct front_wait *wait; /* owned */
	uint64_t deadline_ms;
	struct front_proxy *proxy; /* owned; in FRONT_PROXY only */
	uint8_t state;
	uint8_t n; /* bytes of the preface that came */
};

_Static_assert(sizeof(struct http_front) <= HTTP_CONN_ROOM, "HTTP/1.1 needs no more");

static struct http_front *
front_of_conn(struct http_conn *c)
{
	return (struct http_front *)(void *)c;
}

static struct http_front *
front_of_transport(struct transport *t)
{
	return (struct http_front *)(void *)((char *)t - offsetof(struct http_front, c.t));
}

void
http_conn_move(struct http_conn *dst, struct http_conn *src, const struct http_conn_ops *ops)
{
	*dst = *src;
	if ((*dst->prev = dst)->next != NULL)
		dst->next->prev = &dst->next;
	transport_move(&dst->t, &src->t, &ops->t);
}

void
http_conn_close(struct http_conn *c, bool reset)
{
	transport_close(&c->t, reset);
	if ((*c->prev = c->next) != NULL)
		c->next->prev = c->prev;
	c->list->handler->closed(c->list->handler->arg, http_conn_info(c));
	config_unref(c->config);
}

/* Nothing of a first request has come, and there is a drain. */
static bool
front_is_idle_in_drain(const struct http_front *f)
{
	return f->c.list->draining && f->n == 0 &&
	    (f->state == FRONT_PREFACE || (f->state == FRONT_PROXY && f->proxy->reader.n == 0));
}

/* When it is over if nothing (more) comes. */
static void
front_arm(struct http_front *f)
{
	uint64_t at_ms = loop_now_ms(f->c.t.loop) + HTTP_DRAIN_GRACE_MS;

	if (!front_is_idle_in_drain(f) || at_ms > f->deadline_ms)
		at_ms = f->deadline_ms;
	loop_timer_arm(f->c.t.loop, &f->wait->timer, at_ms);
}

static void
front_proxy_free(struct http_front *f)
{
	if (f->proxy == NULL)
		return;
	tls_ctx_unref(f->proxy->tls);
	loop_object_free_later(f->c.t.loop, f->proxy);
	f->proxy = NULL;
}

static void
front_wait_free(struct loop *loop, struct front_wait *wait)
{
	loop_timer_stop(loop, &wait->timer);
	loop_object_free_later(loop, wait);
}

static void
front_free(struct http_front *f)
{
	front_proxy_free(f);
	front_wait_free(f->c.t.loop, f->wait);
	f->state = FRONT_DEAD;
	loop_object_free_later(f->c.t.loop, f);
}

/* The end of a connection that never became more. */
static void
front_end(struct http_front *f, const char *why)
{
	if (f->state == FRONT_DEAD)
		return;
	if (why != NULL)
		f->c.list->handler->refused(
		    f->c.list->handler->arg, http_conn_info(&f->c), NULL, 0, why);
	http_conn_close(&f->c, false);
	front_free(f);
}

struct span
http_conn_date(struct http_conn *c)
{
	struct http_server_list *list = c->list;
	time_t now = time(NULL);
	char *p = list->date;

	if (list->date[0] == '\0' || now != list->date_at) {
		memcpy(p, HTTP_DATE_NAME, sizeof(HTTP_DATE_NAME) - 1);
		p += sizeof(HTTP_DATE_NAME) - 1;
		clock_http_date(now, p, sizeof(list->date) - sizeof(HTTP_DATE_NAME) + 1);
		memcpy(p + strlen(p), "\r\n", 3);
		list->date_at = now;
	}
	return span_from_str(list->date);
}

/*
 * Hand over what came: p[0..n).  Nobody is in FRONT_PROXY any more.  f may be another object then.
 */
static void
front_hand_over(struct http_front *f, bool http2, uint8_t *p, size_t n)
{
	struct front_wait *wait = f->wait;
	struct loop *loop = f->c.t.loop;

	if (http2 && h2_server_start(&f->c, f->deadline_ms, p, n) == 0)
		front_free(f);
	else if (!http2 && h1_server_become(&f->c, f->deadline_ms, p, n) == 0)
		front_wait_free(loop, wait);
	else
		front_end(f, "out of memory");
}

/* The handshake is over: ALPN decides (RFC 9113 3.2); without it HTTP/1.1 is spoken. */
static void
front_on_ready(struct transport *t)
{
	struct http_front *f = front_of_transport(t);

	front_hand_over(f, strcmp(transport_alpn(t), "h2") == 0, NULL, 0);
}

/*
 * Who the client is: the header's word counts when its sender is believed; and is there room for
 * it?  False: no.
 */
static bool
front_meet(struct http_front *f, const struct proxy_header *h)
{
	const struct http_handler *handler = f->c.list->handler;
	unsigned refuse;

	if (h->src.sa.sa_family != AF_UNSPEC &&
	    handler->believes(handler->arg, http_conn_info(&f->c))) {
		_Static_assert(sizeof(f->c.client) == sizeof(h->src), "the same addresses");
		memcpy(&f->c.client, &h->src, sizeof(f->c.client));
	}
	f->c.unannounced = false;
	if (f->c.refuse != 0)
		return true; /* it is told of another limit */
	refuse = handler->admit(handler->arg, http_conn_info(&f->c));
	if (http_refuses_in_silence(refuse))
		return false;
	f->c.counted = refuse == 0;
	f->c.refuse = (uint16_t)refuse;
	return true;
}

/* The PROXY header was taken: what it stood in front of. */
static void
front_announced(struct http_front *f, const struct proxy_header *h)
{
	struct tls_ctx *tls = f->proxy->tls;

	if (!front_meet(f, h)) {
		front_end(f, NULL);
		return;
	}
	if (tls != NULL && transport_start_tls(&f->c.t, tls) == -1) {
		front_end(f, "out of memory");
		return;
	}
	f->state = tls != NULL ? FRONT_TLS : FRONT_PREFACE;
	front_proxy_free(f);
	front_arm(f);
	if (f->state == FRONT_PREFACE && !f->c.listen->http2)
		front_hand_over(f, false, NULL, 0);
}

/* p[0..n) stands in the socket; what of it is the header's is taken. */
static void
front_feed_proxy(struct http_front *f, uint8_t *p, size_t n)
{
	struct proxy_header h;
	size_t used, got;
	enum proxy_header_status st = proxy_reader_feed(&f->proxy->reader, p, n, &used, &h);

	if (st == PROXY_HEADER_BAD) {
		front_end(f, f->proxy->reader.why);
		return;
	}
	if (transport_read(&f->c.t, p, used, &got, NULL) != IO_OK || got != used) {
		front_end(f, "connection error");
		return;
	}
	if (st == PROXY_HEADER_DONE)
		front_announced(f, &h);
}

static void
front_read_proxy(struct http_front *f)
{
	uint8_t *p = loop_scratch(f->c.t.loop);
	const char *why = "connection error";
	size_t n = 0;

	switch (transport_peek(&f->c.t, p, HTTP_HEAD_READ, &n, &why)) {
	case IO_OK:
		front_feed_proxy(f, p, n);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		front_end(f, "the peer left before its end");
		break;
	case IO_ERROR:
		front_end(f, why);
		break;
	}
}

/* The bytes at p..p+n come behind the f->n that were seen. */
static void
front_feed(struct http_front *f, uint8_t *p, size_t n)
{
	size_t want = HTTP2_PREFACE_N - f->n, cmp = n < want ? n : want;
	bool same = memcmp(p, http2_preface + f->n, cmp) == 0;

	if (same && n < want) {
		f->n = (uint8_t)(f->n + n);
		front_arm(f);
		return;
	}
	/* What was seen before goes in front again: into the scratch's headroom. */
	p -= f->n;
	memcpy(p, http2_preface, f->n);
	front_hand_over(f, same, p, n + f->n);
}

static void
front_on_readable(struct transport *t)
{
	struct http_front *f = front_of_transport(t);
	uint8_t *p = loop_scratch(t->loop);
	const char *why = "connection error";
	size_t n = 0;

	if (f->state == FRONT_PROXY) {
		front_read_proxy(f);
		return;
	}
	switch (transport_read(t, p, HTTP_HEAD_READ, &n, &why)) {
	case IO_OK:
		front_feed(f, p, n);
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		front_end(f, f->n > 0 ? "the client left within the request head" : NULL);
		break;
	case IO_ERROR:
		front_end(f, f->n > 0 ? why : NULL);
		break;
	}
}

/* Whether the end of such a connection is worth a word. */
static bool
front_is_told(const struct http_front *f)
{
	return f->state == FRONT_PROXY || f->state == FRONT_TLS || f->n > 0;
}

static void
front_on_failed(struct transport *t, const char *why)
{
	struct http_front *f = front_of_transport(t);

	front_end(f, front_is_told(f) ? why : NULL);
}

static void
front_on_drained(struct transport *t)
{
	(void)t; /* nothing was written but by TLS */
}

static void
front_on_timer(struct loop_timer *timer)
{
	struct http_front *f = ((struct front_wait *)(void *)timer)->f;
	uint8_t *p = loop_scratch(f->c.t.loop);

	if (front_is_idle_in_drain(f)) {
		front_end(f, NULL);
		return;
	}
	if (f->state == FRONT_TLS || f->state == FRONT_PROXY) {
		front_end(f,
		    f->state == FRONT_TLS ? "TLS handshake not complete in time"
					  : "it was not complete in time");
		return;
	}
	/* HTTP/1.1 has an answer for this. */
	memcpy(p, http2_preface, f->n);
	front_hand_over(f, false, p, f->n);
}

static void
front_retire(struct http_conn *c)
{
	struct http_front *f = front_of_conn(c);

	c->retired = true;
	/*
	 * Nothing is taken from a client whose first request is on its way: a reload leaves it
	 * alone, a drain gives it the time of a round trip.
	 */
	front_arm(f);
}

static void
front_abort(struct http_conn *c, const char *why)
{
	struct http_front *f = front_of_conn(c);

	front_end(f, front_is_told(f) ? why : NULL);
}

static const struct http_conn_ops front_ops = {
	.t = {
		.ready = front_on_ready,
		.readable = front_on_readable,
		.drained = front_on_drained,
		.failed = front_on_failed,
	},
	.retire = front_retire,
	.abort = front_abort,
};

static void
front_set_client(struct http_conn *c, const struct http_accepted *a)
{
	c->client.sa.sa_family = AF_UNIX;
	if (a->peer.ss_family == AF_INET && a->peer_len >= sizeof(c->client.in))
		memcpy(&c->client.in, &a->peer, sizeof(c->client.in));
	else if (a->peer.ss_family == AF_INET6 && a->peer_len >= sizeof(c->client.in6))
		memcpy(&c->client.in6, &a->peer, sizeof(c->client.in6));
}

const struct stream_info *
http_conn_info(struct http_conn *c)
{
	static const char *const versions[] = { "1.0", "1.1", "2" };
	struct stream_info *info = &c->list->info;

	info->config = c->config;
	info->listen = c->listen;
	info->connection_id = c->id;
	info->stream_id = 0;
	info->client = &c->client.sa;
	info->refused = c->refuse != 0;
	info->http = versions[c->version];
	info->tls = c->t.handshaking ? NULL : transport_tls_version(&c->t);
	info->alpn = info->tls != NULL ? transport_alpn(&c->t) : "";
	info->conn = c;
	info->counted = c->counted;
	info->unannounced = c->unannounced;
	return info;
}

void
http_server_local(const struct stream_info *info, struct sockaddr_storage *out)
{
	transport_local(&info->conn->t, out);
}

/* What comes first: with a PROXY header the TLS handshake waits for it.  0 or -1 without memory. */
static int
front_begin(struct http_front *f, struct loop *loop, const struct http_accepted *a)
{
	bool proxied = a->listen->proxy_protocol;

	if (transport_start(&f->c.t, loop, &front_ops.t, a->fd, proxied ? NULL : a->tls) == -1)
		return -1;
	f->state = proxied ? FRONT_PROXY : a->tls != NULL ? FRONT_TLS : FRONT_PREFACE;
	f->c.unannounced = proxied;
	if (!proxied) {
		tls_ctx_unref(a->tls);
		return 0;
	}
	if ((f->proxy = loop_object(loop, sizeof(*f->proxy))) == NULL) {
		transport_close(&f->c.t, false);
		return -1;
	}
	f->proxy->tls = a->tls;
	proxy_reader_init(&f->proxy->reader);
	return 0;
}

int
http_server_start(struct loop *loop, struct http_server_list *list, const struct http_accepted *a)
{
	struct http_front *f = loop_object(loop, HTTP_CONN_ROOM);
	struct front_wait *wait = loop_object(loop, sizeof(*wait));

	if (f == NULL || wait == NULL) {
		close(a->fd);
		goto fail;
	}
	if (front_begin(f, loop, a) == -1)
		goto fail;
	f->wait = wait;
	wait->f = f;
	wait->timer.fn = front_on_timer;
	f->c.list = list;
	f->c.config = a->config;
	f->c.listen = a->listen;
	f->c.id = a->connection_id;
	f->c.version = HTTP_1_1;
	f->c.refuse = (uint16_t)a->refuse;
	f->c.counted = a->counted;
	f->c.retired = list->draining;
	front_set_client(&f->c, a);
	if ((f->c.next = list->first) != NULL)
		f->c.next->prev = &f->c.next;
	f->c.prev = &list->first;
	list->first = &f->c;
	f->deadline_ms = loop_now_ms(loop) + a->config->server.handshake_timeout_ms;
	front_arm(f);
	if (f->state == FRONT_PREFACE && !a->listen->http2)
		front_hand_over(f, false, NULL, 0);
	return 0;
fail:
	loop_object_free_later(loop, f);
	loop_object_free_later(loop, wait);
	tls_ctx_unref(a->tls);
	config_unref(a->config);
	return -1;
}

void
http_server_drain(struct http_server_list *list)
{
	struct http_conn *c, *next;

	list->draining = true;
	for (c = list->first; c != NULL; c = next) {
		next = c->next;
		http_conn_ops(c)->retire(c);
	}
}

void
http_server_retire(struct http_server_list *list, const struct config *current)
{
	struct http_conn *c, *next;

	for (c = list->first; c != NULL; c = next) {
		next = c->next;
		if (c->config != current)
			http_conn_ops(c)->retire(c);
	}
}

void
http_server_abort_all(struct http_server_list *list)
{
	struct http_conn *c, *next;

	for (c = list->first; c != NULL; c = next) {
		next = c->next;
		http_conn_ops(c)->abort(c, "the gateway ends");
	}
}
