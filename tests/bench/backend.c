/*
 * The application behind the proxies that are measured: a WebSocket echo on a Unix socket.
 *
 *   backend PATH
 *
 * Each frame goes back unmasked, as a frame of the same length, as its bytes come.  It says "ready" on
 * standard output, and ends with its standard input.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <unistd.h>

#include "bench.h"
#include "codec/ws_key.h"
#include "codec/ws_mask.h"

struct conn {
	int fd;
	bool open; /* the handshake is over */
	struct bench_header header;
	uint64_t at, left; /* payload bytes of the current frame that came, and that are to come */
	uint8_t *rest;	   /* owned: what the kernel has not taken yet; meanwhile nothing is read */
	size_t rest_at, rest_n;
};

static int ep;
static uint8_t headroom_and_scratch[WS_HEADER_MAX + BENCH_SCRATCH];
static uint8_t *const scratch = headroom_and_scratch + WS_HEADER_MAX;

static void
conn_close(struct conn *c)
{
	close(c->fd);
	free(c->rest);
	free(c);
}

/* How many of p[0..n) the kernel took; false when the peer is gone. */
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
conn_put(struct conn *c, const uint8_t *p, size_t n)
{
	size_t took;

	if (n == 0 || !conn_send(c, p, n, &took) || took == n)
		return;
	c->rest_at = 0;
	c->rest_n = n - took;
	if ((c->rest = malloc(c->rest_n)) == NULL)
		bench_die("backend: malloc");
	memcpy(c->rest, p + took, c->rest_n);
	bench_watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
}

static void
conn_put_rest(struct conn *c)
{
	size_t took;

	if (!conn_send(c, c->rest + c->rest_at, c->rest_n, &took))
		return;
	c->rest_at += took;
	c->rest_n -= took;
	if (c->rest_n > 0)
		return;
	free(c->rest);
	c->rest = NULL;
	bench_watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

/* The proxies send a request head in one piece. */
static void
conn_handshake(struct conn *c, char *p, size_t n)
{
	char *key, accept[WS_ACCEPT_N + 1], head[256];
	int head_n;

	p[n] = '\0';
	key = strcasestr(p, "\r\nSec-WebSocket-Key:");
	if (n < 4 || memcmp(p + n - 4, "\r\n\r\n", 4) != 0 || key == NULL)
		bench_die("backend: this is no WebSocket request: %s", p);
	key += strlen("\r\nSec-WebSocket-Key:");
	key += strspn(key, " ");
	if (ws_key_accept((struct span){ key, WS_KEY_N }, accept) == -1)
		bench_die("backend: ws_key_accept");
	head_n = snprintf(head, sizeof(head),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	c->open = true;
	conn_put(c, (uint8_t *)head, (size_t)head_n);
}

/* Make the answer in the scratch itself: it is never longer than what came and the headroom. */
static void
conn_echo(struct conn *c, uint8_t *p, size_t n)
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
			out += ws_frame_write(out,
			    (uint8_t)(f->fin << 7 | (f->opcode == WS_PING ? WS_PONG : f->opcode)),
			    f->length, NULL);
			c->at = 0;
			c->left = f->length;
		}
		k = c->left < n ? (size_t)c->left : n;
		ws_mask_copy(out, p, k, f->mask, c->at);
		out += k;
		p += k;
		n -= k;
		c->at += k;
		c->left -= k;
	}
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
		conn_echo(c, scratch, (size_t)n);
	else
		conn_handshake(c, (char *)scratch, (size_t)n);
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
