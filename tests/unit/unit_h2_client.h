/*
 * What the tests of src/http/h2_client*.c share (unit_h2_client.c): one end of a socket pair is the
 * connection's; at the other nghttp2 plays a server, by the case's wishes.
 */
#ifndef TESTS_UNIT_H2_CLIENT_H
#define TESTS_UNIT_H2_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "http/h2_client.h"
#include "unit_user.h"

/* The server. */
struct uh2 {
	int fd;
	nghttp2_session *ng;
	/* wishes */
	bool no_connect;    /* SETTINGS without ENABLE_CONNECT_PROTOCOL */
	const char *status; /* NULL: no answer */
	bool interim;	    /* a 103 first */
	bool echo;
	bool trailers;	/* behind out_end */
	int32_t window; /* of its streams; 0: the usual one */
	/* what came */
	struct buf head; /* "name=value|" */
	struct buf body;
	int32_t id;
	bool end, closed, goaway, eof;
	uint32_t error; /* with closed */
	/* what is to be sent */
	struct buf out;
	bool out_end, attached;
};
extern struct uh2 uh2;

/* A checked fixture. */
void uh2_begin(void);
void uh2_finish(void);
void uh2_turns(unsigned n);

/* The server says its SETTINGS; what it says to the stream. */
void uh2_peer_begin(struct uh2 *p);
void uh2_peer_send(const char *text);
/* Whether the request has this: "name=value|". */
bool uh2_peer_has(const char *text);

/* The connection alone; with the server behind it; up to the 101. */
bool uh2_try_start(struct span path, uint64_t timeout_ms, const char **why);
void uh2_start(void);
void uh2_open_websocket(void);
void uh2_write_text(const char *text);

/* What came up since the last time. */
void uh2_expect_log(const char *text);
void uh2_expect_reset(enum stream_error e, const char *word);

#endif
