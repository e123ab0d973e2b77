/* Who has a key, against a real redis-server. */
#include "cache/inflight.h"

#include "tests/unit/cache/world.h"

#define A "00000000-0000-7000-8000-00000000000a"
#define B "00000000-0000-7000-8000-00000000000b"
#define C "00000000-0000-7000-8000-00000000000c"

struct claim {
	struct redis_command command;
	bool done;
	char holder[64];
};

static void on_done(struct op *op)
{
	struct claim *c = CONTAINER_OF(op, struct claim, command.op);

	c->done = true;
	snprintf(c->holder, sizeof(c->holder), "%.*s", STR_ARG(inflight_holder(&c->command)));
}

static const char *claim(struct world *w, const char *mine, const char *stale, int64_t ttl_ms)
{
	static struct claim c;

	c = (struct claim){.command.op.done = on_done};
	inflight_claim(w->redis, &c.command, STR("id"), str_from(mine), str_from(stale), ttl_ms);
	TURN_UNTIL(w->loop, c.done);
	return c.holder;
}

static void release(struct world *w, const char *mine)
{
	struct claim c = {.command.op.done = on_done};

	inflight_release(w->redis, &c.command, STR("id"), str_from(mine));
	TURN_UNTIL(w->loop, c.done);
	assert_string_equal(c.holder, "");
}

static void the_first_has_it_until_it_gives_it_back(void **state)
{
	struct world *w = *state;

	world_ready(w);
	assert_string_equal(claim(w, A, "", 60000), A);
	assert_string_equal(claim(w, B, "", 60000), A);
	assert_string_equal(claim(w, A, "", 60000), A);
	release(w, B);
	assert_string_equal(claim(w, B, "", 60000), A);
	release(w, A);
	assert_string_equal(claim(w, B, "", 60000), B);
}

static void what_is_stale_is_replaced_by_one(void **state)
{
	struct world *w = *state;

	world_ready(w);
	claim(w, A, "", 60000);
	assert_string_equal(claim(w, B, A, 60000), B);
	assert_string_equal(claim(w, C, A, 60000), B);
	release(w, A);
	assert_string_equal(claim(w, C, "", 60000), B);
}

static void it_expires(void **state)
{
	struct world *w = *state;

	world_ready(w);
	claim(w, A, "", 60000);
	assert_in_range(atoi(redis_say("PTTL", "llmchat:inflight:id", NULL) + 1), 55000, 60000);
	claim(w, A, "", 30);
	turn_for_ms(w->loop, 60);
	assert_string_equal(claim(w, B, "", 60000), B);
}

static void without_redis_nobody_can_tell(void **state)
{
	struct world *w = *state;

	world_ready(w);
	redis_server_stop();
	assert_string_equal(claim(w, A, "", 60000), "");
	redis_server_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_has_it_until_it_gives_it_back, make_world, end_world),
		cmocka_unit_test_setup_teardown(what_is_stale_is_replaced_by_one, make_world, end_world),
		cmocka_unit_test_setup_teardown(it_expires, make_world, end_world),
		cmocka_unit_test_setup_teardown(without_redis_nobody_can_tell, make_world, end_world),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
