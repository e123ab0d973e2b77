/* Ids: valid version 7, and sorted by the order in which they were made, whatever the clock does. */
#include "base/uuid.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "tests/unit/support.h"

enum { MS_US = 1000 };
static const uint64_t some_time_us = UINT64_C(1759492800000000);

static int start_crypto(void **state)
{
	crypto_init();
	return quiet(state);
}

static int run_clocks(void **state)
{
	(void)state;
	clock_set_for_test(0, 0);
	return 0;
}

static void are_valid_and_of_version_7(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct uuid id = uuid_new();

		assert_int_equal(strlen(id.text), UUID_TEXT_SIZE - 1);
		assert_true(uuid_valid(uuid_str(&id)));
		assert_int_equal(id.text[14], '7');
		assert_non_null(strchr("89ab", id.text[19]));
		for (const char *p = id.text; *p; p++)
			assert_non_null(strchr("0123456789abcdef-", *p));
	}
}

static void begin_with_the_milliseconds(void **state)
{
	struct uuid id;
	char expected[16];
	uint64_t ms = some_time_us * 2 / 1000; /* later than anything made before: ids never go back */

	(void)state;
	clock_set_for_test(1, ms * MS_US);
	id = uuid_new();
	snprintf(expected, sizeof(expected), "%08llx-%04llx", (unsigned long long)(ms >> 16), (unsigned long long)(ms & 0xFFFF));
	assert_memory_equal(id.text, expected, 13);
}

static void sort_within_a_millisecond(void **state)
{
	struct uuid last = uuid_new();

	(void)state;
	clock_set_for_test(1, some_time_us * 3);
	for (int i = 0; i < 20000; i++) { /* more than the counter holds: it goes over into the next millisecond */
		struct uuid id = uuid_new();

		assert_true(strcmp(id.text, last.text) > 0);
		assert_true(uuid_valid(uuid_str(&id)));
		assert_int_equal(id.text[14], '7');
		last = id;
	}
}

static void sort_when_the_clock_goes_back(void **state)
{
	struct uuid last;

	(void)state;
	clock_set_for_test(1, some_time_us * 4);
	last = uuid_new();
	for (uint64_t i = 0; i < 5000; i++) {
		struct uuid id;

		clock_set_for_test(1, some_time_us * 4 - i * 977 * MS_US);
		id = uuid_new();
		assert_true(strcmp(id.text, last.text) > 0);
		last = id;
	}
	/* and it moves on when the clock has caught up */
	clock_set_for_test(1, some_time_us * 5);
	assert_true(strcmp(uuid_new().text, last.text) > 0);
}

static void are_not_guessable_from_each_other(void **state)
{
	struct uuid a = uuid_new(), b = uuid_new();

	(void)state;
	assert_string_not_equal(a.text + 19, b.text + 19);
}

static void knows_a_valid_one(void **state)
{
	/* clang-format off */
	static const char *const bad[] = {"", "0198c0de-0000-7000-8000-00000000000", "0198c0de-0000-7000-8000-0000000000000",
					  "0198c0de00007000800000000000000000000", "0198c0de-0000-7000-8000-00000000000g",
					  "0198c0de-0000-7000-8000_000000000000", "{198c0de-0000-7000-8000-00000000000}",
					  "0198c0de-0000-70008-000-000000000000", "' OR 1=1 -- aaaaaaaaaaaaaaaaaaaaaaaa"};
	/* clang-format on */

	(void)state;
	assert_true(uuid_valid(STR("0198c0de-0000-7000-8000-000000000000")));
	assert_true(uuid_valid(STR("0198C0DE-0000-7000-8000-00000000ABCD")));
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(uuid_valid(str_from(bad[i])));
	assert_false(uuid_valid((struct str){NULL, 0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_teardown(name, run_clocks)
		T(are_valid_and_of_version_7),    T(begin_with_the_milliseconds),       T(sort_within_a_millisecond),
		T(sort_when_the_clock_goes_back), T(are_not_guessable_from_each_other), T(knows_a_valid_one),
#undef T
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
