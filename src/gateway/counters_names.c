/* What the counters' indices stand for.  See counters.h. */
#include "gateway/counters.h"

const char *
counters_refusal_str(enum counters_refusal why)
{
	switch (why) {
	case REFUSED_NO_ROUTE:
		return "no_route";
	case REFUSED_NOT_WEBSOCKET:
		return "not_websocket";
	case REFUSED_VERSION:
		return "version";
	case REFUSED_BAD_REQUEST:
		return "bad_request";
	case REFUSED_ORIGIN:
		return "origin";
	case REFUSED_CONNECTION_LIMIT:
		return "connection_limit";
	case REFUSED_RATE:
		return "rate";
	case REFUSED_DRAINING:
		return "draining";
	case REFUSED_BACKEND_FAILED:
		return "backend_failed";
	case REFUSED_BACKEND_TIMEOUT:
		return "backend_timeout";
	case REFUSED_BACKEND_FULL:
		return "backend_full";
	case REFUSED_BACKEND_REFUSED:
		return "backend_refused";
	case REFUSED_CLIENT_LEFT:
		return "client_left";
	case REFUSED_INTERNAL:
		return "internal";
	case REFUSED_REASONS:
		break;
	}
	return "?";
}

const char *
counters_trouble_str(enum counters_trouble why)
{
	switch (why) {
	case TROUBLE_PROXY_HEADER:
		return "proxy_header";
	case TROUBLE_TLS:
		return "tls_handshake";
	case TROUBLE_REQUEST:
		return "bad_request";
	case TROUBLE_HTTP2:
		return "http2";
	case TROUBLE_LIMIT:
		return "connection_limit";
	case TROUBLE_RATE:
		return "rate";
	case TROUBLE_REASONS:
		break;
	}
	return "?";
}

/* Ascending. */
static const struct {
	uint16_t status;
	const char *text;
} counters_statuses[] = { { 101, "101" }, { 200, "200" }, { 201, "201" }, { 202, "202" },
	{ 204, "204" }, { 206, "206" }, { 301, "301" }, { 302, "302" }, { 303, "303" },
	{ 304, "304" }, { 307, "307" }, { 308, "308" }, { 400, "400" }, { 401, "401" },
	{ 403, "403" }, { 404, "404" }, { 405, "405" }, { 408, "408" }, { 409, "409" },
	{ 412, "412" }, { 413, "413" }, { 414, "414" }, { 416, "416" }, { 422, "422" },
	{ 426, "426" }, { 429, "429" }, { 431, "431" }, { 500, "500" }, { 501, "501" },
	{ 502, "502" }, { 503, "503" }, { 504, "504" }, { 505, "505" } };

/* 2xx to 5xx, and none. */
static const char *const counters_classes[] = { "2xx", "3xx", "4xx", "5xx", "none" };

#define STATUSES_KNOWN (sizeof(counters_statuses) / sizeof(counters_statuses[0]))
#define STATUSES_CLASSES (sizeof(counters_classes) / sizeof(counters_classes[0]))
_Static_assert(STATUSES_KNOWN + STATUSES_CLASSES == COUNTERS_STATUSES, "each has its counter");

unsigned
counters_status(unsigned status)
{
	unsigned i = 0;

	while (i < STATUSES_KNOWN && counters_statuses[i].status < status)
		i++;
	if (i < STATUSES_KNOWN && counters_statuses[i].status == status)
		return i;
	if (status < 200 || status > 599)
		return COUNTERS_STATUSES - 1;
	return (unsigned)STATUSES_KNOWN + status / 100 - 2;
}

const char *
counters_status_str(unsigned index)
{
	return index < STATUSES_KNOWN ? counters_statuses[index].text
				      : counters_classes[index - STATUSES_KNOWN];
}

/* RFC 6455 7.4.1, and what is registered since. */
static const struct {
	uint16_t code;
	const char *text;
} counters_codes[] = { { 1000, "1000" }, { 1001, "1001" }, { 1002, "1002" }, { 1003, "1003" },
	{ 1005, "1005" }, { 1006, "1006" }, { 1007, "1007" }, { 1008, "1008" }, { 1009, "1009" },
	{ 1010, "1010" }, { 1011, "1011" }, { 1012, "1012" }, { 1013, "1013" }, { 1014, "1014" } };

#define CODES_KNOWN (sizeof(counters_codes) / sizeof(counters_codes[0]))
_Static_assert(CODES_KNOWN + 1 == COUNTERS_CODES, "each has its counter");

unsigned
counters_code(unsigned code)
{
	unsigned i = 0;

	while (i < CODES_KNOWN && counters_codes[i].code != code)
		i++;
	return i;
}

const char *
counters_code_str(unsigned index)
{
	return index < CODES_KNOWN ? counters_codes[index].text : "other";
}
