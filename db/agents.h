/* Rows of agent_configs. */
#pragma once
#include "db/pool.h"

/* One agent as it is stored; texts are borrowed from whoever made it. Keys of providers are not part of it. */
struct agent_row {
	struct str id, name, description, provider, endpoint, model, system_prompt, on_disconnect;
	bool is_active, from_file;
	struct str temperature; /* a number as text; empty: not set */
	int64_t max_tokens; /* 0: not set */
	int64_t context_tokens;
	struct str capabilities, features, timeouts; /* JSON */
};

/* Adds an agent unless one of that id exists. */
void agents_add_missing(struct pool *pool, struct query *q, const struct agent_row *row);
enum { AGENTS_MAX = 5000 };
/* All agents, by id. */
void agents_list(struct pool *pool, struct query *q);
struct agent_row agents_row(const struct query *q, size_t i);
