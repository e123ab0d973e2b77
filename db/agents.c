/* Statements on agent_configs. */
#include "db/agents.h"

static const struct statement add_missing = {
	"add_missing_agent",
	"INSERT INTO agent_configs (id, name, description, provider, endpoint, model, system_prompt, temperature, max_tokens,"
	" context_tokens, capabilities, features, timeouts, on_disconnect, is_active, from_file)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8::double precision, $9::integer, $10::integer, $11::jsonb, $12::jsonb, $13::jsonb,"
	" $14, $15::boolean, true) ON CONFLICT (id) DO NOTHING",
	15,
};

void agents_add_missing(struct pool *pool, struct query *q, const struct agent_row *row)
{
	query_text(q, row->id);
	query_text(q, row->name);
	query_text(q, row->description);
	query_text(q, row->provider);
	query_text(q, row->endpoint);
	query_text(q, row->model);
	query_text(q, row->system_prompt);
	query_text_or_null(q, row->temperature);
	if (row->max_tokens)
		query_int(q, row->max_tokens);
	else
		query_null(q);
	query_int(q, row->context_tokens);
	query_text(q, row->capabilities);
	query_text(q, row->features);
	query_text(q, row->timeouts);
	query_text(q, row->on_disconnect);
	query_bool(q, row->is_active);
	query_start(pool, q, &add_missing);
}

static const struct statement list_agents = {
	"list_agents",
	"SELECT id, name, description, provider, endpoint, model, system_prompt, temperature, max_tokens, context_tokens,"
	" capabilities, features, timeouts, on_disconnect, is_active, from_file FROM agent_configs ORDER BY id LIMIT 5000",
	0,
};

void agents_list(struct pool *pool, struct query *q)
{
	query_start(pool, q, &list_agents);
}

struct agent_row agents_row(const struct query *q, size_t i)
{
	return (struct agent_row){
		.id = query_col(q, i, 0),
		.name = query_col(q, i, 1),
		.description = query_col(q, i, 2),
		.provider = query_col(q, i, 3),
		.endpoint = query_col(q, i, 4),
		.model = query_col(q, i, 5),
		.system_prompt = query_col(q, i, 6),
		.temperature = query_col(q, i, 7),
		.max_tokens = query_col_int(q, i, 8),
		.context_tokens = query_col_int(q, i, 9),
		.capabilities = query_col(q, i, 10),
		.features = query_col(q, i, 11),
		.timeouts = query_col(q, i, 12),
		.on_disconnect = query_col(q, i, 13),
		.is_active = query_col_bool(q, i, 14),
		.from_file = query_col_bool(q, i, 15),
	};
}
