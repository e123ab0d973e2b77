/* How many retries there are: after a rest, among many calls, among several processes. */
#include "base/retry_budget.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/support.h"

static _Atomic uint64_t word;
static uint64_t time_ms;

static void pass_ms(uint64_t ms)
{
	time_ms += ms;
	clock_set_for_test(time_ms * 1000, 1);
}

static int begin(void **state)
{
	(void)state;
	word = 0;
	time_ms = 1000000;
	pass_ms(0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	clock_set_for_test(0, 0);
	return 0;
}

static unsigned take_all(void)
{
	unsigned n = 0;

	while (retry_budget_take(&word))
		n++;
	return n;
}

static void begins_with_ten(void **state)
{
	(void)state;
	assert_int_equal(take_all(), 10);
	assert_false(retry_budget_take(&word));
}

static void a_quiet_host_gets_one_a_second_up_to_ten(void **state)
{
	(void)state;
	assert_int_equal(take_all(), 10);
	pass_ms(999);
	assert_int_equal(take_all(), 0);
	pass_ms(1);
	assert_int_equal(take_all(), 1);
	pass_ms(2500);
	assert_int_equal(take_all(), 2);
	pass_ms(500); /* the half second of before is not lost */
	assert_int_equal(take_all(), 1);
	pass_ms(3600000);
	assert_int_equal(take_all(), 10);
}

static void five_calls_earn_one(void **state)
{
	(void)state;
	take_all();
	for (int i = 0; i < 4; i++)
		retry_budget_add(&word);
	assert_false(retry_budget_take(&word));
	retry_budget_add(&word);
	assert_true(retry_budget_take(&word));
	assert_false(retry_budget_take(&word));
}

static void a_busy_host_never_makes_more_than_a_fifth_and_ten(void **state)
{
	unsigned n_retries = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) { /* a minute of 50 calls a second, all of which fail for ever */
		retry_budget_add(&word);
		n_retries += take_all();
		pass_ms(20);
	}
	assert_int_equal(n_retries, 3000 / 5 + 10);
}

static void few_calls_and_time_together_give_no_more_than_time(void **state)
{
	unsigned n_retries;

	(void)state;
	n_retries = take_all();
	for (int i = 0; i < 200; i++) { /* two a second */
		pass_ms(500);
		retry_budget_add(&word);
		n_retries += take_all();
	}
	assert_in_range(n_retries, 10 + 99, 10 + 100);
}

static void holds_a_hundred_at_most(void **state)
{
	(void)state;
	for (int i = 0; i < 10000; i++)
		retry_budget_add(&word);
	pass_ms(3600000); /* a rest takes none away */
	assert_int_equal(take_all(), 100);
}

/* Four processes add a hundred calls each; then each takes what it gets. */
static void processes_share_it_to_the_last(void **state)
{
	enum { N = 4, N_CALLS = 100 };
	struct shared {
		_Atomic uint64_t word;
		_Atomic unsigned n_ready, n_taken;
	} *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(shared, MAP_FAILED);
	for (int i = 0; i < N; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		for (int j = 0; j < N_CALLS; j++)
			retry_budget_add(&shared->word);
		shared->n_ready++;
		while (shared->n_ready < N)
			poll(NULL, 0, 1);
		while (retry_budget_take(&shared->word))
			shared->n_taken++;
		_exit(0);
	}
	for (int i = 0; i < N; i++)
		wait(NULL);
	assert_int_equal(shared->n_taken, 10 + N * N_CALLS / 5);
	munmap(shared, sizeof(*shared));
}

static void a_damaged_word_is_a_new_budget(void **state)
{
	(void)state;
	word = UINT64_MAX;
	assert_int_equal(take_all(), 10);
	word = (time_ms + 5000) << 16 | 50; /* from a time that has not come */
	assert_int_equal(take_all(), 10);
	word = time_ms << 16 | 501;
	assert_int_equal(take_all(), 10);
}

static void another_process_may_be_a_little_ahead(void **state)
{
	(void)state;
	word = (time_ms + 3) << 16 | 5;
	assert_int_equal(take_all(), 1);
	retry_budget_add(&word);
	assert_int_equal(take_all(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(begins_with_ten, begin, end),
		cmocka_unit_test_setup_teardown(a_quiet_host_gets_one_a_second_up_to_ten, begin, end),
		cmocka_unit_test_setup_teardown(five_calls_earn_one, begin, end),
		cmocka_unit_test_setup_teardown(a_busy_host_never_makes_more_than_a_fifth_and_ten, begin, end),
		cmocka_unit_test_setup_teardown(few_calls_and_time_together_give_no_more_than_time, begin, end),
		cmocka_unit_test_setup_teardown(holds_a_hundred_at_most, begin, end),
		cmocka_unit_test_setup_teardown(processes_share_it_to_the_last, begin, end),
		cmocka_unit_test_setup_teardown(a_damaged_word_is_a_new_budget, begin, end),
		cmocka_unit_test_setup_teardown(another_process_may_be_a_little_ahead, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
