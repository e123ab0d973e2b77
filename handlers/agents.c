/* Public views of agents: never the endpoint, the key or the system prompt. */
#include "handlers/agents.h"

#include "chat/agents.h"
#include "handlers/request.h"

static void put_agent(struct json_writer *w, const struct agent *agent)
{
	json_open(w, '{');
	json_add_str(w, "id", agent->id);
	json_add_str(w, "name", agent->name);
	json_add_str(w, "description", agent->description);
	json_add_str(w, "provider", agent->provider_name);
	json_add_str(w, "model", agent->model);
	json_add_cstr(w, "status", agent->active ? "active" : "inactive");
	json_key(w, "capabilities");
	json_put_raw(w, agent->capabilities);
	json_close(w, '}');
}

/* Is the word one of the strings of a JSON array? */
static bool has_capability(const struct agent *agent, struct str word)
{
	struct json *list;
	const char *why;
	bool found = false;

	if (json_parse(agent->capabilities, &JSON_CAPS_USER, &list, &why) != 0)
		return false;
	for (size_t i = 0; i < json_len(list) && !found; i++)
		found = str_eq(json_as_str(json_at(list, i)), word);
	json_free(list);
	return found;
}

static enum flow_next list_start(struct request *r)
{
	struct str provider = {NULL, 0}, capability = {NULL, 0};
	struct buf b = {0}, pages = {0};
	struct json_writer w = {.out = &b};
	size_t n = 0;

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	request_query(r, "provider", &provider);
	request_query(r, "capability", &capability);
	json_open(&w, '[');
	for (size_t i = 0; i < agents_count(r->app->agents); i++) {
		const struct agent *agent = agents_at(r->app->agents, i);

		if (!agent->active || (provider.len && !str_eq(agent->provider_name, provider)) ||
		    (capability.len && !has_capability(agent, capability)))
			continue;
		put_agent(&w, agent);
		n++;
	}
	json_close(&w, ']');
	buf_printf(&pages, "{\"page\":1,\"pageSize\":%zu,\"total\":%zu,\"totalPages\":1}", n, n);
	request_reply(r, buf_str(&b), buf_str(&pages));
	buf_fini(&b);
	buf_fini(&pages);
	return FLOW_DONE;
}

static enum flow_next get_start(struct request *r)
{
	const struct agent *agent = agents_find(r->app->agents, r->path_params[0]);
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	if (!agent)
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	put_agent(&w, agent);
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step agents_list_steps[] = {{"list_agents", list_start, NULL}, {NULL, NULL, NULL}};
const struct step agents_get_steps[] = {{"get_agent", get_start, NULL}, {NULL, NULL, NULL}};
