/*
 * Numbers, switches, times and sizes in text, and back.  Pure, any thread;
 * called by the configuration, the HTTP heads and the tools.
 */
#include "base/num.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

struct num_unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: the first that divides is the one to print. */
static const struct num_unit num_time_units[] = {
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "min", 60000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ "", 1000 },
};

static const struct num_unit num_size_units[] = {
	{ "G", (uint64_t)1 << 30 },
	{ "M", (uint64_t)1 << 20 },
	{ "K", (uint64_t)1 << 10 },
	{ "", 1 },
};

#define NUM_COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool
num_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int
num_parse_uint(struct span s, uint64_t *out)
{
	uint64_t v = 0, digit;

	if (s.n == 0)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (!num_is_digit(s.p[i]))
			return -1;
		digit = (uint64_t)(s.p[i] - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return -1;
		v = v * 10 + digit;
	}
	*out = v;
	return 0;
}

int
num_hex_digit(char c)
{
	if (num_is_digit(c))
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
num_parse_bool(struct span s, bool *out)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (size_t i = 0; i < NUM_COUNT(words); i++) {
		if (span_eq_nocase(s, span_from_str(words[i]))) {
			*out = i % 2 == 1;
			return 0;
		}
	}
	return -1;
}

/* Digits, then exactly one of the units; -1 when the product does not fit. */
static int
num_parse_unit(
    struct span s, const struct num_unit *units, size_t n_units, bool nocase, uint64_t *out)
{
	struct span digits = { s.p, 0 }, unit, name;
	uint64_t v;

	while (digits.n < s.n && num_is_digit(s.p[digits.n]))
		digits.n++;
	if (num_parse_uint(digits, &v) == -1)
		return -1;
	unit = (struct span){ s.p + digits.n, s.n - digits.n };
	for (size_t i = 0; i < n_units; i++) {
		name = span_from_str(units[i].name);
		if (!(nocase ? span_eq_nocase(unit, name) : span_eq(unit, name)))
			continue;
		if (v > UINT64_MAX / units[i].factor)
			return -1;
		*out = v * units[i].factor;
		return 0;
	}
	return -1;
}

int
num_parse_time_ms(struct span s, uint64_t *out_ms)
{
	uint64_t ms;

	if (span_eq_nocase(s, SPAN_LIT("infinity"))) {
		*out_ms = NUM_TIME_INFINITY;
		return 0;
	}
	if (num_parse_unit(s, num_time_units, NUM_COUNT(num_time_units), false, &ms) == -1)
		return -1;
	/* A number must not become "never" by accident. */
	if (ms == NUM_TIME_INFINITY)
		return -1;
	*out_ms = ms;
	return 0;
}

int
num_parse_size(struct span s, uint64_t *out)
{
	return num_parse_unit(s, num_size_units, NUM_COUNT(num_size_units), true, out);
}

static void
num_format_unit(uint64_t v, const struct num_unit *u, char *out, size_t size)
{
	assert(size >= 24);
	if (v == 0) {
		snprintf(out, size, "0");
		return;
	}
	/* Ends at the latest at the unit whose factor is 1. */
	while (v % u->factor != 0)
		u++;
	snprintf(out, size, "%" PRIu64 "%s", v / u->factor, u->name);
}

void
num_format_time_ms(uint64_t ms, char *out, size_t size)
{
	if (ms == NUM_TIME_INFINITY)
		snprintf(out, size, "infinity");
	else
		num_format_unit(ms, num_time_units, out, size);
}

void
num_format_size(uint64_t n, char *out, size_t size)
{
	num_format_unit(n, num_size_units, out, size);
}
