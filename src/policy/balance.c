/* Which of a backend's addresses gets a connection.  See balance.h. */
#include "policy/balance.h"

/* The finalizer of MurmurHash3: each bit of the input changes half of the output's. */
static uint64_t
balance_mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53u;
	h ^= h >> 33;
	return h;
}

/* FNV-1a, mixed. */
uint64_t
balance_hash(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return balance_mix(h);
}

/* Rendezvous hashing: each client ranks all addresses, and has the highest that is usable. */
static int
balance_by_source(const struct balance_candidate *v, size_t n, const uint8_t client[16])
{
	uint64_t key = balance_hash(client, 16), best_rank = 0;
	int best = -1;

	for (size_t i = 0; i < n; i++) {
		uint64_t rank = balance_mix(key ^ v[i].hash);

		if (v[i].usable && (best == -1 || rank > best_rank)) {
			best = (int)i;
			best_rank = rank;
		}
	}
	return best;
}

/* Among the usable ones with at most `most` connections, by turn. */
static int
balance_by_turn(const struct balance_candidate *v, size_t n, uint64_t most, uint64_t turn)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		m += v[i].usable && v[i].connections <= most;
	if (m == 0)
		return -1;
	turn %= m;
	for (size_t i = 0; i < n; i++)
		if (v[i].usable && v[i].connections <= most && turn-- == 0)
			return (int)i;
	return -1;
}

int
balance_pick(enum config_balance how, const struct balance_candidate *v, size_t n, uint64_t turn,
    const uint8_t client[16])
{
	uint64_t least = UINT64_MAX;

	switch (how) {
	case CONFIG_BALANCE_LEAST_CONNECTIONS:
		for (size_t i = 0; i < n; i++)
			if (v[i].usable && v[i].connections < least)
				least = v[i].connections;
		return balance_by_turn(v, n, least, turn);
	case CONFIG_BALANCE_ROUND_ROBIN:
		return balance_by_turn(v, n, UINT64_MAX, turn);
	case CONFIG_BALANCE_SOURCE:
		return balance_by_source(v, n, client);
	}
	return -1;
}
