/* Unit tests of src/config/load.c and scan_set.c: the files, their order, and --set. */
#include "unit_config.h"

#include "base/mem.h"

#define LOAD_BASE "[server]\nUser=base\n[websocket]\nSubprotocols=a\n" UNIT_CONFIG_REST

START_TEST(load_reports_a_file_that_cannot_be_opened)
{
	struct unit_config u;

	unit_config_init(&u);
	unit_config_load(&u, NULL, 0);
	ck_assert_str_eq(
	    unit_config_log(&u), "F:0: the file cannot be opened: No such file or directory\n");
	snprintf(u.path, sizeof(u.path), "%s", u.dir);
	unit_config_load(&u, NULL, 0);
	ck_assert_str_eq(unit_config_log(&u), "F:0: the file cannot be read: Is a directory\n");
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_wants_listen_and_route)
{
	static const struct unit_config_row rows[] = {
		{ "",
		    "F:1: there is no [listen NAME] section; expected one or more\n"
		    "F:1: there is no [route NAME] section; expected one or more\n" },
		{ "[listen a]\nAddress=*:0\n",
		    "F:1: there is no [route NAME] section; expected one or more\n" },
		/* the one that is missed is the one that was misspelt */
		{ "[listen a]\nAddress=*:0\n[ruote b]\nPath=/\n",
		    "F:3: [ruote]: unknown section; did you mean [route NAME]?\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), "");
}
END_TEST

START_TEST(load_reads_drop_ins_by_name)
{
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(LOAD_BASE));
	unit_config_drop_in(&u, "20-b.ini", "[websocket]\nSubprotocols=c\n[server]\nUser=twenty\n");
	unit_config_drop_in(&u, "10-a.ini", "[server]\nUser=ten\n[websocket]\nSubprotocols=b\n");
	unit_config_drop_in(&u, "Z.ini", "[server]\nGroup=Z\n");
	unit_config_drop_in(&u, "a.ini", "[server]\nGroup=a\n");
	unit_config_drop_in(&u, "30.conf", "not read\n");
	unit_config_drop_in(&u, ".hidden.ini", "not read\n");
	unit_config_drop_in(&u, ".ini", "not read\n");
	unit_config_load(&u, NULL, 0);
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	ck_assert_str_eq(u.c->server.user, "twenty");
	ck_assert_str_eq(u.c->server.group, "a");
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 3);
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[0], "a");
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[2], "c");
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_drop_ins_empty_what_was_set)
{
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(LOAD_BASE));
	unit_config_drop_in(&u, "a.ini",
	    "[websocket]\nSubprotocols=\n[server]\nUser=\n[listen rest]\nAddress=\n"
	    "Address=127.0.0.2:0\n");
	unit_config_load(&u, NULL, 0);
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	ck_assert_ptr_null(u.c->server.user);
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 0);
	ck_assert_uint_eq(u.c->listen[0].address.n, 1);
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_drop_ins_are_judged_one_by_one)
{
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(LOAD_BASE));
	unit_config_drop_in(&u, "a.ini", "[server]\nUser=x\nUser=y\nWorkers=x\n");
	unit_config_drop_in(&u, "b.ini", "Workers=1\n");
	unit_config_load(&u, NULL, 0);
	ck_assert_str_eq(unit_config_log(&u),
	    "F.d/a.ini:3: [server] User=y: User is set on line 2 already; expected it once in a "
	    "file\n"
	    "F.d/b.ini:1: \"Workers=1\" stands before the first section; expected [server], "
	    "[listen NAME], [websocket], [route NAME] or [backend NAME] first\n"
	    "F.d/a.ini:4: [server] Workers=x: expected a number from 1 to 1024, or auto\n");
	unit_config_clear(&u);
}
END_TEST

/* With nobody at the other end it is an empty file; Check ends a test that waits. */
START_TEST(load_does_not_wait_for_a_fifo)
{
	struct unit_config u;
	char path[256];

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(LOAD_BASE));
	unit_config_drop_in(&u, "b.ini", "[server]\nUser=b\n");
	snprintf(path, sizeof(path), "%s.d/a.ini", u.path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	unit_config_load(&u, NULL, 0);
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	ck_assert_str_eq(u.c->server.user, "b");
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_drop_ins_may_have_all_there_is)
{
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, SPAN_NONE);
	unit_config_drop_in(&u, "a.ini", UNIT_CONFIG_REST);
	unit_config_load(&u, NULL, 0);
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_sets_win)
{
	static const struct config_set sets[] = {
		{ "server.User=one" },
		{ "SERVER.user = two " },
		{ "websocket.Subprotocols=x y" },
		{ "route.rest.Path=/a=b" },
		{ "listen.with.dots.Address=127.0.0.1:0 [::1]:0" },
	};
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(LOAD_BASE));
	unit_config_drop_in(&u, "a.ini", "[server]\nUser=dropin\n");
	unit_config_load(&u, sets, UNIT_COUNT(sets));
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	ck_assert_str_eq(u.c->server.user, "two");
	ck_assert_str_eq(u.c->route[0].path, "/a=b");
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 2);
	ck_assert_uint_eq(u.c->n_listen, 2);
	ck_assert_str_eq(u.c->listen[1].name, "with.dots");
	ck_assert_str_eq(u.c->listen[1].file, "--set");
	ck_assert_uint_eq(u.c->listen[1].address.n, 2);
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_reports_sets)
{
	static const struct config_set sets[] = {
		{ "" },
		{ "server" },
		{ "server.Workers" },
		{ "Workers=1" },
		{ ".Workers=1" },
		{ "sever.Workers=1" },
		{ "server.a.Workers=1" },
		{ "listen.Address=*:0" },
		{ "listen.a b.Address=*:0" },
		{ "server.Wokers=1" },
		{ "server.User=a ;b" },
		{ "server.User=a\nb" },
		{ "server.Workers=none" },
		{ "route.new.Path=/new" },
	};
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(LOAD_BASE));
	unit_config_load(&u, sets, UNIT_COUNT(sets));
	ck_assert_str_eq(unit_config_log(&u),
	    "--set: \"\": expected SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE\n"
	    "--set: \"server\": expected SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE\n"
	    "--set: \"server.Workers\": expected SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE\n"
	    "--set: \"Workers=1\": expected SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE\n"
	    "--set: \".Workers=1\": expected SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE\n"
	    "--set: [sever]: unknown section; did you mean [server]?\n"
	    "--set: [server a]: this section has no name; expected [server]\n"
	    "--set: [listen]: expected [listen NAME] with one name of letters, digits and - _ .\n"
	    "--set: [listen a b]: expected [listen NAME] with one name of letters, digits and - _ "
	    ".\n"
	    "--set: [server] Wokers: unknown key; did you mean Workers?\n"
	    "--set: [server] User=a ;b: a ; or # at the start of a value or behind white space "
	    "would be taken for a comment by some readers; expected comments on lines of their "
	    "own\n"
	    "--set: byte 14 of the line is the control character 0x0a; expected text\n"
	    "--set: [server] Workers=none: expected a number from 1 to 1024, or auto\n"
	    "--set: [route new] Action is missing; expected echo, forward, proxy or static\n");
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_takes_only_so_much)
{
	struct unit_config u;
	int fd;

	unit_config_init(&u);
	fd = open(u.path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(ftruncate(fd, (17 << 20)), 0);
	close(fd);
	unit_config_load(&u, NULL, 0);
	ck_assert_ptr_nonnull(strstr(unit_config_log(&u),
	    "F:0: the file cannot be read: File too "
	    "large\n"));
	unit_config_clear(&u);
}
END_TEST

/* A text with every kind of value, so that every kind of allocation is there. */
static const char load_rich[] =
    "[server]\nUser=u\nLogTarget=/tmp/x\n"
    "[listen a]\nAddress=127.0.0.1:0 unix:/tmp/x\n"
    "TLS=yes\nCertificate=/a /b\nCertificateKey=/a /b\nTLSCiphers=A B\n"
    "[websocket]\nAllowedOrigins=https://a *\nSubprotocols=a b\nKeepAliveTimeout=1\n"
    "KeepAliveInterval=0\n"
    "[route a]\nHost=*.A\nPath=/x/*\nAction=static\nDocumentRoot=/tmp\n"
    "[route b]\nPath=/y\nAction=forward\nBackend=app\nAllowedOrigins=\nMaxAge=1\n"
    "[backend app]\nAddress=unix:/tmp/x\n"
    "[backend unused]\nAddress=unix:/tmp/x\n";

static void
load_fail_each(struct unit_config *u, const struct config_set *sets, size_t n_sets)
{
	struct config *c;
	unsigned long n = 0;
	int pending = 0;

	for (; !pending; n++) {
		ck_assert_uint_lt(n, 100000);
		u->errors = 0;
		u->log.n = 0;
		/* room for the log first, so that only the load's own allocations fail */
		ck_assert_int_eq(buf_reserve(&u->log, 65536), 0);
		mem_fail_nth(n + 1);
		c = config_load(u->path, sets, n_sets, unit_config_report, u);
		pending = mem_fail_pending();
		mem_fail_nth(0);
		ck_assert_msg(
		    (c == NULL) == !pending, "allocation %lu: %s", n + 1, unit_config_log(u));
		ck_assert_msg(pending || strstr(unit_config_log(u), "out of memory") != NULL,
		    "allocation %lu: %s", n + 1, unit_config_log(u));
		config_unref(c);
	}
	ck_assert_uint_gt(n, 50);
}

START_TEST(load_survives_each_failed_allocation)
{
	static const struct config_set sets[] = { { "listen.b.Address=127.0.0.1:0" },
		{ "websocket.Subprotocols=a b" } };
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, span_from_str(load_rich));
	unit_config_drop_in(&u, "a.ini", "[server]\nUser=x\n");
	load_fail_each(&u, sets, UNIT_COUNT(sets));
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_shares_the_snapshot)
{
	struct unit_config u;
	struct config *c;

	unit_config_good(&u, "");
	c = config_ref(u.c);
	ck_assert_ptr_eq(c, u.c);
	unit_config_drop(&u);
	ck_assert_str_eq(c->route[0].path, "/rest");
	config_unref(c);
	config_unref(NULL);
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_finds_the_admin_address_whatever_else_is_wrong)
{
	static const struct {
		const char *text, *address, *says;
	} rows[] = {
		{ "", NULL, "" },
		{ "[server]\nAdminAddress=unix:/a\n", "unix:/a", "" },
		{ "[server]\nWrokers=x\nAdminAddress=unix:/a\n[rout x]\n]\n", "unix:/a", "" },
		{ "[server]\nadminaddress=localhost:9\n[route a]\nPath=x\n", "localhost:9", "" },
		{ "[server]\nAdminAddress=*:9\n", NULL, "F:2: [server] AdminAddress=*:9" },
	};
	struct unit_config u;
	char *out;

	unit_config_init(&u);
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		unit_config_write(u.path, span_from_str(rows[i].text));
		u.log.n = 0;
		ck_assert_int_eq(config_find_admin(u.path, &out, unit_config_report, &u),
		    rows[i].says[0] == '\0' ? 0 : -1);
		ck_assert_msg(strncmp(unit_config_log(&u), rows[i].says, strlen(rows[i].says)) == 0,
		    "%s", unit_config_log(&u));
		ck_assert_msg((out == NULL) == (rows[i].address == NULL), "%zu", i);
		if (out != NULL)
			ck_assert_str_eq(out, rows[i].address);
		mem_free(out);
	}
	unit_config_drop_in(&u, "a.ini", "[server]\nAdminAddress=unix:/b\n");
	ck_assert_int_eq(config_find_admin(u.path, &out, unit_config_report, &u), 0);
	ck_assert_str_eq(out, "unix:/b");
	mem_free(out);
	for (unsigned long n = 1;; n++) {
		int ret;

		mem_fail_nth(n);
		ret = config_find_admin(u.path, &out, NULL, NULL);
		if (mem_fail_pending())
			break;
		ck_assert_int_eq(ret, -1);
		ck_assert_ptr_null(out);
	}
	mem_fail_nth(0);
	mem_free(out);
	unit_config_clear(&u);
}
END_TEST

START_TEST(load_reports_to_nobody)
{
	ck_assert_ptr_null(config_load("/nonexistent/x.ini", NULL, 0, NULL, NULL));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		load_reports_a_file_that_cannot_be_opened,
		load_wants_listen_and_route,
		load_reads_drop_ins_by_name,
		load_drop_ins_empty_what_was_set,
		load_drop_ins_are_judged_one_by_one,
		load_does_not_wait_for_a_fifo,
		load_drop_ins_may_have_all_there_is,
		load_sets_win,
		load_reports_sets,
		load_takes_only_so_much,
		load_survives_each_failed_allocation,
		load_shares_the_snapshot,
		load_finds_the_admin_address_whatever_else_is_wrong,
		load_reports_to_nobody,
	};

	return unit_run("load", cases, UNIT_COUNT(cases));
}
