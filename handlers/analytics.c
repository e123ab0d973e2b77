/* Four answers from the same sums. */
#include "handlers/analytics.h"

#include "db/usage.h"
#include "handlers/accounts_json.h"
#include "handlers/request.h"

enum { DEFAULT_DAYS = 30 };

static enum flow_next start(struct request *r, void (*ask)(struct pool *pool, struct query *q, int64_t days))
{
	int64_t days = DEFAULT_DAYS;

	if (!request_query_int(r, "days", 1, USAGE_MAX_DAYS, &days))
		return FLOW_DONE;
	ask(r->app->pool, r->query, days);
	return FLOW_WAIT;
}

/* Members of an object that is open. */
static void put_usage(struct json_writer *w, const struct usage *u)
{
	json_add_int(w, "turns", u->turns);
	for (size_t i = 0; i < N_USAGE_STATUSES; i++)
		json_add_int(w, usage_status_names[i], u->by_status[i]);
	json_add_int(w, "promptTokens", u->prompt_tokens);
	json_add_int(w, "completionTokens", u->completion_tokens);
	json_add_int(w, "totalTokens", u->prompt_tokens + u->completion_tokens);
	json_key(w, "averageFirstEventMs");
	if (u->n_first_events > 0)
		json_put_int(w, u->first_event_ms / u->n_first_events);
	else
		json_put_null(w);
	json_add_int(w, "anonymousTurns", u->anonymous_turns);
	json_add_int(w, "users", u->users);
}

static void put_period(struct json_writer *w, struct str from, struct str to)
{
	json_add_str(w, "from", from);
	json_add_str(w, "to", to);
}

static enum flow_next reply(struct request *r, struct buf *b)
{
	request_reply(r, buf_str(b), STR(""));
	buf_fini(b);
	return FLOW_DONE;
}

/* ---- overview ---- */

static enum flow_next overview_start(struct request *r)
{
	return start(r, usage_overview);
}

static enum flow_next overview_finish(struct request *r)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct usage_period period;
	struct usage usage;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	usage = usage_sums(r->query, 0);
	period = usage_period(r->query, 0);
	json_open(&w, '{');
	put_period(&w, period.from, period.to);
	put_usage(&w, &usage);
	json_add_int(&w, "agents", usage.agents);
	json_close(&w, '}');
	return reply(r, &b);
}

const struct step admin_overview_steps[] = {{"sum_usage", overview_start, overview_finish}, {NULL, NULL, NULL}};

/* ---- trends ---- */

static enum flow_next trends_start(struct request *r)
{
	return start(r, usage_trends);
}

static enum flow_next trends_finish(struct request *r)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	size_t n = query_n_rows(r->query);

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	json_open(&w, '{');
	put_period(&w, usage_period(r->query, 0).from, usage_period(r->query, n - 1).to); /* each day has its row */
	json_key(&w, "points");
	json_open(&w, '[');
	for (size_t i = 0; i < n; i++) {
		struct usage usage = usage_sums(r->query, i);

		json_open(&w, '{');
		json_add_str(&w, "day", usage_period(r->query, i).from);
		put_usage(&w, &usage);
		json_close(&w, '}');
	}
	json_close(&w, ']');
	json_close(&w, '}');
	return reply(r, &b);
}

const struct step admin_trends_steps[] = {{"sum_usage", trends_start, trends_finish}, {NULL, NULL, NULL}};

/* ---- agents ---- */

static enum flow_next agents_start(struct request *r)
{
	return start(r, usage_agents);
}

static enum flow_next agents_finish(struct request *r)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(r->query); i++) {
		struct usage usage = usage_sums(r->query, i);
		struct usage_agent agent = usage_agent_row(r->query, i);

		json_open(&w, '{');
		json_add_str(&w, "agentId", agent.id);
		put_text_or_null(&w, "name", agent.name);
		put_usage(&w, &usage);
		json_close(&w, '}');
	}
	json_close(&w, ']');
	return reply(r, &b);
}

const struct step admin_usage_agents_steps[] = {{"sum_usage", agents_start, agents_finish}, {NULL, NULL, NULL}};

/* ---- stats ---- */

static enum flow_next stats_start(struct request *r)
{
	usage_stats(r->app->pool, r->query);
	return FLOW_WAIT;
}

static void put_count(struct json_writer *w, const char *key, int64_t total, int64_t active)
{
	json_key(w, key);
	json_open(w, '{');
	json_add_int(w, "total", total);
	json_add_int(w, "active", active);
	json_close(w, '}');
}

static enum flow_next stats_finish(struct request *r)
{
	static const char *const periods[] = {"today", "last7Days", "last30Days"};
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct usage_totals totals;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	totals = usage_totals(r->query);
	json_open(&w, '{');
	put_count(&w, "users", totals.users, totals.active_users);
	put_count(&w, "agents", totals.agents, totals.active_agents);
	for (size_t i = 0; i < N_ELEMENTS(periods); i++) {
		struct usage usage = usage_sums(r->query, i);

		json_key(&w, periods[i]);
		json_open(&w, '{');
		put_usage(&w, &usage);
		json_close(&w, '}');
	}
	json_add_int(&w, "uncounted", totals.uncounted);
	json_close(&w, '}');
	return reply(r, &b);
}

const struct step admin_stats_steps[] = {{"sum_stats", stats_start, stats_finish}, {NULL, NULL, NULL}};
