/*
 * What the files of TLS share: tls.c (connections), tls_ctx.c (building a
 * context), tls_cert.c (certificate files and SNI names), tls_ticket.c (ticket
 * keys), tls_client.c (the client's side).  Nobody else includes this, but for their unit test.
 */
#ifndef IO_TLS_INT_H
#define IO_TLS_INT_H

#include <openssl/ssl.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "io/tls.h"

/* A host name that a certificate speaks for, and where the certificate is. */
struct tls_name {
	char *name;   /* owned; lower case; "*.example.com" as it stands */
	size_t index; /* in tls_ctx.ssl[] */
};

struct tls_names {
	struct tls_name *v; /* owned; sorted by tls_names_sort */
	size_t n;
};

/* One Certificate and its CertificateKey. */
struct tls_pair {
	X509 *leaf;		/* owned, as all here */
	STACK_OF(X509) * chain; /* what follows the leaf in its file; may be empty */
	EVP_PKEY *key;
	struct tls_names names; /* sorted; index is not set */
};

struct tls_ctx {
	_Atomic unsigned refs;
	SSL_CTX **ssl; /* owned; one for each set of names, [0] is the default */
	size_t n_ssl;
	struct tls_names names;	     /* of all certificates: what SNI is looked up in */
	struct tls_tickets *tickets; /* ref; NULL for clients */
	int64_t *expiry;	     /* owned; see tls_ctx_expiry; NULL for clients */
	bool http2;		     /* ALPN offers h2 */
};

/* Where errors of one section go. */
struct tls_report {
	const struct config_listen *l;
	config_report_fn *fn;
	void *arg;
	unsigned errors;
};

/*
 * Report "FILE:LINE: [listen NAME] KEY=VALUE: text"; value may be NULL.  An
 * error is counted.  With OpenSSL's reason behind the text: tls_report_ssl,
 * which empties the error queue.
 */
void tls_report_error(struct tls_report *r, const char *key, const char *value, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
void tls_report_warning(struct tls_report *r, const char *key, const char *value, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
void tls_report_ssl(struct tls_report *r, const char *key, const char *value, const char *what);

/*
 * The reason of the first error of libssl in this thread's queue (or else of
 * the first error), as a short text into out; the queue is empty afterwards.
 */
void tls_reason(char *out, size_t size);

/* tls_cert.c */

/*
 * False, after a report, for a FIFO: start and reload would wait until somebody opens its other
 * end.
 */
bool tls_file_is_no_fifo(const char *file, const char *conf_key, struct tls_report *r);

/* Read both files and check that they fit.  0, or -1 after a report. */
int tls_pair_load(
    struct tls_pair *p, const char *cert_file, const char *key_file, struct tls_report *r);
void tls_pair_clear(struct tls_pair *p);
/*
 * When the first of the leaf and its chain expires, in seconds since 1970; INT64_MAX: it cannot be
 * told.
 */
int64_t tls_pair_expiry(const struct tls_pair *p);

/* 0, or -1 without memory (the names that fitted stay). */
int tls_names_add(struct tls_names *s, const char *name, size_t n, size_t index);
void tls_names_sort(struct tls_names *s); /* of equal ones the lowest index stays */
bool tls_names_eq(const struct tls_names *a, const struct tls_names *b);
void tls_names_clear(struct tls_names *s);

/* The index for what a client sent as SNI (exact, then one wildcard label), or SIZE_MAX. */
size_t tls_names_find(const struct tls_names *s, const char *sni);

/* tls_ticket.c */

/* One reference; NULL when there is no memory or randomness. */
struct tls_tickets *tls_tickets_new(void);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *k);
void tls_tickets_unref(struct tls_tickets *k);

/* A new key seals from now on; the one before still opens.  0, or -1 (all stays). */
int tls_tickets_rotate(struct tls_tickets *k);

/*
 * For SSL_CTX_set_tlsext_ticket_key_evp_cb; the SSL_CTX's app data is the
 * struct tls_ctx.
 */
int tls_tickets_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int seal);

/* tls_client.c */

/* Who is to be met, and what is offered, see tls_client_new.  0, or -1 without memory. */
int tls_client_prepare(SSL *ssl, const char *host, unsigned offer);

#endif
