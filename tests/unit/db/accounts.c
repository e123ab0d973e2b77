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

static struct str keep(char *to, struct str text)
{
	assert_true(text.len < sizeof(((struct lookup *)NULL)->texts[0]));
	memcpy(to, text.p, text.len);
	return (struct str){to, text.len};
}

static void on_found(struct op *op)
{
	struct lookup *l = CONTAINER_OF(CONTAINER_OF(op, struct credential, op), struct lookup, c);
	struct credential_holder holder;

	assert_false(l->done);
	l->done = true;
	l->err = op->err;
	l->found = l->c.found;
	l->took_us = clock_mono_us() - l->began_us;
	if (!l->found)
		return;
	holder = credential_holder(&l->c);
	l->holder = (struct credential_holder){
		.id = keep(l->texts[0], holder.id),
		.user_id = keep(l->texts[1], holder.user_id),
		.username = keep(l->texts[2], holder.username),
		.role = keep(l->texts[3], holder.role),
		.agents = keep(l->texts[4], holder.agents),
		.expires_in_s = holder.expires_in_s,
		.limits = holder.limits,
	};
}

struct credential *lookup_begin(struct lookup *l)
{
	*l = (struct lookup){.c = {.op = {.done = on_found}}, .began_us = clock_mono_us()};
	return &l->c;
}

static void finish_lookup(struct world *w, struct credentials *credentials, struct lookup *l)
{
	wait_done(w, &l->done);
	assert_int_equal(l->err, 0);
	credentials_free(credentials);
}

const struct lookup *find_login(struct world *w, const char *login_id, const char *user_id)
{
	struct credentials *credentials = credentials_new(w->loop, w->pool, &w->conf);
	static struct lookup l;

	credentials_find_login(credentials, lookup_begin(&l), str_from(login_id), str_from(user_id));
	finish_lookup(w, credentials, &l);
	return &l;
}

const struct lookup *find_key(struct world *w, struct str hash)
{
	struct credentials *credentials = credentials_new(w->loop, w->pool, &w->conf);
	static struct lookup l;

	credentials_find_key(credentials, lookup_begin(&l), hash);
	finish_lookup(w, credentials, &l);
	return &l;
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
