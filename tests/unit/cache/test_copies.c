/* Copies in memory; time is the test's. */
#include "cache/copies.h"

#include "tests/unit/support.h"

static void keep(struct copies *copies, const char *key, struct str text, uint64_t until_us)
{
	struct copy_text *t = copy_text_new(text);

	copies_keep(copies, str_from(key), t, until_us);
	copy_text_unref(t);
}

static bool has(struct copies *copies, const char *key, const char *text, uint64_t now_us)
{
	const struct copy_text *t = copies_find(copies, str_from(key), now_us);

	return t && str_eq_cstr((struct str){t->p, t->len}, text);
}

static void finds_what_was_kept_until_it_is_too_old(void **state)
{
	struct copies *copies = copies_new();

	(void)state;
	keep(copies, "a", STR("first"), 100);
	keep(copies, "b", STR("other"), 200);
	assert_true(has(copies, "a", "first", 99));
	assert_true(has(copies, "b", "other", 99));
	assert_null(copies_find(copies, STR("ab"), 1));
	keep(copies, "a", STR("second"), 100);
	assert_true(has(copies, "a", "second", 99));
	assert_int_equal(copies_count(copies), 2);
	assert_int_equal(copies_bytes(copies), 11);
	assert_null(copies_find(copies, STR("a"), 100));
	assert_int_equal(copies_count(copies), 1);
	copies_free(copies);
}

static void the_least_used_go_when_there_are_too_many(void **state)
{
	struct copies *copies = copies_new();
	char key[16];

	(void)state;
	for (int i = 0; i < COPIES_MAX + 50; i++) {
		snprintf(key, sizeof(key), "%d", i);
		keep(copies, key, STR("x"), 100);
		assert_true(has(copies, "0", "x", 1)); /* which makes it the most recently used */
	}
	assert_int_equal(copies_count(copies), COPIES_MAX);
	assert_null(copies_find(copies, STR("1"), 1));
	assert_null(copies_find(copies, STR("50"), 1));
	assert_non_null(copies_find(copies, STR("51"), 1));
	copies_free(copies);
}

static void never_holds_more_bytes_than_it_may(void **state)
{
	struct copies *copies = copies_new();
	char *large = calloc(1, COPIES_MAX_ONE + 1), key[16];

	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "%d", i);
		keep(copies, key, (struct str){large, COPIES_MAX_ONE}, 100);
		assert_non_null(copies_find(copies, str_from(key), 1));
		assert_true(copies_bytes(copies) <= COPIES_MAX_BYTES);
	}
	assert_int_equal(copies_count(copies), COPIES_MAX_BYTES / COPIES_MAX_ONE);
	keep(copies, "9", (struct str){large, COPIES_MAX_ONE + 1}, 100); /* and what it was is gone, too */
	assert_null(copies_find(copies, STR("9"), 1));
	assert_int_equal(copies_count(copies), COPIES_MAX_BYTES / COPIES_MAX_ONE - 1);
	free(large);
	copies_free(copies);
}

static void a_reference_outlives_the_copies(void **state)
{
	struct copies *copies = copies_new();
	struct copy_text *t;

	(void)state;
	keep(copies, "a", STR("text"), 100);
	t = copy_text_ref(copies_find(copies, STR("a"), 1));
	copies_free(copies);
	assert_memory_equal(t->p, "text", 4);
	copy_text_unref(t);
	copies_free(NULL);
	copy_text_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_kept_until_it_is_too_old),
		cmocka_unit_test(the_least_used_go_when_there_are_too_many),
		cmocka_unit_test(never_holds_more_bytes_than_it_may),
		cmocka_unit_test(a_reference_outlives_the_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
