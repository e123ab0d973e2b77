/* OpenAI's chat completions, and all that imitate them. */
#include "base/json.h"
#include "llm/provider.h"

static void put_message(struct json_writer *w, const struct llm_message *m)
{
	json_open(w, '{');
	json_add_str(w, "role", m->role);
	json_key(w, "content");
	if (m->parts.len)
		json_put_raw(w, m->parts);
	else
		json_put_str(w, m->content);
	json_close(w, '}');
}

static void put_body(const struct llm_request *in, struct buf *body)
{
	struct json_writer w = {.out = body};

	json_open(&w, '{');
	json_add_cstr(&w, "model", in->model);
	json_key(&w, "messages");
	json_open(&w, '[');
	if (in->system_prompt.len)
		put_message(&w, &(struct llm_message){.role = STR("system"), .content = in->system_prompt});
	for (size_t i = 0; i < in->n_messages; i++)
		put_message(&w, &in->messages[i]);
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
		json_add_int(&w, "max_tokens", in->max_tokens);
	json_close(&w, '}');
}

static void make_request(const struct llm_request *in, struct arena *arena, struct http_post *out)
{
	const char **headers = arena_alloc(arena, PROVIDER_MAX_HEADERS * sizeof(*headers));
	size_t n = 0;

	headers[n++] = "Content-Type: application/json";
	headers[n++] = "Accept: text/event-stream";
	headers[n++] = arena_printf(arena, "X-Request-Id: %s", in->log->request_id).p;
	if (in->api_key && *in->api_key)
		headers[n++] = arena_printf(arena, "Authorization: Bearer %s", in->api_key).p;
	*out = (struct http_post){.url = in->endpoint, .headers = headers, .n_headers = n, .connect_ms = (uint64_t)in->timeouts.connect_ms};
	put_body(in, &out->body);
}

static void emit_text(struct llm_sink sink, enum llm_event_type type, struct str text)
{
	if (text.len)
		sink.emit(sink.arg, &(struct llm_event){.type = type, .text = text});
}

/* What a provider says of tokens, within reason. */
static int64_t token_count(const struct json *usage, const char *key, int64_t otherwise)
{
	int64_t n = json_as_int(json_get(usage, key), otherwise);

	return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : n;
}

static void emit_usage(struct llm_sink sink, const struct json *usage)
{
	struct llm_event event = {.type = LLM_USAGE};

	if (json_kind(usage) != JSON_OBJECT)
		return;
	event.usage.prompt_tokens = token_count(usage, "prompt_tokens", 0);
	event.usage.completion_tokens = token_count(usage, "completion_tokens", 0);
	event.usage.total_tokens = token_count(usage, "total_tokens", event.usage.prompt_tokens + event.usage.completion_tokens);
	sink.emit(sink.arg, &event);
}

static void emit_chunk(struct llm_sink sink, const struct json *chunk)
{
	const struct json *choice = json_at(json_get(chunk, "choices"), 0); /* choices may be null or empty */
	const struct json *delta = json_get(choice, "delta"), *tools = json_get(delta, "tool_calls");

	emit_text(sink, LLM_REASONING, json_as_str(json_get(delta, "reasoning_content")));
	emit_text(sink, LLM_REASONING, json_as_str(json_get(delta, "reasoning")));
	emit_text(sink, LLM_TEXT, json_as_str(json_get(delta, "content")));
	if (json_len(tools))
		emit_text(sink, LLM_TOOL, json_text(tools));
	emit_usage(sink, json_get(chunk, "usage"));
	emit_text(sink, LLM_FINISH, json_as_str(json_get(choice, "finish_reason")));
}

static enum provider_result take_event(struct str event, struct str data, struct llm_sink sink)
{
	struct json *chunk;
	const char *why;
	enum provider_result result = PROVIDER_MORE;

	if (str_eq(str_trim(data), STR("[DONE]")))
		return PROVIDER_ENDED;
	if (str_eq(event, STR("error")))
		return PROVIDER_FAILED;
	if (json_parse(data, &JSON_CAPS_PROVIDER, &chunk, &why) != 0)
		return PROVIDER_GARBLED;
	if (json_kind(chunk) != JSON_OBJECT)
		result = PROVIDER_GARBLED;
	else if (json_get(chunk, "error"))
		result = PROVIDER_FAILED;
	else
		emit_chunk(sink, chunk);
	json_free(chunk);
	return result;
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
