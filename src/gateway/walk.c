/*
 * Walking over the sessions of a worker.  See walk.h.
 *
 * The place where a walk stands between two slices is an element of the worker's list of sessions
 * itself, of the kind SESSION_CURSOR, which everybody else passes over: sessions before and behind
 * it may end as they like.  New ones are put at the list's front, where no walk comes any more.
 */
#include <string.h>

#include "base/mem.h"
#include "gateway/session.h"
#include "gateway/walk.h"
#include "policy/client.h"

struct gateway_walk {
	struct session cursor; /* in the list while the walk is under way */
	struct gateway_filter filter;
	bool begun, over;
};

struct gateway_walk *
gateway_walk_new(const struct gateway_filter *f)
{
	struct gateway_walk *k;

	if ((k = mem_zalloc(sizeof(*k))) == NULL)
		return NULL;
	k->cursor.kind = SESSION_CURSOR;
	k->filter = *f;
	return k;
}

void
gateway_walk_free(struct gateway_walk *k)
{
	mem_free(k);
}

/* ---- the place in the list */

static void
walk_unlink(struct gateway_walk *k)
{
	struct session *c = &k->cursor;

	if (c->prev == NULL)
		return;
	if ((*c->prev = c->next) != NULL)
		c->next->prev = c->prev;
	c->prev = NULL;
}

/* Where the walk goes on: the next session, or NULL. */
static struct session *
walk_resume(struct gateway *gw, struct gateway_walk *k)
{
	struct session *ss = k->begun ? k->cursor.next : gw->sessions;

	if (k->over)
		return NULL;
	k->begun = true;
	walk_unlink(k);
	return ss;
}

/* Wait in front of ss. */
static bool
walk_pause(struct gateway_walk *k, struct session *ss)
{
	struct session *c = &k->cursor;

	if (ss == NULL) {
		k->over = true;
		return false;
	}
	c->next = ss;
	c->prev = ss->prev;
	*c->prev = c;
	ss->prev = &c->next;
	return true;
}

void
gateway_walk_stop(struct gateway_walk *k)
{
	walk_unlink(k);
	k->over = true;
}

/* ---- what is seen */

static unsigned
walk_kind(const struct session *ss)
{
	switch ((enum session_kind)ss->kind) {
	case SESSION_WEBSOCKET:
		return GATEWAY_SHOW_WEBSOCKET;
	case SESSION_FORWARD:
		return GATEWAY_SHOW_HANDSHAKE;
	case SESSION_STATIC:
	case SESSION_PROXY:
		return GATEWAY_SHOW_HTTP;
	case SESSION_CURSOR:
		return 0;
	}
	return 0;
}

static struct span
walk_client_text(const struct session *ss)
{
	return ss->facts != NULL ? (struct span){ ss->facts->data, ss->facts->client_n }
				 : SPAN_NONE;
}

static struct span
walk_subprotocol(const struct session *ss)
{
	const struct session_facts *f = ss->facts;

	if (f == NULL)
		return SPAN_NONE;
	return (struct span){ f->data + f->client_n + f->method_n + f->path_n + f->origin_n,
		f->subprotocol_n };
}

static bool
walk_client_fits(const struct gateway_walk *k, const struct session *ss)
{
	struct span text = walk_client_text(ss);
	struct sockaddr_storage said;

	if (text.n == 0)
		return addr_cidr_has(&k->filter.client, stream_info(ss->s)->client);
	memset(&said, 0, sizeof(said));
	return client_parse_node(text, &said) == 0 &&
	    addr_cidr_has(&k->filter.client, (const struct sockaddr *)&said);
}

/* The cheap questions first. */
static bool
walk_fits(const struct gateway_walk *k, const struct session *ss)
{
	const struct gateway_filter *f = &k->filter;
	unsigned kind = walk_kind(ss);
	struct session_traffic t;

	if (kind == 0 || ss->s == NULL || (f->kinds != 0 && (f->kinds & kind) == 0))
		return false;
	if (f->route[0] != '\0' && strcmp(ss->route->name, f->route) != 0)
		return false;
	if (f->active_ms != 0) {
		session_traffic(ss, &t);
		if (t.idle_ms > f->active_ms)
			return false;
	}
	return !f->by_client || walk_client_fits(k, ss);
}

/* Tell of ss; fn's answer. */
static bool
walk_show(const struct session *ss, gateway_walk_fn *fn, void *arg)
{
	const struct stream_info *info = stream_info(ss->s);
	char client[ADDR_SA_TEXT], backend[300];
	struct gateway_seen seen = { .kind = walk_kind(ss),
		.connection_id = info->connection_id,
		.stream_id = info->stream_id,
		.client = walk_client_text(ss),
		.subprotocol = walk_subprotocol(ss),
		.listener = info->listen->name,
		.route = ss->route->name,
		.http = info->http,
		.tls = info->tls };
	struct session_traffic t;

	if (seen.client.n == 0) {
		addr_format_sa(
		    info->client, sizeof(struct sockaddr_storage), false, client, sizeof(client));
		seen.client = span_from_str(client);
	}
	if (ss->backend != NULL)
		seen.backend = addr_format(backends_addr(ss->backend), backend, sizeof(backend));
	session_traffic(ss, &t);
	seen.age_ms = loop_now_ms(ss->gw->env.loop) - ss->start_ms;
	seen.idle_ms = t.idle_ms < seen.age_ms ? t.idle_ms : seen.age_ms;
	seen.messages_in = t.messages_in;
	seen.messages_out = t.messages_out;
	seen.bytes_in = t.bytes_in;
	seen.bytes_out = t.bytes_out;
	seen.queued_bytes = t.queued_bytes;
	return fn(arg, &seen);
}

bool
gateway_walk_step(
    struct gateway *gw, struct gateway_walk *k, size_t max, gateway_walk_fn *fn, void *arg)
{
	struct session *ss = walk_resume(gw, k);
	bool go_on = true;

	for (; ss != NULL && max > 0 && go_on; ss = ss->next, max--)
		if (walk_fits(k, ss))
			go_on = walk_show(ss, fn, arg);
	return walk_pause(k, ss);
}

enum gateway_closed
gateway_walk_close(struct gateway *gw, struct gateway_walk *k, size_t max)
{
	struct session *ss = walk_resume(gw, k);

	for (; ss != NULL && max > 0; ss = ss->next, max--) {
		const struct stream_info *info;

		if (walk_kind(ss) == 0 || ss->s == NULL)
			continue;
		info = stream_info(ss->s);
		if (info->connection_id != k->filter.connection_id ||
		    info->stream_id != k->filter.stream_id)
			continue;
		k->over = true;
		if (ss->kind != SESSION_WEBSOCKET)
			return GATEWAY_CLOSE_NOT_OPEN;
		return ws_close_by_admin(ss) ? GATEWAY_CLOSE_SENT : GATEWAY_CLOSE_ALREADY;
	}
	return walk_pause(k, ss) ? GATEWAY_CLOSE_GOES_ON : GATEWAY_CLOSE_NONE;
}
