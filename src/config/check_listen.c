/*
 * Checks of [listen NAME]: TLS keys that fit together, no address twice.
 * Whether certificates can be read and fit their keys is io/'s to say.
 */
#include "config/keys.h"
#include "config/stages.h"

static const char *const listen_tls_keys[] = {
	"Certificate",
	"CertificateKey",
	"TLSMinVersion",
	"TLSCiphers",
	"ClientCertificate",
	"ClientCA",
};

#define LISTEN_TLS_KEYS (sizeof(listen_tls_keys) / sizeof(listen_tls_keys[0]))

/* Given, and not the default that stands there anyway. */
static const struct config_entry *
listen_given(const struct config_tsection *s, const char *key)
{
	const struct config_entry *e = config_tree_get(s, key);

	if (e != NULL && !config_key_is_list(e->key) &&
	    span_eq_nocase(span_from_str(e->v[0].text), span_from_str(e->key->def)))
		return NULL;
	return e;
}

static void
listen_check_plain(const struct config_tsection *s, struct config_report *rep)
{
	const struct config_entry *e;
	struct config_shown shown;
	struct config_place at;

	for (size_t i = 0; i < LISTEN_TLS_KEYS; i++) {
		if ((e = listen_given(s, listen_tls_keys[i])) == NULL)
			continue;
		config_place(&at, s, e->key->name);
		config_error(rep, at.file, at.line,
		    "%s %s=%s: it has no effect without TLS; "
		    "expected TLS=yes, or this key left out",
		    at.title, e->key->name, config_show(&shown, span_from_str(e->v[0].text)));
	}
}

static void
listen_check_client_ca(
    const struct config_listen *l, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;
	struct config_shown shown;

	if (config_tree_is_bad(s, "ClientCertificate") || config_tree_is_bad(s, "ClientCA"))
		return;
	if (l->client_certificate != CONFIG_CLIENT_CERT_OFF && l->client_ca == NULL) {
		config_place(&at, s, "ClientCertificate");
		config_error(rep, at.file, at.line,
		    "%s ClientCertificate=%s: ClientCA is missing; "
		    "expected the path of a PEM file there",
		    at.title,
		    l->client_certificate == CONFIG_CLIENT_CERT_OPTIONAL ? "optional" : "required");
	}
	if (l->client_certificate == CONFIG_CLIENT_CERT_OFF && l->client_ca != NULL) {
		config_place(&at, s, "ClientCA");
		config_error(rep, at.file, at.line,
		    "%s ClientCA=%s: it has no effect with "
		    "ClientCertificate=off; expected optional or required there",
		    at.title, config_show(&shown, span_from_str(l->client_ca)));
	}
}

static void
listen_check_tls(
    const struct config_listen *l, const struct config_tsection *s, struct config_report *rep)
{
	struct config_place at;

	config_place(&at, s, "TLS");
	if (l->certificate.n == 0 && !config_tree_is_bad(s, "Certificate"))
		config_error(rep, at.file, at.line,
		    "%s TLS=yes: Certificate is missing; expected one "
		    "or more PEM files there",
		    at.title);
	if (l->certificate_key.n == 0 && !config_tree_is_bad(s, "CertificateKey"))
		config_error(rep, at.file, at.line,
		    "%s TLS=yes: CertificateKey is missing; expected "
		    "one PEM file for each Certificate there",
		    at.title);
	if (l->certificate.n > 0 && l->certificate_key.n > 0 &&
	    l->certificate.n != l->certificate_key.n) {
		config_place(&at, s, "CertificateKey");
		config_error(rep, at.file, at.line,
		    "%s CertificateKey: %zu files for %zu of "
		    "Certificate; expected as many of each, in the same order",
		    at.title, l->certificate_key.n, l->certificate.n);
	}
	listen_check_client_ca(l, s, rep);
}

/* Of a listener whose addresses all parsed: item i of the key is address i. */
static const struct config_text *
listen_address_text(const struct config_tsection *s, size_t i)
{
	const struct config_entry *e = config_tree_get(s, "Address");

	return e != NULL ? &e->v[i] : NULL;
}

static void
listen_check_one_address(const struct config *c, size_t l, size_t a, struct config_report *rep)
{
	const struct config_tsection *s = c->sources->section[CONFIG_S_LISTEN].v;
	const struct addr *addr = &c->listen[l].address.v[a];
	const struct config_text *text = listen_address_text(&s[l], a), *other;
	struct config_shown head, head2, shown;

	if (text == NULL ||
	    (addr->port == 0 &&
		(addr->kind == ADDR_IP || addr->kind == ADDR_ANY || addr->kind == ADDR_NAME)))
		return;
	for (size_t i = 0; i <= l; i++)
		for (size_t j = 0; j < (i == l ? a : c->listen[i].address.n); j++) {
			if (!addr_eq(addr, &c->listen[i].address.v[j]) ||
			    (other = listen_address_text(&s[i], j)) == NULL)
				continue;
			config_error(rep, text->file, text->line,
			    "%s Address=%s: %s has this address "
			    "already (%s:%u); expected each once",
			    config_show_head(&head, s[l].type, s[l].name),
			    config_show(&shown, span_from_str(text->text)),
			    config_show_head(&head2, s[i].type, s[i].name), other->file,
			    other->line);
			return;
		}
}

/* The admin endpoint is for the administrator, a listener for everybody. */
static void
listen_check_admin(const struct config *c, struct config_report *rep)
{
	const struct config_tsection *s = c->sources->section[CONFIG_S_SERVER].v;
	struct config_shown head, shown;
	struct config_place at;
	const char *why;
	struct addr a;

	if (c->server.admin_address == NULL ||
	    addr_parse(span_from_str(c->server.admin_address), &a, &why) == -1 ||
	    (a.kind != ADDR_UNIX && a.port == 0))
		return;
	for (size_t i = 0; i < c->n_listen; i++)
		for (size_t j = 0; j < c->listen[i].address.n; j++) {
			if (!addr_eq(&a, &c->listen[i].address.v[j]))
				continue;
			config_place(&at, s, "AdminAddress");
			config_error(rep, at.file, at.line,
			    "%s AdminAddress=%s: %s has this address (%s:%u); expected one of its own",
			    at.title, config_show(&shown, span_from_str(c->server.admin_address)),
			    config_show_head(&head, CONFIG_S_LISTEN, c->listen[i].name),
			    c->listen[i].file, c->listen[i].line);
			return;
		}
}

void
config_check_listen(const struct config *c, struct config_report *rep)
{
	const struct config_tsection *s = c->sources->section[CONFIG_S_LISTEN].v;

	listen_check_admin(c, rep);
	for (size_t i = 0; i < c->n_listen; i++) {
		for (size_t a = 0; a < c->listen[i].address.n; a++)
			listen_check_one_address(c, i, a, rep);
		if (config_tree_is_bad(&s[i], "TLS"))
			continue;
		if (c->listen[i].tls)
			listen_check_tls(&c->listen[i], &s[i], rep);
		else
			listen_check_plain(&s[i], rep);
	}
}
