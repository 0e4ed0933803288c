/*
 * Fuzzes the request side of src/codec/http1.c.  Input: 1 byte for the cuts,
 * then a head.  Oracles: the scan says the same in any cut; what it refuses
 * the parser refuses; and a head is good where, and only where, the naive
 * judge of oracle_http1.h says so, with the same parts.
 */
#include "oracle_http1.h"

/* The parts of a target by its form (RFC 9112 3.2); false when it has none. */
static bool
naive_target(struct span method, struct span target, struct http_head *h)
{
	static regex_t path, absolute;
	static bool is_compiled;
	regmatch_t m[8];
	struct span rest = target;

	if (!is_compiled) {
		ORACLE(regcomp(&path, "^" RE_PATH RE_QUERY "?$", REG_EXTENDED) == 0);
		ORACLE(regcomp(&absolute, "^(" RE_SCHEME ")://([^/?]*)(.*)$", REG_EXTENDED) == 0);
		is_compiled = true;
	}
	memset(h, 0, offsetof(struct http_head, field));
	if (span_eq(method, SPAN_LIT("CONNECT"))) {
		h->authority = target;
		return naive_authority(target) && strchr("0123456789", target.p[target.n - 1]) &&
		    memrchr(target.p, ':', target.n) != NULL;
	}
	if (span_eq(target, SPAN_LIT("*"))) {
		h->path = target;
		return span_eq(method, SPAN_LIT("OPTIONS"));
	}
	if (naive_regexec(&absolute, target, m)) {
		h->scheme = naive_group(target, &m[1]);
		h->authority = naive_group(target, &m[2]);
		rest = naive_group(target, &m[3]);
		if (!naive_authority(h->authority))
			return false;
		if (rest.n == 0) {
			h->path =
			    span_eq(method, SPAN_LIT("OPTIONS")) ? SPAN_LIT("*") : SPAN_LIT("/");
			return true;
		}
	}
	if (rest.p[0] == '?' && h->authority.n != 0) {
		char *with_slash = malloc(rest.n + 1);
		bool good;

		if (with_slash == NULL)
			abort();
		with_slash[0] = '/';
		memcpy(with_slash + 1, rest.p, rest.n);
		good = naive_regexec(&path, (struct span){ with_slash, rest.n + 1 }, m);
		free(with_slash);
		h->path = SPAN_LIT("/");
		h->query = (struct span){ rest.p + 1, rest.n - 1 };
		return good;
	}
	if (!naive_regexec(&path, rest, m))
		return false;
	h->path = naive_group(rest, &m[1]);
	if (m[3].rm_so >= 0)
		h->query =
		    (struct span){ rest.p + m[3].rm_so + 1, (size_t)(m[3].rm_eo - m[3].rm_so - 1) };
	return true;
}

/* The whole judgement; what it sees in *h. */
static bool
naive_request(const char *p, size_t n, struct naive_head *naive, struct http_head *h)
{
	regmatch_t m[8];
	struct span host, method, target;
	unsigned hosts;

	if (!naive_split(HTTP1_REQUEST, p, n, naive))
		return false;
	ORACLE(naive_matches(NAIVE_REQUEST, naive->start, m));
	method = naive_group(naive->start, &m[1]);
	target = naive_group(naive->start, &m[2]);
	if (!naive_target(method, target, h))
		return false;
	h->method = method;
	h->target = target;
	h->minor = naive->start.p[naive->start.n - 1] == '1';
	hosts = naive_field(naive, "host", &host);
	if (hosts > 1 || (hosts == 0 && h->minor == 1) || (hosts == 1 && !naive_authority(host)))
		return false;
	if (h->authority.n == 0 && hosts == 1)
		h->authority = host;
	return naive_framing(naive, h->minor, HTTP_BODY_NONE, &h->body, &h->content_length);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h, wanted;
	static struct naive_head naive;
	enum http1_status scanned, parsed;
	size_t n, head_n = 0;
	char *p;
	bool good;

	if (size < 1)
		return 0;
	n = size - 1;
	p = oracle_copy(data + 1, n);
	scanned = oracle_http1_scan(HTTP1_REQUEST, p, n, data[0], &head_n);
	good = naive_request(p, n, &naive, &wanted);
	if (scanned == HTTP1_OK && head_n < n) { /* the parser reads nothing behind the head */
		char *head = oracle_copy(p, head_n);

		free(p);
		p = head;
		n = head_n;
		good = naive_request(p, n, &naive, &wanted);
	}
	parsed = http1_parse_request(p, n, &h);
	ORACLE(parsed != HTTP1_MORE && (scanned == HTTP1_OK || parsed != HTTP1_OK));
	ORACLE(!good || naive.head_n == head_n);
	ORACLE((parsed == HTTP1_OK) == good);
	if (good) {
		naive_check_fields(&naive, &h);
		ORACLE(span_eq(h.method, wanted.method) && span_eq(h.target, wanted.target));
		ORACLE(span_eq(h.scheme, wanted.scheme) && span_eq(h.authority, wanted.authority));
		ORACLE(span_eq(h.path, wanted.path) && span_eq(h.query, wanted.query));
		ORACLE((h.query.p != NULL) == (wanted.query.p != NULL));
		ORACLE(h.minor == wanted.minor && h.body == wanted.body);
		ORACLE(h.content_length == wanted.content_length);
		ORACLE(h.keep_alive ==
		    (!http_head_list_has(&h, "connection", "close") &&
			(h.minor == 1 || http_head_list_has(&h, "connection", "keep-alive"))));
	}
	free(p);
	return 0;
}
