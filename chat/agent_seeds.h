/* The agents of AGENTS_CONFIG_PATH, and their keys, which never leave this process's memory. */
#pragma once
#include "base/arena.h"

struct conf;

struct agent_seed {
	struct str id;
	struct str columns;  /* a JSON object, as db/agents.h adds it */
	const char *api_key; /* expanded; NULL if it has none */
	bool key_missing;    /* the key's variable is not set: the agent cannot work until it is */
};

struct agent_seeds {
	struct arena arena;
	struct agent_seed *list; /* by id, in the order of bytes */
	size_t n;
};

/* Reads the file at once. 0, or -1 with a sentence in why if it is there but is not what it should be; a missing file is only
 * logged, and so is an agent that is wrong. *seeds is empty before, and to be freed with agent_seeds_fini after 0. */
MUST_CHECK int agent_seeds_read(struct agent_seeds *seeds, const struct conf *conf, char *why, size_t why_size);
void agent_seeds_fini(struct agent_seeds *seeds);
/* NULL if the file has none of that id. */
const struct agent_seed *agent_seeds_find(const struct agent_seeds *seeds, struct str id);
