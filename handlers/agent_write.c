/* Columns as JSON, and the key. */
#include "handlers/agent_write.h"

#include "base/seal.h"
#include "chat/agents.h"
#include "handlers/request.h"

static void put_key(struct request *r, struct json_writer *w, struct str id, const struct agent *known, struct str api_key)
{
	const struct seal *seal = agents_seal(r->app->agents);

	json_add_bool(w, "own_key", true);
	if (api_key.len == 0) {
		json_add_cstr(w, "sealed_api_key", NULL);
		json_add_cstr(w, "sealed_with", NULL);
		return;
	}
	json_add_str(w, "sealed_api_key", seal_close(seal, id, api_key, &r->arena));
	json_add_cstr(w, "sealed_with", seal->current.id);
	/* Sealing gives another text each time: whether it is the same key is known here only. */
	if (known && known->row.own_key && known->api_key && str_eq_cstr(api_key, known->api_key))
		json_add_int(w, "same_key_as", known->row.revision);
}

bool agent_write_put(struct request *r, const struct json *j, bool whole, struct str id, const struct agent *known, struct buf *out,
		     struct json_complaint *c)
{
	const struct agent_reading how = {.source = AGENT_OF_API, .whole = whole, .id = id, .stored = known ? &known->row : NULL};
	struct json_writer w = {.out = out};
	struct agent_said said;

	json_open(&w, '{');
	if (!agent_fields_read(j, &how, &w, &said, c))
		return false;
	if (said.id.len && !str_eq(said.id, id))
		return json_complain(c, "id", "id cannot be changed.");
	if (said.api_key.len && !seal_possible(agents_seal(r->app->agents)))
		return json_complain(c, "apiKey", "apiKey cannot be stored: SECRETS_KEY, which would seal it, is not set on this server.");
	json_add_str(&w, "id", id);
	if (said.has_key)
		put_key(r, &w, id, known, said.api_key);
	json_close(&w, '}');
	return true;
}

const char *agent_write_problem(const struct agent_written *written, const char **field)
{
	static const struct {
		const char *outcome, *field, *sentence;
	} known[] = {
		{"exists", "id", "id is taken by another agent."},
		{"missing", "id", "There is no such agent: it has just been deleted."},
		{"moved", "apiKey",
		 "apiKey must be given anew (null: none), since endpoint moves to another host, to which the old key shall not go."},
		{"full", "agents", "There are 5000 agents already, or would be more: agents is full."},
	};

	*field = NULL;
	for (size_t i = 0; i < N_ELEMENTS(known); i++) {
		if (!str_eq_cstr(written->outcome, known[i].outcome))
			continue;
		*field = known[i].field;
		return known[i].sentence;
	}
	return "It was not written.";
}
