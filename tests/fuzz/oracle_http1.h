/*
 * What the two fuzz targets of src/codec/http1.c share: the scan in all cuts,
 * and a naive judge of heads.  The judge has the whole head before it, takes
 * it apart with memmem and judges each line by the regular expressions of the
 * grammars, so that it has nothing in common with the code but the rules.
 */
#ifndef TESTS_FUZZ_ORACLE_HTTP1_H
#define TESTS_FUZZ_ORACLE_HTTP1_H

#include <arpa/inet.h>
#include <regex.h>
#include <strings.h>

#include "codec/http1.h"
#include "oracle.h"

#define RE_TOKEN "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define RE_PATH "(/([][|^A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)"
#define RE_QUERY "(\\?[][|^A-Za-z0-9._~!$&'()*+,;=:@/?{}`\\%-]*)"
#define RE_HOST "(([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+|\\[[0-9A-Fa-f:.]+])"
#define RE_SCHEME "[hH][tT][tT][pP][sS]?"
#define RE_TEXT "[^\x01-\x08\x0a-\x1f\x7f]*"

enum naive_re { NAIVE_REQUEST, NAIVE_STATUS, NAIVE_FIELD, NAIVE_AUTHORITY, NAIVE_RES };

/* Whether s matches; at most 8 groups into m. */
static inline bool
naive_regexec(const regex_t *re, struct span s, regmatch_t m[8])
{
	char *text;
	bool matches;

	if (memchr(s.p, '\0', s.n) != NULL)
		return false;
	/* A copy with a NUL: the sanitizers know of no REG_STARTEND. */
	if ((text = malloc(s.n + 1)) == NULL)
		abort();
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	matches = regexec(re, text, 8, m, 0) == 0;
	free(text);
	return matches;
}

/* Whether s matches one of the expressions; m may be NULL. */
static inline bool
naive_matches(enum naive_re which, struct span s, regmatch_t m[8])
{
	static const char *const sources[NAIVE_RES] = {
		[NAIVE_REQUEST] = "^(" RE_TOKEN ") ([!-~]+) HTTP/1\\.[01]$",
		[NAIVE_STATUS] = "^HTTP/1\\.[01] [1-5][0-9][0-9]( " RE_TEXT ")?$",
		[NAIVE_FIELD] = "^(" RE_TOKEN "):[ \t]*(" RE_TEXT ")$",
		[NAIVE_AUTHORITY] = "^" RE_HOST "(:[0-9]{0,5})?$",
	};
	static regex_t compiled[NAIVE_RES];
	static bool is_compiled[NAIVE_RES];
	regmatch_t all[8];

	if (!is_compiled[which])
		ORACLE(regcomp(&compiled[which], sources[which], REG_EXTENDED) == 0);
	is_compiled[which] = true;
	return s.n != 0 && naive_regexec(&compiled[which], s, m != NULL ? m : all);
}

static inline struct span
naive_group(struct span s, const regmatch_t *m)
{
	if (m->rm_so < 0)
		return SPAN_NONE;
	return (struct span){ s.p + m->rm_so, (size_t)(m->rm_eo - m->rm_so) };
}

/* host[:port] */
static inline bool
naive_authority(struct span s)
{
	regmatch_t m[8];
	struct span port;
	char text[64];
	struct in6_addr addr;

	if (!naive_matches(NAIVE_AUTHORITY, s, m))
		return false;
	port = naive_group(s, &m[3]);
	if (port.n > 1) {
		snprintf(text, sizeof(text), "%.*s", (int)port.n - 1, port.p + 1);
		if (atoi(text) > 65535)
			return false;
	}
	if (s.p[0] != '[')
		return true;
	if (m[1].rm_eo - 2 >= (regoff_t)sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)m[1].rm_eo - 2, s.p + 1);
	return inet_pton(AF_INET6, text, &addr) == 1;
}

struct naive_head {
	struct span start; /* the first line */
	struct span name[HTTP1_MAX_FIELDS];
	struct span value[HTTP1_MAX_FIELDS];
	size_t n_fields;
	size_t head_n;
};

/* Take the head at p[0..n) apart; false when there is none or a line is bad. */
static inline bool
naive_split(enum http1_kind kind, const char *p, size_t n, struct naive_head *h)
{
	size_t at = kind == HTTP1_REQUEST && n >= 2 && memcmp(p, "\r\n", 2) == 0 ? 2 : 0;
	bool first = true;

	memset(h, 0, sizeof(*h));
	for (;;) {
		const char *crlf = memmem(p + at, n - at, "\r\n", 2);
		struct span line;
		regmatch_t m[8];

		if (crlf == NULL)
			return false;
		line = (struct span){ p + at, (size_t)(crlf - p) - at };
		at += line.n + 2;
		if (first) {
			h->start = line;
			if (line.n > HTTP1_MAX_LINE ||
			    !naive_matches(
				kind == HTTP1_REQUEST ? NAIVE_REQUEST : NAIVE_STATUS, line, NULL))
				return false;
			first = false;
			continue;
		}
		if (line.n == 0)
			break;
		if (h->n_fields == HTTP1_MAX_FIELDS || !naive_matches(NAIVE_FIELD, line, m))
			return false;
		h->name[h->n_fields] = naive_group(line, &m[1]);
		h->value[h->n_fields] = naive_group(line, &m[2]);
		h->n_fields++;
	}
	h->head_n = at;
	return at <= HTTP1_MAX_HEAD;
}

/* The value of the only field of that name; how many there are. */
static inline unsigned
naive_field(const struct naive_head *h, const char *name, struct span *value)
{
	unsigned count = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		if (h->name[i].n == strlen(name) &&
		    strncasecmp(h->name[i].p, name, h->name[i].n) == 0) {
			*value = h->value[i];
			count++;
		}
	while (count != 0 && value->n != 0 && strchr(" \t", value->p[value->n - 1]) != NULL)
		value->n--;
	return count;
}

/* Whether the fields frame the body without doubt; how. */
static inline bool
naive_framing(const struct naive_head *h, unsigned minor, enum http_body none, enum http_body *body,
    uint64_t *length)
{
	struct span value;
	unsigned codings = naive_field(h, "transfer-encoding", &value), lengths;
	char text[32], *end;

	*length = 0;
	if (codings != 0) {
		*body = HTTP_BODY_CHUNKED;
		return codings == 1 && value.n == 7 && strncasecmp(value.p, "chunked", 7) == 0 &&
		    minor == 1 && naive_field(h, "content-length", &value) == 0;
	}
	lengths = naive_field(h, "content-length", &value);
	*body = lengths == 0 ? none : HTTP_BODY_LENGTH;
	if (lengths != 1)
		return lengths == 0;
	while (value.n > 1 && value.p[0] == '0')
		value.p++, value.n--;
	if (value.n == 0 || value.n > 19 || value.p[0] < '0' || value.p[0] > '9')
		return false;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	*length = strtoull(text, &end, 10);
	return *end == '\0' && *length <= INT64_MAX;
}

/* The fields came out as the naive way sees them. */
static inline void
naive_check_fields(const struct naive_head *naive, const struct http_head *h)
{
	ORACLE(h->n_fields == naive->n_fields);
	for (size_t i = 0; i < h->n_fields; i++) {
		struct span value = naive->value[i];

		while (value.n != 0 && strchr(" \t", value.p[value.n - 1]) != NULL)
			value.n--;
		ORACLE(span_eq(h->field[i].name, naive->name[i]));
		ORACLE(span_eq(h->field[i].value, value));
	}
}

/* Scan in one piece, in the seed's and byte by byte: the same, in moving memory. */
static inline enum http1_status
oracle_http1_scan(enum http1_kind kind, const char *p, size_t n, uint32_t seed, size_t *head_n)
{
	struct http1_scan s;
	enum http1_status wanted;

	http1_scan_init(&s, kind);
	wanted = http1_scan(&s, p, n, head_n);
	for (int i = 0; i < 2; i++) {
		uint32_t piece_seed = i == 0 ? seed : 0;
		enum http1_status status = HTTP1_MORE;
		size_t at = 0, got = 0;

		http1_scan_init(&s, kind);
		while (status == HTTP1_MORE && at < n) {
			char *copy;

			/* Bytewise over long heads would copy too much: 64 at once behind 2000. */
			at += at > 2000 && n - at > 64 ? 64 : oracle_piece(&piece_seed, n - at);
			copy = oracle_copy(p, at);
			status = http1_scan(&s, copy, at, &got);
			free(copy);
		}
		ORACLE(status == wanted);
		ORACLE(status != HTTP1_OK || got == *head_n);
	}
	return wanted;
}

#endif
