/* Unit tests of src/tools/wsrelayctl_options.c. */
#include <stdarg.h>
#include <stdio.h>

#include "tools/wsrelayctl_options.h"
#include "unit.h"

#define ARGS 16

static struct ctl_options o;
static char why[CTL_WHY];

/* Words up to NULL behind the program's name. */
static int
parse(const char *first, ...)
{
	static char name[] = "wsrelayctl", text[ARGS][64];
	static char *argv[ARGS + 1];
	int argc = 1;
	va_list ap;

	argv[0] = name;
	va_start(ap, first);
	for (const char *w = first; w != NULL && argc < ARGS; w = va_arg(ap, const char *)) {
		snprintf(text[argc], sizeof(text[0]), "%s", w);
		argv[argc] = text[argc];
		argc++;
	}
	va_end(ap);
	argv[argc] = NULL;
	why[0] = '\0';
	return ctl_options_parse(&o, argc, argv, why);
}

START_TEST(options_commands)
{
	static const struct {
		const char *name;
		enum ctl_command command;
	} rows[] = {
		{ "status", CTL_STATUS },
		{ "connections", CTL_CONNECTIONS },
		{ "top", CTL_TOP },
		{ "reload", CTL_RELOAD },
		{ "drain", CTL_DRAIN },
		{ "metrics", CTL_METRICS },
		{ "-h", CTL_HELP },
		{ "--version", CTL_VERSION },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		ck_assert_int_eq(parse(rows[i].name, NULL), 0);
		ck_assert_int_eq(o.command, rows[i].command);
	}
	ck_assert_int_eq(parse("close", "1", "2.3", NULL), 0);
	ck_assert_int_eq(o.command, CTL_CLOSE);
	ck_assert_uint_eq(o.n_ids, 2);
	ck_assert_str_eq(o.ids[1], "2.3");
}
END_TEST

START_TEST(options_before_and_behind_the_command)
{
	ck_assert_int_eq(parse("-c", "/x.ini", "connections", "--route", "chat",
			     "--client=10.0.0.0/8", "--kind", "http", "--json", NULL),
	    0);
	ck_assert_str_eq(o.config_path, "/x.ini");
	ck_assert_str_eq(o.route, "chat");
	ck_assert_str_eq(o.client, "10.0.0.0/8");
	ck_assert_str_eq(o.kind, "http");
	ck_assert(o.json);
	ck_assert_int_eq(
	    parse("top", "-a", "unix:/x", "-i", "500ms", "-n3", "--sort", "bytes", NULL), 0);
	ck_assert_str_eq(o.address, "unix:/x");
	ck_assert_uint_eq(o.interval_ms, 500);
	ck_assert_uint_eq(o.rounds, 3);
	ck_assert_int_eq(o.sort, CTL_SORT_BYTES);
	ck_assert(!o.wait);
	ck_assert_int_eq(parse("drain", "--wait", NULL), 0);
	ck_assert(o.wait);
	ck_assert_int_eq(parse("top", NULL), 0);
	ck_assert_uint_eq(o.interval_ms, 2000);
	ck_assert(o.rounds == 0 && o.sort == CTL_SORT_MESSAGES && o.address == NULL);
}
END_TEST

START_TEST(options_that_are_refused)
{
	static const struct {
		const char *arg[4];
		const char *says;
	} rows[] = {
		{ { NULL }, "a command is missing" },
		{ { "stop" }, "stop" },
		{ { "status", "x" }, "x" },
		{ { "--bad", "status" }, "--bad" },
		{ { "-c" }, "-c" },
		{ { "close" }, "ID" },
		{ { "close", "1", "a/b" }, "a/b" },
		{ { "close", "" }, "ID" },
		{ { "top", "-i", "1ms" }, "1ms" },
		{ { "top", "-i", "infinity" }, "infinity" },
		{ { "top", "-n", "0" }, "0" },
		{ { "top", "--sort", "age" }, "messages or bytes" },
		{ { "top", "--client", "x" }, "x" },
		{ { "top", "--route", "" }, "route" },
		{ { "connections", "--kind", "ws" }, "websocket, handshake or http" },
		{ { "drain", "--json" }, "--json" },
		{ { "reload", "--wait" }, "--wait" },
		{ { "reload", "--route", "a" }, "--route" },
		{ { "status", "-n", "2" }, "--rounds" },
		{ { "connections", "-i", "2s" }, "--interval" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		ck_assert_msg(
		    parse(rows[i].arg[0], rows[i].arg[1], rows[i].arg[2], NULL) == -1, "%zu", i);
		ck_assert_msg(strstr(why, rows[i].says) != NULL, "%s: %s", rows[i].says, why);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		options_commands,
		options_before_and_behind_the_command,
		options_that_are_refused,
	};

	return unit_run("wsrelayctl_options", cases, UNIT_COUNT(cases));
}
