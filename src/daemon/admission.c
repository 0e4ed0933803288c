/* Who may connect.  See admission.h. */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/admission.h"
#include "http/http_server.h"
#include "policy/arrivals.h"
#include "policy/client.h"
#include "policy/limits.h"

struct admission {
	struct limits *limits;	   /* owned */
	struct arrivals *arrivals; /* owned */
	_Atomic uint32_t refusals; /* places that are taken */
};

struct admission *
admission_new(void)
{
	struct admission *a;

	if ((a = mem_zalloc(sizeof(*a))) == NULL)
		return NULL;
	if ((a->limits = limits_new()) == NULL || (a->arrivals = arrivals_new()) == NULL) {
		admission_free(a);
		return NULL;
	}
	return a;
}

void
admission_free(struct admission *a)
{
	if (a == NULL)
		return;
	limits_free(a->limits);
	arrivals_free(a->arrivals);
	mem_free(a);
}

/* The client in the tables; false: it is not limited. */
static bool
admission_key(const struct config_listen *l, const struct sockaddr *client, uint8_t key[16])
{
	if (client == NULL || (client->sa_family != AF_INET && client->sa_family != AF_INET6) ||
	    client_is_trusted(l, client))
		return false;
	addr_client_net(client, key);
	return true;
}

/* Tell it, if there is a place left; else it is closed. */
static unsigned
admission_tell(struct admission *a, unsigned status, unsigned silent)
{
	if (atomic_fetch_add_explicit(&a->refusals, 1, memory_order_relaxed) < ADMISSION_REFUSALS)
		return status;
	atomic_fetch_sub_explicit(&a->refusals, 1, memory_order_relaxed);
	return silent;
}

/* A TLS handshake for each one that is refused would cost what the limit is to save. */
static unsigned
admission_tell_rate(struct admission *a, const struct config_listen *l, enum arrival how)
{
	if (l->tls && how != ARRIVAL_PAST_FIRST)
		return HTTP_REFUSE_SILENT_RATE;
	return admission_tell(a, 429, HTTP_REFUSE_SILENT_RATE);
}

unsigned
admission_enter(struct admission *a, const struct config *c, const struct config_listen *l,
    const struct sockaddr *client, bool full)
{
	uint64_t most = c->server.max_connections_per_client;
	uint8_t key[16];
	bool limited = admission_key(l, client, key);
	enum arrival how;

	if (limited && l->connection_rate > 0) {
		how = arrivals_add(a->arrivals, l->name, key, l->connection_rate, clock_mono_ms());
		if (how != ARRIVAL_OK)
			return admission_tell_rate(a, l, how);
	}
	if (full)
		return admission_tell(a, 503, HTTP_REFUSE_SILENT);
	if (limited && most > 0 && limits_add(a->limits, key) > most) {
		limits_remove(a->limits, key);
		return admission_tell(a, 503, HTTP_REFUSE_SILENT);
	}
	return 0;
}

void
admission_leave(struct admission *a, const struct config *c, const struct config_listen *l,
    const struct sockaddr *client, bool refused)
{
	uint8_t key[16];

	if (refused)
		atomic_fetch_sub_explicit(&a->refusals, 1, memory_order_relaxed);
	else if (c->server.max_connections_per_client > 0 && admission_key(l, client, key))
		limits_remove(a->limits, key);
}
