/*
 * Session resumption: tickets, the cache, and what a reload keeps.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "unit_tls.h"

/* Connect with a session (or NULL); whether it was resumed; *next is a new session. */
static bool
resume(struct tls_ctx *c, SSL_CTX *x, SSL_SESSION *s, SSL_SESSION **next)
{
	struct ut_conn k;
	bool ok, reused;
	char byte;

	ut_conn_open(&k, c, x);
	if (s != NULL)
		SSL_set_session(k.c, s);
	ck_assert_msg(ut_conn_handshake(&k, &ok) == TLS_OK, "%s", tls_error(k.t));
	ut_client_read(&k, &byte, 1);
	ut_conn_talk(&k);
	reused = SSL_session_reused(k.c) == 1;
	if (next != NULL)
		*next = SSL_get1_session(k.c);
	/* as a client that goes away without a word */
	SSL_set_shutdown(k.c, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	ut_conn_close(&k);
	return reused;
}

START_TEST(tls_resumes_sessions)
{
	static const struct {
		int version;
		uint64_t options;
	} v[] = {
		{ TLS1_3_VERSION, 0 }, { TLS1_2_VERSION, 0 },
		{ TLS1_2_VERSION, SSL_OP_NO_TICKET }, /* the server's cache */
	};
	struct tls_ctx *c = ut_plain_ctx();

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		SSL_CTX *x = ut_client_ctx();
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
	SSL_CTX *x = ut_client_ctx();
	struct tls_ctx *c;
	SSL_SESSION *s = NULL;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "wild.pem", "wild.key");
	c = ut_ctx(&ut_sec);
	for (int i = 0; i < 2; i++) {
		struct ut_conn k;
		char byte;

		ut_conn_open(&k, c, x);
		SSL_set_tlsext_host_name(k.c, "a.wild.test");
		if (s != NULL)
			SSL_set_session(k.c, s);
		ck_assert_int_eq(ut_conn_handshake(&k, NULL), TLS_OK);
		ut_client_read(&k, &byte, 1);
		ck_assert_int_eq(SSL_session_reused(k.c), i);
		SSL_SESSION_free(s);
		s = SSL_get1_session(k.c);
		SSL_set_shutdown(k.c, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		ut_conn_close(&k);
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
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
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
		struct tls_ctx *old = ut_plain_ctx(), *new = ut_ctx(&ut_sec);
		struct tls_ctx *stranger = ut_ctx(&ut_sec);
		SSL_CTX *x = ut_client_ctx();
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
	struct tls_ctx *old = ut_client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "both-cas.pem");
	struct tls_ctx *same = ut_client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "both-cas.pem");
	struct tls_ctx *new = ut_client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "ca.pem");
	SSL_CTX *x = ut_client_ctx();
	SSL_SESSION *s;
	struct ut_conn k;

	tls_ctx_inherit(same, old);
	tls_ctx_inherit(new, old);
	ut_client_use(x, "client-other");
	ck_assert(!resume(old, x, NULL, &s));
	ck_assert(resume(same, x, s, NULL));
	ut_conn_open(&k, new, x);
	SSL_set_session(k.c, s);
	ck_assert_int_eq(ut_conn_handshake(&k, NULL), TLS_ERROR);
	ck_assert_str_eq(
	    tls_error(k.t), "certificate verify failed: unable to get local issuer certificate");
	ut_conn_close(&k);
	SSL_SESSION_free(s);
	SSL_CTX_free(x);
	tls_ctx_unref(old);
	tls_ctx_unref(same);
	tls_ctx_unref(new);
}
END_TEST

START_TEST(tls_ticket_keys_rotate)
{
	struct tls_ctx *c = ut_plain_ctx();

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = ut_client_ctx();
		SSL_SESSION *a, *b;

		SSL_CTX_set_max_proto_version(x, version);
		ck_assert(!resume(c, x, NULL, &a));
		ck_assert_int_eq(tls_tickets_rotate(c->tickets), 0);
		ck_assert(resume(c, x, a, &b)); /* b is of the new key */
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

int
main(void)
{
	const TTest *const cases[] = {
		tls_resumes_sessions,
		tls_resumes_with_a_certificate_by_sni,
		tls_sends_one_ticket_a_handshake,
		tls_tickets_outlive_a_reload,
		tls_tickets_are_void_when_the_client_ca_changes,
		tls_ticket_keys_rotate,
	};

	return ut_main("tls_ticket", cases, UNIT_COUNT(cases));
}
