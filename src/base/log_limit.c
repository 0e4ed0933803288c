/*
 * Messages of a kind: so many in an interval, then only their number.  See log_int.h.
 *
 * A table of fixed size; the kinds are places in the source, of which there are fewer.  Should
 * they be more, the rest share an entry.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log_int.h"

static struct log_limit_kind *
log_limit_find(struct log_limit *l, const void *kind)
{
	size_t at = ((uintptr_t)kind >> 3) % LOG_LIMIT_KINDS;

	for (size_t i = 0; i < LOG_LIMIT_KINDS; i++) {
		struct log_limit_kind *k = &l->kind[(at + i) % LOG_LIMIT_KINDS];

		if (k->kind == kind || k->kind == NULL)
			return k;
	}
	return &l->kind[at];
}

bool
log_limit_take(struct log_limit *l, const void *kind, enum log_level level, uint64_t now_ms,
    struct log_limit_kind **due)
{
	struct log_limit_kind *k = log_limit_find(l, kind);

	*due = NULL;
	if (k->kind == NULL || now_ms - k->start_ms >= LOG_LIMIT_MS) {
		k->kind = kind;
		k->start_ms = now_ms;
		k->count = 0;
		if (k->suppressed > 0)
			*due = k;
	}
	k->level = level;
	return k->count++ < LOG_LIMIT_BURST;
}

void
log_limit_suppress(struct log_limit *l, const void *kind, struct span text)
{
	struct log_limit_kind *k = log_limit_find(l, kind);
	size_t n = text.n < sizeof(k->sample) ? text.n : sizeof(k->sample) - 1;

	if (k->suppressed++ == 0)
		l->n_waiting++;
	memcpy(k->sample, text.p, n);
	k->sample[n] = '\0';
}

struct log_limit_kind *
log_limit_due(struct log_limit *l, uint64_t now_ms, bool any)
{
	for (size_t i = 0; l->n_waiting > 0 && i < LOG_LIMIT_KINDS; i++)
		if (l->kind[i].suppressed > 0 &&
		    (any || now_ms - l->kind[i].start_ms >= LOG_LIMIT_MS))
			return &l->kind[i];
	return NULL;
}

struct span
log_limit_tell(struct log_limit *l, struct log_limit_kind *k, char *text, size_t size)
{
	int n = snprintf(text, size, "%" PRIu32 " more messages like this were suppressed: %s",
	    k->suppressed, k->sample);

	k->suppressed = 0;
	l->n_waiting--;
	return (struct span){ text, n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1 };
}
