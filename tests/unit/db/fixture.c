/* The world of a pool test. */
#include "tests/unit/db/fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"

enum { BEAT_MS = 5, PATIENCE_US = 10000000 };

struct server server;

int start_server(void **state)
{
	(void)state;
	crypto_init();
	server_init(&server);
	return 0;
}

int stop_server(void **state)
{
	(void)state;
	server_fini(&server);
	return 0;
}

#define PSQL "PGPASSWORD=" SERVER_PASSWORD " %s/psql -h %s -U llmchat -d postgres -XAtq -v ON_ERROR_STOP=1"

static int run_command(const char *command)
{
	return system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c) */
}

int run_psql(const char *sql)
{
	char command[2048];

	snprintf(command, sizeof(command), PSQL " -c \"%s\"", server.bin, server.dir, sql);
	return run_command(command);
}

int make_tables(void **state)
{
	const char *srcdir = getenv("srcdir");
	char command[2048];

	if (start_server(state) != 0)
		return -1;
	snprintf(command, sizeof(command), "cat %s/sql/0*.sql | " PSQL, srcdir ? srcdir : ".", server.bin, server.dir);
	return run_command(command);
}

static void on_beat(void *arg)
{
	struct world *w = arg;
	uint64_t now_us = clock_mono_us();

	if (w->last_beat_us && now_us - w->last_beat_us > w->longest_gap_us)
		w->longest_gap_us = now_us - w->last_beat_us;
	w->last_beat_us = now_us;
	timer_start(&w->heart, BEAT_MS);
}

int make_world(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	w->loop = loop_new();
	w->resolver = resolver_new(w->loop);
	w->conf = (struct conf){
		.db_host = server.dir,
		.db_port = 5432,
		.db_user = "llmchat",
		.db_password = SERVER_PASSWORD,
		.db_name = "postgres",
		.db_idle_timeout_ms = 30000,
		.db_connection_timeout_ms = 5000,
		.db_statement_timeout_ms = 5000,
		.db_sslmode = "prefer",
		.db_prepared = true,
	};
	timer_init(&w->heart, w->loop, on_beat, w);
	timer_start(&w->heart, BEAT_MS);
	*state = w;
	return 0;
}

int end_world(void **state)
{
	struct world *w = *state;

	pool_free(w->pool);
	resolver_free(w->resolver);
	timer_fini(&w->heart);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void on_reachable(void *arg)
{
	((struct world *)arg)->n_reachable++;
}

void world_pool(struct world *w, size_t max, size_t min)
{
	w->pool = pool_new(w->loop, w->resolver, &w->conf, 7, max, min);
	pool_on_reachable(w->pool, on_reachable, w);
}

static struct world *asking; /* one test runs at a time */

static void on_done(struct op *op)
{
	struct ask *a = CONTAINER_OF(CONTAINER_OF(op, struct query, op), struct ask, q);

	assert_false(a->done);
	a->done = true;
	a->err = op->err;
	a->order = ++asking->n_done;
	a->took_us = clock_mono_us() - a->began_us;
}

static void prepare(struct world *w, struct ask *a)
{
	asking = w;
	a->done = false;
	a->q.op.done = on_done;
	a->began_us = clock_mono_us();
}

void ask(struct world *w, struct ask *a, const struct statement *stmt)
{
	prepare(w, a);
	query_start(w->pool, &a->q, stmt);
	assert_false(a->done); /* never from inside */
}

void wait_done(struct world *w, const bool *flag)
{
	uint64_t deadline_us = clock_mono_us() + PATIENCE_US;

	while (!*flag && clock_mono_us() < deadline_us)
		loop_turn(w->loop, true);
	assert_true(*flag);
}

int ask_and_wait(struct world *w, struct ask *a, const struct statement *stmt)
{
	ask(w, a, stmt);
	wait_done(w, &a->done);
	return a->err;
}

struct query *ask_begin(struct world *w, struct ask *a)
{
	query_fini(&a->q);
	prepare(w, a);
	return &a->q;
}

int ask_end(struct world *w, struct ask *a)
{
	wait_done(w, &a->done);
	return a->err;
}

int64_t number(struct world *w, const char *sql)
{
	const struct statement stmt = {"", sql, 0};
	struct ask a = {.order = 0};
	int64_t n;

	w->conf.db_prepared = false; /* each text is another statement */
	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	n = query_n_rows(&a.q) ? query_col_int(&a.q, 0, 0) : 0;
	query_fini(&a.q);
	w->conf.db_prepared = true;
	return n;
}

void run_sql(struct world *w, const char *sql)
{
	(void)number(w, sql);
}

void turn_for_ms(struct world *w, unsigned ms)
{
	uint64_t deadline_us = clock_mono_us() + (uint64_t)ms * 1000;

	while (clock_mono_us() < deadline_us)
		loop_turn(w->loop, true);
}

void wait_until(struct world *w, bool (*claim)(struct world *w))
{
	uint64_t deadline_us = clock_mono_us() + PATIENCE_US;

	while (!claim(w) && clock_mono_us() < deadline_us)
		loop_turn(w->loop, true);
	assert_true(claim(w));
}

bool is_reachable(struct world *w)
{
	return pool_stats(w->pool).reachable;
}

int64_t backend_pid(struct world *w)
{
	static const struct statement stmt = {"test_pid", "SELECT pg_backend_pid()", 0};
	struct ask a = {.order = 0};
	int64_t pid;

	assert_int_equal(ask_and_wait(w, &a, &stmt), 0);
	pid = query_col_int(&a.q, 0, 0);
	query_fini(&a.q);
	return pid;
}

static int stderr_before = -1;
static char captured[65536];

static FILE *capture;

void log_capture(void)
{
	fflush(stderr);
	capture = tmpfile();
	stderr_before = dup(STDERR_FILENO);
	assert_non_null(capture);
	dup2(fileno(capture), STDERR_FILENO);
}

const char *log_captured(void)
{
	size_t n;

	dup2(stderr_before, STDERR_FILENO);
	close(stderr_before);
	rewind(capture);
	n = fread(captured, 1, sizeof(captured) - 1, capture);
	captured[n] = '\0';
	fclose(capture);
	fputs(captured, stderr);
	return captured;
}
