/* An agent as responders use it: a stored row made ready, with its provider and key. Counted, because a turn outlives a reload. */
#pragma once
#include "base/arena.h"
#include "base/list.h"
#include "db/agents.h"
#include "llm/provider.h"

struct conf;

/* How its provider answered this responder lately, and what goes on with it. Shared by an agent and those that replace it, so that a
 * change forgets nothing. */
struct agent_seen {
	unsigned n_refs;
	size_t n_calls;      /* of this responder, if they are counted: chat/places */
	struct list waiting; /* struct place */
	int64_t response_ms; /* to the first event of the last call that had one; -1: there was none */
	uint64_t at_real_us; /* when that was */
};

struct agent {
	unsigned n_refs;
	struct arena arena;
	struct agent_row row; /* as stored, for administrators; sealed_api_key is empty */
	struct str id, name, description, provider_name, model, system_prompt;
	struct str capabilities, features; /* JSON */
	const struct str *capability_list;
	size_t n_capabilities;
	const struct str *fallbacks; /* ids of agents that may answer instead, in this order */
	size_t n_fallbacks;
	int64_t max_concurrent, max_queue; /* of the host; 0: calls are not counted */
	const char *endpoint, *api_key;  /* api_key may be NULL */
	const struct provider *provider; /* NULL: not one we speak */
	const char *problem;             /* why it cannot work, a fixed word; NULL: it can, if it is wanted */
	struct str problem_with;
	bool active;
	bool cancel_on_disconnect;
	bool has_temperature;
	double temperature;
	int64_t max_tokens, context_tokens; /* 0: not set; 0: no history */
	/* 0: not limited */
	int64_t requests_per_minute, tokens_per_minute;
	int64_t created_s; /* since 1970 */
	struct llm_timeouts timeouts;
	struct agent_seen *seen;
};

/* Makes an agent of a row, with one reference. api_key is copied and may be NULL. An agent that cannot work (a placeholder that
 * the environment does not have, an address that is none, an unknown provider) is inactive, and the log says why. */
struct agent *agent_new(const struct agent_row *row, const char *api_key, const struct conf *conf);
struct agent *agent_ref(struct agent *agent);
void agent_unref(struct agent *agent);

/* Makes it inactive, and says why in the log; `what` is no secret and is copied. */
void agent_disable(struct agent *agent, const char *problem, struct str what);
/* It takes the place of another one of the same id. */
void agent_succeed(struct agent *agent, const struct agent *before);
/* Its provider has answered a call so many milliseconds after it began. */
void agent_note_response(struct agent *agent, int64_t response_ms);
bool agent_can(const struct agent *agent, struct str capability);

/* Fills in ${VAR} and ${VAR:-otherwise} from the environment and the env file. False if a variable has no value; missing then
 * holds its name. */
MUST_CHECK bool agent_expand(struct str text, const struct conf *conf, struct arena *arena, struct str *out, struct str *missing);
