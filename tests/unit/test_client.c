/* policy/client: the client behind trusted proxies. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "policy/client.h"
#include "unit_config.h"

struct row {
	const char *peer;
	const char *name, *value; /* a field of the request; NULL: none */
	const char *name2, *value2;
	const char *client;
};

#define XFF "X-Forwarded-For"

static const struct row rows[] = {
	{ "192.0.2.9", NULL, NULL, NULL, NULL, "192.0.2.9" },
	{ "192.0.2.9", XFF, "198.51.100.1", NULL, NULL, "192.0.2.9" }, /* not trusted: a spoof */
	{ "10.0.0.1", NULL, NULL, NULL, NULL, "10.0.0.1" },
	{ "10.0.0.1", XFF, "198.51.100.1", NULL, NULL, "198.51.100.1" },
	{ "10.0.0.1", XFF, "6.6.6.6, 198.51.100.1", NULL, NULL, "198.51.100.1" },
	{ "10.0.0.1", XFF, "6.6.6.6, 198.51.100.1, 10.2.3.4,10.0.0.7", NULL, NULL, "198.51.100.1" },
	{ "10.0.0.1", XFF, "198.51.100.1", XFF, "10.0.0.7", "198.51.100.1" },
	{ "10.0.0.1", XFF, "10.0.0.9, 10.0.0.8", NULL, NULL, "10.0.0.9" }, /* all trusted */
	{ "10.0.0.1", XFF, "198.51.100.1, unknown, 10.0.0.8", NULL, NULL, "10.0.0.8" },
	{ "10.0.0.1", XFF, "garbage", NULL, NULL, "10.0.0.1" },
	{ "10.0.0.1", XFF, "", NULL, NULL, "10.0.0.1" },
	{ "10.0.0.1", XFF, "198.51.100.1:4711", NULL, NULL, "198.51.100.1" },
	{ "10.0.0.1", XFF, "2001:db8::7", NULL, NULL, "2001:db8::7" },
	{ "10.0.0.1", XFF, "[2001:db8::7]:443", NULL, NULL, "2001:db8::7" },
	{ "10.0.0.1", XFF, "[198.51.100.1]", NULL, NULL, "10.0.0.1" },
	{ "10.0.0.1", XFF, "198.51.100.1:99999", NULL, NULL, "10.0.0.1" },
	{ "2001:db8:1::5", XFF, "198.51.100.1", NULL, NULL, "198.51.100.1" },
	{ "10.0.0.1", "Forwarded", "for=198.51.100.1;proto=https", NULL, NULL, "198.51.100.1" },
	{ "10.0.0.1", "Forwarded",
	    "for=6.6.6.6, proto=http; For=\"[2001:db8::7]:80\" , for=10.9.9.9", NULL, NULL,
	    "2001:db8::7" },
	{ "10.0.0.1", "Forwarded", "for=_hidden", NULL, NULL, "10.0.0.1" },
	{ "10.0.0.1", "Forwarded", "proto=https", NULL, NULL, "10.0.0.1" },
	{ "10.0.0.1", "Forwarded", "for=6.6.6.6", XFF, "198.51.100.1", "198.51.100.1" },
};

static socklen_t
parse(const char *text, struct sockaddr_storage *ss)
{
	ck_assert_int_eq(client_parse_node(span_from_str(text), ss), 0);
	return sizeof(*ss);
}

START_TEST(client_is_the_right_most_that_is_not_trusted)
{
	struct unit_config uc;
	struct sockaddr_storage peer, out;
	char text[64];

	unit_config_good(&uc,
	    "[listen t]\nAddress=127.0.0.1:1\n"
	    "TrustedProxies=10.0.0.0/8 2001:db8:1::/48\n");
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		const struct config_listen *l = NULL;
		struct http_head h = { .n_fields = 0 };

		for (size_t k = 0; k < uc.c->n_listen; k++)
			if (strcmp(uc.c->listen[k].name, "t") == 0)
				l = &uc.c->listen[k];
		ck_assert_ptr_nonnull(l);
		if (r->name != NULL)
			h.field[h.n_fields++] =
			    (struct http_field){ span_from_str(r->name), span_from_str(r->value) };
		if (r->name2 != NULL)
			h.field[h.n_fields++] = (struct http_field){ span_from_str(r->name2),
				span_from_str(r->value2) };
		parse(r->peer, &peer);
		client_find(l, (const struct sockaddr *)&peer, &h, &out);
		addr_format_sa(
		    (const struct sockaddr *)&out, sizeof(out), false, text, sizeof(text));
		if (strcmp(text, r->client) != 0)
			ck_abort_msg("row %zu: %s, not %s", i, text, r->client);
	}
	unit_config_clear(&uc);
}
END_TEST

START_TEST(client_node_refuses_what_is_no_address)
{
	static const char *const bad[] = { "", "unknown", "_x", "[", "[]", "[::1", "1.2.3",
		"1.2.3.4:", "1.2.3.4:x", "::1:99999999999999999999999999999999999999999", "[::1]x",
		"host.example", "1.2.3.4 5", ":" };
	struct sockaddr_storage ss;

	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (client_parse_node(span_from_str(bad[i]), &ss) == 0)
			ck_abort_msg("%s was taken", bad[i]);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		client_is_the_right_most_that_is_not_trusted,
		client_node_refuses_what_is_no_address,
	};

	return unit_run("client", cases, UNIT_COUNT(cases));
}
