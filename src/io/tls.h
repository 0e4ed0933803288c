/*
 * TLS by OpenSSL.  A tls_ctx is what a [listen] section says (certificates, SNI, versions,
 * client certificates, ALPN, session tickets), built by the main thread, immutable and
 * reference-counted; a tls is one connection's state, on one worker.
 *
 * No connection owns BIO memory: all connections of a worker share one BIO (struct tls_worker),
 * which is pointed at the connection's fd for the length of a call.  What OpenSSL wants to send is
 * gathered in the worker's out buffer during a call and handed to the caller, who sends it with
 * one system call (or queues what the kernel refuses).  Reads go from the fd straight into
 * OpenSSL's buffer, with read-ahead; SSL_MODE_RELEASE_BUFFERS gives it back while the connection
 * is idle.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "config/config.h"

struct tls_ctx;
struct tls_worker;
struct tls;

/*
 * Build what the section says; NULL after every error went to report (FILE:LINE: message; a
 * certificate that cannot be read or parsed, a key that does not fit its certificate, a bad cipher
 * string, a bad ClientCA, an expired certificate is a warning).  One reference.  Thread-safe ref
 * and unref.
 */
struct tls_ctx *tls_ctx_new(const struct config_listen *l, config_report_fn *report, void *arg);
/* NULL is nothing to both. */
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c);

/*
 * Reload: let c go on with the ticket keys of old (the same listener's, before), so that sessions
 * can be
 * resumed.  Before c is in use.  Where ClientCertificate or ClientCA has changed, the tickets are
 * refused all the same.
 */
void tls_ctx_inherit(struct tls_ctx *c, const struct tls_ctx *old);

/*
 * Until when certificate i of the section's list, with what follows it in its file, is valid:
 * seconds since 1970; INT64_MAX: it cannot be told.
 */
int64_t tls_ctx_expiry(const struct tls_ctx *c, size_t i);

/* One for each worker thread; NULL without memory. */
struct tls_worker *tls_worker_new(void);
void tls_worker_free(struct tls_worker *w);

/*
 * A new server-side connection; fd is borrowed for as long as the tls lives; takes a reference on
 * c. NULL without memory.
 */
struct tls *tls_server_new(struct tls_ctx *c, struct tls_worker *w, int fd);
void tls_free(struct tls *t);

/* Whom a client trusts, and what it shows.  All files are PEM. */
struct tls_client_options {
	const char *ca_file;   /* NULL: the system's authorities */
	const char *cert_file; /* the client's own, with its chain; NULL: none */
	const char *key_file;  /* NULL: in cert_file */
	bool insecure;	       /* the server's certificate is not verified */
};

/*
 * The context of clients (tls_client.c).  One reference; NULL with why (size bytes) saying what is
 * wrong, the file's name in it where it is about one.  Not for tls_server_new or tls_ctx_inherit.
 */
struct tls_ctx *tls_client_ctx_new(const struct tls_client_options *o, char *why, size_t size);

/* What a client offers by ALPN (RFC 7301), h2 first; none of them: no ALPN. */
enum tls_offer { TLS_OFFER_HTTP1 = 1, TLS_OFFER_HTTP2 = 2 };

/*
 * A new client-side connection, as tls_server_new.  host is what the server's certificate must
 * speak for: a name, which SNI tells too (RFC 6066 3), or an address without brackets, which it
 * does not.  offer is of enum tls_offer.
 */
struct tls *tls_client_new(
    struct tls_ctx *c, struct tls_worker *w, int fd, const char *host, unsigned offer);

enum tls_status {
	TLS_OK,
	TLS_AGAIN,     /* wait until the fd is readable, unless tls_left says TLS_LEFT_SOME */
	TLS_EOF,       /* clean end: close_notify came */
	TLS_TRUNCATED, /* the peer's FIN without close_notify */
	TLS_ERROR,     /* tls_error says why; the connection is dead (an alert may be in out) */
};

/*
 * Each of these may leave bytes to send: the caller takes them with tls_out right after EVERY
 * call, before any other tls of the same worker is used (TLS_ERROR too: an alert).  They never
 * wait for the fd to be writable.
 */
/* TLS_OK: data may have come with it, see tls_pending */
enum tls_status tls_handshake(struct tls *t);
/*
 * TLS_OK: 1 <= *n <= size.  Takes record after record until p is full or the socket is empty; an
 * end or an error
 * that stands behind data is told by the next call (tls_pending is true until then).  ask: false
 * where the socket is known to be empty: only what OpenSSL holds is read, and tls_left says
 * TLS_LEFT_SOME, which means nothing then.
 */
enum tls_status tls_read(struct tls *t, void *p, size_t size, size_t *n, bool ask);
/* All of iov is encrypted, small pieces gathered into full records; TLS_OK or TLS_ERROR. */
enum tls_status tls_write(struct tls *t, const struct iovec *iov, int n_iov);
/* The same with close_notify behind it: both are taken with one tls_out. */
enum tls_status tls_write_last(struct tls *t, const struct iovec *iov, int n_iov);
enum tls_status tls_close_notify(struct tls *t);

/*
 * The bytes to send, borrowed until the next tls_ call on this worker (the caller has taken them
 * then).  They are handed over once: asked for again, *n is 0.
 */
void tls_out(struct tls *t, const void **p, size_t *n);

/* Whether OpenSSL holds bytes that a read might return without the fd becoming readable. */
bool tls_pending(const struct tls *t);

/*
 * What the last tls_handshake or tls_read, before any other call on this worker, has shown of the
 * socket.
 */
enum tls_left {
	TLS_LEFT_SOME, /* nothing: there may be more */
	TLS_LEFT_END,  /* it had less than was asked for: an end may stand behind that */
	TLS_LEFT_NONE, /* it had nothing */
};
enum tls_left tls_left(const struct tls *t);

const char *tls_error(const struct tls *t);   /* why, for the log; never NULL */
const char *tls_version(const struct tls *t); /* "TLSv1.3"; valid after the handshake; static */
const char *tls_alpn(const struct tls *t);    /* "h2", "http/1.1" or "" ; static */
/* OpenSSL's name for it; valid after the handshake; static */
const char *tls_cipher(const struct tls *t);
/*
 * After the handshake; the subject of the peer's certificate (RFC 2253) into out, or an empty
 * string.
 */
void tls_peer_subject(const struct tls *t, char *out, size_t size);

#endif
