/*
 * A connection to a backend that speaks no HTTP, as a stream of the seam: its bytes, or its
 * packets one by one.
 */
#ifndef HTTP_RAW_CLIENT_H
#define HTTP_RAW_CLIENT_H

#include "http/stream.h"

/* No packet is larger, whatever the socket would take. */
#define RAW_PACKET_MAX (LOOP_SCRATCH - 1)

/*
 * Start on a connected fd (ownership goes over, also on failure).  packets: each stream_write is
 * one packet and each `bytes` one that came (SOCK_SEQPACKET).  NULL without memory.
 */
struct stream *raw_client_start(
    struct loop *loop, int fd, bool packets, const struct stream_events *ev, void *user);

/* Bytes that fit into one packet. */
size_t raw_client_packet_max(const struct stream *s);

#endif
