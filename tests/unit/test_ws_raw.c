/*
 * Unit tests of src/gateway/ws_raw.c: WebSockets to applications that know
 * none, between two streams of this file's own.
 *
 * What the client gets is read as frames, what the application gets is bytes;
 * each input is given whole, in every split in two, byte by byte, and with
 * the n-th allocation failing.  Packets go through the real connection
 * (http/raw_client.c) on a socket pair.
 */
#include "base/mem.h"
#include "codec/ws_mask.h"
#include "codec/ws_msg.h"
#include "gateway/ws.h"
#include "http/raw_client.h"
#include "unit_config.h"
#include "unit_io.h"

#define IN_MAX 4096
#define STR(s) s, sizeof(s) - 1

/* A stream of the test. */
struct fake {
	struct stream s;
	struct buf out; /* what was written to it */
	size_t queued;	/* what stream_queued says */
	unsigned held;	/* how often it became held */
	bool ended, closed, aborted;
};

static struct {
	struct loop *loop;
	struct log *log;
	struct gateway *gw;
	struct unit_config uc;
	struct stream_info info;
	struct sockaddr_in peer;
	struct fake client, app;
	bool real_app; /* the application's stream is not the fake */
	bool started;
} g;

/* ---- the fake streams */

static struct fake *
fake_of(const struct stream *s)
{
	return (struct fake *)(uintptr_t)s;
}

static int
fake_respond(struct stream *s, const struct stream_response *r)
{
	(void)s;
	(void)r;
	return 0;
}

static int
fake_accept(struct stream *s, const struct http_field *field, size_t n)
{
	(void)s;
	(void)field;
	(void)n;
	return 0;
}

static int
fake_write(struct stream *s, const struct iovec *iov, int n)
{
	struct fake *f = fake_of(s);

	ck_assert(!f->closed && !f->aborted && !f->ended);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(buf_append(&f->out, iov[i].iov_base, iov[i].iov_len), 0);
	return 0;
}

static void
fake_end(struct stream *s)
{
	fake_of(s)->ended = true;
}

static void
fake_close(struct stream *s, uint64_t linger_ms)
{
	(void)linger_ms;
	ck_assert(!fake_of(s)->closed && !fake_of(s)->aborted);
	fake_of(s)->closed = true;
}

static void
fake_abort(struct stream *s)
{
	ck_assert(!fake_of(s)->closed && !fake_of(s)->aborted);
	fake_of(s)->aborted = true;
}

static void
fake_flow(struct stream *s)
{
	fake_of(s)->held += s->holds != 0;
}

static size_t
fake_queued(const struct stream *s)
{
	return fake_of(s)->queued;
}

static const struct stream_info *
fake_info(const struct stream *s)
{
	(void)s;
	return &g.info;
}

static const struct stream_ops fake_ops = {
	.respond = fake_respond,
	.accept = fake_accept,
	.write = fake_write,
	.end = fake_end,
	.close = fake_close,
	.abort = fake_abort,
	.flow = fake_flow,
	.queued = fake_queued,
	.info = fake_info,
};

static void
fake_clear(struct fake *f)
{
	buf_clear(&f->out);
	memset(f, 0, sizeof(*f));
	f->s.ops = &fake_ops;
	buf_init(&f->out, 1 << 20);
}

/* ---- the WebSocket between them */

static void
on_closed(void *arg, const struct stream_info *info)
{
	(void)arg;
	(void)info;
}

/* A gateway whose only route has this [backend], and these keys. */
static void
setup_gateway(const char *backend, const char *route)
{
	struct gateway_env env = { .closed = on_closed };
	char text[512];

	memset(&g, 0, sizeof(g));
	snprintf(text, sizeof(text),
	    "[websocket]\nKeepAliveInterval=0\n[route w]\nPath=/\nAction=forward\nBackend=b\n%s\n"
	    "[backend b]\nAddress=unix:/nowhere\n%s\n",
	    route, backend);
	unit_config_good(&g.uc, text);
	ck_assert_ptr_nonnull(g.loop = loop_new());
	ck_assert_ptr_nonnull(g.log = log_new("/dev/null", LOG_L_DEBUG, LOG_F_TEXT));
	env.loop = g.loop;
	env.log = env.access = g.log;
	ck_assert_ptr_nonnull(g.gw = gateway_new(&env));
	g.peer.sin_family = AF_INET;
	g.info.config = g.uc.c;
	g.info.listen = &g.uc.c->listen[0];
	g.info.client = (const struct sockaddr *)&g.peer;
	g.info.http = "1.1";
}

static void
clear_gateway(void)
{
	unit_loop_turns(g.loop, 1);
	fake_clear(&g.client);
	fake_clear(&g.app);
	gateway_free(g.gw);
	loop_free(g.loop);
	log_free(g.log);
	unit_config_clear(&g.uc);
}

/* Open the WebSocket; app: the stream to the application, NULL is the fake one.  -1 without memory. */
static int
try_open(struct stream *app)
{
	struct http_head head = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/") };
	struct stream_request r = { .head = &head, .ws = WS_REQUEST_OK };
	struct session ss;

	fake_clear(&g.client);
	fake_clear(&g.app);
	memset(&ss, 0, sizeof(ss));
	session_init(&ss, g.gw, SESSION_FORWARD, &g.client.s, &r, &g.uc.c->route[0]);
	if (ws_start(&ss, app != NULL ? app : &g.app.s) == -1) {
		session_clear(&ss);
		return -1;
	}
	return 0;
}

static void
open_ws(struct stream *app)
{
	ck_assert_int_eq(try_open(app), 0);
}

/* Bytes come up from a stream, standing where a read puts them. */
static void
give(struct fake *f, const void *p, size_t n)
{
	uint8_t *to = loop_scratch(g.loop);

	if (f->s.ev == NULL || f->ended_by_peer)
		return;
	memcpy(to, p, n);
	f->s.ev->bytes(&f->s, to, n);
}
