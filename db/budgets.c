/* Statements on key_months and key_turns. */
#include "db/budgets.h"

#include "db/statements.h"

/* clang-format off */

#define MONTH "date_trunc('month', now() AT TIME ZONE 'UTC')"

/* $1 key, $2 answer, $3 tokens. The row of the month is locked while it is looked at, so that of turns that begin at once none takes what
 * others have taken; key_turns is written only if it fitted. The first turn of a month always fits. */
static const struct statement reserve_budget = {
	"reserve_budget",
	"WITH wanted AS (SELECT id, monthly_tokens, least($3::bigint, monthly_tokens) AS tokens FROM api_keys WHERE id = $1::uuid),"
	" month AS (INSERT INTO key_months AS m (key_id, month, reserved) SELECT id, " MONTH "::date, tokens FROM wanted WHERE monthly_tokens IS NOT NULL"
	"  ON CONFLICT (key_id, month) DO UPDATE SET reserved = m.reserved + excluded.reserved"
	"  WHERE m.used + m.reserved + excluded.reserved <= (SELECT monthly_tokens FROM wanted)"
	"  RETURNING m.key_id, m.month),"
	" turn AS (INSERT INTO key_turns (answer_id, key_id, month, reserved) SELECT $2::uuid, key_id, month, tokens FROM month, wanted RETURNING 1)"
	" SELECT w.monthly_tokens, w.monthly_tokens - coalesce(m.used + m.reserved, 0), (SELECT count(*) FROM turn),"
	"  ceil(extract(epoch FROM " MONTH " + interval '1 month' - now() AT TIME ZONE 'UTC'))::bigint"
	" FROM wanted w LEFT JOIN key_months m ON m.key_id = w.id AND m.month = " MONTH "::date",
	3,
};

/* In the order of the key, so that two hosts never wait for each other's rows. LATERAL, as a join might be planned to walk over all
 * messages. */
#define SETTLE(which)                                                                                                  \
	"WITH ended AS MATERIALIZED (SELECT t.answer_id, t.key_id, t.month, t.reserved,"                                   \
	"  CASE WHEN m.error_code = 'SERVER_DIED' THEN t.reserved ELSE coalesce(m.total_tokens, 0) END AS used"           \
	"  FROM key_turns t LEFT JOIN LATERAL (SELECT * FROM chat_messages WHERE id = t.answer_id LIMIT 1) m ON true"                    \
	"  WHERE " which " FOR UPDATE OF t SKIP LOCKED),"                                                                 \
	" counted AS (INSERT INTO key_months AS m (key_id, month, used, reserved)"                                         \
	"  SELECT key_id, month, sum(used), -sum(reserved) FROM ended GROUP BY 1, 2 ORDER BY 1, 2"                         \
	"  ON CONFLICT (key_id, month) DO UPDATE SET used = m.used + excluded.used, reserved = m.reserved + excluded.reserved)" \
	" DELETE FROM key_turns t USING ended e WHERE t.answer_id = e.answer_id"

static const struct statement settle_budget = {"settle_budget", SETTLE("t.answer_id = $1::uuid AND m.status IS DISTINCT FROM 'streaming'"), 1};

/* A turn's rows are written at once after it has reserved, or within some deadlines of the database, or never. */
static const struct statement settle_budgets = {
	"settle_budgets",
	SETTLE("m.status <> 'streaming' OR (m.id IS NULL AND t.created_at < now() - interval '5 minutes') ORDER BY t.answer_id LIMIT $1::bigint"),
	1,
};

/* clang-format on */

void budgets_reserve(struct pool *pool, struct query *q, struct str key_id, struct str answer_id, int64_t tokens)
{
	query_text(q, key_id);
	query_text(q, answer_id);
	query_int(q, tokens);
	query_start(pool, q, &reserve_budget);
}

struct budget_reserved budget_reserved(const struct query *q)
{
	if (query_n_rows(q) == 0 || query_is_null(q, 0, 0))
		return (struct budget_reserved){.no_budget = true};
	return (struct budget_reserved){
		.budget = query_col_int(q, 0, 0),
		.left = query_col_int(q, 0, 1) > 0 ? query_col_int(q, 0, 1) : 0,
		.reserved = query_col_int(q, 0, 2) > 0,
		.resets_in_s = query_col_int(q, 0, 3),
	};
}

void budgets_settle(struct pool *pool, struct query *q, struct str answer_id)
{
	query_text(q, answer_id);
	query_start(pool, q, &settle_budget);
}

void budgets_settle_all(struct pool *pool, struct query *q, int64_t max)
{
	query_int(q, max);
	query_start(pool, q, &settle_budgets);
}

const struct statement *const budgets_statements[] = {&reserve_budget, &settle_budget, &settle_budgets, NULL};
