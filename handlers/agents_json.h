/* How agents look: to everybody, and to administrators. Never a key. */
#pragma once
#include "base/json.h"
#include "chat/agent.h"

/* Without the endpoint, the system prompt and whatever else is the operator's. */
void put_agent(struct json_writer *w, const struct agent *agent);
/* All that is stored, by the names that a body has, and whether it has a key; the system prompt only if it is wanted. */
void put_agent_whole(struct json_writer *w, const struct agent *agent, bool with_prompt);
