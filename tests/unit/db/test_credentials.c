/* Look-ups of logins and keys that wait together, on a real PostgreSQL. */
#include "db/credentials.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/db/accounts.h"

enum { N = 300 };

/* Of the i-th login, and of the i-th key, which has hash i. */
#define ID    "lpad(to_hex(i), 32, '0')::uuid"
#define OWNER "(CASE WHEN i % 2 = 0 THEN '" BERT "' ELSE '" CARL "' END)::uuid"

struct many {
	struct credentials *credentials;
	struct lookup lookups[N];
	char keys[N][65];
};

static struct many *many_new(struct world *w)
{
	struct many *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	run_sql(w, "INSERT INTO logins (id, user_id, address, expires_at)"
		   " SELECT " ID ", " OWNER ", '', now() + interval '1 day' FROM generate_series(1, 400) i");
	run_sql(w, "INSERT INTO api_keys (id, user_id, name, shown, hash)"
		   " SELECT " ID ", " OWNER ", 'k', 's', lpad(to_hex(i), 64, '0') FROM generate_series(1, 400) i");
	m->credentials = credentials_new(w->loop, w->pool, &w->conf);
	return m;
}

static void many_free(struct many *m)
{
	credentials_free(m->credentials);
	free(m);
}

static void find_login_as(struct many *m, int i, unsigned login, const char *user_id)
{
	snprintf(m->keys[i], sizeof(m->keys[i]), "00000000-0000-0000-0000-%012x", login);
	credentials_find_login(m->credentials, lookup_begin(&m->lookups[i]), str_from(m->keys[i]), str_from(user_id));
	assert_false(m->lookups[i].done); /* never from inside */
}

static const char *owner_of(unsigned login)
{
	return login % 2 == 0 ? BERT : CARL;
}

static void find_key_at(struct many *m, int i, unsigned key)
{
	snprintf(m->keys[i], sizeof(m->keys[i]), "%064x", key);
	credentials_find_key(m->credentials, lookup_begin(&m->lookups[i]), str_from(m->keys[i]));
	assert_false(m->lookups[i].done);
}

static void wait_all(struct world *w, struct many *m, int n)
{
	for (int i = 0; i < n; i++)
		wait_done(w, &m->lookups[i].done);
}

static void expect_holder(const struct lookup *l, unsigned number)
{
	char id[37];

	snprintf(id, sizeof(id), "00000000-0000-0000-0000-%012x", number);
	assert_true(l->err == 0 && l->found);
	assert_true(str_eq_cstr(l->holder.id, id) && str_eq_cstr(l->holder.user_id, owner_of(number)));
	assert_true(str_eq_cstr(l->holder.username, number % 2 == 0 ? "Bert" : "carl"));
}

static void many_logins_share_a_few_statements_and_each_gets_its_own(void **state)
{
	struct world *w = *state;
	struct many *m = many_new(w);
	uint64_t before = pool_stats(w->pool).n_queries;

	for (int i = 0; i < N; i++) /* every seventh is nobody's, or not whose it is said to be, and one is asked for twice */
		find_login_as(m, i, i % 7 == 3 ? 5000 : i ? (unsigned)i : 1, owner_of(i % 7 == 5 ? (unsigned)i + 1 : i ? (unsigned)i : 1));
	wait_all(w, m, N);
	assert_int_equal(pool_stats(w->pool).n_queries - before, (N + CREDENTIALS_MAX - 1) / CREDENTIALS_MAX);
	for (int i = 0; i < N; i++) {
		if (i % 7 == 3 || i % 7 == 5)
			assert_true(m->lookups[i].err == 0 && !m->lookups[i].found);
		else
			expect_holder(&m->lookups[i], i ? (unsigned)i : 1);
	}
	many_free(m);
}

static void many_keys_share_a_few_statements_and_each_gets_its_own(void **state)
{
	struct world *w = *state;
	struct many *m = many_new(w);
	uint64_t before = pool_stats(w->pool).n_queries;

	run_sql(w, "UPDATE api_keys SET revoked_at = now() WHERE hash = lpad(to_hex(9), 64, '0')");
	before++;
	for (int i = 0; i < N; i++)
		find_key_at(m, i, i < 100 ? 7 : i % 10 == 3 ? 5000 : i % 10 == 4 ? 9 : (unsigned)i); /* a hundred come with the same one */
	wait_all(w, m, N);
	assert_int_equal(pool_stats(w->pool).n_queries - before, (N + CREDENTIALS_MAX - 1) / CREDENTIALS_MAX);
	for (int i = 0; i < N; i++) {
		if (i >= 100 && (i % 10 == 3 || i % 10 == 4))
			assert_true(m->lookups[i].err == 0 && !m->lookups[i].found);
		else
			expect_holder(&m->lookups[i], i < 100 ? 7 : (unsigned)i);
	}
	assert_int_equal(number(w, "SELECT count(*) FROM api_keys WHERE last_used_at > now() - interval '1 minute'"), 1 + 200 - 40);
	many_free(m);
}

static void logins_and_keys_do_not_wait_for_each_other(void **state)
{
	struct world *w = *state;
	struct many *m = many_new(w);
	uint64_t before = pool_stats(w->pool).n_queries;

	find_login_as(m, 0, 2, BERT);
	find_key_at(m, 1, 3);
	wait_all(w, m, 2);
	expect_holder(&m->lookups[0], 2);
	expect_holder(&m->lookups[1], 3);
	assert_int_equal(pool_stats(w->pool).n_queries - before, 2);
	many_free(m);
}

/* Two statements are on their way: what comes meanwhile goes with the next, all of it. */
static void whoever_comes_while_statements_are_on_their_way_gathers(void **state)
{
	struct world *w = *state;
	struct many *m = many_new(w);
	uint64_t before = pool_stats(w->pool).n_queries;

	for (int i = 0; i < 42; i++) {
		find_login_as(m, i, (unsigned)i + 1, owner_of((unsigned)i + 1));
		if (i < 2)
			loop_turn(w->loop, false);
	}
	wait_all(w, m, 42);
	assert_in_range(pool_stats(w->pool).n_queries - before, 2, 3);
	for (int i = 0; i < 42; i++)
		expect_holder(&m->lookups[i], (unsigned)i + 1);
	many_free(m);
}

static void one_may_be_cancelled_before_and_while_it_is_sent(void **state)
{
	struct world *w = *state;
	struct many *m = many_new(w);

	for (int i = 0; i < 5; i++)
		find_login_as(m, i, (unsigned)i + 1, owner_of((unsigned)i + 1));
	op_cancel(&m->lookups[1].c.op);
	loop_turn(w->loop, false); /* sent */
	op_cancel(&m->lookups[3].c.op);
	memset(&m->lookups[3], 0xff, sizeof(m->lookups[3])); /* its waiter is gone */
	for (int i = 0; i < 5; i += 2)
		wait_done(w, &m->lookups[i].done);
	assert_false(m->lookups[1].done);
	for (int i = 0; i < 5; i += 2)
		expect_holder(&m->lookups[i], (unsigned)i + 1);
	for (int i = 0; i < 5; i++) { /* all of a statement's, and the end before it */
		find_login_as(m, i, (unsigned)i + 1, owner_of((unsigned)i + 1));
		if (i == 3)
			loop_turn(w->loop, false);
	}
	for (int i = 0; i < 5; i++)
		op_cancel(&m->lookups[i].c.op);
	many_free(m);
}

static void without_a_database_nobody_is_said_to_be_unknown(void **state)
{
	struct world *w = *state;
	struct many *m = many_new(w);

	server_stop(&server);
	for (int i = 0; i < N; i++)
		find_login_as(m, i, (unsigned)i + 1, owner_of((unsigned)i + 1));
	wait_all(w, m, N);
	for (int i = 0; i < N; i++)
		assert_int_equal(m->lookups[i].err, -ERR_DB_UNAVAILABLE);
	find_key_at(m, 0, 1);
	wait_all(w, m, 1);
	assert_true(m->lookups[0].err == -ERR_DB_UNAVAILABLE && !m->lookups[0].found);
	server_start(&server);
	wait_until(w, is_reachable);
	find_login_as(m, 0, 2, BERT);
	wait_all(w, m, 1);
	expect_holder(&m->lookups[0], 2);
	many_free(m);
}

/* Each from when it began to wait, not from when its statement did. */
static void nobody_waits_for_a_connection_longer_than_his_time(void **state)
{
	struct world *w = *state;
	static const struct statement sleep = {"test_sleep", "SELECT pg_sleep(3)", 0};
	struct ask asleep = {.order = 0};
	struct many *m;

	w->conf.db_statement_timeout_ms = 5000;
	pool_free(w->pool);
	world_pool(w, 1, 1);
	wait_until(w, is_reachable);
	m = many_new(w);
	w->conf.db_connection_timeout_ms = 500;
	ask(w, &asleep, &sleep);
	for (int i = 0; i < 6; i++) {
		find_login_as(m, i, (unsigned)i + 1, owner_of((unsigned)i + 1));
		turn_for_ms(w, 100);
	}
	wait_all(w, m, 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(m->lookups[i].err, -ERR_DB_UNAVAILABLE);
		assert_in_range(m->lookups[i].took_us, 400000, 800000);
	}
	w->conf.db_connection_timeout_ms = 5000;
	find_login_as(m, 0, 2, BERT); /* it waits until the sleeper is done */
	wait_all(w, m, 1);
	expect_holder(&m->lookups[0], 2);
	assert_int_equal(ask_end(w, &asleep), 0);
	query_fini(&asleep.q);
	many_free(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_people, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_logins_share_a_few_statements_and_each_gets_its_own),
		TEST(many_keys_share_a_few_statements_and_each_gets_its_own),
		TEST(logins_and_keys_do_not_wait_for_each_other),
		TEST(whoever_comes_while_statements_are_on_their_way_gathers),
		TEST(one_may_be_cancelled_before_and_while_it_is_sent),
		TEST(without_a_database_nobody_is_said_to_be_unknown),
		TEST(nobody_waits_for_a_connection_longer_than_his_time),
	};

	return cmocka_run_group_tests(tests, make_accounts, stop_server);
}
