/*
 * Compression=edge with context takeover, idle.  See ws_edge_int.h.
 *
 * zlib holds 300 KiB for a connection whose both sides remember.  What it remembers is at most 32
 * KiB for each direction, and no more than was ever said.  So the connection's timer, which a
 * WebSocket that does not wait has no other use for, looks every few seconds at what was not used
 * since it looked last:
 *
 *   after 1 look	the streams are put away as what they remember
 *   after 4		what the inflater remembers is compressed
 *   after 15		what the compressor remembers is forgotten, which a sender may do at any
 * 			time (RFC 7692 7.1.1); the peer's inflater does not care
 *
 * The next message makes streams of it again.  Past three quarters of CompressionMemory it
 * looks every second and compressors forget at once, so that new connections find memory.  Past all
 * of it no inflater stays awake between messages.
 *
 * To put 32 KiB for each direction away costs 75 us and to make streams of them 135; to
 * compress them 200, and to inflate them 30 more (measured with this project's documents).
 * REST_SHARE bounds what that takes of a worker, 3 %, and with it what waking takes; who finds
 * it used up queues for a later slice.  Busy connections pay for a byte that is written for each
 * message.
 *
 * Called by ws_edge.c and the timer; calls codec/ws_deflate.
 */
#include "gateway/ws_edge_int.h"

#define REST_LOOK_MS 4000
#define REST_LOOK_PRESSED_MS 1000
#define REST_PACK_AGE 4
#define REST_FORGET_AGE 15

/* Looks fall together, so that an idle worker wakes for them a few times a second only. */
#define REST_SLICE_MS 32
#define REST_SHARE 16	 /* units of work in a slice, of some 50 us */
#define REST_SAVE_COST 1 /* units */
#define REST_PACK_COST 4
#define REST_QUEUE_MS 5 /* from one in the queue to the next: six in a slice */

static struct edge_worker *
rest_worker(const struct ws_edge *e)
{
	return e->w->ss.gw->edge;
}

static uint64_t
rest_used(const struct ws_edge *e)
{
	return atomic_load_explicit(&rest_worker(e)->pool.memory->bytes, memory_order_relaxed);
}

static bool
rest_is_pressed(const struct ws_edge *e)
{
	return rest_used(e) >= e->memory_max / 4 * 3;
}

/* ---- awake again */

bool
ws_edge_wake_inflater(struct ws_edge *e)
{
	struct ws_deflate_pool *pool = &rest_worker(e)->pool;
	uint64_t max = 2 * e->memory_max;
	struct ws_inflate *z;

	e->in_age = 0;
	if (!e->in_rests && e->in != NULL)
		return true;
	z = e->in_rests ? ws_inflate_restore(pool, e->in_was, max)
			: ws_inflate_get(pool, ws_ext_bits(e->ext.client_bits), max);
	if (z == NULL)
		return false;
	e->in = z;
	e->in_rests = false;
	ws_edge_rest_watch(e);
	return true;
}

static void
rest_forget(struct ws_edge *e)
{
	ws_history_free(&rest_worker(e)->pool, e->out_was);
	e->out = NULL;
	e->out_rests = false;
}

void
ws_edge_wake_deflater(struct ws_edge *e, unsigned bits, unsigned level)
{
	struct ws_deflate_pool *pool = &rest_worker(e)->pool;
	struct ws_deflate *z = NULL;

	e->out_age = 0;
	if (!e->out_rests && e->out != NULL)
		return;
	if (e->out_rests) {
		if ((z = ws_deflate_restore(pool, e->out_was, level, e->memory_max)) == NULL)
			rest_forget(e);
		e->out_rests = false;
	} else {
		z = ws_deflate_get(pool, bits, level, e->memory_max);
	}
	e->out = z;
	e->out_kept = z != NULL;
	if (z != NULL)
		ws_edge_rest_watch(e);
}

/* ---- put away */

static bool
rest_save_inflater(struct ws_edge *e)
{
	struct ws_history *h;

	if (e->in == NULL || e->in_open ||
	    (h = ws_inflate_save(&rest_worker(e)->pool, e->in)) == NULL)
		return false;
	e->in_was = h;
	e->in_rests = true;
	return true;
}

void
ws_edge_rest_inflated(struct ws_edge *e)
{
	if (rest_used(e) >= e->memory_max)
		rest_save_inflater(e);
}

/* The start of the next slice. */
static uint64_t
rest_slice(uint64_t ms)
{
	return (ms / REST_SLICE_MS + 1) * REST_SLICE_MS;
}

/* Whether there is anything that a look could change, now or later. */
static bool
rest_is_due(const struct ws_edge *e)
{
	if (e->in_rests ? !ws_history_was_packed(e->in_was)
			: e->in != NULL && !e->ext.client_no_takeover)
		return true;
	return e->out_rests || (e->out != NULL && e->out_kept);
}

void
ws_edge_rest_watch(struct ws_edge *e)
{
	struct loop *loop = e->w->ss.gw->env.loop;
	uint64_t at;

	if (wheel_armed(&e->timer.w) || !rest_is_due(e))
		return;
	at = loop_now_ms(loop) + (rest_is_pressed(e) ? REST_LOOK_PRESSED_MS : REST_LOOK_MS);
	loop_timer_arm(loop, &e->timer, rest_slice(at));
}

static void
rest_in(struct ws_edge *e, struct edge_worker *ew)
{
	if (!e->in_rests && e->in_age >= 1) {
		if (rest_save_inflater(e))
			ew->rest_left -= REST_SAVE_COST;
	} else if (e->in_rests && e->in_age >= REST_PACK_AGE && !ws_history_was_packed(e->in_was)) {
		/* No ws_pump runs: the worker's buffers are free. */
		ws_history_pack(
		    &ew->pool, &e->in_was, ew->deflated, EDGE_BUFFER, 2 * e->memory_max);
		ew->rest_left -= REST_PACK_COST;
	}
}

static void
rest_out(struct ws_edge *e, struct edge_worker *ew)
{
	bool forget = e->out_age >= REST_FORGET_AGE || (e->out_age >= 1 && rest_is_pressed(e));
	struct ws_history *h;

	if (e->out_rests) {
		if (forget)
			rest_forget(e);
		return;
	}
	if (e->out == NULL || !e->out_kept || e->out_on || e->out_age < 1)
		return;
	ew->rest_left -= REST_SAVE_COST;
	if (forget) {
		ws_deflate_put(&ew->pool, e->out);
		e->out = NULL;
	} else if ((h = ws_deflate_save(&ew->pool, e->out)) != NULL) {
		e->out_was = h;
		e->out_rests = true;
	}
}

/* Behind all that have queued already. */
static void
rest_queue(struct ws_edge *e, uint64_t now_ms)
{
	struct edge_worker *ew = rest_worker(e);

	if (ew->rest_queue_ms < now_ms)
		ew->rest_queue_ms = now_ms;
	ew->rest_queue_ms += REST_QUEUE_MS;
	loop_timer_arm(e->w->ss.gw->env.loop, &e->timer, rest_slice(ew->rest_queue_ms));
}

void
ws_edge_rest(struct ws *w, uint64_t now_ms)
{
	struct edge_worker *ew = w->ss.gw->edge;
	struct ws_edge *e = w->edge;
	unsigned had;

	if (now_ms >= ew->rest_until_ms) {
		ew->rest_until_ms = rest_slice(now_ms);
		ew->rest_left = REST_SHARE;
	}
	if ((had = ew->rest_left) < REST_PACK_COST + REST_SAVE_COST) {
		rest_queue(e, now_ms);
		return;
	}
	/* What was used since the last look has age 0: it is younger than the time between two. */
	rest_in(e, ew);
	rest_out(e, ew);
	/* Some of it is between what malloc keeps. */
	if (ew->rest_left != had)
		loop_note_bulk(w->ss.gw->env.loop);
	e->in_age += e->in_age < UINT8_MAX;
	e->out_age += e->out_age < UINT8_MAX;
}

void
ws_edge_rest_free(struct ws_edge *e, struct ws_deflate_pool *pool)
{
	if (e->in_rests)
		ws_history_free(pool, e->in_was);
	else
		ws_inflate_put(pool, e->in);
	if (e->out_rests)
		ws_history_free(pool, e->out_was);
	else
		ws_deflate_put(pool, e->out);
	e->in = NULL;
	e->out = NULL;
}
