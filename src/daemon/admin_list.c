/*
 * Requests of the admin endpoint that all workers are asked for: /connections, and closing one of
 * them.
 *
 * The workers are asked one after another, and each for a slice at a time: the slice comes back as
 * the text that is sent, and the next one is asked for when the client has taken it.  So a
 * worker's connections wait for one slice at most, an answer of any length costs the memory of one
 * slice, and a client that does not read costs nothing more.
 *
 * A struct admin_list is the worker's between worker_call and the message back, and the main
 * thread's else.  The client may leave meanwhile: then s is NULL, and the walk is given up where
 * it stands, on its worker, before the memory goes.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/admin_int.h"
#include "daemon/admin_write.h"

/* Walks at once; each may have a slice on a worker. */
#define LIST_MAX 4
/* A slice: how many sessions are looked at, and how long its text may get. */
#define LIST_SLICE 250
#define LIST_SLICE_CLOSE 2000
#define LIST_TEXT (64 * 1024)
#define LIST_TEXT_MAX (LIST_TEXT + 16 * 1024)
/* A client that takes nothing for so long is dropped. */
#define LIST_STALL_MS 30000
#define LIST_LINGER_MS 2000

struct admin_list {
	struct worker_call call; /* to a worker */
	struct loop_msg back;	 /* and from it */
	struct admin_list *next, **prev;
	struct admin *a;	   /* borrowed */
	struct stream *s;	   /* borrowed; NULL: the client is gone */
	struct gateway_walk *walk; /* owned; over this worker */
	struct gateway_filter filter;
	struct loop_timer timer; /* a client that takes nothing */
	struct buf text;	 /* of the slice */
	size_t worker;		 /* which one is asked */
	enum gateway_closed closed;
	bool closing;	/* ADMIN_CLOSE */
	bool tsv, some; /* some: there was one */
	bool asked;	/* it is the worker's now */
	bool more;	/* the walk is not over */
	bool stop;	/* the walk is to be given up */
	bool failed;	/* the text is not whole */
};

static void list_ask(struct admin_list *l);

/* ---- on the worker's thread */

static bool
list_on_seen(void *arg, const struct gateway_seen *seen)
{
	struct admin_list *l = arg;

	if (admin_write_connection(&l->text, l->tsv, !l->some, seen) != 0) {
		l->failed = true;
		return false;
	}
	l->some = true;
	return l->text.n < LIST_TEXT;
}

static void
list_on_worker(struct worker_call *c, struct gateway *gw)
{
	struct admin_list *l = (struct admin_list *)(void *)c;

	if (l->stop) {
		gateway_walk_stop(l->walk);
		l->more = false;
	} else if (l->closing) {
		l->closed = gateway_walk_close(gw, l->walk, LIST_SLICE_CLOSE);
		l->more = l->closed == GATEWAY_CLOSE_GOES_ON;
	} else {
		l->more = gateway_walk_step(gw, l->walk, LIST_SLICE, list_on_seen, l);
	}
	loop_post(l->a->d->loop, &l->back);
}

/* ---- on the main thread */

static void
list_free(struct admin_list *l)
{
	loop_timer_stop(l->a->d->loop, &l->timer);
	if ((*l->prev = l->next) != NULL)
		l->next->prev = l->prev;
	l->a->n_lists--;
	gateway_walk_free(l->walk);
	buf_clear(&l->text);
	loop_free_later(l->a->d->loop, l);
}

/* The client is gone, or is to go. */
static void
list_give_up(struct admin_list *l)
{
	l->s = NULL;
	loop_timer_stop(l->a->d->loop, &l->timer);
	if (l->asked)
		return; /* list_on_back goes on */
	/* The sessions among which a walk stands have ended with the workers. */
	if (!l->more || l->a->ending) {
		list_free(l);
		return;
	}
	l->stop = true;
	list_ask(l);
}

/* What was sent cannot be made whole: the client must see that. */
static void
list_break(struct admin_list *l)
{
	struct stream *s = l->s;

	list_give_up(l);
	stream_abort(s);
}

static void
list_finish_close(struct admin_list *l)
{
	struct stream *s = l->s;
	enum gateway_closed closed = l->closed;

	list_free(l);
	switch (closed) {
	case GATEWAY_CLOSE_GOES_ON:
	case GATEWAY_CLOSE_NONE:
		admin_reply_line(s, 404, NULL, "there is no such connection");
		break;
	case GATEWAY_CLOSE_SENT:
		admin_reply_line(s, 200, NULL, "closing");
		break;
	case GATEWAY_CLOSE_ALREADY:
		admin_reply_line(s, 200, NULL, "closing already");
		break;
	case GATEWAY_CLOSE_NOT_OPEN:
		admin_reply_line(s, 409, NULL, "this is not an open WebSocket");
		break;
	}
}

static void
list_write(struct admin_list *l)
{
	struct iovec iov = { l->text.p, l->text.n };

	if (l->text.n > 0)
		stream_write(l->s, &iov, 1);
	l->text.n = 0;
}

static void
list_finish(struct admin_list *l)
{
	struct stream *s = l->s;

	if (l->closing) {
		list_finish_close(l);
		return;
	}
	if (admin_write_connections_end(&l->text, l->tsv) != 0) {
		list_break(l);
		return;
	}
	list_write(l);
	list_free(l);
	stream_end(s);
	stream_close(s, LIST_LINGER_MS);
}

/* The next slice, or the next worker's first one. */
static void
list_go_on(struct admin_list *l)
{
	if (!l->more) {
		if (++l->worker >= l->a->d->n_workers) {
			list_finish(l);
			return;
		}
		gateway_walk_free(l->walk);
		if ((l->walk = gateway_walk_new(&l->filter)) == NULL) {
			list_break(l);
			return;
		}
	}
	list_ask(l);
}

static void
list_on_back(struct loop_msg *m, struct loop *loop)
{
	struct admin_list *l =
	    (struct admin_list *)(void *)((char *)m - offsetof(struct admin_list, back));

	l->asked = false;
	if (l->s == NULL) {
		list_give_up(l);
		return;
	}
	if (l->failed) {
		list_break(l);
		return;
	}
	if (l->closing && l->closed != GATEWAY_CLOSE_GOES_ON && l->closed != GATEWAY_CLOSE_NONE) {
		list_finish(l);
		return;
	}
	list_write(l);
	if (stream_queued(l->s) > 0)
		loop_timer_arm(loop, &l->timer, loop_now_ms(loop) + LIST_STALL_MS);
	else
		list_go_on(l);
}

static void
list_ask(struct admin_list *l)
{
	l->asked = true;
	l->back.fn = list_on_back;
	l->call.fn = list_on_worker;
	worker_call(l->a->d->worker[l->worker], &l->call);
}

/* ---- the client's stream */

static void
list_on_room(struct stream *s)
{
	struct admin_list *l = s->user;

	if (l->asked || l->closing)
		return;
	loop_timer_stop(l->a->d->loop, &l->timer);
	list_go_on(l);
}

static void
list_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	(void)e;
	(void)why;
	list_give_up(s->user);
}

static void
list_on_timer(struct loop_timer *t)
{
	list_break((struct admin_list *)(void *)((char *)t - offsetof(struct admin_list, timer)));
}

/* What a request's body says does not matter here. */
static void
list_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	(void)s;
	(void)p;
	(void)n;
}

static const struct stream_events list_events = {
	.bytes = list_on_bytes,
	.room = list_on_room,
	.reset = list_on_reset,
};

/* ---- the request */

static int
list_respond(struct admin_list *l)
{
	const struct http_field field[] = {
		{ SPAN_LIT("Content-Type"), span_from_str(l->tsv ? ADMIN_TSV : ADMIN_JSON) },
		{ SPAN_LIT("Cache-Control"), SPAN_LIT("no-store") },
		{ SPAN_LIT("X-Content-Type-Options"), SPAN_LIT("nosniff") },
	};
	struct stream_response r = {
		.status = 200, .field = field, .n_fields = 3, .body = HTTP_BODY_EOF
	};

	if (stream_respond(l->s, &r) == -1)
		return -1;
	return admin_write_connections_begin(&l->text, l->tsv);
}

static struct admin_list *
list_new(struct admin *a, struct stream *s, const struct admin_request *r)
{
	struct admin_list *l;

	if ((l = mem_zalloc(sizeof(*l))) == NULL)
		return NULL;
	if ((l->walk = gateway_walk_new(&r->filter)) == NULL) {
		mem_free(l);
		return NULL;
	}
	buf_init(&l->text, LIST_TEXT_MAX);
	l->timer.fn = list_on_timer;
	l->a = a;
	l->s = s;
	l->filter = r->filter;
	l->tsv = r->tsv;
	l->closing = r->what == ADMIN_CLOSE;
	if ((l->next = a->lists) != NULL)
		l->next->prev = &l->next;
	l->prev = &a->lists;
	a->lists = l;
	a->n_lists++;
	return l;
}

void
admin_list_start(struct admin *a, struct stream *s, const struct admin_request *r)
{
	struct admin_list *l;

	if (a->n_lists >= LIST_MAX) {
		admin_reply_line(s, 503, NULL, "too many of these requests are under way");
		return;
	}
	if ((l = list_new(a, s, r)) == NULL) {
		admin_reply_line(s, 500, NULL, "out of memory");
		return;
	}
	stream_attach(s, &list_events, l);
	if (!l->closing && list_respond(l) == -1) {
		list_break(l);
		return;
	}
	if (r->is_head)
		list_finish(l); /* nobody wants the rest */
	else
		list_ask(l);
}

void
admin_list_free_all(struct admin *a)
{
	/* The threads have ended: what a worker had is ours again. */
	while (a->lists != NULL)
		list_free(a->lists);
}
