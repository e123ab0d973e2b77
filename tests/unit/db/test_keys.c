/* API keys, on a real PostgreSQL: how many, how long, whose, and which agents they open. */
#include "db/keys.h"

#include "tests/unit/db/accounts.h"

#define KEY_1 "20000000-0000-7000-8000-000000000001"
#define KEY_2 "20000000-0000-7000-8000-000000000002"

static struct new_key key_of_bert(const char *id, unsigned hash)
{
	return (struct new_key){
		.id = str_from(id),
		.user_id = STR(BERT),
		.name = STR("laptop"),
		.shown = STR("lc-abcd"),
		.hash = hash_of(hash),
	};
}

static void add(struct world *w, struct ask *a, const struct new_key *key)
{
	keys_add(w->pool, ask_begin(w, a), &by_anna, key);
	expect_rows(w, a, 1);
}

static bool is_found(struct world *w, unsigned hash)
{
	return find_key(w, hash_of(hash))->found;
}

static struct credential_holder holder(struct world *w, unsigned hash)
{
	const struct lookup *l = find_key(w, hash_of(hash));

	assert_true(l->found);
	return l->holder;
}

static int64_t revoke_key(struct world *w, const char *id, const char *user_id)
{
	struct ask a = {.order = 0};
	int64_t n;

	keys_revoke(w->pool, ask_begin(w, &a), &by_anna, str_from(id), str_from(user_id));
	expect_rows(w, &a, 1);
	n = query_col_int(&a.q, 0, 0);
	query_fini(&a.q);
	return n;
}

static void a_new_key_comes_back_as_it_was_written_and_is_found_by_its_hash(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1);
	struct key_row row;
	struct credential_holder owner;

	add(w, &a, &key);
	row = keys_row(&a.q, 0);
	assert_true(str_eq(row.id, key.id) && str_eq(row.user_id, STR(BERT)) && str_eq(row.username, STR("Bert")));
	assert_true(str_eq(row.name, key.name) && str_eq(row.shown, key.shown) && row.agents.len == 0);
	assert_int_equal(row.created_at.len, sizeof("2026-01-01T00:00:00.000Z") - 1);
	assert_true(row.expires_at.len == 0 && row.last_used_at.len == 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'key.created' AND actor_id = '" ANNA
				   "' AND user_id = '" BERT "'"
				   " AND details = '{\"keyId\": \"" KEY_1 "\", \"name\": \"laptop\", \"shown\": \"lc-abcd\"}'"),
			 1);
	owner = holder(w, 1);
	assert_true(str_eq(owner.id, key.id) && str_eq(owner.user_id, STR(BERT)) && str_eq(owner.username, STR("Bert")));
	assert_true(str_eq(owner.role, STR("user")) && owner.agents.len == 0 && owner.expires_in_s == 0);
	assert_int_equal(number(w, "SELECT count(*) FROM api_keys WHERE last_used_at > now() - interval '1 minute'"), 1);
	assert_false(is_found(w, 2));
	query_fini(&a.q);
}

static void a_key_opens_the_agents_it_names(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1);

	key.agents = STR("[\"support\", \"sales\"]");
	add(w, &a, &key);
	assert_true(str_eq(keys_row(&a.q, 0).agents, key.agents));
	assert_true(str_eq(holder(w, 1).agents, key.agents));
	key = key_of_bert(KEY_2, 2);
	key.agents = STR("[]"); /* none, not all */
	add(w, &a, &key);
	assert_true(str_eq(holder(w, 2).agents, STR("[]")));
	query_fini(&a.q);
}

static void a_key_is_good_until_it_expires(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1);

	key.expires_after_s = 100;
	add(w, &a, &key);
	assert_int_not_equal(keys_row(&a.q, 0).expires_at.len, 0);
	assert_in_range(holder(w, 1).expires_in_s, 80, 100);
	run_sql(w, "UPDATE api_keys SET expires_at = now() + interval '0.9 s'");
	assert_int_equal(holder(w, 1).expires_in_s, 1); /* 0 would mean that it does not expire */
	run_sql(w, "UPDATE api_keys SET expires_at = now(), last_used_at = NULL");
	assert_false(is_found(w, 1));
	assert_int_equal(number(w, "SELECT count(*) FROM api_keys WHERE last_used_at IS NULL"), 1);
	query_fini(&a.q);
}

static void a_key_is_revoked_once_and_only_by_whom_it_belongs_to(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1), other = key_of_bert(KEY_2, 2);

	add(w, &a, &key);
	add(w, &a, &other);
	assert_int_equal(revoke_key(w, KEY_1, CARL), 0);
	assert_true(is_found(w, 1));
	assert_int_equal(revoke_key(w, KEY_1, BERT), 1);
	assert_false(is_found(w, 1));
	assert_int_equal(revoke_key(w, KEY_1, BERT), 0);
	assert_int_equal(revoke_key(w, NOBODY, ""), 0);
	assert_int_equal(revoke_key(w, KEY_2, ""), 1); /* by an administrator */
	assert_false(is_found(w, 2));
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'key.revoked' AND user_id = '" BERT
				   "' AND details->>'keyId' IN ('" KEY_1 "', '" KEY_2 "') AND details->>'shown' = 'lc-abcd'"),
			 2);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log WHERE type = 'key.revoked'"), 2);
	query_fini(&a.q);
}

static void a_key_does_nothing_for_whoever_may_not_log_in(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1);

	add(w, &a, &key);
	run_sql(w, "UPDATE users SET is_active = false WHERE id = '" BERT "'");
	assert_false(is_found(w, 1));
	run_sql(w, "UPDATE users SET is_active = true, role = 'admin', username = 'Berta' WHERE id = '" BERT "'");
	assert_true(str_eq(holder(w, 1).role, STR("admin")) && str_eq(holder(w, 1).username, STR("Berta")));
	query_fini(&a.q);
}

/* And nobody waits for that. */
static void a_key_that_is_being_revoked_is_good_until_that_is_committed(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1);

	add(w, &a, &key);
	hold(w, &holder, "UPDATE api_keys SET revoked_at = now();");
	assert_true(is_found(w, 1));
	let_go(w, &holder);
	assert_false(is_found(w, 1));
	assert_int_equal(number(w, "SELECT count(*) FROM api_keys WHERE last_used_at IS NULL"), 1);
	query_fini(&a.q);
}

/* Revoked and expired ones do not count, nor do another's. */
static void nobody_has_more_than_a_hundred_keys_that_are_good(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1);

	run_sql(w, "INSERT INTO api_keys (id, user_id, name, shown, hash, revoked_at, expires_at) SELECT gen_random_uuid(),"
		   " CASE WHEN i <= 160 THEN '" BERT "' ELSE '" CARL "' END::uuid, 'k', 's', encode(sha256(i::text::bytea), 'hex'),"
		   " CASE WHEN i BETWEEN 101 AND 130 THEN now() END, CASE WHEN i BETWEEN 131 AND 160 THEN now() END FROM "
		   "generate_series(1, 300) i");
	keys_add(w->pool, ask_begin(w, &a), &by_anna, &key);
	expect_rows(w, &a, 0);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
	run_sql(w, "UPDATE api_keys SET revoked_at = now() WHERE hash = encode(sha256('1'), 'hex')");
	add(w, &a, &key);
	key = key_of_bert(KEY_2, 2);
	keys_add(w->pool, ask_begin(w, &a), &by_anna, &key);
	expect_rows(w, &a, 0);
	query_fini(&a.q);
}

static void a_hash_that_is_there_already_conflicts(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = key_of_bert(KEY_1, 1), same = key_of_bert(KEY_2, 1);

	add(w, &a, &key);
	keys_add(w->pool, ask_begin(w, &a), &by_anna, &same);
	assert_int_equal(ask_end(w, &a), -ERR_CONFLICT);
	query_fini(&a.q);
}

static void lists_keys_that_are_not_revoked_newest_first(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	run_sql(w,
		"INSERT INTO api_keys (id, user_id, name, shown, hash, created_at, revoked_at, expires_at) SELECT gen_random_uuid(),"
		" CASE WHEN i <= 5 THEN '" BERT "' ELSE '" CARL "' END::uuid, 'key-' || i, 's', encode(sha256(i::text::bytea), 'hex'),"
		" now() + i * interval '1 s', CASE WHEN i = 4 THEN now() END, CASE WHEN i = 3 THEN now() END FROM generate_series(1, 7) i");
	keys_list(w->pool, ask_begin(w, &a), STR(BERT), 3, 0);
	expect_rows(w, &a, 3);
	assert_true(str_eq(keys_row(&a.q, 0).name, STR("key-5")) && str_eq(keys_row(&a.q, 1).name, STR("key-3")));
	assert_true(str_eq(keys_row(&a.q, 2).name, STR("key-2")));
	assert_int_equal(keys_row(&a.q, 0).total, 4);
	keys_list(w->pool, ask_begin(w, &a), STR(BERT), 3, 3);
	expect_rows(w, &a, 1);
	assert_true(str_eq(keys_row(&a.q, 0).name, STR("key-1")));
	keys_list(w->pool, ask_begin(w, &a), STR(""), KEYS_MAX_PAGE, 0);
	expect_rows(w, &a, 6);
	assert_true(str_eq(keys_row(&a.q, 0).name, STR("key-7")) && str_eq(keys_row(&a.q, 0).username, STR("carl")));
	keys_list(w->pool, ask_begin(w, &a), STR(ANNA), 10, 0);
	expect_rows(w, &a, 0);
	query_fini(&a.q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_people, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_key_comes_back_as_it_was_written_and_is_found_by_its_hash),
		TEST(a_key_opens_the_agents_it_names),
		TEST(a_key_is_good_until_it_expires),
		TEST(a_key_is_revoked_once_and_only_by_whom_it_belongs_to),
		TEST(a_key_does_nothing_for_whoever_may_not_log_in),
		TEST(a_key_that_is_being_revoked_is_good_until_that_is_committed),
		TEST(nobody_has_more_than_a_hundred_keys_that_are_good),
		TEST(a_hash_that_is_there_already_conflicts),
		TEST(lists_keys_that_are_not_revoked_newest_first),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
