/* What the kernel says of this process.  Any thread. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* A fact that cannot be told (no /proc) has its bit cleared in `known`. */
enum process_fact {
	PROCESS_CPU = 1,
	PROCESS_MEMORY = 2,
	PROCESS_OPEN_FDS = 4,
	PROCESS_MAX_FDS = 8,
	PROCESS_THREADS = 16,
	PROCESS_MAX_MEMORY = 32,
};

struct process_facts {
	unsigned known;	    /* enum process_fact bits */
	double cpu_seconds; /* user and system */
	uint64_t virtual_bytes, resident_bytes;
	uint64_t max_virtual_bytes; /* the limit; unlimited: not known */
	uint64_t open_fds, max_fds;
	uint64_t threads;
};

void process_look(struct process_facts *out);

#endif
