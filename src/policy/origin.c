/*
 * Whether a request's Origin may open a WebSocket; see origin.h.  Pure, any
 * thread; called by gateway/ for each handshake and by --explain.
 */
#include "policy/origin.h"

#include "config/origin_value.h"

const char *
origin_verdict_str(enum origin_verdict v)
{
	switch (v) {
	case ORIGIN_OK:
		return "origin allowed";
	case ORIGIN_NOT_ALLOWED:
		return "origin not allowed";
	case ORIGIN_MISSING:
		return "origin missing";
	case ORIGIN_TWICE:
		return "two origins";
	}
	return "unknown";
}

/* Whether name is one or more labels and then domain. */
static bool
origin_is_below(struct span name, struct span domain)
{
	size_t more = name.n - domain.n;

	return name.n > domain.n + 1 && name.p[more - 1] == '.' &&
	    span_eq((struct span){ name.p + more, domain.n }, domain);
}

/* parts: NULL when the request's Origin is `null`. */
static bool
origin_matches(const struct config_origin *o, const struct config_origin_parts *parts)
{
	struct span host;

	if (o->kind == CONFIG_ORIGIN_ANY)
		return true;
	if (o->kind == CONFIG_ORIGIN_NULL || parts == NULL)
		return o->kind == CONFIG_ORIGIN_NULL && parts == NULL;
	/* RFC 6454 5: scheme, host and port are the same. */
	if (o->port != parts->port || !span_eq_nocase(span_from_str(o->scheme), parts->scheme))
		return false;
	host = span_from_str(parts->host);
	if (o->kind == CONFIG_ORIGIN_WILDCARD)
		return origin_is_below(host, span_from_str(o->host));
	return span_eq(host, span_from_str(o->host));
}

static bool
origin_has_any(const struct config_websocket *ws)
{
	for (size_t i = 0; i < ws->n_allowed_origins; i++)
		if (ws->allowed_origins[i].kind == CONFIG_ORIGIN_ANY)
			return true;
	return false;
}

static enum origin_verdict
origin_judge(const struct config_websocket *ws, struct span origin)
{
	bool is_null = span_eq_nocase(origin, SPAN_LIT("null"));
	struct config_origin_parts parts;
	const char *why;

	if (origin_has_any(ws))
		return ORIGIN_OK;
	/* What is no origin at all equals none (a list of RFC 6454 7.1 included). */
	if (!is_null && config_origin_cut(origin, false, &parts, &why) == -1)
		return ORIGIN_NOT_ALLOWED;
	for (size_t i = 0; i < ws->n_allowed_origins; i++)
		if (origin_matches(&ws->allowed_origins[i], is_null ? NULL : &parts))
			return ORIGIN_OK;
	return ORIGIN_NOT_ALLOWED;
}

enum origin_verdict
origin_check(
    const struct config_websocket *ws, size_t n_origins, struct span origin, bool has_cookie)
{
	if (n_origins > 1)
		return ORIGIN_TWICE; /* RFC 6454 7.3 */
	if (ws->n_allowed_origins == 0)
		return ORIGIN_OK;
	if (n_origins == 1)
		return origin_judge(ws, span_trim(origin));
	switch (ws->require_origin) {
	case CONFIG_ORIGIN_NO:
		return ORIGIN_OK;
	case CONFIG_ORIGIN_YES:
		return ORIGIN_MISSING;
	case CONFIG_ORIGIN_WITH_COOKIE:
		return has_cookie ? ORIGIN_MISSING : ORIGIN_OK;
	}
	return ORIGIN_MISSING;
}
