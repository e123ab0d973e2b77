/* The limiter against a real redis-server: exactness over two responders, blocks, expiry, a script that is forgotten, and doing without. */
#include "cache/ratelimit.h"

#include <signal.h>

#include "tests/unit/cache/world.h"

struct counted {
	struct ratelimit_check check;
	bool done;
};

static void on_done(struct op *op)
{
	struct counted *c = CONTAINER_OF(op, struct counted, check.op);

	assert_int_equal(op->err, 0);
	assert_false(c->done);
	c->done = true;
}

static void count_start(struct ratelimit *l, struct counted *c, const char *address, const char *identity)
{
	*c = (struct counted){.check.op.done = on_done};
	c->done = ratelimit_start(l, &c->check, str_from(address), str_from(identity));
}

static struct ratelimit_verdict count(struct world *w, struct ratelimit *l, const char *address, const char *identity)
{
	struct counted c;

	count_start(l, &c, address, identity);
	TURN_UNTIL(w->loop, c.done);
	return c.check.verdict;
}

static void exactly_the_limit_passes_over_two_responders(void **state)
{
	struct world *w = *state;
	static struct counted counted[500];
	struct redis *second;
	struct ratelimit *limits[2];
	size_t n_passed = 0;

	w->conf.rate_limit_points = 100;
	world_ready(w);
	second = redis_new(w->loop, w->resolver, &w->conf, 2);
	TURN_UNTIL(w->loop, redis_ready(second));
	limits[0] = ratelimit_new(w->redis, &w->conf, 1);
	limits[1] = ratelimit_new(second, &w->conf, 2);
	for (size_t i = 0; i < N_ELEMENTS(counted); i++)
		count_start(limits[i % 2], &counted[i], "10.0.0.1", "user");
	for (size_t i = 0; i < N_ELEMENTS(counted); i++) {
		TURN_UNTIL(w->loop, counted[i].done);
		n_passed += !counted[i].check.verdict.refused;
	}
	assert_int_equal(n_passed, 100);
	ratelimit_free(limits[0]);
	ratelimit_free(limits[1]);
	redis_free(second);
}

static void says_what_is_left_and_for_how_long(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;
	struct ratelimit_verdict v;

	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	for (int64_t left = 4; left >= 0; left--) {
		v = count(w, l, "10.0.0.1", "user");
		assert_false(v.refused);
		assert_int_equal(v.limit, 5);
		assert_int_equal(v.remaining, left);
		assert_in_range(v.reset_ms, 59000, 60000);
	}
	v = count(w, l, "10.0.0.1", "user");
	assert_true(v.refused);
	assert_false(count(w, l, "10.0.0.1", "another").refused);
	ratelimit_free(l);
}

static void the_address_is_counted_with_the_identity_and_alone(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;

	w->conf.rate_limit_max_requests = 3;
	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	assert_int_equal(count(w, l, "10.0.0.1", "").remaining, 2);
	assert_int_equal(count(w, l, "", "user").remaining, 4);
	assert_int_equal(count(w, l, "10.0.0.1", "user").remaining, 1);
	assert_false(count(w, l, "10.0.0.1", "user").refused);
	assert_true(count(w, l, "10.0.0.1", "user").refused);
	assert_memory_equal(redis_say("GET", "llmchat:limit:identity:user", NULL), "$1\r\n3",
			    5); /* who is refused by address is not counted */
	assert_false(count(w, l, "10.0.0.2", "user").refused);
	ratelimit_free(l);
}

static void of_ipv6_the_network_counts(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;

	w->conf.rate_limit_max_requests = 2;
	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	assert_false(count(w, l, "2001:db8:1:2:aaaa::1", "").refused);
	assert_false(count(w, l, "2001:db8:1:2::ffff", "").refused);
	assert_true(count(w, l, "2001:db8:1:2:3:4:5:6", "").refused);
	assert_false(count(w, l, "2001:db8:1:3::1", "").refused);
	assert_false(count(w, l, "10.0.0.1", "").refused);
	assert_int_equal(count(w, l, "::ffff:10.0.0.1", "").remaining, 0);
	ratelimit_free(l);
}

static void windows_end_and_blocks_last_longer(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;

	w->conf.rate_limit_points = 2;
	w->conf.rate_limit_duration_s = 1;
	w->conf.rate_limit_block_s = 2;
	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	(void)count(w, l, "", "patient");
	for (int i = 0; i < 3; i++)
		(void)count(w, l, "", "greedy");
	assert_in_range(count(w, l, "", "greedy").reset_ms, 1500, 2000);
	turn_for_ms(w->loop, 1100);
	assert_int_equal(count(w, l, "", "patient").remaining, 1);
	assert_true(count(w, l, "", "greedy").refused);
	turn_for_ms(w->loop, 1000);
	assert_false(count(w, l, "", "greedy").refused);
	ratelimit_free(l);
}

static void every_key_expires(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;

	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	redis_say("SET", "llmchat:limit:identity:user", "2", NULL); /* somebody's mistake */
	assert_int_equal(count(w, l, "10.0.0.1", "user").remaining, 2);
	assert_memory_not_equal(redis_say("PTTL", "llmchat:limit:identity:user", NULL), ":-", 2);
	assert_memory_not_equal(redis_say("PTTL", "llmchat:limit:address:10.0.0.1", NULL), ":-", 2);
	ratelimit_free(l);
}

static void a_script_that_is_forgotten_is_sent_again(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;

	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	(void)count(w, l, "10.0.0.1", "user");
	turn_few(w->loop);
	redis_say("SCRIPT", "FLUSH", NULL);
	assert_int_equal(count(w, l, "10.0.0.1", "user").remaining, 3);
	assert_int_equal(count(w, l, "10.0.0.1", "user").remaining, 2);
	assert_false(ratelimit_degraded(l));
	ratelimit_free(l);
}

static void a_key_of_another_kind_is_no_way_around(void **state)
{
	struct world *w = *state;
	struct ratelimit *l;
	size_t n_passed = 0;

	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	redis_say("LPUSH", "llmchat:limit:identity:user", "x", NULL);
	for (int i = 0; i < 10; i++)
		n_passed += !count(w, l, "10.0.0.1", "user").refused;
	assert_int_equal(n_passed, 3); /* of five the share of the first of two responders */
	assert_true(ratelimit_degraded(l));
	ratelimit_free(l);
}

static void without_redis_the_shares_make_the_limit(void **state)
{
	struct world *w = *state;
	size_t n_passed = 0;

	w->conf.redis_host = "";
	w->conf.rate_limit_points = 7;
	world_connect(w);
	for (int slot = 1; slot <= 2; slot++) {
		struct ratelimit *l = ratelimit_new(w->redis, &w->conf, slot);

		for (int i = 0; i < 20; i++)
			n_passed += !count(w, l, "10.0.0.1", "user").refused;
		assert_true(ratelimit_degraded(l));
		ratelimit_free(l);
	}
	assert_int_equal(n_passed, 7);
}

static void those_who_wait_when_redis_stops_are_counted_alone(void **state)
{
	struct world *w = *state;
	struct counted counted[6];
	struct ratelimit *l;
	size_t n_passed = 0;
	uint64_t began_ms;

	world_ready(w);
	l = ratelimit_new(w->redis, &w->conf, 1);
	(void)count(w, l, "10.0.0.1", "user");
	kill(redis_server.pid, SIGSTOP);
	began_ms = real_ms();
	for (size_t i = 0; i < 6; i++)
		count_start(l, &counted[i], "10.0.0.1", "user");
	op_cancel(&counted[5].check.op);
	for (size_t i = 0; i < 5; i++) {
		TURN_UNTIL(w->loop, counted[i].done);
		n_passed += !counted[i].check.verdict.refused;
	}
	assert_true(real_ms() - began_ms < 400);
	assert_int_equal(n_passed, 3);
	kill(redis_server.pid, SIGCONT);
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	(void)count(w, l, "10.0.0.9", "back");
	assert_false(ratelimit_degraded(l));
	assert_false(counted[5].done);
	ratelimit_free(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exactly_the_limit_passes_over_two_responders),
		TEST(says_what_is_left_and_for_how_long),
		TEST(the_address_is_counted_with_the_identity_and_alone),
		TEST(of_ipv6_the_network_counts),
		TEST(windows_end_and_blocks_last_longer),
		TEST(every_key_expires),
		TEST(a_script_that_is_forgotten_is_sent_again),
		TEST(a_key_of_another_kind_is_no_way_around),
		TEST(without_redis_the_shares_make_the_limit),
		TEST(those_who_wait_when_redis_stops_are_counted_alone),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
