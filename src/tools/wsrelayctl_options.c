/*
 * The command line of wsrelayctl(8).  See wsrelayctl_options.h.
 *
 * Options may stand before and behind the command.  Those that a command has no use for are
 * errors: who filters a drain means something else.
 */
#include "tools/wsrelayctl_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/num.h"

enum { OPT_ROUTE = 256, OPT_CLIENT, OPT_KIND, OPT_JSON, OPT_SORT, OPT_WAIT };

/* Options that only some commands know. */
enum { USES_JSON = 1, USES_FILTERS = 2, USES_ROUNDS = 4, USES_IDS = 8, USES_WAIT = 16 };

static const struct {
	const char *name;
	enum ctl_command command;
	unsigned uses;
} ctl_commands[] = {
	{ "status", CTL_STATUS, USES_JSON },
	{ "connections", CTL_CONNECTIONS, USES_JSON | USES_FILTERS },
	{ "top", CTL_TOP, USES_JSON | USES_FILTERS | USES_ROUNDS },
	{ "close", CTL_CLOSE, USES_IDS },
	{ "reload", CTL_RELOAD, 0 },
	{ "drain", CTL_DRAIN, USES_WAIT },
	{ "metrics", CTL_METRICS, 0 },
};

#define CTL_COMMANDS (sizeof(ctl_commands) / sizeof(ctl_commands[0]))

static const struct option ctl_long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "address", required_argument, NULL, 'a' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "route", required_argument, NULL, OPT_ROUTE },
	{ "client", required_argument, NULL, OPT_CLIENT },
	{ "kind", required_argument, NULL, OPT_KIND },
	{ "interval", required_argument, NULL, 'i' },
	{ "rounds", required_argument, NULL, 'n' },
	{ "sort", required_argument, NULL, OPT_SORT },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

const char ctl_options_help[] =
    "usage: wsrelayctl [options] COMMAND\n"
    "  status              whether the daemon is ready, and its backends\n"
    "  connections         WebSockets and requests, a line each\n"
    "  top                 the busiest of them, again and again\n"
    "  close ID...         close a WebSocket (1008)\n"
    "  reload              put the configuration in force; prints its errors\n"
    "  drain               stop listening, close what is open, and end\n"
    "  metrics             what Prometheus gets\n"
    "options:\n"
    "  -c, --config FILE   the daemon's configuration, which names its AdminAddress\n"
    "                      (default " SYSCONFDIR "/wsrelayd/wsrelayd.ini)\n"
    "  -a, --address ADDRESS\n"
    "                      unix:PATH or HOST:PORT, in place of it\n"
    "      --json          JSON, not a table (status, connections, top)\n"
    "      --route NAME, --client ADDRESS[/BITS], --kind websocket|handshake|http\n"
    "                      only these (connections, top)\n"
    "  -i, --interval TIME between two rounds of top (default 2s)\n"
    "  -n, --rounds N      end after so many (default: 1 unless on a terminal)\n"
    "      --sort messages|bytes\n"
    "                      what top looks at (default messages)\n"
    "      --wait              drain: until the daemon has ended\n"
    "  -V, --version       the version\n"
    "  -h, --help          this text\n";

static int
ctl_bad(char *why, const char *what, const char *value, const char *expected)
{
	snprintf(why, CTL_WHY, "%s%s%.80s: expected %s", what, value[0] != '\0' ? " " : "", value,
	    expected);
	return -1;
}

static int
ctl_take_interval(struct ctl_options *o, const char *value, char *why)
{
	if (num_parse_time_ms(span_from_str(value), &o->interval_ms) == -1 ||
	    o->interval_ms < 100 || o->interval_ms > 86400000)
		return ctl_bad(why, "--interval", value, "a time from 100ms to 1d");
	return 0;
}

static int
ctl_take_rounds(struct ctl_options *o, const char *value, char *why)
{
	if (num_parse_uint(span_from_str(value), &o->rounds) == -1 || o->rounds == 0)
		return ctl_bad(why, "--rounds", value, "a number from 1 on");
	return 0;
}

static int
ctl_take_client(struct ctl_options *o, const char *value, char *why)
{
	struct addr_cidr block;

	o->client = value;
	if (addr_cidr_parse(span_from_str(value), &block) == -1)
		return ctl_bad(
		    why, "--client", value, "an address, or a block such as 192.0.2.0/24");
	return 0;
}

static int
ctl_take_word(const char *value, const char *const *words, const char *name, char *why)
{
	char expected[80] = "";

	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(value, words[i]) == 0)
			return i;
		snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s%s",
		    i == 0		       ? ""
			: words[i + 1] != NULL ? ", "
					       : " or ",
		    words[i]);
	}
	return ctl_bad(why, name, value, expected);
}

static int
ctl_take(struct ctl_options *o, int option, const char *value, char *why)
{
	static const char *const kinds[] = { "websocket", "handshake", "http", NULL };
	static const char *const sorts[] = { "messages", "bytes", NULL };
	int i;

	switch (option) {
	case 'c':
		o->config_path = value;
		return 0;
	case 'a':
		o->address = value;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_WAIT:
		o->wait = true;
		return 0;
	case OPT_ROUTE:
		o->route = value;
		return value[0] != '\0' ? 0 : ctl_bad(why, "--route", value, "the name of a route");
	case OPT_CLIENT:
		return ctl_take_client(o, value, why);
	case OPT_KIND:
		o->kind = value;
		return ctl_take_word(value, kinds, "--kind", why) == -1 ? -1 : 0;
	case 'i':
		return ctl_take_interval(o, value, why);
	case 'n':
		return ctl_take_rounds(o, value, why);
	case OPT_SORT:
		if ((i = ctl_take_word(value, sorts, "--sort", why)) == -1)
			return -1;
		o->sort = (enum ctl_sort)i;
		return 0;
	default:
		return -1;
	}
}

/* What this command does not know. */
static int
ctl_check_uses(const struct ctl_options *o, unsigned uses, bool rounds, char *why)
{
	const char *bad = NULL;

	if (o->json && (uses & USES_JSON) == 0)
		bad = "--json";
	if ((o->route != NULL || o->client != NULL || o->kind != NULL) &&
	    (uses & USES_FILTERS) == 0)
		bad = "--route, --client or --kind";
	if (o->wait && (uses & USES_WAIT) == 0)
		bad = "--wait";
	if (rounds && (uses & USES_ROUNDS) == 0)
		bad = "--interval, --rounds or --sort";
	if (bad == NULL)
		return 0;
	snprintf(why, CTL_WHY, "%s does not go with this command", bad);
	return -1;
}

/* What could become another path is no ID. */
static int
ctl_check_ids(const struct ctl_options *o, char *why)
{
	if (o->n_ids == 0)
		return ctl_bad(why, "close", "", "one ID or more, as connections shows them");
	for (size_t i = 0; i < o->n_ids; i++)
		if (o->ids[i][0] == '\0' || strlen(o->ids[i]) > 40 ||
		    strspn(o->ids[i], "0123456789.") != strlen(o->ids[i]))
			return ctl_bad(why, "close", o->ids[i], "an ID as connections shows it");
	return 0;
}

static int
ctl_take_command(struct ctl_options *o, int argc, char **argv, bool rounds, char *why)
{
	char *name = argc > 0 ? argv[0] : NULL;
	size_t i;

	if (name == NULL) {
		snprintf(why, CTL_WHY, "a command is missing");
		return -1;
	}
	for (i = 0; i < CTL_COMMANDS && strcmp(ctl_commands[i].name, name) != 0; i++)
		continue;
	if (i == CTL_COMMANDS)
		return ctl_bad(why, "unknown command", name,
		    "status, connections, top, close, reload, drain or metrics");
	o->command = ctl_commands[i].command;
	if ((ctl_commands[i].uses & USES_IDS) != 0) {
		o->ids = argv + 1;
		o->n_ids = (size_t)argc - 1;
		if (ctl_check_ids(o, why) == -1)
			return -1;
	} else if (argc > 1) {
		snprintf(why, CTL_WHY, "unexpected argument: %.80s", argv[1]);
		return -1;
	}
	return ctl_check_uses(o, ctl_commands[i].uses, rounds, why);
}

int
ctl_options_parse(struct ctl_options *o, int argc, char **argv, char why[CTL_WHY])
{
	bool rounds = false;
	int c;

	memset(o, 0, sizeof(*o));
	o->config_path = SYSCONFDIR "/wsrelayd/wsrelayd.ini";
	o->interval_ms = 2000;
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:a:i:n:Vh", ctl_long_options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			o->command = c == 'h' ? CTL_HELP : CTL_VERSION;
			return 0;
		}
		if (c == '?' || c == ':') {
			snprintf(why, CTL_WHY, "%s: %.80s",
			    c == ':' ? "a value is missing" : "unknown option", argv[optind - 1]);
			return -1;
		}
		if (ctl_take(o, c, optarg, why) == -1)
			return -1;
		rounds |= c == 'i' || c == 'n' || c == OPT_SORT;
	}
	return ctl_take_command(o, argc - optind, argv + optind, rounds, why);
}
