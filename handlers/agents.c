/* Answers from this responder's own copies. */
#include "handlers/agents.h"

#include "base/breaker.h"
#include "base/clock.h"
#include "chat/agents.h"
#include "handlers/access.h"
#include "handlers/agents_json.h"
#include "handlers/request.h"

enum { AT_ONCE = 200 };

/* A list in the making: a slice of the agents, then others have their turn. */
struct listing {
	struct buf out;
	struct json_writer w;
	struct str provider, capability;
	struct str last; /* id of the last one that was looked at, in last_text */
	char last_text[64];
	bool inactive_too, whole;
	size_t n;
};

static void end_listing(void *arg)
{
	struct listing *listing = arg;

	buf_fini(&listing->out);
}

/* False: the request has been refused. */
static bool read_listing(struct request *r, struct listing *listing)
{
	struct str inactive = STR("");

	request_query(r, "provider", &listing->provider);
	request_query(r, "capability", &listing->capability);
	request_query(r, "includeInactive", &inactive);
	listing->whole = access_is_admin(r);
	listing->inactive_too = str_eq(inactive, STR("true"));
	if (inactive.len && !listing->inactive_too && !str_eq(inactive, STR("false")))
		request_reject_because(r, ERR_VALIDATION, "includeInactive", "includeInactive must be true or false.");
	else if (listing->inactive_too && !listing->whole)
		request_reject(r, r->person ? ERR_ADMIN_REQUIRED : ERR_AUTH_REQUIRED);
	else
		return true;
	return false;
}

static bool is_wanted(const struct listing *listing, const struct agent *agent)
{
	return (agent->active || listing->inactive_too) && (!listing->provider.len || str_eq(agent->provider_name, listing->provider)) &&
	       (!listing->capability.len || agent_can(agent, listing->capability));
}

static enum flow_next reply_list(struct request *r, struct listing *listing)
{
	struct buf pages = {0};

	json_close(&listing->w, ']');
	buf_printf(&pages, "{\"page\":1,\"pageSize\":%zu,\"total\":%zu,\"totalPages\":1}", listing->n, listing->n);
	request_reply(r, buf_str(&listing->out), buf_str(&pages));
	buf_fini(&pages);
	return FLOW_DONE;
}

static enum flow_next list_start(struct request *r)
{
	const struct agents *agents = r->app->agents;
	struct listing *listing = r->state;
	size_t at, end;

	if (!agents_loaded(agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	if (!listing) {
		r->state = listing = arena_alloc(&r->arena, sizeof(*listing));
		arena_on_free(&r->arena, end_listing, listing);
		listing->w.out = &listing->out;
		if (!read_listing(r, listing))
			return FLOW_DONE;
		json_open(&listing->w, '[');
	}
	at = listing->last.len ? agents_after(agents, listing->last) : 0;
	end = agents_count(agents) - at > AT_ONCE ? at + AT_ONCE : agents_count(agents);
	for (; at < end; at++) {
		const struct agent *agent = agents_at(agents, at);

		memcpy(listing->last_text, agent->id.p, agent->id.len);
		listing->last = (struct str){listing->last_text, agent->id.len};
		if (!is_wanted(listing, agent))
			continue;
		listing->n++;
		if (listing->whole)
			put_agent_whole(&listing->w, agent, false);
		else
			put_agent(&listing->w, agent);
	}
	return end < agents_count(agents) ? FLOW_AGAIN : reply_list(r, listing);
}

/* NULL: the request has been refused. */
static const struct agent *find(struct request *r)
{
	const struct agent *agent = agents_find(r->app->agents, r->path_params[0]);

	if (!agents_loaded(r->app->agents))
		request_reject(r, ERR_DB_UNAVAILABLE);
	else if (!agent)
		request_reject(r, ERR_AGENT_NOT_FOUND);
	return agents_loaded(r->app->agents) ? agent : NULL;
}

static enum flow_next get_start(struct request *r)
{
	const struct agent *agent = find(r);
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (!agent)
		return FLOW_DONE;
	if (access_is_admin(r))
		put_agent_whole(&w, agent, true);
	else
		put_agent(&w, agent);
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

static enum flow_next status_start(struct request *r)
{
	const struct agent *agent = find(r);
	char time[CLOCK_ISO_SIZE];
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct breaker_view breaker;
	bool known;

	if (!agent)
		return FLOW_DONE;
	breaker_look(r->app->breakers, agent->id, &breaker);
	known = agent->seen->response_ms >= 0;
	if (known)
		clock_iso(agent->seen->at_real_us, time);
	json_open(&w, '{');
	json_add_str(&w, "agentId", agent->id);
	json_add_cstr(&w, "status", agent->active ? "active" : "inactive");
	json_add_cstr(&w, "breaker", breaker_state_name(breaker.state));
	json_key(&w, "responseTime");
	if (known)
		json_put_int(&w, agent->seen->response_ms);
	else
		json_put_null(&w);
	json_add_cstr(&w, "lastChecked", known ? time : NULL);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step agents_list_steps[] = {{"list_agents", list_start, NULL}, {NULL, NULL, NULL}};
const struct step agents_get_steps[] = {{"get_agent", get_start, NULL}, {NULL, NULL, NULL}};
const struct step agents_status_steps[] = {{"agent_status", status_start, NULL}, {NULL, NULL, NULL}};
