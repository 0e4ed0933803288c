/* What a text value, or one item of a list, may look like: keys_table.c's `accept`.  Pure. */
#ifndef CONFIG_ACCEPT_H
#define CONFIG_ACCEPT_H

#include "base/span.h"

/* All return 0, or -1 with *why a static text. */
int config_accept_any(struct span s, const char **why);
int config_accept_word(struct span s, const char **why);       /* no white space */
int config_accept_target(struct span s, const char **why);     /* stderr, syslog, a path */
int config_accept_target_off(struct span s, const char **why); /* off as well */
int config_accept_admin(struct span s, const char **why);      /* unix:PATH, HOST:PORT */
int config_accept_listen(struct span s, const char **why);     /* a listener's address */
int config_accept_backend(struct span s, const char **why);    /* a backend's address */
int config_accept_token(struct span s, const char **why);      /* RFC 9110 5.6.2 */
int config_accept_host(struct span s, const char **why);       /* a name or *.name */
int config_accept_path(struct span s, const char **why);       /* /exact or /prefix/ + "*" */
int config_accept_slash(struct span s, const char **why);      /* begins with / */

#endif
