/*
 * Fuzz target: an INI file, all the way from its bytes to the snapshot, and what --dump-config
 * says of it.
 *
 * The text is loaded by its public door, from a file in memory. Every report must be one line with
 * a place; there is a snapshot exactly when there was no error; and a snapshot's dump, without its
 * comments, must be a configuration with the same dump.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_ini {
	char path[64];
	unsigned errors;
};

#define FUZZ_INI_CHECK(x)                                    \
	do {                                                 \
		if (!(x)) {                                  \
			fprintf(stderr, "not so: %s\n", #x); \
			abort();                             \
		}                                            \
	} while (0)

static void
fuzz_ini_report(void *arg, bool is_error, const char *line)
{
	struct fuzz_ini *f = arg;

	f->errors += is_error;
	FUZZ_INI_CHECK(strncmp(line, f->path, strlen(f->path)) == 0);
	FUZZ_INI_CHECK(line[strlen(f->path)] == ':');
	for (const char *p = line; *p != '\0'; p++)
		FUZZ_INI_CHECK((unsigned char)*p >= 0x20);
}

static struct config *
fuzz_ini_load(const void *text, size_t n)
{
	struct fuzz_ini f = { .errors = 0 };
	int fd = memfd_create("ini", MFD_CLOEXEC);
	struct config *c;

	FUZZ_INI_CHECK(fd != -1);
	FUZZ_INI_CHECK(n == 0 || write(fd, text, n) == (ssize_t)n);
	snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", fd);
	c = config_load(f.path, NULL, 0, fuzz_ini_report, &f);
	close(fd);
	FUZZ_INI_CHECK((c == NULL) == (f.errors > 0));
	return c;
}

/* The dump without the comments at the ends of its lines; the caller clears it. */
static struct buf
fuzz_ini_dump(const struct config *c)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	struct buf b;
	off_t n;
	char *out, *end;

	FUZZ_INI_CHECK(fd != -1 && config_dump(c, fd) == 0);
	n = lseek(fd, 0, SEEK_CUR);
	buf_init(&b, (size_t)n + 1);
	FUZZ_INI_CHECK(buf_reserve(&b, (size_t)n + 1) == 0);
	FUZZ_INI_CHECK(pread(fd, b.p, (size_t)n, 0) == (ssize_t)n);
	close(fd);
	b.p[n] = '\0';
	out = b.p;
	for (char *p = b.p; *p != '\0'; p = end + 1) {
		char *from;

		end = strchr(p, '\n');
		FUZZ_INI_CHECK(end != NULL);
		*end = '\0';
		if ((from = strstr(p, "  # ")) == NULL)
			from = end;
		memmove(out, p, (size_t)(from - p));
		out += from - p;
		*out++ = '\n';
	}
	b.n = (size_t)(out - b.p);
	return b;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = fuzz_ini_load(data, size), *again;
	struct buf first, second;

	if (c == NULL)
		return 0;
	first = fuzz_ini_dump(c);
	config_unref(c);
	again = fuzz_ini_load(first.p, first.n);
	FUZZ_INI_CHECK(again != NULL);
	second = fuzz_ini_dump(again);
	config_unref(again);
	FUZZ_INI_CHECK(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
	buf_clear(&first);
	buf_clear(&second);
	return 0;
}
