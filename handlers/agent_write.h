/* What a body says of an agent, as db/agents.h writes it. */
#pragma once
#include "base/json.h"
#include "chat/agent_fields.h"

struct agent;
struct agent_written;
struct request;

/* Reads one agent and appends it to out, as one element of the array, its key sealed. id is what it shall be called; known is the agent as
 * this responder has it, or NULL. False with a complaint; then out has anything. */
MUST_CHECK bool agent_write_put(struct request *r, const struct json *j, bool whole, struct str id, const struct agent *known,
				struct buf *out, struct json_complaint *complaint);
/* Why it was not written, in a sentence, with the field to blame; both literal. */
const char *agent_write_problem(const struct agent_written *written, const char **field);
