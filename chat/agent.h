/* An agent as responders use it: a stored row made ready, with its provider and key. Counted, because a turn outlives a reload. */
#pragma once
#include "base/arena.h"
#include "llm/provider.h"

struct agent_row;
struct conf;

struct agent {
	unsigned n_refs;
	struct arena arena;
	struct str id, name, description, provider_name, model, system_prompt;
	struct str capabilities, features; /* JSON */
	const char *endpoint, *api_key; /* api_key may be NULL */
	const struct provider *provider; /* NULL: not one we speak */
	bool active;
	bool cancel_on_disconnect;
	bool has_temperature;
	double temperature;
	int64_t max_tokens, context_tokens; /* 0: not set; 0: no history */
	struct llm_timeouts timeouts;
};

/* Makes an agent of a row, with one reference. api_key is copied and may be NULL. An agent that cannot work (a placeholder that
 * the environment does not have, an address that is none, an unknown provider) is inactive, and the log says why. */
struct agent *agent_new(const struct agent_row *row, const char *api_key, const struct conf *conf);
struct agent *agent_ref(struct agent *agent);
void agent_unref(struct agent *agent);

/* Fills in ${VAR} and ${VAR:-otherwise} from the environment and the env file. False if a variable has no value; missing then
 * holds its name. */
MUST_CHECK bool agent_expand(struct str text, const struct conf *conf, struct arena *arena, struct str *out, struct str *missing);
