/* Heads of HTTP/2 requests.  See h2_head.h. */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/h2_head.h"

enum h2_pseudo { H2_METHOD, H2_SCHEME, H2_AUTHORITY, H2_PATH, H2_PROTOCOL, H2_PSEUDOS };

static const struct span h2_pseudo_names[H2_PSEUDOS] = {
	[H2_METHOD] = SPAN_LIT(":method"),
	[H2_SCHEME] = SPAN_LIT(":scheme"),
	[H2_AUTHORITY] = SPAN_LIT(":authority"),
	[H2_PATH] = SPAN_LIT(":path"),
	[H2_PROTOCOL] = SPAN_LIT(":protocol"),
};

/* Where a field stands in data: the value behind the name. */
struct h2_field {
	uint32_t off;
	uint16_t name_n, value_n;
};

struct h2_head {
	struct buf data;
	struct buf cookie;		    /* all of them, joined (RFC 9113 8.2.3) */
	struct h2_field pseudo[H2_PSEUDOS]; /* without names */
	bool has[H2_PSEUDOS];
	const char *bad; /* static: the first error */
	uint32_t list_bytes;
	uint16_t n; /* fields without the pseudo-header fields */
	bool too_large;
	bool has_cookie; /* one may be empty */
	struct h2_field field[HTTP1_MAX_FIELDS];
};

/* Lengths are kept in 16 bits. */
_Static_assert(H2_HEAD_LIST_MAX <= UINT16_MAX, "h2_field is too small");

struct h2_head *
h2_head_new(void)
{
	struct h2_head *hd = mem_zalloc(sizeof(*hd));

	if (hd == NULL)
		return NULL;
	buf_init(&hd->data, H2_HEAD_LIST_MAX);
	buf_init(&hd->cookie, H2_HEAD_LIST_MAX);
	return hd;
}

void
h2_head_free(struct h2_head *hd)
{
	if (hd == NULL)
		return;
	buf_clear(&hd->data);
	buf_clear(&hd->cookie);
	mem_free(hd);
}

static void
head_bad(struct h2_head *hd, const char *why)
{
	if (hd->bad == NULL)
		hd->bad = why;
}

static enum h2_head_add
head_add_pseudo(struct h2_head *hd, struct span name, struct span value)
{
	for (int i = 0; i < H2_PSEUDOS; i++) {
		if (!span_eq(name, h2_pseudo_names[i]))
			continue;
		if (hd->has[i] || hd->n > 0 || hd->has_cookie) {
			head_bad(hd,
			    hd->has[i]
				? "a pseudo-header field comes twice"
				: "a pseudo-header field comes behind a field"); /* RFC 9113 8.3 */
			return H2_HEAD_ADDED;
		}
		hd->has[i] = true;
		hd->pseudo[i].off = (uint32_t)hd->data.n;
		hd->pseudo[i].value_n = (uint16_t)value.n;
		return buf_append_span(&hd->data, value) == 0 ? H2_HEAD_ADDED : H2_HEAD_NO_MEMORY;
	}
	head_bad(hd, "a pseudo-header field is not known"); /* 8.3 */
	return H2_HEAD_ADDED;
}

/* Connection-specific fields make a message malformed (RFC 9113 8.2.2). */
static bool
head_is_connection_specific(struct span name, struct span value)
{
	static const struct span names[] = { SPAN_LIT("connection"), SPAN_LIT("keep-alive"),
		SPAN_LIT("proxy-connection"), SPAN_LIT("transfer-encoding"), SPAN_LIT("upgrade") };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq(name, names[i]))
			return true;
	return span_eq(name, SPAN_LIT("te")) && !span_eq_nocase(value, SPAN_LIT("trailers"));
}

static bool
head_has_upper_case(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] >= 'A' && name.p[i] <= 'Z')
			return true;
	return false;
}

static enum h2_head_add
head_add_field(struct h2_head *hd, struct span name, struct span value)
{
	if (!http_is_token(name) || head_has_upper_case(name)) {
		head_bad(hd, "a field name has characters that it may not have"); /* 8.2.1 */
		return H2_HEAD_ADDED;
	}
	if (!http_is_field_value(value) || span_trim(value).n != value.n) {
		head_bad(hd, "a field value has characters that it may not have"); /* 8.2.1 */
		return H2_HEAD_ADDED;
	}
	if (head_is_connection_specific(name, value)) {
		head_bad(hd, "a field belongs to HTTP/1.1 connections"); /* 8.2.2 */
		return H2_HEAD_ADDED;
	}
	if (span_eq(name, SPAN_LIT("cookie"))) {
		if ((hd->cookie.n > 0 && buf_append(&hd->cookie, "; ", 2) == -1) ||
		    buf_append_span(&hd->cookie, value) == -1)
			return H2_HEAD_NO_MEMORY;
		hd->has_cookie = true;
		return H2_HEAD_ADDED;
	}
	/* One is left for the cookie. */
	if (hd->n == HTTP1_MAX_FIELDS - 1) {
		hd->too_large = true;
		return H2_HEAD_ADDED;
	}
	hd->field[hd->n].off = (uint32_t)hd->data.n;
	if (buf_append_span(&hd->data, name) == -1 || buf_append_span(&hd->data, value) == -1)
		return H2_HEAD_NO_MEMORY;
	hd->field[hd->n].name_n = (uint16_t)name.n;
	hd->field[hd->n++].value_n = (uint16_t)value.n;
	return H2_HEAD_ADDED;
}

enum h2_head_add
h2_head_add(struct h2_head *hd, struct span name, struct span value)
{
	if (name.n + value.n + 32 > H2_HEAD_LIST_BOMB - hd->list_bytes)
		return H2_HEAD_IS_BOMB;
	hd->list_bytes += (uint32_t)(name.n + value.n + 32);
	if (hd->list_bytes > H2_HEAD_LIST_MAX)
		hd->too_large = true;
	if (hd->too_large)
		return H2_HEAD_ADDED;
	if (name.n > 0 && name.p[0] == ':')
		return head_add_pseudo(hd, name, value);
	return head_add_field(hd, name, value);
}

/* Offsets become spans. */
static void
head_place(const struct h2_head *hd, struct http_head *out, struct span pseudo[H2_PSEUDOS])
{
	const struct h2_field *f;

	for (int i = 0; i < H2_PSEUDOS; i++)
		pseudo[i] = !hd->has[i]
		    ? SPAN_NONE
		    : (struct span){ hd->data.p + hd->pseudo[i].off, hd->pseudo[i].value_n };
	for (size_t i = 0; i < hd->n; i++) {
		f = &hd->field[i];
		out->field[i].name = (struct span){ hd->data.p + f->off, f->name_n };
		out->field[i].value = (struct span){ hd->data.p + f->off + f->name_n, f->value_n };
	}
	out->n_fields = hd->n;
	if (hd->has_cookie) {
		out->field[out->n_fields].name = SPAN_LIT("cookie");
		out->field[out->n_fields++].value = buf_span(&hd->cookie);
	}
}

/* :authority, or else Host; both must say the same (RFC 9113 8.3.1). */
static const char *
head_set_authority(struct http_head *h, struct span authority, bool has_authority)
{
	const struct http_field *host = http_head_find(h, "host");

	if (http_head_count(h, "host") > 1)
		return "Host comes twice";
	if (has_authority && host != NULL && !span_eq_nocase(authority, host->value))
		return "Host and :authority differ";
	if (!has_authority && host == NULL)
		return "neither :authority nor Host is there";
	h->authority = has_authority ? authority : host->value;
	return http_is_authority(h->authority) ? NULL : "the authority is no host[:port]";
}

static const char *
head_set_target(struct http_head *h, struct span path)
{
	h->target = path;
	if (span_eq(path, SPAN_LIT("*"))) {
		h->path = path;
		return span_eq(h->method, SPAN_LIT("OPTIONS")) ? NULL : ":path is *";
	}
	/* Everything else is an absolute path (RFC 9113 8.3.1). */
	return http_parse_path(path, h) == 0 ? NULL : ":path is no absolute path";
}

static const char *
head_set_body(struct http_head *h, bool no_body)
{
	const struct http_field *length = http_head_find(h, "content-length");

	if (http_head_count(h, "content-length") > 1)
		return "Content-Length comes twice";
	if (length != NULL && !http_parse_length(length->value, &h->content_length))
		return "Content-Length is no number";
	if (no_body) {
		h->body = HTTP_BODY_NONE;
		return h->content_length == 0 ? NULL
					      : "the body that Content-Length tells of is missing";
	}
	h->body = length != NULL ? HTTP_BODY_LENGTH : HTTP_BODY_CHUNKED;
	return NULL;
}

/* Extended CONNECT (RFC 8441 4 and 5): the checks that HTTP/1.1 makes in its own way. */
static void
head_judge_websocket(const struct http_head *h, struct stream_request *r)
{
	const struct http_field *version = http_head_find(h, "sec-websocket-version");

	r->ws = WS_REQUEST_OK;
	if (http_head_count(h, "sec-websocket-version") != 1 ||
	    !span_eq(version->value, SPAN_LIT("13"))) {
		r->ws = WS_REQUEST_BAD_VERSION;
		r->ws_why = "Sec-WebSocket-Version is not 13";
	} else if (h->body == HTTP_BODY_LENGTH && h->content_length > 0) {
		r->ws = WS_REQUEST_BAD;
		r->ws_why = "a WebSocket handshake has no body";
	}
}

static bool
head_is_http(struct span scheme)
{
	return span_eq_nocase(scheme, SPAN_LIT("http")) ||
	    span_eq_nocase(scheme, SPAN_LIT("https"));
}

/* All but the fields; NULL or what is wrong. */
static const char *
head_check(struct h2_head *hd, bool no_body, struct http_head *h, const struct span *pseudo)
{
	bool is_connect = span_eq(pseudo[H2_METHOD], SPAN_LIT("CONNECT"));
	const char *why;

	if (hd->bad != NULL)
		return hd->bad;
	if (!http_is_token(pseudo[H2_METHOD]))
		return ":method is missing or no token";
	h->method = pseudo[H2_METHOD];
	if (hd->has[H2_PROTOCOL] && !is_connect)
		return ":protocol without CONNECT"; /* RFC 8441 4 */
	if (is_connect && !hd->has[H2_PROTOCOL] && (hd->has[H2_SCHEME] || hd->has[H2_PATH]))
		return "CONNECT with :scheme or :path"; /* RFC 9113 8.5 */
	if (is_connect && !hd->has[H2_AUTHORITY])
		return ":authority is missing";
	if ((why = head_set_authority(h, pseudo[H2_AUTHORITY], hd->has[H2_AUTHORITY])) != NULL)
		return why;
	if (!is_connect || hd->has[H2_PROTOCOL]) {
		if (!head_is_http(pseudo[H2_SCHEME]))
			return ":scheme is neither http nor https";
		h->scheme = pseudo[H2_SCHEME];
		if ((why = head_set_target(h, pseudo[H2_PATH])) != NULL)
			return why;
	}
	if (hd->has[H2_PROTOCOL] && !http_is_token(pseudo[H2_PROTOCOL]))
		return ":protocol is no token";
	return head_set_body(h, no_body);
}

unsigned
h2_head_judge(struct h2_head *hd, bool no_body, struct http_head *out, struct stream_request *r,
    const char **why)
{
	struct span pseudo[H2_PSEUDOS];

	memset(r, 0, sizeof(*r));
	memset(out, 0, offsetof(struct http_head, field));
	head_place(hd, out, pseudo);
	if (hd->too_large || pseudo[H2_PATH].n > HTTP1_MAX_LINE) {
		*why = "the request head is too large";
		return 431;
	}
	if ((*why = head_check(hd, no_body, out, pseudo)) != NULL)
		return 400;
	out->minor = 1;
	out->expect_continue = http_head_list_has(out, "expect", "100-continue");
	r->head = out;
	if (!span_eq(out->method, SPAN_LIT("CONNECT")))
		return 0;
	if (!hd->has[H2_PROTOCOL]) {
		*why = "this gateway is no forward proxy";
		return 501;
	}
	if (!span_eq_nocase(pseudo[H2_PROTOCOL], SPAN_LIT("websocket"))) {
		*why = "this :protocol is not spoken here";
		return 501; /* RFC 9220 3, RFC 8441 4 */
	}
	head_judge_websocket(out, r);
	return 0;
}
