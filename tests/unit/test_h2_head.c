/* Heads of HTTP/2 requests: what becomes a request, what is refused and with which status. */
#include "http/h2_head.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

/* A judged head. */
struct judged {
	struct h2_head *hd;
	struct http_head head;
	struct stream_request r;
	const char *why;
	unsigned status;
};

/*
 * fields: "name=value" one after another, ending with NULL; '=' is the first one behind the
 * first byte.
 */
static void
judge(struct judged *j, bool no_body, const char *const *fields)
{
	memset(j, 0, sizeof(*j));
	ck_assert_ptr_nonnull(j->hd = h2_head_new());
	for (; *fields != NULL; fields++) {
		const char *eq = strchr(*fields + 1, '=');

		ck_assert_int_eq(
		    h2_head_add(j->hd, (struct span){ *fields, (size_t)(eq - *fields) },
			span_from_str(eq + 1)),
		    H2_HEAD_ADDED);
	}
	j->status = h2_head_judge(j->hd, no_body, &j->head, &j->r, &j->why);
	ck_assert((j->status == 0) == (j->why == NULL));
	if (j->status == 0)
		ck_assert_ptr_eq(j->r.head, &j->head);
}

static void
expect_span(struct span s, const char *text)
{
	ck_assert_msg(span_eq(s, span_from_str(text)), "\"%.*s\" is not \"%s\"", SPAN_ARG(s), text);
}

#define GET ":method=GET", ":scheme=https", ":path=/a/b?c=d"
#define WS                                                                      \
	":method=CONNECT", ":protocol=websocket", ":scheme=https", ":path=/ws", \
	    ":authority=example.com"

START_TEST(h2_head_ordinary_request)
{
	struct judged j;

	judge(&j, true,
	    (const char *[]){ GET, ":authority=example.com:8443", "x-a=1", "cookie=a=1",
		"x-b=", "cookie=b=2; c=3", "x-a=2", NULL });
	ck_assert_uint_eq(j.status, 0);
	ck_assert_int_eq(j.r.ws, WS_REQUEST_NONE);
	expect_span(j.head.method, "GET");
	expect_span(j.head.scheme, "https");
	expect_span(j.head.authority, "example.com:8443");
	expect_span(j.head.path, "/a/b");
	expect_span(j.head.query, "c=d");
	expect_span(j.head.target, "/a/b?c=d");
	ck_assert_int_eq(j.head.body, HTTP_BODY_NONE);
	ck_assert_uint_eq(j.head.n_fields, 4);
	expect_span(j.head.field[0].name, "x-a");
	expect_span(j.head.field[0].value, "1");
	expect_span(j.head.field[1].name, "x-b");
	expect_span(j.head.field[1].value, "");
	expect_span(j.head.field[2].value, "2");
	expect_span(j.head.field[3].name, "cookie");
	expect_span(j.head.field[3].value, "a=1; b=2; c=3"); /* RFC 9113 8.2.3 */
	h2_head_free(j.hd);
}
END_TEST

START_TEST(h2_head_bodies)
{
	struct judged j;

	judge(&j, false, (const char *[]){ GET, ":authority=a", NULL });
	ck_assert_int_eq(j.head.body, HTTP_BODY_CHUNKED);
	h2_head_free(j.hd);
	judge(&j, false, (const char *[]){ GET, ":authority=a", "content-length=17", NULL });
	ck_assert_int_eq(j.head.body, HTTP_BODY_LENGTH);
	ck_assert_uint_eq(j.head.content_length, 17);
	h2_head_free(j.hd);
	judge(&j, true, (const char *[]){ GET, ":authority=a", "content-length=0", NULL });
	ck_assert_uint_eq(j.status, 0);
	ck_assert_int_eq(j.head.body, HTTP_BODY_NONE);
	h2_head_free(j.hd);
}
END_TEST

START_TEST(h2_head_websocket)
{
	struct judged j;

	judge(&j, false,
	    (const char *[]){ WS, "sec-websocket-version=13", "origin=https://o", NULL });
	ck_assert_uint_eq(j.status, 0);
	ck_assert_int_eq(j.r.ws, WS_REQUEST_OK);
	expect_span(j.head.path, "/ws");
	h2_head_free(j.hd);
	judge(&j, false,
	    (const char *[]){ ":method=CONNECT", ":protocol=WebSocket", ":scheme=http", ":path=/",
		":authority=[::1]:80", "sec-websocket-version=13", NULL });
	ck_assert_int_eq(j.r.ws, WS_REQUEST_OK);
	h2_head_free(j.hd);
	judge(&j, false, (const char *[]){ WS, "sec-websocket-version=8", NULL });
	ck_assert_uint_eq(j.status, 0);
	ck_assert_int_eq(j.r.ws, WS_REQUEST_BAD_VERSION);
	h2_head_free(j.hd);
	judge(&j, false, (const char *[]){ WS, NULL });
	ck_assert_int_eq(j.r.ws, WS_REQUEST_BAD_VERSION);
	h2_head_free(j.hd);
	judge(&j, false,
	    (const char *[]){ WS, "sec-websocket-version=13", "content-length=1", NULL });
	ck_assert_int_eq(j.r.ws, WS_REQUEST_BAD);
	h2_head_free(j.hd);
}
END_TEST

START_TEST(h2_head_refusals)
{
	static const struct {
		unsigned status;
		bool no_body;
		const char *fields[12];
	} rows[] = {
		{ 400, true, { GET, NULL } },
		{ 400, true, { ":scheme=http", ":path=/", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":path=/", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":authority=a", NULL } },
		{ 400, true, { GET, ":authority=a", ":authority=a", NULL } },
		{ 400, true, { GET, "x=y", ":authority=a", NULL } },
		{ 400, true, { GET, "cookie=y", ":authority=a", NULL } },
		{ 400, true, { GET, "cookie=", ":authority=a", NULL } },
		{ 400, true, { GET, ":authority=a", ":status=200", NULL } },
		{ 400, true, { GET, ":authority=a", ":protocol=websocket", NULL } },
		{ 400, true, { GET, ":authority=", NULL } },
		{ 400, true, { GET, ":authority=u@h", NULL } },
		{ 400, true, { GET, ":authority=a", "host=b", NULL } },
		{ 400, true, { GET, ":authority=a", "host=a", "host=a", NULL } },
		{ 400, true, { GET, ":authority=a", "Upper=x", NULL } },
		{ 400, true, { GET, ":authority=a", "a b=x", NULL } },
		{ 400, true, { GET, ":authority=a", "a= x", NULL } },
		{ 400, true, { GET, ":authority=a", "a=x ", NULL } },
		{ 400, true, { GET, ":authority=a", "a=x\r\ny: z", NULL } },
		{ 400, true, { GET, ":authority=a", "cookie=a\nb", NULL } },
		{ 400, true, { GET, ":authority=a", "connection=close", NULL } },
		{ 400, true, { GET, ":authority=a", "keep-alive=1", NULL } },
		{ 400, true, { GET, ":authority=a", "proxy-connection=1", NULL } },
		{ 400, true, { GET, ":authority=a", "transfer-encoding=chunked", NULL } },
		{ 400, true, { GET, ":authority=a", "upgrade=websocket", NULL } },
		{ 400, true, { GET, ":authority=a", "te=gzip", NULL } },
		{ 400, true, { GET, ":authority=a", "content-length=5", NULL } },
		{ 400, false,
		    { GET, ":authority=a", "content-length=5", "content-length=5", NULL } },
		{ 400, false, { GET, ":authority=a", "content-length=+5", NULL } },
		{ 400, false, { GET, ":authority=a", "content-length=", NULL } },
		{ 400, false, { GET, ":authority=a", "content-length=9223372036854775808", NULL } },
		{ 400, true, { ":method=G T", ":scheme=http", ":path=/", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=ftp", ":path=/", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":path=", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":path=a", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":path=*", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":path=/#", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":path=/ x", ":authority=a", NULL } },
		{ 400, true, { ":method=GET", ":scheme=http", ":path=/%2", ":authority=a", NULL } },
		{ 400, true,
		    { ":method=GET", ":scheme=http", ":path=/\r\n", ":authority=a", NULL } },
		{ 400, true, { ":method=CONNECT", NULL } },
		{ 400, true, { ":method=CONNECT", ":authority=a", ":path=/", NULL } },
		{ 400, true, { ":method=CONNECT", ":authority=a", ":scheme=http", NULL } },
		{ 501, true, { ":method=CONNECT", ":authority=a:1", NULL } },
		{ 501, false,
		    { ":method=CONNECT", ":protocol=x", ":scheme=http", ":path=/", ":authority=a",
			NULL } },
		{ 400, false,
		    { ":method=CONNECT", ":protocol=x y", ":scheme=http", ":path=/", ":authority=a",
			NULL } },
		{ 400, false,
		    { ":method=CONNECT", ":protocol=websocket", ":path=/", ":authority=a", NULL } },
		{ 400, false,
		    { ":method=CONNECT", ":protocol=websocket", ":scheme=http", ":authority=a",
			NULL } },
		{ 400, false,
		    { ":method=CONNECT", ":protocol=websocket", ":scheme=http", ":path=/", "host=a",
			NULL } },
	};
	struct judged j;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		judge(&j, rows[i].no_body, rows[i].fields);
		ck_assert_msg(j.status == rows[i].status, "row %zu: %u, expected %u (%s)", i,
		    j.status, rows[i].status, j.why != NULL ? j.why : "-");
		h2_head_free(j.hd);
	}
}
END_TEST

START_TEST(h2_head_good_oddities)
{
	static const char *const rows[][8] = {
		{ GET, "host=example.com", NULL },
		{ GET, ":authority=Example.COM", "host=eXample.com", NULL },
		{ GET, ":authority=a", "te=trailers", NULL },
		{ GET, ":authority=a", "te=Trailers", NULL },
		{ GET, ":authority=a", "x=\t\x80\xff", NULL },
		{ ":method=OPTIONS", ":scheme=HTTP", ":path=*", ":authority=a", NULL },
		{ ":method=!#$%&'*+-.^_`|~", ":scheme=http", ":path=/", ":authority=a", NULL },
	};
	struct judged j;

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		if (i == 4) {
			/* White space may stand within a value only. */
			judge(&j, true, rows[i]);
			ck_assert_uint_eq(j.status, 400);
		} else {
			judge(&j, true, rows[i]);
			ck_assert_msg(j.status == 0, "row %zu: %s", i, j.why);
		}
		h2_head_free(j.hd);
	}
}
END_TEST

START_TEST(h2_head_limits)
{
	static char big[20001];
	struct h2_head *hd = h2_head_new();
	struct stream_request r;
	struct http_head head;
	const char *why;
	char name[16];

	memset(big, 'x', sizeof(big) - 1);
	/* 99 fields and any number of cookies. */
	for (int i = 0; i < HTTP1_MAX_FIELDS + 50; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		h2_head_add(hd, i < HTTP1_MAX_FIELDS - 1 ? span_from_str(name) : SPAN_LIT("cookie"),
		    SPAN_LIT("v"));
	}
	ck_assert_uint_eq(
	    h2_head_judge(hd, true, &head, &r, &why), 400); /* no pseudo-header fields */
	h2_head_add(hd, SPAN_LIT("one-more"), SPAN_LIT("v"));
	ck_assert_uint_eq(h2_head_judge(hd, true, &head, &r, &why), 431);
	h2_head_free(hd);

	hd = h2_head_new();
	ck_assert_int_eq(
	    h2_head_add(hd, SPAN_LIT("a"), (struct span){ big, 20000 }), H2_HEAD_ADDED);
	ck_assert_uint_eq(h2_head_judge(hd, true, &head, &r, &why), 400);
	ck_assert_int_eq(
	    h2_head_add(hd, SPAN_LIT("a"), (struct span){ big, 20000 }), H2_HEAD_ADDED);
	ck_assert_uint_eq(h2_head_judge(hd, true, &head, &r, &why), 431);
	for (int i = 0; i < 24; i++)
		ck_assert_int_eq(
		    h2_head_add(hd, SPAN_LIT("a"), (struct span){ big, 20000 }), H2_HEAD_ADDED);
	ck_assert_int_eq(
	    h2_head_add(hd, SPAN_LIT("a"), (struct span){ big, 20000 }), H2_HEAD_IS_BOMB);
	h2_head_free(hd);

	/* A path that HTTP/1.1 would not take is too large as well. */
	hd = h2_head_new();
	big[0] = '/';
	h2_head_add(hd, SPAN_LIT(":path"), (struct span){ big, HTTP1_MAX_LINE + 1 });
	ck_assert_uint_eq(h2_head_judge(hd, true, &head, &r, &why), 431);
	h2_head_free(hd);
}
END_TEST

START_TEST(h2_head_survives_without_memory)
{
	struct h2_head *hd;

	mem_fail_nth(1);
	ck_assert_ptr_null(h2_head_new());
	for (unsigned long nth = 1; nth < 6; nth++) {
		bool failed = false;

		ck_assert_ptr_nonnull(hd = h2_head_new());
		mem_fail_nth(nth);
		for (int i = 0; i < 90; i++)
			failed |=
			    h2_head_add(hd, i % 3 == 0 ? SPAN_LIT("cookie") : SPAN_LIT("a-name"),
				SPAN_LIT("a value that takes room")) == H2_HEAD_NO_MEMORY;
		ck_assert(failed || mem_fail_pending());
		mem_fail_nth(0);
		h2_head_free(hd);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		h2_head_ordinary_request,
		h2_head_bodies,
		h2_head_websocket,
		h2_head_refusals,
		h2_head_good_oddities,
		h2_head_limits,
		h2_head_survives_without_memory,
	};

	return unit_run("h2_head", cases, UNIT_COUNT(cases));
}
