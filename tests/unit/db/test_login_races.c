/* Logins that meet what shall end or bar them half-way, on a real PostgreSQL: whichever comes first, none is left that should not be. */
#include "db/logins.h"

#include <stdio.h>

#include "db/users.h"
#include "tests/unit/db/accounts.h"

static const struct login_limits limits = {.max_failures = 5, .lockout_s = 900, .address_max = 10, .address_window_s = 600};
static const struct login_attempt attempt = {
	.username = {"bert", 4},
	.address = {"192.0.2.9", 9},
	.request_id = {"request-4", 9},
	.limits = &limits,
};

/* With the password that Bert has at the beginning. */
static void open_login(struct world *w, struct ask *a, const char *id, const char *new_hash)
{
	struct new_login login = {
		.id = str_from(id),
		.user_id = STR(BERT),
		.username = STR("Bert"),
		.refresh_hash = hash_of((unsigned)id[strlen(id) - 1]),
		.ttl_s = 1000,
		.password_hash = str_from(new_hash),
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

static void set_password(struct world *w, struct ask *a)
{
	users_set_password(w->pool, ask_begin(w, a), &by_anna, STR(BERT), STR("hash-new"), STR(""), NULL, "user.password_reset");
}

static void deactivate(struct world *w, struct ask *a)
{
	static const bool no = false;

	users_update(w->pool, ask_begin(w, a), &by_anna, STR(BERT), &(struct user_patch){.is_active = &no});
}

/* Both wait for Bert's row, which they get in the order of their coming. Returns what became of the login. */
static enum login_verdict race(struct world *w, void (*other)(struct world *w, struct ask *a), bool login_first)
{
	struct holder holder;
	struct ask opening = {.order = 0}, ending = {.order = 0};

	hold(w, &holder, "PERFORM FROM users WHERE id = '" BERT "' FOR UPDATE;");
	if (!login_first) {
		other(w, &ending);
		wait_blocked(w, 1);
	}
	open_login(w, &opening, LOGIN_1, "hash-b-anew");
	wait_blocked(w, login_first ? 1 : 2);
	if (login_first) {
		other(w, &ending);
		wait_blocked(w, 2);
	}
	let_go(w, &holder);
	expect_rows(w, &ending, 1);
	query_fini(&ending.q);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL"), 0);
	return opened(w, &opening);
}

static void a_login_that_opens_just_before_the_password_changes_is_ended_by_it(void **state)
{
	struct world *w = *state;

	assert_int_equal(race(w, set_password, true), LOGIN_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_why = 'password'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE password_hash = 'hash-new'"), 1);
}

static void a_login_that_opens_just_before_its_user_is_made_inactive_is_ended_by_it(void **state)
{
	struct world *w = *state;

	assert_int_equal(race(w, deactivate, true), LOGIN_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_why = 'revoked'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM changes WHERE kind = 'login'"), 1);
}

static void whoever_was_made_inactive_meanwhile_gets_no_login(void **state)
{
	assert_int_equal(race(*state, deactivate, false), LOGIN_INACTIVE);
}

static void the_old_password_opens_nothing_once_there_is_a_new_one_and_does_not_come_back(void **state)
{
	struct world *w = *state;

	assert_int_equal(race(w, set_password, false), LOGIN_INACTIVE);
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE password_hash = 'hash-new'"), 1);
}

static void a_password_hashed_anew_is_the_same_password(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0}, b = {.order = 0};

	hold(w, &holder, "PERFORM FROM users WHERE id = '" BERT "' FOR UPDATE;");
	open_login(w, &a, LOGIN_1, "hash-b-anew");
	open_login(w, &b, LOGIN_2, "hash-b-anew-too");
	wait_blocked(w, 2);
	let_go(w, &holder);
	assert_int_equal(opened(w, &a), LOGIN_FINE);
	assert_int_equal(opened(w, &b), LOGIN_FINE);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL"), 2);
}

/* Whoever holds a stolen password and changes it without end must not win against the administrator who resets it. */
static void a_change_whose_old_password_was_compared_before_a_reset_is_refused(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct password_proof proof = {.max_failures = 5};

	logins_look(w->pool, ask_begin(w, &a), &attempt);
	expect_rows(w, &a, 1);
	proof.password_changes = logins_looked(&a.q).password_changes;
	set_password(w, &a);
	expect_rows(w, &a, 1);
	users_set_password(w->pool, ask_begin(w, &a), &by_anna, STR(BERT), STR("hash-thief"), STR(""), &proof,
			   "user.password_changed");
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 1);
	proof.password_changes++;
	users_set_password(w->pool, ask_begin(w, &a), &by_anna, STR(BERT), STR("hash-mine"), STR(""), &proof,
			   "user.password_changed");
	expect_rows(w, &a, 1);
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE password_hash = 'hash-mine' AND password_changes = 2"), 1);
	query_fini(&a.q);
}

/* Name and address are full, and both statements come upon both rows. */
static void a_right_and_a_wrong_password_at_once_do_not_deadlock(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask wrong = {.order = 0}, right = {.order = 0};

	run_sql(w, "INSERT INTO login_failures VALUES ('address', '192.0.2.9', 10, now() + interval '1 hour'),"
		   " ('name', encode(sha256('bert'), 'hex'), 5, now() + interval '1 hour')");
	hold(w, &holder, "PERFORM FROM login_failures WHERE kind = 'name' FOR UPDATE;");
	logins_fail(w->pool, ask_begin(w, &wrong), &attempt, STR(BERT));
	wait_blocked(w, 1);
	open_login(w, &right, LOGIN_1, "");
	turn_for_ms(w, 50); /* it may wait too, but need not */
	let_go(w, &holder);
	expect_rows(w, &wrong, 1);
	assert_int_equal(logins_failed(&wrong.q), LOGIN_NAME_BARRED);
	query_fini(&wrong.q);
	assert_int_equal(opened(w, &right), LOGIN_NAME_BARRED);
	assert_int_equal(number(w, "SELECT count(*) FROM logins"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_people, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_login_that_opens_just_before_the_password_changes_is_ended_by_it),
		TEST(a_login_that_opens_just_before_its_user_is_made_inactive_is_ended_by_it),
		TEST(whoever_was_made_inactive_meanwhile_gets_no_login),
		TEST(the_old_password_opens_nothing_once_there_is_a_new_one_and_does_not_come_back),
		TEST(a_password_hashed_anew_is_the_same_password),
		TEST(a_change_whose_old_password_was_compared_before_a_reset_is_refused),
		TEST(a_right_and_a_wrong_password_at_once_do_not_deadlock),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
