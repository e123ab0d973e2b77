/* What PostgreSQL's error codes mean to us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "db/sqlstate.h"

static void tells_what_passes_from_what_stays_wrong(void **state)
{
	static const struct {
		const char *sqlstate;
		int err;
	} rows[] = {
		{"23505", -ERR_CONFLICT},       {"23503", -ERR_INTERNAL},
		{"22P02", -ERR_INTERNAL},       {"42P01", -ERR_INTERNAL},
		{"08006", -ERR_DB_UNAVAILABLE}, {"57P01", -ERR_DB_UNAVAILABLE},
		{"57P03", -ERR_DB_UNAVAILABLE}, {"53300", -ERR_DB_UNAVAILABLE},
		{"40P01", -ERR_DB_UNAVAILABLE}, {"55P03", -ERR_DB_UNAVAILABLE},
		{"57014", -ERR_DB_UNAVAILABLE}, {"25006", -ERR_DB_UNAVAILABLE},
		{"57000", -ERR_INTERNAL},       {"", -ERR_INTERNAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(sqlstate_to_err(rows[i].sqlstate), rows[i].err);
}

static void gives_up_connections_to_servers_that_go_or_turn_read_only(void **state)
{
	(void)state;
	assert_true(sqlstate_ends_connection("57P02"));
	assert_true(sqlstate_ends_connection("08P01"));
	assert_true(sqlstate_ends_connection("25006"));
	assert_false(sqlstate_ends_connection("53100"));
	assert_false(sqlstate_ends_connection("40P01"));
	assert_false(sqlstate_ends_connection(""));
}

static void takes_0A000_for_a_stale_plan_only_if_there_was_a_plan(void **state)
{
	(void)state;
	assert_true(sqlstate_is_stale_plan("0A000", true));
	assert_false(sqlstate_is_stale_plan("0A000", false));
	assert_true(sqlstate_is_stale_plan("26000", false));
	assert_true(sqlstate_is_stale_plan("42P05", false));
	assert_false(sqlstate_is_stale_plan("", true));
}

static void quotes_no_message_that_could_hold_a_value(void **state)
{
	(void)state;
	assert_true(sqlstate_may_be_quoted("42703"));
	assert_false(sqlstate_may_be_quoted("22P02"));
	assert_false(sqlstate_may_be_quoted("23505"));
	assert_false(sqlstate_may_be_quoted("P0001"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_passes_from_what_stays_wrong),
		cmocka_unit_test(gives_up_connections_to_servers_that_go_or_turn_read_only),
		cmocka_unit_test(takes_0A000_for_a_stale_plan_only_if_there_was_a_plan),
		cmocka_unit_test(quotes_no_message_that_could_hold_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
