/* The audit log, on a real PostgreSQL: what is found in it, and that it holds no secrets. */
#include "db/audit.h"

#include "db/keys.h"
#include "db/logins.h"
#include "db/users.h"
#include "tests/unit/db/accounts.h"

/* Ten entries, one a minute from 12:00 on: logins of Bert and Carl, failures, and what Anna does to Bert. */
static int make_entries(void **state)
{
	struct world *w;

	make_people(state);
	w = *state;
	run_sql(w, "INSERT INTO audit_log (at, type, actor_id, actor, user_id, address, request_id, details)"
		   " SELECT '2026-03-01T12:00:00Z'::timestamptz + n * interval '1 minute', type, actor::uuid, n, person::uuid, "
		   "'192.0.2.7', 'r', '{\"n\": 1}'"
		   " FROM (VALUES (0, 'login', '" BERT "', '" BERT "'), (1, 'login.failed', NULL, NULL), (2, 'login.locked', '" BERT
		   "', '" BERT "'),"
		   " (3, 'logout', '" BERT "', '" BERT "'), (4, 'login', '" CARL "', '" CARL
		   "'), (5, 'loginx', NULL, NULL), (6, 'user.updated', '" ANNA "', '" BERT "'), (7, 'user.updated', '" ANNA "', '" CARL
		   "'), (8, 'login.failed', NULL, NULL), (9, 'user.created', NULL, '" BERT "'))"
		   " v (n, type, actor, person) ORDER BY n");
	return 0;
}

/* The actors of what is found: their numbers above, one after the other. */
static void expect(struct world *w, struct audit_filter filter, const char *expected)
{
	struct ask a = {.order = 0};
	char found[32] = "";

	if (filter.limit == 0)
		filter.limit = AUDIT_MAX_PAGE;
	audit_list(w->pool, ask_begin(w, &a), &filter);
	assert_int_equal(ask_end(w, &a), 0);
	for (size_t i = 0; i < query_n_rows(&a.q); i++)
		found[i] = audit_row(&a.q, i).actor.p[0];
	assert_string_equal(found, expected);
	if (query_n_rows(&a.q) > 0 && filter.offset == 0 && filter.limit == AUDIT_MAX_PAGE)
		assert_int_equal(audit_row(&a.q, 0).total, strlen(expected));
	query_fini(&a.q);
}

static void a_row_has_all_that_was_written(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct audit_row row;

	audit_list(w->pool, ask_begin(w, &a), &(struct audit_filter){.type = STR("user.created"), .limit = 1});
	expect_rows(w, &a, 1);
	row = audit_row(&a.q, 0);
	assert_true(row.id > 0 && row.total == 1);
	assert_true(str_eq(row.at, STR("2026-03-01T12:09:00.000Z")) && str_eq(row.type, STR("user.created")) && row.actor_id.len == 0);
	assert_true(str_eq(row.user_id, STR(BERT)) && str_eq(row.address, STR("192.0.2.7")) && str_eq(row.request_id, STR("r")));
	assert_true(str_eq(row.details, STR("{\"n\": 1}")));
	query_fini(&a.q);
}

static void a_type_finds_itself_and_what_is_under_it(void **state)
{
	struct world *w = *state;

	expect(w, (struct audit_filter){.type = STR("")}, "9876543210");
	expect(w, (struct audit_filter){.type = STR("login")}, "84210");
	expect(w, (struct audit_filter){.type = STR("login.failed")}, "81");
	expect(w, (struct audit_filter){.type = STR("user")}, "976");
	expect(w, (struct audit_filter){.type = STR("logi")}, "");
	expect(w, (struct audit_filter){.type = STR("login%")}, "");
	expect(w, (struct audit_filter){.type = STR("l_gin")}, "");
}

static void a_user_finds_what_he_did_and_what_concerns_him(void **state)
{
	struct world *w = *state;

	expect(w, (struct audit_filter){.user_id = STR(BERT)}, "96320");
	expect(w, (struct audit_filter){.user_id = STR(ANNA)}, "76");
	expect(w, (struct audit_filter){.user_id = STR(NOBODY)}, "");
	expect(w, (struct audit_filter){.user_id = STR(BERT), .type = STR("login")}, "20");
}

static void from_is_the_first_moment_and_to_is_the_first_one_after(void **state)
{
	struct world *w = *state;

	expect(w, (struct audit_filter){.from = STR("2026-03-01T12:07:00Z")}, "987");
	expect(w, (struct audit_filter){.to = STR("2026-03-01T12:02:00Z")}, "10");
	expect(w, (struct audit_filter){.from = STR("2026-03-01T14:03:00+02:00"), .to = STR("2026-03-01T12:05:00.001Z")}, "543");
	expect(w, (struct audit_filter){.from = STR("2026-03-02T00:00:00Z")}, "");
	expect(w,
	       (struct audit_filter){
		       .type = STR("login"), .user_id = STR(CARL), .from = STR("2026-03-01T12:00:00Z"), .to = STR("2026-03-01T13:00:00Z")},
	       "4");
}

static void pages_follow_each_other_and_each_row_has_the_total(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};

	expect(w, (struct audit_filter){.limit = 4}, "9876");
	expect(w, (struct audit_filter){.limit = 4, .offset = 4}, "5432");
	expect(w, (struct audit_filter){.limit = 4, .offset = 8}, "10");
	expect(w, (struct audit_filter){.limit = 4, .offset = 10}, "");
	audit_list(w->pool, ask_begin(w, &a), &(struct audit_filter){.type = STR("login"), .limit = 2, .offset = 2});
	expect_rows(w, &a, 2);
	assert_true(audit_row(&a.q, 0).total == 5 && audit_row(&a.q, 1).total == 5);
	query_fini(&a.q);
}

/* Everything that writes entries, with hashes and texts that are easy to find again. */
static void no_entry_holds_a_hash_or_a_secret(void **state)
{
	static const struct login_limits limits = {.max_failures = 3, .lockout_s = 900, .address_max = 100, .address_window_s = 900};
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct login_attempt right = {.username = STR("bert"), .address = STR("192.0.2.9"), .request_id = STR("r"), .limits = &limits},
			     wrong = {.username = STR("TOPSECRET"), .address = STR("192.0.2.9"), .request_id = STR("r"), .limits = &limits};
	struct new_user dora = {.id = STR(NOBODY),
				.username = STR("dora"),
				.password_hash = STR("TOPSECRET"),
				.role = STR("user"),
				.audit_type = "user.created"};
	struct new_login login = {.id = STR(LOGIN_1),
				  .user_id = STR(BERT),
				  .username = STR("Bert"),
				  .refresh_hash = hash_of(0xc0ffee),
				  .ttl_s = 9,
				  .password_hash = STR("TOPSECRET")};
	struct new_key key = {.id = STR(LOGIN_2), .user_id = STR(BERT), .name = STR("k"), .shown = STR("lc-ab"), .hash = hash_of(0xc0ffee)};

	run_sql(w, "TRUNCATE audit_log");
	users_add(w->pool, ask_begin(w, &a), &by_anna, &dora);
	expect_rows(w, &a, 1);
	logins_open(w->pool, ask_begin(w, &a), &right, &login);
	expect_rows(w, &a, 1);
	for (int i = 0; i < 4; i++) {
		logins_fail(w->pool, ask_begin(w, &a), &wrong, STR(""));
		expect_rows(w, &a, 1);
	}
	logins_refresh(w->pool, ask_begin(w, &a), hash_of(0xc0ffee), hash_of(0xc0ffee1), 9, STR(""), STR("r"));
	expect_rows(w, &a, 1);
	run_sql(w, "UPDATE refresh_tokens SET used_at = now() - interval '1 minute' WHERE used_at IS NOT NULL");
	logins_refresh(w->pool, ask_begin(w, &a), hash_of(0xc0ffee), hash_of(0xc0ffee2), 9, STR(""), STR("r"));
	expect_rows(w, &a, 1);
	keys_add(w->pool, ask_begin(w, &a), &by_anna, &key);
	expect_rows(w, &a, 1);
	keys_revoke(w->pool, ask_begin(w, &a), &by_anna, STR(LOGIN_2), STR(""));
	expect_rows(w, &a, 1);
	users_set_password(w->pool, ask_begin(w, &a), &by_anna, STR(BERT), STR("TOPSECRET"), STR(""), NULL, "user.password_reset");
	expect_rows(w, &a, 1);
	users_revoke(w->pool, ask_begin(w, &a), &by_anna, STR(BERT));
	expect_rows(w, &a, 1);
	assert_int_equal(number(w, "SELECT count(DISTINCT type) FROM audit_log"), 9);
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log a WHERE a::text ~ 'TOPSECRET|c0ffee'"), 0);
	query_fini(&a.q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_entries, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_row_has_all_that_was_written),
		TEST(a_type_finds_itself_and_what_is_under_it),
		TEST(a_user_finds_what_he_did_and_what_concerns_him),
		TEST(from_is_the_first_moment_and_to_is_the_first_one_after),
		TEST(pages_follow_each_other_and_each_row_has_the_total),
		TEST(no_entry_holds_a_hash_or_a_secret),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
