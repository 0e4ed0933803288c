/*
 * HTTP/1.1 connections to backends, what goes out: the start, the request's
 * head and body, and the end of the exchange with a connection that can take
 * another one.  See h1_client.h and h1_client_int.h.
 *
 * A request's body is framed here (RFC 9112 6, 7.1) and never longer or shorter than its head
 * said: else the connection is broken, as the backend would take what is left over for a
 * request.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "http/h1_client_int.h"
#include "http/h1_trailers.h"

/* Iovecs of one write of the user, with chunk framing around them. */
#define H1C_IOV_MAX 32
/* What most heads fit into. */
#define H1C_HEAD_USUAL 2048

/* ---- the request */

/* A fresh key, and the answer to it that is expected. */
static int
h1c_make_key(struct h1_client *h1c, char key[WS_KEY_N + 1])
{
	uint32_t nonce[WS_NONCE_N / sizeof(uint32_t)];

	for (size_t i = 0; i < sizeof(nonce) / sizeof(nonce[0]); i++)
		nonce[i] = loop_random(h1c->t.loop);
	ws_key_make((const uint8_t *)nonce, key);
	return ws_key_accept(span_from_str(key), h1c->x->accept);
}

/* Send it; a broken connection is told by the loop.  0, or -1 with *why. */
static int
h1c_send_request(struct h1_client *h1c, const struct h1_request *r, const char **why)
{
	char key[WS_KEY_N + 1] = "", usual[H1C_HEAD_USUAL];
	struct iovec iov;
	struct buf b;

	if (r->websocket && h1c_make_key(h1c, key) == -1) {
		*why = "the handshake's key cannot be made";
		return -1;
	}
	/* On the stack, if it fits. */
	buf_init_over(&b, usual, sizeof(usual));
	if (h1c_head_put_request(&b, r, span_from_str(key)) == -1) {
		buf_init(&b, H1C_HEAD_MAX_REQUEST);
		if (buf_reserve(&b, 2 * sizeof(usual)) == -1 ||
		    h1c_head_put_request(&b, r, span_from_str(key)) == -1) {
			*why = "out of memory";
			buf_clear(&b);
			return -1;
		}
	}
	iov.iov_base = b.p;
	iov.iov_len = b.n;
	if (h1c->s.ev->trace != NULL)
		h1c->s.ev->trace(&h1c->s, true, buf_span(&b));
	transport_write(&h1c->t, &iov, 1);
	if (b.p != usual)
		buf_clear(&b);
	return 0;
}

/* What the user may write behind the head. */
static void
h1c_set_out(struct h1_client *h1c, const struct h1_request *r)
{
	switch (r->body) {
	case HTTP_BODY_NONE:
		h1c->s.carrier_out = r->keep && !r->websocket ? H1C_OUT_DONE : H1C_OUT_RAW;
		break;
	case HTTP_BODY_LENGTH:
		h1c->s.carrier_out = r->content_length > 0 ? H1C_OUT_LENGTH : H1C_OUT_DONE;
		h1c->x->out_left = r->content_length;
		break;
	case HTTP_BODY_CHUNKED:
	case HTTP_BODY_EOF:
		h1c->s.carrier_out = H1C_OUT_CHUNKED;
		break;
	}
}

static void
h1c_set_request(struct h1_client *h1c, const struct h1_request *r)
{
	h1c->x->websocket = r->websocket;
	h1c->x->is_head = span_eq(r->method, SPAN_LIT("HEAD"));
	h1c->s.carrier_keep = r->keep;
	h1c_set_out(h1c, r);
}

/* The connection without its socket: NULL without memory. */
static struct h1_client *
h1c_new(struct loop *loop, const struct h1_request *r, const struct stream_events *ev, void *user)
{
	struct h1_client *h1c;

	if ((h1c = loop_object(loop, sizeof(*h1c))) == NULL)
		return NULL;
	h1c->t.loop = loop;
	if ((h1c->x = h1c_exchange_new(h1c)) == NULL) {
		loop_object_free_later(loop, h1c);
		return NULL;
	}
	h1c->s.ops = &h1c_ops;
	stream_attach(&h1c->s, ev, user);
	h1c_set_request(h1c, r);
	return h1c;
}

/* With its socket: the request goes out.  NULL with *why. */
static struct stream *
h1c_begin(struct h1_client *h1c, const struct h1_request *r, uint64_t response_timeout_ms,
    const char **why)
{
	/* An answer that comes before the body is out, and the end with it, must not get lost. */
	if (h1c->s.carrier_out == H1C_OUT_LENGTH || h1c->s.carrier_out == H1C_OUT_CHUNKED)
		transport_read_on(&h1c->t);
	if (h1c_send_request(h1c, r, why) == -1) {
		h1c_destroy(h1c, true);
		return NULL;
	}
	h1c->x->timeout_ms = response_timeout_ms;
	h1c_arm_response(h1c);
	*why = NULL;
	return &h1c->s;
}

struct stream *
h1_client_start(struct loop *loop, int fd, const struct h1_request *r, uint64_t response_timeout_ms,
    const struct stream_events *ev, void *user, const char **why)
{
	struct h1_client *h1c;

	if ((*why = h1c_head_judge_request(r)) != NULL) {
		close(fd);
		return NULL;
	}
	*why = "out of memory";
	if ((h1c = h1c_new(loop, r, ev, user)) == NULL) {
		close(fd);
		return NULL;
	}
	if (transport_start(&h1c->t, loop, &h1c_transport_events, fd, NULL) == -1) {
		loop_object_free_later(loop, h1c->x);
		loop_object_free_later(loop, h1c);
		return NULL;
	}
	transport_may_widen(&h1c->t);
	return h1c_begin(h1c, r, response_timeout_ms, why);
}

struct stream *
h1_client_start_on(struct transport *from, const struct h1_request *r, uint64_t response_timeout_ms,
    const struct stream_events *ev, void *user, const char **why)
{
	struct h1_client *h1c = NULL;

	if ((*why = h1c_head_judge_request(r)) == NULL) {
		*why = "out of memory";
		h1c = h1c_new(from->loop, r, ev, user);
	}
	if (h1c == NULL) {
		transport_close(from, false);
		return NULL;
	}
	transport_move(&h1c->t, from, &h1c_transport_events);
	return h1c_begin(h1c, r, response_timeout_ms, why);
}

/* ---- its body */

static bool
h1c_is_closed(const struct h1_client *h1c)
{
	return h1c->s.carrier_state == H1C_LINGER || h1c->s.carrier_state == H1C_DEAD;
}

void
h1c_arm_response(struct h1_client *h1c)
{
	bool waits = h1c->s.carrier_out == H1C_OUT_RAW || h1c->s.carrier_out == H1C_OUT_DONE ||
	    transport_queued(&h1c->t) > 0;

	/* While the body's next bytes do not come the client is slow, not the backend. */
	if (h1c->s.carrier_state == H1C_HEAD)
		h1c_arm(h1c, waits ? h1c->x->timeout_ms : 0);
}

/* A chunk (RFC 9112 7.1). */
static int
h1c_write_chunk(struct h1_client *h1c, const struct iovec *iov, int n, size_t bytes)
{
	struct iovec v[H1C_IOV_MAX];
	char size[20];
	int m = 0;

	v[m].iov_base = size;
	v[m++].iov_len = (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes);
	for (int i = 0; i < n; i++)
		v[m++] = iov[i];
	v[m].iov_base = (void *)(uintptr_t) "\r\n";
	v[m++].iov_len = 2;
	return transport_write(&h1c->t, v, m);
}

static int
h1c_write_body(struct h1_client *h1c, const struct iovec *iov, int n)
{
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	if (bytes == 0)
		return 0;
	if (h1c->s.carrier_out == H1C_OUT_CHUNKED)
		return n <= H1C_IOV_MAX - 2 ? h1c_write_chunk(h1c, iov, n, bytes) : -1;
	if (h1c->s.carrier_out == H1C_OUT_DONE || bytes > h1c->x->out_left) {
		transport_break(&h1c->t, EPROTO);
		return -1;
	}
	if ((h1c->x->out_left -= bytes) == 0)
		h1c->s.carrier_out = H1C_OUT_DONE;
	return transport_write(&h1c->t, iov, n);
}

int
h1c_op_write(struct stream *s, const struct iovec *iov, int n)
{
	struct h1_client *h1c = h1c_of_stream(s);
	int ret;

	if (h1c_is_closed(h1c))
		return -1;
	if (h1c->s.carrier_out == H1C_OUT_RAW)
		return transport_write(&h1c->t, iov, n);
	if (h1c->x == NULL)
		return -1; /* the response is over: nobody waits for the rest */
	ret = h1c_write_body(h1c, iov, n);
	h1c_arm_response(h1c);
	return ret;
}

void
h1c_op_trailers(struct stream *s, const struct http_field *field, size_t n_fields)
{
	struct h1_client *h1c = h1c_of_stream(s);
	struct iovec iov;
	struct buf last;

	if (h1c_is_closed(h1c) || h1c->s.carrier_out != H1C_OUT_CHUNKED) {
		h1c_op_end(s);
		return;
	}
	h1c->s.carrier_out = H1C_OUT_DONE;
	buf_init(&last, HTTP1_MAX_HEAD);
	if (h1_trailers_put(&last, field, n_fields) == 0) {
		iov = (struct iovec){ last.p, last.n };
		transport_write(&h1c->t, &iov, 1);
	} else {
		transport_break(&h1c->t, ENOMEM);
	}
	buf_clear(&last);
	h1c_arm_response(h1c);
}

void
h1c_op_end(struct stream *s)
{
	struct h1_client *h1c = h1c_of_stream(s);
	struct iovec last = { (void *)(uintptr_t) "0\r\n\r\n", 5 };

	if (h1c_is_closed(h1c))
		return;
	switch ((enum h1c_out)h1c->s.carrier_out) {
	case H1C_OUT_RAW:
		transport_fin(&h1c->t);
		return;
	case H1C_OUT_CHUNKED:
		h1c->s.carrier_out = H1C_OUT_DONE;
		transport_write(&h1c->t, &last, 1);
		break;
	case H1C_OUT_LENGTH: /* shorter than was told */
		transport_break(&h1c->t, EPROTO);
		break;
	case H1C_OUT_DONE:
		break;
	}
	h1c_arm_response(h1c);
}

/* ---- behind the response */

bool
h1_client_answered(const struct stream *s)
{
	return h1c_of_stream(s)->s.carrier_answered;
}

bool
h1c_may_keep(const struct h1_client *h1c)
{
	return h1c->s.carrier_keep && h1c->s.carrier_out == H1C_OUT_DONE && !h1c->s.carrier_eof &&
	    !h1c->t.unwritable && h1c->t.err == 0 && transport_queued(&h1c->t) == 0;
}

bool
h1c_is_quiet(struct h1_client *h1c)
{
	size_t n;
	char c;

	return h1c->t.err == 0 && transport_read(&h1c->t, &c, 1, &n, NULL) == IO_AGAIN;
}

uint64_t
h1_client_keep_ms(const struct stream *s, uint64_t unsaid_ms)
{
	uint64_t said_ms = (uint64_t)h1c_of_stream(s)->s.carrier_keep_s * 1000;

	if (h1c_of_stream(s)->s.carrier_keep_s == KEEP_UNSAID)
		return unsaid_ms;
	return said_ms - (said_ms < 5000 ? said_ms / 5 : 1000);
}

bool
h1_client_keep(struct stream *s, const struct stream_events *ev, void *user)
{
	struct h1_client *h1c = h1c_of_stream(s);

	if (h1c->s.carrier_state != H1C_ENDED || !h1c_may_keep(h1c))
		return false;
	h1c_set_state(h1c, H1C_IDLE);
	stream_attach(s, ev, user);
	s->holds = 0;
	h1c->t.read_on = false;
	transport_want_read(&h1c->t, true);
	return true;
}

int
h1_client_again(struct stream *s, const struct h1_request *r, uint64_t response_timeout_ms,
    const struct stream_events *ev, void *user, bool look)
{
	struct h1_client *h1c = h1c_of_stream(s);
	const char *why;

	/* What the loop has not told yet: a peer that has just closed, an answer to nothing. */
	if (h1c->s.carrier_state != H1C_IDLE || h1c->t.err != 0 || (look && !h1c_is_quiet(h1c)) ||
	    h1c_head_judge_request(r) != NULL || (h1c->x = h1c_exchange_new(h1c)) == NULL) {
		h1c_destroy(h1c, false);
		return -1;
	}
	h1c_set_state(h1c, H1C_HEAD);
	stream_attach(s, ev, user);
	h1c->s.carrier_answered = false;
	h1c_set_request(h1c, r);
	return h1c_begin(h1c, r, response_timeout_ms, &why) != NULL ? 0 : -1;
}
