/*
 * What a [listen] section makes of TLS: versions, ciphers, SNI, client
 * certificates, ALPN.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unit_tls.h"

START_TEST(tls_ctx_reports_a_pair_without_its_key)
{
	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_sec.l.certificate.n = 2;
	ut_sec.certs[1] = strdup(ut_path("wild.pem"));
	ut_expect_refused("[listen web] Certificate: 2 files, and 1 of CertificateKey; expected");
}
END_TEST

START_TEST(tls_ctx_reports_all_errors_in_one_run)
{
	struct ut_reports r = { "", 0, 0 };

	ut_section_add(&ut_sec, "none.pem", "wild.key");
	ut_section_add(&ut_sec, "wild.pem", "exact.key");
	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_sec.l.tls_ciphers = (char *)(uintptr_t) "ECDHE-NONSENSE:TLS_AES_1_GCM";
	ut_sec.l.client_certificate = CONFIG_CLIENT_CERT_REQUIRED;
	ck_assert_ptr_null(tls_ctx_new(&ut_sec.l, ut_on_report, &r));
	ck_assert_msg(r.errors == 5, "%u errors:\n%s", r.errors, r.text);
	ck_assert_ptr_nonnull(strstr(r.text, "TLSCiphers=ECDHE-NONSENSE: this OpenSSL knows no"));
	ck_assert_ptr_nonnull(strstr(r.text, "TLSCiphers=TLS_AES_1_GCM: this OpenSSL knows no"));
	ck_assert_ptr_nonnull(strstr(r.text, "[listen web] ClientCA: is missing"));
	/* and the settings are reported too where no pair can be read */
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "none.pem", "default.key");
	ut_sec.l.tls_ciphers = (char *)(uintptr_t) "ECDHE-NONSENSE";
	ut_expect_refused("TLSCiphers=ECDHE-NONSENSE: ");
}
END_TEST

START_TEST(tls_ctx_warns_of_a_certificate_that_is_never_used)
{
	struct ut_reports r = { "", 0, 0 };
	struct tls_ctx *c;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "default.pem", "default.key");
	c = tls_ctx_new(&ut_sec.l, ut_on_report, &r);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(r.warnings, 1);
	ck_assert_ptr_nonnull(strstr(r.text, "earlier ones have all its host names"));
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_ctx_survives_each_failing_allocation)
{
	struct ut_reports r = { "", 0, 0 };
	struct tls_ctx *c = NULL;
	unsigned long n;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "wild.pem", "wild.key");
	ut_sec.l.tls_ciphers = (char *)(uintptr_t) "ECDHE+AESGCM:TLS_AES_128_GCM_SHA256";
	for (n = 1; c == NULL && n < 1000; n++) {
		memset(&r, 0, sizeof(r));
		mem_fail_nth(n);
		c = tls_ctx_new(&ut_sec.l, ut_on_report, &r);
		ck_assert(c != NULL ? r.errors == 0 : r.errors > 0);
	}
	mem_fail_nth(0);
	ck_assert_uint_gt(n, 10);
	tls_ctx_unref(c);
}
END_TEST

/* ---- versions and ciphers ---- */

START_TEST(tls_speaks_1_2_and_1_3)
{
	static const struct {
		int version;
		const char *name;
	} v[] = {
		{ TLS1_2_VERSION, "TLSv1.2" },
		{ TLS1_3_VERSION, "TLSv1.3" },
	};
	struct tls_ctx *c = ut_plain_ctx();

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		SSL_CTX *x = ut_client_ctx();
		struct ut_conn k;

		SSL_CTX_set_min_proto_version(x, v[i].version);
		SSL_CTX_set_max_proto_version(x, v[i].version);
		ut_conn_up(&k, c, x);
		ck_assert_str_eq(tls_version(k.t), v[i].name);
		ck_assert_str_eq(tls_alpn(k.t), "");
		ck_assert_str_eq(tls_error(k.t), "no error");
		ck_assert_int_eq(ut_server_handshake(&k), TLS_OK);
		ut_conn_talk(&k);
		ut_conn_close(&k);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_refuses_versions_below_the_least)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();

	SSL_CTX_set_security_level(x, 0);
	SSL_CTX_set_min_proto_version(x, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(x, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(x, "ALL:@SECLEVEL=0");
	ut_expect_failure(c, x, "unsupported protocol");
	tls_ctx_unref(c);
	ut_sec.l.tls_min_version = CONFIG_TLS_1_3;
	c = ut_ctx(&ut_sec);
	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	ut_expect_failure(c, x, "unsupported protocol");
	SSL_CTX_set_max_proto_version(x, 0);
	ut_expect_cn(c, x, NULL, "default");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* The cipher that a client of that version gets with this TLSCiphers. */
static void
expect_cipher(const char *text, int version, const char *name)
{
	SSL_CTX *x = ut_client_ctx();
	struct tls_ctx *c;
	struct ut_conn k;

	ut_sec.l.tls_ciphers = (char *)(uintptr_t)text;
	c = ut_ctx(&ut_sec);
	SSL_CTX_set_min_proto_version(x, version);
	SSL_CTX_set_max_proto_version(x, version);
	ut_conn_up(&k, c, x);
	ck_assert_str_eq(SSL_get_cipher_name(k.c), name);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}

START_TEST(tls_ciphers_are_split_between_1_2_and_1_3)
{
	const char *both = "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_CHACHA20_POLY1305_SHA256:"
			   "ECDHE-ECDSA-AES256-GCM-SHA384:!RC4:TLS_AES_128_GCM_SHA256";

	ut_section_add(&ut_sec, "default.pem", "default.key");
	expect_cipher(both, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
	expect_cipher(both, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
	expect_cipher("TLS_AES_128_GCM_SHA256", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384");
	expect_cipher("TLS_AES_128_GCM_SHA256", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	expect_cipher("ECDHE-ECDSA-AES128-SHA256", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384");
	expect_cipher("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", TLS1_2_VERSION,
	    "ECDHE-ECDSA-AES128-GCM-SHA256");
	expect_cipher("ECDHE+AESGCM:!AES256", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
	ut_sec.l.tls_ciphers = (char *)(uintptr_t) "!aNULL";
	ut_expect_refused("TLSCiphers=!aNULL: OpenSSL refuses it for TLS 1.2: no cipher match");
	ut_sec.l.tls_ciphers = (char *)(uintptr_t) "DEFAULT:TLS_MADE_UP_WITH_NOTHING";
	ut_expect_refused("TLSCiphers=TLS_MADE_UP_WITH_NOTHING: this OpenSSL knows no such cipher");
}
END_TEST

START_TEST(tls_tells_that_no_cipher_is_shared)
{
	SSL_CTX *x = ut_client_ctx();
	struct tls_ctx *c;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_sec.l.tls_ciphers = (char *)(uintptr_t) "ECDHE-ECDSA-AES128-GCM-SHA256";
	c = ut_ctx(&ut_sec);
	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(x, "ECDHE-ECDSA-AES256-GCM-SHA384");
	ut_expect_failure(c, x, "no shared cipher");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- SNI ---- */

START_TEST(tls_picks_the_certificate_by_sni)
{
	SSL_CTX *x = ut_client_ctx();
	struct tls_ctx *c;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "wild.pem", "wild.key");
	ut_section_add(&ut_sec, "exact.pem", "exact.key");
	ut_section_add(&ut_sec, "cn.pem", "cn.key");
	ut_section_add(&ut_sec, "ed.pem", "ed.key");
	c = ut_ctx(&ut_sec);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX_set_max_proto_version(x, version);
		ut_expect_cn(c, x, NULL, "default");
		ut_expect_cn(c, x, "unknown.test", "default");
		ut_expect_cn(c, x, "alias.test", "default");
		ut_expect_cn(c, x, "wild.test", "wild");
		ut_expect_cn(c, x, "b.wild.test", "wild");
		ut_expect_cn(c, x, "A.Wild.test", "exact");
		ut_expect_cn(c, x, "c.b.wild.test", "default");
		ut_expect_cn(c, x, "cn.test", "cn.test");
		ut_expect_cn(c, x, "ed.test", "ed");
	}
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_picks_the_key_type_that_the_client_verifies)
{
	SSL_CTX *x = ut_client_ctx();
	struct tls_ctx *c;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "wild.pem", "wild.key");
	ut_section_add(&ut_sec, "default-rsa.pem", "default-rsa.key");
	c = ut_ctx(&ut_sec);
	ck_assert_uint_eq(c->n_ssl, 2);
	ut_expect_cn(c, x, "default.test", "default");
	SSL_CTX_set1_sigalgs_list(x, "RSA-PSS+SHA256:RSA+SHA256");
	ut_expect_cn(c, x, "default.test", "default rsa");
	ut_expect_cn(c, x, NULL, "default rsa");
	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(x, "ECDHE-RSA-AES128-GCM-SHA256");
	ut_expect_cn(c, x, "alias.test", "default rsa");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_sends_the_chain)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;

	SSL_CTX_load_verify_file(x, ut_path("ca.pem"));
	SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
	ut_conn_up(&k, c, x);
	ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(k.c)), 2);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- client certificates ---- */

START_TEST(tls_requires_a_client_certificate)
{
	struct tls_ctx *c = ut_client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "ca.pem");

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = ut_client_ctx();
		struct ut_conn k;
		char subject[64];

		SSL_CTX_set_max_proto_version(x, version);
		ut_expect_failure(c, x, "peer did not return a certificate");
		ut_client_use(x, "client-other");
		ut_expect_failure(c, x,
		    "certificate verify failed: "
		    "unable to get local issuer certificate");
		ut_client_use(x, "client-expired");
		ut_expect_failure(c, x, "certificate verify failed: certificate has expired");
		ut_client_use(x, "client");
		ut_conn_up(&k, c, x);
		tls_peer_subject(k.t, subject, sizeof(subject));
		ck_assert_str_eq(subject, "CN=\\C3\\84lice,O=Test\\, Inc.");
		tls_peer_subject(k.t, subject, 5);
		ck_assert_str_eq(subject, "CN=\\");
		/* the client is told whose certificates are welcome */
		ck_assert_int_eq(sk_X509_NAME_num(SSL_get0_peer_CA_list(k.c)), 1);
		ut_conn_talk(&k);
		ut_conn_close(&k);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_takes_an_optional_client_certificate)
{
	struct tls_ctx *c = ut_client_cert_ctx(CONFIG_CLIENT_CERT_OPTIONAL, "both-cas.pem");
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char subject[64] = "unset";

	ut_conn_up(&k, c, x);
	tls_peer_subject(k.t, subject, sizeof(subject));
	ck_assert_str_eq(subject, "");
	ut_conn_close(&k);
	ut_client_use(x, "client-expired");
	ut_expect_failure(c, x, "certificate verify failed: certificate has expired");
	ut_client_use(x, "client-other");
	ut_conn_up(&k, c, x);
	tls_peer_subject(k.t, subject, sizeof(subject));
	ck_assert_str_eq(subject, "CN=mallory,O=Test\\, Inc.");
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_reports_a_bad_client_ca)
{
	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_sec.l.client_certificate = CONFIG_CLIENT_CERT_OPTIONAL;
	ut_sec.l.client_ca = ut_path("none.pem");
	ut_expect_refused("none.pem: cannot read PEM certificates from it: ");
	ut_sec.l.client_ca = ut_path("empty.pem");
	ut_expect_refused("empty.pem: cannot read PEM certificates from it: ");
	ut_sec.l.client_ca = NULL;
	ut_expect_refused("ClientCA: is missing");
}
END_TEST

/* ---- ALPN ---- */

START_TEST(tls_alpn_prefers_by_the_server)
{
	static const unsigned char h2_first[] = "\x02h2\x08http/1.1";
	static const unsigned char h1_first[] = "\x08http/1.1\x02h2";
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;

	SSL_CTX_set_alpn_protos(x, h2_first, sizeof(h2_first) - 1);
	ut_conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), "h2");
	ut_conn_close(&k);
	SSL_CTX_set_alpn_protos(x, h1_first, sizeof(h1_first) - 1);
	ut_conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), "h2");
	ut_conn_close(&k);
	tls_ctx_unref(c);
	ut_sec.l.http2 = false;
	c = ut_ctx(&ut_sec);
	SSL_CTX_set_alpn_protos(x, h2_first, sizeof(h2_first) - 1);
	ut_conn_up(&k, c, x);
	ck_assert_str_eq(tls_alpn(k.t), "http/1.1");
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_alpn_without_a_common_protocol_gets_the_alert)
{
	static const unsigned char unknown[] = "\x06spdy/3\x07webrtc2";
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;

	SSL_CTX_set_alpn_protos(x, unknown, sizeof(unknown) - 1);
	ut_expect_failure(c, x, "no application protocol");
	ut_conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_ERROR);
	ERR_clear_error();
	ck_assert_int_ne(SSL_do_handshake(k.c), 1);
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()),
	    SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		tls_ctx_reports_a_pair_without_its_key,
		tls_ctx_reports_all_errors_in_one_run,
		tls_ctx_warns_of_a_certificate_that_is_never_used,
		tls_ctx_survives_each_failing_allocation,
		tls_speaks_1_2_and_1_3,
		tls_refuses_versions_below_the_least,
		tls_ciphers_are_split_between_1_2_and_1_3,
		tls_tells_that_no_cipher_is_shared,
		tls_picks_the_certificate_by_sni,
		tls_picks_the_key_type_that_the_client_verifies,
		tls_sends_the_chain,
		tls_requires_a_client_certificate,
		tls_takes_an_optional_client_certificate,
		tls_reports_a_bad_client_ca,
		tls_alpn_prefers_by_the_server,
		tls_alpn_without_a_common_protocol_gets_the_alert,
	};

	return ut_main("tls_ctx", cases, UNIT_COUNT(cases));
}
