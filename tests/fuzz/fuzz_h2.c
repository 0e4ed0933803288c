/*
 * Fuzzes the HTTP/2 server (src/http/h2_*.c, http_server.c) over a socketpair: what a client may
 * send, and what a user of its streams may do, in any order.
 *
 * Input: a byte whose lowest bit says whether the preface is left out, then operations: a byte
 * that says which, and its arguments (see operation).  Oracles: the rules of the seam
 * (http/stream.h) as seen by the user, and of what comes out: whole frames, SETTINGS first, none
 * larger than 16 KiB, no stream that the client did not open, no HEADERS or DATA behind
 * END_STREAM or RST_STREAM, no DATA past the client's windows.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "config/config.h"
#include "http/http_server.h"
#include "http/reply.h"
#include "io/loop.h"
#include "oracle.h"
#include "turns.h"

#define H2_USERS 16
#define H2_IDS 256		 /* streams whose state is followed */
#define H2_QUEUE_MAX (256 << 10) /* what a user lets wait */

enum h2_mode { MODE_ECHO, MODE_LENGTH, MODE_EOF, MODE_REFUSE, MODE_ABORT, MODE_SILENT, MODES };

struct h2_user {
	struct stream *s; /* NULL: free */
	size_t budget;	  /* what it said last */
	bool asked, ended, accepted, responded, length, done;
	size_t left;
};

struct h2_seen {
	bool headers, over;
	int64_t window; /* what the client lets us send */
};

static struct {
	struct loop *loop;
	struct config config;
	struct config_listen listen;
	struct config_route route;
	struct http_server_list list;
	struct h2_user user[H2_USERS];
	struct h2_seen seen[H2_IDS];
	int64_t connection_window, initial_window;
	uint8_t out[64 << 10];
	size_t out_n;
	unsigned n_closed;
	enum h2_mode mode;
	size_t budget;
	bool settings_seen, goaway_seen, windows_known;
	int fd;
} h2;

/* ---- the user of the streams */

static struct h2_user *
user_of(struct stream *s)
{
	return s->user;
}

static void
user_forget(struct h2_user *u)
{
	memset(u, 0, sizeof(*u));
}

static void
user_write(struct h2_user *u, const void *p, size_t n)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)p, n / 2 },
		{ (uint8_t *)(uintptr_t)p + n / 2, n - n / 2 } };

	if (u->done || stream_queued(u->s) > H2_QUEUE_MAX)
		return;
	if (u->length && n > u->left)
		n = u->left;
	iov[0].iov_len = n / 2;
	iov[1].iov_base = (uint8_t *)(uintptr_t)p + n / 2;
	iov[1].iov_len = n - n / 2;
	if (stream_write(u->s, iov, 2) == 0 && u->length)
		u->left -= n;
}

static void
user_bytes(struct stream *s, uint8_t *p, size_t n)
{
	struct h2_user *u = user_of(s);

	ORACLE(u->s == s);
	ORACLE(s->holds == 0);
	ORACLE(!u->ended);
	ORACLE(n > 0);
	ORACLE(u->asked && n <= u->budget);
	u->asked = false;
	memset(p, 'x', n); /* it may be written into */
	if (u->accepted)
		user_write(u, p, n);
	if (stream_queued(s) > 8192)
		stream_hold(s, STREAM_HOLD_PEER);
}

static void
user_room(struct stream *s)
{
	ORACLE(user_of(s)->s == s);
	ORACLE(stream_queued(s) == 0);
	stream_release(s, STREAM_HOLD_PEER);
}

static void
user_end(struct stream *s)
{
	struct h2_user *u = user_of(s);

	ORACLE(u->s == s);
	ORACLE(s->holds == 0);
	ORACLE(!u->ended);
	u->ended = true;
}

static void
user_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)e;
	ORACLE(user_of(s)->s == s);
	ORACLE(why != NULL);
	user_forget(user_of(s));
}

static size_t
user_budget(struct stream *s)
{
	struct h2_user *u = user_of(s);

	ORACLE(u->s == s);
	u->asked = true;
	u->budget = h2.budget;
	return u->budget;
}

static const struct stream_events user_events = {
	.bytes = user_bytes,
	.room = user_room,
	.end = user_end,
	.reset = user_reset,
	.budget = user_budget,
};

static void
user_respond(struct h2_user *u, bool length)
{
	static const struct http_field field = { SPAN_LIT("X-Field"), SPAN_LIT("value") };
	struct stream_response r = { .status = 200,
		.field = &field,
		.n_fields = 1,
		.body = length ? HTTP_BODY_LENGTH : HTTP_BODY_EOF,
		.content_length = 20000 };

	if (u->responded || u->accepted)
		return;
	u->responded = true;
	u->length = length;
	u->left = 20000;
	stream_respond(u->s, &r);
}

static void
user_close(struct h2_user *u)
{
	struct stream *s = u->s;

	user_forget(u);
	stream_close(s, 1);
}

static void
on_request(void *arg, struct stream *s, const struct stream_request *r)
{
	static const char body[20000];
	struct h2_user *u = NULL;

	(void)arg;
	ORACLE(http_is_token(r->head->method));
	/* HTTP/1.0 may leave it out. */
	ORACLE(http_is_authority(r->head->authority) || stream_info(s)->http[2] == '0');
	ORACLE(r->head->path.n > 0 && (r->head->path.p[0] == '/' || r->head->path.p[0] == '*'));
	for (size_t i = 0; i < r->head->n_fields; i++) {
		ORACLE(http_is_token(r->head->field[i].name));
		ORACLE(http_is_field_value(r->head->field[i].value));
	}
	ORACLE(stream_info(s)->http[0] != '\0');
	for (size_t i = 0; i < H2_USERS && u == NULL; i++)
		if (h2.user[i].s == NULL)
			u = &h2.user[i];
	if (u == NULL || h2.mode == MODE_REFUSE) {
		reply_send(s, REPLY_NO_ROUTE, false, "refused");
		return;
	}
	u->s = s;
	stream_attach(s, &user_events, u);
	switch (h2.mode) {
	case MODE_ECHO:
		u->accepted = r->ws == WS_REQUEST_OK && stream_accept(s, NULL, 0) == 0;
		break;
	case MODE_LENGTH:
		user_respond(u, true);
		user_write(u, body, sizeof(body));
		user_close(u);
		break;
	case MODE_EOF:
		user_respond(u, false);
		user_write(u, body, 100);
		break;
	case MODE_ABORT:
		user_forget(u);
		stream_abort(s);
		break;
	case MODE_REFUSE:
	case MODE_SILENT:
	case MODES:
		break;
	}
}

static void
on_refused(void *arg, const struct stream_info *info, const struct stream_request *r,
    unsigned status, const char *why)
{
	(void)arg;
	(void)r;
	ORACLE(info->listen == &h2.listen);
	ORACLE(status == 0 || (status >= 400 && status < 600));
	ORACLE(why != NULL);
}

static void
on_broken(void *arg, const struct stream_info *info, const char *why)
{
	(void)arg;
	(void)info;
	ORACLE(why != NULL && why[0] != '\0');
}

static void
on_closed(void *arg, const struct stream_info *info)
{
	(void)arg;
	(void)info;
	h2.n_closed++;
	for (size_t i = 0; i < H2_USERS; i++)
		ORACLE(h2.user[i].s == NULL); /* each was told before */
}

/* ---- what comes out */

static void
out_frame(const uint8_t *f, size_t n)
{
	uint32_t id = ((uint32_t)f[5] << 24 | (uint32_t)f[6] << 16 | (uint32_t)f[7] << 8 | f[8]);
	struct h2_seen *seen = id < H2_IDS ? &h2.seen[id] : NULL;

	ORACLE(n <= 16384);
	ORACLE((id & 0x80000000) == 0);
	if (!h2.settings_seen)
		ORACLE(f[3] == 4 && (f[4] & 1) == 0); /* the server's preface */
	h2.settings_seen = true;
	switch (f[3]) {
	case 0:
	case 1:
		ORACLE(id % 2 == 1);
		if (seen == NULL)
			break;
		ORACLE(!seen->over);
		ORACLE(f[3] == 1 || seen->headers);
		seen->headers = true;
		if (f[3] == 0 && h2.windows_known) {
			seen->window -= (int64_t)n;
			h2.connection_window -= (int64_t)n;
			ORACLE(n == 0 || (seen->window >= 0 && h2.connection_window >= 0));
		}
		seen->over = (f[4] & 1) != 0;
		break;
	case 3:
		ORACLE(id != 0 && n == 4);
		if (seen != NULL)
			seen->over = true;
		break;
	case 4:
	case 6:
		ORACLE(id == 0);
		break;
	case 7:
		ORACLE(id == 0 && n >= 8);
		h2.goaway_seen = true;
		break;
	case 8:
		ORACLE(n == 4);
		ORACLE((f[9] | f[10] | f[11] | f[12]) != 0);
		break;
	case 9:
		break;
	default:
		ORACLE(0);
	}
}

/* Take what has come out; HTTP/1.1 answers, where the preface was none, are not looked at. */
static void
out_read(bool http2)
{
	size_t at, n;
	ssize_t got;

	while (
	    (got = recv(h2.fd, h2.out + h2.out_n, sizeof(h2.out) - h2.out_n, MSG_DONTWAIT)) > 0) {
		h2.out_n += (size_t)got;
		if (!http2) {
			h2.out_n = 0;
			continue;
		}
		for (at = 0; h2.out_n - at >= 9; at += 9 + n) {
			n = (size_t)h2.out[at] << 16 | (size_t)h2.out[at + 1] << 8 | h2.out[at + 2];
			ORACLE(n <= 16384);
			if (h2.out_n - at < 9 + n)
				break;
			out_frame(h2.out + at, n);
		}
		memmove(h2.out, h2.out + at, h2.out_n - at);
		h2.out_n -= at;
	}
}

/* ---- running */

/* Send bytes and let them be looked at; what the socket does not take is lost. */
static void
client_send(const void *p, size_t n)
{
	if (h2.fd == -1 || n == 0)
		return;
	(void)!send(h2.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
client_frame(uint8_t type, uint8_t flags, uint32_t id, const uint8_t *p, size_t n)
{
	uint8_t f[9 + 512];

	if (n > 512)
		n = 512;
	f[0] = 0;
	f[1] = (uint8_t)(n >> 8);
	f[2] = (uint8_t)n;
	f[3] = type;
	f[4] = flags;
	f[5] = (uint8_t)(id >> 24);
	f[6] = (uint8_t)(id >> 16);
	f[7] = (uint8_t)(id >> 8);
	f[8] = (uint8_t)id;
	if (n > 0)
		memcpy(f + 9, p, n);
	client_send(f, 9 + n);
	/*
	 * Windows that the input opens are followed roughly: only as long as it leaves them
	 * alone.
	 */
	if (type == 4 || type == 8)
		h2.windows_known = false;
}

static size_t
put_literal(uint8_t *b, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);

	b[0] = 0;
	b[1] = (uint8_t)n;
	memcpy(b + 2, name, n);
	b[2 + n] = (uint8_t)v;
	memcpy(b + 3 + n, value, v);
	return 3 + n + v;
}

/* A good request, by its kind; the rest of the input may add a field of any bytes. */
static void
client_request(uint8_t kind, uint32_t id, uint8_t flags)
{
	static const char *const methods[] = { "GET", "POST", "HEAD", "CONNECT" };
	uint8_t b[512];
	size_t n = 0;

	n += put_literal(b + n, ":method", methods[kind & 3]);
	if ((kind & 3) == 3)
		n += put_literal(b + n, ":protocol", "websocket");
	n += put_literal(b + n, ":scheme", "http");
	n += put_literal(b + n, ":path", "/x?y");
	n += put_literal(b + n, ":authority", "localhost");
	if ((kind & 3) == 3)
		n += put_literal(b + n, "sec-websocket-version", "13");
	if ((kind & 4) != 0)
		n += put_literal(b + n, "content-length", "5");
	client_frame(1, flags, id, b, n);
}

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t
take(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static void
user_operation(struct input *in)
{
	static const char body[9000];
	uint8_t which = take(in), arg = take(in);
	struct h2_user *u = &h2.user[arg % H2_USERS];
	struct stream *s = u->s;

	if (s == NULL)
		return;
	switch (which % 9) {
	case 0:
		stream_hold(s, STREAM_HOLD_RATE);
		break;
	case 1:
		stream_release(s, STREAM_HOLD_RATE);
		break;
	case 2:
		user_respond(u, false);
		user_write(u, body, (size_t)arg * 35);
		break;
	case 3:
		u->done = true;
		stream_end(s);
		break;
	case 4:
		user_close(u);
		break;
	case 5:
		user_forget(u);
		stream_abort(s);
		break;
	case 6:
		user_respond(u, true);
		user_write(u, body, sizeof(body));
		break;
	case 7:
		if (!u->responded && !u->accepted)
			stream_inform(s, 103, NULL, 0);
		break;
	case 8:
		stream_release(s, STREAM_HOLD_PEER);
		break;
	}
}

static void
operation(struct input *in, bool http2)
{
	uint8_t type, flags, id, n;

	switch (take(in) % 10) {
	case 0:
	case 1:
	case 2:
		type = take(in);
		flags = take(in);
		id = take(in);
		n = take(in);
		if (n > in->n)
			n = (uint8_t)in->n;
		client_frame(type % 12, flags, id, in->p, n);
		in->p += n;
		in->n -= n;
		break;
	case 3:
		n = take(in);
		if (n > in->n)
			n = (uint8_t)in->n;
		client_send(in->p, n);
		in->p += n;
		in->n -= n;
		h2.windows_known = false;
		break;
	case 4:
	case 5:
		type = take(in);
		id = take(in);
		client_request(type, id | 1u, take(in) & 0x2d);
		break;
	case 6:
		user_operation(in);
		break;
	case 7:
		h2.mode = take(in) % MODES;
		break;
	case 8:
		n = take(in);
		h2.budget = n < 10 ? n : n == 255 ? 1 << 20 : (size_t)n * 16;
		break;
	case 9:
		n = take(in);
		if (n == 255)
			http_server_drain(&h2.list);
		fuzz_turns(h2.loop, 1 + n % 4u);
		out_read(http2);
		break;
	}
}

static const struct http_handler handler = {
	.request = on_request,
	.refused = on_refused,
	.broken = on_broken,
	.closed = on_closed,
};

int LLVMFuzzerInitialize(int *argc, char ***argv);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	ORACLE((h2.loop = loop_new()) != NULL);
	h2.listen.name = (char *)(uintptr_t) "fuzz";
	h2.listen.http2 = true;
	h2.listen.max_streams = 8;
	h2.listen.idle_connection_timeout_ms = 60000;
	h2.route.action = CONFIG_ACTION_ECHO;
	h2.route.ws.buffer_limit = 8192;
	h2.config.refs = 1000000000; /* never freed */
	h2.config.server.handshake_timeout_ms = 60000;
	h2.config.listen = &h2.listen;
	h2.config.n_listen = 1;
	h2.config.route = &h2.route;
	h2.config.n_route = 1;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct http_accepted a = { .config = &h2.config, .listen = &h2.listen };
	struct input in = { data, size };
	bool http2 = (take(&in) & 1) == 0;
	int fd[2], i;

	memset(&h2.list, 0, sizeof(h2.list));
	memset(h2.user, 0, sizeof(h2.user));
	memset(h2.seen, 0, sizeof(h2.seen));
	h2.list.handler = &handler;
	h2.out_n = 0;
	h2.n_closed = 0;
	h2.mode = MODE_ECHO;
	h2.budget = 8192;
	h2.settings_seen = h2.goaway_seen = false;
	h2.windows_known = true;
	h2.connection_window = 65535;
	for (i = 0; i < H2_IDS; i++)
		h2.seen[i].window = 65535;
	ORACLE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	h2.fd = fd[0];
	a.fd = fd[1];
	config_ref(&h2.config);
	ORACLE(http_server_start(h2.loop, &h2.list, &a) == 0);
	if (http2)
		client_send(preface, sizeof(preface) - 1);
	while (in.n > 0)
		operation(&in, http2);
	fuzz_turns(h2.loop, 3);
	out_read(http2);
	/* The end: the users leave, then the client does, or the gateway ends. */
	for (i = 0; i < H2_USERS; i++)
		if (h2.user[i].s != NULL && size % 3 == 0)
			user_close(&h2.user[i]);
	fuzz_turns(h2.loop, 2);
	if (size % 2 == 0) {
		close(h2.fd);
		h2.fd = -1;
		fuzz_turns(h2.loop, 3);
	}
	http_server_abort_all(&h2.list);
	fuzz_turns(h2.loop, 2);
	ORACLE(h2.n_closed == 1);
	ORACLE(h2.list.first == NULL);
	if (h2.fd != -1)
		close(h2.fd);
	return 0;
}
