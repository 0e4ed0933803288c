/* Unit tests of src/gateway/static_roots.[ch]. */
#include "gateway/static_roots.h"

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unit_io.h"

static struct loop *loop;
static struct static_roots *roots;
static char dir[200];
static int fds;

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/roots-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_ptr_nonnull(loop = loop_new());
	ck_assert_ptr_nonnull(roots = static_roots_new(loop, NULL, NULL));
	fds = unit_count_fds();
}

static void
teardown(void)
{
	char command[300];

	static_roots_free(roots);
	ck_assert_int_eq(unit_count_fds(), fds);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static const char *
path_of(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static ino_t
inode_of(int fd)
{
	struct stat sb;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &sb), 0);
	return sb.st_ino;
}

static void
wait_closed(void)
{
	uint64_t until = loop_now_ms(loop) + STATIC_ROOTS_MS + 10000;

	while (unit_count_fds() > fds && loop_now_ms(loop) < until)
		unit_loop_turns(loop, 1);
	ck_assert_int_eq(unit_count_fds(), fds);
}

START_TEST(static_roots_keeps_a_root_open_for_a_while)
{
	uint64_t until;
	int first;

	mkdir(path_of("a"), 0755);
	ck_assert_int_ne(first = static_roots_get(roots, path_of("a")), -1);
	until = loop_now_ms(loop) + STATIC_ROOTS_MS / 2;
	while (loop_now_ms(loop) < until) {
		ck_assert_int_eq(static_roots_get(roots, path_of("a")), first);
		unit_loop_turns(loop, 1);
	}
	ck_assert_int_eq(unit_count_fds(), fds + 1);
	wait_closed();
}
END_TEST

START_TEST(static_roots_follows_a_link_that_was_moved)
{
	ino_t old, new;

	mkdir(path_of("1"), 0755);
	mkdir(path_of("2"), 0755);
	ck_assert_int_eq(symlink("1", path_of("now")), 0);
	old = inode_of(static_roots_get(roots, path_of("now")));
	ck_assert_int_eq(unlink(path_of("now")), 0);
	ck_assert_int_eq(symlink("2", path_of("now")), 0);
	wait_closed();
	new = inode_of(static_roots_get(roots, path_of("now")));
	ck_assert(old != new);
}
END_TEST

START_TEST(static_roots_tells_why_there_is_none)
{
	ck_assert_int_eq(static_roots_get(roots, path_of("nothing")), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(static_roots_get(roots, "/dev/null"), -1);
	ck_assert_int_eq(errno, ENOTDIR);
	ck_assert_int_eq(unit_count_fds(), fds);
	mem_fail_nth(1);
	ck_assert_int_eq(static_roots_get(roots, dir), -1);
	mem_fail_nth(0);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(unit_count_fds(), fds);
	/* and it is found as soon as it is there */
	mkdir(path_of("nothing"), 0755);
	ck_assert_int_ne(static_roots_get(roots, path_of("nothing")), -1);
}
END_TEST

START_TEST(static_roots_keeps_so_many)
{
	ino_t inode[50];
	char name[16];

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 50; i++) {
			snprintf(name, sizeof(name), "%d", i);
			if (round == 0) {
				mkdir(path_of(name), 0755);
				inode[i] = inode_of(static_roots_get(roots, path_of(name)));
			}
			ck_assert(inode[i] == inode_of(static_roots_get(roots, path_of(name))));
			ck_assert_int_le(unit_count_fds(), fds + 16);
		}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		static_roots_keeps_a_root_open_for_a_while,
		static_roots_follows_a_link_that_was_moved,
		static_roots_tells_why_there_is_none,
		static_roots_keeps_so_many,
	};

	return unit_run_with("static_roots", cases, UNIT_COUNT(cases), setup, teardown);
}
