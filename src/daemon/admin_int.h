/*
 * The inside of the admin endpoint, shared by admin.c, admin_health.c and admin_list.c.  Nobody
 * else includes it.
 */
#ifndef DAEMON_ADMIN_INT_H
#define DAEMON_ADMIN_INT_H

#include "daemon/admin.h"
#include "daemon/admin_request.h"
#include "daemon/daemon_int.h"
#include "http/http_server.h"

/* `localhost` has an address of each family. */
#define ADMIN_SOCKETS 8

/* What one AdminAddress stands for. */
struct admin_front {
	struct listener *v[ADMIN_SOCKETS]; /* owned */
	size_t n;
	struct addr addr; /* with n > 0 */
};

struct admin_health;
struct admin_list;

struct admin {
	struct daemon *d;		/* borrowed */
	struct admin_front front, next; /* in use; and what a reload has opened so far */
	bool keep;			/* the reload has the same address */
	struct config_listen listen;	/* what carriers ask of their listener */
	struct http_handler handler;
	struct http_server_list connections;
	size_t n_connections, n_refused;
	uint64_t next_id, started_ms;
	bool ending;		  /* the workers are gone: nothing is asked of them */
	struct admin_list *lists; /* owned: walks under way */
	size_t n_lists;
	struct admin_health *health; /* owned; NULL until somebody asked */
};

/* A whole answer, and the end of the stream.  body is borrowed for the call. */
void admin_reply(struct stream *s, unsigned status, const char *type, struct span body);
/* The same for one line of text, which gets its line feed; allow: for 405, else NULL. */
void admin_reply_line(struct stream *s, unsigned status, const char *allow, const char *line);

#define ADMIN_TEXT "text/plain; charset=utf-8"
#define ADMIN_JSON "application/json"
#define ADMIN_TSV "text/tab-separated-values; charset=utf-8"

/* /connections and /connections/ID/close: answered when all workers have been asked. */
void admin_list_start(struct admin *a, struct stream *s, const struct admin_request *r);
void admin_list_free_all(struct admin *a);

/* /healthz: the same. */
void admin_health_start(struct admin *a, struct stream *s);
void admin_health_free(struct admin *a);

#endif
