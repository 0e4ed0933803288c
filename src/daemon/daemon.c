/*
 * The daemon's life.  See daemon.h.
 *
 * The main thread accepts and hands each connection to the worker with the
 * fewest: long-lived connections make an uneven spread last for days, and
 * only one who sees all of them can spread them evenly.  A reload builds the whole
 * new configuration beside the old one and switches only when all of it is good.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon_int.h"
#include "daemon/notify.h"
#include "daemon/privileges.h"
#include "gateway/backends.h"
#include "gateway/prober.h"
#include "io/resolve.h"
#include "io/tls.h"
#include "policy/limits.h"

/* Descriptors that are no connections: logs, listeners, loops, files being served. */
#define DAEMON_RESERVED_FDS 128
/* Connections past MaxConnections that are kept long enough to be told so. */
#define DAEMON_REFUSALS 64
/* How much of DrainTimeout is left for the last close handshakes. */
#define DAEMON_DRAIN_RESERVE_MS 5000

#define MAX_WORKERS 1024

void
daemon_report(void *arg, bool is_error, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s%s\n", is_error ? "" : "warning: ", line);
}

/* A configuration that is not there is the system's refusal, not a bad one. 0, or the exit status. */
int
daemon_check_file(const struct daemon_options *o)
{
	if (access(o->config_path, R_OK) == 0)
		return 0;
	fprintf(stderr, "wsrelayd: %s: %s\n", o->config_path, strerror(errno));
	return EXIT_SYSTEM;
}

/* The same, into the log of a running daemon. */
static void
daemon_report_log(void *arg, bool is_error, const char *line)
{
	struct daemon *d = arg;

	log_msg(d->log, is_error ? LOG_L_ERROR : LOG_L_WARN, "reload: %s", line);
}

static size_t
daemon_load(const struct daemon *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_workers; i++)
		n += worker_load(d->worker[i]);
	return n;
}

/* The worker with the fewest connections; among equals, the one whose turn it is. */
static struct worker *
daemon_pick_worker(struct daemon *d)
{
	size_t best = d->next_worker % d->n_workers, load = worker_load(d->worker[best]);

	for (size_t i = 1; i < d->n_workers; i++) {
		size_t k = (d->next_worker + i) % d->n_workers, n = worker_load(d->worker[k]);

		if (n < load) {
			best = k;
			load = n;
		}
	}
	d->next_worker = best + 1;
	return d->worker[best];
}

/*
 * 0, or the status that a connection past a limit gets; -1: not even that.  peer NULL: a PROXY
 * header will tell who the client is, and it is counted then.
 */
static int
daemon_check_limits(struct daemon *d, const struct sockaddr *peer, bool *counted)
{
	uint64_t per_client = d->config->server.max_connections_per_client, n = daemon_load(d);
	size_t refusals = 0;
	uint8_t key[16];

	*counted = false;
	if (n >= d->max_connections) {
		if (!d->over_limit)
			log_warn(d->log, "MaxConnections=%llu is reached",
			    (unsigned long long)d->max_connections);
		d->over_limit = true;
		for (size_t i = 0; i < d->n_workers; i++)
			refusals += worker_refusals(d->worker[i]);
		if (refusals >= DAEMON_REFUSALS)
			return -1;
	} else {
		d->over_limit = false;
	}
	if (per_client > 0 && peer != NULL) {
		addr_client_key(peer, key);
		*counted = true;
		if (limits_add(d->limits, key) > per_client)
			return 503;
	}
	return d->over_limit ? 503 : 0;
}

static void
daemon_on_accept(void *arg, struct listener *l, int fd, const struct sockaddr *peer,
    socklen_t peer_len)
{
	struct daemon *d = arg;
	const struct front_socket *fs = NULL;
	struct http_accepted a;
	bool counted;
	int refuse;

	for (size_t i = 0; i < d->front.n; i++)
		if (d->front.v[i].l == l)
			fs = &d->front.v[i];
	if (fs == NULL || (refuse = daemon_check_limits(d,
	    fs->listen->proxy_protocol ? NULL : peer, &counted)) == -1) {
		close(fd);
		return;
	}
	memset(&a, 0, sizeof(a));
	a.fd = fd;
	a.config = config_ref(d->config);
	a.listen = fs->listen;
	a.tls = tls_ctx_ref(fs->tls);
	a.connection_id = ++d->next_id;
	a.peer_len = peer_len < sizeof(a.peer) ? peer_len : sizeof(a.peer);
	memcpy(&a.peer, peer, a.peer_len);
	a.counted = counted;
	a.refuse = (unsigned)refuse;
	worker_accept(daemon_pick_worker(d), &a);
}

static void
daemon_on_pause(void *arg, struct listener *l, int err)
{
	struct daemon *d = arg;

	if (err != 0)
		log_error(d->log, "accepting on %s is paused: %s", listener_name(l), strerror(err));
	else
		log_info(d->log, "accepting on %s goes on", listener_name(l));
}

static int
daemon_start_listeners(struct daemon *d)
{
	for (size_t i = 0; i < d->front.n; i++) {
		if (listener_start(d->front.v[i].l, d->loop, daemon_on_accept,
		    daemon_on_pause, d) == -1)
			return -1;
		log_info(d->log, "listening on %s listen=%s%s", listener_name(d->front.v[i].l),
		    d->front.v[i].listen->name, d->front.v[i].tls != NULL ? " tls" : "");
	}
	return 0;
}

/* auto: each connection may need a second descriptor for its backend. */
static void
daemon_set_max_connections(struct daemon *d)
{
	uint64_t want = d->config->server.max_connections, can;

	can = d->nofile > DAEMON_RESERVED_FDS * 2 ? (d->nofile - DAEMON_RESERVED_FDS) / 2 : 64;
	d->max_connections = want != 0 ? want : can;
	if (want > can)
		log_warn(d->log, "MaxConnections=%llu: the limit of %llu open files allows %llu "
		    "with a backend each", (unsigned long long)want,
		    (unsigned long long)d->nofile, (unsigned long long)can);
}

static void
daemon_on_drained(void *arg)
{
	struct daemon *d = arg;

	if (++d->n_drained == d->n_workers)
		loop_stop(d->loop);
}

static void
daemon_on_drain_timeout(struct loop_timer *t)
{
	struct daemon *d = (struct daemon *)(void *)((char *)t - offsetof(struct daemon, drain_timer));

	log_warn(d->log, "DrainTimeout is over: %zu connections are dropped", daemon_load(d));
	loop_stop(d->loop);
}

static void
daemon_drain(struct daemon *d, const char *why)
{
	uint64_t timeout = d->config->server.drain_timeout_ms, reserve;

	if (d->draining) {
		log_info(d->log, "%s again: ending at once", why);
		loop_stop(d->loop);
		return;
	}
	d->draining = true;
	notify_stopping();
	log_info(d->log, "%s: draining %zu connections", why, daemon_load(d));
	for (size_t i = 0; i < d->front.n; i++)
		listener_stop(d->front.v[i].l);
	front_clear(&d->front);		/* nobody waits in a backlog that is not served */
	if (timeout != CONFIG_NEVER)
		loop_timer_arm(d->loop, &d->drain_timer, loop_now_ms(d->loop) + timeout);
	else
		timeout = 0;
	reserve = timeout / 4 < DAEMON_DRAIN_RESERVE_MS ? timeout / 4 : DAEMON_DRAIN_RESERVE_MS;
	for (size_t i = 0; i < d->n_workers; i++)
		worker_drain(d->worker[i], timeout - reserve);
}

/* Targets, levels and formats of the two logs; on failure they stay as they are. */
static int
daemon_switch_logs(struct daemon *d, const struct config *from, const struct config *to,
    config_report_fn *report)
{
	const struct config_server *was = &from->server, *s = &to->server;
	char line[512];

	if (strcmp(was->log_target, s->log_target) != 0 &&
	    log_set_target(d->log, s->log_target) == -1) {
		snprintf(line, sizeof(line), "[server] LogTarget=%s: %s", s->log_target, strerror(errno));
		report(d, true, line);
		return -1;
	}
	if (strcmp(was->access_log, s->access_log) != 0 &&
	    log_set_target(d->access, s->access_log) == -1) {
		snprintf(line, sizeof(line), "[server] AccessLog=%s: %s", s->access_log, strerror(errno));
		report(d, true, line);
		if (strcmp(was->log_target, s->log_target) != 0)
			log_set_target(d->log, was->log_target);
		return -1;
	}
	log_set(d->log, s->log_level, s->log_format);
	return 0;
}

static int
daemon_attach(struct daemon *d, struct config *c, config_report_fn *report)
{
	if (backends_attach(d->backends, c) == 0)
		return 0;
	report(d, true, "out of memory");
	return -1;
}

static void
daemon_warn_unchangeable(struct daemon *d, const struct config *c)
{
	const struct config_server *was = &d->config->server, *s = &c->server;

	if (was->workers != s->workers)
		log_warn(d->log, "reload: Workers changes with a restart only");
	if ((was->user == NULL) != (s->user == NULL) ||
	    (was->user != NULL && strcmp(was->user, s->user) != 0) ||
	    (was->group == NULL) != (s->group == NULL) ||
	    (was->group != NULL && strcmp(was->group, s->group) != 0))
		log_warn(d->log, "reload: User and Group change with a restart only");
}

/* False: the configuration is bad, and nothing is changed. */
static bool
daemon_try_reload(struct daemon *d)
{
	const struct daemon_options *o = d->options;
	struct config *c;
	struct front front;

	c = config_load(o->config_path, o->sets, o->n_sets, daemon_report_log, d);
	if (c == NULL) {
		log_error(d->log, "reload: the configuration has errors; nothing is changed");
		return false;
	}
	if (front_load_tls(&front, &d->front, c, daemon_report_log, d) == -1 ||
	    daemon_attach(d, c, daemon_report_log) == -1 ||
	    daemon_switch_logs(d, d->config, c, daemon_report_log) == -1 ||
	    front_open(&front, &d->front, daemon_report_log, d) == -1) {
		daemon_switch_logs(d, c, d->config, daemon_report_log);
		log_error(d->log, "reload: nothing is changed");
		front_clear(&front);
		config_unref(c);
		return false;
	}
	daemon_warn_unchangeable(d, c);
	front_clear(&d->front);
	d->front = front;
	if (prober_set(d->prober, c) == -1)
		log_error(d->log, "reload: out of memory; health checks stay as they were");
	config_unref(d->config);
	d->config = c;
	daemon_set_max_connections(d);
	if (daemon_start_listeners(d) == -1)
		log_error(d->log, "reload: out of memory while starting to listen");
	for (size_t i = 0; i < d->n_workers; i++)
		worker_retire(d->worker[i], c);
	log_info(d->log, "reload: done");
	return true;
}

static void
daemon_reload(struct daemon *d)
{
	metrics_note_reload(d, daemon_try_reload(d));
}

static void
daemon_reopen_logs(struct daemon *d)
{
	if (log_reopen(d->log) == -1)
		log_error(d->log, "LogTarget=%s: %s", d->config->server.log_target, strerror(errno));
	if (log_reopen(d->access) == -1)
		log_error(d->log, "AccessLog=%s: %s", d->config->server.access_log, strerror(errno));
}

static void
daemon_on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	switch (sig) {
	case SIGTERM:
		daemon_drain(d, "SIGTERM");
		break;
	case SIGINT:
		daemon_drain(d, "SIGINT");
		break;
	case SIGHUP:
		if (d->draining)
			break;
		notify_reloading();
		daemon_reload(d);
		notify_ready();
		break;
	case SIGUSR1:
		daemon_reopen_logs(d);
		break;
	default:
		break;
	}
}

static int
daemon_catch_signals(struct daemon *d)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		d->signal[i] = evsignal_new(loop_base(d->loop), signals[i], daemon_on_signal, d);
		if (d->signal[i] == NULL || event_add(d->signal[i], NULL) == -1)
			return -1;
	}
	return 0;
}

static int
daemon_start_workers(struct daemon *d)
{
	uint64_t n = d->config->server.workers;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (n == 0)
		n = cpus > 0 ? (uint64_t)cpus : 1;
	n = n < MAX_WORKERS ? n : MAX_WORKERS;
	if ((d->worker = mem_zalloc(n * sizeof(*d->worker))) == NULL)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		struct worker_env env = { .index = i, .main = d->loop, .resolver = d->resolver,
		    .limits = d->limits, .deflate_memory = &d->deflate_memory,
		    .log = d->log, .access = d->access,
		    .drained = daemon_on_drained, .arg = d };

		if ((d->worker[i] = worker_new(&env)) == NULL)
			return -1;
		d->n_workers++;
	}
	return 0;
}

static int
daemon_open_logs(struct daemon *d)
{
	const struct config_server *s = &d->config->server;

	d->log = log_new(s->log_target, s->log_level, s->log_format);
	if (d->log == NULL) {
		fprintf(stderr, "wsrelayd: [server] LogTarget=%s: %s\n", s->log_target, strerror(errno));
		return -1;
	}
	d->access = log_new(s->access_log, LOG_L_INFO, s->log_format);
	if (d->access == NULL) {
		fprintf(stderr, "wsrelayd: [server] AccessLog=%s: %s\n", s->access_log, strerror(errno));
		return -1;
	}
	return 0;
}

/* Configuration, sockets and identity: before the first thread. 0, or the exit status. */
static int
daemon_prepare(struct daemon *d)
{
	const struct daemon_options *o = d->options;
	char err[400];
	int status;

	if ((status = daemon_check_file(o)) != 0)
		return status;
	d->config = config_load(o->config_path, o->sets, o->n_sets, daemon_report, NULL);
	if (d->config == NULL ||
	    front_load_tls(&d->front, NULL, d->config, daemon_report, NULL) == -1)
		return EXIT_CONFIG;
	if (privileges_check(&d->config->server, err, sizeof(err)) == -1) {
		daemon_report(NULL, true, err);
		return EXIT_CONFIG;
	}
	d->nofile = privileges_raise_nofile();
	if (daemon_open_logs(d) == -1 || front_open(&d->front, NULL, daemon_report, NULL) == -1)
		return EXIT_SYSTEM;
	if (privileges_drop(&d->config->server, err, sizeof(err)) == -1) {
		fprintf(stderr, "wsrelayd: %s\n", err);
		return EXIT_SYSTEM;
	}
	daemon_set_max_connections(d);
	return 0;
}

static int
daemon_start(struct daemon *d)
{
	d->drain_timer.fn = daemon_on_drain_timeout;
	if ((d->loop = loop_new()) == NULL || (d->resolver = resolver_new()) == NULL ||
	    (d->limits = limits_new()) == NULL || daemon_catch_signals(d) == -1 ||
	    (d->backends = backends_new(d->log)) == NULL ||
	    daemon_attach(d, d->config, daemon_report) == -1 ||
	    (d->prober = prober_new(d->loop, d->resolver)) == NULL ||
	    prober_set(d->prober, d->config) == -1 ||
	    daemon_start_workers(d) == -1 || daemon_start_listeners(d) == -1) {
		fprintf(stderr, "wsrelayd: cannot start: %s\n", strerror(errno));
		return EXIT_SYSTEM;
	}
	metrics_note_start(d);
	notify_ready();
	log_info(d->log, "wsrelayd %s is ready with %zu workers", WSRELAYD_VERSION, d->n_workers);
	return 0;
}

static void
daemon_clear(struct daemon *d)
{
	front_clear(&d->front);
	/* All threads first: what they post to the main loop stands in the workers. */
	for (size_t i = 0; i < d->n_workers; i++)
		worker_join(d->worker[i]);
	for (size_t i = 0; i < d->n_workers; i++)
		worker_free(d->worker[i]);
	mem_free(d->worker);
	for (size_t i = 0; i < DAEMON_SIGNALS; i++)
		if (d->signal[i] != NULL)
			event_free(d->signal[i]);
	prober_free(d->prober);
	resolver_free(d->resolver);
	if (d->loop != NULL)
		loop_timer_stop(d->loop, &d->drain_timer);
	loop_free(d->loop);
	limits_free(d->limits);
	config_unref(d->config);
	backends_free(d->backends);
	log_free(d->access);
	log_free(d->log);
}

int
daemon_run(const struct daemon_options *o)
{
	struct daemon d;
	int status;

	memset(&d, 0, sizeof(d));
	d.options = o;
	if ((status = daemon_prepare(&d)) == 0 && (status = daemon_start(&d)) == 0) {
		loop_run(d.loop);
		log_info(d.log, "wsrelayd ends");
	}
	daemon_clear(&d);
	return status;
}

int
daemon_test(const struct daemon_options *o)
{
	struct config *c;
	struct front f;
	char err[400];
	int status;

	if ((status = daemon_check_file(o)) != 0)
		return status;
	c = config_load(o->config_path, o->sets, o->n_sets, daemon_report, NULL);
	if (c == NULL)
		return EXIT_CONFIG;
	status = front_load_tls(&f, NULL, c, daemon_report, NULL) == -1 ? EXIT_CONFIG : 0;
	if (privileges_check(&c->server, err, sizeof(err)) == -1) {
		daemon_report(NULL, true, err);
		status = EXIT_CONFIG;
	}
	front_clear(&f);
	config_unref(c);
	return status;
}
