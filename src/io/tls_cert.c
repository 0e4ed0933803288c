/*
 * Certificate files, and the host names that certificates speak for.
 *
 * A pair is read whole and checked (does the key fit, is it expired) before
 * OpenSSL's context sees it, so that an error names the file that is wrong and
 * says what is wrong with it.  Names come from the dNSName entries of
 * subjectAltName, and from the common name where there are none (RFC 6125 6.4.4).
 *
 * Main thread while a context is built; tls_names_find on any thread, on names
 * that do not change any more.
 */
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/span.h"
#include "io/tls_int.h"

#define TLS_NAME_MAX 255 /* RFC 1035 2.3.4 */

bool
tls_file_is_no_fifo(const char *file, const char *conf_key, struct tls_report *r)
{
	struct stat sb;

	if (stat(file, &sb) == -1 || !S_ISFIFO(sb.st_mode))
		return true; /* what else is wrong with it is told by who opens it */
	tls_report_error(r, conf_key, file, "expected a file, not a FIFO");
	return false;
}

/* A file as a BIO (freed by the caller), or NULL after a report. */
static BIO *
tls_file_open(const char *file, const char *conf_key, struct tls_report *r)
{
	FILE *f;
	BIO *b;

	if (!tls_file_is_no_fifo(file, conf_key, r))
		return NULL;
	if ((f = fopen(file, "re")) == NULL) {
		tls_report_error(r, conf_key, file, "%s", strerror(errno));
		return NULL;
	}
	b = BIO_new_fp(f, BIO_CLOSE);
	if (b == NULL) {
		fclose(f);
		tls_report_error(r, conf_key, file, "out of memory");
	}
	return b;
}

/* Whether the queue ends in "there is no (further) such thing in the file"; empties it. */
static bool
tls_pem_at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

static int
tls_pair_read_certs(struct tls_pair *p, const char *file, struct tls_report *r)
{
	BIO *b = tls_file_open(file, "Certificate", r);
	X509 *x;

	if (b == NULL)
		return -1;
	p->leaf = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL);
	if (p->leaf == NULL) {
		if (tls_pem_at_end())
			tls_report_error(
			    r, "Certificate", file, "there is no PEM certificate in this file");
		else
			tls_report_ssl(r, "Certificate", file, "cannot read the certificate");
		goto fail;
	}
	p->chain = sk_X509_new_null();
	if (p->chain == NULL)
		goto no_memory;
	while ((x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		if (sk_X509_push(p->chain, x) == 0) {
			X509_free(x);
			goto no_memory;
		}
	}
	if (!tls_pem_at_end()) {
		tls_report_ssl(
		    r, "Certificate", file, "cannot read a further certificate in this file");
		goto fail;
	}
	BIO_free(b);
	return 0;

no_memory:
	tls_report_error(r, "Certificate", file, "out of memory");
fail:
	BIO_free(b);
	return -1;
}

/* A daemon cannot ask anybody: *arg (a bool) tells that it would have had to. */
static int
tls_password_cb(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1;
}

static int
tls_pair_read_key(struct tls_pair *p, const char *file, struct tls_report *r)
{
	BIO *b = tls_file_open(file, "CertificateKey", r);
	bool asked = false;

	if (b == NULL)
		return -1;
	p->key = PEM_read_bio_PrivateKey(b, NULL, tls_password_cb, &asked);
	BIO_free(b);
	if (p->key != NULL)
		return 0;
	if (asked) {
		tls_report_error(r, "CertificateKey", file,
		    "the key is encrypted; expected a key without a passphrase");
		ERR_clear_error();
	} else if (tls_pem_at_end() || ERR_peek_error() == 0 ||
	    ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_UNSUPPORTED) {
		/* OpenSSL 3 says "unsupported" for a file without any key. */
		tls_report_error(
		    r, "CertificateKey", file, "there is no PEM private key in this file");
		ERR_clear_error();
	} else
		tls_report_ssl(r, "CertificateKey", file, "cannot read the key");
	return -1;
}

/* 0, or -1 without memory. */
static int
tls_pair_read_names(struct tls_pair *p)
{
	GENERAL_NAMES *san = X509_get_ext_d2i(p->leaf, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(p->leaf);
	int r = 0, i;

	for (i = 0; i < sk_GENERAL_NAME_num(san); i++) {
		GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);

		if (g->type == GEN_DNS)
			r |= tls_names_add(&p->names,
			    (const char *)ASN1_STRING_get0_data(g->d.dNSName),
			    (size_t)ASN1_STRING_length(g->d.dNSName), 0);
	}
	GENERAL_NAMES_free(san);
	for (i = -1; p->names.n == 0 &&
	     (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) {
		ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
		unsigned char *utf8;
		int n = ASN1_STRING_to_UTF8(&utf8, cn);

		if (n < 0)
			continue;
		r |= tls_names_add(&p->names, (const char *)utf8, (size_t)n, 0);
		OPENSSL_free(utf8);
	}
	tls_names_sort(&p->names);
	ERR_clear_error();
	return r;
}

static void
tls_pair_warn_dates(const struct tls_pair *p, const char *file, struct tls_report *r)
{
	const ASN1_TIME *end = X509_get0_notAfter(p->leaf);
	const ASN1_TIME *start = X509_get0_notBefore(p->leaf);
	struct tm tm;
	char text[32] = "";

	if (X509_cmp_current_time(end) < 0) {
		if (ASN1_TIME_to_tm(end, &tm) == 1)
			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm);
		tls_report_warning(r, "Certificate", file, "the certificate expired at %s", text);
	} else if (X509_cmp_current_time(start) > 0) {
		if (ASN1_TIME_to_tm(start, &tm) == 1)
			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm);
		tls_report_warning(
		    r, "Certificate", file, "the certificate is not valid before %s", text);
	}
}

static int64_t
tls_cert_expiry(const X509 *cert)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1 ? (int64_t)timegm(&tm)
								   : INT64_MAX;
}

int64_t
tls_pair_expiry(const struct tls_pair *p)
{
	int64_t first = tls_cert_expiry(p->leaf), t;

	for (int i = 0; i < sk_X509_num(p->chain); i++)
		if ((t = tls_cert_expiry(sk_X509_value(p->chain, i))) < first)
			first = t;
	return first;
}

int
tls_pair_load(struct tls_pair *p, const char *cert_file, const char *key_file, struct tls_report *r)
{
	int bad;

	memset(p, 0, sizeof(*p));
	ERR_clear_error();
	bad = tls_pair_read_certs(p, cert_file, r);
	bad |= tls_pair_read_key(p, key_file, r);
	if (bad != 0)
		goto fail;
	if (X509_check_private_key(p->leaf, p->key) != 1) {
		ERR_clear_error();
		tls_report_error(r, "CertificateKey", key_file,
		    "the key does not fit the certificate %s; expected its private key", cert_file);
		goto fail;
	}
	if (tls_pair_read_names(p) != 0) {
		tls_report_error(r, "Certificate", cert_file, "out of memory");
		goto fail;
	}
	tls_pair_warn_dates(p, cert_file, r);
	return 0;

fail:
	tls_pair_clear(p);
	return -1;
}

void
tls_pair_clear(struct tls_pair *p)
{
	X509_free(p->leaf);
	sk_X509_pop_free(p->chain, X509_free);
	EVP_PKEY_free(p->key);
	tls_names_clear(&p->names);
	memset(p, 0, sizeof(*p));
}

int
tls_names_add(struct tls_names *s, const char *name, size_t n, size_t index)
{
	struct tls_name *v;
	char *copy;

	if (n > 0 && name[n - 1] == '.')
		n--;
	/* What no SNI can ever say is passed over; a NUL inside is an old attack. */
	if (n == 0 || n > TLS_NAME_MAX || memchr(name, '\0', n) != NULL)
		return 0;
	v = mem_realloc(s->v, (s->n + 1) * sizeof(*v));
	if (v == NULL)
		return -1;
	s->v = v;
	copy = mem_strndup(name, n);
	if (copy == NULL)
		return -1;
	for (size_t i = 0; i < n; i++)
		copy[i] = span_lower(copy[i]);
	s->v[s->n++] = (struct tls_name){ .name = copy, .index = index };
	return 0;
}

static int
tls_name_cmp(const void *pa, const void *pb)
{
	const struct tls_name *a = pa, *b = pb;
	int r = strcmp(a->name, b->name);

	if (r != 0)
		return r;
	return a->index < b->index ? -1 : a->index > b->index;
}

void
tls_names_sort(struct tls_names *s)
{
	size_t kept = 0;

	if (s->n == 0)
		return;
	qsort(s->v, s->n, sizeof(*s->v), tls_name_cmp);
	for (size_t i = 1; i < s->n; i++) {
		if (strcmp(s->v[i].name, s->v[kept].name) == 0)
			mem_free(s->v[i].name);
		else
			s->v[++kept] = s->v[i];
	}
	s->n = kept + 1;
}

bool
tls_names_eq(const struct tls_names *a, const struct tls_names *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i].name, b->v[i].name) != 0)
			return false;
	return true;
}

void
tls_names_clear(struct tls_names *s)
{
	for (size_t i = 0; i < s->n; i++)
		mem_free(s->v[i].name);
	mem_free(s->v);
	s->v = NULL;
	s->n = 0;
}

static int
tls_name_search(const void *key, const void *member)
{
	return strcmp(key, ((const struct tls_name *)member)->name);
}

size_t
tls_names_find(const struct tls_names *s, const char *sni)
{
	char name[TLS_NAME_MAX + 1];
	const struct tls_name *found;
	size_t n = strlen(sni);
	char *dot;

	if (n > 0 && sni[n - 1] == '.')
		n--;
	if (n == 0 || n > TLS_NAME_MAX || s->n == 0)
		return SIZE_MAX;
	for (size_t i = 0; i < n; i++)
		name[i] = span_lower(sni[i]);
	name[n] = '\0';
	found = bsearch(name, s->v, s->n, sizeof(*s->v), tls_name_search);
	if (found != NULL)
		return found->index;
	/* One label in the place of the '*', and only the leftmost (RFC 6125 6.4.3). */
	dot = strchr(name, '.');
	if (dot == NULL || dot == name)
		return SIZE_MAX;
	dot[-1] = '*';
	found = bsearch(dot - 1, s->v, s->n, sizeof(*s->v), tls_name_search);
	return found != NULL ? found->index : SIZE_MAX;
}
