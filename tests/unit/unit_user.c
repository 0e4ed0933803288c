/* What the tests of src/http's client connections share; see unit_user.h. */
#include "unit_user.h"

struct user user;

void
user_begin(void)
{
	memset(&user, 0, sizeof(user));
	buf_init(&user.log, 1 << 20);
	buf_init(&user.trace, 1 << 16);
	/* What a case with the n-th allocation failing needs is there before. */
	ck_assert_int_eq(buf_reserve(&user.log, 1000), 0);
	ck_assert_int_eq(buf_reserve(&user.trace, 4096), 0);
	ck_assert_ptr_nonnull(user.loop = loop_new());
}

void
user_finish(void)
{
	user_close(CLOSE_ABORT);
	unit_loop_turns(user.loop, 2);
	buf_clear(&user.log);
	buf_clear(&user.trace);
	loop_free(user.loop);
}

void
user_close(enum close_how how)
{
	struct stream *s = user.s;

	if (how == CLOSE_NOT || s == NULL)
		return;
	user.s = NULL;
	if (how == CLOSE_CLOSE)
		stream_close(s, USER_TIMEOUT_MS);
	else
		stream_abort(s);
}

void
user_release(enum stream_hold why)
{
	user.in_down_call = true;
	stream_release(user.s, why);
	user.in_down_call = false;
}

const char *
user_logged(void)
{
	ck_assert_int_eq(buf_append_char(&user.log, '\0'), 0);
	user.log.n--;
	return user.log.p;
}

/* Each up-call is the stream's, and none comes from within a down-call. */
static void
user_check(struct stream *s)
{
	ck_assert_ptr_eq(s, user.s);
	ck_assert_ptr_eq(s->user, &user);
	ck_assert(!user.in_down_call);
}

/* Behind bytes, a ';' first. */
static void
user_note(const char *text)
{
	if (user.in_run)
		ck_assert_int_eq(buf_append_char(&user.log, ';'), 0);
	ck_assert_int_eq(buf_append_str(&user.log, text), 0);
	user.in_run = false;
}

static void
user_on_response(struct stream *s, const struct http_head *h)
{
	char text[24];
	size_t n = 0;

	user_check(s);
	snprintf(text, sizeof(text), "%u;", h->status);
	user_note(text);
	if (user.hold_in_response)
		stream_hold(s, STREAM_HOLD_BACKEND);
	user_close(user.close_in_response);
	/* The head is ours until we return, whatever became of the stream. */
	for (size_t i = 0; i < h->n_fields; i++)
		n += (size_t)snprintf(user.head + n, sizeof(user.head) - n, "%.*s=%.*s|",
		    SPAN_ARG(h->field[i].name), SPAN_ARG(h->field[i].value));
}

static void
user_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	user_check(s);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_eq(s->holds, 0);
	user.bytes += n;
	if (user.has_budget) {
		ck_assert_uint_le(n, user.budget);
		user.budget -= n;
	}
	if (!user.count_only) {
		if (!user.in_run)
			user_note("bytes=");
		ck_assert_int_eq(buf_append(&user.log, p, n), 0);
		user.in_run = true;
	}
	/* They are ours to write into, and the room in front is too, as with any read. */
	memset(p - LOOP_HEADROOM, '!', LOOP_HEADROOM + n);
	if (user.hold_in_bytes)
		stream_hold(s, STREAM_HOLD_PEER);
	if (user.release_in_bytes)
		stream_release(s, STREAM_HOLD_PEER);
	user_close(user.close_in_bytes);
}

static void
user_on_room(struct stream *s)
{
	user_check(s);
	user.rooms++;
	ck_assert_uint_eq(stream_queued(s), 0);
}

static void
user_on_end(struct stream *s)
{
	user_check(s);
	user_note("end;");
}

static void
user_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	user_check(s);
	user_note("reset;");
	user.error = e;
	snprintf(user.why, sizeof(user.why), "%s", why);
	user.s = NULL;
	if (user.stop_on_reset)
		loop_stop(user.loop);
}

static size_t
user_budget(struct stream *s)
{
	ck_assert_ptr_eq(s, user.s);
	return user.has_budget ? user.budget : SIZE_MAX;
}

static void
user_on_trace(struct stream *s, bool sent, struct span head)
{
	(void)s;
	ck_assert_int_eq(buf_append_str(&user.trace, sent ? ">" : "<"), 0);
	ck_assert_int_eq(buf_append_span(&user.trace, head), 0);
}

const struct stream_events user_events = {
	.response = user_on_response,
	.bytes = user_on_bytes,
	.room = user_on_room,
	.end = user_on_end,
	.reset = user_on_reset,
	.budget = user_budget,
	.trace = user_on_trace,
};
