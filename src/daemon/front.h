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
	struct listener *l;		/* owned */
	const struct config_listen *listen;	/* in config */
	struct tls_ctx *tls;		/* ref; NULL in the clear */
	bool kept;			/* taken over from the old front (while building) */
};

struct front {
	struct config *config;		/* ref */
	struct tls_ctx **tls;		/* owned, one for each [listen] section, NULL in the clear */
	struct front_socket *v;		/* owned */
	size_t n;
};

/* The TLS contexts of a configuration, with the session tickets of old's (may be NULL) listeners of the same
 * name; 0, or -1 after the errors were reported. */
int front_load_tls(struct front *f, const struct front *old, struct config *c, config_report_fn *report, void *arg);

/*
 * Open what old (may be NULL) has not got already.  0, or -1 after an error was reported: old is unchanged then. On
 * success the kept sockets have moved out of old, what is left in it is closed by front_clear(old).
 */
int front_open(struct front *f, struct front *old, config_report_fn *report, void *arg);

void front_clear(struct front *f);

#endif
