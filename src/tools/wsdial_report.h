/* What --ping and --load have found: for people, or with --json for programs. */
#ifndef TOOLS_WSDIAL_REPORT_H
#define TOOLS_WSDIAL_REPORT_H

#include <stdint.h>

#include "tools/wsdial_connect.h"
#include "tools/wsdial_stats.h"

struct wsdial_ping_result {
	uint64_t sent;
	const struct wsdial_rtt *rtt;
	const uint64_t *rtt_us; /* of each; UINT64_MAX: no answer */
	uint64_t took_us;
};

struct wsdial_load_result {
	uint64_t messages; /* that came back within the time; with --opens WebSockets */
	uint64_t in_flight, size;
	uint64_t took_us;
	const struct wsdial_histogram *latency;
};

/* To the standard output. */
void wsdial_report_ping(const struct wsdial_env *env, const struct wsdial_agreed *agreed,
    const struct wsdial_ping_result *r);
void wsdial_report_load(const struct wsdial_env *env, const struct wsdial_agreed *agreed,
    const struct wsdial_load_result *r);

#endif
