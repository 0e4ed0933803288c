/* Unit tests of src/config/dump.c: what is dumped is in force, and reads back as the same. */
#include "unit_config.h"

#include "base/mem.h"
#include "config/keys.h"

static const char dump_text[] =
    "[server]\nWorkers=3\nUser=www\nHandshakeTimeout=1500ms\nLogTarget=/tmp/a b\n"
    "[listen a]\nAddress=127.0.0.1:8080 [::1]:8080\nAddress=unix:/tmp/x\nTLS=1\n"
    "Certificate=/a /b\nCertificateKey=/a\n /b\nTLSCiphers=A:B C\nTLSMinVersion=1.3\n"
    "IdleConnectionTimeout=0\n"
    "[websocket]\nAllowedOrigins=https://a.example *\nKeepAliveInterval=30\nValidateUTF8=off\n"
    "RequireOrigin=With-Cookie\n"
    "[backend app]\nAddress=unix:/a\nResponseTimeout=\nConnectTimeout=\nForwardedHeaders=off\n"
    "[route a]\nHost=*.A.example\nPath=/x/*\nAction=Forward\nBackend=app\nMaxAge=1d\n"
    "AllowedOrigins=\n"
    "[route b]\nPath=/y\nAction=static\nDocumentRoot=/tmp\nSubprotocols=a b\n" UNIT_CONFIG_REST;

/* The dump as a string that the caller clears. */
static struct buf
dump_of(const struct config *c)
{
	FILE *f = tmpfile();
	struct buf b;
	ssize_t n;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(config_dump(c, fileno(f)), 0);
	buf_init(&b, 1 << 20);
	ck_assert_int_eq(buf_reserve(&b, 1 << 20), 0);
	n = pread(fileno(f), b.p, b.cap - 1, 0);
	ck_assert_int_gt((int)n, 0);
	b.n = (size_t)n;
	b.p[b.n] = '\0';
	fclose(f);
	return b;
}

/* Without what tells where from: "  # ..." at the ends of lines. */
static void
dump_strip(struct buf *b)
{
	char *out = b->p;

	for (const char *p = b->p; *p != '\0';) {
		const char *end = strchr(p, '\n');
		const char *from = strstr(p, "  # ");

		ck_assert_ptr_nonnull(end);
		if (from == NULL || from > end)
			from = end;
		memmove(out, p, (size_t)(from - p));
		out += from - p;
		*out++ = '\n';
		p = end + 1;
	}
	*out = '\0';
	b->n = (size_t)(out - b->p);
}

static void
dump_same(const char *a, const char *b)
{
	size_t at = 0;

	while (a[at] != '\0' && a[at] == b[at])
		at++;
	while (at > 0 && a[at - 1] != '\n')
		at--;
	ck_assert_msg(strcmp(a + at, b + at) == 0, "%.100s\nbut then\n%.100s", a + at, b + at);
}

static void
dump_has(const struct buf *b, const struct unit_config *u, const char *line)
{
	char text[512];
	const char *f = strstr(line, "  # F:");

	/* "F" stands for the path */
	if (f != NULL)
		snprintf(
		    text, sizeof(text), "\n%.*s  # %s%s\n", (int)(f - line), line, u->path, f + 5);
	else
		snprintf(text, sizeof(text), "\n%s\n", line);
	ck_assert_msg(strstr(b->p, text) != NULL, "no %s in\n%s", text, b->p);
}

START_TEST(dump_says_value_and_place)
{
	static const struct config_set sets[] = { { "server.LogLevel=debug" },
		{ "route.b.Subprotocols=c" } };
	struct unit_config u;
	struct buf b;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(dump_text));
	unit_config_load(&u, sets, UNIT_COUNT(sets));
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	b = dump_of(u.c);
	ck_assert_int_eq(strncmp(b.p, "[server]\nWorkers=3  # ", 22), 0);
	dump_has(&b, &u, "Workers=3  # F:2");
	dump_has(&b, &u, "Group=  # default");
	dump_has(&b, &u, "HandshakeTimeout=1500ms  # F:4");
	dump_has(&b, &u, "LogLevel=debug  # --set");
	dump_has(&b, &u, "CompressionMemory=256M  # default");
	dump_has(&b, &u, "[listen a]");
	dump_has(&b, &u, "Address=[::1]:8080  # F:7");
	dump_has(&b, &u, "Address=unix:/tmp/x  # F:8");
	dump_has(&b, &u, "TLS=yes  # F:9");
	dump_has(&b, &u, "CertificateKey=/b  # F:12");
	dump_has(&b, &u, "IdleConnectionTimeout=infinity  # F:15");
	dump_has(&b, &u, "KeepAliveInterval=30s  # F:18");
	dump_has(&b, &u, "RequireOrigin=with-cookie  # F:20");
	dump_has(&b, &u, "ConnectTimeout=5s  # default");
	dump_has(&b, &u, "[route a]");
	dump_has(&b, &u, "Host=*.a.example  # F:27");
	dump_has(&b, &u, "Path=/x/*  # F:28");
	dump_has(&b, &u, "AllowedOrigins=  # F:32");
	dump_has(&b, &u, "Subprotocols=c  # --set");
	dump_has(&b, &u, "[backend app]");
	buf_clear(&b);
	unit_config_clear(&u);
}
END_TEST

START_TEST(dump_reads_back_as_the_same)
{
	struct unit_config u;
	struct buf first, second;

	unit_config_init(&u);
	unit_config_load_text(&u, dump_text);
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	first = dump_of(u.c);
	dump_strip(&first);
	unit_config_drop(&u);
	unit_config_load_text(&u, first.p);
	ck_assert_msg(u.c != NULL, "%s\n%s", unit_config_log(&u), first.p);
	second = dump_of(u.c);
	dump_strip(&second);
	dump_same(first.p, second.p);
	buf_clear(&first);
	buf_clear(&second);
	unit_config_clear(&u);
}
END_TEST

/* The dump cannot drift from the table: each section has each of its keys, in order. */
START_TEST(dump_has_every_key_of_the_table)
{
	struct unit_config u;
	struct buf b;

	unit_config_init(&u);
	unit_config_load_text(&u, dump_text);
	b = dump_of(u.c);
	for (unsigned s = 0; s < CONFIG_S_COUNT; s++) {
		char head[64], key[64];
		const char *at, *next;

		snprintf(head, sizeof(head), "[%s", config_sections[s].name);
		ck_assert_ptr_nonnull(at = strstr(b.p, head));
		next = strstr(at, "\n\n");
		for (size_t i = 0; i < config_keys_n; i++) {
			if (!config_key_in(&config_keys[i], (enum config_section_type)s))
				continue;
			snprintf(key, sizeof(key), "\n%s=", config_keys[i].name);
			at = strstr(at, key);
			ck_assert_msg(at != NULL && (next == NULL || at < next), "%s %s", head,
			    config_keys[i].name);
		}
	}
	buf_clear(&b);
	unit_config_clear(&u);
}
END_TEST

START_TEST(dump_reports_a_failed_write)
{
	struct unit_config u;
	int fd = open("/dev/full", O_WRONLY);

	unit_config_good(&u, "");
	ck_assert_int_eq(config_dump(u.c, fd), -1);
	close(fd);
	ck_assert_int_eq(config_dump(u.c, -1), -1);
	unit_config_clear(&u);
}
END_TEST

START_TEST(dump_survives_each_failed_allocation)
{
	struct unit_config u;
	unsigned long n = 0;
	int fd = open("/dev/null", O_WRONLY), pending = 0, rc;

	unit_config_good(&u, "");
	for (; !pending; n++) {
		mem_fail_nth(n + 1);
		rc = config_dump(u.c, fd);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		ck_assert_int_eq(rc, pending ? 0 : -1);
	}
	ck_assert_uint_gt(n, 3);
	close(fd);
	unit_config_clear(&u);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		dump_says_value_and_place,
		dump_reads_back_as_the_same,
		dump_has_every_key_of_the_table,
		dump_reports_a_failed_write,
		dump_survives_each_failed_allocation,
	};

	return unit_run("dump", cases, UNIT_COUNT(cases));
}
