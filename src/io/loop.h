/*
 * One thread's event loop: libevent's base, a timing wheel, the scratch
 * buffer, tasks for the turn's end, and a mailbox for other threads.
 *
 * The turn: events (io/poller.h, which asks libevent too), then the wheel, the tasks and the
 * garbage, in this order.  Nothing that a callback's caller may still hold is freed
 * before the turn's end (loop_free_later).
 *
 * Everything here is for the loop's own thread, but for loop_post.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wheel.h"

struct counter;
struct event_base;
struct tls_worker;
struct loop;

/* Bytes read with one call; see docs/architecture.md for how it was measured. */
#define LOOP_SCRATCH (256 * 1024)
/* Bytes in front of the scratch that its user may write into (a frame header). */
#define LOOP_HEADROOM 64

/* Work for the turn's end.  Embedded; queued at most once at a time. */
struct loop_task {
	struct loop_task *next;		 /* borrowed */
	void (*fn)(struct loop_task *t); /* NULL when not queued */
};

/* A message from another thread.  Embedded in memory that fn disposes of. */
struct loop_msg {
	struct loop_msg *next;
	void (*fn)(struct loop_msg *m, struct loop *loop);
};

/*
 * What lives on without an owner above (a connection that lingers): embedded; ended with the loop
 * at the latest.
 */
struct loop_orphan {
	struct loop_orphan *next, **prev;   /* prev NULL: not adopted */
	void (*end)(struct loop_orphan *o); /* disowns it and frees what it belongs to */
};

struct loop *loop_new(void); /* NULL: no memory or no descriptors; errno tells */
void loop_free(struct loop *l);

/* Run until loop_stop; turns are as above. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Where connected sockets wait (io/poller.h). */
struct poller;
struct poller *loop_poller(struct loop *l);

/*
 * The bytes that wait in queues of this thread for a peer that does not take them; any thread may
 * read it.
 */
struct counter *loop_queued(struct loop *l);

struct event_base *loop_base(struct loop *l);
struct tls_worker *loop_tls(struct loop *l); /* made at first use; NULL without memory */

/* The monotonic clock, read once a turn. */
uint64_t loop_now_ms(struct loop *l);

/* LOOP_SCRATCH bytes that die when the callback returns. */
uint8_t *loop_scratch(struct loop *l);

/* Random bits that nobody can predict (masks, tokens). */
uint32_t loop_random(struct loop *l);

/* A timer: embed a loop_timer, set fn once, arm with an absolute time of loop_now_ms. */
struct loop_timer {
	struct wheel_timer w;
	void (*fn)(struct loop_timer *t);
};
void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t at_ms);
void loop_timer_stop(struct loop *l, struct loop_timer *t);

/* Call t->fn(t) at the turn's end; nothing when it is queued already. */
void loop_later(struct loop *l, struct loop_task *t, void (*fn)(struct loop_task *t));
void loop_later_cancel(struct loop *l, struct loop_task *t);

/*
 * The same at the next turn's end; that turn does not wait for events.  For work that has had its
 * share of this one.
 */
void loop_next(struct loop *l, struct loop_task *t, void (*fn)(struct loop_task *t));

/* Counts the turns: whether something was done in this one already. */
uint32_t loop_turn(const struct loop *l);

/* loop_free calls o->end(o) unless it was disowned before. */
void loop_adopt(struct loop *l, struct loop_orphan *o);
void loop_disown(struct loop_orphan *o); /* nothing when it is not adopted */

/*
 * Free p (mem_free), of at least LOOP_FREE_MIN bytes, at the turn's end.  Never fails; NULL is
 * nothing.
 */
#define LOOP_FREE_MIN sizeof(void *)
void loop_free_later(struct loop *l, void *p);

/*
 * Much memory is in use for a while.  Once that has not been said for LOOP_CALM_MS, and no object
 * was freed at a turn's end, what the C library's heap holds and nobody uses goes back to the
 * kernel (mem_trim).
 */
#define LOOP_CALM_MS 2000
void loop_note_bulk(struct loop *l);

/*
 * What each connection owns: a zeroed object of n bytes (at most LOOP_OBJECT_MAX) out of the
 * loop's slabs (base/slab.h); NULL without memory.  loop_object_free_later gives it back at the
 * turn's end, slab_free at once.  Slabs that are empty go back to the kernel once it is calm.
 */
#define LOOP_OBJECT_MAX 1024
void *loop_object(struct loop *l, size_t n);
void *loop_object_raw(struct loop *l, size_t n); /* not zeroed */
void loop_object_free_later(struct loop *l, void *p);

/* From any thread: call m->fn(m, l) on the loop's thread.  Never fails; ownership goes over. */
void loop_post(struct loop *l, struct loop_msg *m);

#endif
