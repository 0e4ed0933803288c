/*
 * Active health checks.  See prober.h.
 *
 * One probe for each address: its timer is armed (waiting), or dial is set (connecting), or stream
 * is set (asked).  A check must be through with each of the two steps within ConnectTimeout; the
 * next begins an interval, give or take an eighth, after it, so that the checks of many addresses
 * and gateways do not fall together.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "gateway/announce.h"
#include "gateway/backends.h"
#include "gateway/prober.h"
#include "http/h1_client.h"
#include "io/dial.h"
#include "io/loop.h"

/* The first checks come soon, so that what is down at the start is known early. */
#define PROBER_FIRST_MS 1000

struct probe {
	struct loop_timer timer;	 /* first */
	struct prober *p;		 /* borrowed: the owner */
	const struct config_backend *cb; /* in p's snapshot */
	struct backends_address *a;	 /* there as well */
	struct dial *dial;		 /* owned */
	struct stream *stream;		 /* owned */
};

struct prober {
	struct loop *loop;	   /* borrowed */
	struct resolver *resolver; /* borrowed */
	struct config *c;	   /* ref; NULL at first */
	struct probe *v;	   /* owned */
	size_t n;
};

static uint64_t
probe_random(const struct probe *pr, uint64_t below)
{
	return below == 0
	    ? 0
	    : ((uint64_t)loop_random(pr->p->loop) << 32 | loop_random(pr->p->loop)) % below;
}

static void
probe_arm(struct probe *pr)
{
	uint64_t interval = pr->cb->health_check_interval_ms;

	interval += probe_random(pr, interval / 4 + 1);
	loop_timer_arm(pr->p->loop, &pr->timer, loop_now_ms(pr->p->loop) + interval - interval / 8);
}

/* A check is over.  why: what was wrong; NULL: nothing, it is up. */
static void
probe_found(struct probe *pr, const char *why)
{
	char text[200];

	if (why == NULL)
		snprintf(text, sizeof(text), "health check passed");
	else
		snprintf(text, sizeof(text), "health check: %s", why);
	backends_checked(pr->a, why == NULL, text);
	probe_arm(pr);
}

static void
probe_on_response(struct stream *s, const struct http_head *h)
{
	struct probe *pr = s->user;
	char text[32];

	snprintf(text, sizeof(text), "status %u", h->status);
	pr->stream = NULL;
	stream_abort(s);
	probe_found(pr, h->status >= 200 && h->status < 400 ? NULL : text);
}

static void
probe_on_reset(struct stream *s, enum stream_error e, const char *why)
{
	struct probe *pr = s->user;

	(void)e;
	pr->stream = NULL;
	probe_found(pr, why);
}

static void
probe_on_bytes(struct stream *s, uint8_t *p, size_t n)
{
	(void)s; /* the response is left with its head */
	(void)p;
	(void)n;
}

static void
probe_on_end(struct stream *s)
{
	(void)s;
}

static const struct stream_events probe_events = {
	.response = probe_on_response,
	.bytes = probe_on_bytes,
	.room = probe_on_end,
	.end = probe_on_end,
	.reset = probe_on_reset,
};

static void
probe_ask(struct probe *pr, int fd)
{
	static const struct http_field field[] = {
		{ SPAN_LIT("User-Agent"),
		    SPAN_LIT("wsrelayd/" WSRELAYD_VERSION " (health check)") },
		{ SPAN_LIT("Accept"), SPAN_LIT("*/*") },
	};
	const struct addr *addr = backends_addr(pr->a);
	struct h1_request r = { .method = SPAN_LIT("GET"),
		.field = field,
		.n_fields = sizeof(field) / sizeof(field[0]) };
	struct span target = span_from_str(pr->cb->health_check_path), path = target;
	char host[300];
	const char *why;

	addr_format(addr, host, sizeof(host));
	r.authority = addr->kind == ADDR_UNIX ? SPAN_LIT("localhost") : span_from_str(host);
	for (path.n = 0; path.n < target.n && path.p[path.n] != '?';)
		path.n++;
	r.path = path;
	if (path.n < target.n)
		r.query = (struct span){ path.p + path.n + 1, target.n - path.n - 1 };
	pr->stream = h1_client_start(
	    pr->p->loop, fd, &r, pr->cb->connect_timeout_ms, &probe_events, pr, &why);
	if (pr->stream == NULL)
		probe_arm(pr); /* no memory: nothing was found */
}

static void
probe_on_dialled(void *arg, enum dial_status st, int fd, const char *why)
{
	struct probe *pr = arg;

	pr->dial = NULL;
	switch (st) {
	case DIAL_OK:
		if (announce_send_local(pr->cb->send_proxy_protocol, fd) == -1) {
			close(fd);
			probe_found(pr, "it takes no PROXY header");
			break;
		}
		if (pr->cb->health_check_path != NULL) {
			probe_ask(pr, fd);
			return;
		}
		close(fd);
		probe_found(pr, NULL);
		break;
	case DIAL_REFUSED:
	case DIAL_TIMEOUT:
		probe_found(pr, why);
		break;
	case DIAL_NO_MEMORY:
		probe_arm(pr);
		break;
	}
}

static void
probe_on_timer(struct loop_timer *t)
{
	struct probe *pr = (struct probe *)(void *)t;

	pr->dial = dial_start(pr->p->loop, pr->p->resolver, backends_addr(pr->a),
	    pr->cb->protocol == CONFIG_PROTOCOL_PACKET, pr->cb->connect_timeout_ms,
	    probe_on_dialled, pr);
	if (pr->dial == NULL)
		probe_arm(pr);
}

static void
probe_start(struct probe *pr)
{
	uint64_t interval = pr->cb->health_check_interval_ms;

	pr->timer.fn = probe_on_timer;
	loop_timer_arm(pr->p->loop, &pr->timer,
	    loop_now_ms(pr->p->loop) +
		probe_random(pr, interval < PROBER_FIRST_MS ? interval : PROBER_FIRST_MS));
}

static void
probe_stop(struct probe *pr)
{
	loop_timer_stop(pr->p->loop, &pr->timer);
	if (pr->dial != NULL)
		dial_cancel(pr->dial);
	if (pr->stream != NULL)
		stream_abort(pr->stream);
}

struct prober *
prober_new(struct loop *loop, struct resolver *r)
{
	struct prober *p;

	if ((p = mem_zalloc(sizeof(*p))) == NULL)
		return NULL;
	p->loop = loop;
	p->resolver = r;
	return p;
}

static void
prober_stop(struct prober *p)
{
	for (size_t i = 0; i < p->n; i++)
		probe_stop(&p->v[i]);
	mem_free(p->v);
	p->v = NULL;
	p->n = 0;
}

void
prober_free(struct prober *p)
{
	if (p == NULL)
		return;
	prober_stop(p);
	config_unref(p->c);
	mem_free(p);
}

/* Addresses that the snapshot wants checked; the others are left alone. */
static size_t
prober_count(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_backend; i++)
		if (c->backend[i].health_check_interval_ms != 0)
			n += c->backend[i].address.n;
	return n;
}

static void
prober_add(struct prober *p, const struct config_backend *cb)
{
	for (size_t i = 0; cb->health_check_interval_ms != 0 && i < cb->address.n; i++) {
		struct probe *pr = &p->v[p->n++];

		pr->p = p;
		pr->cb = cb;
		pr->a = backends_get(p->c, cb, i);
		probe_start(pr);
	}
}

static bool
prober_checks(const struct prober *p, const struct backends_address *a)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].a == a)
			return true;
	return false;
}

/* What was found of those that are not checked any more. */
static void
prober_forget(const struct prober *p, const struct config *old)
{
	for (size_t i = 0; old != NULL && i < old->n_backend; i++)
		for (size_t k = 0; k < old->backend[i].address.n; k++) {
			struct backends_address *a = backends_get(old, &old->backend[i], k);

			if (!prober_checks(p, a))
				backends_unchecked(a);
		}
}

int
prober_set(struct prober *p, struct config *c)
{
	struct config *old = p->c;
	struct probe *v;

	if ((v = mem_zalloc((prober_count(c) + 1) * sizeof(*v))) == NULL)
		return -1;
	prober_stop(p);
	p->c = config_ref(c);
	p->v = v;
	for (size_t i = 0; i < c->n_backend; i++)
		prober_add(p, &c->backend[i]);
	prober_forget(p, old);
	config_unref(old);
	return 0;
}
