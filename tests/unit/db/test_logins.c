/* Logins and failures to log in, on a real PostgreSQL: what counts, what bars, what is written down. */
#include "db/logins.h"

#include <stdio.h>

#include "db/users.h"
#include "tests/unit/db/accounts.h"

static const struct login_limits limits = {.max_failures = 5, .lockout_s = 900, .address_max = 50, .address_window_s = 600};

static struct login_attempt attempt_of(const char *username, const char *address)
{
	return (struct login_attempt){
		.username = str_from(username),
		.address = str_from(address),
		.user_agent = STR("Firefox"),
		.request_id = STR("request-2"),
		.limits = &limits,
	};
}

static struct login_look look(struct world *w, struct ask *a, const char *username, const char *address)
{
	struct login_attempt attempt = attempt_of(username, address);

	logins_look(w->pool, ask_begin(w, a), &attempt);
	expect_rows(w, a, 1);
	return logins_looked(&a->q);
}

static enum login_verdict guess(struct world *w, const char *username, const char *address)
{
	struct login_attempt attempt = attempt_of(username, address);
	struct ask a = {.order = 0};
	enum login_verdict verdict;

	logins_fail(w->pool, ask_begin(w, &a), &attempt, str_eq_nocase(attempt.username, STR("bert")) ? STR(BERT) : STR(""));
	expect_rows(w, &a, 1);
	verdict = logins_failed(&a.q);
	query_fini(&a.q);
	return verdict;
}

/* Bert's; ask_end follows. */
static void open_login(struct world *w, struct ask *a, const char *address, const char *id, struct str new_hash)
{
	struct login_attempt attempt = attempt_of("BERT", address);
	struct new_login login = {
		.id = str_from(id),
		.user_id = STR(BERT),
		.username = STR("Bert"),
		.refresh_hash = hash_of(1),
		.ttl_s = 1000,
		.password_hash = new_hash,
	};

	logins_open(w->pool, ask_begin(w, a), &attempt, &login);
}

static enum login_verdict opened(struct world *w, struct ask *a)
{
	enum login_verdict verdict;

	expect_rows(w, a, 1);
	verdict = logins_opened(&a->q);
	query_fini(&a->q);
	return verdict;
}

static enum login_verdict open_now(struct world *w, const char *address)
{
	struct ask a = {.order = 0};

	open_login(w, &a, address, LOGIN_1, STR(""));
	return opened(w, &a);
}

static void looks_at_a_user_by_any_case_of_his_name(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct login_look found = look(w, &a, "bErT", "192.0.2.9");

	assert_true(str_eq(found.user_id, STR(BERT)) && str_eq(found.username, STR("Bert")) &&
		    str_eq(found.email, STR("bert@example.org")));
	assert_true(str_eq(found.role, STR("user")) && str_eq(found.password_hash, STR("hash-b")) && found.is_active);
	assert_true(found.name_barred_s == 0 && found.address_barred_s == 0);
	found = look(w, &a, "nobody", "192.0.2.9");
	assert_true(found.user_id.len == 0 && found.password_hash.len == 0 && !found.is_active);
	assert_true(found.name_barred_s == 0 && found.address_barred_s == 0);
	run_sql(w, "UPDATE users SET is_active = false WHERE id = '" BERT "'");
	found = look(w, &a, "bert", "192.0.2.9");
	assert_true(str_eq(found.user_id, STR(BERT)) && !found.is_active);
	query_fini(&a.q);
}

/* An unknown name must not be told from a known one by what happens to it. */
static void five_failures_bar_a_name_whether_there_is_such_a_user_or_not(void **state)
{
	static const char *const names[] = {"bert", "nobody"};
	struct world *w = *state;
	struct ask a = {.order = 0};

	for (size_t n = 0; n < N_ELEMENTS(names); n++) {
		struct login_look found;

		for (int i = 0; i < 5; i++) {
			assert_int_equal(look(w, &a, names[n], "192.0.2.9").name_barred_s, 0);
			assert_int_equal(guess(w, i % 2 ? names[n] : n ? "NOBODY" : "BERT", "192.0.2.9"), LOGIN_FINE);
		}
		found = look(w, &a, names[n], "192.0.2.8");
		assert_in_range(found.name_barred_s, 895, 900);
		assert_int_equal(found.address_barred_s, 0);
		assert_int_equal(guess(w, names[n], "192.0.2.8"), LOGIN_NAME_BARRED);
		assert_int_equal(look(w, &a, "carl", "192.0.2.9").name_barred_s, 0);
	}
	query_fini(&a.q);
}

static void failures_are_written_down_while_they_count_and_unknown_names_are_not(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 8; i++) {
		(void)guess(w, "bert", "192.0.2.9");
		(void)guess(w, "nobody", "192.0.2.9");
	}
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 10);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE actor = 'bert' AND actor_id = '" BERT "' AND user_id = '" BERT "'"
				   " AND address = '192.0.2.9' AND request_id = 'request-2' AND type = 'login.failed'"),
			 4);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE actor = '' AND actor_id IS NULL AND user_id IS NULL"
				   " AND type = 'login.failed'"),
			 4);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'login.locked'"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log a WHERE a::text ~* 'nobody'"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM login_failures f WHERE f::text ~* 'nobody|bert'"), 0);
}

static void a_bar_runs_out_and_what_comes_meanwhile_does_not_prolong_it(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	for (int i = 0; i < 5; i++)
		assert_int_equal(guess(w, "bert", "192.0.2.9"), LOGIN_FINE);
	run_sql(w, "UPDATE login_failures SET expires_at = now() + interval '100.5 s' WHERE kind = 'name'");
	assert_int_equal(guess(w, "bert", "192.0.2.9"), LOGIN_NAME_BARRED);
	assert_in_range(look(w, &a, "bert", "192.0.2.9").name_barred_s, 90, 101);
	run_sql(w, "UPDATE login_failures SET expires_at = now() WHERE kind = 'name'");
	assert_int_equal(look(w, &a, "bert", "192.0.2.9").name_barred_s, 0);
	assert_int_equal(guess(w, "bert", "192.0.2.9"), LOGIN_FINE); /* the first again */
	assert_int_equal(number(w, "SELECT failures FROM login_failures WHERE kind = 'name'"), 1);
	assert_int_equal(open_now(w, "192.0.2.9"), LOGIN_FINE);
	query_fini(&a.q);
}

static void each_failure_that_counts_keeps_the_earlier_ones_alive(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	for (int i = 0; i < 5; i++) {
		assert_int_equal(guess(w, "bert", "192.0.2.9"), LOGIN_FINE);
		run_sql(w, "UPDATE login_failures SET expires_at = now() + interval '5 s' WHERE kind = 'name' AND failures < 5");
	}
	assert_in_range(look(w, &a, "bert", "192.0.2.9").name_barred_s, 895, 900);
	query_fini(&a.q);
}

static void an_address_is_barred_for_the_rest_of_its_window(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct login_look found;
	char name[32];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "nobody-%d", i);
		assert_int_equal(look(w, &a, name, "192.0.2.9").address_barred_s, 0);
		assert_int_equal(guess(w, name, "192.0.2.9"), LOGIN_FINE);
		if (i == 0)
			run_sql(w, "UPDATE login_failures SET expires_at = now() + interval '300.5 s' WHERE kind = 'address'");
	}
	found = look(w, &a, "bert", "192.0.2.9");
	assert_in_range(found.address_barred_s, 280, 301); /* since the first failure, not the last */
	assert_int_equal(found.name_barred_s, 0);
	assert_int_equal(guess(w, "bert", "192.0.2.9"), LOGIN_ADDRESS_BARRED);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 50);
	assert_int_equal(open_now(w, "192.0.2.9"), LOGIN_ADDRESS_BARRED);
	assert_int_equal(open_now(w, "192.0.2.8"), LOGIN_FINE);
	run_sql(w, "UPDATE login_failures SET expires_at = now() WHERE kind = 'address'");
	assert_int_equal(look(w, &a, "bert", "192.0.2.9").address_barred_s, 0);
	assert_int_equal(guess(w, "bert", "192.0.2.9"), LOGIN_FINE);
	query_fini(&a.q);
}

static void twenty_failures_at_once_are_counted_exactly(void **state)
{
	enum { N = 20 };
	struct world *w = *state;
	struct ask asks[N] = {{.order = 0}};
	struct holder holder;
	struct login_attempt attempt = attempt_of("bert", "192.0.2.9");
	int n_fine = 0, n_barred = 0;

	(void)guess(w, "bert", "192.0.2.9");
	hold(w, &holder, "PERFORM FROM login_failures WHERE kind = 'name' FOR UPDATE;");
	for (int i = 0; i < N; i++)
		logins_fail(w->pool, ask_begin(w, &asks[i]), &attempt, STR(BERT));
	wait_blocked(w, N);
	let_go(w, &holder);
	for (int i = 0; i < N; i++) {
		expect_rows(w, &asks[i], 1);
		n_fine += logins_failed(&asks[i].q) == LOGIN_FINE;
		n_barred += logins_failed(&asks[i].q) == LOGIN_NAME_BARRED;
		query_fini(&asks[i].q);
	}
	assert_int_equal(n_fine, 4);
	assert_int_equal(n_barred, N - 4);
	assert_int_equal(number(w, "SELECT failures FROM login_failures WHERE kind = 'name'"), N + 1);
	assert_int_equal(number(w, "SELECT failures FROM login_failures WHERE kind = 'address'"), N + 1);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 5);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'login.locked'"), 1);
}

static void a_right_password_makes_a_login_and_forgets_the_failures_of_the_name(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 4; i++)
		(void)guess(w, "bert", "192.0.2.9");
	(void)guess(w, "carl", "192.0.2.9");
	assert_int_equal(open_now(w, "192.0.2.9"), LOGIN_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM login_failures WHERE kind = 'name'"), 1); /* Carl's */
	assert_int_equal(number(w, "SELECT failures FROM login_failures WHERE kind = 'address'"), 5);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE id = '" LOGIN_1 "' AND user_id = '" BERT "' AND address = '192.0.2.9'"
				   " AND user_agent = 'Firefox' AND ended_at IS NULL AND expires_at = created_at + interval '1000 s'"),
			 1);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens WHERE login_id = '" LOGIN_1
				   "' AND hash = lpad('1', 64, '0') AND used_at IS NULL"),
			 1);
	assert_int_equal(
		number(w, "SELECT count(*) FROM users WHERE id = '" BERT "' AND last_login_at IS NOT NULL AND password_hash = 'hash-b'"),
		1);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'login' AND actor = 'Bert' AND user_id = '" BERT "'"), 1);
}

static void a_right_password_that_comes_after_too_many_failures_makes_no_login(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	assert_int_equal(look(w, &a, "bert", "192.0.2.9").name_barred_s, 0); /* and then its hash is compared, which takes a while */
	query_fini(&a.q);
	for (int i = 0; i < 5; i++)
		assert_int_equal(guess(w, "Bert", "192.0.2.8"), LOGIN_FINE);
	assert_int_equal(open_now(w, "192.0.2.9"), LOGIN_NAME_BARRED);
	assert_int_equal(number(w, "SELECT count(*) FROM logins"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM refresh_tokens"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE last_login_at IS NOT NULL"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'login'"), 0);
	assert_int_equal(number(w, "SELECT failures FROM login_failures WHERE kind = 'name'"), 5);
}

static void whoever_is_inactive_or_gone_gets_no_login(void **state)
{
	struct world *w = *state;

	run_sql(w, "UPDATE users SET is_active = false WHERE id = '" BERT "'");
	assert_int_equal(open_now(w, "192.0.2.9"), LOGIN_INACTIVE);
	run_sql(w, "DELETE FROM users WHERE id = '" BERT "'");
	assert_int_equal(open_now(w, "192.0.2.9"), LOGIN_INACTIVE);
	assert_int_equal(number(w, "SELECT count(*) FROM logins"), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
}

static void a_hash_that_was_made_anew_replaces_the_old_one(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	open_login(w, &a, "192.0.2.9", LOGIN_1, STR("hash-b2"));
	assert_int_equal(opened(w, &a), LOGIN_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE id = '" BERT "' AND password_hash = 'hash-b2'"), 1);
}

static bool is_found(struct world *w, const char *login_id, const char *user_id)
{
	const struct lookup *l = find_login(w, login_id, user_id);

	if (l->found) {
		assert_true(str_eq(l->holder.id, str_from(login_id)) && str_eq(l->holder.user_id, STR(BERT)));
		assert_true(str_eq(l->holder.username, STR("Bert")) && str_eq(l->holder.role, STR("user")));
		assert_true(l->holder.agents.len == 0 && l->holder.expires_in_s == 0);
	}
	return l->found;
}

static void a_login_is_found_until_it_ends_or_its_user_may_not_log_in(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	insert_login(w, LOGIN_1, BERT);
	assert_true(is_found(w, LOGIN_1, BERT));
	assert_false(is_found(w, LOGIN_1, CARL));
	assert_false(is_found(w, LOGIN_2, BERT));
	run_sql(w, "UPDATE users SET is_active = false WHERE id = '" BERT "'");
	assert_false(is_found(w, LOGIN_1, BERT));
	run_sql(w, "UPDATE users SET is_active = true WHERE id = '" BERT "'");
	run_sql(w, "UPDATE logins SET expires_at = now()");
	assert_false(is_found(w, LOGIN_1, BERT));
	run_sql(w, "UPDATE logins SET expires_at = now() + interval '1 minute'");
	assert_true(is_found(w, LOGIN_1, BERT));
	logins_end(w->pool, ask_begin(w, &a), &by_anna, STR(LOGIN_1));
	expect_rows(w, &a, 1);
	assert_false(is_found(w, LOGIN_1, BERT));
	logins_end(w->pool, ask_begin(w, &a), &by_anna, STR(LOGIN_1)); /* again: nothing more happens */
	expect_rows(w, &a, 1);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'logout' AND user_id = '" BERT "'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_why = 'logout'"), 1);
	query_fini(&a.q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_people, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(looks_at_a_user_by_any_case_of_his_name),
		TEST(five_failures_bar_a_name_whether_there_is_such_a_user_or_not),
		TEST(failures_are_written_down_while_they_count_and_unknown_names_are_not),
		TEST(a_bar_runs_out_and_what_comes_meanwhile_does_not_prolong_it),
		TEST(each_failure_that_counts_keeps_the_earlier_ones_alive),
		TEST(an_address_is_barred_for_the_rest_of_its_window),
		TEST(twenty_failures_at_once_are_counted_exactly),
		TEST(a_right_password_makes_a_login_and_forgets_the_failures_of_the_name),
		TEST(a_right_password_that_comes_after_too_many_failures_makes_no_login),
		TEST(whoever_is_inactive_or_gone_gets_no_login),
		TEST(a_hash_that_was_made_anew_replaces_the_old_one),
		TEST(a_login_is_found_until_it_ends_or_its_user_may_not_log_in),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
