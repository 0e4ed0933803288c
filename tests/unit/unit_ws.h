/*
 * What the tests of src/gateway/ws*.c share (unit_ws.c): a gateway on a loop, and a WebSocket
 * between two streams that the test plays: the client's, whose bytes are frames, and the
 * backend's.  One at a time, in `uw`.
 */
#ifndef TESTS_UNIT_WS_H
#define TESTS_UNIT_WS_H

#include "codec/ws_deflate.h"
#include "codec/ws_ext.h"
#include "codec/ws_msg.h"
#include "gateway/session.h"
#include "unit_config.h"
#include "unit_io.h"

#define UW_OUT_MAX 65536
#define UW_LIMIT 4096 /* BufferLimit */
#define FIN WS_BIT_FIN
#define STR(s) s, sizeof(s) - 1

/* A stream of the test. It allocates nothing, so that only the code under test can fail to. */
struct uw_fake {
	struct stream s;
	uint8_t out[UW_OUT_MAX]; /* what was written to it */
	size_t n;
	size_t queued; /* what stream_queued says */
	bool slow;     /* what is written counts as queued */
	bool ended, closed, aborted;
};

struct uw {
	struct loop *loop;
	struct log *log;
	struct gateway_env env; /* of gw */
	struct gateway *gw;
	struct unit_config uc;
	struct stream_info info;
	struct sockaddr_in peer;
	struct uw_fake client, app;
	bool echo;		  /* there is no backend */
	const struct ws_ext *ext; /* what the handshake agreed on; NULL: no compression */
	struct ws_deflate_memory deflate_memory;
};
extern struct uw uw;

/* A gateway whose only route has these keys, and its [backend] those. */
void uw_setup(const char *route, const char *backend);
/* The same with Action=echo. */
void uw_setup_echo(const char *route);
void uw_clear(void);

/* Open the WebSocket; app: the stream to the backend, NULL is the fake one.  -1 without memory. */
int uw_try_open(struct stream *app);
void uw_open(void);

/* End it, however it stands, and let its memory go. */
void uw_drop(void);

/* Bytes come up from a stream, standing where a read puts them; nothing when it is over. */
void uw_give(struct uw_fake *f, const void *p, size_t n);
void uw_give_end(struct uw_fake *f);
void uw_give_reset(struct uw_fake *f);

/* What the client says: frames, which uw_say masks and appends. */
struct uw_said {
	uint8_t p[UW_OUT_MAX];
	size_t n;
};
extern struct uw_said uw_said;
void uw_say(uint8_t first, const char *payload);

/*
 * What the client got, as text: "T(abc)B()" are messages, whole ones only, "[x]" a PONG, "<1000>" a
 * Close, after which nothing may come.  joined: the payloads of all messages run together, each
 * still being a valid one.
 */
const char *uw_heard(bool joined);

#endif
