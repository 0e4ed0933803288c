/*
 * wsrelayctl top.  See wsrelayctl_top.h.
 *
 * A first look at all connections says where their counters stand; then each round shows what has
 * moved since the one before.  Most rounds ask only for connections with data in that time, so
 * that ten thousand idle ones cost the daemon nothing; now and then all are asked for, so that
 * those that ended are forgotten.
 */
#include "tools/wsrelayctl_top.h"

#include <sys/ioctl.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "codec/json.h"
#include "tools/wsrelayctl_rates.h"
#include "tools/wsrelayctl_table.h"

/* Every so many rounds all connections are looked at. */
#define TOP_WHOLE 30
/* How much longer than the round a connection may be idle and still be asked for. */
#define TOP_SLACK_MS 1000
#define TOP_LINES 20
#define TOP_TEXT ((size_t)16 << 20)

struct top {
	struct ctl_call *call; /* borrowed */
	const struct ctl_options *o;
	struct ctl_rates *rates; /* owned */
	struct buf target, out;
	struct buf names;	     /* the last look's first line */
	uint64_t looked_ms, took_ms; /* of the last look, and since the one before */
	unsigned until_whole;
	size_t lines;
	bool tty;
};

/* ---- looking */

static enum ctl_exit
top_look(struct top *t)
{
	bool whole = t->until_whole == 0;
	uint64_t now = clock_mono_ms(), was = t->looked_ms;
	struct span body, names;
	enum ctl_exit st;

	t->target.n = 0;
	if (ctl_put_target(&t->target, t->o, whole ? 0 : now - was + TOP_SLACK_MS) == -1)
		return CTL_SYSTEM;
	if ((st = ctl_ask(
		 t->call, "top", "GET", t->target.p, "text/tab-separated-values", &body)) != CTL_OK)
		return st;
	t->looked_ms = now;
	t->took_ms = now > was ? now - was : 1;
	t->until_whole = whole ? TOP_WHOLE : t->until_whole - 1;
	if (ctl_rates_look(t->rates, body, whole) == 0 && ctl_next_line(&body, &names)) {
		t->names.n = 0;
		if (buf_append_span(&t->names, names) == 0)
			return CTL_OK;
	}
	fprintf(stderr, "wsrelayctl: the answer is no such table, or there is no memory for it\n");
	return CTL_UNREACHABLE;
}

static uint64_t
top_per_second(const struct top *t, uint64_t n)
{
	return (n * 1000 + t->took_ms / 2) / t->took_ms;
}

/* ---- as a table */

static size_t
top_screen_lines(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == -1 || ws.ws_row < 8)
		return TOP_LINES;
	return (size_t)ws.ws_row - 4;
}

static int
top_put_sum(struct buf *b, const char *name, enum ctl_form form, uint64_t in, uint64_t out)
{
	int bad = buf_printf(b, "%s ", name);

	bad |= ctl_put_number(b, form, in);
	bad |= buf_append_str(b, "/s in, ");
	bad |= ctl_put_number(b, form, out);
	return bad | buf_append_str(b, "/s out");
}

static int
top_put_head(struct top *t, const struct ctl_rate *sums)
{
	char now[32];
	int bad;

	clock_rfc3339(now, sizeof(now));
	bad = buf_printf(&t->out, "%s%s  ", t->tty ? "\033[H\033[J" : "", now);
	bad |= top_put_sum(&t->out, "messages", CTL_COUNT, top_per_second(t, sums->messages_in),
	    top_per_second(t, sums->messages_out));
	bad |= buf_append_str(&t->out, "  ");
	bad |= top_put_sum(&t->out, "bytes", CTL_BYTES, top_per_second(t, sums->bytes_in),
	    top_per_second(t, sums->bytes_out));
	return bad | buf_append_str(&t->out, "\n");
}

static const struct ctl_column top_columns[] = {
	{ "id", "ID", CTL_TEXT },
	{ "msg_in", "MSG/S IN", CTL_COUNT },
	{ "msg_out", "MSG/S OUT", CTL_COUNT },
	{ "byte_in", "B/S IN", CTL_BYTES },
	{ "byte_out", "B/S OUT", CTL_BYTES },
	{ "queued_bytes", "QUEUED", CTL_BYTES },
	{ "age_ms", "AGE", CTL_AGE },
	{ "client", "CLIENT", CTL_TEXT },
	{ "route", "ROUTE", CTL_TEXT },
	{ "backend", "BACKEND", CTL_TEXT },
};

/* The same lines with the rates before them, as ctl_put_table takes them. */
static int
top_put_lines(
    const struct top *t, struct buf *b, struct span names, const struct ctl_rate *v, size_t n)
{
	int bad = buf_printf(b, "msg_in\tmsg_out\tbyte_in\tbyte_out\t%.*s\n", SPAN_ARG(names));

	for (size_t i = 0; i < n && bad == 0; i++)
		bad = buf_printf(b, "%llu\t%llu\t%llu\t%llu\t%.*s\n",
		    (unsigned long long)top_per_second(t, v[i].messages_in),
		    (unsigned long long)top_per_second(t, v[i].messages_out),
		    (unsigned long long)top_per_second(t, v[i].bytes_in),
		    (unsigned long long)top_per_second(t, v[i].bytes_out), SPAN_ARG(v[i].line));
	return bad;
}

static int
top_put_table(struct top *t, struct span names)
{
	struct ctl_rate sums;
	const struct ctl_rate *v;
	struct buf lines;
	size_t n;
	int bad;

	ctl_rates_sums(t->rates, &sums);
	v = ctl_rates_sorted(t->rates, t->o->sort, &n);
	if (n > t->lines)
		n = t->lines;
	buf_init(&lines, TOP_TEXT);
	bad = top_put_head(t, &sums) | top_put_lines(t, &lines, names, v, n);
	if (bad == 0)
		bad = ctl_put_table(&t->out, buf_span(&lines), top_columns,
		    sizeof(top_columns) / sizeof(top_columns[0]));
	buf_clear(&lines);
	return bad;
}

/* ---- as JSON, one line a round */

static bool
top_cell(struct span names, struct span line, const char *name, struct span *out)
{
	struct span head;

	while (ctl_next_cell(&names, &head) && ctl_next_cell(&line, out))
		if (span_eq(head, span_from_str(name)))
			return !span_eq(*out, SPAN_LIT("-"));
	return false;
}

static int
top_put_rates(const struct top *t, struct buf *b, const struct ctl_rate *r)
{
	int bad = json_put_num(b, "messages_in_per_s", top_per_second(t, r->messages_in));

	bad |= json_put_num(b, "messages_out_per_s", top_per_second(t, r->messages_out));
	bad |= json_put_num(b, "bytes_in_per_s", top_per_second(t, r->bytes_in));
	return bad | json_put_num(b, "bytes_out_per_s", top_per_second(t, r->bytes_out));
}

static int
top_put_json_line(const struct top *t, struct buf *b, struct span names, const struct ctl_rate *r)
{
	static const char *const texts[] = { "id", "kind", "client", "listener", "route",
		"backend" };
	struct span cell;
	uint64_t n;
	int bad = buf_append_str(b, b->p[b->n - 1] == '[' ? "{" : ",{");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		bad |= json_put_span(
		    b, texts[i], top_cell(names, r->line, texts[i], &cell) ? cell : SPAN_NONE);
	bad |= top_put_rates(t, b, r);
	if (top_cell(names, r->line, "queued_bytes", &cell) && num_parse_uint(cell, &n) == 0)
		bad |= json_put_num(b, "queued_bytes", n);
	return bad | buf_append_char(b, '}');
}

static int
top_put_json(struct top *t, struct span names)
{
	const struct ctl_rate *v;
	struct ctl_rate sums;
	char now[32];
	size_t n;
	int bad = buf_append_char(&t->out, '{');

	clock_rfc3339(now, sizeof(now));
	ctl_rates_sums(t->rates, &sums);
	v = ctl_rates_sorted(t->rates, t->o->sort, &n);
	bad |= json_put_str(&t->out, "time", now) | top_put_rates(t, &t->out, &sums);
	bad |= buf_append_str(&t->out, ",\"connections\":[");
	for (size_t i = 0; i < n && i < t->lines && bad == 0; i++)
		bad = top_put_json_line(t, &t->out, names, &v[i]);
	return bad | buf_append_str(&t->out, "]}\n");
}

/* ---- rounds */

static enum ctl_exit
top_show(struct top *t)
{
	struct span names = buf_span(&t->names);
	int bad;

	t->out.n = 0;
	if (t->tty)
		t->lines = top_screen_lines();
	bad = t->o->json ? top_put_json(t, names) : top_put_table(t, names);
	if (bad != 0) {
		fprintf(stderr, "wsrelayctl: out of memory\n");
		return CTL_SYSTEM;
	}
	return ctl_write(buf_span(&t->out));
}

static enum ctl_exit
top_run(struct top *t)
{
	uint64_t rounds = t->o->rounds != 0 ? t->o->rounds : t->tty ? UINT64_MAX : 1;
	enum ctl_exit st = top_look(t);

	for (uint64_t i = 0; st == CTL_OK && i < rounds; i++) {
		if (!ctl_call_wait(t->call, t->o->interval_ms))
			return CTL_OK; /* the person has seen enough */
		if ((st = top_look(t)) == CTL_OK)
			st = top_show(t);
	}
	return st;
}

enum ctl_exit
ctl_top(struct ctl_call *c, const struct ctl_options *o)
{
	struct top t = { .call = c, .o = o, .lines = TOP_LINES };
	enum ctl_exit st;

	t.tty = !o->json && isatty(STDOUT_FILENO) == 1;
	buf_init(&t.target, 65536);
	buf_init(&t.out, TOP_TEXT);
	buf_init(&t.names, 65536);
	if ((t.rates = ctl_rates_new()) == NULL) {
		fprintf(stderr, "wsrelayctl: out of memory\n");
		return CTL_SYSTEM;
	}
	st = top_run(&t);
	ctl_rates_free(t.rates);
	buf_clear(&t.target);
	buf_clear(&t.out);
	buf_clear(&t.names);
	return st;
}
