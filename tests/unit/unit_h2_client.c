/* What the tests of src/http/h2_client*.c share; see unit_h2_client.h. */
#include "unit_h2_client.h"

#include "io/transport.h"

struct uh2 uh2;

/* ---- the server */

static ssize_t
peer_on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct uh2 *p = arg;
	size_t n = p->out.n < max ? p->out.n : max;

	(void)ng;
	(void)id;
	(void)source;
	if (n == 0 && !p->out_end)
		return NGHTTP2_ERR_DEFERRED;
	if (n > 0)
		memcpy(buf, p->out.p, n);
	buf_consume(&p->out, n);
	if (p->out.n == 0 && p->out_end)
		*flags = NGHTTP2_DATA_FLAG_EOF;
	if (*flags != 0 && p->trailers) {
		nghttp2_nv sum = { .name = (uint8_t *)(uintptr_t) "x-sum",
			.namelen = 5,
			.value = (uint8_t *)(uintptr_t) "1",
			.valuelen = 1 };

		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		ck_assert_int_eq(nghttp2_submit_trailer(p->ng, p->id, &sum, 1), 0);
	}
	return (ssize_t)n;
}

static void
peer_answer(struct uh2 *p)
{
	nghttp2_data_provider from = { .read_callback = peer_on_read };
	nghttp2_nv early = { .name = (uint8_t *)(uintptr_t) ":status",
		.namelen = 7,
		.value = (uint8_t *)(uintptr_t) "103",
		.valuelen = 3 };
	nghttp2_nv nv[] = {
		{ .name = early.name,
		    .namelen = 7,
		    .value = (uint8_t *)(uintptr_t)p->status,
		    .valuelen = strlen(p->status) },
		{ .name = (uint8_t *)(uintptr_t) "x-test",
		    .namelen = 6,
		    .value = (uint8_t *)(uintptr_t) "1",
		    .valuelen = 1 },
	};

	if (p->interim)
		ck_assert_int_eq(nghttp2_submit_headers(p->ng, 0, p->id, NULL, &early, 1, NULL), 0);
	ck_assert_int_eq(nghttp2_submit_response(p->ng, p->id, nv, 2, &from), 0);
}

static int
peer_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct uh2 *p = arg;

	(void)ng;
	(void)frame;
	(void)flags;
	buf_append(&p->head, name, name_n);
	buf_append_char(&p->head, '=');
	buf_append(&p->head, value, value_n);
	buf_append_char(&p->head, '|');
	return 0;
}

static int
peer_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct uh2 *p = arg;

	(void)ng;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		p->id = frame->hd.stream_id;
		if (p->status != NULL)
			peer_answer(p);
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
		p->end = true;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		p->goaway = true;
	return 0;
}

static int
peer_on_data(
    nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *arg)
{
	struct uh2 *p = arg;

	(void)flags;
	ck_assert_int_eq(buf_append(p->echo ? &p->out : &p->body, data, n), 0);
	if (p->echo)
		(void)nghttp2_session_resume_data(ng, id);
	return 0;
}

static int
peer_on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct uh2 *p = arg;

	(void)ng;
	ck_assert_int_eq(id, p->id);
	p->closed = true;
	p->error = error;
	return 0;
}

void
uh2_peer_begin(struct uh2 *p)
{
	nghttp2_settings_entry iv[2] = { { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 } };
	nghttp2_session_callbacks *cb;
	size_t n = p->no_connect ? 0 : 1;

	ck_assert_int_eq(nghttp2_session_callbacks_new(&cb), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, peer_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, peer_on_close);
	ck_assert_int_eq(nghttp2_session_server_new(&p->ng, cb, p), 0);
	nghttp2_session_callbacks_del(cb);
	if (p->window != 0)
		iv[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
			(uint32_t)p->window };
	ck_assert_int_eq(nghttp2_submit_settings(p->ng, 0, iv, n), 0);
}

/* Read what there is, send what there is. */
static void
peer_turn(struct uh2 *p)
{
	uint8_t data[65536];
	const uint8_t *out;
	ssize_t n;

	while ((n = recv(p->fd, data, sizeof(data), 0)) > 0)
		if (nghttp2_session_mem_recv(p->ng, data, (size_t)n) < 0)
			break;
	p->eof |= n == 0;
	if (p->id != 0 && !p->closed && p->status != NULL)
		(void)nghttp2_session_resume_data(p->ng, p->id);
	while ((n = nghttp2_session_mem_send(p->ng, &out)) > 0)
		for (ssize_t sent = 0, k; sent < n; sent += k) {
			k = send(p->fd, out + sent, (size_t)(n - sent), MSG_NOSIGNAL);
			if (k == -1 && errno == EAGAIN) {
				unit_loop_turns(user.loop, 1);
				k = 0;
			} else if (k == -1) {
				return;
			}
		}
}

void
uh2_turns(unsigned n)
{
	while (n-- > 0) {
		unit_loop_turns(user.loop, 2);
		if (uh2.ng != NULL)
			peer_turn(&uh2);
	}
	unit_loop_turns(user.loop, 2);
}

void
uh2_peer_send(const char *text)
{
	ck_assert_int_eq(buf_append_str(&uh2.out, text), 0);
}

/* ---- getting there */

static const struct http_field fields[] = {
	{ SPAN_LIT("Origin"), SPAN_LIT("https://app.example.com") },
	{ SPAN_LIT("X-Mixed"), SPAN_LIT("MiXeD") },
};

void
uh2_begin(void)
{
	memset(&uh2, 0, sizeof(uh2));
	user_begin();
	buf_init(&uh2.head, 1 << 16);
	buf_init(&uh2.body, 1 << 24);
	buf_init(&uh2.out, 1 << 24);
	uh2.status = "200";
}

void
uh2_finish(void)
{
	user_finish();
	if (uh2.fd != 0)
		close(uh2.fd);
	nghttp2_session_del(uh2.ng);
	buf_clear(&uh2.head);
	buf_clear(&uh2.body);
	buf_clear(&uh2.out);
}

static const struct transport_events no_events = { .ready = NULL };

bool
uh2_try_start(struct span path, uint64_t timeout_ms, const char **why)
{
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.path = path,
		.query = SPAN_LIT("x=1"),
		.authority = SPAN_LIT("app.example.com:8080"),
		.field = fields,
		.n_fields = 2,
		.websocket = true };
	struct transport t;
	int fd[2];

	unit_unix_pair(fd);
	uh2.fd = fd[1];
	if (transport_start(&t, user.loop, &no_events, fd[0], NULL) == -1)
		return false;
	user.in_down_call = true;
	user.s = h2_client_start_on(&t, &r, true, timeout_ms, &user_events, &user, why);
	user.in_down_call = false;
	ck_assert(transport_closed(&t));
	return user.s != NULL;
}

void
uh2_start(void)
{
	const char *why = "";

	user.why[0] = '\0';
	uh2_peer_begin(&uh2);
	ck_assert_msg(uh2_try_start(SPAN_LIT("/chat"), USER_TIMEOUT_MS, &why), "%s", why);
	ck_assert_ptr_null(why);
}

void
uh2_open_websocket(void)
{
	uh2_start();
	uh2_turns(4);
	ck_assert_str_eq(user.why, "");
	ck_assert(span_eq(buf_span(&user.log), SPAN_LIT("101;")));
	ck_assert_str_eq(user.head, "x-test=1|");
	user.log.n = 0;
}

void
uh2_write_text(const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	user.in_down_call = true;
	ck_assert_int_eq(stream_write(user.s, &iov, 1), 0);
	user.in_down_call = false;
}

void
uh2_expect_log(const char *text)
{
	ck_assert_msg(span_eq(buf_span(&user.log), span_from_str(text)), "%.*s, not %s",
	    SPAN_ARG(buf_span(&user.log)), text);
	user.log.n = 0;
	user.in_run = false;
}

void
uh2_expect_reset(enum stream_error e, const char *word)
{
	ck_assert_ptr_null(user.s);
	ck_assert_int_eq(user.error, e);
	ck_assert_msg(strstr(user.why, word) != NULL, "\"%s\" is not about %s", user.why, word);
}

bool
uh2_peer_has(const char *text)
{
	return memmem(uh2.head.p, uh2.head.n, text, strlen(text)) != NULL;
}
