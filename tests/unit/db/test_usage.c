/* Usage per day on a real PostgreSQL: exact whatever happens to an ending, and to whoever counts it. */
#include "tests/unit/db/fixture.h"

#include <stdio.h>

#include "db/usage.h"

enum { ALL = 10000 };

#define ANNA "00000000-0000-7000-8000-00000000000a"

static void clear(struct world *w)
{
	world_pool(w, 4, 1);
	run_sql(w, "TRUNCATE usage_daily, usage_pending, chat_messages, chat_sessions, agent_configs, users CASCADE");
	run_sql(w, "INSERT INTO users (id, username) VALUES ('" ANNA "', 'anna')");
	run_sql(w, "INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'Agent A', 'openai', 'x', 'm'),"
		   " ('b', 'Agent B', 'openai', 'x', 'm')");
	/* Session 1 is Anna's; 2 and 3 are of two visitors. */
	run_sql(w, "INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id) SELECT ('00000000-0000-7000-8000-' || lpad(i::text, "
		   "12, '0'))::uuid,"
		   " CASE WHEN i = 1 THEN '" ANNA "' ELSE gen_random_uuid() END, i > 1, 'x', 'a' FROM generate_series(1, 3) i");
}

/* n answers of an agent that stream, begun so many days ago. */
static void begin(struct world *w, unsigned n, unsigned session, const char *agent, unsigned days)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO chat_messages (id, session_id, role, content, status, agent_id, owner_generation, created_at)"
		 " SELECT gen_random_uuid(), ('00000000-0000-7000-8000-' || lpad('%u', 12, '0'))::uuid, 'assistant', '', 'streaming', "
		 "'%s', 1,"
		 " now() - make_interval(days => %u) FROM generate_series(1, %u)",
		 session, agent, days, n);
	run_sql(w, sql);
}

/* All that stream end so. */
static void end(struct world *w, const char *status)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "UPDATE chat_messages SET status = '%s', prompt_tokens = 10, completion_tokens = 3, first_event_ms = 200, ended_at = now()"
		 " WHERE status = 'streaming'",
		 status);
	run_sql(w, sql);
}

static int64_t count_at_most(struct world *w, int64_t max)
{
	struct ask a = {.done = false};
	int64_t n;

	usage_count(w->pool, ask_begin(w, &a), max);
	assert_int_equal(ask_end(w, &a), 0);
	n = query_n_affected(&a.q);
	query_fini(&a.q);
	return n;
}

static int64_t count(struct world *w)
{
	return count_at_most(w, ALL);
}

static struct usage overview(struct world *w, int64_t days)
{
	struct ask a = {.done = false};
	struct usage u;

	usage_overview(w->pool, ask_begin(w, &a), days);
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_rows(&a.q), 1);
	assert_int_equal(usage_period(&a.q, 0).from.len, 10);
	u = usage_sums(&a.q, 0);
	query_fini(&a.q);
	return u;
}

/* Does usage_daily say what the messages say, all of them having been counted? */
static void is_exact(struct world *w)
{
	assert_int_equal(
		number(w,
		       "WITH real AS (SELECT (coalesce(m.retried_at, m.created_at) AT TIME ZONE 'UTC')::date AS day, m.agent_id, "
		       "coalesce(s.account_id,"
		       " '00000000-0000-0000-0000-000000000000') AS user_id, count(*) AS turns, count(*) FILTER (WHERE m.status = "
		       "'complete') AS complete,"
		       " count(*) FILTER (WHERE m.status = 'interrupted') AS interrupted, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,"
		       " coalesce(sum(completion_tokens), 0) AS completion_tokens, coalesce(sum(first_event_ms), 0) AS ms, "
		       "count(first_event_ms) AS n"
		       " FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id"
		       " WHERE m.role = 'assistant' AND m.status <> 'streaming' GROUP BY 1, 2, 3),"
		       " kept AS (SELECT day, agent_id, user_id, turns, complete, interrupted, prompt_tokens, completion_tokens, "
		       "first_event_ms_sum,"
		       " first_events FROM usage_daily WHERE turns <> 0)"
		       " SELECT count(*) FROM ((TABLE real EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE real)) d"),
		0);
	assert_int_equal(number(w, "SELECT count(*) FROM usage_daily WHERE turns <> complete + stopped + cancelled + interrupted + failed"),
			 0);
}

static void each_ending_is_counted_once(void **state)
{
	struct world *w = *state;
	struct usage u;

	clear(w);
	begin(w, 4, 1, "a", 0);
	assert_int_equal(count(w), 0); /* nothing has ended */
	end(w, "complete");
	begin(w, 2, 1, "b", 0);
	end(w, "failed");
	begin(w, 3, 2, "a", 0);
	begin(w, 1, 3, "a", 0);
	end(w, "stopped");
	assert_int_equal(count(w), 10);
	assert_int_equal(count(w), 0);
	is_exact(w);
	u = overview(w, 1);
	assert_int_equal(u.turns, 10);
	assert_int_equal(u.by_status[USAGE_COMPLETE], 4);
	assert_int_equal(u.by_status[USAGE_FAILED], 2);
	assert_int_equal(u.by_status[USAGE_STOPPED], 4);
	assert_int_equal(u.by_status[USAGE_CANCELLED] + u.by_status[USAGE_INTERRUPTED], 0);
	assert_int_equal(u.anonymous_turns, 4);
	assert_int_equal(u.prompt_tokens, 100);
	assert_int_equal(u.completion_tokens, 30);
	assert_int_equal(u.first_event_ms / u.n_first_events, 200);
	assert_int_equal(u.users, 1);
	assert_int_equal(u.agents, 2);
	assert_int_equal(number(w, "SELECT count(*) FROM usage_daily"), 3); /* visitors are one */
}

/* As when a sweeper took it for abandoned. */
static void an_ending_that_changes_is_counted_as_what_it_is_at_last(void **state)
{
	struct world *w = *state;

	clear(w);
	begin(w, 2, 1, "a", 1);
	run_sql(w, "UPDATE chat_messages SET status = 'interrupted', error_code = 'SERVER_DIED', ended_at = now()");
	assert_int_equal(count(w), 2);
	is_exact(w);
	assert_int_equal(overview(w, 2).by_status[USAGE_INTERRUPTED], 2);
	run_sql(w, "UPDATE chat_messages SET status = 'complete', error_code = NULL, prompt_tokens = 7, completion_tokens = 8, "
		   "first_event_ms = 9");
	assert_int_equal(count(w), 4);
	is_exact(w);
	assert_int_equal(overview(w, 2).turns, 2);
	assert_int_equal(overview(w, 2).by_status[USAGE_COMPLETE], 2);
	assert_int_equal(overview(w, 2).by_status[USAGE_INTERRUPTED], 0);
	assert_int_equal(overview(w, 2).n_first_events, 2);
	/* Other changes of a message are none of its usage. */
	run_sql(w, "UPDATE chat_messages SET content = 'other', status = status");
	assert_int_equal(count(w), 0);
}

static void what_is_deleted_afterwards_stays_counted(void **state)
{
	struct world *w = *state;

	clear(w);
	begin(w, 3, 1, "a", 0);
	end(w, "complete");
	run_sql(w, "DELETE FROM users");
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages"), 0);
	assert_int_equal(count(w), 3);
	assert_int_equal(overview(w, 1).turns, 3);
	assert_int_equal(overview(w, 1).users, 1);
}

static void no_more_are_counted_at_once_than_was_said(void **state)
{
	struct world *w = *state;

	clear(w);
	begin(w, 25, 1, "a", 0);
	end(w, "complete");
	assert_int_equal(count_at_most(w, 10), 10);
	assert_int_equal(count_at_most(w, 10), 10);
	assert_int_equal(count_at_most(w, 10), 5);
	is_exact(w);
}

static bool all_done(const struct ask *asks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!asks[i].done)
			return false;
	return true;
}

static void hosts_that_count_at_once_double_nothing_and_lose_nothing(void **state)
{
	struct world *w = *state;
	struct ask asks[12] = {{.done = false}};
	int64_t n = 0;

	clear(w);
	for (unsigned day = 0; day < 20; day++) {
		begin(w, 20, 1 + day % 3, "a", day);
		begin(w, 20, 1, "b", day);
	}
	end(w, "complete");
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		usage_count(w->pool, ask_begin(w, &asks[i]), 70);
	while (!all_done(asks, N_ELEMENTS(asks)))
		loop_turn(w->loop, true);
	for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
		assert_int_equal(asks[i].err, 0);
		n += query_n_affected(&asks[i].q);
		query_fini(&asks[i].q);
	}
	assert_in_range(n, 1, 800);
	assert_int_equal(n + count(w), 800);
	is_exact(w);
}

static void trends_have_every_day(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	clear(w);
	begin(w, 1, 1, "a", 0);
	begin(w, 2, 1, "a", 3);
	begin(w, 4, 1, "a", 7); /* too old */
	end(w, "complete");
	count(w);
	usage_trends(w->pool, ask_begin(w, &a), 7);
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_rows(&a.q), 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(usage_sums(&a.q, i).turns, i == 6 ? 1 : i == 3 ? 2 : 0);
	assert_false(str_eq(usage_period(&a.q, 0).from, usage_period(&a.q, 6).to));
	query_fini(&a.q);
	usage_trends(w->pool, ask_begin(w, &a), 365);
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_rows(&a.q), 365);
	query_fini(&a.q);
	assert_int_equal(overview(w, 7).turns, 3);
	assert_int_equal(overview(w, 8).turns, 7);
}

static void agents_come_by_use_also_those_that_are_gone(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	clear(w);
	begin(w, 1, 1, "a", 0);
	begin(w, 2, 1, "b", 0);
	end(w, "complete");
	count(w);
	run_sql(w, "TRUNCATE chat_messages, chat_sessions, agent_configs CASCADE");
	run_sql(w, "INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'Agent A', 'openai', 'x', 'm')");
	usage_agents(w->pool, ask_begin(w, &a), 30);
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_rows(&a.q), 2);
	assert_true(str_eq(usage_agent_row(&a.q, 0).id, STR("b")));
	assert_int_equal(usage_agent_row(&a.q, 0).name.len, 0);
	assert_int_equal(usage_sums(&a.q, 0).turns, 2);
	assert_true(str_eq(usage_agent_row(&a.q, 1).name, STR("Agent A")));
	query_fini(&a.q);
}

static void stats_are_of_a_day_a_week_a_month(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};
	static const int64_t turns[] = {1, 3, 7};

	clear(w);
	begin(w, 1, 1, "a", 0);
	begin(w, 2, 1, "a", 6);
	begin(w, 4, 1, "a", 29);
	begin(w, 8, 1, "a", 30);
	end(w, "complete");
	count(w);
	begin(w, 5, 1, "a", 0);
	end(w, "failed");
	usage_stats(w->pool, ask_begin(w, &a));
	assert_int_equal(ask_end(w, &a), 0);
	assert_int_equal(query_n_rows(&a.q), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(usage_sums(&a.q, i).turns, turns[i]);
	assert_int_equal(usage_totals(&a.q).users, 1);
	assert_int_equal(usage_totals(&a.q).active_agents, 2);
	assert_int_equal(usage_totals(&a.q).uncounted, 5);
	query_fini(&a.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(each_ending_is_counted_once),
		T(an_ending_that_changes_is_counted_as_what_it_is_at_last),
		T(what_is_deleted_afterwards_stays_counted),
		T(no_more_are_counted_at_once_than_was_said),
		T(hosts_that_count_at_once_double_nothing_and_lose_nothing),
		T(trends_have_every_day),
		T(agents_come_by_use_also_those_that_are_gone),
		T(stats_are_of_a_day_a_week_a_month),
#undef T
	};

	return cmocka_run_group_tests(tests, make_tables, stop_server);
}
