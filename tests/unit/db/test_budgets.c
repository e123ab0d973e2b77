/* Monthly budgets on a real PostgreSQL: never passed by turns that race, settled once by what the answer's row says, whoever does it. */
#include "db/budgets.h"

#include <stdio.h>

#include "db/keys.h"
#include "tests/unit/db/accounts.h"

#define KEY_1   "20000000-0000-7000-8000-000000000001"
#define KEY_2   "20000000-0000-7000-8000-000000000002"
#define SESSION "30000000-0000-7000-8000-000000000001"
#define USED    "SELECT used FROM key_months WHERE key_id = '" KEY_1 "' AND month = date_trunc('month', now() AT TIME ZONE 'UTC')"
#define HELD    "SELECT reserved FROM key_months WHERE key_id = '" KEY_1 "' AND month = date_trunc('month', now() AT TIME ZONE 'UTC')"
#define TURNS   "SELECT count(*) FROM key_turns"

static int make_keys(void **state)
{
	if (make_people(state) != 0)
		return -1;
	run_sql(*state, "INSERT INTO agent_configs (id, name, provider, endpoint, model) VALUES ('a', 'A', 'openai', 'x', 'm') ON CONFLICT DO NOTHING");
	run_sql(*state, "TRUNCATE chat_sessions CASCADE");
	run_sql(*state, "INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id) VALUES ('" SESSION "', '" BERT "', false, 'x', 'a')");
	run_sql(*state, "INSERT INTO api_keys (id, user_id, name, shown, hash, monthly_tokens) VALUES"
			" ('" KEY_1 "', '" BERT "', 'k', 's', encode(sha256('1'), 'hex'), 1000), ('" KEY_2 "', '" BERT "', 'k', 's', encode(sha256('2'), 'hex'), NULL)");
	return 0;
}

/* The i-th answer. */
static struct str answer(unsigned i)
{
	static char text[64][40];
	char *t = text[i % 64];

	snprintf(t, 40, "40000000-0000-7000-8000-%012u", i);
	return str_from(t);
}

static struct budget_reserved reserve(struct world *w, const char *key, unsigned i, int64_t tokens)
{
	struct ask a = {.order = 0};
	struct budget_reserved b;

	budgets_reserve(w->pool, ask_begin(w, &a), str_from(key), answer(i), tokens);
	assert_int_equal(ask_end(w, &a), 0);
	b = budget_reserved(&a.q);
	query_fini(&a.q);
	return b;
}

static int64_t settle(struct world *w, unsigned i)
{
	struct ask a = {.order = 0};
	int64_t n;

	budgets_settle(w->pool, ask_begin(w, &a), answer(i));
	assert_int_equal(ask_end(w, &a), 0);
	n = query_n_affected(&a.q);
	query_fini(&a.q);
	return n;
}

static int64_t settle_all(struct world *w, int64_t max)
{
	struct ask a = {.order = 0};
	int64_t n;

	budgets_settle_all(w->pool, ask_begin(w, &a), max);
	assert_int_equal(ask_end(w, &a), 0);
	n = query_n_affected(&a.q);
	query_fini(&a.q);
	return n;
}

/* tokens < 0: NULL */
static void write_answer(struct world *w, unsigned i, const char *status, const char *error_code, int64_t tokens)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO chat_messages (id, session_id, role, content, status, error_code, agent_id, total_tokens, owner_generation)"
		 " VALUES ('%s', '" SESSION "', 'assistant', '', '%s', nullif('%s', ''), 'a', nullif(%lld, -1), 1)",
		 answer(i).p, status, error_code, (long long)tokens);
	run_sql(w, sql);
}

static void reserves_what_is_left_and_no_more(void **state)
{
	struct world *w = *state;
	struct budget_reserved b = reserve(w, KEY_1, 1, 400);

	assert_true(b.reserved && !b.no_budget);
	assert_int_equal(b.budget, 1000);
	assert_int_equal(b.left, 1000);
	assert_in_range(b.resets_in_s, 1, 31 * 86400);
	b = reserve(w, KEY_1, 2, 601);
	assert_false(b.reserved);
	assert_int_equal(b.left, 600);
	assert_true(reserve(w, KEY_1, 2, 600).reserved);
	b = reserve(w, KEY_1, 3, 1);
	assert_false(b.reserved);
	assert_int_equal(b.left, 0);
	assert_int_equal(number(w, HELD), 1000);
	assert_int_equal(number(w, TURNS), 2);
}

static void a_turn_that_may_take_more_begins_a_fresh_month_only(void **state)
{
	struct world *w = *state;

	assert_true(reserve(w, KEY_1, 1, 50000).reserved);
	assert_int_equal(number(w, HELD), 1000);
	assert_int_equal(settle(w, 1), 1);
	assert_true(reserve(w, KEY_1, 2, 50000).reserved);
	write_answer(w, 2, "complete", "", 1);
	assert_int_equal(settle(w, 2), 1);
	assert_false(reserve(w, KEY_1, 3, 50000).reserved);
	run_sql(w, "UPDATE key_months SET month = month - interval '1 month'");
	assert_true(reserve(w, KEY_1, 3, 50000).reserved);
	assert_int_equal(number(w, USED), 0);
}

static void a_key_without_a_budget_reserves_nothing(void **state)
{
	struct world *w = *state;

	assert_true(reserve(w, KEY_2, 1, 400).no_budget);
	assert_true(reserve(w, NOBODY, 1, 400).no_budget);
	assert_int_equal(number(w, TURNS), 0);
	assert_int_equal(number(w, "SELECT count(*) FROM key_months"), 0);
}

static void of_turns_that_race_only_as_many_pass_as_fit(void **state)
{
	struct world *w = *state;
	static struct ask asks[20];
	unsigned n_passed = 0;

	for (unsigned i = 0; i < N_ELEMENTS(asks); i++)
		budgets_reserve(w->pool, ask_begin(w, &asks[i]), STR(KEY_1), answer(i), 150);
	for (unsigned i = 0; i < N_ELEMENTS(asks); i++) {
		wait_done(w, &asks[i].done);
		assert_int_equal(asks[i].err, 0);
		n_passed += budget_reserved(&asks[i].q).reserved;
		query_fini(&asks[i].q);
	}
	assert_int_equal(n_passed, 6);
	assert_int_equal(number(w, HELD), 900);
	assert_int_equal(number(w, TURNS), 6);
}

/* While another turn's row is not committed the next one waits for it, and then sees it. */
static void a_turn_waits_for_one_that_is_being_reserved(void **state)
{
	struct world *w = *state;
	struct holder holder;
	struct ask a = {.order = 0};

	(void)reserve(w, KEY_1, 1, 100);
	hold(w, &holder, "UPDATE key_months SET reserved = reserved + 600;");
	budgets_reserve(w->pool, ask_begin(w, &a), STR(KEY_1), answer(2), 400);
	wait_blocked(w, 1);
	let_go(w, &holder);
	assert_int_equal(ask_end(w, &a), 0);
	assert_false(budget_reserved(&a.q).reserved);
	assert_int_equal(number(w, TURNS), 1);
	query_fini(&a.q);
}

static void a_turn_is_settled_once_by_what_its_row_says(void **state)
{
	struct world *w = *state;

	for (unsigned i = 1; i <= 5; i++)
		assert_true(reserve(w, KEY_1, i, 100).reserved);
	write_answer(w, 1, "complete", "", 7);
	write_answer(w, 2, "streaming", "", -1);
	write_answer(w, 3, "interrupted", "SERVER_DIED", -1);
	write_answer(w, 4, "failed", "", -1);
	assert_int_equal(settle(w, 1), 1);
	assert_int_equal(settle(w, 1), 0);
	assert_int_equal(number(w, USED), 7);
	assert_int_equal(number(w, HELD), 400);
	assert_int_equal(settle(w, 2), 0); /* it still streams */
	assert_int_equal(settle(w, 3), 1); /* nobody knows */
	assert_int_equal(number(w, USED), 107);
	assert_int_equal(settle(w, 4), 1); /* the provider was not called */
	assert_int_equal(settle(w, 5), 1); /* no row: it never began */
	assert_int_equal(number(w, USED), 107);
	assert_int_equal(number(w, HELD), 100);
	run_sql(w, "UPDATE chat_messages SET status = 'complete', total_tokens = 250 WHERE status = 'streaming'");
	assert_int_equal(settle(w, 2), 1);
	assert_int_equal(number(w, USED), 357);
	assert_int_equal(number(w, HELD), 0);
	assert_int_equal(number(w, TURNS), 0);
}

static void what_is_left_is_settled_by_a_job(void **state)
{
	struct world *w = *state;

	run_sql(w, "UPDATE api_keys SET monthly_tokens = 5000");
	for (unsigned i = 1; i <= 6; i++)
		(void)reserve(w, i % 2 ? KEY_1 : KEY_2, i, 100);
	write_answer(w, 1, "complete", "", 11);
	write_answer(w, 2, "complete", "", 12);
	write_answer(w, 3, "streaming", "", -1);
	write_answer(w, 4, "stopped", "", 13);
	assert_int_equal(settle_all(w, 2), 2);
	assert_int_equal(settle_all(w, 100), 1);
	assert_int_equal(settle_all(w, 100), 0); /* 3 streams; 5 and 6 may be about to begin */
	assert_int_equal(number(w, "SELECT sum(used) FROM key_months"), 36);
	assert_int_equal(number(w, "SELECT sum(reserved) FROM key_months"), 300);
	run_sql(w, "UPDATE key_turns SET created_at = now() - interval '1 hour'");
	assert_int_equal(settle_all(w, 100), 2);
	assert_int_equal(number(w, "SELECT sum(used) FROM key_months"), 36);
	assert_int_equal(number(w, "SELECT sum(reserved) FROM key_months"), 100);
	assert_int_equal(number(w, TURNS), 1);
}

/* Its responder and a job, at the same time. */
static void two_that_settle_the_same_turn_count_it_once(void **state)
{
	struct world *w = *state;
	struct holder holder;

	(void)reserve(w, KEY_1, 1, 100);
	write_answer(w, 1, "complete", "", 7);
	hold(w, &holder, "UPDATE key_turns SET reserved = reserved;");
	assert_int_equal(settle(w, 1), 0); /* passed over, not waited for */
	let_go(w, &holder);
	assert_int_equal(settle_all(w, 10), 1);
	assert_int_equal(settle(w, 1), 0);
	assert_int_equal(number(w, USED), 7);
}

static void a_turn_counts_in_the_month_in_which_it_began(void **state)
{
	struct world *w = *state;

	(void)reserve(w, KEY_1, 1, 100);
	/* As if it had begun a month ago: both tables say so. */
	run_sql(w, "ALTER TABLE key_turns DROP CONSTRAINT key_turns_key_id_month_fkey");
	run_sql(w, "UPDATE key_months SET month = month - interval '1 month'");
	run_sql(w, "UPDATE key_turns SET month = month - interval '1 month'");
	run_sql(w, "ALTER TABLE key_turns ADD FOREIGN KEY (key_id, month) REFERENCES key_months ON DELETE CASCADE");
	write_answer(w, 1, "complete", "", 7);
	assert_int_equal(settle(w, 1), 1);
	assert_int_equal(number(w, "SELECT used FROM key_months WHERE month < date_trunc('month', now() AT TIME ZONE 'UTC')"), 7);
	assert_int_equal(number(w, "SELECT count(*) FROM key_months"), 1);
}

static void they_go_with_their_key(void **state)
{
	struct world *w = *state;

	(void)reserve(w, KEY_1, 1, 100);
	run_sql(w, "DELETE FROM api_keys WHERE id = '" KEY_1 "'");
	assert_int_equal(number(w, TURNS), 0);
	assert_int_equal(settle(w, 1), 0);
}

static void a_change_of_a_keys_limits_is_told(void **state)
{
	struct world *w = *state;
	int64_t before = number(w, "SELECT n FROM version");

	run_sql(w, "UPDATE api_keys SET tokens_per_minute = 5 WHERE id = '" KEY_1 "'");
	run_sql(w, "UPDATE api_keys SET tokens_per_minute = 5, monthly_tokens = 1000 WHERE id = '" KEY_1 "'"); /* no change */
	assert_int_equal(number(w, "SELECT n FROM version"), before + 1);
	assert_int_equal(number(w, "SELECT count(*) FROM changes WHERE kind = 'key' AND key = '" KEY_1 "'"), 1);
}

static void a_key_comes_back_with_its_limits(void **state)
{
	struct world *w = *state;
	struct ask a = {.order = 0};
	struct new_key key = {.id = STR("20000000-0000-7000-8000-000000000003"),
			      .user_id = STR(BERT),
			      .name = STR("k"),
			      .shown = STR("s"),
			      .hash = hash_of(3),
			      .limits = {5, 6000000, 7000000000}};
	struct key_row row;
	struct key_limits limits;

	keys_add(w->pool, ask_begin(w, &a), &by_anna, &key);
	expect_rows(w, &a, 1);
	row = keys_row(&a.q, 0);
	assert_true(row.limits.requests_per_minute == 5 && row.limits.tokens_per_minute == 6000000 && row.limits.monthly_tokens == 7000000000);
	assert_int_equal(row.used_tokens, 0);
	limits = find_key(w, hash_of(3))->holder.limits;
	assert_true(limits.requests_per_minute == 5 && limits.tokens_per_minute == 6000000 && limits.monthly_tokens == 7000000000);
	(void)reserve(w, KEY_1, 1, 100);
	write_answer(w, 1, "complete", "", 77);
	(void)settle(w, 1);
	keys_list(w->pool, ask_begin(w, &a), STR(BERT), 10, 0);
	expect_rows(w, &a, 3);
	for (size_t i = 0; i < 3; i++)
		if (str_eq(keys_row(&a.q, i).id, STR(KEY_1)))
			assert_int_equal(keys_row(&a.q, i).used_tokens, 77);
	query_fini(&a.q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_keys, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reserves_what_is_left_and_no_more),
		TEST(a_turn_that_may_take_more_begins_a_fresh_month_only),
		TEST(a_key_without_a_budget_reserves_nothing),
		TEST(of_turns_that_race_only_as_many_pass_as_fit),
		TEST(a_turn_waits_for_one_that_is_being_reserved),
		TEST(a_turn_is_settled_once_by_what_its_row_says),
		TEST(what_is_left_is_settled_by_a_job),
		TEST(two_that_settle_the_same_turn_count_it_once),
		TEST(a_turn_counts_in_the_month_in_which_it_began),
		TEST(they_go_with_their_key),
		TEST(a_change_of_a_keys_limits_is_told),
		TEST(a_key_comes_back_with_its_limits),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
