/*
 * Connections for each client address.  Thread-safe: the accepting thread adds, the workers take
 * away.
 */
#ifndef POLICY_LIMITS_H
#define POLICY_LIMITS_H

#include <stdint.h>

struct limits;

struct limits *limits_new(void); /* NULL without memory */
void limits_free(struct limits *l);

/*
 * One more connection of this client (addr_client_net); the number of them now, or 0 without
 * memory (not counted).
 */
uint64_t limits_add(struct limits *l, const uint8_t client[16]);
/* One less; a client that is not known is nothing. */
void limits_remove(struct limits *l, const uint8_t client[16]);

#endif
