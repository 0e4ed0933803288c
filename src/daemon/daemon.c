/*
 * The daemon's life: start, signals, end.  See daemon.h; the rest of it is in daemon_accept.c,
 * daemon_reload.c and daemon_drain.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/admin.h"
#include "daemon/admission.h"
#include "daemon/daemon_int.h"
#include "daemon/notify.h"
#include "daemon/privileges.h"
#include "gateway/backends.h"
#include "gateway/counters.h"
#include "gateway/prober.h"
#include "io/resolve.h"

#define MAX_WORKERS 1024

void
daemon_report(void *arg, bool is_error, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s%s\n", is_error ? "" : "warning: ", line);
}

/*
 * A configuration that is not there is the system's refusal, not a bad one. 0, or the exit status.
 */
int
daemon_check_file(const struct daemon_options *o)
{
	if (access(o->config_path, R_OK) == 0)
		return 0;
	fprintf(stderr, "wsrelayd: %s: %s\n", o->config_path, strerror(errno));
	return EXIT_SYSTEM;
}

/* What is wrong beside the configuration's own errors. */
static void
daemon_tell(const struct config *c, config_report_fn *report, void *arg)
{
	privileges_check(&c->server, report, arg);
	front_tell_tls(c, report, arg);
}

static void
daemon_reopen_logs(struct daemon *d)
{
	if (log_reopen(d->log) == -1)
		log_error(
		    d->log, "LogTarget=%s: %s", d->config->server.log_target, strerror(errno));
	if (log_reopen(d->access) == -1)
		log_error(
		    d->log, "AccessLog=%s: %s", d->config->server.access_log, strerror(errno));
}

static void
daemon_drain_or_end(struct daemon *d, const char *why)
{
	if (!daemon_drain(d, why))
		daemon_end(d, why);
}

static void
daemon_on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	switch (sig) {
	case SIGTERM:
		daemon_drain_or_end(d, "SIGTERM");
		break;
	case SIGINT:
		daemon_drain_or_end(d, "SIGINT");
		break;
	case SIGHUP:
		daemon_reload(d, NULL, NULL);
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

static void
daemon_on_drained(void *arg)
{
	struct daemon *d = arg;

	if (++d->n_drained == d->n_workers)
		loop_stop(d->loop);
}

static unsigned
daemon_count_workers(const struct daemon *d)
{
	uint64_t n = d->config->server.workers;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (n == 0)
		n = cpus > 0 ? (uint64_t)cpus : 1;
	return n < MAX_WORKERS ? (unsigned)n : MAX_WORKERS;
}

static int
daemon_start_workers(struct daemon *d, unsigned n)
{
	if ((d->worker = mem_zalloc(n * sizeof(*d->worker))) == NULL)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		struct worker_env env = { .index = i,
			.main = d->loop,
			.alone = n == 1,
			.resolver = d->resolver,
			.admission = d->admission,
			.counters = d->counters,
			.deflate_memory = &d->deflate_memory,
			.log = d->log,
			.access = d->access,
			.drained = daemon_on_drained,
			.arg = d };

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
		fprintf(stderr, "wsrelayd: [server] LogTarget=%s: %s\n", s->log_target,
		    strerror(errno));
		return -1;
	}
	d->access = log_new(s->access_log, LOG_L_INFO, s->log_format);
	if (d->access == NULL) {
		fprintf(stderr, "wsrelayd: [server] AccessLog=%s: %s\n", s->access_log,
		    strerror(errno));
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
	int status, known;

	if ((status = daemon_check_file(o)) != 0)
		return status;
	d->config = config_load_telling(
	    o->config_path, o->sets, o->n_sets, daemon_tell, daemon_report, NULL);
	if (d->config == NULL)
		return EXIT_CONFIG;
	known = privileges_check(&d->config->server, daemon_report, NULL);
	if (front_load_tls(&d->front, NULL, d->config, daemon_report, NULL) == -1 || known == -1)
		return EXIT_CONFIG;
	d->nofile = privileges_raise_nofile();
	if (daemon_open_logs(d) == -1 || front_open(&d->front, NULL, daemon_report, NULL) == -1)
		return EXIT_SYSTEM;
	if ((d->admin = admin_new(d)) == NULL ||
	    admin_prepare(d->admin, d->config, daemon_report, NULL) == -1)
		return EXIT_SYSTEM;
	admin_commit(d->admin);
	privileges_give_log(&d->config->server, d->log);
	privileges_give_log(&d->config->server, d->access);
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
	unsigned workers = daemon_count_workers(d);

	log_start(d->log, NULL, workers > 1);
	log_start(d->access, d->log, workers > 1);
	if ((d->loop = loop_new()) == NULL || (d->resolver = resolver_new()) == NULL ||
	    (d->admission = admission_new()) == NULL || daemon_catch_signals(d) == -1 ||
	    (d->backends = backends_new(d->log)) == NULL ||
	    backends_attach(d->backends, d->config) == -1 ||
	    (d->counters = counters_new(workers)) == NULL ||
	    counters_attach(d->counters, d->config) == -1 ||
	    (d->prober = prober_new(d->loop, d->resolver)) == NULL ||
	    prober_set(d->prober, d->config) == -1 || daemon_start_workers(d, workers) == -1 ||
	    daemon_listen(d, &d->front) == -1 || admin_start(d->admin) == -1) {
		fprintf(stderr, "wsrelayd: cannot start: %s\n", strerror(errno));
		return EXIT_SYSTEM;
	}
	metrics_note_start(d);
	notify_ready();
	watch_start(d);
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
	admin_free(d->admin);
	for (size_t i = 0; i < DAEMON_SIGNALS; i++)
		if (d->signal[i] != NULL)
			event_free(d->signal[i]);
	prober_free(d->prober);
	resolver_free(d->resolver);
	if (d->loop != NULL) {
		watch_stop(d);
		loop_timer_stop(d->loop, &d->drain.timer);
		loop_timer_stop(d->loop, &d->drain.progress);
	}
	loop_free(d->loop);
	admission_free(d->admission);
	config_unref(d->config);
	backends_free(d->backends);
	counters_free(d->counters);
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
	int status;

	if ((status = daemon_check_file(o)) != 0)
		return status;
	c = config_load_telling(
	    o->config_path, o->sets, o->n_sets, daemon_tell, daemon_report, NULL);
	if (c == NULL)
		return EXIT_CONFIG;
	status = privileges_check(&c->server, daemon_report, NULL) == -1 ? EXIT_CONFIG : 0;
	if (front_load_tls(&f, NULL, c, daemon_report, NULL) == -1)
		status = EXIT_CONFIG;
	front_clear(&f);
	config_unref(c);
	return status;
}
