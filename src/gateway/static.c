/*
 * Static files.  See static.h.
 *
 * A request is judged in one go: name (static_name.c), file (static_files.c), conditions and
 * range (RFC 9110 13, 14), and its head goes out.  A small file's bytes are in memory and go with
 * it.  The body of another goes out in pieces, by sendfile where the carrier can, or else read
 * into the loop's scratch: the next one only when the carrier has nothing queued, and after some
 * of them others get a turn.  The scratch may hold a caller's bytes while an up-call runs, so
 * pieces are sent from the turn's end or from a message, never from within an up-call; only the
 * first one is, from the stack, so that it can travel with the head.
 *
 * When the kernel takes no more of a file, a little of it is read and written: what the carrier has
 * queued then is what `room` tells the end of.
 *
 * One thread.  Called by gateway.c and by the stream's carrier; calls the stream and done.
 * Invariant: s is NULL exactly when done has been called.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "codec/http_range.h"
#include "gateway/static.h"
#include "gateway/static_files.h"
#include "gateway/static_name.h"
#include "http/reply.h"

/* The first piece that is read, onto the stack. */
#define STATIC_FIRST STATIC_SMALL
/* Of one file in a turn: then others get theirs. */
#define STATIC_TURN LOOP_SCRATCH
/* What is read when the kernel takes no more of a file. */
#define STATIC_WAIT 4096
#define STATIC_LINGER_MS 2000
#define STATIC_FIELDS 8

/* A response that is being sent. */
struct static_file {
	struct loop_msg msg;	 /* the next turn's share */
	struct loop_task task;	 /* the same, at this turn's end */
	struct loop_timer timer; /* a client that takes nothing */
	struct loop *loop;	 /* borrowed */
	struct stream *s;	 /* borrowed; NULL once it is over */
	uint64_t off, left;	 /* of the file */
	uint64_t sent;
	uint64_t stall_ms;
	size_t queued; /* when the timer was armed */
	static_done_fn *done;
	void *arg;
	struct static_entry *e; /* a reference; NULL: no file, a redirect */
	unsigned status;
	bool posted; /* msg is on its way: the memory stays */
	bool reads;  /* the carrier does not take files, or the file cannot be sent so */
};

/* What is to be answered. */
struct static_answer {
	const struct http_head *head; /* the request's */
	bool is_head;
	struct static_entry *e; /* a reference, until it goes over to a static_file; NULL: none */
	char content_range[64];
	struct buf location;
	uint64_t first, length; /* of the body */
	unsigned status;
	struct http_field field[STATIC_FIELDS];
	size_t n_fields;
};

/* ---- which file */

/* All but the last two are answered with one of the gateway's own replies. */
enum static_verdict {
	STATIC_METHOD,
	STATIC_BAD_URL,
	STATIC_NOT_FOUND,
	STATIC_FORBIDDEN,
	STATIC_BUSY,
	STATIC_BROKEN,
	STATIC_NO_MEMORY,
	STATIC_MOVED, /* a folder without its final slash */
	STATIC_FOUND,
};

static const struct {
	enum reply kind;
	const char *why;
} static_refusals[] = {
	[STATIC_METHOD] = { REPLY_METHOD, "only GET and HEAD are served here" },
	[STATIC_BAD_URL] = { REPLY_BAD_REQUEST, "the URL has a broken percent-escape" },
	[STATIC_NOT_FOUND] = { REPLY_NOT_FOUND, "there is no such file" },
	[STATIC_FORBIDDEN] = { REPLY_FORBIDDEN, "this file may not be read" },
	[STATIC_BUSY] = { REPLY_UNAVAILABLE, "too many files are open" },
	[STATIC_BROKEN] = { REPLY_INTERNAL, "the file cannot be read" },
	[STATIC_NO_MEMORY] = { REPLY_INTERNAL, "out of memory" },
};

static enum static_verdict
static_verdict_errno(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return STATIC_FORBIDDEN;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return STATIC_BUSY;
	case EIO:
		return STATIC_BROKEN;
	default: /* ENOENT, ENOTDIR, ELOOP, EXDEV (a link that leads out), ENXIO... */
		return STATIC_NOT_FOUND;
	}
}

static enum static_verdict
static_open_name(struct static_answer *a, struct static_files *files,
    const struct config_route *route, const char *name, bool is_index)
{
	if ((a->e = static_files_get(files, route->document_root, name)) != NULL)
		return STATIC_FOUND;
	/* An exact route has no other path to send the client to. */
	if (errno == EISDIR)
		return !is_index && route->path_is_prefix ? STATIC_MOVED : STATIC_NOT_FOUND;
	return static_verdict_errno(errno);
}

static enum static_verdict
static_find(struct static_answer *a, struct static_files *files, const struct config_route *route)
{
	char name[STATIC_NAME_MAX + sizeof("/index.html")];
	struct span method = a->head->method;
	bool is_dir;

	if (!span_eq(method, SPAN_LIT("GET")) && !span_eq(method, SPAN_LIT("HEAD")))
		return STATIC_METHOD;
	switch (static_name_make(a->head->path, route, name, &is_dir)) {
	case STATIC_NAME_OK:
		break;
	case STATIC_NAME_BAD:
		return STATIC_BAD_URL;
	case STATIC_NAME_REFUSED:
		return STATIC_NOT_FOUND;
	case STATIC_NAME_SLASH:
		return STATIC_MOVED;
	}
	if (is_dir)
		strcat(name, name[0] != '\0' ? "/index.html" : "index.html");
	return static_open_name(a, files, route, name, is_dir);
}

/* ---- conditions (RFC 9110 13.2.2) and range (RFC 9110 14.2) */

static bool
static_has_etag(const struct static_answer *a, const char *field, bool weak)
{
	const struct http_head *h = a->head;

	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq_nocase(h->field[i].name, span_from_str(field)) &&
		    http_etag_list_has(h->field[i].value, span_from_str(a->e->etag), weak))
			return true;
	return false;
}

/* A date field; one that is repeated or no date is ignored (RFC 9110 13.1.3, 13.1.4). */
static bool
static_has_date(const struct static_answer *a, const char *field, time_t *out)
{
	const struct http_field *f = http_head_find(a->head, field);

	return f != NULL && http_head_count(a->head, field) == 1 &&
	    clock_parse_http_date(f->value.p, f->value.n, out) == 0;
}

/* If-Range: the very same tag, or the very same date if it is old enough (RFC 9110 13.1.5). */
static bool
static_range_holds(const struct static_answer *a)
{
	const struct http_field *f = http_head_find(a->head, "If-Range");
	time_t t;

	if (f == NULL)
		return true;
	if (http_head_count(a->head, "If-Range") != 1)
		return false;
	if (span_eq(f->value, span_from_str(a->e->etag)))
		return true;
	return static_has_date(a, "If-Range", &t) && t == a->e->modified &&
	    a->e->modified < time(NULL);
}

static void
static_judge_range(struct static_answer *a)
{
	const struct http_field *f = http_head_find(a->head, "Range");
	uint64_t last;

	/* Range is for GET only (RFC 9110 14.2). */
	if (f == NULL || a->is_head || http_head_count(a->head, "Range") != 1 ||
	    !static_range_holds(a))
		return;
	switch (http_range_parse(f->value, a->e->size, &a->first, &last)) {
	case HTTP_RANGE_NONE:
		a->first = 0;
		break;
	case HTTP_RANGE_ONE:
		a->status = 206;
		a->length = last - a->first + 1;
		snprintf(a->content_range, sizeof(a->content_range), "bytes %llu-%llu/%llu",
		    (unsigned long long)a->first, (unsigned long long)last,
		    (unsigned long long)a->e->size);
		break;
	case HTTP_RANGE_UNSATISFIABLE:
		a->status = 416;
		a->length = 0;
		snprintf(a->content_range, sizeof(a->content_range), "bytes */%llu",
		    (unsigned long long)a->e->size);
		break;
	}
}

/* 304, 412, or 0: the conditions hold. */
static unsigned
static_judge_conditions(const struct static_answer *a)
{
	time_t t;

	if (http_head_find(a->head, "If-Match") != NULL) {
		if (!static_has_etag(a, "If-Match", false))
			return 412;
	} else if (static_has_date(a, "If-Unmodified-Since", &t) && a->e->modified > t) {
		return 412;
	}
	if (http_head_find(a->head, "If-None-Match") != NULL)
		return static_has_etag(a, "If-None-Match", true) ? 304 : 0;
	return static_has_date(a, "If-Modified-Since", &t) && a->e->modified <= t ? 304 : 0;
}

/* ---- the head */

static void
static_add(struct static_answer *a, const char *name, const char *value)
{
	a->field[a->n_fields].name = span_from_str(name);
	a->field[a->n_fields++].value = span_from_str(value);
}

/* The path with a slash behind it; never two in front, which would name a host. */
static int
static_make_location(struct static_answer *a)
{
	struct span path = a->head->path, query = a->head->query;

	while (path.n > 0 && path.p[0] == '/')
		path.p++, path.n--;
	buf_init(&a->location, 2 * HTTP1_MAX_HEAD);
	if (buf_append_char(&a->location, '/') == -1 || buf_append_span(&a->location, path) == -1 ||
	    buf_append_char(&a->location, '/') == -1)
		return -1;
	if (query.p != NULL &&
	    (buf_append_char(&a->location, '?') == -1 ||
		buf_append_span(&a->location, query) == -1))
		return -1;
	return buf_append_char(&a->location, '\0'); /* a C string */
}

/* Status, body and fields of the answer for a file, or for a folder without its slash. */
static int
static_make_answer(struct static_answer *a, enum static_verdict v)
{
	if (v == STATIC_MOVED) {
		a->status = 301;
		if (static_make_location(a) == -1)
			return -1;
		static_add(a, "Location", a->location.p);
		return 0;
	}
	if ((a->status = static_judge_conditions(a)) == 0) {
		a->status = 200;
		a->length = a->e->size;
		static_judge_range(a);
	}
	if (a->status == 412)
		return 0;
	if (a->content_range[0] != '\0')
		static_add(a, "Content-Range", a->content_range);
	if (a->status == 416)
		return 0;
	if (a->status != 304) {
		static_add(a, "Content-Type", a->e->type);
		static_add(a, "X-Content-Type-Options", "nosniff");
		static_add(a, "Accept-Ranges", "bytes");
	}
	static_add(a, "ETag", a->e->etag);
	static_add(a, "Last-Modified", a->e->last_modified);
	static_add(a, "Cache-Control", "no-cache"); /* kept, but asked for again */
	return 0;
}

static int
static_respond(const struct static_answer *a, struct stream *s)
{
	struct stream_response r = {
		.status = a->status, .field = a->field, .n_fields = a->n_fields
	};

	r.body = a->status == 200 || a->status == 206 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	r.content_length = a->length;
	if (a->status == 200)
		r.lines = a->e->lines;
	return stream_respond(s, &r);
}

/* ---- the body */

/* The end of the whole; the caller closes or aborts the stream, if it is still there. */
static void
static_over(struct static_file *f, bool complete)
{
	f->done(f->arg, f->status, f->sent, complete);
	f->s = NULL;
	static_entry_unref(f->e);
	f->e = NULL;
	loop_later_cancel(f->loop, &f->task);
	loop_timer_stop(f->loop, &f->timer);
	if (!f->posted)
		loop_object_free_later(f->loop, f);
}

static void
static_finish(struct static_file *f)
{
	struct stream *s = f->s;

	stream_end(s);
	static_over(f, true);
	stream_close(s, STATIC_LINGER_MS);
}

/* Never end a transfer that is too short: the client must see that it is broken. */
static void
static_break(struct static_file *f)
{
	struct stream *s = f->s;

	static_over(f, false);
	stream_abort(s);
}

/* So many bytes went out, or into the carrier's queue. */
static void
static_sent(struct static_file *f, size_t n)
{
	f->off += n;
	f->left -= n;
	f->sent += n;
}

/*
 * Write one piece of at most size bytes, read into p or from memory; -1 when the file ended early
 * or the stream is broken.
 */
static int
static_send(struct static_file *f, uint8_t *p, size_t size)
{
	struct iovec iov = { .iov_base = p };
	ssize_t n = 0;

	if (size > f->left)
		size = (size_t)f->left;
	if (f->e->body != NULL) {
		iov.iov_base = (void *)(uintptr_t)(f->e->body + f->off);
		n = (ssize_t)size;
	}
	while (n == 0 && (n = pread(f->e->fd, p, size, (off_t)f->off)) == -1 && errno == EINTR)
		n = 0;
	if (n <= 0)
		return -1;
	iov.iov_len = (size_t)n;
	static_sent(f, iov.iov_len);
	return stream_write(f->s, &iov, 1);
}

/* The same without reading it, where that can be done; else what p[0..room) has room for. */
static int
static_send_piece(struct static_file *f, size_t size, uint8_t *p, size_t room)
{
	ssize_t n;

	if (size > f->left)
		size = (size_t)f->left;
	if (f->e->body == NULL && !f->reads) {
		n = stream_send_file(f->s, f->e->fd, f->off, size);
		if (n == -1 && errno != EOPNOTSUPP)
			return -1;
		if (n == (ssize_t)size) {
			static_sent(f, size);
			return 0;
		}
		if (n != -1) {
			static_sent(f, (size_t)n);
			room = STATIC_WAIT;
		} else {
			f->reads = true;
		}
	}
	return static_send(f, p, size < room ? size : room);
}

/* Wait for room; who takes nothing for as long as an idle connection may live is dropped. */
static void
static_wait(struct static_file *f)
{
	f->queued = stream_queued(f->s);
	if (f->stall_ms != 0 && f->stall_ms != CONFIG_NEVER)
		loop_timer_arm(f->loop, &f->timer, loop_now_ms(f->loop) + f->stall_ms);
}

static void static_on_msg(struct loop_msg *m, struct loop *loop);

/* A turn's share of the file. */
static void
static_pump(struct static_file *f)
{
	size_t piece = stream_piece(f->s);

	if (piece > STATIC_TURN)
		piece = STATIC_TURN;
	if (f->left > 0 && stream_queued(f->s) == 0 &&
	    static_send_piece(f, piece, loop_scratch(f->loop), LOOP_SCRATCH) == -1) {
		static_break(f);
		return;
	}
	if (stream_queued(f->s) > 0) {
		static_wait(f);
	} else if (f->left == 0) {
		static_finish(f);
	} else if (!f->posted) {
		f->posted = true;
		loop_post(f->loop, &f->msg);
	}
}

static void
static_on_msg(struct loop_msg *m, struct loop *loop)
{
	struct static_file *f =
	    (struct static_file *)(void *)((char *)m - offsetof(struct static_file, msg));

	f->posted = false;
	if (f->s == NULL)
		loop_object_free_later(loop, f);
	else
		static_pump(f);
}

static void
static_on_task(struct loop_task *t)
{
	static_pump((struct static_file *)(void *)((char *)t - offsetof(struct static_file, task)));
}

static void
static_on_timer(struct loop_timer *t)
{
	struct static_file *f =
	    (struct static_file *)(void *)((char *)t - offsetof(struct static_file, timer));

	if (stream_queued(f->s) < f->queued)
		static_wait(f);
	else
		static_break(f);
}

static void
static_on_room(struct stream *s)
{
	struct static_file *f = s->user;

	loop_timer_stop(f->loop, &f->timer);
	loop_later(f->loop, &f->task, static_on_task);
}

static void
static_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)e;
	(void)why;
	static_over(s->user, false);
}

/* A body with a GET means nothing (RFC 9110 9.3.1). */
static void
static_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	(void)s;
	(void)p;
	(void)n;
}

static void
static_on_end(struct stream *s)
{
	(void)s;
}

static const struct stream_events static_events = {
	.bytes = static_on_bytes,
	.room = static_on_room,
	.end = static_on_end,
	.reset = static_on_reset,
};

/* ---- the request */

static struct static_file *
static_file_new(struct loop *loop, struct stream *s, const struct static_answer *a,
    static_done_fn *done, void *arg)
{
	const struct stream_info *info = stream_info(s);
	struct static_file *f;

	if ((f = loop_object(loop, sizeof(*f))) == NULL)
		return NULL;
	f->msg.fn = static_on_msg;
	f->timer.fn = static_on_timer;
	f->loop = loop;
	f->s = s;
	f->e = a->e;
	f->off = a->first;
	f->left = a->is_head ? 0 : a->length;
	f->status = a->status;
	f->stall_ms = info->listen->idle_connection_timeout_ms;
	f->done = done;
	f->arg = arg;
	return f;
}

/* The head, and as much of the body as fits beside it. */
static void
static_send_answer(struct static_file *f, const struct static_answer *a)
{
	uint8_t first[STATIC_FIRST];

	stream_attach(f->s, &static_events, f);
	if (static_respond(a, f->s) == -1 ||
	    (f->left > 0 && stream_queued(f->s) == 0 &&
		static_send_piece(f, STATIC_TURN, first, sizeof(first)) == -1))
		static_break(f);
	else if (stream_queued(f->s) > 0)
		static_wait(f);
	else if (f->left == 0)
		static_finish(f);
	else
		loop_later(f->loop, &f->task, static_on_task);
}

static void
static_refuse(struct stream *s, const struct static_answer *a, enum static_verdict v,
    static_done_fn *done, void *arg)
{
	const char *why = static_refusals[v].why;

	done(arg, reply_status(s, static_refusals[v].kind), a->is_head ? 0 : strlen(why) + 1, true);
	reply_send(s, static_refusals[v].kind, a->is_head, why);
}

void
static_start(struct loop *loop, struct static_files *files, struct stream *s,
    const struct stream_request *r, const struct config_route *route, static_done_fn *done,
    void *arg)
{
	struct static_answer a = { .head = r->head };
	struct static_file *f = NULL;
	enum static_verdict v;

	a.is_head = span_eq(r->head->method, SPAN_LIT("HEAD"));
	v = static_find(&a, files, route);
	if ((v == STATIC_FOUND || v == STATIC_MOVED) &&
	    (static_make_answer(&a, v) == -1 ||
		(f = static_file_new(loop, s, &a, done, arg)) == NULL))
		v = STATIC_NO_MEMORY;
	if (f != NULL) {
		static_send_answer(f, &a);
	} else {
		static_entry_unref(a.e);
		static_refuse(s, &a, v, done, arg);
	}
	buf_clear(&a.location);
}
