/* Unit tests of src/config/keys.c, and of the table itself. */
#include "config/keys.h"

#include "config/config.h"
#include "config/value.h"
#include "unit.h"

/* Larger than each section's struct. */
union keys_base {
	struct config_server server;
	struct config_listen listen;
	struct config_websocket websocket;
	struct config_route route;
	struct config_backend backend;
};

START_TEST(keys_have_names_of_their_own)
{
	for (size_t i = 0; i < config_keys_n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct config_key *a = &config_keys[i], *b = &config_keys[j];
			bool same = span_eq_nocase(span_from_str(a->name), span_from_str(b->name));

			ck_assert_msg(!same ||
				(!config_key_in(a, b->section) && !config_key_in(b, a->section)),
			    "%s is there twice", a->name);
			ck_assert_msg(a->section != b->section || a->offset != b->offset,
			    "%s and %s have one field", a->name, b->name);
		}
}
END_TEST

START_TEST(keys_are_complete)
{
	char expected[400];

	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];

		ck_assert_msg(k->doc != NULL && k->doc[strlen(k->doc) - 1] == '.', "%s", k->name);
		ck_assert_msg(k->def != NULL, "%s", k->name);
		ck_assert_msg(!k->required || k->example != NULL, "%s", k->name);
		ck_assert_msg((k->type == CONFIG_T_ENUM) == (k->words != NULL), "%s", k->name);
		ck_assert_msg(k->accept == NULL || k->expected != NULL, "%s", k->name);
		config_key_expected(k, expected, sizeof(expected));
		ck_assert_msg(expected[0] != '\0', "%s", k->name);
		ck_assert_msg(
		    config_key_find(k->section, span_from_str(k->name)) == k, "%s", k->name);
		if (k->type <= CONFIG_T_TIME)
			ck_assert_msg(k->min < k->max, "%s", k->name);
	}
}
END_TEST

START_TEST(keys_defaults_parse)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		union keys_base base;
		const char *why;

		memset(&base, 0, sizeof(base));
		if (k->def[0] == '\0')
			continue;
		ck_assert_msg(
		    config_value_set(k, &base, span_from_str(k->def), &why) == CONFIG_VALUE_OK,
		    "%s", k->name);
		config_value_clear(k, &base);
	}
}
END_TEST

START_TEST(keys_examples_parse)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		union keys_base base;
		const char *why;

		memset(&base, 0, sizeof(base));
		if (k->example != NULL)
			ck_assert_msg(config_value_set(k, &base, span_from_str(k->example), &why) ==
				CONFIG_VALUE_OK,
			    "%s", k->name);
		config_value_clear(k, &base);
	}
}
END_TEST

START_TEST(keys_are_found_without_regard_to_case)
{
	ck_assert_ptr_nonnull(config_key_find(CONFIG_S_SERVER, SPAN_LIT("wORKERS")));
	ck_assert_ptr_null(config_key_find(CONFIG_S_SERVER, SPAN_LIT("Worker")));
	ck_assert_ptr_null(config_key_find(CONFIG_S_SERVER, SPAN_LIT("MaxAge")));
	ck_assert_ptr_nonnull(config_key_find(CONFIG_S_ROUTE, SPAN_LIT("maxage")));
	ck_assert_ptr_null(config_key_find(CONFIG_S_WEBSOCKET, SPAN_LIT("Path")));
	/* the same name in two sections is two keys */
	ck_assert_ptr_ne(config_key_find(CONFIG_S_ROUTE, SPAN_LIT("KeepAliveInterval")),
	    config_key_find(CONFIG_S_BACKEND, SPAN_LIT("KeepAliveInterval")));
}
END_TEST

START_TEST(keys_distance_counts_edits)
{
	static const struct {
		const char *a, *b;
		unsigned distance;
	} rows[] = {
		{ "", "", 0 },
		{ "", "abc", 3 },
		{ "abc", "", 3 },
		{ "abc", "ABC", 0 },
		{ "abc", "abd", 1 },
		{ "abc", "acb", 1 },
		{ "kitten", "sitting", 3 },
		{ "Wrokers", "Workers", 1 },
	};
	char long_a[200], long_b[200];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		ck_assert_uint_eq(
		    config_edit_distance(span_from_str(rows[i].a), span_from_str(rows[i].b)),
		    rows[i].distance);
	memset(long_a, 'a', sizeof(long_a));
	memset(long_b, 'b', sizeof(long_b));
	ck_assert_uint_eq(config_edit_distance((struct span){ long_a, sizeof(long_a) },
			      (struct span){ long_b, sizeof(long_b) }),
	    63);
}
END_TEST

START_TEST(keys_nearest_is_always_there)
{
	ck_assert_str_eq(config_key_nearest(CONFIG_S_SERVER, SPAN_LIT("wrkers"))->name, "Workers");
	ck_assert_str_eq(
	    config_key_nearest(CONFIG_S_LISTEN, SPAN_LIT("TlsMinVersoin"))->name, "TLSMinVersion");
	ck_assert_ptr_nonnull(config_key_nearest(CONFIG_S_SERVER, SPAN_LIT("zzzzzzzzzzzzzzzzz")));
	ck_assert_int_eq(config_section_nearest(SPAN_LIT("lissten")), CONFIG_S_LISTEN);
	ck_assert_int_eq(config_section_nearest(SPAN_LIT("Web-Socket")), CONFIG_S_WEBSOCKET);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		keys_have_names_of_their_own,
		keys_are_complete,
		keys_defaults_parse,
		keys_examples_parse,
		keys_are_found_without_regard_to_case,
		keys_distance_counts_edits,
		keys_nearest_is_always_there,
	};

	return unit_run("keys", cases, UNIT_COUNT(cases));
}
