/* The arena: alignment, zeroes, sizes, and the order in which foreign things are given back. */
#include "base/arena.h"

#include "tests/unit/support.h"

static void gives_zeroed_memory_aligned_for_any_type(void **state)
{
	struct arena a = {0};
	uint32_t seed = 3;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		size_t size = next_random(&seed) % 300;
		char *p = arena_alloc(&a, size);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < size; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xEE, size);
	}
	arena_fini(&a);
}

static void gives_pieces_that_do_not_overlap(void **state)
{
	enum { N = 500 };
	struct arena a = {0};
	unsigned char *pieces[N];
	size_t sizes[N];
	uint32_t seed = 11;

	(void)state;
	for (int i = 0; i < N; i++) {
		sizes[i] = next_random(&seed) % (i % 50 == 0 ? 20000 : 100) + 1;
		pieces[i] = arena_alloc(&a, sizes[i]);
		memset(pieces[i], i % 251, sizes[i]);
	}
	for (int i = 0; i < N; i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i % 251);
	arena_fini(&a);
}

static void takes_sizes_around_its_chunks_and_far_beyond(void **state)
{
	struct arena a = {0};

	(void)state;
	for (size_t size = 1900; size < 2100; size++)
		memset(arena_alloc(&a, size), 1, size);
	memset(arena_alloc(&a, 32 * 1024 * 1024), 1, 32 * 1024 * 1024);
	assert_non_null(arena_alloc(&a, 0));
	arena_fini(&a);
}

static void copies_text_and_ends_it_with_a_nul(void **state)
{
	struct arena a = {0};
	char text[] = "hello";
	struct str copy = arena_copy(&a, (struct str){text, 4});

	(void)state;
	text[0] = 'J';
	assert_text(copy, "hell");
	assert_int_equal(copy.p[4], '\0');
	assert_string_equal(arena_cstr(&a, STR("x")), "x");
	assert_string_equal(arena_cstr(&a, (struct str){NULL, 0}), "");
	assert_text(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	assert_text(arena_printf(&a, "%s", ""), "");
	assert_int_equal(arena_printf(&a, "%5000d", 1).len, 5000);
	arena_fini(&a);
}

static struct buf_of_marks {
	char text[16];
	size_t n;
} marks;

static void mark(void *thing)
{
	marks.text[marks.n++] = *(const char *)thing;
}

static void gives_things_back_newest_first_while_the_memory_is_still_there(void **state)
{
	struct arena a = {0};

	(void)state;
	marks = (struct buf_of_marks){.n = 0};
	for (char c = 'a'; c <= 'e'; c++) {
		char *p = arena_alloc(&a, 3000);

		*p = c; /* in the arena itself: the memory must go after the things */
		arena_on_free(&a, mark, p);
	}
	assert_int_equal(marks.n, 0);
	arena_fini(&a);
	assert_string_equal(marks.text, "edcba");
	arena_fini(&a); /* an empty one; nothing happens twice */
	assert_int_equal(marks.n, 5);
	assert_text(arena_copy(&a, STR("again")), "again");
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_zeroed_memory_aligned_for_any_type),
		cmocka_unit_test(gives_pieces_that_do_not_overlap),
		cmocka_unit_test(takes_sizes_around_its_chunks_and_far_beyond),
		cmocka_unit_test(copies_text_and_ends_it_with_a_nul),
		cmocka_unit_test(gives_things_back_newest_first_while_the_memory_is_still_there),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
