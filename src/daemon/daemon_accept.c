/*
 * Accepting connections and giving them to workers.  See daemon_int.h.
 *
 * The main thread accepts and hands each connection to the worker with the fewest: long-lived
 * connections make an uneven spread last for days, and only one who sees all of them can spread
 * them evenly.
 */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/admission.h"
#include "daemon/daemon_int.h"
#include "gateway/counters.h"
#include "io/tls.h"

/* Descriptors that are no connections: logs, listeners, loops, files being served. */
#define DAEMON_RESERVED_FDS 128

size_t
daemon_load(const struct daemon *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_workers; i++)
		n += worker_load(d->worker[i]);
	return n;
}

uint64_t
daemon_websockets(const struct daemon *d)
{
	uint64_t n = 0;

	for (size_t i = 0; i < d->n_workers; i++)
		n += worker_websockets(d->worker[i]);
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

/* Whether MaxConnections is reached; said when it begins. */
static bool
daemon_is_full(struct daemon *d)
{
	bool full = daemon_load(d) >= d->max_connections;

	if (full && !d->over_limit)
		log_peer(d->log, LOG_L_WARN, "MaxConnections=%llu is reached",
		    (unsigned long long)d->max_connections);
	d->over_limit = full;
	return full;
}

/* A connection past a limit that is not even told. */
static void
daemon_count_dropped(const struct daemon *d, const struct config_listen *listen, unsigned refuse)
{
	struct listener_counters *c = counters_block(listen->counters, counters_main(d->counters));

	counter_add(
	    &c->trouble[refuse == HTTP_REFUSE_SILENT_RATE ? TROUBLE_RATE : TROUBLE_LIMIT], 1);
}

static void
daemon_on_accept(
    void *arg, struct listener *l, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct daemon *d = arg;
	const struct front_socket *fs = NULL;
	const struct sockaddr *client;
	struct http_accepted a;
	unsigned refuse;

	for (size_t i = 0; i < d->front.n; i++)
		if (d->front.v[i].l == l)
			fs = &d->front.v[i];
	if (fs == NULL) {
		close(fd);
		return;
	}
	client = fs->listen->proxy_protocol ? NULL : peer;
	refuse = admission_enter(d->admission, d->config, fs->listen, client, daemon_is_full(d));
	if (http_refuses_in_silence(refuse)) {
		daemon_count_dropped(d, fs->listen, refuse);
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
	a.counted = refuse == 0 && client != NULL;
	a.refuse = refuse;
	worker_accept(daemon_pick_worker(d), &a);
}

static void
daemon_on_pause(void *arg, struct listener *l, int err)
{
	struct daemon *d = arg;

	if (err != 0)
		log_peer(d->log, LOG_L_ERROR, "accepting on %s is paused: %s", listener_name(l),
		    strerror(err));
	else
		log_peer(d->log, LOG_L_INFO, "accepting on %s goes on", listener_name(l));
}

int
daemon_listen(struct daemon *d, struct front *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].kept)
			continue;
		if (listener_start(f->v[i].l, d->loop, daemon_on_accept, daemon_on_pause, d) == -1)
			return -1;
		log_info(d->log, "listening on %s listen=%s%s", listener_name(f->v[i].l),
		    f->v[i].listen->name, f->v[i].tls != NULL ? " tls" : "");
	}
	return 0;
}

/* auto: each connection may need a second descriptor for its backend. */
void
daemon_set_max_connections(struct daemon *d)
{
	uint64_t want = d->config->server.max_connections, can;

	can = d->nofile > DAEMON_RESERVED_FDS * 2 ? (d->nofile - DAEMON_RESERVED_FDS) / 2 : 64;
	d->max_connections = want != 0 ? want : can;
	if (want > can)
		log_warn(d->log,
		    "MaxConnections=%llu: the limit of %llu open files allows %llu "
		    "with a backend each",
		    (unsigned long long)want, (unsigned long long)d->nofile,
		    (unsigned long long)can);
}
