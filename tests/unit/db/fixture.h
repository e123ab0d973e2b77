/* What the pool's tests share: one server for the program; a loop, a resolver and a pool for each test; questions to ask. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/loop.h"
#include "db/pool.h"
#include "net/resolver.h"
#include "tests/unit/db/server.h"

/* One query and how it went. */
struct ask {
	struct query q;
	bool done;
	int err;
	unsigned order; /* the how-manieth of the test to be done, from 1 */
	uint64_t began_us, took_us;
};

extern struct server server;

struct world {
	struct conf conf; /* as the responders would have it; change it before world_pool */
	struct loop *loop;
	struct resolver *resolver;
	struct pool *pool;
	struct timer heart; /* beats every few milliseconds, so that a loop that stands still is noticed */
	uint64_t last_beat_us, longest_gap_us;
	unsigned n_done, n_reachable;
};

/* For cmocka: of the program, and of each test (*state is a struct world). */
int start_server(void **state);
int stop_server(void **state);
int make_tables(void **state); /* start_server, and the project's own tables on it */
int make_world(void **state);
int end_world(void **state);

void world_pool(struct world *w, size_t max, size_t min);
/* Starts stmt; fill a->q first. */
void ask(struct world *w, struct ask *a, const struct statement *stmt);
/* Turns the loop until *flag; fails the test after ten seconds. */
void wait_done(struct world *w, const bool *flag);
/* Starts stmt and waits; returns the error. */
int ask_and_wait(struct world *w, struct ask *a, const struct statement *stmt);
/* For functions that fill and start a query by themselves: an empty one, which may have been asked before; then wait for its end. */
struct query *ask_begin(struct world *w, struct ask *a);
int ask_end(struct world *w, struct ask *a);
/* Any one statement, which must not fail. */
void run_sql(struct world *w, const char *sql);
/* One number of the database; 0 without a row. */
int64_t number(struct world *w, const char *sql);
/* Runs sql while there is no world yet; returns 0, or -1 if it failed. */
int run_psql(const char *sql);
void turn_for_ms(struct world *w, unsigned ms);
/* Turns the loop until claim(w) is true; fails the test after ten seconds. */
void wait_until(struct world *w, bool (*claim)(struct world *w));
bool is_reachable(struct world *w);
/* Process id of the connection that answers, for tests with one connection. */
int64_t backend_pid(struct world *w);
/* What was logged between the two calls. */
void log_capture(void);
const char *log_captured(void);
