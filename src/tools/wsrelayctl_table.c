/*
 * Tables for people.  See wsrelayctl_table.h.
 *
 * A table is made in two passes over the text: one measures, one writes.  Nothing is kept of the
 * lines, so a table of a million connections needs the memory of its text alone.
 */
#include "tools/wsrelayctl_table.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

#define TABLE_CELL 600
#define TABLE_CELLS 64

bool
ctl_next_line(struct span *text, struct span *line)
{
	const char *end;

	if (text->n == 0)
		return false;
	end = memchr(text->p, '\n', text->n);
	*line = (struct span){ text->p, end != NULL ? (size_t)(end - text->p) : text->n };
	text->n -= line->n + (end != NULL);
	text->p += line->n + (end != NULL);
	return true;
}

bool
ctl_next_cell(struct span *line, struct span *cell)
{
	const char *end;

	if (line->p == NULL)
		return false;
	end = line->n > 0 ? memchr(line->p, '\t', line->n) : NULL;
	*cell = (struct span){ line->p, end != NULL ? (size_t)(end - line->p) : line->n };
	if (end == NULL) {
		*line = SPAN_NONE;
		return true;
	}
	line->n -= cell->n + 1;
	line->p += cell->n + 1;
	return true;
}

/* ---- cells */

/* Three digits and a prefix. */
static int
table_put_scaled(struct buf *b, uint64_t n, unsigned base, const char *prefixes)
{
	double v = (double)n;
	size_t i = 0;

	if (n < (base == 1000 ? 10000 : 10240))
		return buf_printf(b, "%llu", (unsigned long long)n);
	/* 999.95 would be shown as 1000.0 */
	for (v /= base; v >= base - 0.05 && prefixes[i + 1] != '\0'; i++)
		v /= base;
	return buf_printf(b, v < 99.95 ? "%.1f%c" : "%.0f%c", v, prefixes[i]);
}

static int
table_put_age(struct buf *b, uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (ms < 10000)
		return buf_printf(b, "%llu.%llus", s, (unsigned long long)(ms % 1000 / 100));
	if (s < 60)
		return buf_printf(b, "%llus", s);
	if (s < 3600)
		return buf_printf(b, "%llum%02llus", s / 60, s % 60);
	if (s < 86400)
		return buf_printf(b, "%lluh%02llum", s / 3600, s / 60 % 60);
	return buf_printf(b, "%llud%02lluh", s / 86400, s / 3600 % 24);
}

int
ctl_put_number(struct buf *b, enum ctl_form form, uint64_t n)
{
	switch (form) {
	case CTL_COUNT:
		return table_put_scaled(b, n, 1000, "kMGTPE");
	case CTL_BYTES:
		return table_put_scaled(b, n, 1024, "KMGTPE");
	case CTL_AGE:
		return table_put_age(b, n);
	case CTL_TEXT:
		break;
	}
	return buf_printf(b, "%llu", (unsigned long long)n);
}

int
ctl_put_cell(struct buf *b, enum ctl_form form, struct span cell)
{
	uint64_t n;

	if (form != CTL_TEXT && num_parse_uint(cell, &n) == 0)
		return ctl_put_number(b, form, n);
	for (size_t i = 0; i < cell.n; i++) {
		unsigned char c = (unsigned char)cell.p[i];

		/*
		 * Bytes are escaped already where they were read; whoever answers is not trusted
		 * with that.
		 */
		if ((c < ' ' || c >= 0x7f ? buf_printf(b, "\\x%02x", c)
					  : buf_append_char(b, (char)c)) == -1)
			return -1;
	}
	return 0;
}

/* ---- tables */

/* The cells of a line; their number. */
static size_t
table_split(struct span line, struct span cell[TABLE_CELLS])
{
	size_t n = 0;

	while (n < TABLE_CELLS && ctl_next_cell(&line, &cell[n]))
		n++;
	return n;
}

/* Where each column is among the cells.  0, or -1: one is not there. */
static int
table_find(struct span head, const struct ctl_column *column, size_t n, size_t at[CTL_COLUMNS])
{
	struct span cell[TABLE_CELLS];
	size_t cells = table_split(head, cell);

	if (n > CTL_COLUMNS)
		return -1;
	for (size_t i = 0; i < n; i++) {
		for (at[i] = 0; at[i] < cells; at[i]++)
			if (span_eq(cell[at[i]], span_from_str(column[i].name)))
				break;
		if (at[i] == cells)
			return -1;
	}
	return 0;
}

/* One line's cells, as shown, into one text each. */
static int
table_show(struct span line, const struct ctl_column *column, size_t n,
    const size_t at[CTL_COLUMNS], struct buf shown[CTL_COLUMNS])
{
	struct span cell[TABLE_CELLS];
	size_t cells = table_split(line, cell);

	for (size_t i = 0; i < n; i++) {
		shown[i].n = 0;
		if (at[i] >= cells)
			return -1;
		/* A cell that is too long is cut. */
		ctl_put_cell(&shown[i], column[i].form, cell[at[i]]);
	}
	return 0;
}

/* The last column has no blanks behind it. */
static int
table_put_line(struct buf *b, const struct ctl_column *column, size_t n, const struct span *shown,
    const size_t *width)
{
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		int pad = (int)(width[i] - shown[i].n);
		bool right = column[i].form != CTL_TEXT;

		bad |= buf_printf(b, "%s%*s%.*s%*s", i > 0 ? "  " : "", right ? pad : 0, "",
		    SPAN_ARG(shown[i]), right || i + 1 == n ? 0 : pad, "");
	}
	return bad == 0 ? buf_append_char(b, '\n') : -1;
}

struct table {
	const struct ctl_column *column;
	size_t n;
	size_t at[CTL_COLUMNS], width[CTL_COLUMNS];
	struct buf shown[CTL_COLUMNS];
};

/* out NULL: measure. */
static int
table_pass(struct table *t, struct span text, struct buf *out)
{
	struct span line, shown[CTL_COLUMNS];

	while (ctl_next_line(&text, &line)) {
		if (table_show(line, t->column, t->n, t->at, t->shown) == -1)
			return -1;
		for (size_t i = 0; i < t->n; i++) {
			shown[i] = buf_span(&t->shown[i]);
			if (shown[i].n > t->width[i])
				t->width[i] = shown[i].n;
		}
		if (out != NULL && table_put_line(out, t->column, t->n, shown, t->width) == -1)
			return -1;
	}
	return 0;
}

static int
table_put(struct table *t, struct buf *b, struct span text)
{
	struct span head, title[CTL_COLUMNS];

	if (!ctl_next_line(&text, &head) || table_find(head, t->column, t->n, t->at) == -1)
		return -1;
	for (size_t i = 0; i < t->n; i++) {
		title[i] = span_from_str(t->column[i].title);
		t->width[i] = title[i].n;
	}
	if (table_pass(t, text, NULL) == -1 ||
	    table_put_line(b, t->column, t->n, title, t->width) == -1)
		return -1;
	return table_pass(t, text, b);
}

int
ctl_put_table(struct buf *b, struct span text, const struct ctl_column *column, size_t n)
{
	struct table t = { .column = column, .n = n };
	int ret;

	for (size_t i = 0; i < CTL_COLUMNS; i++)
		buf_init(&t.shown[i], TABLE_CELL);
	ret = table_put(&t, b, text);
	for (size_t i = 0; i < CTL_COLUMNS; i++)
		buf_clear(&t.shown[i]);
	return ret;
}
