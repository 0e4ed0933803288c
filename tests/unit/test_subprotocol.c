/* Unit tests of src/policy/subprotocol.c. */
#include "policy/subprotocol.h"

#include "unit.h"

static char *subprotocol_names[] = { (char[]){ "chat.v2" }, (char[]){ "chat.v1" },
	(char[]){ "mqtt" } };
static const struct config_list subprotocol_list = { subprotocol_names, 3 };
static const struct config_list subprotocol_none = { NULL, 0 };

START_TEST(subprotocol_picks_the_clients_first)
{
	static const struct {
		const char *offers, *picked;
	} rows[] = {
		{ "chat.v1", "chat.v1" },
		{ "chat.v1, chat.v2", "chat.v1" },
		{ "other,\tmqtt ,chat.v2", "mqtt" },
		{ ",, chat.v2", "chat.v2" },
		{ "Chat.v2", "" },
		{ "chat", "" },
		{ "chat.v22", "" },
		{ "", "" },
		{ " , ,", "" },
	};

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		struct span s = subprotocol_pick(span_from_str(rows[i].offers), &subprotocol_list);

		ck_assert_msg(span_eq(s, span_from_str(rows[i].picked)), "\"%s\" gives \"%.*s\"",
		    rows[i].offers, SPAN_ARG(s));
		ck_assert_uint_eq(
		    subprotocol_pick(span_from_str(rows[i].offers), &subprotocol_none).n, 0);
	}
}
END_TEST

START_TEST(subprotocol_allowed_is_exact)
{
	ck_assert(subprotocol_allowed(SPAN_LIT("mqtt"), &subprotocol_list));
	ck_assert(!subprotocol_allowed(SPAN_LIT("MQTT"), &subprotocol_list));
	ck_assert(!subprotocol_allowed(SPAN_LIT("mqt"), &subprotocol_list));
	ck_assert(!subprotocol_allowed(SPAN_LIT("mqtt"), &subprotocol_none));
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		subprotocol_picks_the_clients_first,
		subprotocol_allowed_is_exact,
	};

	return unit_run("subprotocol", cases, UNIT_COUNT(cases));
}
