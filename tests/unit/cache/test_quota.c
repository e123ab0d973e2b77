/* Limits a minute against a real redis-server: all or nothing, exactness over two responders, settling in this minute and in another, and
 * doing without. */
#include "cache/quota.h"

#include <signal.h>

#include "tests/unit/cache/world.h"

#define REQUESTS "llmchat:quota:requests:agent:a"
#define TOKENS   "llmchat:quota:tokens:agent:a"

struct taken {
	struct quota_set set;
	bool done;
};

static void on_done(struct op *op)
{
	struct taken *t = CONTAINER_OF(op, struct taken, set.op);

	assert_int_equal(op->err, 0);
	assert_false(t->done);
	t->done = true;
}

/* Limits of 0: there is none. */
static void take_start(struct quotas *quotas, struct taken *t, int64_t max_requests, int64_t max_tokens, int64_t tokens)
{
	*t = (struct taken){.set.op.done = on_done};
	if (max_requests)
		quota_add(&t->set, QUOTA_AGENT, STR("a"), QUOTA_REQUESTS, max_requests, 1);
	if (max_tokens)
		quota_add(&t->set, QUOTA_AGENT, STR("a"), QUOTA_TOKENS, max_tokens, tokens);
	t->done = quota_take(quotas, &t->set);
}

static int take(struct world *w, struct quotas *quotas, struct taken *t, int64_t max_requests, int64_t max_tokens, int64_t tokens)
{
	take_start(quotas, t, max_requests, max_tokens, tokens);
	TURN_UNTIL(w->loop, t->done);
	return t->set.refused_by;
}

static int64_t counted(const char *key)
{
	const char *reply = redis_say("HGET", key, "n", NULL);

	return reply[0] == '$' && reply[1] != '-' ? strtoll(strchr(reply, '\n') + 1, NULL, 10) : -1;
}

static int64_t left_ms(const char *key)
{
	return strtoll(redis_say("PTTL", key, NULL) + 1, NULL, 10);
}

static void settle(struct world *w, struct taken *t, int64_t tokens)
{
	quota_settle(&t->set, 1, tokens);
	quota_settle(&t->set, 0, 0); /* once is all */
	turn_for_ms(w->loop, 20);
}

static struct quotas *quotas_ready(struct world *w)
{
	world_ready(w);
	return quotas_new(w->redis, &w->conf, 1);
}

static void exactly_the_limit_passes_over_two_responders(void **state)
{
	struct world *w = *state;
	static struct taken all[250];
	struct redis *second;
	struct quotas *quotas[2];
	size_t n_passed = 0;

	quotas[0] = quotas_ready(w);
	second = redis_new(w->loop, w->resolver, &w->conf, 2);
	TURN_UNTIL(w->loop, redis_ready(second));
	quotas[1] = quotas_new(second, &w->conf, 2);
	for (size_t i = 0; i < N_ELEMENTS(all); i++)
		take_start(quotas[i % 2], &all[i], 1000, 1049, 21);
	for (size_t i = 0; i < N_ELEMENTS(all); i++) {
		TURN_UNTIL(w->loop, all[i].done);
		n_passed += all[i].set.refused_by < 0;
		assert_true(all[i].set.refused_by < 0 || all[i].set.refused_by == 1);
	}
	assert_int_equal(n_passed, 49); /* 50 would be one token too many */
	assert_int_equal(counted(TOKENS), 49 * 21);
	assert_int_equal(counted(REQUESTS), 49); /* who is refused takes nothing of anything */
	quotas_free(quotas[0]);
	quotas_free(quotas[1]);
	redis_free(second);
}

static void says_what_is_left_and_for_how_long(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	assert_int_equal(take(w, quotas, &t, 5, 100, 30), -1);
	assert_int_equal(t.set.all[0].remaining, 4);
	assert_int_equal(t.set.all[1].remaining, 70);
	assert_in_range(t.set.all[0].reset_ms, 59000, 60000);
	assert_int_equal(take(w, quotas, &t, 5, 100, 71), 1);
	assert_false(t.set.taken);
	assert_int_equal(t.set.all[0].remaining, 4);
	assert_int_equal(t.set.all[1].remaining, 70);
	assert_int_equal(take(w, quotas, &t, 1, 100, 1), 0); /* the limit has been lowered */
	assert_int_equal(t.set.all[0].remaining, 0);
	quotas_free(quotas);
}

static void nothing_limited_is_nothing_asked(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	take_start(quotas, &t, 0, 0, 0);
	assert_true(t.done && t.set.refused_by == -1 && !t.set.taken);
	quota_settle(&t.set, 1, 5);
	quotas_free(quotas);
}

static void more_than_the_limit_takes_a_whole_minute(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	assert_int_equal(take(w, quotas, &t, 0, 100, 5000), -1);
	assert_int_equal(t.set.all[0].reserved, 100);
	assert_int_equal(take(w, quotas, &t, 0, 100, 1), 0);
	quotas_free(quotas);
}

static void what_was_reserved_too_much_is_given_back_once(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t, other;

	(void)take(w, quotas, &t, 10, 100, 60);
	assert_int_equal(take(w, quotas, &other, 10, 100, 60), 1);
	settle(w, &t, 7);
	assert_int_equal(counted(TOKENS), 7);
	assert_int_equal(counted(REQUESTS), 1);
	assert_int_equal(take(w, quotas, &other, 10, 100, 60), -1);
	quota_settle(&other.set, 0, 0); /* it never began */
	turn_for_ms(w->loop, 20);
	assert_int_equal(counted(TOKENS), 7);
	assert_int_equal(counted(REQUESTS), 1);
	quotas_free(quotas);
}

static void what_was_taken_beyond_counts(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	(void)take(w, quotas, &t, 0, 100, 10);
	settle(w, &t, 130);
	assert_int_equal(counted(TOKENS), 130);
	assert_int_equal(take(w, quotas, &t, 0, 100, 1), 0);
	assert_int_equal(t.set.all[0].remaining, 0);
	quotas_free(quotas);
}

static void another_minute_is_given_nothing_back_but_charged_the_rest(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken small, large, now, last;

	(void)take(w, quotas, &small, 0, 1000, 50);
	(void)take(w, quotas, &large, 0, 1000, 50);
	(void)take(w, quotas, &last, 0, 1000, 50);
	redis_say("PEXPIRE", TOKENS, "1", NULL);
	turn_for_ms(w->loop, 5);
	(void)take(w, quotas, &now, 0, 1000, 100);
	settle(w, &small, 3);
	assert_int_equal(counted(TOKENS), 100);
	settle(w, &large, 70);
	assert_int_equal(counted(TOKENS), 120);
	/* Nobody has begun the minute yet: what is charged begins it, and it ends. */
	redis_say("DEL", TOKENS, NULL);
	settle(w, &last, 80);
	assert_int_equal(counted(TOKENS), 30);
	assert_in_range(left_ms(TOKENS), 1, 60000);
	settle(w, &now, 1);
	assert_int_equal(counted(TOKENS), 30);
	quotas_free(quotas);
}

static void what_nobody_settles_lapses(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	(void)take(w, quotas, &t, 1, 100, 100);
	assert_in_range(left_ms(TOKENS), 1, 60000);
	assert_in_range(left_ms(REQUESTS), 1, 60000);
	assert_int_equal(take(w, quotas, &t, 1, 100, 1), 0);
	redis_say("PEXPIRE", TOKENS, "1", NULL);
	redis_say("PEXPIRE", REQUESTS, "1", NULL);
	turn_for_ms(w->loop, 5);
	assert_int_equal(take(w, quotas, &t, 1, 100, 1), -1);
	quotas_free(quotas);
}

static void a_key_that_would_not_expire_begins_anew(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	redis_say("HSET", TOKENS, "n", "100", NULL); /* somebody's mistake */
	assert_int_equal(take(w, quotas, &t, 0, 100, 60), -1);
	assert_int_equal(counted(TOKENS), 60);
	assert_in_range(left_ms(TOKENS), 1, 60000);
	redis_say("HSET", REQUESTS, "n", "nonsense", NULL);
	redis_say("PEXPIRE", REQUESTS, "60000", NULL);
	assert_int_equal(take(w, quotas, &t, 100, 0, 0), -1); /* Redis cannot add to that: counted alone */
	assert_true(t.set.alone);
	quotas_free(quotas);
}

static void a_key_of_another_kind_is_no_way_around(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;
	size_t n_passed = 0;

	redis_say("SET", REQUESTS, "x", "PX", "60000", NULL);
	for (int i = 0; i < 10; i++)
		n_passed += take(w, quotas, &t, 7, 0, 0) < 0;
	assert_int_equal(n_passed, 4); /* of seven the share of the first of two responders */
	quotas_free(quotas);
}

static void forgotten_scripts_do_not_matter(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	(void)take(w, quotas, &t, 0, 100, 50);
	redis_say("SCRIPT", "FLUSH", NULL);
	settle(w, &t, 10);
	assert_int_equal(counted(TOKENS), 10);
	redis_say("SCRIPT", "FLUSH", NULL);
	assert_int_equal(take(w, quotas, &t, 0, 100, 50), -1);
	assert_int_equal(counted(TOKENS), 60);
	quotas_free(quotas);
}

static void without_redis_the_shares_make_the_limit(void **state)
{
	struct world *w = *state;
	struct taken t, first = {.done = false};
	size_t n_passed = 0;

	w->conf.redis_host = "";
	world_connect(w);
	for (int slot = 1; slot <= 2; slot++) {
		struct quotas *quotas = quotas_new(w->redis, &w->conf, slot);

		for (int i = 0; i < 20; i++)
			n_passed += take(w, quotas, i ? &t : &first, 7, 1000, 100) < 0;
		/* Of 1000 tokens each has 500: five turns would fit, of seven requests there are three or four. */
		assert_int_equal(first.set.all[0].limit, slot == 1 ? 4 : 3);
		assert_int_equal(t.set.refused_by, 0);
		quota_settle(&first.set, 0, 0);
		assert_int_equal(take(w, quotas, &t, 7, 1000, 200), -1);
		assert_int_equal(take(w, quotas, &t, 0, 1000, 1), slot == 1 ? 0 : -1);
		quotas_free(quotas);
	}
	assert_int_equal(n_passed, 7);
}

static void nobody_waits_for_a_redis_that_stops(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken held, all[4];
	uint64_t began_ms;

	(void)take(w, quotas, &held, 0, 1000, 300);
	kill(redis_server.pid, SIGSTOP);
	began_ms = real_ms();
	for (size_t i = 0; i < N_ELEMENTS(all); i++)
		take_start(quotas, &all[i], 0, 1000, 300);
	op_cancel(&all[3].set.op);
	quota_settle(&held.set, 1, 5); /* on its way when the connection is dropped */
	for (size_t i = 0; i < 3; i++)
		TURN_UNTIL(w->loop, all[i].done);
	assert_true(real_ms() - began_ms < 400);
	assert_int_equal(all[0].set.refused_by, -1); /* its share is 500 */
	assert_int_equal(all[1].set.refused_by, 0);
	assert_true(all[0].set.alone);
	quota_settle(&all[0].set, 1, 100);
	assert_int_equal(take(w, quotas, &all[1], 0, 1000, 300), -1);
	kill(redis_server.pid, SIGCONT);
	TURN_UNTIL(w->loop, redis_ready(w->redis));
	assert_true(take(w, quotas, &all[2], 0, 1000, 1) < 0 && !all[2].set.alone);
	assert_false(all[3].done);
	quotas_free(quotas);
}

static void settlements_on_their_way_go_with_the_quotas(void **state)
{
	struct world *w = *state;
	struct quotas *quotas = quotas_ready(w);
	struct taken t;

	(void)take(w, quotas, &t, 0, 1000, 300);
	quota_settle(&t.set, 1, 5);
	quotas_free(quotas);
	turn_for_ms(w->loop, 20);
	assert_int_equal(counted(TOKENS), 5); /* it had been sent */
}

static void the_longest_names_differ_where_they_end(void **state)
{
	struct world *w = *state;
	struct quotas *quotas;
	struct quota_set sets[2] = {{.n = 0}, {.n = 0}};
	char id[65];

	w->conf.redis_host = "";
	world_connect(w);
	quotas = quotas_new(w->redis, &w->conf, 1);
	memset(id, 'x', 64);
	id[64] = '\0';
	for (int i = 0; i < 2; i++) {
		id[63] = (char)('a' + i);
		quota_add(&sets[i], QUOTA_AGENT, str_from(id), QUOTA_REQUESTS, 2, 1);
		assert_true(quota_take(quotas, &sets[i]));
		assert_int_equal(sets[i].refused_by, -1);
	}
	quotas_free(quotas);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exactly_the_limit_passes_over_two_responders),
		TEST(says_what_is_left_and_for_how_long),
		TEST(nothing_limited_is_nothing_asked),
		TEST(more_than_the_limit_takes_a_whole_minute),
		TEST(what_was_reserved_too_much_is_given_back_once),
		TEST(what_was_taken_beyond_counts),
		TEST(another_minute_is_given_nothing_back_but_charged_the_rest),
		TEST(what_nobody_settles_lapses),
		TEST(a_key_that_would_not_expire_begins_anew),
		TEST(a_key_of_another_kind_is_no_way_around),
		TEST(forgotten_scripts_do_not_matter),
		TEST(without_redis_the_shares_make_the_limit),
		TEST(nobody_waits_for_a_redis_that_stops),
		TEST(settlements_on_their_way_go_with_the_quotas),
		TEST(the_longest_names_differ_where_they_end),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
