/*
 * The line that is being typed.  See wsdial_line.h.
 *
 * It ends where it is typed: there is no cursor to move, as in the kernel's line discipline
 * (termios(3), canonical mode).  A character is erased whole, whatever UTF-8 makes of it.
 */
#include "tools/wsdial_line.h"

#include <wchar.h>

/* Bytes of the character that ends at p[n): 1 where it is no UTF-8. */
static size_t
wsdial_last_character(const char *p, size_t n)
{
	size_t k = 1;

	while (k < n && k < 4 && ((unsigned char)p[n - k] & 0xc0) == 0x80)
		k++;
	return ((unsigned char)p[n - k] & 0xc0) == 0xc0 ? k : 1;
}

/* The code point of a character of n bytes. */
static wchar_t
wsdial_code_point(const char *p, size_t n)
{
	wchar_t c = n == 1 ? (unsigned char)p[0] : (unsigned char)p[0] & (0x7f >> n);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

/* Columns that it takes on the screen. */
static size_t
wsdial_character_width(const char *p, size_t n)
{
	int width;

	if (n == 1 && ((unsigned char)p[0] < ' ' || p[0] == 0x7f))
		return p[0] == '\t' ? 1 : 2;
	width = n == 1 ? 1 : wcwidth(wsdial_code_point(p, n));
	return width < 0 ? 1 : (size_t)width;
}

void
wsdial_line_init(struct wsdial_line *l, size_t max)
{
	buf_init(&l->text, max);
	l->literal = false;
}

void
wsdial_line_clear(struct wsdial_line *l)
{
	buf_clear(&l->text);
	l->literal = false;
}

static void
wsdial_line_erase(struct wsdial_line *l)
{
	if (l->text.n > 0)
		l->text.n -= wsdial_last_character(l->text.p, l->text.n);
}

static bool
wsdial_ends_in_blank(const struct wsdial_line *l)
{
	return l->text.n > 0 &&
	    (l->text.p[l->text.n - 1] == ' ' || l->text.p[l->text.n - 1] == '\t');
}

static void
wsdial_line_erase_word(struct wsdial_line *l)
{
	while (wsdial_ends_in_blank(l))
		wsdial_line_erase(l);
	while (l->text.n > 0 && !wsdial_ends_in_blank(l))
		wsdial_line_erase(l);
}

static enum wsdial_line_event
wsdial_line_add(struct wsdial_line *l, uint8_t byte)
{
	l->literal = false;
	return buf_append_char(&l->text, (char)byte) == 0 ? WSDIAL_LINE_MORE : WSDIAL_LINE_FULL;
}

enum wsdial_line_event
wsdial_line_feed(struct wsdial_line *l, const struct wsdial_keys *keys, uint8_t byte)
{
	if (l->literal || byte == 0)
		return wsdial_line_add(l, byte);
	if (byte == '\n')
		return WSDIAL_LINE_WHOLE;
	if (byte == keys->eof)
		return l->text.n == 0 ? WSDIAL_LINE_EOF : WSDIAL_LINE_MORE;
	if (byte == keys->reprint)
		return WSDIAL_LINE_REDRAW;
	if (byte == keys->erase)
		wsdial_line_erase(l);
	else if (byte == keys->werase)
		wsdial_line_erase_word(l);
	else if (byte == keys->kill)
		l->text.n = 0;
	else if (byte == keys->lnext)
		l->literal = true;
	else
		return wsdial_line_add(l, byte);
	return WSDIAL_LINE_MORE;
}

int
wsdial_line_show(const struct wsdial_line *l, size_t columns, struct buf *out)
{
	size_t start = l->text.n, width = 0, n, w;

	while (start > 0) {
		n = wsdial_last_character(l->text.p, start);
		w = wsdial_character_width(l->text.p + start - n, n);
		if (w > columns - width)
			break;
		width += w;
		start -= n;
	}
	for (size_t i = start; i < l->text.n; i++) {
		unsigned char c = (unsigned char)l->text.p[i];
		bool control = c < ' ' || c == 0x7f;

		if (control && c != '\t' && buf_append_char(out, '^') == -1)
			return -1;
		if (buf_append_char(out, c == '\t' ? ' ' : (char)(control ? c ^ 0x40 : c)) == -1)
			return -1;
	}
	return 0;
}
