/* WebSockets between two streams of the test.  See unit_ws.h. */
#include "unit_ws.h"

#include "codec/ws_utf8.h"
#include "gateway/ws.h"

struct uw uw;

/* ---- the fake streams */

static struct uw_fake *
fake_of(const struct stream *s)
{
	return (struct uw_fake *)(uintptr_t)s;
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
	struct uw_fake *f = fake_of(s);

	ck_assert(!f->closed && !f->aborted && !f->ended);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_le(f->n + iov[i].iov_len, UW_OUT_MAX);
		memcpy(f->out + f->n, iov[i].iov_base, iov[i].iov_len);
		f->n += iov[i].iov_len;
		f->queued += f->slow ? iov[i].iov_len : 0;
	}
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
	(void)s;
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
	return &uw.info;
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
fake_init(struct uw_fake *f)
{
	memset(&f->s, 0, sizeof(f->s));
	f->s.ops = &fake_ops;
	f->n = f->queued = 0;
	f->slow = false;
	f->ended = f->closed = f->aborted = false;
}

void
uw_give(struct uw_fake *f, const void *p, size_t n)
{
	uint8_t *to = loop_scratch(uw.loop);

	if (f->s.ev == NULL || n == 0)
		return;
	ck_assert_uint_gt(f->s.ev->budget(&f->s), 0);
	memcpy(to, p, n);
	f->s.ev->bytes(&f->s, to, n);
}

void
uw_give_end(struct uw_fake *f)
{
	if (f->s.ev != NULL)
		f->s.ev->end(&f->s);
}

void
uw_give_reset(struct uw_fake *f)
{
	const struct stream_events *ev = f->s.ev;

	f->s.ev = NULL;
	ev->reset(&f->s, STREAM_E_PEER, "reset by the test");
}

/* ---- the WebSocket between them */

static void
on_closed(void *arg, const struct stream_info *info)
{
	(void)arg;
	(void)info;
}

static void
uw_setup_text(const char *text)
{
	memset(&uw, 0, sizeof(uw));
	uw.env.closed = on_closed;
	unit_config_good(&uw.uc, text);
	ck_assert_ptr_nonnull(uw.loop = loop_new());
	ck_assert_ptr_nonnull(uw.env.counters = counters_new(1));
	ck_assert_int_eq(counters_attach(uw.env.counters, uw.uc.c), 0);
	ck_assert_ptr_nonnull(uw.log = log_new("/dev/null", LOG_L_DEBUG, LOG_F_TEXT));
	uw.env.loop = uw.loop;
	uw.env.log = uw.env.access = uw.log;
	uw.env.deflate_memory = &uw.deflate_memory;
	ck_assert_ptr_nonnull(uw.gw = gateway_new(&uw.env));
	uw.peer.sin_family = AF_INET;
	uw.info.config = uw.uc.c;
	uw.info.listen = &uw.uc.c->listen[0];
	uw.info.client = (const struct sockaddr *)&uw.peer;
	uw.info.http = "1.1";
}

void
uw_setup(const char *route, const char *backend)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "[websocket]\nKeepAliveInterval=0\nBufferLimit=4K\n"
	    "[route w]\nPath=/\nAction=forward\nBackend=b\n%s\n"
	    "[backend b]\nAddress=unix:/nowhere\n%s\n",
	    route, backend);
	uw_setup_text(text);
}

void
uw_setup_echo(const char *route)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "[websocket]\nKeepAliveInterval=0\nBufferLimit=4K\n"
	    "[route w]\nPath=/\nAction=echo\n%s\n",
	    route);
	uw_setup_text(text);
	uw.echo = true;
}

void
uw_clear(void)
{
	unit_loop_turns(uw.loop, 1);
	gateway_free(uw.gw);
	loop_free(uw.loop);
	log_free(uw.log);
	unit_config_clear(&uw.uc);
	counters_free(uw.env.counters);
}

int
uw_try_open(struct stream *app)
{
	struct http_head head = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/") };
	struct stream_request r = { .head = &head, .ws = WS_REQUEST_OK };
	struct session ss;

	fake_init(&uw.client);
	fake_init(&uw.app);
	memset(&ss, 0, sizeof(ss));
	session_init(&ss, uw.gw, SESSION_FORWARD, &uw.client.s, &r, &uw.uc.c->route[0]);
	if (ws_start(&ss, uw.echo ? NULL : app != NULL ? app : &uw.app.s, uw.ext) == 0)
		return 0;
	session_clear(&ss);
	return -1;
}

void
uw_open(void)
{
	ck_assert_int_eq(uw_try_open(NULL), 0);
}

void
uw_drop(void)
{
	if (uw.client.s.ev != NULL)
		uw_give_reset(&uw.client);
	ck_assert(uw.client.s.ev == NULL && uw.app.s.ev == NULL);
	ck_assert_ptr_null(uw.gw->sessions);
	unit_loop_turns(uw.loop, 1);
}

/* ---- what the client says and hears */

struct uw_said uw_said;

void
uw_say(uint8_t first, const char *payload)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	size_t n = strlen(payload);

	uw_said.n += ws_frame_write(uw_said.p + uw_said.n, first, n, mask);
	for (size_t i = 0; i < n; i++)
		uw_said.p[uw_said.n++] = (uint8_t)payload[i] ^ mask[i % 4];
}

const char *
uw_heard(bool joined)
{
	static char text[2 * UW_OUT_MAX];
	static uint8_t message[UW_OUT_MAX];
	size_t at = 0, n = 0, m = 0;
	uint8_t opcode = 0, state = WS_UTF8_START;
	bool closed = false;
	struct ws_frame f;

	while (at < uw.client.n) {
		const uint8_t *p;

		ck_assert_int_eq(
		    ws_frame_read(uw.client.out + at, uw.client.n - at, &f), WS_FRAME_OK);
		p = uw.client.out + at + f.header_n;
		at += f.header_n + (size_t)f.length;
		ck_assert(at <= uw.client.n && !f.masked && !closed);
		if (f.opcode == WS_PONG) {
			n += (size_t)sprintf(text + n, "[%.*s]", (int)f.length, (const char *)p);
			continue;
		}
		if (f.opcode == WS_CLOSE) {
			closed = true;
			n += (size_t)sprintf(text + n, "<%d>", f.length < 2 ? 0 : p[0] << 8 | p[1]);
			continue;
		}
		ck_assert_int_eq(f.opcode == WS_CONT, opcode != 0);
		opcode = f.opcode == WS_CONT ? opcode : f.opcode;
		memcpy(message + m, p, f.length);
		m += f.length;
		if (!f.fin)
			continue;
		if (opcode == WS_TEXT)
			ck_assert(ws_utf8_feed(&state, message, m) && state == WS_UTF8_START);
		if (!joined)
			n += (size_t)sprintf(text + n, "%c(", opcode == WS_TEXT ? 'T' : 'B');
		memcpy(text + n, message, m);
		n += m;
		if (!joined)
			text[n++] = ')';
		m = opcode = 0;
	}
	text[n] = '\0';
	return text;
}
