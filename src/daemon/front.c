/* Listening sockets and TLS contexts of a configuration.  See front.h. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/front.h"
#include "io/tls.h"

#define FRONT_MAX_SOCKETS 1024
/* A name in one Address may stand for several addresses. */
#define FRONT_MAX_PER_ADDRESS 16

/* Clients resume their sessions over a reload. */
static void
front_inherit(struct front *f, const struct front *old, size_t section)
{
	for (size_t i = 0; old != NULL && i < old->config->n_listen; i++)
		if (old->tls[i] != NULL &&
		    strcmp(old->config->listen[i].name, f->config->listen[section].name) == 0)
			tls_ctx_inherit(f->tls[section], old->tls[i]);
}

int
front_load_tls(
    struct front *f, const struct front *old, struct config *c, config_report_fn *report, void *arg)
{
	bool failed = false;

	memset(f, 0, sizeof(*f));
	f->config = config_ref(c);
	if ((f->tls = mem_zalloc((c->n_listen + 1) * sizeof(*f->tls))) == NULL) {
		report(arg, true, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < c->n_listen; i++) {
		if (!c->listen[i].tls)
			continue;
		if ((f->tls[i] = tls_ctx_new(&c->listen[i], report, arg)) == NULL)
			failed = true;
		else
			front_inherit(f, old, i);
	}
	return failed ? -1 : 0;
}

void
front_tell_tls(const struct config *c, config_report_fn *report, void *arg)
{
	for (size_t i = 0; i < c->n_listen; i++) {
		const struct config_listen *l = &c->listen[i];

		if (l->tls && l->certificate.n > 0 && l->certificate.n == l->certificate_key.n &&
		    (l->client_certificate == CONFIG_CLIENT_CERT_OFF) == (l->client_ca == NULL))
			tls_ctx_unref(tls_ctx_new(l, report, arg));
	}
}

/* Socket activation and reload: a socket that is open for this address already. */
static bool
front_take_over(struct front *f, struct front *old, const struct addr *a, size_t section)
{
	bool found = false;

	for (size_t i = 0; old != NULL && i < old->n && f->n < FRONT_MAX_SOCKETS; i++) {
		if (old->v[i].kept || !addr_eq(listener_addr(old->v[i].l), a))
			continue;
		/* Ports that the kernel chose are told apart by their section. */
		if (a->port == 0 &&
		    (a->kind == ADDR_IP || a->kind == ADDR_ANY || a->kind == ADDR_NAME) &&
		    strcmp(old->v[i].listen->name, f->config->listen[section].name) != 0)
			continue;
		f->v[f->n].l = old->v[i].l;
		f->v[f->n].listen = &f->config->listen[section];
		f->v[f->n].tls = tls_ctx_ref(f->tls[section]);
		f->v[f->n++].kept = true;
		old->v[i].kept = true;
		found = true;
	}
	return found;
}

static int
front_open_address(
    struct front *f, const struct addr *a, size_t section, config_report_fn *report, void *arg)
{
	struct listener *v[FRONT_MAX_PER_ADDRESS];
	const struct config_listen *cl = &f->config->listen[section];
	char err[400], line[600];
	size_t n = 0;

	if (listener_open(a, v, &n, FRONT_MAX_PER_ADDRESS, err, sizeof(err)) == -1) {
		snprintf(line, sizeof(line), "%s:%u: [listen %s] Address: %s", cl->file, cl->line,
		    cl->name, err);
		report(arg, true, line);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (f->n == FRONT_MAX_SOCKETS) {
			listener_free(v[i]);
			continue;
		}
		f->v[f->n].l = v[i];
		f->v[f->n].listen = cl;
		f->v[f->n++].tls = tls_ctx_ref(f->tls[section]);
	}
	return 0;
}

struct front_claims {
	const struct config *config;
	config_report_fn *report;
	void *arg;
};

/* Who connects to a socket that nobody accepts from waits in vain, and does not know why. */
static void
front_check_claimed(void *arg, const char *name)
{
	const struct front_claims *fc = arg;
	const struct config *c = fc->config;
	char line[400];

	for (size_t i = 0; i < c->n_listen; i++)
		for (size_t j = 0; j < c->listen[i].address.n; j++)
			if (c->listen[i].address.v[j].kind == ADDR_SYSTEMD &&
			    strcmp(c->listen[i].address.v[j].name, name) == 0)
				return;
	snprintf(line, sizeof(line),
	    "systemd passed in a socket of the name %s, but no [listen] section has "
	    "Address=systemd:%s: nobody accepts its connections",
	    name, name);
	fc->report(fc->arg, false, line);
}

int
front_open(struct front *f, struct front *old, config_report_fn *report, void *arg)
{
	const struct config *c = f->config;
	struct front_claims fc = { c, report, arg };
	bool failed = false;

	if ((f->v = mem_zalloc(FRONT_MAX_SOCKETS * sizeof(*f->v))) == NULL) {
		report(arg, true, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < c->n_listen; i++) {
		for (size_t j = 0; j < c->listen[i].address.n; j++) {
			const struct addr *a = &c->listen[i].address.v[j];

			if (!front_take_over(f, old, a, i) &&
			    front_open_address(f, a, i, report, arg) == -1)
				failed = true;
		}
	}
	listener_each_passed(front_check_claimed, &fc);
	return failed ? -1 : 0;
}

/* Without the sockets that are in another front as well. */
static void
front_forget_kept(struct front *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].kept)
			tls_ctx_unref(f->v[i].tls);
		else
			f->v[n++] = f->v[i];
	}
	f->n = n;
}

static void
front_own_kept(struct front *f)
{
	for (size_t i = 0; i < f->n; i++)
		f->v[i].kept = false;
}

void
front_commit(struct front *f, struct front *old)
{
	if (old != NULL)
		front_forget_kept(old);
	front_own_kept(f);
}

void
front_abandon(struct front *f, struct front *old)
{
	front_forget_kept(f);
	if (old != NULL)
		front_own_kept(old);
	front_clear(f);
}

void
front_accept_rest(struct front *f)
{
	for (size_t i = 0; i < f->n; i++)
		listener_accept_rest(f->v[i].l);
}

void
front_clear(struct front *f)
{
	for (size_t i = 0; i < f->n; i++) {
		listener_free(f->v[i].l);
		tls_ctx_unref(f->v[i].tls);
	}
	mem_free(f->v);
	for (size_t i = 0; f->tls != NULL && i < f->config->n_listen; i++)
		tls_ctx_unref(f->tls[i]);
	mem_free(f->tls);
	config_unref(f->config);
	memset(f, 0, sizeof(*f));
}
