/*
 * Certificate files that cannot be used, and the names that certificates speak
 * for.
 */
#include <sys/stat.h>

#include <openssl/err.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "unit_tls.h"

START_TEST(tls_ctx_reports_a_missing_file)
{
	ut_section_add(&ut_sec, "none.pem", "default.key");
	ut_expect_refused("wsrelayd.ini:12: [listen web] Certificate=");
	ut_expect_refused("/none.pem: No such file or directory\n");
}
END_TEST

/* Check ends a test that waits for somebody at the other end. */
START_TEST(tls_ctx_does_not_wait_for_a_fifo)
{
	ck_assert_int_eq(mkfifo(ut_path("fifo"), 0600), 0);
	ut_section_add(&ut_sec, "fifo", "default.key");
	ut_expect_refused("/fifo: expected a file, not a FIFO\n");
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "default.pem", "fifo");
	ut_expect_refused("/fifo: expected a file, not a FIFO\n");
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_sec.l.client_certificate = CONFIG_CLIENT_CERT_OPTIONAL;
	ut_sec.l.client_ca = ut_path("fifo");
	ut_expect_refused("/fifo: expected a file, not a FIFO\n");
	ck_assert_int_eq(unlink(ut_path("fifo")), 0);
}
END_TEST

START_TEST(tls_ctx_reports_what_is_no_certificate)
{
	ut_section_add(&ut_sec, "empty.pem", "empty.pem");
	ut_expect_refused("empty.pem: there is no PEM certificate in this file\n");
	ut_expect_refused("empty.pem: there is no PEM private key in this file\n");
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "garbage.pem", "default.key");
	ut_expect_refused("garbage.pem: cannot read the certificate: ");
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "default.pem", "default.pem");
	ut_expect_refused("default.pem: there is no PEM private key in this file\n");
}
END_TEST

START_TEST(tls_ctx_reports_a_key_that_does_not_fit)
{
	char line[512];

	ut_section_add(&ut_sec, "default.pem", "wild.key");
	snprintf(line, sizeof(line),
	    "wsrelayd.ini:12: [listen web] CertificateKey=%s: the key "
	    "does not fit the certificate %s; expected its private key\n",
	    ut_path("wild.key"), ut_path("default.pem"));
	ut_expect_refused(line);
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "default.pem", "default-rsa.key");
	ut_expect_refused("the key does not fit the certificate");
}
END_TEST

START_TEST(tls_ctx_reports_an_encrypted_key_and_asks_nobody)
{
	ut_section_add(&ut_sec, "default.pem", "locked.key");
	ut_expect_refused("the key is encrypted; expected a key without a passphrase\n");
}
END_TEST

START_TEST(tls_ctx_warns_of_an_expired_certificate)
{
	struct ut_reports r = { "", 0, 0 };
	struct tls_ctx *c;

	ut_section_add(&ut_sec, "expired.pem", "expired.key");
	c = tls_ctx_new(&ut_sec.l, ut_on_report, &r);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(r.warnings, 1);
	ck_assert_ptr_nonnull(strstr(r.text, "expired.pem: the certificate expired at 20"));
	tls_ctx_unref(c);
}
END_TEST

/* Each certificate's, in the order of the list; with a chain, that of the first that expires. */
START_TEST(tls_ctx_tells_when_certificates_expire)
{
	struct ut_reports r = { "", 0, 0 };
	char text[8192], path[256];
	struct tls_ctx *c;
	int64_t now = (int64_t)time(NULL), good, old;
	size_t n = 0;
	FILE *f;

	ut_section_add(&ut_sec, "default.pem", "default.key");
	ut_section_add(&ut_sec, "expired.pem", "expired.key");
	c = tls_ctx_new(&ut_sec.l, ut_on_report, &r);
	ck_assert_ptr_nonnull(c);
	good = tls_ctx_expiry(c, 0);
	old = tls_ctx_expiry(c, 1);
	tls_ctx_unref(c);
	ck_assert(good > now && good < now + (int64_t)200 * 366 * 86400);
	ck_assert(old < now && old > 0);

	for (int i = 0; i < 2; i++) {
		ck_assert_ptr_nonnull(
		    f = fopen(ut_path(i == 0 ? "default.pem" : "expired.pem"), "r"));
		n += fread(text + n, 1, sizeof(text) - n, f);
		fclose(f);
	}
	snprintf(path, sizeof(path), "%s", ut_path("chain.pem"));
	ck_assert_ptr_nonnull(f = fopen(path, "w"));
	ck_assert_uint_eq(fwrite(text, 1, n, f), n);
	fclose(f);
	ut_section_clear(&ut_sec);
	ut_section_add(&ut_sec, "chain.pem", "default.key");
	c = tls_ctx_new(&ut_sec.l, ut_on_report, &r);
	unlink(path);
	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(tls_ctx_expiry(c, 0), old);
	tls_ctx_unref(c);
}
END_TEST

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

int
main(void)
{
	const TTest *const cases[] = {
		tls_ctx_reports_a_missing_file,
		tls_ctx_does_not_wait_for_a_fifo,
		tls_ctx_reports_what_is_no_certificate,
		tls_ctx_reports_a_key_that_does_not_fit,
		tls_ctx_reports_an_encrypted_key_and_asks_nobody,
		tls_ctx_warns_of_an_expired_certificate,
		tls_ctx_tells_when_certificates_expire,
		tls_names_match_one_wildcard_label,
	};

	return ut_main("tls_cert", cases, UNIT_COUNT(cases));
}
