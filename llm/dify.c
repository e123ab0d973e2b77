/* Dify's chat applications: chatbots, agents and chatflows. Model, prompt and history are the application's own matter: it gets the
 * question, the variables, and the name of a conversation that it has begun. */
#include "llm/body.h"
#include "llm/emit.h"

/* A part as one of Dify's files; false if it is none. */
static bool put_file(struct json_writer *w, const struct json *part)
{
	struct str url = body_image_url(part);
	bool image = url.len > 0;

	if (json_kind(json_get(part, "transfer_method")) == JSON_STRING) { /* its own form already */
		json_put_raw(w, json_text(part));
		return true;
	}
	if (str_eq(json_as_str(json_get(part, "type")), STR("file_url")))
		url = json_as_str(json_get(part, "url"));
	if (!body_is_web(url))
		return false;
	json_open(w, '{');
	json_add_cstr(w, "type", image ? "image" : "document");
	json_add_cstr(w, "transfer_method", "remote_url");
	json_add_str(w, "url", url);
	json_close(w, '}');
	return true;
}

static bool takes_parts(struct str parts, struct arena *arena, struct str *why)
{
	struct json *list = body_parts(parts);
	bool good = true;

	for (size_t i = 0; i < json_len(list) && good; i++) {
		const struct json *part = json_at(list, i);
		struct buf unused = {0};
		struct json_writer w = {.out = &unused};

		good = str_eq(json_as_str(json_get(part, "type")), STR("text")) || put_file(&w, part);
		if (!good)
			*why = str_starts(body_image_url(part), STR("data:")) ? STR("takes images by their address only")
									      : body_no_form(part, arena);
		buf_fini(&unused);
	}
	json_free(list);
	return good;
}

static void put_files(struct json_writer *w, struct str parts)
{
	struct json *list = body_parts(parts);

	json_key(w, "files");
	json_open(w, '[');
	for (size_t i = 0; i < json_len(list); i++)
		put_file(w, json_at(list, i));
	json_close(w, ']');
	json_free(list);
}

/* The application's variables; one of the name system_prompt, if it has that, gets the agent's. */
static void put_inputs(struct json_writer *w, const struct llm_request *in)
{
	struct str inside = in->variables;

	json_key(w, "inputs");
	json_open(w, '{');
	if (inside.len > 2) { /* what stands between the braces */
		json_put_raw(w, (struct str){inside.p + 1, inside.len - 2});
		w->comma = true;
	}
	if (in->system_prompt.len) /* behind the user's, so that no user can put his in its place */
		json_add_str(w, "system_prompt", in->system_prompt);
	json_close(w, '}');
}

static void make_request(const struct llm_request *in, struct arena *arena, struct http_post *out)
{
	const struct llm_message *question = &in->messages[in->n_messages - 1];
	struct json_writer w = {.out = &out->body};

	body_headers(in, arena, out, BODY_BEARER);
	json_open(&w, '{');
	json_add_str(&w, "query", question->content.len ? question->content : STR(" ")); /* an empty one is refused */
	put_inputs(&w, in);
	json_add_cstr(&w, "response_mode", "streaming");
	json_add_str(&w, "user", in->user);
	json_add_bool(&w, "auto_generate_name", false); /* would cost tokens; sessions have titles of ours */
	if (in->conversation.len)
		json_add_str(&w, "conversation_id", in->conversation);
	if (question->parts.len)
		put_files(&w, question->parts);
	json_close(&w, '}');
}

static bool make_stop(const struct llm_stop *in, struct arena *arena, struct http_post *out)
{
	const struct log_ctx log = {.request_id = in->request_id};
	const struct llm_request call = {.endpoint = in->endpoint, .api_key = in->api_key, .log = &log};
	struct json_writer w = {.out = &out->body};

	body_headers(&call, arena, out, BODY_BEARER);
	out->url = arena_printf(arena, "%s/%s/stop", in->endpoint, in->task).p;
	json_open(&w, '{');
	json_add_str(&w, "user", in->user);
	json_close(&w, '}');
	return true;
}

/* What of an event matters. */
enum {
	WHOLE,
	EVENT,
	TASK,
	CONVERSATION,
	ANSWER,
	ID,
	THOUGHT,
	TOOL,
	TOOL_INPUT,
	OBSERVATION,
	DATA,
	TITLE,
	STATUS_WORD,
	STATUS,
	USAGE,
	PROMPT_TOKENS,
	COMPLETION_TOKENS,
	TOTAL_TOKENS
};

static const char *const paths[] = {
	[WHOLE] = "",
	[EVENT] = ".event",
	[TASK] = ".task_id",
	[CONVERSATION] = ".conversation_id",
	[ANSWER] = ".answer",
	[ID] = ".id",
	[THOUGHT] = ".thought",
	[TOOL] = ".tool",
	[TOOL_INPUT] = ".tool_input",
	[OBSERVATION] = ".observation",
	[DATA] = ".data",
	[TITLE] = ".data.title",
	[STATUS_WORD] = ".data.status",
	[STATUS] = ".status",
	[USAGE] = ".metadata.usage",
	[PROMPT_TOKENS] = ".metadata.usage.prompt_tokens",
	[COMPLETION_TOKENS] = ".metadata.usage.completion_tokens",
	[TOTAL_TOKENS] = ".metadata.usage.total_tokens",
};

static bool is(const struct json_found *f, const char *word)
{
	return f->kind == JSON_STRING && str_eq_cstr(f->raw, word);
}

static bool says(const struct json_found *f)
{
	return f->kind == JSON_STRING && f->raw.len > 0;
}

/* A step of an agent comes several times under one id, each time with more: what was told already is not told again. Its thought is
 * what the model said in this step, so it is news only if that did not come as text. */
static void take_thought(struct llm_said *said, const struct json_found *found, struct llm_sink sink)
{
	char step[LLM_ID_SIZE] = "";

	emit_keep_id(step, &found[ID]);
	if (strcmp(step, said->step) != 0) {
		memcpy(said->step, step, sizeof(step));
		said->told_thought = said->told_result = said->in_tool = false;
		said->spoke = false;
	}
	if (says(&found[THOUGHT]) && !said->spoke && !said->told_thought) {
		emit_found(sink, LLM_REASONING, &found[THOUGHT]);
		said->told_thought = true;
	}
	if (says(&found[TOOL]) && !said->in_tool) {
		emit_tool(sink, said->n_tools++, &found[ID], &found[TOOL], &found[TOOL_INPUT]);
		said->in_tool = true;
	}
	if (says(&found[OBSERVATION]) && !said->told_result) {
		emit_status(sink, "progress", STR("finished"), &found[TOOL]);
		said->told_result = true;
	}
}

/* An agent that has told its text in pieces may close with all of it as one message. */
static void take_text(struct llm_said *said, const struct json_found *found, struct llm_sink sink)
{
	if (is(&found[EVENT], "agent_message"))
		said->spoke = said->agent = true;
	else if (said->agent)
		return;
	emit_found(sink, LLM_TEXT, &found[ANSWER]);
}

static void take_node(const struct json_found *found, struct llm_sink sink)
{
	const struct json_found *status = &found[STATUS_WORD];

	emit_status(sink, "flowNodeStatus", says(status) && !status->escaped ? status->raw : STR("running"), &found[TITLE]);
}

static void take_workflow(const struct json_found *found, struct llm_sink sink)
{
	const struct json_found *status = &found[STATUS_WORD];

	emit_status(sink, "progress", says(status) && !status->escaped ? status->raw : STR("running"), NULL);
}

static void take_end(const struct json_found *found, struct llm_sink sink)
{
	struct llm_event event = {.type = LLM_USAGE};

	if (found[USAGE].kind == JSON_OBJECT) {
		event.usage.prompt_tokens = emit_tokens(&found[PROMPT_TOKENS], 0);
		event.usage.completion_tokens = emit_tokens(&found[COMPLETION_TOKENS], 0);
		event.usage.total_tokens = emit_tokens(&found[TOTAL_TOKENS], event.usage.prompt_tokens + event.usage.completion_tokens);
		sink.emit(sink.arg, &event);
	}
	emit_text(sink, LLM_FINISH, STR("stop")); /* it does not say why */
}

static enum provider_result take_event(struct llm_said *said, struct str event, struct str data, struct llm_sink sink)
{
	struct json_found found[N_ELEMENTS(paths)];
	const struct json_found *name = &found[EVENT];

	(void)event; /* only ping has one, and no data */
	if (json_scan(data, paths, N_ELEMENTS(paths), found) != 0 || found[WHOLE].kind != JSON_OBJECT)
		return PROVIDER_GARBLED;
	if (!said->conversation[0])
		emit_keep_id(said->conversation, &found[CONVERSATION]);
	if (!said->task[0])
		emit_keep_id(said->task, &found[TASK]);
	if (is(name, "message") || is(name, "agent_message"))
		take_text(said, found, sink);
	else if (is(name, "agent_thought"))
		take_thought(said, found, sink);
	else if (is(name, "message_replace"))
		emit_replace(sink, &found[ANSWER]);
	else if (is(name, "node_started") || is(name, "node_finished") || is(name, "iteration_started") ||
		 is(name, "iteration_completed") || is(name, "loop_started") || is(name, "loop_completed"))
		take_node(found, sink);
	else if (is(name, "workflow_started") || is(name, "workflow_finished") || is(name, "workflow_paused"))
		take_workflow(found, sink);
	else if (is(name, "human_input_required"))
		emit_json(sink, LLM_INTERACTIVE, &found[DATA], JSON_OBJECT);
	if (is(name, "error")) {
		said->error_status = (int)emit_tokens(&found[STATUS], 0);
		return PROVIDER_FAILED;
	}
	if (!is(name, "message_end"))
		return PROVIDER_MORE;
	take_end(found, sink);
	return PROVIDER_ENDED;
}

const struct provider provider_dify = {
	.name = "dify",
	.request = make_request,
	.on_event = take_event,
	.takes_parts = takes_parts,
	.stop = make_stop,
	.names_are_lost = true,
};
