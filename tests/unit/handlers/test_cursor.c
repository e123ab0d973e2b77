/* Places in lists, as clients carry them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "handlers/cursor.h"

#define ID     STR("01a208b4-b509-7003-a866-60ebd3c4616d")
#define SECRET STR("a secret of thirty-two bytes or so")
#define SCOPE  STR("anna active quick")

static bool reads(struct str secret, struct str scope, struct str cursor, int64_t *us, struct uuid *id)
{
	*us = -1;
	return cursor_read(secret, scope, cursor, us, id);
}

static void what_is_made_can_be_read(void **state)
{
	static const int64_t times[] = {0, 1, 1795442388748253, INT64_MAX};
	char cursor[CURSOR_SIZE];
	struct uuid id;
	int64_t us;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(times); i++) {
		cursor_make(SECRET, SCOPE, times[i], ID, cursor);
		assert_int_equal(strlen(cursor), CURSOR_SIZE - 1);
		assert_true(reads(SECRET, SCOPE, str_from(cursor), &us, &id));
		assert_true(us == times[i] && str_eq(uuid_str(&id), ID));
	}
}

static void is_refused_for_another_list_and_under_another_secret(void **state)
{
	char cursor[CURSOR_SIZE];
	struct uuid id;
	int64_t us;

	(void)state;
	cursor_make(SECRET, SCOPE, 5, ID, cursor);
	assert_false(reads(SECRET, STR("anna active "), str_from(cursor), &us, &id));
	assert_false(reads(SECRET, STR("bert active quick"), str_from(cursor), &us, &id));
	assert_false(reads(STR("another secret"), SCOPE, str_from(cursor), &us, &id));
	assert_int_equal(us, -1);
}

static void every_changed_or_missing_character_is_noticed(void **state)
{
	char cursor[CURSOR_SIZE], changed[CURSOR_SIZE + 1];
	struct uuid id;
	int64_t us;

	(void)state;
	cursor_make(SECRET, SCOPE, 1795442388748253, ID, cursor);
	for (size_t i = 0; i < CURSOR_SIZE - 1; i++) {
		static const char others[] = "A-9\xff";

		for (size_t j = 0; j < sizeof(others); j++) { /* its NUL too */
			if (cursor[i] == others[j])
				continue;
			memcpy(changed, cursor, sizeof(cursor));
			changed[i] = others[j];
			assert_false(reads(SECRET, SCOPE, (struct str){changed, CURSOR_SIZE - 1}, &us, &id));
		}
		assert_false(reads(SECRET, SCOPE, (struct str){cursor, i}, &us, &id));
	}
	memcpy(changed, cursor, sizeof(cursor));
	changed[CURSOR_SIZE - 1] = 'A';
	assert_false(reads(SECRET, SCOPE, (struct str){changed, CURSOR_SIZE}, &us, &id));
	assert_false(reads(SECRET, SCOPE, (struct str){NULL, 0}, &us, &id));
}

static int prepare(void **state)
{
	(void)state;
	crypto_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_can_be_read),
		cmocka_unit_test(is_refused_for_another_list_and_under_another_secret),
		cmocka_unit_test(every_changed_or_missing_character_is_noticed),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
