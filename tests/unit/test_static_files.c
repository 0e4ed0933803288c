/* Unit tests of src/gateway/static_files.[ch]. */
#include "gateway/static_files.h"

#include <sys/resource.h>

#include <stdlib.h>

#include "base/mem.h"
#include "gateway/static_roots.h"
#include "unit_io.h"

#define BIG (STATIC_SMALL + 1)

static struct loop *loop;
static struct static_files *files;
static char dir[200];
static int fds;

static const char *
path_of(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* A file of n times c, changed long ago. */
static void
put(const char *name, char c, size_t n)
{
	struct timespec ts[2] = { { 1577934245, 0 }, { 1577934245, 0 } };
	FILE *f = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; i < n; i++)
		putc(c, f);
	fclose(f);
	ck_assert_int_eq(utimensat(AT_FDCWD, path_of(name), ts, 0), 0);
}

/* ctime, which nobody can set, is old enough from now on. */
static void
age(void)
{
	uint64_t until = loop_now_ms(loop) + 200;

	while (loop_now_ms(loop) < until)
		unit_loop_turns(loop, 1);
}

static struct static_entry *
get(const char *name)
{
	struct static_entry *e = static_files_get(files, dir, name);

	if (e == NULL)
		ck_abort_msg("%s: %s", name, strerror(errno));
	return e;
}

/* The same, for who is done with it at once. */
static struct static_entry *
look(const char *name)
{
	struct static_entry *e = get(name);

	static_entry_unref(e);
	return e;
}

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/files-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_ptr_nonnull(loop = loop_new());
	ck_assert_ptr_nonnull(files = static_files_new(loop));
	fds = unit_count_fds();
	put("small", 's', 5);
	put("other", 'o', 5);
	put("big", 'b', BIG);
	put("empty", 'e', 0);
	ck_assert_int_eq(mkdir(path_of("folder"), 0755), 0);
	age();
}

static void
teardown(void)
{
	char command[300];

	static_files_free(files);
	ck_assert_int_eq(unit_count_fds(), fds);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(static_files_opens_a_file_once)
{
	struct static_entry *small = get("small"), *big = get("big"), *empty = get("empty");

	ck_assert_ptr_eq(look("small"), small);
	ck_assert_ptr_eq(look("big"), big);
	ck_assert_uint_eq(small->size, 5);
	ck_assert(memcmp(small->body, "sssss", 5) == 0);
	ck_assert_uint_eq(big->size, BIG);
	ck_assert_ptr_null(big->body);
	ck_assert_uint_eq(empty->size, 0);
	ck_assert_ptr_nonnull(empty->body);
	ck_assert_str_eq(small->type, "application/octet-stream");
	ck_assert_str_eq(small->last_modified, "Thu, 02 Jan 2020 03:04:05 GMT");
	ck_assert_str_eq(small->etag, "\"15e5f2d5e8263200-5\"");
	ck_assert_int_eq(unit_count_fds(), fds + 4); /* the root, too */
	static_entry_unref(small);
	static_entry_unref(big);
	static_entry_unref(empty);
}
END_TEST

START_TEST(static_files_has_the_fields_as_lines)
{
	struct static_entry *e = get("small");
	static const char lines[] = "Content-Type: application/octet-stream\r\n"
				    "X-Content-Type-Options: nosniff\r\n"
				    "Accept-Ranges: bytes\r\n"
				    "ETag: \"15e5f2d5e8263200-5\"\r\n"
				    "Last-Modified: Thu, 02 Jan 2020 03:04:05 GMT\r\n"
				    "Cache-Control: no-cache\r\n";

	ck_assert(span_eq(e->lines, span_from_str(lines)));
	static_entry_unref(e);
}
END_TEST

START_TEST(static_files_closes_them_after_a_while)
{
	struct static_entry *e = get("big");
	uint64_t until = loop_now_ms(loop) + STATIC_ROOTS_MS + 10000;

	look("small");
	while (unit_count_fds() > fds + 1 && loop_now_ms(loop) < until)
		unit_loop_turns(loop, 1);
	/* but what is in use */
	ck_assert_int_eq(unit_count_fds(), fds + 1);
	ck_assert_uint_eq(e->size, BIG);
	static_entry_unref(e);
	ck_assert_int_eq(unit_count_fds(), fds);
}
END_TEST

/*
 * Overwritten in place with as many bytes, made longer, replaced, removed, and forbidden: seen in
 * the next turn.
 */
static void
change(const char *name, int how)
{
	char to[300];

	snprintf(to, sizeof(to), "%s", path_of(name));
	switch (how) {
	case 0:
		put(name, 'n', name[0] == 'b' ? BIG : 5);
		break;
	case 1:
		put(name, 'n', BIG + 5);
		break;
	case 2:
		put("new", 'n', 7);
		ck_assert_int_eq(rename(path_of("new"), to), 0);
		break;
	case 3:
		ck_assert_int_eq(unlink(to), 0);
		break;
	default:
		ck_assert_int_eq(chmod(to, 0), 0);
		break;
	}
}

START_TEST(static_files_heeds_changes_at_once)
{
	static const char *const names[] = { "small", "big" };

	for (size_t i = 0; i < UNIT_COUNT(names); i++) {
		struct static_entry *old = get(names[i]), *e;
		char c;

		ck_assert_ptr_eq(look(names[i]), old);
		change(names[i], _i);
		/* In the turn in which it was asked nothing has changed. */
		ck_assert_ptr_eq(look(names[i]), old);
		unit_loop_turns(loop, 1);
		e = static_files_get(files, dir, names[i]);
		ck_assert_ptr_ne(e, old);
		if (_i == 3) {
			ck_assert_ptr_null(e);
			ck_assert_int_eq(errno, ENOENT);
		} else if (_i < 3) {
			ck_assert_int_eq(pread(e->fd, &c, 1, 0), 1);
			ck_assert_int_eq(c, 'n');
			ck_assert(e->body == NULL || e->body[0] == 'n');
		}
		static_entry_unref(e);
		static_entry_unref(old);
	}
}
END_TEST

/* A change within the same tick of the clock would not be seen. */
START_TEST(static_files_does_not_keep_what_was_changed_just_now)
{
	struct static_entry *first;

	put("small", 'a', 5);
	first = get("small");
	ck_assert_ptr_ne(look("small"), first);
	age();
	static_entry_unref(first);
	first = get("small");
	ck_assert_ptr_eq(look("small"), first);
	static_entry_unref(first);
}
END_TEST

START_TEST(static_files_are_those_of_one_root)
{
	struct static_entry *mine = get("small"), *e;
	char folder[300];

	ck_assert_int_eq(mkdir(path_of("folder/x"), 0755), 0);
	put("folder/small", 'f', 6);
	snprintf(folder, sizeof(folder), "%s", path_of("folder"));
	ck_assert_ptr_nonnull(e = static_files_get(files, folder, "small"));
	ck_assert_uint_eq(e->size, 6);
	ck_assert_ptr_eq(look("small"), mine);
	static_entry_unref(mine);
	static_entry_unref(e);
}
END_TEST

START_TEST(static_files_tells_why_there_is_none)
{
	ck_assert_ptr_null(static_files_get(files, dir, "nothing"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(static_files_get(files, dir, "folder"));
	ck_assert_int_eq(errno, EISDIR);
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0644), 0);
	ck_assert_ptr_null(static_files_get(files, dir, "fifo"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(static_files_get(files, "/nonexistent", "small"));
	ck_assert_int_eq(errno, ENOENT);
	/* and it is found as soon as it is there */
	put("nothing", 'x', 1);
	look("nothing");
}
END_TEST

START_TEST(static_files_keeps_so_many)
{
	struct static_entry *first = get("small");
	char name[20];
	int most = 0, now;

	for (int i = 0; i < STATIC_FILES_N + 10; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		put(name, 'x', 3);
	}
	age();
	for (int i = 0; i < STATIC_FILES_N + 10; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		look(name);
		if ((now = unit_count_fds()) > most)
			most = now;
	}
	ck_assert_int_le(most, fds + 2 + STATIC_FILES_N);
	ck_assert_ptr_ne(look("small"), first);
	static_entry_unref(first);
}
END_TEST

START_TEST(static_files_flush_closes_all_but_what_is_in_use)
{
	struct static_entry *e = get("small");

	look("big");
	static_files_flush(files);
	ck_assert_int_eq(unit_count_fds(), fds + 1);
	ck_assert(memcmp(e->body, "sssss", 5) == 0);
	ck_assert_ptr_ne(look("small"), e);
	static_entry_unref(e);
	static_files_flush(files);
	ck_assert_int_eq(unit_count_fds(), fds);
}
END_TEST

static void
limit_fds(struct rlimit *old, rlim_t n)
{
	struct rlimit to;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, old), 0);
	to = *old;
	to.rlim_cur = n;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &to), 0);
}

/* The lowest descriptor that is free. */
static int
next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

START_TEST(static_files_gives_way_when_descriptors_are_out)
{
	struct rlimit old;
	int next = next_fd();

	look("small");
	look("big");
	limit_fds(&old, (rlim_t)next + 3); /* the root and two files: all in use */
	look("other");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

START_TEST(static_files_keeps_none_when_descriptors_are_rare)
{
	struct rlimit old;
	int next = next_fd();

	limit_fds(&old, (rlim_t)next + 3);
	look("small");
	look("other");
	ck_assert_int_eq(unit_count_fds(), fds + 1); /* the root */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

START_TEST(static_files_gives_way_when_memory_is_refused)
{
	struct static_entry *e;

	look("small");
	mem_fail_nth(1);
	e = static_files_get(files, dir, "other");
	mem_fail_nth(0);
	ck_assert_ptr_nonnull(e); /* by its second attempt */
	static_entry_unref(e);
	ck_assert_int_eq(unit_count_fds(), fds + 2);
	static_files_flush(files);
	for (unsigned long n = 1; n < 3; n++) {
		mem_fail_nth(n);
		ck_assert_ptr_null(static_files_get(files, dir, "other"));
		ck_assert_int_eq(errno, ENOMEM);
		mem_fail_nth(0);
	}
	static_files_flush(files);
	ck_assert_int_eq(unit_count_fds(), fds);
	mem_fail_nth(1);
	ck_assert_ptr_null(static_files_new(loop));
	mem_fail_nth(2);
	ck_assert_ptr_null(static_files_new(loop));
	mem_fail_nth(0);
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ static_files_opens_a_file_once, 1 },
		{ static_files_has_the_fields_as_lines, 1 },
		{ static_files_closes_them_after_a_while, 1 },
		{ static_files_heeds_changes_at_once, 5 },
		{ static_files_does_not_keep_what_was_changed_just_now, 1 },
		{ static_files_are_those_of_one_root, 1 },
		{ static_files_tells_why_there_is_none, 1 },
		{ static_files_keeps_so_many, 1 },
		{ static_files_flush_closes_all_but_what_is_in_use, 1 },
		{ static_files_gives_way_when_descriptors_are_out, 1 },
		{ static_files_keeps_none_when_descriptors_are_rare, 1 },
		{ static_files_gives_way_when_memory_is_refused, 1 },
	};

	return unit_run_cases("static_files", cases, UNIT_COUNT(cases), setup, teardown);
}
