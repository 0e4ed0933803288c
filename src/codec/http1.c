/*
 * HTTP/1.1 message heads (RFC 9112): finding the end of one as bytes arrive,
 * and taking it apart.  Pure; any thread; http/ calls it with the bytes of a
 * connection.  What can be asked of a parsed head is in http_head.c.
 *
 * Where the RFC lets a recipient be lenient, this one is not: each leniency is
 * a way for two hops to see different messages in the same bytes.  The parser
 * does not rely on the scan: it is safe on any bytes, and refuses what the
 * scan refuses.
 */
#include "codec/http1.h"

#include <string.h>

#include "codec/http_chars.h"

enum scan_state {
	SCAN_BEGIN, /* request: a leading CRLF may come */
	SCAN_BEGIN_LF,
	SCAN_START, /* first byte of the start line */
	SCAN_METHOD,
	SCAN_TARGET,
	SCAN_VERSION, /* behind the target */
	SCAN_STATUS,  /* a status line */
	SCAN_LINE_LF, /* behind the CR of the start line or of a field line */
	SCAN_FIELD,   /* first byte of a field line or of the empty line */
	SCAN_NAME,
	SCAN_VALUE,
	SCAN_END_LF,
	SCAN_DONE,
};

void
http1_scan_init(struct http1_scan *s, enum http1_kind kind)
{
	memset(s, 0, sizeof(*s));
	s->kind = (uint8_t)kind;
	s->state = kind == HTTP1_REQUEST ? SCAN_BEGIN : SCAN_START;
}

/* A byte of a part of the start line: bytes of the class, until `end` leads to the next state. */
static enum http1_status
scan_start_line(
    struct http1_scan *s, unsigned char b, unsigned class, unsigned char end, enum scan_state next)
{
	if (s->pos - s->line_start >= HTTP1_MAX_LINE && b != '\r')
		return s->state == SCAN_TARGET || s->state == SCAN_VERSION ? HTTP1_TARGET_TOO_LONG
									   : HTTP1_TOO_LARGE;
	if (b == end)
		s->state = (uint8_t)next;
	else if ((http_chars[b] & class) == 0)
		return HTTP1_BAD;
	return HTTP1_MORE;
}

/* The first byte of a line behind the start line. */
static enum http1_status
scan_field(struct http1_scan *s, unsigned char b)
{
	if (b == '\r') {
		s->state = SCAN_END_LF;
		return HTTP1_MORE;
	}
	if ((http_chars[b] & HTTP_C_TOKEN) == 0) /* white space too: obs-fold (RFC 9112 5.2) */
		return HTTP1_BAD;
	if (s->fields == HTTP1_MAX_FIELDS)
		return HTTP1_TOO_LARGE;
	s->fields++;
	s->state = SCAN_NAME;
	return HTTP1_MORE;
}

/* One byte: HTTP1_OK at the last one, HTTP1_MORE, or what is wrong with it. */
static enum http1_status
scan_byte(struct http1_scan *s, unsigned char b)
{
	switch ((enum scan_state)s->state) {
	case SCAN_BEGIN:
		if (b == '\r') { /* one empty line is passed over (RFC 9112 2.2) */
			s->state = SCAN_BEGIN_LF;
			return HTTP1_MORE;
		}
		__attribute__((fallthrough));
	case SCAN_START:
		s->line_start = s->pos;
		s->state = s->kind == HTTP1_REQUEST ? SCAN_METHOD : SCAN_STATUS;
		if (s->kind == HTTP1_REQUEST ? (http_chars[b] & HTTP_C_TOKEN) == 0 : b != 'H')
			return HTTP1_BAD;
		return HTTP1_MORE;
	case SCAN_METHOD:
		return scan_start_line(s, b, HTTP_C_TOKEN, ' ', SCAN_TARGET);
	case SCAN_TARGET:
		return scan_start_line(s, b, HTTP_C_GRAPH, ' ', SCAN_VERSION);
	case SCAN_VERSION:
		return scan_start_line(s, b, HTTP_C_GRAPH, '\r', SCAN_LINE_LF);
	case SCAN_STATUS:
		return scan_start_line(s, b, HTTP_C_VALUE, '\r', SCAN_LINE_LF);
	case SCAN_FIELD:
		return scan_field(s, b);
	case SCAN_NAME:
		if (b == ':')
			s->state = SCAN_VALUE;
		else if ((http_chars[b] & HTTP_C_TOKEN) == 0) /* SP before ':' (RFC 9112 5.1) */
			return HTTP1_BAD;
		return HTTP1_MORE;
	case SCAN_VALUE:
		if (b == '\r')
			s->state = SCAN_LINE_LF;
		else if ((http_chars[b] & HTTP_C_VALUE) == 0) /* NUL, LF, ... (RFC 9110 5.5) */
			return HTTP1_BAD;
		return HTTP1_MORE;
	case SCAN_BEGIN_LF:
	case SCAN_LINE_LF:
	case SCAN_END_LF:
		if (b != '\n') /* a bare CR (RFC 9112 2.2) */
			return HTTP1_BAD;
		if (s->state == SCAN_END_LF) {
			s->state = SCAN_DONE;
			return HTTP1_OK;
		}
		s->state = s->state == SCAN_BEGIN_LF ? SCAN_START : SCAN_FIELD;
		s->line_start = s->pos + 1;
		return HTTP1_MORE;
	case SCAN_DONE:
		break;
	}
	return HTTP1_OK;
}

/* The end of a run of bytes that leave the state as it is: most of a head. */
static uint32_t
scan_run(const struct http1_scan *s, const char *p, size_t end)
{
	static const uint8_t classes[] = {
		[SCAN_METHOD] = HTTP_C_TOKEN,
		[SCAN_TARGET] = HTTP_C_GRAPH,
		[SCAN_VERSION] = HTTP_C_GRAPH,
		[SCAN_STATUS] = HTTP_C_VALUE,
		[SCAN_NAME] = HTTP_C_TOKEN,
		[SCAN_VALUE] = HTTP_C_VALUE,
		[SCAN_DONE] = 0,
	};
	size_t pos = s->pos;
	unsigned class = classes[s->state];

	if (s->state < SCAN_LINE_LF && end > (size_t)s->line_start + HTTP1_MAX_LINE)
		end = (size_t)s->line_start + HTTP1_MAX_LINE;
	if (class == HTTP_C_VALUE && pos < end)
		return (uint32_t)(pos + http_value_run(p + pos, end - pos));
	while (pos < end && http_char_is(p[pos], class))
		pos++;
	return (uint32_t)pos;
}

enum http1_status
http1_scan(struct http1_scan *s, const char *p, size_t n, size_t *head_n)
{
	size_t end = n < HTTP1_MAX_HEAD ? n : HTTP1_MAX_HEAD;

	if (s->state == SCAN_DONE) {
		*head_n = s->pos;
		return HTTP1_OK;
	}
	while (s->pos < end) {
		enum http1_status status = scan_byte(s, (unsigned char)p[s->pos]);

		if (status != HTTP1_OK && status != HTTP1_MORE)
			return status; /* pos stays: asked again, it says the same */
		s->pos++;
		if (status == HTTP1_OK) {
			*head_n = s->pos;
			return HTTP1_OK;
		}
		s->pos = scan_run(s, p, end);
	}
	return s->pos >= HTTP1_MAX_HEAD ? HTTP1_TOO_LARGE : HTTP1_MORE;
}

/* Take a line off *rest, without its CRLF; false when there is no whole one. */
static bool
parse_line(struct span *rest, struct span *line)
{
	const char *lf = rest->n != 0 ? memchr(rest->p, '\n', rest->n) : NULL;

	if (lf == NULL || lf == rest->p || lf[-1] != '\r') /* a bare LF (RFC 9112 2.2) */
		return false;
	*line = (struct span){ rest->p, (size_t)(lf - 1 - rest->p) };
	rest->n -= line->n + 2;
	rest->p = lf + 1;
	return true;
}

static enum http1_status
parse_fields(struct span rest, struct http_head *out)
{
	struct span line;

	while (parse_line(&rest, &line)) {
		struct http_field *f = &out->field[out->n_fields];
		const char *colon;

		if (line.n == 0)
			return rest.n == 0 ? HTTP1_OK : HTTP1_BAD;
		if (out->n_fields == HTTP1_MAX_FIELDS)
			return HTTP1_TOO_LARGE;
		if ((colon = memchr(line.p, ':', line.n)) == NULL)
			return HTTP1_BAD;
		f->name = (struct span){ line.p, (size_t)(colon - line.p) };
		f->value = span_trim((struct span){ colon + 1, line.n - f->name.n - 1 });
		/* No space before the colon, no obs-fold (RFC 9112 5.1, 5.2); RFC 9110 5.5. */
		if (!http_is_token(f->name) || !http_is_field_value(f->value))
			return HTTP1_BAD;
		out->n_fields++;
	}
	return HTTP1_BAD;
}

/* "HTTP/1.x" (RFC 9112 2.3), in capitals only. */
static enum http1_status
parse_version(struct span v, unsigned *minor)
{
	if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[5] < '0' || v.p[5] > '9' ||
	    v.p[6] != '.' || v.p[7] < '0' || v.p[7] > '9')
		return HTTP1_BAD;
	if (v.p[5] != '1' || v.p[7] > '1')
		return HTTP1_BAD_VERSION;
	*minor = (unsigned)(v.p[7] - '0');
	return HTTP1_OK;
}

/* Path and query of what stands behind an authority, which may be nothing. */
static enum http1_status
parse_path(struct span t, struct http_head *out)
{
	size_t i;

	for (i = 0; i < t.n && t.p[i] != '?'; i++) {
		if (!http_char_is(t.p[i], HTTP_C_PATH))
			return HTTP1_BAD;
		if (t.p[i] == '%' &&
		    (t.n - i < 3 || !http_char_is(t.p[i + 1], HTTP_C_HEX) ||
			!http_char_is(t.p[i + 2], HTTP_C_HEX)))
			return HTTP1_BAD; /* RFC 3986 2.1 */
	}
	out->path = (struct span){ t.p, i };
	if (i == t.n)
		return HTTP1_OK;
	out->query = (struct span){ t.p + i + 1, t.n - i - 1 };
	for (i = 0; i < out->query.n; i++)
		if (!http_char_is(out->query.p[i], HTTP_C_QUERY))
			return HTTP1_BAD;
	return HTTP1_OK;
}

int
http_parse_path(struct span t, struct http_head *out)
{
	return t.n > 0 && t.p[0] == '/' && parse_path(t, out) == HTTP1_OK ? 0 : -1;
}

/* absolute-form (RFC 9112 3.2.2); its authority wins over Host. */
static enum http1_status
parse_absolute(struct span t, struct http_head *out)
{
	size_t scheme_n = t.n > 4 && span_lower(t.p[4]) == 's' ? 5 : 4;
	size_t i;

	if (t.n < scheme_n + 3 || memcmp(t.p + scheme_n, "://", 3) != 0)
		return HTTP1_BAD;
	out->scheme = (struct span){ t.p, scheme_n };
	if (!span_eq_nocase(out->scheme, scheme_n == 5 ? SPAN_LIT("https") : SPAN_LIT("http")))
		return HTTP1_BAD;
	t.p += scheme_n + 3;
	t.n -= scheme_n + 3;
	for (i = 0; i < t.n && t.p[i] != '/' && t.p[i] != '?'; i++)
		;
	out->authority = (struct span){ t.p, i };
	if (!http_is_authority(out->authority)) /* no userinfo either (RFC 9110 4.2.4) */
		return HTTP1_BAD;
	t.p += i;
	t.n -= i;
	if (t.n == 0 && span_eq(out->method, SPAN_LIT("OPTIONS"))) {
		out->path = SPAN_LIT("*"); /* RFC 9112 3.2.4 */
		return HTTP1_OK;
	}
	if (parse_path(t, out) != HTTP1_OK)
		return HTTP1_BAD;
	if (out->path.n == 0) /* RFC 9110 4.2.3 */
		out->path = SPAN_LIT("/");
	return HTTP1_OK;
}

/* authority-form (RFC 9112 3.2.3): the port must be there. */
static enum http1_status
parse_connect(struct span t, struct http_head *out)
{
	char last = t.p[t.n - 1];

	/* An authority without port ends in ']', or has no colon at all. */
	if (!http_is_authority(t) || last == ']' || last == ':' || memchr(t.p, ':', t.n) == NULL)
		return HTTP1_BAD;
	out->authority = t;
	return HTTP1_OK;
}

static enum http1_status
parse_request_line(struct span line, struct http_head *out)
{
	const char *sp;
	enum http1_status status;

	if (line.n > HTTP1_MAX_LINE)
		return HTTP1_TARGET_TOO_LONG;
	/* Single SPs and nothing else (RFC 9112 3); a target has none inside. */
	if ((sp = memchr(line.p, ' ', line.n)) == NULL)
		return HTTP1_BAD;
	out->method = (struct span){ line.p, (size_t)(sp - line.p) };
	if (!http_is_token(out->method))
		return HTTP1_BAD;
	out->target.p = sp + 1;
	line.n -= out->method.n + 1;
	if ((sp = memchr(out->target.p, ' ', line.n)) == NULL || sp == out->target.p)
		return HTTP1_BAD;
	out->target.n = (size_t)(sp - out->target.p);
	status = parse_version((struct span){ sp + 1, line.n - out->target.n - 1 }, &out->minor);
	if (status != HTTP1_OK)
		return status;

	if (span_eq(out->method, SPAN_LIT("CONNECT")))
		return parse_connect(out->target, out);
	if (out->target.p[0] == '/')
		return parse_path(out->target, out);
	if (span_eq(out->target, SPAN_LIT("*"))) { /* RFC 9112 3.2.4 */
		out->path = out->target;
		return span_eq(out->method, SPAN_LIT("OPTIONS")) ? HTTP1_OK : HTTP1_BAD;
	}
	return parse_absolute(out->target, out);
}

/* The fields that say how the message goes on. */
struct parse_known {
	const struct http_field *host, *length, *coding;
	unsigned hosts, lengths, codings;
	bool close, keep_alive, names, expect;
};

static void
parse_connection(struct span list, struct parse_known *k)
{
	struct span option;

	while (span_next_item(&list, &option))
		if (span_eq_nocase(option, SPAN_LIT("close")))
			k->close = true;
		else if (span_eq_nocase(option, SPAN_LIT("keep-alive")))
			k->keep_alive = true;
		else
			k->names = true;
}

static void
parse_known_fields(const struct http_head *h, struct parse_known *k)
{
	memset(k, 0, sizeof(*k));
	for (size_t i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->field[i];

		if (span_eq_nocase(f->name, SPAN_LIT("Host"))) {
			k->host = f;
			k->hosts++;
		} else if (span_eq_nocase(f->name, SPAN_LIT("Content-Length"))) {
			k->length = f;
			k->lengths++;
		} else if (span_eq_nocase(f->name, SPAN_LIT("Transfer-Encoding"))) {
			k->coding = f;
			k->codings++;
		} else if (span_eq_nocase(f->name, SPAN_LIT("Connection"))) {
			parse_connection(f->value, k);
		} else if (span_eq_nocase(f->name, SPAN_LIT("Expect"))) {
			k->expect |= span_list_has(f->value, SPAN_LIT("100-continue"));
		}
	}
}

/*
 * Only "chunked" alone is understood.  Whatever else: 501 for codings that
 * could be applied, 400 for what no sender may make (RFC 9112 6.1, 6.3).
 */
static enum http1_status
parse_coding(const struct http_head *h)
{
	struct span list, item = SPAN_NONE;
	unsigned chunked = 0, others = 0;
	bool last_is_chunked = false;

	for (size_t i = 0; i < h->n_fields; i++) {
		if (!span_eq_nocase(h->field[i].name, SPAN_LIT("Transfer-Encoding")))
			continue;
		list = h->field[i].value;
		while (span_next_item(&list, &item)) {
			if (!http_is_token(item)) /* parameters, quotes */
				return HTTP1_BAD;
			last_is_chunked = span_eq_nocase(item, SPAN_LIT("chunked"));
			if (last_is_chunked)
				chunked++;
			else
				others++;
		}
	}
	if (chunked > 1 || (chunked == 1 && !last_is_chunked))
		return HTTP1_BAD;
	return others > 0 ? HTTP1_BAD_CODING : HTTP1_BAD;
}

/* 1*DIGIT and nothing else (RFC 9110 8.6), below 2^63 so that sums can be made of it. */
bool
http_parse_length(struct span s, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || *out > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		*out = *out * 10 + digit;
	}
	return s.n > 0;
}

/* Set body by the fields; without any it is `none`. */
static enum http1_status
parse_framing(struct http_head *h, const struct parse_known *k, enum http_body none)
{
	h->body = none;
	if (k->codings != 0) {
		if (k->lengths != 0 || h->minor == 0) /* request smuggling (RFC 9112 6.1) */
			return HTTP1_BAD;
		if (k->codings > 1 || !span_eq_nocase(k->coding->value, SPAN_LIT("chunked")))
			return parse_coding(h);
		h->body = HTTP_BODY_CHUNKED;
		return HTTP1_OK;
	}
	if (k->lengths > 1) /* RFC 9110 8.6: "or reject", even when they agree */
		return HTTP1_BAD;
	if (k->lengths == 1) {
		if (!http_parse_length(k->length->value, &h->content_length))
			return HTTP1_BAD;
		h->body = HTTP_BODY_LENGTH;
	}
	return HTTP1_OK;
}

/* Exactly one Host, and a good one; HTTP/1.0 may leave it out (RFC 9112 3.2). */
static enum http1_status
parse_host(struct http_head *h, const struct parse_known *k)
{
	if (k->hosts == 0)
		return h->minor == 0 ? HTTP1_OK : HTTP1_BAD;
	if (k->hosts > 1 || !http_is_authority(k->host->value))
		return HTTP1_BAD;
	if (h->authority.n == 0)
		h->authority = k->host->value;
	return HTTP1_OK;
}

enum http1_status
http1_parse_request(const char *p, size_t n, struct http_head *out)
{
	struct span rest = { p, n }, line;
	struct parse_known known;
	enum http1_status status;

	memset(out, 0, offsetof(struct http_head, field));
	if (n > HTTP1_MAX_HEAD)
		return HTTP1_TOO_LARGE;
	if (n >= 2 && p[0] == '\r' && p[1] == '\n') { /* RFC 9112 2.2 */
		rest.p += 2;
		rest.n -= 2;
	}
	if (!parse_line(&rest, &line))
		return HTTP1_BAD;
	if ((status = parse_request_line(line, out)) != HTTP1_OK ||
	    (status = parse_fields(rest, out)) != HTTP1_OK)
		return status;
	parse_known_fields(out, &known);
	if ((status = parse_host(out, &known)) != HTTP1_OK ||
	    (status = parse_framing(out, &known, HTTP_BODY_NONE)) != HTTP1_OK)
		return status;
	out->connection_names = known.names;
	out->keep_alive = !known.close && (out->minor == 1 || known.keep_alive); /* RFC 9112 9.3 */
	out->expect_continue = known.expect && out->minor == 1; /* RFC 9110 10.1.1 */
	return HTTP1_OK;
}

/* RFC 9112 4; a missing SP before an empty reason is common and harmless. */
static enum http1_status
parse_status_line(struct span line, struct http_head *out)
{
	enum http1_status status;
	const char *d;

	if (line.n < 12 || line.n > HTTP1_MAX_LINE)
		return line.n < 12 ? HTTP1_BAD : HTTP1_TOO_LARGE;
	status = parse_version((struct span){ line.p, 8 }, &out->minor);
	if (status != HTTP1_OK)
		return status;
	d = line.p + 9;
	if (line.p[8] != ' ' || d[0] < '1' || d[0] > '5' || d[1] < '0' || d[1] > '9' ||
	    d[2] < '0' || d[2] > '9') /* RFC 9110 15: 100 to 599 */
		return HTTP1_BAD;
	out->status =
	    (unsigned)(d[0] - '0') * 100 + (unsigned)(d[1] - '0') * 10 + (unsigned)(d[2] - '0');
	if (line.n == 12)
		return HTTP1_OK;
	if (line.p[12] != ' ')
		return HTTP1_BAD;
	out->reason = (struct span){ line.p + 13, line.n - 13 };
	return http_is_field_value(out->reason) ? HTTP1_OK : HTTP1_BAD;
}

enum http1_status
http1_parse_response(const char *p, size_t n, struct http_head *out)
{
	struct span rest = { p, n }, line;
	struct parse_known known;
	enum http1_status status;

	memset(out, 0, offsetof(struct http_head, field));
	if (n > HTTP1_MAX_HEAD)
		return HTTP1_TOO_LARGE;
	if (!parse_line(&rest, &line))
		return HTTP1_BAD;
	if ((status = parse_status_line(line, out)) != HTTP1_OK ||
	    (status = parse_fields(rest, out)) != HTTP1_OK)
		return status;
	parse_known_fields(out, &known);
	if ((status = parse_framing(out, &known, HTTP_BODY_EOF)) != HTTP1_OK)
		return status;
	out->connection_names = known.names;
	out->keep_alive = !known.close && (out->minor == 1 || known.keep_alive); /* RFC 9112 9.3 */
	return HTTP1_OK;
}
