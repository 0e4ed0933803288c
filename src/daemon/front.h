/*
 * The listening side of a configuration: its sockets and TLS contexts.  Built whole for a
 * new configuration, taking over from the old one the sockets whose addresses are the same.
 */
#ifndef DAEMON_FRONT_H
#define DAEMON_FRONT_H

#include "config/config.h"
#include "io/listener.h"

struct tls_ctx;

/* One socket, and the section that it is for. */
struct front_socket {
	struct listener *l;		    /* owned */
	const struct config_listen *listen; /* in config */
	struct tls_ctx *tls;		    /* ref; NULL in the clear */
	bool kept;			    /* taken over from the old front (until front_commit) */
};

struct front {
	struct config *config; /* ref */
	/* owned, one for each [listen] section, NULL in the clear */
	struct tls_ctx **tls;
	struct front_socket *v; /* owned */
	size_t n;
};

/*
 * The TLS contexts of a configuration, with the session tickets of old's (may be NULL) listeners
 * of the same name; 0, or -1 after the errors were reported.
 */
int front_load_tls(struct front *f, const struct front *old, struct config *c,
    config_report_fn *report, void *arg);

/*
 * Report what is wrong with the files of a configuration that has other errors; what those are
 * about is left out.
 */
void front_tell_tls(const struct config *c, config_report_fn *report, void *arg);

/*
 * Open what old (may be NULL) has not got already.  0, or -1 after an error was reported.  In
 * either case old goes on unchanged, with the sockets that f took over (kept) in both of them,
 * until one of the two below is called.
 */
int front_open(struct front *f, struct front *old, config_report_fn *report, void *arg);

/*
 * The kept sockets are f's alone; what is left in old (may be NULL) is closed by front_clear(old).
 */
void front_commit(struct front *f, struct front *old);
/* They are old's alone; all else of f is closed, and f is cleared. */
void front_abandon(struct front *f, struct front *old);

/* Before front_clear: accept those who have connected already (listener_accept_rest). */
void front_accept_rest(struct front *f);

void front_clear(struct front *f);

#endif
