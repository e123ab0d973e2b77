/* Locks against a real redis-server. */
#include "cache/lock.h"

#include "tests/unit/cache/world.h"

#define KEY "llmchat:lock:x"

struct taking {
	struct lock lock;
	bool done;
};

static void on_done(struct op *op)
{
	struct taking *t = CONTAINER_OF(op, struct taking, lock.op);

	assert_int_equal(op->err, 0);
	assert_false(t->done);
	t->done = true;
}

static bool take(struct world *w, struct locks *locks, struct taking *t, int64_t hold_ms)
{
	*t = (struct taking){.lock.op.done = on_done};
	lock_take_start(locks, &t->lock, STR(KEY), hold_ms);
	assert_false(t->done);
	TURN_UNTIL(w->loop, t->done);
	return t->lock.held;
}

static bool says(const char *reply, const char *expected)
{
	return strncmp(reply, expected, strlen(expected)) == 0;
}

static void one_holds_it_until_he_gives_it_back(void **state)
{
	struct world *w = *state;
	struct taking a, b;
	struct locks *locks;

	world_ready(w);
	locks = locks_new(w->redis);
	assert_true(take(w, locks, &a, 60000));
	assert_false(take(w, locks, &b, 60000));
	lock_release(&b.lock); /* he has none to give back */
	lock_release(&a.lock);
	assert_true(take(w, locks, &b, 60000));
	lock_release(&a.lock); /* nor this one any more */
	lock_write(&a.lock, STR("value"), STR("a"), 60000);
	turn_for_ms(w->loop, 50);
	assert_true(says(redis_say("EXISTS", KEY, NULL), ":1"));
	assert_true(says(redis_say("EXISTS", "value", NULL), ":0"));
	locks_free(locks);
}

static void who_holds_it_no_more_changes_nothing(void **state)
{
	struct world *w = *state;
	struct taking a, b;
	struct locks *locks;

	world_ready(w);
	locks = locks_new(w->redis);
	assert_true(take(w, locks, &a, 30));
	turn_for_ms(w->loop, 60);
	assert_true(take(w, locks, &b, 60000)); /* it expires */
	lock_release(&a.lock);
	turn_for_ms(w->loop, 50);
	assert_true(says(redis_say("EXISTS", KEY, NULL), ":1"));
	redis_say("SET", KEY, "another's", NULL);
	lock_write(&b.lock, STR("value"), STR("b"), 60000);
	turn_for_ms(w->loop, 50);
	assert_true(says(redis_say("EXISTS", "value", NULL), ":0"));
	assert_true(says(redis_say("GET", KEY, NULL), "$9\r\nanother's"));
	redis_say("DEL", KEY, NULL);
	redis_say("LPUSH", KEY, "of another kind", NULL);
	assert_false(take(w, locks, &a, 1000));
	locks_free(locks);
}

static void writes_and_gives_back_in_one_instant_though_scripts_are_forgotten(void **state)
{
	struct world *w = *state;
	struct taking a;
	struct locks *locks;
	char text[32];

	world_ready(w);
	locks = locks_new(w->redis);
	for (int i = 0; i < 4; i++) {
		assert_true(take(w, locks, &a, 60000));
		snprintf(text, sizeof(text), "text-%d", i);
		lock_write(&a.lock, STR("value"), str_from(text), 60000);
		if (i % 2 == 0)
			redis_say("SCRIPT", "FLUSH", NULL); /* after the call was queued, before it is sent */
		TURN_UNTIL(w->loop, says(redis_say("EXISTS", KEY, NULL), ":0"));
		assert_memory_equal(redis_say("GET", "value", NULL) + 4, text, strlen(text));
		assert_memory_not_equal(redis_say("PTTL", "value", NULL), ":-", 2);
		turn_for_ms(w->loop, 10); /* the script's name is learnt */
	}
	locks_free(locks);
}

static void who_does_not_wait_for_it_any_more_leaves_it_to_others(void **state)
{
	struct world *w = *state;
	struct taking a = {.lock.op.done = on_done}, b;
	struct locks *locks;

	world_ready(w);
	locks = locks_new(w->redis);
	lock_take_start(locks, &a.lock, STR(KEY), 60000);
	op_cancel(&a.lock.op);
	assert_true(take(w, locks, &b, 60000));
	assert_false(a.done);
	locks_free(locks);
}

static void without_redis_nobody_gets_one(void **state)
{
	struct world *w = *state;
	struct taking a;
	struct locks *locks;

	world_ready(w);
	locks = locks_new(w->redis);
	assert_true(take(w, locks, &a, 60000));
	redis_server_stop();
	TURN_UNTIL(w->loop, !redis_ready(w->redis));
	lock_write(&a.lock, STR("value"), STR("x"), 1000);
	assert_false(take(w, locks, &a, 60000));
	redis_server_start();
	locks_free(locks);
	locks_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_holds_it_until_he_gives_it_back),
		TEST(who_holds_it_no_more_changes_nothing),
		TEST(writes_and_gives_back_in_one_instant_though_scripts_are_forgotten),
		TEST(who_does_not_wait_for_it_any_more_leaves_it_to_others),
		TEST(without_redis_nobody_gets_one),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
