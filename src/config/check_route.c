/*
 * Checks of [route NAME]: what its Action needs, the backend that it names, no
 * two routes for the same requests; and of [websocket] and [backend NAME].
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "config/keys.h"
#include "config/stages.h"

static const struct config_tsection *
route_section(const struct config *c, size_t i)
{
	return &c->sources->section[CONFIG_S_ROUTE].v[i];
}

static bool
route_uses_backend(const struct config_route *r)
{
	return r->action == CONFIG_ACTION_FORWARD || r->action == CONFIG_ACTION_PROXY;
}

static const char *
route_action_name(const struct config_route *r)
{
	switch (r->action) {
	case CONFIG_ACTION_ECHO:
		return "echo";
	case CONFIG_ACTION_FORWARD:
		return "forward";
	case CONFIG_ACTION_PROXY:
		return "proxy";
	case CONFIG_ACTION_STATIC:
		return "static";
	}
	return "";
}

static const char *
route_nearest_backend(const struct config *c, const char *name)
{
	unsigned d, best_d = UINT32_MAX;
	const char *best = NULL;

	for (size_t i = 0; i < c->n_backend; i++) {
		d = config_edit_distance(span_from_str(c->backend[i].name), span_from_str(name));
		if (d < best_d)
			best_d = d, best = c->backend[i].name;
	}
	return best;
}

static void
route_unknown_backend(const struct config *c, const struct config_route *r,
    const struct config_tsection *s, struct config_report *rep)
{
	const char *nearest = route_nearest_backend(c, r->backend_name);
	struct config_shown shown;
	struct config_place at;

	config_place(&at, s, "Backend");
	config_show(&shown, span_from_str(r->backend_name));
	if (nearest != NULL)
		config_error(rep, at.file, at.line,
		    "%s Backend=%s: there is no [backend %s]; "
		    "did you mean %s?",
		    at.title, shown.text, shown.text, nearest);
	else
		config_error(rep, at.file, at.line,
		    "%s Backend=%s: there is no [backend %s]; "
		    "expected that section",
		    at.title, shown.text, shown.text);
}

static void
route_resolve_backend(struct config *c, struct config_route *r, const struct config_tsection *s,
    struct config_report *rep)
{
	struct config_place at;

	for (size_t i = 0; i < c->n_backend; i++)
		if (r->backend_name != NULL && strcmp(c->backend[i].name, r->backend_name) == 0)
			r->backend = &c->backend[i];
	if (r->backend == NULL && r->backend_name != NULL &&
	    !c->sources->broken[CONFIG_S_BACKEND]) {
		route_unknown_backend(c, r, s, rep);
	} else if (r->backend_name == NULL && !config_tree_is_bad(s, "Backend")) {
		config_place(&at, s, "Action");
		config_error(rep, at.file, at.line,
		    "%s Action=%s: Backend is missing; expected the "
		    "name of a [backend] there",
		    at.title, route_action_name(r));
	} else if (r->backend != NULL && r->action == CONFIG_ACTION_PROXY &&
	    r->backend->protocol != CONFIG_PROTOCOL_HTTP) {
		config_place(&at, s, "Action");
		config_error(rep, at.file, at.line,
		    "%s Action=proxy: [backend %s] does not speak "
		    "http; expected a backend with Protocol=http, or Action=forward",
		    at.title, r->backend->name);
	}
}

static void
route_check_document_root(
    const struct config_route *r, const struct config_tsection *s, struct config_report *rep)
{
	struct config_shown shown;
	struct config_place at;
	int fd;

	if (r->document_root == NULL) {
		config_place(&at, s, "Action");
		if (!config_tree_is_bad(s, "DocumentRoot"))
			config_error(rep, at.file, at.line,
			    "%s Action=static: DocumentRoot is missing; "
			    "expected the path of a folder there",
			    at.title);
		return;
	}
	fd = open(r->document_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1) {
		close(fd);
		return;
	}
	config_place(&at, s, "DocumentRoot");
	config_error(rep, at.file, at.line,
	    "%s DocumentRoot=%s: %s; expected a folder that can be "
	    "read",
	    at.title, config_show(&shown, span_from_str(r->document_root)), strerror(errno));
}

/* A key that the action has no use for is a misunderstanding. */
static void
route_refuse(const struct config_route *r, const struct config_tsection *s, const char *key,
    const char *value, struct config_report *rep)
{
	struct config_shown shown;
	struct config_place at;

	config_place(&at, s, key);
	config_error(rep, at.file, at.line,
	    "%s %s=%s: Action=%s does not use it; expected this key "
	    "left out",
	    at.title, key, config_show(&shown, span_from_str(value)), route_action_name(r));
}

static void
route_check_action(struct config *c, struct config_route *r, const struct config_tsection *s,
    struct config_report *rep)
{
	if (config_tree_get(s, "Action") == NULL)
		return;
	if (route_uses_backend(r))
		route_resolve_backend(c, r, s, rep);
	else if (r->backend_name != NULL)
		route_refuse(r, s, "Backend", r->backend_name, rep);
	if (r->action == CONFIG_ACTION_STATIC)
		route_check_document_root(r, s, rep);
	else if (r->document_root != NULL)
		route_refuse(r, s, "DocumentRoot", r->document_root, rep);
}

static bool
route_same_match(const struct config_route *a, const struct config_route *b)
{
	return a->path != NULL && b->path != NULL && a->path_is_prefix == b->path_is_prefix &&
	    strcmp(a->path, b->path) == 0 &&
	    span_eq(span_from_str(a->host), span_from_str(b->host));
}

static void
route_check_same(const struct config *c, size_t i, struct config_report *rep)
{
	const struct config_route *r = &c->route[i];
	struct config_place at, other;

	for (size_t j = 0; j < i; j++) {
		if (!route_same_match(r, &c->route[j]))
			continue;
		config_place(&at, route_section(c, i), "Path");
		config_place(&other, route_section(c, j), "Path");
		config_error(rep, at.file, at.line,
		    "%s Path=%s%s: %s matches the same requests "
		    "(%s:%u); expected another Host or Path",
		    at.title, r->path, r->path_is_prefix ? "*" : "", other.title, other.file,
		    other.line);
		return;
	}
}

/* passthrough needs someone behind who speaks permessage-deflate, also when [websocket] says it. */
static void
route_check_compression(
    const struct config_route *r, const struct config_tsection *s, struct config_report *rep)
{
	bool own = config_tree_get(s, "Compression") != NULL;
	struct config_place at;

	if (r->ws.compression != CONFIG_COMPRESSION_PASSTHROUGH ||
	    config_tree_get(s, "Action") == NULL || (r->action == CONFIG_ACTION_STATIC && !own) ||
	    (r->backend != NULL && r->backend->protocol == CONFIG_PROTOCOL_HTTP) ||
	    (route_uses_backend(r) && r->backend == NULL))
		return;
	config_place(&at, s, own ? "Compression" : "Action");
	config_error(rep, at.file, at.line,
	    "%s Compression=passthrough%s: there is no http backend "
	    "to compress; expected off or edge",
	    at.title, own ? "" : " (from [websocket])");
}

void
config_check_route(struct config *c, struct config_report *rep)
{
	for (size_t i = 0; i < c->n_route; i++) {
		route_check_action(c, &c->route[i], route_section(c, i), rep);
		route_check_same(c, i, rep);
		route_check_compression(&c->route[i], route_section(c, i), rep);
	}
}
