/*
 * What the tests of src/http's client connections share (unit_user.c): the user of the stream, who
 * notes what comes up and does as it was told.  It is written down as text ("101;bytes=abc;end;"),
 * bytes that come one after another as one run.  One at a time, in `user`.
 */
#ifndef TESTS_UNIT_USER_H
#define TESTS_UNIT_USER_H

#include "base/buf.h"
#include "http/stream.h"
#include "unit_io.h"

#define USER_TIMEOUT_MS 20000

enum close_how { CLOSE_NOT, CLOSE_CLOSE, CLOSE_ABORT };

struct user {
	struct loop *loop;
	struct stream *s; /* NULL once it is over */
	struct buf log;
	bool in_run;	   /* the log ends in bytes */
	bool in_down_call; /* no up-call may come now */
	enum stream_error error;
	char why[160];
	char head[2000];  /* the fields of the response: "name=value|" */
	struct buf trace; /* heads as they stood on the wire, each behind '>' or '<' */
	unsigned rooms;
	uint64_t bytes;
	bool count_only; /* bytes are not for the log */
	/* what to do */
	enum close_how close_in_response, close_in_bytes;
	bool hold_in_response, hold_in_bytes, release_in_bytes;
	bool stop_on_reset;
	bool has_budget;
	size_t budget;
};
extern struct user user;
extern const struct stream_events user_events;

void user_begin(void);
/* End whatever is left; nothing may be lost, so that LeakSanitizer can tell. */
void user_finish(void);

void user_close(enum close_how how);
void user_release(enum stream_hold why);
/* The log as a C string, until something is added to it. */
const char *user_logged(void);
#define user_assert_log(text) ck_assert_str_eq(user_logged(), text)

#endif
