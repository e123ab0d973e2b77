/* What goes by age and what stays, on a real PostgreSQL with the project's own tables. */
#include "tests/unit/db/fixture.h"

#include "db/retention.h"

enum { DAY_S = 86400, TTL_S = 30 * DAY_S, ALL = 10000 };

static void clear(struct world *w)
{
	static const char *const tables[] = {"users CASCADE", "login_failures", "changes", "audit_log"};
	char sql[64];

	world_pool(w, 2, 1);
	for (size_t i = 0; i < N_ELEMENTS(tables); i++) {
		snprintf(sql, sizeof(sql), "TRUNCATE %s", tables[i]);
		run_sql(w, sql);
	}
}

static int64_t gone(struct world *w, struct ask *a)
{
	int64_t n;

	assert_int_equal(ask_end(w, a), 0);
	n = query_n_affected(&a->q);
	query_fini(&a->q);
	return n;
}

static int64_t expire_logins(struct world *w, int64_t max)
{
	struct ask a = {.done = false};

	retention_logins(w->pool, ask_begin(w, &a), TTL_S, max);
	return gone(w, &a);
}

/* Logins numbered from 1, with these ages in days of their expiry and their end (NULL: it has none), and three tokens each. */
static void make_logins(struct world *w, const char *values)
{
	char sql[1024];

	run_sql(w, "INSERT INTO users (id, username, password_hash) VALUES ('00000000-0000-7000-8000-000000000000', 'anna', 'x')");
	snprintf(
		sql, sizeof(sql),
		"INSERT INTO logins (id, user_id, address, expires_at, ended_at, ended_why)"
		" SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, u.id, '::1', now() - make_interval(days => expired),"
		" now() - make_interval(days => ended), CASE WHEN ended IS NOT NULL THEN 'logout' END"
		" FROM users u, (VALUES %s) v (i, expired, ended)",
		values);
	run_sql(w, sql);
	run_sql(w, "INSERT INTO refresh_tokens (hash, login_id) SELECT encode(sha256((l.id::text || i)::bytea), 'hex'), l.id"
		   " FROM logins l, generate_series(1, 3) i");
}

static void old_logins_go_with_their_tokens(void **state)
{
	struct world *w = *state;

	clear(w);
	make_logins(w, "(1, 31, NULL::integer), (2, 29, NULL), (3, -10, NULL), (4, 5, 31), (5, 1, 29), (6, 40, 60), (7, -10, 1)");
	assert_int_equal(expire_logins(w, ALL), 3);
	assert_int_equal(number(w, "SELECT sum(right(id::text, 1)::integer) FROM logins"), 2 + 3 + 5 + 7);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens"), 4 * 3);
	assert_int_equal(expire_logins(w, ALL), 0);
}

static void no_more_go_at_once_than_was_said(void **state)
{
	struct world *w = *state;

	clear(w);
	make_logins(w, "(1, 31, NULL::integer), (2, 32, NULL), (3, 33, NULL), (4, 34, NULL), (5, 35, NULL)");
	assert_int_equal(expire_logins(w, 2), 2);
	assert_int_equal(number(w, "SELECT min(right(id::text, 1)::integer) * 10 + max(right(id::text, 1)::integer) FROM logins"),
			 13); /* the oldest first */
	assert_int_equal(expire_logins(w, 2), 2);
	assert_int_equal(expire_logins(w, 2), 1);
	assert_int_equal(expire_logins(w, 2), 0);
}

/* Nobody waits for another host that does the same. */
static void rows_that_others_hold_are_passed_over(void **state)
{
	struct world *w = *state;
	struct ask holder = {.done = false};
	static const struct statement hold = {
		"test_hold", "SELECT pg_sleep(1) FROM (SELECT id FROM logins WHERE right(id::text, 1) = '2' FOR UPDATE) x", 0};

	clear(w);
	make_logins(w, "(1, 31, NULL::integer), (2, 32, NULL), (3, 33, NULL)");
	ask(w, &holder, &hold);
	turn_for_ms(w, 300);
	assert_false(holder.done);
	assert_int_equal(expire_logins(w, ALL), 2);
	assert_false(holder.done);
	wait_done(w, &holder.done);
	assert_int_equal(holder.err, 0);
	query_fini(&holder.q);
	assert_int_equal(expire_logins(w, ALL), 1);
}

static void failures_go_when_they_count_no_more(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	clear(w);
	run_sql(w, "INSERT INTO login_failures (kind, key, failures, expires_at) VALUES ('name', 'a', 1, now() - interval '1 second'),"
		   " ('address', 'a', 1, now() + interval '1 minute'), ('name', 'b', 9, now() - interval '1 day')");
	retention_login_failures(w->pool, ask_begin(w, &a), ALL);
	assert_int_equal(gone(w, &a), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM login_failures WHERE kind = 'address'"), 1);
}

static void changes_go_after_an_hour_but_for_the_newest_thousand(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	clear(w);
	run_sql(w,
		"INSERT INTO changes (n, kind, key, at) SELECT i, 'user', 'x', now() - interval '1 day' FROM generate_series(1, 1000) i");
	retention_changes(w->pool, ask_begin(w, &a), ALL);
	assert_int_equal(gone(w, &a), 0);
	run_sql(w, "INSERT INTO changes (n, kind, key, at) SELECT i, 'user', 'x', now() - interval '2 hours' FROM generate_series(1001, "
		   "1010) i");
	retention_changes(w->pool, ask_begin(w, &a), 4);
	assert_int_equal(gone(w, &a), 4);
	retention_changes(w->pool, ask_begin(w, &a), ALL);
	assert_int_equal(gone(w, &a), 6);
	assert_int_equal(number(w, "SELECT min(n) FROM changes"), 11);
	/* Younger than an hour: they stay, however many. */
	run_sql(w, "UPDATE changes SET at = now() - interval '50 minutes'");
	run_sql(w, "INSERT INTO changes (n, kind, key) SELECT i, 'user', 'x' FROM generate_series(1011, 3000) i");
	retention_changes(w->pool, ask_begin(w, &a), ALL);
	assert_int_equal(gone(w, &a), 0);
}

static void audit_entries_go_after_their_days(void **state)
{
	struct world *w = *state;
	struct ask a = {.done = false};

	clear(w);
	run_sql(w,
		"INSERT INTO audit_log (at, type, actor, address, request_id) SELECT now() - make_interval(days => i), 'login', 'a', '', ''"
		" FROM generate_series(0, 99) i");
	retention_audit(w->pool, ask_begin(w, &a), 3650, ALL);
	assert_int_equal(gone(w, &a), 0);
	retention_audit(w->pool, ask_begin(w, &a), 90, ALL);
	assert_int_equal(gone(w, &a), 10); /* 90 to 99, for now() has moved on since */
	retention_audit(w->pool, ask_begin(w, &a), 1, 50);
	assert_int_equal(gone(w, &a), 50);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 40);
}

/* ---- deleted sessions ---- */

/* i: deleted that many days ago, with n messages; an active one has as many. */
static void make_sessions(struct world *w)
{
	run_sql(w, "TRUNCATE agent_configs, chat_sessions, session_counts CASCADE");
	run_sql(w, "INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'A', 'custom', 'http://x', 'm')");
	run_sql(w, "INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id) SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,"
		   " '00000000-0000-7000-8000-00000000000a', true, 's' || i, 'a' FROM generate_series(1, 40) i");
	run_sql(w, "INSERT INTO chat_messages (id, session_id, role, content, status) SELECT gen_random_uuid(), s.id, 'user', repeat('x', 100), 'complete'"
		   " FROM chat_sessions s, generate_series(1, 50) i");
	run_sql(w, "UPDATE chat_sessions SET status = 'deleted', deleted_name = name, name = '#' || id,"
		   " deleted_at = now() - make_interval(days => substr(name, 2)::integer) WHERE name <> 's40'");
}

static int64_t expire_messages(struct world *w, int64_t max)
{
	struct ask a = {.done = false};

	retention_session_messages(w->pool, ask_begin(w, &a), 30, max);
	return gone(w, &a);
}

static int64_t expire_sessions(struct world *w, int64_t max)
{
	struct ask a = {.done = false};

	retention_sessions(w->pool, ask_begin(w, &a), 30, max);
	return gone(w, &a);
}

static void deleted_sessions_go_after_their_messages_slice_by_slice(void **state)
{
	struct world *w = *state;

	clear(w);
	make_sessions(w);
	assert_int_equal(expire_sessions(w, 1000), 0); /* none is empty */
	assert_int_equal(expire_messages(w, 200), 200);
	assert_int_equal(expire_messages(w, 1000), 10 * 50 - 200); /* those of 30 to 39 days */
	assert_int_equal(expire_messages(w, 1000), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_messages"), 30 * 50);
	assert_int_equal(expire_sessions(w, 4), 4);
	assert_int_equal(expire_sessions(w, 1000), 6);
	assert_int_equal(number(w, "SELECT count(*) FROM chat_sessions"), 30);
	/* the count follows */
	assert_int_equal(number(w, "SELECT (counts ->> 'deleted/a')::integer * 100 + (counts ->> 'active/a')::integer FROM session_counts"), 2901);
}

static void a_slice_of_large_messages_is_small(void **state)
{
	struct world *w = *state;

	clear(w);
	make_sessions(w);
	run_sql(w, "UPDATE chat_messages SET content = repeat('x', 10000000) WHERE id IN (SELECT m.id FROM chat_messages m JOIN chat_sessions s"
		   " ON s.id = session_id WHERE deleted_name = 's39' LIMIT 10)");
	run_sql(w, "DELETE FROM chat_messages m USING chat_sessions s WHERE s.id = m.session_id AND m.content < repeat('x', 1000)");
	assert_int_equal(expire_messages(w, 1000), 4); /* 32 MiB begin in the fourth */
	assert_int_equal(expire_messages(w, 1000), 4);
	assert_int_equal(expire_messages(w, 1000), 2);
	assert_int_equal(expire_messages(w, 1000), 0);
}

static void the_counts_of_an_owner_go_with_his_last_session(void **state)
{
	struct world *w = *state;

	clear(w);
	make_sessions(w);
	run_sql(w, "DELETE FROM chat_messages");
	assert_int_equal(expire_sessions(w, 1000), 10);
	run_sql(w, "DELETE FROM chat_sessions WHERE status = 'deleted'");
	assert_int_equal(number(w, "SELECT count(*) FROM session_counts WHERE counts = '{\"active/a\": 1, \"deleted/a\": 0}'"), 1);
	run_sql(w, "DELETE FROM chat_sessions");
	assert_int_equal(number(w, "SELECT count(*) FROM session_counts"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(old_logins_go_with_their_tokens),
		T(no_more_go_at_once_than_was_said),
		T(rows_that_others_hold_are_passed_over),
		T(failures_go_when_they_count_no_more),
		T(changes_go_after_an_hour_but_for_the_newest_thousand),
		T(audit_entries_go_after_their_days),
#undef T
		cmocka_unit_test_setup_teardown(deleted_sessions_go_after_their_messages_slice_by_slice, make_world, end_world),
		cmocka_unit_test_setup_teardown(a_slice_of_large_messages_is_small, make_world, end_world),
		cmocka_unit_test_setup_teardown(the_counts_of_an_owner_go_with_his_last_session, make_world, end_world),
	};

	return cmocka_run_group_tests(tests, make_tables, stop_server);
}
