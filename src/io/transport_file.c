/*
 * Files that go out of a connected socket without being read.  See transport.h.
 *
 * Only in the clear, and only what the kernel takes at once: nothing of a file is ever queued.
 */
#include <sys/sendfile.h>

#include <errno.h>

#include "io/sock.h"
#include "io/transport_int.h"

/*
 * What sendfile's errno means: the file or its file system cannot do it, or the socket is broken.
 */
static ssize_t
transport_file_failed(struct transport *t, int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return 0;
	case EINVAL:
	case ENOSYS:
	case EOPNOTSUPP:
	case ESPIPE:
	case EOVERFLOW:
	case EIO: /* of the disk: whoever reads it is told so */
		errno = EOPNOTSUPP;
		return -1;
	default:
		transport_break(t, err);
		errno = err;
		return -1;
	}
}

/* What goes before the file: into the same segment, if there is room; 0 or -1, broken. */
static int
transport_put_head(struct transport *t, struct span head)
{
	struct iovec rest = { .iov_base = (void *)(uintptr_t)head.p, .iov_len = head.n };
	ssize_t sent = 0;

	if (t->q == NULL)
		sent = sock_send(t->fd, head.p, head.n, MSG_NOSIGNAL | MSG_MORE);
	if (sent == (ssize_t)head.n)
		return 0;
	/* What is wrong, or full, it finds again. */
	if (sent > 0) {
		rest.iov_base = (void *)(uintptr_t)(head.p + sent);
		rest.iov_len -= (size_t)sent;
	}
	return transport_write(t, &rest, 1);
}

ssize_t
transport_send_file(struct transport *t, struct span head, int fd, uint64_t off, size_t n)
{
	off_t at = (off_t)off;
	ssize_t sent;

	if (t->fd == -1 || t->err != 0 || t->broken || t->fin_wanted || t->unwritable ||
	    (head.n > 0 && transport_put_head(t, head) == -1)) {
		errno = EPIPE;
		return -1;
	}
	if (t->q != NULL)
		return 0;
	do {
		sent = sendfile(t->fd, fd, &at, n);
	} while (sent == -1 && errno == EINTR);
	if (sent > 0)
		return sent;
	if (sent == -1)
		return transport_file_failed(t, errno);
	errno = ENODATA;
	return -1;
}
