/*
 * Connections to backends.  See connect.h.
 *
 * On one worker; called by the actions that need a backend, calls gateway/backends for the choice
 * and io/dial for the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/announce.h"
#include "gateway/connect.h"
#include "http/h1_pool.h"
#include "io/dial.h"

void
connect_init(struct connect *c, struct session *ss, const struct stream_request *r,
    connect_done_fn *done, void *arg)
{
	enum config_proxy_protocol version = ss->route->backend->send_proxy_protocol;

	addr_client_key(r->client != NULL ? r->client : stream_info(ss->s)->client, c->client);
	if (version != CONFIG_PROXY_OFF)
		c->announce = announce_new(version, stream_info(ss->s), r);
	c->ss = ss;
	c->done = done;
	c->arg = arg;
}

static uint64_t
connect_now(const struct connect *c)
{
	return loop_now_ms(c->ss->gw->env.loop);
}

static const struct config_backend *
connect_backend(const struct connect *c)
{
	return c->ss->route->backend;
}

static struct backend_counters *
connect_count(const struct connect *c)
{
	return counters_block(connect_backend(c)->counters, c->ss->gw->env.index);
}

static void
connect_set(struct connect *c, enum reply kind, const char *why)
{
	c->kind = kind;
	snprintf(c->why, sizeof(c->why), "%s", why);
}

void
connect_succeeded(struct connect *c)
{
	backends_report(c->ss->backend, connect_backend(c), BACKENDS_OK, "a connection succeeded",
	    connect_now(c));
}

void
connect_failed(struct connect *c, enum stream_error e, const char *why)
{
	bool timed_out = e == STREAM_E_TIMEOUT;
	char addr[300];

	connect_set(c,
	    e == STREAM_E_MEMORY ? REPLY_INTERNAL
		: timed_out	 ? REPLY_GATEWAY_TIMEOUT
				 : REPLY_BAD_GATEWAY,
	    why);
	session_log(c->ss, LOG_L_WARN, "backend=%s %s",
	    addr_format(backends_addr(c->ss->backend), addr, sizeof(addr)), c->why);
	if (e != STREAM_E_MEMORY)
		backends_report(c->ss->backend, connect_backend(c),
		    timed_out ? BACKENDS_TIMED_OUT : BACKENDS_REFUSED, c->why, connect_now(c));
}

static void
connect_on_dialled(void *arg, enum dial_status st, int fd, const char *why)
{
	struct connect *c = arg;

	c->dial = NULL;
	switch (st) {
	case DIAL_OK:
		histogram_add(&connect_count(c)->connect, clock_mono_us() - c->dial_us);
		if (c->announce == NULL || announce_send(c->announce, fd) == 0) {
			c->done(c->arg, fd);
			return;
		}
		connect_failed(c, STREAM_E_PEER, strerror(errno));
		close(fd);
		break;
	case DIAL_REFUSED:
		counter_add(&connect_count(c)->refused, 1);
		connect_failed(c, STREAM_E_REFUSED, why);
		break;
	case DIAL_TIMEOUT:
		counter_add(&connect_count(c)->timed_out, 1);
		connect_failed(c, STREAM_E_TIMEOUT, why);
		break;
	case DIAL_NO_MEMORY:
		/* Not the address's fault, and the next would fare no better. */
		connect_failed(c, STREAM_E_MEMORY, why);
		c->kind = REPLY_UNAVAILABLE;
		c->done(c->arg, -1);
		return;
	}
	if (!connect_next(c))
		c->done(c->arg, -1);
}

bool
connect_pick(struct connect *c)
{
	const struct config *config = stream_info(c->ss->s)->config;
	struct backends_address *a = NULL;

	switch (
	    backends_pick(config, connect_backend(c), c->client, &c->tried, connect_now(c), &a)) {
	case BACKENDS_PICKED:
		break;
	case BACKENDS_FULL:
		connect_set(c, REPLY_UNAVAILABLE, "all addresses have MaxConnections");
		return false;
	case BACKENDS_DOWN:
		if (c->why[0] == '\0')
			connect_set(c, REPLY_BAD_GATEWAY, "no address is up");
		return false;
	}
	backends_release(c->ss->backend);
	c->ss->backend = a;
	return true;
}

bool
connect_dial(struct connect *c)
{
	const struct config_backend *cb = connect_backend(c);
	struct gateway *gw = c->ss->gw;

	if (cb->send_proxy_protocol != CONFIG_PROXY_OFF && c->announce == NULL) {
		connect_set(c, REPLY_INTERNAL, "out of memory");
		return false;
	}
	c->dial_us = clock_mono_us();
	/* What waits for a request gives way to who needs a connection of its own. */
	if (backends_is_crowded(c->ss->backend, cb) &&
	    !h1_pool_drop(gw->pool, backends_addr(c->ss->backend)))
		backends_call_pools(c->ss->backend, gw->env.loop);
	c->dial = dial_start(gw->env.loop, gw->env.resolver, backends_addr(c->ss->backend),
	    cb->protocol == CONFIG_PROTOCOL_PACKET, cb->connect_timeout_ms, connect_on_dialled, c);
	if (c->dial == NULL)
		connect_set(c, REPLY_INTERNAL, "out of memory");
	return c->dial != NULL;
}

bool
connect_next(struct connect *c)
{
	return connect_pick(c) && connect_dial(c);
}

void
connect_reused(struct connect *c)
{
	counter_add(&connect_count(c)->reused, 1);
}

void
connect_cancel(struct connect *c)
{
	if (c->dial != NULL)
		dial_cancel(c->dial);
	c->dial = NULL;
	mem_free(c->announce);
	c->announce = NULL;
}
