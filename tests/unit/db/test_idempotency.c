/* Keys: who gets one, and what it stands for, on a real PostgreSQL with the project's own tables. */
#include "db/idempotency.h"

#include <stdio.h>

#include "base/process.h"
#include "base/uuid.h"
#include "db/retention.h"
#include "db/turn_writes.h"
#include "tests/unit/db/fixture.h"

enum { N = 20 };

#define USER_1 "00000000-0000-7000-8000-000000000001"
#define USER_2 "00000000-0000-7000-8000-000000000002"

static const struct process owner = {.node = "node:/run/x", .slot = 1, .generation = 42};

struct writing {
	struct turn_write w;
	struct uuid session, question, answer;
	bool done;
	int err;
};

static struct turn_writes *writes;
static struct writing t[N];

static void on_done(struct op *op)
{
	struct writing *one = CONTAINER_OF(op, struct writing, w.op);

	one->done = true;
	one->err = op->err;
}

static struct new_turn row_of(struct writing *one, const char *user, const char *key, const char *instead_of)
{
	*one = (struct writing){.session = uuid_new(), .question = uuid_new(), .answer = uuid_new(), .w.op.done = on_done};
	return (struct new_turn){
		.session_id = uuid_str(&one->session),
		.user_id = str_from(user),
		.anonymous = true,
		.session_name = STR("chat"),
		.title = STR("t"),
		.agent_id = STR("a"),
		.provider = STR("custom"),
		.model = STR("m"),
		.question_id = uuid_str(&one->question),
		.question = STR("q"),
		.question_client_id = STR(""),
		.question_parts = STR(""),
		.answer_id = uuid_str(&one->answer),
		.answer_client_id = STR(""),
		.agents = STR(""),
		.max_history = 10,
		.max_history_tokens = 1000,
		.key = {str_from(key), STR("body"), str_from(instead_of)},
	};
}

static void begin(int i, const char *user, const char *key, const char *instead_of)
{
	struct new_turn row = row_of(&t[i], user, key, instead_of);

	turn_writes_begin(writes, &t[i].w, &row);
}

static int begun(struct world *w, int i)
{
	wait_done(w, &t[i].done);
	return t[i].err;
}

/* How many of the first n have got it; the others must know that they have not. who: the last one that has. */
static int n_begun(struct world *w, int n, int *who)
{
	int got = 0;

	for (int i = 0; i < n; i++) {
		if (begun(w, i) == 0) {
			got++;
			*who = i;
		} else {
			assert_int_equal(t[i].err, -ERR_CONFLICT);
			assert_false(t[i].w.found); /* what was reserved for it is to be given back */
		}
	}
	return got;
}

static void end(struct world *w, int i, const char *status)
{
	struct turn_ending ending = {.answer_id = uuid_str(&t[i].answer),
				     .content = STR("Hello"),
				     .status = status,
				     .finish_reason = STR("stop"),
				     .error_code = strcmp(status, "failed") == 0 ? "UPSTREAM_ERROR" : NULL,
				     .has_usage = true,
				     .prompt_tokens = 1,
				     .completion_tokens = 2,
				     .total_tokens = 3,
				     .first_event_ms = 1,
				     .took_ms = 2,
				     .beside = STR("r3:why")};

	t[i].done = false;
	turn_writes_end(writes, &t[i].w, &ending);
	assert_int_equal(begun(w, i), 0);
}

static struct idempotency_row find(struct world *w, struct ask *a, const char *user, const char *key)
{
	idempotency_find(w->pool, ask_begin(w, a), str_from(user), str_from(key), 100);
	assert_int_equal(ask_end(w, a), 0);
	assert_int_equal(query_n_rows(&a->q), 1);
	return idempotency_row(&a->q);
}

static struct stored_answer stored(struct world *w, struct ask *a, const char *user, int i)
{
	idempotency_answer(w->pool, ask_begin(w, a), str_from(user), uuid_str(&t[i].answer));
	assert_int_equal(ask_end(w, a), 0);
	return idempotency_stored(&a->q);
}

static int make_tables_and_an_agent(void **state)
{
	if (make_tables(state) != 0)
		return -1;
	return run_psql("INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'A', 'custom', 'http://x', 'm')");
}

static int set_up(void **state)
{
	struct world *w;

	if (make_world(state) != 0)
		return -1;
	w = *state;
	world_pool(w, 8, 4);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	wait_until(w, is_reachable);
	run_sql(w, "TRUNCATE chat_sessions, chat_messages, idempotency_keys, session_counts CASCADE");
	return 0;
}

static int tear_down(void **state)
{
	turn_writes_free(writes);
	return end_world(state);
}

static void of_many_at_once_one_gets_the_key_and_nothing_else_happens(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};
	struct idempotency_row row;
	int who = -1;

	for (int i = 0; i < N; i++)
		begin(i, USER_1, "one", "");
	assert_int_equal(n_begun(w, N, &who), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages"), 2);
	assert_int_equal(number(w, "SELECT sum(message_count) FROM chat_sessions"), 2);
	row = find(w, &a, USER_1, "one");
	assert_true(str_eq(row.answer_id, uuid_str(&t[who].answer)) && str_eq(row.body_hash, STR("body")));
	assert_true(!row.expired && !row.abandoned && row.answer.present && row.answer.ended_ms_ago == -1);
	query_fini(&a.q);
	begin(0, USER_2, "one", ""); /* another owner's is another key */
	begin(1, USER_1, "two", "");
	assert_int_equal(n_begun(w, 2, &who), 2);
}

static void what_was_no_good_is_replaced_by_one(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};
	struct idempotency_row row;
	struct uuid first;
	int who = -1;

	begin(0, USER_1, "one", "");
	assert_int_equal(begun(w, 0), 0);
	first = t[0].answer;
	run_sql(w, "UPDATE idempotency_keys SET expires_at = now() - interval '1 s', created_at = now() - interval '2 days'");
	assert_true(find(w, &a, USER_1, "one").expired);
	query_fini(&a.q);
	for (int i = 0; i < N; i++)
		begin(i, USER_1, "one", first.text);
	assert_int_equal(n_begun(w, N, &who), 1);
	row = find(w, &a, USER_1, "one");
	assert_true(str_eq(row.answer_id, uuid_str(&t[who].answer)) && !row.expired && !row.abandoned);
	query_fini(&a.q);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages"), 4);
	begin(0, USER_1, "one", first.text); /* by now it stands for another */
	assert_int_equal(begun(w, 0), -ERR_CONFLICT);
}

static void it_says_how_the_answer_stands(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};
	struct idempotency_row row;
	struct stored_answer answer;

	begin(0, USER_1, "one", "");
	assert_int_equal(begun(w, 0), 0);
	assert_false(stored(w, &a, USER_2, 0).present); /* another's */
	query_fini(&a.q);
	run_sql(w, "UPDATE idempotency_keys SET created_at = now() - interval '101 s'");
	assert_true(find(w, &a, USER_1, "one").abandoned);
	query_fini(&a.q);
	end(w, 0, "complete");
	answer = find(w, &a, USER_1, "one").answer;
	assert_true(str_eq(answer.id, uuid_str(&t[0].answer)) && str_eq(answer.question_id, uuid_str(&t[0].question)));
	assert_true(str_eq(answer.status, STR("complete")) && str_eq(answer.content, STR("Hello")) && str_eq(answer.chat_id, STR("chat")));
	assert_true(str_eq(answer.beside, STR("r3:why")) && str_eq(answer.finish_reason, STR("stop")) && answer.error_code.len == 0);
	assert_true(answer.has_usage && !answer.usage_estimated && answer.total_tokens == 3 && answer.created_us > 0);
	assert_in_range(answer.ended_ms_ago, 0, 8000);
	query_fini(&a.q);
	run_sql(w, "UPDATE chat_sessions SET status = 'deleted', deleted_at = now(), deleted_name = name, name = '#'");
	row = find(w, &a, USER_1, "one");
	assert_true(!row.answer.present && str_eq(row.answer_id, uuid_str(&t[0].answer)));
	query_fini(&a.q);
	assert_false(stored(w, &a, USER_1, 0).present);
	query_fini(&a.q);
	begin(1, USER_1, "two", "");
	assert_int_equal(begun(w, 1), 0);
	end(w, 1, "failed");
	answer = stored(w, &a, USER_1, 1);
	assert_true(answer.present && str_eq(answer.error_code, STR("UPSTREAM_ERROR")) && str_eq(answer.status, STR("failed")));
	query_fini(&a.q);
	idempotency_find(w->pool, ask_begin(w, &a), STR(USER_2), STR("two"), 100);
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_rows(&a.q), 0);
	query_fini(&a.q);
}

static void another_answer_takes_a_key_too(void **state)
{
	struct world *w = *state;
	struct uuid session, question;
	int who = -1;

	begin(0, USER_1, "one", "");
	assert_int_equal(begun(w, 0), 0);
	session = t[0].session;
	question = t[0].question;
	for (int i = 0; i < N; i++) {
		struct new_turn row = row_of(&t[i], USER_1, "retry", "");

		row.session_id = uuid_str(&session);
		row.question_id = uuid_str(&question);
		turn_writes_retry(writes, &t[i].w, &row);
	}
	assert_int_equal(n_begun(w, N, &who), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages"), 3);
	for (int i = 0; i < 2; i++) {
		struct new_turn row = row_of(&t[i], USER_1, i ? "gone" : "retry", "");

		row.session_id = uuid_str(&session); /* a question that is not there */
		turn_writes_retry(writes, &t[i].w, &row);
	}
	assert_int_equal(begun(w, 0), -ERR_CONFLICT);
	assert_int_equal(begun(w, 1), -ERR_MESSAGE_NOT_FOUND);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages"), 3);
}

static void those_that_have_expired_go_the_oldest_first(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	run_sql(w, "INSERT INTO idempotency_keys (owner_id, key, body_hash, answer_id, expires_at)"
		   " SELECT '" USER_1 "', i::text, '', '" USER_1
		   "', now() + interval '2 s' - i * interval '1 h' FROM generate_series(0, 9) i");
	retention_idempotency_keys(w->pool, ask_begin(w, &a), 4);
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_affected(&a.q), 4);
	query_fini(&a.q);
	assert_int_equal(number(w, "SELECT max(key::integer) FROM idempotency_keys"), 5);
	retention_idempotency_keys(w->pool, ask_begin(w, &a), 100);
	assert_int_equal(ask_end(w, &a), 0);
	query_fini(&a.q);
	assert_int_equal(number(w, "SELECT count(*) FROM idempotency_keys WHERE key = '0'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM idempotency_keys"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_many_at_once_one_gets_the_key_and_nothing_else_happens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_no_good_is_replaced_by_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_says_how_the_answer_stands, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_answer_takes_a_key_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_that_have_expired_go_the_oldest_first, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, make_tables_and_an_agent, stop_server);
}
