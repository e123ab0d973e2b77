/* When calls pass, one process at a time. What several do to it at once, and its file: test_breaker_shared.c. */
#include "base/breaker.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "tests/unit/support.h"

static const struct conf conf = {.breaker_failures = 5, .breaker_successes = 3, .breaker_reset_ms = 30000, .request_timeout_ms = 20000};
static char dir[64];
static struct breakers *b;
static uint64_t time_ms;

static void pass_ms(uint64_t ms)
{
	time_ms += ms;
	clock_set_for_test(time_ms * 1000, 1);
}

static int begin(void **state)
{
	time_ms = 5000000;
	pass_ms(0);
	snprintf(dir, sizeof(dir), "/tmp/breaker-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	b = breakers_open(dir, &conf);
	return quiet(state);
}

static int end(void **state)
{
	char path[80];

	(void)state;
	breakers_close(b);
	clock_set_for_test(0, 0);
	snprintf(path, sizeof(path), "%s/breakers", dir);
	unlink(path);
	return rmdir(dir);
}

static struct breaker_pass enter(const char *id)
{
	struct breaker_pass pass;
	int64_t retry_after_ms;

	if (!breaker_enter(b, str_from(id), &pass, &retry_after_ms))
		fail_msg("no call to %s may go out for %lld ms", id, (long long)retry_after_ms);
	assert_int_equal(retry_after_ms, 0);
	return pass;
}

/* For how long nothing may go out. */
static int64_t refused_ms(const char *id)
{
	struct breaker_pass pass;
	int64_t retry_after_ms = 0;

	if (breaker_enter(b, str_from(id), &pass, &retry_after_ms))
		fail_msg("a call to %s was let through", id);
	assert_true(retry_after_ms > 0);
	return retry_after_ms;
}

static void call(const char *id, enum breaker_outcome outcome)
{
	struct breaker_pass pass = enter(id);

	breaker_leave(b, &pass, outcome);
}

static void fails(const char *id, int n)
{
	while (n-- > 0)
		call(id, BREAKER_FAILURE);
}

static struct breaker_view look(const char *id)
{
	struct breaker_view view;

	breaker_look(b, str_from(id), &view);
	return view;
}

static void assert_state(const char *id, enum breaker_state state)
{
	assert_string_equal(breaker_state_name(look(id).state), breaker_state_name(state));
}

/* Open, and its time is over. */
static void make_ready(const char *id)
{
	fails(id, 5);
	assert_state(id, BREAKER_OPEN);
	pass_ms(30000);
}

static void five_failures_in_a_row_open_it(void **state)
{
	(void)state;
	fails("a", 4);
	assert_state("a", BREAKER_CLOSED);
	assert_int_equal(look("a").n, 4);
	fails("a", 1);
	assert_state("a", BREAKER_OPEN);
	assert_int_equal(refused_ms("a"), 30000);
	pass_ms(29999);
	assert_int_equal(refused_ms("a"), 1);
	assert_state("a", BREAKER_OPEN);
}

static void an_agent_is_not_shut_out_for_another(void **state)
{
	(void)state;
	fails("a", 5);
	fails("b", 4);
	call("b", BREAKER_SUCCESS);
	assert_state("b", BREAKER_CLOSED);
	call("aa", BREAKER_SUCCESS);
}

static void a_success_begins_the_row_anew(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		fails("a", 4);
		call("a", BREAKER_SUCCESS);
	}
	assert_int_equal(look("a").n, 0);
	assert_state("a", BREAKER_CLOSED);
}

static void a_success_of_a_call_from_before_the_first_failure_counts(void **state)
{
	struct breaker_pass early = enter("a");

	(void)state;
	fails("a", 4);
	breaker_leave(b, &early, BREAKER_SUCCESS);
	assert_int_equal(look("a").n, 0);
}

static void what_says_nothing_counts_for_nothing(void **state)
{
	(void)state;
	fails("a", 4);
	for (int i = 0; i < 10; i++)
		call("a", BREAKER_NEITHER);
	assert_int_equal(look("a").n, 4);
	fails("a", 1);
	assert_state("a", BREAKER_OPEN);
}

static void three_at_once_may_try(void **state)
{
	struct breaker_pass probes[3];

	(void)state;
	make_ready("a");
	for (size_t i = 0; i < 3; i++)
		probes[i] = enter("a");
	assert_state("a", BREAKER_HALF_OPEN);
	assert_int_equal(look("a").n_probes, 3);
	assert_int_equal(refused_ms("a"), BREAKER_BUSY_MS);
	breaker_leave(b, &probes[1], BREAKER_NEITHER); /* says nothing, but its place is free */
	probes[1] = enter("a");
	assert_int_equal(refused_ms("a"), BREAKER_BUSY_MS);
	breaker_leave(b, &probes[0], BREAKER_SUCCESS);
	breaker_leave(b, &probes[2], BREAKER_SUCCESS);
	assert_state("a", BREAKER_HALF_OPEN);
	assert_int_equal(look("a").n, 2);
	breaker_leave(b, &probes[1], BREAKER_SUCCESS);
	assert_state("a", BREAKER_CLOSED);
	assert_int_equal(look("a").n_probes, 0);
	for (size_t i = 0; i < 3; i++)
		enter("a");
	enter("a");
}

static void a_probe_that_fails_opens_it_again(void **state)
{
	struct breaker_pass slow, quick;

	(void)state;
	make_ready("a");
	call("a", BREAKER_SUCCESS);
	call("a", BREAKER_SUCCESS);
	slow = enter("a");
	quick = enter("a");
	breaker_leave(b, &quick, BREAKER_FAILURE);
	assert_int_equal(refused_ms("a"), 30000);
	breaker_leave(b, &slow, BREAKER_SUCCESS); /* too late: it was the third */
	assert_state("a", BREAKER_OPEN);
	pass_ms(30000);
	call("a", BREAKER_SUCCESS);
	assert_int_equal(look("a").n, 1);
}

static void fewer_try_if_fewer_successes_are_wanted(void **state)
{
	struct conf one = conf;
	struct breaker_pass probe;

	(void)state;
	one.breaker_successes = 1;
	breakers_close(b);
	b = breakers_open(dir, &one);
	make_ready("a");
	probe = enter("a");
	refused_ms("a");
	breaker_leave(b, &probe, BREAKER_SUCCESS);
	assert_state("a", BREAKER_CLOSED);
}

static void calls_of_another_time_do_not_count(void **state)
{
	struct breaker_pass bad = enter("a"), worse = enter("a"), good = enter("a"), old;

	(void)state;
	make_ready("a");
	old = enter("a");
	breaker_leave(b, &bad, BREAKER_FAILURE);
	breaker_leave(b, &good, BREAKER_SUCCESS);
	assert_state("a", BREAKER_HALF_OPEN);
	assert_int_equal(look("a").n, 0);
	breaker_leave(b, &old, BREAKER_SUCCESS);
	call("a", BREAKER_SUCCESS);
	call("a", BREAKER_SUCCESS);
	assert_state("a", BREAKER_CLOSED);
	breaker_leave(b, &worse, BREAKER_FAILURE); /* let through by a closed one, too, but not by this */
	assert_int_equal(look("a").n, 0);
}

static void whoever_is_answered_makes_room(void **state)
{
	struct breaker_pass probes[4];

	(void)state;
	make_ready("a");
	for (size_t i = 0; i < 3; i++)
		probes[i] = enter("a");
	breaker_answering(b, &probes[0]);
	probes[3] = enter("a");
	refused_ms("a");
	breaker_leave(b, &probes[0], BREAKER_SUCCESS); /* it has no place any more to give back */
	refused_ms("a");
	assert_int_equal(look("a").n, 1);
	breaker_answering(b, &probes[1]);
	breaker_leave(b, &probes[1], BREAKER_FAILURE);
	assert_state("a", BREAKER_OPEN);
}

static void the_place_of_one_who_never_leaves_lapses(void **state)
{
	struct breaker_pass lost, late;

	(void)state;
	make_ready("a");
	lost = enter("a");
	enter("a");
	enter("a");
	pass_ms(21999); /* REQUEST_TIMEOUT and two seconds */
	refused_ms("a");
	pass_ms(1);
	late = enter("a");
	breaker_leave(b, &lost, BREAKER_NEITHER); /* his place is another's: it stays so */
	enter("a");
	enter("a");
	refused_ms("a");
	breaker_leave(b, &late, BREAKER_NEITHER);
	enter("a");
	refused_ms("a");
}

static void a_reset_closes_it_at_once(void **state)
{
	struct breaker_pass early = enter("a"), probe;

	(void)state;
	assert_false(breaker_reset(b, STR("a"))); /* never in trouble */
	fails("a", 5);
	assert_true(breaker_reset(b, STR("a")));
	assert_false(breaker_reset(b, STR("a")));
	assert_state("a", BREAKER_CLOSED);
	fails("a", 4); /* and counts from nothing */
	breaker_leave(b, &early, BREAKER_FAILURE);
	assert_state("a", BREAKER_CLOSED);
	assert_true(breaker_reset(b, STR("a")));
	assert_int_equal(look("a").n, 0);
	make_ready("a");
	probe = enter("a");
	assert_true(breaker_reset(b, STR("a")));
	breaker_leave(b, &probe, BREAKER_FAILURE);
	assert_state("a", BREAKER_CLOSED);
	assert_int_equal(look("a").n, 0);
	assert_false(breaker_reset(b, STR("nobody")));
}

static void all_are_reset_at_once(void **state)
{
	(void)state;
	fails("a", 5);
	fails("b", 1);
	fails("c", 1);
	call("c", BREAKER_SUCCESS);
	breaker_cool_down(b, STR("d"), 1000);
	assert_int_equal(breakers_reset_all(b), 3);
	assert_int_equal(breakers_reset_all(b), 0);
	enter("a");
	enter("d");
}

static void a_cool_down_is_a_pause_and_no_failure(void **state)
{
	(void)state;
	breaker_cool_down(b, STR("a"), 7000);
	assert_int_equal(refused_ms("a"), 7000);
	assert_state("a", BREAKER_CLOSED);
	assert_true(look("a").cooling);
	pass_ms(1000);
	breaker_cool_down(b, STR("a"), 2000); /* the longest one holds */
	assert_int_equal(refused_ms("a"), 6000);
	breaker_cool_down(b, STR("a"), 8000);
	assert_int_equal(refused_ms("a"), 8000);
	pass_ms(8000);
	assert_false(look("a").cooling);
	assert_int_equal(look("a").n, 0);
	enter("a");
	breaker_cool_down(b, STR("a"), INT64_MAX);
	assert_int_equal(refused_ms("a"), BREAKER_MAX_COOL_DOWN_MS);
	assert_true(breaker_reset(b, STR("a")));
	breaker_cool_down(b, STR("a"), 0);
	breaker_cool_down(b, STR("a"), -5);
	enter("a");
}

static void the_longer_of_both_pauses_holds(void **state)
{
	struct breaker_pass pass = enter("a");

	(void)state;
	breaker_cool_down(b, STR("a"), 40000);
	for (int i = 0; i < 5; i++) {
		struct breaker_pass copy = pass; /* calls that were under way */

		breaker_leave(b, &copy, BREAKER_FAILURE);
	}
	assert_state("a", BREAKER_OPEN);
	assert_int_equal(refused_ms("a"), 40000);
	pass_ms(35000);
	assert_int_equal(refused_ms("a"), 5000);
	assert_state("a", BREAKER_OPEN);
	pass_ms(5000);
	breaker_cool_down(b, STR("a"), 10);
	assert_int_equal(refused_ms("a"), 10);
	pass_ms(10);
	call("a", BREAKER_SUCCESS);
	assert_state("a", BREAKER_HALF_OPEN);
	breaker_cool_down(b, STR("a"), 100); /* also while it is tried */
	assert_int_equal(refused_ms("a"), 100);
}

static void shows_since_when(void **state)
{
	(void)state;
	assert_int_equal(look("a").for_ms, -1);
	fails("a", 1);
	assert_int_equal(look("a").for_ms, -1); /* it has not changed */
	fails("a", 4);
	pass_ms(1234);
	assert_int_equal(look("a").for_ms, 1234);
	assert_int_equal(look("a").retry_after_ms, 30000 - 1234);
	assert_string_equal(look("a").agent_id, "a");
	pass_ms(30000);
	assert_int_equal(look("a").retry_after_ms, 0);
	assert_state("a", BREAKER_OPEN); /* until somebody tries */
}

static void lists_those_who_were_in_trouble(void **state)
{
	static const char longest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";
	struct breaker_view view;
	unsigned n_long = 0, n = 0;
	size_t at = 0;

	(void)state;
	enter("never");
	call("good", BREAKER_SUCCESS);
	fails("bad", 2);
	fails(longest, 5);
	breaker_cool_down(b, STR("slow"), 5);
	for (; breakers_next(b, &at, &view); n++) {
		n_long += strcmp(view.agent_id, longest) == 0 && view.state == BREAKER_OPEN;
		assert_string_not_equal(view.agent_id, "good");
	}
	assert_int_equal(n, 3);
	assert_int_equal(n_long, 1);
}

/* An agent's id is no longer; who asks all the same is told nothing wrong. */
static void an_id_that_is_none_always_passes(void **state)
{
	char id[BREAKER_ID_BYTES + 2] = "";

	(void)state;
	fails(id, 6);
	memset(id, 'x', BREAKER_ID_BYTES + 1);
	fails(id, 6);
	breaker_cool_down(b, str_from(id), 1000);
	call(id, BREAKER_SUCCESS);
	assert_int_equal(look(id).state, BREAKER_CLOSED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(five_failures_in_a_row_open_it),
		TEST(an_agent_is_not_shut_out_for_another),
		TEST(a_success_begins_the_row_anew),
		TEST(a_success_of_a_call_from_before_the_first_failure_counts),
		TEST(what_says_nothing_counts_for_nothing),
		TEST(three_at_once_may_try),
		TEST(a_probe_that_fails_opens_it_again),
		TEST(fewer_try_if_fewer_successes_are_wanted),
		TEST(calls_of_another_time_do_not_count),
		TEST(whoever_is_answered_makes_room),
		TEST(the_place_of_one_who_never_leaves_lapses),
		TEST(a_reset_closes_it_at_once),
		TEST(all_are_reset_at_once),
		TEST(a_cool_down_is_a_pause_and_no_failure),
		TEST(the_longer_of_both_pauses_holds),
		TEST(shows_since_when),
		TEST(lists_those_who_were_in_trouble),
		TEST(an_id_that_is_none_always_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
