/* A few PostgreSQL connections for many queries. One statement borrows one connection and gives it back; nothing here blocks.
 * There are no transactions over several statements: whatever belongs together is one statement. */
#pragma once
#include "db/query.h"

struct conf;
struct loop;
struct resolver;
struct pool;

/* A pool of at most max connections that keeps min open. It begins to connect at once; slot names the connections for the
 * server ("llmchat-3"). All three pointers are borrowed until pool_free; the DB_ values of conf are read at each connect and use. */
struct pool *pool_new(struct loop *loop, struct resolver *resolver, const struct conf *conf, int slot, size_t max, size_t min);
/* Nobody may wait any more (cancel first); statements of cancelled queries are cut off. Not from inside a done. */
void pool_free(struct pool *pool);
/* While draining: from now on at most max connections; busy ones above that go when their statement is over. */
void pool_shrink(struct pool *pool, size_t max);

/* Runs stmt with the parameters appended to q. Queries wait first come, first served for a connection. q->op.done comes
 * later, never inside, and after it q may be gone. op.err:
 *   0                     the rows are in q
 *   -ERR_CONFLICT         a unique constraint (23505), see query_constraint
 *   -ERR_DB_UNAVAILABLE   no connection (told at once while the database is known to be away), q->op.deadline_us or one of
 *                         our limits has passed, the server is shutting down or out of something, a deadlock or lock timeout,
 *                         or the connection was lost: then nobody knows whether the statement has happened. It is not repeated.
 *   -ERR_OVERLOADED       POOL_MAX_WAITING queries wait already
 *   -ERR_VALIDATION       a text parameter holds a NUL byte
 *   -ERR_INTERNAL         any other error of PostgreSQL; it has been logged, see query_sqlstate
 * op_cancel of a waiting query removes it; a running one is detached: its statement may still happen. */
void query_start(struct pool *pool, struct query *q, const struct statement *stmt);
/* The same for what is long by its nature. All of these together get at most an eighth of the pool's connections, and at least one: a
 * crowd of them keeps nobody else waiting, and is itself served sooner by few connections than by many. */
void query_start_heavy(struct pool *pool, struct query *q, const struct statement *stmt);

enum { POOL_MAX_WAITING = 10000, POOL_MAX_LISTENERS = 4 };

struct pool_stats {
	size_t active, idle, waiting, connecting, max;
	bool reachable;               /* the last attempt to connect succeeded */
	bool away;                    /* it failed; neither: there was none yet */
	uint64_t n_queries, n_failed; /* ended with any error but -ERR_CONFLICT */
	uint64_t last_latency_us;     /* of one statement, from being sent to its last row */
};
struct pool_stats pool_stats(const struct pool *pool);

/* Calls fn from the loop each time the database becomes reachable, also the first time. A single connection can be lost and
 * its query fail without the database ever being out of reach: whoever keeps work for later needs a timer of its own too. */
void pool_on_reachable(struct pool *pool, void (*fn)(void *arg), void *arg);
