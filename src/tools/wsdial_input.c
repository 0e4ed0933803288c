/*
 * Lines from the standard input.  See wsdial_input.h.
 *
 * A terminal, pipe or socket is waited for by an event.  epoll does not take files and /dev/null:
 * they never wait, so each turn of the loop reads a piece.  The descriptor stays blocking, as it is
 * shared with other processes: it is read only when there is something, once.
 */
#include "tools/wsdial_input.h"

#include <sys/epoll.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/loop.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_term.h"

#define WSDIAL_INPUT_READ (64 * 1024)

struct wsdial_input {
	struct loop *loop;	/* borrowed */
	struct wsdial_out *out; /* borrowed */
	wsdial_input_fn *fn;
	void *arg;		  /* borrowed */
	struct wsdial_term *term; /* owned; NULL: no terminal */
	struct event event;	  /* where the descriptor can be waited for */
	struct loop_msg msg;	  /* where it cannot: the next piece */
	bool waits, posted, want, over;
	struct buf line; /* what has come of a line that is not complete */
};

static void
wsdial_input_end(struct wsdial_input *in, const char *error)
{
	if (in->over)
		return;
	in->over = true;
	if (in->waits)
		event_del(&in->event);
	in->fn(in->arg, NULL, 0, error);
}

/* ---- pieces to lines */

static void
wsdial_input_take(struct wsdial_input *in, const char *p, size_t n)
{
	const char *end;
	size_t used;

	while (n > 0 && !in->over && (end = memchr(p, '\n', n)) != NULL) {
		used = (size_t)(end - p) + 1;
		if (in->line.n == 0) {
			in->fn(in->arg, p, used - 1, NULL);
		} else if (buf_append(&in->line, p, used - 1) == 0) {
			struct buf whole = in->line;

			buf_init(&in->line, whole.max);
			in->fn(in->arg, whole.p, whole.n, NULL);
			buf_clear(&whole);
		} else {
			wsdial_input_end(in, "a line is too long");
		}
		p += used;
		n -= used;
	}
	if (n > 0 && !in->over && buf_append(&in->line, p, n) == -1)
		wsdial_input_end(in, "a line is too long");
}

static void
wsdial_input_eof(struct wsdial_input *in)
{
	struct buf last = in->line;

	buf_init(&in->line, last.max);
	if (last.n > 0) /* without a line end */
		in->fn(in->arg, last.p, last.n, NULL);
	buf_clear(&last);
	wsdial_input_end(in, NULL);
}

static void
wsdial_input_read(struct wsdial_input *in)
{
	char piece[WSDIAL_INPUT_READ];
	ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));

	if (n > 0 && in->term != NULL)
		wsdial_term_feed(in->term, (uint8_t *)piece, (size_t)n);
	else if (n > 0)
		wsdial_input_take(in, piece, (size_t)n);
	else if (n == 0)
		wsdial_input_eof(in);
	else if (errno != EAGAIN && errno != EINTR)
		wsdial_input_end(in, strerror(errno));
}

static void
wsdial_input_on_line(void *arg, const char *p, size_t n)
{
	struct wsdial_input *in = arg;

	if (in->over)
		return;
	if (p != NULL)
		in->fn(in->arg, p, n, NULL);
	else
		wsdial_input_end(in, NULL);
}

/* ---- when to read */

static void
wsdial_input_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct wsdial_input *in = arg;

	(void)fd;
	(void)what;
	if (in->want && !in->over)
		wsdial_input_read(in);
}

static void wsdial_input_on_msg(struct loop_msg *m, struct loop *loop);

/* A message comes with the next turn, in which the network has its chance too. */
static void
wsdial_input_post(struct wsdial_input *in)
{
	if (in->waits || in->posted || in->over || !in->want)
		return;
	in->posted = true;
	in->msg.fn = wsdial_input_on_msg;
	loop_post(in->loop, &in->msg);
}

static void
wsdial_input_on_msg(struct loop_msg *m, struct loop *loop)
{
	struct wsdial_input *in =
	    (struct wsdial_input *)(void *)((char *)m - offsetof(struct wsdial_input, msg));

	(void)loop;
	in->posted = false;
	if (in->want && !in->over)
		wsdial_input_read(in);
	wsdial_input_post(in);
}

void
wsdial_input_want(struct wsdial_input *in, bool want)
{
	if (in->want == want || in->over)
		return;
	in->want = want;
	if (in->waits && want)
		event_add(&in->event, NULL);
	else if (in->waits)
		event_del(&in->event);
	wsdial_input_post(in);
}

/* libevent tells of a descriptor that epoll does not take too late, and in words. */
static bool
wsdial_input_can_wait(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool can =
	    ep != -1 && (epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &ev) == 0 || errno != EPERM);

	if (ep != -1)
		close(ep);
	return can;
}

struct wsdial_input *
wsdial_input_start(
    struct loop *loop, struct wsdial_out *out, size_t max_line, wsdial_input_fn *fn, void *arg)
{
	struct wsdial_input *in;

	if ((in = mem_zalloc(sizeof(*in))) == NULL)
		return NULL;
	in->loop = loop;
	in->out = out;
	in->fn = fn;
	in->arg = arg;
	in->want = true;
	buf_init(&in->line, max_line);
	event_assign(&in->event, loop_base(loop), STDIN_FILENO, EV_READ | EV_PERSIST,
	    wsdial_input_on_event, in);
	in->waits = wsdial_input_can_wait();
	if (in->waits && event_add(&in->event, NULL) == -1) {
		mem_free(in);
		return NULL;
	}
	in->term = wsdial_term_new(max_line, wsdial_input_on_line, in);
	out->term = in->term;
	wsdial_input_post(in);
	return in;
}

void
wsdial_input_free(struct wsdial_input *in)
{
	if (in == NULL)
		return;
	if (in->waits)
		event_del(&in->event);
	in->out->term = NULL;
	wsdial_term_free(in->term);
	buf_clear(&in->line);
	mem_free(in);
}

bool
wsdial_input_suspend(struct wsdial_input *in)
{
	if (in == NULL || in->term == NULL)
		return false;
	wsdial_term_suspend(in->term);
	return true;
}
