/*
 * See unit_tls.h.  Keys and certificates are made once, in ut_main, before Check
 * forks the cases.
 */
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit_tls.h"

static char dir[] = "/tmp/test_tls.XXXXXX";

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

char *
ut_path(const char *name)
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
	FILE *f = fopen(ut_path(name), "w");

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
make_cert(const char *cn, const char *san, EVP_PKEY *key, int days, const struct identity *issuer)
{
	static long serial = 1;
	struct identity id = { key, X509_new() };
	X509_NAME *n = X509_get_subject_name(id.cert);

	X509_set_version(id.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), -60L * 24 * 3600);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), (long)days * 24 * 3600);
	X509_NAME_add_entry_by_txt(
	    n, "O", MBSTRING_UTF8, (const unsigned char *)"Test, Inc.", -1, -1, 0);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_pubkey(id.cert, key);
	X509_set_issuer_name(id.cert, issuer != NULL ? X509_get_subject_name(issuer->cert) : n);
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
	FILE *f = fopen(ut_path(name), "w");

	PEM_write_X509(f, x);
	if (more != NULL)
		PEM_write_X509(f, more);
	fclose(f);
}

static void
write_key(const char *name, EVP_PKEY *key, const char *pass)
{
	FILE *f = fopen(ut_path(name), "w");

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
ut_make_all(void)
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
ut_remove_all(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		unlink(ut_path(e->d_name));
	if (d != NULL)
		closedir(d);
	rmdir(dir);
	X509_free(ca.cert);
	EVP_PKEY_free(ca.key);
	X509_free(other_ca.cert);
	EVP_PKEY_free(other_ca.key);
}

/* ---- contexts ---- */

void
ut_on_report(void *arg, bool is_error, const char *line)
{
	struct ut_reports *r = arg;
	size_t n = strlen(r->text);

	snprintf(r->text + n, sizeof(r->text) - n, "%s\n", line);
	if (is_error)
		r->errors++;
	else
		r->warnings++;
}

static void
ut_section_init(struct ut_section *s)
{
	memset(s, 0, sizeof(*s));
	s->l.name = (char *)(uintptr_t) "web";
	s->l.file = "wsrelayd.ini";
	s->l.line = 12;
	s->l.tls = true;
	s->l.http2 = true;
	s->l.certificate.v = s->certs;
	s->l.certificate_key.v = s->keys;
}

void
ut_section_add(struct ut_section *s, const char *cert, const char *key)
{
	/* path's buffers are reused: these are kept */
	s->certs[s->l.certificate.n++] = strdup(ut_path(cert));
	s->keys[s->l.certificate_key.n++] = strdup(ut_path(key));
}

void
ut_section_clear(struct ut_section *s)
{
	for (size_t i = 0; i < s->l.certificate.n; i++)
		free(s->certs[i]);
	for (size_t i = 0; i < s->l.certificate_key.n; i++)
		free(s->keys[i]);
	ut_section_init(s);
}

struct tls_ctx *
ut_ctx(struct ut_section *s)
{
	struct ut_reports r = { "", 0, 0 };
	struct tls_ctx *c = tls_ctx_new(&s->l, ut_on_report, &r);

	ck_assert_msg(c != NULL, "%s", r.text);
	ck_assert_str_eq(r.text, "");
	return c;
}

struct ut_section ut_sec;
struct tls_worker *ut_worker;

static void
ut_setup(void)
{
	ut_section_init(&ut_sec);
	ut_worker = tls_worker_new();
	ck_assert_ptr_nonnull(ut_worker);
}

static void
ut_teardown(void)
{
	ut_section_clear(&ut_sec);
	tls_worker_free(ut_worker);
}

struct tls_ctx *
ut_plain_ctx(void)
{
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "default.pem", "default.key");
	return ut_ctx(&ut_sec);
}

void
ut_expect_refused(const char *text)
{
	struct ut_reports r = { "", 0, 0 };
	struct tls_ctx *c = tls_ctx_new(&ut_sec.l, ut_on_report, &r);

	ck_assert_ptr_null(c);
	ck_assert_uint_ge(r.errors, 1);
	ck_assert_msg(strstr(r.text, text) != NULL, "\"%s\" is not in:\n%s", text, r.text);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* ---- connections ---- */

SSL_CTX *
ut_client_ctx(void)
{
	SSL_CTX *x = SSL_CTX_new(TLS_client_method());

	ck_assert_ptr_nonnull(x);
	SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	return x;
}

void
ut_conn_open(struct ut_conn *k, struct tls_ctx *c, SSL_CTX *x)
{
	int fd[2];

	memset(k, 0, sizeof(*k));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	k->fd = fd[0];
	k->client_fd = fd[1];
	k->t = tls_server_new(c, ut_worker, k->fd);
	ck_assert_ptr_nonnull(k->t);
	if (x != NULL) {
		k->c = SSL_new(x);
		SSL_set_fd(k->c, k->client_fd);
		SSL_set_connect_state(k->c);
	}
}

void
ut_conn_close(struct ut_conn *k)
{
	tls_free(k->t);
	SSL_free(k->c);
	close(k->fd);
	if (k->client_fd >= 0)
		close(k->client_fd);
	free(k->q);
	ERR_clear_error();
}

void
ut_conn_send(struct ut_conn *k)
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
		k->q_n -= (size_t)sent;
		memmove(k->q, k->q + sent, k->q_n);
	}
}

enum tls_status
ut_server_handshake(struct ut_conn *k)
{
	enum tls_status st = tls_handshake(k->t);

	ut_conn_send(k);
	return st;
}

enum tls_status
ut_server_read(struct ut_conn *k, void *p, size_t size, size_t *n)
{
	enum tls_status st = tls_read(k->t, p, size, n, true);

	ut_conn_send(k);
	return st;
}

enum tls_status
ut_server_write(struct ut_conn *k, const void *p, size_t n)
{
	struct iovec v = { (void *)(uintptr_t)p, n };
	enum tls_status st = tls_write(k->t, &v, 1);

	ut_conn_send(k);
	return st;
}

enum tls_status
ut_conn_handshake(struct ut_conn *k, bool *client_ok)
{
	enum tls_status st = TLS_AGAIN;
	bool done = false;

	for (int i = 0; i < 100 && (st == TLS_AGAIN || !done); i++) {
		if (!done && SSL_do_handshake(k->c) == 1)
			done = true;
		ERR_clear_error();
		if (st == TLS_AGAIN)
			st = ut_server_handshake(k);
	}
	if (client_ok != NULL)
		*client_ok = done;
	return st;
}

size_t
ut_client_read(struct ut_conn *k, char *p, size_t size)
{
	size_t n = 0, got;

	ut_conn_send(k);
	while (n < size && SSL_read_ex(k->c, p + n, size - n, &got) == 1)
		n += got;
	ERR_clear_error();
	ut_conn_send(k);
	return n;
}

void
ut_conn_up(struct ut_conn *k, struct tls_ctx *c, SSL_CTX *x)
{
	bool ok;
	char byte;

	ut_conn_open(k, c, x);
	ck_assert_msg(ut_conn_handshake(k, &ok) == TLS_OK, "%s", tls_error(k->t));
	ck_assert(ok);
	ut_client_read(k, &byte, 1);
}

void
ut_conn_talk(struct ut_conn *k)
{
	char got[64];
	size_t n;

	ck_assert_int_eq(SSL_write(k->c, "ping", 4), 4);
	ck_assert_int_eq(ut_server_read(k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert_mem_eq(got, "ping", 4);
	ck_assert_int_eq(ut_server_write(k, "pong", 4), TLS_OK);
	ck_assert_uint_eq(ut_client_read(k, got, 4), 4);
	ck_assert_mem_eq(got, "pong", 4);
	ck_assert_int_eq(ut_server_read(k, got, sizeof(got), &n), TLS_AGAIN);
}

void
ut_expect_cn(struct tls_ctx *c, SSL_CTX *x, const char *sni, const char *cn)
{
	struct ut_conn k;
	char got[64];
	X509 *peer;

	ut_conn_open(&k, c, x);
	if (sni != NULL)
		SSL_set_tlsext_host_name(k.c, sni);
	ck_assert_int_eq(ut_conn_handshake(&k, NULL), TLS_OK);
	peer = SSL_get1_peer_certificate(k.c);
	X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, got, sizeof(got));
	ck_assert_msg(strcmp(got, cn) == 0, "%s: got %s, not %s", sni != NULL ? sni : "-", got, cn);
	X509_free(peer);
	ut_conn_close(&k);
}

void
ut_expect_failure(struct tls_ctx *c, SSL_CTX *x, const char *why)
{
	struct ut_conn k;

	ut_conn_open(&k, c, x);
	ck_assert_int_eq(ut_conn_handshake(&k, NULL), TLS_ERROR);
	ck_assert_msg(strcmp(tls_error(k.t), why) == 0, "\"%s\", not \"%s\"", tls_error(k.t), why);
	/* It stays so, and says nothing more. */
	ck_assert_int_eq(ut_server_handshake(&k), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), why);
	ut_conn_close(&k);
}

struct tls_ctx *
ut_client_cert_ctx(enum config_client_cert mode, const char *ca_file)
{
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_sec.l.client_certificate = mode;
	ut_sec.l.client_ca = ut_path(ca_file);
	return ut_ctx(&ut_sec);
}

void
ut_client_use(SSL_CTX *x, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	ck_assert_int_eq(SSL_CTX_use_certificate_file(x, ut_path(file), SSL_FILETYPE_PEM), 1);
	snprintf(file, sizeof(file), "%s.key", name);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(x, ut_path(file), SSL_FILETYPE_PEM), 1);
}

int
ut_main(const char *name, const TTest *const *cases, size_t n)
{
	pid_t main_pid = getpid();
	int status;

	ut_make_all();
	status = unit_run_with(name, cases, n, ut_setup, ut_teardown);
	if (getpid() == main_pid)
		ut_remove_all();
	return status;
}
