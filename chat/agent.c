/* Making an agent of its row. */
#include "chat/agent.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"

/* To connect: below CIRCUIT_BREAKER_TIMEOUT, which counts from the start too. The log shall say which of both it was. */
enum { DEFAULT_CONNECT_MS = 5000, MAX_TIMEOUT_MS = 86400000 };

/* Finds the next ${…}: text before it, what is inside, and what follows. False if there is none. */
static bool next_placeholder(struct str text, struct str *before, struct str *inside, struct str *after)
{
	for (size_t i = 0; i + 1 < text.len; i++) {
		const char *end;

		if (text.p[i] != '$' || text.p[i + 1] != '{')
			continue;
		end = memchr(text.p + i, '}', text.len - i);
		if (!end)
			return false;
		*before = (struct str){text.p, i};
		*inside = (struct str){text.p + i + 2, (size_t)(end - text.p) - i - 2};
		*after = str_skip(text, (size_t)(end - text.p) + 1);
		return true;
	}
	return false;
}

bool agent_expand(struct str text, const struct conf *conf, struct arena *arena, struct str *out, struct str *missing)
{
	struct str before, inside, after;
	struct buf made = {0};
	bool complete = true;

	while (next_placeholder(text, &before, &inside, &after)) {
		struct str otherwise = inside, name = str_cut(&otherwise, ':');
		const char *value = conf_lookup_public(conf, arena_cstr(arena, name));

		buf_add_str(&made, before);
		text = after;
		if (value && *value)
			buf_add_cstr(&made, value);
		else if (otherwise.len > 0 && otherwise.p[0] == '-')
			buf_add_str(&made, str_skip(otherwise, 1));
		else {
			*missing = arena_copy(arena, name);
			complete = false;
		}
	}
	buf_add_str(&made, text);
	*out = arena_copy(arena, buf_str(&made));
	buf_fini(&made);
	return complete;
}

void agent_disable(struct agent *agent, const char *problem, struct str what)
{
	log_warn(NULL, "agent_inactive", "agent", agent->id, "reason", problem, "what", what);
	agent->active = false;
	agent->problem = problem;
	agent->problem_with = arena_copy(&agent->arena, what);
}

/* A time limit of the agent's, if it is one, else the usual one; up to max_ms. */
static int64_t limit_ms(const struct json *timeouts, const char *key, int64_t otherwise, int64_t max_ms)
{
	int64_t ms = json_as_int(json_get(timeouts, key), otherwise);

	if (ms < 1)
		ms = otherwise;
	return ms > max_ms ? max_ms : ms;
}

static void read_timeouts(struct agent *agent, struct str text, const struct conf *conf)
{
	struct json *j = NULL;
	const char *why;

	if (!str_eq(text, STR("{}")) && json_parse(text, &JSON_CAPS_USER, &j, &why) != 0)
		j = NULL;
	/* What a person waits for is never longer than the configuration allows. */
	agent->timeouts = (struct llm_timeouts){
		.connect_ms = limit_ms(j, "connectMs", DEFAULT_CONNECT_MS, conf->request_timeout_ms),
		.headers_ms = limit_ms(j, "headersMs", conf->breaker_timeout_ms, conf->request_timeout_ms),
		.first_token_ms = limit_ms(j, "firstTokenMs", conf->request_timeout_ms, conf->request_timeout_ms),
		.idle_ms = limit_ms(j, "idleMs", conf->stream_idle_ms, MAX_TIMEOUT_MS),
		.total_ms = limit_ms(j, "totalMs", conf->stream_total_ms, MAX_TIMEOUT_MS),
	};
	json_free(j);
}

static void read_rate_limit(struct agent *agent, struct str text)
{
	struct json *j = NULL;
	const char *why;

	if (str_eq(text, STR("{}")) || json_parse(text, &JSON_CAPS_USER, &j, &why) != 0)
		return;
	agent->requests_per_minute = json_as_int(json_get(j, "requestsPerMinute"), 0);
	agent->tokens_per_minute = json_as_int(json_get(j, "tokensPerMinute"), 0);
	json_free(j);
}

static struct str expand_field(struct agent *agent, struct str text, bool expand, const struct conf *conf)
{
	struct str made, missing;

	if (!expand)
		return arena_copy(&agent->arena, text);
	if (!agent_expand(text, conf, &agent->arena, &made, &missing))
		agent_disable(agent, "variable_not_set", missing);
	return made;
}

/* A JSON list of strings. */
static const struct str *read_list(struct agent *agent, struct str text, size_t *n)
{
	struct json *j = NULL;
	struct str *list;
	const char *why;

	*n = 0;
	if (json_parse(text, &JSON_CAPS_USER, &j, &why) != 0)
		return NULL;
	list = arena_alloc(&agent->arena, (json_len(j) + 1) * sizeof(*list));
	while (*n < json_len(j)) {
		list[*n] = arena_copy(&agent->arena, json_as_str(json_at(j, *n)));
		(*n)++;
	}
	json_free(j);
	return list;
}

static struct agent_row copy_row(struct arena *arena, const struct agent_row *row)
{
	struct agent_row copy = *row;
	struct str *const texts[] = {
		&copy.id,           &copy.name,          &copy.description,   &copy.provider,   &copy.endpoint,
		&copy.model,        &copy.system_prompt, &copy.on_disconnect, &copy.app_id,     &copy.temperature,
		&copy.capabilities, &copy.features,      &copy.timeouts,      &copy.rate_limit, &copy.fallbacks,
		&copy.sealed_with,  &copy.created_by,    &copy.created_at,    &copy.updated_at,
	};

	copy.sealed_api_key = STR(""); /* it has been opened, and nobody asks for it again */
	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		*texts[i] = arena_copy(arena, *texts[i]);
	return copy;
}

static struct agent_seen *seen_new(void)
{
	struct agent_seen *seen = mem_alloc(sizeof(*seen));

	*seen = (struct agent_seen){.n_refs = 1, .response_ms = -1};
	list_init(&seen->waiting);
	return seen;
}

static void seen_unref(struct agent_seen *seen)
{
	if (--seen->n_refs == 0)
		free(seen);
}

struct agent *agent_new(const struct agent_row *stored, const char *api_key, const struct conf *conf)
{
	struct agent *agent = mem_alloc(sizeof(*agent));
	const struct agent_row *row = &agent->row;

	agent->n_refs = 1;
	agent->row = copy_row(&agent->arena, stored);
	agent->seen = seen_new();
	agent->id = row->id;
	agent->active = row->is_active;
	agent->name = row->name;
	agent->description = row->description;
	agent->provider_name = row->provider;
	agent->system_prompt = row->system_prompt;
	agent->capabilities = row->capabilities;
	agent->features = row->features;
	agent->capability_list = read_list(agent, agent->capabilities, &agent->n_capabilities);
	agent->fallbacks = read_list(agent, row->fallbacks, &agent->n_fallbacks);
	agent->max_concurrent = row->max_concurrent;
	agent->max_queue = row->max_queue >= 0 ? row->max_queue : row->max_concurrent;
	agent->model = expand_field(agent, row->model, row->from_file, conf);
	agent->endpoint = expand_field(agent, row->endpoint, row->from_file, conf).p;
	agent->api_key = api_key ? arena_cstr(&agent->arena, str_from(api_key)) : NULL;
	agent->has_temperature = str_to_double(row->temperature, &agent->temperature);
	agent->max_tokens = row->max_tokens;
	agent->context_tokens = row->context_tokens;
	agent->created_s = row->created_s;
	agent->cancel_on_disconnect = str_eq(row->on_disconnect, STR("cancel"));
	agent->provider = provider_named(agent->provider_name);
	read_timeouts(agent, row->timeouts, conf);
	read_rate_limit(agent, row->rate_limit);
	if (!agent->provider)
		agent_disable(agent, "provider_not_supported", agent->provider_name);
	else if (!agent->problem && !http_url_valid(agent->endpoint))
		agent_disable(agent, "endpoint_is_no_http_address", STR("endpoint")); /* not its text, which may hold a password */
	return agent;
}

struct agent *agent_ref(struct agent *agent)
{
	agent->n_refs++;
	return agent;
}

void agent_unref(struct agent *agent)
{
	if (!agent || --agent->n_refs > 0)
		return;
	seen_unref(agent->seen);
	arena_fini(&agent->arena);
	free(agent);
}

void agent_succeed(struct agent *agent, const struct agent *before)
{
	seen_unref(agent->seen);
	agent->seen = before->seen;
	agent->seen->n_refs++;
}

void agent_note_response(struct agent *agent, int64_t response_ms)
{
	agent->seen->response_ms = response_ms;
	agent->seen->at_real_us = clock_real_us();
}

bool agent_can(const struct agent *agent, struct str capability)
{
	for (size_t i = 0; i < agent->n_capabilities; i++)
		if (str_eq(agent->capability_list[i], capability))
			return true;
	return false;
}
