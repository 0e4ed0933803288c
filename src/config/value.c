/*
 * Text to field and back; see value.h.  The only place that knows how the
 * types of keys.h are kept in the structs of config.h.
 */
#include "config/value.h"

#include <inttypes.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/num.h"
#include "config/config.h"
#include "config/origin_value.h"

_Static_assert(sizeof(enum config_action) == sizeof(unsigned), "enums are read as unsigned");
_Static_assert(sizeof(enum log_level) == sizeof(unsigned), "enums are read as unsigned");

static void *
value_field(const struct config_key *k, void *base)
{
	return (char *)base + k->offset;
}

static const void *
value_field_const(const struct config_key *k, const void *base)
{
	return (const char *)base + k->offset;
}

bool
config_value_next(struct span *list, struct span *item)
{
	*list = span_trim(*list);
	if (list->n == 0)
		return false;
	*item = (struct span){ list->p, 0 };
	while (item->n < list->n && list->p[item->n] != ' ' && list->p[item->n] != '\t')
		item->n++;
	list->p += item->n, list->n -= item->n;
	return true;
}

static enum config_value_status
value_set_time(const struct config_key *k, uint64_t *field, struct span text)
{
	uint64_t v;

	if (num_parse_time_ms(text, &v) == -1)
		return CONFIG_VALUE_BAD;
	if (v == 0 && k->zero_is_infinity)
		v = CONFIG_NEVER;
	if (v == CONFIG_NEVER ? !k->infinity : v < k->min || v > k->max)
		return CONFIG_VALUE_BAD;
	*field = v;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_set_number(const struct config_key *k, uint64_t *field, struct span text)
{
	uint64_t v;

	if (k->type == CONFIG_T_AUTO && span_eq_nocase(text, SPAN_LIT("auto"))) {
		*field = 0;
		return CONFIG_VALUE_OK;
	}
	if ((k->type == CONFIG_T_SIZE ? num_parse_size(text, &v) : num_parse_uint(text, &v)) == -1)
		return CONFIG_VALUE_BAD;
	if (v < k->min || v > k->max)
		return CONFIG_VALUE_BAD;
	*field = v;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_set_enum(const struct config_key *k, void *field, struct span text)
{
	unsigned i;
	bool yes;

	for (i = 0; k->words[i] != NULL; i++)
		if (span_eq_nocase(text, span_from_str(k->words[i]))) {
			memcpy(field, &i, sizeof(i));
			return CONFIG_VALUE_OK;
		}
	/* Where it is a boolean but for a third word, a boolean's other words do as well. */
	if (strcmp(k->words[0], "no") == 0 && strcmp(k->words[1], "yes") == 0 &&
	    num_parse_bool(text, &yes) == 0) {
		i = yes;
		memcpy(field, &i, sizeof(i));
		return CONFIG_VALUE_OK;
	}
	return CONFIG_VALUE_BAD;
}

static enum config_value_status
value_set_string(char **field, struct span text)
{
	char *s = NULL;

	if (text.n > 0 && (s = mem_strndup(text.p, text.n)) == NULL)
		return CONFIG_VALUE_NO_MEMORY;
	mem_free(*field);
	*field = s;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_set_host(char **field, struct span text)
{
	enum config_value_status st = value_set_string(field, text);

	for (char *p = *field; st == CONFIG_VALUE_OK && p != NULL && *p != '\0'; p++)
		*p = span_lower(*p);
	return st;
}

static enum config_value_status
value_set_path(struct config_route *r, struct span text)
{
	bool prefix = text.n > 0 && text.p[text.n - 1] == '*';
	enum config_value_status st;

	if (prefix)
		text.n--;
	st = value_set_string(&r->path, text);
	if (st == CONFIG_VALUE_OK)
		r->path_is_prefix = prefix;
	return st;
}

/* Room for one element more in an array of n; NULL without memory. */
static void *
value_grow(void *v, size_t n, size_t size)
{
	return mem_realloc(v, (n + 1) * size);
}

static enum config_value_status
value_add_list(struct config_list *l, struct span text)
{
	char **v = value_grow(l->v, l->n, sizeof(*v));

	if (v == NULL)
		return CONFIG_VALUE_NO_MEMORY;
	l->v = v;
	if ((v[l->n] = mem_strndup(text.p, text.n)) == NULL)
		return CONFIG_VALUE_NO_MEMORY;
	l->n++;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_add_joined(char **field, struct span text)
{
	size_t n = *field != NULL ? strlen(*field) : 0;
	char *s = mem_realloc(*field, n + 1 + text.n + 1);

	if (s == NULL)
		return CONFIG_VALUE_NO_MEMORY;
	if (n > 0)
		s[n++] = ':';
	memcpy(s + n, text.p, text.n);
	s[n + text.n] = '\0';
	*field = s;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_add_addr(struct config_addrs *l, struct span text, const char **why)
{
	struct addr a, *v;

	if (addr_parse(text, &a, why) == -1)
		return CONFIG_VALUE_BAD;
	if ((v = value_grow(l->v, l->n, sizeof(*v))) == NULL)
		return CONFIG_VALUE_NO_MEMORY;
	l->v = v;
	v[l->n++] = a;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_add_cidr(struct config_listen *l, struct span text)
{
	struct addr_cidr c, *v;

	if (addr_cidr_parse(text, &c) == -1)
		return CONFIG_VALUE_BAD;
	if ((v = value_grow(l->trusted_proxies, l->n_trusted_proxies, sizeof(*v))) == NULL)
		return CONFIG_VALUE_NO_MEMORY;
	l->trusted_proxies = v;
	if (value_add_list(&l->trusted_proxies_text, text) != CONFIG_VALUE_OK)
		return CONFIG_VALUE_NO_MEMORY;
	v[l->n_trusted_proxies++] = c;
	return CONFIG_VALUE_OK;
}

static enum config_value_status
value_add_origin(struct config_websocket *ws, struct span text, const char **why)
{
	struct config_origin o, *v;

	if (config_origin_parse(text, &o, why) == -1)
		return *why != NULL ? CONFIG_VALUE_BAD : CONFIG_VALUE_NO_MEMORY;
	v = value_grow(ws->allowed_origins, ws->n_allowed_origins, sizeof(*v));
	if (v != NULL)
		ws->allowed_origins = v;
	if (v == NULL || value_add_list(&ws->allowed_origins_text, text) != CONFIG_VALUE_OK) {
		config_origin_clear(&o);
		return CONFIG_VALUE_NO_MEMORY;
	}
	v[ws->n_allowed_origins++] = o;
	return CONFIG_VALUE_OK;
}

enum config_value_status
config_value_set(const struct config_key *k, void *base, struct span text, const char **why)
{
	void *field = value_field(k, base);

	*why = NULL;
	if (k->accept != NULL && text.n > 0 && k->accept(text, why) == -1)
		return CONFIG_VALUE_BAD;
	switch (k->type) {
	case CONFIG_T_UINT:
	case CONFIG_T_AUTO:
	case CONFIG_T_SIZE:
		return value_set_number(k, field, text);
	case CONFIG_T_TIME:
		return value_set_time(k, field, text);
	case CONFIG_T_BOOL:
		return num_parse_bool(text, field) == 0 ? CONFIG_VALUE_OK : CONFIG_VALUE_BAD;
	case CONFIG_T_ENUM:
		return value_set_enum(k, field, text);
	case CONFIG_T_STRING:
		return value_set_string(field, text);
	case CONFIG_T_HOST:
		return value_set_host(field, text);
	case CONFIG_T_PATH:
		return value_set_path(base, text);
	case CONFIG_T_LIST:
		return value_add_list(field, text);
	case CONFIG_T_JOINED:
		return value_add_joined(field, text);
	case CONFIG_T_ADDRS:
		return value_add_addr(field, text, why);
	case CONFIG_T_CIDRS:
		return value_add_cidr(base, text);
	case CONFIG_T_ORIGINS:
		return value_add_origin(base, text, why);
	}
	return CONFIG_VALUE_BAD;
}

static void
value_clear_list(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		mem_free(l->v[i]);
	mem_free(l->v);
	*l = (struct config_list){ NULL, 0 };
}

static void
value_clear_origins(struct config_websocket *ws)
{
	for (size_t i = 0; i < ws->n_allowed_origins; i++)
		config_origin_clear(&ws->allowed_origins[i]);
	mem_free(ws->allowed_origins);
	ws->allowed_origins = NULL;
	ws->n_allowed_origins = 0;
	value_clear_list(&ws->allowed_origins_text);
}

static void
value_clear_cidrs(struct config_listen *l)
{
	mem_free(l->trusted_proxies);
	l->trusted_proxies = NULL;
	l->n_trusted_proxies = 0;
	value_clear_list(&l->trusted_proxies_text);
}

static void
value_clear_addrs(struct config_addrs *l)
{
	mem_free(l->v);
	*l = (struct config_addrs){ NULL, 0 };
}

void
config_value_clear(const struct config_key *k, void *base)
{
	void *field = value_field(k, base);
	char **string = field;

	switch (k->type) {
	case CONFIG_T_UINT:
	case CONFIG_T_AUTO:
	case CONFIG_T_SIZE:
	case CONFIG_T_TIME:
	case CONFIG_T_BOOL:
	case CONFIG_T_ENUM:
		break;
	case CONFIG_T_STRING:
	case CONFIG_T_HOST:
	case CONFIG_T_PATH:
	case CONFIG_T_JOINED:
		mem_free(*string);
		*string = NULL;
		break;
	case CONFIG_T_LIST:
		value_clear_list(field);
		break;
	case CONFIG_T_ADDRS:
		value_clear_addrs(field);
		break;
	case CONFIG_T_CIDRS:
		value_clear_cidrs(base);
		break;
	case CONFIG_T_ORIGINS:
		value_clear_origins(base);
		break;
	}
}

static int
value_format_number(const struct config_key *k, uint64_t v, struct buf *out)
{
	char text[24];

	if (k->type == CONFIG_T_AUTO && v == 0)
		return buf_append_str(out, "auto");
	if (k->type == CONFIG_T_SIZE)
		num_format_size(v, text, sizeof(text));
	else if (k->type == CONFIG_T_TIME)
		num_format_time_ms(v, text, sizeof(text));
	else
		return buf_printf(out, "%" PRIu64, v);
	return buf_append_str(out, text);
}

static int
value_format_string(const struct config_key *k, const void *base, struct buf *out)
{
	const struct config_route *r = base;
	const char *s;

	memcpy(&s, value_field_const(k, base), sizeof(s));
	if (s != NULL && buf_append_str(out, s) == -1)
		return -1;
	if (k->type == CONFIG_T_PATH && r->path_is_prefix)
		return buf_append_char(out, '*');
	return 0;
}

int
config_value_format(const struct config_key *k, const void *base, struct buf *out)
{
	const void *field = value_field_const(k, base);
	unsigned word;
	uint64_t number;

	switch (k->type) {
	case CONFIG_T_UINT:
	case CONFIG_T_AUTO:
	case CONFIG_T_SIZE:
	case CONFIG_T_TIME:
		memcpy(&number, field, sizeof(number));
		return value_format_number(k, number, out);
	case CONFIG_T_BOOL:
		return buf_append_str(out, *(const bool *)field ? "yes" : "no");
	case CONFIG_T_ENUM:
		memcpy(&word, field, sizeof(word));
		return buf_append_str(out, k->words[word]);
	case CONFIG_T_STRING:
	case CONFIG_T_HOST:
	case CONFIG_T_PATH:
		return value_format_string(k, base, out);
	case CONFIG_T_LIST:
	case CONFIG_T_JOINED:
	case CONFIG_T_ADDRS:
	case CONFIG_T_CIDRS:
	case CONFIG_T_ORIGINS:
		break;
	}
	return 0;
}
