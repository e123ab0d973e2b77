/* What is long by its nature shares a few of the pool's connections, against a real PostgreSQL. */
#include "tests/unit/db/fixture.h"

static const struct statement echo_int = {"test_echo_int", "SELECT $1::int", 1};
static const struct statement sleep_for = {"test_sleep", "SELECT pg_sleep($1::int / 1000.0)", 1};

static void start_heavy(struct world *w, struct ask *a, int ms)
{
	struct query *q = ask_begin(w, a);

	query_int(q, ms);
	query_start_heavy(w->pool, q, &sleep_for);
}

static void start_quick(struct world *w, struct ask *a)
{
	query_int(&a->q, 1);
	ask(w, a, &echo_int);
}

static void end_all(struct world *w, struct ask *asks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, 0);
		query_fini(&asks[i].q);
	}
}

static bool has_four_idle(struct world *w)
{
	return pool_stats(w->pool).idle == 4;
}

static bool has_two_idle(struct world *w)
{
	return pool_stats(w->pool).idle == 2;
}

static void runs_an_eighth_of_the_pool_at_once_and_opens_no_more(void **state)
{
	struct world *w = *state;
	struct ask heavy[6] = {{.order = 0}}, quick[20] = {{.order = 0}};

	world_pool(w, 16, 4);
	wait_until(w, has_four_idle);
	for (size_t i = 0; i < 6; i++)
		start_heavy(w, &heavy[i], 150);
	turn_for_ms(w, 100);
	assert_int_equal(pool_stats(w->pool).active, 2);
	assert_int_equal(pool_stats(w->pool).idle, 2);
	assert_int_equal(pool_stats(w->pool).waiting, 4);
	assert_int_equal(pool_stats(w->pool).connecting, 0);
	for (size_t i = 0; i < 20; i++)
		start_quick(w, &quick[i]);
	end_all(w, quick, 20);
	assert_false(heavy[2].done); /* who came later was not kept waiting by those before */
	assert_int_equal(pool_stats(w->pool).idle + pool_stats(w->pool).active, 4);
	end_all(w, heavy, 6);
	for (size_t i = 2; i < 6; i++)
		assert_true(heavy[i].order > heavy[i - 2].order);
}

static void takes_its_turn_where_there_is_one_connection(void **state)
{
	struct world *w = *state;
	struct ask asks[6] = {{.order = 0}};

	world_pool(w, 1, 1);
	for (size_t i = 0; i < 6; i++) {
		if (i % 3 == 1)
			start_heavy(w, &asks[i], 10);
		else
			start_quick(w, &asks[i]);
	}
	for (unsigned i = 0; i < 6; i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].order, i + 1);
	}
	end_all(w, asks, 6);
}

static void counts_until_it_is_over_though_nobody_waits(void **state)
{
	struct world *w = *state;
	struct ask left = {.order = 0}, next = {.order = 0}, quick = {.order = 0};

	world_pool(w, 2, 2);
	wait_until(w, has_two_idle);
	start_heavy(w, &left, 300);
	turn_for_ms(w, 20);
	query_fini(&left.q);
	start_heavy(w, &next, 0);
	start_quick(w, &quick);
	end_all(w, &quick, 1);
	turn_for_ms(w, 100);
	assert_int_equal(pool_stats(w->pool).active, 1);
	assert_int_equal(pool_stats(w->pool).waiting, 1);
	end_all(w, &next, 1);
}

static void makes_room_when_its_connection_is_lost(void **state)
{
	struct world *w = *state;
	struct ask lost = {.order = 0}, next = {.order = 0};

	world_pool(w, 2, 2);
	wait_until(w, has_two_idle);
	start_heavy(w, &lost, 5000);
	turn_for_ms(w, 50);
	assert_int_equal(
		run_psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"),
		0);
	assert_int_equal(ask_end(w, &lost), -ERR_DB_UNAVAILABLE);
	start_heavy(w, &next, 0);
	end_all(w, &next, 1);
	query_fini(&lost.q);
}

static void gives_up_waiting_or_is_cancelled_like_any_other(void **state)
{
	struct world *w = *state;
	struct ask runs = {.order = 0}, late = {.order = 0}, gone = {.order = 0};

	w->conf.db_connection_timeout_ms = 200;
	world_pool(w, 2, 2);
	wait_until(w, has_two_idle);
	start_heavy(w, &runs, 700);
	start_heavy(w, &late, 0);
	start_heavy(w, &gone, 0);
	query_fini(&gone.q);
	assert_int_equal(pool_stats(w->pool).waiting, 1);
	assert_int_equal(ask_end(w, &late), -ERR_DB_UNAVAILABLE);
	assert_false(runs.done);
	assert_int_equal(pool_stats(w->pool).waiting, 0);
	end_all(w, &runs, 1);
	assert_false(gone.done);
	query_fini(&late.q);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
	const struct CMUnitTest tests[] = {
		TEST(runs_an_eighth_of_the_pool_at_once_and_opens_no_more), TEST(takes_its_turn_where_there_is_one_connection),
		TEST(counts_until_it_is_over_though_nobody_waits),          TEST(makes_room_when_its_connection_is_lost),
		TEST(gives_up_waiting_or_is_cancelled_like_any_other),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
