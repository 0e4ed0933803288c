/* Unit tests of src/config/scan.c and scan_name.c: the form of the file, line by line. */
#include "unit_config.h"

#include <ini.h>

START_TEST(scan_reports_what_is_no_assignment)
{
	static const struct unit_config_row rows[] = {
		{ "Workers=1\n",
		    "F:1: \"Workers=1\" stands before the first section; expected [server], [listen "
		    "NAME], [websocket], [route NAME] or [backend NAME] first\n" },
		{ "[server]\nWorkers\n",
		    "F:2: [server] \"Workers\": the = is missing; expected Key=Value\n" },
		{ "[server]\nWorkers: 1\n",
		    "F:2: [server] \"Workers: 1\": there is a : where the = should be; expected "
		    "Key=Value\n" },
		{ "[server]\nWorkers:=1\n",
		    "F:2: [server] \"Workers:=1\": there is a : where the = should be; expected "
		    "Key=Value\n" },
		{ "[server]\n=1\n",
		    "F:2: [server] \"=1\": the key is 0 bytes long; expected 1 to 49\n" },
		{ "[server]\nWork ers=1\n",
		    "F:2: [server] Work ers: unknown key; did you mean Workers?\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(scan_reports_section_heads)
{
	static const struct unit_config_row rows[] = {
		{ "[server\n",
		    "F:1: [server: the ] is missing; expected [server], [listen NAME], [websocket], "
		    "[route NAME] or [backend NAME]\n" },
		{ "[server] x\n",
		    "F:1: [server] x: there is text behind the ]; expected the section's head on a "
		    "line of its own, without a comment\n" },
		{ "[server] # x\n",
		    "F:1: [server] # x: there is text behind the ]; expected the section's head on "
		    "a line of its own, without a comment\n" },
		{ "[server]]\n",
		    "F:1: [server]]: there is text behind the ]; expected the section's head on a "
		    "line of its own, without a comment\n" },
		{ "[]\n", "F:1: []: unknown section; did you mean [route NAME]?\n" },
		{ "[sever]\n", "F:1: [sever]: unknown section; did you mean [server]?\n" },
		{ "[routes a]\n", "F:1: [routes]: unknown section; did you mean [route NAME]?\n" },
		{ "[server a]\n",
		    "F:1: [server a]: this section has no name; expected [server]\n" },
		{ "[websocket a]\n",
		    "F:1: [websocket a]: this section has no name; expected [websocket]\n" },
		{ "[listen]\n",
		    "F:1: [listen]: expected [listen NAME] with one name of letters, digits and - _ "
		    ".\n" },
		{ "[route a b]\n",
		    "F:1: [route a b]: expected [route NAME] with one name of letters, digits and - "
		    "_ .\n" },
		{ "[backend a/b]\n",
		    "F:1: [backend a/b]: expected [backend NAME] with one name of letters, digits "
		    "and - _ .\n" },
		{ "[route a ;b]\n",
		    "F:1: [route a ;b]: expected [route NAME] with one name of letters, digits and "
		    "- _ .\n" },
		/* 43 characters of name make 49 in the brackets, 44 are one too many */
		{ "[route aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n",
		    "F:1: [route aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]: what is in the "
		    "brackets is 50 bytes long; expected at most 49\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(scan_names_the_nearest_key)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nWrokers=1\n",
		    "F:2: [server] Wrokers: unknown key; did you mean Workers?\n" },
		{ "[server]\nLogLevels=info\n",
		    "F:2: [server] LogLevels: unknown key; did you mean LogLevel?\n" },
		{ "[websocket]\nkeepaliveintervall=1s\n",
		    "F:2: [websocket] keepaliveintervall: unknown key; did you mean "
		    "KeepAliveInterval?\n" },
		{ "[route a]\nPath=/\nAction=echo\nMaxMesageSize=1\n",
		    "F:4: [route a] MaxMesageSize: unknown key; did you mean MaxMessageSize?\n" },
		{ "[server]\nCertificate=/x\n",
		    "F:2: [server] Certificate: unknown key in this section; did you mean "
		    "Certificate of [listen NAME]?\n" },
		{ "[server]\nkeepaliveinterval=1\n",
		    "F:2: [server] keepaliveinterval: unknown key in this section; did you mean "
		    "keepaliveinterval of [websocket]?\n" },
		/* a required key that was meant is not missed as well */
		{ "[route a]\nPaht=/\nAction=echo\n",
		    "F:2: [route a] Paht: unknown key; did you mean Path?\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(scan_refuses_what_looks_like_a_comment)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nUser=a ;b\n",
		    "F:2: [server] User=a ;b: a ; or # at the start of a value or behind white "
		    "space would be taken for a comment by some readers; expected comments on lines "
		    "of their own\n" },
		{ "[server]\nUser=a\t# b\n",
		    "F:2: [server] User=a\\x09# b: a ; or # at the start of a value or behind white "
		    "space would be taken for a comment by some readers; expected comments on lines "
		    "of their own\n" },
		{ "[server]\nUser=;a\n",
		    "F:2: [server] User=;a: a ; or # at the start of a value or behind white space "
		    "would be taken for a comment by some readers; expected comments on lines of "
		    "their own\n" },
		{ "[server]\nUser= #\n",
		    "F:2: [server] User=#: a ; or # at the start of a value or behind white space "
		    "would be taken for a comment by some readers; expected comments on lines of "
		    "their own\n" },
		{ "[websocket]\nSubprotocols=a\n  b ;c\n",
		    "F:3: [websocket] Subprotocols=b ;c: a ; or # at the start of a value or behind "
		    "white space would be taken for a comment by some readers; expected comments on "
		    "lines of their own\n" },
		/* inside a word they are what they are */
		{ "[server]\nUser=a;b#c\n", "" },
		{ "[websocket]\nSubprotocols=a#b\n", "" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(scan_refuses_indented_lines_that_no_list_takes)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nUser=a\n Group=b\n",
		    "F:3: [server] User: the indented line \"Group=b\" would continue this key, "
		    "which is no list; expected keys to begin in the first column\n" },
		{ "[server]\nUser=a\n\tb\n",
		    "F:3: [server] User: the indented line \"b\" would continue this key, which is "
		    "no list; expected keys to begin in the first column\n" },
		/* inih would take this one as a key, and the next as more of it */
		{ "[server]\n Workers=1\n User=a\n",
		    "F:2: indented line \"Workers=1\": it continues nothing; expected keys and "
		    "sections to begin in the first column\n"
		    "F:3: indented line \"User=a\": it continues nothing; expected keys and "
		    "sections to begin in the first column\n" },
		{ " [server]\nUser=a\n",
		    "F:1: indented line \"[server]\": it continues nothing; expected keys and "
		    "sections to begin in the first column\n"
		    "F:2: \"User=a\" stands before the first section; expected [server], [listen "
		    "NAME], [websocket], [route NAME] or [backend NAME] first\n" },
		{ "[listen a]\nAddress=*:0\n TLS=no\n",
		    "F:3: [listen a] Address: the indented line \"TLS=no\" would continue this "
		    "list; expected keys and sections to begin in the first column\n" },
		{ "[websocket]\nSubprotocols=a\n [server]\n",
		    "F:3: [websocket] Subprotocols: the indented line \"[server]\" would continue "
		    "this list; expected keys and sections to begin in the first column\n" },
		/* what continues a bad line was reported with it */
		{ "[websocket]\nSubprotocls=a\n b\n",
		    "F:2: [websocket] Subprotocls: unknown key; did you mean Subprotocols?\n" },
		{ "[websockt]\nSubprotocols=a\n b\n",
		    "F:1: [websockt]: unknown section; did you mean [websocket]?\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(scan_continues_lists)
{
	struct unit_config u;

	unit_config_good(&u,
	    "[websocket]\nSubprotocols=a b\n  c\n\n# comment\n  ; comment\n\td e\n"
	    "Subprotocols=f\nMaxAge=1h\n");
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 6);
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[2], "c");
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[4], "e");
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[5], "f");
	unit_config_clear(&u);

	unit_config_good(&u, "[websocket]\nSubprotocols=\n  a\n  b\n");
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 2);
	unit_config_clear(&u);

	unit_config_good(&u, "[websocket]\nSubprotocols=a\nSubprotocols=\nSubprotocols=b\n");
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 1);
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[0], "b");
	unit_config_clear(&u);
}
END_TEST

START_TEST(scan_refuses_a_scalar_twice_in_one_file)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nUser=a\nuser=b\n",
		    "F:3: [server] User=b: User is set on line 2 already; expected it once in a "
		    "file\n" },
		{ "[server]\nUser=a\n[websocket]\nMaxAge=1\n[Server]\nUser=a\n",
		    "F:6: [server] User=a: User is set on line 2 already; expected it once in a "
		    "file\n" },
		{ "[server]\nUser=\nUser=b\n",
		    "F:3: [server] User=b: User is set on line 2 already; expected it once in a "
		    "file\n" },
		{ "[route a]\nPath=/\nAction=echo\nMaxAge=1\n[websocket]\nMaxAge=2\n", "" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(scan_takes_what_is_meant)
{
	struct unit_config u;

	/* white space, case, comments, DOS newlines, a byte order mark, no newline at the end */
	unit_config_init(&u);
	unit_config_load_text(&u,
	    "\xef\xbb\xbf; one\r\n[ SERVER ]\r\n# two\r\n  # three\r\nWORKERS =\t3  \r\n"
	    "[Listen\ta.B-c_1]\r\naddress\t= *:0\r\n[route x]\nPath=/a=b:c\naction=ECHO");
	ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
	ck_assert_uint_eq(u.c->server.workers, 3);
	ck_assert_str_eq(u.c->listen[0].name, "a.B-c_1");
	ck_assert_uint_eq(u.c->listen[0].line, 6);
	ck_assert_str_eq(u.c->listen[0].file, u.path);
	ck_assert_str_eq(u.c->route[0].path, "/a=b:c");
	unit_config_clear(&u);
}
END_TEST

START_TEST(scan_keeps_quotes)
{
	struct unit_config u;

	unit_config_good(&u, "[server]\nUser=\"a\"\n");
	ck_assert_str_eq(u.c->server.user, "\"a\"");
	unit_config_clear(&u);
}
END_TEST

/* A line of n bytes that begins with `head`. */
static void
scan_long_line(struct unit_config *u, const char *head, size_t n, const char *end)
{
	struct buf b;

	buf_init(&b, 100000);
	ck_assert_int_eq(buf_printf(&b, "[server]\n%s", head), 0);
	for (size_t i = strlen(head); i < n; i++)
		ck_assert_int_eq(buf_append_char(&b, 'x'), 0);
	ck_assert_int_eq(buf_printf(&b, "%s%s", end, UNIT_CONFIG_REST), 0);
	unit_config_write(u->path, buf_span(&b));
	unit_config_load(u, NULL, 0);
	buf_clear(&b);
}

START_TEST(scan_never_cuts_a_line)
{
	struct unit_config u;

	unit_config_init(&u);
	for (size_t n = 190; n <= 198; n++) {
		scan_long_line(&u, "User=", n, "\n");
		ck_assert_msg(u.c != NULL, "%s", unit_config_log(&u));
		ck_assert_uint_eq(strlen(u.c->server.user), n - 5);
		unit_config_drop(&u);
	}
	for (size_t n = 199; n <= 1000; n++) {
		char expected[256];

		scan_long_line(&u, "User=", n, n % 2 ? "\r\n" : "\n");
		snprintf(expected, sizeof(expected),
		    "F:2: the line is %zu bytes long; expected at most 198 (a list may go on in "
		    "indented lines, or its key may be repeated)\n",
		    n);
		ck_assert_str_eq(unit_config_log(&u), expected);
	}
	/* what nobody reads may be long */
	scan_long_line(&u, "# ", 5000, "\n");
	ck_assert_ptr_nonnull(u.c);
	unit_config_clear(&u);
}
END_TEST

START_TEST(scan_never_cuts_a_name)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nWorkersxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=1\n",
		    "F:2: [server] \"Workersxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=1\": the "
		    "key is 50 bytes long; expected 1 to 49\n" },
	};
	struct unit_config u;

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
	unit_config_good(&u,
	    "[backend 2bcdefghijklmnopqrstuvwxyz0123456789ABCDE]\nAddress=unix:/a\n"
	    "[route 12bcdefghijklmnopqrstuvwxyz0123456789ABCDEF]\nPath=/\nAction=forward\n"
	    "Backend=2bcdefghijklmnopqrstuvwxyz0123456789ABCDE\n");
	ck_assert_uint_eq(strlen(u.c->route[0].name), 43);
	ck_assert_ptr_eq(u.c->route[0].backend, &u.c->backend[0]);
	unit_config_clear(&u);
}
END_TEST

START_TEST(scan_refuses_control_characters)
{
	static const char nul[] = "[server]\nUser=a\0b\nGroup=\x01"
				  "c\n# \x7f\nGroup=d\re\n" UNIT_CONFIG_REST;
	struct unit_config u;

	unit_config_init(&u);
	unit_config_write(u.path, (struct span){ nul, sizeof(nul) - 1 });
	unit_config_load(&u, NULL, 0);
	ck_assert_str_eq(unit_config_log(&u),
	    "F:2: byte 7 of the line is the control character 0x00; expected text in UTF-8 (is "
	    "this file UTF-16, or not text at all?)\n"
	    "F:3: byte 7 of the line is the control character 0x01; expected text\n"
	    "F:4: byte 3 of the line is the control character 0x7f; expected text\n"
	    "F:5: byte 8 of the line is the control character 0x0d; expected text\n");
	unit_config_clear(&u);
}
END_TEST

START_TEST(scan_reports_all_errors_of_one_run)
{
	static const struct unit_config_row rows[] = {
		{ "x\n[sever]\n[server]\nWrokers=1\nWorkers=0\nUser=a ;b\n[listen a]\nAddress=x\n",
		    "F:1: \"x\" stands before the first section; expected [server], [listen NAME], "
		    "[websocket], [route NAME] or [backend NAME] first\n"
		    "F:2: [sever]: unknown section; did you mean [server]?\n"
		    "F:4: [server] Wrokers: unknown key; did you mean Workers?\n"
		    "F:6: [server] User=a ;b: a ; or # at the start of a value or behind white space "
		    "would be taken for a comment by some readers; expected comments on lines of "
		    "their own\n"
		    "F:5: [server] Workers=0: expected a number from 1 to 1024, or auto\n"
		    "F:8: [listen a] Address=x: port is missing; expected HOST:PORT, [IPV6]:PORT, "
		    "*:PORT, unix:PATH or systemd:NAME\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

/* What scan.h says of inih is so of the one that is linked. */
static int
scan_ini_handler(void *user, const char *section, const char *name, const char *value)
{
	size_t *longest = user;

	(void)section;
	(void)name;
	*longest = strlen(value);
	return 1;
}

START_TEST(scan_knows_the_librarys_limits)
{
	char text[300];
	size_t longest = 0;

	memset(text, 'x', sizeof(text));
	memcpy(text, "a=", 2);
	text[198] = '\n';
	text[199] = '\0';
	ck_assert_int_eq(ini_parse_string(text, scan_ini_handler, &longest), 0);
	ck_assert_uint_eq(longest, 196);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		scan_reports_what_is_no_assignment,
		scan_reports_section_heads,
		scan_names_the_nearest_key,
		scan_refuses_what_looks_like_a_comment,
		scan_refuses_indented_lines_that_no_list_takes,
		scan_continues_lists,
		scan_refuses_a_scalar_twice_in_one_file,
		scan_takes_what_is_meant,
		scan_keeps_quotes,
		scan_never_cuts_a_line,
		scan_never_cuts_a_name,
		scan_refuses_control_characters,
		scan_reports_all_errors_of_one_run,
		scan_knows_the_librarys_limits,
	};

	return unit_run("scan", cases, UNIT_COUNT(cases));
}
