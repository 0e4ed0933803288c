/*
 * What wsdial does with its WebSockets: talk (messages), ping, or load.  Each mode runs on main's
 * loop and stops it when it is done.
 */
#ifndef TOOLS_WSDIAL_MODE_H
#define TOOLS_WSDIAL_MODE_H

#include <stdbool.h>

#include "tools/wsdial_connect.h"

/* One mode; the struct is its own first member. */
struct wsdial_mode {
	const struct wsdial_mode_ops *ops;
};

struct wsdial_mode_ops {
	/* NULL without memory or descriptors. */
	struct wsdial_mode *(*start)(const struct wsdial_env *env);
	/* The user wants it to end (SIGINT, SIGTERM): cleanly, if it can. */
	void (*interrupt)(struct wsdial_mode *m);
	/* The terminal's suspend character was typed; true: the mode has done it. */
	bool (*suspend)(struct wsdial_mode *m);
	/* After the loop; the exit status. */
	enum wsdial_status (*finish)(struct wsdial_mode *m);
};

extern const struct wsdial_mode_ops wsdial_talk_ops;
extern const struct wsdial_mode_ops wsdial_ping_ops;
extern const struct wsdial_mode_ops wsdial_load_ops;

#endif
