/* The pool against a real PostgreSQL: queueing, parameters, cancelling, deadlines, errors. Faults are in test_pool_faults.c. */
#include "tests/unit/db/fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

static const struct statement echo_int = {"test_echo_int", "SELECT $1::int, pg_backend_pid()", 1};
static const struct statement sleep_for = {"test_sleep", "SELECT pg_sleep($1::int / 1000.0), pg_backend_pid()", 1};

static void run(struct world *w, const char *sql)
{
	struct statement stmt = {"test_run", sql, 0};
	struct ask a = {.order = 0};

	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	query_fini(&a.q);
	assert_false(w->conf.db_prepared); /* the statement is on the stack */
}

static void start_sleep(struct world *w, struct ask *a, int ms)
{
	query_int(&a->q, ms);
	ask(w, a, &sleep_for);
}

/* So that the one connection has it prepared. */
static void sleep_once(struct world *w)
{
	struct ask a = {.order = 0};

	start_sleep(w, &a, 0);
	wait_done(w, &a.done);
	query_fini(&a.q);
}

static void answers_many_queries_over_few_connections(void **state)
{
	enum { N = 300 };
	struct world *w = *state;
	struct ask *asks = mem_alloc(N * sizeof(*asks));
	int64_t pids[3];
	size_t n_pids = 0;

	world_pool(w, 3, 1);
	for (int i = 0; i < N; i++) {
		query_int(&asks[i].q, i);
		ask(w, &asks[i], &echo_int);
	}
	assert_int_equal(pool_stats(w->pool).waiting, N);
	for (int i = 0; i < N; i++) {
		int64_t pid;
		size_t known = 0;

		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, 0);
		assert_int_equal(query_n_rows(&asks[i].q), 1);
		assert_int_equal(query_col_int(&asks[i].q, 0, 0), i);
		pid = query_col_int(&asks[i].q, 0, 1);
		while (known < n_pids && pids[known] != pid)
			known++;
		assert_in_range(known, 0, 2);
		if (known == n_pids)
			pids[n_pids++] = pid;
		query_fini(&asks[i].q);
	}
	assert_int_equal(pool_stats(w->pool).waiting, 0);
	assert_int_equal(pool_stats(w->pool).n_queries, N);
	assert_int_equal(pool_stats(w->pool).n_failed, 0);
	assert_true(pool_stats(w->pool).last_latency_us > 0);
	free(asks);
}

static void serves_waiters_in_the_order_they_came(void **state)
{
	enum { N = 50 };
	struct world *w = *state;
	struct ask asks[N] = {{.order = 0}};

	world_pool(w, 1, 1);
	for (int i = 0; i < N; i++) {
		query_int(&asks[i].q, i);
		ask(w, &asks[i], &echo_int);
	}
	wait_done(w, &asks[N - 1].done);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(asks[i].order, i + 1);
		query_fini(&asks[i].q);
	}
}

static void carries_every_kind_of_parameter(void **state)
{
	static const struct statement stmt = {"test_kinds", "SELECT $1::text, $2::text, $3::text, $4::bigint, $5::bool, $6::bool, $7::text",
					      7};
	struct world *w = *state;
	struct ask a = {.order = 0};

	for (int prepared = 0; prepared < 2; prepared++) {
		w->conf.db_prepared = prepared;
		if (!w->pool)
			world_pool(w, 1, 1);
		query_text(&a.q, STR("it's \"語\" \xf0\x9f\x98\x80, not all"));
		a.q.values[0].text.len -= sizeof(", not all") - 1; /* a text is as long as it says, not as its bytes go on */
		query_text(&a.q, STR(""));
		query_null(&a.q);
		query_int(&a.q, INT64_MIN);
		query_bool(&a.q, true);
		query_bool(&a.q, false);
		query_text_or_null(&a.q, (struct str){NULL, 0});
		assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
		assert_true(str_eq(query_col(&a.q, 0, 0), STR("it's \"語\" \xf0\x9f\x98\x80")));
		assert_int_equal(query_col(&a.q, 0, 1).len, 0);
		assert_false(query_is_null(&a.q, 0, 1));
		assert_true(query_is_null(&a.q, 0, 2));
		assert_true(query_col_int(&a.q, 0, 3) == INT64_MIN);
		assert_true(query_col_bool(&a.q, 0, 4));
		assert_false(query_col_bool(&a.q, 0, 5));
		assert_true(query_is_null(&a.q, 0, 6));
		assert_int_equal(query_col_int(&a.q, 0, 0), 0);
		query_fini(&a.q);
	}
}

static void carries_eight_megabytes_each_way(void **state)
{
	static const struct statement stmt = {"test_large", "SELECT $1::text, md5($1)", 1};
	struct world *w = *state;
	struct str large = {.p = mem_alloc(8 << 20), .len = 8 << 20};
	struct ask a = {.order = 0};

	memset((char *)(uintptr_t)large.p, 'x', large.len);
	world_pool(w, 1, 1);
	query_text(&a.q, large);
	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	assert_true(str_eq(query_col(&a.q, 0, 0), large));
	assert_true(w->longest_gap_us < 1000000);
	query_fini(&a.q);
	free((char *)(uintptr_t)large.p);
}

static void gives_the_memory_of_large_statements_back_when_idle(void **state)
{
	static const struct statement stmt = {"test_repeat", "SELECT repeat('x', 8000000)", 0};
	struct world *w = *state;
	struct ask a = {.order = 0};
	int64_t pid;

	w->conf.db_idle_timeout_ms = 100;
	world_pool(w, 1, 1);
	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	query_fini(&a.q);
	pid = backend_pid(w);
	turn_for_ms(w, 1300);
	assert_int_not_equal(backend_pid(w), pid);
	pid = backend_pid(w);
	turn_for_ms(w, 1300);
	assert_int_equal(backend_pid(w), pid);
}

static struct world *chain_world;
static struct query chain;
static bool chain_over;

static void ask_next(struct op *op)
{
	int64_t n = query_col_int(&chain, 0, 0);

	assert_int_equal(op->err, 0);
	query_fini(&chain);
	chain_over = n == 5;
	if (chain_over)
		return;
	query_int(&chain, n + 1);
	query_start(chain_world->pool, &chain, &echo_int);
}

static void lets_a_query_be_started_again_as_soon_as_it_is_done(void **state)
{
	struct world *w = *state;

	world_pool(w, 1, 1);
	chain_world = w;
	chain.op.done = ask_next;
	query_int(&chain, 1);
	query_start(w->pool, &chain, &echo_int);
	wait_done(w, &chain_over);
	assert_int_equal(pool_stats(w->pool).n_queries, 5);
}

static void refuses_a_text_with_a_nul_byte(void **state)
{
	static const struct statement stmt = {"test_nul", "SELECT $1::text", 1};
	struct world *w = *state;
	struct ask a = {.order = 0};

	world_pool(w, 1, 1);
	query_text(&a.q, (struct str){"a\0b", 3});
	assert_int_equal(ask_and_wait(w, &a, &stmt), -ERR_VALIDATION);
	query_fini(&a.q);
	query_text(&a.q, STR("ab")); /* the same query can be used again */
	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	query_fini(&a.q);
}

static int64_t n_prepared(struct world *w)
{
	static const struct statement stmt = {"test_n_prepared", "SELECT count(*) FROM pg_prepared_statements WHERE name = 'test_echo_int'",
					      0};
	struct ask a = {.order = 0};
	int64_t n;

	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	n = query_col_int(&a.q, 0, 0);
	query_fini(&a.q);
	return n;
}

static void prepares_once_per_connection_or_not_at_all(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	world_pool(w, 1, 1);
	for (int i = 0; i < 6; i++) {
		w->conf.db_prepared = i >= 3;
		query_int(&a.q, i);
		assert_int_equal(ask_and_wait(w, &a, &echo_int), 0);
		query_fini(&a.q);
		assert_int_equal(n_prepared(w), i >= 3);
	}
}

static void forgets_a_waiting_query_that_is_cancelled(void **state)
{
	struct world *w = *state;
	struct ask first = {.order = 0}, second = {.order = 0}, third = {.order = 0};

	world_pool(w, 1, 1);
	start_sleep(w, &first, 100);
	start_sleep(w, &second, 3000);
	start_sleep(w, &third, 0);
	wait_until(w, is_reachable);
	assert_int_equal(pool_stats(w->pool).waiting, 2);
	op_cancel(&second.q.op);
	assert_int_equal(pool_stats(w->pool).waiting, 1);
	query_fini(&second.q);
	wait_done(w, &third.done);
	assert_true(first.done && !second.done);
	query_fini(&first.q);
	query_fini(&third.q);
}

static void lets_a_running_statement_drain_when_its_query_is_cancelled(void **state)
{
	struct world *w = *state;
	struct ask *first = mem_alloc(sizeof(*first)), second = {.order = 0};
	int64_t pid;

	world_pool(w, 1, 1);
	pid = backend_pid(w);
	sleep_once(w);
	start_sleep(w, first, 200);
	assert_int_equal(pool_stats(w->pool).active, 1);
	query_fini(&first->q); /* cancels */
	free(first);
	start_sleep(w, &second, 0);
	wait_done(w, &second.done);
	assert_int_equal(second.err, 0);
	assert_true(second.took_us >= 190000);
	assert_int_equal(query_col_int(&second.q, 0, 1), pid);
	query_fini(&second.q);
}

static void skips_a_statement_that_is_cancelled_while_it_is_being_prepared(void **state)
{
	struct world *w = *state;
	struct ask first = {.order = 0}, second = {.order = 0};
	int64_t pid;

	world_pool(w, 1, 1);
	pid = backend_pid(w);
	start_sleep(w, &first, 3000);
	op_cancel(&first.q.op);
	start_sleep(w, &second, 0);
	wait_done(w, &second.done);
	assert_true(second.took_us < 1500000);
	assert_int_equal(query_col_int(&second.q, 0, 1), pid);
	query_fini(&second.q);
}

static struct ask *victim;

static void cancel_victim(struct op *op)
{
	struct ask *a = CONTAINER_OF(CONTAINER_OF(op, struct query, op), struct ask, q);

	a->done = true;
	op_cancel(&victim->q.op);
}

static void does_not_call_back_a_finished_query_that_is_cancelled_by_another(void **state)
{
	struct world *w = *state;
	struct ask first = {.order = 0}, second = {.order = 0};

	world_pool(w, 1, 1);
	victim = &second;
	query_text(&first.q, (struct str){"\0", 1}); /* both end in the same turn */
	query_text(&second.q, (struct str){"\0", 1});
	ask(w, &first, &echo_int);
	first.q.op.done = cancel_victim;
	ask(w, &second, &echo_int);
	wait_done(w, &first.done);
	turn_for_ms(w, 20);
	assert_false(second.done);
	query_fini(&first.q);
	query_fini(&second.q);
}

static void gives_up_waiting_at_the_deadline(void **state)
{
	struct world *w = *state;
	struct ask first = {.order = 0}, second = {.order = 0}, third = {.order = 0};

	w->conf.db_connection_timeout_ms = 300; /* also how long to wait, unless the query says otherwise */
	world_pool(w, 1, 1);
	backend_pid(w);
	start_sleep(w, &first, 700);
	second.q.op.deadline_us = clock_mono_us() + 100000;
	start_sleep(w, &second, 0);
	start_sleep(w, &third, 0);
	wait_done(w, &second.done);
	assert_int_equal(second.err, -ERR_DB_UNAVAILABLE);
	assert_in_range(second.took_us, 100000, 290000);
	wait_done(w, &third.done);
	assert_int_equal(third.err, -ERR_DB_UNAVAILABLE);
	assert_in_range(third.took_us, 300000, 490000);
	wait_done(w, &first.done);
	assert_int_equal(first.err, 0);
	query_fini(&first.q);
}

static void ends_a_running_query_at_its_own_deadline_and_keeps_the_connection(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	int64_t pid;

	world_pool(w, 1, 1);
	pid = backend_pid(w);
	a.q.op.deadline_us = clock_mono_us() + 100000;
	start_sleep(w, &a, 400);
	wait_done(w, &a.done);
	assert_int_equal(a.err, -ERR_DB_UNAVAILABLE);
	assert_in_range(a.took_us, 100000, 300000);
	query_fini(&a.q);
	assert_int_equal(backend_pid(w), pid);
}

static void postgresql_itself_ends_a_statement_that_takes_too_long(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	int64_t pid;

	w->conf.db_statement_timeout_ms = 300;
	world_pool(w, 1, 1);
	pid = backend_pid(w);
	start_sleep(w, &a, 2000);
	wait_done(w, &a.done);
	assert_int_equal(a.err, -ERR_DB_UNAVAILABLE);
	assert_string_equal(query_sqlstate(&a.q), "57014");
	query_fini(&a.q);
	assert_int_equal(backend_pid(w), pid);
}

/* As behind PgBouncer, where the server does not know the limit. */
static void drops_the_connection_of_a_statement_that_takes_too_long(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	int64_t pid;

	w->conf.db_prepared = false;
	w->conf.db_statement_timeout_ms = 300;
	world_pool(w, 1, 1);
	pid = backend_pid(w);
	start_sleep(w, &a, 2000);
	wait_done(w, &a.done);
	assert_int_equal(a.err, -ERR_DB_UNAVAILABLE);
	assert_in_range(a.took_us, 300000, 1200000);
	query_fini(&a.q);
	assert_int_not_equal(backend_pid(w), pid);
}

static void refuses_when_ten_thousand_wait(void **state)
{
	struct world *w = *state;
	struct ask *asks = mem_alloc((POOL_MAX_WAITING + 1) * sizeof(*asks));

	world_pool(w, 1, 1);
	for (size_t i = 0; i <= POOL_MAX_WAITING; i++)
		start_sleep(w, &asks[i], 0);
	wait_done(w, &asks[POOL_MAX_WAITING].done);
	assert_int_equal(asks[POOL_MAX_WAITING].err, -ERR_OVERLOADED);
	assert_int_equal(asks[POOL_MAX_WAITING].order, 1);
	for (size_t i = 0; i <= POOL_MAX_WAITING; i++)
		query_fini(&asks[i].q);
	free(asks);
}

static void names_the_constraint_of_a_conflict(void **state)
{
	static const struct statement insert = {"test_insert", "INSERT INTO test_unique VALUES ($1)", 1};
	struct world *w = *state;
	struct ask a = {.order = 0};

	w->conf.db_prepared = false;
	world_pool(w, 1, 1);
	run(w, "CREATE TABLE test_unique (a int CONSTRAINT only_once UNIQUE)");
	w->conf.db_prepared = true;
	query_int(&a.q, 1);
	assert_int_equal(ask_and_wait(w, &a, &insert), 0);
	assert_int_equal(query_n_affected(&a.q), 1);
	query_fini(&a.q);
	query_int(&a.q, 1);
	assert_int_equal(ask_and_wait(w, &a, &insert), -ERR_CONFLICT);
	assert_string_equal(query_sqlstate(&a.q), "23505");
	assert_true(str_eq_cstr(query_constraint(&a.q), "only_once"));
	assert_int_equal(query_n_rows(&a.q), 0);
	query_fini(&a.q);
	assert_string_equal(query_sqlstate(&a.q), "");
	assert_int_equal(pool_stats(w->pool).n_failed, 0);
}

static void logs_an_error_without_the_value_that_caused_it(void **state)
{
	static const struct statement cast = {"test_cast", "SELECT $1::text::int", 1}, wrong = {"test_wrong", "SELECT nothing", 0};
	struct world *w = *state;
	struct ask a = {.order = 0};
	const char *log;

	world_pool(w, 1, 1);
	log_capture();
	query_text(&a.q, STR("my secret diary"));
	assert_int_equal(ask_and_wait(w, &a, &cast), -ERR_INTERNAL);
	assert_string_equal(query_sqlstate(&a.q), "22P02");
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &wrong), -ERR_INTERNAL);
	query_fini(&a.q);
	log = log_captured();
	assert_non_null(strstr(log, "\"test_cast\""));
	assert_non_null(strstr(log, "\"22P02\""));
	assert_null(strstr(log, "diary"));
	assert_non_null(strstr(log, "column \\\"nothing\\\" does not exist"));
	assert_int_equal(pool_stats(w->pool).n_failed, 2);
}

static void repeats_a_statement_whose_plan_went_stale(void **state)
{
	static const struct statement all = {"test_all", "SELECT * FROM test_stale", 0}, forget = {"test_forget", "DEALLOCATE ALL", 0};
	struct world *w = *state;
	struct ask a = {.order = 0};

	w->conf.db_prepared = false;
	world_pool(w, 1, 1);
	run(w, "CREATE TABLE test_stale (a int)");
	run(w, "INSERT INTO test_stale VALUES (1)");
	w->conf.db_prepared = true;
	assert_int_equal(ask_and_wait(w, &a, &all), 0);
	query_fini(&a.q);
	w->conf.db_prepared = false;
	run(w, "ALTER TABLE test_stale ADD COLUMN b int DEFAULT 2");
	w->conf.db_prepared = true;
	assert_int_equal(ask_and_wait(w, &a, &all), 0); /* else 0A000 */
	assert_int_equal(query_col_int(&a.q, 0, 1), 2);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &all), 0);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &forget), 0);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &all), 0); /* else 26000 */
	query_fini(&a.q);
	assert_int_equal(pool_stats(w->pool).n_failed, 0);
}

static void logs_slow_statements_by_name(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	const char *log;

	w->conf.slow_query_ms = 200;
	world_pool(w, 1, 1);
	log_capture();
	start_sleep(w, &a, 250);
	wait_done(w, &a.done);
	log = log_captured();
	assert_non_null(strstr(log, "\"event\":\"slow_statement\""));
	assert_non_null(strstr(log, "\"statement\":\"test_sleep\",\"took_ms\":2"));
	query_fini(&a.q);
}

static void logs_no_statement_that_is_quicker_or_if_it_shall_not(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	w->conf.slow_query_ms = 5000;
	world_pool(w, 1, 1);
	log_capture();
	start_sleep(w, &a, 20);
	wait_done(w, &a.done);
	query_fini(&a.q);
	w->conf.slow_query_ms = 0;
	start_sleep(w, &a, 20);
	wait_done(w, &a.done);
	query_fini(&a.q);
	assert_null(strstr(log_captured(), "slow_statement"));
}

static bool has_two_idle(struct world *w)
{
	return pool_stats(w->pool).idle == 2 && pool_stats(w->pool).active == 0;
}

static void grows_while_waiters_wait_and_shrinks_to_its_minimum(void **state)
{
	struct world *w = *state;
	struct ask asks[24] = {{.order = 0}};
	struct pool_stats stats;

	w->conf.db_idle_timeout_ms = 300;
	world_pool(w, 6, 2);
	wait_until(w, has_two_idle);
	turn_for_ms(w, 50);
	assert_true(has_two_idle(w)); /* nobody waits: no reason to grow */
	for (int i = 0; i < 24; i++)
		start_sleep(w, &asks[i], 150);
	for (int i = 0; i < 24; i++)
		wait_done(w, &asks[i].done);
	stats = pool_stats(w->pool);
	assert_int_equal(stats.idle + stats.active, 6);
	assert_int_equal(stats.max, 6);
	wait_until(w, has_two_idle);
	turn_for_ms(w, 500);
	assert_true(has_two_idle(w));
	for (int i = 0; i < 24; i++)
		query_fini(&asks[i].q);
}

static void keeps_at_most_one_connection_while_draining(void **state)
{
	struct world *w = *state;
	struct ask asks[6] = {{.order = 0}};

	world_pool(w, 3, 3);
	for (int i = 0; i < 3; i++)
		start_sleep(w, &asks[i], i == 2 ? 200 : 0);
	wait_done(w, &asks[0].done);
	wait_done(w, &asks[1].done);
	pool_shrink(w->pool, 1);
	for (int i = 3; i < 6; i++)
		start_sleep(w, &asks[i], 0);
	for (int i = 0; i < 6; i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, 0);
		query_fini(&asks[i].q);
	}
	turn_for_ms(w, 20);
	assert_int_equal(pool_stats(w->pool).idle, 1);
	assert_int_equal(pool_stats(w->pool).active, 0);
	assert_int_equal(pool_stats(w->pool).max, 1);
}

static void cuts_off_what_still_runs_when_it_is_freed(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	world_pool(w, 2, 1);
	sleep_once(w);
	start_sleep(w, &a, 3000);
	query_fini(&a.q);
	/* end_world frees the pool */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
	const struct CMUnitTest tests[] = {
		TEST(answers_many_queries_over_few_connections),
		TEST(serves_waiters_in_the_order_they_came),
		TEST(carries_every_kind_of_parameter),
		TEST(carries_eight_megabytes_each_way),
		TEST(gives_the_memory_of_large_statements_back_when_idle),
		TEST(lets_a_query_be_started_again_as_soon_as_it_is_done),
		TEST(refuses_a_text_with_a_nul_byte),
		TEST(prepares_once_per_connection_or_not_at_all),
		TEST(forgets_a_waiting_query_that_is_cancelled),
		TEST(lets_a_running_statement_drain_when_its_query_is_cancelled),
		TEST(skips_a_statement_that_is_cancelled_while_it_is_being_prepared),
		TEST(does_not_call_back_a_finished_query_that_is_cancelled_by_another),
		TEST(gives_up_waiting_at_the_deadline),
		TEST(ends_a_running_query_at_its_own_deadline_and_keeps_the_connection),
		TEST(postgresql_itself_ends_a_statement_that_takes_too_long),
		TEST(drops_the_connection_of_a_statement_that_takes_too_long),
		TEST(refuses_when_ten_thousand_wait),
		TEST(names_the_constraint_of_a_conflict),
		TEST(logs_an_error_without_the_value_that_caused_it),
		TEST(repeats_a_statement_whose_plan_went_stale),
		TEST(logs_slow_statements_by_name),
		TEST(logs_no_statement_that_is_quicker_or_if_it_shall_not),
		TEST(grows_while_waiters_wait_and_shrinks_to_its_minimum),
		TEST(keeps_at_most_one_connection_while_draining),
		TEST(cuts_off_what_still_runs_when_it_is_freed),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
