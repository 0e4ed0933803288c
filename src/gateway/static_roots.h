/*
 * The document roots that a worker has open: looking one up for each request costs two system calls
 * of nine.  One thread.
 */
#ifndef GATEWAY_STATIC_ROOTS_H
#define GATEWAY_STATIC_ROOTS_H

#include "io/loop.h"

/*
 * How long a root stays open, at most: a link that was moved to another release is followed after
 * that, and a file system that was in use can be unmounted.
 */
#define STATIC_ROOTS_MS 1000

struct static_roots;

/* closed, which may be NULL, is called with arg when all are closed; NULL without memory. */
struct static_roots *static_roots_new(struct loop *loop, void (*closed)(void *arg), void *arg);
void static_roots_free(struct static_roots *sr);  /* closes them; NULL is nothing */
void static_roots_close(struct static_roots *sr); /* all of them, now */

/*
 * A descriptor (O_PATH) of the folder at this path, good until the next call or the end of the
 * turn; -1 with errno.  path is borrowed for the call.
 */
int static_roots_get(struct static_roots *sr, const char *path);

#endif
