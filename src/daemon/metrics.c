/*
 * The text of GET /metrics.  See metrics.h; every family is explained in docs/metrics.md.
 */
#include <time.h>

#include "daemon/daemon_int.h"
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

/* A family without labels, of one sample. */
static void
metrics_one_uint(struct metrics_text *m, const char *name, enum metrics_type type, uint64_t value,
    const char *help)
{
	const struct metrics_family f = { name, type, help };

	metrics_text_begin(m, &f);
	metrics_text_uint(m, NULL, 0, value);
}

static void
metrics_one_double(struct metrics_text *m, const char *name, enum metrics_type type, double value,
    const char *help)
{
	const struct metrics_family f = { name, type, help };

	metrics_text_begin(m, &f);
	metrics_text_double(m, NULL, 0, value);
}

static void
metrics_write_life(struct metrics_text *m, const struct daemon *d)
{
	static const struct metrics_family build = { "wsrelayd_build_info", METRICS_GAUGE,
		"The version that runs, as a label; always 1." };
	static const struct metrics_family reloads = { "wsrelayd_reloads_total", METRICS_COUNTER,
		"Reloads of the configuration by result: success, or failure (nothing was changed)." };

	metrics_text_begin(m, &build);
	metrics_text_uint(m, &(struct metrics_label){ "version", WSRELAYD_VERSION }, 1, 1);
	metrics_text_begin(m, &reloads);
	metrics_text_uint(
	    m, &(struct metrics_label){ "result", "success" }, 1, d->life.reloads[true]);
	metrics_text_uint(
	    m, &(struct metrics_label){ "result", "failure" }, 1, d->life.reloads[false]);
	metrics_one_uint(m, "wsrelayd_last_reload_successful", METRICS_GAUGE,
	    !d->life.last_reload_failed,
	    "Whether the last reload was good, or none was tried; 0: the file has errors.");
	metrics_one_double(m, "wsrelayd_last_reload_success_timestamp_seconds", METRICS_GAUGE,
	    d->life.reloaded, "When the configuration in force was read, since 1970.");
	metrics_one_uint(m, "wsrelayd_draining", METRICS_GAUGE, d->draining,
	    "Whether the daemon drains before it ends.");
}

/* The names and meanings that Prometheus asks of all client libraries. */
static void
metrics_write_process(struct metrics_text *m, const struct daemon *d)
{
	struct process_facts p;

	process_look(&p);
	if ((p.known & PROCESS_CPU) != 0)
		metrics_one_double(m, "process_cpu_seconds_total", METRICS_COUNTER, p.cpu_seconds,
		    "User and system CPU time of the process.");
	if ((p.known & PROCESS_MEMORY) != 0) {
		metrics_one_uint(m, "process_resident_memory_bytes", METRICS_GAUGE,
		    p.resident_bytes, "Resident memory of the process.");
		metrics_one_uint(m, "process_virtual_memory_bytes", METRICS_GAUGE, p.virtual_bytes,
		    "Virtual memory of the process.");
	}
	if ((p.known & PROCESS_MAX_MEMORY) != 0)
		metrics_one_uint(m, "process_virtual_memory_max_bytes", METRICS_GAUGE,
		    p.max_virtual_bytes, "The limit of the virtual memory.");
	if ((p.known & PROCESS_OPEN_FDS) != 0)
		metrics_one_uint(m, "process_open_fds", METRICS_GAUGE, p.open_fds,
		    "Open file descriptors.");
	if ((p.known & PROCESS_MAX_FDS) != 0)
		metrics_one_uint(m, "process_max_fds", METRICS_GAUGE, p.max_fds,
		    "The limit of open file descriptors.");
	if ((p.known & PROCESS_THREADS) != 0)
		metrics_one_uint(m, "process_threads", METRICS_GAUGE, p.threads,
		    "Threads of the process.");
	metrics_one_double(m, "process_start_time_seconds", METRICS_GAUGE, d->life.started,
	    "When the process started to serve, since 1970.");
}

int
metrics_write(const struct daemon *d, struct buf *out)
{
	struct metrics_text m;

	metrics_text_init(&m, out);
	metrics_write_life(&m, d);
	metrics_write_process(&m, d);
	return m.failed ? -1 : 0;
}
