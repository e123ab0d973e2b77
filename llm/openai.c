/* OpenAI's chat completions, and all that imitate them. */
#include "base/json_scan.h"
#include "llm/provider.h"

enum { KEEP_BYTES = 64 * 1024 };

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

static void emit_text(struct llm_sink sink, enum llm_event_type type, struct str text)
{
	if (text.len)
		sink.emit(sink.arg, &(struct llm_event){.type = type, .text = text});
}

static void emit_found(struct llm_sink sink, enum llm_event_type type, const struct json_found *f)
{
	static struct buf scratch; /* shared: it is used during the call only */

	emit_text(sink, type, json_found_str(f, &scratch));
	if (scratch.size > KEEP_BYTES)
		buf_fini(&scratch);
}

/* Rare enough for json-c, which writes it on one line without blanks, as events need it. */
static void emit_tools(struct llm_sink sink, const struct json_found *f)
{
	struct json *tools;
	const char *why;

	if (f->kind != JSON_ARRAY || json_parse(f->raw, &JSON_CAPS_PROVIDER, &tools, &why) != 0)
		return;
	if (json_len(tools))
		emit_text(sink, LLM_TOOL, json_text(tools));
	json_free(tools);
}

/* What a provider says of tokens, within reason. */
static int64_t token_count(const struct json_found *f, int64_t otherwise)
{
	int64_t n = json_found_int(f, otherwise);

	return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : n;
}

static void emit_usage(struct llm_sink sink, const struct json_found *found)
{
	struct llm_event event = {.type = LLM_USAGE};

	if (found[USAGE].kind != JSON_OBJECT)
		return;
	event.usage.prompt_tokens = token_count(&found[PROMPT_TOKENS], 0);
	event.usage.completion_tokens = token_count(&found[COMPLETION_TOKENS], 0);
	event.usage.total_tokens = token_count(&found[TOTAL_TOKENS], event.usage.prompt_tokens + event.usage.completion_tokens);
	sink.emit(sink.arg, &event);
}

static enum provider_result take_event(struct str event, struct str data, struct llm_sink sink)
{
	struct json_found found[N_ELEMENTS(paths)];

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
	emit_tools(sink, &found[TOOL_CALLS]);
	emit_usage(sink, found);
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
