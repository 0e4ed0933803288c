/*
 * What most of the traffic is: a message that came whole and in one frame.  It is recognized
 * here at once, where the reader (codec/ws_msg.h), which takes any stream, has a state to keep
 * and several events to tell.  Pure.
 */
#ifndef CODEC_WS_WHOLE_H
#define CODEC_WS_WHOLE_H

#include <stddef.h>
#include <stdint.h>

#include "codec/ws_msg.h"

struct ws_whole {
	size_t header_n; /* bytes of the header; with a mask it is the last 4 of them */
	size_t length;	 /* of the payload */
};

/*
 * Between messages: whether a text or binary message in a single frame stands at p[0..n) to its
 * end and breaks none of the rules.  Returns the bytes of the frame, and *out describes it; the
 * payload is still masked.  0 for anything else (a part of a frame, a fragment, a control
 * frame, what is forbidden): that is for the reader to judge, which has the same rules, so it
 * may be asked for any message.
 */
size_t ws_whole_read(
    const struct ws_rules *rules, const uint8_t *p, size_t n, struct ws_whole *out);

#endif
