/* Agents as JSON. */
#include "handlers/agents_json.h"

#include "handlers/accounts_json.h"

static void put_members(struct json_writer *w, const struct agent *agent)
{
	json_add_str(w, "id", agent->id);
	json_add_str(w, "name", agent->name);
	json_add_str(w, "description", agent->description);
	json_add_str(w, "provider", agent->provider_name);
	json_add_cstr(w, "status", agent->active ? "active" : "inactive");
	json_key(w, "capabilities");
	json_put_raw(w, agent->capabilities);
}

void put_agent(struct json_writer *w, const struct agent *agent)
{
	json_open(w, '{');
	put_members(w, agent);
	json_add_str(w, "model", agent->model);
	json_close(w, '}');
}

/* null below min. */
static void put_int_or_null(struct json_writer *w, const char *key, int64_t n, int64_t min)
{
	json_key(w, key);
	if (n < min)
		json_put_null(w);
	else
		json_put_int(w, n);
}

static void put_raw(struct json_writer *w, const char *key, struct str json)
{
	json_key(w, key);
	json_put_raw(w, json.len ? json : STR("null"));
}

/* Where its key comes from. */
static const char *key_source(const struct agent *agent)
{
	if (agent->row.own_key)
		return agent->row.sealed_with.len ? "api" : NULL;
	return agent->api_key ? "file" : NULL;
}

void put_agent_whole(struct json_writer *w, const struct agent *agent, bool with_prompt)
{
	const struct agent_row *row = &agent->row;

	json_open(w, '{');
	put_members(w, agent);
	json_add_str(w, "model", row->model);
	json_add_str(w, "endpoint", row->endpoint);
	put_text_or_null(w, "appId", row->app_id);
	if (with_prompt)
		json_add_str(w, "systemPrompt", row->system_prompt);
	put_raw(w, "temperature", row->temperature);
	put_int_or_null(w, "maxTokens", row->max_tokens, 1);
	json_add_int(w, "contextTokens", row->context_tokens);
	put_raw(w, "rateLimit", row->rate_limit);
	put_raw(w, "fallbacks", row->fallbacks);
	put_raw(w, "timeouts", row->timeouts);
	put_raw(w, "features", row->features);
	json_add_str(w, "onDisconnect", row->on_disconnect);
	put_int_or_null(w, "maxConcurrent", row->max_concurrent, 1);
	put_int_or_null(w, "maxQueue", row->max_queue, 0);
	json_add_bool(w, "isActive", row->is_active);
	json_add_cstr(w, "apiKeyFrom", key_source(agent));
	json_add_cstr(w, "problem", agent->problem);
	json_add_bool(w, "fromFile", row->from_file);
	put_text_or_null(w, "createdBy", row->created_by);
	json_add_str(w, "createdAt", row->created_at);
	json_add_str(w, "updatedAt", row->updated_at);
	json_close(w, '}');
}
