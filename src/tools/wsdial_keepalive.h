/*
 * Keep-alive of one WebSocket, with the daemon's three strategies (INTERFACE: [websocket]): off;
 * an unsolicited PONG every interval; a PING after an interval without anything from the peer,
 * whose PONG has to come in time.
 */
#ifndef TOOLS_WSDIAL_KEEPALIVE_H
#define TOOLS_WSDIAL_KEEPALIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/loop.h"

#define WSDIAL_TOKEN_N 8

struct wsdial_keepalive_ops {
	void (*send)(void *arg, uint8_t opcode, const void *p, size_t n);
	void (*failed)(void *arg); /* no PONG came; keep-alive has stopped */
};

/* Embedded. */
struct wsdial_keepalive {
	struct loop *loop; /* borrowed */
	const struct wsdial_keepalive_ops *ops;
	void *arg; /* borrowed */
	struct loop_timer timer;
	uint64_t interval_ms, timeout_ms; /* 0: none */
	uint64_t at_ms;			  /* when something is due */
	uint64_t heard_ms;
	uint8_t token[WSDIAL_TOKEN_N]; /* of the PING that is out, big-endian */
	bool awaiting, overdue;
};

void wsdial_keepalive_start(struct wsdial_keepalive *k, struct loop *loop, uint64_t interval_ms,
    uint64_t timeout_ms, const struct wsdial_keepalive_ops *ops, void *arg);
void wsdial_keepalive_stop(struct wsdial_keepalive *k); /* also when it was never started */

/* Something has come from the peer. */
void wsdial_keepalive_heard(struct wsdial_keepalive *k);

/* A PONG: whether it is the answer to our PING. */
bool wsdial_keepalive_take(struct wsdial_keepalive *k, const void *p, size_t n);

#endif
