/* The client against a peer that is played by hand: names and ports, garbage, half answers, answers that nobody asked for. */
#include "cache/redis.h"

#include "tests/unit/cache/world.h"
#include "tests/unit/net/peer.h"

static struct peer peer;

static int open_peer(void **state)
{
	struct world *w;

	make_world(state);
	w = *state;
	peer_open(&peer);
	w->conf.redis_host = "127.0.0.1";
	w->conf.redis_port = peer.port;
	return quiet(state);
}

static int close_peer(void **state)
{
	peer_close(&peer);
	return end_world(state);
}

static bool has(const char *word)
{
	peer_look(&peer);
	return peer.in.len && memmem(peer.in.p, peer.in.len, word, strlen(word));
}

/* Plays a Redis that greets. */
static void greet(struct world *w)
{
	if (!w->redis)
		world_connect(w);
	TURN_UNTIL(w->loop, has("PING"));
	peer_send(&peer, STR("+OK\r\n+PONG\r\n"));
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	peer.in.len = 0;
}

static void says_who_it_is_and_what_it_wants(void **state)
{
	struct world *w = *state;

	w->conf.redis_password = "secret";
	w->conf.redis_db = 7;
	world_connect(w);
	TURN_UNTIL(w->loop, has("PING"));
	assert_text(buf_str(&peer.in), "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$9\r\nllmchat-3\r\n"
				       "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n*1\r\n$4\r\nPING\r\n");
	peer_send(&peer, STR("+OK\r\n-ERR unknown command\r\n+OK\r\n"));
	turn_few(w->loop);
	assert_false(redis_ready(w->redis));
	peer_send(&peer, STR("+PONG\r\n"));
	TURN_UNTIL(w->loop, redis_ready(w->redis));
}

static void finds_a_name_without_blocking(void **state)
{
	struct world *w = *state;

	w->conf.redis_host = "localhost"; /* which may be ::1 first, where nobody listens */
	greet(w);
}

static void takes_commands_of_one_turn_together(void **state)
{
	struct world *w = *state;
	struct ask a, b;

	greet(w);
	ask_start(w, &a, "GET one");
	ask_start(w, &b, "GET two");
	TURN_UNTIL(w->loop, has("two"));
	peer_send(&peer, STR("$1\r\n1\r\n$1\r"));
	TURN_UNTIL(w->loop, a.done);
	assert_string_equal(a.text, "1");
	assert_false(b.done);
	peer_send(&peer, STR("\n2\r\n"));
	TURN_UNTIL(w->loop, b.done);
	assert_string_equal(b.text, "2");
}

static void half_an_answer_does_not_keep_anyone_waiting(void **state)
{
	struct world *w = *state;
	struct ask a, b;

	greet(w);
	ask_start(w, &a, "GET one");
	ask_start(w, &b, "GET two");
	TURN_UNTIL(w->loop, has("two"));
	peer_send(&peer, STR("$1\r\n1"));
	TURN_UNTIL(w->loop, a.done && b.done);
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_int_equal(b.err, -ERR_REDIS_AWAY);
	assert_true(a.took_ms < 400);
	TURN_UNTIL(w->loop, peer_is_closed(&peer) || peer.n_accepted > 1);
}

static void garbage_ends_the_connection_and_hurts_nobody(void **state)
{
	static const char *const garbage[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"*1\r\n*1\r\n:1\r\n",
		"*2000000000\r\n",
		"\x16\x03\x01\x02\x00",
		"$-7\r\n",
		"+fine\r\n+nobody asked\r\n",
		"-ERR max number of clients reached\r\n-ERR again\r\n",
	};
	struct world *w = *state;

	w->conf.redis_max_retries = 1000;
	for (size_t i = 0; i < N_ELEMENTS(garbage); i++) {
		unsigned before = peer.n_accepted;
		struct ask a;

		greet(w);
		ask_start(w, &a, "GET one");
		TURN_UNTIL(w->loop, has("one"));
		peer_send(&peer, str_from(garbage[i]));
		TURN_UNTIL(w->loop, a.done && !redis_ready(w->redis));
		peer.in.len = 0;
		TURN_UNTIL(w->loop, peer_look(&peer) && peer.n_accepted > before + (i == 0));
	}
}

static void what_nobody_asked_for_is_garbage(void **state)
{
	struct world *w = *state;

	greet(w);
	peer_send(&peer, STR("+OK\r\n"));
	TURN_UNTIL(w->loop, !redis_ready(w->redis));
}

static void a_cancelled_command_still_takes_its_answer(void **state)
{
	struct world *w = *state;
	struct ask a, b;

	greet(w);
	ask_start(w, &a, "GET one");
	TURN_UNTIL(w->loop, has("one"));
	op_cancel(&a.c.op);
	ask_start(w, &b, "GET two");
	TURN_UNTIL(w->loop, has("two"));
	peer_send(&peer, STR("$1\r\n1\r\n$1\r\n2\r\n"));
	TURN_UNTIL(w->loop, b.done);
	assert_string_equal(b.text, "2");
	assert_false(a.done);
}

static void one_that_was_cancelled_still_shows_that_redis_is_silent(void **state)
{
	struct world *w = *state;
	struct ask a;

	greet(w);
	ask_start(w, &a, "GET one");
	TURN_UNTIL(w->loop, has("one"));
	op_cancel(&a.c.op);
	TURN_UNTIL(w->loop, !redis_ready(w->redis));
}

static void a_reset_fails_who_waits_at_once(void **state)
{
	struct world *w = *state;
	struct ask a;

	greet(w);
	ask_start(w, &a, "GET one");
	TURN_UNTIL(w->loop, has("one"));
	peer_reset(&peer);
	TURN_UNTIL(w->loop, a.done);
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_true(a.took_ms < 150);
}

static void a_peer_that_says_nothing_is_given_up(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_connect(w);
	TURN_UNTIL(w->loop, has("PING"));
	ask(w, &a, "GET one");
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_true(a.took_ms < 100);
	TURN_UNTIL(w->loop, redis_settled(w->redis));
}

static void one_that_still_loads_is_asked_again(void **state)
{
	struct world *w = *state;

	world_connect(w);
	TURN_UNTIL(w->loop, has("PING"));
	peer_send(&peer, STR("+OK\r\n-LOADING Redis is loading the dataset in memory\r\n"));
	TURN_UNTIL(w->loop, redis_settled(w->redis));
	assert_false(redis_ready(w->redis));
	peer.in.len = 0;
	greet(w);
}

static void one_that_cannot_save_is_let_try(void **state)
{
	struct world *w = *state;
	struct ask a;

	world_connect(w);
	TURN_UNTIL(w->loop, has("PING"));
	peer_send(&peer, STR("+OK\r\n-MISCONF Redis is configured to save RDB snapshots\r\n"));
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	ask_start(w, &a, "INCR a");
	TURN_UNTIL(w->loop, has("INCR"));
	peer_send(&peer, STR("-MISCONF Redis is configured to save RDB snapshots\r\n"));
	TURN_UNTIL(w->loop, a.done);
	assert_int_equal(a.err, -ERR_REDIS_AWAY);
	assert_false(redis_ready(w->redis));
}

static void a_port_where_nobody_listens_is_tried_ever_slower(void **state)
{
	struct world *w = *state;
	unsigned n_fds;

	peer_close(&peer);
	world_connect(w);
	n_fds = (unsigned)count_fds();
	TURN_UNTIL(w->loop, redis_settled(w->redis));
	turn_for_ms(w->loop, 500);
	assert_true(count_fds() <= n_fds + 1);
	assert_false(redis_ready(w->redis));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_peer, close_peer)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_who_it_is_and_what_it_wants),
		TEST(finds_a_name_without_blocking),
		TEST(takes_commands_of_one_turn_together),
		TEST(half_an_answer_does_not_keep_anyone_waiting),
		TEST(garbage_ends_the_connection_and_hurts_nobody),
		TEST(what_nobody_asked_for_is_garbage),
		TEST(a_cancelled_command_still_takes_its_answer),
		TEST(one_that_was_cancelled_still_shows_that_redis_is_silent),
		TEST(a_reset_fails_who_waits_at_once),
		TEST(a_peer_that_says_nothing_is_given_up),
		TEST(one_that_still_loads_is_asked_again),
		TEST(one_that_cannot_save_is_let_try),
		TEST(a_port_where_nobody_listens_is_tried_ever_slower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
