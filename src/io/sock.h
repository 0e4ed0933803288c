/*
 * recv, send and sendmsg of the data path, which are not to be points of cancellation.  In a
 * program with more than one thread the C library makes each of them switch cancellation on and
 * off again, with two locked instructions, and nobody here cancels a thread.  Otherwise as
 * recv(2), send(2) and sendmsg(2) are, errno included.
 *
 * syscall(2) has to move six arguments and is called through a table.  Where the instruction is
 * known, recv and send have it in place; it does what the library's does.
 *
 * For src/io.  Builds with a sanitizer call the library's functions, which the sanitizer
 * watches.
 */
#ifndef IO_SOCK_H
#define IO_SOCK_H

#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SOCK_WATCHED 1
#endif
#endif

/* Where the kernel has no such calls of their own (socketcall), or numbers are not longs (x32). */
#if !defined(SYS_recvfrom) || !defined(SYS_sendto) || !defined(SYS_sendmsg) ||             \
    defined(__ILP32__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    defined(SOCK_WATCHED)

static inline ssize_t
sock_recv(int fd, void *p, size_t n, int flags)
{
	return recv(fd, p, n, flags);
}

static inline ssize_t
sock_send(int fd, const void *p, size_t n, int flags)
{
	return send(fd, p, n, flags);
}

static inline ssize_t
sock_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return sendmsg(fd, m, flags);
}

#else

/* recvfrom or sendto, without an address. */
static inline ssize_t
sock_call(long number, int fd, const void *p, size_t n, int flags)
{
#if defined(__x86_64__) && defined(__GNUC__)
	register long arg4 __asm__("r10") = flags;
	register long arg5 __asm__("r8") = 0;
	register long arg6 __asm__("r9") = 0;
	long ret;

	__asm__ volatile(
	    "syscall"
	    : "=a"(ret)
	    : "0"(number), "D"((long)fd), "S"(p), "d"(n), "r"(arg4), "r"(arg5), "r"(arg6)
	    : "rcx", "r11", "cc", "memory");
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
#else
	return syscall(number, fd, p, n, flags, NULL, 0);
#endif
}

static inline ssize_t
sock_recv(int fd, void *p, size_t n, int flags)
{
	return sock_call(SYS_recvfrom, fd, p, n, flags);
}

static inline ssize_t
sock_send(int fd, const void *p, size_t n, int flags)
{
	return sock_call(SYS_sendto, fd, p, n, flags);
}

static inline ssize_t
sock_sendmsg(int fd, const struct msghdr *m, int flags)
{
	return syscall(SYS_sendmsg, fd, m, flags);
}

#endif

#endif
