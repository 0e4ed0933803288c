/*
 * The load: clients that keep one message, or one request, in flight on each connection.
 *
 *   load [-h] [-t] [-b BATCH] [-z OFFER] PORT PATH CONNECTIONS
 *
 * Connects to 127.0.0.1 and opens CONNECTIONS WebSockets at PATH, BATCH of them at a time (64); with -t by TLS,
 * with -h none: the connections are for HTTP requests.  With -z this Sec-WebSocket-Extensions is offered, messages are
 * text of which each is compressed for itself, and all answers must be compressed; nobody inflates them here.
 * Says "ready", and then obeys the lines of its standard input:
 *
 *   run SIZE COUNT MS   send messages of SIZE bytes (or requests, and SIZE is not looked at) until COUNT are sent
 *                       or MS milliseconds are over (0: no limit), wait for every answer, and print how many messages
 *                       came back and how many nanoseconds it took
 *
 * Ends with its standard input.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "bench.h"
#include "codec/ws_deflate.h"
#include "codec/ws_mask.h"

#define MAX_SIZE (64 * 1024 * 1024)

struct conn {
	int fd;
	SSL *ssl; /* NULL in the clear */
	struct bench_header header;
	uint64_t left;	    /* bytes of the current frame, or response, that are to come */
	uint64_t message_n; /* payload bytes of the current message so far */
	size_t sent; /* bytes of the message on its way; all of it when nothing is to be sent */
};

struct load {
	bool http, tls;
	const char *offer; /* -z */
	unsigned batch;
	uint16_t port;
	const char *path;
	size_t n;
	struct conn *conn;
	SSL_CTX *ctx;
	int ep;
	size_t response_n; /* http: bytes of each response */

	/* of the current run */
	uint8_t *message; /* what each connection sends, as on the wire */
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

/* ---- reading and writing: bytes, or 0 for "not now" */

static size_t
conn_ssl_result(struct conn *c, int ret)
{
	int e = SSL_get_error(c->ssl, ret);

	if (ret > 0)
		return (size_t)ret;
	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		bench_die("load: the TLS connection broke");
	return 0;
}

static size_t
conn_recv(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	if (c->ssl != NULL)
		return conn_ssl_result(c, SSL_read(c->ssl, p, (int)n));
	got = recv(c->fd, p, n, 0);
	if (got == 0 || (got == -1 && errno != EAGAIN))
		bench_die("load: the server closed a connection");
	return got == -1 ? 0 : (size_t)got;
}

static size_t
conn_send(struct conn *c, const void *p, size_t n)
{
	ssize_t sent;

	if (c->ssl != NULL)
		return conn_ssl_result(c, SSL_write(c->ssl, p, (int)n));
	sent = send(c->fd, p, n, MSG_NOSIGNAL);
	if (sent == -1 && errno != EAGAIN)
		bench_die("load: the server closed a connection");
	return sent == -1 ? 0 : (size_t)sent;
}

/* ---- opening: blocking, a batch at a time */

static void
conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		bench_die("load: connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!l->tls)
		return;
	if ((c->ssl = SSL_new(l->ctx)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    SSL_connect(c->ssl) != 1)
		bench_die("load: the TLS handshake failed");
}

static void
conn_request(struct load *l, struct conn *c)
{
	char head[1024];
	int n;

	n = snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: bench.example\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	    "%s%s%s\r\n",
	    l->path, l->offer != NULL ? "Sec-WebSocket-Extensions: " : "",
	    l->offer != NULL ? l->offer : "", l->offer != NULL ? "\r\n" : "");
	if (conn_send(c, head, (size_t)n) != (size_t)n)
		bench_die("load: the handshake was not sent");
}

/* Nothing follows the 101 on its own, so it may be read to its end. */
static void
conn_accepted(struct conn *c)
{
	char head[4096];
	size_t n = 0;

	do {
		n += conn_recv(c, head + n, sizeof(head) - 1 - n);
		head[n] = '\0';
	} while (strstr(head, "\r\n\r\n") == NULL);
	if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
		bench_die("load: the handshake was refused: %s", head);
}

static void
conn_watch(struct load *l, struct conn *c)
{
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
		bench_die("load: fcntl");
	bench_watch(l->ep, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
}

static void
load_open_all(struct load *l)
{
	for (size_t i = 0, k, end; i < l->n; i = end) {
		end = l->n - i < l->batch ? l->n : i + l->batch;
		for (k = i; k < end; k++)
			conn_open(l, &l->conn[k]);
		for (k = i; k < end && !l->http; k++)
			conn_request(l, &l->conn[k]);
		for (k = i; k < end && !l->http; k++)
			conn_accepted(&l->conn[k]);
		for (k = i; k < end; k++)
			conn_watch(l, &l->conn[k]);
	}
}

/* ---- a run */

/* Lines of JSON, as many applications send them. */
static void
load_text(uint8_t *p, size_t n)
{
	uint32_t r = 1;
	char line[256];
	size_t k;

	for (size_t i = 0; i < n; i += k) {
		r = r * 1664525 + 1013904223;
		k = (size_t)snprintf(line, sizeof(line),
		    "{\"id\":%u,\"symbol\":\"%s\",\"price\":%u.%02u,\"volume\":%u,\"flag\":%s}\n",
		    r >> 12, (r & 0x400) != 0 ? "EURUSD" : "GBPJPY", r >> 22, r % 100, r >> 16,
		    (r & 0x800) != 0 ? "true" : "false");
		k = k < n - i ? k : n - i;
		memcpy(p + i, line, k);
	}
}

/* The payload as it goes out compressed; its length. */
static size_t
load_deflate(uint8_t *p, size_t n)
{
	struct ws_deflate_memory memory = { 0 };
	struct ws_deflate_pool pool;
	struct ws_deflate *z;
	uint8_t *text = malloc(n + WS_DEFLATE_OUT_MIN);
	struct ws_deflate_in in = { text, n };

	ws_deflate_pool_init(&pool, &memory);
	if (text == NULL || (z = ws_deflate_get(&pool, 15, 6, UINT64_MAX)) == NULL)
		bench_die("load: no memory");
	load_text(text, n);
	if (ws_deflate_run(z, &in, WS_DEFLATE_END, p, n + WS_DEFLATE_OUT_MIN, &n) != WS_DEFLATE_OK)
		bench_die("load: the text does not get shorter");
	ws_deflate_put(&pool, z);
	ws_deflate_pool_clear(&pool);
	free(text);
	return n;
}

static void
load_frame(struct load *l)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t first = WS_BIT_FIN | WS_BINARY, *payload;
	size_t n = l->size, hn;

	l->message = malloc(WS_HEADER_MAX + l->size + WS_DEFLATE_OUT_MIN);
	if (l->message == NULL)
		bench_die("load: malloc");
	payload = l->message + WS_HEADER_MAX;
	for (size_t i = 0; i < l->size; i++)
		payload[i] = (uint8_t)i;
	if (l->offer != NULL) {
		n = load_deflate(payload, l->size);
		first |= WS_BIT_RSV1;
	}
	hn = ws_frame_write(l->message, first, n, mask);
	ws_mask_copy(l->message + hn, payload, n, mask, 0);
	l->message_n = hn + n;
}

static void
load_get(struct load *l)
{
	if ((l->message = malloc(1024)) == NULL)
		bench_die("load: malloc");
	l->message_n = (size_t)snprintf(
	    (char *)l->message, 1024, "GET %s HTTP/1.1\r\nHost: bench.example\r\n\r\n", l->path);
}

static void
conn_continue(struct load *l, struct conn *c)
{
	bool waited = c->sent > 0;

	c->sent += conn_send(c, l->message + c->sent, l->message_n - c->sent);
	if (c->sent < l->message_n)
		bench_watch(l->ep, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, c);
	else if (waited)
		bench_watch(l->ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

static void
conn_next(struct load *l, struct conn *c)
{
	if (l->started == l->max || l->deadline_ns == 0) {
		l->active--;
		return;
	}
	l->started++;
	c->sent = 0;
	if (l->http)
		c->left = l->response_n;
	conn_continue(l, c);
}

static void
conn_take_frames(struct load *l, struct conn *c, const uint8_t *p, size_t n)
{
	size_t used;

	while (n > 0) {
		if (c->left == 0) {
			bool whole = bench_header_take(&c->header, p, n, &used);

			p += used;
			n -= used;
			if (!whole)
				return;
			if (c->header.frame.opcode == WS_CLOSE)
				bench_die("load: the server closed a WebSocket");
			if (l->offer != NULL && c->message_n == 0 && !c->header.frame.rsv1 &&
			    c->header.frame.opcode < WS_CLOSE)
				bench_die("load: an answer is not compressed");
			c->left = c->header.frame.length;
			if (c->header.frame.opcode < WS_CLOSE)
				c->message_n += c->left;
		}
		used = c->left < n ? (size_t)c->left : n;
		c->left -= used;
		p += used;
		n -= used;
		if (c->left > 0 || !c->header.frame.fin || c->header.frame.opcode >= WS_CLOSE)
			continue;
		if (c->message_n != l->size && l->offer == NULL)
			bench_die("load: a message came back with another length");
		c->message_n = 0;
		l->done++;
		conn_next(l, c);
	}
}

static void
conn_take_response(struct load *l, struct conn *c, size_t n)
{
	if (n > c->left)
		bench_die("load: a response is longer than the first one");
	if ((c->left -= n) > 0)
		return;
	l->done++;
	conn_next(l, c);
}

static void
conn_on_event(struct load *l, struct conn *c, uint32_t events)
{
	size_t n;

	if ((events & EPOLLOUT) != 0)
		conn_continue(l, c);
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return;
	do {
		if ((n = conn_recv(c, scratch, sizeof(scratch))) == 0)
			return;
		if (l->http)
			conn_take_response(l, c, n);
		else
			conn_take_frames(l, c, scratch, n);
	} while (c->ssl != NULL && SSL_pending(c->ssl) > 0);
}

static void
load_run(struct load *l, size_t size, uint64_t count, uint64_t ms)
{
	struct epoll_event ev[BENCH_EVENTS];
	uint64_t start = now_ns();
	int n;

	l->size = size;
	l->started = l->done = 0;
	l->max = count != 0 ? count : UINT64_MAX;
	l->deadline_ns = ms != 0 ? start + ms * 1000000 : UINT64_MAX;
	if (l->http)
		load_get(l);
	else
		load_frame(l);
	l->active = l->n;
	for (size_t i = 0; i < l->n; i++)
		conn_next(l, &l->conn[i]);
	while (l->active > 0) {
		n = epoll_wait(l->ep, ev, BENCH_EVENTS, -1);
		if (n == -1 && errno != EINTR)
			bench_die("load: epoll_wait");
		if (l->deadline_ns != 0 && now_ns() >= l->deadline_ns)
			l->deadline_ns = 0;
		for (int i = 0; i < n; i++)
			conn_on_event(l, ev[i].data.ptr, ev[i].events);
	}
	printf("%llu %llu\n", (unsigned long long)l->done, (unsigned long long)(now_ns() - start));
	free(l->message);
}

/* All responses are as long as the first one. */
static void
load_learn_response(struct load *l)
{
	struct conn c = { .fd = -1 };
	char head[8192], *end, *length;
	size_t n = 0;

	conn_open(l, &c);
	load_get(l);
	if (conn_send(&c, l->message, l->message_n) != l->message_n)
		bench_die("load: the request was not sent");
	do {
		n += conn_recv(&c, head + n, sizeof(head) - 1 - n);
		head[n] = '\0';
	} while ((end = strstr(head, "\r\n\r\n")) == NULL);
	length = strcasestr(head, "\r\nContent-Length:");
	if (strncmp(head, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > end)
		bench_die("load: this response is not expected: %s", head);
	l->response_n =
	    (size_t)(end + 4 - head) + strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	SSL_free(c.ssl);
	close(c.fd);
	free(l->message);
}

static void
load_obey(struct load *l)
{
	unsigned long long size, count, ms;
	char line[256];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "run %llu %llu %llu", &size, &count, &ms) != 3 || size > MAX_SIZE)
			bench_die("load: what is this: %s", line);
		load_run(l, (size_t)size, count, ms);
		fflush(stdout);
	}
}

static void
load_init_tls(struct load *l)
{
	if ((l->ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		bench_die("load: SSL_CTX_new");
	SSL_CTX_set_mode(l->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_verify(l->ctx, SSL_VERIFY_NONE, NULL);
}

int
main(int argc, char **argv)
{
	struct load l = { .batch = 64 };
	int c;

	while ((c = getopt(argc, argv, "htb:z:")) != -1) {
		if (c == 'h')
			l.http = true;
		else if (c == 't')
			l.tls = true;
		else if (c == 'z')
			l.offer = optarg;
		else if (c == 'b')
			l.batch = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 64;
	}
	if (argc - optind != 3 || l.batch == 0) {
		fprintf(stderr, "usage: load [-h] [-t] [-b BATCH] [-z OFFER] PORT PATH CONNECTIONS\n");
		return 64;
	}
	l.port = (uint16_t)strtoul(argv[optind], NULL, 10);
	l.path = argv[optind + 1];
	l.n = strtoul(argv[optind + 2], NULL, 10);
	bench_raise_nofile();
	if (l.tls)
		load_init_tls(&l);
	if ((l.ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    (l.conn = calloc(l.n, sizeof(*l.conn))) == NULL)
		bench_die("load: cannot start");
	if (l.http)
		load_learn_response(&l);
	load_open_all(&l);
	puts("ready");
	fflush(stdout);
	load_obey(&l);
	return 0;
}
