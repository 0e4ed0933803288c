/* What -v shows: heads, frames, closes.  `>` was sent, `<` came, `*` is wsdial's own remark. */
#ifndef TOOLS_WSDIAL_TRACE_H
#define TOOLS_WSDIAL_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct wsdial_out;
struct ws_frame;

/* A head, line for line, without its empty last one. */
void wsdial_trace_head(struct wsdial_out *o, bool sent, struct span head);

/* A response's body, as far as it is text; only its start. */
void wsdial_trace_body(struct wsdial_out *o, struct span body);

/* A frame.  payload (unmasked) is shown for control frames only. */
void wsdial_trace_frame(
    struct wsdial_out *o, bool sent, const struct ws_frame *f, const void *payload);

/* Text of the peer's, escaped and cut, into out (size bytes); returns out.  quote: in quotes. */
const char *wsdial_plain(char *out, size_t size, struct span text);
const char *wsdial_quote(char *out, size_t size, struct span text);

#endif
