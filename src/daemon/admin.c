/*
 * The admin endpoint: its sockets, its connections, and what is answered at once.  See admin.h.
 *
 * The carrier is the gateway's own HTTP/1.1 server (http/h1_server); this is another user above
 * the same seam, with a handler and a list of connections of its own on the main thread's loop.
 * What needs the workers is in admin_list.c and admin_health.c.
 *
 * Who can connect may do everything: a Unix socket's mode says who that is, TCP is for the
 * loopback only.  There the browser of a user of this machine can connect as well, with what any
 * page tells it: see admin_request.h.
 *
 * Called by the daemon and by the carrier.  Invariants: a request is answered within the call or
 * handed to one of these; the endpoint lives until the loop's end, through a drain too.
 */
#include <sys/fsuid.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/admin_int.h"
#include "daemon/admin_write.h"
#include "daemon/privileges.h"

/* Connections at once, and those past them that are told so. */
#define ADMIN_MAX_CONNECTIONS 64
#define ADMIN_MAX_REFUSALS 16
/*
 * An HTTP connection without a request; longer than what Prometheus waits between two scrapes by
 * default.
 */
#define ADMIN_IDLE_MS 90000
#define ADMIN_LINGER_MS 2000
#define ADMIN_BODY_MAX (1 << 20)

/* ---- answers */

static void
admin_respond(
    struct stream *s, unsigned status, const char *type, const char *allow, struct span body)
{
	struct http_field field[4] = {
		{ SPAN_LIT("Content-Type"), span_from_str(type) },
		{ SPAN_LIT("Cache-Control"), SPAN_LIT("no-store") },
		{ SPAN_LIT("X-Content-Type-Options"), SPAN_LIT("nosniff") },
		{ SPAN_LIT("Allow"), span_from_str(allow) },
	};
	struct stream_response r = { .status = status,
		.field = field,
		.n_fields = allow != NULL ? 4 : 3,
		.body = HTTP_BODY_LENGTH,
		.content_length = body.n };
	struct iovec iov = { (void *)(uintptr_t)body.p, body.n };

	if (stream_respond(s, &r) == 0 && body.n > 0)
		stream_write(s, &iov, 1);
	stream_end(s);
	stream_close(s, ADMIN_LINGER_MS);
}

void
admin_reply(struct stream *s, unsigned status, const char *type, struct span body)
{
	admin_respond(s, status, type, NULL, body);
}

void
admin_reply_line(struct stream *s, unsigned status, const char *allow, const char *line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	admin_respond(s, status, ADMIN_TEXT, allow,
	    (struct span){ text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1 });
}

/* What was written into b, if all of it fitted. */
static void
admin_reply_buf(struct stream *s, unsigned status, const char *type, struct buf *b, int bad)
{
	if (bad != 0)
		admin_reply_line(s, 500, NULL, "out of memory");
	else
		admin_reply(s, status, type, buf_span(b));
	buf_clear(b);
}

static void
admin_get_status(const struct daemon *d, struct admin_status *out)
{
	memset(out, 0, sizeof(*out));
	out->config = d->config;
	out->now_ms = loop_now_ms(d->loop);
	out->uptime_ms = out->now_ms - d->admin->started_ms;
	out->workers = d->n_workers;
	out->connections = daemon_load(d);
	out->websockets = daemon_websockets(d);
	out->max_connections = d->max_connections;
	out->draining = d->draining;
}

static void
admin_metrics(struct admin *a, struct stream *s)
{
	struct buf b;

	buf_init(&b, METRICS_MAX);
	admin_reply_buf(s, 200, METRICS_TEXT_TYPE, &b, metrics_write(a->d, &b));
}

static void
admin_readyz(struct admin *a, struct stream *s)
{
	struct admin_status st;
	struct buf b;
	int bad;

	buf_init(&b, ADMIN_BODY_MAX);
	admin_get_status(a->d, &st);
	bad = admin_write_unready(&b, &st);
	if (bad == 0 && b.n == 0)
		admin_reply_line(s, 200, NULL, "ready");
	else
		admin_reply_buf(s, 503, ADMIN_TEXT, &b, bad);
}

static void
admin_status(struct admin *a, struct stream *s, bool tsv)
{
	struct admin_status st;
	struct buf b;

	buf_init(&b, ADMIN_BODY_MAX);
	admin_get_status(a->d, &st);
	admin_reply_buf(s, 200, tsv ? ADMIN_TSV : ADMIN_JSON, &b, admin_write_status(&b, tsv, &st));
}

/* The lines of --test, for who asked. */
static void
admin_on_report(void *arg, bool is_error, const char *line)
{
	struct buf *b = arg;

	/* What does not fit is in the log as well. */
	buf_printf(b, "%s%s\n", is_error ? "" : "warning: ", line);
}

static void
admin_reload(struct admin *a, struct stream *s)
{
	unsigned status = 500;
	const char *last = "";
	struct buf b;

	buf_init(&b, ADMIN_BODY_MAX);
	switch (daemon_reload(a->d, admin_on_report, &b)) {
	case DAEMON_RELOADED:
		status = 200;
		last = "reloaded\n";
		break;
	case DAEMON_RELOAD_REFUSED:
		status = 422;
		last = "nothing is changed\n";
		break;
	case DAEMON_RELOAD_DRAINING:
		status = 409;
		last = "the daemon is draining: nothing is changed\n";
		break;
	}
	buf_append_str(&b, last);
	admin_reply_buf(s, status, ADMIN_TEXT, &b, 0);
}

static void
admin_drain(struct admin *a, struct stream *s)
{
	size_t n = daemon_load(a->d);
	char text[80];

	if (daemon_drain(a->d, "POST /drain"))
		snprintf(text, sizeof(text), "draining %zu connections", n);
	else
		snprintf(text, sizeof(text), "draining already, %zu connections are left", n);
	admin_reply_line(s, 202, NULL, text);
}

/* ---- requests */

/* Who changed something, for whoever reads the log. */
static void
admin_log(const struct admin *a, const struct stream_info *info, const struct stream_request *r)
{
	char client[ADDR_SA_TEXT], path[200];

	addr_format_sa(info->client, sizeof(struct sockaddr_storage), true, client, sizeof(client));
	log_info(a->d->log, "admin: client=%s POST %s", client,
	    log_escape(path, sizeof(path), r->head->path, 64));
}

static void
admin_on_request(void *arg, struct stream *s, const struct stream_request *r)
{
	const struct stream_info *info = stream_info(s);
	struct admin *a = arg;
	struct admin_request req;
	struct admin_refusal no;

	if (admin_request_parse(r->head, info->client->sa_family != AF_UNIX, &req, &no) == -1) {
		admin_reply_line(s, no.status, no.allow, no.why);
		return;
	}
	if (span_eq(r->head->method, SPAN_LIT("POST")))
		admin_log(a, info, r);
	switch (req.what) {
	case ADMIN_METRICS:
		admin_metrics(a, s);
		break;
	case ADMIN_HEALTHZ:
		admin_health_start(a, s);
		break;
	case ADMIN_READYZ:
		admin_readyz(a, s);
		break;
	case ADMIN_STATUS:
		admin_status(a, s, req.tsv);
		break;
	case ADMIN_CONNECTIONS:
	case ADMIN_CLOSE:
		admin_list_start(a, s, &req);
		break;
	case ADMIN_RELOAD:
		admin_reload(a, s);
		break;
	case ADMIN_DRAIN:
		admin_drain(a, s);
		break;
	}
}

/* ---- connections */

static void
admin_on_refused(void *arg, const struct stream_info *info, const struct stream_request *r,
    unsigned status, const char *why)
{
	struct admin *a = arg;

	(void)info;
	(void)r;
	log_debug(a->d->log, "admin: bad request, status=%u: %s", status, why);
}

static void
admin_on_broken(void *arg, const struct stream_info *info, const char *why)
{
	struct admin *a = arg;

	(void)info;
	log_debug(a->d->log, "admin: connection ended: %s", why);
}

/* No PROXY header is ever awaited here. */
static bool
admin_believes(void *arg, const struct stream_info *info)
{
	(void)arg;
	(void)info;
	return false;
}

static unsigned
admin_admit(void *arg, const struct stream_info *info)
{
	(void)arg;
	(void)info;
	return 0;
}

static void
admin_on_closed(void *arg, const struct stream_info *info)
{
	struct admin *a = arg;

	if (info->refused)
		a->n_refused--;
	else
		a->n_connections--;
}

static void
admin_on_accept(
    void *arg, struct listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct admin *a = arg;
	struct http_accepted acc;

	(void)l;
	memset(&acc, 0, sizeof(acc));
	if (a->n_connections >= ADMIN_MAX_CONNECTIONS && a->n_refused >= ADMIN_MAX_REFUSALS) {
		close(fd);
		return;
	}
	acc.refuse = a->n_connections >= ADMIN_MAX_CONNECTIONS ? 503 : 0;
	acc.fd = fd;
	acc.config = config_ref(a->d->config);
	acc.listen = &a->listen;
	acc.connection_id = ++a->next_id;
	acc.peer_len = peer_len < sizeof(acc.peer) ? peer_len : sizeof(acc.peer);
	memcpy(&acc.peer, peer, acc.peer_len);
	if (acc.refuse != 0)
		a->n_refused++;
	else
		a->n_connections++;
	if (http_server_start(a->d->loop, &a->connections, &acc) == 0)
		return;
	if (acc.refuse != 0)
		a->n_refused--;
	else
		a->n_connections--;
	log_error(a->d->log, "admin: out of memory while accepting a connection");
}

static void
admin_on_pause(void *arg, struct listener *l, int err)
{
	struct admin *a = arg;

	if (err != 0)
		log_error(a->d->log, "admin: accepting on %s is paused: %s", listener_name(l),
		    strerror(err));
	else
		log_info(a->d->log, "admin: accepting on %s goes on", listener_name(l));
}

/* ---- sockets */

static int
admin_front_start(struct admin *a, struct admin_front *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (listener_start(f->v[i], a->d->loop, admin_on_accept, admin_on_pause, a) == -1)
			return -1;
		log_info(a->d->log, "admin endpoint on %s", listener_name(f->v[i]));
	}
	return 0;
}

static void
admin_front_clear(struct admin_front *f)
{
	while (f->n > 0)
		listener_free(f->v[--f->n]);
}

static int
admin_bad(const struct config *c, config_report_fn *report, void *arg, const char *why)
{
	char line[600];

	snprintf(line, sizeof(line), "[server] AdminAddress=%s: %s", c->server.admin_address, why);
	report(arg, true, line);
	return -1;
}

/*
 * A name that was configured is `localhost`, which the hosts file of this machine may put
 * anywhere.
 */
static bool
admin_front_is_local(const struct admin_front *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->addr.kind == ADDR_NAME &&
		    !admin_host_is_local(span_from_str(listener_name(f->v[i]))))
			return false;
	return true;
}

static int
admin_front_open(struct admin_front *f, const struct config *c, config_report_fn *report, void *arg)
{
	char err[400];
	int opened, group, was = 0;

	/* The group is set while the file is made: a chown by its name could hit another file. */
	group = privileges_future_group(&c->server);
	if (group != -1)
		was = setfsgid((gid_t)group);
	opened = listener_open(&f->addr, f->v, &f->n, ADMIN_SOCKETS, err, sizeof(err));
	if (group != -1)
		setfsgid((gid_t)was);
	if (opened == -1)
		return admin_bad(c, report, arg, err);
	if (admin_front_is_local(f))
		return 0;
	admin_front_clear(f);
	return admin_bad(c, report, arg, "localhost is not a loopback address here");
}

int
admin_prepare(struct admin *a, const struct config *c, config_report_fn *report, void *arg)
{
	const char *why;

	a->keep = false;
	if (c->server.admin_address == NULL)
		return 0;
	if (addr_parse(span_from_str(c->server.admin_address), &a->next.addr, &why) == -1)
		return admin_bad(c, report, arg, why);
	a->keep = a->front.n > 0 && addr_eq(&a->front.addr, &a->next.addr);
	if (a->keep)
		return 0;
	if (admin_front_open(&a->next, c, report, arg) == -1)
		return -1;
	if (a->d->loop == NULL || admin_front_start(a, &a->next) == 0)
		return 0;
	admin_front_clear(&a->next);
	return admin_bad(c, report, arg, "out of memory");
}

void
admin_commit(struct admin *a)
{
	if (!a->keep) {
		admin_front_clear(&a->front);
		a->front = a->next;
		a->next.n = 0;
	}
	if (a->d->loop != NULL)
		http_server_retire(&a->connections, a->d->config);
}

void
admin_abandon(struct admin *a)
{
	admin_front_clear(&a->next);
}

int
admin_start(struct admin *a)
{
	return admin_front_start(a, &a->front);
}

/* ---- life */

struct admin *
admin_new(struct daemon *d)
{
	static char name[] = "admin";
	struct admin *a;

	if ((a = mem_zalloc(sizeof(*a))) == NULL)
		return NULL;
	a->d = d;
	a->started_ms = clock_mono_ms();
	a->listen.name = name;
	a->listen.idle_connection_timeout_ms = ADMIN_IDLE_MS;
	a->handler.request = admin_on_request;
	a->handler.refused = admin_on_refused;
	a->handler.broken = admin_on_broken;
	a->handler.believes = admin_believes;
	a->handler.admit = admin_admit;
	a->handler.closed = admin_on_closed;
	a->handler.arg = a;
	a->connections.handler = &a->handler;
	return a;
}

void
admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	a->ending = true;
	admin_front_clear(&a->front);
	admin_front_clear(&a->next);
	http_server_abort_all(&a->connections);
	admin_list_free_all(a);
	admin_health_free(a);
	mem_free(a);
}
