/* Who leads, who follows, and what they are told; two responders on one real redis-server. */
#include "chat/dedup.h"

#include "chat/turn.h"
#include "tests/unit/cache/world.h"

enum { N = 6 };

struct asker {
	struct dedup_claim claim;
	int n_told;
};

static struct asker askers[N];
static struct turn turn;

static void on_done(struct op *op)
{
	CONTAINER_OF(op, struct asker, claim.op)->n_told++;
}

static struct dedup_id id_of(const char *flight, const char *body, bool by_key)
{
	struct dedup_id id = {.by_key = by_key, .ttl_ms = 60000};

	snprintf(id.flight, sizeof(id.flight), "%s", flight);
	snprintf(id.body, sizeof(id.body), "%s", body);
	return id;
}

/* True if it is told at once. */
static bool enter(struct dedup *d, int i, const char *body, bool by_key)
{
	struct dedup_id id = id_of(by_key ? "key" : body, body, by_key);

	askers[i] = (struct asker){.claim.op.done = on_done};
	return dedup_enter(d, &askers[i].claim, &id);
}

static bool told(int i, enum dedup_verdict verdict)
{
	return askers[i].n_told == 1 && askers[i].claim.verdict == verdict;
}

static struct dedup *alone(struct world *w)
{
	w->conf.redis_host = "";
	world_connect(w);
	return dedup_new(w->loop, w->redis);
}

static void begin(int i)
{
	turn = (struct turn){.answer_id = askers[i].claim.answer_id};
	dedup_begun(&askers[i].claim, &turn);
}

static void who_comes_later_joins_until_it_is_over(void **state)
{
	struct world *w = *state;
	struct dedup *d = alone(w);

	assert_true(enter(d, 0, "a", false) && askers[0].claim.verdict == DEDUP_BEGIN);
	assert_true(strcmp(askers[0].claim.question_id.text, askers[0].claim.answer_id.text) < 0);
	assert_false(enter(d, 1, "a", false));
	assert_true(enter(d, 2, "b", false) && askers[2].claim.verdict == DEDUP_BEGIN); /* another one */
	turn_few(w->loop);
	assert_int_equal(askers[1].n_told, 0);
	begin(0);
	assert_int_equal(askers[1].n_told, 0); /* never from inside */
	turn_few(w->loop);
	assert_true(told(1, DEDUP_JOIN) && askers[1].claim.turn == &turn);
	assert_true(enter(d, 3, "a", false) && askers[3].claim.verdict == DEDUP_JOIN);
	dedup_over(&turn);
	assert_null(turn.flight);
	assert_true(enter(d, 4, "a", false) && askers[4].claim.verdict == DEDUP_BEGIN);
	assert_string_not_equal(askers[4].claim.answer_id.text, turn.answer_id.text);
	dedup_leave(&askers[2].claim);
	dedup_leave(&askers[4].claim);
	dedup_leave(&askers[4].claim);
	turn_few(w->loop);
	dedup_free(d);
}

static void a_leader_that_leaves_is_followed_by_the_next(void **state)
{
	struct world *w = *state;
	struct dedup *d = alone(w);

	assert_true(enter(d, 0, "a", false));
	for (int i = 1; i < 5; i++)
		assert_false(enter(d, i, "a", false));
	dedup_leave(&askers[2].claim);
	dedup_leave(&askers[0].claim);
	dedup_leave(&askers[1].claim); /* before it has heard of it */
	turn_few(w->loop);
	assert_true(told(3, DEDUP_BEGIN) && askers[4].n_told == 0);
	begin(3);
	turn_few(w->loop);
	assert_true(told(4, DEDUP_JOIN));
	assert_int_equal(askers[1].n_told + askers[2].n_told, 0);
	dedup_over(&turn);
	turn_few(w->loop);
	dedup_free(d);
}

static void a_turn_that_is_over_before_the_others_hear_of_it_is_read_where_it_is_stored(void **state)
{
	struct world *w = *state;
	struct dedup *d = alone(w);

	assert_true(enter(d, 0, "a", false));
	assert_false(enter(d, 1, "a", false));
	begin(0);
	dedup_over(&turn);
	turn_few(w->loop);
	assert_true(told(1, DEDUP_STORED));
	assert_string_equal(askers[1].claim.answer_id.text, turn.answer_id.text);
	assert_true(enter(d, 0, "a", false));
	assert_false(enter(d, 1, "a", false));
	dedup_stored(&askers[0].claim, STR("00000000-0000-7000-8000-00000000000a"));
	turn_few(w->loop);
	assert_true(told(1, DEDUP_STORED));
	assert_string_equal(askers[1].claim.answer_id.text, "00000000-0000-7000-8000-00000000000a");
	dedup_free(d);
}

static void a_key_is_for_one_body(void **state)
{
	struct world *w = *state;
	struct dedup *d;

	world_ready(w);
	d = dedup_new(w->loop, w->redis);
	assert_true(enter(d, 0, "a", true) && askers[0].claim.verdict == DEDUP_BEGIN); /* Redis is not asked */
	assert_true(enter(d, 1, "b", true) && askers[1].claim.verdict == DEDUP_DIFFERS);
	dedup_leave(&askers[1].claim);
	assert_false(enter(d, 2, "a", true));
	begin(0);
	turn_few(w->loop);
	assert_true(told(2, DEDUP_JOIN));
	assert_true(enter(d, 1, "b", true) && askers[1].claim.verdict == DEDUP_DIFFERS);
	dedup_over(&turn);
	turn_few(w->loop);
	dedup_free(d);
	assert_string_equal(redis_say("DBSIZE", NULL), ":0\r\n");
}

static struct dedup *two(struct world *w, struct dedup **second)
{
	world_ready(w);
	*second = dedup_new(w->loop, w->redis);
	return dedup_new(w->loop, w->redis);
}

static void end_two(struct world *w, struct dedup *first, struct dedup *second)
{
	TURN_UNTIL(w->loop, strcmp(redis_say("DBSIZE", NULL), ":0\r\n") == 0);
	turn_few(w->loop);
	dedup_free(first);
	dedup_free(second);
}

static void another_responder_is_told_whose_answer_to_wait_for(void **state)
{
	struct world *w = *state;
	struct dedup *first, *second;

	first = two(w, &second);
	assert_false(enter(first, 0, "a", false));
	assert_false(enter(first, 1, "a", false));
	TURN_UNTIL(w->loop, askers[0].n_told);
	assert_true(told(0, DEDUP_BEGIN) && askers[1].n_told == 0);
	begin(0);
	assert_false(enter(second, 2, "a", false));
	assert_false(enter(second, 3, "a", false));
	TURN_UNTIL(w->loop, askers[2].n_told);
	assert_true(told(2, DEDUP_ELSEWHERE) && askers[3].n_told == 0);
	assert_string_equal(askers[2].claim.answer_id.text, turn.answer_id.text);
	/* It leaves: the next one looks for the same answer. */
	dedup_leave(&askers[2].claim);
	turn_few(w->loop);
	assert_true(told(3, DEDUP_ELSEWHERE));
	assert_string_equal(askers[3].claim.answer_id.text, turn.answer_id.text);
	dedup_over(&turn);
	dedup_stored(&askers[3].claim, uuid_str(&turn.answer_id));
	end_two(w, first, second);
}

static void what_nobody_works_on_any_more_is_begun_by_one_of_those_who_waited(void **state)
{
	struct world *w = *state;
	struct dedup *first, *second;

	redis_say("SET", "llmchat:inflight:a", "00000000-0000-7000-8000-00000000000a", NULL);
	first = two(w, &second);
	assert_false(enter(first, 0, "a", false));
	assert_false(enter(second, 1, "a", false));
	TURN_UNTIL(w->loop, askers[0].n_told && askers[1].n_told);
	assert_true(told(0, DEDUP_ELSEWHERE) && told(1, DEDUP_ELSEWHERE));
	askers[0].n_told = askers[1].n_told = 0;
	assert_false(dedup_again(&askers[0].claim));
	assert_false(dedup_again(&askers[1].claim));
	TURN_UNTIL(w->loop, askers[0].n_told && askers[1].n_told);
	assert_true(told(0, DEDUP_BEGIN) && told(1, DEDUP_ELSEWHERE));
	assert_string_equal(askers[1].claim.answer_id.text, askers[0].claim.answer_id.text);
	dedup_leave(&askers[1].claim);
	begin(0);
	dedup_over(&turn);
	end_two(w, first, second);
}

static void a_claim_that_nobody_wants_any_more_is_given_back(void **state)
{
	struct world *w = *state;
	struct dedup *first, *second;

	first = two(w, &second);
	assert_false(enter(first, 0, "a", false));
	dedup_leave(&askers[0].claim); /* while Redis is being asked */
	turn_few(w->loop);
	assert_int_equal(askers[0].n_told, 0);
	assert_false(enter(second, 1, "a", false));
	TURN_UNTIL(w->loop, askers[1].n_told);
	assert_true(told(1, DEDUP_BEGIN));
	dedup_leave(&askers[1].claim);
	end_two(w, first, second);
}

static void a_follower_takes_over_while_redis_is_being_asked(void **state)
{
	struct world *w = *state;
	struct dedup *first, *second;

	first = two(w, &second);
	assert_false(enter(first, 0, "a", false));
	assert_false(enter(first, 1, "a", false));
	dedup_leave(&askers[0].claim);
	TURN_UNTIL(w->loop, askers[1].n_told);
	assert_true(told(1, DEDUP_BEGIN) && askers[0].n_told == 0);
	op_cancel(&askers[1].claim.op);
	dedup_leave(&askers[1].claim);
	end_two(w, first, second);
}

static void without_redis_each_responder_is_alone(void **state)
{
	struct world *w = *state;
	struct dedup *first, *second;

	first = two(w, &second);
	assert_false(enter(first, 0, "a", false));
	redis_server_stop();
	TURN_UNTIL(w->loop, askers[0].n_told);
	assert_int_equal(askers[0].claim.verdict, DEDUP_BEGIN);
	assert_true(enter(second, 1, "a", false) && askers[1].claim.verdict == DEDUP_BEGIN);
	dedup_leave(&askers[0].claim);
	dedup_leave(&askers[1].claim);
	redis_server_start();
	turn_few(w->loop);
	dedup_free(first);
	dedup_free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(who_comes_later_joins_until_it_is_over),
		T(a_leader_that_leaves_is_followed_by_the_next),
		T(a_turn_that_is_over_before_the_others_hear_of_it_is_read_where_it_is_stored),
		T(a_key_is_for_one_body),
		T(another_responder_is_told_whose_answer_to_wait_for),
		T(what_nobody_works_on_any_more_is_begun_by_one_of_those_who_waited),
		T(a_claim_that_nobody_wants_any_more_is_given_back),
		T(a_follower_takes_over_while_redis_is_being_asked),
		T(without_redis_each_responder_is_alone),
#undef T
	};

	return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
