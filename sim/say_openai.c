/* Answers as OpenAI words them: chat completions. */
#include "sim/answer.h"
#include "sim/dialect.h"
#include "sim/error.h"

static const char tool_call[] = "{\"id\":\"call_sim_1\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"arguments\":\"";

static void add_object(const struct answer *answer, struct buf *out)
{
	buf_printf(out, "{\"id\":\"chatcmpl-sim-%u\",\"object\":\"chat.completion%s\",\"created\":%lld,\"model\":\"%s\",", answer->seq,
		   answer->stream ? ".chunk" : "", answer->created_s, answer->model);
}

/* The same words open every chunk; thousands of streams make it worth keeping them. */
static void add_chunk(struct answer *answer, struct buf *out)
{
	struct buf *opening = &answer->opening;

	if (!opening->len) {
		buf_puts(opening, "data: ");
		add_object(answer, opening);
		if (answer->include_usage)
			buf_puts(opening, "\"usage\":null,");
		buf_puts(opening, "\"choices\":[{\"index\":0,\"delta\":{");
	}
	buf_add(out, opening->data, opening->len);
}

static void end_chunk(struct buf *out)
{
	buf_puts(out, "},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

static void add_role(struct answer *answer, struct buf *out)
{
	add_chunk(answer, out);
	buf_puts(out, "\"role\":\"assistant\",\"content\":\"\"");
	end_chunk(out);
}

static void add_token(struct answer *answer, struct buf *out, int index)
{
	if (index == 0)
		add_role(answer, out);
	add_chunk(answer, out);
	buf_printf(out, "\"%s\":\"", index < answer->script.n_reasoning ? "reasoning_content" : "content");
	answer_add_inside(answer, out, index);
	buf_puts(out, "\"");
	end_chunk(out);
}

/* A call in three deltas: its name, and its arguments in two pieces. */
static void add_tool(struct answer *answer, struct buf *out)
{
	static const char *const pieces[] = {"{\\\"city\\\":", "\\\"Paris\\\"}"};

	add_chunk(answer, out);
	buf_printf(out, "\"tool_calls\":[{\"index\":0,%s\"}}]", tool_call + 1);
	end_chunk(out);
	for (int i = 0; i < 2; i++) {
		add_chunk(answer, out);
		buf_printf(out, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"%s\"}}]", pieces[i]);
		end_chunk(out);
	}
}

/* The same as clients meet it in earnest: ids, arguments cut anywhere, a member that nobody knows, several calls. */
static void add_call(struct answer *answer, struct buf *out, int index)
{
	static const char *const pieces[] = {"{\\\"city", "\\\":\\\"Par", "is\\\"}"};

	add_chunk(answer, out);
	buf_printf(out,
		   "\"tool_calls\":[{\"index\":%d,\"id\":\"call_%u_%d\",\"type\":\"function\",\"x_sim\":{\"seq\":%d},"
		   "\"function\":{\"name\":\"get_weather\",\"arguments\":\"\"}}]",
		   index, answer->seq, index, index);
	end_chunk(out);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		add_chunk(answer, out);
		buf_printf(out, "\"tool_calls\":[{\"index\":%d,\"function\":{\"arguments\":\"%s\"}}]", index, pieces[i]);
		end_chunk(out);
	}
}

static const char *finish_reason(const struct answer *answer)
{
	const struct script *script = &answer->script;

	if (answer->n_tools)
		return "tool_calls";
	return script->length_stop ? "length" : script->refusal ? "content_filter" : script->tool ? "tool_calls" : "stop";
}

static void add_usage(const struct answer *answer, struct buf *out)
{
	buf_printf(out,
		   "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
		   "\"completion_tokens_details\":{\"reasoning_tokens\":%d}}",
		   answer->n_prompt_tokens, answer->n_tokens, answer->n_prompt_tokens + answer->n_tokens, answer->script.n_reasoning);
}

static void add_end(struct answer *answer, struct buf *out)
{
	if (answer->script.tool)
		add_tool(answer, out);
	if (answer->n_tools && !answer->n_sent)
		add_role(answer, out);
	for (int i = 0; i < answer->n_tools; i++)
		add_call(answer, out, i);
	add_chunk(answer, out);
	buf_printf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}]}\n\n", finish_reason(answer));
	if (answer->include_usage) {
		buf_puts(out, "data: ");
		add_object(answer, out);
		buf_printf(out, "\"choices\":%s,", answer->script.null_choices ? "null" : "[]");
		add_usage(answer, out);
		buf_puts(out, "}\n\n");
	}
	if (!answer->script.no_done)
		buf_puts(out, "data: [DONE]\n\n");
}

static void add_error(const struct answer *answer, struct buf *out)
{
	(void)answer;
	buf_puts(out, "data: ");
	error_add(out, 500, "The server had an error while processing your request.", NULL, NULL);
	buf_puts(out, "\n\n");
}

static void add_whole(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;

	add_object(answer, out);
	buf_puts(out, "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",");
	if (script->n_reasoning) {
		buf_puts(out, "\"reasoning_content\":\"");
		answer_add_texts(answer, out, 0, script->n_reasoning);
		buf_puts(out, "\",");
	}
	if (script->tool)
		buf_printf(out, "\"tool_calls\":[%s{\\\"city\\\":\\\"Paris\\\"}\"}}],", tool_call);
	buf_puts(out, "\"content\":\"");
	answer_add_texts(answer, out, script->n_reasoning, answer->n_tokens);
	buf_puts(out, "\",\"refusal\":null");
	for (int i = 0; i < answer->n_tools; i++)
		buf_printf(out,
			   "%s{\"id\":\"call_%u_%d\",\"type\":\"function\","
			   "\"function\":{\"name\":\"get_weather\",\"arguments\":\"{\\\"city\\\":\\\"Paris\\\"}\"}}",
			   i ? "," : ",\"tool_calls\":[", answer->seq, i);
	buf_puts(out, answer->n_tools ? "]}" : "}");
	buf_puts(out, ",\"logprobs\":null,\"finish_reason\":");
	buf_puts_json(out, script->no_end ? NULL : finish_reason(answer));
	buf_puts(out, "}]");
	if (!script->no_usage) {
		buf_puts(out, ",");
		add_usage(answer, out);
	}
	buf_puts(out, "}");
}

const struct dialect dialect_openai = {add_token, add_end, add_error, add_whole, error_add, "data: "};
