/* Agents as models: their ids are what goes into `model`. */
#include "handlers/v1_models.h"

#include "auth/people.h"
#include "chat/agents.h"
#include "handlers/request.h"

static bool is_model(const struct request *r, const struct agent *agent)
{
	return agent && agent->active && (!r->person || person_may_use_agent(r->person, agent->id));
}

static void put_model(struct json_writer *w, const struct agent *agent)
{
	json_open(w, '{');
	json_add_str(w, "id", agent->id);
	json_add_cstr(w, "object", "model");
	json_add_int(w, "created", agent->created_s);
	json_add_cstr(w, "owned_by", "llmchat");
	json_close(w, '}');
}

static enum flow_next list_start(struct request *r)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	json_open(&w, '{');
	json_add_cstr(&w, "object", "list");
	json_key(&w, "data");
	json_open(&w, '[');
	for (size_t i = 0; i < agents_count(r->app->agents); i++)
		if (is_model(r, agents_at(r->app->agents, i)))
			put_model(&w, agents_at(r->app->agents, i));
	json_close(&w, ']');
	json_close(&w, '}');
	request_reply_bare(r, 200, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

static enum flow_next get_start(struct request *r)
{
	const struct agent *agent = agents_find(r->app->agents, r->path_params[0]);
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	if (!is_model(r, agent))
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	put_model(&w, agent);
	request_reply_bare(r, 200, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step v1_models_list_steps[] = {{"list_models", list_start, NULL}, {NULL, NULL, NULL}};
const struct step v1_models_get_steps[] = {{"get_model", get_start, NULL}, {NULL, NULL, NULL}};
