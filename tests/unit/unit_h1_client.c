/* What the tests of src/http/h1_client.c share; see unit_h1_client.h. */
#include "unit_h1_client.h"

struct uh1 uh1;

/* ---- the backend, and getting there */

static const struct http_field fields[] = {
	{ SPAN_LIT("Origin"), SPAN_LIT("https://app.example.com") },
	{ SPAN_LIT("Cookie"), SPAN_LIT("a=b; c=\"\t\xc3\xa9\"") },
};

struct h1_request
uh1_request(bool websocket)
{
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.path = SPAN_LIT("/chat/%41"),
		.query = SPAN_LIT("x=1&y={}"),
		.authority = SPAN_LIT("app.example.com:8080"),
		.field = fields,
		.n_fields = 2,
		.websocket = websocket };

	return r;
}

void
uh1_turns(unsigned n)
{
	unit_loop_turns(user.loop, n);
}

void
uh1_begin(void)
{
	memset(&uh1, 0, sizeof(uh1));
	uh1.peer = -1;
	user_begin();
}

void
uh1_finish(void)
{
	user_finish();
	if (uh1.peer != -1)
		close(uh1.peer);
}

bool
uh1_try_start(const struct h1_request *r, uint64_t timeout_ms, const char **why)
{
	int fd[2];

	unit_unix_pair(fd);
	uh1.peer = fd[1];
	user.in_down_call = true;
	user.s = h1_client_start(user.loop, fd[0], r, timeout_ms, &user_events, &user, why);
	user.in_down_call = false;
	return user.s != NULL;
}

size_t
uh1_peer_read(char *out, size_t size)
{
	ssize_t n = recv(uh1.peer, out, size - 1, 0);

	if (n == -1)
		ck_assert(errno == EAGAIN || errno == ECONNRESET);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

bool
uh1_peer_at_eof(void)
{
	char c;

	return recv(uh1.peer, &c, 1, 0) == 0;
}

bool
uh1_peer_alone(void)
{
	return send(uh1.peer, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE;
}

void
uh1_peer_send(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(uh1.peer, p, n, MSG_NOSIGNAL);

		if (sent == -1) {
			ck_assert_int_eq(errno, EAGAIN);
			uh1_turns(1);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

void
uh1_peer_say(const char *text)
{
	uh1_peer_send(text, strlen(text));
	uh1_turns(1);
}

void
uh1_start_request(const struct h1_request *r)
{
	const char *why = "?", *key;
	char text[4096];

	ck_assert(uh1_try_start(r, USER_TIMEOUT_MS, &why));
	ck_assert_ptr_null(why);
	uh1_peer_read(text, sizeof(text));
	if (r->websocket) {
		key = strstr(text, "Sec-WebSocket-Key: ");
		ck_assert_ptr_nonnull(key);
		memcpy(uh1.key, key + 19, WS_KEY_N);
	}
}

void
uh1_start(bool websocket)
{
	struct h1_request r = uh1_request(websocket);

	uh1_start_request(&r);
}

size_t
uh1_fill(char *out, const char *text, size_t n)
{
	char accept[WS_ACCEPT_N + 1];
	size_t m = 0;

	ck_assert_int_eq(ws_key_accept(span_from_str(uh1.key), accept), 0);
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '@') {
			memcpy(out + m, accept, WS_ACCEPT_N);
			m += WS_ACCEPT_N;
		} else {
			out[m++] = text[i];
		}
	}
	out[m] = '\0';
	return m;
}

void
uh1_peer_switch(const char *behind)
{
	char text[8192], out[8192];

	snprintf(text, sizeof(text), "%s%s", UH1_SWITCH, behind);
	uh1_fill(out, text, strlen(text));
	uh1_peer_say(out);
}

void
uh1_assert_reset(enum stream_error e, const char *why)
{
	ck_assert_ptr_null(user.s);
	ck_assert_int_eq(user.error, e);
	ck_assert_str_eq(user.why, why);
	uh1_turns(1);
	ck_assert(uh1_peer_alone());
}
