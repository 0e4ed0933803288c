/*
 * MessageRate and ByteRate: how much the client of one WebSocket may say a second.  See ws_int.h.
 *
 * A WebSocket without these keys has none of this: the state stands behind the struct ws of those
 * that have a limit, in the same allocation, and w->limited is all that the data path looks at.
 *
 * A message counts when it begins, a PING or PONG that is not the answer to one of ours when it is
 * there.  Bytes are those of the frames, headers too; of a compressed message what it becomes
 * (Compression=edge).
 *
 * RateAction=delay: the client is not read (STREAM_HOLD_RATE) until it may go on, and a timer
 * releases it.  Bytes are not read in the first place when there is no credit for them, so that a
 * frame of any size passes, at its rate.  A read may bring more messages than are let through: the
 * rest is kept as it came, no more than a read.  RateAction=close: Close 1008.
 *
 * Invariants: what is kept goes on before anything else is read: STREAM_HOLD_RATE stays until it
 * is gone; once
 * a close handshake runs, nothing is held back, for the client's Close may be among it.
 *
 * Called by ws_data.c (bytes, events), ws_edge.c and ws.c (life); calls policy/rate.
 */
#include "base/mem.h"
#include "gateway/ws_int.h"
#include "policy/rate.h"

/* The most that is read at once, and so kept, of who sends messages past the rate. */
#define RATE_READ_MAX 32768
/* A client that was held goes on when it may send for so long, or one unit: not for each byte. */
#define RATE_PART 16
/* What a client that was not read may have saved up. */
#define RATE_FORGIVEN_NS (60 * RATE_SECOND_NS)

enum rate_what { RATE_MESSAGES, RATE_BYTES, RATE_N };

struct ws_rate {
	struct loop_timer timer;
	uint8_t *kept;		  /* owned; NULL: nothing */
	size_t kept_at, kept_n;	  /* what of it is left */
	uint64_t through[RATE_N]; /* policy/rate.h */
	/* bits of enum rate_what: it was not read by us for a while */
	uint8_t forgives;
};

_Static_assert(sizeof(struct ws) + sizeof(struct ws_rate) <= LOOP_OBJECT_MAX, "it stands behind");

static struct ws_rate *
rate_of(struct ws *w)
{
	return (struct ws_rate *)(void *)(w + 1);
}

static uint64_t
rate_limit(const struct ws *w, enum rate_what what)
{
	return what == RATE_MESSAGES ? ws_config(w)->message_rate : ws_config(w)->byte_rate;
}

static uint64_t
rate_now_ns(const struct ws *w)
{
	return ws_now(w) * 1000000;
}

static bool
rate_delays(const struct ws *w)
{
	return ws_config(w)->rate_action == CONFIG_RATE_DELAY;
}

size_t
ws_rate_size(const struct config_websocket *c)
{
	return c->message_rate != 0 || c->byte_rate != 0 ? sizeof(struct ws_rate) : 0;
}

static void
rate_on_timer(struct loop_timer *t)
{
	ws_rate_go_on((struct ws *)(void *)((char *)t - offsetof(struct ws_rate, timer)) - 1);
}

void
ws_rate_init(struct ws *w)
{
	w->limited = true;
	rate_of(w)->timer.fn = rate_on_timer;
}

static void
rate_forget(struct ws *w)
{
	struct ws_rate *r = rate_of(w);

	loop_free_later(w->ss.gw->env.loop, r->kept);
	r->kept = NULL;
	r->kept_n = r->kept_at = 0;
}

void
ws_rate_clear(struct ws *w)
{
	if (!w->limited)
		return;
	loop_timer_stop(w->ss.gw->env.loop, &rate_of(w)->timer);
	rate_forget(w);
}

static uint64_t
rate_left(struct ws *w, enum rate_what what)
{
	return rate_credit(rate_of(w)->through[what], rate_now_ns(w), rate_limit(w, what));
}

/* n more have come; false: that is more than the burst. */
static bool
rate_count(struct ws *w, enum rate_what what, uint64_t n)
{
	uint64_t limit = rate_limit(w, what), now = rate_now_ns(w), from = now;
	struct ws_rate *r = rate_of(w);

	if (limit == 0)
		return true;
	if ((r->forgives & 1 << what) != 0)
		from = now > RATE_FORGIVEN_NS ? now - RATE_FORGIVEN_NS : 0;
	r->through[what] = rate_charge(r->through[what], from, n, limit);
	if (r->through[what] >= now)
		r->forgives &= (uint8_t) ~(1 << what);
	return r->through[what] <= now + RATE_SECOND_NS;
}

/* Close 1008.  What came before stands in o, NULL: it has gone out. */
static void
rate_fail(struct ws *w, struct ws_out *o, const char *why)
{
	counter_add(&session_count(&w->ss)->rate_closed, 1);
	if (o != NULL)
		ws_out_flush(o);
	ws_protocol_error(w, &w->client, WS_CLOSE_POLICY, why);
}

/* When it may go on: each limit has some room again. */
static uint64_t
rate_deadline_ms(struct ws *w)
{
	uint64_t at = 0, limit, part, when;

	for (enum rate_what what = RATE_MESSAGES; what < RATE_N; what++) {
		if ((limit = rate_limit(w, what)) == 0)
			continue;
		part = limit / RATE_PART > 1 ? limit / RATE_PART : 1;
		when = rate_when(rate_of(w)->through[what], part, limit);
		at = when > at ? when : at;
	}
	return (at + 999999) / 1000000;
}

static bool
rate_is_spent(struct ws *w)
{
	if (w->close_at != 0 || !rate_delays(w))
		return false;
	return (rate_limit(w, RATE_MESSAGES) != 0 && rate_left(w, RATE_MESSAGES) == 0) ||
	    (rate_limit(w, RATE_BYTES) != 0 && rate_left(w, RATE_BYTES) == 0);
}

static void
rate_hold(struct ws *w)
{
	if ((w->client.s->holds & STREAM_HOLD_RATE) == 0)
		counter_add(&session_count(&w->ss)->rate_delayed, 1);
	stream_hold(w->client.s, STREAM_HOLD_RATE);
	loop_timer_arm(w->ss.gw->env.loop, &rate_of(w)->timer, rate_deadline_ms(w));
}

size_t
ws_rate_budget(struct ws *w, size_t budget)
{
	size_t most = (size_t)ws_config(w)->buffer_limit / 2;
	uint64_t left;

	if (!rate_delays(w))
		return budget;
	if (rate_limit(w, RATE_MESSAGES) != 0) {
		most = most < RATE_READ_MAX ? most : RATE_READ_MAX;
		budget = budget < most ? budget : most;
	}
	if (rate_limit(w, RATE_BYTES) != 0 && w->close_at == 0) {
		left = rate_left(w, RATE_BYTES);
		budget = left < budget ? (size_t)left : budget;
	}
	return budget > 0 ? budget : 1;
}

bool
ws_rate_bytes(struct ws *w, size_t n)
{
	if (w->close_at != 0 || rate_count(w, RATE_BYTES, n) || rate_delays(w))
		return true;
	rate_fail(w, NULL, "past the byte rate");
	return false;
}

bool
ws_rate_inflated(struct ws *w, struct ws_out *o, size_t wire_n, size_t n)
{
	if (w->close_at != 0 || n <= wire_n || rate_count(w, RATE_BYTES, n - wire_n) ||
	    rate_delays(w))
		return true;
	rate_fail(w, o, "past the byte rate");
	return false;
}

bool
ws_rate_message(struct ws *w, struct ws_out *o)
{
	if (w->close_at != 0 || rate_count(w, RATE_MESSAGES, 1) || rate_delays(w))
		return true;
	rate_fail(w, o, "past the message rate");
	return false;
}

bool
ws_rate_is_spent(struct ws *w)
{
	return w->limited && rate_is_spent(w);
}

void
ws_rate_hold(struct ws *w)
{
	if (w->client.s != NULL && rate_is_spent(w))
		rate_hold(w);
}

void
ws_rate_keep(struct ws *w, const uint8_t *p, size_t n)
{
	struct ws_rate *r = rate_of(w);

	if (n > 0 && r->kept == NULL) {
		if ((r->kept = mem_alloc(n > LOOP_FREE_MIN ? n : LOOP_FREE_MIN)) == NULL) {
			ws_protocol_error(w, &w->client, WS_CLOSE_INTERNAL, "out of memory");
			return;
		}
		memcpy(r->kept, p, n);
		r->kept_at = 0;
	} else if (n > 0) {
		r->kept_at = (size_t)(p - r->kept); /* it was taken from there */
	}
	r->kept_n = n;
	rate_hold(w);
}

/* What was kept goes on as if it came now; false: not all of it, or the WebSocket is over. */
static bool
rate_give_kept(struct ws *w)
{
	struct ws_rate *r = rate_of(w);
	uint8_t *p = r->kept + r->kept_at;
	size_t n = r->kept_n;

	r->kept_n = 0;
	ws_take(w, &w->client, p, n);
	if (w->finished || w->client.s == NULL || r->kept_n > 0)
		return false;
	rate_forget(w);
	return true;
}

void
ws_rate_go_on(struct ws *w)
{
	struct ws_leg *leg = &w->client;
	struct ws_rate *r = rate_of(w);

	if (w->finished || leg->s == NULL || (leg->s->holds & STREAM_HOLD_RATE) == 0)
		return;
	if (w->close_at == 0 && ws_now(w) < rate_deadline_ms(w)) {
		loop_timer_arm(w->ss.gw->env.loop, &r->timer, rate_deadline_ms(w));
		return;
	}
	/* A message that is still being inflated comes first. */
	if (ws_edge_waits(w)) {
		ws_resume(w);
		if (w->finished || leg->s == NULL)
			return;
	}
	if (!rate_is_spent(w)) {
		ws_flow(w, leg);
		if ((leg->s->holds & STREAM_HOLD_PEER) != 0)
			return; /* ws_on_room calls again */
		if (r->kept_n > 0 && !rate_give_kept(w))
			return;
	}
	if (rate_is_spent(w)) {
		rate_hold(w);
		return;
	}
	/* Silent only because it was not read: the clocks start anew. */
	leg->last_rx = w->ss.last_data = ws_stamp(w);
	if ((leg->flags & LEG_AWAIT_PONG) != 0 && w->close_at == 0)
		leg->keepalive = ws_stamp(w);
	stream_release(leg->s, STREAM_HOLD_RATE);
	ws_arm(w);
}

void
ws_rate_forgive(struct ws *w)
{
	rate_of(w)->forgives = 1 << RATE_MESSAGES | 1 << RATE_BYTES;
}

void
ws_rate_closing(struct ws *w)
{
	if (w->client.s != NULL && (w->client.s->holds & STREAM_HOLD_RATE) != 0)
		loop_timer_arm(w->ss.gw->env.loop, &rate_of(w)->timer, ws_now(w) + 1);
}
