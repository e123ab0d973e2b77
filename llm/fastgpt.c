/* FastGPT's applications, with details: OpenAI's chunks in named events, beside events of the workflow. Model and temperature are the
 * application's own matter. It keeps the history of a chat that it knows; then it gets the question alone. */
#include "llm/body.h"
#include "llm/emit.h"

static bool takes_part(const struct json *part)
{
	struct str type = json_as_str(json_get(part, "type")), url = body_image_url(part), unused;

	if (str_eq(type, STR("text")))
		return true;
	if (str_eq(type, STR("file_url")))
		return body_is_web(json_as_str(json_get(part, "url")));
	return body_is_web(url) || body_data_url(url, &unused, &unused);
}

static bool takes_parts(struct str parts, struct arena *arena, struct str *why)
{
	struct json *list = body_parts(parts);
	bool good = true;

	for (size_t i = 0; i < json_len(list) && good; i++) {
		good = takes_part(json_at(list, i));
		if (!good)
			*why = body_no_form(json_at(list, i), arena);
	}
	json_free(list);
	return good;
}

static void make_request(const struct llm_request *in, struct arena *arena, struct http_post *out)
{
	size_t first = in->conversation.len ? in->n_messages - 1 : 0;
	struct json_writer w = {.out = &out->body};

	body_headers(in, arena, out, BODY_BEARER);
	json_open(&w, '{');
	json_add_str(&w, "chatId", in->conversation.len ? in->conversation : in->new_conversation);
	json_add_bool(&w, "stream", true);
	json_add_bool(&w, "detail", true);
	json_add_str(&w, "responseChatItemId", in->answer_id);
	if (in->variables.len) {
		json_key(&w, "variables");
		json_put_raw(&w, in->variables);
	}
	json_key(&w, "messages");
	json_open(&w, '[');
	if (in->system_prompt.len)
		body_put_message(&w, &(struct llm_message){.role = STR("system"), .content = in->system_prompt});
	for (size_t i = first; i < in->n_messages; i++)
		body_put_message(&w, &in->messages[i]);
	json_close(&w, ']');
	json_close(&w, '}');
}

/* What of an event matters. */
enum {
	WHOLE,
	REASONING_CONTENT,
	CONTENT,
	FINISH_REASON,
	STATUS,
	NAME,
	TOOL_ID,
	TOOL_NAME,
	FUNCTION_NAME,
	PARAMS,
	INTERACTIVE,
	CODE,
	ERROR
};

static const char *const paths[] = {
	[WHOLE] = "",
	[REASONING_CONTENT] = ".choices[0].delta.reasoning_content",
	[CONTENT] = ".choices[0].delta.content",
	[FINISH_REASON] = ".choices[0].finish_reason",
	[STATUS] = ".status",
	[NAME] = ".name",
	[TOOL_ID] = ".tool.id",
	[TOOL_NAME] = ".tool.toolName",
	[FUNCTION_NAME] = ".tool.functionName",
	[PARAMS] = ".tool.params",
	[INTERACTIVE] = ".interactive",
	[CODE] = ".code",
	[ERROR] = ".error",
};

/* What each node has used. It is told after the end mark, so nothing here can spoil the answer. */
static void take_responses(struct llm_said *said, struct str data, struct llm_sink sink)
{
	struct llm_event event = {.type = LLM_USAGE};
	struct json *nodes;
	const char *why;
	bool any = false;

	if (json_parse(data, &JSON_CAPS_PROVIDER, &nodes, &why) != 0)
		return;
	for (size_t i = 0; i < json_len(nodes); i++) {
		int64_t in = json_as_int(json_get(json_at(nodes, i), "inputTokens"), 0);
		int64_t out = json_as_int(json_get(json_at(nodes, i), "outputTokens"), 0);

		if (in < 0 || out < 0 || in > INT32_MAX || out > INT32_MAX || in + out == 0)
			continue;
		said->usage.prompt_tokens += in;
		said->usage.completion_tokens += out;
		any = true;
	}
	json_free(nodes);
	said->usage.total_tokens = said->usage.prompt_tokens + said->usage.completion_tokens;
	event.usage = said->usage;
	if (any)
		sink.emit(sink.arg, &event);
}

/* Its errors have codes of their own beside those of HTTP: from 510 on they are about keys and rights. */
static int status_of(const struct json_found *code)
{
	int64_t n = json_found_int(code, 0);

	return n >= 510 && n <= 514 ? 401 : n >= 400 && n <= 599 ? (int)n : 0;
}

static void take_chunk(const struct json_found *found, struct llm_sink sink)
{
	emit_found(sink, LLM_REASONING, &found[REASONING_CONTENT]);
	emit_found(sink, LLM_TEXT, &found[CONTENT]);
	emit_found(sink, LLM_FINISH, &found[FINISH_REASON]);
}

/* Calls are told one after the other: what has another id than the last one begins the next. */
static void take_tool(struct llm_said *said, struct str event, const struct json_found *found, struct llm_sink sink)
{
	if (str_eq(event, STR("toolCall")))
		emit_tool(sink, said->n_tools++, &found[TOOL_ID],
			  &found[found[FUNCTION_NAME].kind == JSON_STRING ? FUNCTION_NAME : TOOL_NAME], &found[PARAMS]);
	else if (str_eq(event, STR("toolResponse")))
		emit_status(sink, "progress", STR("finished"), found[TOOL_NAME].raw.len ? &found[TOOL_NAME] : NULL);
	else if (said->n_tools > 0 && found[PARAMS].raw.len > 0)
		emit_tool(sink, said->n_tools - 1, NULL, NULL, &found[PARAMS]);
}

static void take_status(const struct json_found *found, struct llm_sink sink)
{
	const struct json_found *status = &found[STATUS];

	emit_status(sink, "flowNodeStatus", status->kind == JSON_STRING && !status->escaped ? status->raw : STR("running"), &found[NAME]);
}

static bool is_chunk(struct str event)
{
	return event.len == 0 || str_eq(event, STR("answer")) || str_eq(event, STR("fastAnswer"));
}

static enum provider_result take_event(struct llm_said *said, struct str event, struct str data, struct llm_sink sink)
{
	struct json_found found[N_ELEMENTS(paths)];

	if (is_chunk(event) && str_eq(str_trim(data), STR("[DONE]"))) {
		memcpy(said->conversation, said->offered, sizeof(said->offered)); /* now it is stored there */
		return PROVIDER_ENDED;
	}
	if (str_eq(event, STR("flowResponses"))) {
		take_responses(said, data, sink);
		return PROVIDER_MORE;
	}
	if (json_scan(data, paths, N_ELEMENTS(paths), found) != 0)
		return PROVIDER_GARBLED;
	if (str_eq(event, STR("error")) || found[ERROR].kind != JSON_NULL) {
		said->error_status = status_of(&found[CODE]);
		return PROVIDER_FAILED;
	}
	if (is_chunk(event) && found[WHOLE].kind != JSON_OBJECT)
		return PROVIDER_GARBLED;
	if (is_chunk(event))
		take_chunk(found, sink);
	else if (str_eq(event, STR("flowNodeStatus")))
		take_status(found, sink);
	else if (str_eq(event, STR("toolCall")) || str_eq(event, STR("toolParams")) || str_eq(event, STR("toolResponse")))
		take_tool(said, event, found, sink);
	else if (str_eq(event, STR("interactive")))
		emit_json(sink, LLM_INTERACTIVE, &found[found[INTERACTIVE].kind == JSON_OBJECT ? INTERACTIVE : WHOLE], JSON_OBJECT);
	return PROVIDER_MORE; /* updateVariables, and whatever they add */
}

const struct provider provider_fastgpt = {
	.name = "fastgpt",
	.request = make_request,
	.on_event = take_event,
	.takes_parts = takes_parts,
	.more_after_end = true,
};
