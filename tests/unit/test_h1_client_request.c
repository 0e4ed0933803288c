/*
 * Unit tests of src/http/h1_client_request.c: the request's body, and what is left of a connection
 * behind a response.
 *
 * One end of a socket pair is the connection's, the other is the backend that the case plays.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/h1_client.h"
#include "unit_io.h"

struct user {
	struct loop *loop;
	struct stream *s; /* NULL once it is over */
	int peer;
	char log[400];
	unsigned rooms;
	bool recycled, recycle_in_end, failed, close_in_trailers;
	enum stream_error error;
};

static struct user u;

static void
note(const char *text)
{
	strncat(u.log, text, sizeof(u.log) - strlen(u.log) - 1);
}

static void
on_response(struct stream *s, const struct http_head *h)
{
	char text[24];

	(void)s;
	snprintf(text, sizeof(text), "%u;", h->status);
	note(text);
}

static void
on_interim(struct stream *s, const struct http_head *h)
{
	char text[24];

	(void)s;
	snprintf(text, sizeof(text), "interim %u;", h->status);
	note(text);
}

static void
on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	char text[200];

	(void)s;
	snprintf(text, sizeof(text), "%.*s;", (int)n, (char *)p);
	note(text);
}

static void
on_room(struct stream *s)
{
	ck_assert_uint_eq(stream_queued(s), 0);
	u.rooms++;
}

static void
kept_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)s, (void)e, (void)why;
	u.failed = true;
	u.s = NULL;
}

static const struct stream_events kept_events = { .reset = kept_reset };

static void
recycle(void)
{
	u.recycled = h1_client_keep(u.s, &kept_events, &u);
}

static void
on_trailers(struct stream *s, const struct http_field *field, size_t n_fields)
{
	char text[200];

	for (size_t i = 0; i < n_fields; i++) {
		snprintf(text, sizeof(text), "%.*s=%.*s;", SPAN_ARG(field[i].name),
		    SPAN_ARG(field[i].value));
		note(text);
	}
	if (u.close_in_trailers) {
		u.s = NULL;
		stream_close(s, 0);
	}
}

static void
on_end(struct stream *s)
{
	(void)s;
	note("end;");
	if (u.recycle_in_end)
		recycle();
}

static void
on_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)why;
	note(h1_client_answered(s) ? "reset, answered;" : "reset;");
	u.error = e;
	u.s = NULL;
}

static const struct stream_events events = {
	.interim = on_interim,
	.response = on_response,
	.bytes = on_bytes,
	.room = on_room,
	.trailers = on_trailers,
	.end = on_end,
	.reset = on_reset,
};

static void
turns(unsigned n)
{
	unit_loop_turns(u.loop, n);
}

static struct h1_request
request(enum http_body body, uint64_t length)
{
	struct h1_request r = { .method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/"),
		.authority = SPAN_LIT("a"),
		.body = body,
		.content_length = length,
		.keep = true };

	return r;
}

static void
start(const struct h1_request *r, uint64_t timeout_ms)
{
	const char *why;
	int fd[2];

	memset(&u, 0, sizeof(u));
	ck_assert_ptr_nonnull(u.loop = loop_new());
	unit_unix_pair(fd);
	u.peer = fd[1];
	u.s = h1_client_start(u.loop, fd[0], r, timeout_ms, &events, &u, &why);
	ck_assert_ptr_nonnull(u.s);
}

static void
finish(void)
{
	if (u.s != NULL)
		stream_abort(u.s);
	turns(2);
	close(u.peer);
	loop_free(u.loop);
}

static void
say(const char *text)
{
	ck_assert_int_eq(send(u.peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns(2);
}

static const char *
heard(void)
{
	static char text[4096];
	ssize_t n = recv(u.peer, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int
put(const char *text)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)text, strlen(text) }, { NULL, 0 } };

	return stream_write(u.s, iov, 2);
}

#define HEAD "POST / HTTP/1.1\r\nHost: a\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

START_TEST(h1_client_request_frames_a_body_of_known_length)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 8);

	start(&r, 0);
	ck_assert_int_eq(put("hell"), 0);
	ck_assert_int_eq(put(""), 0);
	ck_assert_int_eq(put("oooo"), 0);
	stream_end(u.s);
	ck_assert_str_eq(heard(), HEAD "Content-Length: 8\r\n\r\nhelloooo");
	finish();
}
END_TEST

/* Heads of all lengths around what is made on the stack. */
START_TEST(h1_client_request_sends_heads_of_any_length)
{
	static char value[4000], expected[5000];
	struct http_field f = { SPAN_LIT("X"), { value, 0 } };
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	r.field = &f;
	r.n_fields = 1;
	memset(value, 'v', sizeof(value));
	for (size_t n = 1950; n < 2100; n++) {
		f.value.n = n;
		snprintf(expected, sizeof(expected), HEAD "X: %.*s\r\n\r\n", (int)n, value);
		start(&r, 0);
		ck_assert_str_eq(heard(), expected);
		finish();
	}
}
END_TEST

/* A peer that has left already, which the loop has not told. */
START_TEST(h1_client_request_looks_before_it_asks_again)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	start(&r, 0);
	heard();
	u.recycle_in_end = true;
	say(OK);
	ck_assert(u.recycled);
	ck_assert_int_eq(shutdown(u.peer, SHUT_WR), 0);
	ck_assert_int_eq(h1_client_again(u.s, &r, 0, &events, &u, _i == 1), _i == 1 ? -1 : 0);
	turns(2);
	if (_i == 0)
		ck_assert_str_eq(u.log, "200;ok;end;reset;");
	u.s = NULL;
	finish();
}
END_TEST

START_TEST(h1_client_request_says_that_a_body_is_empty)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 0);

	start(&r, 0);
	stream_end(u.s);
	ck_assert_str_eq(heard(), HEAD "Content-Length: 0\r\n\r\n");
	finish();
	r = request(HTTP_BODY_NONE, 0);
	start(&r, 0);
	stream_end(u.s);
	ck_assert_str_eq(heard(), HEAD "\r\n");
	finish();
}
END_TEST

START_TEST(h1_client_request_chunks_a_body_of_unknown_length)
{
	struct h1_request r = request(HTTP_BODY_CHUNKED, 0);

	start(&r, 0);
	ck_assert_int_eq(put("hello"), 0);
	ck_assert_int_eq(put(""), 0);
	ck_assert_int_eq(put("0123456789abcdef"), 0);
	stream_end(u.s);
	stream_end(u.s);
	ck_assert_str_eq(heard(),
	    HEAD "Transfer-Encoding: chunked\r\n\r\n"
		 "5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
	finish();
}
END_TEST

START_TEST(h1_client_request_sends_trailers_behind_a_chunked_body)
{
	static const struct http_field trailers[] = { { SPAN_LIT("X-Sum"), SPAN_LIT("1") },
		{ SPAN_LIT("Bad Name"), SPAN_LIT("1") }, { SPAN_LIT("Bad"), SPAN_LIT("1\r\n") },
		{ SPAN_LIT("Empty"), SPAN_NONE } };
	struct h1_request r = request(HTTP_BODY_CHUNKED, 0);

	r.te_trailers = true;
	start(&r, 0);
	put("hello");
	stream_trailers(u.s, trailers, 4);
	stream_end(u.s);
	ck_assert_str_eq(heard(),
	    HEAD "Transfer-Encoding: chunked\r\nConnection: TE\r\nTE: trailers\r\n\r\n"
		 "5\r\nhello\r\n0\r\nX-Sum: 1\r\nEmpty: \r\n\r\n");
	finish();
	/* no place for them */
	r = request(HTTP_BODY_LENGTH, 5);
	start(&r, 0);
	put("hello");
	stream_trailers(u.s, trailers, 4);
	ck_assert_str_eq(heard(), HEAD "Content-Length: 5\r\n\r\nhello");
	finish();
}
END_TEST

#define TRAILED                                                                             \
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n" \
	"Content-Length: 5\r\ngrpc-status:0 \r\n\r\n"

START_TEST(h1_client_request_hands_up_trailers_of_the_response)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	for (size_t cut = 0; cut <= strlen(TRAILED); cut++) {
		char part[] = TRAILED;

		start(&r, 0);
		heard();
		u.recycle_in_end = true;
		part[cut] = '\0';
		if (cut > 0)
			say(part);
		if (cut < strlen(TRAILED))
			say(&TRAILED[cut]);
		if (strcmp(u.log, "200;ok;X-Sum=1;grpc-status=0;end;") != 0 &&
		    strcmp(u.log, "200;o;k;X-Sum=1;grpc-status=0;end;") != 0)
			ck_abort_msg("cut at %zu: %s", cut, u.log);
		ck_assert(u.recycled);
		finish();
	}
}
END_TEST

START_TEST(h1_client_request_may_be_closed_in_its_trailers)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	start(&r, 0);
	u.close_in_trailers = true;
	say(TRAILED);
	ck_assert_str_eq(u.log, "200;ok;X-Sum=1;grpc-status=0;");
	finish();
}
END_TEST

START_TEST(h1_client_request_trailers_without_memory)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);
	bool more = true;

	for (unsigned long n = 1; more; n++) {
		start(&r, 0);
		mem_fail_nth(n);
		ck_assert_int_gt(send(u.peer, TRAILED, strlen(TRAILED), MSG_NOSIGNAL), 0);
		turns(2);
		more = !mem_fail_pending();
		mem_fail_nth(0);
		/* never an end without them */
		ck_assert(strcmp(u.log, "200;ok;X-Sum=1;grpc-status=0;end;") == 0 ||
		    (strstr(u.log, "reset") != NULL && strstr(u.log, "end;") == NULL));
		finish();
	}
}
END_TEST

START_TEST(h1_client_request_refuses_a_body_in_a_handshake)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 1);
	const char *why = NULL;
	int fd[2];

	memset(&u, 0, sizeof(u));
	r.websocket = true;
	ck_assert_ptr_nonnull(u.loop = loop_new());
	unit_unix_pair(fd);
	ck_assert_ptr_null(h1_client_start(u.loop, fd[0], &r, 0, &events, &u, &why));
	ck_assert_str_eq(why, "a WebSocket handshake has no body");
	close(fd[1]);
	loop_free(u.loop);
}
END_TEST

/* What is left over or missing would be taken for, or from, a next request. */
START_TEST(h1_client_request_never_sends_another_length_than_it_told)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 5);

	start(&r, 0);
	ck_assert_int_eq(put(_i == 0 ? "hello!" : "hell"), _i == 0 ? -1 : 0);
	if (_i == 1)
		stream_end(u.s);
	turns(2);
	ck_assert_str_eq(u.log, "reset;");
	ck_assert_str_eq(heard(),
	    _i == 0 ? HEAD "Content-Length: 5\r\n\r\n" : HEAD "Content-Length: 5\r\n\r\nhell");
	finish();
}
END_TEST

START_TEST(h1_client_request_tells_interim_responses)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 2);

	start(&r, 0);
	say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	put("hi");
	say(OK);
	ck_assert_str_eq(u.log, "interim 100;interim 103;200;ok;end;");
	finish();
}
END_TEST

START_TEST(h1_client_request_bounds_interim_responses)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	start(&r, 0);
	for (int i = 0; i < 101 && u.s != NULL; i++) {
		u.log[0] = '\0';
		say("HTTP/1.1 102 Processing\r\n\r\n");
	}
	ck_assert_str_eq(u.log, "reset, answered;");
	ck_assert_int_eq(u.error, STREAM_E_PROTOCOL);
	finish();
}
END_TEST

START_TEST(h1_client_request_tells_of_room_before_the_response)
{
	struct h1_request r = request(HTTP_BODY_CHUNKED, 0);
	static char big[1 << 20];
	struct iovec iov = { big, sizeof(big) };
	char sink[65536];

	start(&r, 0);
	ck_assert_int_eq(stream_write(u.s, &iov, 1), 0);
	ck_assert_uint_gt(stream_queued(u.s), 0);
	while (stream_queued(u.s) > 0) {
		while (recv(u.peer, sink, sizeof(sink), 0) > 0)
			;
		turns(1);
	}
	turns(1);
	ck_assert_uint_eq(u.rooms, 1);
	finish();
}
END_TEST

/* A slow client's body is no slow backend. */
START_TEST(h1_client_request_response_timeout_waits_for_the_body)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 5);
	uint64_t until;

	start(&r, 20);
	for (until = loop_now_ms(u.loop) + 120; loop_now_ms(u.loop) < until;)
		turns(1);
	ck_assert_str_eq(u.log, "");
	put("hello");
	for (until = loop_now_ms(u.loop) + 2000; loop_now_ms(u.loop) < until && u.s != NULL;)
		turns(1);
	ck_assert_str_eq(u.log, "reset;");
	ck_assert_int_eq(u.error, STREAM_E_TIMEOUT);
	finish();
}
END_TEST

/* The answer of a backend that closes although the body is not complete. */
START_TEST(h1_client_request_reads_an_early_answer)
{
	struct h1_request r = request(HTTP_BODY_CHUNKED, 0);

	start(&r, 0);
	put("hello");
	ck_assert_int_gt((int)strlen(heard()), 0);
	ck_assert_int_eq(send(u.peer, OK, strlen(OK), 0), (ssize_t)strlen(OK));
	shutdown(u.peer, SHUT_RDWR);
	for (int i = 0; i < 5 && u.s != NULL; i++)
		put("more");
	turns(3);
	ck_assert_str_eq(u.log, "200;ok;end;");
	recycle();
	ck_assert(!u.recycled);
	finish();
}
END_TEST

START_TEST(h1_client_request_knows_whether_an_answer_began)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	start(&r, 0);
	if (_i == 1)
		say("H");
	shutdown(u.peer, SHUT_WR);
	turns(2);
	ck_assert_str_eq(u.log, _i == 1 ? "reset, answered;" : "reset;");
	ck_assert_int_eq(u.error, STREAM_E_PEER);
	finish();
}
END_TEST

static const struct {
	const char *response;
	bool keep, complete, want;
} ends[] = {
	{ OK, true, true, true },
	{ OK, false, true, false },
	{ OK, true, false, false },
	{ "HTTP/1.1 204 No\r\n\r\n", true, true, true },
	{ "HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", true, true, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", true,
	    true, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", true, true,
	    false },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", true, true, false },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", true, true,
	    true },
	{ OK "HTTP/1.1 200 OK\r\n\r\n", true, true, false },
	{ "HTTP/1.1 204 No\r\n\r\nx", true, true, false },
};

START_TEST(h1_client_request_keeps_what_can_be)
{
	struct h1_request r = request(HTTP_BODY_LENGTH, 2);

	r.keep = ends[_i].keep;
	start(&r, 0);
	u.recycle_in_end = true;
	put(ends[_i].complete ? "hi" : "h");
	say(ends[_i].response);
	ck_assert_ptr_nonnull(strstr(u.log, "end;"));
	ck_assert_int_eq(u.recycled, ends[_i].want);
	finish();
}
END_TEST

START_TEST(h1_client_request_serves_another_one_on_a_kept_connection)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	start(&r, 0);
	u.recycle_in_end = true;
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(heard(), HEAD "\r\n");
		say(OK);
		ck_assert(u.recycled);
		u.recycled = false;
		ck_assert_int_eq(h1_client_again(u.s, &r, 0, &events, &u, true), 0);
		turns(1);
	}
	ck_assert_str_eq(u.log, "200;ok;end;200;ok;end;200;ok;end;");
	finish();
}
END_TEST

START_TEST(h1_client_request_tells_when_a_kept_connection_ends)
{
	struct h1_request r = request(HTTP_BODY_NONE, 0);

	start(&r, 0);
	u.recycle_in_end = true;
	say(OK);
	ck_assert(u.recycled && !u.failed);
	if (_i == 0)
		say("H");
	else
		shutdown(u.peer, SHUT_WR);
	turns(2);
	ck_assert(u.failed);
	finish();
}
END_TEST

int
main(void)
{
	const struct unit_case cases[] = {
		{ h1_client_request_frames_a_body_of_known_length, 1 },
		{ h1_client_request_says_that_a_body_is_empty, 1 },
		{ h1_client_request_sends_heads_of_any_length, 1 },
		{ h1_client_request_looks_before_it_asks_again, 2 },
		{ h1_client_request_chunks_a_body_of_unknown_length, 1 },
		{ h1_client_request_sends_trailers_behind_a_chunked_body, 1 },
		{ h1_client_request_hands_up_trailers_of_the_response, 1 },
		{ h1_client_request_may_be_closed_in_its_trailers, 1 },
		{ h1_client_request_trailers_without_memory, 1 },
		{ h1_client_request_refuses_a_body_in_a_handshake, 1 },
		{ h1_client_request_never_sends_another_length_than_it_told, 2 },
		{ h1_client_request_tells_interim_responses, 1 },
		{ h1_client_request_bounds_interim_responses, 1 },
		{ h1_client_request_tells_of_room_before_the_response, 1 },
		{ h1_client_request_response_timeout_waits_for_the_body, 1 },
		{ h1_client_request_reads_an_early_answer, 1 },
		{ h1_client_request_knows_whether_an_answer_began, 2 },
		{ h1_client_request_keeps_what_can_be, UNIT_COUNT(ends) },
		{ h1_client_request_serves_another_one_on_a_kept_connection, 1 },
		{ h1_client_request_tells_when_a_kept_connection_ends, 2 },
	};

	return unit_run_cases("h1_client_request", cases, UNIT_COUNT(cases), NULL, NULL);
}
