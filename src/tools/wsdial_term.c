/*
 * The terminal.  See wsdial_term.h.
 *
 * Echo and the kernel's line editing are switched off; signals of the keyboard stay.  The line is
 * shown in one row of the screen, its end where it is longer, so that one carriage return and one
 * "erase to the end of the line" take it away, whatever the width.
 */
#include "tools/wsdial_term.h"

#include <sys/ioctl.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "tools/wsdial_line.h"
#include "tools/wsdial_out.h"

#define WSDIAL_PROMPT "> "
#define WSDIAL_ERASE "\r\033[K" /* ECMA-48 EL */
#define WSDIAL_COLUMNS 80	/* where the terminal does not tell */

struct wsdial_term {
	struct termios before;
	struct wsdial_keys keys;
	struct wsdial_line line;
	wsdial_term_fn *fn;
	void *arg; /* borrowed */
	unsigned hidden;
};

static uint8_t
wsdial_term_key(const struct termios *tio, int which)
{
	return tio->c_cc[which] == _POSIX_VDISABLE ? 0 : tio->c_cc[which];
}

static int
wsdial_term_set(struct wsdial_term *t)
{
	struct termios tio;

	if (tcgetattr(STDIN_FILENO, &t->before) == -1)
		return -1;
	tio = t->before;
	t->keys = (struct wsdial_keys){
		.erase = wsdial_term_key(&tio, VERASE),
		.kill = wsdial_term_key(&tio, VKILL),
		.werase = wsdial_term_key(&tio, VWERASE),
		.eof = wsdial_term_key(&tio, VEOF),
		.lnext = wsdial_term_key(&tio, VLNEXT),
		.reprint = wsdial_term_key(&tio, VREPRINT),
	};
	/* IEXTEN: VLNEXT is ours to look at. */
	tio.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	tio.c_cc[VMIN] = 1;
	tio.c_cc[VTIME] = 0;
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &tio);
}

static size_t
wsdial_term_columns(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == -1 || w.ws_col == 0)
		return WSDIAL_COLUMNS;
	return w.ws_col;
}

/* Write the line again; whole with its end, or as far as it fits. */
static void
wsdial_term_draw(struct wsdial_term *t, bool whole)
{
	size_t columns = wsdial_term_columns(), used = sizeof(WSDIAL_PROMPT);
	struct buf b;

	/* The last column stays free: a terminal may go on to the next row there. */
	columns = whole ? SIZE_MAX : columns > used ? columns - used : 1;
	buf_init(&b, 2 * t->line.text.n + 64);
	if (buf_append_str(&b, WSDIAL_ERASE WSDIAL_PROMPT) == 0 &&
	    wsdial_line_show(&t->line, columns, &b) == 0 &&
	    (!whole || buf_append_char(&b, '\n') == 0))
		(void)wsdial_write(STDOUT_FILENO, b.p, b.n);
	buf_clear(&b);
}

static bool
wsdial_term_can_draw(void)
{
	const char *type = getenv("TERM");

	return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && type != NULL &&
	    type[0] != '\0' && strcmp(type, "dumb") != 0;
}

struct wsdial_term *
wsdial_term_new(size_t max_line, wsdial_term_fn *fn, void *arg)
{
	struct wsdial_term *t;

	if (!wsdial_term_can_draw() || (t = mem_zalloc(sizeof(*t))) == NULL)
		return NULL;
	wsdial_line_init(&t->line, max_line);
	t->fn = fn;
	t->arg = arg;
	if (wsdial_term_set(t) == -1) {
		mem_free(t);
		return NULL;
	}
	wsdial_term_draw(t, false);
	return t;
}

static void
wsdial_term_restore(struct wsdial_term *t)
{
	if (t->hidden == 0)
		(void)wsdial_write(STDOUT_FILENO, WSDIAL_ERASE, sizeof(WSDIAL_ERASE) - 1);
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
}

void
wsdial_term_free(struct wsdial_term *t)
{
	if (t == NULL)
		return;
	wsdial_term_restore(t);
	wsdial_line_clear(&t->line);
	mem_free(t);
}

void
wsdial_term_hide(struct wsdial_term *t)
{
	if (t->hidden++ == 0)
		(void)wsdial_write(STDOUT_FILENO, WSDIAL_ERASE, sizeof(WSDIAL_ERASE) - 1);
}

void
wsdial_term_show(struct wsdial_term *t)
{
	if (--t->hidden == 0)
		wsdial_term_draw(t, false);
}

/* The line is complete: it stays on the screen, and a new one is begun. */
static void
wsdial_term_take(struct wsdial_term *t)
{
	struct buf text;

	wsdial_term_draw(t, true);
	text = t->line.text;
	wsdial_line_init(&t->line, text.max);
	t->fn(t->arg, text.p != NULL ? text.p : "", text.n);
	buf_clear(&text);
}

void
wsdial_term_feed(struct wsdial_term *t, const uint8_t *p, size_t n)
{
	wsdial_term_hide(t); /* it is drawn once, when all was looked at */
	for (size_t i = 0; i < n; i++) {
		switch (wsdial_line_feed(&t->line, &t->keys, p[i])) {
		case WSDIAL_LINE_MORE:
		case WSDIAL_LINE_REDRAW:
			break;
		case WSDIAL_LINE_WHOLE:
			wsdial_term_take(t);
			break;
		case WSDIAL_LINE_EOF:
			t->fn(t->arg, NULL, 0);
			break;
		case WSDIAL_LINE_FULL:
			(void)wsdial_write(STDOUT_FILENO, "\a", 1);
			break;
		}
	}
	wsdial_term_show(t);
}

void
wsdial_term_suspend(struct wsdial_term *t)
{
	wsdial_term_restore(t);
	raise(SIGSTOP);
	(void)wsdial_term_set(t);
	if (t->hidden == 0)
		wsdial_term_draw(t, false);
}
