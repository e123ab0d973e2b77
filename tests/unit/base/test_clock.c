/* The clocks, as people read them and as tests set them. */
#include "base/clock.h"

#include "tests/unit/support.h"

static void writes_times_for_people(void **state)
{
	static const struct {
		uint64_t real_us;
		const char *text;
	} samples[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{999, "1970-01-01T00:00:00.000Z"},
		{1000, "1970-01-01T00:00:00.001Z"},
		{UINT64_C(951782400000000), "2000-02-29T00:00:00.000Z"},
		{UINT64_C(1759492799999999), "2025-10-03T11:59:59.999Z"},
		{UINT64_C(1759492800000000), "2025-10-03T12:00:00.000Z"},
		{UINT64_C(4102444800123456), "2100-01-01T00:00:00.123Z"},
		{UINT64_C(253402300799999999), "9999-12-31T23:59:59.999Z"},
	};

	(void)state;
	setenv("TZ", "Asia/Shanghai", 1);
	tzset();
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		char text[CLOCK_ISO_SIZE + 1];

		text[CLOCK_ISO_SIZE] = 'X';
		clock_iso(samples[i].real_us, text);
		assert_string_equal(text, samples[i].text);
		assert_int_equal(text[CLOCK_ISO_SIZE], 'X');
	}
}

static void stands_still_when_told_and_runs_again(void **state)
{
	uint64_t mono_us = clock_mono_us(), real_us = clock_real_us();

	(void)state;
	assert_true(real_us > UINT64_C(1700000000000000));
	clock_set_for_test(5, 7);
	assert_int_equal(clock_mono_us(), 5);
	assert_int_equal(clock_mono_us(), 5);
	assert_int_equal(clock_real_us(), 7);
	clock_set_for_test(0, 0);
	assert_true(clock_mono_us() >= mono_us);
	assert_true(clock_real_us() > UINT64_C(1700000000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_times_for_people),
		cmocka_unit_test(stands_still_when_told_and_runs_again),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
