/* Unit tests of src/policy/balance.[ch]: how connections are spread. */
#include "policy/balance.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define N 5

static const uint8_t nobody[16];
static struct balance_candidate v[N];

static void
setup(void)
{
	char name[32];

	memset(v, 0, sizeof(v));
	for (size_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "10.0.0.%zu:80", i + 1);
		v[i].hash = balance_hash(name, strlen(name));
		v[i].usable = true;
	}
}

/* The k-th of many clients. */
static const uint8_t *
client(unsigned k)
{
	static uint8_t c[16];

	memset(c, 0, sizeof(c));
	c[10] = c[11] = 0xff;
	for (int i = 0; i < 4; i++)
		c[12 + i] = (uint8_t)(k >> (24 - 8 * i));
	return c;
}

START_TEST(balance_picks_nobody_when_nobody_is_usable)
{
	static const enum config_balance how[] = { CONFIG_BALANCE_LEAST_CONNECTIONS,
		CONFIG_BALANCE_ROUND_ROBIN, CONFIG_BALANCE_SOURCE };

	for (size_t i = 0; i < UNIT_COUNT(how); i++) {
		ck_assert_int_eq(balance_pick(how[i], v, 0, 7, nobody), -1);
		for (size_t k = 0; k < N; k++)
			v[k].usable = false;
		ck_assert_int_eq(balance_pick(how[i], v, N, 7, nobody), -1);
		for (size_t k = 0; k < N; k++) {
			v[k].usable = true;
			for (uint64_t turn = 0; turn < 9; turn++)
				ck_assert_int_eq(balance_pick(how[i], v, N, turn, nobody), (int)k);
			v[k].usable = false;
		}
	}
}
END_TEST

START_TEST(balance_round_robin_goes_round)
{
	unsigned got[N] = { 0 };

	for (uint64_t turn = 0; turn < 3 * N; turn++) {
		v[0].connections = turn * 100; /* is not looked at */
		ck_assert_int_eq(
		    balance_pick(CONFIG_BALANCE_ROUND_ROBIN, v, N, turn, nobody), (int)(turn % N));
	}
	/* Where one rests its share is not its neighbour's alone. */
	v[2].usable = false;
	for (uint64_t turn = 0; turn < 4000; turn++)
		got[balance_pick(CONFIG_BALANCE_ROUND_ROBIN, v, N, turn, nobody)]++;
	for (size_t i = 0; i < N; i++)
		ck_assert_uint_eq(got[i], i == 2 ? 0 : 1000);
	ck_assert_int_ge(balance_pick(CONFIG_BALANCE_ROUND_ROBIN, v, N, UINT64_MAX, nobody), 0);
}
END_TEST

START_TEST(balance_least_connections_levels_out)
{
	static const uint64_t start[N] = { 7, 0, 3, 50, 3 };

	for (size_t i = 0; i < N; i++)
		v[i].connections = start[i];
	/* 50 + 4 * 40 = 5 * 42: as level as it can be, whatever there was. */
	for (uint64_t turn = 0; turn < 187; turn++) {
		int got = balance_pick(CONFIG_BALANCE_LEAST_CONNECTIONS, v, N, turn, nobody);

		for (size_t i = 0; i < N; i++)
			ck_assert_uint_ge(v[i].connections, v[got].connections);
		v[got].connections++;
	}
	for (size_t i = 0; i < N; i++)
		ck_assert_uint_eq(v[i].connections, 50);
	/* One that is full or down is not waited for. */
	v[1].connections = 0;
	v[1].usable = false;
	ck_assert_int_ne(balance_pick(CONFIG_BALANCE_LEAST_CONNECTIONS, v, N, 1, nobody), 1);
}
END_TEST

/* Short connections: all have none whenever one is looked for. */
START_TEST(balance_least_connections_goes_round_among_equals)
{
	unsigned got[N] = { 0 };

	v[3].connections = 1;
	for (uint64_t turn = 0; turn < 400; turn++)
		got[balance_pick(CONFIG_BALANCE_LEAST_CONNECTIONS, v, N, turn, nobody)]++;
	for (size_t i = 0; i < N; i++)
		ck_assert_uint_eq(got[i], i == 3 ? 0 : 100);
}
END_TEST

START_TEST(balance_source_spreads_clients_evenly)
{
	unsigned got[N] = { 0 };

	for (unsigned k = 0; k < 50000; k++)
		got[balance_pick(CONFIG_BALANCE_SOURCE, v, N, k, client(0x0a000000 + k))]++;
	for (size_t i = 0; i < N; i++) {
		ck_assert_uint_gt(got[i], 9500);
		ck_assert_uint_lt(got[i], 10500);
	}
}
END_TEST

START_TEST(balance_source_keeps_a_client_where_it_is)
{
	struct balance_candidate turned[N];
	unsigned moved[N] = { 0 };

	for (unsigned k = 0; k < 20000; k++) {
		int home = balance_pick(CONFIG_BALANCE_SOURCE, v, N, k, client(k)), other;

		/* Turns and connections are not looked at, nor the order. */
		for (size_t i = 0; i < N; i++) {
			v[i].connections = k % (i + 1);
			turned[N - 1 - i] = v[i];
		}
		ck_assert_int_eq(balance_pick(CONFIG_BALANCE_SOURCE, v, N, 77, client(k)), home);
		ck_assert_int_eq(
		    balance_pick(CONFIG_BALANCE_SOURCE, turned, N, 0, client(k)), N - 1 - home);
		/* Where another one goes away nothing changes. */
		other = (home + 1) % N;
		v[other].usable = false;
		ck_assert_int_eq(balance_pick(CONFIG_BALANCE_SOURCE, v, N, k, client(k)), home);
		v[other].usable = true;
		/* Where one's own goes away, its clients are spread over all that are left. */
		if (home == 0) {
			v[home].usable = false;
			moved[balance_pick(CONFIG_BALANCE_SOURCE, v, N, k, client(k))]++;
			v[home].usable = true;
		}
	}
	ck_assert_uint_eq(moved[0], 0);
	for (size_t i = 1; i < N; i++)
		ck_assert_uint_gt(moved[i], 800);
}
END_TEST

START_TEST(balance_hash_is_the_same_everywhere)
{
	/* Two gateways, or one before and after an update, agree. */
	ck_assert_uint_eq(balance_hash("10.0.0.1:80", 11), 6834485282503893322u);
	ck_assert_uint_ne(balance_hash("10.0.0.1:80", 11), balance_hash("10.0.0.2:80", 11));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		balance_picks_nobody_when_nobody_is_usable,
		balance_round_robin_goes_round,
		balance_least_connections_levels_out,
		balance_least_connections_goes_round_among_equals,
		balance_source_spreads_clients_evenly,
		balance_source_keeps_a_client_where_it_is,
		balance_hash_is_the_same_everywhere,
	};

	return unit_run_with("balance", cases, UNIT_COUNT(cases), setup, NULL);
}
