/*
 * What ws_edge.c (compression) and ws_edge_rest.c (compression that is idle) share.  Nobody else
 * includes it.
 */
#ifndef GATEWAY_WS_EDGE_INT_H
#define GATEWAY_WS_EDGE_INT_H

#include "codec/ws_deflate.h"
#include "gateway/ws_int.h"

#define EDGE_BUFFER 65536 /* each of a worker's two */

/* What a worker has for all its connections. */
struct edge_worker {
	struct ws_deflate_pool pool;
	/* inflated: frames that were handed on, room for a header, then a frame's payload so far */
	size_t at;	/* where the room for the header is */
	size_t chunk_n; /* payload behind it */
	size_t end;	/* what may be filled; at most all of the buffer */
	size_t turn_n;	/* inflated by this ws_pump */
	size_t out_at;	/* deflated: used */
	uint8_t inflated[EDGE_BUFFER];
	uint8_t deflated[EDGE_BUFFER];
	/* ws_edge_rest.c: what it may still do until rest_until_ms */
	uint64_t rest_until_ms;
	uint64_t rest_queue_ms; /* when the last of those that it had no time for has its turn */
	unsigned rest_left;
};

struct ws_edge {
	struct ws *w; /* borrowed: its owner */
	union {
		struct ws_inflate *in;	   /* owned; NULL: none is needed now */
		struct ws_history *in_was; /* in_rests: what it remembers */
	};
	union {
		struct ws_deflate *out; /* the same */
		struct ws_history *out_was;
	};
	struct ws_deflate_in data; /* the client's payload that waits, in `kept` */
	uint8_t *kept;		   /* owned: data, and what came behind it */
	size_t kept_n;		   /* what came behind it */
	struct loop_timer timer;   /* goes on when only the turn was over; else ws_edge_rest's */
	uint64_t memory_max;	   /* CompressionMemory */
	uint64_t message_n;	   /* bytes that the client's message has become so far */
	uint64_t in_wire, in_plain, out_plain, out_wire; /* of compressed messages */
	struct ws_ext ext;				 /* as it was answered */
	uint8_t opcode;					 /* of the client's message */
	uint8_t utf8;					 /* ws_utf8 state of it */
	bool mid;					 /* a part of it has gone on */
	bool ending;					 /* all of it was given to zlib */
	bool waits;
	bool out_on;	   /* the message to the client is compressed */
	bool out_kept : 1; /* `out` remembers: context takeover */
	bool in_open : 1;  /* `in` stands within a message */
	bool in_rests : 1;
	bool out_rests : 1;
	uint8_t out_opcode : 4;	 /* of the message to the client */
	uint8_t in_age, out_age; /* looks of ws_edge_rest since it was used */
};

/* One for each WebSocket that compresses, idle or not. */
_Static_assert(sizeof(struct ws_edge) <= 152, "struct ws_edge has grown");

/*
 * The connection's inflater for a message that begins, made anew or of what it remembers.  False
 * without memory, which includes that twice CompressionMemory is in use: nothing has changed.
 */
bool ws_edge_wake_inflater(struct ws_edge *e);

/*
 * The same for the compressor that remembers: e->out is set, and out_kept.  Past CompressionMemory
 * it is NULL: what it remembered is forgotten, as another one compresses the message then.
 */
void ws_edge_wake_deflater(struct ws_edge *e, unsigned bits, unsigned level);

/* A message is inflated.  Past CompressionMemory the inflater rests at once. */
void ws_edge_rest_inflated(struct ws_edge *e);

/* See to it that the timer looks at what is awake; nothing when it is armed. */
void ws_edge_rest_watch(struct ws_edge *e);

/* At the end: whatever there is. */
void ws_edge_rest_free(struct ws_edge *e, struct ws_deflate_pool *pool);

#endif
