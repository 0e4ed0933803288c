/*
 * nghttp2's memory out of the loop's slabs: what it needs for each message and each stream comes
 * and goes without malloc, and goes back to the kernel when it is not needed any more.  Internal
 * to http/.
 */
#ifndef HTTP_H2_MEM_H
#define HTTP_H2_MEM_H

#include <nghttp2/nghttp2.h>

struct loop;

/*
 * What nghttp2_session_server_new3 and _client_new3 take.  The loop outlives the session, and the
 * session is used by the loop's thread only.
 */
nghttp2_mem h2_mem(struct loop *loop);

#endif
