/* --explain: who would serve a request, or why it would be refused. */
#ifndef DAEMON_EXPLAIN_H
#define DAEMON_EXPLAIN_H

#include <stdio.h>

#include "config/config.h"

/*
 * request: "METHOD URL", the URL with scheme ws, wss (a WebSocket handshake), http or https (an
 * ordinary request);
 * origin: NULL for a request without Origin.  Writes a few lines of text to out. 0, or -1 when the
 * request is
 * not of that form (said on stderr).
 */
int explain(const struct config *c, const char *request, const char *origin, FILE *out);

#endif
