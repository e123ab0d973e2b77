/* Allocation: zeroed, never NULL, and large blocks given back at once where that is asked for (the sanitizers have their own malloc,
 * which is not asked). */
#include "base/mem.h"

#include <malloc.h>

#include "tests/unit/support.h"

static void gives_zeroed_memory_also_for_nothing(void **state)
{
	char *p = mem_alloc(1000), *nothing = mem_alloc(0);

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	assert_non_null(nothing);
	memset(p, 'x', 1000);
	p = mem_resize(p, 100000);
	assert_int_equal(p[999], 'x');
	p = mem_resize(p, 0);
	assert_non_null(p);
	free(p);
	free(nothing);
}

static void gives_large_blocks_back(void **state)
{
	size_t n_maps, in_heap;
	char *p;

	(void)state;
	free(mem_alloc(1000));
	if (mallinfo2().arena == 0)
		skip(); /* not glibc's malloc */
	mem_return_large();
	n_maps = mallinfo2().hblks;
	in_heap = mallinfo2().arena;
	for (size_t size = 128 << 10; size <= 16 << 20; size *= 2) { /* left alone, the first would raise the threshold for the others */
		p = mem_alloc(size);
		assert_int_equal(mallinfo2().hblks, n_maps + 1);
		free(p);
		assert_int_equal(mallinfo2().hblks, n_maps);
		p = mem_alloc(size);
		assert_int_equal(mallinfo2().hblks, n_maps + 1);
		free(p);
	}
	assert_int_equal(mallinfo2().arena, in_heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_zeroed_memory_also_for_nothing),
		cmocka_unit_test(gives_large_blocks_back),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
