/* The client against a real redis-server: pipelining, errors, restarts, pauses, and everything that it may refuse. */
#include "cache/redis.h"

#include <signal.h>

#include "tests/unit/cache/world.h"

static void answers_each_command_in_its_turn(void **state)
{
	struct world *w = *state;
	static struct ask asks[500];
	char words[64];

	world_ready(w);
	for (int i = 0; i < 500; i++) {
		snprintf(words, sizeof(words), "ECHO word-%d", i);
		ask_start(w, &asks[i], words);
	}
	assert_int_equal(redis_stats(w->redis).in_flight, 500);
	for (int i = 0; i < 500; i++) {
		TURN_UNTIL(w->loop, asks[i].done);
		snprintf(words, sizeof(words), "word-%d", i);
		assert_int_equal(asks[i].err, 0);
		assert_string_equal(asks[i].text, words);
	}
	assert_non_null(strstr(redis_say("CLIENT", "LIST", NULL), "name=llmchat-3"));
}

static void an_error_of_one_command_is_its_own(void **state)
{
	struct world *w = *state;
	struct ask bad, good;

	world_ready(w);
	ask_start(w, &bad, "EVALSHA ffffffffffffffffffffffffffffffffffffffff 0");
	ask_start(w, &good, "INCR a");
	TURN_UNTIL(w->loop, good.done);
	assert_int_equal(bad.err, -ERR_INTERNAL);
	assert_memory_equal(bad.text, "NOSCRIPT", 8);
	assert_int_equal(good.err, 0);
	assert_int_equal(good.integer, 1);
	assert_true(redis_ready(w->redis));
}

static void cancelled_commands_leave_the_others_their_answers(void **state)
{
	struct world *w = *state;
	struct ask asks[4];

	world_ready(w);
	for (size_t i = 0; i < 4; i++)
		ask_start(w, &asks[i], i == 3 ? "ECHO three" : "ECHO x");
	op_cancel(&asks[0].c.op);
	op_cancel(&asks[2].c.op);
	loop_turn(w->loop, false); /* they have been sent */
	TURN_UNTIL(w->loop, asks[3].done);
	assert_string_equal(asks[3].text, "three");
	assert_true(asks[1].done);
	assert_false(asks[0].done || asks[2].done);
	assert_int_equal(redis_stats(w->redis).in_flight, 0);
}

static void at_most_so_many_are_in_flight(void **state)
{
	struct world *w = *state;
	static struct ask asks[REDIS_MAX_IN_FLIGHT + 1];

	w->conf.redis_command_timeout_ms = 5000;
	world_ready(w);
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		ask_start(w, &asks[i], "PING");
	for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
		TURN_UNTIL(w->loop, asks[i].done);
		assert_int_equal(asks[i].err, i < REDIS_MAX_IN_FLIGHT ? 0 : -ERR_REDIS_AWAY);
	}
}

static void without_a_host_commands_fail_at_once(void **state)
{
	struct world *w = *state;
	struct ask a;

	w->conf.redis_host = "";
	world_connect(w);
	assert_true(redis_settled(w->redis));
	ask(w, &a, "PING");
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_int_equal(redis_stats(w->redis).state, REDIS_OFF);
}

static void a_command_that_failed_can_be_cancelled_before_it_is_told(void **state)
{
	struct world *w = *state;
	struct ask a;

	w->conf.redis_host = "";
	world_connect(w);
	ask_start(w, &a, "PING");
	op_cancel(&a.c.op);
	turn_few(w->loop);
	assert_false(a.done);
}

static void a_restart_is_noticed_and_mended(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_ready(w);
	redis_server_stop();
	TURN_UNTIL(w->loop, !redis_ready(w->redis));
	ask(w, &a, "PING");
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_true(a.took_ms < 100);
	redis_server_start();
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	ask(w, &a, "ECHO again");
	assert_string_equal(a.text, "again");
}

static void a_pause_costs_one_timeout_and_no_more(void **state)
{
	struct world *w = *state;
	struct ask first, second, third;

	world_ready(w);
	kill(redis_server.pid, SIGSTOP);
	ask_start(w, &first, "PING");
	turn_for_ms(w->loop, 100);
	ask_start(w, &second, "PING");
	TURN_UNTIL(w->loop, first.done && second.done);
	assert_int_equal(first.err, -ERR_REDIS_AWAY);
	assert_int_equal(second.err, -ERR_REDIS_AWAY);
	assert_true(first.took_ms >= 195);
	assert_true(second.took_ms < 190); /* with the first one, not a timeout later */
	ask(w, &third, "PING");
	assert_true(third.took_ms < 50);
	kill(redis_server.pid, SIGCONT);
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	ask(w, &third, "PING");
	assert_int_equal(third.err, 0);
}

static void answers_that_are_there_count_though_we_come_late(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_ready(w);
	ask_start(w, &a, "PING");
	turn_few(w->loop);
	if (!a.done)
		poll(NULL, 0, 400); /* it was us who did nothing for so long */
	TURN_UNTIL(w->loop, a.done);
	assert_int_equal(a.err, 0);
	assert_int_equal(redis_stats(w->redis).n_connects, 1);
}

static void a_wrong_password_is_no_connection_until_it_is_right(void **state)
{
	struct world *w = *state;
	struct ask a;

	assert_memory_equal(redis_say("CONFIG", "SET", "requirepass", "right", NULL), "+OK", 3);
	w->conf.redis_password = "wrong";
	world_connect(w);
	TURN_UNTIL(w->loop, redis_settled(w->redis));
	assert_false(redis_ready(w->redis));
	w->conf.redis_password = "";
	turn_for_ms(w->loop, 200);
	assert_false(redis_ready(w->redis));
	w->conf.redis_password = "right";
	world_ready(w);
	ask(w, &a, "CONFIG SET requirepass nothing");
	w->conf.redis_password = "nothing";
	{
		struct ask reset;
		struct str args[] = {STR("CONFIG"), STR("SET"), STR("requirepass"), STR("")};

		ask(w, &a, "PING");
		assert_int_equal(a.err, 0);
		reset = a;
		reset.done = false;
		redis_start(w->redis, &reset.c, args, 4);
		TURN_UNTIL(w->loop, reset.done);
	}
}

static void uses_the_database_it_is_told(void **state)
{
	struct world *w = *state;
	struct ask a;

	w->conf.redis_db = 3;
	world_ready(w);
	ask(w, &a, "SET here 1");
	assert_int_equal(a.err, 0);
	assert_memory_equal(redis_say("EXISTS", "here", NULL), ":0", 2);
}

static void a_database_that_does_not_exist_is_no_connection(void **state)
{
	struct world *w = *state;

	w->conf.redis_db = 99;
	world_connect(w);
	TURN_UNTIL(w->loop, redis_settled(w->redis));
	turn_for_ms(w->loop, 300);
	assert_false(redis_ready(w->redis));
	assert_true(redis_stats(w->redis).n_connects >= 2);
}

static void a_redis_that_may_not_write_is_left_alone_for_a_moment(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_ready(w);
	assert_memory_equal(redis_say("CONFIG", "SET", "maxmemory", "1", NULL), "+OK", 3);
	ask(w, &a, "SET a b");
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_memory_equal(a.text, "OOM", 3);
	assert_false(redis_ready(w->redis));
	assert_true(redis_stats(w->redis).refuses);
	ask(w, &a, "SET a b");
	assert_true(a.took_ms < 50);
	assert_memory_equal(redis_say("CONFIG", "SET", "maxmemory", "0", NULL), "+OK", 3);
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	ask(w, &a, "SET a b");
	assert_int_equal(a.err, 0);
	assert_false(redis_stats(w->redis).refuses);
	assert_int_equal(redis_stats(w->redis).n_connects, 1);
}

static void a_replica_is_not_written_to(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_ready(w);
	redis_say("CONFIG", "SET", "replica-serve-stale-data", "yes", NULL);
	redis_say("REPLICAOF", "127.0.0.1", "1", NULL);
	ask(w, &a, "SET a b");
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	redis_say("REPLICAOF", "NO", "ONE", NULL);
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	ask(w, &a, "SET a b");
	assert_int_equal(a.err, 0);
}

static void a_connection_that_is_killed_comes_back(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_ready(w);
	for (unsigned i = 2; i < 5; i++) {
		redis_say("CLIENT", "KILL", "TYPE", "normal", NULL);
		TURN_UNTIL(w->loop, redis_ready(w->redis) && redis_stats(w->redis).n_connects == i);
	}
	ask(w, &a, "PING");
	assert_int_equal(a.err, 0);
}

static void frees_a_client_in_every_state(void **state)
{
	struct world *w = *state;

	for (int turns = 0; turns < 12; turns++) {
		world_connect(w);
		for (int i = 0; i < turns; i++)
			loop_turn(w->loop, false);
		redis_free(w->redis);
		w->redis = NULL;
		loop_turn(w->loop, false);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_each_command_in_its_turn),
		TEST(an_error_of_one_command_is_its_own),
		TEST(cancelled_commands_leave_the_others_their_answers),
		TEST(at_most_so_many_are_in_flight),
		TEST(without_a_host_commands_fail_at_once),
		TEST(a_command_that_failed_can_be_cancelled_before_it_is_told),
		TEST(a_restart_is_noticed_and_mended),
		TEST(a_pause_costs_one_timeout_and_no_more),
		TEST(answers_that_are_there_count_though_we_come_late),
		TEST(a_wrong_password_is_no_connection_until_it_is_right),
		TEST(uses_the_database_it_is_told),
		TEST(a_database_that_does_not_exist_is_no_connection),
		TEST(a_redis_that_may_not_write_is_left_alone_for_a_moment),
		TEST(a_replica_is_not_written_to),
		TEST(a_connection_that_is_killed_comes_back),
		TEST(frees_a_client_in_every_state),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
