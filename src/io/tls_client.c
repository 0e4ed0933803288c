/*
 * The client's side of TLS: whom it trusts, what it shows, whom it means to meet.  See tls.h.
 *
 * A client's tls_ctx is one SSL_CTX without names and tickets; its connections run through tls.c
 * like a server's.  The server's certificate is verified against the system's authorities or those
 * of a file, and against the host's name or address (RFC 9525), unless that was switched off.
 * Called by the tools; any thread builds, one loop uses.
 */
#include <arpa/inet.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "io/tls_int.h"

/* As for servers (tls_ctx.c): four whole records and their overhead with one system call. */
#define TLS_CLIENT_READ_BYTES (66 * 1024)

static int
tls_client_fail(char *why, size_t size, const char *file, const char *what)
{
	char reason[160];

	tls_reason(reason, sizeof(reason));
	snprintf(why, size, "%s%s%s: %s", file != NULL ? file : "", file != NULL ? ": " : "", what,
	    reason);
	return -1;
}

static int
tls_client_set_trust(SSL_CTX *s, const struct tls_client_options *o, char *why, size_t size)
{
	if (o->insecure) {
		SSL_CTX_set_verify(s, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(s, SSL_VERIFY_PEER, NULL);
	if (o->ca_file != NULL) {
		if (SSL_CTX_load_verify_file(s, o->ca_file) != 1)
			return tls_client_fail(
			    why, size, o->ca_file, "cannot read PEM certificates from it");
		return 0;
	}
	if (SSL_CTX_set_default_verify_paths(s) != 1)
		return tls_client_fail(why, size, NULL, "the system's authorities cannot be read");
	return 0;
}

static int
tls_client_set_own(SSL_CTX *s, const struct tls_client_options *o, char *why, size_t size)
{
	const char *key = o->key_file != NULL ? o->key_file : o->cert_file;

	if (o->cert_file == NULL)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(s, o->cert_file) != 1)
		return tls_client_fail(
		    why, size, o->cert_file, "cannot read a PEM certificate from it");
	/* A key that does not fit the certificate is refused here, too. */
	if (SSL_CTX_use_PrivateKey_file(s, key, SSL_FILETYPE_PEM) != 1)
		return tls_client_fail(why, size, key, "cannot use it as the certificate's key");
	return 0;
}

static int
tls_client_set(struct tls_ctx *c, const struct tls_client_options *o, char *why, size_t size)
{
	SSL_CTX *s;

	if ((c->ssl = mem_zalloc(sizeof(*c->ssl))) == NULL ||
	    (s = c->ssl[0] = SSL_CTX_new(TLS_client_method())) == NULL)
		return tls_client_fail(why, size, NULL, "OpenSSL cannot make a context");
	c->n_ssl = 1;
	SSL_CTX_set_app_data(s, c);
	SSL_CTX_set_min_proto_version(s, TLS1_2_VERSION);
	SSL_CTX_set_options(s, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_clear_options(s, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ENABLE_KTLS);
	SSL_CTX_set_mode(s, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(s, 1);
	SSL_CTX_set_default_read_buffer_len(s, TLS_CLIENT_READ_BYTES);
	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
	if (tls_client_set_trust(s, o, why, size) == -1)
		return -1;
	return tls_client_set_own(s, o, why, size);
}

struct tls_ctx *
tls_client_ctx_new(const struct tls_client_options *o, char *why, size_t size)
{
	struct tls_ctx *c = mem_zalloc(sizeof(*c));

	if (c == NULL) {
		snprintf(why, size, "out of memory");
		return NULL;
	}
	atomic_init(&c->refs, 1);
	ERR_clear_error();
	if (tls_client_set(c, o, why, size) == -1) {
		ERR_clear_error();
		tls_ctx_unref(c);
		return NULL;
	}
	return c;
}

/* RFC 7301 3.1: the protocols in the order of preference. */
static int
tls_client_set_alpn(SSL *ssl, unsigned offer)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	const unsigned char *p = (offer & TLS_OFFER_HTTP2) != 0 ? protocols : protocols + 3;
	const unsigned char *end = (offer & TLS_OFFER_HTTP1) != 0 ? protocols + 12 : protocols + 3;

	/* This one of OpenSSL's functions returns 0 when it has succeeded. */
	return end <= p || SSL_set_alpn_protos(ssl, p, (unsigned int)(end - p)) == 0 ? 0 : -1;
}

int
tls_client_prepare(SSL *ssl, const char *host, unsigned offer)
{
	X509_VERIFY_PARAM *v = SSL_get0_param(ssl);
	unsigned char address[16];

	if (tls_client_set_alpn(ssl, offer) == -1)
		return -1;
	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(v, host) == 1 ? 0 : -1;
	X509_VERIFY_PARAM_set_hostflags(v, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_host(v, host, 0) != 1)
		return -1;
	return SSL_set_tlsext_host_name(ssl, host) == 1 ? 0 : -1;
}
