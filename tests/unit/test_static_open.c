/*
 * Unit tests of src/gateway/static_open.[ch], with openat2 and, in a process
 * that is refused it by a seccomp filter, without.
 */
#include "gateway/static_open.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <stddef.h>

#include "unit_io.h"

static char dir[200], root[250];

static void
path_of(char *out, size_t size, const char *name)
{
	ck_assert_int_lt(snprintf(out, size, "%s/%s", dir, name), (int)size);
}

static void
put(const char *name, const char *text)
{
	char path[400];
	int fd;

	path_of(path, sizeof(path), name);
	ck_assert_int_ne(fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644), -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void
put_dir(const char *name)
{
	char path[400];

	path_of(path, sizeof(path), name);
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void
put_link(const char *name, const char *target)
{
	char path[400];

	path_of(path, sizeof(path), name);
	ck_assert_int_eq(symlink(target, path), 0);
}

static void
put_socket(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	path_of(sun.sun_path, sizeof(sun.sun_path), name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
}

static void
setup(void)
{
	char target[600];

	unit_dir(dir, sizeof(dir));
	path_of(root, sizeof(root), "root");
	put_dir("root");
	put_dir("root/sub");
	put_dir("root/sub/deep");
	put("secret", "secret");
	put("root/a.txt", "a");
	put("root/sub/b.txt", "b");
	put("root/sub/deep/c.txt", "c");
	put_link("root/in.txt", "sub/b.txt");
	put_link("root/insub", "sub");
	put_link("root/sub/up.txt", "../a.txt");
	put_link("root/out.txt", "../secret");
	put_link("root/outdir", "..");
	put_link("root/sub/far.txt", "../../root/../secret");
	put_link("root/etc", "/etc/passwd");
	snprintf(target, sizeof(target), "%s/a.txt", root);
	put_link("root/absolute.txt", target); /* it stays inside, but says nothing of the root */
	put_link("root/self", "/proc/self/root");
	put_link("root/loop", "loop");
	put_link("root/dangling", "nothing");
	put_link("rootlink", "root");
	path_of(target, sizeof(target), "root/fifo");
	ck_assert_int_eq(mkfifo(target, 0644), 0);
	put_socket("root/socket");
}

static void
teardown(void)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* The first byte of a file; or minus the error. */
static int
try(const char *from, const char *name)
{
	int fds = unit_count_fds(), fd, dir_fd, err;
	char c = 0;

	dir_fd = open(from, O_PATH | O_DIRECTORY);
	fd = dir_fd == -1 ? -1 : static_open(dir_fd, name);
	err = errno;
	if (dir_fd != -1)
		close(dir_fd);
	if (fd == -1) {
		ck_assert_int_eq(unit_count_fds(), fds);
		return -err;
	}
	ck_assert_int_eq(unit_count_fds(), fds + 1);
	ck_assert((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	ck_assert((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	ck_assert((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	if (read(fd, &c, 1) != 1)
		c = '?';
	close(fd);
	return c;
}

static void
assert_common(void)
{
	char longest[300];

	ck_assert_int_eq(try(root, "a.txt"), 'a');
	ck_assert_int_eq(try(root, "sub/b.txt"), 'b');
	ck_assert_int_eq(try(root, "sub/deep/c.txt"), 'c');
	ck_assert_int_eq(try(root, "nothing"), -ENOENT);
	ck_assert_int_eq(try(root, "nothing/a.txt"), -ENOENT);
	ck_assert_int_eq(try(root, "a.txt/b"), -ENOTDIR);
	ck_assert_int_eq(try(root, "socket"), -ENXIO);
	ck_assert_int_eq(try(root, "fifo"), '?'); /* at once */
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(try(root, longest), -ENAMETOOLONG);
	longest[280] = '/';
	ck_assert_int_eq(try(root, longest), -ENAMETOOLONG);
	/* no way out by a link */
	ck_assert_int_lt(try(root, "out.txt"), 0);
	ck_assert_int_lt(try(root, "outdir/secret"), 0);
	ck_assert_int_lt(try(root, "outdir/root/a.txt"), 0);
	ck_assert_int_lt(try(root, "sub/far.txt"), 0);
	ck_assert_int_lt(try(root, "etc"), 0);
	ck_assert_int_lt(try(root, "absolute.txt"), 0);
	ck_assert_int_lt(try(root, "self/etc/passwd"), 0);
	ck_assert_int_lt(try(root, "loop"), 0);
	ck_assert_int_lt(try(root, "dangling"), 0);
	ck_assert_int_eq(try("/nonexistent", "a.txt"), -ENOENT);
}

START_TEST(static_open_follows_links_that_stay_beneath)
{
	char link[250];

	if (try(root, "in.txt") != 'b')
		return; /* an old kernel: nothing to see */
	assert_common();
	ck_assert_int_eq(try(root, "insub/b.txt"), 'b');
	ck_assert_int_eq(try(root, "insub/deep/c.txt"), 'c');
	ck_assert_int_eq(try(root, "sub/up.txt"), 'a');
	path_of(link, sizeof(link), "rootlink");
	ck_assert_int_eq(try(link, "sub/b.txt"), 'b');
	/* the second wall alone: names that the first one refuses */
	ck_assert_int_eq(try(root, "../secret"), -EXDEV);
	ck_assert_int_eq(try(root, "sub/../../secret"), -EXDEV);
	ck_assert_int_eq(try(root, "/etc/passwd"), -EXDEV);
}
END_TEST

/* openat2 gives that error from now on; false where there are no filters. */
static bool
forbid_openat2(unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = UNIT_COUNT(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0;
}

static void
assert_walk(unsigned err)
{
	char link[250];

	if (!forbid_openat2(err))
		return;
	assert_common();
	/* No link at all is followed, but for the root itself. */
	ck_assert_int_eq(try(root, "in.txt"), -ELOOP);
	ck_assert_int_lt(try(root, "insub/b.txt"), 0);
	ck_assert_int_eq(try(root, "sub/up.txt"), -ELOOP);
	path_of(link, sizeof(link), "rootlink");
	ck_assert_int_eq(try(link, "sub/b.txt"), 'b');
}

START_TEST(static_open_walks_on_old_kernels)
{
	assert_walk(ENOSYS);
}
END_TEST

START_TEST(static_open_walks_under_old_seccomp_filters)
{
	assert_walk(EPERM);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		static_open_follows_links_that_stay_beneath,
		static_open_walks_on_old_kernels,
		static_open_walks_under_old_seccomp_filters,
	};

	return unit_run_with("static_open", cases, UNIT_COUNT(cases), setup, teardown);
}
