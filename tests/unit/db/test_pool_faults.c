/* The pool while PostgreSQL stops, freezes, refuses or cannot be found. */
#include "tests/unit/db/fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static const struct statement sleep_for = {"test_sleep", "SELECT pg_sleep($1::int / 1000.0), pg_backend_pid()", 1};

static void start_sleep(struct world *w, struct ask *a, int ms)
{
	query_int(&a->q, ms);
	ask(w, a, &sleep_for);
}

static int sleep_and_wait(struct world *w, struct ask *a, int ms)
{
	start_sleep(w, a, ms);
	wait_done(w, &a->done);
	query_fini(&a->q);
	return a->err;
}

static bool is_unreachable(struct world *w)
{
	return !is_reachable(w) && pool_stats(w->pool).idle + pool_stats(w->pool).active == 0;
}

static bool was_refused(struct world *w)
{
	struct ask a = {.order = 0};

	start_sleep(w, &a, 0);
	wait_done(w, &a.done);
	query_fini(&a.q);
	return a.err == -ERR_DB_UNAVAILABLE && a.took_us < 50000;
}

static void refuses_at_once_while_the_server_is_down_and_recovers_by_itself(void **state)
{
	struct world *w = *state;
	struct ask running = {.order = 0}, waiting = {.order = 0}, a = {.order = 0};
	const char *log;

	world_pool(w, 1, 1);
	assert_int_equal(sleep_and_wait(w, &a, 0), 0);
	assert_int_equal(w->n_reachable, 1);
	log_capture();
	start_sleep(w, &running, 4000);
	start_sleep(w, &waiting, 0);
	server_stop(&server); /* the loop stands still meanwhile; what happened is found afterwards */
	w->last_beat_us = 0;
	wait_done(w, &running.done);
	assert_int_equal(running.err, -ERR_DB_UNAVAILABLE);
	assert_string_equal(query_sqlstate(&running.q), "57P01");
	wait_done(w, &waiting.done);
	assert_int_equal(waiting.err, -ERR_DB_UNAVAILABLE);
	assert_true(is_unreachable(w));
	assert_true(was_refused(w));
	turn_for_ms(w, 600);
	assert_true(was_refused(w));
	query_fini(&running.q);
	query_fini(&waiting.q);
	server_start(&server);
	wait_until(w, is_reachable);
	log = log_captured();
	assert_int_equal(sleep_and_wait(w, &a, 0), 0);
	assert_int_equal(w->n_reachable, 2);
	assert_non_null(strstr(log, "database_unreachable"));
	assert_null(strstr(strstr(log, "database_unreachable") + 1, "database_unreachable")); /* one line per change */
	assert_non_null(strstr(log, "database_reachable"));
}

static bool has_two_idle(struct world *w)
{
	return pool_stats(w->pool).idle == 2;
}

static bool has_lost_one(struct world *w)
{
	return pool_stats(w->pool).idle != 2;
}

static void replaces_idle_connections_that_break(void **state)
{
	static const struct statement kill_others = {
		"test_kill",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'llmchat-7' AND pid <> pg_backend_pid()",
		0};
	struct world *w = *state;
	struct ask a = {.order = 0};

	world_pool(w, 2, 2);
	wait_until(w, has_two_idle);
	kill(server.pid, SIGSTOP); /* it makes no new one before the loss has been seen */
	assert_int_equal(ask_and_wait(w, &a, &kill_others), 0);
	assert_int_equal(query_n_rows(&a.q), 1);
	query_fini(&a.q);
	wait_until(w, has_lost_one);
	kill(server.pid, SIGCONT);
	wait_until(w, has_two_idle); /* nobody asked anything */
	assert_true(is_reachable(w));
	assert_int_equal(w->n_reachable, 1);
}

static void never_repeats_a_statement_whose_connection_was_lost(void **state)
{
	static const struct statement make = {"test_make", "CREATE TABLE test_repeat (a int)", 0},
				      insert = {"test_die", "INSERT INTO test_repeat SELECT 1 FROM pg_terminate_backend(pg_backend_pid())",
						0},
				      count = {"test_count", "SELECT count(*) FROM test_repeat", 0},
				      calls = {"test_xact",
					       "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO test_repeat%'", 0};
	struct world *w = *state;
	struct ask a = {.order = 0};

	world_pool(w, 1, 1);
	assert_int_equal(ask_and_wait(w, &a, &make), 0);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &insert), -ERR_DB_UNAVAILABLE);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &count), 0);
	assert_int_equal(query_col_int(&a.q, 0, 0), 0);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &calls), 0);
	assert_int_equal(query_col_int(&a.q, 0, 0), 0);
	query_fini(&a.q);
}

static void keeps_turning_while_the_whole_server_is_frozen(void **state)
{
	enum { N = 3 };
	struct world *w = *state;
	struct ask asks[2 * N] = {{.order = 0}}, late = {.order = 0};
	int64_t pids[N];

	w->conf.db_statement_timeout_ms = 400;
	w->conf.db_connection_timeout_ms = 400;
	world_pool(w, N, N);
	for (int i = 0; i < N; i++)
		start_sleep(w, &asks[i], 100); /* long enough that each needs its own connection */
	for (int i = 0; i < N; i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, 0);
		pids[i] = query_col_int(&asks[i].q, 0, 1);
		query_fini(&asks[i].q);
	}
	kill(server.pid, SIGSTOP);
	for (int i = 0; i < N; i++)
		kill((pid_t)pids[i], SIGSTOP);
	w->longest_gap_us = 0;
	for (int i = 0; i < 2 * N; i++)
		start_sleep(w, &asks[i], 0);
	for (int i = 0; i < 2 * N; i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, -ERR_DB_UNAVAILABLE);
		assert_in_range(asks[i].took_us, 390000, 1000000);
		query_fini(&asks[i].q);
	}
	wait_until(w, is_unreachable);
	turn_for_ms(w, 500); /* connecting to the frozen server has timed out as well */
	assert_true(was_refused(w));
	assert_in_range(w->longest_gap_us, 0, 200000);
	for (int i = 0; i < N; i++)
		kill((pid_t)pids[i], SIGCONT);
	kill(server.pid, SIGCONT);
	wait_until(w, is_reachable);
	assert_int_equal(sleep_and_wait(w, &late, 0), 0);
}

static void opens_a_new_connection_when_one_backend_freezes(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	int64_t pid;

	w->conf.db_statement_timeout_ms = 300;
	world_pool(w, 1, 1);
	pid = backend_pid(w);
	kill((pid_t)pid, SIGSTOP);
	assert_int_equal(sleep_and_wait(w, &a, 0), -ERR_DB_UNAVAILABLE);
	assert_int_equal(sleep_and_wait(w, &a, 0), 0);
	kill((pid_t)pid, SIGCONT);
}

static void says_that_the_password_is_wrong_without_saying_it(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	const char *log;

	w->conf.db_password = "tr0ub4dor-and-3";
	log_capture();
	world_pool(w, 2, 1);
	assert_int_equal(sleep_and_wait(w, &a, 0), -ERR_DB_UNAVAILABLE);
	turn_for_ms(w, 300);
	log = log_captured();
	assert_true(is_unreachable(w));
	assert_int_equal(w->n_reachable, 0);
	assert_non_null(strstr(log, "database_unreachable"));
	assert_non_null(strstr(log, "password authentication failed"));
	assert_null(strstr(log, "tr0ub4dor"));
	assert_null(strstr(log, SERVER_PASSWORD));
}

/* A socket on the loopback address; its port in *port. */
static int listen_somewhere(int64_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void gives_up_connecting_to_a_host_that_says_nothing(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	int fd = listen_somewhere(&w->conf.db_port);

	w->conf.db_host = "127.0.0.1";
	w->conf.db_connection_timeout_ms = 300;
	world_pool(w, 2, 1);
	assert_int_equal(sleep_and_wait(w, &a, 0), -ERR_DB_UNAVAILABLE);
	assert_in_range(a.took_us, 300000, 600000);
	turn_for_ms(w, 150);
	assert_true(was_refused(w));
	assert_in_range(w->longest_gap_us, 0, 200000);
	close(fd);
}

static void refuses_at_once_when_nobody_listens(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	const char *log;

	close(listen_somewhere(&w->conf.db_port));
	w->conf.db_host = "127.0.0.1";
	log_capture();
	world_pool(w, 2, 1);
	assert_int_equal(sleep_and_wait(w, &a, 0), -ERR_DB_UNAVAILABLE);
	log = log_captured();
	assert_non_null(strstr(log, "refused"));
	assert_true(was_refused(w));
}

static void goes_on_with_fewer_when_the_server_has_no_more_connections(void **state)
{
	enum { N = 60 };
	static const struct statement alter = {"test_alter", "ALTER ROLE test_small CONNECTION LIMIT 2", 0},
				      create = {"test_create", "CREATE ROLE test_small LOGIN PASSWORD 'small'", 0};
	struct world *w = *state;
	struct ask *asks = mem_alloc(N * sizeof(*asks)), a = {.order = 0};

	world_pool(w, 1, 1);
	assert_int_equal(ask_and_wait(w, &a, &create), 0);
	query_fini(&a.q);
	assert_int_equal(ask_and_wait(w, &a, &alter), 0);
	query_fini(&a.q);
	pool_free(w->pool);
	w->conf.db_user = "test_small";
	w->conf.db_password = "small";
	world_pool(w, 8, 1);
	for (int i = 0; i < N; i++)
		start_sleep(w, &asks[i], 20);
	for (int i = 0; i < N; i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, 0);
		query_fini(&asks[i].q);
	}
	assert_true(is_reachable(w));
	assert_in_range(pool_stats(w->pool).idle, 1, 2);
	free(asks);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
	const struct CMUnitTest tests[] = {
		TEST(refuses_at_once_while_the_server_is_down_and_recovers_by_itself),
		TEST(replaces_idle_connections_that_break),
		TEST(never_repeats_a_statement_whose_connection_was_lost),
		TEST(keeps_turning_while_the_whole_server_is_frozen),
		TEST(opens_a_new_connection_when_one_backend_freezes),
		TEST(says_that_the_password_is_wrong_without_saying_it),
		TEST(gives_up_connecting_to_a_host_that_says_nothing),
		TEST(refuses_at_once_when_nobody_listens),
		TEST(goes_on_with_fewer_when_the_server_has_no_more_connections),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
