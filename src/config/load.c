/*
 * Loading: FILE, FILE.d in order, the --set options, then the stages of
 * stages.h.  Called by the main thread, at start and at reload.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/scan.h"
#include "config/stages.h"

#define LOAD_FILE_MAX ((size_t)16 << 20)
#define LOAD_STEP 16384

/*
 * A file to be read, at once: nobody may have opened the other end of a FIFO yet, or ever, and a
 * reload must not wait for it.  -1 with errno.
 */
static int
load_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), flags;

	/* What is written to a pipe while we read is waited for. */
	if (fd != -1 && (flags = fcntl(fd, F_GETFL)) != -1)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	return fd;
}

/* All of the file; 0, or -1 with errno: EFBIG is past the maximum, ENOMEM no memory. */
static int
load_read(int fd, struct buf *out)
{
	ssize_t n;

	for (;;) {
		if (out->n == LOAD_FILE_MAX) {
			errno = EFBIG;
			return -1;
		}
		if (buf_reserve(out,
			LOAD_FILE_MAX - out->n < LOAD_STEP ? LOAD_FILE_MAX - out->n : LOAD_STEP) ==
		    -1) {
			errno = ENOMEM;
			return -1;
		}
		n = read(fd, out->p + out->n,
		    out->cap - out->n < LOAD_STEP ? out->cap - out->n : LOAD_STEP);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		out->n += (size_t)n;
	}
}

/* Whatever is missing may be in the file that could not be read. */
static void
load_failed(struct config_sources *tree, struct config_report *rep, const char *file,
    const char *what, int err)
{
	config_error(rep, file, 0, "the file cannot be %s: %s", what, strerror(err));
	for (unsigned i = 0; i < CONFIG_S_COUNT; i++)
		tree->broken[i] = true;
}

static void
load_file(struct config_sources *tree, struct config_report *rep, const char *path)
{
	const char *file = config_tree_file(tree, path);
	struct buf text;
	int fd;

	if (file == NULL) {
		config_no_memory(rep);
		return;
	}
	if ((fd = load_open(path)) == -1) {
		load_failed(tree, rep, file, "opened", errno);
		return;
	}
	buf_init(&text, LOAD_FILE_MAX);
	if (load_read(fd, &text) == 0)
		config_scan_text(tree, rep, file, buf_span(&text));
	else if (errno == ENOMEM)
		config_no_memory(rep);
	else
		load_failed(tree, rep, file, "read", errno);
	close(fd);
	buf_clear(&text);
}

static int
load_is_ini(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 4 && strcmp(d->d_name + n - 4, ".ini") == 0;
}

/* By bytes, whatever the locale (alphasort would ask it). */
static int
load_compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
load_drop_in(
    struct config_sources *tree, struct config_report *rep, const char *dir, const char *name)
{
	struct buf path;

	buf_init(&path, 8192);
	if (buf_printf(&path, "%s/%s", dir, name) == -1 || buf_append_char(&path, '\0') == -1)
		config_no_memory(rep);
	else
		load_file(tree, rep, path.p);
	buf_clear(&path);
}

static void
load_drop_ins(struct config_sources *tree, struct config_report *rep, const char *path)
{
	struct dirent **names;
	struct buf dir;
	int n;

	buf_init(&dir, 8192);
	if (buf_printf(&dir, "%s.d", path) == -1 || buf_append_char(&dir, '\0') == -1) {
		config_no_memory(rep);
		buf_clear(&dir);
		return;
	}
	n = scandir(dir.p, &names, load_is_ini, load_compare);
	/* A folder that is not there is usual; one that cannot be read is not. */
	if (n == -1 && errno != ENOENT && errno != ENOTDIR)
		config_error(rep, dir.p, 0, "the folder cannot be read: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		if (!rep->no_memory)
			load_drop_in(tree, rep, dir.p, names[i]->d_name);
		free(names[i]); /* scandir's, not ours */
	}
	if (n >= 0)
		free(names);
	buf_clear(&dir);
}

static struct config *
load_new(struct config_report *rep)
{
	struct config *c = mem_zalloc(sizeof(*c));

	if (c != NULL)
		c->sources = config_tree_new();
	if (c == NULL || c->sources == NULL) {
		config_no_memory(rep);
		config_free(c);
		return NULL;
	}
	atomic_init(&c->refs, 1);
	return c;
}

struct config *
config_load(const char *path, const struct config_set *sets, size_t n_sets,
    config_report_fn *report, void *arg)
{
	return config_load_telling(path, sets, n_sets, NULL, report, arg);
}

struct config *
config_load_telling(const char *path, const struct config_set *sets, size_t n_sets,
    config_tell_fn *tell, config_report_fn *report, void *arg)
{
	struct config_report rep = { .fn = report, .arg = arg, .path = path };
	struct config *c = load_new(&rep);

	if (c == NULL)
		return NULL;
	load_file(c->sources, &rep, path);
	if (!rep.no_memory)
		load_drop_ins(c->sources, &rep, path);
	for (size_t i = 0; i < n_sets && !rep.no_memory; i++)
		config_scan_set(c->sources, &rep, sets[i].text);
	if (!rep.no_memory)
		config_assign(c, &rep);
	if (!rep.no_memory)
		config_check(c, &rep);
	if (rep.errors == 0)
		return c;
	if (tell != NULL && !rep.no_memory)
		tell(c, report, arg);
	config_free(c);
	return NULL;
}

/* The value of one entry, judged like at a load. */
static int
load_take_admin(const struct config_entry *e, char **out, struct config_report *rep)
{
	const struct config_text *v = &e->v[0];
	struct config_shown shown;
	const char *why;

	if (e->key->accept(span_from_str(v->text), &why) == -1) {
		config_error(rep, v->file, v->line, "[server] AdminAddress=%s: %s; expected %s",
		    config_show(&shown, span_from_str(v->text)), why, e->key->expected);
		return -1;
	}
	if ((*out = mem_strdup(v->text)) != NULL)
		return 0;
	config_no_memory(rep);
	return -1;
}

int
config_find_admin(const char *path, char **out, config_report_fn *report, void *arg)
{
	struct config_report rep = { .fn = report, .arg = arg, .path = path };
	struct config_report silent = { .path = path };
	struct config_sources *tree = config_tree_new();
	const struct config_key *k = config_key_find(CONFIG_S_SERVER, SPAN_LIT("AdminAddress"));
	const struct config_entry *e = NULL;
	int ret = 0;

	*out = NULL;
	if (tree == NULL) {
		config_no_memory(&rep);
		return -1;
	}
	load_file(tree, &silent, path);
	load_drop_ins(tree, &silent, path);
	if (tree->section[CONFIG_S_SERVER].n > 0)
		e = config_tree_find(tree->section[CONFIG_S_SERVER].v, k);
	if (silent.no_memory) {
		config_no_memory(&rep);
		ret = -1;
	} else if (e != NULL && e->n > 0) {
		ret = load_take_admin(e, out, &rep);
	}
	config_tree_free(tree);
	return ret;
}
