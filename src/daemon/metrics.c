/*
 * The text of GET /metrics.  See metrics.h; every family is explained in docs/metrics.md.
 */
#include <stdio.h>
#include <time.h>

#include "base/counter.h"
#include "base/log.h"
#include "daemon/daemon_int.h"
#include "daemon/metrics_int.h"
#include "daemon/process.h"

static double
metrics_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void
metrics_note_start(struct daemon *d)
{
	d->life.started = d->life.reloaded = metrics_now();
}

void
metrics_note_reload(struct daemon *d, bool good)
{
	d->life.reloads[good]++;
	d->life.last_reload_failed = !good;
	if (good)
		d->life.reloaded = metrics_now();
}

void
metrics_one(struct metrics_text *m, const struct metrics_family *f, uint64_t value)
{
	metrics_text_begin(m, f);
	metrics_text_uint(m, NULL, 0, value);
}

static void
metrics_one_double(struct metrics_text *m, const struct metrics_family *f, double value)
{
	metrics_text_begin(m, f);
	metrics_text_double(m, NULL, 0, value);
}

void
metrics_histogram(
    struct metrics_text *m, const struct metrics_label *label, size_t n, const struct histogram *h)
{
	uint64_t count[HISTOGRAM_BOUNDS + 1];
	const struct metrics_histogram told = { .bound_us = histogram_bound_us,
		.count = count,
		.n_bounds = HISTOGRAM_BOUNDS,
		.sum_us = counter_get(&h->sum_us) };

	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count[i] = counter_get(&h->count[i]);
	metrics_text_histogram(m, label, n, &told);
}

/* ---- the life of the daemon */

static void
metrics_write_life(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family build = { "wsrelayd_build_info", METRICS_GAUGE,
		"The version that runs, as a label; always 1." };
	static const struct metrics_family reloads = {
		"wsrelayd_reloads_total", METRICS_COUNTER,
		"Reloads of the configuration by result: success, or failure (nothing is changed)."
	};
	static const struct metrics_family successful = { "wsrelayd_last_reload_successful",
		METRICS_GAUGE,
		"0 when the last reload failed; 1 when it was good, or none was tried." };
	static const struct metrics_family reloaded = {
		"wsrelayd_last_reload_success_timestamp_seconds", METRICS_GAUGE,
		"When the configuration in force was put in force, since 1970."
	};
	static const struct metrics_family draining = { "wsrelayd_draining", METRICS_GAUGE,
		"Whether the daemon drains before it ends." };

	metrics_text_begin(m, &build);
	metrics_text_uint(m, &(struct metrics_label){ "version", WSRELAYD_VERSION }, 1, 1);
	metrics_text_begin(m, &reloads);
	metrics_text_uint(
	    m, &(struct metrics_label){ "result", "success" }, 1, d->life.reloads[true]);
	metrics_text_uint(
	    m, &(struct metrics_label){ "result", "failure" }, 1, d->life.reloads[false]);
	metrics_one(m, &successful, !d->life.last_reload_failed);
	metrics_one_double(m, &reloaded, d->life.reloaded);
	metrics_one(m, &draining, d->draining);
}

/* ---- the workers, and what they share */

static void
metrics_write_handshakes(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family f = { "wsrelayd_handshake_seconds", METRICS_HISTOGRAM,
		"From a WebSocket handshake's request to the answer that accepts it." };
	struct histogram sum = { 0 };

	for (size_t i = 0; i < d->n_workers; i++) {
		const struct histogram *h = &worker_counters(d->worker[i])->handshake;

		for (unsigned k = 0; k <= HISTOGRAM_BOUNDS; k++)
			counter_add(&sum.count[k], counter_get(&h->count[k]));
		counter_add(&sum.sum_us, counter_get(&h->sum_us));
	}
	metrics_text_begin(m, &f);
	metrics_histogram(m, NULL, 0, &sum);
}

static void
metrics_write_workers(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family queued = { "wsrelayd_queued_bytes", METRICS_GAUGE,
		"Bytes in memory that wait for who is to take them: clients or backends that do "
		"not read." };
	static const struct metrics_family connections = { "wsrelayd_worker_connections",
		METRICS_GAUGE, "Open connections from clients by worker thread." };
	uint64_t bytes = 0;
	char index[24];

	for (size_t i = 0; i < d->n_workers; i++)
		bytes += worker_queued(d->worker[i]);
	metrics_one(m, &queued, bytes);
	metrics_text_begin(m, &connections);
	for (size_t i = 0; i < d->n_workers; i++) {
		snprintf(index, sizeof(index), "%zu", i);
		metrics_text_uint(
		    m, &(struct metrics_label){ "worker", index }, 1, worker_load(d->worker[i]));
	}
}

static void
metrics_write_shared(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family most = { "wsrelayd_connections_max", METRICS_GAUGE,
		"The limit of open connections from clients: MaxConnections, or what auto means." };
	static const struct metrics_family zlib = { "wsrelayd_compression_memory_bytes",
		METRICS_GAUGE,
		"zlib's memory of all WebSockets, and what idle ones remember, which "
		"CompressionMemory limits." };
	static const struct metrics_family lost = { "wsrelayd_log_lines_lost_total",
		METRICS_COUNTER, "Lines that a log's target did not take." };

	static const struct metrics_family suppressed = { "wsrelayd_log_messages_suppressed_total",
		METRICS_COUNTER, "Log messages that peers caused too often to be logged each." };

	metrics_one(m, &most, d->max_connections);
	metrics_one(m, &zlib, atomic_load_explicit(&d->deflate_memory.bytes, memory_order_relaxed));
	metrics_text_begin(m, &lost);
	metrics_text_uint(m, &(struct metrics_label){ "log", "log" }, 1, log_lost(d->log));
	metrics_text_uint(m, &(struct metrics_label){ "log", "access" }, 1, log_lost(d->access));
	metrics_one(m, &suppressed, log_suppressed(d->log));
}

/* ---- the process */

/* The names and meanings that Prometheus asks of all client libraries. */
static void
metrics_write_process(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family cpu = { "process_cpu_seconds_total", METRICS_COUNTER,
		"User and system CPU time of the process." };
	static const struct metrics_family started = { "process_start_time_seconds", METRICS_GAUGE,
		"When the process began to serve, since 1970." };
	static const struct {
		enum process_fact fact;
		struct metrics_family f;
		size_t offset;
	} facts[] = {
		{ PROCESS_MEMORY,
		    { "process_resident_memory_bytes", METRICS_GAUGE, "Resident memory." },
		    offsetof(struct process_facts, resident_bytes) },
		{ PROCESS_MEMORY,
		    { "process_virtual_memory_bytes", METRICS_GAUGE, "Virtual memory." },
		    offsetof(struct process_facts, virtual_bytes) },
		{ PROCESS_MAX_MEMORY,
		    { "process_virtual_memory_max_bytes", METRICS_GAUGE,
			"The limit of virtual memory, where there is one." },
		    offsetof(struct process_facts, max_virtual_bytes) },
		{ PROCESS_OPEN_FDS, { "process_open_fds", METRICS_GAUGE, "Open file descriptors." },
		    offsetof(struct process_facts, open_fds) },
		{ PROCESS_MAX_FDS,
		    { "process_max_fds", METRICS_GAUGE, "The limit of open file descriptors." },
		    offsetof(struct process_facts, max_fds) },
		{ PROCESS_THREADS, { "process_threads", METRICS_GAUGE, "Threads." },
		    offsetof(struct process_facts, threads) },
	};
	struct process_facts p;

	process_look(&p);
	if ((p.known & PROCESS_CPU) != 0)
		metrics_one_double(m, &cpu, p.cpu_seconds);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if ((p.known & facts[i].fact) != 0)
			metrics_one(m, &facts[i].f,
			    *(const uint64_t *)(const void *)((const char *)&p + facts[i].offset));
	metrics_one_double(m, &started, d->life.started);
}

int
metrics_write(const struct daemon *d, struct buf *out)
{
	struct metrics_text m;

	metrics_text_init(&m, out);
	metrics_write_life(&m, d);
	if (metrics_write_routes(&m, d) == -1 || metrics_write_listeners(&m, d) == -1 ||
	    metrics_write_backends(&m, d) == -1)
		return -1;
	metrics_write_handshakes(&m, d);
	metrics_write_workers(&m, d);
	metrics_write_shared(&m, d);
	metrics_write_process(&m, d);
	return m.failed ? -1 : 0;
}
