/* OpenAI's chat completions, and all that imitate them. */
#include "base/json_scan.h"
#include "llm/body.h"
#include "llm/emit.h"

static void put_body(const struct llm_request *in, struct buf *body)
{
	struct json_writer w = {.out = body};

	json_open(&w, '{');
	json_add_cstr(&w, "model", in->model);
	json_key(&w, "messages");
	json_open(&w, '[');
	if (in->system_prompt.len)
		body_put_message(&w, &(struct llm_message){.role = STR("system"), .content = in->system_prompt});
	for (size_t i = 0; i < in->n_messages; i++)
		body_put_message(&w, &in->messages[i]);
	json_close(&w, ']');
	json_add_bool(&w, "stream", true);
	json_key(&w, "stream_options");
	json_open(&w, '{');
	json_add_bool(&w, "include_usage", true);
	json_close(&w, '}');
	if (in->has_temperature) {
		json_key(&w, "temperature");
		json_put_number(&w, in->temperature);
	}
	if (in->max_tokens)
		json_add_int(&w, in->limits_completion ? "max_completion_tokens" : "max_tokens", in->max_tokens);
	if (in->extra.len)
		json_put_raw(&w, in->extra);
	json_close(&w, '}');
}

static void make_request(const struct llm_request *in, struct arena *arena, struct http_post *out)
{
	body_headers(in, arena, out, BODY_BEARER);
	put_body(in, &out->body);
}

/* What of a chunk matters. */
enum {
	CHUNK,
	ERROR,
	REASONING_CONTENT,
	REASONING,
	CONTENT,
	TOOL_CALLS,
	FINISH_REASON,
	USAGE,
	PROMPT_TOKENS,
	COMPLETION_TOKENS,
	TOTAL_TOKENS
};

static const char *const paths[] = {
	[CHUNK] = "",
	[ERROR] = ".error",
	[REASONING_CONTENT] = ".choices[0].delta.reasoning_content",
	[REASONING] = ".choices[0].delta.reasoning",
	[CONTENT] = ".choices[0].delta.content",
	[TOOL_CALLS] = ".choices[0].delta.tool_calls",
	[FINISH_REASON] = ".choices[0].finish_reason",
	[USAGE] = ".usage",
	[PROMPT_TOKENS] = ".usage.prompt_tokens",
	[COMPLETION_TOKENS] = ".usage.completion_tokens",
	[TOTAL_TOKENS] = ".usage.total_tokens",
};

static void take_usage(struct llm_sink sink, const struct json_found *found)
{
	struct llm_event event = {.type = LLM_USAGE};

	if (found[USAGE].kind != JSON_OBJECT)
		return;
	event.usage.prompt_tokens = emit_tokens(&found[PROMPT_TOKENS], 0);
	event.usage.completion_tokens = emit_tokens(&found[COMPLETION_TOKENS], 0);
	event.usage.total_tokens = emit_tokens(&found[TOTAL_TOKENS], event.usage.prompt_tokens + event.usage.completion_tokens);
	sink.emit(sink.arg, &event);
}

static enum provider_result take_event(struct llm_said *said, struct str event, struct str data, struct llm_sink sink)
{
	struct json_found found[N_ELEMENTS(paths)];

	(void)said;
	if (str_eq(str_trim(data), STR("[DONE]")))
		return PROVIDER_ENDED;
	if (str_eq(event, STR("error")))
		return PROVIDER_FAILED;
	if (json_scan(data, paths, N_ELEMENTS(paths), found) != 0 || found[CHUNK].kind != JSON_OBJECT)
		return PROVIDER_GARBLED;
	if (found[ERROR].kind != JSON_NULL)
		return PROVIDER_FAILED;
	emit_found(sink, LLM_REASONING, &found[REASONING_CONTENT]);
	emit_found(sink, LLM_REASONING, &found[REASONING]);
	emit_found(sink, LLM_TEXT, &found[CONTENT]);
	emit_json(sink, LLM_TOOL, &found[TOOL_CALLS], JSON_ARRAY);
	take_usage(sink, found);
	emit_found(sink, LLM_FINISH, &found[FINISH_REASON]);
	return PROVIDER_MORE;
}

const struct provider provider_openai = {
	.name = "openai",
	.request = make_request,
	.on_event = take_event,
	.finish_is_end = true,
};

const struct provider provider_custom = {
	.name = "custom",
	.request = make_request,
	.on_event = take_event,
	.finish_is_end = true,
};
