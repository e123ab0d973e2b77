/* Do the statements of sessions and messages use the indexes that were made for them? Asked of PostgreSQL's planner as it comes, without the
 * responders' enable_seqscan=off, with 10,000 sessions and 100,000 messages of one owner among others. */
#include "tests/unit/db/fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "db/messages.h"
#include "db/retention.h"
#include "db/sessions.h"

#define ANNA "'00000000-0000-7000-8000-00000000000a'"
#define ID   "'10000000-0000-7000-8000-000000000001'"

static const struct session_owner anna = {{"00000000-0000-7000-8000-00000000000a", 36}, {"", 0}};

static int make_much(void **state)
{
	static const char *const scripts[] = {
		"INSERT INTO agent_configs (id, name, provider, endpoint, model) SELECT 'a' || i, 'A', 'custom', 'http://x', 'm' FROM generate_series(1, 5) i",
		/* one by one the triggers would take longer than all the rest */
		"ALTER TABLE chat_sessions DISABLE TRIGGER USER;"
		" INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, updated_at, status, deleted_at, deleted_name)"
		" SELECT lpad(to_hex(i), 32, '0')::uuid, CASE WHEN i <= 10000 THEN " ANNA "::uuid ELSE lpad(to_hex(i / 10), 32, 'b')::uuid END, true,"
		"  's' || i, 'a' || 1 + i % 5, now() - i * interval '1 s', CASE WHEN i % 20 = 0 THEN 'archived' WHEN i % 20 = 1 THEN 'deleted' ELSE 'active' END,"
		"  CASE WHEN i % 20 = 1 THEN now() - i * interval '1 minute' END, CASE WHEN i % 20 = 1 THEN 's' END FROM generate_series(1, 30000) i;"
		" ALTER TABLE chat_sessions ENABLE TRIGGER USER",
		"INSERT INTO session_counts SELECT DISTINCT user_id, '{\\\"active/a1\\\": 10}'::jsonb FROM chat_sessions",
		"INSERT INTO chat_messages (id, session_id, parent_id, role, content, status, created_at, agent_id)"
		" SELECT gen_random_uuid(), s.id, CASE WHEN j % 2 = 0 THEN s.id END, CASE WHEN j % 2 = 0 THEN 'assistant' ELSE 'user' END, 'text', 'complete',"
		"  now() - j * interval '1 s', 'a1' FROM chat_sessions s, generate_series(1, 10) j WHERE s.user_id = " ANNA,
		"INSERT INTO chat_feedback (message_id, user_id, rating) SELECT id, " ANNA ", 'good' FROM chat_messages LIMIT 5000",
		"ANALYZE",
	};

	if (make_tables(state) != 0)
		return -1;
	for (size_t i = 0; i < N_ELEMENTS(scripts); i++)
		if (run_psql(scripts[i]) != 0)
			return -1;
	return 0;
}

/* Runs it once, so that the connection, the only one, has prepared it. */
static void prepare(struct world *w, struct ask *a)
{
	assert_int_equal(ask_end(w, a), 0);
	query_fini(&a->q);
}

static struct buf plan(struct world *w, const char *execute)
{
	char sql[512];
	struct statement stmt = {"", sql, 0};
	struct ask a = {.done = false};
	struct buf text = {0};

	snprintf(sql, sizeof(sql), "EXPLAIN EXECUTE %s", execute);
	w->conf.db_prepared = false;
	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	w->conf.db_prepared = true;
	for (size_t i = 0; i < query_n_rows(&a.q); i++) {
		buf_add_str(&text, query_col(&a.q, i, 0));
		buf_add_char(&text, '\n');
	}
	buf_add_char(&text, '\0');
	query_fini(&a.q);
	return text;
}

/* As psql would have it, with each parameter's value known and with none. */
static void expect_indexes(struct world *w, const char *execute, const char *const *indexes)
{
	static const char *const modes[] = {"force_custom_plan", "force_generic_plan"};
	char sql[128];

	run_sql(w, "SET enable_seqscan = on");
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		struct buf text;

		snprintf(sql, sizeof(sql), "SET plan_cache_mode = %s", modes[i]);
		run_sql(w, sql);
		text = plan(w, execute);
		if (strstr(text.p, "Seq Scan on chat_") || strstr(text.p, "Seq Scan on session_counts"))
			fail_msg("%s, %s:\n%s", execute, modes[i], text.p);
		for (const char *const *index = indexes; *index; index++)
			if (!strstr(text.p, *index))
				fail_msg("%s, %s, does not use %s:\n%s", execute, modes[i], *index, text.p);
		buf_fini(&text);
	}
}

static void lists_of_sessions(void **state)
{
	struct world *w = *state;
	struct session_list list = {.status = STR("active"), .agent_id = STR(""), .limit = 21};
	struct ask a = {.done = false};
	const char *active[] = {"chat_sessions_user_updated", "session_counts_pkey", NULL}, *archived[] = {"chat_sessions_user_put_away", NULL};

	world_pool(w, 1, 1);
	sessions_list(w->pool, ask_begin(w, &a), &anna, &list);
	prepare(w, &a);
	expect_indexes(w, "list_sessions(" ANNA ", NULL, 'active', NULL, NULL, NULL, 21, 0)", active);
	expect_indexes(w, "list_sessions(" ANNA ", NULL, 'active', 'a1', 1795442388748253, " ID ", 21, 0)", active);
	expect_indexes(w, "list_sessions(" ANNA ", '[\"a1\"]', 'all', NULL, NULL, NULL, 201, 400)", active);
	expect_indexes(w, "list_sessions(" ANNA ", NULL, 'archived', NULL, NULL, NULL, 21, 0)", archived);
	expect_indexes(w, "list_sessions(" ANNA ", NULL, 'deleted', NULL, NULL, NULL, 21, 0)", archived);
	sessions_stats(w->pool, ask_begin(w, &a), &anna);
	prepare(w, &a);
	expect_indexes(w, "count_sessions(" ANNA ", NULL)", (const char *[]){"session_counts_pkey", NULL});
}

static void one_session_and_changes(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};
	const char *by_name[] = {"chat_sessions_user_id_name_key", "chat_sessions_pkey", NULL};

	world_pool(w, 1, 1);
	sessions_get(w->pool, ask_begin(w, &a), &anna, STR("s1"));
	prepare(w, &a);
	expect_indexes(w, "get_session(" ANNA ", NULL, 's1', NULL)", (const char *[]){"chat_sessions_user_id_name_key", NULL});
	expect_indexes(w, "get_session(" ANNA ", '[\"a1\"]', 's1', " ID ")", by_name);
	sessions_change(w->pool, ask_begin(w, &a), &anna, STR("{s7}"), STR("archive"));
	prepare(w, &a);
	expect_indexes(w, "change_sessions(" ANNA ", NULL, '{s1}', 'archive')", by_name);
	expect_indexes(w, "change_sessions(" ANNA ", '[\"a1\"]', '{s1,s2,s3}', 'restore')", by_name);
	sessions_set_title(w->pool, ask_begin(w, &a), &anna, STR("s2"), STR("x"));
	prepare(w, &a);
	expect_indexes(w, "set_session_title(" ANNA ", NULL, 's1', " ID ", 'x')", by_name);
}

static void messages(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};
	const char *page[] = {"chat_sessions_user_id_name_key", "chat_messages_session_created", "chat_feedback_pkey", NULL};
	const char *answer[] = {"chat_messages_pkey", "chat_sessions_user_updated", "chat_messages_session_created", NULL};

	world_pool(w, 1, 1);
	messages_list(w->pool, ask_begin(w, &a), &anna, STR("s2"), STR(""), 50, 0);
	prepare(w, &a);
	expect_indexes(w, "list_messages(" ANNA ", NULL, 's2', NULL, '', 50, 0)", page);
	expect_indexes(w, "list_messages(" ANNA ", NULL, 's2', " ID ", 'user', 200, 100)", page);
	messages_export(w->pool, ask_begin(w, &a), anna.user_id, STR("10000000-0000-7000-8000-000000000001"), 0, STR("10000000-0000-7000-8000-000000000001"),
			200, 1000);
	prepare(w, &a);
	expect_indexes(w, "export_messages(" ANNA ", " ID ", 0, " ID ", 200, 524288)", (const char *[]){"chat_messages_session_created", NULL});
	messages_find_question(w->pool, ask_begin(w, &a), &anna, STR("s2"), STR("x"));
	prepare(w, &a);
	expect_indexes(w, "find_question(" ANNA ", NULL, 's2', NULL, 'x', " ID ")", (const char *[]){"chat_messages_session_created", "chat_messages_pkey", NULL});
	messages_find_answer(w->pool, ask_begin(w, &a), &anna, STR("x"));
	prepare(w, &a);
	expect_indexes(w, "find_answer(" ANNA ", NULL, 'x', " ID ")", answer);
	expect_indexes(w, "find_answer(" ANNA ", '[\"a1\"]', 'x', NULL)", &answer[1]);
	messages_rate(w->pool, ask_begin(w, &a), &anna, STR("s2"), STR("x"), STR("good"), STR(""));
	prepare(w, &a);
	expect_indexes(w, "rate_message(" ANNA ", NULL, 's2', NULL, 'x', " ID ", 'good', NULL)", (const char *[]){"chat_feedback_pkey", NULL});
}

static void what_is_purged(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	world_pool(w, 1, 1);
	retention_session_messages(w->pool, ask_begin(w, &a), 3650, 10);
	prepare(w, &a);
	expect_indexes(w, "expire_session_messages(30, 2000)", (const char *[]){"chat_sessions_deleted_at", "chat_messages_session_created", NULL});
	retention_sessions(w->pool, ask_begin(w, &a), 3650, 10);
	prepare(w, &a);
	expect_indexes(w, "expire_sessions(30, 1000)", (const char *[]){"chat_sessions_deleted_at", NULL});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists_of_sessions, make_world, end_world),
		cmocka_unit_test_setup_teardown(one_session_and_changes, make_world, end_world),
		cmocka_unit_test_setup_teardown(messages, make_world, end_world),
		cmocka_unit_test_setup_teardown(what_is_purged, make_world, end_world),
	};

	return cmocka_run_group_tests(tests, make_much, stop_server);
}
