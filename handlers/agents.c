/* Answers from this responder's own copies of agents. The list that everybody may see is kept as it was written. */
#include "handlers/agents.h"

#include <stdio.h>

#include "base/breaker.h"
#include "base/clock.h"
#include "chat/agents.h"
#include "handlers/access.h"
#include "handlers/agents_json.h"
#include "handlers/cached.h"
#include "handlers/request.h"

enum { AT_ONCE = 200, MAX_FILTER = 64 };

/* A list in the making: a slice of the agents, then others have their turn. */
struct listing {
	struct buf out;
	struct json_writer w;
	struct str provider, capability;
	struct str last; /* id of the last one that was looked at, in last_text */
	char last_text[64];
	bool inactive_too, whole;
	size_t n;
	char version[AGENTS_VERSION_SIZE]; /* of the agents when it was begun */
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

static enum flow_next reply_list(struct request *r, struct str agents, struct str n)
{
	struct buf pages = {0};

	buf_printf(&pages, "{\"page\":1,\"pageSize\":%.*s,\"total\":%.*s,\"totalPages\":1}", STR_ARG(n), STR_ARG(n));
	request_reply(r, agents, buf_str(&pages));
	buf_fini(&pages);
	return FLOW_DONE;
}

static enum flow_next filter_start(struct request *r)
{
	struct listing *listing = arena_alloc(&r->arena, sizeof(*listing));

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	r->state = listing;
	arena_on_free(&r->arena, end_listing, listing);
	listing->w.out = &listing->out;
	listing->provider = listing->capability = STR("");
	return read_listing(r, listing) ? FLOW_NEXT : FLOW_DONE;
}

/* ---- a copy: how many agents, a line feed, the list ---- */

static bool may_be_kept(const struct listing *listing)
{
	return !listing->whole && listing->provider.len <= MAX_FILTER && listing->capability.len <= MAX_FILTER &&
	       str_only(listing->provider, STR(NAME_CHARS)) && str_only(listing->capability, STR(NAME_CHARS));
}

static enum flow_next copy_finish(struct request *r)
{
	struct str rest, n;

	if (r->cached.op.err)
		return request_reject(r, r->cached.op.err);
	if (r->cached.found != CACHE_FOUND)
		return FLOW_NEXT;
	rest = (struct str){r->cached.text->p, r->cached.text->len};
	n = str_cut(&rest, '\n');
	return reply_list(r, rest, n);
}

static enum flow_next copy_start(struct request *r)
{
	struct listing *listing = r->state;
	enum flow_next next;
	struct str id;

	if (!may_be_kept(listing))
		return FLOW_NEXT;
	snprintf(listing->version, sizeof(listing->version), "%s", agents_version(r->app->agents));
	id = arena_printf(&r->arena, "%s:%.*s:%.*s", listing->version, STR_ARG(listing->provider), STR_ARG(listing->capability));
	next = cached_ask(r, CACHE_AGENTS, id);
	return next == FLOW_NEXT ? copy_finish(r) : next;
}

/* Agents may have changed since the first ones were looked at: that list is nobody's but his who asked. So is an empty one, of which there are
 * as many as people can think of filters. */
static void give_copy(struct request *r, const struct listing *listing, struct str n)
{
	bool same = strcmp(listing->version, agents_version(r->app->agents)) == 0;
	struct buf copy = {0};

	buf_add_str(&copy, n);
	buf_add_char(&copy, '\n');
	buf_add_str(&copy, buf_str(&listing->out));
	cache_give(&r->cached, buf_str(&copy), same && listing->n > 0);
	buf_fini(&copy);
}

/* ---- making it ---- */

static enum flow_next end_list(struct request *r, struct listing *listing)
{
	struct str n = arena_printf(&r->arena, "%zu", listing->n);

	json_close(&listing->w, ']');
	if (may_be_kept(listing))
		give_copy(r, listing, n);
	return reply_list(r, buf_str(&listing->out), n);
}

static enum flow_next list_start(struct request *r)
{
	const struct agents *agents = r->app->agents;
	struct listing *listing = r->state;
	size_t at, end;

	if (!listing->out.len)
		json_open(&listing->w, '[');
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
	return end < agents_count(agents) ? FLOW_AGAIN : end_list(r, listing);
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

const struct step agents_list_steps[] = {
	{"read_filter", filter_start, NULL},
	{"ask_cache", copy_start, copy_finish},
	{"list_agents", list_start, NULL},
	{NULL, NULL, NULL},
};
const struct step agents_get_steps[] = {{"get_agent", get_start, NULL}, {NULL, NULL, NULL}};
const struct step agents_status_steps[] = {{"agent_status", status_start, NULL}, {NULL, NULL, NULL}};
