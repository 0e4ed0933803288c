/*
 * What the kernel has refused, in order: bytes, or packets that keep their boundaries.  Exists
 * only while something waits: a NULL queue is an empty one.  Internal to io/.
 */
#ifndef IO_OUTQ_H
#define IO_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct counter;
struct outq;

/*
 * Bytes that wait; each packet counts OUTQ_PACKET_COST more, or many empty ones would take memory
 * without end.
 */
#define OUTQ_PACKET_COST 64
size_t outq_bytes(const struct outq *q);

/*
 * A copy of p[0..n) to the end; *q is made when it is NULL.  packet: as a packet of its own. 0 or
 * -1 without memory.  total is the sum of outq_bytes of all queues that were made with it;
 * borrowed as long as the queue.
 */
int outq_append(struct outq **q, struct counter *total, const void *p, size_t n, bool packet);

/*
 * The first bytes, as at most max spans (borrowed until the next change); their number.  One span
 * is one packet.
 */
int outq_peek(const struct outq *q, struct iovec *v, int max);

/* The first n bytes have gone out; an empty queue is freed. */
void outq_consume(struct outq **q, size_t n);
/* The first packet has. */
void outq_consume_packet(struct outq **q);

void outq_drop(struct outq **q);

#endif
