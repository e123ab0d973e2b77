/* What may be said of an agent, field by field: one table for the API and for config/agents.json. What is said becomes JSON with the names
 * of the columns of agent_configs, as db/agents.h writes it; what is not said is not there. */
#pragma once
#include "base/json.h"

enum agent_source {
	AGENT_OF_FILE, /* endpoint, model and apiKey may have ${VAR} */
	AGENT_OF_API,
};

struct agent_row;

struct agent_reading {
	enum agent_source source;
	bool whole;                     /* what an agent must have is required */
	struct str id;                  /* whose fields these are; empty: the JSON says it */
	const struct agent_row *stored; /* what it is now, as far as this is known; NULL: not at all */
};

struct agent_said {
	struct str id;      /* borrowed from the JSON; empty: none */
	struct str api_key; /* the same */
	bool has_key;       /* something is said of the key: api_key, or that there shall be none if that is empty */
};

/* Reads one agent: writes the members of an object that is open in w, without id and key, which go to *said. False with a complaint that
 * names field and limit; then w has anything. */
MUST_CHECK bool agent_fields_read(const struct json *j, const struct agent_reading *how, struct json_writer *w, struct agent_said *said,
				  struct json_complaint *complaint);
/* May this be sent as a key, in a header? NULL, or what is wrong with it. */
const char *agent_key_problem(struct str api_key);
/* Has it the form of an agent's id? */
bool agent_id_valid(struct str id);
