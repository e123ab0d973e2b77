/* What a turn may take of its agent's and its API key's limits: reserved before it begins, settled when it has ended. Turns without limits
 * have none. cache/quota counts the limits a minute, db/budgets the key's month. */
#pragma once
#include "base/uuid.h"
#include "cache/quota.h"
#include "chat/agent.h"
#include "db/budgets.h"
#include "db/keys.h"

struct conf;
struct reservations;
struct turn_request;

/* All pointers are borrowed until reservations_free. */
struct reservations *reservations_new(struct pool *pool, const struct conf *conf, struct quotas *quotas);
/* NULL is fine. Nobody may hold one any more; what was not settled lapses. */
void reservations_free(struct reservations *all);

enum reservation_limit { LIMIT_NONE, LIMIT_MINUTE, LIMIT_BUDGET };

struct reservation {
	struct op op;                       /* op.done is set by whoever waits; op.err: -ERR_* if PostgreSQL could not be asked */
	void *waiter;                       /* for op.done */
	struct agent *agent;                /* owned reference */
	struct uuid answer_id;              /* of the turn that is to be */
	enum reservation_limit refused_by;
	struct quota_set minute;       /* LIMIT_MINUTE: its refused_by says which */
	struct budget_reserved budget; /* with a budget only */
	bool in_month;                 /* key_turns has it, or may have it */
	/* its own: */
	struct reservations *all;
	struct list node;      /* in all->live */
	struct list turn_node; /* in all->asking or all->waiting, until its month is known */
	uint64_t give_up_us;   /* while it waits */
	struct query query;
	struct uuid key_id;
	int64_t month_tokens; /* wanted of the key's month; 0: it has no budget */
	bool given_up;        /* nobody waits for the query any more */
};

/* A reservation for this turn of request->agent, whose answer_id is set; key_id is empty and limits NULL if no key asks. NULL: nothing limits it. */
struct reservation *reservation_new(struct reservations *all, const struct turn_request *request, struct str key_id,
				    const struct key_limits *limits);
/* True: it is decided. False: op.done will come. */
MUST_CHECK bool reservation_start(struct reservation *r);
/* Its turn has ended and took so many tokens: settles the limits of a minute. The budget is settled with the turn's row, see
 * struct turn_ending. NULL is fine. */
void reservation_settle(struct reservation *r, int64_t tokens);
/* Takes the reservation. stored: its turn's ending has been stored; else the turn has not begun, or nobody knows, or the reservation was
 * still waited for, and what is reserved is given back. NULL is fine. */
void reservation_end(struct reservation *r, bool stored);
