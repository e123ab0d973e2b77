/* The world of a test of accounts. */
#include "tests/unit/db/accounts.h"

#include <stdio.h>

#include "base/clock.h"

enum { N_CONNECTIONS = 24, N_HASHES = 64, PATIENCE_US = 10000000 };

const struct audit_who by_anna = {
	.actor_id = {ANNA, sizeof(ANNA) - 1},
	.actor = {"anna", 4},
	.address = {"192.0.2.1", 9},
	.request_id = {"request-1", 9},
};

/* gate: empty while holders shall hold on. */
int make_accounts(void **state)
{
	return make_tables(state) == 0 ? run_psql("CREATE TABLE gate (open boolean)") : -1;
}

int make_people(void **state)
{
	struct world *w;

	make_world(state);
	w = *state;
	w->conf.db_statement_timeout_ms = 20000; /* twenty connections take their time to connect */
	world_pool(w, N_CONNECTIONS, 1);
	wait_until(w, is_reachable);
	run_sql(w, "TRUNCATE users, agent_configs, login_failures, audit_log, changes, gate CASCADE");
	run_sql(w, "INSERT INTO users (id, username, email, password_hash, role) VALUES ('" ANNA
		   "', 'anna', 'anna@example.org', 'hash-a', 'admin'),"
		   " ('" BERT "', 'Bert', 'bert@example.org', 'hash-b', 'user'), ('" CARL "', 'carl', NULL, NULL, 'user')");
	return 0;
}

void expect_rows(struct world *w, struct ask *a, size_t n_rows)
{
	assert_int_equal(ask_end(w, a), 0);
	assert_int_equal(query_n_rows(&a->q), n_rows);
}

struct str hash_of(unsigned n)
{
	static char texts[N_HASHES][65];
	static unsigned next;
	char *text = texts[next++ % N_HASHES];

	snprintf(text, 65, "%064x", n);
	return str_from(text);
}

void insert_login(struct world *w, const char *id, const char *user_id)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO logins (id, user_id, address, expires_at) VALUES ('%s', '%s', '', now() + interval '1 day')", id, user_id);
	run_sql(w, sql);
}

/* Turns the loop until the number of sql is at least n. */
static void wait_number(struct world *w, const char *sql, int64_t n)
{
	uint64_t deadline_us = clock_mono_us() + PATIENCE_US;

	while (number(w, sql) < n)
		assert_true(clock_mono_us() < deadline_us);
}

void hold(struct world *w, struct holder *h, const char *sql)
{
	*h = (struct holder){.stmt = {.name = ""}};
	snprintf(h->sql, sizeof(h->sql), "DO $$BEGIN %s LOOP PERFORM FROM gate; EXIT WHEN FOUND; PERFORM pg_sleep(0.005); END LOOP; END$$",
		 sql);
	h->stmt.sql = h->sql;
	w->conf.db_prepared = false;
	ask(w, &h->ask, &h->stmt);
	wait_number(w, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1);
}

void wait_blocked(struct world *w, int64_t n)
{
	wait_number(w, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", n);
}

void let_go(struct world *w, struct holder *h)
{
	run_sql(w, "INSERT INTO gate VALUES (true)");
	assert_int_equal(ask_end(w, &h->ask), 0);
	query_fini(&h->ask.q);
	run_sql(w, "DELETE FROM gate");
}
