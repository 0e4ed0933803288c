/*
 * Static files that were opened lately.  See static_files.h.
 *
 * A hash table, which is emptied as a whole: when the document roots are closed, which is a second
 * after the first of them was opened; when it is full; when memory or descriptors are refused.
 * All of it is about to go anyway, so nothing tells what was used last.
 *
 * Called by gateway/static.c and gateway.c.  Invariants: what is in the table was opened beneath
 * a root since the roots were closed last; the table has a reference on each of its entries.
 */
#include <sys/resource.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/static_files.h"
#include "gateway/static_name.h"
#include "gateway/static_open.h"
#include "gateway/static_roots.h"

#define STATIC_BUCKETS 256
/* More than this is worth being given back to the kernel. */
#define STATIC_FILES_BULK (256 << 10)
/* Longer than the tick of any kernel's clock of files. */
#define STATIC_FRESH_MS 50
/* The fields of a 200: the longest type takes 40 bytes. */
#define STATIC_LINES_MAX 288

struct static_files {
	struct loop *loop;	    /* borrowed */
	struct static_roots *roots; /* owned */
	struct loop_task round;	    /* at the end of a turn in which a file was asked for */
	uint32_t rounds;
	size_t n, bytes;
	struct static_entry *bucket[STATIC_BUCKETS];
};

/* ---- entries */

void
static_entry_unref(struct static_entry *e)
{
	if (e == NULL || --e->refs > 0)
		return;
	close(e->fd);
	mem_free(e);
}

/* Entity tag and date of an open file (RFC 9110 8.8). */
static void
static_entry_set_validators(struct static_entry *e, const struct stat *sb)
{
	time_t now = time(NULL);

	e->size = (uint64_t)sb->st_size;
	e->mtime = sb->st_mtim;
	e->ctime = sb->st_ctim;
	/* Not the inode: it differs between machines that serve the same files. */
	snprintf(e->etag, sizeof(e->etag), "\"%llx-%llx\"",
	    (unsigned long long)sb->st_mtim.tv_sec * 1000000000 +
		(unsigned long long)sb->st_mtim.tv_nsec,
	    (unsigned long long)sb->st_size);
	/* Never later than the response's own date (8.8.2.1). */
	e->modified = sb->st_mtim.tv_sec < now ? sb->st_mtim.tv_sec : now;
	clock_http_date(e->modified, e->last_modified, sizeof(e->last_modified));
}

/*
 * The fields of a 200 (static_make_answer has them one by one); all of them are the gateway's own
 * and well-formed.
 */
static size_t
static_entry_put_lines(const struct static_entry *e, char out[STATIC_LINES_MAX])
{
	int n = snprintf(out, STATIC_LINES_MAX,
	    "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\nAccept-Ranges: bytes\r\n"
	    "ETag: %s\r\nLast-Modified: %s\r\nCache-Control: no-cache\r\n",
	    e->type, e->etag, e->last_modified);

	return n > 0 && n < STATIC_LINES_MAX ? (size_t)n : 0;
}

static char *
static_entry_copy(char **at, const void *p, size_t n)
{
	char *copy = *at;

	memcpy(copy, p, n);
	*at += n;
	return copy;
}

static struct static_entry *
static_entry_new(const char *root, const char *name, const struct stat *sb, size_t body_bytes)
{
	struct static_entry facts = { .refs = 1, .type = static_name_type(name) }, *e;
	size_t root_n = strlen(root) + 1, name_n = strlen(name) + 1;
	char lines[STATIC_LINES_MAX], *at;

	static_entry_set_validators(&facts, sb);
	facts.lines.n = static_entry_put_lines(&facts, lines);
	facts.bytes = sizeof(*e) + root_n + name_n + facts.lines.n + body_bytes;
	if ((e = mem_alloc(facts.bytes)) == NULL)
		return NULL;
	memcpy(e, &facts, sizeof(*e));
	at = e->data;
	e->root = static_entry_copy(&at, root, root_n);
	e->name = static_entry_copy(&at, name, name_n);
	e->lines.p = static_entry_copy(&at, lines, facts.lines.n);
	e->body = (uint8_t *)at; /* until static_entry_read says */
	return e;
}

/* All of a small file into the entry; false: it is not as long as it was. */
static bool
static_entry_read(struct static_entry *e)
{
	uint8_t *p = (uint8_t *)(uintptr_t)e->body;
	size_t have = 0;
	ssize_t n;

	while (have < e->size) {
		n = pread(e->fd, p + have, (size_t)e->size - have, (off_t)have);
		if (n == 0 || (n == -1 && errno != EINTR))
			return false;
		if (n > 0)
			have += (size_t)n;
	}
	return true;
}

/* fd goes over, or is closed. */
static struct static_entry *
static_entry_make(const char *root, const char *name, int fd, const struct stat *sb)
{
	bool small = sb->st_size <= STATIC_SMALL;
	struct static_entry *e;

	e = static_entry_new(root, name, sb, small ? (size_t)sb->st_size : 0);
	if (e == NULL) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	e->fd = fd;
	if (!small || !static_entry_read(e))
		e->body = NULL;
	return e;
}

/* ---- the table */

static void
static_files_forget(struct static_files *sf)
{
	struct static_entry *e;

	if (sf->bytes > STATIC_FILES_BULK)
		loop_note_bulk(sf->loop);
	for (size_t i = 0; sf->n > 0; i++)
		while ((e = sf->bucket[i]) != NULL) {
			sf->bucket[i] = e->next;
			sf->n--;
			static_entry_unref(e);
		}
	sf->bytes = 0;
}

static void
static_files_on_closed(void *arg)
{
	static_files_forget(arg);
}

struct static_files *
static_files_new(struct loop *loop)
{
	struct static_files *sf;

	if ((sf = mem_zalloc(sizeof(*sf))) == NULL)
		return NULL;
	sf->loop = loop;
	if ((sf->roots = static_roots_new(loop, static_files_on_closed, sf)) == NULL) {
		mem_free(sf);
		return NULL;
	}
	return sf;
}

void
static_files_flush(struct static_files *sf)
{
	static_roots_close(sf->roots); /* static_files_on_closed does the rest */
}

void
static_files_free(struct static_files *sf)
{
	if (sf == NULL)
		return;
	static_roots_free(sf->roots);
	static_files_forget(sf);
	loop_later_cancel(sf->loop, &sf->round);
	mem_free(sf);
}

/* FNV-1a. */
static uint32_t
static_files_hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

static void
static_files_remove(struct static_files *sf, struct static_entry **at)
{
	struct static_entry *e = *at;

	*at = e->next;
	sf->n--;
	sf->bytes -= e->bytes;
	static_entry_unref(e);
}

static bool
static_files_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether the file is still what it was; one that was removed or replaced has another ctime. */
static bool
static_entry_holds(const struct static_entry *e)
{
	struct stat sb;

	return fstat(e->fd, &sb) == 0 && (uint64_t)sb.st_size == e->size &&
	    static_files_same_time(sb.st_mtim, e->mtime) &&
	    static_files_same_time(sb.st_ctim, e->ctime);
}

/* Whether it may have been changed so lately that the next change would have the same time. */
static bool
static_entry_is_fresh(const struct static_entry *e)
{
	struct timespec now;
	int64_t age_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	age_ms = (int64_t)(now.tv_sec - e->ctime.tv_sec) * 1000 +
	    (now.tv_nsec - e->ctime.tv_nsec) / 1000000;
	return age_ms < STATIC_FRESH_MS;
}

static void
static_files_on_round(struct loop_task *t)
{
	struct static_files *sf =
	    (struct static_files *)(void *)((char *)t - offsetof(struct static_files, round));

	sf->rounds++;
}

static void
static_files_asked(struct static_files *sf, struct static_entry *e)
{
	e->asked = sf->rounds;
	loop_later(sf->loop, &sf->round, static_files_on_round);
}

/* Whether an entry still holds. */
static bool
static_files_ask(struct static_files *sf, struct static_entry *e)
{
	if (e->asked == sf->rounds)
		return true;
	if (!static_entry_holds(e))
		return false;
	static_files_asked(sf, e);
	return true;
}

static struct static_entry *
static_files_find(struct static_files *sf, uint32_t hash, const char *root, const char *name)
{
	struct static_entry **at = &sf->bucket[hash % STATIC_BUCKETS];

	while (*at != NULL &&
	    ((*at)->hash != hash || strcmp((*at)->name, name) != 0 ||
		strcmp((*at)->root, root) != 0))
		at = &(*at)->next;
	if (*at == NULL || static_files_ask(sf, *at))
		return *at;
	static_files_remove(sf, at);
	return NULL;
}

/* Whether most descriptors are in use, as the lowest that was free tells: then none is kept. */
static bool
static_files_fds_are_rare(int fd)
{
	struct rlimit rl;

	return getrlimit(RLIMIT_NOFILE, &rl) == -1 || (rlim_t)fd >= rl.rlim_cur / 4 * 3;
}

static void
static_files_keep(struct static_files *sf, struct static_entry *e, uint32_t hash)
{
	if (static_entry_is_fresh(e) || static_files_fds_are_rare(e->fd))
		return;
	if (sf->n == STATIC_FILES_N)
		static_files_forget(sf);
	static_files_asked(sf, e);
	e->hash = hash;
	e->next = sf->bucket[hash % STATIC_BUCKETS];
	sf->bucket[hash % STATIC_BUCKETS] = e;
	e->refs++;
	sf->n++;
	sf->bytes += e->bytes;
}

static struct static_entry *
static_files_open(struct static_files *sf, const char *root, const char *name)
{
	int dir = static_roots_get(sf->roots, root), fd;
	struct stat sb;

	if (dir == -1 || (fd = static_open(dir, name)) == -1)
		return NULL;
	if (fstat(fd, &sb) == -1) {
		close(fd);
		errno = EIO;
		return NULL;
	}
	if (!S_ISREG(sb.st_mode)) {
		close(fd);
		errno = S_ISDIR(sb.st_mode) ? EISDIR : ENOENT;
		return NULL;
	}
	return static_entry_make(root, name, fd, &sb);
}

struct static_entry *
static_files_get(struct static_files *sf, const char *root, const char *name)
{
	uint32_t hash = static_files_hash(name);
	struct static_entry *e = static_files_find(sf, hash, root, name);

	if (e != NULL) {
		e->refs++;
		return e;
	}
	if ((e = static_files_open(sf, root, name)) == NULL && sf->n > 0 &&
	    (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
		/* What is kept gives way. */
		static_files_flush(sf);
		e = static_files_open(sf, root, name);
	}
	if (e != NULL)
		static_files_keep(sf, e, hash);
	return e;
}
