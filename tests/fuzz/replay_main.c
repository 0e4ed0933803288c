/*
 * replay_main: runs a fuzz target without a fuzzer.
 *
 * replay_NAME FILE|FOLDER... gives each file (each file below a folder) to LLVMFuzzerTestOneInput,
 * then a bounded number of mutations of it. The mutations are seeded by the bytes of the file
 * alone, so that every run on every machine does the same and a failure can be repeated. MUTATIONS
 * in the environment sets how many there are for each file. Each input lies in a heap block of
 * exactly its size, so that the address sanitizer sees one byte too many being read.
 *
 * When the target dies or hangs, the file and the number of the mutation are said, and the input
 * is written to the file that CRASH_FILE in the environment names: `replay_NAME THAT_FILE` with
 * MUTATIONS=0 repeats it.
 *
 * Called by tests/run-all. Single-threaded; state is global because the signal handler has no
 * other way to it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MUTATIONS 200
#define MAX_GROWTH 64 /* bytes that mutations may add to an input */
#define MAX_WORK \
	8000000 /* bytes given to the target for each file: large files get fewer mutations */
#define HANG_SECONDS 20 /* for one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static struct {
	const char *file; /* borrowed until the next input */
	unsigned mutation;
	const uint8_t *data; /* borrowed until the next input */
	size_t size;
} replay_current;

static unsigned long replay_files, replay_inputs;
static unsigned replay_mutations = DEFAULT_MUTATIONS;

/* Says what the target was given; only async-signal-safe calls. */
static void
replay_report(void)
{
	const char *path = getenv("CRASH_FILE");
	char line[512];
	int fd, len;

	if (replay_current.file == NULL)
		return;
	len = snprintf(line, sizeof(line), "\nreplay: it was %s, mutation %u, %zu bytes%s%s\n",
	    replay_current.file, replay_current.mutation, replay_current.size,
	    path ? "; written to " : "", path ? path : "");
	if (len > 0 &&
	    write(STDERR_FILENO, line,
		(size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1) < 0)
		return;
	if (path == NULL || (fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
		return;
	if (write(fd, replay_current.data, replay_current.size) < 0)
		len = -1;
	close(fd);
}

static void
replay_on_signal(int sig)
{
	signal(sig, SIG_DFL);
	replay_report();
	replay_current.file = NULL;
	raise(sig);
}

/* xorshift64*: small, seeded, the same everywhere */
static uint32_t
replay_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * UINT64_C(2685821657736338717)) >> 32);
}

/* A number below n, which is not 0. */
static size_t
replay_below(uint64_t *state, size_t n)
{
	return replay_random(state) % n;
}

static uint64_t
replay_seed(const uint8_t *data, size_t size)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < size; i++)
		h = (h ^ data[i]) * UINT64_C(1099511628211);
	return h ? h : 1;
}

/*
 * Changes the size bytes at data in one place; there is room for `room` bytes. Returns the new
 * size.
 */
static size_t
replay_mutate_once(uint64_t *state, uint8_t *data, size_t size, size_t room)
{
	static const uint8_t edge[] = { 0x00, 0x01, 0x0a, 0x0d, 0x20, 0x7e, 0x7f, 0x80, 0x88, 0xc0,
		0xed, 0xf4, 0xff };
	size_t at, n;

	if (size == 0) {
		data[0] = (uint8_t)replay_random(state);
		return 1;
	}
	at = replay_below(state, size);
	switch (replay_below(state, 6)) {
	case 0: /* flip a bit */
		data[at] ^= (uint8_t)(1u << replay_below(state, 8));
		return size;
	case 1: /* a byte at the edge of something */
		data[at] = edge[replay_below(state, sizeof(edge))];
		return size;
	case 2: /* cut the end off */
		return at;
	case 3: /* take some bytes out */
		n = 1 + replay_below(state, size - at < 16 ? size - at : 16);
		memmove(data + at, data + at + n, size - at - n);
		return size - n;
	case 4: /* say some bytes twice */
		n = 1 + replay_below(state, size - at < 16 ? size - at : 16);
		if (n > room - size)
			return size;
		memmove(data + at + n, data + at, size - at);
		return size + n;
	default: /* exchange two bytes */
		n = replay_below(state, size);
		if (data[n] != data[at]) {
			uint8_t byte = data[n];

			data[n] = data[at];
			data[at] = byte;
		}
		return size;
	}
}

static void
replay_run(const char *file, unsigned mutation, const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);

	if (exact == NULL) {
		fprintf(stderr, "replay: no memory\n");
		exit(1);
	}
	memcpy(exact, data, size);
	replay_current.mutation = mutation;
	replay_current.data = exact;
	replay_current.size = size;
	replay_current.file = file;
	alarm(HANG_SECONDS);
	LLVMFuzzerTestOneInput(exact, size);
	alarm(0);
	replay_current.file = NULL;
	free(exact);
	replay_inputs++;
}

/* Returns 0, or -1 after saying what is wrong with the file. */
static int
replay_file(const char *path, size_t size)
{
	FILE *in = fopen(path, "rb");
	uint8_t *whole = NULL, *scratch = NULL;
	uint64_t state;
	int status = -1;

	if (in == NULL || (whole = malloc(size + 1)) == NULL ||
	    (scratch = malloc(size + MAX_GROWTH)) == NULL || fread(whole, 1, size, in) != size) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		goto out;
	}
	replay_run(path, 0, whole, size);
	state = replay_seed(whole, size);
	for (unsigned i = 1; i <= replay_mutations && i * size <= MAX_WORK; i++) {
		size_t changed = size;

		memcpy(scratch, whole, size);
		for (size_t n = 1 + replay_below(&state, 4); n > 0; n--)
			changed = replay_mutate_once(&state, scratch, changed, size + MAX_GROWTH);
		replay_run(path, i, scratch, changed);
	}
	replay_files++;
	status = 0;
out:
	free(scratch);
	free(whole);
	if (in != NULL)
		fclose(in);
	return status;
}

/* Replays a file, or what is below a folder in the order of the names. Returns 0 or -1. */
static int
replay_path(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int count, status = 0;

	if (stat(path, &st) != 0) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	count = scandir(path, &entries, NULL, alphasort);
	if (count < 0) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < count; i++) {
		char below[4096];

		if (entries[i]->d_name[0] != '.') {
			int len = snprintf(below, sizeof(below), "%s/%s", path, entries[i]->d_name);

			if (len < 0 || (size_t)len >= sizeof(below) || replay_path(below) != 0)
				status = -1;
		}
		free(entries[i]);
	}
	free(entries);
	return status;
}

int
main(int argc, char **argv)
{
	const char *mutations = getenv("MUTATIONS");
	int status = 0;

	if (mutations != NULL)
		replay_mutations = (unsigned)strtoul(mutations, NULL, 10);
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(replay_report);
	signal(SIGABRT, replay_on_signal);
	signal(SIGALRM, replay_on_signal);
	if (__sanitizer_set_death_callback == NULL)
		signal(SIGSEGV, replay_on_signal);
	for (int i = 1; i < argc; i++)
		if (replay_path(argv[i]) != 0)
			status = 1;
	printf("%lu files, %lu inputs\n", replay_files, replay_inputs);
	if (replay_files == 0) {
		fprintf(stderr, "usage: %s FILE|FOLDER...\n", argv[0]);
		return 1;
	}
	return status;
}
