/* The monthly token budgets of API keys (key_months, key_turns): a turn reserves what it may take, and is settled with its ending
 * (db/turn_writes), or by what its answer's row says. */
#pragma once
#include "db/pool.h"

/* For budget_reserved: reserves for the turn that is about to write this answer, in the month that is now (UTC); never more than the whole
 * budget, so that a turn that may take more can begin a fresh month. */
void budgets_reserve(struct pool *pool, struct query *q, struct str key_id, struct str answer_id, int64_t tokens);
struct budget_reserved {
	bool no_budget; /* the key has none (any more) */
	bool reserved;
	int64_t budget, left; /* before */
	int64_t resets_in_s;  /* when the next month begins */
};
struct budget_reserved budget_reserved(const struct query *q);

/* The turn that reserved for this answer has ended: its row says how many tokens it took. It took none if there is no row, and what was
 * reserved if its responder died and nobody knows. Does nothing if it is settled, or still streams. */
void budgets_settle(struct pool *pool, struct query *q, struct str answer_id);
/* The same for at most max turns that have ended, or never began, and that nobody has settled. query_n_affected says how many. Others may
 * do the same at the same time. */
void budgets_settle_all(struct pool *pool, struct query *q, int64_t max);
