/* The Prometheus text format.  See metrics_text.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/metrics_text.h"
#include "codec/ws_utf8.h"

void
metrics_text_init(struct metrics_text *m, struct buf *out)
{
	m->out = out;
	m->family = NULL;
	m->failed = false;
}

static void
text_str(struct metrics_text *m, const char *s)
{
	if (buf_append_str(m->out, s) == -1)
		m->failed = true;
}

/* HELP escapes backslash and line feed, a label's value the quote as well. */
static void
text_escaped(struct metrics_text *m, const char *s, bool quoted)
{
	char esc[3] = { '\\', '\0', '\0' };
	size_t n;

	for (; *s != '\0'; s++) {
		n = strcspn(s, quoted ? "\\\n\"" : "\\\n");
		if (buf_append(m->out, s, n) == -1)
			m->failed = true;
		if (*(s += n) == '\0')
			return;
		esc[1] = *s == '\n' ? 'n' : *s;
		text_str(m, esc);
	}
}

static bool
text_is_utf8(const char *s)
{
	uint8_t state = WS_UTF8_START;

	return ws_utf8_feed(&state, (const uint8_t *)s, strlen(s)) && state == WS_UTF8_START;
}

/* A label's value.  A reader refuses the whole text for one that is not UTF-8 (a socket's path). */
static void
text_value(struct metrics_text *m, const char *s)
{
	char hex[8];

	if (text_is_utf8(s)) {
		text_escaped(m, s, true);
		return;
	}
	for (; *s != '\0'; s++) {
		char one[2] = { *s, '\0' };

		if ((unsigned char)*s < 0x80) {
			text_escaped(m, one, true);
			continue;
		}
		snprintf(hex, sizeof(hex), "\\\\x%02x", (unsigned char)*s);
		text_str(m, hex);
	}
}

void
metrics_text_begin(struct metrics_text *m, const struct metrics_family *f)
{
	static const char *const types[] = { [METRICS_COUNTER] = "counter",
		[METRICS_GAUGE] = "gauge",
		[METRICS_HISTOGRAM] = "histogram" };

	m->family = f;
	text_str(m, "# HELP ");
	text_str(m, f->name);
	text_str(m, " ");
	text_escaped(m, f->help, false);
	text_str(m, "\n# TYPE ");
	text_str(m, f->name);
	text_str(m, " ");
	text_str(m, types[f->type]);
	text_str(m, "\n");
}

static void
text_sample(struct metrics_text *m, const char *suffix, const struct metrics_label *label, size_t n,
    const char *value)
{
	text_str(m, m->family->name);
	text_str(m, suffix);
	for (size_t i = 0; i < n; i++) {
		text_str(m, i == 0 ? "{" : ",");
		text_str(m, label[i].name);
		text_str(m, "=\"");
		text_value(m, label[i].value);
		text_str(m, "\"");
	}
	text_str(m, n > 0 ? "} " : " ");
	text_str(m, value);
	text_str(m, "\n");
}

static void
text_uint(struct metrics_text *m, const char *suffix, const struct metrics_label *label, size_t n,
    uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	text_sample(m, suffix, label, n, text);
}

void
metrics_text_uint(
    struct metrics_text *m, const struct metrics_label *label, size_t n, uint64_t value)
{
	text_uint(m, "", label, n, value);
}

void
metrics_text_double(
    struct metrics_text *m, const struct metrics_label *label, size_t n, double value)
{
	char text[40];

	/* Seconds since 1970 with their fraction need 16 digits.  No locale is ever set. */
	snprintf(text, sizeof(text), "%.16g", value);
	text_sample(m, "", label, n, text);
}

/* Microseconds as seconds, exactly, without trailing zeros. */
static void
text_seconds(char *out, size_t size, uint64_t us)
{
	int n = snprintf(out, size, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);

	while (out[n - 1] == '0')
		out[--n] = '\0';
	if (out[n - 1] == '.')
		out[n - 1] = '\0';
}

void
metrics_text_histogram(struct metrics_text *m, const struct metrics_label *label, size_t n,
    const struct metrics_histogram *h)
{
	struct metrics_label v[METRICS_TEXT_LABELS];
	uint64_t total = 0;
	char bound[32], sum[32];

	for (size_t i = 0; i < n; i++)
		v[i] = label[i];
	v[n] = (struct metrics_label){ "le", bound };
	for (size_t i = 0; i <= h->n_bounds; i++) {
		if (i < h->n_bounds)
			text_seconds(bound, sizeof(bound), h->bound_us[i]);
		else
			snprintf(bound, sizeof(bound), "+Inf");
		total += h->count[i];
		text_uint(m, "_bucket", v, n + 1, total);
	}
	text_seconds(sum, sizeof(sum), h->sum_us);
	text_sample(m, "_sum", label, n, sum);
	text_uint(m, "_count", label, n, total);
}
