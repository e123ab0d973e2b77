/* The pool's connections: opened while waiters wait, lent for one statement, dropped when broken, late or idle for long.
 * Each is in the list of its state, and conn_move is the only way between those lists. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/pool_inside.h"
#include "db/sqlstate.h"

enum { MAX_CONNECTING = 2, SWOLLEN_IDLE_MS = 5000, GRACE_MS = 500, GROW_AFTER_US = 20000, GROW_AGAIN_US = 50000 };

size_t conns_established(const struct pool *pool)
{
	return pool->n_conns[CONN_IDLE] + pool->n_conns[CONN_ACTIVE];
}

size_t conns_connecting(const struct pool *pool)
{
	return pool->n_conns[CONN_RESOLVING] + pool->n_conns[CONN_CONNECTING];
}

static uint64_t from_now_us(int64_t ms)
{
	return clock_mono_us() + (uint64_t)ms * 1000;
}

static void conn_move(struct pool_conn *c, enum conn_state state)
{
	struct pool *pool = c->pool;

	pool->n_conns[c->state]--;
	if (c->state == CONN_ACTIVE && c->heavy)
		pool->n_heavy--;
	list_remove(&c->node);
	c->state = state;
	pool->n_conns[state]++;
	if (state == CONN_ACTIVE && c->heavy)
		pool->n_heavy++;
	if (state == CONN_IDLE)
		list_push_front(&pool->conns[state], &c->node);
	else
		list_push(&pool->conns[state], &c->node);
}

/* Closes it; its query ends. */
static void conn_drop(struct pool_conn *c)
{
	if (c->q)
		pool_end_query(c->q, -ERR_DB_UNAVAILABLE);
	c->q = NULL;
	op_cancel(&c->resolve.op);
	pg_close(&c->pg);
	conn_move(c, CONN_GONE);
	pool_defer_tell(c->pool);
}

static void note_unreachable(struct pool *pool, const char *why)
{
	if (pool->reached == UNREACHABLE)
		return;
	pool->reached = UNREACHABLE;
	log_error(NULL, "database_unreachable", "host", pool->conf->db_host, "port", pool->conf->db_port, "reason", why);
}

static void note_reachable(struct pool *pool)
{
	pool->failing = pool->backing_off = false;
	timer_stop(&pool->retry);
	backoff_reset(&pool->backoff);
	if (pool->reached == REACHABLE)
		return;
	pool->reached = REACHABLE;
	log_info(NULL, "database_reachable", "host", pool->conf->db_host, "port", pool->conf->db_port);
	pool->announce = true;
	pool_defer_tell(pool);
}

/* An established connection is lost. */
static void conn_lost(struct pool_conn *c, const char *why)
{
	struct pool *pool = c->pool;

	conn_drop(c);
	if (conns_established(pool) == 0)
		note_unreachable(pool, why);
}

/* A new connection has not come about. The others go on; without any, nobody is left waiting. */
static void conn_failed(struct pool_conn *c, const char *why)
{
	struct pool *pool = c->pool;

	conn_drop(c);
	if (conns_established(pool) == 0) {
		pool->failing = true;
		note_unreachable(pool, why);
		pool_fail_waiting(pool);
	} else if (pool->backoff.n_failures == 0) {
		log_warn(NULL, "database_connect_failed", "established", conns_established(pool), "reason", why);
	}
	if (!pool->backing_off) {
		pool->backing_off = true;
		timer_start(&pool->retry, backoff_next_ms(&pool->backoff));
	}
}

/* It is free: for the next one, or to go. */
static void conn_return(struct pool_conn *c)
{
	c->q = NULL;
	if (c->worn || conns_established(c->pool) > c->pool->max) {
		conn_drop(c);
	} else {
		int64_t idle_ms = c->pool->conf->db_idle_timeout_ms;

		conn_move(c, CONN_IDLE);
		c->deadline_us = from_now_us(c->pg.swollen && idle_ms > SWOLLEN_IDLE_MS ? SWOLLEN_IDLE_MS : idle_ms);
		c->pool->swollen |= c->pg.swollen;
	}
}

static void conn_send(struct pool_conn *c, bool prepared)
{
	char why[PG_WHY_SIZE];

	c->sent_us = clock_mono_us();
	/* PostgreSQL itself ends the statement first, unless it cannot be heard. */
	c->deadline_us = from_now_us(c->pool->conf->db_statement_timeout_ms + GRACE_MS);
	if (pg_start(&c->pg, c->q, prepared, why) != 0)
		conn_lost(c, why);
}

void conns_run(struct pool *pool, struct query *q)
{
	struct pool_conn *c = CONTAINER_OF(pool->conns[CONN_IDLE].next, struct pool_conn, node);

	assert(pool->n_conns[CONN_IDLE]);
	q->conn = c;
	c->q = q;
	c->stmt = q->stmt;
	c->heavy = q->heavy;
	c->repeated = false;
	conn_move(c, CONN_ACTIVE);
	conn_send(c, pool->conf->db_prepared);
}

void conns_detach(struct query *q)
{
	q->conn->q = NULL;
	pg_detach(&q->conn->pg);
	q->conn = NULL;
}

/* What an answer means. Errors are logged here, without anything that could quote a parameter. */
static int judge(struct pool_conn *c, const struct pg_result *result)
{
	const char *sqlstate = pg_result_sqlstate(result);
	int err;

	if (pg_result_ok(result))
		return 0;
	err = sqlstate_to_err(sqlstate);
	if (sqlstate_ends_connection(sqlstate))
		c->worn = true;
	if (err != -ERR_CONFLICT)
		log_error(NULL, "statement_failed", "statement", c->stmt->name, "sqlstate", sqlstate, "reason",
			  sqlstate_may_be_quoted(sqlstate) ? pg_result_message(result) : "not shown");
	return err;
}

static void measure(struct pool_conn *c)
{
	uint64_t took_us = clock_mono_us() - c->sent_us;
	int64_t slow_ms = c->pool->conf->slow_query_ms;

	c->pool->last_latency_us = took_us;
	if (slow_ms > 0 && took_us >= (uint64_t)slow_ms * 1000)
		log_warn(NULL, "slow_statement", "statement", c->stmt->name, "took_ms", took_us / 1000, "waiting",
			 pool_stats(c->pool).waiting);
}

/* Plans go stale when the schema changes. The statement has failed as a whole, so it may be sent again, this time unnamed; the
 * connection, with whatever else is stale on it, goes afterwards. */
static bool repeat_unnamed(struct pool_conn *c, struct pg_result *result)
{
	const char *sqlstate = pg_result_sqlstate(result);

	if (!c->q || c->repeated || !c->pool->conf->db_prepared || !sqlstate_is_stale_plan(sqlstate, c->pg.reused))
		return false;
	log_warn(NULL, "statement_repeated_unprepared", "statement", c->stmt->name, "sqlstate", sqlstate);
	pg_result_free(result);
	c->worn = c->repeated = true;
	conn_send(c, false);
	return true;
}

static void on_done(void *arg, struct pg_result *result)
{
	struct pool_conn *c = arg;
	struct pool *pool = c->pool;

	if (!repeat_unnamed(c, result)) {
		int err = result ? judge(c, result) : 0;

		measure(c);
		if (c->q) {
			snprintf(c->q->sqlstate, sizeof(c->q->sqlstate), "%s", pg_result_sqlstate(result));
			c->q->result = result;
			pool_end_query(c->q, err);
		} else {
			pg_result_free(result);
		}
		conn_return(c);
	}
	pool_serve(pool);
}

static void on_ready(void *arg)
{
	struct pool_conn *c = arg;
	struct pool *pool = c->pool;

	note_reachable(pool);
	conn_move(c, CONN_IDLE);
	conn_return(c);
	pool_serve(pool);
}

static void on_lost(void *arg, const char *why)
{
	struct pool_conn *c = arg;
	struct pool *pool = c->pool;

	if (c->state == CONN_CONNECTING) {
		conn_failed(c, why);
	} else {
		if (c->state == CONN_ACTIVE)
			log_warn(NULL, "statement_cut_off", "statement", c->stmt->name, "reason", why);
		if (c->q)
			snprintf(c->q->sqlstate, sizeof(c->q->sqlstate), "%s", pg_result_sqlstate(c->pg.result));
		conn_lost(c, why);
	}
	pool_serve(pool);
}

static void conn_connect(struct pool_conn *c, const char *addresses)
{
	static const struct pg_events events = {on_ready, on_done, on_lost};
	char why[PG_WHY_SIZE];
	struct pool *pool = c->pool;

	conn_move(c, CONN_CONNECTING);
	if (pg_open(&c->pg, pool->loop, pool->conf, addresses, pool->name, &events, c, why) != 0)
		conn_failed(c, why);
}

static void on_address(struct op *op)
{
	struct pool_conn *c = CONTAINER_OF(CONTAINER_OF(op, struct resolve, op), struct pool_conn, resolve);
	struct pool *pool = c->pool;

	if (op->err)
		conn_failed(c, op->err == -ERR_UPSTREAM_TIMEOUT ? "the name server does not answer" : "the host name has no address");
	else
		conn_connect(c, c->resolve.addresses);
	pool_serve(pool);
}

/* A new connection costs both sides tens of milliseconds before its first statement is done: a short queue is over by then, and
 * a long one is not helped by many at once. */
static bool worth_another(const struct pool *pool)
{
	const struct query *first = pool_next(pool);
	uint64_t now_us = clock_mono_us();

	return first && now_us >= first->started_us + GROW_AFTER_US && now_us >= pool->grown_us + GROW_AGAIN_US;
}

bool conns_should_grow(const struct pool *pool)
{
	size_t connecting = conns_connecting(pool), total = conns_established(pool) + connecting;

	if (pool->backing_off || total >= pool->max || connecting >= (pool->failing ? 1 : MAX_CONNECTING))
		return false;
	return total < pool->min || total == 0 || (pool_n_ready(pool) > connecting && worth_another(pool));
}

void conns_grow(struct pool *pool)
{
	struct pool_conn *c = mem_alloc(sizeof(*c));
	const char *host = pool->conf->db_host;

	pool->grown_us = clock_mono_us();
	c->pool = pool;
	c->state = CONN_RESOLVING;
	c->deadline_us = from_now_us(pool->conf->db_connection_timeout_ms);
	c->resolve.op.done = on_address;
	c->resolve.op.deadline_us = c->deadline_us;
	list_push(&pool->conns[CONN_RESOLVING], &c->node);
	pool->n_conns[CONN_RESOLVING]++;
	if (host[0] == '/')
		conn_connect(c, NULL);
	else
		resolve_start(pool->resolver, &c->resolve, str_from(host));
}

void conns_trim(struct pool *pool)
{
	while (conns_established(pool) > pool->max && pool->n_conns[CONN_IDLE])
		conn_drop(CONTAINER_OF(pool->conns[CONN_IDLE].prev, struct pool_conn, node));
}

static void conn_expired(struct pool_conn *c)
{
	switch (c->state) {
	case CONN_RESOLVING:
	case CONN_CONNECTING: conn_failed(c, "connecting took longer than DB_CONNECTION_TIMEOUT"); break;
	case CONN_ACTIVE:
		log_warn(NULL, "statement_timeout", "statement", c->stmt->name, "timeout_ms", c->pool->conf->db_statement_timeout_ms);
		conn_drop(c); /* if the server itself is stuck, the next attempt to connect will tell */
		break;
	case CONN_IDLE:
		if (conns_established(c->pool) > c->pool->min || c->pg.swollen)
			conn_drop(c);
		break;
	case CONN_GONE:
	case N_CONN_STATES: break;
	}
}

void conns_expire(struct pool *pool, uint64_t now_us)
{
	pool->swollen = false;
	for (enum conn_state state = 0; state < CONN_GONE; state++) {
		struct list *head = &pool->conns[state], *l, *before;

		for (l = head->prev; l != head; l = before) { /* from the end: there are the idle ones that were used least */
			struct pool_conn *c = CONTAINER_OF(l, struct pool_conn, node);

			before = l->prev;
			if (c->deadline_us <= now_us)
				conn_expired(c);
			else if (state == CONN_IDLE)
				pool->swollen |= c->pg.swollen;
		}
	}
}

void conns_free_gone(struct pool *pool)
{
	struct list *node;

	while ((node = list_pop(&pool->conns[CONN_GONE]))) {
		pool->n_conns[CONN_GONE]--;
		free(CONTAINER_OF(node, struct pool_conn, node));
	}
}

void conns_free_all(struct pool *pool)
{
	for (enum conn_state state = 0; state < CONN_GONE; state++)
		while (!list_empty(&pool->conns[state]))
			conn_drop(CONTAINER_OF(pool->conns[state].next, struct pool_conn, node));
	conns_free_gone(pool);
}
