/* Usage per day, agent and user (usage_daily): adding up what has ended, and sums of it. All of it is of whole days in UTC, of the day on
 * which the question was asked, and lacks what the job has not counted yet: at most the last minute. */
#pragma once
#include "db/pool.h"

/* Adds at most max endings that have not been counted. query_n_affected says how many. Others may do the same at the same time. */
void usage_count(struct pool *pool, struct query *q, int64_t max);

enum usage_status { USAGE_COMPLETE, USAGE_STOPPED, USAGE_CANCELLED, USAGE_INTERRUPTED, USAGE_FAILED, N_USAGE_STATUSES };
extern const char *const usage_status_names[N_USAGE_STATUSES];

struct usage {
	int64_t turns, by_status[N_USAGE_STATUSES], anonymous_turns;
	int64_t prompt_tokens, completion_tokens;
	int64_t first_event_ms, n_first_events; /* all of them together, and how many */
	int64_t users, agents;                  /* how many different ones; anonymous visitors are not among them */
};

enum { USAGE_MAX_DAYS = 365 };

/* The last days, today among them. One row: usage_period, usage_sums. */
void usage_overview(struct pool *pool, struct query *q, int64_t days);
/* A row for each day, oldest first, also for those on which nothing was. usage_period, usage_sums. */
void usage_trends(struct pool *pool, struct query *q, int64_t days);
/* A row for each agent that was used, the busiest first, 1000 at most. usage_agent_row, usage_period, usage_sums. */
void usage_agents(struct pool *pool, struct query *q, int64_t days);
/* Three rows: today, the last 7 days, the last 30; and how many there are. usage_totals, usage_sums. */
void usage_stats(struct pool *pool, struct query *q);

struct usage usage_sums(const struct query *q, size_t row);
/* 2026-01-31 */
struct usage_period {
	struct str from, to;
};
struct usage_period usage_period(const struct query *q, size_t row);
struct usage_agent {
	struct str id, name; /* the name is empty if there is no such agent any more */
};
struct usage_agent usage_agent_row(const struct query *q, size_t row);
struct usage_totals {
	int64_t users, active_users, agents, active_agents;
	int64_t uncounted; /* endings, up to 100,000 */
};
struct usage_totals usage_totals(const struct query *q);
