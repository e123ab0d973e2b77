/* Numbered changes, on a real PostgreSQL: what the triggers note, and that a reader misses none, or knows that he has. */
#include "db/changes.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tests/unit/db/accounts.h"

#define KEY_1            "20000000-0000-7000-8000-000000000001"
#define INSERT_AGENT(id) "INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('" id "', 'A', 'custom', 'http://x', 'm')"
#define N_VERSION        "SELECT n FROM version"

/* What changes.c has told: "kind:id;" for each, "anything;" if that is what may have changed. */
struct reader {
	struct changes *changes;
	struct buf told;
	unsigned n_told;
	unsigned n_reads;
	int64_t last;
};

static void on_change(void *arg, struct str kind, struct str id)
{
	struct reader *reader = arg;

	reader->n_told++;
	if (kind.len == 0 && id.len == 0)
		buf_add_cstr(&reader->told, "anything;");
	else
		buf_printf(&reader->told, "%.*s:%.*s;", STR_ARG(kind), STR_ARG(id));
}

static void wait_told(struct world *w, struct reader *reader, unsigned n)
{
	uint64_t deadline_us = clock_mono_us() + 10000000;

	while (reader->n_told < n && clock_mono_us() < deadline_us)
		loop_turn(w->loop, true);
	assert_int_equal(reader->n_told, n);
}

static void forget(struct reader *reader)
{
	buf_fini(&reader->told);
	reader->n_told = 0;
}

static void start_reading(struct world *w, struct reader *reader)
{
	*reader = (struct reader){.n_told = 0};
	reader->changes = changes_new(w->loop, w->pool, on_change, reader);
	wait_told(w, reader, 1);
	assert_true(str_eq(buf_str(&reader->told), STR("anything;")));
	forget(reader);
}

/* Nothing else was told, until now, than what is expected; the next change is. */
static void expect_told(struct world *w, struct reader *reader, unsigned n, const char *expected)
{
	struct buf all = {0};

	wait_told(w, reader, n);
	run_sql(w, INSERT_AGENT("last"));
	wait_told(w, reader, n + 1);
	buf_printf(&all, "%sagent:last;", expected);
	assert_true(str_eq(buf_str(&reader->told), buf_str(&all)));
	buf_fini(&all);
	run_sql(w, "DELETE FROM agent_configs WHERE id = 'last'");
	wait_told(w, reader, n + 2);
	forget(reader);
}

static void stop_reading(struct reader *reader)
{
	changes_free(reader->changes);
	forget(reader);
}

static int make_rows(void **state)
{
	struct world *w;

	make_people(state);
	w = *state;
	insert_login(w, LOGIN_1, BERT);
	run_sql(w, "INSERT INTO api_keys (id, user_id, name, shown, hash) VALUES ('" KEY_1 "', '" BERT "', 'k', 's', repeat('a', 64))");
	run_sql(w, INSERT_AGENT("support"));
	run_sql(w, "DELETE FROM changes");
	return 0;
}

/* What sql has noted, one after the other. */
static void expect_noted(struct world *w, const char *sql, const char *expected)
{
	char compare[512];

	run_sql(w, "DELETE FROM changes");
	run_sql(w, sql);
	snprintf(compare, sizeof(compare), "SELECT (coalesce(string_agg(kind || ':' || key, ';' ORDER BY n), '') = '%s')::int FROM changes",
		 expected);
	if (number(w, compare) != 1)
		fail_msg("%s: not %s", sql, expected);
}

static void what_copies_are_made_of_is_noted_when_it_changes(void **state)
{
	struct world *w = *state;

	expect_noted(w, "UPDATE users SET username = 'Berta' WHERE id = '" BERT "'", "user:" BERT);
	expect_noted(w, "UPDATE users SET email = 'berta@example.org' WHERE id = '" BERT "'", "user:" BERT);
	expect_noted(w, "UPDATE users SET role = 'admin' WHERE id = '" BERT "'", "user:" BERT);
	expect_noted(w, "UPDATE users SET is_active = false, role = 'user' WHERE id = '" BERT "'", "user:" BERT);
	expect_noted(w, "UPDATE logins SET ended_at = now(), ended_why = 'logout'", "login:" LOGIN_1);
	expect_noted(w, "UPDATE api_keys SET agents = '[\"a\"]'", "key:" KEY_1);
	expect_noted(w, "UPDATE api_keys SET agents = NULL, last_used_at = now()", "key:" KEY_1);
	expect_noted(w, "UPDATE api_keys SET expires_at = now()", "key:" KEY_1);
	expect_noted(w, "UPDATE api_keys SET revoked_at = now()", "key:" KEY_1);
	expect_noted(w, "DELETE FROM api_keys", "key:" KEY_1);
	expect_noted(w, INSERT_AGENT("sales"), "agent:sales");
	expect_noted(w, "UPDATE agent_configs SET model = 'm2' WHERE id = 'sales'", "agent:sales");
	expect_noted(w, "DELETE FROM agent_configs WHERE id = 'sales'", "agent:sales");
	expect_noted(w, "DELETE FROM users WHERE id = '" CARL "'", "user:" CARL);
}

static void a_user_who_is_deleted_is_noted_with_his_keys(void **state)
{
	expect_noted(*state, "DELETE FROM users WHERE id = '" BERT "'", "user:" BERT ";key:" KEY_1);
}

static void what_no_copy_holds_is_not_noted(void **state)
{
	struct world *w = *state;
	int64_t before = number(w, N_VERSION);

	expect_noted(w, "UPDATE users SET last_login_at = now(), email = email, password_hash = 'h', updated_at = now()", "");
	expect_noted(w, "UPDATE users SET username = username, role = role, is_active = is_active", "");
	expect_noted(w, "INSERT INTO users (id, username) VALUES ('" NOBODY "', 'new')", "");
	expect_noted(w, "UPDATE logins SET expires_at = now() + interval '1 hour'", "");
	expect_noted(w, "UPDATE logins SET ended_at = ended_at", "");
	expect_noted(w, "UPDATE api_keys SET last_used_at = now(), name = 'other'", "");
	expect_noted(w, "UPDATE api_keys SET agents = agents, expires_at = expires_at, revoked_at = revoked_at", "");
	expect_noted(w, "INSERT INTO login_failures VALUES ('name', 'x', 1, now())", "");
	assert_int_equal(number(w, N_VERSION), before);
}

static void a_reader_is_told_each_change_once_and_in_order(void **state)
{
	struct world *w = *state;
	struct reader reader;

	start_reading(w, &reader);
	run_sql(w, "UPDATE users SET role = 'admin' WHERE id = '" BERT "'");
	run_sql(w, "UPDATE logins SET ended_at = now(), ended_why = 'logout'");
	run_sql(w, "UPDATE api_keys SET revoked_at = now()");
	run_sql(w, "UPDATE agent_configs SET name = 'B'");
	expect_told(w, &reader, 4, "user:" BERT ";login:" LOGIN_1 ";key:" KEY_1 ";agent:support;");
	run_sql(w, "UPDATE users SET role = 'user' WHERE id = '" BERT "'");
	expect_told(w, &reader, 1, "user:" BERT ";");
	stop_reading(&reader);
}

static void what_was_rolled_back_leaves_no_gap(void **state)
{
	struct world *w = *state;
	struct reader reader;

	start_reading(w, &reader);
	run_sql(w, "DO $$BEGIN UPDATE agent_configs SET name = 'C'; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END$$");
	run_sql(w, "UPDATE users SET role = 'admin' WHERE id = '" BERT "'");
	expect_told(w, &reader, 1, "user:" BERT ";");
	stop_reading(&reader);
}

static void what_is_missing_means_that_anything_may_have_changed(void **state)
{
	struct world *w = *state;
	struct reader reader;

	start_reading(w, &reader);
	run_sql(w, "DO $$BEGIN UPDATE agent_configs SET name = 'C'; DELETE FROM changes; UPDATE agent_configs SET name = 'D'; END$$");
	expect_told(w, &reader, 1, "anything;");
	run_sql(w, "UPDATE version SET n = n + 1");
	expect_told(w, &reader, 1, "anything;");
	run_sql(w,
		"WITH back AS (UPDATE version SET n = n - 3 RETURNING n) DELETE FROM changes WHERE n > (SELECT n FROM back)"); /* an older copy */
	expect_told(w, &reader, 1, "anything;");
	stop_reading(&reader);
}

static void a_thousand_changes_are_told_one_by_one_and_more_are_not(void **state)
{
	struct world *w = *state;
	struct reader reader;

	start_reading(w, &reader);
	run_sql(w, "DO $$BEGIN FOR i IN 1..1000 LOOP INSERT INTO agent_configs (id, name, provider, endpoint, model)"
		   " VALUES ('a-' || i, 'A', 'custom', 'http://x', 'm'); END LOOP; END$$");
	wait_told(w, &reader, 1000);
	assert_true(str_starts(buf_str(&reader.told), STR("agent:a-1;agent:a-2;agent:a-3;")));
	forget(&reader);
	run_sql(w, "DO $$BEGIN FOR i IN 1..1001 LOOP UPDATE agent_configs SET name = 'B' WHERE id = 'support'; END LOOP; END$$");
	expect_told(w, &reader, 1, "anything;");
	stop_reading(&reader);
}

/* A change of thousands is one note: whoever hears of it looks at all of them anyway. */
static void a_statement_about_many_agents_is_noted_once(void **state)
{
	struct world *w = *state;
	struct reader reader;

	start_reading(w, &reader);
	run_sql(w, "INSERT INTO agent_configs (id, name, provider, endpoint, model) SELECT 'a-' || i, 'A', 'custom', 'http://x', 'm'"
		   " FROM generate_series(1, 3000) i");
	expect_told(w, &reader, 1, "agent:*;");
	forget(&reader);
	run_sql(w, "UPDATE agent_configs SET name = 'B' WHERE id = 'nobody'");
	run_sql(w, "DELETE FROM agent_configs WHERE id <> 'support'");
	expect_told(w, &reader, 1, "agent:*;");
	stop_reading(&reader);
}

/* Nobody sees a number before all smaller ones, however long a transaction keeps one back. */
static void a_change_that_is_not_committed_keeps_later_ones_back(void **state)
{
	static const struct statement touch = {
		"test_touch", "UPDATE users SET role = CASE role WHEN 'user' THEN 'admin' ELSE 'user' END WHERE id = $1::uuid", 1};
	static const char *const ids[] = {ANNA, BERT, CARL};
	struct world *w = *state;
	struct reader reader;
	struct holder holder;
	struct ask asks[3] = {{.order = 0}};

	start_reading(w, &reader);
	hold(w, &holder, "UPDATE agent_configs SET name = 'C';");
	for (int i = 0; i < 3; i++) {
		query_text(&asks[i].q, str_from(ids[i]));
		ask(w, &asks[i], &touch);
		wait_blocked(w, i + 1);
	}
	turn_for_ms(w, 1200); /* it has been read twice */
	assert_int_equal(reader.n_told, 0);
	let_go(w, &holder);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask_end(w, &asks[i]), 0);
		query_fini(&asks[i].q);
	}
	wait_told(w, &reader, 4);
	assert_true(str_starts(buf_str(&reader.told), STR("agent:support;"))); /* the others in any order */
	buf_add_char(&reader.told, '\0');
	for (int i = 0; i < 3; i++)
		assert_non_null(strstr(reader.told.p, ids[i]));
	assert_null(strstr(reader.told.p, "anything"));
	stop_reading(&reader);
}

/* What one reading sees of the numbers: from 1 on, without a hole, up to the last. */
static void look_for_holes(struct world *w)
{
	static const struct statement look = {
		"test_look", "SELECT v.n, count(c.n), coalesce(max(c.n), 0) FROM version v LEFT JOIN changes c ON true GROUP BY v.n", 0};
	struct ask a = {.order = 0};
	int64_t last;

	assert_int_equal(ask_and_wait(w, &a, &look), 0);
	last = query_col_int(&a.q, 0, 0);
	assert_int_equal(query_col_int(&a.q, 0, 1), last);
	assert_int_equal(query_col_int(&a.q, 0, 2), last);
	query_fini(&a.q);
}

static void many_writers_leave_no_hole_at_any_moment(void **state)
{
	enum { WRITERS = 20, ROUNDS = 25 };
	static const struct statement touch = {"test_touch_agent", "UPDATE agent_configs SET name = name WHERE id = 'w-' || $1::bigint", 1};
	struct world *w = *state;
	struct reader reader;
	struct ask asks[WRITERS] = {{.order = 0}};
	unsigned n_left = WRITERS * (ROUNDS - 1);

	run_sql(w, "INSERT INTO agent_configs (id, name, provider, endpoint, model) SELECT 'w-' || i, 'A', 'custom', 'http://x', 'm'"
		   " FROM generate_series(0, 19) i");
	run_sql(w, "DELETE FROM changes");
	run_sql(w, "UPDATE version SET n = 0");
	start_reading(w, &reader);
	for (unsigned i = 0; i < WRITERS; i++) {
		query_int(&asks[i].q, i);
		ask(w, &asks[i], &touch);
	}
	while (n_left > 0) {
		for (unsigned i = 0; i < WRITERS && n_left > 0; i++) {
			if (!asks[i].done)
				continue;
			assert_int_equal(asks[i].err, 0);
			query_int(ask_begin(w, &asks[i]), i);
			ask(w, &asks[i], &touch);
			n_left--;
		}
		look_for_holes(w);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		assert_int_equal(ask_end(w, &asks[i]), 0);
		query_fini(&asks[i].q);
	}
	look_for_holes(w);
	wait_told(w, &reader, WRITERS * ROUNDS);
	buf_add_char(&reader.told, '\0');
	assert_null(strstr(reader.told.p, "anything"));
	stop_reading(&reader);
}

static void a_change_made_while_the_database_was_out_of_reach_is_told_afterwards(void **state)
{
	struct world *w = *state;
	struct reader reader;

	start_reading(w, &reader);
	server_stop(&server);
	turn_for_ms(w, 100);
	assert_false(is_reachable(w));
	server_start(&server);
	assert_int_equal(run_psql("UPDATE users SET is_active = false WHERE id = '" BERT "'"), 0); /* before the loop turns again */
	wait_until(w, is_reachable);
	expect_told(w, &reader, 1, "user:" BERT ";");
	stop_reading(&reader);
}

/* Whatever was looked up before that may be old: its change was counted before the first look. */
static void the_first_look_tells_that_anything_may_have_changed(void **state)
{
	struct world *w = *state;
	struct reader reader = {.n_told = 0};
	struct holder holder;

	hold(w, &holder, "LOCK TABLE version;");
	reader.changes = changes_new(w->loop, w->pool, on_change, &reader);
	wait_blocked(w, 1);
	assert_int_equal(reader.n_told, 0);
	let_go(w, &holder);
	expect_told(w, &reader, 1, "anything;");
	stop_reading(&reader);
}

static void may_be_freed_before_and_while_it_reads(void **state)
{
	struct world *w = *state;
	struct reader reader = {.n_told = 0};
	struct holder holder;

	changes_free(NULL);
	changes_free(changes_new(w->loop, w->pool, on_change, &reader));
	hold(w, &holder, "LOCK TABLE version;");
	reader.changes = changes_new(w->loop, w->pool, on_change, &reader);
	wait_blocked(w, 1);
	changes_free(reader.changes);
	let_go(w, &holder);
	turn_for_ms(w, 50);
	assert_int_equal(reader.n_told, 0);
}

static void on_read(void *arg, int64_t n)
{
	struct reader *reader = arg;

	reader->n_reads++;
	reader->last = n;
}

static void wait_read(struct world *w, const struct reader *reader, unsigned n)
{
	uint64_t deadline_us = clock_mono_us() + 10000000;

	while (reader->n_reads < n && clock_mono_us() < deadline_us)
		loop_turn(w->loop, true);
	assert_true(reader->n_reads >= n);
}

static void each_reading_says_how_many_changes_there_are(void **state)
{
	struct world *w = *state;
	struct reader reader;
	int64_t before;

	start_reading(w, &reader);
	changes_on_read(reader.changes, on_read);
	wait_read(w, &reader, 2);
	before = reader.last;
	assert_int_equal(before, number(w, N_VERSION));
	assert_int_equal(reader.n_told, 0);
	run_sql(w, "UPDATE users SET role = 'admin' WHERE id = '" BERT "'");
	wait_told(w, &reader, 1);
	assert_int_equal(reader.last, before + 1); /* which came first */
	wait_read(w, &reader, reader.n_reads + 1); /* which tells of nothing */
	assert_int_equal(reader.last, before + 1);
	stop_reading(&reader);
}

static void what_is_announced_is_told_to_all_and_not_too_often(void **state)
{
	struct world *w = *state;
	struct reader one, other;

	start_reading(w, &one);
	start_reading(w, &other);
	for (int i = 0; i < 1000; i++)
		changes_announce(one.changes, "cache");
	wait_told(w, &one, 1);
	wait_told(w, &other, 1);
	assert_true(str_eq(buf_str(&one.told), STR("cache:;")));
	wait_told(w, &one, 2); /* the calls that came while the first one was on its way are one, too */
	turn_for_ms(w, 1500);
	assert_int_equal(one.n_told, 2);
	assert_true(str_eq(buf_str(&other.told), STR("cache:;cache:;")));
	stop_reading(&one);
	stop_reading(&other);
}

static void what_could_not_be_announced_is_announced_later(void **state)
{
	struct world *w = *state;
	struct reader reader;
	struct holder holder;

	start_reading(w, &reader);
	hold(w, &holder, "LOCK TABLE version IN SHARE MODE;"); /* which can be read */
	changes_announce(reader.changes, "cache");
	wait_blocked(w, 1);
	run_sql(w, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
	turn_for_ms(w, 100);
	assert_int_equal(reader.n_told, 0);
	let_go(w, &holder);
	wait_told(w, &reader, 1);
	assert_true(str_eq(buf_str(&reader.told), STR("cache:;")));
	stop_reading(&reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_rows, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_copies_are_made_of_is_noted_when_it_changes),
		TEST(a_user_who_is_deleted_is_noted_with_his_keys),
		TEST(what_no_copy_holds_is_not_noted),
		TEST(a_reader_is_told_each_change_once_and_in_order),
		TEST(what_was_rolled_back_leaves_no_gap),
		TEST(what_is_missing_means_that_anything_may_have_changed),
		TEST(a_thousand_changes_are_told_one_by_one_and_more_are_not),
		TEST(a_statement_about_many_agents_is_noted_once),
		TEST(a_change_that_is_not_committed_keeps_later_ones_back),
		TEST(many_writers_leave_no_hole_at_any_moment),
		TEST(a_change_made_while_the_database_was_out_of_reach_is_told_afterwards),
		TEST(the_first_look_tells_that_anything_may_have_changed),
		TEST(each_reading_says_how_many_changes_there_are),
		TEST(what_is_announced_is_told_to_all_and_not_too_often),
		TEST(what_could_not_be_announced_is_announced_later),
		TEST(may_be_freed_before_and_while_it_reads),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
