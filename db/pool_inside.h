/* The inside of the pool, shared by db/pool.c (queries, time, the public functions) and db/conns.c (connections). For nobody else. */
#pragma once
#include "base/backoff.h"
#include "base/loop.h"
#include "db/pg.h"
#include "db/pool.h"
#include "net/resolver.h"

enum conn_state {
	CONN_RESOLVING,  /* waits for the resolver */
	CONN_CONNECTING, /* waits for pg: on_ready or on_lost */
	CONN_IDLE,       /* waits for a query; the one used last comes first */
	CONN_ACTIVE,     /* waits for pg: on_done or on_lost */
	CONN_GONE,       /* closed; freed at the end of the loop's turn */
	N_CONN_STATES
};

/* Where a query waits. */
enum lane { LANE_QUICK, LANE_HEAVY, N_LANES };

struct pool_conn {
	struct pool *pool; /* borrowed */
	struct list node;  /* in pool.conns[state] */
	enum conn_state state;
	uint64_t deadline_us; /* how long the state may last; connecting includes resolving */
	struct resolve resolve;
	struct pg pg;
	struct query *q;              /* borrowed, while active; NULL: the waiter has gone */
	const struct statement *stmt; /* borrowed, while active */
	uint64_t sent_us;
	bool heavy;    /* this statement is, while active */
	bool worn;     /* not to be used again after this statement */
	bool repeated; /* this statement was sent a second time, unnamed */
};

struct pool {
	struct loop *loop;         /* borrowed */
	struct resolver *resolver; /* borrowed */
	const struct conf *conf;   /* borrowed */
	char name[32];
	size_t max, min;
	uint64_t grown_us; /* when a connection was begun last */
	struct list conns[N_CONN_STATES];
	size_t n_conns[N_CONN_STATES];
	struct list waiting[N_LANES], finished; /* queries, borrowed */
	size_t n_waiting[N_LANES];
	size_t n_heavy;    /* active connections with something heavy */
	struct defer tell; /* to those in finished, and to listeners */
	struct timer tick; /* deadlines */
	unsigned tick_ms;  /* 0: the tick is not running */
	struct timer retry;
	struct backoff backoff;
	bool backing_off; /* no new connection until retry fires */
	bool failing;     /* the last attempt to connect failed */
	bool swollen;     /* an idle connection may be swollen (see struct pg) and is to be renewed once it is idle for a while */
	bool announce;    /* listeners are to be told */
	enum { NEVER_REACHED, REACHABLE, UNREACHABLE } reached;
	struct {
		void (*fn)(void *arg);
		void *arg; /* borrowed */
	} listeners[POOL_MAX_LISTENERS];
	size_t n_listeners;
	uint64_t n_queries, n_failed, last_latency_us;
};

/* db/pool.c */

/* After every change: whoever waits gets what is free, what is missing is opened, deadlines are watched. */
void pool_serve(struct pool *pool);
/* Who is next of those that may have a connection now; NULL if there is nobody. */
struct query *pool_next(const struct pool *pool);
/* How many may: heavy ones beyond their share are not helped by another connection. */
size_t pool_n_ready(const struct pool *pool);
/* The only way out of the pool for a query: done is called at the end of the loop's turn. */
void pool_end_query(struct query *q, int err);
/* Whoever waits for a connection is told that there will be none. */
void pool_fail_waiting(struct pool *pool);
/* The finished, the gone and the listeners are seen to at the end of the loop's turn. */
void pool_defer_tell(struct pool *pool);

/* db/conns.c */

size_t conns_established(const struct pool *pool);
size_t conns_connecting(const struct pool *pool);
bool conns_should_grow(const struct pool *pool);
/* Begins to open one more. */
void conns_grow(struct pool *pool);
/* Gives q to an idle connection; there must be one. */
void conns_run(struct pool *pool, struct query *q);
/* The waiter of a running query goes; its statement does not. */
void conns_detach(struct query *q);
/* Closes idle connections above the pool's max. */
void conns_trim(struct pool *pool);
/* Ends whatever has lasted too long. */
void conns_expire(struct pool *pool, uint64_t now_us);
/* Frees those that are closed; no frame above may hold one. */
void conns_free_gone(struct pool *pool);
void conns_free_all(struct pool *pool);
