/* Statements on usage_daily and usage_pending. */
#include "db/usage.h"

#include "db/statements.h"

#define NOBODY "'00000000-0000-0000-0000-000000000000'"
#define TODAY  "(now() AT TIME ZONE 'UTC')::date"

/* clang-format off */

/* In the order of the key, so that two hosts never wait for each other's rows. What somebody else counts is locked, and passed over. */
#define COUNT_OF(status) "coalesce(sum(n) FILTER (WHERE status = '" status "'), 0), "
#define ADD(column) column " = u." column " + excluded." column
static const struct statement count_usage = {
	"count_usage",
	"WITH batch AS (SELECT * FROM usage_pending ORDER BY id LIMIT $1::bigint FOR UPDATE SKIP LOCKED),"
	" counted AS (INSERT INTO usage_daily AS u (day, agent_id, user_id, turns, complete, stopped, cancelled, interrupted, failed,"
	"   prompt_tokens, completion_tokens, first_event_ms_sum, first_events)"
	"  SELECT day, agent_id, user_id, sum(n), "
	COUNT_OF("complete") COUNT_OF("stopped") COUNT_OF("cancelled") COUNT_OF("interrupted") COUNT_OF("failed")
	"   coalesce(sum(n * prompt_tokens), 0), coalesce(sum(n * completion_tokens), 0), coalesce(sum(n * first_event_ms), 0),"
	"   coalesce(sum(n) FILTER (WHERE first_event_ms IS NOT NULL), 0)"
	"  FROM batch GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
	"  ON CONFLICT (day, agent_id, user_id) DO UPDATE SET " ADD("turns") ", " ADD("complete") ", " ADD("stopped") ", " ADD("cancelled")
	", " ADD("interrupted") ", " ADD("failed") ", " ADD("prompt_tokens") ", " ADD("completion_tokens")
	", " ADD("first_event_ms_sum") ", " ADD("first_events") ")"
	" DELETE FROM usage_pending p USING batch b WHERE p.id = b.id",
	1,
};

/* Columns of usage_sums, the first of every row. */
#define SUM(column) "coalesce(sum(u." column "), 0)::bigint, "
#define SUMS \
	SUM("turns") SUM("complete") SUM("stopped") SUM("cancelled") SUM("interrupted") SUM("failed") \
	"coalesce(sum(u.turns) FILTER (WHERE u.user_id = " NOBODY "), 0)::bigint, " \
	SUM("prompt_tokens") SUM("completion_tokens") SUM("first_event_ms_sum") SUM("first_events") \
	"count(DISTINCT u.user_id) FILTER (WHERE u.user_id <> " NOBODY "), count(DISTINCT u.agent_id)"
enum {
	COL_TURNS, COL_BY_STATUS, COL_ANONYMOUS = COL_BY_STATUS + N_USAGE_STATUSES, COL_PROMPT_TOKENS, COL_COMPLETION_TOKENS,
	COL_FIRST_EVENT_MS, COL_FIRST_EVENTS, COL_USERS, COL_AGENTS, N_SUMS
};

#define FROM_DAY(days) "(" TODAY " - (" days "::integer - 1))"
#define IN_PERIOD(days) "u.day >= " FROM_DAY(days) " AND u.day <= " TODAY
#define PERIOD(days) FROM_DAY(days) ", " TODAY

static const struct statement sum_usage = {"sum_usage", "SELECT " SUMS ", " PERIOD("$1") " FROM usage_daily u WHERE " IN_PERIOD("$1"), 1};

static const struct statement usage_by_day = {
	"usage_by_day",
	"SELECT " SUMS ", d::date, d::date FROM generate_series(" FROM_DAY("$1") "::timestamp, " TODAY "::timestamp, interval '1 day') d"
	" LEFT JOIN usage_daily u ON u.day = d::date AND " IN_PERIOD("$1") " GROUP BY d ORDER BY d LIMIT 366",
	1,
};

static const struct statement usage_by_agent = {
	"usage_by_agent",
	"SELECT s.*, a.name FROM (SELECT " SUMS ", " PERIOD("$1") ", u.agent_id FROM usage_daily u WHERE " IN_PERIOD("$1")
	"  GROUP BY u.agent_id ORDER BY sum(u.turns) DESC, u.agent_id LIMIT 1000) s"
	" LEFT JOIN agent_configs a ON a.id = s.agent_id ORDER BY 1 DESC, s.agent_id",
	1,
};

static const struct statement sum_stats = {
	"sum_stats",
	"SELECT " SUMS ", (SELECT count(*) FROM users), (SELECT count(*) FROM users WHERE is_active), (SELECT count(*) FROM agent_configs),"
	" (SELECT count(*) FROM agent_configs WHERE is_active), (SELECT count(*) FROM (SELECT FROM usage_pending LIMIT 100000) p)"
	" FROM (VALUES (1), (7), (30)) v (days) LEFT JOIN usage_daily u ON " IN_PERIOD("v.days") " GROUP BY v.days ORDER BY v.days",
	0,
};

/* clang-format on */

const char *const usage_status_names[N_USAGE_STATUSES] = {
	[USAGE_COMPLETE] = "complete",       [USAGE_STOPPED] = "stopped", [USAGE_CANCELLED] = "cancelled",
	[USAGE_INTERRUPTED] = "interrupted", [USAGE_FAILED] = "failed",
};

void usage_count(struct pool *pool, struct query *q, int64_t max)
{
	query_int(q, max);
	query_start(pool, q, &count_usage);
}

static void ask(struct pool *pool, struct query *q, const struct statement *stmt, int64_t days)
{
	query_int(q, days);
	query_start_heavy(pool, q, stmt);
}

void usage_overview(struct pool *pool, struct query *q, int64_t days)
{
	ask(pool, q, &sum_usage, days);
}

void usage_trends(struct pool *pool, struct query *q, int64_t days)
{
	ask(pool, q, &usage_by_day, days);
}

void usage_agents(struct pool *pool, struct query *q, int64_t days)
{
	ask(pool, q, &usage_by_agent, days);
}

void usage_stats(struct pool *pool, struct query *q)
{
	query_start_heavy(pool, q, &sum_stats);
}

struct usage usage_sums(const struct query *q, size_t row)
{
	struct usage u = {
		.turns = query_col_int(q, row, COL_TURNS),
		.anonymous_turns = query_col_int(q, row, COL_ANONYMOUS),
		.prompt_tokens = query_col_int(q, row, COL_PROMPT_TOKENS),
		.completion_tokens = query_col_int(q, row, COL_COMPLETION_TOKENS),
		.first_event_ms = query_col_int(q, row, COL_FIRST_EVENT_MS),
		.n_first_events = query_col_int(q, row, COL_FIRST_EVENTS),
		.users = query_col_int(q, row, COL_USERS),
		.agents = query_col_int(q, row, COL_AGENTS),
	};

	for (size_t i = 0; i < N_USAGE_STATUSES; i++)
		u.by_status[i] = query_col_int(q, row, COL_BY_STATUS + i);
	return u;
}

struct usage_period usage_period(const struct query *q, size_t row)
{
	return (struct usage_period){query_col(q, row, N_SUMS), query_col(q, row, N_SUMS + 1)};
}

struct usage_agent usage_agent_row(const struct query *q, size_t row)
{
	return (struct usage_agent){query_col(q, row, N_SUMS + 2), query_col(q, row, N_SUMS + 3)};
}

struct usage_totals usage_totals(const struct query *q)
{
	return (struct usage_totals){
		.users = query_col_int(q, 0, N_SUMS),
		.active_users = query_col_int(q, 0, N_SUMS + 1),
		.agents = query_col_int(q, 0, N_SUMS + 2),
		.active_agents = query_col_int(q, 0, N_SUMS + 3),
		.uncounted = query_col_int(q, 0, N_SUMS + 4),
	};
}

const struct statement *const usage_statements[] = {&count_usage, &sum_usage, &usage_by_day, &usage_by_agent, &sum_stats, NULL};
