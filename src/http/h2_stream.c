/*
 * Streams of an HTTP/2 connection: the seam's operations, and what waits for their users.  See
 * h2_int.h.
 *
 * The life of a stream: nghttp2 opens it (h2_stream_new), its head is handed up as a request,
 * the user responds or accepts, closes or aborts; nghttp2 closes it when both sides have ended
 * or one has reset it (H2P_CLOSED).  It is freed when nghttp2 and the user are both through with
 * it, by h2_process and nowhere else.
 *
 * Flow control is the back-pressure: a byte's window is given back when the user has taken it,
 * so what waits in `in` is bounded by the stream's window.
 */
#include <stdio.h>
#include <string.h>

#include "http/h2_int.h"

/* A WebSocket's window grows to its route's BufferLimit, up to this. */
#define H2_STREAM_WINDOW_MAX (16 << 20)

/* What all streams of a connection may have waiting by stream_piece, and what is worth a frame. */
#define H2_PIECES (512 << 10)
#define H2_PIECE_MIN (16 << 10)

static const struct stream_ops h2_ops;

static struct h2_stream *
h2s_of(const struct stream *s)
{
	return (struct h2_stream *)(uintptr_t)((const char *)s - offsetof(struct h2_stream, s));
}

struct h2_stream *
h2_stream_new(struct h2_server *h2c, int32_t id)
{
	struct h2_stream *h2s;

	if ((h2s = loop_object(h2c->c.t.loop, sizeof(*h2s))) == NULL)
		return NULL;
	if ((h2s->head = h2_head_new()) == NULL) {
		loop_object_free_later(h2c->c.t.loop, h2s);
		return NULL;
	}
	h2s->s.ops = &h2_ops;
	h2s->h2c = h2c;
	h2s->id = id;
	if ((h2s->next = h2c->streams) != NULL)
		h2s->next->prev = &h2s->next;
	h2s->prev = &h2c->streams;
	h2c->streams = h2s;
	h2c->n_streams++;
	return h2s;
}

void
h2_pend(struct h2_stream *h2s, enum h2_pending what)
{
	struct h2_server *h2c = h2s->h2c;

	h2s->pend |= (uint8_t)what;
	if (h2s->listed)
		return;
	h2s->listed = true;
	h2s->pend_next = NULL;
	*h2c->pend_tail = h2s;
	h2c->pend_tail = &h2s->pend_next;
	h2_dirty(h2c);
}

static void
h2_stream_free(struct h2_stream *h2s)
{
	struct h2_server *h2c = h2s->h2c;

	if (h2s->state == H2S_HEAD)
		h2_head_free(h2s->head);
	h2_queue_clear(&h2s->in);
	h2_queue_clear(&h2s->out);
	h2_trailers_drop(&h2c->trailers, h2s);
	if ((*h2s->prev = h2s->next) != NULL)
		h2s->next->prev = h2s->prev;
	loop_object_free_later(h2c->c.t.loop, h2s);
}

/* ---- up: bytes */

/* Bytes that nobody wants. */
static void
h2_stream_drop_in(struct h2_stream *h2s)
{
	h2_session_consume(h2s, h2_queue_bytes(&h2s->in));
	h2_queue_clear(&h2s->in);
}

/* Hand up what the user takes of p[0..n); how much that was. */
static size_t
h2_stream_give(struct h2_stream *h2s, uint8_t *p, size_t n)
{
	const struct stream_events *ev;
	size_t used = 0, part;

	while (used < n) {
		if ((ev = h2s->s.ev) == NULL)
			return n; /* nobody is there: dropped */
		if (h2s->s.holds != 0)
			break;
		part = n - used;
		if (ev->budget != NULL) {
			size_t budget = ev->budget(&h2s->s);

			part = budget < part ? budget : part;
		}
		if (part == 0)
			break;
		if (ev->bytes != NULL)
			ev->bytes(&h2s->s, p + used, part);
		used += part;
	}
	return used;
}

/* What waits in the queue, as far as it is taken. */
static void
h2_stream_deliver(struct h2_stream *h2s)
{
	struct h2_block *b;
	size_t n, used;

	while ((b = h2s->in.first) != NULL) {
		n = b->n - b->off;
		used = h2_stream_give(h2s, b->data + b->off, n);
		/* The user may have left and the queue with it. */
		if (h2s->in.first != b)
			return;
		h2_session_consume(h2s, used);
		h2_queue_consume(&h2s->in, used);
		if (used < n)
			return;
	}
	if (h2s->end_in && !h2s->end_told)
		h2_pend(h2s, H2P_END);
}

void
h2_deliver_run(struct h2_server *h2c)
{
	struct h2_run run = h2c->run;
	size_t used = 0;

	h2c->run.s = NULL;
	if (run.s == NULL)
		return;
	if (h2_queue_bytes(&run.s->in) == 0 || run.s->s.ev == NULL)
		used = h2_stream_give(run.s, run.p, run.n);
	h2_session_consume(run.s, used);
	if (used == run.n)
		return;
	if (h2_queue_append(&run.s->in, h2c->c.t.loop, run.p + used, run.n - used) == -1) {
		h2_session_consume(run.s, run.n - used);
		h2_session_reset(run.s, NGHTTP2_INTERNAL_ERROR);
	}
}

/* Trailers that came go up, right before the end. */
static void
h2_stream_trailers(struct h2_stream *h2s)
{
	struct h2_trailers *tr = h2_trailers_take(&h2s->h2c->trailers, h2s, H2_TRAILERS_IN);
	struct http_field field[HTTP1_MAX_TRAILERS];
	size_t n = tr != NULL ? h2_trailers_fields(tr, field) : 0;

	if (n > 0 && h2s->s.ev->trailers != NULL)
		h2s->s.ev->trailers(&h2s->s, field, n);
	h2_trailers_free(tr);
}

/* END_STREAM, when the bytes before it are taken. */
static void
h2_stream_end(struct h2_stream *h2s)
{
	const struct stream_events *ev = h2s->s.ev;

	if (ev == NULL || h2_queue_bytes(&h2s->in) > 0)
		return;
	if (h2s->is_websocket && h2s->state == H2S_REQUEST) {
		/* RFC 8441 5: a FIN within the handshake. */
		h2s->s.ev = NULL;
		ev->reset(&h2s->s, STREAM_E_PEER, "the client left before the handshake was over");
		h2_session_reset(h2s, NGHTTP2_CANCEL);
	} else if (h2s->s.holds == 0 && !h2s->end_told) {
		h2s->end_told = true;
		h2_stream_trailers(h2s);
		if (h2s->s.ev == ev && ev->end != NULL)
			ev->end(&h2s->s);
	}
}

/* nghttp2 has closed it: a reset, unless both sides had ended. */
static void
h2_stream_closed(struct h2_stream *h2s)
{
	const struct stream_events *ev = h2s->s.ev;
	char why[80];

	if (ev != NULL) {
		if (h2s->end_in && h2s->end_sent && h2s->error == NGHTTP2_NO_ERROR)
			return; /* it is the user's to close it */
		h2s->s.ev = NULL;
		snprintf(why, sizeof(why), "the stream was reset (%s)",
		    nghttp2_http2_strerror(h2s->error));
		ev->reset(&h2s->s, STREAM_E_PEER, why);
	}
	h2_stream_drop_in(h2s);
	h2_stream_free(h2s);
}

/* ---- up: the request */

/* The stream is reset then, if the peer has not done its part. */
static void
h2_stream_linger(struct h2_stream *h2s, uint64_t ms)
{
	struct h2_server *h2c = h2s->h2c;

	h2s->linger_at_ms = ms == CONFIG_NEVER ? 0 : loop_now_ms(h2c->c.t.loop) + ms;
	if (h2s->linger_at_ms != 0 &&
	    (h2c->linger_at_ms == 0 || h2s->linger_at_ms < h2c->linger_at_ms)) {
		h2c->linger_at_ms = h2s->linger_at_ms;
		h2_arm(h2c);
	}
}

void
h2_stream_flushes(struct h2_stream *h2s)
{
	h2_stream_linger(h2s, h2s->h2c->c.listen->idle_connection_timeout_ms);
}

/* Refuse what never became a request. */
static void
h2_stream_refuse(
    struct h2_stream *h2s, const struct stream_request *r, unsigned status, const char *why)
{
	const struct http_field fields[] = {
		{ SPAN_LIT("content-type"), SPAN_LIT("text/plain; charset=utf-8") },
		{ SPAN_LIT("retry-after"), span_from_str(http_refusal_retry(status)) },
	};
	struct h2_server *h2c = h2s->h2c;
	uint64_t length = strlen(why) + 1;

	h2s->responded = true;
	if (h2_session_respond(h2s, status, fields, h2s->h2c->c.refuse != 0 ? 2 : 1, false, &length,
		h2s->is_head) == -1 ||
	    (!h2s->is_head &&
		(h2_queue_append(&h2s->out, h2s->h2c->c.t.loop, why, (size_t)length - 1) == -1 ||
		    h2_queue_append(&h2s->out, h2s->h2c->c.t.loop, "\n", 1) == -1))) {
		h2_session_reset(h2s, NGHTTP2_INTERNAL_ERROR);
	} else {
		h2s->end_out = true;
		if (!h2s->is_head)
			h2_session_resume(h2s);
		h2_stream_flushes(h2s);
	}
	h2c->c.list->handler->refused(h2c->c.list->handler->arg, http_conn_info(&h2c->c),
	    r->head != NULL ? r : NULL, status, why);
}

static void
h2_stream_request(struct h2_stream *h2s)
{
	/* What is equal is served in turns, a frame each (RFC 9218 10). */
	nghttp2_extpri pri = { .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1 };
	struct h2_server *h2c = h2s->h2c;
	struct h2_head *hd = h2s->head;
	struct stream_request r;
	struct http_head head;
	const char *why = NULL;
	unsigned status;

	if (h2s->closed || h2s->reset || h2c->state != H2_OPEN)
		return;
	h2c->first_at_ms = 0;
	nghttp2_session_change_extpri_stream_priority(h2c->ng, h2s->id, &pri, 1);
	status = h2_head_judge(hd, h2s->no_body_in, &head, &r, &why);
	h2s->state = H2S_REQUEST;
	h2s->response_left = 0; /* where the head stood */
	h2s->is_head = span_eq(head.method, SPAN_LIT("HEAD"));
	h2s->is_websocket = r.ws != WS_REQUEST_NONE;
	if (status == 0 && h2c->c.refuse != 0) {
		status = h2c->c.refuse;
		why = http_refusal_why(status);
	}
	if (status != 0)
		h2_stream_refuse(h2s, &r, status, why);
	else
		h2c->c.list->handler->request(h2c->c.list->handler->arg, &h2s->s, &r);
	h2_head_free(hd);
	if (h2s->end_in)
		h2_pend(h2s, H2P_END);
}

static void
h2_process_one(struct h2_server *h2c, struct h2_stream *h2s)
{
	uint8_t what = h2s->pend;

	h2s->pend = 0;
	h2s->listed = false;
	if ((what & H2P_REQUEST) != 0)
		h2_stream_request(h2s);
	if ((what & (H2P_END | H2P_CLOSED)) != 0 && h2c->run.s == h2s)
		h2_deliver_run(h2c);
	if ((what & H2P_DELIVER) != 0)
		h2_stream_deliver(h2s);
	if ((what & H2P_END) != 0)
		h2_stream_end(h2s);
	if ((what & H2P_ROOM) != 0 && h2s->s.ev != NULL && h2s->s.ev->room != NULL &&
	    h2_queue_bytes(&h2s->out) == 0)
		h2s->s.ev->room(&h2s->s);
	if ((what & H2P_CLOSED) != 0) {
		if (h2s->listed)
			h2s->pend |= H2P_CLOSED; /* something else came up: that first */
		else
			h2_stream_closed(h2s);
	}
}

void
h2_process(struct h2_server *h2c)
{
	struct h2_stream *h2s;

	while (h2c->state != H2_DEAD && (h2s = h2c->pend_first) != NULL) {
		if ((h2c->pend_first = h2s->pend_next) == NULL)
			h2c->pend_tail = &h2c->pend_first;
		h2_process_one(h2c, h2s);
	}
}

void
h2_streams_reset(struct h2_server *h2c, enum stream_error e, const char *why)
{
	const struct stream_events *ev;

	for (struct h2_stream *h2s = h2c->streams; h2s != NULL; h2s = h2s->next) {
		if ((ev = h2s->s.ev) == NULL)
			continue;
		h2s->s.ev = NULL;
		ev->reset(&h2s->s, e, why);
	}
}

void
h2_streams_free(struct h2_server *h2c)
{
	struct h2_stream *h2s;

	while ((h2s = h2c->streams) != NULL)
		h2_stream_free(h2s);
	h2c->pend_first = NULL;
	h2c->pend_tail = &h2c->pend_first;
}

/* ---- down */

/* Whether the stream still takes what its user says. */
static bool
h2_stream_open(const struct h2_stream *h2s)
{
	return !h2s->closed && !h2s->reset && h2s->h2c->state == H2_OPEN;
}

static int
h2_op_respond(struct stream *s, const struct stream_response *r)
{
	struct h2_stream *h2s = h2s_of(s);
	const uint64_t *length =
	    r->body == HTTP_BODY_LENGTH && r->status != 204 ? &r->content_length : NULL;

	if (!h2_stream_open(h2s) || h2s->state != H2S_REQUEST || h2s->responded)
		return -1;
	h2s->responded = true;
	h2s->no_body = h2s->is_head || r->status == 204 || r->status == 304;
	h2s->length_known = r->body == HTTP_BODY_LENGTH;
	h2s->response_left = h2s->length_known ? r->content_length : 0;
	h2s->end_out = h2s->no_body || r->body == HTTP_BODY_NONE ||
	    (h2s->length_known && h2s->response_left == 0);
	if (h2_session_respond(
		h2s, r->status, r->field, r->n_fields, r->lines.n > 0, length, h2s->end_out) == 0)
		return 0;
	h2_session_reset(h2s, NGHTTP2_INTERNAL_ERROR);
	return -1;
}

static int
h2_op_inform(struct stream *s, unsigned status, const struct http_field *field, size_t n_fields)
{
	struct h2_stream *h2s = h2s_of(s);

	if (!h2_stream_open(h2s) || h2s->state != H2S_REQUEST || h2s->responded)
		return -1;
	return h2_session_inform(h2s, status, field, n_fields);
}

static int
h2_op_accept(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct h2_stream *h2s = h2s_of(s);
	size_t budget;

	if (!h2_stream_open(h2s) || !h2s->is_websocket || h2s->responded)
		return -1;
	h2s->responded = true;
	if (h2_session_respond(h2s, 200, field, n_fields, false, NULL, false) == -1) {
		h2_session_reset(h2s, NGHTTP2_INTERNAL_ERROR);
		return -1;
	}
	h2s->state = H2S_WEBSOCKET;
	h2s->linger_at_ms = 0;
	/* What the user lets wait is what the client may send unasked. */
	budget = s->ev != NULL && s->ev->budget != NULL ? s->ev->budget(s) : 0;
	if (budget > H2_STREAM_WINDOW_MAX)
		budget = H2_STREAM_WINDOW_MAX;
	if (budget > h2s->h2c->window)
		nghttp2_session_set_local_window_size(
		    h2s->h2c->ng, NGHTTP2_FLAG_NONE, h2s->id, (int32_t)budget);
	return 0;
}

static int
h2_op_write(struct stream *s, const struct iovec *iov, int n)
{
	struct h2_stream *h2s = h2s_of(s);
	size_t bytes = 0;

	if (!h2_stream_open(h2s) || !h2s->responded)
		return -1;
	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	if (h2s->state == H2S_REQUEST) {
		if (h2s->end_out)
			return h2s->no_body || bytes == 0 ? 0 : -1;
		if (h2s->length_known && bytes > h2s->response_left)
			return -1;
		h2s->response_left -= h2s->length_known ? bytes : 0;
	} else if (h2s->end_out) {
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (h2_queue_append(
			&h2s->out, h2s->h2c->c.t.loop, iov[i].iov_base, iov[i].iov_len) == 0)
			continue;
		h2_session_reset(h2s, NGHTTP2_INTERNAL_ERROR);
		return -1;
	}
	/* The last byte of a known length takes END_STREAM along. */
	if (h2s->state == H2S_REQUEST && h2s->length_known && h2s->response_left == 0)
		h2s->end_out = true;
	h2_session_resume(h2s);
	return 0;
}

static void
h2_op_trailers(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct h2_stream *h2s = h2s_of(s);
	struct h2_server *h2c = h2s->h2c;
	int ret = 0;

	/* Where the length was told END_STREAM went with the last byte. */
	if (h2_stream_open(h2s) && h2s->state == H2S_REQUEST && h2s->responded && !h2s->end_out &&
	    n_fields > 0) {
		ret = h2_trailers_begin(&h2c->trailers, h2s, H2_TRAILERS_OUT);
		for (size_t i = 0; i < n_fields && ret == 0; i++)
			ret = h2_trailers_add(
			    h2c->trailers, h2s, H2_TRAILERS_OUT, field[i].name, field[i].value);
	}
	if (ret == 0)
		s->ops->end(s);
	else
		h2_session_reset(h2s, NGHTTP2_INTERNAL_ERROR);
}

static void
h2_op_end(struct stream *s)
{
	struct h2_stream *h2s = h2s_of(s);

	if (h2s->end_out || !h2s->responded)
		return;
	if (h2s->state == H2S_REQUEST && h2s->length_known && h2s->response_left > 0)
		return; /* cut short: stream_close will break it off */
	h2s->end_out = true;
	h2_session_resume(h2s);
}

static void
h2_op_close(struct stream *s, uint64_t linger_ms)
{
	struct h2_stream *h2s = h2s_of(s);

	s->holds = 0;
	h2_stream_drop_in(h2s);
	h2_op_end(s);
	if (h2s->closed) {
		h2_pend(h2s, H2P_CLOSED);
		return;
	}
	if (!h2s->end_out) {
		/* The client must see that the body is not whole. */
		h2_session_reset(h2s, NGHTTP2_INTERNAL_ERROR);
	} else if (h2s->state == H2S_REQUEST && h2s->end_sent && !h2s->end_in) {
		h2_session_reset(h2s, NGHTTP2_NO_ERROR); /* RFC 9113 8.1 */
	} else if (h2s->state == H2S_WEBSOCKET) {
		/* A peer that is through has END_STREAM on its way. */
		h2_stream_linger(h2s, linger_ms != 0 ? linger_ms : HTTP_LINGER_MS);
	} else {
		h2_stream_flushes(h2s);
	}
}

/*
 * Whether its user is gone and the peer has something to do: to take what waits, or to end its
 * side.
 */
static bool
h2_stream_lingers(const struct h2_stream *h2s)
{
	return h2s->s.ev == NULL && h2s->state != H2S_HEAD && h2s->end_out && !h2s->closed &&
	    !h2s->reset && h2s->linger_at_ms != 0;
}

void
h2_streams_linger(struct h2_server *h2c, uint64_t now_ms)
{
	uint64_t next = 0;

	for (struct h2_stream *h2s = h2c->streams; h2s != NULL; h2s = h2s->next) {
		if (!h2_stream_lingers(h2s))
			continue;
		if (h2s->linger_at_ms <= now_ms)
			h2_session_reset(h2s, NGHTTP2_CANCEL);
		else if (next == 0 || h2s->linger_at_ms < next)
			next = h2s->linger_at_ms;
		if (h2s->linger_at_ms <= now_ms)
			h2s->linger_at_ms = 0;
	}
	h2c->linger_at_ms = next;
}

static void
h2_op_abort(struct stream *s)
{
	struct h2_stream *h2s = h2s_of(s);

	s->holds = 0;
	h2_stream_drop_in(h2s);
	if (h2s->closed) {
		h2_pend(h2s, H2P_CLOSED);
		return;
	}
	/* RFC 8441 5: CANCEL is what a RST is to TCP; a response that breaks off is our fault. */
	h2_session_reset(h2s,
	    h2s->state == H2S_REQUEST && h2s->responded ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL);
}

static void
h2_op_flow(struct stream *s)
{
	struct h2_stream *h2s = h2s_of(s);

	if (s->holds == 0 && (h2_queue_bytes(&h2s->in) > 0 || (h2s->end_in && !h2s->end_told)))
		h2_pend(h2s, H2P_DELIVER);
}

static size_t
h2_op_queued(const struct stream *s)
{
	return h2_queue_bytes(&h2s_of(s)->out);
}

static size_t
h2_op_piece(const struct stream *s)
{
	size_t n = H2_PIECES / (h2s_of(s)->h2c->n_streams + 1);

	return n > H2_PIECE_MIN ? n : H2_PIECE_MIN;
}

static const struct stream_info *
h2_op_info(const struct stream *s)
{
	const struct h2_stream *h2s = h2s_of(s);

	http_conn_info(&h2s->h2c->c);
	h2s->h2c->c.list->info.stream_id = (uint32_t)h2s->id;
	return &h2s->h2c->c.list->info;
}

static const struct stream_ops h2_ops = {
	.respond = h2_op_respond,
	.inform = h2_op_inform,
	.accept = h2_op_accept,
	.write = h2_op_write,
	.trailers = h2_op_trailers,
	.end = h2_op_end,
	.close = h2_op_close,
	.abort = h2_op_abort,
	.flow = h2_op_flow,
	.queued = h2_op_queued,
	.piece = h2_op_piece,
	.info = h2_op_info,
};
