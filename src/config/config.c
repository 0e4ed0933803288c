/*
 * The snapshot's life; see config.h.
 */
#include "config/config.h"

#include "base/mem.h"
#include "config/keys.h"
#include "config/stages.h"
#include "config/value.h"

void *
config_base(
    struct config *c, enum config_section_type type, size_t index, const struct config_key *k)
{
	switch (type) {
	case CONFIG_S_SERVER:
		return &c->server;
	case CONFIG_S_LISTEN:
		return &c->listen[index];
	case CONFIG_S_WEBSOCKET:
		return &c->sources->ws;
	case CONFIG_S_ROUTE:
		if (k->section == CONFIG_S_WEBSOCKET)
			return &c->route[index].ws;
		return &c->route[index];
	case CONFIG_S_BACKEND:
		return &c->backend[index];
	}
	return NULL;
}

static void
config_clear_section(struct config *c, enum config_section_type type, size_t index)
{
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_key_in(&config_keys[i], type))
			config_value_clear(
			    &config_keys[i], config_base(c, type, index, &config_keys[i]));
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < CONFIG_ATTACHMENTS; i++)
		if (c->attached_free[i] != NULL)
			c->attached_free[i](c->attached[i]);
	config_clear_section(c, CONFIG_S_SERVER, 0);
	for (size_t i = 0; i < c->n_listen; i++) {
		config_clear_section(c, CONFIG_S_LISTEN, i);
		mem_free(c->listen[i].name);
	}
	for (size_t i = 0; i < c->n_route; i++) {
		config_clear_section(c, CONFIG_S_ROUTE, i);
		mem_free(c->route[i].name);
	}
	for (size_t i = 0; i < c->n_backend; i++) {
		config_clear_section(c, CONFIG_S_BACKEND, i);
		mem_free(c->backend[i].name);
	}
	mem_free(c->listen);
	mem_free(c->route);
	mem_free(c->backend);
	config_tree_free(c->sources);
	mem_free(c);
}

struct config *
config_ref(struct config *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
config_unref(struct config *c)
{
	/* Whoever frees has to see what the others did with it. */
	if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		config_free(c);
}
