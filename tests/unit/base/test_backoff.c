/* Back-off: its bounds, its growth, its chance. */
#include "base/backoff.h"

#include "base/crypto.h"
#include "tests/unit/support.h"

static int start_crypto(void **state)
{
	crypto_init();
	return quiet(state);
}

static void waits_between_half_and_all_of_what_doubles(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct backoff b = {.base_ms = 100, .max_ms = 3000};

		for (uint32_t full = 100, i = 0; i < 12; i++) {
			uint32_t wait_ms = backoff_next_ms(&b);

			assert_in_range(wait_ms, full / 2, full);
			full = full * 2 > 3000 ? 3000 : full * 2;
		}
		assert_int_equal(b.n_failures, 12);
		backoff_reset(&b);
		assert_in_range(backoff_next_ms(&b), 50, 100);
	}
}

static void uses_all_of_its_range(void **state)
{
	uint32_t least = UINT32_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct backoff b = {.base_ms = 1000, .max_ms = 1000};
		uint32_t wait_ms = backoff_next_ms(&b);

		least = wait_ms < least ? wait_ms : least;
		most = wait_ms > most ? wait_ms : most;
	}
	assert_in_range(least, 500, 520);
	assert_in_range(most, 980, 1000);
}

static void neither_overflows_nor_divides_by_zero(void **state)
{
	struct backoff big = {.base_ms = UINT32_MAX, .max_ms = UINT32_MAX}, small = {.base_ms = 0, .max_ms = 0};
	struct backoff old = {.base_ms = 1, .max_ms = 5, .n_failures = UINT32_MAX}, over = {.base_ms = 100, .max_ms = 10};

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_in_range(backoff_next_ms(&big), UINT32_MAX / 2, UINT32_MAX);
		assert_int_equal(backoff_next_ms(&small), 0);
		assert_in_range(backoff_next_ms(&old), 2, 5);
		assert_in_range(backoff_next_ms(&over), 5, 10);
	}
	assert_int_equal(old.n_failures, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_between_half_and_all_of_what_doubles),
		cmocka_unit_test(uses_all_of_its_range),
		cmocka_unit_test(neither_overflows_nor_divides_by_zero),
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
