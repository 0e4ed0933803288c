/*
 * What the tests of src/http/h1_client.c share (unit_h1_client.c): one end of a socket pair is the
 * connection's; the other is a backend that follows the case's script.
 */
#ifndef TESTS_UNIT_H1_CLIENT_H
#define TESTS_UNIT_H1_CLIENT_H

#include "codec/ws_key.h"
#include "http/h1_client.h"
#include "unit_user.h"

#define UH1_HELLO "\x81\x05hello"

/* The backend. */
struct uh1 {
	int peer; /* its end; -1: closed */
	char key[WS_KEY_N + 1];
};
extern struct uh1 uh1;

void uh1_begin(void);
/* End whatever is left; nothing may be lost, so that LeakSanitizer can tell. */
void uh1_finish(void);
void uh1_turns(unsigned n);

/* A GET with two fields, which is to become a WebSocket or not. */
struct h1_request uh1_request(bool websocket);
bool uh1_try_start(const struct h1_request *r, uint64_t timeout_ms, const char **why);
/* Start, and let the backend read the request. */
void uh1_start_request(const struct h1_request *r);
void uh1_start(bool websocket);

/* The backend reads what is there, a C string. */
size_t uh1_peer_read(char *out, size_t size);
bool uh1_peer_at_eof(void);
/* Whether the connection's own descriptor is gone. */
bool uh1_peer_alone(void);
void uh1_peer_send(const char *p, size_t n);
void uh1_peer_say(const char *text);

/* Text with the accept value put in for each '@'; its length. */
size_t uh1_fill(char *out, const char *text, size_t n);
#define UH1_INTERIM "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
/* The backend's 101, and what comes behind it. */
#define UH1_SWITCH                                                   \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" \
	"Connection: Upgrade\r\nSec-WebSocket-Accept: @\r\n\r\n"
void uh1_peer_switch(const char *behind);

void uh1_assert_reset(enum stream_error e, const char *why);

#endif
