/*
 * Looking keys and sections up in the table, the nearest name for one that is
 * not there, and what a key's value should look like in words.
 */
#include "config/keys.h"

#include <stdio.h>

#include "base/num.h"

#define KEYS_WORD_MAX 63

const struct config_section_info config_sections[CONFIG_S_COUNT] = {
	[CONFIG_S_SERVER] = { "server", false, "[server]", "The daemon as a whole." },
	[CONFIG_S_LISTEN] = { "listen", true, "[listen NAME]",
	    "A front door: addresses that clients connect to. One or more." },
	[CONFIG_S_WEBSOCKET] = { "websocket", false, "[websocket]",
	    "Defaults for the WebSockets of all routes; each key can stand in a [route] as well, "
	    "where it holds for that route alone." },
	[CONFIG_S_ROUTE] = { "route", true, "[route NAME]",
	    "Which requests are served, and how. One or more. "
	    "Every key of [websocket] can stand here too." },
	[CONFIG_S_BACKEND] = { "backend", true, "[backend NAME]",
	    "An application behind the gateway." },
};

bool
config_key_is_list(const struct config_key *k)
{
	return k->type >= CONFIG_T_LIST;
}

bool
config_key_in(const struct config_key *k, enum config_section_type s)
{
	return k->section == s || (s == CONFIG_S_ROUTE && k->section == CONFIG_S_WEBSOCKET);
}

const struct config_key *
config_key_find(enum config_section_type s, struct span name)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_key_in(&config_keys[i], s) &&
		    span_eq_nocase(span_from_str(config_keys[i].name), name))
			return &config_keys[i];
	return NULL;
}

int
config_section_find(struct span name, enum config_section_type *out)
{
	for (unsigned i = 0; i < CONFIG_S_COUNT; i++)
		if (span_eq_nocase(span_from_str(config_sections[i].name), name)) {
			*out = (enum config_section_type)i;
			return 0;
		}
	return -1;
}

static unsigned
keys_min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Optimal string alignment: Levenshtein's distance with swaps of neighbours. */
unsigned
config_edit_distance(struct span a, struct span b)
{
	unsigned row[3][KEYS_WORD_MAX + 1];
	unsigned *before = row[0], *last = row[1], *now = row[2], *t;

	a.n = a.n > KEYS_WORD_MAX ? KEYS_WORD_MAX : a.n;
	b.n = b.n > KEYS_WORD_MAX ? KEYS_WORD_MAX : b.n;
	for (unsigned j = 0; j <= b.n; j++)
		last[j] = before[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		now[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			char ca = span_lower(a.p[i - 1]), cb = span_lower(b.p[j - 1]);

			now[j] = keys_min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == span_lower(b.p[j - 2]) &&
			    cb == span_lower(a.p[i - 2]) && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		t = before, before = last, last = now, now = t;
	}
	return last[b.n];
}

const struct config_key *
config_key_nearest(enum config_section_type s, struct span name)
{
	const struct config_key *best = NULL;
	unsigned d, best_d = UINT32_MAX;

	for (size_t i = 0; i < config_keys_n; i++) {
		if (!config_key_in(&config_keys[i], s))
			continue;
		d = config_edit_distance(span_from_str(config_keys[i].name), name);
		if (d < best_d)
			best_d = d, best = &config_keys[i];
	}
	return best;
}

enum config_section_type
config_section_nearest(struct span name)
{
	unsigned d, best_d = UINT32_MAX, best = 0;

	for (unsigned i = 0; i < CONFIG_S_COUNT; i++) {
		d = config_edit_distance(span_from_str(config_sections[i].name), name);
		if (d < best_d)
			best_d = d, best = i;
	}
	return (enum config_section_type)best;
}

static void
keys_expected_number(const struct config_key *k, struct buf *b)
{
	char lo[24], hi[24];

	if (k->type == CONFIG_T_TIME) {
		num_format_time_ms(k->min, lo, sizeof(lo));
		num_format_time_ms(k->max, hi, sizeof(hi));
	} else if (k->type == CONFIG_T_SIZE) {
		num_format_size(k->min, lo, sizeof(lo));
		num_format_size(k->max, hi, sizeof(hi));
	} else {
		snprintf(lo, sizeof(lo), "%llu", (unsigned long long)k->min);
		snprintf(hi, sizeof(hi), "%llu", (unsigned long long)k->max);
	}
	buf_printf(b, "a %s from %s to %s%s%s",
	    k->type == CONFIG_T_TIME	   ? "time"
		: k->type == CONFIG_T_SIZE ? "size"
					   : "number",
	    lo, hi, k->type == CONFIG_T_AUTO ? ", or auto" : "",
	    k->infinity ? ", or infinity" : "");
}

static void
keys_expected_words(const struct config_key *k, struct buf *b)
{
	for (size_t i = 0; k->words[i] != NULL; i++) {
		if (i > 0)
			buf_append_str(b, k->words[i + 1] == NULL ? " or " : ", ");
		buf_append_str(b, k->words[i]);
	}
}

/* A failed append leaves what is there already: good enough for a message. */
static const char *
keys_finish(struct buf *b, char *out)
{
	memcpy(out, b->n > 0 ? b->p : "", b->n);
	out[b->n] = '\0';
	buf_clear(b);
	return out;
}

const char *
config_key_expected(const struct config_key *k, char *out, size_t size)
{
	struct buf b;

	buf_init(&b, size - 1);
	if (k->expected != NULL)
		buf_append_str(&b, k->expected);
	else if (k->type == CONFIG_T_BOOL)
		buf_append_str(&b, "yes or no");
	else if (k->type == CONFIG_T_ENUM)
		keys_expected_words(k, &b);
	else
		keys_expected_number(k, &b);
	return keys_finish(&b, out);
}
