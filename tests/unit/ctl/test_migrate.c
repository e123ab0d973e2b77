/* Migrations without a database: names, order, comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/crypto.h"
#include "ctl/migrate.h"

static void add_file(struct migrate_plan *plan, int version, const char *name, const char *text)
{
	struct buf sql = {NULL, 0, 0};

	buf_add_cstr(&sql, text);
	migrate_add_file(plan, version, name, &sql);
	assert_null(sql.p);
}

/* The row that applying the text would have left. */
static void add_row(struct migrate_plan *plan, int version, const char *name, const char *text)
{
	struct migration_row row = {.version = version};

	snprintf(row.name, sizeof(row.name), "%s", name);
	crypto_sha256_hex(str_from(text), row.checksum);
	migrate_add_row(plan, &row);
}

/* Checks the plan and frees it; a part of the sentence, or NULL if nothing may be wrong. */
static void expect(struct migrate_plan *plan, const char *sentence)
{
	char why[512] = "";

	migrate_sort(plan);
	assert_int_equal(migrate_check(plan, why, sizeof(why)), sentence ? -1 : 0);
	if (sentence && !strstr(why, sentence))
		fail_msg("\"%s\" does not say \"%s\"", why, sentence);
	migrate_fini(plan);
}

static void knows_the_names_of_migrations(void **state)
{
	static const struct {
		const char *file_name;
		int kind, version;
	} rows[] = {
		{"0001_users.sql", 1, 1},
		{"0042_more-agents_2.sql", 1, 42},
		{"9999_a.sql", 1, 9999},
		{"README.md", 0, 0},
		{".", 0, 0},
		{".0001_users.sql.swp", 0, 0},
		{"", 0, 0},
		{"seed.sql", 0, 0},
		{"0000_zero.sql", -1, 0},
		{"1", -1, 0},
		{"1_users.sql", -1, 0},
		{"00001_users.sql", -1, 0},
		{"0001users.sql", -1, 0},
		{"0001_.sql", -1, 0},
		{"0001_users.sql~", -1, 0},
		{"0001_users.txt", -1, 0},
		{"0001_Users.sql", -1, 0},
		{"0001_a b.sql", -1, 0},
	};
	char name[MIGRATE_NAME_SIZE];
	int version;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		assert_int_equal(migrate_parse_name(rows[i].file_name, &version, name), rows[i].kind);
		if (rows[i].kind == 1)
			assert_int_equal(version, rows[i].version);
	}
	assert_int_equal(migrate_parse_name("0001_users.sql", &version, name), 1);
	assert_string_equal(name, "0001_users");
}

static void refuses_a_name_that_is_too_long(void **state)
{
	char file_name[200], name[MIGRATE_NAME_SIZE];
	int version;

	(void)state;
	for (size_t len = 1; len < 150; len++) {
		snprintf(file_name, sizeof(file_name), "0001_%0*d.sql", (int)len, 0);
		assert_int_equal(migrate_parse_name(file_name, &version, name), len + 5 < MIGRATE_NAME_SIZE ? 1 : -1);
	}
}

static void finds_the_wish_for_no_transaction_in_the_first_line_only(void **state)
{
	(void)state;
	assert_true(migrate_wants_no_transaction(STR("-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY …")));
	assert_true(migrate_wants_no_transaction(STR("-- migrate: no-transaction \r\nVACUUM")));
	assert_true(migrate_wants_no_transaction(STR("-- migrate: no-transaction")));
	assert_false(migrate_wants_no_transaction(STR("\n-- migrate: no-transaction\n")));
	assert_false(migrate_wants_no_transaction(STR("-- migrate: no-transactions\n")));
	assert_false(migrate_wants_no_transaction(STR("")));
}

static void counts_lines_by_characters_not_bytes(void **state)
{
	static const char sql[] = "-- é語\nSELECT\n\n  x;";

	(void)state;
	assert_int_equal(migrate_line_of(STR(sql), 1), 1);
	assert_int_equal(migrate_line_of(STR(sql), 6), 1); /* the newline itself */
	assert_int_equal(migrate_line_of(STR(sql), 7), 2);
	assert_int_equal(migrate_line_of(STR(sql), 13), 2);
	assert_int_equal(migrate_line_of(STR(sql), 14), 3);
	assert_int_equal(migrate_line_of(STR(sql), 17), 4);
	assert_int_equal(migrate_line_of(STR(sql), 1000), 4);
	assert_int_equal(migrate_line_of(STR(""), 1), 1);
}

static void lets_pending_files_follow_applied_ones(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 3, "0003_c", "C");
	add_file(&plan, 1, "0001_a", "A");
	add_file(&plan, 2, "0002_b", "B");
	add_row(&plan, 1, "0001_a", "A");
	migrate_sort(&plan);
	assert_int_equal(migrate_state(&plan, 1), MIGRATE_APPLIED);
	assert_int_equal(migrate_state(&plan, 2), MIGRATE_PENDING);
	assert_int_equal(migrate_last_version(&plan), 3);
	assert_string_equal(plan.files[2].name, "0003_c");
	expect(&plan, NULL);
}

static void lets_everything_be_pending_or_applied(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_a", "A");
	expect(&plan, NULL);
	add_file(&plan, 1, "0001_a", "A");
	add_row(&plan, 1, "0001_a", "A");
	expect(&plan, NULL);
	expect(&plan, NULL); /* nothing at all */
}

static void refuses_a_file_that_was_changed_with_both_checksums(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_a", "A changed");
	add_row(&plan, 1, "0001_a", "A");
	migrate_sort(&plan);
	assert_int_equal(migrate_state(&plan, 1), MIGRATE_CHANGED);
	expect(&plan, "0001_a.sql was changed after it was applied: its checksum was 559aead08264, now it is ");
}

static void refuses_when_an_applied_file_is_missing(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_a", "A");
	add_file(&plan, 3, "0003_c", "C");
	add_row(&plan, 1, "0001_a", "A");
	add_row(&plan, 2, "0002_b", "B");
	migrate_sort(&plan);
	assert_int_equal(migrate_state(&plan, 2), MIGRATE_MISSING);
	expect(&plan, "0002_b.sql was applied to this database, but the file is missing");
}

static void refuses_a_gap(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_a", "A");
	add_file(&plan, 3, "0003_c", "C");
	expect(&plan, "there is a gap: 0002 is missing before 0003_c.sql");
	add_file(&plan, 2, "0002_b", "B");
	expect(&plan, "0001 is missing before 0002_b.sql");
}

static void refuses_a_number_that_is_used_twice(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_b", "B");
	add_file(&plan, 1, "0001_a", "A");
	expect(&plan, "0001_a.sql and 0001_b.sql have the same number");
}

static void refuses_a_database_of_a_newer_version(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_a", "A");
	add_row(&plan, 1, "0001_a", "A");
	add_row(&plan, 2, "0002_b", "B");
	expect(&plan, "the database is at 0002, but the files end at 0001: it was migrated by a newer version of LLMChat");
}

static void refuses_to_apply_a_file_after_later_ones(void **state)
{
	struct migrate_plan plan = {.n_files = 0};

	(void)state;
	add_file(&plan, 1, "0001_a", "A");
	add_file(&plan, 2, "0002_b", "B");
	add_row(&plan, 2, "0002_b", "B");
	expect(&plan, "0001_a.sql was not applied, but the later 0002_b.sql was");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_names_of_migrations),
		cmocka_unit_test(refuses_a_name_that_is_too_long),
		cmocka_unit_test(finds_the_wish_for_no_transaction_in_the_first_line_only),
		cmocka_unit_test(counts_lines_by_characters_not_bytes),
		cmocka_unit_test(lets_pending_files_follow_applied_ones),
		cmocka_unit_test(lets_everything_be_pending_or_applied),
		cmocka_unit_test(refuses_a_file_that_was_changed_with_both_checksums),
		cmocka_unit_test(refuses_when_an_applied_file_is_missing),
		cmocka_unit_test(refuses_a_gap),
		cmocka_unit_test(refuses_a_number_that_is_used_twice),
		cmocka_unit_test(refuses_a_database_of_a_newer_version),
		cmocka_unit_test(refuses_to_apply_a_file_after_later_ones),
	};

	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
