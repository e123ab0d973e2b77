/* Answers as FastGPT words them: OpenAI's chunks, in named events if the details are wanted. */
#include "sim/answer.h"
#include "sim/dialect.h"
#include "sim/error.h"

static void begin_event(const struct answer *answer, struct buf *out, const char *event)
{
	if (answer->detail)
		buf_printf(out, "event: %s\n", event);
	buf_puts(out, "data: ");
}

static void begin_chunk(const struct answer *answer, struct buf *out)
{
	begin_event(answer, out, "answer");
	buf_puts(out, "{\"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\",\"choices\":[{\"delta\":{");
}

static void end_chunk(struct buf *out, const char *finish_reason)
{
	buf_puts(out, "},\"index\":0,\"finish_reason\":");
	buf_puts_json(out, finish_reason);
	buf_puts(out, "}]}\n\n");
}

static void add_steps(const struct answer *answer, struct buf *out)
{
	for (int i = 1; i <= answer->script.n_steps && answer->detail; i++)
		buf_printf(out, "event: flowNodeStatus\ndata: {\"status\":\"running\",\"name\":\"Step %d 节点\"}\n\n", i);
}

static void add_token(struct answer *answer, struct buf *out, int index)
{
	if (index == 0)
		add_steps(answer, out);
	begin_chunk(answer, out);
	buf_printf(out, "\"role\":\"assistant\",\"%s\":\"", index < answer->script.n_reasoning ? "reasoning_content" : "content");
	answer_add_inside(answer, out, index);
	buf_puts(out, "\"");
	end_chunk(out, NULL);
}

static void add_tool(struct buf *out)
{
	static const char *const pieces[] = {"{\\\"city\\\":", "\\\"Paris\\\"}"};
	static const char tool[] = "\"id\":\"call_sim_1\",\"toolName\":\"Weather\",\"toolAvatar\":\"\"";

	buf_printf(out, "event: toolCall\ndata: {\"tool\":{%s,\"functionName\":\"get_weather\",\"params\":\"\",\"response\":\"\"}}\n\n",
		   tool);
	for (int i = 0; i < 2; i++)
		buf_printf(
			out,
			"event: toolParams\ndata: "
			"{\"tool\":{\"id\":\"call_sim_1\",\"toolName\":\"\",\"toolAvatar\":\"\",\"params\":\"%s\",\"response\":\"\"}}\n\n",
			pieces[i]);
	buf_printf(out, "event: toolResponse\ndata: {\"tool\":{%s,\"params\":\"\",\"response\":\"sunny\"}}\n\n", tool);
}

static void add_form(struct buf *out)
{
	buf_puts(out, "event: interactive\ndata: {\"interactive\":{\"type\":\"userSelect\",\"params\":{\"description\":\"Which one?\","
		      "\"userSelectOptions\":[{\"value\":\"Yes\",\"key\":\"option1\"},{\"value\":\"No\",\"key\":\"option2\"}]}}}\n\n");
}

/* What each node of the workflow has done. The model's tokens stand with it. */
static void add_responses(const struct answer *answer, struct buf *out)
{
	buf_puts(out, "[{\"moduleName\":\"Search\",\"moduleType\":\"datasetSearchNode\",\"runningTime\":0.2},"
		      "{\"moduleName\":\"AI\",\"moduleType\":\"chatNode\",\"runningTime\":1.5");
	if (!answer->script.no_usage)
		buf_printf(out, ",\"inputTokens\":%d,\"outputTokens\":%d,\"tokens\":%d", answer->n_prompt_tokens, answer->n_tokens,
			   answer->n_prompt_tokens + answer->n_tokens);
	buf_puts(out, "}]");
}

static const char *finish_reason(const struct answer *answer)
{
	return answer->script.length_stop ? "length" : "stop";
}

static void add_end(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;

	if (!answer->n_sent)
		add_steps(answer, out);
	if (script->tool && answer->detail)
		add_tool(out);
	if (script->form && answer->detail)
		add_form(out);
	begin_chunk(answer, out);
	end_chunk(out, finish_reason(answer));
	if (script->no_done)
		return;
	begin_event(answer, out, "answer");
	buf_puts(out, "[DONE]\n\n");
	if (answer->detail) {
		begin_event(answer, out, "flowResponses");
		add_responses(answer, out);
		buf_puts(out, "\n\n");
	}
}

static void add_error(const struct answer *answer, struct buf *out)
{
	(void)answer;
	buf_puts(out, "event: error\ndata: {\"message\":\"The stand-in was told to fail.\"}\n\n");
}

static void add_refusal(struct buf *out, int status, const char *message, const char *param, const char *code)
{
	(void)param;
	buf_printf(out, "{\"code\":%d,\"statusText\":\"%s\",\"message\":", status, code ? code : "");
	buf_puts_json(out, message ? message : "The stand-in was told to fail.");
	buf_puts(out, ",\"data\":null}");
}

static void add_whole(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;

	buf_puts(out, "{");
	if (answer->detail) {
		buf_puts(out, "\"responseData\":");
		add_responses(answer, out);
		buf_puts(out, ",");
	}
	buf_puts(out, "\"id\":");
	buf_puts_json(out, answer->conversation);
	buf_puts(out, ",\"model\":\"\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":1},"
		      "\"choices\":[{\"message\":{\"role\":\"assistant\",");
	if (script->n_reasoning) {
		buf_puts(out, "\"reasoning_content\":\"");
		answer_add_texts(answer, out, 0, script->n_reasoning);
		buf_puts(out, "\",");
	}
	buf_puts(out, "\"content\":\"");
	answer_add_texts(answer, out, script->n_reasoning, answer->n_tokens);
	buf_puts(out, "\"},\"finish_reason\":");
	buf_puts_json(out, script->no_end ? NULL : finish_reason(answer));
	buf_puts(out, ",\"index\":0}]}");
}

const struct dialect dialect_fastgpt = {add_token, add_end, add_error, add_whole, add_refusal, "event: answer\ndata: "};
