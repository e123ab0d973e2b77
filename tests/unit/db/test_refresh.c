/* Refresh tokens, on a real PostgreSQL: one takes the place of another, and one that comes back ends the login. */
#include "db/logins.h"

#include <stdio.h>

#include "tests/unit/db/accounts.h"

enum { TTL_S = 2000 };

static void refresh(struct world *w, struct ask *a, unsigned token, unsigned new_token)
{
	logins_refresh(w->pool, ask_begin(w, a), hash_of(token), hash_of(new_token), TTL_S, STR("192.0.2.9"), STR("request-3"));
}

static int state_of(struct world *w, unsigned token, unsigned new_token)
{
	struct ask a = {.order = 0};
	struct login_refreshed got;

	refresh(w, &a, token, new_token);
	expect_rows(w, &a, 1);
	got = logins_refreshed(&a.q);
	assert_true(str_eq(got.login_id, STR(LOGIN_1)) && str_eq(got.user_id, STR(BERT)) && str_eq(got.username, STR("Bert")));
	assert_true(str_eq(got.email, STR("bert@example.org")) && str_eq(got.role, STR("user")));
	query_fini(&a.q);
	return (int)got.state;
}

/* Bert's login with token 1, and Carl's with token 100. */
static int make_logins(void **state)
{
	struct world *w;

	make_people(state);
	w = *state;
	insert_login(w, LOGIN_1, BERT);
	insert_login(w, LOGIN_2, CARL);
	run_sql(w, "INSERT INTO refresh_tokens (hash, login_id) VALUES (lpad('1', 64, '0'), '" LOGIN_1 "'), (lpad('64', 64, '0'), '" LOGIN_2
		   "')");
	return 0;
}

static void make_used_s_ago(struct world *w, const char *interval)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "UPDATE refresh_tokens SET used_at = now() - interval '%s' WHERE hash = lpad('1', 64, '0')", interval);
	run_sql(w, sql);
}

static void a_token_takes_the_place_of_another_and_the_login_lasts_longer(void **state)
{
	struct world *w = *state;

	assert_int_equal(state_of(w, 1, 2), REFRESH_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens WHERE login_id = '" LOGIN_1
				   "' AND (hash = lpad('1', 64, '0')) = (used_at IS NOT NULL)"),
			 2);
	assert_int_equal(
		number(w, "SELECT count(*) FROM logins WHERE expires_at BETWEEN now() + interval '1990 s' AND now() + interval '2000 s'"),
		1);
	assert_int_equal(state_of(w, 2, 3), REFRESH_FINE);
	assert_int_equal(state_of(w, 3, 4), REFRESH_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM changes"), 0);
}

static void a_token_that_nobody_knows_gets_no_row(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	refresh(w, &a, 7, 8);
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens"), 2);
	query_fini(&a.q);
}

static void a_tab_that_comes_within_ten_seconds_gets_a_token_too(void **state)
{
	struct world *w = *state;

	make_used_s_ago(w, "9 s");
	assert_int_equal(state_of(w, 1, 2), REFRESH_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens WHERE used_at > now() - interval '5 s'"),
			 0); /* the first use counts */
	make_used_s_ago(w, "10 s");
	assert_int_equal(state_of(w, 1, 3), REFRESH_REUSED);
}

static void one_that_was_used_before_ends_the_login_for_all_its_tokens(void **state)
{
	struct world *w = *state;

	assert_int_equal(state_of(w, 1, 2), REFRESH_FINE);
	make_used_s_ago(w, "11 s");
	assert_int_equal(state_of(w, 1, 3), REFRESH_REUSED);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE id = '" LOGIN_1 "' AND ended_why = 'reused'"), 1);
	assert_int_equal(state_of(w, 2, 4), REFRESH_ENDED);
	assert_int_equal(state_of(w, 1, 5), REFRESH_ENDED);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens WHERE login_id = '" LOGIN_1 "'"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL"), 1); /* Carl's */
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'login.reused' AND user_id = '" BERT
				   "' AND actor_id = '" BERT "'"
				   " AND actor = 'Bert' AND address = '192.0.2.9' AND request_id = 'request-3' AND details = '{}'"),
			 1);
	assert_int_equal(number(w, "SELECT count(*) FROM changes WHERE kind = 'login' AND key = '" LOGIN_1 "'"), 1);
}

static void a_login_that_is_over_gives_no_tokens(void **state)
{
	struct world *w = *state;

	run_sql(w, "UPDATE logins SET expires_at = now()");
	assert_int_equal(state_of(w, 1, 2), REFRESH_ENDED);
	run_sql(w, "UPDATE logins SET expires_at = now() + interval '1 minute'");
	run_sql(w, "UPDATE users SET is_active = false WHERE id = '" BERT "'");
	assert_int_equal(state_of(w, 1, 2), REFRESH_ENDED);
	run_sql(w, "UPDATE users SET is_active = true");
	assert_int_equal(state_of(w, 1, 2), REFRESH_FINE);
	run_sql(w, "UPDATE logins SET ended_at = now(), ended_why = 'logout'");
	assert_int_equal(state_of(w, 2, 3), REFRESH_ENDED);
	make_used_s_ago(w, "1 hour");
	assert_int_equal(state_of(w, 1, 3), REFRESH_ENDED);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_why = 'logout'"), 2);
}

static void two_refreshes_of_one_token_at_the_same_time_both_work(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0}, b = {.order = 0};

	hold(w, &holder, "PERFORM FROM refresh_tokens FOR UPDATE;");
	refresh(w, &a, 1, 2);
	refresh(w, &b, 1, 3);
	wait_blocked(w, 2);
	let_go(w, &holder);
	expect_rows(w, &a, 1);
	expect_rows(w, &b, 1);
	assert_int_equal(logins_refreshed(&a.q).state, REFRESH_FINE);
	assert_int_equal(logins_refreshed(&b.q).state, REFRESH_FINE);
	assert_int_equal(state_of(w, 2, 4), REFRESH_FINE);
	assert_int_equal(state_of(w, 3, 5), REFRESH_FINE);
	query_fini(&a.q);
	query_fini(&b.q);
}

static void two_reuses_at_the_same_time_are_written_down_once(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0}, b = {.order = 0};

	make_used_s_ago(w, "1 minute");
	hold(w, &holder, "PERFORM FROM refresh_tokens FOR UPDATE;");
	refresh(w, &a, 1, 2);
	refresh(w, &b, 1, 3);
	wait_blocked(w, 2);
	let_go(w, &holder);
	expect_rows(w, &a, 1);
	expect_rows(w, &b, 1);
	assert_int_equal((int)logins_refreshed(&a.q).state + (int)logins_refreshed(&b.q).state, REFRESH_REUSED + REFRESH_ENDED);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 1);
	query_fini(&a.q);
	query_fini(&b.q);
}

static void a_refresh_that_meets_the_end_of_its_login_gets_no_token(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0};

	hold(w, &holder, "UPDATE logins SET ended_at = now(), ended_why = 'password' WHERE id = '" LOGIN_1 "';");
	refresh(w, &a, 1, 2);
	wait_blocked(w, 1);
	let_go(w, &holder);
	expect_rows(w, &a, 1);
	assert_int_equal(logins_refreshed(&a.q).state, REFRESH_ENDED);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_why = 'password'"), 1);
	query_fini(&a.q);
}

static void a_refresh_that_meets_the_deletion_of_its_login_does_not_deadlock(void **state)
{
	static const struct statement delete = {"test_delete", "DELETE FROM logins WHERE id = '" LOGIN_1 "'", 0};
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0}, b = {.order = 0};

	hold(w, &holder, "PERFORM FROM logins FOR UPDATE;");
	ask(w, &a, &delete);
	wait_blocked(w, 1);
	refresh(w, &b, 1, 2);
	wait_blocked(w, 2);
	let_go(w, &holder);
	expect_rows(w, &a, 0);
	expect_rows(w, &b, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens"), 1); /* Carl's */
	query_fini(&a.q);
	query_fini(&b.q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_logins, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_takes_the_place_of_another_and_the_login_lasts_longer),
		TEST(a_token_that_nobody_knows_gets_no_row),
		TEST(a_tab_that_comes_within_ten_seconds_gets_a_token_too),
		TEST(one_that_was_used_before_ends_the_login_for_all_its_tokens),
		TEST(a_login_that_is_over_gives_no_tokens),
		TEST(two_refreshes_of_one_token_at_the_same_time_both_work),
		TEST(two_reuses_at_the_same_time_are_written_down_once),
		TEST(a_refresh_that_meets_the_end_of_its_login_gets_no_token),
		TEST(a_refresh_that_meets_the_deletion_of_its_login_does_not_deadlock),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
