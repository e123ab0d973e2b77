/* Counting in one process; time is the test's. */
#include "cache/local_limit.h"

#include "tests/unit/support.h"

enum { SECOND_US = 1000000 };
static const struct limit_rule rule = {.limit = 3, .window_ms = 10000, .block_ms = 30000}, no_block = {.limit = 3, .window_ms = 10000};

static struct limit_count count(struct local_limit *l, const char *key, const struct limit_rule *r, uint64_t now_us)
{
	return local_limit_count(l, str_from(key), r, now_us);
}

static void counts_in_windows_that_begin_with_the_first_request(void **state)
{
	struct local_limit *l = local_limit_new();
	struct limit_count c;

	(void)state;
	for (int64_t i = 1; i <= 3; i++) {
		c = count(l, "a", &no_block, 5 * SECOND_US);
		assert_int_equal(c.n, i);
		assert_int_equal(c.left_ms, 10000);
	}
	c = count(l, "a", &no_block, 8 * SECOND_US);
	assert_int_equal(c.n, 4);
	assert_int_equal(c.left_ms, 7000);
	assert_int_equal(count(l, "a", &no_block, 15 * SECOND_US - 1).n, 5);
	assert_int_equal(count(l, "a", &no_block, 15 * SECOND_US).n, 1);
	local_limit_free(l);
}

static void blocks_from_the_first_request_too_many(void **state)
{
	struct local_limit *l = local_limit_new();
	struct limit_count c;

	(void)state;
	for (int i = 0; i < 3; i++)
		(void)count(l, "a", &rule, 1 * SECOND_US);
	c = count(l, "a", &rule, 2 * SECOND_US);
	assert_int_equal(c.left_ms, 30000);
	c = count(l, "a", &rule, 31 * SECOND_US);
	assert_int_equal(c.left_ms, 1000); /* later ones do not make it longer */
	assert_true(c.n > 3);
	assert_int_equal(count(l, "a", &rule, 32 * SECOND_US).n, 1);
	local_limit_free(l);
}

static void adds_amounts_and_gives_back(void **state)
{
	struct local_limit *l = local_limit_new();
	struct limit_count c;

	(void)state;
	c = local_limit_add(l, STR("a"), 60000, 0, 1 * SECOND_US); /* looking begins nothing */
	assert_int_equal(c.n, 0);
	assert_int_equal(c.left_ms, 60000);
	c = local_limit_add(l, STR("a"), 60000, 500, 2 * SECOND_US);
	assert_int_equal(c.n, 500);
	assert_int_equal(c.left_ms, 60000);
	c = local_limit_add(l, STR("a"), 60000, -200, 12 * SECOND_US);
	assert_int_equal(c.n, 300);
	assert_int_equal(c.left_ms, 50000);
	assert_int_equal(local_limit_add(l, STR("a"), 60000, -301, 13 * SECOND_US).n, 0);
	assert_int_equal(local_limit_add(l, STR("a"), 60000, 7, 13 * SECOND_US).left_ms, 60000);
	assert_int_equal(local_limit_add(l, STR("a"), 60000, 0, 73 * SECOND_US).n, 0);
	local_limit_free(l);
}

static void keeps_a_long_window_though_the_block_is_short(void **state)
{
	const struct limit_rule r = {.limit = 1, .window_ms = 60000, .block_ms = 1000};
	struct local_limit *l = local_limit_new();

	(void)state;
	(void)count(l, "a", &r, 1);
	assert_int_equal(count(l, "a", &r, 1).left_ms, 60000);
	local_limit_free(l);
}

static void counts_each_key_alone(void **state)
{
	struct local_limit *l = local_limit_new();
	char key[32];

	(void)state;
	for (int round = 1; round <= 3; round++)
		for (int i = 0; i < 200; i++) {
			snprintf(key, sizeof(key), "address:10.0.0.%d", i);
			assert_int_equal(count(l, key, &rule, SECOND_US).n, round);
		}
	local_limit_free(l);
}

static void a_flood_of_keys_does_not_free_who_is_refused(void **state)
{
	struct local_limit *l = local_limit_new();
	char key[32];

	(void)state;
	for (int i = 0; i < 10; i++)
		(void)count(l, "villain", &rule, SECOND_US);
	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "address:%d", i);
		(void)count(l, key, &rule, SECOND_US);
	}
	assert_int_equal(count(l, "villain", &rule, SECOND_US).n, 11);
	local_limit_free(l);
}

static void takes_keys_of_any_length(void **state)
{
	struct local_limit *l = local_limit_new();
	char key[300];

	(void)state;
	memset(key, 'k', sizeof(key));
	assert_int_equal(local_limit_count(l, (struct str){key, sizeof(key)}, &rule, 1).n, 1);
	assert_int_equal(local_limit_count(l, (struct str){key, LOCAL_LIMIT_KEY}, &rule, 1).n, 2);
	local_limit_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_in_windows_that_begin_with_the_first_request),
		cmocka_unit_test(blocks_from_the_first_request_too_many),
		cmocka_unit_test(adds_amounts_and_gives_back),
		cmocka_unit_test(keeps_a_long_window_though_the_block_is_short),
		cmocka_unit_test(counts_each_key_alone),
		cmocka_unit_test(a_flood_of_keys_does_not_free_who_is_refused),
		cmocka_unit_test(takes_keys_of_any_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
