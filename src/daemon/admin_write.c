/* The admin endpoint's answers.  See admin_write.h. */
#include <stdio.h>
#include <unistd.h>

#include "codec/json.h"
#include "daemon/admin_write.h"
#include "gateway/backends.h"

#define ADMIN_UNREADY_MAX 65536

/* ---- cells of tab-separated values */

static int
cell_span(struct buf *b, struct span s)
{
	int ret = b->n > 0 && b->p[b->n - 1] != '\n' ? buf_append_char(b, '\t') : 0;

	if (s.n == 0)
		return ret == 0 ? buf_append_char(b, '-') : -1;
	for (size_t i = 0; i < s.n && ret == 0; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '\\' || (c == '-' && s.n == 1))
			ret = buf_printf(b, "\\x%02x", c);
		else
			ret = buf_append_char(b, (char)c);
	}
	return ret;
}

static int
cell_str(struct buf *b, const char *v)
{
	return cell_span(b, span_from_str(v));
}

static int
cell_num(struct buf *b, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return cell_str(b, text);
}

/* ---- one value for each form */

/* What is being written. */
struct admin_out {
	struct buf *b;
	bool tsv;
	int bad; /* 0, or -1 for good */
};

static void
out_span(struct admin_out *o, const char *key, struct span s)
{
	o->bad |= o->tsv ? cell_span(o->b, s) : json_put_span(o->b, key, s);
}

static void
out_str(struct admin_out *o, const char *key, const char *v)
{
	o->bad |= o->tsv ? cell_str(o->b, v) : json_put_str(o->b, key, v);
}

static void
out_num(struct admin_out *o, const char *key, uint64_t v, bool present)
{
	if (o->tsv)
		o->bad |= present ? cell_num(o->b, v) : cell_str(o->b, NULL);
	else
		o->bad |= present ? json_put_num(o->b, key, v) : json_put_null(o->b, key);
}

static void
out_text(struct admin_out *o, const char *json, const char *tsv)
{
	o->bad |= buf_append_str(o->b, o->tsv ? tsv : json);
}

/* ---- /connections */

static const char *
admin_kind_str(enum gateway_show kind)
{
	switch (kind) {
	case GATEWAY_SHOW_WEBSOCKET:
		return "websocket";
	case GATEWAY_SHOW_HANDSHAKE:
		return "handshake";
	case GATEWAY_SHOW_HTTP:
		return "http";
	}
	return "?";
}

int
admin_write_connections_begin(struct buf *b, bool tsv)
{
	return buf_append_str(b,
	    tsv ? "id\tkind\tclient\tlistener\troute\tbackend\thttp\ttls\tsubprotocol\tage_ms\tidle_ms\t"
		  "messages_in\tmessages_out\tbytes_in\tbytes_out\tqueued_bytes\n"
		: "[");
}

int
admin_write_connections_end(struct buf *b, bool tsv)
{
	return buf_append_str(b, tsv ? "" : "\n]\n");
}

int
admin_write_connection(struct buf *b, bool tsv, bool first, const struct gateway_seen *seen)
{
	struct admin_out o = { .b = b, .tsv = tsv };
	bool is_websocket = seen->kind == GATEWAY_SHOW_WEBSOCKET;
	char id[40];

	if (seen->stream_id != 0)
		snprintf(id, sizeof(id), "%llu.%u", (unsigned long long)seen->connection_id,
		    seen->stream_id);
	else
		snprintf(id, sizeof(id), "%llu", (unsigned long long)seen->connection_id);
	out_text(&o, first ? "\n{" : ",\n{", "");
	out_str(&o, "id", id);
	out_str(&o, "kind", admin_kind_str(seen->kind));
	out_span(&o, "client", seen->client);
	out_str(&o, "listener", seen->listener);
	out_str(&o, "route", seen->route);
	out_str(&o, "backend", seen->backend);
	out_str(&o, "http", seen->http);
	out_str(&o, "tls", seen->tls);
	out_span(&o, "subprotocol", seen->subprotocol.n > 0 ? seen->subprotocol : SPAN_NONE);
	out_num(&o, "age_ms", seen->age_ms, true);
	out_num(&o, "idle_ms", seen->idle_ms, is_websocket);
	out_num(&o, "messages_in", seen->messages_in, is_websocket);
	out_num(&o, "messages_out", seen->messages_out, is_websocket);
	out_num(&o, "bytes_in", seen->bytes_in, true);
	out_num(&o, "bytes_out", seen->bytes_out, true);
	out_num(&o, "queued_bytes", seen->queued_bytes, true);
	out_text(&o, "}", "\n");
	return o.bad;
}

/* ---- readiness */

static bool
admin_backend_is_used(const struct config *c, const struct config_backend *cb)
{
	for (size_t i = 0; i < c->n_route; i++)
		if (c->route[i].backend == cb)
			return true;
	return false;
}

int
admin_write_unready(struct buf *b, const struct admin_status *st)
{
	const struct config *c = st->config;
	int ret = st->draining ? buf_append_str(b, "draining\n") : 0;

	for (size_t i = 0; i < c->n_backend && ret == 0; i++)
		if (admin_backend_is_used(c, &c->backend[i]) &&
		    backends_all_down(c, &c->backend[i], st->now_ms))
			ret = buf_printf(b, "backend %s is down\n", c->backend[i].name);
	return ret;
}

/* ---- /status */

static void
out_facts(struct admin_out *o, const char *key)
{
	if (o->tsv)
		o->bad |= cell_str(o->b, key);
}

static void
status_str(struct admin_out *o, const char *key, const char *v)
{
	out_facts(o, key);
	out_str(o, key, v);
	out_text(o, "", "\n");
}

static void
status_num(struct admin_out *o, const char *key, uint64_t v)
{
	out_facts(o, key);
	out_num(o, key, v, true);
	out_text(o, "", "\n");
}

/* The reasons as one text, without the last line's end. */
static void
status_reasons(struct admin_out *o, const struct admin_status *st)
{
	struct buf reasons;

	buf_init(&reasons, ADMIN_UNREADY_MAX);
	o->bad |= admin_write_unready(&reasons, st);
	for (size_t i = 0; i < reasons.n; i++)
		if (reasons.p[i] == '\n')
			reasons.p[i] = ';';
	if (reasons.n > 0)
		reasons.n--;
	status_str(o, "state", st->draining ? "draining" : reasons.n > 0 ? "degraded" : "ready");
	out_facts(o, "reason");
	out_span(o, "reason", reasons.n > 0 ? buf_span(&reasons) : SPAN_NONE);
	out_text(o, "", "\n");
	buf_clear(&reasons);
}

static void
status_backends(struct admin_out *o, const struct config *c)
{
	struct backends_status bs;
	char addr[300];

	for (size_t i = 0; i < c->n_backend; i++) {
		for (size_t k = 0; k < c->backend[i].address.n; k++) {
			const struct backends_address *a = backends_get(c, &c->backend[i], k);

			backends_status(a, &bs);
			out_text(o, o->b->p[o->b->n - 1] == '[' ? "\n{" : ",\n{", "");
			if (o->tsv)
				o->bad |= cell_str(o->b, "backend");
			out_str(o, "backend", c->backend[i].name);
			out_str(o, "address", addr_format(backends_addr(a), addr, sizeof(addr)));
			if (o->tsv)
				o->bad |= cell_str(o->b, bs.up ? "up" : "down");
			else
				out_text(o, bs.up ? ",\"up\":true" : ",\"up\":false", "");
			out_num(o, "connections", bs.connections, true);
			out_num(o, "fails", bs.fails, true);
			out_text(o, "}", "\n");
		}
	}
}

int
admin_write_status(struct buf *b, bool tsv, const struct admin_status *st)
{
	struct admin_out o = { .b = b, .tsv = tsv };

	out_text(&o, "{", "");
	status_str(&o, "version", WSRELAYD_VERSION);
	status_num(&o, "pid", (uint64_t)getpid());
	status_reasons(&o, st);
	status_num(&o, "uptime_ms", st->uptime_ms);
	status_num(&o, "workers", st->workers);
	status_num(&o, "connections", st->connections);
	status_num(&o, "websockets", st->websockets);
	status_num(&o, "max_connections", st->max_connections);
	out_text(&o, ",\"backends\":[", "");
	if (o.bad == 0)
		status_backends(&o, st->config);
	out_text(&o, "\n]}\n", "");
	return o.bad;
}
