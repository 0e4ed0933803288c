/*
 * Reload.  See daemon_int.h.
 *
 * The whole new configuration is built beside the old one: read and checked, certificates loaded,
 * sockets opened and listening.  What can fail is done before anything is given up, and a step
 * that fails undoes those before it.  Then the snapshot changes for new connections; those that
 * are open keep the one that they came with.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon/admin.h"
#include "daemon/daemon_int.h"
#include "daemon/notify.h"
#include "gateway/backends.h"
#include "gateway/counters.h"
#include "gateway/prober.h"

struct daemon_reload {
	struct daemon *d;
	config_report_fn *report; /* of who asked for it; may be NULL */
	void *arg;
	struct config *config; /* ref */
	struct front front;
	bool probing; /* the prober has it already */
};

/* Into the log, and to who asked. */
static void
daemon_reload_report(void *arg, bool is_error, const char *line)
{
	struct daemon_reload *r = arg;

	log_msg(r->d->log, is_error ? LOG_L_ERROR : LOG_L_WARN, "reload: %s", line);
	if (r->report != NULL)
		r->report(r->arg, is_error, line);
}

/* Targets, levels and formats of the two logs; on failure they stay as they are. */
static int
daemon_switch_logs(struct daemon_reload *r)
{
	const struct config_server *was = &r->d->config->server, *s = &r->config->server;
	struct daemon *d = r->d;
	char line[512];

	if (strcmp(was->access_log, s->access_log) != 0 &&
	    log_set_target(d->access, s->access_log) == -1) {
		snprintf(line, sizeof(line), "[server] AccessLog=%s: %s", s->access_log,
		    strerror(errno));
		daemon_reload_report(r, true, line);
		return -1;
	}
	if (strcmp(was->log_target, s->log_target) != 0 &&
	    log_set_target(d->log, s->log_target) == -1) {
		snprintf(line, sizeof(line), "[server] LogTarget=%s: %s", s->log_target,
		    strerror(errno));
		daemon_reload_report(r, true, line);
		if (strcmp(was->access_log, s->access_log) != 0)
			log_set_target(d->access, was->access_log);
		return -1;
	}
	log_set(d->log, s->log_level, s->log_format);
	return 0;
}

static void
daemon_warn_unchangeable(struct daemon_reload *r)
{
	const struct config_server *was = &r->d->config->server, *s = &r->config->server;

	if (was->workers != s->workers)
		daemon_reload_report(r, false, "Workers changes with a restart only");
	if ((was->user == NULL) != (s->user == NULL) ||
	    (was->user != NULL && strcmp(was->user, s->user) != 0) ||
	    (was->group == NULL) != (s->group == NULL) ||
	    (was->group != NULL && strcmp(was->group, s->group) != 0))
		daemon_reload_report(r, false, "User and Group change with a restart only");
}

/*
 * All that can fail without leaving a trace, then what has to be undone.  0, or -1 after the
 * errors were reported.
 */
static int
daemon_reload_prepare(struct daemon_reload *r)
{
	struct daemon *d = r->d;

	if (front_load_tls(&r->front, &d->front, r->config, daemon_reload_report, r) == -1)
		return -1;
	if (backends_attach(d->backends, r->config) == -1 ||
	    counters_attach(d->counters, r->config) == -1) {
		daemon_reload_report(r, true, "out of memory");
		return -1;
	}
	if (front_open(&r->front, &d->front, daemon_reload_report, r) == -1)
		return -1;
	if (daemon_listen(d, &r->front) == -1 || prober_set(d->prober, r->config) == -1) {
		daemon_reload_report(r, true, "out of memory");
		return -1;
	}
	r->probing = true;
	if (admin_prepare(d->admin, r->config, daemon_reload_report, r) == -1)
		return -1;
	return daemon_switch_logs(r);
}

/* Nothing here can fail. */
static void
daemon_reload_commit(struct daemon_reload *r)
{
	struct daemon *d = r->d;

	daemon_warn_unchangeable(r);
	front_commit(&r->front, &d->front);
	front_accept_rest(&d->front);
	front_clear(&d->front);
	d->front = r->front;
	config_unref(d->config);
	d->config = r->config;
	admin_commit(d->admin);
	daemon_set_max_connections(d);
	for (size_t i = 0; i < d->n_workers; i++)
		worker_retire(d->worker[i], d->config);
}

static void
daemon_reload_undo(struct daemon_reload *r)
{
	struct daemon *d = r->d;

	front_abandon(&r->front, &d->front);
	admin_abandon(d->admin);
	/*
	 * Without memory for it the checks go on with the addresses of a configuration that is not
	 * in force.
	 */
	if (r->probing && prober_set(d->prober, d->config) == -1)
		log_warn(d->log, "reload: out of memory while health checks are set back");
	config_unref(r->config);
}

static bool
daemon_reload_try(struct daemon_reload *r)
{
	const struct daemon_options *o = r->d->options;

	r->config = config_load_telling(
	    o->config_path, o->sets, o->n_sets, front_tell_tls, daemon_reload_report, r);
	if (r->config == NULL) {
		log_error(r->d->log, "reload: the configuration has errors; nothing is changed");
		return false;
	}
	if (daemon_reload_prepare(r) == -1) {
		daemon_reload_undo(r);
		log_error(r->d->log, "reload: nothing is changed");
		return false;
	}
	daemon_reload_commit(r);
	log_info(r->d->log, "reload: done");
	return true;
}

enum daemon_reload_result
daemon_reload(struct daemon *d, config_report_fn *report, void *arg)
{
	struct daemon_reload r = { .d = d, .report = report, .arg = arg };
	bool good;

	if (d->draining)
		return DAEMON_RELOAD_DRAINING;
	notify_reloading();
	good = daemon_reload_try(&r);
	metrics_note_reload(d, good);
	notify_ready();
	watch_tell(d);
	return good ? DAEMON_RELOADED : DAEMON_RELOAD_REFUSED;
}
