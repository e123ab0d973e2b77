/* Users, on a real PostgreSQL: names, what a patch changes, the last administrator, and what ends logins. */
#include "db/users.h"

#include <stdio.h>

#include "tests/unit/db/accounts.h"

#define DORA          "00000000-0000-7000-8000-00000000000d"
#define N_NOTED(type) "SELECT count(*) FROM audit_log WHERE type = '" type "'"

static struct new_user new_dora(const char *username, const char *email)
{
	return (struct new_user){
		.id = STR(DORA),
		.username = str_from(username),
		.email = str_from(email),
		.password_hash = STR("hash-d"),
		.role = STR("user"),
		.audit_type = "user.created",
	};
}

static int add(struct world *w, struct ask *a, const char *username, const char *email)
{
	struct new_user dora = new_dora(username, email);

	users_add(w->pool, ask_begin(w, a), &by_anna, &dora);
	return ask_end(w, a);
}

static void update(struct world *w, struct ask *a, const char *id, const struct user_patch *patch)
{
	users_update(w->pool, ask_begin(w, a), &by_anna, str_from(id), patch);
}

static const struct str to_user = {"user", 4}, to_admin = {"admin", 5};
static const bool no = false, yes = true;
static const struct user_patch demote = {.role = &to_user}, promote = {.role = &to_admin}, deactivate = {.is_active = &no},
			       activate = {.is_active = &yes};

static bool is_refused(struct world *w, struct ask *a, const char *id, const struct user_patch *patch)
{
	update(w, a, id, patch);
	expect_rows(w, a, 1);
	return users_update_refused(&a->q);
}

static void a_new_user_comes_back_as_he_was_written(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct user_row row;

	assert_int_equal(add(w, &a, "Dora", "dora@example.org"), 0);
	row = users_row(&a.q, 0);
	assert_true(str_eq(row.id, STR(DORA)) && str_eq(row.username, STR("Dora")) && str_eq(row.email, STR("dora@example.org")));
	assert_true(str_eq(row.role, STR("user")) && row.is_active && row.last_login_at.len == 0);
	assert_int_equal(row.created_at.len, sizeof("2026-01-01T00:00:00.000Z") - 1);
	assert_int_equal(number(w, N_NOTED("user.created") " AND actor_id = '" ANNA "' AND actor = 'anna' AND address = '192.0.2.1'"
							   " AND request_id = 'request-1' AND user_id = '" DORA "'"),
			 1);
	users_get(w->pool, ask_begin(w, &a), STR(DORA));
	expect_rows(w, &a, 1);
	assert_true(str_eq(users_row(&a.q, 0).username, STR("Dora")));
	users_get(w->pool, ask_begin(w, &a), STR(NOBODY));
	expect_rows(w, &a, 0);
	query_fini(&a.q);
}

static void names_and_addresses_that_differ_only_by_letter_case_conflict(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct str taken = STR("BERT");

	assert_int_equal(add(w, &a, "bERT", ""), -ERR_CONFLICT);
	assert_true(str_eq(query_constraint(&a.q), STR("users_username_key")));
	assert_int_equal(add(w, &a, "dora", "Anna@Example.ORG"), -ERR_CONFLICT);
	assert_true(str_eq(query_constraint(&a.q), STR("users_email_key")));
	update(w, &a, CARL, &(struct user_patch){.username = &taken});
	assert_int_equal(ask_end(w, &a), -ERR_CONFLICT);
	assert_true(str_eq(query_constraint(&a.q), STR("users_username_key")));
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
	assert_int_equal(add(w, &a, "dora", ""), 0); /* like Carl without an address */
	query_fini(&a.q);
}

static void the_first_administrator_is_made_only_while_there_is_none(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_user dora = new_dora("dora", "");

	dora.role = to_admin;
	users_have_admin(w->pool, ask_begin(w, &a));
	expect_rows(w, &a, 1);
	assert_true(query_col_bool(&a.q, 0, 0));
	users_add_first_admin(w->pool, ask_begin(w, &a), &by_anna, &dora);
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
	run_sql(w, "DELETE FROM users WHERE role = 'admin'");
	users_have_admin(w->pool, ask_begin(w, &a));
	expect_rows(w, &a, 1);
	assert_false(query_col_bool(&a.q, 0, 0));
	users_add_first_admin(w->pool, ask_begin(w, &a), &by_anna, &dora);
	expect_rows(w, &a, 1);
	assert_true(str_eq(users_row(&a.q, 0).role, to_admin));
	query_fini(&a.q);
}

static void lists_by_name_what_holds_the_text_and_tells_the_total(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	users_list(w->pool, ask_begin(w, &a), STR(""), 2, 0);
	expect_rows(w, &a, 2);
	assert_true(str_eq(users_row(&a.q, 0).username, STR("anna")) && str_eq(users_row(&a.q, 1).username, STR("Bert")));
	assert_int_equal(users_row(&a.q, 0).total, 3);
	users_list(w->pool, ask_begin(w, &a), STR(""), 2, 2);
	expect_rows(w, &a, 1);
	assert_true(str_eq(users_row(&a.q, 0).username, STR("carl")));
	users_list(w->pool, ask_begin(w, &a), STR("BERT@example"), 10, 0);
	expect_rows(w, &a, 1);
	assert_true(str_eq(users_row(&a.q, 0).id, STR(BERT)));
	users_list(w->pool, ask_begin(w, &a), STR("%"), 10, 0); /* not a pattern */
	expect_rows(w, &a, 0);
	users_list(w->pool, ask_begin(w, &a), STR(""), 10, 3);
	expect_rows(w, &a, 0);
	query_fini(&a.q);
}

static void a_patch_changes_what_it_names_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct str name = STR("Bertha"), none = STR("");
	struct user_row row;

	assert_false(is_refused(w, &a, BERT, &(struct user_patch){.username = &name}));
	row = users_row(&a.q, 0);
	assert_true(str_eq(row.username, name) && str_eq(row.email, STR("bert@example.org")) && str_eq(row.role, to_user) && row.is_active);
	assert_false(is_refused(w, &a, BERT, &(struct user_patch){.email = &none}));
	row = users_row(&a.q, 0);
	assert_true(str_eq(row.username, name) && row.email.len == 0);
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE id = '" BERT "' AND email IS NULL AND password_hash = 'hash-b'"), 1);
	assert_false(is_refused(w, &a, BERT, &promote));
	assert_true(str_eq(users_row(&a.q, 0).role, to_admin));
	assert_int_equal(number(w, N_NOTED("user.updated") " AND user_id = '" BERT "'"), 3);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE details = '{\"username\": \"Bertha\"}'"), 1);
	update(w, &a, NOBODY, &demote);
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 3);
	query_fini(&a.q);
}

static void the_last_active_administrator_can_neither_be_demoted_nor_made_inactive(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	run_sql(w, "UPDATE users SET role = 'admin', is_active = false WHERE id = '" CARL "'"); /* counts for nothing */
	assert_true(is_refused(w, &a, ANNA, &demote));
	assert_true(is_refused(w, &a, ANNA, &deactivate));
	assert_true(is_refused(w, &a, ANNA, &(struct user_patch){.role = &to_admin, .is_active = &no}));
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE role = 'admin' AND is_active"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
	assert_false(is_refused(w, &a, ANNA, &activate));
	assert_false(is_refused(w, &a, CARL, &demote));
	assert_false(is_refused(w, &a, BERT, &deactivate));
	assert_false(is_refused(w, &a, CARL, &(struct user_patch){.role = &to_admin, .is_active = &yes}));
	assert_false(is_refused(w, &a, ANNA, &demote));
	query_fini(&a.q);
}

/* In either order: the one who comes second waits for the first, and is told. */
static void of_two_administrators_who_demote_each_other_one_stays(void **state)
{
	struct world *w = *state;

	for (int round = 0; round < 2; round++) {
		struct holder holder;
		struct ask first = {.order = 0}, second = {.order = 0};

		run_sql(w, "UPDATE users SET role = 'admin' WHERE id IN ('" ANNA "', '" BERT "')");
		hold(w, &holder, "PERFORM FROM users WHERE role = 'admin' FOR UPDATE;");
		update(w, &first, round ? ANNA : BERT, &demote);
		wait_blocked(w, 1);
		update(w, &second, round ? BERT : ANNA, &deactivate);
		wait_blocked(w, 2);
		let_go(w, &holder);
		expect_rows(w, &first, 1);
		expect_rows(w, &second, 1);
		assert_int_equal(users_update_refused(&first.q) + users_update_refused(&second.q), 1);
		assert_int_equal(number(w, "SELECT count(*) FROM users WHERE role = 'admin' AND is_active"), 1);
		query_fini(&first.q);
		query_fini(&second.q);
	}
}

static void of_many_administrators_who_go_at_once_one_stays(void **state)
{
	enum { N = 12, ROUNDS = 10 };
	struct world *w = *state;
	struct ask asks[N] = {{.order = 0}};
	char ids[N][64];

	for (int i = 0; i < N; i++)
		snprintf(ids[i], sizeof(ids[i]), "00000000-0000-7000-8000-0000000001%02d", i);
	run_sql(w, "DELETE FROM users");
	run_sql(w, "INSERT INTO users (id, username, role) SELECT ('00000000-0000-7000-8000-0000000001' || lpad(i::text, 2, '0'))::uuid, "
		   "i, 'admin'"
		   " FROM generate_series(0, 11) i");
	for (int round = 0; round < ROUNDS; round++) {
		int n_refused = 0;

		for (int i = 0; i < N; i++)
			update(w, &asks[i], ids[(i * 7 + round) % N], i % 2 ? &demote : &deactivate);
		for (int i = 0; i < N; i++) {
			expect_rows(w, &asks[i], 1);
			n_refused += users_update_refused(&asks[i].q);
		}
		assert_int_equal(n_refused, 1);
		assert_int_equal(number(w, "SELECT count(*) FROM users WHERE role = 'admin' AND is_active"), 1);
		run_sql(w, "UPDATE users SET role = 'admin', is_active = true");
	}
	for (int i = 0; i < N; i++)
		query_fini(&asks[i].q);
}

static void one_who_becomes_the_last_administrator_meanwhile_stays_too(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0};

	hold(w, &holder, "UPDATE users SET role = 'admin' WHERE id = '" BERT "'; UPDATE users SET role = 'user' WHERE id = '" ANNA "';");
	update(w, &a, BERT, &deactivate);
	wait_blocked(w, 1);
	let_go(w, &holder);
	expect_rows(w, &a, 1);
	assert_true(users_update_refused(&a.q));
	assert_int_equal(number(w, "SELECT count(*) FROM users WHERE role = 'admin' AND is_active"), 1);
	query_fini(&a.q);
}

static void whoever_is_made_inactive_loses_his_logins(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	insert_login(w, LOGIN_1, BERT);
	insert_login(w, LOGIN_2, BERT);
	insert_login(w, LOGIN_3, CARL);
	run_sql(w, "UPDATE logins SET ended_at = '2020-01-01', ended_why = 'logout' WHERE id = '" LOGIN_2 "'");
	assert_false(is_refused(w, &a, BERT, &promote));
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL"), 2);
	assert_false(is_refused(w, &a, BERT, &deactivate));
	assert_false(users_row(&a.q, 0).is_active);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE id = '" LOGIN_1 "' AND ended_why = 'revoked'"), 1);
	assert_int_equal(
		number(w, "SELECT count(*) FROM logins WHERE id = '" LOGIN_2 "' AND ended_why = 'logout' AND ended_at = '2020-01-01'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE id = '" LOGIN_3 "' AND ended_at IS NULL"), 1);
	query_fini(&a.q);
}

static void a_new_password_ends_the_other_logins_and_frees_the_name(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	insert_login(w, LOGIN_1, BERT);
	insert_login(w, LOGIN_2, BERT);
	insert_login(w, LOGIN_3, CARL);
	run_sql(w, "INSERT INTO login_failures SELECT 'name', encode(sha256(name::bytea), 'hex'), 9, now() + interval '1 hour'"
		   " FROM unnest(ARRAY['bert', 'carl']) name");
	users_set_password(w->pool, ask_begin(w, &a), &by_anna, STR(BERT), STR("hash-new"), STR(LOGIN_2), NULL, "user.password_changed");
	expect_rows(w, &a, 1);
	assert_true(str_eq(users_row(&a.q, 0).id, STR(BERT)));
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL AND id IN ('" LOGIN_2 "', '" LOGIN_3 "')"), 2);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE id = '" LOGIN_1 "' AND ended_why = 'password'"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM login_failures"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM login_failures WHERE key = encode(sha256('carl'), 'hex')"), 1);
	assert_int_equal(number(w, N_NOTED("user.password_changed") " AND user_id = '" BERT "' AND details = '{}'"), 1);
	users_set_password(w->pool, ask_begin(w, &a), &by_anna, STR(BERT), STR("hash-newer"), STR(""), NULL, "user.password_reset");
	expect_rows(w, &a, 1);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL"), 1);
	users_set_password(w->pool, ask_begin(w, &a), &by_anna, STR(NOBODY), STR("hash"), STR(""), NULL, "user.password_reset");
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 2);
	query_fini(&a.q);
}

static void tells_the_hash_or_that_there_is_none(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	users_password_hash(w->pool, ask_begin(w, &a), STR(BERT));
	expect_rows(w, &a, 1);
	assert_true(str_eq(query_col(&a.q, 0, 0), STR("hash-b")));
	users_password_hash(w->pool, ask_begin(w, &a), STR(CARL));
	expect_rows(w, &a, 1);
	assert_int_equal(query_col(&a.q, 0, 0).len, 0);
	users_password_hash(w->pool, ask_begin(w, &a), STR(NOBODY));
	expect_rows(w, &a, 0);
	query_fini(&a.q);
}

static void revoking_ends_logins_and_keys_and_counts_them(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	int64_t n_logins, n_keys;

	insert_login(w, LOGIN_1, BERT);
	insert_login(w, LOGIN_2, BERT);
	insert_login(w, LOGIN_3, CARL);
	run_sql(w, "INSERT INTO api_keys (id, user_id, name, shown, hash) SELECT gen_random_uuid(), user_id::uuid, 'k', 's', "
		   "encode(sha256(hash::bytea), 'hex')"
		   " FROM (VALUES ('" BERT "', '1'), ('" BERT "', '2'), ('" BERT "', '3'), ('" CARL "', '4')) v (user_id, hash)");
	users_revoke(w->pool, ask_begin(w, &a), &by_anna, STR(BERT));
	expect_rows(w, &a, 1);
	users_revoked(&a.q, &n_logins, &n_keys);
	assert_int_equal(n_logins, 2);
	assert_int_equal(n_keys, 3);
	users_revoke(w->pool, ask_begin(w, &a), &by_anna, STR(BERT));
	expect_rows(w, &a, 1);
	users_revoked(&a.q, &n_logins, &n_keys);
	assert_int_equal(n_logins + n_keys, 0);
	users_revoke(w->pool, ask_begin(w, &a), &by_anna, STR(NOBODY));
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM logins WHERE ended_at IS NULL"), 1);
	assert_int_equal(number(w, "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL"), 1);
	assert_int_equal(number(w, N_NOTED("user.revoked") " AND user_id = '" BERT "'"), 2);
	query_fini(&a.q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_people, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_user_comes_back_as_he_was_written),
		TEST(names_and_addresses_that_differ_only_by_letter_case_conflict),
		TEST(the_first_administrator_is_made_only_while_there_is_none),
		TEST(lists_by_name_what_holds_the_text_and_tells_the_total),
		TEST(a_patch_changes_what_it_names_and_nothing_else),
		TEST(the_last_active_administrator_can_neither_be_demoted_nor_made_inactive),
		TEST(of_two_administrators_who_demote_each_other_one_stays),
		TEST(of_many_administrators_who_go_at_once_one_stays),
		TEST(one_who_becomes_the_last_administrator_meanwhile_stays_too),
		TEST(whoever_is_made_inactive_loses_his_logins),
		TEST(a_new_password_ends_the_other_logins_and_frees_the_name),
		TEST(tells_the_hash_or_that_there_is_none),
		TEST(revoking_ends_logins_and_keys_and_counts_them),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
