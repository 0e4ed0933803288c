/* What wsdial writes.  See wsdial_out.h.  One thread; every write waits until it is done. */
#include "tools/wsdial_out.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "tools/wsdial_escape.h"
#include "tools/wsdial_term.h"

#define WSDIAL_LINE_MAX 8192

int
wsdial_write(int fd, const void *p, size_t n)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	const char *from = p;
	ssize_t put;

	while (n > 0) {
		if ((put = write(fd, from, n)) >= 0) {
			from += put;
			n -= (size_t)put;
		} else if (errno == EAGAIN) {
			/* Somebody who shares the descriptor has made it non-blocking. */
			(void)poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

void
wsdial_out_init(struct wsdial_out *o, bool verbose)
{
	o->term = NULL;
	o->verbose = verbose;
	o->to_terminal = isatty(STDOUT_FILENO) == 1;
	o->broken = 0;
}

static void
wsdial_out_write(struct wsdial_out *o, int fd, const void *p, size_t n)
{
	if (o->term != NULL)
		wsdial_term_hide(o->term);
	if (wsdial_write(fd, p, n) == -1 && fd == STDOUT_FILENO && o->broken == 0)
		o->broken = errno;
	if (o->term != NULL)
		wsdial_term_show(o->term);
}

void
wsdial_out_message(struct wsdial_out *o, bool binary, const void *p, size_t n)
{
	struct buf b;
	int bad;

	if (binary && !o->to_terminal) {
		wsdial_out_write(o, STDOUT_FILENO, p, n);
		return;
	}
	buf_init(&b, 4 * n + 1);
	bad = !o->to_terminal
	    ? buf_append(&b, p, n)
	    : wsdial_escape(&b, binary ? WSDIAL_ESCAPE_BINARY : WSDIAL_ESCAPE_MESSAGE, p, n);
	if (bad == 0 && buf_append_char(&b, '\n') == 0)
		wsdial_out_write(o, STDOUT_FILENO, b.p, b.n);
	else
		o->broken = ENOMEM;
	buf_clear(&b);
}

static void __attribute__((format(printf, 4, 0)))
wsdial_out_format(struct wsdial_out *o, int fd, const char *prefix, const char *fmt, va_list ap)
{
	char text[WSDIAL_LINE_MAX];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s", prefix);
	int n = vsnprintf(text + at, sizeof(text) - at - 1, fmt, ap);

	if (n < 0)
		return;
	at += (size_t)n < sizeof(text) - at - 1 ? (size_t)n : sizeof(text) - at - 2;
	text[at++] = '\n';
	wsdial_out_write(o, fd, text, at);
}

void
wsdial_out_line(struct wsdial_out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wsdial_out_format(o, STDOUT_FILENO, "", fmt, ap);
	va_end(ap);
}

void
wsdial_out_error(struct wsdial_out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wsdial_out_format(o, STDERR_FILENO, "wsdial: ", fmt, ap);
	va_end(ap);
}

void
wsdial_out_trace(struct wsdial_out *o, const char *fmt, ...)
{
	va_list ap;

	if (!o->verbose)
		return;
	va_start(ap, fmt);
	wsdial_out_format(o, STDERR_FILENO, "", fmt, ap);
	va_end(ap);
}
