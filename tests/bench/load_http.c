/*
 * HTTP load: clients that keep one GET in flight on each connection.
 *
 *   load_http [-t] PORT PATH CONNECTIONS
 *
 * Connects to 127.0.0.1, CONNECTIONS times, with -t by TLS.  Says "ready", and then obeys the
 * lines of its standard input:
 *
 *   run COUNT MS   send requests until COUNT are sent or MS milliseconds are over (0: no limit),
 *                  wait for every response, and print how many came, how many nanoseconds it took,
 *                  and the median and the 99th percentile of the microseconds that each took
 *
 * All responses have to be 200, and as long as the first one.  Ends with its standard input.
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
#include "tools/wsdial_stats.h"

struct conn {
	int fd;
	SSL *ssl;	  /* NULL in the clear */
	uint64_t left;	  /* bytes of the response that are to come */
	uint64_t sent_ns; /* when its request went out */
};

struct load {
	bool tls;
	uint16_t port;
	const char *path;
	size_t n;
	struct conn *conn;
	SSL_CTX *ctx;
	int ep;
	size_t response_n; /* bytes of each response */
	char request[1024];
	size_t request_n;

	/* of the current run */
	struct wsdial_histogram latency;
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
		bench_die("load_http: the TLS connection broke");
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
		bench_die("load_http: the server closed a connection");
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
		bench_die("load_http: the server closed a connection");
	return sent == -1 ? 0 : (size_t)sent;
}

/* ---- opening: blocking */

static void
conn_open(struct load *l, struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		bench_die("load_http: connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!l->tls)
		return;
	if ((c->ssl = SSL_new(l->ctx)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    SSL_connect(c->ssl) != 1)
		bench_die("load_http: the TLS handshake failed");
}

static void
conn_watch(struct load *l, struct conn *c)
{
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
		bench_die("load_http: fcntl");
	bench_watch(l->ep, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
}

static void
load_open_all(struct load *l)
{
	for (size_t i = 0; i < l->n; i++) {
		conn_open(l, &l->conn[i]);
		conn_watch(l, &l->conn[i]);
	}
}

/* ---- a run */

/* A request fits into the socket's buffer: none is on its way. */
static void
conn_next(struct load *l, struct conn *c, uint64_t now)
{
	if (l->started == l->max || l->deadline_ns == 0) {
		l->active--;
		return;
	}
	l->started++;
	c->left = l->response_n;
	c->sent_ns = now;
	if (conn_send(c, l->request, l->request_n) != l->request_n)
		bench_die("load_http: a request was not sent");
}

static void
conn_take(struct load *l, struct conn *c, const uint8_t *p, size_t n)
{
	uint64_t now;

	if (n > c->left)
		bench_die("load_http: a response is longer than the first one");
	if (c->left == l->response_n && (n < 12 || memcmp(p, "HTTP/1.1 200", 12) != 0))
		bench_die("load_http: a response is no 200: %.*s", (int)n, (const char *)p);
	if ((c->left -= n) > 0)
		return;
	now = now_ns();
	wsdial_histogram_add(&l->latency, (now - c->sent_ns) / 1000);
	l->done++;
	conn_next(l, c, now);
}

static void
conn_on_event(struct load *l, struct conn *c)
{
	size_t n;

	do {
		if ((n = conn_recv(c, scratch, sizeof(scratch))) == 0)
			return;
		conn_take(l, c, scratch, n);
	} while (c->ssl != NULL && SSL_pending(c->ssl) > 0);
}

static void
load_run(struct load *l, uint64_t count, uint64_t ms)
{
	struct epoll_event ev[BENCH_EVENTS];
	uint64_t start = now_ns();
	int n;

	memset(&l->latency, 0, sizeof(l->latency));
	l->started = l->done = 0;
	l->max = count != 0 ? count : UINT64_MAX;
	l->deadline_ns = ms != 0 ? start + ms * 1000000 : UINT64_MAX;
	l->active = l->n;
	for (size_t i = 0; i < l->n; i++)
		conn_next(l, &l->conn[i], start);
	while (l->active > 0) {
		n = epoll_wait(l->ep, ev, BENCH_EVENTS, -1);
		if (n == -1 && errno != EINTR)
			bench_die("load_http: epoll_wait");
		if (l->deadline_ns != 0 && now_ns() >= l->deadline_ns)
			l->deadline_ns = 0;
		for (int i = 0; i < n; i++)
			conn_on_event(l, ev[i].data.ptr);
	}
	printf("%llu %llu %llu %llu\n", (unsigned long long)l->done,
	    (unsigned long long)(now_ns() - start),
	    (unsigned long long)wsdial_histogram_value(&l->latency, 500),
	    (unsigned long long)wsdial_histogram_value(&l->latency, 990));
}

/* All responses are as long as the first one. */
static void
load_learn_response(struct load *l)
{
	struct conn c = { .fd = -1 };
	char head[8192], *end, *length;
	size_t n = 0;

	conn_open(l, &c);
	l->request_n = (size_t)snprintf(l->request, sizeof(l->request),
	    "GET %s HTTP/1.1\r\nHost: bench.example\r\n\r\n", l->path);
	if (conn_send(&c, l->request, l->request_n) != l->request_n)
		bench_die("load_http: the request was not sent");
	do {
		n += conn_recv(&c, head + n, sizeof(head) - 1 - n);
		head[n] = '\0';
	} while ((end = strstr(head, "\r\n\r\n")) == NULL);
	length = strcasestr(head, "\r\nContent-Length:");
	if (strncmp(head, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > end)
		bench_die("load_http: this response is not expected: %s", head);
	l->response_n =
	    (size_t)(end + 4 - head) + strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	SSL_free(c.ssl);
	close(c.fd);
}

static void
load_obey(struct load *l)
{
	unsigned long long count, ms;
	char line[256];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "run %llu %llu", &count, &ms) != 2)
			bench_die("load_http: what is this: %s", line);
		load_run(l, count, ms);
		fflush(stdout);
	}
}

static void
load_init_tls(struct load *l)
{
	if ((l->ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		bench_die("load_http: SSL_CTX_new");
	SSL_CTX_set_mode(l->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_verify(l->ctx, SSL_VERIFY_NONE, NULL);
}

int
main(int argc, char **argv)
{
	static struct load l;
	int c;

	while ((c = getopt(argc, argv, "t")) != -1) {
		if (c != 't')
			return 64;
		l.tls = true;
	}
	if (argc - optind != 3) {
		fprintf(stderr, "usage: load_http [-t] PORT PATH CONNECTIONS\n");
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
		bench_die("load_http: cannot start");
	load_learn_response(&l);
	load_open_all(&l);
	puts("ready");
	fflush(stdout);
	load_obey(&l);
	return 0;
}
