/*
 * Building a tls_ctx out of a [listen] section.
 *
 * Certificates that speak for the same names but have keys of different types
 * share one SSL_CTX, of which OpenSSL takes what the client can verify; each
 * other set of names has an SSL_CTX of its own.  A connection starts on the
 * first one, and the SNI callback moves it to the one that has the name.  All of
 * them are configured alike, since OpenSSL takes some settings from the first and
 * some from the current one; session tickets and the session cache are the first
 * one's alone.
 *
 * Main thread, at start and at reload; the callbacks run on any worker and only
 * read.  After tls_ctx_new (and tls_ctx_inherit) nothing changes but the counts,
 * OpenSSL's session cache (locked by itself) and the ticket keys (tls_ticket.c).
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/tls_int.h"

/*
 * Ciphertext taken by one system call: four whole records and their overhead.  A
 * plain 64 KiB would bring three and a part, which stays behind.  A connection
 * has the buffer only while it holds part of a record.  64 KiB messages: 54 us with
 * one record's room, 53 with two, 50 with four, 50 with six.
 */
#define TLS_READ_BUFFER_BYTES (66 * 1024)
#define TLS_SESSION_LIFE_S (2 * 60 * 60)
/* Sessions of TLS 1.2 clients that know no tickets, about 1 KiB each. */
#define TLS_SESSION_CACHE_COUNT 4096
#define TLS_CIPHERS_MAX 4096 /* bytes of TLSCiphers */

static void __attribute__((format(printf, 5, 0))) tls_report_v(struct tls_report *r, bool is_error,
    const char *key, const char *value, const char *fmt, va_list ap)
{
	const struct config_listen *l = r->l;
	char text[512], line[2048];
	size_t n = config_where(line, sizeof(line), l->section, key, value);

	vsnprintf(text, sizeof(text), fmt, ap);
	if (n == 0)
		n = (size_t)snprintf(
		    line, sizeof(line), "%.1000s:%u: ", l->file != NULL ? l->file : "-", l->line);
	snprintf(line + n, sizeof(line) - n, "[listen %s] %s%s%.300s: %s",
	    l->name != NULL ? l->name : "", key, value != NULL ? "=" : "",
	    value != NULL ? value : "", text);
	if (is_error)
		r->errors++;
	r->fn(r->arg, is_error, line);
}

void
tls_report_error(struct tls_report *r, const char *key, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tls_report_v(r, true, key, value, fmt, ap);
	va_end(ap);
}

void
tls_report_warning(struct tls_report *r, const char *key, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tls_report_v(r, false, key, value, fmt, ap);
	va_end(ap);
}

void
tls_report_ssl(struct tls_report *r, const char *key, const char *value, const char *what)
{
	char why[160];

	tls_reason(why, sizeof(why));
	tls_report_error(r, key, value, "%s: %s", what, why);
}

void
tls_reason(char *out, size_t size)
{
	unsigned long e, found = 0;
	const char *text;

	while ((e = ERR_get_error()) != 0)
		if (found == 0 ||
		    (ERR_GET_LIB(found) != ERR_LIB_SSL && ERR_GET_LIB(e) == ERR_LIB_SSL))
			found = e;
	if (found == 0) {
		snprintf(out, size, "unknown error");
		return;
	}
	if (ERR_GET_LIB(found) == ERR_LIB_SSL && ERR_GET_REASON(found) > SSL_AD_REASON_OFFSET &&
	    ERR_GET_REASON(found) <= SSL_AD_REASON_OFFSET + UINT8_MAX) {
		text = SSL_alert_desc_string_long(ERR_GET_REASON(found) - SSL_AD_REASON_OFFSET);
		/* OpenSSL 3.0 has words for TLS 1.3's only among its reasons. */
		if (strcmp(text, "unknown") == 0)
			text = ERR_reason_error_string(found);
		snprintf(out, size, "alert from the peer: %s", text != NULL ? text : "unknown");
		return;
	}
	text = ERR_SYSTEM_ERROR(found) ? strerror(ERR_GET_REASON(found))
				       : ERR_reason_error_string(found);
	if (text != NULL)
		snprintf(out, size, "%s", text);
	else
		snprintf(out, size, "OpenSSL error %#lx", found);
}

/* RFC 7301 3.2: our order wins; without a common protocol the connection ends. */
static int
tls_alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
    unsigned int in_n, void *arg)
{
	static const unsigned char protocols[] = "\x02h2\x08http/1.1";
	const struct tls_ctx *c = arg;
	const unsigned char *ours = c->http2 ? protocols : protocols + 3;
	unsigned int n = (unsigned int)(protocols + sizeof(protocols) - 1 - ours);

	(void)ssl;
	if (SSL_select_next_proto((unsigned char **)out, out_n, ours, n, in, in_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static int
tls_sni_cb(SSL *ssl, int *alert, void *arg)
{
	const struct tls_ctx *c = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t i;

	(void)alert;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	i = tls_names_find(&c->names, name);
	if (i == SIZE_MAX)
		return SSL_TLSEXT_ERR_NOACK; /* the default certificate */
	if (i != 0 && SSL_set_SSL_CTX(ssl, c->ssl[i]) == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* What holds for every listener. */
static void
tls_ssl_ctx_set_habits(SSL_CTX *s)
{
	SSL_CTX_set_options(s,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_clear_options(s, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ENABLE_KTLS);
	SSL_CTX_set_mode(s, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_read_ahead(s, 1);
	SSL_CTX_set_default_read_buffer_len(s, TLS_READ_BUFFER_BYTES);
	SSL_CTX_set_num_tickets(s, 1);
	SSL_CTX_set_timeout(s, TLS_SESSION_LIFE_S);
	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_SERVER);
	SSL_CTX_sess_set_cache_size(s, TLS_SESSION_CACHE_COUNT);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(s, tls_tickets_cb);
}

/* Whether OpenSSL knows one cipher by this name, on a scratch context. */
static bool
tls_cipher_known(SSL_CTX *scratch, const char *name, bool is_suite)
{
	int r = is_suite ? SSL_CTX_set_ciphersuites(scratch, name)
			 : SSL_CTX_set_cipher_list(scratch, name);

	ERR_clear_error();
	return r == 1;
}

/*
 * One item of TLSCiphers goes to the list that it belongs to.  Names that start
 * with TLS_ are TLS 1.3's, but for the RFC names of older ciphers, which all
 * have _WITH_ in them.  OpenSSL drops a name that it does not know in silence; we do
 * not.  Items with an operator in front may well match nothing ("!RC4").
 */
static int
tls_cipher_item(
    SSL_CTX *scratch, const char *item, struct buf *list, struct buf *suites, struct tls_report *r)
{
	bool is_suite = strncmp(item, "TLS_", 4) == 0 && strstr(item, "_WITH_") == NULL;
	struct buf *to = is_suite ? suites : list;

	if (strncmp(item, "TLS_", 4) == 0 && !is_suite) {
		const char *name = OPENSSL_cipher_name(item);

		/* "(NONE)" is OpenSSL's word for an unknown one. */
		if (name != NULL && name[0] != '(')
			item = name;
	}
	if (strchr("!+-@", item[0]) == NULL && !tls_cipher_known(scratch, item, is_suite)) {
		tls_report_error(r, "TLSCiphers", item,
		    "this OpenSSL knows no such cipher; expected names as in `openssl ciphers`");
		return 0;
	}
	if (to->n > 0 && buf_append_char(to, ':') != 0)
		return -1;
	return buf_append_str(to, item);
}

/* Split TLSCiphers at ':' into both lists, NUL-terminated.  0, or -1 without memory. */
static int
tls_ciphers_split(
    SSL_CTX *scratch, const char *text, struct buf *list, struct buf *suites, struct tls_report *r)
{
	while (*text != '\0') {
		size_t n = strcspn(text, ":, ");
		char *item;
		int bad;

		if (n > 0) {
			item = mem_strndup(text, n);
			if (item == NULL)
				return -1;
			bad = tls_cipher_item(scratch, item, list, suites, r);
			mem_free(item);
			if (bad != 0)
				return -1;
		}
		text += n + (text[n] != '\0');
	}
	if (buf_append_char(list, '\0') != 0 || buf_append_char(suites, '\0') != 0)
		return -1;
	return 0;
}

/*
 * TLSCiphers, for 1.2 and 1.3.  Where it names ciphers of one version only, the
 * other keeps OpenSSL's default.
 */
static void
tls_ssl_ctx_set_ciphers(SSL_CTX *s, struct tls_report *r)
{
	const char *text = r->l->tls_ciphers;
	SSL_CTX *scratch;
	struct buf list, suites;
	unsigned errors = r->errors;

	if (text == NULL || text[0] == '\0')
		return;
	buf_init(&list, TLS_CIPHERS_MAX);
	buf_init(&suites, TLS_CIPHERS_MAX);
	scratch = SSL_CTX_new(TLS_server_method());
	if (scratch == NULL || tls_ciphers_split(scratch, text, &list, &suites, r) != 0)
		tls_report_error(r, "TLSCiphers", text, "too long, or out of memory");
	else if (r->errors == errors) {
		if (list.n > 1 && SSL_CTX_set_cipher_list(s, list.p) != 1)
			tls_report_ssl(r, "TLSCiphers", text, "OpenSSL refuses it for TLS 1.2");
		if (suites.n > 1 && SSL_CTX_set_ciphersuites(s, suites.p) != 1)
			tls_report_ssl(r, "TLSCiphers", text, "OpenSSL refuses it for TLS 1.3");
	}
	SSL_CTX_free(scratch);
	buf_clear(&list);
	buf_clear(&suites);
}

/* Client certificates: what is asked for, and who may have signed them. */
static void
tls_ssl_ctx_set_client(SSL_CTX *s, struct tls_report *r)
{
	const struct config_listen *l = r->l;
	STACK_OF(X509_NAME) * names;
	int mode = SSL_VERIFY_PEER;

	if (l->client_certificate == CONFIG_CLIENT_CERT_OFF)
		return;
	if (l->client_certificate == CONFIG_CLIENT_CERT_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(s, mode, NULL);
	if (l->client_ca == NULL || l->client_ca[0] == '\0') {
		tls_report_error(r, "ClientCA", NULL,
		    "is missing; expected a PEM file, because ClientCertificate is on");
		return;
	}
	if (!tls_file_is_no_fifo(l->client_ca, "ClientCA", r))
		return;
	names = SSL_load_client_CA_file(l->client_ca);
	if (names == NULL || SSL_CTX_load_verify_file(s, l->client_ca) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		tls_report_ssl(r, "ClientCA", l->client_ca, "cannot read PEM certificates from it");
		return;
	}
	SSL_CTX_set_client_CA_list(s, names);
}

/*
 * Sessions can be resumed only where the same certificates are asked of the
 * client: a resumed one is not verified again.  So the id is a digest of the
 * listener's name, the mode, and every ClientCA certificate.
 */
static int
tls_ssl_ctx_set_session_id(SSL_CTX *s, const struct config_listen *l)
{
	STACK_OF(X509_OBJECT) *cas = X509_STORE_get0_objects(SSL_CTX_get_cert_store(s));
	unsigned char id[EVP_MAX_MD_SIZE], mode = (unsigned char)l->client_certificate;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned int n;
	int ok;

	ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    (l->name == NULL || EVP_DigestUpdate(md, l->name, strlen(l->name) + 1) == 1) &&
	    EVP_DigestUpdate(md, &mode, 1) == 1;
	for (int i = 0; ok && i < sk_X509_OBJECT_num(cas); i++) {
		X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(cas, i));

		if (x == NULL)
			continue;
		ok = X509_digest(x, EVP_sha256(), id, &n) == 1 && EVP_DigestUpdate(md, id, n) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(md, id, &n) == 1 &&
	    SSL_CTX_set_session_id_context(s, id, n) == 1;
	EVP_MD_CTX_free(md);
	return ok ? 0 : -1;
}

/* A context with all but certificates, or NULL after a report. */
static SSL_CTX *
tls_ssl_ctx_new(struct tls_ctx *c, struct tls_report *r)
{
	const struct config_listen *l = r->l;
	unsigned errors = r->errors;
	SSL_CTX *s = SSL_CTX_new(TLS_server_method());

	if (s == NULL) {
		tls_report_ssl(r, "TLS", "yes", "OpenSSL cannot make a context");
		return NULL;
	}
	SSL_CTX_set_app_data(s, c);
	tls_ssl_ctx_set_habits(s);
	SSL_CTX_set_min_proto_version(
	    s, l->tls_min_version == CONFIG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(s, 0);
	SSL_CTX_set_alpn_select_cb(s, tls_alpn_cb, c);
	SSL_CTX_set_tlsext_servername_callback(s, tls_sni_cb);
	SSL_CTX_set_tlsext_servername_arg(s, c);
	tls_ssl_ctx_set_ciphers(s, r);
	tls_ssl_ctx_set_client(s, r);
	if (tls_ssl_ctx_set_session_id(s, l) != 0)
		tls_report_ssl(r, "TLS", "yes", "OpenSSL cannot set the session id context");
	if (r->errors != errors) {
		SSL_CTX_free(s);
		return NULL;
	}
	return s;
}

/*
 * The context that has exactly these names and no key of this type yet, or a new
 * one; SIZE_MAX after a report.
 */
static size_t
tls_ctx_place(struct tls_ctx *c, const struct tls_pair *p, const struct tls_pair *done,
    const size_t *place, size_t n_done, struct tls_report *r)
{
	int type = EVP_PKEY_get_base_id(p->key);
	SSL_CTX **v;

	for (size_t i = 0; i < c->n_ssl; i++) {
		bool same = false, taken = false;

		for (size_t k = 0; k < n_done; k++) {
			if (place[k] != i)
				continue;
			same = tls_names_eq(&done[k].names, &p->names);
			taken |= EVP_PKEY_get_base_id(done[k].key) == type;
		}
		if (same && !taken)
			return i;
	}
	v = mem_realloc(c->ssl, (c->n_ssl + 1) * sizeof(*v));
	if (v == NULL) {
		tls_report_error(r, "Certificate", NULL, "out of memory");
		return SIZE_MAX;
	}
	c->ssl = v;
	c->ssl[c->n_ssl] = tls_ssl_ctx_new(c, r);
	return c->ssl[c->n_ssl] != NULL ? c->n_ssl++ : SIZE_MAX;
}

/* Give the names of p, which is in ssl[index], to the look-up, and say when it is in vain. */
static void
tls_ctx_add_names(struct tls_ctx *c, const struct tls_pair *p, size_t index, bool is_shared,
    const char *file, struct tls_report *r)
{
	size_t n_new = 0;

	for (size_t i = 0; i < p->names.n; i++) {
		const char *name = p->names.v[i].name;
		bool known = false;

		for (size_t k = 0; k < c->names.n && !known; k++)
			known = strcmp(c->names.v[k].name, name) == 0;
		if (known)
			continue;
		n_new++;
		if (tls_names_add(&c->names, name, strlen(name), index) != 0)
			tls_report_error(r, "Certificate", file, "out of memory");
	}
	if (index != 0 && n_new == 0 && !is_shared)
		tls_report_warning(r, "Certificate", file,
		    p->names.n == 0
			? "the certificate is never used: it has no host name"
			: "the certificate is never used: earlier ones have all its host names");
}

static void
tls_ctx_load_pairs(struct tls_ctx *c, struct tls_pair *pair, size_t *place, struct tls_report *r)
{
	const struct config_listen *l = r->l;
	size_t n_done = 0;

	for (size_t i = 0; i < l->certificate.n; i++) {
		const char *file = l->certificate.v[i];
		struct tls_pair *p = &pair[n_done];
		size_t n_ssl = c->n_ssl, at;

		if (tls_pair_load(p, file, l->certificate_key.v[i], r) != 0)
			continue;
		c->expiry[i] = tls_pair_expiry(p);
		at = place[n_done] = tls_ctx_place(c, p, pair, place, n_done, r);
		n_done++;
		if (at == SIZE_MAX)
			break; /* a wrong setting, which each further one would say again */
		if (SSL_CTX_use_cert_and_key(c->ssl[at], p->leaf, p->key, p->chain, 0) != 1)
			tls_report_ssl(r, "Certificate", file, "OpenSSL refuses the certificate");
		tls_ctx_add_names(c, p, at, c->n_ssl == n_ssl, file, r);
	}
	for (size_t i = 0; i < n_done; i++)
		tls_pair_clear(&pair[i]);
	tls_names_sort(&c->names);
	/* No pair could be read: still say what else is wrong. */
	if (n_done == 0)
		SSL_CTX_free(tls_ssl_ctx_new(c, r));
}

static void
tls_ctx_load(struct tls_ctx *c, struct tls_report *r)
{
	const struct config_listen *l = r->l;
	struct tls_pair *pair;
	size_t *place;

	if (l->certificate.n == 0 || l->certificate.n != l->certificate_key.n) {
		tls_report_error(r, "Certificate", NULL,
		    "%zu files, and %zu of CertificateKey; expected one key for each "
		    "certificate, and at least one",
		    l->certificate.n, l->certificate_key.n);
		return;
	}
	pair = mem_zalloc(l->certificate.n * sizeof(*pair));
	place = mem_zalloc(l->certificate.n * sizeof(*place));
	c->tickets = tls_tickets_new();
	c->expiry = mem_zalloc(l->certificate.n * sizeof(*c->expiry));
	if (pair == NULL || place == NULL || c->tickets == NULL || c->expiry == NULL)
		tls_report_error(r, "Certificate", NULL, "out of memory");
	else
		tls_ctx_load_pairs(c, pair, place, r);
	mem_free(pair);
	mem_free(place);
}

struct tls_ctx *
tls_ctx_new(const struct config_listen *l, config_report_fn *report, void *arg)
{
	struct tls_report r = { .l = l, .fn = report, .arg = arg };
	struct tls_ctx *c = mem_zalloc(sizeof(*c));

	if (c == NULL) {
		tls_report_error(&r, "TLS", "yes", "out of memory");
		return NULL;
	}
	atomic_init(&c->refs, 1);
	c->http2 = l->http2;
	tls_ctx_load(c, &r);
	ERR_clear_error();
	if (r.errors > 0) {
		tls_ctx_unref(c);
		return NULL;
	}
	return c;
}

void
tls_ctx_inherit(struct tls_ctx *c, const struct tls_ctx *old)
{
	struct tls_tickets *k = tls_tickets_ref(old->tickets);

	tls_tickets_unref(c->tickets);
	c->tickets = k;
}

int64_t
tls_ctx_expiry(const struct tls_ctx *c, size_t i)
{
	return c->expiry[i];
}

struct tls_ctx *
tls_ctx_ref(struct tls_ctx *c)
{
	if (c != NULL)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
tls_ctx_unref(struct tls_ctx *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < c->n_ssl; i++)
		SSL_CTX_free(c->ssl[i]);
	mem_free(c->ssl);
	mem_free(c->expiry);
	tls_names_clear(&c->names);
	tls_tickets_unref(c->tickets);
	mem_free(c);
}
