/* Anthropic's messages. Tool calls are told as OpenAI tells them, so that clients know one form. */
#include "llm/body.h"
#include "llm/emit.h"

enum { DEFAULT_MAX_TOKENS = 4096 };

static void put_text_part(struct json_writer *w, struct str text)
{
	json_open(w, '{');
	json_add_cstr(w, "type", "text");
	json_add_str(w, "text", text);
	json_close(w, '}');
}

/* Vision: an image by its address, or as base64 with its media type. */
static void put_image(struct json_writer *w, struct str url)
{
	struct str type, data;

	json_open(w, '{');
	json_add_cstr(w, "type", "image");
	json_key(w, "source");
	json_open(w, '{');
	if (body_data_url(url, &type, &data)) {
		json_add_cstr(w, "type", "base64");
		json_add_str(w, "media_type", type);
		json_add_str(w, "data", data);
	} else {
		json_add_cstr(w, "type", "url");
		json_add_str(w, "url", url);
	}
	json_close(w, '}');
	json_close(w, '}');
}

/* Its own form already: an image or a document with a source. */
static bool is_own(const struct json *part)
{
	struct str type = json_as_str(json_get(part, "type"));

	return (str_eq(type, STR("image")) || str_eq(type, STR("document"))) && json_kind(json_get(part, "source")) == JSON_OBJECT;
}

static bool takes_parts(struct str parts, struct arena *arena, struct str *why)
{
	struct json *list = body_parts(parts);
	bool good = true;

	for (size_t i = 0; i < json_len(list) && good; i++) {
		const struct json *part = json_at(list, i);
		struct str url = body_image_url(part), type, data;

		good = str_eq(json_as_str(json_get(part, "type")), STR("text")) || is_own(part) || body_is_web(url) ||
		       body_data_url(url, &type, &data);
		if (!good)
			*why = body_no_form(part, arena);
	}
	json_free(list);
	return good;
}

static void put_parts(struct json_writer *w, struct str parts)
{
	struct json *list = body_parts(parts);

	json_open(w, '[');
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *part = json_at(list, i);
		struct str text = json_as_str(json_get(part, "text"));

		if (is_own(part))
			json_put_raw(w, json_text(part));
		else if (body_image_url(part).len)
			put_image(w, body_image_url(part));
		else if (text.len) /* an empty one would be refused */
			put_text_part(w, text);
	}
	json_close(w, ']');
	json_free(list);
}

/* OpenAI's newer models call it so. */
static bool is_system(const struct llm_message *m)
{
	return str_eq(m->role, STR("system")) || str_eq(m->role, STR("developer"));
}

/* There are two roles; what a tool said is told by the user. */
static struct str role_of(const struct llm_message *m)
{
	return str_eq(m->role, STR("tool")) ? STR("user") : m->role;
}

/* The system prompt is a field of its own, and so is what stands among the messages as the system's. */
static void put_system(struct json_writer *w, const struct llm_request *in)
{
	struct buf text = {0};

	buf_add_str(&text, in->system_prompt);
	for (size_t i = 0; i < in->n_messages; i++) {
		if (!is_system(&in->messages[i]))
			continue;
		if (text.len)
			buf_add_str(&text, STR("\n\n"));
		buf_add_str(&text, in->messages[i].content);
	}
	if (text.len)
		json_add_str(w, "system", buf_str(&text));
	buf_fini(&text);
}

/* The first message must be the user's, and none may be empty. */
static void put_messages(struct json_writer *w, const struct llm_request *in)
{
	bool user_spoke = false;

	json_key(w, "messages");
	json_open(w, '[');
	for (size_t i = 0; i < in->n_messages; i++) {
		const struct llm_message *m = &in->messages[i];

		user_spoke |= str_eq(role_of(m), STR("user"));
		if (!user_spoke || is_system(m) || (!m->parts.len && !m->content.len))
			continue;
		if (!m->parts.len) {
			body_put_message(w, &(struct llm_message){.role = role_of(m), .content = m->content});
			continue;
		}
		json_open(w, '{');
		json_add_str(w, "role", role_of(m));
		json_key(w, "content");
		put_parts(w, m->parts);
		json_close(w, '}');
	}
	json_close(w, ']');
}

static void make_request(const struct llm_request *in, struct arena *arena, struct http_post *out)
{
	struct json_writer w = {.out = &out->body};

	body_headers(in, arena, out, BODY_X_API_KEY);
	body_add_header(out, "anthropic-version: 2023-06-01");
	json_open(&w, '{');
	json_add_cstr(&w, "model", in->model);
	json_add_int(&w, "max_tokens", in->max_tokens ? in->max_tokens : DEFAULT_MAX_TOKENS);
	put_system(&w, in);
	put_messages(&w, in);
	json_add_bool(&w, "stream", true);
	if (in->has_temperature) { /* 0 to 1 here, 0 to 2 elsewhere */
		json_key(&w, "temperature");
		json_put_number(&w, in->temperature > 1 ? 1 : in->temperature);
	}
	json_close(&w, '}');
}

/* What of an event matters. */
enum {
	EVENT,
	TYPE,
	TEXT,
	THINKING,
	PARTIAL_JSON,
	STOP_REASON,
	BLOCK_TYPE,
	BLOCK_ID,
	BLOCK_NAME,
	BLOCK_INPUT,
	BLOCK_TEXT,
	BLOCK_THINKING,
	START_INPUT,
	START_CACHE_MADE,
	START_CACHE_READ,
	START_OUTPUT,
	INPUT,
	OUTPUT,
	ERROR_TYPE
};

static const char *const paths[] = {
	[EVENT] = "",
	[TYPE] = ".type",
	[TEXT] = ".delta.text",
	[THINKING] = ".delta.thinking",
	[PARTIAL_JSON] = ".delta.partial_json",
	[STOP_REASON] = ".delta.stop_reason",
	[BLOCK_TYPE] = ".content_block.type",
	[BLOCK_ID] = ".content_block.id",
	[BLOCK_NAME] = ".content_block.name",
	[BLOCK_INPUT] = ".content_block.input",
	[BLOCK_TEXT] = ".content_block.text",
	[BLOCK_THINKING] = ".content_block.thinking",
	[START_INPUT] = ".message.usage.input_tokens",
	[START_CACHE_MADE] = ".message.usage.cache_creation_input_tokens",
	[START_CACHE_READ] = ".message.usage.cache_read_input_tokens",
	[START_OUTPUT] = ".message.usage.output_tokens",
	[INPUT] = ".usage.input_tokens",
	[OUTPUT] = ".usage.output_tokens",
	[ERROR_TYPE] = ".error.type",
};

static bool is(const struct json_found *f, const char *word)
{
	return f->kind == JSON_STRING && str_eq_cstr(f->raw, word);
}

/* In our words, which are OpenAI's; a new one of theirs stays as it is. */
static void take_stop_reason(struct llm_sink sink, const struct json_found *f)
{
	static const struct {
		const char *theirs;
		struct str ours;
	} reasons[] = {
		{"end_turn", {"stop", 4}},
		{"stop_sequence", {"stop", 4}},
		{"pause_turn", {"stop", 4}},
		{"max_tokens", {"length", 6}},
		{"model_context_window_exceeded", {"length", 6}},
		{"tool_use", {"tool_calls", 10}},
		{"refusal", {"content_filter", 14}},
	};

	for (size_t i = 0; i < N_ELEMENTS(reasons); i++) {
		if (is(f, reasons[i].theirs)) {
			emit_text(sink, LLM_FINISH, reasons[i].ours);
			return;
		}
	}
	emit_found(sink, LLM_FINISH, f);
}

/* What was read from the cache, or written to it, is input too, and not in input_tokens. */
static void take_start(struct llm_said *said, const struct json_found *found)
{
	said->usage.prompt_tokens =
		emit_tokens(&found[START_INPUT], 0) + emit_tokens(&found[START_CACHE_MADE], 0) + emit_tokens(&found[START_CACHE_READ], 0);
	said->usage.completion_tokens = emit_tokens(&found[START_OUTPUT], 0);
}

static void take_block(struct llm_said *said, const struct json_found *found, struct llm_sink sink)
{
	const struct json_found *input = &found[BLOCK_INPUT];

	said->in_tool = is(&found[BLOCK_TYPE], "tool_use");
	emit_found(sink, LLM_REASONING, &found[BLOCK_THINKING]);
	emit_found(sink, LLM_TEXT, &found[BLOCK_TEXT]);
	if (said->in_tool) /* the input is {}, and comes in deltas */
		emit_tool(sink, said->n_tools++, &found[BLOCK_ID], &found[BLOCK_NAME], input->raw.len > 2 ? input : NULL);
}

static void take_delta(struct llm_said *said, const struct json_found *found, struct llm_sink sink)
{
	emit_found(sink, LLM_REASONING, &found[THINKING]);
	emit_found(sink, LLM_TEXT, &found[TEXT]);
	if (said->in_tool && found[PARTIAL_JSON].kind == JSON_STRING && found[PARTIAL_JSON].raw.len)
		emit_tool(sink, said->n_tools - 1, NULL, NULL, &found[PARTIAL_JSON]);
}

/* The figures of usage are totals, not differences. */
static void take_message_delta(struct llm_said *said, const struct json_found *found, struct llm_sink sink)
{
	struct llm_event event = {.type = LLM_USAGE};

	take_stop_reason(sink, &found[STOP_REASON]);
	if (found[OUTPUT].kind != JSON_INT)
		return;
	said->usage.completion_tokens = emit_tokens(&found[OUTPUT], 0);
	if (!said->usage.prompt_tokens)
		said->usage.prompt_tokens = emit_tokens(&found[INPUT], 0);
	event.usage = said->usage;
	event.usage.total_tokens = said->usage.prompt_tokens + said->usage.completion_tokens;
	sink.emit(sink.arg, &event);
}

/* The HTTP status of an error that came in mid-stream (Errors: HTTP errors). */
static int status_of(const struct json_found *type)
{
	static const struct {
		const char *type;
		int status;
	} errors[] = {
		{"authentication_error", 401}, {"permission_error", 403}, {"rate_limit_error", 429},
		{"timeout_error", 504},        {"overloaded_error", 529},
	};

	for (size_t i = 0; i < N_ELEMENTS(errors); i++)
		if (is(type, errors[i].type))
			return errors[i].status;
	return 500;
}

static enum provider_result take_event(struct llm_said *said, struct str event, struct str data, struct llm_sink sink)
{
	struct json_found found[N_ELEMENTS(paths)];

	(void)event; /* the data has it too, and proxies drop names more often than data */
	if (json_scan(data, paths, N_ELEMENTS(paths), found) != 0 || found[EVENT].kind != JSON_OBJECT)
		return PROVIDER_GARBLED;
	if (is(&found[TYPE], "content_block_delta")) {
		take_delta(said, found, sink);
	} else if (is(&found[TYPE], "content_block_start")) {
		take_block(said, found, sink);
	} else if (is(&found[TYPE], "message_start")) {
		take_start(said, found);
	} else if (is(&found[TYPE], "message_delta")) {
		take_message_delta(said, found, sink);
	} else if (is(&found[TYPE], "message_stop")) {
		return PROVIDER_ENDED;
	} else if (is(&found[TYPE], "error")) {
		said->error_status = status_of(&found[ERROR_TYPE]);
		return PROVIDER_FAILED;
	}
	return PROVIDER_MORE; /* ping, content_block_stop, and whatever they add */
}

const struct provider provider_anthropic = {
	.name = "anthropic",
	.request = make_request,
	.on_event = take_event,
	.takes_parts = takes_parts,
};
