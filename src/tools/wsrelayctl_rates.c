/* Rates between two looks.  See wsrelayctl_rates.h. */
#include "tools/wsrelayctl_rates.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "tools/wsrelayctl_table.h"

/* What is asked of a line, by its name in the first one. */
enum { AT_ID, AT_MESSAGES_IN, AT_MESSAGES_OUT, AT_BYTES_IN, AT_BYTES_OUT, AT_N };

static const char *const rates_names[AT_N] = { "id", "messages_in", "messages_out", "bytes_in",
	"bytes_out" };

/* One connection's counters, as they were seen last. */
struct rates_seen {
	uint64_t connection;
	uint32_t stream;
	bool used;
	uint64_t count[AT_N];
};

struct ctl_rates {
	struct rates_seen *seen; /* owned; open addressing, at most half full */
	size_t cap, n_seen;
	struct ctl_rate *rate; /* owned: those that moved */
	size_t rate_cap, n_rates, n_lines;
	struct ctl_rate sums;
	bool looked; /* there was a look before */
};

struct ctl_rates *
ctl_rates_new(void)
{
	return mem_zalloc(sizeof(struct ctl_rates));
}

void
ctl_rates_free(struct ctl_rates *r)
{
	if (r == NULL)
		return;
	mem_free(r->seen);
	mem_free(r->rate);
	mem_free(r);
}

/* ---- the counters of before */

static struct rates_seen *
rates_slot(struct rates_seen *v, size_t cap, uint64_t connection, uint32_t stream)
{
	uint64_t h = (connection * 0x9e3779b97f4a7c15u) ^ (stream * 0xff51afd7ed558ccdu);
	size_t i = (size_t)(h ^ h >> 29) & (cap - 1);

	while (v[i].used && (v[i].connection != connection || v[i].stream != stream))
		i = (i + 1) & (cap - 1);
	return &v[i];
}

/* Room for one more.  0 or -1 without memory. */
static int
rates_grow(struct ctl_rates *r)
{
	size_t cap = r->cap == 0 ? 256 : r->cap * 2;
	struct rates_seen *v;

	if (r->n_seen * 2 < r->cap)
		return 0;
	if (cap > SIZE_MAX / sizeof(*v) || (v = mem_zalloc(cap * sizeof(*v))) == NULL)
		return -1;
	for (size_t i = 0; i < r->cap; i++)
		if (r->seen[i].used)
			*rates_slot(v, cap, r->seen[i].connection, r->seen[i].stream) = r->seen[i];
	mem_free(r->seen);
	r->seen = v;
	r->cap = cap;
	return 0;
}

/* ---- a look */

/* `17` or `17.5`. */
static int
rates_parse_id(struct span text, uint64_t *connection, uint32_t *stream)
{
	const char *dot = text.n > 0 ? memchr(text.p, '.', text.n) : NULL;
	struct span first = { text.p, dot != NULL ? (size_t)(dot - text.p) : text.n };
	uint64_t n = 0;

	if (num_parse_uint(first, connection) == -1 ||
	    (dot != NULL &&
		num_parse_uint((struct span){ dot + 1, text.n - first.n - 1 }, &n) == -1) ||
	    n > UINT32_MAX)
		return -1;
	*stream = (uint32_t)n;
	return 0;
}

static int
rates_find_columns(struct span head, size_t at[AT_N])
{
	struct span cell;
	size_t found = 0;

	for (size_t i = 0; ctl_next_cell(&head, &cell); i++)
		for (size_t k = 0; k < AT_N; k++)
			if (span_eq(cell, span_from_str(rates_names[k]))) {
				at[k] = i;
				found |= (size_t)1 << k;
			}
	return found == (1 << AT_N) - 1 ? 0 : -1;
}

/* A line's id and counters; `-` is 0.  0 or -1. */
static int
rates_read(struct span line, const size_t at[AT_N], struct rates_seen *out)
{
	struct span cell, id = SPAN_NONE;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; ctl_next_cell(&line, &cell); i++) {
		if (i == at[AT_ID])
			id = cell;
		for (size_t k = AT_ID + 1; k < AT_N; k++)
			if (i == at[k] && num_parse_uint(cell, &out->count[k]) == -1 &&
			    !span_eq(cell, SPAN_LIT("-")))
				return -1;
	}
	out->used = true;
	return rates_parse_id(id, &out->connection, &out->stream);
}

/* 0 or -1 without memory. */
static int
rates_add(struct ctl_rates *r, const struct ctl_rate *rate)
{
	size_t cap = r->rate_cap == 0 ? 64 : r->rate_cap * 2;
	struct ctl_rate *v;

	r->sums.messages_in += rate->messages_in;
	r->sums.messages_out += rate->messages_out;
	r->sums.bytes_in += rate->bytes_in;
	r->sums.bytes_out += rate->bytes_out;
	if ((rate->messages_in | rate->messages_out | rate->bytes_in | rate->bytes_out) == 0)
		return 0;
	if (r->n_rates == r->rate_cap) {
		if ((v = mem_realloc(r->rate, cap * sizeof(*v))) == NULL)
			return -1;
		r->rate = v;
		r->rate_cap = cap;
	}
	r->rate[r->n_rates++] = *rate;
	return 0;
}

static uint64_t
rates_since(const struct rates_seen *now, const struct rates_seen *was, size_t k)
{
	return now->count[k] >= was->count[k] ? now->count[k] - was->count[k] : 0;
}

/* One line; into `next` too, what the next look compares with.  0 or -1. */
static int
rates_take(struct ctl_rates *r, struct span line, const size_t at[AT_N])
{
	struct rates_seen now, *was;
	struct ctl_rate rate = { .line = line };

	if (rates_read(line, at, &now) == -1 || rates_grow(r) == -1)
		return -1;
	r->n_lines++;
	was = rates_slot(r->seen, r->cap, now.connection, now.stream);
	r->n_seen += !was->used;
	/* The first look only says where they stand; what comes up later began since. */
	if (r->looked) {
		rate.messages_in = rates_since(&now, was, AT_MESSAGES_IN);
		rate.messages_out = rates_since(&now, was, AT_MESSAGES_OUT);
		rate.bytes_in = rates_since(&now, was, AT_BYTES_IN);
		rate.bytes_out = rates_since(&now, was, AT_BYTES_OUT);
		if (rates_add(r, &rate) == -1)
			return -1;
	}
	*was = now;
	return 0;
}

/* Only what this look has shown is known from now on. */
static int
rates_forget_others(struct ctl_rates *r, struct span text, const size_t at[AT_N])
{
	struct span line;

	memset(r->seen, 0, r->cap * sizeof(*r->seen));
	r->n_seen = 0;
	for (struct rates_seen now; ctl_next_line(&text, &line); r->n_seen++) {
		if (rates_read(line, at, &now) == -1)
			return -1;
		*rates_slot(r->seen, r->cap, now.connection, now.stream) = now;
	}
	return 0;
}

int
ctl_rates_look(struct ctl_rates *r, struct span text, bool whole)
{
	struct span line, rest;
	size_t at[AT_N];

	r->n_rates = r->n_lines = 0;
	memset(&r->sums, 0, sizeof(r->sums));
	if (!ctl_next_line(&text, &line) || rates_find_columns(line, at) == -1)
		return -1;
	rest = text;
	while (ctl_next_line(&text, &line))
		if (rates_take(r, line, at) == -1)
			return -1;
	if (whole && r->looked && r->cap > 0 && rates_forget_others(r, rest, at) == -1)
		return -1;
	r->looked = true;
	return 0;
}

size_t
ctl_rates_lines(const struct ctl_rates *r)
{
	return r->n_lines;
}

void
ctl_rates_sums(const struct ctl_rates *r, struct ctl_rate *out)
{
	*out = r->sums;
}

static int
rates_compare(uint64_t a, uint64_t b)
{
	return a == b ? 0 : a > b ? -1 : 1;
}

static int
rates_by_messages(const void *a, const void *b)
{
	const struct ctl_rate *x = a, *y = b;
	int d = rates_compare(x->messages_in + x->messages_out, y->messages_in + y->messages_out);

	return d != 0 ? d : rates_compare(x->bytes_in + x->bytes_out, y->bytes_in + y->bytes_out);
}

static int
rates_by_bytes(const void *a, const void *b)
{
	const struct ctl_rate *x = a, *y = b;
	int d = rates_compare(x->bytes_in + x->bytes_out, y->bytes_in + y->bytes_out);

	return d != 0
	    ? d
	    : rates_compare(x->messages_in + x->messages_out, y->messages_in + y->messages_out);
}

const struct ctl_rate *
ctl_rates_sorted(struct ctl_rates *r, enum ctl_sort sort, size_t *n)
{
	if (r->n_rates > 1)
		qsort(r->rate, r->n_rates, sizeof(*r->rate),
		    sort == CTL_SORT_BYTES ? rates_by_bytes : rates_by_messages);
	*n = r->n_rates;
	return r->rate;
}
