/*
 * TLS connections.  See tls.h for the contract, tls_ctx.c for what is built before.
 *
 * All connections of a worker share one BIO.  A call points the worker at its
 * connection (tls_begin), and OpenSSL's reads and writes then arrive in
 * tls_bio_read, which asks the kernel, and in tls_bio_write, which only gathers.
 * OpenSSL links a buffering BIO in front of the shared one while a handshake
 * writes; it pushes and pops that on the buffering BIO's side alone, so several
 * handshakes at once do not disturb each other.
 *
 * System calls: a read that brought less than was asked for has emptied the
 * socket, so within the same call the kernel is not asked again (an end that may
 * stand behind it is the caller's to ask for, see tls_left), nor OpenSSL, whose read buffer is
 * gone already when its last record was handed out.  tls_read goes on until the
 * caller's memory is full or the socket is empty, so that one turn's records
 * arrive as one piece.
 *
 * What a peer can make us do within one call is bounded: bytes read
 * (TLS_READ_SLACK past what the caller can take), and messages that carry no
 * data (TLS_MESSAGES_MAX; each KeyUpdate costs a key derivation and an answer).
 *
 * One worker's thread; called by io/transport.c.  Invariants: OpenSSL's error queue
 * is empty before and after every call; out belongs to the worker's current
 * connection, until tls_out has handed it over; after TLS_ERROR no call enters OpenSSL again.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/sock.h"
#include "io/tls_int.h"

#define TLS_RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH /* 16 KiB, RFC 8446 5.1 */
#define TLS_OUT_MIN (64 * 1024)
#define TLS_OUT_KEEP (320 * 1024) /* 256 KiB of data with its records' overhead */
#define TLS_OUT_MAX (1280 * 1024) /* 1 MiB of data with its records' overhead */
/* A larger out buffer goes after so many calls that did not need it. */
#define TLS_OUT_CALM_CALLS 1000
#define TLS_READ_SLACK (64 * 1024)
#define TLS_MESSAGES_MAX 100

struct tls_worker {
	BIO_METHOD *method;  /* owned */
	BIO *bio;	     /* ref; each SSL has one too */
	struct tls *current; /* borrowed: whom the BIO serves, and whose bytes are in out */
	struct buf out;
	unsigned calm_calls; /* since out had to be larger than TLS_OUT_KEEP */
	size_t recv_left;    /* bytes that this call may still read */
	bool drained;	     /* the kernel is not asked again within this call */
	enum tls_left left;
	bool eof;	/* the peer's FIN */
	bool no_memory; /* out could not grow */
	int recv_errno;
	unsigned messages; /* handshake messages within this call */
	char gather[TLS_RECORD_BYTES];
};

struct tls {
	SSL *ssl;		   /* owned */
	struct tls_ctx *ctx;	   /* ref */
	struct tls_worker *worker; /* borrowed */
	char *error;		   /* owned; NULL without one */
	int fd;			   /* borrowed */
	bool established;	   /* the handshake is done */
	bool pending;		   /* see tls_pending */
	/* TLS_OK while bytes may come; else what tls_handshake and tls_read say from now on */
	enum tls_status ended;
};

/* An idle WebSocket has one, beside OpenSSL's 14 KB. */
_Static_assert(sizeof(struct tls) <= 48, "struct tls has grown");

static int
tls_bio_read(BIO *b, char *p, size_t size, size_t *n)
{
	struct tls_worker *w = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	*n = 0;
	if (w->messages > TLS_MESSAGES_MAX && w->current->established)
		return -1;
	if (w->drained || w->recv_left == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (size > w->recv_left)
		size = w->recv_left;
	do
		got = sock_recv(w->current->fd, p, size, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		w->drained = (size_t)got < size;
		w->left = w->drained ? TLS_LEFT_END : TLS_LEFT_SOME;
		w->recv_left -= (size_t)got;
		*n = (size_t)got;
		return 1;
	}
	if (got == 0) {
		w->eof = true;
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		w->drained = true;
		w->left = TLS_LEFT_NONE;
		BIO_set_retry_read(b);
	} else
		w->recv_errno = errno;
	return -1;
}

static int
tls_bio_write(BIO *b, const char *p, size_t size, size_t *n)
{
	struct tls_worker *w = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	*n = 0;
	/* Its growth starts at a useful size, not at buf.c's few bytes. */
	if ((w->out.cap == 0 && buf_reserve(&w->out, TLS_OUT_MIN) != 0) ||
	    buf_append(&w->out, p, size) != 0) {
		w->no_memory = true;
		return -1;
	}
	*n = size;
	return 1;
}

static long
tls_bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	/* Not BIO_CTRL_EOF: tls_judge tells truncation by itself, without an alert. */
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

/* Called for each state of a handshake, and so for each message after it; never for data. */
static void
tls_info_cb(const SSL *ssl, int where, int ret)
{
	(void)ret;
	if ((where & SSL_CB_LOOP) != 0) {
		struct tls_worker *w = BIO_get_data(SSL_get_rbio(ssl));

		w->messages++;
	}
}

struct tls_worker *
tls_worker_new(void)
{
	struct tls_worker *w = mem_zalloc(sizeof(*w));

	if (w == NULL)
		return NULL;
	buf_init(&w->out, TLS_OUT_MAX);
	w->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wsrelayd");
	if (w->method == NULL || BIO_meth_set_read_ex(w->method, tls_bio_read) != 1 ||
	    BIO_meth_set_write_ex(w->method, tls_bio_write) != 1 ||
	    BIO_meth_set_ctrl(w->method, tls_bio_ctrl) != 1)
		goto fail;
	w->bio = BIO_new(w->method);
	if (w->bio == NULL)
		goto fail;
	BIO_set_data(w->bio, w);
	BIO_set_init(w->bio, 1);
	return w;

fail:
	ERR_clear_error();
	tls_worker_free(w);
	return NULL;
}

void
tls_worker_free(struct tls_worker *w)
{
	if (w == NULL)
		return;
	BIO_free(w->bio);
	BIO_meth_free(w->method);
	buf_clear(&w->out);
	OPENSSL_cleanse(w->gather, sizeof(w->gather));
	mem_free(w);
}

/* A connection that has not been told yet which side it is. */
static struct tls *
tls_new(struct tls_ctx *c, struct tls_worker *w, int fd)
{
	struct tls *t = mem_zalloc(sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ssl = SSL_new(c->ssl[0]);
	if (t->ssl == NULL || BIO_up_ref(w->bio) != 1) {
		ERR_clear_error();
		SSL_free(t->ssl);
		mem_free(t);
		return NULL;
	}
	SSL_set_bio(t->ssl, w->bio, w->bio);
	SSL_set_info_callback(t->ssl, tls_info_cb);
	t->ctx = tls_ctx_ref(c);
	t->worker = w;
	t->fd = fd;
	t->ended = TLS_OK;
	return t;
}

struct tls *
tls_server_new(struct tls_ctx *c, struct tls_worker *w, int fd)
{
	struct tls *t = tls_new(c, w, fd);

	if (t != NULL)
		SSL_set_accept_state(t->ssl);
	return t;
}

struct tls *
tls_client_new(struct tls_ctx *c, struct tls_worker *w, int fd, const char *host, unsigned offer)
{
	struct tls *t = tls_new(c, w, fd);

	if (t == NULL)
		return NULL;
	SSL_set_connect_state(t->ssl);
	if (tls_client_prepare(t->ssl, host, offer) == 0)
		return t;
	ERR_clear_error();
	tls_free(t);
	return NULL;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	if (t->worker->current == t)
		t->worker->current = NULL;
	/*
	 * OpenSSL would drop the session of a connection that did not end by
	 * close_notify, as TLS 1.0 asked for; later versions do not (RFC 5246 7.2.1).
	 */
	if (t->established && t->ended != TLS_ERROR)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	ERR_clear_error();
	tls_ctx_unref(t->ctx);
	mem_free(t->error);
	mem_free(t);
}

/* Give a large out buffer back when nobody has needed it for a while. */
static void
tls_out_recycle(struct tls_worker *w)
{
	if (w->out.n > TLS_OUT_KEEP)
		w->calm_calls = 0;
	else if (w->out.cap > TLS_OUT_KEEP && ++w->calm_calls >= TLS_OUT_CALM_CALLS)
		buf_clear(&w->out);
	w->out.n = 0;
}

/* Its own look at an empty queue costs OpenSSL a tenth of a small message. */
static void
tls_clear_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

static void
tls_begin(struct tls *t, size_t recv_max)
{
	struct tls_worker *w = t->worker;

	tls_out_recycle(w);
	w->current = t;
	w->recv_left = recv_max;
	w->drained = false;
	w->left = TLS_LEFT_SOME;
	w->eof = false;
	w->no_memory = false;
	w->recv_errno = 0;
	w->messages = 0;
	tls_clear_errors();
}

/* The reason for TLS_ERROR, out of what the call left behind. */
static void
tls_set_error(struct tls *t)
{
	const struct tls_worker *w = t->worker;
	unsigned long e = ERR_peek_error();
	char why[200], text[160];

	if (w->no_memory)
		snprintf(why, sizeof(why), "out buffer: out of memory");
	else if (w->messages > TLS_MESSAGES_MAX && t->established)
		snprintf(why, sizeof(why), "too many messages without data");
	else if (w->recv_errno != 0)
		snprintf(why, sizeof(why), "recv: %s", strerror(w->recv_errno));
	else if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
	    ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		snprintf(why, sizeof(why), "certificate verify failed: %s",
		    X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)));
	else {
		tls_reason(text, sizeof(text));
		snprintf(why, sizeof(why), "%s", text);
	}
	ERR_clear_error();
	mem_free(t->error);
	t->error = mem_strdup(why);
}

/* What a call that did not succeed means; anything but TLS_AGAIN stays. */
static enum tls_status
tls_judge(struct tls *t, int ret)
{
	struct tls_worker *w = t->worker;

	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		t->ended = TLS_EOF;
		break;
	case SSL_ERROR_SYSCALL:
		if (w->eof && ERR_peek_error() == 0) {
			t->ended = TLS_TRUNCATED;
			break;
		}
		__attribute__((fallthrough));
	default:
		t->ended = TLS_ERROR;
		tls_set_error(t);
		break;
	}
	ERR_clear_error();
	return t->ended;
}

enum tls_status
tls_handshake(struct tls *t)
{
	enum tls_status st;
	int ret;

	tls_begin(t, TLS_READ_SLACK * 4);
	if (t->ended != TLS_OK)
		return t->ended;
	if (t->established)
		return TLS_OK;
	ret = SSL_do_handshake(t->ssl);
	if (ret != 1) {
		st = tls_judge(t, ret);
		return st;
	}
	t->established = true;
	t->pending = SSL_has_pending(t->ssl) == 1;
	ERR_clear_error();
	return TLS_OK;
}

enum tls_status
tls_read(struct tls *t, void *p, size_t size, size_t *n, bool ask)
{
	enum tls_status st = TLS_OK;
	size_t got;
	int ret;

	*n = 0;
	tls_begin(t, size + TLS_READ_SLACK);
	t->worker->drained = !ask;
	t->pending = false;
	if (t->ended != TLS_OK)
		return t->ended;
	while (*n < size) {
		ret = SSL_read_ex(t->ssl, (char *)p + *n, size - *n, &got);
		if (ret != 1) {
			st = tls_judge(t, ret);
			break;
		}
		*n += got;
		/*
		 * All that came was read, and nothing is left of it: asking for more would only
		 * say so.
		 */
		if (t->worker->drained && SSL_has_pending(t->ssl) == 0)
			break;
	}
	/* An end that came behind data is told by the next call; no event will ask for it. */
	t->pending = st == TLS_OK ? SSL_has_pending(t->ssl) == 1 : st != TLS_AGAIN && *n > 0;
	return *n > 0 ? TLS_OK : st;
}

/* Encrypt n bytes; n > 0. */
static enum tls_status
tls_write_piece(struct tls *t, const void *p, size_t n)
{
	size_t written;

	if (SSL_write_ex(t->ssl, p, n, &written) == 1 && written == n)
		return TLS_OK;
	t->ended = TLS_ERROR;
	tls_set_error(t);
	return TLS_ERROR;
}

/* What tls_write does once out is t's. */
static enum tls_status
tls_write_all(struct tls *t, const struct iovec *iov, int n_iov)
{
	struct tls_worker *w = t->worker;
	size_t gathered = 0;

	for (int i = 0; i < n_iov; i++) {
		const char *p = iov[i].iov_base;
		size_t left = iov[i].iov_len, n;

		while (left > 0) {
			/* Whole records, and the very end, need no copy. */
			if (gathered == 0 && (left >= TLS_RECORD_BYTES || i == n_iov - 1)) {
				n = i == n_iov - 1 ? left : left - left % TLS_RECORD_BYTES;
				if (tls_write_piece(t, p, n) != TLS_OK)
					return TLS_ERROR;
			} else {
				n = sizeof(w->gather) - gathered;
				n = left < n ? left : n;
				memcpy(w->gather + gathered, p, n);
				gathered += n;
			}
			p += n;
			left -= n;
			if (gathered < sizeof(w->gather))
				continue;
			if (tls_write_piece(t, w->gather, gathered) != TLS_OK)
				return TLS_ERROR;
			gathered = 0;
		}
	}
	return gathered == 0 ? TLS_OK : tls_write_piece(t, w->gather, gathered);
}

enum tls_status
tls_write(struct tls *t, const struct iovec *iov, int n)
{
	tls_begin(t, 0);
	if (t->ended == TLS_ERROR || !t->established)
		return TLS_ERROR;
	return tls_write_all(t, iov, n);
}

enum tls_status
tls_write_last(struct tls *t, const struct iovec *iov, int n)
{
	enum tls_status st = tls_write(t, iov, n);

	if (st == TLS_OK) {
		(void)SSL_shutdown(t->ssl);
		ERR_clear_error();
	}
	return st;
}

enum tls_status
tls_close_notify(struct tls *t)
{
	tls_begin(t, 0);
	if (t->ended == TLS_ERROR)
		return TLS_ERROR;
	/* Before the handshake is done there is nothing that an end could be told with. */
	if (t->established)
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	return TLS_OK;
}

void
tls_out(struct tls *t, const void **p, size_t *n)
{
	struct tls_worker *w = t->worker;

	*p = w->out.p;
	*n = w->current == t ? w->out.n : 0;
	/* Asked for twice they would be sent twice, which no peer survives. */
	w->current = NULL;
}

bool
tls_pending(const struct tls *t)
{
	return t->pending;
}

enum tls_left
tls_left(const struct tls *t)
{
	return t->worker->left;
}

const char *
tls_error(const struct tls *t)
{
	if (t->error != NULL)
		return t->error;
	switch (t->ended) {
	case TLS_OK:
	case TLS_AGAIN:
		return "no error";
	case TLS_EOF:
		return "closed by the peer";
	case TLS_TRUNCATED:
		return t->established ? "closed by the peer without close_notify"
				      : "closed by the peer in the handshake";
	case TLS_ERROR:
		break;
	}
	return "out of memory"; /* none left for the reason */
}

const char *
tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *
tls_alpn(const struct tls *t)
{
	const unsigned char *p;
	unsigned int n;

	SSL_get0_alpn_selected(t->ssl, &p, &n);
	if (n == 2 && memcmp(p, "h2", 2) == 0)
		return "h2";
	return n == 8 && memcmp(p, "http/1.1", 8) == 0 ? "http/1.1" : "";
}

const char *
tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

void
tls_peer_subject(const struct tls *t, char *out, size_t size)
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	BIO *b;
	int n = 0;

	if (size == 0)
		return;
	out[0] = '\0';
	if (x == NULL || (b = BIO_new(BIO_s_mem())) == NULL)
		return;
	/* RFC 2253 escapes all that is not printable ASCII. */
	if (X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(b, out, size - 1 < INT_MAX ? (int)(size - 1) : INT_MAX);
	out[n > 0 ? n : 0] = '\0';
	BIO_free(b);
	ERR_clear_error();
}
