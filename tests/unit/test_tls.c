/*
 * TLS: a server end of ours and an OpenSSL client, joined by a socket pair in
 * one thread.  Keys and certificates are made once, before the cases fork.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/tls.h"
#include "io/tls_int.h"
#include "unit.h"

#define PUMPS_MAX 200000

static char dir[] = "/tmp/test_tls.XXXXXX";
static pid_t main_pid;

/* ---- files ---- */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static struct identity ca, other_ca;

/* Check's own assertions work within a case only. */
static void
must(bool ok)
{
	if (!ok) {
		perror("test_tls: cannot make the certificates");
		exit(EXIT_FAILURE);
	}
}

/* Its path, in one of a few buffers. */
static char *
path(const char *name)
{
	static char buf[16][300];
	static unsigned next;
	char *p = buf[next++ % 16];

	snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
	return p;
}

static void
write_text(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	must(f != NULL);
	fputs(text, f);
	fclose(f);
}

static void
add_ext(X509 *x, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v3, x, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	must(e != NULL);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

/* san as OpenSSL writes it, or NULL; days from now; issuer NULL is self-signed. */
static struct identity
make_cert(const char *cn, const char *san, EVP_PKEY *key, int days,
    const struct identity *issuer)
{
	static long serial = 1;
	struct identity id = { key, X509_new() };
	X509_NAME *n = X509_get_subject_name(id.cert);

	X509_set_version(id.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), -60L * 24 * 3600);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), (long)days * 24 * 3600);
	X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const unsigned char *)"Test, Inc.",
	    -1, -1, 0);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_pubkey(id.cert, key);
	X509_set_issuer_name(id.cert, issuer != NULL ?
	    X509_get_subject_name(issuer->cert) : n);
	if (san != NULL)
		add_ext(id.cert, NID_subject_alt_name, san);
	if (issuer == NULL)
		add_ext(id.cert, NID_basic_constraints, "critical,CA:TRUE");
	must(X509_sign(id.cert, issuer != NULL ? issuer->key : key, EVP_sha256()) > 0);
	return id;
}

static void
write_cert(const char *name, X509 *x, X509 *more)
{
	FILE *f = fopen(path(name), "w");

	PEM_write_X509(f, x);
	if (more != NULL)
		PEM_write_X509(f, more);
	fclose(f);
}

static void
write_key(const char *name, EVP_PKEY *key, const char *pass)
{
	FILE *f = fopen(path(name), "w");

	PEM_write_PrivateKey(f, key, pass != NULL ? EVP_aes_128_cbc() : NULL,
	    (const unsigned char *)pass, pass != NULL ? (int)strlen(pass) : 0, NULL, NULL);
	fclose(f);
}

/* NAME.pem and NAME.key, signed by the CA. */
static void
make_files(const char *name, const char *cn, const char *san, EVP_PKEY *key, int days,
    const struct identity *issuer)
{
	struct identity id = make_cert(cn, san, key, days, issuer);
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	write_cert(file, id.cert, issuer->cert);
	snprintf(file, sizeof(file), "%s.key", name);
	write_key(file, key, NULL);
	X509_free(id.cert);
	EVP_PKEY_free(key);
}

static EVP_PKEY *
ec_key(void)
{
	return EVP_EC_gen("P-256");
}

static void
make_all(void)
{
	EVP_PKEY *k;

	must(mkdtemp(dir) != NULL);
	ca = make_cert("Test CA", NULL, ec_key(), 1000, NULL);
	other_ca = make_cert("Other CA", NULL, ec_key(), 1000, NULL);
	write_cert("ca.pem", ca.cert, NULL);
	write_cert("both-cas.pem", ca.cert, other_ca.cert);
	make_files("default", "default", "DNS:default.test,DNS:alias.test", ec_key(), 90, &ca);
	make_files("default-rsa", "default rsa", "DNS:alias.test,DNS:Default.TEST",
	    EVP_RSA_gen(2048), 90, &ca);
	make_files("wild", "wild", "DNS:*.wild.test,DNS:wild.test", ec_key(), 90, &ca);
	make_files("exact", "exact", "DNS:a.wild.test", EVP_RSA_gen(2048), 90, &ca);
	make_files("cn", "cn.test", NULL, ec_key(), 90, &ca);
	make_files("ed", "ed", "DNS:ed.test", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), 90, &ca);
	make_files("expired", "expired", "DNS:expired.test", ec_key(), -1, &ca);
	make_files("client", "Älice", NULL, ec_key(), 90, &ca);
	make_files("client-expired", "bob", NULL, ec_key(), -1, &ca);
	make_files("client-other", "mallory", NULL, ec_key(), 90, &other_ca);
	k = ec_key();
	write_key("locked.key", k, "secret");
	EVP_PKEY_free(k);
	write_text("empty.pem", "");
	write_text("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}

static void
remove_all(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		unlink(path(e->d_name));
	if (d != NULL)
		closedir(d);
	rmdir(dir);
	X509_free(ca.cert);
	EVP_PKEY_free(ca.key);
	X509_free(other_ca.cert);
	EVP_PKEY_free(other_ca.key);
}

/* ---- contexts ---- */

struct reports {
	char text[4096];
	unsigned errors, warnings;
};

static void
on_report(void *arg, bool is_error, const char *line)
{
	struct reports *r = arg;
	size_t n = strlen(r->text);

	snprintf(r->text + n, sizeof(r->text) - n, "%s\n", line);
	if (is_error)
		r->errors++;
	else
		r->warnings++;
}

/* A section with the named pairs (up to a NULL). */
struct section {
	struct config_listen l;
	char *certs[8], *keys[8];
};

static void
section_init(struct section *s)
{
	memset(s, 0, sizeof(*s));
	s->l.name = (char *)(uintptr_t)"web";
	s->l.file = "wsrelayd.ini";
	s->l.line = 12;
	s->l.tls = true;
	s->l.http2 = true;
	s->l.certificate.v = s->certs;
	s->l.certificate_key.v = s->keys;
}

static void
section_add(struct section *s, const char *cert, const char *key)
{
	/* path's buffers are reused: these are kept */
	s->certs[s->l.certificate.n++] = strdup(path(cert));
	s->keys[s->l.certificate_key.n++] = strdup(path(key));
}

static void
section_clear(struct section *s)
{
	for (size_t i = 0; i < s->l.certificate.n; i++)
		free(s->certs[i]);
	for (size_t i = 0; i < s->l.certificate_key.n; i++)
		free(s->keys[i]);
	section_init(s);
}

static struct tls_ctx *
ctx_of(struct section *s)
{
	struct reports r = { "", 0, 0 };
	struct tls_ctx *c = tls_ctx_new(&s->l, on_report, &r);

	ck_assert_msg(c != NULL, "%s", r.text);
	ck_assert_str_eq(r.text, "");
	return c;
}

static struct section sec;
static struct tls_worker *worker;

static void
setup(void)
{
	section_init(&sec);
	worker = tls_worker_new();
	ck_assert_ptr_nonnull(worker);
}

static void
teardown(void)
{
	section_clear(&sec);
	tls_worker_free(worker);
}

static struct tls_ctx *
plain_ctx(void)
{
	section_clear(&sec);
	section_add(&sec, "default.pem", "default.key");
	return ctx_of(&sec);
}

/* Expect that the section is refused, with this text among the errors. */
static void
expect_refused(const char *text)
{
	struct reports r = { "", 0, 0 };
	struct tls_ctx *c = tls_ctx_new(&sec.l, on_report, &r);

	ck_assert_ptr_null(c);
	ck_assert_uint_ge(r.errors, 1);
	ck_assert_msg(strstr(r.text, text) != NULL, "\"%s\" is not in:\n%s", text, r.text);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* ---- connections ---- */

struct conn {
	struct tls *t;
	SSL *c;			/* the client */
	int fd, client_fd;
	char *q;		/* what the server wants to send and the kernel has refused */
	size_t q_n;
	unsigned sends;
};

static SSL_CTX *
client_ctx(void)
{
	SSL_CTX *x = SSL_CTX_new(TLS_client_method());

	ck_assert_ptr_nonnull(x);
	SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	return x;
}

static void
conn_open(struct conn *k, struct tls_ctx *c, SSL_CTX *x)
{
	int fd[2];

	memset(k, 0, sizeof(*k));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	k->fd = fd[0];
	k->client_fd = fd[1];
	k->t = tls_server_new(c, worker, k->fd);
	ck_assert_ptr_nonnull(k->t);
	if (x != NULL) {
		k->c = SSL_new(x);
		SSL_set_fd(k->c, k->client_fd);
		SSL_set_connect_state(k->c);
	}
}

static void
conn_close(struct conn *k)
{
	tls_free(k->t);
	SSL_free(k->c);
	close(k->fd);
	if (k->client_fd >= 0)
		close(k->client_fd);
	free(k->q);
	ERR_clear_error();
}

/* What every caller does after every call. */
static void
conn_send(struct conn *k)
{
	const void *p;
	size_t n;
	ssize_t sent;

	ck_assert_uint_eq(ERR_peek_error(), 0);
	tls_out(k->t, &p, &n);
	if (n > 0) {
		k->q = realloc(k->q, k->q_n + n);
		memcpy(k->q + k->q_n, p, n);
		k->q_n += n;
	}
	if (k->q_n == 0)
		return;
	sent = send(k->fd, k->q, k->q_n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
		sent = (ssize_t)k->q_n;
	if (sent > 0) {
		k->sends++;
		k->q_n -= (size_t)sent;
		memmove(k->q, k->q + sent, k->q_n);
	}
}

static enum tls_status
server_handshake(struct conn *k)
{
	enum tls_status st = tls_handshake(k->t);

	conn_send(k);
	return st;
}

static enum tls_status
server_read(struct conn *k, void *p, size_t size, size_t *n)
{
	enum tls_status st = tls_read(k->t, p, size, n);

	conn_send(k);
	return st;
}

static enum tls_status
server_write(struct conn *k, const void *p, size_t n)
{
	struct iovec v = { (void *)(uintptr_t)p, n };
	enum tls_status st = tls_write(k->t, &v, 1);

	conn_send(k);
	return st;
}

/* Both handshakes; the server's last word.  *client_ok: the client is content too. */
static enum tls_status
conn_handshake(struct conn *k, bool *client_ok)
{
	enum tls_status st = TLS_AGAIN;
	bool done = false;

	for (int i = 0; i < 100 && (st == TLS_AGAIN || !done); i++) {
		if (!done && SSL_do_handshake(k->c) == 1)
			done = true;
		ERR_clear_error();
		if (st == TLS_AGAIN)
			st = server_handshake(k);
	}
	if (client_ok != NULL)
		*client_ok = done;
	return st;
}

/* The client takes what is there, tickets too. */
static size_t
client_read(struct conn *k, char *p, size_t size)
{
	size_t n = 0, got;

	conn_send(k);
	while (n < size && SSL_read_ex(k->c, p + n, size - n, &got) == 1)
		n += got;
	ERR_clear_error();
	conn_send(k);
	return n;
}

static void
conn_up(struct conn *k, struct tls_ctx *c, SSL_CTX *x)
{
	bool ok;
	char byte;

	conn_open(k, c, x);
	ck_assert_msg(conn_handshake(k, &ok) == TLS_OK, "%s", tls_error(k->t));
	ck_assert(ok);
	client_read(k, &byte, 1);
}

/* "ping" one way and "pong" the other. */
static void
conn_talk(struct conn *k)
{
	char got[64];
	size_t n;

	ck_assert_int_eq(SSL_write(k->c, "ping", 4), 4);
	ck_assert_int_eq(server_read(k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert_mem_eq(got, "ping", 4);
	ck_assert_int_eq(server_write(k, "pong", 4), TLS_OK);
	ck_assert_uint_eq(client_read(k, got, 4), 4);
	ck_assert_mem_eq(got, "pong", 4);
	ck_assert_int_eq(server_read(k, got, sizeof(got), &n), TLS_AGAIN);
}

/* The peer's common name that a client with this SNI (or NULL) sees. */
static void
expect_cn(struct tls_ctx *c, SSL_CTX *x, const char *sni, const char *cn)
{
	struct conn k;
	char got[64];
	X509 *peer;

	conn_open(&k, c, x);
	if (sni != NULL)
		SSL_set_tlsext_host_name(k.c, sni);
	ck_assert_int_eq(conn_handshake(&k, NULL), TLS_OK);
	peer = SSL_get1_peer_certificate(k.c);
	X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, got, sizeof(got));
	ck_assert_msg(strcmp(got, cn) == 0, "%s: got %s, not %s", sni != NULL ? sni : "-", got, cn);
	X509_free(peer);
	conn_close(&k);
}

/* The server's handshake fails for this reason. */
static void
expect_failure(struct tls_ctx *c, SSL_CTX *x, const char *why)
{
	struct conn k;

	conn_open(&k, c, x);
	ck_assert_int_eq(conn_handshake(&k, NULL), TLS_ERROR);
	ck_assert_msg(strcmp(tls_error(k.t), why) == 0, "\"%s\", not \"%s\"",
	    tls_error(k.t), why);
	/* It stays so, and says nothing more. */
	ck_assert_int_eq(server_handshake(&k), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), why);
	conn_close(&k);
}

/* ---- the section ---- */

START_TEST(tls_ctx_reports_a_missing_file)
{
	section_add(&sec, "none.pem", "default.key");
	expect_refused("wsrelayd.ini:12: [listen web] Certificate=");
	expect_refused("/none.pem: No such file or directory\n");
}
END_TEST

START_TEST(tls_ctx_reports_what_is_no_certificate)
{
	section_add(&sec, "empty.pem", "empty.pem");
	expect_refused("empty.pem: there is no PEM certificate in this file\n");
	expect_refused("empty.pem: there is no PEM private key in this file\n");
	section_clear(&sec);
	section_add(&sec, "garbage.pem", "default.key");
	expect_refused("garbage.pem: cannot read the certificate: ");
	section_clear(&sec);
	section_add(&sec, "default.pem", "default.pem");
	expect_refused("default.pem: there is no PEM private key in this file\n");
}
END_TEST

START_TEST(tls_ctx_reports_a_key_that_does_not_fit)
{
	char line[512];

	section_add(&sec, "default.pem", "wild.key");
	snprintf(line, sizeof(line), "wsrelayd.ini:12: [listen web] CertificateKey=%s: the key does "
	    "not fit the certificate %s; expected its private key\n", path("wild.key"),
	    path("default.pem"));
	expect_refused(line);
	section_clear(&sec);
	section_add(&sec, "default.pem", "default-rsa.key");
	expect_refused("the key does not fit the certificate");
}
END_TEST

START_TEST(tls_ctx_reports_an_encrypted_key_and_asks_nobody)
{
	section_add(&sec, "default.pem", "locked.key");
	expect_refused("the key is encrypted; expected a key without a passphrase\n");
}
END_TEST

START_TEST(tls_ctx_reports_a_pair_without_its_key)
{
	section_add(&sec, "default.pem", "default.key");
	sec.l.certificate.n = 2;
	sec.certs[1] = strdup(path("wild.pem"));
	expect_refused("[listen web] Certificate: 2 files, and 1 of CertificateKey; expected");
}
END_TEST

START_TEST(tls_ctx_reports_all_errors_in_one_run)
{
	struct reports r = { "", 0, 0 };

	section_add(&sec, "none.pem", "wild.key");
	section_add(&sec, "wild.pem", "exact.key");
	section_add(&sec, "default.pem", "default.key");
	sec.l.tls_ciphers = (char *)(uintptr_t)"ECDHE-NONSENSE:TLS_AES_1_GCM";
	sec.l.client_certificate = CONFIG_CLIENT_CERT_REQUIRED;
	ck_assert_ptr_null(tls_ctx_new(&sec.l, on_report, &r));
	ck_assert_msg(r.errors == 5, "%u errors:\n%s", r.errors, r.text);
	ck_assert_ptr_nonnull(strstr(r.text, "TLSCiphers=ECDHE-NONSENSE: this OpenSSL knows no"));
	ck_assert_ptr_nonnull(strstr(r.text, "TLSCiphers=TLS_AES_1_GCM: this OpenSSL knows no"));
	ck_assert_ptr_nonnull(strstr(r.text, "[listen web] ClientCA: is missing"));
	/* and the settings are reported too where no pair can be read */
	section_clear(&sec);
	section_add(&sec, "none.pem", "default.key");
	sec.l.tls_ciphers = (char *)(uintptr_t)"ECDHE-NONSENSE";
	expect_refused("TLSCiphers=ECDHE-NONSENSE: ");
}
END_TEST

START_TEST(tls_ctx_warns_of_an_expired_certificate)
{
	struct reports r = { "", 0, 0 };
	struct tls_ctx *c;

	section_add(&sec, "expired.pem", "expired.key");
	c = tls_ctx_new(&sec.l, on_report, &r);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(r.warnings, 1);
	ck_assert_ptr_nonnull(strstr(r.text, "expired.pem: the certificate expired at 20"));
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_ctx_warns_of_a_certificate_that_is_never_used)
{
	struct reports r = { "", 0, 0 };
	struct tls_ctx *c;

	section_add(&sec, "default.pem", "default.key");
	section_add(&sec, "default.pem", "default.key");
	c = tls_ctx_new(&sec.l, on_report, &r);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(r.warnings, 1);
	ck_assert_ptr_nonnull(strstr(r.text, "earlier ones have all its host names"));
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_ctx_survives_each_failing_allocation)
{
	struct reports r = { "", 0, 0 };
	struct tls_ctx *c = NULL;
	unsigned long n;

	section_add(&sec, "default.pem", "default.key");
	section_add(&sec, "wild.pem", "wild.key");
	sec.l.tls_ciphers = (char *)(uintptr_t)"ECDHE+AESGCM:TLS_AES_128_GCM_SHA256";
	for (n = 1; c == NULL && n < 1000; n++) {
		memset(&r, 0, sizeof(r));
		mem_fail_nth(n);
		c = tls_ctx_new(&sec.l, on_report, &r);
		ck_assert(c != NULL ? r.errors == 0 : r.errors > 0);
	}
	mem_fail_nth(0);
	ck_assert_uint_gt(n, 10);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_server_new_survives_each_failing_allocation)
{
	struct tls_ctx *c = plain_ctx();
	struct tls_worker *w;

	mem_fail_nth(1);
	ck_assert_ptr_null(tls_server_new(c, worker, -1));
	mem_fail_nth(1);
	w = tls_worker_new();
	ck_assert_ptr_null(w);
	mem_fail_nth(0);
	tls_ctx_unref(c);
}
END_TEST

/* ---- versions and ciphers ---- */

START_TEST(tls_speaks_1_2_and_1_3)
{
	static const struct { int version; const char *name; } v[] = {
		{ TLS1_2_VERSION, "TLSv1.2" }, { TLS1_3_VERSION, "TLSv1.3" },
	};
	struct tls_ctx *c = plain_ctx();

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		SSL_CTX *x = client_ctx();
		struct conn k;

		SSL_CTX_set_min_proto_version(x, v[i].version);
		SSL_CTX_set_max_proto_version(x, v[i].version);
		conn_up(&k, c, x);
		ck_assert_str_eq(tls_version(k.t), v[i].name);
		ck_assert_str_eq(tls_alpn(k.t), "");
		ck_assert_str_eq(tls_error(k.t), "no error");
		ck_assert_int_eq(server_handshake(&k), TLS_OK);
		conn_talk(&k);
		conn_close(&k);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_refuses_versions_below_the_least)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();

	SSL_CTX_set_security_level(x, 0);
	SSL_CTX_set_min_proto_version(x, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(x, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(x, "ALL:@SECLEVEL=0");
	expect_failure(c, x, "unsupported protocol");
	tls_ctx_unref(c);
	sec.l.tls_min_version = CONFIG_TLS_1_3;
	c = ctx_of(&sec);
	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	expect_failure(c, x, "unsupported protocol");
	SSL_CTX_set_max_proto_version(x, 0);
	expect_cn(c, x, NULL, "default");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* The cipher that a client of that version gets with this TLSCiphers. */
static void
expect_cipher(const char *text, int version, const char *name)
{
	SSL_CTX *x = client_ctx();
	struct tls_ctx *c;
	struct conn k;

	sec.l.tls_ciphers = (char *)(uintptr_t)text;
	c = ctx_of(&sec);
	SSL_CTX_set_min_proto_version(x, version);
	SSL_CTX_set_max_proto_version(x, version);
	conn_up(&k, c, x);
	ck_assert_str_eq(SSL_get_cipher_name(k.c), name);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}

START_TEST(tls_ciphers_are_split_between_1_2_and_1_3)
{
	const char *both = "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_CHACHA20_POLY1305_SHA256:"
	    "ECDHE-ECDSA-AES256-GCM-SHA384:!RC4:TLS_AES_128_GCM_SHA256";

	section_add(&sec, "default.pem", "default.key");
	expect_cipher(both, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
	expect_cipher(both, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
	expect_cipher("TLS_AES_128_GCM_SHA256", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384");
	expect_cipher("TLS_AES_128_GCM_SHA256", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	expect_cipher("ECDHE-ECDSA-AES128-SHA256", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384");
	expect_cipher("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", TLS1_2_VERSION,
	    "ECDHE-ECDSA-AES128-GCM-SHA256");
	expect_cipher("ECDHE+AESGCM:!AES256", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
	sec.l.tls_ciphers = (char *)(uintptr_t)"!aNULL";
	expect_refused("TLSCiphers=!aNULL: OpenSSL refuses it for TLS 1.2: no cipher match");
	sec.l.tls_ciphers = (char *)(uintptr_t)"DEFAULT:TLS_MADE_UP_WITH_NOTHING";
	expect_refused("TLSCiphers=TLS_MADE_UP_WITH_NOTHING: this OpenSSL knows no such cipher");
}
END_TEST

START_TEST(tls_tells_that_no_cipher_is_shared)
{
	SSL_CTX *x = client_ctx();
	struct tls_ctx *c;

	section_add(&sec, "default.pem", "default.key");
	sec.l.tls_ciphers = (char *)(uintptr_t)"ECDHE-ECDSA-AES128-GCM-SHA256";
	c = ctx_of(&sec);
	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(x, "ECDHE-ECDSA-AES256-GCM-SHA384");
	expect_failure(c, x, "no shared cipher");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- SNI ---- */

START_TEST(tls_names_match_one_wildcard_label)
{
	struct tls_names s = { NULL, 0 };
	static const char *const names[] = { "*.wild.test", "A.wild.test", "wild.test.", "b.test" };

	ck_assert_uint_eq(tls_names_find(&s, "a.test"), SIZE_MAX);
	for (size_t i = 0; i < UNIT_COUNT(names); i++)
		ck_assert_int_eq(tls_names_add(&s, names[i], strlen(names[i]), i), 0);
	/* twice: the lower index stays; and two that no SNI can say */
	ck_assert_int_eq(tls_names_add(&s, "b.test", 6, 9), 0);
	ck_assert_int_eq(tls_names_add(&s, "c.test\0d", 8, 9), 0);
	ck_assert_int_eq(tls_names_add(&s, "", 0, 9), 0);
	tls_names_sort(&s);
	ck_assert_uint_eq(s.n, 4);
	ck_assert_uint_eq(tls_names_find(&s, "a.WILD.test"), 1);
	ck_assert_uint_eq(tls_names_find(&s, "b.wild.test"), 0);
	ck_assert_uint_eq(tls_names_find(&s, "b.wild.test."), 0);
	ck_assert_uint_eq(tls_names_find(&s, "x.b.wild.test"), SIZE_MAX);
	ck_assert_uint_eq(tls_names_find(&s, ".wild.test"), SIZE_MAX);
	ck_assert_uint_eq(tls_names_find(&s, "wild.test"), 2);
	ck_assert_uint_eq(tls_names_find(&s, "b.test"), 3);
	ck_assert_uint_eq(tls_names_find(&s, "c.test"), SIZE_MAX);
	ck_assert_uint_eq(tls_names_find(&s, "test"), SIZE_MAX);
	ck_assert_uint_eq(tls_names_find(&s, ""), SIZE_MAX);
	ck_assert_uint_eq(tls_names_find(&s, "."), SIZE_MAX);
	tls_names_clear(&s);
}
END_TEST

START_TEST(tls_picks_the_certificate_by_sni)
{
	SSL_CTX *x = client_ctx();
	struct tls_ctx *c;

	section_add(&sec, "default.pem", "default.key");
	section_add(&sec, "wild.pem", "wild.key");
	section_add(&sec, "exact.pem", "exact.key");
	section_add(&sec, "cn.pem", "cn.key");
	section_add(&sec, "ed.pem", "ed.key");
	c = ctx_of(&sec);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX_set_max_proto_version(x, version);
		expect_cn(c, x, NULL, "default");
		expect_cn(c, x, "unknown.test", "default");
		expect_cn(c, x, "alias.test", "default");
		expect_cn(c, x, "wild.test", "wild");
		expect_cn(c, x, "b.wild.test", "wild");
		expect_cn(c, x, "A.Wild.test", "exact");
		expect_cn(c, x, "c.b.wild.test", "default");
		expect_cn(c, x, "cn.test", "cn.test");
		expect_cn(c, x, "ed.test", "ed");
	}
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_picks_the_key_type_that_the_client_verifies)
{
	SSL_CTX *x = client_ctx();
	struct tls_ctx *c;

	section_add(&sec, "default.pem", "default.key");
	section_add(&sec, "wild.pem", "wild.key");
	section_add(&sec, "default-rsa.pem", "default-rsa.key");
	c = ctx_of(&sec);
	ck_assert_uint_eq(c->n_ssl, 2);
	expect_cn(c, x, "default.test", "default");
	SSL_CTX_set1_sigalgs_list(x, "RSA-PSS+SHA256:RSA+SHA256");
	expect_cn(c, x, "default.test", "default rsa");
	expect_cn(c, x, NULL, "default rsa");
	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(x, "ECDHE-RSA-AES128-GCM-SHA256");
	expect_cn(c, x, "alias.test", "default rsa");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_sends_the_chain)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;

	SSL_CTX_load_verify_file(x, path("ca.pem"));
	SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
	conn_up(&k, c, x);
	ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(k.c)), 2);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- client certificates ---- */

static void
client_use(SSL_CTX *x, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	ck_assert_int_eq(SSL_CTX_use_certificate_file(x, path(file), SSL_FILETYPE_PEM), 1);
	snprintf(file, sizeof(file), "%s.key", name);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(x, path(file), SSL_FILETYPE_PEM), 1);
}

static struct tls_ctx *
client_cert_ctx(enum config_client_cert mode, const char *ca_file)
{
	section_clear(&sec);
	section_add(&sec, "default.pem", "default.key");
	sec.l.client_certificate = mode;
	sec.l.client_ca = path(ca_file);
	return ctx_of(&sec);
}

START_TEST(tls_requires_a_client_certificate)
{
	struct tls_ctx *c = client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "ca.pem");

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = client_ctx();
		struct conn k;
		char subject[64];

		SSL_CTX_set_max_proto_version(x, version);
		expect_failure(c, x, "peer did not return a certificate");
		client_use(x, "client-other");
		expect_failure(c, x, "certificate verify failed: "
		    "unable to get local issuer certificate");
		client_use(x, "client-expired");
		expect_failure(c, x, "certificate verify failed: certificate has expired");
		client_use(x, "client");
		conn_up(&k, c, x);
		tls_client_subject(k.t, subject, sizeof(subject));
		ck_assert_str_eq(subject, "CN=\\C3\\84lice,O=Test\\, Inc.");
		tls_client_subject(k.t, subject, 5);
		ck_assert_str_eq(subject, "CN=\\");
		/* the client is told whose certificates are welcome */
		ck_assert_int_eq(sk_X509_NAME_num(SSL_get0_peer_CA_list(k.c)), 1);
		conn_talk(&k);
		conn_close(&k);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_takes_an_optional_client_certificate)
{
	struct tls_ctx *c = client_cert_ctx(CONFIG_CLIENT_CERT_OPTIONAL, "both-cas.pem");
	SSL_CTX *x = client_ctx();
	struct conn k;
	char subject[64] = "unset";

	conn_up(&k, c, x);
	tls_client_subject(k.t, subject, sizeof(subject));
	ck_assert_str_eq(subject, "");
	conn_close(&k);
	client_use(x, "client-expired");
	expect_failure(c, x, "certificate verify failed: certificate has expired");
	client_use(x, "client-other");
	conn_up(&k, c, x);
	tls_client_subject(k.t, subject, sizeof(subject));
	ck_assert_str_eq(subject, "CN=mallory,O=Test\\, Inc.");
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_reports_a_bad_client_ca)
{
	section_add(&sec, "default.pem", "default.key");
	sec.l.client_certificate = CONFIG_CLIENT_CERT_OPTIONAL;
	sec.l.client_ca = path("none.pem");
	expect_refused("none.pem: cannot read PEM certificates from it: ");
	sec.l.client_ca = path("empty.pem");
	expect_refused("empty.pem: cannot read PEM certificates from it: ");
	sec.l.client_ca = NULL;
	expect_refused("ClientCA: is missing");
}
END_TEST

/* ---- ALPN ---- */

START_TEST(tls_alpn_prefers_by_the_server)
{
	static const unsigned char h2_first[] = "\x02h2\x08http/1.1";
	static const unsigned char h1_first[] = "\x08http/1.1\x02h2";
	static const unsigned char unknown[] = "\x06spdy/3\x07webrtc2";
	struct tls_ctx *c = plain_ctx();
	const char *best = TLS_HTTP2_BUILT ? "h2" : "http/1.1";
	SSL_CTX *x = client_ctx();
	struct conn k;

	SSL_CTX_set_alpn_protos(x, h2_first, sizeof(h2_first) - 1);
	conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), best);
	conn_close(&k);
	SSL_CTX_set_alpn_protos(x, h1_first, sizeof(h1_first) - 1);
	conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), best);
	conn_close(&k);
	/* as it will be with HTTP/2 */
	c->http2 = true;
	conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), "h2");
	conn_close(&k);
	SSL_CTX_set_alpn_protos(x, unknown, sizeof(unknown) - 1);
	tls_ctx_unref(c);
	sec.l.http2 = false;
	c = ctx_of(&sec);
	SSL_CTX_set_alpn_protos(x, h2_first, sizeof(h2_first) - 1);
	conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), "http/1.1");
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_alpn_without_a_common_protocol_gets_the_alert)
{
	static const unsigned char unknown[] = "\x06spdy/3\x07webrtc2";
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;

	SSL_CTX_set_alpn_protos(x, unknown, sizeof(unknown) - 1);
	expect_failure(c, x, "no application protocol");
	conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(server_handshake(&k), TLS_ERROR);
	ERR_clear_error();
	ck_assert_int_ne(SSL_do_handshake(k.c), 1);
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()),
	    SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- sessions ---- */

/* Connect with a session (or NULL); whether it was resumed; *next is a new session. */
static bool
resume(struct tls_ctx *c, SSL_CTX *x, SSL_SESSION *s, SSL_SESSION **next)
{
	struct conn k;
	bool ok, reused;
	char byte;

	conn_open(&k, c, x);
	if (s != NULL)
		SSL_set_session(k.c, s);
	ck_assert_msg(conn_handshake(&k, &ok) == TLS_OK, "%s", tls_error(k.t));
	client_read(&k, &byte, 1);
	conn_talk(&k);
	reused = SSL_session_reused(k.c) == 1;
	if (next != NULL)
		*next = SSL_get1_session(k.c);
	/* as a client that goes away without a word */
	SSL_set_shutdown(k.c, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	conn_close(&k);
	return reused;
}

START_TEST(tls_resumes_sessions)
{
	static const struct { int version; uint64_t options; } v[] = {
		{ TLS1_3_VERSION, 0 }, { TLS1_2_VERSION, 0 },
		{ TLS1_2_VERSION, SSL_OP_NO_TICKET },	/* the server's cache */
	};
	struct tls_ctx *c = plain_ctx();

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		SSL_CTX *x = client_ctx();
		SSL_SESSION *a, *b;

		SSL_CTX_set_max_proto_version(x, v[i].version);
		SSL_CTX_set_options(x, v[i].options);
		ck_assert(!resume(c, x, NULL, &a));
		ck_assert(resume(c, x, a, &b));
		ck_assert(resume(c, x, b, NULL));
		SSL_SESSION_free(a);
		SSL_SESSION_free(b);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_resumes_with_a_certificate_by_sni)
{
	SSL_CTX *x = client_ctx();
	struct tls_ctx *c;
	SSL_SESSION *s = NULL;

	section_add(&sec, "default.pem", "default.key");
	section_add(&sec, "wild.pem", "wild.key");
	c = ctx_of(&sec);
	for (int i = 0; i < 2; i++) {
		struct conn k;
		char byte;

		conn_open(&k, c, x);
		SSL_set_tlsext_host_name(k.c, "a.wild.test");
		if (s != NULL)
			SSL_set_session(k.c, s);
		ck_assert_int_eq(conn_handshake(&k, NULL), TLS_OK);
		client_read(&k, &byte, 1);
		ck_assert_int_eq(SSL_session_reused(k.c), i);
		SSL_SESSION_free(s);
		s = SSL_get1_session(k.c);
		SSL_set_shutdown(k.c, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		conn_close(&k);
	}
	SSL_SESSION_free(s);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

static int tickets_seen;

static int
on_new_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	(void)s;
	tickets_seen++;
	return 0;
}

START_TEST(tls_sends_one_ticket_a_handshake)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	SSL_SESSION *a;

	SSL_CTX_sess_set_new_cb(x, on_new_session);
	ck_assert(!resume(c, x, NULL, &a));
	ck_assert_int_eq(tickets_seen, 1);
	ck_assert(resume(c, x, a, NULL));
	ck_assert_int_eq(tickets_seen, 2);
	SSL_SESSION_free(a);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_tickets_outlive_a_reload)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_ctx *old = plain_ctx(), *new = ctx_of(&sec), *stranger = ctx_of(&sec);
		SSL_CTX *x = client_ctx();
		SSL_SESSION *a, *b;

		SSL_CTX_set_max_proto_version(x, version);
		tls_ctx_inherit(new, old);
		ck_assert(!resume(old, x, NULL, &a));
		tls_ctx_unref(old);
		ck_assert(!resume(stranger, x, a, NULL));
		ck_assert(resume(new, x, a, &b));
		SSL_SESSION_free(a);
		SSL_SESSION_free(b);
		SSL_CTX_free(x);
		tls_ctx_unref(new);
		tls_ctx_unref(stranger);
	}
}
END_TEST

START_TEST(tls_tickets_are_void_when_the_client_ca_changes)
{
	struct tls_ctx *old = client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "both-cas.pem");
	struct tls_ctx *same = client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "both-cas.pem");
	struct tls_ctx *new = client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "ca.pem");
	SSL_CTX *x = client_ctx();
	SSL_SESSION *s;
	struct conn k;

	tls_ctx_inherit(same, old);
	tls_ctx_inherit(new, old);
	client_use(x, "client-other");
	ck_assert(!resume(old, x, NULL, &s));
	ck_assert(resume(same, x, s, NULL));
	conn_open(&k, new, x);
	SSL_set_session(k.c, s);
	ck_assert_int_eq(conn_handshake(&k, NULL), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t),
	    "certificate verify failed: unable to get local issuer certificate");
	conn_close(&k);
	SSL_SESSION_free(s);
	SSL_CTX_free(x);
	tls_ctx_unref(old);
	tls_ctx_unref(same);
	tls_ctx_unref(new);
}
END_TEST

START_TEST(tls_ticket_keys_rotate)
{
	struct tls_ctx *c = plain_ctx();

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = client_ctx();
		SSL_SESSION *a, *b;

		SSL_CTX_set_max_proto_version(x, version);
		ck_assert(!resume(c, x, NULL, &a));
		ck_assert_int_eq(tls_tickets_rotate(c->tickets), 0);
		ck_assert(resume(c, x, a, &b));		/* b is of the new key */
		ck_assert_int_eq(tls_tickets_rotate(c->tickets), 0);
		ck_assert(!resume(c, x, a, NULL));
		ck_assert(resume(c, x, b, NULL));
		SSL_SESSION_free(a);
		SSL_SESSION_free(b);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

/* ---- ends ---- */

START_TEST(tls_tells_close_notify_from_truncation)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	char got[8];
	size_t n;

	conn_up(&k, c, x);
	SSL_shutdown(k.c);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_EOF);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_EOF);
	ck_assert(!tls_pending(k.t));
	/* our half is still open */
	ck_assert_int_eq(server_write(&k, "bye", 3), TLS_OK);
	ck_assert_int_eq(tls_close_notify(k.t), TLS_OK);
	conn_send(&k);
	ck_assert_uint_eq(client_read(&k, got, 8), 3);
	ck_assert_int_eq(SSL_get_shutdown(k.c), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	conn_close(&k);

	conn_up(&k, c, x);
	shutdown(k.client_fd, SHUT_WR);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_TRUNCATED);
	ck_assert_str_eq(tls_error(k.t), "closed by the peer without close_notify");
	tls_out(k.t, &(const void *){ NULL }, &n);
	ck_assert_uint_eq(n, 0);	/* no alert either */
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_TRUNCATED);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_hands_data_up_before_the_end)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();

	for (int clean = 0; clean < 2; clean++) {
		struct conn k;
		char got[64];
		size_t n;

		conn_up(&k, c, x);
		ck_assert_int_eq(SSL_write(k.c, "last", 4), 4);
		ck_assert_int_eq(SSL_write(k.c, "words", 5), 5);
		if (clean)
			SSL_shutdown(k.c);
		shutdown(k.client_fd, SHUT_WR);
		ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_OK);
		ck_assert_uint_eq(n, 9);
		ck_assert_mem_eq(got, "lastwords", 9);
		/* the socket may never speak again, so the end is pending */
		ck_assert(tls_pending(k.t) == (clean == 1));
		ck_assert_int_eq(server_read(&k, got, sizeof(got), &n),
		    clean ? TLS_EOF : TLS_TRUNCATED);
		ck_assert(!tls_pending(k.t));
		conn_close(&k);
	}
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_close_notify_ends_our_half)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	char got[8];
	size_t n;

	conn_open(&k, c, x);
	ck_assert_int_eq(tls_close_notify(k.t), TLS_OK);	/* before the handshake: nothing */
	tls_out(k.t, &(const void *){ NULL }, &n);
	ck_assert_uint_eq(n, 0);
	conn_close(&k);
	conn_up(&k, c, x);
	ck_assert_int_eq(tls_close_notify(k.t), TLS_OK);
	conn_send(&k);
	ck_assert_uint_eq(client_read(&k, got, 8), 0);
	ck_assert_int_eq(SSL_get_shutdown(k.c), SSL_RECEIVED_SHUTDOWN);
	/* what the peer still sends arrives */
	ck_assert_int_eq(SSL_write(k.c, "more", 4), 4);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert_int_eq(server_write(&k, "x", 1), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "protocol is shutdown");
	ck_assert_int_eq(tls_close_notify(k.t), TLS_ERROR);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_names_what_breaks_a_handshake)
{
	static const struct { const char *bytes, *why; } v[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http request" },
		{ "CONNECT a:1 HTTP/1.1\r\n\r\n", "https proxy request" },
		{ "nonsense that is not TLS", "wrong version number" },
	};
	struct tls_ctx *c = plain_ctx();

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		struct conn k;

		conn_open(&k, c, NULL);
		ck_assert_int_eq(server_handshake(&k), TLS_AGAIN);
		ck_assert_int_gt(send(k.client_fd, v[i].bytes, strlen(v[i].bytes), 0), 0);
		ck_assert_int_eq(server_handshake(&k), TLS_ERROR);
		ck_assert_str_eq(tls_error(k.t), v[i].why);
		conn_close(&k);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_tells_that_the_peer_left_in_the_handshake)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;

	conn_open(&k, c, NULL);
	close(k.client_fd);
	k.client_fd = -1;
	ck_assert_int_eq(server_handshake(&k), TLS_TRUNCATED);
	ck_assert_str_eq(tls_error(k.t), "closed by the peer in the handshake");
	conn_close(&k);

	conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(server_handshake(&k), TLS_AGAIN);
	shutdown(k.client_fd, SHUT_WR);
	ck_assert_int_eq(server_handshake(&k), TLS_TRUNCATED);
	ck_assert_int_eq(server_handshake(&k), TLS_TRUNCATED);
	conn_close(&k);

	/* a socket error: unread bytes make the close a reset */
	conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(server_handshake(&k), TLS_AGAIN);
	close(k.client_fd);
	k.client_fd = -1;
	ck_assert_int_eq(server_handshake(&k), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "recv: Connection reset by peer");
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_names_the_alert_of_the_peer)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();

	SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);	/* and it knows no CA */
	expect_failure(c, x, "alert from the peer: unknown CA");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_refuses_a_broken_record)
{
	static const char record[] = "\x17\x03\x03\0\x20" "this is not encrypted by any key";
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	char got[8];
	size_t n;

	conn_up(&k, c, x);
	ck_assert_int_eq(SSL_write(k.c, "ok", 2), 2);
	ck_assert_int_gt(send(k.client_fd, record, sizeof(record) - 1, 0), 0);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert(tls_pending(k.t));
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "decryption failed or bad record mac");
	ck_assert_int_eq(server_write(&k, "x", 1), TLS_ERROR);
	/* the client got the alert */
	ck_assert_int_le(SSL_read(k.c, got, sizeof(got)), 0);
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()),
	    SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- data ---- */

/* A client whose bytes arrive one at a time: its BIO pair is copied by hand. */
START_TEST(tls_takes_one_byte_at_a_time)
{
	struct tls_ctx *c = plain_ctx();

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = client_ctx();
		enum tls_status st = TLS_AGAIN;
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		char sent[300], got[300], byte;
		size_t n, have = 0;
		bool wrote = false;
		struct conn k;
		ssize_t r;

		memset(sent, 'b', sizeof(sent));
		SSL_CTX_set_max_proto_version(x, version);
		conn_open(&k, c, x);
		SSL_set_bio(k.c, in, out);
		for (int i = 0; i < PUMPS_MAX && have < sizeof(sent); i++) {
			if (!SSL_is_init_finished(k.c))
				SSL_do_handshake(k.c);
			else if (!wrote) {
				ck_assert_int_eq(SSL_write(k.c, sent, sizeof(sent)), sizeof(sent));
				wrote = true;
			}
			ERR_clear_error();
			if (BIO_read(out, &byte, 1) == 1)
				ck_assert_int_eq(write(k.client_fd, &byte, 1), 1);
			if (st != TLS_OK) {
				st = server_handshake(&k);
				ck_assert_msg(st == TLS_OK || st == TLS_AGAIN, "%s", tls_error(k.t));
			} else if (server_read(&k, got + have, sizeof(got) - have, &n) == TLS_OK)
				have += n;
			while ((r = read(k.client_fd, &byte, 1)) == 1)
				BIO_write(in, &byte, 1);
		}
		ck_assert_uint_eq(have, sizeof(sent));
		ck_assert_mem_eq(got, sent, sizeof(sent));
		conn_close(&k);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

static void
fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (char)(seed >> 24);
	}
}

/* The server writes iov, the client reads it back whole; then the other way. */
static void
expect_carried(struct conn *k, const struct iovec *iov, int n_iov)
{
	size_t total = 0, have = 0, sent = 0, n, part;
	char *all, *got;

	for (int i = 0; i < n_iov; i++)
		total += iov[i].iov_len;
	all = malloc(total + 1);
	got = malloc(total + 1);
	for (int i = 0; i < n_iov; i++) {
		memcpy(all + have, iov[i].iov_base, iov[i].iov_len);
		have += iov[i].iov_len;
	}
	ck_assert_int_eq(tls_write(k->t, iov, n_iov), TLS_OK);
	conn_send(k);
	have = 0;
	for (int i = 0; i < PUMPS_MAX && have < total; i++)
		have += client_read(k, got + have, total - have);
	ck_assert_uint_eq(have, total);
	ck_assert_mem_eq(got, all, total);
	memset(got, 0, total);
	have = 0;
	for (int i = 0; i < PUMPS_MAX && have < total; i++) {
		if (sent < total && SSL_write_ex(k->c, all + sent,
		    total - sent < 16384 ? total - sent : 16384, &part) == 1)
			sent += part;
		ERR_clear_error();
		if (i % 8 == 7 || sent == total)	/* several records wait at once */
			if (server_read(k, got + have, total - have, &n) == TLS_OK)
				have += n;
	}
	ck_assert_uint_eq(have, total);
	ck_assert_mem_eq(got, all, total);
	free(all);
	free(got);
}

START_TEST(tls_carries_big_data_byte_exact)
{
	static const size_t sizes[] = { 1, 2, 125, 16383, 16384, 16385, 32768, 65536, 100000,
	    262144, 1048576 };
	struct tls_ctx *c = plain_ctx();
	char *data = malloc(1048576 + 64);

	fill(data, 1048576 + 64, 1);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = client_ctx();
		struct conn k;

		SSL_CTX_set_max_proto_version(x, version);
		conn_up(&k, c, x);
		for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
			struct iovec v[] = { { data, 10 }, { data, 0 }, { data + 10, sizes[i] },
			    { data + 3, 7 }, { data, sizes[i] / 2 }, { data + 5, 0 } };

			v[4].iov_len = sizes[i] == 1048576 ? 0 : sizes[i] / 2;
			expect_carried(&k, &v[2], 1);
			expect_carried(&k, v, 3);
			expect_carried(&k, v, 6);
		}
		conn_close(&k);
		SSL_CTX_free(x);
	}
	free(data);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_gathers_small_pieces_into_one_record)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct iovec v[100];
	char data[100];
	const void *p;
	struct conn k;
	size_t n;

	memset(data, 'x', sizeof(data));
	for (int i = 0; i < 100; i++)
		v[i] = (struct iovec){ data, sizeof(data) };
	conn_up(&k, c, x);
	ck_assert_int_eq(tls_write(k.t, v, 100), TLS_OK);
	tls_out(k.t, &p, &n);
	ck_assert_uint_eq(n, 5 + 10000 + 1 + 16);
	conn_send(&k);
	ck_assert_int_eq(tls_write(k.t, v, 0), TLS_OK);
	tls_out(k.t, &p, &n);
	ck_assert_uint_eq(n, 0);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_write_past_the_maximum_is_an_error)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	char *data = calloc(1, 2 * 1048576);
	struct iovec v = { data, 2 * 1048576 };
	struct conn k;

	conn_up(&k, c, x);
	ck_assert_int_eq(tls_write(k.t, &v, 1), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "out buffer: out of memory");
	conn_close(&k);
	/* and the worker goes on */
	conn_up(&k, c, x);
	conn_talk(&k);
	conn_close(&k);
	free(data);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_survives_a_failing_allocation_of_its_buffer)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	enum tls_status st = TLS_AGAIN;

	conn_open(&k, c, x);
	for (int i = 0; i < 10 && st == TLS_AGAIN; i++) {
		SSL_do_handshake(k.c);
		mem_fail_nth(1);
		st = tls_handshake(k.t);
		mem_fail_nth(0);
		conn_send(&k);
	}
	ck_assert_int_eq(st, TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "out buffer: out of memory");
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_pending_tells_what_a_small_read_left)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	char got[64];
	size_t n;

	conn_up(&k, c, x);
	ck_assert(!tls_pending(k.t));
	ck_assert_int_eq(SSL_write(k.c, "0123456789", 10), 10);
	ck_assert_int_eq(SSL_write(k.c, "abcdef", 6), 6);
	ck_assert_int_eq(server_read(&k, got, 4, &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert(tls_pending(k.t));
	ck_assert_int_eq(server_read(&k, got, 6, &n), TLS_OK);
	ck_assert(tls_pending(k.t));	/* the second record */
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 6);
	ck_assert_mem_eq(got, "abcdef", 6);
	ck_assert(!tls_pending(k.t));
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_keeps_data_that_came_with_the_handshake)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	char got[64];
	size_t n;

	conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(server_handshake(&k), TLS_AGAIN);
	ck_assert_int_eq(SSL_do_handshake(k.c), 1);
	ck_assert_int_eq(SSL_write(k.c, "early", 5), 5);
	ck_assert_int_eq(server_handshake(&k), TLS_OK);
	ck_assert(tls_pending(k.t));
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 5);
	ck_assert(!tls_pending(k.t));
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_partial_record_is_not_pending)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	BIO *out = BIO_new(BIO_s_mem());
	struct conn k;
	char got[64], *p;
	size_t n;
	long len;

	conn_up(&k, c, x);
	SSL_set0_wbio(k.c, out);
	ck_assert_int_eq(SSL_write(k.c, "halved", 6), 6);
	len = BIO_get_mem_data(out, &p);
	ck_assert_int_eq(write(k.client_fd, p, 9), 9);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_AGAIN);
	ck_assert(!tls_pending(k.t));
	ck_assert_int_eq(write(k.client_fd, p + 9, (size_t)len - 9), len - 9);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 6);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_interleaves_connections_on_one_worker)
{
	enum { N = 16 };
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k[N];
	enum tls_status st[N];
	char a[3000], got[3000];
	size_t n;

	/* Every step of the handshakes by turns, in both directions. */
	for (int i = 0; i < N; i++) {
		conn_open(&k[i], c, x);
		st[i] = TLS_AGAIN;
	}
	for (int round = 0; round < 20; round++)
		for (int j = 0; j < N; j++) {
			int i = round % 2 ? j : N - 1 - j;

			SSL_do_handshake(k[i].c);
			ERR_clear_error();
			if (st[i] == TLS_AGAIN)
				st[i] = server_handshake(&k[i]);
		}
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(st[i], TLS_OK);
	for (int i = 0; i < N; i++)	/* the tickets */
		client_read(&k[i], got, 1);
	/* One leaves in the middle. */
	tls_free(k[3].t);
	k[3].t = tls_server_new(c, worker, k[3].fd);
	for (unsigned round = 0; round < 10; round++) {
		for (int i = 0; i < N; i++) {
			fill(a, sizeof(a), round * N + (unsigned)i);
			if (i != 3)
				ck_assert_int_eq(SSL_write(k[i].c, a, sizeof(a)), sizeof(a));
		}
		for (int i = N - 1; i >= 0; i--) {
			if (i == 3)
				continue;
			fill(a, sizeof(a), round * N + (unsigned)i);
			ck_assert_int_eq(server_read(&k[i], got, sizeof(got), &n), TLS_OK);
			ck_assert_uint_eq(n, sizeof(a));
			ck_assert_mem_eq(got, a, sizeof(a));
			ck_assert_int_eq(server_write(&k[i], got, n), TLS_OK);
		}
		for (int i = 0; i < N; i++) {
			fill(a, sizeof(a), round * N + (unsigned)i);
			if (i == 3)
				continue;
			ck_assert_uint_eq(client_read(&k[i], got, sizeof(got)), sizeof(got));
			ck_assert_mem_eq(got, a, sizeof(a));
		}
	}
	for (int i = 0; i < N; i++)
		conn_close(&k[i]);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_out_belongs_to_the_last_call)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn a, b;
	const void *p;
	size_t n;

	conn_up(&a, c, x);
	conn_up(&b, c, x);
	ck_assert_int_eq(tls_write(a.t, &(struct iovec){ (char[]){ "aa" }, 2 }, 1), TLS_OK);
	tls_out(b.t, &p, &n);
	ck_assert_uint_eq(n, 0);
	conn_send(&a);
	conn_close(&a);
	conn_talk(&b);
	conn_close(&b);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- what a peer may not do ---- */

START_TEST(tls_answers_a_key_update)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;

	conn_up(&k, c, x);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(SSL_key_update(k.c, SSL_KEY_UPDATE_REQUESTED), 1);
		conn_talk(&k);
	}
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_ends_a_flood_of_key_updates)
{
	static const int kinds[] = { SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED };
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();

	for (size_t i = 0; i < UNIT_COUNT(kinds); i++) {
		enum tls_status st = TLS_AGAIN;
		struct conn k;
		char got[64];
		size_t n;

		conn_up(&k, c, x);
		for (int j = 0; j < 2000; j++) {
			SSL_key_update(k.c, kinds[i]);
			if (SSL_do_handshake(k.c) != 1)
				break;
		}
		ERR_clear_error();
		for (int j = 0; j < 4 && st == TLS_AGAIN; j++)
			st = server_read(&k, got, sizeof(got), &n);
		ck_assert_int_eq(st, TLS_ERROR);
		ck_assert_str_eq(tls_error(k.t), "too many messages without data");
		conn_close(&k);
	}
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_refuses_renegotiation)
{
	struct tls_ctx *c = plain_ctx();
	SSL_CTX *x = client_ctx();
	struct conn k;
	char got[8];
	size_t n;

	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	conn_up(&k, c, x);
	ck_assert_int_eq(SSL_renegotiate(k.c), 1);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(server_read(&k, got, sizeof(got), &n), TLS_AGAIN);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		tls_ctx_reports_a_missing_file,
		tls_ctx_reports_what_is_no_certificate,
		tls_ctx_reports_a_key_that_does_not_fit,
		tls_ctx_reports_an_encrypted_key_and_asks_nobody,
		tls_ctx_reports_a_pair_without_its_key,
		tls_ctx_reports_all_errors_in_one_run,
		tls_ctx_warns_of_an_expired_certificate,
		tls_ctx_warns_of_a_certificate_that_is_never_used,
		tls_ctx_survives_each_failing_allocation,
		tls_server_new_survives_each_failing_allocation,
		tls_speaks_1_2_and_1_3,
		tls_refuses_versions_below_the_least,
		tls_ciphers_are_split_between_1_2_and_1_3,
		tls_tells_that_no_cipher_is_shared,
		tls_names_match_one_wildcard_label,
		tls_picks_the_certificate_by_sni,
		tls_picks_the_key_type_that_the_client_verifies,
		tls_sends_the_chain,
		tls_requires_a_client_certificate,
		tls_takes_an_optional_client_certificate,
		tls_reports_a_bad_client_ca,
		tls_alpn_prefers_by_the_server,
		tls_alpn_without_a_common_protocol_gets_the_alert,
		tls_resumes_sessions,
		tls_resumes_with_a_certificate_by_sni,
		tls_sends_one_ticket_a_handshake,
		tls_tickets_outlive_a_reload,
		tls_tickets_are_void_when_the_client_ca_changes,
		tls_ticket_keys_rotate,
		tls_tells_close_notify_from_truncation,
		tls_hands_data_up_before_the_end,
		tls_close_notify_ends_our_half,
		tls_names_what_breaks_a_handshake,
		tls_tells_that_the_peer_left_in_the_handshake,
		tls_names_the_alert_of_the_peer,
		tls_refuses_a_broken_record,
		tls_takes_one_byte_at_a_time,
		tls_carries_big_data_byte_exact,
		tls_gathers_small_pieces_into_one_record,
		tls_write_past_the_maximum_is_an_error,
		tls_survives_a_failing_allocation_of_its_buffer,
		tls_pending_tells_what_a_small_read_left,
		tls_keeps_data_that_came_with_the_handshake,
		tls_partial_record_is_not_pending,
		tls_interleaves_connections_on_one_worker,
		tls_out_belongs_to_the_last_call,
		tls_answers_a_key_update,
		tls_ends_a_flood_of_key_updates,
		tls_refuses_renegotiation,
	};
	int status;

	main_pid = getpid();
	make_all();
	status = unit_run_with("tls", cases, UNIT_COUNT(cases), setup, teardown);
	if (getpid() == main_pid)
		remove_all();
	return status;
}
