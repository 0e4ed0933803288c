/*
 * The null proxy: the least that a proxy can cost.  It relays between each connection that it
 * accepts and one to a Unix socket, and understands nothing of what it relays.
 *
 *   null_proxy [-c CERTIFICATE -k KEY] BACKEND
 *
 * Listens on a free port of 127.0.0.1, says "ready PORT" on standard output, and ends with its
 * standard input.  One thread, bare epoll, one buffer: a read, a write, and an epoll_wait for many
 * of both.  What the kernel refuses is kept, and meanwhile the other side is not read.
 *
 * Edge-triggered, so that the kernel need not look at a socket again that it has told of: a short
 * read has emptied it, unless its end was told of; then it is read to the end.
 *
 * With a certificate it ends TLS, and that as cheaply as OpenSSL can be driven: what a socket holds
 * is read into OpenSSL's own buffer with one call, its records are opened one after the other, all
 * records of a turn are sealed into one piece of memory and sent with one call, and an idle
 * connection holds no buffers.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "bench.h"

/* A turn's records as they are on the wire: data and what TLS adds to it. */
#define RAW_SIZE (BENCH_SCRATCH + BENCH_SCRATCH / 16 + 32768)

#define SIDE_EDGE ((uint32_t)EPOLLET | EPOLLRDHUP)
#define SIDE_END (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

struct side {
	struct pair *pair;
	struct side *peer;
	int fd;
	SSL *ssl;		/* NULL in the clear */
	uint8_t *rest;		/* owned: what the kernel has not taken yet */
	size_t rest_at, rest_n; /* of it */
	uint32_t events;	/* that are watched */
	bool hup;		/* the end is in the socket */
	bool eof;		/* nothing comes any more */
	bool fin;		/* a FIN follows the rest */
};

struct pair {
	struct side side[2]; /* the client's, and the backend's */
	bool dead;
	struct pair *next; /* among the dead */
};

static int ep;
static const char *backend;
static SSL_CTX *ctx;
static BIO_METHOD *method;
static struct pair *dead;
static uint8_t scratch[BENCH_SCRATCH];

/*
 * TLS, within one call: whose bytes are read, whether there are more, what is sealed and not sent.
 */
static struct side *reader;
static bool drained, reader_eof;
static uint8_t raw_out[RAW_SIZE];
static size_t raw_out_n;

/* ---- the end */

static void
pair_end(struct pair *p)
{
	if (p->dead)
		return;
	p->dead = true;
	p->next = dead;
	dead = p;
	for (struct side *s = p->side; s < p->side + 2; s++) {
		SSL_free(s->ssl);
		close(s->fd);
		free(s->rest);
	}
}

static void
bury(void)
{
	struct pair *p;

	while ((p = dead) != NULL) {
		dead = p->next;
		free(p);
	}
}

/* ---- out */

static void side_read_tls(struct side *s);

static void
side_watch(struct side *s)
{
	uint32_t events = 0;

	if (s->rest != NULL)
		events |= EPOLLOUT;
	if (!s->eof && s->peer->rest == NULL)
		events |= EPOLLIN;
	if (events != s->events)
		bench_watch(ep, EPOLL_CTL_MOD, s->fd, events | SIDE_EDGE, s);
	s->events = events;
}

static void
side_keep(struct side *s, const uint8_t *p, size_t n)
{
	uint8_t *grown = malloc(s->rest_n + n);

	if (grown == NULL)
		bench_die("null_proxy: malloc");
	if (s->rest_n > 0)
		memcpy(grown, s->rest + s->rest_at, s->rest_n);
	memcpy(grown + s->rest_n, p, n);
	free(s->rest);
	s->rest = grown;
	s->rest_at = 0;
	s->rest_n += n;
	side_watch(s);
	side_watch(s->peer);
}

/* Bytes as they are on the wire; false when the pair is over. */
static bool
side_send(struct side *s, const uint8_t *p, size_t n)
{
	ssize_t sent = 0;

	if (n == 0)
		return true;
	if (s->rest == NULL && (sent = send(s->fd, p, n, MSG_NOSIGNAL)) == -1) {
		if (errno != EAGAIN) {
			pair_end(s->pair);
			return false;
		}
		sent = 0;
	}
	if ((size_t)sent < n)
		side_keep(s, p + sent, n - (size_t)sent);
	return true;
}

static bool
side_flush_tls(struct side *s)
{
	size_t n = raw_out_n;

	raw_out_n = 0;
	return side_send(s, raw_out, n);
}

static bool
side_write(struct side *s, const uint8_t *p, size_t n)
{
	if (s->ssl == NULL)
		return side_send(s, p, n);
	if (n > 0 && SSL_write(s->ssl, p, (int)n) != (int)n) {
		raw_out_n = 0;
		pair_end(s->pair);
		return false;
	}
	return side_flush_tls(s);
}

static void
side_write_rest(struct side *s)
{
	ssize_t sent = send(s->fd, s->rest + s->rest_at, s->rest_n, MSG_NOSIGNAL);

	if (sent == -1 && errno != EAGAIN) {
		pair_end(s->pair);
		return;
	}
	if (sent == -1)
		return;
	s->rest_at += (size_t)sent;
	s->rest_n -= (size_t)sent;
	if (s->rest_n > 0)
		return;
	free(s->rest);
	s->rest = NULL;
	if (s->fin)
		shutdown(s->fd, SHUT_WR);
	side_watch(s);
	side_watch(s->peer);
	if (s->peer->ssl != NULL && SSL_has_pending(s->peer->ssl))
		side_read_tls(s->peer); /* the socket will not tell of what OpenSSL has */
}

/* ---- TLS */

/* Straight into OpenSSL's own buffer; a read that is not filled has emptied the socket. */
static int
tls_read(BIO *b, char *p, int size)
{
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (drained) {
		BIO_set_retry_read(b);
		return -1;
	}
	n = recv(reader->fd, p, (size_t)size, 0);
	drained = n < size && !reader->hup;
	reader_eof = n == 0;
	if (n == -1 && errno == EAGAIN)
		BIO_set_retry_read(b);
	return (int)n;
}

static int
tls_write(BIO *b, const char *p, int n)
{
	BIO_clear_retry_flags(b);
	if ((size_t)n > sizeof(raw_out) - raw_out_n)
		bench_die("null_proxy: more records than were thought");
	memcpy(raw_out + raw_out_n, p, (size_t)n);
	raw_out_n += (size_t)n;
	return n;
}

static long
tls_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static SSL *
tls_new(void)
{
	SSL *ssl = SSL_new(ctx);
	BIO *bio = BIO_new(method);

	if (ssl == NULL || bio == NULL)
		bench_die("null_proxy: SSL_new");
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}

static void
tls_init(const char *certificate, const char *key)
{
	if ((ctx = SSL_CTX_new(TLS_server_method())) == NULL ||
	    SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		bench_die("null_proxy: the certificate");
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, BENCH_SCRATCH);
	SSL_CTX_set_num_tickets(ctx, 1);
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "null_proxy");
	if (method == NULL || BIO_meth_set_read(method, tls_read) != 1 ||
	    BIO_meth_set_write(method, tls_write) != 1 || BIO_meth_set_ctrl(method, tls_ctrl) != 1)
		bench_die("null_proxy: BIO_meth_new");
}

/* ---- in */

static void
side_end(struct side *s)
{
	s->eof = true;
	if (s->peer->eof && s->rest == NULL && s->peer->rest == NULL) {
		pair_end(s->pair);
		return;
	}
	if (s->peer->rest != NULL)
		s->peer->fin = true;
	else if (s->peer->ssl != NULL)
		pair_end(s->pair);
	else
		shutdown(s->peer->fd, SHUT_WR);
	if (!s->pair->dead)
		side_watch(s);
}

/* Until the socket is empty, or the peer takes no more: then side_watch has it told of again. */
static void
side_read(struct side *s)
{
	ssize_t n;

	do {
		n = recv(s->fd, scratch, sizeof(scratch), 0);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			pair_end(s->pair);
		else if (n == 0)
			side_end(s);
		if (n <= 0 || !side_write(s->peer, scratch, (size_t)n))
			return;
	} while ((s->hup || n == sizeof(scratch)) && s->peer->rest == NULL);
}

/* Open all that comes, and hand it on in as few pieces as it makes. */
static void
side_read_tls(struct side *s)
{
	size_t n = 0;
	int got, e;

	reader = s;
	drained = reader_eof = false;
	for (;;) {
		if (sizeof(scratch) - n < 16384) {
			if (!side_write(s->peer, scratch, n))
				return;
			n = 0;
			if (s->peer->rest != NULL)
				break; /* it is read on when that is out */
		}
		got = SSL_read(s->ssl, scratch + n, (int)(sizeof(scratch) - n));
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	e = got > 0 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, got);
	if (!side_flush_tls(s) || !side_write(s->peer, scratch, n))
		return;
	if (e == SSL_ERROR_ZERO_RETURN || reader_eof)
		side_end(s);
	else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_NONE)
		pair_end(s->pair);
}

static void
side_on_event(struct side *s, uint32_t events)
{
	if (s->pair->dead)
		return;
	s->hup |= (events & SIDE_END) != 0;
	if ((events & EPOLLOUT) != 0 && s->rest != NULL)
		side_write_rest(s);
	if (s->pair->dead || (s->events & EPOLLIN) == 0 || (events & ~(uint32_t)EPOLLOUT) == 0) {
		if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !s->pair->dead)
			pair_end(s->pair);
		return;
	}
	if (s->ssl != NULL)
		side_read_tls(s);
	else
		side_read(s);
}

/* ---- opening */

static int
connect_backend(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (strlen(backend) >= sizeof(sun.sun_path))
		bench_die("null_proxy: the path is too long: %s", backend);
	memcpy(sun.sun_path, backend, strlen(backend) + 1);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		bench_die("null_proxy: connect to %s", backend);
	return fd;
}

static void
accept_all(int listener)
{
	struct pair *p;
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		if ((p = calloc(1, sizeof(*p))) == NULL)
			bench_die("null_proxy: calloc");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		p->side[0] = (struct side){ .fd = fd, .pair = p, .peer = &p->side[1] };
		p->side[1] =
		    (struct side){ .fd = connect_backend(), .pair = p, .peer = &p->side[0] };
		if (ctx != NULL)
			p->side[0].ssl = tls_new();
		for (struct side *s = p->side; s < p->side + 2; s++) {
			s->events = EPOLLIN;
			bench_watch(ep, EPOLL_CTL_ADD, s->fd, EPOLLIN | SIDE_EDGE, s);
		}
	}
	if (errno != EAGAIN)
		bench_die("null_proxy: accept");
}

static int
listen_somewhere(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, n) == -1 || listen(fd, 4096) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &n) == -1)
		bench_die("null_proxy: cannot listen");
	printf("ready %u\n", ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

static void
run(int listener)
{
	static char is_listener, is_input;
	struct epoll_event ev[BENCH_EVENTS];
	int n;

	bench_watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, &is_listener);
	bench_watch(ep, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, &is_input);
	for (;;) {
		n = epoll_wait(ep, ev, BENCH_EVENTS, -1);
		if (n == -1 && errno != EINTR)
			bench_die("null_proxy: epoll_wait");
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &is_input)
				return;
			if (ev[i].data.ptr == &is_listener)
				accept_all(listener);
			else
				side_on_event(ev[i].data.ptr, ev[i].events);
		}
		bury();
	}
}

int
main(int argc, char **argv)
{
	const char *certificate = NULL, *key = NULL;
	int c;

	while ((c = getopt(argc, argv, "c:k:")) != -1) {
		if (c == 'c')
			certificate = optarg;
		else if (c == 'k')
			key = optarg;
		else
			return 64;
	}
	if (argc - optind != 1 || (certificate == NULL) != (key == NULL)) {
		fprintf(stderr, "usage: null_proxy [-c CERTIFICATE -k KEY] BACKEND\n");
		return 64;
	}
	backend = argv[optind];
	bench_raise_nofile();
	if (certificate != NULL)
		tls_init(certificate, key);
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		bench_die("null_proxy: epoll_create1");
	run(listen_somewhere());
	return 0;
}
