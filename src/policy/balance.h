/*
 * Which of a backend's addresses gets a connection (INTERFACE.md, Balance).  Pure.
 */
#ifndef POLICY_BALANCE_H
#define POLICY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

/* Addresses of one backend, at most. */
#define BALANCE_MAX 256

/* What is known of one address at this moment. */
struct balance_candidate {
	uint64_t connections;
	uint64_t hash; /* balance_hash of the address's text; source only */
	bool usable;
};

/*
 * The index of the one to take, or -1 when none of v[0..n) is usable.
 *  - least-connections: one with the fewest connections, among equals by turn
 *  - round-robin: the usable ones by turn
 *  - source: by the client's address (addr_client_key).  Rendezvous hashing: a client keeps its
 *    address as long as that is usable, whatever becomes of the others and in whatever order they
 *    stand.
 * turn counts the calls.
 */
int balance_pick(enum config_balance how, const struct balance_candidate *v, size_t n,
    uint64_t turn, const uint8_t client[16]);

/* The same for the same bytes, in every process. */
uint64_t balance_hash(const void *p, size_t n);

#endif
