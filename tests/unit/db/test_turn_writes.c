/* Beginnings and endings of turns, together and one by one, on a real PostgreSQL with the project's own tables. */
#include "tests/unit/db/fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/process.h"
#include "base/tokens.h"
#include "base/uuid.h"
#include "db/sql.h"
#include "db/text_array.h"
#include "db/turn_writes.h"

enum { N = 150 };

static const struct process owner = {.node = "node:/run/x", .slot = 1, .generation = 42};

struct writing {
	struct turn_write w;
	struct uuid session, question, answer;
	bool done;
	int err;
	bool found;
	size_t n_history;
	struct buf history;
	char upstream[64];
	char name[40], content[32]; /* borrowed by w until it is done */
};

static void on_done(struct op *op)
{
	struct writing *t = CONTAINER_OF(op, struct writing, w.op);

	t->done = true;
	t->err = op->err;
	t->found = t->w.found;
	t->n_history = t->w.n_history;
	snprintf(t->upstream, sizeof(t->upstream), "%.*s", STR_ARG(turn_write_upstream(&t->w)));
	for (size_t i = 0; i < t->n_history; i++) {
		struct history_row row = turn_write_history(&t->w, i);

		buf_printf(&t->history, "%.*s:%.*s;", STR_ARG(row.role), STR_ARG(row.content));
	}
}

static void begin(struct turn_writes *writes, struct writing *t, const char *user, const char *name, const char *question, int64_t history)
{
	struct new_turn row = {
		.user_id = str_from(user), .anonymous = true, .title = STR("t\"\\{},'"), .agent_id = STR("a"),
		.provider = STR("custom"), .model = STR("m"), .question = str_from(question), .question_client_id = STR(""),
		.question_parts = STR(""), .agents = STR(""), .answer_client_id = STR(""), .max_history = history, .max_history_tokens = 1000,
	};

	buf_fini(&t->history);
	*t = (struct writing){.session = uuid_new(), .question = uuid_new(), .answer = uuid_new()};
	row.session_is_new = name == NULL;
	snprintf(t->name, sizeof(t->name), "%.*s", STR_ARG(name ? str_from(name) : uuid_str(&t->session)));
	row.session_name = str_from(t->name);
	row.session_id = uuid_str(&t->session);
	row.question_id = uuid_str(&t->question);
	row.answer_id = uuid_str(&t->answer);
	t->w.op.done = on_done;
	turn_writes_begin(writes, &t->w, &row);
}

static void end_as(struct turn_writes *writes, struct writing *t, const char *content, const char *upstream_name)
{
	struct turn_ending ending = {.answer_id = uuid_str(&t->answer), .status = "complete",
				     .finish_reason = STR("stop"), .first_event_ms = -1, .took_ms = 5,
				     .upstream_name = upstream_name};

	t->done = false;
	snprintf(t->content, sizeof(t->content), "%s", content);
	ending.content = str_from(t->content);
	t->w.op.done = on_done;
	turn_writes_end(writes, &t->w, &ending);
}

static void end(struct turn_writes *writes, struct writing *t, const char *content)
{
	end_as(writes, t, content, NULL);
}

static void wait_all(struct world *w, struct writing *list, int n)
{
	for (int i = 0; i < n; i++)
		wait_done(w, &list[i].done);
}

static int make_tables_and_an_agent(void **state)
{
	if (make_tables(state) != 0)
		return -1;
	return run_psql("INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'A', 'custom', 'http://x', 'm')");
}

static void text_arrays_survive_whatever_is_in_them(void **state)
{
	struct buf a = {0}, none = {0};
	const char *expected = "{\"a\\\"b\\\\c,{}\",\"\",\"NULL\",NULL,-7}";

	(void)state;
	text_array_add(&a, STR("a\"b\\c,{}"));
	text_array_add(&a, STR(""));
	text_array_add(&a, STR("NULL"));
	text_array_add_null(&a);
	text_array_add_int(&a, -7);
	text_array_close(&a);
	assert_true(str_eq_cstr(buf_str(&a), expected));
	text_array_close(&none);
	assert_true(str_eq(buf_str(&none), STR("{}")));
	buf_fini(&a);
	buf_fini(&none);
}

#define USER_1 "00000000-0000-7000-8000-000000000001"
#define USER_2 "00000000-0000-7000-8000-000000000002"

static void many_turns_share_a_few_statements_and_each_gets_its_own(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing *t = calloc(N, sizeof(*t));
	char name[32];
	int64_t before;

	world_pool(w, 4, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	wait_until(w, is_reachable);
	before = (int64_t)pool_stats(w->pool).n_queries;
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "many-%d", i);
		begin(writes, &t[i], i % 2 ? USER_1 : USER_2, name, "q\"\\{},' NULL", 0);
	}
	wait_all(w, t, N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(t[i].err, 0);
		snprintf(name, sizeof(name), "answer %d", i);
		end(writes, &t[i], name);
	}
	wait_all(w, t, N);
	assert_in_range((int64_t)pool_stats(w->pool).n_queries - before, 6, 12); /* 64 to a statement */
	for (int i = 0; i < N; i++)
		assert_true(t[i].err == 0 && t[i].found);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id"
				   " WHERE s.name LIKE 'many-%' AND m.role = 'assistant' AND m.status = 'complete'"
				   " AND content = 'answer ' || substr(s.name, 6)"), N);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages WHERE content = 'q\"\\{},'' NULL' AND status = 'complete'"), N);
	/* an ending that is repeated finds nothing to end */
	end(writes, &t[0], "another");
	wait_all(w, t, 1);
	assert_true(t[0].err == 0 && !t[0].found);
	turn_writes_free(writes);
	free(t);
}

static void turns_of_one_session_at_once_are_all_written(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[8] = {{.done = false}};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	for (int i = 0; i < 8; i++)
		begin(writes, &t[i], i < 6 ? USER_1 : USER_2, "same", "q", 0);
	wait_all(w, t, 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(t[i].err, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_sessions WHERE name = 'same'"), 2); /* one for each owner */
	assert_int_equal(number(w, "SELECT message_count FROM chat_sessions WHERE name = 'same' AND user_id = '" USER_1 "'"), 12);
	turn_writes_free(writes);
}

static void one_that_is_refused_costs_the_others_nothing(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[5] = {{.done = false}};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	for (int i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "refused-%d", i);
		begin(writes, &t[i], USER_1, name, "q", 0);
		if (i == 2)
			t[i].w.begin.agent_id = STR("nobody"); /* a foreign key says no */
	}
	wait_all(w, t, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(t[i].err == 0, i != 2);
	assert_string_equal(t[2].w.sqlstate, "23503");
	assert_int_equal(number(w, "SELECT count(*) FROM chat_sessions WHERE name LIKE 'refused-%'"), 4);
	turn_writes_free(writes);
}

static void each_gets_the_history_of_its_own_session(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[3] = {{.done = false}};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	begin(writes, &t[0], USER_1, "h", "mine", 10);
	begin(writes, &t[1], USER_2, "h", "theirs", 10);
	wait_all(w, t, 2);
	assert_int_equal(t[0].n_history + t[1].n_history, 0); /* never the new question itself */
	end(writes, &t[0], "yes");
	end(writes, &t[1], "no");
	wait_all(w, t, 2);
	begin(writes, &t[0], USER_1, "h", "again", 10);
	begin(writes, &t[1], USER_2, "h", "again", 1);
	begin(writes, &t[2], USER_2, "other", "first", 10);
	wait_all(w, t, 3);
	assert_true(str_eq(buf_str(&t[0].history), STR("user:mine;assistant:yes;")));
	assert_true(str_eq(buf_str(&t[1].history), STR("assistant:no;")));
	assert_int_equal(t[2].n_history, 0);
	for (int i = 0; i < 3; i++)
		buf_fini(&t[i].history);
	turn_writes_free(writes);
}

static void sessions_that_are_new_are_made_apart_and_can_be_gone_on_with(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[12] = {{.done = false}};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	for (int i = 0; i < 10; i++)
		begin(writes, &t[i], USER_1, i % 2 ? NULL : "known", "q", 10);
	wait_all(w, t, 10);
	for (int i = 0; i < 10; i++)
		assert_true(t[i].err == 0 && (i % 2 == 0 || t[i].n_history == 0));
	for (int i = 1; i < 10; i += 2)
		end(writes, &t[i], "a");
	for (int i = 1; i < 10; i += 2)
		wait_done(w, &t[i].done);
	begin(writes, &t[10], USER_1, t[1].name, "q2", 10);
	begin(writes, &t[11], USER_2, t[1].name, "q2", 10); /* the same name, but not hers */
	wait_all(w, &t[10], 2);
	assert_true(str_eq(buf_str(&t[10].history), STR("user:q;assistant:a;")));
	assert_int_equal(t[11].n_history, 0);
	for (size_t i = 0; i < N_ELEMENTS(t); i++)
		buf_fini(&t[i].history);
	turn_writes_free(writes);
}

static void retry(struct turn_writes *writes, struct writing *t, const struct writing *of, const char *user)
{
	struct new_turn row = {
		.user_id = str_from(user), .agent_id = STR("a"), .provider = STR("custom"), .model = STR("m"),
		.answer_client_id = STR("again"), .agents = STR(""), .max_history = 10, .max_history_tokens = 1000,
	};

	buf_fini(&t->history);
	*t = (struct writing){.session = of->session, .question = of->question, .answer = uuid_new()};
	row.session_id = uuid_str(&t->session);
	row.question_id = uuid_str(&t->question);
	row.answer_id = uuid_str(&t->answer);
	t->w.op.done = on_done;
	turn_writes_retry(writes, &t->w, &row);
}

static void whole_turn(struct world *w, struct turn_writes *writes, struct writing *t, const char *question, const char *answer)
{
	begin(writes, t, USER_1, "retried", question, 10);
	wait_all(w, t, 1);
	end(writes, t, answer);
	wait_all(w, t, 1);
}

static void another_answer_stands_beside_the_first_and_the_newest_whole_one_is_told(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing first = {.done = false}, second = {.done = false}, again = {.done = false}, third = {.done = false};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	whole_turn(w, writes, &first, "one?", "one.");
	whole_turn(w, writes, &second, "two?", "two.");
	buf_fini(&second.history);
	second.session = first.session; /* the row's own */
	retry(writes, &again, &first, USER_1); /* nothing was said before it */
	wait_all(w, &again, 1);
	assert_int_equal(again.err, 0);
	assert_int_equal(again.n_history, 0);
	end(writes, &again, "one again.");
	wait_all(w, &again, 1);
	assert_true(again.err == 0 && again.found);
	retry(writes, &again, &second, USER_1);
	wait_all(w, &again, 1);
	assert_true(str_eq(buf_str(&again.history), STR("user:one?;assistant:one again.;")));
	/* that one is still being written: it is not told, and the first answer is */
	begin(writes, &third, USER_1, "retried", "three?", 10);
	wait_all(w, &third, 1);
	assert_true(str_eq(buf_str(&third.history), STR("user:one?;assistant:one again.;user:two?;assistant:two.;")));
	assert_int_equal(number(w, "SELECT message_count FROM chat_sessions WHERE name = 'retried'"), 8);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages a JOIN chat_messages q ON q.id = a.parent_id"
				   " WHERE a.client_id = 'again' AND a.created_at = q.created_at AND a.retried_at > q.created_at"), 2);
	buf_fini(&again.history);
	buf_fini(&third.history);
	turn_writes_free(writes);
}

static void an_answer_to_what_is_not_there_is_refused(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t = {.done = false}, again = {.done = false};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	begin(writes, &t, USER_1, "not there", "q", 0);
	wait_all(w, &t, 1);
	retry(writes, &again, &t, USER_2);
	wait_all(w, &again, 1);
	assert_int_equal(again.err, -ERR_MESSAGE_NOT_FOUND);
	run_sql(w, "UPDATE chat_sessions SET status = 'deleted', deleted_at = now(), deleted_name = name, name = '#' || id WHERE name = 'not there'");
	retry(writes, &again, &t, USER_1);
	wait_all(w, &again, 1);
	assert_int_equal(again.err, -ERR_MESSAGE_NOT_FOUND);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id WHERE s.deleted_name = 'not there'"),
			 2);
	turn_writes_free(writes);
}

static void a_session_without_a_title_gets_that_of_its_first_question(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t = {.done = false};

	world_pool(w, 2, 2);
	run_sql(w, "INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title) VALUES (gen_random_uuid(), '" USER_1
		   "', true, 'untitled', 'a', ''), (gen_random_uuid(), '" USER_1 "', true, 'titled', 'a', 'mine')");
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	for (int i = 0; i < 2; i++) {
		begin(writes, &t, USER_1, i ? "titled" : "untitled", "q", 0);
		wait_all(w, &t, 1);
	}
	assert_int_equal(number(w, "SELECT count(*) FROM chat_sessions WHERE (name = 'untitled' AND title LIKE 't_%') OR (name = 'titled' AND title = 'mine')"),
			 2);
	turn_writes_free(writes);
}

static void sql_counts_tokens_as_we_do(void **state)
{
	static const struct {
		const char *text;
		int64_t n_tokens;
	} samples[] = {{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 13}, {"今天天气很好我们一起去公园", 13}, {"Добрый день", 7}, {"a", 1}, {"", 0},
		       {"🚀🚀🚀🚀", 6}};
	struct world *w = *state;
	char sql[512];

	world_pool(w, 2, 2);
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		snprintf(sql, sizeof(sql), "SELECT " SQL_TOKENS("t") " FROM (VALUES ('%s')) v (t)", samples[i].text);
		assert_int_equal(tokens_estimate(str_from(samples[i].text)), samples[i].n_tokens);
		assert_int_equal(number(w, sql), samples[i].n_tokens);
		assert_true((int64_t)strlen(samples[i].text) <= tokens_max_bytes(samples[i].n_tokens));
	}
}

/* 13 tokens each; what is said is in the order of time, so the newest go first into the budget. */
static void the_budget_is_counted_in_tokens(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t = {.done = false};

	world_pool(w, 2, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	begin(writes, &t, USER_1, "budget", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0);
	wait_all(w, &t, 1);
	end(writes, &t, "今天天气很好");
	wait_all(w, &t, 1);
	for (int64_t budget = 18; budget <= 19; budget++) {
		begin(writes, &t, USER_1, "budget", "q", 10);
		t.w.begin.max_history_tokens = budget;
		wait_all(w, &t, 1);
		assert_int_equal(t.n_history, budget == 18 ? 1 : 2);
		buf_fini(&t.history);
		run_sql(w, "DELETE FROM chat_messages WHERE status = 'streaming' OR content = 'q'");
	}
	turn_writes_free(writes);
}

static void may_be_cancelled_before_and_while_it_is_sent(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[3] = {{.done = false}};

	world_pool(w, 2, 2);
	wait_until(w, is_reachable);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	for (int i = 0; i < 3; i++)
		begin(writes, &t[i], USER_1, i == 0 ? "c0" : i == 1 ? "c1" : "c2", "q", 0);
	op_cancel(&t[0].w.op);
	loop_turn(w->loop, false); /* sent */
	op_cancel(&t[1].w.op);
	wait_done(w, &t[2].done);
	turn_for_ms(w, 50);
	assert_false(t[0].done || t[1].done);
	assert_int_equal(t[2].err, 0);
	turn_writes_free(writes);
}

/* Two new sessions that come thick and fast: the second gathers others. False: the machine was too slow for that. */
static bool one_gathers(struct world *w, struct turn_writes *writes, struct writing *t)
{
	begin(writes, &t[0], USER_1, NULL, "q", 0);
	loop_turn(w->loop, false);
	assert_true(t[0].w.batch || t[0].done); /* the first of them did not wait */
	begin(writes, &t[1], USER_1, NULL, "q", 0);
	loop_turn(w->loop, false);
	return !t[1].w.batch && !t[1].done;
}

static void new_sessions_that_come_thick_and_fast_gather_until_one_is_in_a_hurry(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[3] = {{.done = false}};
	int n_tries = 0;

	world_pool(w, 4, 4);
	wait_until(w, is_reachable);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	while (!one_gathers(w, writes, t) && n_tries++ < 100) {
		wait_all(w, t, 2);
		turn_for_ms(w, 30); /* for the next to be a first one again */
	}
	assert_in_range(n_tries, 0, 99);
	begin(writes, &t[2], USER_1, NULL, "q", 0);
	turn_writes_hurry(&t[2].w);
	loop_turn(w->loop, false);
	assert_true(t[1].w.batch && t[1].w.batch == t[2].w.batch);
	wait_all(w, t, 3);
	/* And by itself, after a while. */
	turn_for_ms(w, 30);
	while (!one_gathers(w, writes, t) && n_tries++ < 100) {
		wait_all(w, t, 2);
		turn_for_ms(w, 30);
	}
	wait_all(w, t, 2);
	assert_int_equal(t[1].err, 0);
	turn_writes_free(writes);
}

static void says_whether_what_is_written_comes_through_soon(void **state)
{
	static const struct statement hold = {"hold", "UPDATE chat_sessions SET title = title WHERE name = 'held' RETURNING pg_sleep(2)", 0};
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t[3] = {{.done = false}};
	struct ask holder = {.done = false};

	world_pool(w, 3, 3);
	wait_until(w, is_reachable);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	assert_false(turn_writes_flow(writes)); /* nobody knows yet */
	begin(writes, &t[0], USER_1, "held", "q", 0);
	wait_done(w, &t[0].done);
	assert_true(turn_writes_flow(writes));
	/* One that PostgreSQL refuses has come through. */
	begin(writes, &t[1], "no-uuid", "x", "q", 0);
	wait_done(w, &t[1].done);
	assert_int_not_equal(t[1].err, 0);
	assert_true(turn_writes_flow(writes));
	/* One that waits does not, once it has waited for half a second. */
	ask(w, &holder, &hold);
	turn_for_ms(w, 100);
	begin(writes, &t[2], USER_1, "held", "q", 0);
	assert_true(turn_writes_flow(writes));
	while (turn_writes_flow(writes) && !t[2].done)
		turn_for_ms(w, 10);
	assert_false(t[2].done);
	wait_done(w, &t[2].done);
	assert_int_equal(t[2].err, 0);
	assert_true(turn_writes_flow(writes));
	wait_done(w, &holder.done);
	query_fini(&holder.q);
	turn_writes_free(writes);
}

/* One turn, from beginning to end; leaves what the beginning said of the conversation's name in t->upstream. */
static void named_turn(struct world *w, struct turn_writes *writes, struct writing *t, const char *name, int64_t history, const char *upstream)
{
	char known[sizeof(t->upstream)];

	begin(writes, t, USER_1, name, "q", history);
	wait_done(w, &t->done);
	assert_int_equal(t->err, 0);
	memcpy(known, t->upstream, sizeof(known));
	end_as(writes, t, "a", upstream);
	wait_done(w, &t->done);
	assert_true(t->err == 0 && t->found);
	memcpy(t->upstream, known, sizeof(known));
}

static void end_with_budget(struct turn_writes *writes, struct writing *t, int64_t tokens, const char *upstream_name)
{
	struct turn_ending ending = {.answer_id = uuid_str(&t->answer),
				     .status = "complete",
				     .content = STR("a"),
				     .has_usage = tokens > 0,
				     .total_tokens = tokens,
				     .first_event_ms = -1,
				     .has_budget = true,
				     .upstream_name = upstream_name};

	t->done = false;
	turn_writes_end(writes, &t->w, &ending);
}

/* Of two keys, in one batch, with others that have no budget; one of them names its conversation. */
static void what_a_budget_was_reserved_for_is_settled_with_the_ending(void **state)
{
	enum { TURNS = 20 };
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing *t = calloc(TURNS, sizeof(*t));
	char sql[512];

	world_pool(w, 4, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	run_sql(w, "INSERT INTO users (id, username) VALUES ('" USER_1 "', 'keys')");
	run_sql(w, "INSERT INTO api_keys (id, user_id, name, shown, hash) SELECT ('20000000-0000-7000-8000-00000000000' || i)::uuid,"
		   " '" USER_1 "', 'k', 's', encode(sha256(i::text::bytea), 'hex') FROM generate_series(1, 2) i");
	run_sql(w, "INSERT INTO key_months (key_id, month, used, reserved) SELECT id, '2026-02-01', 5, 10 * 100 FROM api_keys");
	for (int i = 0; i < TURNS; i++) {
		begin(writes, &t[i], USER_1, NULL, "q", 0);
		snprintf(sql, sizeof(sql),
			 "INSERT INTO key_turns VALUES ('%s', '20000000-0000-7000-8000-00000000000%d', '2026-02-01', 100)", t[i].answer.text,
			 i % 2 + 1);
		run_sql(w, sql);
	}
	wait_all(w, t, TURNS);
	for (int i = 0; i < TURNS; i++) /* the first ones took nothing */
		end_with_budget(writes, &t[i], i > 3 ? 7 : 0, i == 9 ? "conversation" : NULL);
	wait_all(w, t, TURNS);
	for (int i = 0; i < TURNS; i++)
		assert_true(t[i].err == 0 && t[i].found);
	assert_int_equal(number(w, "SELECT count(*) FROM key_turns"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM key_months WHERE reserved = 0 AND used = 5 + 8 * 7"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_sessions WHERE upstream_names->>'a' = 'conversation'"), 1);
	/* Again, as after a connection that was lost: nothing is counted twice. */
	for (int i = 0; i < TURNS; i++)
		end_with_budget(writes, &t[i], 7, NULL);
	wait_all(w, t, TURNS);
	assert_false(t[0].found);
	assert_int_equal(number(w, "SELECT sum(used) FROM key_months"), 2 * (5 + 8 * 7));
	run_sql(w, "DELETE FROM users WHERE id = '" USER_1 "'");
	turn_writes_free(writes);
	free(t);
}

static void a_session_keeps_how_the_provider_calls_it(void **state)
{
	struct world *w = *state;
	struct turn_writes *writes;
	struct writing t = {.done = false};
	static const struct {
		const char *name, *known, *told;
	} turns[] = {
		{"kept", "", NULL},  {"kept", "", "conv\"1"},	{"kept", "conv\"1", NULL}, {"other", "", "conv2"},
		{"kept", "conv\"1", "conv3"}, {"kept", "conv3", ""}, {"kept", "", NULL},
	};

	world_pool(w, 4, 2);
	writes = turn_writes_new(w->loop, w->pool, &w->conf, &owner);
	wait_until(w, is_reachable);
	for (size_t i = 0; i < N_ELEMENTS(turns); i++) {
		named_turn(w, writes, &t, turns[i].name, i % 2 ? 100 : 0, turns[i].told);
		assert_string_equal(t.upstream, turns[i].known);
	}
	begin(writes, &t, USER_1, "other", "q", 100);
	wait_done(w, &t.done);
	assert_string_equal(t.upstream, "conv2");
	assert_true(str_eq_cstr(buf_str(&t.history), "user:q;assistant:a;"));
	begin(writes, &t, USER_2, "other", "q", 100);
	wait_done(w, &t.done);
	assert_string_equal(t.upstream, ""); /* another owner's session of that name */
	buf_fini(&t.history);
	turn_writes_free(writes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_arrays_survive_whatever_is_in_them),
		cmocka_unit_test_setup_teardown(many_turns_share_a_few_statements_and_each_gets_its_own, make_world, end_world),
		cmocka_unit_test_setup_teardown(turns_of_one_session_at_once_are_all_written, make_world, end_world),
		cmocka_unit_test_setup_teardown(one_that_is_refused_costs_the_others_nothing, make_world, end_world),
		cmocka_unit_test_setup_teardown(each_gets_the_history_of_its_own_session, make_world, end_world),
		cmocka_unit_test_setup_teardown(sessions_that_are_new_are_made_apart_and_can_be_gone_on_with, make_world, end_world),
		cmocka_unit_test_setup_teardown(what_a_budget_was_reserved_for_is_settled_with_the_ending, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_session_keeps_how_the_provider_calls_it, make_world, end_world),
		cmocka_unit_test_setup_teardown(another_answer_stands_beside_the_first_and_the_newest_whole_one_is_told, make_world, end_world),
		cmocka_unit_test_setup_teardown(an_answer_to_what_is_not_there_is_refused, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_session_without_a_title_gets_that_of_its_first_question, make_world, end_world),
		cmocka_unit_test_setup_teardown(sql_counts_tokens_as_we_do, make_world, end_world),
		cmocka_unit_test_setup_teardown(the_budget_is_counted_in_tokens, make_world, end_world),
		cmocka_unit_test_setup_teardown(may_be_cancelled_before_and_while_it_is_sent, make_world, end_world),
		cmocka_unit_test_setup_teardown(new_sessions_that_come_thick_and_fast_gather_until_one_is_in_a_hurry, make_world, end_world),
		cmocka_unit_test_setup_teardown(says_whether_what_is_written_comes_through_soon, make_world, end_world),
	};

	return cmocka_run_group_tests(tests, make_tables_and_an_agent, stop_server);
}
