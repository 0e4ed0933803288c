/*
 * The load over HTTP/2: WebSockets by extended CONNECT (RFC 8441), in the clear and by prior knowledge, with one
 * message in flight on each.
 *
 *   load_h2 [-s STREAMS] PORT PATH CONNECTIONS
 *
 * Opens CONNECTIONS connections to 127.0.0.1, one after another, with STREAMS WebSockets on each (10), and obeys the
 * same lines as load.  Its windows are Chromium's: 6 MiB for a stream and 15 MiB for a connection.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "bench.h"
#include "codec/ws_mask.h"

#define MAX_SIZE (64 * 1024 * 1024)
#define STREAM_WINDOW (6 * 1024 * 1024)
#define CONNECTION_WINDOW (15 * 1024 * 1024)
#define OUT_SIZE (256 * 1024) /* bytes written with one call */
#define FRAME_MAX (17 * 1024) /* nghttp2 gives out no more at a time */

struct ws {
	int32_t id;
	struct bench_header header;
	uint64_t left;	    /* bytes of the current frame that are to come */
	uint64_t message_n; /* payload bytes of the current message so far */
	size_t unsent;	    /* bytes of the message that are on their way out */
};

struct conn {
	struct load *load;
	int fd;
	nghttp2_session *session;
	bool waits; /* for the kernel to take more */
	struct ws *ws;
	size_t to_open; /* WebSockets without a response yet */
	uint8_t *out;
	size_t out_at, out_n;
};

struct load {
	uint16_t port;
	const char *path;
	size_t n, streams;
	struct conn *conn;
	nghttp2_session_callbacks *callbacks;
	int ep;

	/* of the current run */
	uint8_t *message; /* what each WebSocket sends, as on the wire */
	size_t message_n, size;
	uint64_t started, done, max, deadline_ns;
	size_t active;
};

static uint8_t scratch[BENCH_SCRATCH];

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- messages */

static void
ws_next(struct conn *c, struct ws *ws)
{
	struct load *l = c->load;

	if (l->started == l->max || l->deadline_ns == 0) {
		l->active--;
		return;
	}
	l->started++;
	ws->unsent = l->message_n;
	/* refused where nghttp2 has not asked since the last message: then it asks anyway */
	(void)nghttp2_session_resume_data(c->session, ws->id);
}

static ssize_t
ws_on_room(nghttp2_session *session, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct conn *c = arg;
	struct load *l = c->load;
	struct ws *ws = source->ptr;

	(void)session, (void)id, (void)flags;
	if (ws->unsent == 0)
		return NGHTTP2_ERR_DEFERRED;
	if (n > ws->unsent)
		n = ws->unsent;
	memcpy(p, l->message + l->message_n - ws->unsent, n);
	ws->unsent -= n;
	return (ssize_t)n;
}

static void
ws_take_frames(struct conn *c, struct ws *ws, const uint8_t *p, size_t n)
{
	struct load *l = c->load;
	size_t used;

	while (n > 0) {
		if (ws->left == 0) {
			bool whole = bench_header_take(&ws->header, p, n, &used);

			p += used;
			n -= used;
			if (!whole)
				return;
			if (ws->header.frame.opcode == WS_CLOSE)
				bench_die("load_h2: the server closed a WebSocket");
			ws->left = ws->header.frame.length;
			if (ws->header.frame.opcode < WS_CLOSE)
				ws->message_n += ws->left;
		}
		used = ws->left < n ? (size_t)ws->left : n;
		ws->left -= used;
		p += used;
		n -= used;
		if (ws->left > 0 || !ws->header.frame.fin || ws->header.frame.opcode >= WS_CLOSE)
			continue;
		if (ws->message_n != l->size)
			bench_die("load_h2: a message came back with another length");
		ws->message_n = 0;
		l->done++;
		ws_next(c, ws);
	}
}

/* ---- opening */

static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
		.value = (uint8_t *)(uintptr_t)value,
		.namelen = strlen(name),
		.valuelen = strlen(value) };
}

static void
conn_request_all(struct conn *c)
{
	nghttp2_nv fields[] = { field(":method", "CONNECT"), field(":protocol", "websocket"),
		field(":scheme", "http"), field(":path", c->load->path),
		field(":authority", "bench.example"), field("sec-websocket-version", "13") };
	nghttp2_data_provider provider = { .read_callback = ws_on_room };

	for (size_t i = 0; i < c->load->streams; i++) {
		provider.source.ptr = &c->ws[i];
		c->ws[i].id = nghttp2_submit_request(c->session, NULL, fields,
		    sizeof(fields) / sizeof(fields[0]), &provider, &c->ws[i]);
		if (c->ws[i].id < 0)
			bench_die("load_h2: nghttp2_submit_request");
	}
}

/* ---- what comes */

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct conn *c = arg;

	(void)session, (void)frame, (void)flags;
	if (name_n != strlen(":status") || memcmp(name, ":status", name_n) != 0)
		return 0;
	if (value_n != 3 || memcmp(value, "200", 3) != 0)
		bench_die("load_h2: the handshake was refused: %.*s", (int)value_n, value);
	c->to_open--;
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct conn *c = arg;

	if (frame->hd.type == NGHTTP2_GOAWAY)
		bench_die("load_h2: the server ends a connection");
	if (frame->hd.type != NGHTTP2_SETTINGS || (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 ||
	    c->ws[0].id != 0)
		return 0;
	if (nghttp2_session_get_remote_settings(
		session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) != 1)
		bench_die("load_h2: the server does not offer extended CONNECT");
	conn_request_all(c);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	(void)flags;
	ws_take_frames(arg, nghttp2_session_get_stream_user_data(session, id), p, n);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	(void)session, (void)arg;
	bench_die("load_h2: stream %d ended with error %u", (int)id, (unsigned)code);
}

/* ---- a connection */

static void
conn_wait(struct conn *c, bool waits)
{
	if (waits != c->waits)
		bench_watch(
		    c->load->ep, EPOLL_CTL_MOD, c->fd, waits ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
	c->waits = waits;
}

static void
conn_fill(struct conn *c)
{
	const uint8_t *p;
	ssize_t n;

	c->out_at = c->out_n = 0;
	while (OUT_SIZE - c->out_n >= FRAME_MAX) {
		if ((n = nghttp2_session_mem_send(c->session, &p)) < 0)
			bench_die("load_h2: %s", nghttp2_strerror((int)n));
		if (n == 0)
			return;
		memcpy(c->out + c->out_n, p, (size_t)n);
		c->out_n += (size_t)n;
	}
}

static void
conn_flush(struct conn *c)
{
	ssize_t sent;

	for (;;) {
		if (c->out_at == c->out_n)
			conn_fill(c);
		if (c->out_n == 0)
			break;
		sent = send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL);
		if (sent == -1 && errno != EAGAIN)
			bench_die("load_h2: the server closed a connection");
		if (sent == -1)
			break;
		c->out_at += (size_t)sent;
	}
	conn_wait(c, c->out_at < c->out_n);
}

static void
conn_on_event(struct conn *c, uint32_t events)
{
	ssize_t n, used;

	if ((events & ~(uint32_t)EPOLLOUT) != 0) {
		n = recv(c->fd, scratch, sizeof(scratch), 0);
		if (n == 0 || (n == -1 && errno != EAGAIN))
			bench_die("load_h2: the server closed a connection");
		if (n > 0 && (used = nghttp2_session_mem_recv(c->session, scratch, (size_t)n)) != n)
			bench_die("load_h2: %s", nghttp2_strerror((int)used));
	}
	conn_flush(c);
}

static void
load_turn(struct load *l)
{
	struct epoll_event ev[BENCH_EVENTS];
	int n = epoll_wait(l->ep, ev, BENCH_EVENTS, -1);

	if (n == -1 && errno != EINTR)
		bench_die("load_h2: epoll_wait");
	if (l->deadline_ns != 0 && now_ns() >= l->deadline_ns)
		l->deadline_ns = 0;
	for (int i = 0; i < n; i++)
		conn_on_event(ev[i].data.ptr, ev[i].events);
}

static void
conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW } };
	int on = 1;

	c->load = l;
	c->to_open = l->streams;
	if ((c->ws = calloc(l->streams, sizeof(*c->ws))) == NULL ||
	    (c->out = malloc(OUT_SIZE)) == NULL)
		bench_die("load_h2: malloc");
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		bench_die("load_h2: connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
		bench_die("load_h2: fcntl");
	bench_watch(l->ep, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
	if (nghttp2_session_client_new(&c->session, l->callbacks, c) != 0 ||
	    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
	    nghttp2_session_set_local_window_size(
		c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
		bench_die("load_h2: nghttp2");
	conn_flush(c);
	while (c->to_open > 0)
		load_turn(l);
}

/* ---- a run */

static void
load_frame(struct load *l)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t *payload;
	size_t n;

	if ((l->message = malloc(WS_HEADER_MAX + l->size)) == NULL)
		bench_die("load_h2: malloc");
	n = ws_frame_write(l->message, WS_BIT_FIN | WS_BINARY, l->size, mask);
	payload = l->message + n;
	for (size_t i = 0; i < l->size; i++)
		payload[i] = (uint8_t)i;
	ws_mask_copy(payload, payload, l->size, mask, 0);
	l->message_n = n + l->size;
}

static void
load_run(struct load *l, size_t size, uint64_t count, uint64_t ms)
{
	uint64_t start = now_ns();

	l->size = size;
	l->started = l->done = 0;
	l->max = count != 0 ? count : UINT64_MAX;
	l->deadline_ns = ms != 0 ? start + ms * 1000000 : UINT64_MAX;
	load_frame(l);
	l->active = l->n * l->streams;
	for (struct conn *c = l->conn; c < l->conn + l->n; c++) {
		for (size_t i = 0; i < l->streams; i++)
			ws_next(c, &c->ws[i]);
		conn_flush(c);
	}
	while (l->active > 0)
		load_turn(l);
	printf("%llu %llu\n", (unsigned long long)l->done, (unsigned long long)(now_ns() - start));
	free(l->message);
}

static void
load_obey(struct load *l)
{
	unsigned long long size, count, ms;
	char line[256];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "run %llu %llu %llu", &size, &count, &ms) != 3 || size > MAX_SIZE)
			bench_die("load_h2: what is this: %s", line);
		load_run(l, (size_t)size, count, ms);
		fflush(stdout);
	}
}

static void
load_init_callbacks(struct load *l)
{
	if (nghttp2_session_callbacks_new(&l->callbacks) != 0)
		bench_die("load_h2: nghttp2");
	nghttp2_session_callbacks_set_on_header_callback(l->callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(l->callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(l->callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(l->callbacks, on_stream_close);
}

int
main(int argc, char **argv)
{
	struct load l = { .streams = 10 };
	int c;

	while ((c = getopt(argc, argv, "s:")) != -1) {
		if (c != 's')
			return 64;
		l.streams = strtoul(optarg, NULL, 10);
	}
	if (argc - optind != 3 || l.streams == 0) {
		fprintf(stderr, "usage: load_h2 [-s STREAMS] PORT PATH CONNECTIONS\n");
		return 64;
	}
	l.port = (uint16_t)strtoul(argv[optind], NULL, 10);
	l.path = argv[optind + 1];
	l.n = strtoul(argv[optind + 2], NULL, 10);
	bench_raise_nofile();
	if ((l.ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    (l.conn = calloc(l.n, sizeof(*l.conn))) == NULL)
		bench_die("load_h2: cannot start");
	load_init_callbacks(&l);
	for (size_t i = 0; i < l.n; i++)
		conn_open(&l, &l.conn[i]);
	puts("ready");
	fflush(stdout);
	load_obey(&l);
	return 0;
}
