/*
 * wsrelayctl(8): talks to a running daemon through its admin endpoint.
 *
 * The endpoint is -a's, or the one of the daemon's configuration, which is looked up there even
 * when the rest of the file has errors: that is when a daemon is asked to reload, and says no.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/config.h"
#include "tools/wsdial_escape.h"
#include "tools/wsrelayctl_call.h"
#include "tools/wsrelayctl_options.h"
#include "tools/wsrelayctl_table.h"
#include "tools/wsrelayctl_top.h"

#define CTL_TSV "text/tab-separated-values"
#define CTL_WAIT_MS 200
#define CTL_TABLE ((size_t)512 << 20)

struct ctl {
	struct ctl_options o;
	struct addr addr;
	struct ctl_call *call; /* owned */
};

/* ---- saying */

enum ctl_exit
ctl_write(struct span text)
{
	if (fwrite(text.p != NULL ? text.p : "", 1, text.n, stdout) == text.n &&
	    fflush(stdout) == 0)
		return CTL_OK;
	/* `| head` has seen enough: the usual end of a program in a pipe. */
	if (errno == EPIPE) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	fprintf(stderr, "wsrelayctl: standard output: %s\n", strerror(errno));
	return CTL_SYSTEM;
}

/* Lines of the daemon, fit for a terminal. */
static void
ctl_put_lines(struct buf *b, struct span text)
{
	buf_init(b, (size_t)16 << 20);
	wsdial_escape(b, WSDIAL_ESCAPE_MESSAGE, text.p, text.n);
	if (b->n > 0 && b->p[b->n - 1] != '\n')
		buf_append_char(b, '\n');
}

/* The same, where they are read at once, whatever is waited for then. */
static enum ctl_exit
ctl_write_lines(struct span text)
{
	enum ctl_exit st;
	struct buf b;

	ctl_put_lines(&b, text);
	st = ctl_write(buf_span(&b));
	buf_clear(&b);
	return st;
}

static void
ctl_say_unreachable(const char *where, const char *why)
{
	const char *hint = "";

	if (strstr(why, strerror(ENOENT)) != NULL || strstr(why, strerror(ECONNREFUSED)) != NULL)
		hint = "; the daemon is not running, or not with this AdminAddress";
	else if (strstr(why, strerror(EACCES)) != NULL)
		hint = "; root and the members of the socket's group may connect";
	fprintf(stderr, "wsrelayctl: %s: %s%s\n", where, why, hint);
}

enum ctl_exit
ctl_ask(struct ctl_call *c, const char *what, const char *method, const char *target,
    const char *accept, struct span *body)
{
	const char *why;
	unsigned status = ctl_call_ask(c, method, target, accept, body, &why);
	struct buf b;

	if (status >= 200 && status < 300)
		return CTL_OK;
	if (status == 0) {
		ctl_say_unreachable(ctl_call_where(c), why);
		return CTL_UNREACHABLE;
	}
	if (what != NULL)
		fprintf(stderr, "wsrelayctl: %s: ", what);
	ctl_put_lines(&b, *body);
	fprintf(stderr, "%.*s", SPAN_ARG(buf_span(&b)));
	buf_clear(&b);
	return CTL_REFUSED;
}

/* ---- commands */

static int
ctl_put_encoded(struct buf *b, const char *name, const char *value)
{
	int bad = buf_printf(b, "%s%s=", b->p[b->n - 1] == '?' ? "" : "&", name);

	for (; *value != '\0' && bad == 0; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~:/", c) != NULL)
			bad = buf_append_char(b, (char)c);
		else
			bad = buf_printf(b, "%%%02X", c);
	}
	return bad;
}

int
ctl_put_target(struct buf *b, const struct ctl_options *o, uint64_t active_ms)
{
	int bad = buf_append_str(b, "/connections?");
	char ms[24];

	if (bad == 0 && o->route != NULL)
		bad |= ctl_put_encoded(b, "route", o->route);
	if (bad == 0 && o->client != NULL)
		bad |= ctl_put_encoded(b, "client", o->client);
	if (bad == 0 && o->kind != NULL)
		bad |= ctl_put_encoded(b, "kind", o->kind);
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)active_ms);
	if (bad == 0 && active_ms != 0)
		bad |= ctl_put_encoded(b, "active_ms", ms);
	if (bad == 0 && b->p[b->n - 1] == '?')
		b->n--;
	return bad | buf_append_char(b, '\0');
}

static enum ctl_exit
ctl_write_table(struct span text, const struct ctl_column *column, size_t n)
{
	enum ctl_exit st = CTL_UNREACHABLE;
	struct buf b;

	buf_init(&b, CTL_TABLE);
	if (ctl_put_table(&b, text, column, n) == 0)
		st = ctl_write(buf_span(&b));
	else
		fprintf(stderr,
		    "wsrelayctl: the answer is no such table, or there is no memory for it\n");
	buf_clear(&b);
	return st;
}

static enum ctl_exit
ctl_connections(struct ctl *c)
{
	static const struct ctl_column columns[] = {
		{ "id", "ID", CTL_TEXT },
		{ "kind", "KIND", CTL_TEXT },
		{ "client", "CLIENT", CTL_TEXT },
		{ "listener", "LISTENER", CTL_TEXT },
		{ "route", "ROUTE", CTL_TEXT },
		{ "backend", "BACKEND", CTL_TEXT },
		{ "http", "HTTP", CTL_TEXT },
		{ "tls", "TLS", CTL_TEXT },
		{ "subprotocol", "SUBPROTOCOL", CTL_TEXT },
		{ "age_ms", "AGE", CTL_AGE },
		{ "idle_ms", "IDLE", CTL_AGE },
		{ "messages_in", "MSG IN", CTL_COUNT },
		{ "messages_out", "MSG OUT", CTL_COUNT },
		{ "bytes_in", "BYTES IN", CTL_BYTES },
		{ "bytes_out", "BYTES OUT", CTL_BYTES },
		{ "queued_bytes", "QUEUED", CTL_BYTES },
	};
	struct buf target;
	struct span body;
	enum ctl_exit st = CTL_SYSTEM;

	buf_init(&target, 65536);
	if (ctl_put_target(&target, &c->o, 0) == 0)
		st = ctl_ask(
		    c->call, "connections", "GET", target.p, c->o.json ? NULL : CTL_TSV, &body);
	if (st == CTL_OK)
		st = c->o.json
		    ? ctl_write(body)
		    : ctl_write_table(body, columns, sizeof(columns) / sizeof(columns[0]));
	buf_clear(&target);
	return st;
}

/* A line of /status that is one fact, as a person reads it. */
static int
ctl_put_fact(struct buf *b, struct span line)
{
	struct span name = SPAN_NONE, value = SPAN_NONE;
	int bad;

	if (!ctl_next_cell(&line, &name) || !ctl_next_cell(&line, &value) ||
	    span_eq(value, SPAN_LIT("-")))
		return 0;
	if (span_eq(name, SPAN_LIT("uptime_ms"))) {
		bad = buf_append_str(b, "uptime:          ");
		bad |= ctl_put_cell(b, CTL_AGE, value);
	} else {
		bad = ctl_put_cell(b, CTL_TEXT, name);
		bad |= buf_printf(b, ":%*s", name.n < 15 ? (int)(16 - name.n) : 1, "");
		bad |= ctl_put_cell(b, CTL_TEXT, value);
	}
	return bad | buf_append_char(b, '\n');
}

static int
ctl_put_status(struct buf *b, struct span text)
{
	static const struct ctl_column columns[] = {
		{ "backend", "BACKEND", CTL_TEXT },
		{ "address", "ADDRESS", CTL_TEXT },
		{ "state", "STATE", CTL_TEXT },
		{ "connections", "CONNECTIONS", CTL_COUNT },
		{ "fails", "FAILS", CTL_COUNT },
	};
	struct span line;
	struct buf backends;
	size_t none;
	int bad;

	buf_init(&backends, CTL_TABLE);
	bad = buf_append_str(&backends, "backend\taddress\tstate\tconnections\tfails\n");
	none = backends.n;
	while (bad == 0 && ctl_next_line(&text, &line)) {
		if (line.n > 8 && memcmp(line.p, "backend\t", 8) == 0)
			bad = buf_printf(&backends, "%.*s\n", (int)line.n - 8, line.p + 8);
		else
			bad = ctl_put_fact(b, line);
	}
	if (bad == 0 && backends.n > none) {
		bad = buf_append_char(b, '\n');
		bad |= ctl_put_table(
		    b, buf_span(&backends), columns, sizeof(columns) / sizeof(columns[0]));
	}
	buf_clear(&backends);
	return bad;
}

static enum ctl_exit
ctl_status(struct ctl *c)
{
	struct span body;
	enum ctl_exit st;
	struct buf b;

	st = ctl_ask(c->call, "status", "GET", "/status", c->o.json ? NULL : CTL_TSV, &body);
	if (st != CTL_OK)
		return st;
	if (c->o.json)
		return ctl_write(body);
	buf_init(&b, CTL_TABLE);
	st = CTL_UNREACHABLE;
	if (ctl_put_status(&b, body) == 0)
		st = ctl_write(buf_span(&b));
	else
		fprintf(stderr, "wsrelayctl: the answer is not understood\n");
	buf_clear(&b);
	return st;
}

/* Each is tried; the first trouble is the exit status. */
static enum ctl_exit
ctl_close(struct ctl *c)
{
	enum ctl_exit st = CTL_OK, one;
	struct span body;
	char target[200];

	for (size_t i = 0; i < c->o.n_ids; i++) {
		const char *id = c->o.ids[i];

		snprintf(target, sizeof(target), "/connections/%s/close", id);
		if ((one = ctl_ask(c->call, id, "POST", target, NULL, &body)) == CTL_OK)
			one = ctl_write_lines(body);
		if (st == CTL_OK)
			st = one;
	}
	return st;
}

static enum ctl_exit
ctl_post(struct ctl *c, const char *what, const char *target)
{
	struct span body;
	enum ctl_exit st = ctl_ask(c->call, what, "POST", target, NULL, &body);

	return st == CTL_OK ? ctl_write_lines(body) : st;
}

/* The fact of that name in a /status; `-` when it has none. */
static struct span
ctl_fact(struct span text, const char *name)
{
	struct span line, cell;

	while (ctl_next_line(&text, &line))
		if (ctl_next_cell(&line, &cell) && span_eq(cell, span_from_str(name)) &&
		    ctl_next_cell(&line, &cell))
			return cell;
	return SPAN_LIT("-");
}

/* Until the process that drains is gone, or another one has its place. */
static enum ctl_exit
ctl_wait_for_end(struct ctl *c)
{
	char pid[24] = "", now[24];
	struct span body;
	const char *why;

	do {
		if (ctl_call_ask(c->call, "GET", "/status", CTL_TSV, &body, &why) != 200) {
			if (ctl_call_wait(c->call, 0))
				return CTL_OK;
			break; /* it was not the daemon that ended */
		}
		snprintf(now, sizeof(now), "%.*s", SPAN_ARG(ctl_fact(body, "pid")));
		if (pid[0] == '\0')
			memcpy(pid, now, sizeof(pid));
		if (strcmp(pid, now) != 0 ||
		    !span_eq(ctl_fact(body, "state"), SPAN_LIT("draining")))
			return CTL_OK;
	} while (ctl_call_wait(c->call, CTL_WAIT_MS));
	fprintf(stderr, "wsrelayctl: drain: interrupted; the daemon goes on draining\n");
	return CTL_UNREACHABLE;
}

static enum ctl_exit
ctl_drain(struct ctl *c)
{
	enum ctl_exit st = ctl_post(c, "drain", "/drain");

	return st == CTL_OK && c->o.wait ? ctl_wait_for_end(c) : st;
}

static enum ctl_exit
ctl_metrics(struct ctl *c)
{
	struct span body;
	enum ctl_exit st = ctl_ask(c->call, "metrics", "GET", "/metrics", NULL, &body);

	return st == CTL_OK ? ctl_write(body) : st;
}

static enum ctl_exit
ctl_run_command(struct ctl *c)
{
	switch (c->o.command) {
	case CTL_STATUS:
		return ctl_status(c);
	case CTL_CONNECTIONS:
		return ctl_connections(c);
	case CTL_TOP:
		return ctl_top(c->call, &c->o);
	case CTL_CLOSE:
		return ctl_close(c);
	case CTL_RELOAD:
		return ctl_post(c, NULL, "/reload");
	case CTL_DRAIN:
		return ctl_drain(c);
	case CTL_METRICS:
		return ctl_metrics(c);
	case CTL_HELP:
	case CTL_VERSION:
		break;
	}
	return CTL_USAGE;
}

/* ---- where the daemon is */

static void
ctl_on_report(void *arg, bool is_error, const char *line)
{
	(void)arg;
	fprintf(stderr, "wsrelayctl: %s%s\n", is_error ? "" : "warning: ", line);
}

static int
ctl_parse_address(struct ctl *c, const char *text)
{
	const char *why;

	if (addr_parse(span_from_str(text), &c->addr, &why) == 0) {
		why = c->addr.kind == ADDR_ANY || c->addr.kind == ADDR_SYSTEMD
		    ? "expected unix:PATH or HOST:PORT"
		    : c->addr.kind != ADDR_UNIX && c->addr.port == 0
		    ? "nobody but the daemon's log knows which port it got"
		    : NULL;
		if (why == NULL)
			return 0;
	}
	fprintf(stderr, "wsrelayctl: %s: %s\n", text, why);
	return -1;
}

static enum ctl_exit
ctl_find_daemon(struct ctl *c)
{
	const char *path = c->o.config_path;
	char *text;
	int ret;

	if (c->o.address != NULL)
		return ctl_parse_address(c, c->o.address) == 0 ? CTL_OK : CTL_USAGE;
	if (access(path, R_OK) == -1) {
		fprintf(stderr, "wsrelayctl: %s: %s\n", path, strerror(errno));
		return CTL_SYSTEM;
	}
	if (config_find_admin(path, &text, ctl_on_report, NULL) == -1)
		return CTL_CONFIG;
	if (text == NULL) {
		fprintf(stderr,
		    "wsrelayctl: %s: AdminAddress is not set in [server], so the daemon has no "
		    "admin endpoint\n",
		    path);
		return CTL_CONFIG;
	}
	ret = ctl_parse_address(c, text);
	mem_free(text);
	return ret == 0 ? CTL_OK : CTL_CONFIG;
}

static enum ctl_exit
ctl_run(struct ctl *c)
{
	enum ctl_exit st;

	if ((st = ctl_find_daemon(c)) != CTL_OK)
		return st;
	if ((c->call = ctl_call_new(&c->addr)) == NULL) {
		fprintf(stderr, "wsrelayctl: cannot start: %s\n", strerror(errno));
		return CTL_SYSTEM;
	}
	st = ctl_run_command(c);
	ctl_call_free(c->call);
	return st;
}

int
main(int argc, char **argv)
{
	struct ctl c = { .call = NULL };
	char why[CTL_WHY];

	if (ctl_options_parse(&c.o, argc, argv, why) == -1) {
		fprintf(stderr, "wsrelayctl: %s\nTry 'wsrelayctl --help'.\n", why);
		return CTL_USAGE;
	}
	if (c.o.command == CTL_HELP) {
		fputs(ctl_options_help, stdout);
		return CTL_OK;
	}
	if (c.o.command == CTL_VERSION) {
		printf("wsrelayctl %s\n", WSRELAYD_VERSION);
		return CTL_OK;
	}
	return (int)ctl_run(&c);
}
