/*
 * TLS connections: how they end, what they carry, and what a peer may not do.
 */
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit_tls.h"

#define PUMPS_MAX 200000

START_TEST(tls_server_new_survives_each_failing_allocation)
{
	struct tls_ctx *c = ut_plain_ctx();
	struct tls_worker *w;

	mem_fail_nth(1);
	ck_assert_ptr_null(tls_server_new(c, ut_worker, -1));
	mem_fail_nth(1);
	w = tls_worker_new();
	ck_assert_ptr_null(w);
	mem_fail_nth(0);
	tls_ctx_unref(c);
}
END_TEST

/* ---- ends ---- */

START_TEST(tls_tells_close_notify_from_truncation)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[8];
	size_t n;

	ut_conn_up(&k, c, x);
	SSL_shutdown(k.c);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_EOF);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_EOF);
	ck_assert(!tls_pending(k.t));
	/* our half is still open */
	ck_assert_int_eq(ut_server_write(&k, "bye", 3), TLS_OK);
	ck_assert_int_eq(tls_close_notify(k.t), TLS_OK);
	ut_conn_send(&k);
	ck_assert_uint_eq(ut_client_read(&k, got, 8), 3);
	ck_assert_int_eq(SSL_get_shutdown(k.c), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	ut_conn_close(&k);

	ut_conn_up(&k, c, x);
	shutdown(k.client_fd, SHUT_WR);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_TRUNCATED);
	ck_assert_str_eq(tls_error(k.t), "closed by the peer without close_notify");
	tls_out(k.t, &(const void *){ NULL }, &n);
	ck_assert_uint_eq(n, 0); /* no alert either */
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_TRUNCATED);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_hands_data_up_before_the_end)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();

	for (int clean = 0; clean < 2; clean++) {
		struct ut_conn k;
		char got[64];
		size_t n;

		ut_conn_up(&k, c, x);
		ck_assert_int_eq(SSL_write(k.c, "last", 4), 4);
		ck_assert_int_eq(SSL_write(k.c, "words", 5), 5);
		if (clean)
			SSL_shutdown(k.c);
		shutdown(k.client_fd, SHUT_WR);
		ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
		ck_assert_uint_eq(n, 9);
		ck_assert_mem_eq(got, "lastwords", 9);
		/* the socket may never speak again, so the end is pending */
		ck_assert(tls_pending(k.t) == (clean == 1));
		ck_assert_int_eq(
		    ut_server_read(&k, got, sizeof(got), &n), clean ? TLS_EOF : TLS_TRUNCATED);
		ck_assert(!tls_pending(k.t));
		ut_conn_close(&k);
	}
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_close_notify_ends_our_half)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[8];
	size_t n;

	ut_conn_open(&k, c, x);
	ck_assert_int_eq(tls_close_notify(k.t), TLS_OK); /* before the handshake: nothing */
	tls_out(k.t, &(const void *){ NULL }, &n);
	ck_assert_uint_eq(n, 0);
	ut_conn_close(&k);
	ut_conn_up(&k, c, x);
	ck_assert_int_eq(tls_close_notify(k.t), TLS_OK);
	ut_conn_send(&k);
	ck_assert_uint_eq(ut_client_read(&k, got, 8), 0);
	ck_assert_int_eq(SSL_get_shutdown(k.c), SSL_RECEIVED_SHUTDOWN);
	/* what the peer still sends arrives */
	ck_assert_int_eq(SSL_write(k.c, "more", 4), 4);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert_int_eq(ut_server_write(&k, "x", 1), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "protocol is shutdown");
	ck_assert_int_eq(tls_close_notify(k.t), TLS_ERROR);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_write_last_has_close_notify_behind_it)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct iovec iov = { .iov_base = (void *)(uintptr_t) "bye", .iov_len = 3 };
	struct ut_conn k;
	const void *p;
	char got[8];
	size_t n;

	ut_conn_up(&k, c, x);
	ck_assert_int_eq(tls_write_last(k.t, &iov, 1), TLS_OK);
	/* Both records with one tls_out. */
	tls_out(k.t, &p, &n);
	ck_assert_int_eq(send(k.fd, p, n, 0), (ssize_t)n);
	ck_assert_uint_eq(ut_client_read(&k, got, 8), 3);
	ck_assert_uint_eq(ut_client_read(&k, got, 8), 0);
	ck_assert_int_eq(SSL_get_shutdown(k.c), SSL_RECEIVED_SHUTDOWN);
	ck_assert_int_eq(tls_write_last(k.t, &iov, 1), TLS_ERROR);
	ut_conn_close(&k);
	ut_conn_open(&k, c, x);
	ck_assert_int_eq(tls_write_last(k.t, &iov, 1), TLS_ERROR); /* before the handshake */
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_names_what_breaks_a_handshake)
{
	static const struct {
		const char *bytes, *why;
	} v[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http request" },
		{ "CONNECT a:1 HTTP/1.1\r\n\r\n", "https proxy request" },
		{ "nonsense that is not TLS", "wrong version number" },
	};
	struct tls_ctx *c = ut_plain_ctx();

	for (size_t i = 0; i < UNIT_COUNT(v); i++) {
		struct ut_conn k;

		ut_conn_open(&k, c, NULL);
		ck_assert_int_eq(ut_server_handshake(&k), TLS_AGAIN);
		ck_assert_int_gt(send(k.client_fd, v[i].bytes, strlen(v[i].bytes), 0), 0);
		ck_assert_int_eq(ut_server_handshake(&k), TLS_ERROR);
		ck_assert_str_eq(tls_error(k.t), v[i].why);
		ut_conn_close(&k);
	}
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_tells_that_the_peer_left_in_the_handshake)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;

	ut_conn_open(&k, c, NULL);
	close(k.client_fd);
	k.client_fd = -1;
	ck_assert_int_eq(ut_server_handshake(&k), TLS_TRUNCATED);
	ck_assert_str_eq(tls_error(k.t), "closed by the peer in the handshake");
	ut_conn_close(&k);

	ut_conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_AGAIN);
	shutdown(k.client_fd, SHUT_WR);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_TRUNCATED);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_TRUNCATED);
	ut_conn_close(&k);

	/* a socket error: unread bytes make the close a reset */
	ut_conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_AGAIN);
	close(k.client_fd);
	k.client_fd = -1;
	ck_assert_int_eq(ut_server_handshake(&k), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "recv: Connection reset by peer");
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_names_the_alert_of_the_peer)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();

	SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL); /* and it knows no CA */
	ut_expect_failure(c, x, "alert from the peer: unknown CA");
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_refuses_a_broken_record)
{
	static const char record[] = "\x17\x03\x03\0\x20"
				     "this is not encrypted by any key";
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[8];
	size_t n;

	ut_conn_up(&k, c, x);
	ck_assert_int_eq(SSL_write(k.c, "ok", 2), 2);
	ck_assert_int_gt(send(k.client_fd, record, sizeof(record) - 1, 0), 0);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert(tls_pending(k.t));
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "decryption failed or bad record mac");
	ck_assert_int_eq(ut_server_write(&k, "x", 1), TLS_ERROR);
	/* the client got the alert */
	ck_assert_int_le(SSL_read(k.c, got, sizeof(got)), 0);
	ck_assert_int_eq(
	    ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- data ---- */

/* A client whose bytes arrive one at a time: its BIO pair is copied by hand. */
START_TEST(tls_takes_one_byte_at_a_time)
{
	struct tls_ctx *c = ut_plain_ctx();

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = ut_client_ctx();
		enum tls_status st = TLS_AGAIN;
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		char sent[300], got[300], byte;
		size_t n, have = 0;
		bool wrote = false;
		struct ut_conn k;
		ssize_t r;

		memset(sent, 'b', sizeof(sent));
		SSL_CTX_set_max_proto_version(x, version);
		ut_conn_open(&k, c, x);
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
				st = ut_server_handshake(&k);
				ck_assert_msg(
				    st == TLS_OK || st == TLS_AGAIN, "%s", tls_error(k.t));
			} else if (ut_server_read(&k, got + have, sizeof(got) - have, &n) == TLS_OK)
				have += n;
			while ((r = read(k.client_fd, &byte, 1)) == 1)
				BIO_write(in, &byte, 1);
		}
		ck_assert_uint_eq(have, sizeof(sent));
		ck_assert_mem_eq(got, sent, sizeof(sent));
		ut_conn_close(&k);
		SSL_CTX_free(x);
	}
	tls_ctx_unref(c);
}
END_TEST

static void
ut_fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (char)(seed >> 24);
	}
}

/* The server writes iov, the client reads it back whole; then the other way. */
static void
expect_carried(struct ut_conn *k, const struct iovec *iov, int n_iov)
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
	ut_conn_send(k);
	have = 0;
	for (int i = 0; i < PUMPS_MAX && have < total; i++)
		have += ut_client_read(k, got + have, total - have);
	ck_assert_uint_eq(have, total);
	ck_assert_mem_eq(got, all, total);
	memset(got, 0, total);
	have = 0;
	for (int i = 0; i < PUMPS_MAX && have < total; i++) {
		if (sent < total &&
		    SSL_write_ex(
			k->c, all + sent, total - sent < 16384 ? total - sent : 16384, &part) == 1)
			sent += part;
		ERR_clear_error();
		if (i % 8 == 7 || sent == total) /* several records wait at once */
			if (ut_server_read(k, got + have, total - have, &n) == TLS_OK)
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
	struct tls_ctx *c = ut_plain_ctx();
	char *data = malloc(1048576 + 64);

	ut_fill(data, 1048576 + 64, 1);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *x = ut_client_ctx();
		struct ut_conn k;

		SSL_CTX_set_max_proto_version(x, version);
		ut_conn_up(&k, c, x);
		for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
			struct iovec v[] = { { data, 10 }, { data, 0 }, { data + 10, sizes[i] },
				{ data + 3, 7 }, { data, sizes[i] / 2 }, { data + 5, 0 } };

			v[4].iov_len = sizes[i] == 1048576 ? 0 : sizes[i] / 2;
			expect_carried(&k, &v[2], 1);
			expect_carried(&k, v, 3);
			expect_carried(&k, v, 6);
		}
		ut_conn_close(&k);
		SSL_CTX_free(x);
	}
	free(data);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_gathers_small_pieces_into_one_record)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct iovec v[100];
	char data[100];
	const void *p;
	struct ut_conn k;
	size_t n;

	memset(data, 'x', sizeof(data));
	for (int i = 0; i < 100; i++)
		v[i] = (struct iovec){ data, sizeof(data) };
	ut_conn_up(&k, c, x);
	ck_assert_int_eq(tls_write(k.t, v, 100), TLS_OK);
	tls_out(k.t, &p, &n);
	ck_assert_uint_eq(n, 5 + 10000 + 1 + 16);
	ut_conn_send(&k);
	ck_assert_int_eq(tls_write(k.t, v, 0), TLS_OK);
	tls_out(k.t, &p, &n);
	ck_assert_uint_eq(n, 0);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_write_past_the_maximum_is_an_error)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	char *data = calloc(1, 2 * 1048576);
	struct iovec v = { data, 2 * 1048576 };
	struct ut_conn k;

	ut_conn_up(&k, c, x);
	ck_assert_int_eq(tls_write(k.t, &v, 1), TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "out buffer: out of memory");
	ut_conn_close(&k);
	/* and the worker goes on */
	ut_conn_up(&k, c, x);
	ut_conn_talk(&k);
	ut_conn_close(&k);
	free(data);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_survives_a_failing_allocation_of_its_buffer)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	enum tls_status st = TLS_AGAIN;

	ut_conn_open(&k, c, x);
	for (int i = 0; i < 10 && st == TLS_AGAIN; i++) {
		SSL_do_handshake(k.c);
		mem_fail_nth(1);
		st = tls_handshake(k.t);
		mem_fail_nth(0);
		ut_conn_send(&k);
	}
	ck_assert_int_eq(st, TLS_ERROR);
	ck_assert_str_eq(tls_error(k.t), "out buffer: out of memory");
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_pending_tells_what_a_small_read_left)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[64];
	size_t n;

	ut_conn_up(&k, c, x);
	ck_assert(!tls_pending(k.t));
	ck_assert_int_eq(SSL_write(k.c, "0123456789", 10), 10);
	ck_assert_int_eq(SSL_write(k.c, "abcdef", 6), 6);
	ck_assert_int_eq(ut_server_read(&k, got, 4, &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert(tls_pending(k.t));
	ck_assert_int_eq(ut_server_read(&k, got, 6, &n), TLS_OK);
	ck_assert(tls_pending(k.t)); /* the second record */
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 6);
	ck_assert_mem_eq(got, "abcdef", 6);
	ck_assert(!tls_pending(k.t));
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_read_does_not_ask_a_socket_that_is_known_to_be_empty)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[64];
	size_t n;

	ut_conn_up(&k, c, x);
	ck_assert_int_eq(SSL_write(k.c, "0123456789", 10), 10);
	ck_assert_int_eq(ut_server_read(&k, got, 4, &n), TLS_OK);
	ck_assert_int_eq(SSL_write(k.c, "more", 4), 4);
	ck_assert_int_eq(tls_read(k.t, got, sizeof(got), &n, false), TLS_OK);
	ck_assert_uint_eq(n, 6);
	ck_assert(!tls_pending(k.t));
	ck_assert_int_eq(tls_left(k.t), TLS_LEFT_SOME);
	ck_assert_int_eq(tls_read(k.t, got, sizeof(got), &n, false), TLS_AGAIN);
	ck_assert_int_eq(tls_left(k.t), TLS_LEFT_SOME);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 4);
	ck_assert_mem_eq(got, "more", 4);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_keeps_data_that_came_with_the_handshake)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[64];
	size_t n;

	ut_conn_open(&k, c, x);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_AGAIN);
	ck_assert_int_eq(SSL_do_handshake(k.c), 1);
	ck_assert_int_eq(SSL_write(k.c, "early", 5), 5);
	ck_assert_int_eq(ut_server_handshake(&k), TLS_OK);
	ck_assert(tls_pending(k.t));
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 5);
	ck_assert(!tls_pending(k.t));
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_partial_record_is_not_pending)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	BIO *out = BIO_new(BIO_s_mem());
	struct ut_conn k;
	char got[64], *p;
	size_t n;
	long len;

	ut_conn_up(&k, c, x);
	SSL_set0_wbio(k.c, out);
	ck_assert_int_eq(SSL_write(k.c, "halved", 6), 6);
	len = BIO_get_mem_data(out, &p);
	ck_assert_int_eq(write(k.client_fd, p, 9), 9);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_AGAIN);
	ck_assert(!tls_pending(k.t));
	ck_assert_int_eq(write(k.client_fd, p + 9, (size_t)len - 9), len - 9);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_OK);
	ck_assert_uint_eq(n, 6);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_interleaves_connections_on_one_worker)
{
	enum { N = 16 };
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k[N];
	enum tls_status st[N];
	char a[3000], got[3000];
	size_t n;

	/* Every step of the handshakes by turns, in both directions. */
	for (int i = 0; i < N; i++) {
		ut_conn_open(&k[i], c, x);
		st[i] = TLS_AGAIN;
	}
	for (int round = 0; round < 20; round++)
		for (int j = 0; j < N; j++) {
			int i = round % 2 ? j : N - 1 - j;

			SSL_do_handshake(k[i].c);
			ERR_clear_error();
			if (st[i] == TLS_AGAIN)
				st[i] = ut_server_handshake(&k[i]);
		}
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(st[i], TLS_OK);
	for (int i = 0; i < N; i++) /* the tickets */
		ut_client_read(&k[i], got, 1);
	/* One leaves in the middle. */
	tls_free(k[3].t);
	k[3].t = tls_server_new(c, ut_worker, k[3].fd);
	for (unsigned round = 0; round < 10; round++) {
		for (int i = 0; i < N; i++) {
			ut_fill(a, sizeof(a), round * N + (unsigned)i);
			if (i != 3)
				ck_assert_int_eq(SSL_write(k[i].c, a, sizeof(a)), sizeof(a));
		}
		for (int i = N - 1; i >= 0; i--) {
			if (i == 3)
				continue;
			ut_fill(a, sizeof(a), round * N + (unsigned)i);
			ck_assert_int_eq(ut_server_read(&k[i], got, sizeof(got), &n), TLS_OK);
			ck_assert_uint_eq(n, sizeof(a));
			ck_assert_mem_eq(got, a, sizeof(a));
			ck_assert_int_eq(ut_server_write(&k[i], got, n), TLS_OK);
		}
		for (int i = 0; i < N; i++) {
			ut_fill(a, sizeof(a), round * N + (unsigned)i);
			if (i == 3)
				continue;
			ck_assert_uint_eq(ut_client_read(&k[i], got, sizeof(got)), sizeof(got));
			ck_assert_mem_eq(got, a, sizeof(a));
		}
	}
	for (int i = 0; i < N; i++)
		ut_conn_close(&k[i]);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_out_belongs_to_the_last_call)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn a, b;
	const void *p;
	size_t n;

	ut_conn_up(&a, c, x);
	ut_conn_up(&b, c, x);
	ck_assert_int_eq(tls_write(a.t, &(struct iovec){ (char[]){ "aa" }, 2 }, 1), TLS_OK);
	tls_out(b.t, &p, &n);
	ck_assert_uint_eq(n, 0);
	ut_conn_send(&a);
	ut_conn_close(&a);
	ut_conn_talk(&b);
	ut_conn_close(&b);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

/* ---- what a peer may not do ---- */

START_TEST(tls_answers_a_key_update)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;

	ut_conn_up(&k, c, x);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(SSL_key_update(k.c, SSL_KEY_UPDATE_REQUESTED), 1);
		ut_conn_talk(&k);
	}
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_ends_a_flood_of_key_updates)
{
	static const int kinds[] = { SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED };
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();

	for (size_t i = 0; i < UNIT_COUNT(kinds); i++) {
		enum tls_status st = TLS_AGAIN;
		struct ut_conn k;
		char got[64];
		size_t n;

		ut_conn_up(&k, c, x);
		for (int j = 0; j < 2000; j++) {
			SSL_key_update(k.c, kinds[i]);
			if (SSL_do_handshake(k.c) != 1)
				break;
		}
		ERR_clear_error();
		for (int j = 0; j < 4 && st == TLS_AGAIN; j++)
			st = ut_server_read(&k, got, sizeof(got), &n);
		ck_assert_int_eq(st, TLS_ERROR);
		ck_assert_str_eq(tls_error(k.t), "too many messages without data");
		ut_conn_close(&k);
	}
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

START_TEST(tls_refuses_renegotiation)
{
	struct tls_ctx *c = ut_plain_ctx();
	SSL_CTX *x = ut_client_ctx();
	struct ut_conn k;
	char got[8];
	size_t n;

	SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION);
	ut_conn_up(&k, c, x);
	ck_assert_int_eq(SSL_renegotiate(k.c), 1);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ut_server_read(&k, got, sizeof(got), &n), TLS_AGAIN);
	SSL_do_handshake(k.c);
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	ut_conn_close(&k);
	SSL_CTX_free(x);
	tls_ctx_unref(c);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		tls_server_new_survives_each_failing_allocation,
		tls_tells_close_notify_from_truncation,
		tls_hands_data_up_before_the_end,
		tls_close_notify_ends_our_half,
		tls_write_last_has_close_notify_behind_it,
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
		tls_read_does_not_ask_a_socket_that_is_known_to_be_empty,
		tls_keeps_data_that_came_with_the_handshake,
		tls_partial_record_is_not_pending,
		tls_interleaves_connections_on_one_worker,
		tls_out_belongs_to_the_last_call,
		tls_answers_a_key_update,
		tls_ends_a_flood_of_key_updates,
		tls_refuses_renegotiation,
	};

	return ut_main("tls", cases, UNIT_COUNT(cases));
}
