/*
 * The metrics of what stands in gateway/counters.h: by route, by backend, by listener.  See
 * metrics.h.
 *
 * Series that can be many (by status, by close code, by reason) appear with their first count; the
 * others from the start.  Routes, backends and listeners that the configuration has no more are
 * told as long as they are counted or remembered.
 */
#include <string.h>

#include "daemon/daemon_int.h"
#include "daemon/metrics_int.h"
#include "gateway/backends.h"
#include "gateway/counters.h"
#include "io/tls.h"

/* One sample with two labels, the first of which says whose it is. */
struct metrics_of {
	struct metrics_text *m;
	struct metrics_label label[3];
};

static void
of_add(struct metrics_of *o, const char *name, const char *value, uint64_t n)
{
	o->label[1] = (struct metrics_label){ name, value };
	metrics_text_uint(o->m, o->label, 2, n);
}

/* The same where there is something to be told. */
static void
of_add_some(struct metrics_of *o, const char *name, const char *value, uint64_t n)
{
	if (n > 0)
		of_add(o, name, value, n);
}

/* Two counters are not read at the same moment: the one of what has ended may be ahead. */
static uint64_t
of_open(const struct counter *began, const struct counter *ended)
{
	uint64_t b = counter_get(began), e = counter_get(ended);

	return b > e ? b - e : 0;
}

/* ---- routes */

static const char *const directions[] = { [COUNTERS_IN] = "in", [COUNTERS_OUT] = "out" };
static const char *const https[] = { [COUNTERS_HTTP_1] = "1.1", [COUNTERS_HTTP_2] = "2" };
static const char *const sides[] = { [COUNTERS_BY_CLIENT] = "client",
	[COUNTERS_BY_BACKEND] = "backend",
	[COUNTERS_BY_GATEWAY] = "gateway" };

static void
route_websockets(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_HTTPS; i++)
		of_add(o, "http", https[i], of_open(&c->opened[i], &c->ended[i]));
}

static void
route_opened(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_HTTPS; i++)
		of_add(o, "http", https[i], counter_get(&c->opened[i]));
}

static void
route_refused(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < REFUSED_REASONS; i++)
		of_add_some(o, "reason", counters_refusal_str(i), counter_get(&c->refused[i]));
}

static void
route_messages(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_DIRECTIONS; i++)
		of_add(o, "direction", directions[i], counter_get(&c->messages[i]));
}

static void
route_bytes(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_DIRECTIONS; i++)
		of_add(o, "direction", directions[i], counter_get(&c->bytes[i]));
}

static void
route_closes(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_CODES * COUNTERS_SIDES; i++) {
		uint64_t n = counter_get(&c->closes[i / COUNTERS_SIDES][i % COUNTERS_SIDES]);

		if (n == 0)
			continue;
		o->label[1] =
		    (struct metrics_label){ "code", counters_code_str(i / COUNTERS_SIDES) };
		o->label[2] = (struct metrics_label){ "side", sides[i % COUNTERS_SIDES] };
		metrics_text_uint(o->m, o->label, 3, n);
	}
}

static void
route_keepalive(struct metrics_of *o, const struct route_counters *c)
{
	of_add(o, "side", "client", counter_get(&c->keepalive_timeouts[0]));
	of_add(o, "side", "backend", counter_get(&c->keepalive_timeouts[1]));
}

static void
route_requests(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_STATUSES; i++)
		of_add_some(o, "status", counters_status_str(i), counter_get(&c->requests[i]));
}

static void
route_body_bytes(struct metrics_of *o, const struct route_counters *c)
{
	for (unsigned i = 0; i < COUNTERS_DIRECTIONS; i++)
		of_add(o, "direction", directions[i], counter_get(&c->body_bytes[i]));
}

static void
route_deflate(struct metrics_of *o, const struct route_counters *c)
{
	const struct counter *const v[] = { &c->inflate_in, &c->inflate_out, &c->deflate_out,
		&c->deflate_in };

	for (unsigned i = 0; i < 4; i++) {
		if (counter_get(v[i]) == 0)
			continue;
		o->label[1] = (struct metrics_label){ "direction", directions[i / 2] };
		o->label[2] = (struct metrics_label){ "form", i % 2 == 0 ? "compressed" : "plain" };
		metrics_text_uint(o->m, o->label, 3, counter_get(v[i]));
	}
}

static void
route_rates(struct metrics_of *o, const struct route_counters *c)
{
	of_add_some(o, "action", "delay", counter_get(&c->rate_delayed));
	of_add_some(o, "action", "close", counter_get(&c->rate_closed));
}

static const struct route_family {
	struct metrics_family f;
	bool websockets; /* not of routes that serve none */
	void (*write)(struct metrics_of *o, const struct route_counters *c);
} route_families[] = {
	{ { "wsrelayd_websockets", METRICS_GAUGE, "Open WebSockets." }, true, route_websockets },
	{ { "wsrelayd_websockets_opened_total", METRICS_COUNTER, "WebSockets that were opened." },
	    true, route_opened },
	{ { "wsrelayd_handshakes_refused_total", METRICS_COUNTER,
	      "WebSocket handshakes that were refused or failed." },
	    false, route_refused },
	{ { "wsrelayd_messages_total", METRICS_COUNTER,
	      "WebSocket messages from clients (in) and to them (out)." },
	    true, route_messages },
	{ { "wsrelayd_bytes_total", METRICS_COUNTER,
	      "Payload of WebSocket messages from clients (in) and to them (out), uncompressed." },
	    true, route_bytes },
	{ { "wsrelayd_closes_total", METRICS_COUNTER,
	      "Ended WebSockets by close code and by who ended them." },
	    true, route_closes },
	{ { "wsrelayd_keepalive_timeouts_total", METRICS_COUNTER,
	      "WebSockets that ended because no PONG came from this side in time." },
	    true, route_keepalive },
	{ { "wsrelayd_requests_total", METRICS_COUNTER,
	      "HTTP requests by the status of the response; accepted WebSockets are 101 or 200." },
	    false, route_requests },
	{ { "wsrelayd_http_body_bytes_total", METRICS_COUNTER,
	      "Bodies of ordinary HTTP requests (in) and responses (out)." },
	    false, route_body_bytes },
	{ { "wsrelayd_deflate_bytes_total", METRICS_COUNTER,
	      "Compressed WebSocket messages from clients (in) and to them (out): their bytes as "
	      "they are on the wire (compressed) and as they are meant (plain)." },
	    false, route_deflate },
	{ { "wsrelayd_rate_limited_total", METRICS_COUNTER,
	      "How often MessageRate or ByteRate held a client back (delay) or closed its "
	      "WebSocket (close)." },
	    false, route_rates },
};

int
metrics_write_routes(struct metrics_text *m, const struct daemon *d)
{
	struct metrics_of o = { .m = m };
	struct counters_totals t;

	if (counters_read(d->counters, COUNTERS_ROUTE, &t) == -1)
		return -1;
	for (size_t k = 0; k < sizeof(route_families) / sizeof(route_families[0]); k++) {
		const struct route_family *rf = &route_families[k];

		metrics_text_begin(m, &rf->f);
		for (size_t i = 0; i < t.n; i++) {
			if (rf->websockets && !t.set[i]->websockets)
				continue;
			o.label[0] = (struct metrics_label){ "route", t.set[i]->name };
			rf->write(&o, &((const struct route_counters *)t.sums)[i]);
		}
	}
	counters_totals_clear(d->counters, &t);
	return 0;
}

/* ---- backends */

/* An address that stands in its backend twice is one. */
static bool
backend_is_told(const struct config *c, const struct config_backend *cb, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (backends_get(c, cb, k) == backends_get(c, cb, i))
			return true;
	return false;
}

static void
backend_addresses(struct metrics_text *m, const struct config *c,
    uint64_t (*tell)(const struct backends_status *))
{
	for (size_t b = 0; b < c->n_backend; b++) {
		const struct config_backend *cb = &c->backend[b];
		struct metrics_of o = { m, { { "backend", cb->name } } };
		struct backends_status st;
		char text[300];

		for (size_t i = 0; i < cb->address.n; i++) {
			if (backend_is_told(c, cb, i))
				continue;
			backends_status(backends_get(c, cb, i), &st);
			of_add(&o, "address", addr_format(&cb->address.v[i], text, sizeof(text)),
			    tell(&st));
		}
	}
}

static uint64_t
backend_up(const struct backends_status *st)
{
	return st->up;
}

static uint64_t
backend_connections(const struct backends_status *st)
{
	return st->connections;
}

static void
backend_connect_seconds(struct metrics_of *o, const struct backend_counters *c)
{
	metrics_histogram(o->m, o->label, 1, &c->connect);
}

static void
backend_connect_failures(struct metrics_of *o, const struct backend_counters *c)
{
	of_add(o, "reason", "refused", counter_get(&c->refused));
	of_add(o, "reason", "timeout", counter_get(&c->timed_out));
}

static void
backend_reused(struct metrics_of *o, const struct backend_counters *c)
{
	metrics_text_uint(o->m, o->label, 1, counter_get(&c->reused));
}

static const struct {
	struct metrics_family f;
	void (*write)(struct metrics_of *o, const struct backend_counters *c);
} backend_families[] = {
	{ { "wsrelayd_backend_connect_seconds", METRICS_HISTOGRAM,
	      "How long it took to connect to an address of the backend, where it succeeded." },
	    backend_connect_seconds },
	{ { "wsrelayd_backend_connect_failures_total", METRICS_COUNTER,
	      "Connects to an address of the backend that failed at once, or by ConnectTimeout." },
	    backend_connect_failures },
	{ { "wsrelayd_backend_connections_reused_total", METRICS_COUNTER,
	      "Requests that went over a connection that waited, so that none was opened." },
	    backend_reused },
};

int
metrics_write_backends(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family up = { "wsrelayd_backend_up", METRICS_GAUGE,
		"Whether the address is up, by checks and by how requests went." };
	static const struct metrics_family open = { "wsrelayd_backend_connections", METRICS_GAUGE,
		"Requests and WebSockets that are with the address, or on their way to it." };
	struct metrics_of o = { .m = m };
	struct counters_totals t;

	metrics_text_begin(m, &up);
	backend_addresses(m, d->config, backend_up);
	metrics_text_begin(m, &open);
	backend_addresses(m, d->config, backend_connections);
	if (counters_read(d->counters, COUNTERS_BACKEND, &t) == -1)
		return -1;
	for (size_t k = 0; k < sizeof(backend_families) / sizeof(backend_families[0]); k++) {
		metrics_text_begin(m, &backend_families[k].f);
		for (size_t i = 0; i < t.n; i++) {
			o.label[0] = (struct metrics_label){ "backend", t.set[i]->name };
			backend_families[k].write(
			    &o, &((const struct backend_counters *)t.sums)[i]);
		}
	}
	counters_totals_clear(d->counters, &t);
	return 0;
}

/* ---- listeners */

static void
listener_connections(struct metrics_of *o, const struct listener_counters *c)
{
	metrics_text_uint(o->m, o->label, 1, of_open(&c->accepted, &c->closed));
}

static void
listener_accepted(struct metrics_of *o, const struct listener_counters *c)
{
	metrics_text_uint(o->m, o->label, 1, counter_get(&c->accepted));
}

static void
listener_trouble(struct metrics_of *o, const struct listener_counters *c)
{
	for (unsigned i = 0; i < TROUBLE_REASONS; i++)
		of_add_some(o, "reason", counters_trouble_str(i), counter_get(&c->trouble[i]));
}

static const struct {
	struct metrics_family f;
	void (*write)(struct metrics_of *o, const struct listener_counters *c);
} listener_families[] = {
	{ { "wsrelayd_connections", METRICS_GAUGE, "Open connections from clients." },
	    listener_connections },
	{ { "wsrelayd_connections_accepted_total", METRICS_COUNTER,
	      "Connections from clients that were served." },
	    listener_accepted },
	{ { "wsrelayd_connection_errors_total", METRICS_COUNTER,
	      "Connections that brought no request that could be served, were past a limit, or "
	      "broke HTTP/2." },
	    listener_trouble },
};

/* Whether the same stands in the list before. */
static bool
listener_has_earlier(const struct config_list *list, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(list->v[k], list->v[i]) == 0)
			return true;
	return false;
}

/* Of the certificates in use; none once a drain has closed the listeners. */
static void
listener_certificates(struct metrics_text *m, const struct front *f)
{
	static const struct metrics_family expiry = {
		"wsrelayd_certificate_expiry_timestamp_seconds", METRICS_GAUGE,
		"When the certificate, or one that follows it in its file, expires, since 1970."
	};

	metrics_text_begin(m, &expiry);
	for (size_t i = 0; f->config != NULL && i < f->config->n_listen; i++) {
		const struct config_listen *l = &f->config->listen[i];
		struct metrics_label label[2] = { { "listener", l->name },
			{ "certificate", NULL } };

		for (size_t k = 0; f->tls[i] != NULL && k < l->certificate.n; k++) {
			label[1].value = l->certificate.v[k];
			if (tls_ctx_expiry(f->tls[i], k) != INT64_MAX &&
			    !listener_has_earlier(&l->certificate, k))
				metrics_text_double(
				    m, label, 2, (double)tls_ctx_expiry(f->tls[i], k));
		}
	}
}

int
metrics_write_listeners(struct metrics_text *m, const struct daemon *d)
{
	struct metrics_of o = { .m = m };
	struct counters_totals t;

	if (counters_read(d->counters, COUNTERS_LISTENER, &t) == -1)
		return -1;
	for (size_t k = 0; k < sizeof(listener_families) / sizeof(listener_families[0]); k++) {
		metrics_text_begin(m, &listener_families[k].f);
		for (size_t i = 0; i < t.n; i++) {
			o.label[0] = (struct metrics_label){ "listener", t.set[i]->name };
			listener_families[k].write(
			    &o, &((const struct listener_counters *)t.sums)[i]);
		}
	}
	counters_totals_clear(d->counters, &t);
	listener_certificates(m, &d->front);
	return 0;
}
