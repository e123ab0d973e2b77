/* Checking the body of a completion, field by field. */
#include "handlers/chat_request.h"

#include "handlers/chat_content.h"
#include "handlers/request.h"

static bool read_message(struct request *r, const struct json *j, size_t i, struct llm_message *out, struct json_complaint *c)
{
	if (json_kind(j) != JSON_OBJECT)
		return json_complain(c, "messages", "messages[%zu] must be an object.", i);
	out->role = json_as_str(json_get(j, "role"));
	if (!str_eq(out->role, STR("user")) && !str_eq(out->role, STR("assistant")) && !str_eq(out->role, STR("system")))
		return json_complain(c, "messages", "messages[%zu].role must be user, assistant or system.", i);
	return chat_content_read(r, json_get(j, "content"), i, 1, out, c);
}

static bool read_messages(struct request *r, struct chat_request *out, struct json_complaint *c)
{
	const struct json *list = json_get(r->body, "messages");
	size_t n = json_len(list);
	struct llm_message *messages;

	if (json_kind(list) != JSON_ARRAY || n < 1 || n > CHAT_MAX_MESSAGES)
		return json_complain(c, "messages", "messages must be a list of 1 to %d messages.", (int)CHAT_MAX_MESSAGES);
	messages = arena_alloc(&r->question, n * sizeof(*messages));
	for (size_t i = 0; i < n; i++)
		if (!read_message(r, json_at(list, i), i, &messages[i], c))
			return false;
	if (!str_eq(messages[n - 1].role, STR("user")))
		return json_complain(c, "messages", "messages must end with one of the user.");
	out->turn.messages = messages;
	out->turn.n_messages = n;
	out->turn.with_history = true;
	out->turn.question = messages[n - 1].content;
	out->turn.question_parts = messages[n - 1].parts;
	return json_read_str(json_at(list, n - 1), "id", false, 0, CHAT_MAX_NAME, &out->turn.question_client_id, c);
}

bool chat_request_read_how(const struct json *j, struct turn_request *turn, bool *stream, struct json_complaint *c)
{
	double temperature = -1;

	if (!json_read_number(j, "temperature", false, 0, 2, &temperature, c) ||
	    !json_read_int(j, "maxTokens", false, 1, 32768, &turn->max_tokens, c) || !json_read_bool(j, "stream", stream, c) ||
	    !json_read_str(j, "responseChatItemId", false, 1, CHAT_MAX_NAME, &turn->answer_client_id, c))
		return false;
	if (temperature >= 0) {
		turn->has_temperature = true;
		turn->temperature = temperature;
	}
	return true;
}

/* Options may stand at the top or under "options"; the top wins, so it is read last. */
static bool read_options(const struct json *j, struct chat_request *out, struct json_complaint *c)
{
	return chat_request_read_how(j, &out->turn, &out->stream, c) && json_read_str(j, "chatId", false, 1, CHAT_MAX_NAME, &out->turn.chat_id, c);
}

static bool absent_or(enum json_kind kind, const struct json *j)
{
	return !j || json_kind(j) == kind;
}

/* Fields that some agents have a use for; whatever they are for, they have a type. */
static bool read_extras(struct request *r, const struct json *j, struct chat_request *out, struct json_complaint *c)
{
	bool unused;

	if (!absent_or(JSON_OBJECT, json_get(j, "variables")))
		return json_complain(c, "variables", "variables must be an object.");
	if (json_get(j, "variables"))
		out->turn.variables = arena_copy(&r->question, json_text(json_get(j, "variables")));
	if (!absent_or(JSON_ARRAY, json_get(j, "attachments")))
		return json_complain(c, "attachments", "attachments must be a list.");
	return json_read_bool(j, "detail", &unused, c);
}

bool chat_request_suits(struct request *r, const struct turn_request *turn, struct json_complaint *c)
{
	struct str why = {0};
	size_t which;

	if (provider_takes(turn->agent->provider, turn->messages, turn->n_messages, &r->question, &which, &why))
		return true;
	return json_complain(c, "messages", "messages[%zu].content: this agent %.*s.", which, STR_ARG(why));
}

bool chat_request_read(struct request *r, struct chat_request *out, struct json_complaint *c)
{
	const struct json *options = json_get(r->body, "options");

	*out = (struct chat_request){0};
	if (options && json_kind(options) != JSON_OBJECT)
		return json_complain(c, "options", "options must be an object.");
	if (!json_read_str(r->body, "agentId", true, 1, 64, &out->agent_id, c) || !read_messages(r, out, c) ||
	    !read_options(options, out, c) || !read_options(r->body, out, c) || !read_extras(r, options, out, c) ||
	    !read_extras(r, r->body, out, c))
		return false;
	if (!chat_name_valid(out->turn.chat_id))
		return json_complain(c, "chatId", "chatId may have letters, digits, '.', '_', ':' and '-' only, at most %d of them.", (int)CHAT_MAX_NAME);
	out->turn.plain = !out->stream;
	out->turn.request_id = r->request_id;
	return true;
}
