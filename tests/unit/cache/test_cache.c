/* The cache of two responders against a real redis-server: what is found, who makes it, and that nothing old comes back. */
#include "cache/cache.h"

#include "tests/unit/cache/world.h"

/* A responder's cache, and an ask of somebody. */
struct side {
	struct redis *redis;
	struct cache *cache;
	unsigned n_lost;
};

struct asker {
	struct cache_ask ask;
	bool done;
	int err;
};

struct pair {
	struct side a, b;
};

static void on_lost(void *arg)
{
	((struct side *)arg)->n_lost++;
}

static void on_done(struct op *op)
{
	struct asker *one = CONTAINER_OF(op, struct asker, ask.op);

	assert_false(one->done);
	one->done = true;
	one->err = op->err;
}

static void ask_start_for(struct side *side, struct asker *one, enum cache_kind kind, const char *id)
{
	*one = (struct asker){.ask.op.done = on_done};
	one->done = cache_ask_start(side->cache, &one->ask, kind, str_from(id));
}

static enum cache_found ask_for(struct world *w, struct side *side, struct asker *one, enum cache_kind kind, const char *id)
{
	ask_start_for(side, one, kind, id);
	TURN_UNTIL(w->loop, one->done);
	assert_int_equal(one->err, 0);
	return one->ask.found;
}

static bool has_text(const struct asker *one, const char *text)
{
	return one->ask.found == CACHE_FOUND && str_eq_cstr((struct str){one->ask.text->p, one->ask.text->len}, text);
}

/* What there is; empty: nothing, so that it would have to be made. */
static const char *look(struct world *w, struct side *side, enum cache_kind kind, const char *id)
{
	static char text[64];
	struct asker one;

	text[0] = '\0';
	if (ask_for(w, side, &one, kind, id) == CACHE_FOUND)
		snprintf(text, sizeof(text), "%.*s", (int)one.ask.text->len, one.ask.text->p);
	cache_ask_end(&one.ask);
	turn_for_ms(w->loop, 20); /* its lock goes back */
	return text;
}

static void make(struct world *w, struct side *side, enum cache_kind kind, const char *id, const char *text)
{
	struct asker one;

	assert_int_equal(ask_for(w, side, &one, kind, id), CACHE_LOAD);
	cache_give(&one.ask, str_from(text), true);
	cache_ask_end(&one.ask);
	turn_for_ms(w->loop, 20); /* it is left in Redis after that */
}

static void begin(struct world *w, struct pair *p)
{
	w->conf.token_secret = "a secret of thirty-two bytes ...";
	world_ready(w);
	p->a = (struct side){.redis = w->redis};
	p->b = (struct side){.redis = redis_new(w->loop, w->resolver, &w->conf, 2)};
	TURN_UNTIL(w->loop, redis_ready(p->b.redis));
	p->a.cache = cache_new(w->loop, p->a.redis, &w->conf, on_lost, &p->a);
	p->b.cache = cache_new(w->loop, p->b.redis, &w->conf, on_lost, &p->b);
	cache_heard(p->a.cache, 10);
	cache_heard(p->b.cache, 10);
}

static void end(struct pair *p)
{
	cache_free(p->a.cache);
	cache_free(p->b.cache);
	redis_free(p->b.redis);
}

static void what_one_made_the_other_finds(void **state)
{
	struct world *w = *state;
	struct pair p;

	begin(w, &p);
	for (enum cache_kind kind = 0; kind < N_CACHE_KINDS; kind++) {
		make(w, &p.a, kind, "1", "text");
		assert_string_equal(look(w, &p.b, kind, "1"), "text");
		assert_string_equal(look(w, &p.a, kind, "1"), "text");
		assert_string_equal(look(w, &p.b, kind, "2"), "");
		assert_int_equal(cache_counts(p.a.cache, kind).hits, 1);
		assert_int_equal(cache_counts(p.a.cache, kind).misses, 1);
		assert_int_equal(cache_counts(p.b.cache, kind).hits, 1);
		assert_int_equal(cache_counts(p.b.cache, kind).misses, 1);
	}
	assert_memory_equal(redis_say("EXISTS", "llmchat:agents:list:1", "llmchat:session:1", "llmchat:user:1", NULL), ":3", 2);
	assert_int_equal(p.a.n_lost + p.b.n_lost, 0);
	end(&p);
}

static void ten_who_ask_for_the_same_have_one_make_it(void **state)
{
	struct world *w = *state;
	struct asker askers[10];
	struct pair p;

	begin(w, &p);
	for (size_t i = 0; i < 10; i++)
		ask_start_for(&p.a, &askers[i], CACHE_USER, "1");
	TURN_UNTIL(w->loop, askers[0].done);
	turn_for_ms(w->loop, 20);
	for (size_t i = 1; i < 10; i++)
		assert_false(askers[i].done);
	assert_int_equal(askers[0].ask.found, CACHE_LOAD);
	cache_ask_end(&askers[9].ask);
	cache_give(&askers[0].ask, STR("text"), true);
	assert_false(askers[1].done); /* not from inside */
	for (size_t i = 1; i < 9; i++) {
		TURN_UNTIL(w->loop, askers[i].done);
		assert_true(has_text(&askers[i], "text"));
	}
	for (size_t i = 0; i < 10; i++)
		cache_ask_end(&askers[i].ask);
	assert_false(askers[9].done);
	assert_int_equal(cache_counts(p.a.cache, CACHE_USER).misses, 1);
	assert_int_equal(cache_counts(p.a.cache, CACHE_USER).hits, 8);
	end(&p);
}

static void what_the_one_could_not_make_the_others_are_told(void **state)
{
	struct world *w = *state;
	struct asker askers[3];
	struct pair p;

	begin(w, &p);
	for (size_t i = 0; i < 3; i++)
		ask_start_for(&p.a, &askers[i], CACHE_USER, "1");
	TURN_UNTIL(w->loop, askers[0].done);
	cache_fail(&askers[0].ask, -ERR_DB_UNAVAILABLE);
	TURN_UNTIL(w->loop, askers[1].done && askers[2].done);
	assert_int_equal(askers[1].err, -ERR_DB_UNAVAILABLE);
	assert_int_equal(askers[2].err, -ERR_DB_UNAVAILABLE);
	for (size_t i = 0; i < 3; i++)
		cache_ask_end(&askers[i].ask);
	turn_for_ms(w->loop, 20);
	assert_memory_equal(redis_say("DBSIZE", NULL), ":0", 2); /* nor is a lock left */
	end(&p);
}

static void who_leaves_has_the_next_one_make_it(void **state)
{
	struct world *w = *state;
	struct asker askers[3];
	struct pair p;

	begin(w, &p);
	for (size_t i = 0; i < 3; i++)
		ask_start_for(&p.a, &askers[i], CACHE_USER, "1");
	cache_ask_end(&askers[0].ask); /* while Redis is asked */
	TURN_UNTIL(w->loop, askers[1].done);
	assert_false(askers[0].done);
	assert_int_equal(askers[1].ask.found, CACHE_LOAD);
	cache_ask_end(&askers[1].ask); /* when it was his turn */
	TURN_UNTIL(w->loop, askers[2].done);
	assert_int_equal(askers[2].ask.found, CACHE_LOAD);
	cache_give(&askers[2].ask, STR("text"), true);
	cache_ask_end(&askers[2].ask);
	end(&p);
}

static void nobody_waits_for_ever_for_another(void **state)
{
	struct world *w = *state;
	struct asker slow, late, patient;
	struct pair p;

	begin(w, &p);
	assert_int_equal(ask_for(w, &p.a, &slow, CACHE_USER, "1"), CACHE_LOAD);
	ask_start_for(&p.a, &patient, CACHE_USER, "1");
	turn_for_ms(w->loop, 600);
	assert_false(patient.done);
	assert_int_equal(ask_for(w, &p.a, &late, CACHE_USER, "1"), CACHE_LOAD); /* that one is too old to be joined */
	TURN_UNTIL(w->loop, patient.done);
	assert_int_equal(patient.ask.found, CACHE_LOAD);
	assert_int_equal(patient.err, 0);
	cache_give(&patient.ask, STR("patient's own"), true); /* which concerns nobody else */
	cache_give(&slow.ask, STR("text"), true);
	cache_ask_end(&slow.ask);
	cache_ask_end(&late.ask);
	cache_ask_end(&patient.ask);
	end(&p);
}

/* ---- nothing old ---- */

struct dropping {
	struct cache_drop drop;
	bool done;
};

static void on_dropped(struct op *op)
{
	CONTAINER_OF(op, struct dropping, drop.op)->done = true;
}

static void drop(struct world *w, struct side *side, enum cache_kind kind, const char *id)
{
	struct dropping d = {.drop.op.done = on_dropped};
	struct str ids[25] = {str_from(id)};

	for (size_t i = 1; i < N_ELEMENTS(ids); i++)
		ids[i] = STR("another");
	assert_false(cache_drop_start(side->cache, &d.drop, kind, ids, N_ELEMENTS(ids)));
	TURN_UNTIL(w->loop, d.done);
}

static void what_was_read_before_a_change_is_not_kept_after_it(void **state)
{
	struct world *w = *state;
	struct asker reader, follower;
	struct pair p;

	begin(w, &p);
	assert_int_equal(ask_for(w, &p.a, &reader, CACHE_SESSION, "1"), CACHE_LOAD);
	ask_start_for(&p.a, &follower, CACHE_SESSION, "1");
	drop(w, &p.b, CACHE_SESSION, "1"); /* the other one changes it, and has told Redis */
	cache_give(&reader.ask, STR("old"), true);
	TURN_UNTIL(w->loop, follower.done);
	cache_ask_end(&reader.ask);
	cache_ask_end(&follower.ask);
	turn_for_ms(w->loop, 20);
	assert_string_equal(look(w, &p.a, CACHE_SESSION, "1"), "");
	assert_string_equal(look(w, &p.b, CACHE_SESSION, "1"), "");
	/* The same within one responder; and who asks after the change does not join him who asked before. */
	assert_int_equal(ask_for(w, &p.a, &reader, CACHE_SESSION, "1"), CACHE_LOAD);
	drop(w, &p.a, CACHE_SESSION, "1");
	assert_int_equal(ask_for(w, &p.a, &follower, CACHE_SESSION, "1"), CACHE_LOAD);
	cache_give(&follower.ask, STR("new"), true);
	cache_give(&reader.ask, STR("old"), true);
	cache_ask_end(&reader.ask);
	cache_ask_end(&follower.ask);
	turn_for_ms(w->loop, 20);
	assert_string_equal(look(w, &p.b, CACHE_SESSION, "1"), "new");
	end(&p);
}

static void a_change_that_is_heard_of_outdates_what_is_older(void **state)
{
	struct world *w = *state;
	struct asker reader;
	struct pair p;

	begin(w, &p);
	make(w, &p.a, CACHE_USER, "1", "ten");
	make(w, &p.a, CACHE_USER, "2", "ten");
	cache_heard(p.b.cache, 11);
	cache_outdate(p.b.cache, CACHE_USER, STR("1"));
	assert_string_equal(look(w, &p.b, CACHE_USER, "1"), "");
	assert_string_equal(look(w, &p.b, CACHE_USER, "2"), "ten");
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "ten"); /* which has not heard of it yet */
	make(w, &p.b, CACHE_USER, "1", "eleven");
	assert_string_equal(look(w, &p.b, CACHE_USER, "1"), "eleven");
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), ""); /* it cannot know what that is */
	cache_heard(p.a.cache, 11);
	cache_outdate(p.a.cache, CACHE_USER, STR("1"));
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "eleven");
	/* Read before the change, given after it was heard of. */
	assert_int_equal(ask_for(w, &p.a, &reader, CACHE_USER, "3"), CACHE_LOAD);
	cache_heard(p.a.cache, 12);
	cache_outdate(p.a.cache, CACHE_USER, STR("3"));
	cache_give(&reader.ask, STR("old"), true);
	cache_ask_end(&reader.ask);
	turn_for_ms(w->loop, 20);
	assert_string_equal(look(w, &p.a, CACHE_USER, "3"), "");
	/* Anything may have changed. */
	make(w, &p.a, CACHE_USER, "4", "old");
	cache_heard(p.a.cache, 13);
	cache_outdate_all(p.a.cache);
	assert_string_equal(look(w, &p.a, CACHE_USER, "4"), "");
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "");
	end(&p);
}

static void what_cannot_be_dropped_is_told_to_all(void **state)
{
	struct world *w = *state;
	struct pair p;

	begin(w, &p);
	turn_for_ms(w->loop, 1000); /* a connection that is lost later than that was none of the first ones */
	cache_heard(p.a.cache, 10);
	make(w, &p.a, CACHE_SESSION, "1", "old");
	redis_say("CLIENT", "KILL", "TYPE", "normal", NULL);
	cache_drop(p.b.cache, CACHE_SESSION, STR("1"));
	TURN_UNTIL(w->loop, p.b.n_lost > 0);
	TURN_UNTIL(w->loop, redis_ready(p.a.redis) && redis_ready(p.b.redis));
	assert_memory_equal(redis_say("EXISTS", "llmchat:session:1", NULL), ":1", 2);
	turn_for_ms(w->loop, 600); /* until this is heard it might be used: after an outage nobody does for a while */
	cache_heard(p.a.cache, 10);
	assert_string_equal(look(w, &p.a, CACHE_SESSION, "1"), "");
	turn_for_ms(w->loop, 1000);
	cache_heard(p.a.cache, 11);
	cache_outdate_all(p.a.cache);
	assert_memory_equal(redis_say("EXISTS", "llmchat:session:1", NULL), ":1", 2);
	assert_string_equal(look(w, &p.a, CACHE_SESSION, "1"), "");
	make(w, &p.a, CACHE_SESSION, "1", "new");
	assert_string_equal(look(w, &p.a, CACHE_SESSION, "1"), "new");
	end(&p);
}

static void what_may_be_changed_yet_is_doubted_until_that_is_over(void **state)
{
	struct world *w = *state;
	struct pair p;

	w->conf.db_statement_timeout_ms = 50;
	begin(w, &p);
	cache_doubt(p.a.cache);
	assert_int_equal(p.a.n_lost, 0);
	TURN_UNTIL(w->loop, p.a.n_lost == 1);
	turn_for_ms(w->loop, 150);
	assert_int_equal(p.a.n_lost, 1);
	cache_doubt(p.a.cache);
	turn_for_ms(w->loop, 60);
	cache_doubt(p.a.cache); /* of which the first end is too early */
	TURN_UNTIL(w->loop, p.a.n_lost == 3);
	turn_for_ms(w->loop, 150);
	assert_int_equal(p.a.n_lost, 3);
	end(&p);
}

static void without_news_nothing_is_fresh(void **state)
{
	struct world *w = *state;
	struct pair p;

	begin(w, &p);
	make(w, &p.a, CACHE_USER, "1", "text");
	make(w, &p.a, CACHE_AGENTS, "1", "agents");
	turn_for_ms(w->loop, CACHE_HEARD_MS + 50);
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "");
	assert_string_equal(look(w, &p.b, CACHE_AGENTS, "1"), "agents"); /* whose version is in its id */
	cache_heard(p.a.cache, 10);
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "text");
	end(&p);
}

/* ---- Redis on bad days ---- */

static void own_copies_and_single_flights_do_without_redis(void **state)
{
	struct world *w = *state;
	struct asker askers[3];
	struct pair p;

	begin(w, &p);
	redis_server_stop();
	TURN_UNTIL(w->loop, !redis_ready(p.a.redis));
	make(w, &p.a, CACHE_AGENTS, "1", "agents");
	assert_string_equal(look(w, &p.a, CACHE_AGENTS, "1"), "agents");
	for (size_t i = 0; i < 3; i++)
		ask_start_for(&p.a, &askers[i], CACHE_USER, "1");
	assert_true(askers[0].done && askers[0].ask.found == CACHE_LOAD && !askers[1].done);
	cache_give(&askers[0].ask, STR("text"), true);
	TURN_UNTIL(w->loop, askers[1].done && askers[2].done);
	assert_true(has_text(&askers[1], "text") && has_text(&askers[2], "text"));
	for (size_t i = 0; i < 3; i++)
		cache_ask_end(&askers[i].ask);
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "");
	redis_server_start();
	end(&p);
}

static void there_being_nothing_is_kept_of_users_only(void **state)
{
	struct world *w = *state;
	struct asker one;
	struct pair p;

	begin(w, &p);
	for (enum cache_kind kind = CACHE_SESSION; kind < N_CACHE_KINDS; kind++) {
		assert_int_equal(ask_for(w, &p.a, &one, kind, "1"), CACHE_LOAD);
		cache_give_nothing(&one.ask);
		cache_ask_end(&one.ask);
		turn_for_ms(w->loop, 20);
		assert_int_equal(ask_for(w, &p.b, &one, kind, "1"), kind == CACHE_USER ? CACHE_NONE : CACHE_LOAD);
		cache_ask_end(&one.ask);
	}
	end(&p);
}

static void garbage_is_replaced(void **state)
{
	struct world *w = *state;
	struct pair p;

	begin(w, &p);
	redis_say("LPUSH", "llmchat:user:1", "x", NULL);
	make(w, &p.a, CACHE_USER, "1", "text");
	assert_string_equal(look(w, &p.b, CACHE_USER, "1"), "text");
	redis_say("SETRANGE", "llmchat:user:1", "9000000", "x", NULL); /* more than a reply may have */
	make(w, &p.b, CACHE_USER, "1", "again");
	assert_string_equal(look(w, &p.a, CACHE_USER, "1"), "again");
	assert_int_equal(redis_stats(p.b.redis).n_connects, 1);
	redis_say("SET", "llmchat:user:2", "{\"role\":\"admin\"}", NULL);
	assert_string_equal(look(w, &p.a, CACHE_USER, "2"), "");
	end(&p);
}

static void what_is_too_large_for_redis_is_kept_here(void **state)
{
	const size_t n = 2 * 1024 * 1024;
	struct world *w = *state;
	char *large = malloc(n);
	struct asker one;
	struct pair p;

	begin(w, &p);
	memset(large, 'x', n);
	assert_int_equal(ask_for(w, &p.a, &one, CACHE_AGENTS, "1"), CACHE_LOAD);
	cache_give(&one.ask, (struct str){large, n}, true);
	cache_ask_end(&one.ask);
	turn_for_ms(w->loop, 20);
	assert_memory_equal(redis_say("DBSIZE", NULL), ":0", 2);
	assert_int_equal(ask_for(w, &p.a, &one, CACHE_AGENTS, "1"), CACHE_FOUND);
	assert_int_equal(one.ask.text->len, n);
	cache_ask_end(&one.ask);
	assert_int_equal(ask_for(w, &p.b, &one, CACHE_AGENTS, "1"), CACHE_LOAD);
	cache_ask_end(&one.ask);
	free(large);
	end(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_one_made_the_other_finds),
		TEST(ten_who_ask_for_the_same_have_one_make_it),
		TEST(what_the_one_could_not_make_the_others_are_told),
		TEST(who_leaves_has_the_next_one_make_it),
		TEST(nobody_waits_for_ever_for_another),
		TEST(what_was_read_before_a_change_is_not_kept_after_it),
		TEST(a_change_that_is_heard_of_outdates_what_is_older),
		TEST(what_cannot_be_dropped_is_told_to_all),
		TEST(what_may_be_changed_yet_is_doubted_until_that_is_over),
		TEST(without_news_nothing_is_fresh),
		TEST(own_copies_and_single_flights_do_without_redis),
		TEST(there_being_nothing_is_kept_of_users_only),
		TEST(garbage_is_replaced),
		TEST(what_is_too_large_for_redis_is_kept_here),
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
