/* Answers as Dify words them: unnamed events whose data says which they are. An answer with reasoning or a tool is an agent's. */
#include <stdio.h>
#include <string.h>

#include "sim/answer.h"
#include "sim/dialect.h"
#include "sim/error.h"

/* Conversations are named after the answer that opened them. */
static const char name_format[] = "00000000-0000-4000-8000-%012u";

bool dify_knows(unsigned n_answers, const char *conversation)
{
	char name[64];
	unsigned n;

	if (!*conversation)
		return true;
	if (strlen(conversation) != 36 || sscanf(conversation + 24, "%12u", &n) != 1)
		return false;
	snprintf(name, sizeof(name), name_format, n);
	return n > 0 && n <= n_answers && strcmp(name, conversation) == 0;
}

static bool is_agent(const struct answer *answer)
{
	return answer->script.n_reasoning || answer->script.tool;
}

static void add_ids(const struct answer *answer, struct buf *out)
{
	char name[128];

	snprintf(name, sizeof(name), name_format, answer->seq);
	if (*answer->conversation)
		snprintf(name, sizeof(name), "%s", answer->conversation);
	buf_printf(out, "\"conversation_id\":\"%s\",\"message_id\":\"msg-sim-%u\",\"created_at\":%lld,\"task_id\":\"task-sim-%u\"", name,
		   answer->seq, answer->created_s, answer->seq);
}

static void begin_event(const struct answer *answer, struct buf *out, const char *event)
{
	buf_printf(out, "data: {\"event\":\"%s\",", event);
	add_ids(answer, out);
	buf_printf(out, ",\"id\":\"msg-sim-%u\"", answer->seq);
}

static void end_event(struct buf *out)
{
	buf_puts(out, "}\n\n");
}

static void add_node(const struct answer *answer, struct buf *out, const char *event, int i, const char *status)
{
	begin_event(answer, out, event);
	buf_printf(out,
		   ",\"workflow_run_id\":\"run-sim\",\"data\":{\"id\":\"n%d\",\"node_id\":\"n%d\",\"node_type\":\"llm\",\"title\":\"Step "
		   "%d 节点\"",
		   i, i, i);
	if (status)
		buf_printf(out, ",\"status\":\"%s\",\"outputs\":{},\"elapsed_time\":0.01", status);
	buf_puts(out, "}");
	end_event(out);
}

static void add_workflow(const struct answer *answer, struct buf *out, const char *event, const char *status)
{
	begin_event(answer, out, event);
	buf_printf(out, ",\"workflow_run_id\":\"run-sim\",\"data\":{\"id\":\"run-sim\",\"workflow_id\":\"w\",\"status\":\"%s\"}", status);
	end_event(out);
}

static void add_opening(const struct answer *answer, struct buf *out)
{
	buf_puts(out, "event: ping\n\n");
	if (!answer->script.n_steps)
		return;
	add_workflow(answer, out, "workflow_started", "running");
	for (int i = 1; i <= answer->script.n_steps; i++) {
		add_node(answer, out, "node_started", i, NULL);
		add_node(answer, out, "node_finished", i, "succeeded");
	}
}

/* What an agent thinks comes whole, several times under one id: first empty, then with what is known by then. */
static void begin_thought(const struct answer *answer, struct buf *out, int index)
{
	buf_puts(out, "data: {\"event\":\"agent_thought\",");
	add_ids(answer, out);
	buf_printf(out, ",\"id\":\"thought-sim-%u-%d\",\"position\":%d", answer->seq, index, index + 1);
}

static void add_token(struct answer *answer, struct buf *out, int index)
{
	if (index == 0)
		add_opening(answer, out);
	if (index < answer->script.n_reasoning) {
		begin_thought(answer, out, index);
		buf_puts(out, ",\"thought\":\"\",\"observation\":\"\",\"tool\":\"\",\"tool_input\":\"\"");
		end_event(out);
		begin_thought(answer, out, index);
		buf_puts(out, ",\"observation\":\"\",\"tool\":\"\",\"tool_input\":\"\",\"thought\":\"");
	} else {
		begin_event(answer, out, is_agent(answer) ? "agent_message" : "message");
		buf_puts(out, ",\"answer\":\"");
	}
	answer_add_inside(answer, out, index);
	buf_puts(out, "\"");
	end_event(out);
}

static void add_tool(const struct answer *answer, struct buf *out)
{
	static const char *const observations[] = {"", "sunny"};

	for (int i = 0; i < 2; i++) {
		begin_thought(answer, out, answer->n_tokens);
		buf_printf(
			out,
			",\"thought\":\"\",\"tool\":\"get_weather\",\"tool_input\":\"{\\\"city\\\":\\\"Paris\\\"}\",\"observation\":\"%s\"",
			observations[i]);
		end_event(out);
	}
}

static void add_metadata(const struct answer *answer, struct buf *out)
{
	buf_puts(out, "\"metadata\":{");
	if (!answer->script.no_usage)
		buf_printf(out,
			   "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,\"total_price\":\"0\","
			   "\"currency\":\"USD\"},",
			   answer->n_prompt_tokens, answer->n_tokens, answer->n_prompt_tokens + answer->n_tokens);
	buf_puts(out, "\"retriever_resources\":[]}");
}

static void add_end(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;

	if (!answer->n_sent)
		add_opening(answer, out);
	if (script->tool)
		add_tool(answer, out);
	if (script->replace) {
		begin_event(answer, out, "message_replace");
		buf_puts(out, ",\"answer\":\"This cannot be said.\",\"reason\":\"output_moderation\"");
		end_event(out);
	}
	if (script->n_steps)
		add_workflow(answer, out, "workflow_finished", "succeeded");
	if (script->no_done)
		return;
	begin_event(answer, out, "message_end");
	buf_puts(out, ",");
	add_metadata(answer, out);
	end_event(out);
}

static const char *error_code(int status)
{
	switch (status) {
	case 401: return "unauthorized";
	case 404: return "not_found";
	case 413: return "file_too_large";
	case 429: return "too_many_requests";
	default: return status < 500 ? "invalid_param" : "internal_server_error";
	}
}

static void add_failure(struct buf *out, int status, const char *message, const char *code)
{
	buf_printf(out, "\"code\":\"%s\",\"message\":", code ? code : error_code(status));
	buf_puts_json(out, message ? message : "The stand-in was told to fail.");
	buf_printf(out, ",\"status\":%d", status);
}

static void add_error(const struct answer *answer, struct buf *out)
{
	begin_event(answer, out, "error");
	buf_puts(out, ",");
	add_failure(out, 500, NULL, NULL);
	end_event(out);
}

static void add_refusal(struct buf *out, int status, const char *message, const char *param, const char *code)
{
	buf_puts(out, "{");
	add_failure(out, status, message, code);
	if (param)
		buf_printf(out, ",\"params\":\"%s\"", param);
	buf_puts(out, "}");
}

static void add_whole(struct answer *answer, struct buf *out)
{
	buf_puts(out, "{\"event\":\"message\",");
	add_ids(answer, out);
	buf_printf(out, ",\"id\":\"msg-sim-%u\",\"mode\":\"%s\",\"answer\":\"", answer->seq, is_agent(answer) ? "agent-chat" : "chat");
	answer->n_sent = answer->n_tokens;
	if (answer->script.replace)
		buf_puts(out, "This cannot be said.");
	else
		answer_add_texts(answer, out, answer->script.n_reasoning, answer->n_tokens);
	buf_puts(out, "\",");
	add_metadata(answer, out);
	buf_puts(out, "}");
}

const struct dialect dialect_dify = {add_token, add_end, add_error, add_whole, add_refusal, "data: "};
