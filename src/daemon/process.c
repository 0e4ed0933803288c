/*
 * Facts of this process.  See process.h.  A handful of system calls, whatever the number of open
 * files: the main thread, which accepts, asks.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/process.h"

/* A small file of /proc, NUL-terminated; false when it cannot be read. */
static bool
process_read(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd == -1)
		return false;
	n = read(fd, out, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

/*
 * Linux 6.2 and later tell the number as the folder's size; before, the names have to be counted.
 */
static bool
process_count_fds(uint64_t *out)
{
	struct stat sb;
	DIR *dir;

	if (stat("/proc/self/fd", &sb) == -1)
		return false;
	if (sb.st_size > 0) {
		*out = (uint64_t)sb.st_size;
		return true;
	}
	if ((dir = opendir("/proc/self/fd")) == NULL)
		return false;
	*out = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		*out += e->d_name[0] != '.';
	*out -= *out > 0; /* the folder itself */
	closedir(dir);
	return true;
}

/*
 * proc_pid_stat(5): what stands behind the name, which may hold anything but ends with the last
 * bracket: num_threads is the 18th field from there, vsize the 21st, rss the next.
 */
static bool
process_look_stat(struct process_facts *out)
{
	unsigned long long threads, vsize, rss;
	char text[1024], *p;
	long page = sysconf(_SC_PAGESIZE);

	if (!process_read("/proc/self/stat", text, sizeof(text)) ||
	    (p = strrchr(text, ')')) == NULL || page <= 0 ||
	    sscanf(p + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %llu %*d "
		"%*u %llu %llu",
		&threads, &vsize, &rss) != 3)
		return false;
	out->threads = threads;
	out->virtual_bytes = vsize;
	out->resident_bytes = rss * (unsigned long long)page;
	return true;
}

static void
process_look_limits(struct process_facts *out)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY) {
		out->max_fds = rl.rlim_cur;
		out->known |= PROCESS_MAX_FDS;
	}
	if (getrlimit(RLIMIT_AS, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY) {
		out->max_virtual_bytes = rl.rlim_cur;
		out->known |= PROCESS_MAX_MEMORY;
	}
}

void
process_look(struct process_facts *out)
{
	struct timespec cpu;

	memset(out, 0, sizeof(*out));
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
		out->cpu_seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
		out->known |= PROCESS_CPU;
	}
	if (process_look_stat(out))
		out->known |= PROCESS_MEMORY | PROCESS_THREADS;
	if (process_count_fds(&out->open_fds))
		out->known |= PROCESS_OPEN_FDS;
	process_look_limits(out);
}
