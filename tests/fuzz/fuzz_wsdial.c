/*
 * Fuzzes what wsdial takes from a server: the answer to its handshake over HTTP/1.1 and HTTP/2,
 * frames, messages, compressed ones too, and what -v shows of them.  The session is a whole one,
 * on a socket to a server that the target plays.
 *
 * Input: a byte of flags (see below), a seed for the pieces, then what the server says.  With
 * HANDSHAKE the target answers
 * the handshake well and the input is what comes behind it, framed as HTTP/2 asks for.  Else it is
 * all that the server says, but for HTTP/2's SETTINGS; "@@@@" stands for the value of
 * Sec-WebSocket-Accept.
 *
 * Oracles: `over` comes exactly once and nothing behind it; texts are UTF-8; what wsdial sends are
 * whole, masked frames and
 * nothing behind a Close; what -v writes has no byte that steers a terminal; and all that comes up
 * is the same however it is cut, and, with HANDSHAKE, whichever HTTP carries it.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <unistd.h>

#include "codec/ws_deflate.h"
#include "codec/ws_frame.h"
#include "codec/ws_key.h"
#include "io/loop.h"
#include "io/resolve.h"
#include "oracle.h"
#include "tools/wsdial_out.h"
#include "tools/wsdial_session.h"
#include "turns.h"

#define F_HTTP2 0x01
#define F_COMPRESS 0x02
#define F_VERBOSE 0x04
#define F_HANDSHAKE 0x08
#define F_CLOSE 0x10  /* wsdial closes after the first message */
#define F_FREE 0x20   /* the session is dropped within it */
#define F_ECHO 0x40   /* short messages are sent back, longer ones make a PING */
#define F_PIECES 0x80 /* by the seed, where no second run does it anyway */

#define LOG_MAX (1 << 20)

void __sanitizer_set_report_fd(void *fd) __attribute__((weak));
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct {
	struct loop *loop;
	struct wsdial_env env;
	struct wsdial_out out;
	struct ws_deflate_memory memory;
	struct ws_deflate_pool pool;
	struct wsdial_options options[2][2]; /* HTTP/2, compression */
	int listener, stderr_fd, trace_fd;
} fz;

/* One run. */
static struct run {
	struct wsdial_session *ss; /* NULL: dropped */
	uint8_t flags;
	int fd;
	unsigned over, messages;
	char log[LOG_MAX];
	size_t log_n;
	uint8_t sent[1 << 16]; /* by wsdial, since the last look */
	size_t sent_n;
	bool request_over; /* what is sent are frames */
	bool close_sent;
} run;

/* ---- the standard error, which -v writes to */

static void
trace_begin(void)
{
	ORACLE(ftruncate(fz.trace_fd, 0) == 0 && lseek(fz.trace_fd, 0, SEEK_SET) == 0);
	ORACLE(dup2(fz.trace_fd, STDERR_FILENO) == STDERR_FILENO);
}

static void
trace_end(void)
{
	ORACLE(dup2(fz.stderr_fd, STDERR_FILENO) == STDERR_FILENO);
}

#define HOLDS(what) holds((what), #what, __LINE__)

static void
holds(bool ok, const char *what, int line)
{
	if (!ok)
		trace_end();
	oracle_check(ok, what, __FILE__, line);
}

/* Lines of text; a line that is too long may be cut within a character. */
static void
trace_check(void)
{
	static char text[1 << 16];
	ssize_t n;

	ORACLE(lseek(fz.trace_fd, 0, SEEK_SET) == 0);
	while ((n = read(fz.trace_fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			ORACLE((uint8_t)text[i] >= ' ' || text[i] == '\n' || text[i] == '\t');
}

/* ---- the session's user */

static void
note(const void *p, size_t n)
{
	if (n > sizeof(run.log) - run.log_n)
		n = sizeof(run.log) - run.log_n;
	memcpy(run.log + run.log_n, p, n);
	run.log_n += n;
}

static void
note_str(const char *text)
{
	note(text, strlen(text));
}

static void
on_open(struct wsdial_session *ss)
{
	HOLDS(run.over == 0 && run.log_n == 0);
	note_str(wsdial_session_agreed(ss)->deflate ? "open, compressed;" : "open;");
}

static void
on_message(struct wsdial_session *ss, bool binary, const uint8_t *p, size_t n)
{
	bool whole = true;

	HOLDS(run.over == 0 && ss == run.ss);
	HOLDS(n <= WSDIAL_MESSAGE_MAX);
	if (!binary)
		HOLDS(oracle_utf8(p, n, &whole) == n && whole);
	note_str(binary ? "B" : "T");
	note(&n, sizeof(n));
	note(p, n);
	if ((run.flags & F_ECHO) != 0 && n < 1000)
		(void)wsdial_session_send(ss, binary, p, n);
	else if ((run.flags & F_ECHO) != 0)
		(void)wsdial_session_ping(ss, p, 125);
	if (run.messages++ > 0)
		return;
	if ((run.flags & F_CLOSE) != 0)
		wsdial_session_close(ss);
	if ((run.flags & F_FREE) != 0) {
		wsdial_session_free(ss);
		run.ss = NULL;
	}
}

static void
on_pong(struct wsdial_session *ss, const uint8_t *p, size_t n)
{
	HOLDS(run.over == 0 && ss == run.ss);
	note_str("PONG");
	note(p, n);
}

static void
on_room(struct wsdial_session *ss)
{
	HOLDS(run.over == 0 && ss == run.ss);
}

static void
on_over(struct wsdial_session *ss, enum wsdial_status status, const char *why)
{
	HOLDS(ss == run.ss && run.over++ == 0);
	HOLDS(status == WSDIAL_OK || status == WSDIAL_REFUSED || status == WSDIAL_FAILED);
	note_str(status == WSDIAL_OK ? "over;" : status == WSDIAL_REFUSED ? "refused;" : "failed;");
	note_str(why);
}

static const struct wsdial_session_events events = { on_open, on_message, on_pong, on_room,
	on_over };

/* ---- what wsdial sends */

/* The size of the whole frame at p[0..n), 0 when it is not whole yet. */
static size_t
sent_frame(const uint8_t *p, size_t n)
{
	struct ws_frame f = { .length = 0 };
	size_t header = n < 2 ? 0 : (p[1] & 0x7f) == 127 ? 14u : (p[1] & 0x7f) == 126 ? 8u : 6u;

	if (n < 2 || n < header)
		return 0;
	HOLDS((p[1] & 0x80) != 0); /* RFC 6455 5.1 */
	f.length = p[1] & 0x7f;
	if (header == 8)
		f.length = (uint64_t)p[2] << 8 | p[3];
	HOLDS(header != 14); /* nothing so long is sent */
	f.opcode = p[0] & 0x0f;
	HOLDS((p[0] & 0xb0) == 0x80); /* whole messages, RSV1 at the most */
	HOLDS(f.opcode == WS_TEXT || f.opcode == WS_BINARY || f.opcode >= WS_CLOSE);
	HOLDS(f.opcode <= WS_PONG && (f.opcode < WS_CLOSE || (f.length <= 125 && p[0] < 0xc0)));
	if (n < header + f.length)
		return 0;
	HOLDS(!run.close_sent);
	run.close_sent = f.opcode == WS_CLOSE;
	return header + (size_t)f.length;
}

/* Over HTTP/1.1 the request is followed by frames; HTTP/2 is nghttp2's. */
static void
sent_read(void)
{
	ssize_t n;
	size_t used, at = 0;

	while ((n = recv(run.fd, run.sent + run.sent_n, sizeof(run.sent) - run.sent_n,
		    MSG_DONTWAIT)) > 0) {
		run.sent_n += (size_t)n;
		if ((run.flags & F_HTTP2) != 0 || !run.request_over) {
			run.sent_n = (run.flags & F_HTTP2) != 0 ? 0 : run.sent_n;
			continue;
		}
		for (at = 0; (used = sent_frame(run.sent + at, run.sent_n - at)) > 0;)
			at += used;
		memmove(run.sent, run.sent + at, run.sent_n -= at);
		HOLDS(run.sent_n < sizeof(run.sent));
	}
}

/* ---- the server */

static void
server_send(const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		ssize_t sent = send(run.fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
			continue;
		}
		if (run.over > 0 || run.ss == NULL || errno != EAGAIN)
			return; /* it has left */
		fuzz_turns(fz.loop, 1);
		sent_read();
	}
}

/* In pieces, and wsdial reads each. */
static void
server_say(const uint8_t *p, size_t n, uint32_t *seed)
{
	while (n > 0) {
		size_t piece = seed != NULL ? oracle_piece(seed, n) : n;

		server_send(p, piece);
		fuzz_turns(fz.loop, seed != NULL ? 1 : 2);
		sent_read();
		p += piece;
		n -= piece;
	}
}

static void
server_frame(uint8_t type, uint8_t flags, uint32_t id, const void *p, size_t n, uint32_t *seed)
{
	uint8_t head[9] = { (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags,
		(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };

	server_say(head, sizeof(head), seed);
	server_say(p, n, seed);
}

/* The accept value for the request that was read. */
static void
server_accept_value(char out[WS_ACCEPT_N + 1])
{
	static const char name[] = "Sec-WebSocket-Key: ";
	const char *key = memmem(run.sent, run.sent_n, name, sizeof(name) - 1);

	ORACLE(run.sent_n > 4 && memcmp(run.sent + run.sent_n - 4, "\r\n\r\n", 4) == 0);
	ORACLE(key != NULL);
	ORACLE(ws_key_accept((struct span){ key + sizeof(name) - 1, WS_KEY_N }, out) == 0);
	run.sent_n = 0;
	run.request_over = true;
}

/* SETTINGS with ENABLE_CONNECT_PROTOCOL (RFC 8441 3). */
static void
server_settings(void)
{
	static const uint8_t connect[] = { 0, 8, 0, 0, 0, 1 };

	server_frame(4, 0, 0, connect, sizeof(connect), NULL);
	fuzz_turns(fz.loop, 2);
	sent_read();
}

/* A good answer, and the input behind it. */
static void
server_websocket(const uint8_t *p, size_t n, uint32_t *seed)
{
	static const char extensions[] = "sec-websocket-extensions",
			  deflate[] = "permessage-deflate";
	bool compress = (run.flags & F_COMPRESS) != 0;
	char head[400], accept[WS_ACCEPT_N + 1];
	int len;

	if ((run.flags & F_HTTP2) == 0) {
		server_accept_value(accept);
		len = snprintf(head, sizeof(head),
		    "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		    "Sec-WebSocket-Accept: %s\r\n%s%s%s%s\r\n",
		    accept, compress ? extensions : "", compress ? ": " : "",
		    compress ? deflate : "", compress ? "\r\n" : "");
		server_say((uint8_t *)head, (size_t)len, seed);
		server_say(p, n, seed);
		return;
	}
	server_settings();
	/* RFC 7541: ":status: 200" is 8 of the static table; a literal without indexing */
	len = snprintf(head, sizeof(head), "\x88%c%c%s%c%s", 0x10, (int)sizeof(extensions) - 1,
	    extensions, (int)sizeof(deflate) - 1, deflate);
	server_frame(1, 4, 1, head, compress ? (size_t)len : 1, seed);
	while (n > 0) {
		size_t piece = seed != NULL ? oracle_piece(seed, n) : n;

		piece = piece < 16384 ? piece : 16384;
		server_frame(0, 0, 1, p, piece, seed);
		p += piece;
		n -= piece;
	}
	server_frame(0, 1, 1, NULL, 0, NULL); /* END_STREAM */
}

/* All that the server says is the input. */
static void
server_raw(const uint8_t *p, size_t n, uint32_t *seed)
{
	char accept[WS_ACCEPT_N + 1];
	uint8_t *copy, *at;

	if ((run.flags & F_HTTP2) != 0) {
		server_settings();
		server_say(p, n, seed);
		return;
	}
	server_accept_value(accept);
	copy = malloc(n + WS_ACCEPT_N);
	ORACLE(copy != NULL);
	memcpy(copy, p, n);
	if ((at = memmem(copy, n, "@@@@", 4)) != NULL) {
		memmove(at + WS_ACCEPT_N, at + 4, n - 4 - (size_t)(at - copy));
		memcpy(at, accept, WS_ACCEPT_N);
		n += WS_ACCEPT_N - 4;
	}
	server_say(copy, n, seed);
	free(copy);
}

/* ---- a run */

static void
run_accept(void)
{
	run.fd = -1;
	for (int i = 0; i < 20 && run.fd == -1; i++) {
		fuzz_turns(fz.loop, 1);
		run.fd = accept4(fz.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	HOLDS(run.fd != -1);
	fuzz_turns(fz.loop, 2);
	sent_read();
}

static void
run_once(uint8_t flags, const uint8_t *p, size_t n, uint32_t *seed)
{
	bool verbose = (flags & F_VERBOSE) != 0;

	memset(&run, 0, offsetof(struct run, log));
	run.log_n = run.sent_n = 0;
	run.request_over = run.close_sent = false;
	run.flags = flags;
	fz.env.o = &fz.options[(flags & F_HTTP2) != 0][(flags & F_COMPRESS) != 0];
	wsdial_out_init(&fz.out, verbose);
	if (verbose)
		trace_begin();
	HOLDS((run.ss = wsdial_session_start(&fz.env, &events, NULL)) != NULL);
	run_accept();
	if ((flags & F_HANDSHAKE) != 0)
		server_websocket(p, n, seed);
	else
		server_raw(p, n, seed);
	shutdown(run.fd, SHUT_WR);
	fuzz_turns(fz.loop, 3);
	sent_read();
	HOLDS(run.ss == NULL || run.over == 1);
	wsdial_session_free(run.ss);
	fuzz_turns(fz.loop, 2);
	close(run.fd);
	if (verbose) {
		trace_end();
		trace_check();
	}
}

/* Another run, from which the same comes up. */
static void
run_again(uint8_t flags, const uint8_t *p, size_t n, uint32_t *seed)
{
	static char log[LOG_MAX];
	size_t log_n = run.log_n;

	memcpy(log, run.log, log_n);
	run_once(flags, p, n, seed);
	if (run.log_n != log_n || memcmp(run.log, log, log_n) != 0)
		fprintf(
		    stderr, "first: %.*s\nthen:  %.*s\n", (int)log_n, log, (int)run.log_n, run.log);
	ORACLE(run.log_n == log_n && memcmp(run.log, log, log_n) == 0);
}

static void
options_init(struct wsdial_options *o, const char *path, bool http2, bool compress)
{
	const char *args[] = { "wsdial", "--unix", path, http2 ? "--http2" : "--http1.1", "-s",
		"chat", compress ? "--compress" : "-b", "ws://x/", NULL };
	char why[200];

	ORACLE(wsdial_options_parse(o, 8, (char **)(uintptr_t)args, why, sizeof(why)) == 0);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char path[40]; /* borrowed by the options */
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	(void)argc;
	(void)argv;
	fz.stderr_fd = dup(STDERR_FILENO);
	fz.trace_fd = memfd_create("trace", MFD_CLOEXEC);
	ORACLE(fz.stderr_fd != -1 && fz.trace_fd != -1);
	if (__sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)fz.stderr_fd);
	snprintf(path, sizeof(path), "@wsrelayd-fuzz-%ld", (long)getpid());
	strcpy(sun.sun_path + 1, path + 1);
	fz.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ORACLE(bind(fz.listener, (struct sockaddr *)&sun,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) == 0);
	ORACLE(listen(fz.listener, 8) == 0);
	for (int i = 0; i < 4; i++)
		options_init(&fz.options[i / 2][i % 2], path, i / 2 == 1, i % 2 == 1);
	ORACLE((fz.env.loop = fz.loop = loop_new()) != NULL);
	ORACLE((fz.env.resolver = resolver_new()) != NULL);
	ws_deflate_pool_init(&fz.pool, &fz.memory);
	fz.env.pool = &fz.pool;
	fz.env.out = &fz.out;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t flags = size > 0 ? data[0] : 0;
	uint32_t seed = size > 1 ? data[1] : 0;
	const uint8_t *p = data + (size < 2 ? size : 2);
	size_t n = size < 2 ? 0 : size - 2;

	if ((flags & F_HANDSHAKE) == 0) {
		run_once(flags, p, n, (flags & F_PIECES) != 0 ? &seed : NULL);
		return 0;
	}
	run_once(flags & ~F_HTTP2, p, n, NULL);
	run_again(flags & ~F_HTTP2, p, n, &seed);
	seed = size > 1 ? data[1] : 0;
	run_again(flags | F_HTTP2, p, n, (flags & F_HTTP2) != 0 ? &seed : NULL);
	return 0;
}
