/*
 * What tests of src/io/transport.c share (unit_transport.c): one end of a socket is a transport,
 * with its owner's notes; the other is the test's own, read by an event on the same loop.
 */
#ifndef TESTS_UNIT_TRANSPORT_H
#define TESTS_UNIT_TRANSPORT_H

#include <event2/event.h>

#include "io/transport.h"
#include "unit_io.h"

enum close_in { CLOSE_NEVER, CLOSE_IN_READABLE, CLOSE_IN_DRAINED, CLOSE_IN_FAILED };

/* A transport with its owner's notes, and the peer's end. */
struct side {
	struct transport t;
	struct loop *loop;
	struct event *peer_ev;
	int peer; /* -1: closed */
	unsigned readable, drained, failed;
	char why[80];
	enum io_status read_status; /* of the last read */
	char read_why[80];
	bool in_down_call; /* no up-call may come now */
	bool stop_on_drained, stop_on_failed, stop_on_read_end, write_on_drained;
	enum close_in close_in;
	uint8_t got[4096]; /* what the transport read */
	size_t got_n, stop_on_got;
	size_t read_size; /* bytes a read; 0: does not read */
	/* the stream that the transport sends, by two random generators in step */
	uint32_t sent_seed, peer_seed, size_seed;
	size_t sent, peer_got, to_send, stop_on_peer_got;
	bool peer_eof;
};

extern const struct transport_events side_events;
/* Of these, for one that reads otherwise. */
void side_on_ready(struct transport *t);
void side_on_drained(struct transport *t);
void side_on_failed(struct transport *t, const char *why);

struct side *side_new(const int fd[2]);
struct side *side_new_unix(void);
struct side *side_new_tcp(void);
void side_free(struct side *s);

/* The transport's socket takes few bytes. */
void side_small_buffers(struct side *s);
int side_write(struct side *s, const void *p, size_t n);
void side_bytes(uint32_t *seed, uint8_t *p, size_t n);
/* Send more of the stream in pieces of random size until the kernel refuses some. */
void side_pump(struct side *s);
void side_peer_reset(struct side *s);

#endif
