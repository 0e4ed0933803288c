/* The form of a log's lines: text, JSON, and escaped bytes of peers.  Pure.  See log_int.h. */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/log_int.h"

const char *const log_level_names[] = { "error", "warning", "info", "debug" };
const int log_priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void
log_line_add(struct log_line *l, const char *p, size_t n)
{
	if (n > l->size - l->n)
		n = l->size - l->n;
	if (n == 0)
		return;
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void
log_line_str(struct log_line *l, const char *s)
{
	log_line_add(l, s, strlen(s));
}

/* The length of the UTF-8 sequence at s (RFC 3629), 0 when it is none. */
static size_t
log_utf8_len(struct span s)
{
	unsigned char c = (unsigned char)s.p[0], lo = 0x80, hi = 0xbf;
	size_t n;

	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	/* No overlong forms, no surrogates, nothing past U+10FFFF. */
	if (c == 0xe0)
		lo = 0xa0;
	else if (c == 0xed)
		hi = 0x9f;
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xf4)
		hi = 0x8f;
	for (size_t i = 1; i < n; i++, lo = 0x80, hi = 0xbf)
		if ((unsigned char)s.p[i] < lo || (unsigned char)s.p[i] > hi)
			return 0;
	return n;
}

/*
 * The next piece of a JSON string: takes one character off *s, points *out
 * to its escaped form (in `scratch` or in the text itself).
 */
static struct span
log_json_piece(struct span *s, char scratch[8])
{
	unsigned char c = (unsigned char)s->p[0];
	struct span piece = { s->p, 1 };
	size_t n = 1;

	if (c == '"' || c == '\\') {
		piece = (struct span){ scratch, 2 };
		scratch[0] = '\\';
		scratch[1] = (char)c;
	} else if (c < 0x20 || c == 0x7f) {
		piece = (struct span){ scratch, 6 };
		snprintf(scratch, 8, "\\u%04x", c);
	} else if (c >= 0x80) {
		n = log_utf8_len(*s);
		piece.n = n;
		if (n == 0) {
			piece = SPAN_LIT("\\ufffd");
			n = 1;
		}
	}
	s->p += n;
	s->n -= n;
	return piece;
}

/* Text as the inside of a JSON string, cut between characters. */
static void
log_line_json(struct log_line *l, struct span s)
{
	struct span piece;
	char scratch[8];

	while (s.n > 0) {
		piece = log_json_piece(&s, scratch);
		if (piece.n > l->size - l->n)
			return;
		log_line_add(l, piece.p, piece.n);
	}
}

/* Text as it is, but control characters (a newline!) become spaces. */
static void
log_line_text(struct log_line *l, struct span s)
{
	size_t from = l->n;

	log_line_add(l, s.p, s.n);
	for (size_t i = from; i < l->n; i++)
		if ((unsigned char)l->p[i] < 0x20 || l->p[i] == 0x7f)
			l->p[i] = ' ';
}

void
log_line_make_json(struct log_line *l, enum log_level level, const char *when, struct span text)
{
	static const char end[] = "\"}";

	l->size = sizeof(l->p) - 1 - strlen(end);
	log_line_str(l, "{\"time\":\"");
	log_line_str(l, when);
	log_line_str(l, "\",\"level\":\"");
	log_line_str(l, log_level_names[level]);
	log_line_str(l, "\",\"message\":\"");
	log_line_json(l, text);
	l->size += strlen(end);
	log_line_str(l, end);
}

void
log_line_make_text(struct log_line *l, enum log_level level, const char *when, bool journal,
    bool named, struct span text)
{
	char prefix[8];

	l->size = sizeof(l->p) - 1;
	if (when != NULL) {
		log_line_str(l, when);
		log_line_str(l, " ");
	}
	if (journal) {
		snprintf(prefix, sizeof(prefix), "<%d>", log_priorities[level]);
		log_line_str(l, prefix);
	}
	if (named) {
		log_line_str(l, log_level_names[level]);
		log_line_str(l, ": ");
	}
	log_line_text(l, text);
}

/* One byte in its escaped form; returns the form's length. */
static size_t
log_escape_byte(char out[4], unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= 0x20 && c <= 0x7e && c != '"' && c != '\\') {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

const char *
log_escape(char *out, size_t size, struct span in, size_t max_in)
{
	static const char mark[] = "...";
	size_t n = 0, cut = 0, len, i;
	char piece[4];

	for (i = 0; i < in.n && i < max_in; i++) {
		len = log_escape_byte(piece, (unsigned char)in.p[i]);
		if (n + len >= size)
			break;
		memcpy(out + n, piece, len);
		n += len;
		/* The last place from where the mark still fits. */
		if (n + sizeof(mark) <= size)
			cut = n;
	}
	if (i < in.n) {
		memcpy(out + cut, mark, sizeof(mark));
		return out;
	}
	out[n] = '\0';
	return out;
}
