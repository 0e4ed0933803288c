/*
 * Unit tests of src/io/tls_client.c, and of transport_start_client: a client's and a server's
 * transport, joined by a socket pair on one loop.
 */
#include "io/transport.h"

#include "base/mem.h"
#include "unit_io.h"
#include "unit_tls.h"

/* One end, and what came up from it. */
struct end {
	struct transport t;
	char got[64];
	size_t got_n;
	char why[200];
	bool ready, failed, eof;
};

static struct loop *loop;
static struct end client, server;

static struct end *
end_of(struct transport *t)
{
	return (struct end *)t;
}

static void
end_on_ready(struct transport *t)
{
	end_of(t)->ready = true;
}

static void
end_on_readable(struct transport *t)
{
	struct end *e = end_of(t);
	const char *why = "";
	size_t n;

	switch (transport_read(t, e->got + e->got_n, sizeof(e->got) - 1 - e->got_n, &n, &why)) {
	case IO_OK:
		e->got_n += n;
		break;
	case IO_AGAIN:
		break;
	case IO_EOF:
		e->eof = true;
		break;
	case IO_ERROR:
		e->failed = true;
		snprintf(e->why, sizeof(e->why), "%s", why);
		break;
	}
}

static void
end_on_drained(struct transport *t)
{
	(void)t;
}

static void
end_on_failed(struct transport *t, const char *why)
{
	struct end *e = end_of(t);

	e->failed = true;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static const struct transport_events end_events = {
	.ready = end_on_ready,
	.readable = end_on_readable,
	.drained = end_on_drained,
	.failed = end_on_failed,
};

static struct tls_ctx *
client_ctx(const char *ca, const char *cert, bool insecure)
{
	struct tls_client_options o = { .insecure = insecure };
	char ca_path[300], cert_path[300], key_path[300], why[300] = "";
	char name[80];
	struct tls_ctx *c;

	if (ca != NULL) {
		snprintf(ca_path, sizeof(ca_path), "%s", ut_path(ca));
		o.ca_file = ca_path;
	}
	if (cert != NULL) {
		snprintf(name, sizeof(name), "%s.pem", cert);
		snprintf(cert_path, sizeof(cert_path), "%s", ut_path(name));
		snprintf(name, sizeof(name), "%s.key", cert);
		snprintf(key_path, sizeof(key_path), "%s", ut_path(name));
		o.cert_file = cert_path;
		o.key_file = key_path;
	}
	c = tls_client_ctx_new(&o, why, sizeof(why));
	ck_assert_msg(c != NULL, "%s", why);
	return c;
}

/* Both ends on the loop, for a while; the contexts go. */
static void
meet(struct tls_ctx *sc, struct tls_ctx *cc, const char *host, unsigned offer)
{
	int fd[2];

	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	ck_assert_ptr_nonnull(loop = loop_new());
	unit_unix_pair(fd);
	ck_assert_int_eq(transport_start(&server.t, loop, &end_events, fd[0], sc), 0);
	ck_assert_int_eq(
	    transport_start_client(&client.t, loop, &end_events, fd[1], cc, host, offer), 0);
	ck_assert(!client.ready && !client.failed); /* never from within */
	tls_ctx_unref(sc);
	tls_ctx_unref(cc);
	unit_loop_turns(loop, 20);
}

static void
part(void)
{
	transport_close(&client.t, false);
	transport_close(&server.t, false);
	loop_free(loop);
}

static void
send_text(struct end *e, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	ck_assert_int_eq(transport_write(&e->t, &iov, 1), 0);
}

START_TEST(tls_client_shakes_hands_and_talks)
{
	char subject[100];

	meet(ut_plain_ctx(), client_ctx("ca.pem", NULL, false), "default.test", 0);
	ck_assert_msg(client.ready && server.ready, "%s / %s", client.why, server.why);
	ck_assert_str_eq(transport_tls_version(&client.t), "TLSv1.3");
	ck_assert_ptr_nonnull(transport_tls_cipher(&client.t));
	ck_assert_str_eq(transport_alpn(&client.t), "");
	transport_peer_subject(&client.t, subject, sizeof(subject));
	ck_assert_ptr_nonnull(strstr(subject, "CN="));
	send_text(&client, "ping");
	send_text(&server, "pong");
	unit_loop_turns(loop, 10);
	ck_assert_str_eq(client.got, "pong");
	ck_assert_str_eq(server.got, "ping");
	transport_fin(&client.t);
	unit_loop_turns(loop, 10);
	ck_assert(server.eof);
	part();
}
END_TEST

START_TEST(tls_client_sends_sni)
{
	char subject[100];

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "wild.pem", "wild.key");
	meet(ut_ctx(&ut_sec), client_ctx("ca.pem", NULL, false), "b.wild.test", 0);
	ck_assert_msg(client.ready, "%s", client.why);
	transport_peer_subject(&client.t, subject, sizeof(subject));
	ck_assert_msg(strstr(subject, "wild") != NULL, "%s", subject);
	part();
}
END_TEST

START_TEST(tls_client_refuses_another_host)
{
	static const char *const hosts[] = { "other.test", "127.0.0.1", "::1", "default.test.x" };

	for (size_t i = 0; i < UNIT_COUNT(hosts); i++) {
		meet(ut_plain_ctx(), client_ctx("ca.pem", NULL, false), hosts[i], 0);
		ck_assert(client.failed && !client.ready);
		ck_assert_msg(strstr(client.why, "mismatch") != NULL, "%s", client.why);
		ck_assert(server.failed);
		part();
	}
}
END_TEST

START_TEST(tls_client_refuses_another_authority)
{
	meet(ut_plain_ctx(), client_ctx(NULL, NULL, false), "default.test", 0);
	ck_assert(client.failed && !client.ready);
	ck_assert_msg(strstr(client.why, "certificate verify failed") != NULL, "%s", client.why);
	part();
}
END_TEST

START_TEST(tls_client_verifies_nothing_when_told_so)
{
	meet(ut_plain_ctx(), client_ctx(NULL, NULL, true), "other.test", 0);
	ck_assert_msg(client.ready, "%s", client.why);
	part();
}
END_TEST

START_TEST(tls_client_shows_its_certificate)
{
	char subject[100];

	meet(ut_client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "ca.pem"),
	    client_ctx("ca.pem", "client", false), "default.test", 0);
	ck_assert_msg(client.ready && server.ready, "%s / %s", client.why, server.why);
	transport_peer_subject(&server.t, subject, sizeof(subject));
	ck_assert_ptr_nonnull(strstr(subject, "CN="));
	part();
	/* Without one it is told so, with TLS 1.3 after the client's own handshake is done. */
	meet(ut_client_cert_ctx(CONFIG_CLIENT_CERT_REQUIRED, "ca.pem"),
	    client_ctx("ca.pem", NULL, false), "default.test", 0);
	ck_assert(server.failed && client.failed);
	ck_assert_msg(strstr(client.why, "certificate required") != NULL, "%s", client.why);
	part();
}
END_TEST

START_TEST(tls_client_offers_protocols)
{
	static const struct {
		unsigned offer;
		const char *h2, *h1; /* chosen by a server that has h2, or has not; NULL: none */
	} v[] = {
		{ TLS_OFFER_HTTP1 | TLS_OFFER_HTTP2, "h2", "http/1.1" },
		{ TLS_OFFER_HTTP1, "http/1.1", "http/1.1" },
		{ TLS_OFFER_HTTP2, "h2", NULL },
		{ 0, "", "" },
	};

	for (size_t i = 0; i < 2 * UNIT_COUNT(v); i++) {
		const char *chosen = i % 2 == 0 ? v[i / 2].h2 : v[i / 2].h1;

		ut_section_clear(&ut_sec);
		ut_section_add(&ut_sec, "default.pem", "default.key");
		ut_sec.l.http2 = i % 2 == 0;
		meet(ut_ctx(&ut_sec), client_ctx("ca.pem", NULL, false), "default.test",
		    v[i / 2].offer);
		ck_assert_msg(client.ready == (chosen != NULL), "%zu: %s", i, client.why);
		if (chosen != NULL)
			ck_assert_str_eq(transport_alpn(&client.t), chosen);
		else
			ck_assert_ptr_nonnull(strstr(client.why, "no application protocol"));
		part();
	}
}
END_TEST

START_TEST(tls_client_tells_of_files_that_are_no_good)
{
	static const struct {
		const char *ca, *cert, *key, *word;
	} v[] = {
		{ "no-such.pem", NULL, NULL, "no-such.pem" },
		{ "garbage.pem", NULL, NULL, "garbage.pem" },
		{ NULL, "no-such.pem", NULL, "no-such.pem" },
		{ NULL, "garbage.pem", NULL, "garbage.pem" },
		{ NULL, "client.pem", "no-such.key", "no-such.key" },
		{ NULL, "client.pem", "default.key", "default.key" },
		{ NULL, "client.pem", NULL, "client.pem" }, /* its key is not in it */
	};
	char ca[300], cert[300], key[300], why[400];

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		struct tls_client_options o = { .insecure = false };

		snprintf(ca, sizeof(ca), "%s", v[i].ca != NULL ? ut_path(v[i].ca) : "");
		snprintf(cert, sizeof(cert), "%s", v[i].cert != NULL ? ut_path(v[i].cert) : "");
		snprintf(key, sizeof(key), "%s", v[i].key != NULL ? ut_path(v[i].key) : "");
		o.ca_file = v[i].ca != NULL ? ca : NULL;
		o.cert_file = v[i].cert != NULL ? cert : NULL;
		o.key_file = v[i].key != NULL ? key : NULL;
		why[0] = '\0';
		ck_assert_ptr_null(tls_client_ctx_new(&o, why, sizeof(why)));
		ck_assert_msg(strstr(why, v[i].word) != NULL, "%zu: %s", i, why);
	}
}
END_TEST

START_TEST(tls_client_survives_without_memory)
{
	struct tls_ctx *cc = client_ctx("ca.pem", NULL, false);
	struct tls_client_options o = { .insecure = true };
	char why[100];
	int fd[2];

	for (unsigned long n = 1; n <= 2; n++) {
		mem_fail_nth(n);
		ck_assert_ptr_null(tls_client_ctx_new(&o, why, sizeof(why)));
		mem_fail_nth(0);
	}
	ck_assert_ptr_nonnull(loop = loop_new());
	for (unsigned long n = 1;; n++) {
		int ret;

		unit_unix_pair(fd);
		mem_fail_nth(n);
		ret = transport_start_client(&client.t, loop, &end_events, fd[0], cc, "a.test", 0);
		if (mem_fail_pending()) {
			mem_fail_nth(0);
			ck_assert_int_eq(ret, 0);
			close(fd[1]);
			break;
		}
		if (ret == -1)
			ck_assert(!unit_fd_open(fd[0]));
		else
			transport_close(&client.t, false);
		close(fd[1]);
	}
	transport_close(&client.t, false);
	loop_free(loop);
	tls_ctx_unref(cc);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		tls_client_shakes_hands_and_talks,
		tls_client_sends_sni,
		tls_client_refuses_another_host,
		tls_client_refuses_another_authority,
		tls_client_verifies_nothing_when_told_so,
		tls_client_shows_its_certificate,
		tls_client_offers_protocols,
		tls_client_tells_of_files_that_are_no_good,
		tls_client_survives_without_memory,
	};

	return ut_main("tls_client", cases, UNIT_COUNT(cases));
}
