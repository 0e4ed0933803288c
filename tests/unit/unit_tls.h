/*
 * What the tests of TLS share (unit_tls.c): certificates in a temporary folder,
 * a [listen] section to fill in, and connections between a server end of ours and an
 * OpenSSL client, joined by a socket pair in one thread.
 */
#ifndef TESTS_UNIT_TLS_H
#define TESTS_UNIT_TLS_H

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stddef.h>

#include "io/tls.h"
#include "io/tls_int.h"
#include "unit.h"

/* Make the certificates, run the cases, remove all; the exit status of main. */
int ut_main(const char *name, const TTest *const *cases, size_t n);

/* ---- files ---- */

/*
 * The path of a file in the folder; in one of a few buffers, which later calls
 * use again.  NAME.pem and NAME.key, signed by ca.pem: default (default.test,
 * alias.test), default-rsa (the same names), wild (*.wild.test, wild.test), exact (RSA,
 * a.wild.test), cn (cn.test, no subjectAltName), ed (Ed25519, ed.test), expired;
 * client, client-expired, client-other (signed by another CA).  Also both-cas.pem,
 * locked.key, empty.pem, garbage.pem.
 */
char *ut_path(const char *name);

/* ---- contexts ---- */

struct ut_reports {
	char text[4096]; /* the lines */
	unsigned errors, warnings;
};

/* A config_report_fn; arg is a struct ut_reports. */
void ut_on_report(void *arg, bool is_error, const char *line);

struct ut_section {
	struct config_listen l;
	char *certs[8], *keys[8];
};

/* Each case has an empty section and a worker of its own. */
extern struct ut_section ut_sec;
extern struct tls_worker *ut_worker;

/* File names, not paths. */
void ut_section_add(struct ut_section *s, const char *cert, const char *key);
void ut_section_clear(struct ut_section *s);
struct tls_ctx *ut_ctx(struct ut_section *s); /* must be without a complaint */
struct tls_ctx *ut_plain_ctx(void);	      /* ut_sec with the default pair */
struct tls_ctx *ut_client_cert_ctx(enum config_client_cert mode, const char *ca_file);

/* Expect that ut_sec is refused, with this text among the errors. */
void ut_expect_refused(const char *text);

/* ---- connections ---- */

struct ut_conn {
	struct tls *t;
	SSL *c; /* the client; NULL when the case plays it itself */
	int fd, client_fd;
	char *q; /* what the server wants to send and the kernel has refused */
	size_t q_n;
};

SSL_CTX *ut_client_ctx(void);
void ut_client_use(SSL_CTX *x, const char *name); /* NAME.pem as its certificate */

void ut_conn_open(struct ut_conn *k, struct tls_ctx *c, SSL_CTX *x);
void ut_conn_close(struct ut_conn *k);
void ut_conn_send(struct ut_conn *k); /* what every caller does after every call */

/* Both handshakes; the server's last word.  *client_ok (or NULL): the client is content too. */
enum tls_status ut_conn_handshake(struct ut_conn *k, bool *client_ok);

/* Open and shake hands, and let the client take its ticket. */
void ut_conn_up(struct ut_conn *k, struct tls_ctx *c, SSL_CTX *x);

/* "ping" one way and "pong" the other. */
void ut_conn_talk(struct ut_conn *k);

/* One call and its sending. */
enum tls_status ut_server_handshake(struct ut_conn *k);
enum tls_status ut_server_read(struct ut_conn *k, void *p, size_t size, size_t *n);
enum tls_status ut_server_write(struct ut_conn *k, const void *p, size_t n);

/* The client takes what is there. */
size_t ut_client_read(struct ut_conn *k, char *p, size_t size);

/* A client with this SNI (or NULL) sees a certificate with this common name. */
void ut_expect_cn(struct tls_ctx *c, SSL_CTX *x, const char *sni, const char *cn);

/* The server's handshake fails for this reason. */
void ut_expect_failure(struct tls_ctx *c, SSL_CTX *x, const char *why);

#endif
