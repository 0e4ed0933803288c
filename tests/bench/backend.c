/*
 * The application behind the proxies that are measured, on a Unix socket: a WebSocket echo that
 * costs as little as can be.
 *
 *   backend PATH
 *
 * Each frame goes back unmasked, as a frame of the same length, as its bytes come.  Where the
 * request's query says answer=N each message gets one of N bytes instead, and a GET a response of
 * N bytes.  A Close is answered, and the connection closed.  It says "ready" on standard output,
 * and ends with its standard input.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <unistd.h>

#include "bench.h"
#include "codec/ws_key.h"
#include "codec/ws_mask.h"

#define MAX_ANSWER (64 * 1024 * 1024)
#define MAX_ANSWERS 16

/* What is sent for each message, or request, where it is no echo; made once. */
struct answer {
	uint8_t *p;
	size_t n, size;
	bool http;
};

struct conn {
	int fd;
	bool open;    /* the handshake is over */
	bool closing; /* close it when all is sent */
	struct bench_header header;
	uint64_t at, left; /* payload bytes of the current frame that came, and that are to come */
	uint8_t *rest;	   /* owned: what the kernel has not taken yet; meanwhile nothing is read */
	size_t rest_at, rest_n;
	const struct answer *answer; /* NULL: echo */
	size_t due, answer_at;	     /* answers to send, and bytes of the first that are sent */
	bool waits;		     /* for EPOLLOUT */
};

static int ep;
static uint8_t headroom_and_scratch[WS_HEADER_MAX + BENCH_SCRATCH];
static uint8_t *const scratch = headroom_and_scratch + WS_HEADER_MAX;
static struct answer answers[MAX_ANSWERS];

static void
conn_close(struct conn *c)
{
	close(c->fd);
	free(c->rest);
	free(c);
}

/* How many of p[0..n) the kernel took; false when the peer is gone, and c too. */
static bool
conn_send(struct conn *c, const uint8_t *p, size_t n, size_t *took)
{
	ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

	if (sent == -1 && errno != EAGAIN) {
		conn_close(c);
		return false;
	}
	*took = sent == -1 ? 0 : (size_t)sent;
	return true;
}

static void
conn_wait(struct conn *c, bool waits)
{
	if (c->waits != waits)
		bench_watch(ep, EPOLL_CTL_MOD, c->fd, waits ? EPOLLOUT : EPOLLIN, c);
	c->waits = waits;
}

static void
conn_put(struct conn *c, const uint8_t *p, size_t n)
{
	size_t took;

	if (n == 0 || !conn_send(c, p, n, &took))
		return;
	if (took == n) {
		if (c->closing)
			conn_close(c);
		return;
	}
	c->rest_at = 0;
	c->rest_n = n - took;
	if ((c->rest = malloc(c->rest_n)) == NULL)
		bench_die("backend: malloc");
	memcpy(c->rest, p + took, c->rest_n);
	conn_wait(c, true);
}

/* Answers that are due, as far as the kernel takes them. */
static void
conn_put_answers(struct conn *c)
{
	const struct answer *a = c->answer;
	size_t took;

	while (c->due > 0) {
		if (!conn_send(c, a->p + c->answer_at, a->n - c->answer_at, &took))
			return;
		c->answer_at += took;
		if (c->answer_at < a->n) {
			conn_wait(c, true);
			return;
		}
		c->answer_at = 0;
		c->due--;
	}
	conn_wait(c, false);
}

static void
conn_put_rest(struct conn *c)
{
	size_t took;

	if (c->rest == NULL) {
		conn_put_answers(c);
		return;
	}
	if (!conn_send(c, c->rest + c->rest_at, c->rest_n, &took))
		return;
	c->rest_at += took;
	c->rest_n -= took;
	if (c->rest_n > 0)
		return;
	free(c->rest);
	c->rest = NULL;
	if (c->closing)
		conn_close(c);
	else
		conn_wait(c, false);
}

static void
answer_make(struct answer *a, size_t size, bool http)
{
	size_t n;

	*a = (struct answer){ .size = size, .http = http, .p = malloc(size + 256) };
	if (a->p == NULL)
		bench_die("backend: malloc");
	if (http)
		n = (size_t)snprintf((char *)a->p, 256,
		    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
		    "Content-Length: %zu\r\n\r\n",
		    size);
	else
		n = ws_frame_write(a->p, WS_BIT_FIN | WS_BINARY, size, NULL);
	memset(a->p + n, 'x', size);
	a->n = n + size;
}

static const struct answer *
answer_get(size_t size, bool http)
{
	if (size > MAX_ANSWER)
		bench_die("backend: an answer of %zu bytes", size);
	for (struct answer *a = answers; a < answers + MAX_ANSWERS; a++) {
		if (a->p == NULL)
			answer_make(a, size, http);
		if (a->size == size && a->http == http)
			return a;
	}
	bench_die("backend: too many kinds of answers");
}

static void
conn_accept(struct conn *c, const char *key)
{
	char accept[WS_ACCEPT_N + 1], head[256];
	int n;

	key += strlen("\r\nSec-WebSocket-Key:");
	key += strspn(key, " ");
	if (ws_key_accept((struct span){ key, WS_KEY_N }, accept) == -1)
		bench_die("backend: ws_key_accept");
	n = snprintf(head, sizeof(head),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	c->open = true;
	conn_put(c, (uint8_t *)head, (size_t)n);
}

/* The proxies send a request head in one piece, and no body. */
static void
conn_request(struct conn *c, char *p, size_t n)
{
	const char *key, *size, *end;

	p[n] = '\0';
	if (n < 4 || memcmp(p + n - 4, "\r\n\r\n", 4) != 0)
		bench_die("backend: this is no request head: %s", p);
	key = strcasestr(p, "\r\nSec-WebSocket-Key:");
	size = strstr(p, "answer=");
	end = strstr(p, "\r\n");
	if (size != NULL && size < end)
		c->answer = answer_get(strtoul(size + strlen("answer="), NULL, 10), key == NULL);
	if (key != NULL) {
		conn_accept(c, key);
		return;
	}
	if (c->answer == NULL)
		c->answer = answer_get(0, true);
	for (; (p = strstr(p, "\r\n\r\n")) != NULL; p++)
		c->due++;
	conn_put_answers(c);
}

/* A frame begins: how its answer does; where it goes on. */
static uint8_t *
conn_begin_frame(struct conn *c, uint8_t *out)
{
	const struct ws_frame *f = &c->header.frame;

	c->at = 0;
	c->left = f->length;
	c->closing |= f->opcode == WS_CLOSE;
	if (c->answer != NULL && f->opcode < WS_CLOSE)
		return out;
	return out +
	    ws_frame_write(out,
		(uint8_t)(f->fin << 7 | (f->opcode == WS_PING ? WS_PONG : f->opcode)), f->length,
		NULL);
}

/*
 * Make the answer in the scratch itself: it is never longer than what came and the headroom.
 */
static void
conn_take(struct conn *c, uint8_t *p, size_t n)
{
	uint8_t *out = p - WS_HEADER_MAX, *const start = out;
	const struct ws_frame *f = &c->header.frame;
	size_t k;

	while (n > 0) {
		if (c->left == 0) {
			bool whole = bench_header_take(&c->header, p, n, &k);

			p += k;
			n -= k;
			if (!whole)
				break;
			out = conn_begin_frame(c, out);
		}
		k = c->left < n ? (size_t)c->left : n;
		if (c->answer == NULL || f->opcode >= WS_CLOSE) {
			ws_mask_copy(out, p, k, f->mask, c->at);
			out += k;
		}
		p += k;
		n -= k;
		c->at += k;
		c->left -= k;
		if (c->left == 0 && c->answer != NULL && f->fin && f->opcode < WS_CLOSE)
			c->due++;
	}
	if (c->due > 0)
		conn_put_answers(c);
	else
		conn_put(c, start, (size_t)(out - start));
}

static void
conn_on_event(struct conn *c, uint32_t events)
{
	ssize_t n;

	if ((events & EPOLLOUT) != 0) {
		conn_put_rest(c);
		return;
	}
	n = recv(c->fd, scratch, BENCH_SCRATCH - 1, 0);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0)
		conn_close(c);
	else if (c->open)
		conn_take(c, scratch, (size_t)n);
	else
		conn_request(c, (char *)scratch, (size_t)n);
}

static void
accept_all(int listener)
{
	struct conn *c;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		if ((c = calloc(1, sizeof(*c))) == NULL)
			bench_die("backend: calloc");
		c->fd = fd;
		bench_watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
	}
	if (errno != EAGAIN)
		bench_die("backend: accept");
}

static int
listen_on(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sun.sun_path))
		bench_die("backend: the path is too long: %s", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    listen(fd, 4096) == -1)
		bench_die("backend: cannot listen on %s", path);
	return fd;
}

int
main(int argc, char **argv)
{
	static char is_listener, is_input;
	struct epoll_event ev[BENCH_EVENTS];
	int listener, n;

	if (argc != 2) {
		fprintf(stderr, "usage: backend PATH\n");
		return 64;
	}
	bench_raise_nofile();
	listener = listen_on(argv[1]);
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		bench_die("backend: epoll_create1");
	bench_watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, &is_listener);
	bench_watch(ep, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, &is_input);
	puts("ready");
	fflush(stdout);
	for (;;) {
		n = epoll_wait(ep, ev, BENCH_EVENTS, -1);
		if (n == -1 && errno != EINTR)
			bench_die("backend: epoll_wait");
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &is_input)
				return 0;
			if (ev[i].data.ptr == &is_listener)
				accept_all(listener);
			else
				conn_on_event(ev[i].data.ptr, ev[i].events);
		}
	}
}
