/* The pool: queries wait here for a connection, first come, first served, and are told here how they ended. */
#include "db/pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "db/pool_inside.h"

enum { TICK_MS = 100, IDLE_TICK_MS = 1000, RETRY_MS = 100, RETRY_MAX_MS = 3000, HEAVY_PART = 8 };

/* The end of the loop's turn: no frame above holds a connection or a query. */
static void tell(struct defer *d)
{
	struct pool *pool = CONTAINER_OF(d, struct pool, tell);
	struct list batch, *node;
	bool announce = pool->announce;

	pool->announce = false;
	conns_free_gone(pool);
	list_init(&batch);
	list_move_all(&batch, &pool->finished);
	for (size_t i = 0; announce && i < pool->n_listeners; i++)
		pool->listeners[i].fn(pool->listeners[i].arg);
	while ((node = list_pop(&batch))) {
		struct query *q = CONTAINER_OF(node, struct query, node);

		q->state = QUERY_UNSENT;
		op_finish(&q->op, q->op.err);
	}
}

void pool_defer_tell(struct pool *pool)
{
	loop_defer(pool->loop, &pool->tell, tell);
}

static enum lane lane_of(const struct query *q)
{
	return q->heavy ? LANE_HEAVY : LANE_QUICK;
}

static struct query *first_in(const struct pool *pool, enum lane lane)
{
	return pool->n_waiting[lane] ? CONTAINER_OF(pool->waiting[lane].next, struct query, node) : NULL;
}

static size_t all_waiting(const struct pool *pool)
{
	return pool->n_waiting[LANE_QUICK] + pool->n_waiting[LANE_HEAVY];
}

static size_t room_for_heavy(const struct pool *pool)
{
	size_t share = pool->max / HEAVY_PART ? pool->max / HEAVY_PART : 1;

	return share > pool->n_heavy ? share - pool->n_heavy : 0;
}

struct query *pool_next(const struct pool *pool)
{
	struct query *quick = first_in(pool, LANE_QUICK), *heavy = room_for_heavy(pool) ? first_in(pool, LANE_HEAVY) : NULL;

	if (quick && heavy)
		return quick->number < heavy->number ? quick : heavy;
	return quick ? quick : heavy;
}

size_t pool_n_ready(const struct pool *pool)
{
	size_t room = room_for_heavy(pool), heavy = pool->n_waiting[LANE_HEAVY];

	return pool->n_waiting[LANE_QUICK] + (heavy < room ? heavy : room);
}

/* It waits no longer. */
static void leave_lane(struct query *q)
{
	list_remove(&q->node);
	q->pool->n_waiting[lane_of(q)]--;
}

void pool_end_query(struct query *q, int err)
{
	struct pool *pool = q->pool;

	if (q->state == QUERY_WAITING)
		leave_lane(q);
	if (err != 0 && err != -ERR_CONFLICT)
		pool->n_failed++;
	q->conn = NULL;
	q->state = QUERY_FINISHED;
	q->op.err = err;
	list_push(&pool->finished, &q->node);
	pool_defer_tell(pool);
}

void pool_fail_waiting(struct pool *pool)
{
	for (enum lane lane = 0; lane < N_LANES; lane++)
		while (pool->n_waiting[lane])
			pool_end_query(first_in(pool, lane), -ERR_DB_UNAVAILABLE);
}

static void need_tick(struct pool *pool)
{
	bool hurry = all_waiting(pool) || pool->n_conns[CONN_ACTIVE] || conns_connecting(pool);
	bool spare = conns_established(pool) > pool->min || pool->swollen;
	unsigned tick_ms = hurry ? TICK_MS : spare ? IDLE_TICK_MS : 0;

	if (tick_ms == 0 || (pool->tick_ms && pool->tick_ms <= tick_ms))
		return;
	pool->tick_ms = tick_ms;
	timer_start(&pool->tick, tick_ms);
}

void pool_serve(struct pool *pool)
{
	struct query *q;

	while (pool->n_conns[CONN_IDLE] && (q = pool_next(pool))) {
		leave_lane(q);
		q->state = QUERY_RUNNING;
		q->was_sent = true;
		conns_run(pool, q);
	}
	while (conns_should_grow(pool))
		conns_grow(pool);
	need_tick(pool);
}

static void query_cancel(struct op *op)
{
	struct query *q = CONTAINER_OF(op, struct query, op);

	if (q->state == QUERY_WAITING)
		leave_lane(q);
	else if (q->state == QUERY_RUNNING)
		conns_detach(q);
	else
		list_remove(&q->node);
	q->state = QUERY_UNSENT;
}

static void start(struct pool *pool, struct query *q, const struct statement *stmt, bool heavy)
{
	assert(q->state == QUERY_UNSENT && !q->result && q->op.done && q->n_params == stmt->n_params);
	q->number = ++pool->n_queries;
	q->pool = pool;
	q->stmt = stmt;
	q->heavy = heavy;
	q->sqlstate[0] = '\0';
	q->was_sent = false;
	q->op.cancel = query_cancel;
	q->started_us = clock_mono_us();
	q->give_up_us = q->op.deadline_us ? q->op.deadline_us : q->started_us + (uint64_t)pool->conf->db_connection_timeout_ms * 1000;
	if (q->unsendable) {
		pool_end_query(q, -ERR_VALIDATION);
	} else if (pool->failing && conns_established(pool) == 0) {
		pool_end_query(q, -ERR_DB_UNAVAILABLE);
	} else if (all_waiting(pool) >= POOL_MAX_WAITING) {
		pool_end_query(q, -ERR_OVERLOADED);
	} else {
		q->state = QUERY_WAITING;
		list_push(&pool->waiting[lane_of(q)], &q->node);
		pool->n_waiting[lane_of(q)]++;
		pool_serve(pool);
	}
}

void query_start(struct pool *pool, struct query *q, const struct statement *stmt)
{
	start(pool, q, stmt, false);
}

void query_start_heavy(struct pool *pool, struct query *q, const struct statement *stmt)
{
	start(pool, q, stmt, true);
}

static void expire_waiting(struct list *waiting, uint64_t now_us)
{
	struct list *l, *next;

	for (l = waiting->next; l != waiting; l = next) {
		struct query *q = CONTAINER_OF(l, struct query, node);

		next = l->next;
		if (q->give_up_us <= now_us)
			pool_end_query(q, -ERR_DB_UNAVAILABLE);
	}
}

static void expire_queries(struct pool *pool, uint64_t now_us)
{
	struct list *l;

	for (enum lane lane = 0; lane < N_LANES; lane++)
		expire_waiting(&pool->waiting[lane], now_us);
	for (l = pool->conns[CONN_ACTIVE].next; l != &pool->conns[CONN_ACTIVE]; l = l->next) {
		struct query *q = CONTAINER_OF(l, struct pool_conn, node)->q;

		if (q && q->op.deadline_us && q->op.deadline_us <= now_us) { /* the waiter's own limit; the connection keeps to ours */
			conns_detach(q);
			pool_end_query(q, -ERR_DB_UNAVAILABLE);
		}
	}
}

static void on_tick(void *arg)
{
	struct pool *pool = arg;
	uint64_t now_us = clock_mono_us();

	pool->tick_ms = 0;
	expire_queries(pool, now_us);
	conns_expire(pool, now_us);
	pool_serve(pool);
}

static void on_retry(void *arg)
{
	struct pool *pool = arg;

	pool->backing_off = false;
	pool_serve(pool);
}

struct pool *pool_new(struct loop *loop, struct resolver *resolver, const struct conf *conf, int slot, size_t max, size_t min)
{
	struct pool *pool = mem_alloc(sizeof(*pool));

	assert(max >= 1);
	pool->loop = loop;
	pool->resolver = resolver;
	pool->conf = conf;
	pool->max = max;
	pool->min = min < max ? min : max;
	snprintf(pool->name, sizeof(pool->name), "llmchat-%d", slot);
	pool->backoff = (struct backoff){.base_ms = RETRY_MS, .max_ms = RETRY_MAX_MS};
	for (size_t i = 0; i < N_CONN_STATES; i++)
		list_init(&pool->conns[i]);
	for (enum lane lane = 0; lane < N_LANES; lane++)
		list_init(&pool->waiting[lane]);
	list_init(&pool->finished);
	timer_init(&pool->tick, loop, on_tick, pool);
	timer_init(&pool->retry, loop, on_retry, pool);
	pool_serve(pool);
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	conns_free_all(pool);
	assert(all_waiting(pool) == 0 && list_empty(&pool->finished));
	defer_cancel(&pool->tell);
	timer_fini(&pool->tick);
	timer_fini(&pool->retry);
	free(pool);
}

void pool_shrink(struct pool *pool, size_t max)
{
	assert(max >= 1);
	if (max < pool->max)
		pool->max = max;
	if (pool->min > pool->max)
		pool->min = pool->max;
	conns_trim(pool);
}

struct pool_stats pool_stats(const struct pool *pool)
{
	return (struct pool_stats){
		.active = pool->n_conns[CONN_ACTIVE],
		.idle = pool->n_conns[CONN_IDLE],
		.waiting = all_waiting(pool),
		.connecting = conns_connecting(pool),
		.max = pool->max,
		.reachable = pool->reached == REACHABLE,
		.away = pool->reached == UNREACHABLE,
		.n_queries = pool->n_queries,
		.n_failed = pool->n_failed,
		.last_latency_us = pool->last_latency_us,
	};
}

void pool_on_reachable(struct pool *pool, void (*fn)(void *arg), void *arg)
{
	assert(pool->n_listeners < POOL_MAX_LISTENERS);
	pool->listeners[pool->n_listeners].fn = fn;
	pool->listeners[pool->n_listeners++].arg = arg;
}
