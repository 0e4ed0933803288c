/*
 * The way down of an HTTP/1.1 connection from a client: the operations of its stream, which are
 * responses, handshakes' answers, and the bytes behind them.  See h1_server.c.
 *
 * A head waits for the first bytes of its body, or for the turn's end, so that both leave with one
 * write.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "http/h1_server_int.h"
#include "http/h1_trailers.h"
#include "http/reply.h"

/* Bytes of a request's body that are read only to reach the next request. */
#define H1_BODY_DROP 65536
/* Iovecs of one write of the user, with chunk framing around them. */
#define H1_IOV_MAX 32
/*
 * What most heads fit into, with a small body behind them: more is not copied to leave in one
 * piece.
 */
#define H1_HEAD_USUAL 1000

void
h1_flush_head(struct h1_server *h1c)
{
	struct h1_http *h = h1c->http;
	struct iovec iov = { .iov_base = h->out.p, .iov_len = h->out.n };

	if (h->out.n == 0)
		return;
	transport_write(&h1c->c.t, &iov, 1);
	buf_clear(&h->out);
}

static int
h1_put_length(struct buf *b, uint64_t n)
{
	if (buf_append_str(b, "Content-Length: ") == -1 || buf_append_uint(b, n) == -1)
		return -1;
	return buf_append(b, "\r\n", 2);
}

/* How the response's body is framed (RFC 9112 6). */
static int
h1_put_framing(struct h1_http *h, const struct stream_response *r)
{
	h->no_body = h->is_head || r->status == 204 || r->status == 304 || r->status < 200;
	h->response_body = r->body;
	h->response_left = r->body == HTTP_BODY_LENGTH ? r->content_length : 0;
	if (r->body == HTTP_BODY_LENGTH && r->status != 204)
		return h1_put_length(&h->out, r->content_length);
	if (r->body == HTTP_BODY_NONE && !h->no_body) {
		h->response_body = HTTP_BODY_LENGTH;
		return buf_append_str(&h->out, "Content-Length: 0\r\n");
	}
	if (r->body == HTTP_BODY_EOF || r->body == HTTP_BODY_CHUNKED) {
		if (h->minor0) {
			h->response_body = HTTP_BODY_EOF;
			h->keep_alive = false;
			return 0;
		}
		h->response_body = HTTP_BODY_CHUNKED;
		return h->is_head || !h->no_body
		    ? buf_append_str(&h->out, "Transfer-Encoding: chunked\r\n")
		    : 0;
	}
	return 0;
}

/* 1: a Date was among them; 0; -1 without memory. */
static int
h1_put_end_to_end(struct buf *b, const struct http_field *f, size_t n)
{
	bool date = false;

	for (size_t i = 0; i < n; i++) {
		/* Whoever made them: nothing that could end a line goes out. */
		if (!http_is_token(f[i].name) || !http_is_field_value(f[i].value))
			continue;
		date |= span_eq_nocase(f[i].name, SPAN_LIT("Date"));
		if (buf_append_span(b, f[i].name) == -1 || buf_append(b, ": ", 2) == -1 ||
		    buf_append_span(b, f[i].value) == -1 || buf_append(b, "\r\n", 2) == -1)
			return -1;
	}
	return date;
}

/* Those of a response that has them ready. */
static int
h1_put_lines(struct h1_server *h1c, struct span lines)
{
	struct buf *b = &h1c->http->out;

	return buf_append_span(b, lines) == -1 ? -1 : buf_append_span(b, http_conn_date(&h1c->c));
}

static int
h1_put_fields(struct h1_server *h1c, const struct http_field *f, size_t n)
{
	struct buf *b = &h1c->http->out;
	int ret = h1_put_end_to_end(b, f, n);

	return ret == 0 ? buf_append_span(b, http_conn_date(&h1c->c)) : ret == 1 ? 0 : -1;
}

/* The status line (RFC 9112 4), in memory that most heads fit into. */
static int
h1_put_status(struct buf *b, unsigned status, struct span reason)
{
	if (buf_reserve(b, H1_HEAD_USUAL) == -1 || buf_append_str(b, "HTTP/1.1 ") == -1 ||
	    buf_append_uint(b, status) == -1 || buf_append_char(b, ' ') == -1 ||
	    buf_append_span(b, reason) == -1)
		return -1;
	return buf_append(b, "\r\n", 2);
}

/* Whether what is left of the request's body is not worth reading if the user does not. */
static bool
h1_body_too_long(const struct h1_http *h)
{
	return h->body == HTTP_BODY_CHUNKED ||
	    (h->body == HTTP_BODY_LENGTH && h->body_left > H1_BODY_DROP);
}

static int
h1_op_respond(struct stream *s, const struct stream_response *r)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	struct span reason = r->reason.n > 0 ? r->reason : span_from_str(reply_reason(r->status));

	if (h1c->s.carrier_state != H1_REQUEST || h->responded)
		return -1;
	h->responded = true;
	/*
	 * Bytes behind a refused handshake were meant as frames, never as a request.  Whether a
	 * body comes that was to wait for 100 (Continue), or the next request in its place, cannot
	 * be told (RFC 9110 10.1.1).
	 */
	if (r->close || h1_body_too_long(h) || (h->expects && h->stash.n == 0) ||
	    (h->is_websocket && h->stash.n > 0) || h1c->c.retired || h1c->s.carrier_eof)
		h->keep_alive = false;
	if (h1_put_status(&h->out, r->status, reason) == -1 ||
	    (r->lines.n > 0 ? h1_put_lines(h1c, r->lines)
			    : h1_put_fields(h1c, r->field, r->n_fields)) == -1 ||
	    h1_put_framing(h, r) == -1 ||
	    (!h->keep_alive && buf_append_str(&h->out, "Connection: close\r\n") == -1) ||
	    (h->keep_alive && h->minor0 &&
		buf_append_str(&h->out, "Connection: keep-alive\r\n") == -1) ||
	    buf_append(&h->out, "\r\n", 2) == -1) {
		buf_clear(&h->out);
		transport_break(&h1c->c.t, ENOMEM);
		return -1;
	}
	h1_later(h1c);
	return 0;
}

/* An interim response (RFC 9110 15.2); HTTP/1.0 knows none. */
static int
h1_op_inform(struct stream *s, unsigned status, const struct http_field *field, size_t n_fields)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct iovec iov;
	struct buf b;
	int ret = -1;

	if (h1c->s.carrier_state != H1_REQUEST || h1c->http->responded || h1c->http->minor0)
		return -1;
	h1c->http->expects &= status != 100;
	buf_init(&b, HTTP1_MAX_HEAD + 4096);
	if (buf_printf(&b, "HTTP/1.1 %u %s\r\n", status, reply_reason(status)) == 0 &&
	    h1_put_end_to_end(&b, field, n_fields) != -1 && buf_append(&b, "\r\n", 2) == 0) {
		iov.iov_base = b.p;
		iov.iov_len = b.n;
		ret = transport_write(&h1c->c.t, &iov, 1);
	}
	buf_clear(&b);
	return ret;
}

static int
h1_op_accept(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	struct iovec iov;
	int ret;

	if (h1c->s.carrier_state != H1_REQUEST || !h->is_websocket || h->responded)
		return -1;
	h->responded = true;
	if (buf_reserve(&h->out, H1_HEAD_USUAL) == -1 ||
	    buf_append_str(&h->out,
		"HTTP/1.1 101 Switching Protocols\r\n"
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ") == -1 ||
	    buf_append_str(&h->out, h->accept) == -1 || buf_append(&h->out, "\r\n", 2) == -1 ||
	    h1_put_fields(h1c, field, n_fields) == -1 || buf_append(&h->out, "\r\n", 2) == -1) {
		transport_break(&h1c->c.t, ENOMEM);
		return -1;
	}
	iov.iov_base = h->out.p;
	iov.iov_len = h->out.n;
	ret = transport_write(&h1c->c.t, &iov, 1);
	buf_clear(&h->out);
	h1_set_state(h1c, H1_WEBSOCKET);
	h1_later(h1c); /* the stash goes up, and HTTP's memory away */
	return ret;
}

/* Body bytes with their chunk framing around them (RFC 9112 7.1). */
static int
h1_write_chunk(struct h1_server *h1c, const struct iovec *iov, int n, size_t bytes)
{
	struct iovec v[H1_IOV_MAX];
	struct h1_http *h = h1c->http;
	char size[20];
	int i, m = 0, ret;

	/* One piece costs the kernel less than two. */
	if (h->response_body != HTTP_BODY_CHUNKED && n == 1 && bytes <= h->out.cap - h->out.n) {
		buf_append(&h->out, iov[0].iov_base, bytes);
		v[m++] = (struct iovec){ h->out.p, h->out.n };
		ret = transport_write(&h1c->c.t, v, m);
		buf_clear(&h->out);
		return ret;
	}
	if (h->out.n > 0)
		v[m++] = (struct iovec){ h->out.p, h->out.n };
	if (h->response_body == HTTP_BODY_CHUNKED)
		v[m++] =
		    (struct iovec){ size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes) };
	for (i = 0; i < n; i++)
		v[m++] = iov[i];
	if (h->response_body == HTTP_BODY_CHUNKED)
		v[m++] = (struct iovec){ (void *)(uintptr_t) "\r\n", 2 };
	ret = transport_write(&h1c->c.t, v, m);
	buf_clear(&h->out);
	return ret;
}

static int
h1_op_write(struct stream *s, const struct iovec *iov, int n)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	size_t bytes = 0;

	if (h1c->s.carrier_state == H1_WEBSOCKET)
		return transport_write(&h1c->c.t, iov, n);
	if (h1c->s.carrier_state != H1_REQUEST || !h->responded || h->response_done ||
	    n > H1_IOV_MAX - 3)
		return -1;
	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	if (h->no_body || bytes == 0)
		return 0;
	if (h->response_body == HTTP_BODY_LENGTH) {
		if (bytes > h->response_left)
			return -1;
		h->response_left -= bytes;
	}
	return h1_write_chunk(h1c, iov, n, bytes);
}

static int
h1_op_write_end(struct stream *s, const struct iovec *iov, int n)
{
	int ret;

	if (s->carrier_state == H1_WEBSOCKET)
		return transport_write_fin(&h1_of_stream(s)->c.t, iov, n);
	ret = h1_op_write(s, iov, n);
	s->ops->end(s);
	return ret;
}

/* What a file brings is as long as it is: nothing can stand around it. */
static ssize_t
h1_op_send_file(struct stream *s, int fd, uint64_t off, size_t n)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	ssize_t sent;

	if (h1c->s.carrier_state != H1_REQUEST || h->response_body != HTTP_BODY_LENGTH ||
	    h->no_body || !transport_takes_files(&h1c->c.t)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (!h->responded || h->response_done || n > h->response_left) {
		errno = EINVAL;
		return -1;
	}
	if ((sent = transport_send_file(&h1c->c.t, buf_span(&h->out), fd, off, n)) > 0)
		h->response_left -= (uint64_t)sent;
	if (h->out.n > 0)
		buf_clear(&h->out);
	return sent;
}

/* The last chunk, with what waits of the head before it. */
static void
h1_write_last(struct h1_server *h1c, struct span last)
{
	struct h1_http *h = h1c->http;
	struct iovec iov[2] = {
		{ h->out.p, h->out.n },
		{ (void *)(uintptr_t)last.p, last.n },
	};

	transport_write(&h1c->c.t, h->out.n > 0 ? iov : iov + 1, h->out.n > 0 ? 2 : 1);
	buf_clear(&h->out);
}

static void
h1_op_trailers(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;
	struct buf last;

	if (h1c->s.carrier_state != H1_REQUEST || !h->responded || h->response_done || h->no_body ||
	    h->response_body != HTTP_BODY_CHUNKED) {
		s->ops->end(s); /* there is no place for them */
		return;
	}
	h->response_done = true;
	buf_init(&last, HTTP1_MAX_HEAD);
	if (h1_trailers_put(&last, field, n_fields) == 0)
		h1_write_last(h1c, buf_span(&last));
	else
		transport_break(&h1c->c.t, ENOMEM);
	buf_clear(&last);
}

static void
h1_op_end(struct stream *s)
{
	struct h1_server *h1c = h1_of_stream(s);
	struct h1_http *h = h1c->http;

	if (h1c->s.carrier_state == H1_WEBSOCKET) {
		transport_fin(&h1c->c.t);
		return;
	}
	if (h1c->s.carrier_state != H1_REQUEST || !h->responded || h->response_done)
		return;
	if (!h->no_body && h->response_body == HTTP_BODY_LENGTH && h->response_left > 0)
		return; /* cut short: stream_close will break it off */
	h->response_done = true;
	if (!h->no_body && h->response_body == HTTP_BODY_CHUNKED)
		h1_write_last(h1c, SPAN_LIT("0\r\n\r\n"));
}

static void
h1_op_close(struct stream *s, uint64_t linger_ms)
{
	struct h1_server *h1c = h1_of_stream(s);

	s->holds = 0;
	switch ((enum h1_state)h1c->s.carrier_state) {
	case H1_WEBSOCKET:
		if (linger_ms == 0 && transport_finish(&h1c->c.t))
			h1_destroy(h1c, false);
		else
			h1_linger(h1c, linger_ms != 0 ? linger_ms : HTTP_LINGER_MS);
		break;
	case H1_REQUEST:
		h1_op_end(s);
		if (!h1c->http->response_done) {
			/* The client must see that the body is not whole. */
			h1_destroy(h1c, true);
			break;
		}
		h1c->http->next_wanted = true;
		h1_later(h1c);
		break;
	case H1_HEAD:
	case H1_LINGER:
	case H1_DEAD:
		break;
	}
}

static void
h1_op_abort(struct stream *s)
{
	h1_destroy(h1_of_stream(s), true);
}

static void
h1_op_flow(struct stream *s)
{
	struct h1_server *h1c = h1_of_stream(s);

	if (s->holds != 0) {
		/* A request that waits still has to notice that its client leaves. */
		if (h1c->s.carrier_state == H1_WEBSOCKET || h1c->http->body != HTTP_BODY_NONE)
			transport_want_read(&h1c->c.t, false);
		return;
	}
	if (h1c->http == NULL || h1c->http->stash.n == 0)
		transport_want_read(&h1c->c.t, true);
	if (h1c->http != NULL)
		h1_later(h1c);
}

static size_t
h1_op_queued(const struct stream *s)
{
	return transport_queued(&h1_of_stream(s)->c.t);
}

static const struct stream_info *
h1_op_info(const struct stream *s)
{
	return http_conn_info(&h1_of_stream(s)->c);
}

const struct stream_ops h1_ops = {
	.respond = h1_op_respond,
	.inform = h1_op_inform,
	.accept = h1_op_accept,
	.write = h1_op_write,
	.write_end = h1_op_write_end,
	.send_file = h1_op_send_file,
	.trailers = h1_op_trailers,
	.end = h1_op_end,
	.close = h1_op_close,
	.abort = h1_op_abort,
	.flow = h1_op_flow,
	.queued = h1_op_queued,
	.info = h1_op_info,
};
