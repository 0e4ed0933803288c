/*
 * Fuzz target: an AllowedOrigins value and the Origin of a request.
 *
 * The input's first line is the value, what follows is the request's Origin. A value that is taken
 * must allow itself (a wildcard: a name below its domain), written out with its port as well; it
 * must allow nothing of another scheme or port; and what it allows must allow it in turn where
 * neither is a pattern.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/origin_value.h"
#include "policy/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_ORIGIN_CHECK(x)                                 \
	do {                                                 \
		if (!(x)) {                                  \
			fprintf(stderr, "not so: %s\n", #x); \
			abort();                             \
		}                                            \
	} while (0)

static bool
fuzz_origin_allows(struct config_origin *o, struct span origin)
{
	struct config_websocket ws = { .allowed_origins = o, .n_allowed_origins = 1 };

	FUZZ_ORIGIN_CHECK(origin_check(&ws, 2, origin, false) == ORIGIN_TWICE);
	return origin_check(&ws, 1, origin, false) == ORIGIN_OK;
}

static void
fuzz_origin_self(struct config_origin *o)
{
	const char *below = o->kind == CONFIG_ORIGIN_WILDCARD ? "x." : "";
	char text[1024];

	if (o->kind == CONFIG_ORIGIN_ANY || o->kind == CONFIG_ORIGIN_NULL) {
		FUZZ_ORIGIN_CHECK(fuzz_origin_allows(o, SPAN_LIT("null")));
		return;
	}
	if (strlen(o->scheme) + strlen(o->host) > sizeof(text) - 64)
		return;
	FUZZ_ORIGIN_CHECK(!fuzz_origin_allows(o, SPAN_LIT("null")));
	if (o->port != 0)
		snprintf(text, sizeof(text), "%s://%s%s:%u", o->scheme, below, o->host, o->port);
	else
		snprintf(text, sizeof(text), "%s://%s%s", o->scheme, below, o->host);
	/* a label more may make a name too long, and a number an address of it */
	if (strlen(o->host) < CONFIG_ORIGIN_HOST_SIZE - 3)
		FUZZ_ORIGIN_CHECK(fuzz_origin_allows(o, span_from_str(text)));
	snprintf(text, sizeof(text), "x%s://%s%s:%u", o->scheme, below, o->host, o->port);
	FUZZ_ORIGIN_CHECK(!fuzz_origin_allows(o, span_from_str(text)));
	snprintf(text, sizeof(text), "%s://%s%s:%u", o->scheme, below, o->host, o->port ^ 1);
	FUZZ_ORIGIN_CHECK(!fuzz_origin_allows(o, span_from_str(text)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span value = { (const char *)data, size }, origin = SPAN_NONE;
	const char *nl = size > 0 ? memchr(data, '\n', size) : NULL, *why = NULL;
	struct config_origin a, b;

	if (nl != NULL) {
		value.n = (size_t)(nl - value.p);
		origin = (struct span){ nl + 1, size - value.n - 1 };
	}
	if (config_origin_parse(value, &a, &why) == -1) {
		FUZZ_ORIGIN_CHECK(why != NULL);
		return 0;
	}
	fuzz_origin_self(&a);
	if (fuzz_origin_allows(&a, origin) && a.kind == CONFIG_ORIGIN_EXACT) {
		FUZZ_ORIGIN_CHECK(config_origin_parse(span_trim(origin), &b, &why) == 0);
		FUZZ_ORIGIN_CHECK(b.kind == CONFIG_ORIGIN_EXACT);
		FUZZ_ORIGIN_CHECK(fuzz_origin_allows(&b, value));
		config_origin_clear(&b);
	}
	config_origin_clear(&a);
	return 0;
}
