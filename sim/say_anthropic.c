/* Answers as Anthropic words them: messages, in named events. */
#include "sim/answer.h"
#include "sim/dialect.h"

static const char *stop_reason(const struct answer *answer)
{
	const struct script *script = &answer->script;

	return script->length_stop ? "max_tokens" : script->refusal ? "refusal" : script->tool ? "tool_use" : "end_turn";
}

/* The message up to its content. */
static void add_message(const struct answer *answer, struct buf *out)
{
	buf_printf(out, "{\"id\":\"msg_sim_%u\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[", answer->seq,
		   answer->model);
}

static void add_opening(const struct answer *answer, struct buf *out)
{
	buf_puts(out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
	add_message(answer, out);
	buf_puts(out, "],\"stop_reason\":null,\"stop_sequence\":null");
	if (!answer->script.no_usage)
		buf_printf(out,
			   ",\"usage\":{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
			   "\"output_tokens\":1}",
			   answer->n_prompt_tokens);
	buf_puts(out, "}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n");
}

static void begin_block(struct buf *out, int index, const char *block)
{
	buf_printf(out, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":%d,\"content_block\":%s}\n\n", index,
		   block);
}

static void begin_delta(struct buf *out, int index, const char *type, const char *field)
{
	buf_printf(out,
		   "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%d,\"delta\":{\"type\":\"%s\",\"%s\":\"",
		   index, type, field);
}

static void end_delta(struct buf *out)
{
	buf_puts(out, "\"}}\n\n");
}

static void end_block(struct buf *out, int index)
{
	buf_printf(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%d}\n\n", index);
}

static void add_token(struct answer *answer, struct buf *out, int index)
{
	int n_reasoning = answer->script.n_reasoning;
	int block = n_reasoning && index >= n_reasoning ? 1 : 0;

	if (index == 0)
		add_opening(answer, out);
	if (index == 0 && n_reasoning)
		begin_block(out, 0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
	if (index == n_reasoning) {
		if (n_reasoning) {
			begin_delta(out, 0, "signature_delta", "signature");
			buf_puts(out, "c2lt");
			end_delta(out);
			end_block(out, 0);
		}
		begin_block(out, block, "{\"type\":\"text\",\"text\":\"\"}");
	}
	if (index < n_reasoning)
		begin_delta(out, block, "thinking_delta", "thinking");
	else
		begin_delta(out, block, "text_delta", "text");
	answer_add_inside(answer, out, index);
	end_delta(out);
}

/* A call whose input comes in pieces, the first of them empty. */
static void add_tool(struct buf *out, int block)
{
	static const char *const pieces[] = {"", "{\\\"city\\\":", "\\\"Paris\\\"}"};

	begin_block(out, block, "{\"type\":\"tool_use\",\"id\":\"toolu_sim_1\",\"name\":\"get_weather\",\"input\":{}}");
	for (int i = 0; i < 3; i++) {
		begin_delta(out, block, "input_json_delta", "partial_json");
		buf_puts(out, pieces[i]);
		end_delta(out);
	}
	end_block(out, block);
}

static void add_end(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;
	int n_blocks = (script->n_reasoning > 0) + (answer->n_tokens > script->n_reasoning);

	if (!answer->n_sent)
		add_opening(answer, out);
	if (n_blocks)
		end_block(out, n_blocks - 1);
	if (script->tool)
		add_tool(out, n_blocks);
	buf_printf(out, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\",\"stop_sequence\":null}",
		   stop_reason(answer));
	if (!script->no_usage)
		buf_printf(out, ",\"usage\":{\"output_tokens\":%d}", answer->n_tokens);
	buf_puts(out, "}\n\n");
	if (!script->no_done)
		buf_puts(out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

static const char *error_type(int status)
{
	switch (status) {
	case 401: return "authentication_error";
	case 402: return "billing_error";
	case 403: return "permission_error";
	case 404: return "not_found_error";
	case 413: return "request_too_large";
	case 429: return "rate_limit_error";
	case 504: return "timeout_error";
	case 529: return "overloaded_error";
	default: return status < 500 ? "invalid_request_error" : "api_error";
	}
}

static void add_refusal(struct buf *out, int status, const char *message, const char *param, const char *code)
{
	(void)param;
	(void)code;
	buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", error_type(status));
	buf_puts_json(out, message ? message : "The stand-in was told to fail.");
	buf_puts(out, "},\"request_id\":\"req_sim\"}");
}

static void add_error(const struct answer *answer, struct buf *out)
{
	(void)answer;
	buf_puts(out, "event: error\ndata: ");
	add_refusal(out, 529, "Overloaded", NULL, NULL);
	buf_puts(out, "\n\n");
}

static void add_whole(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;

	add_message(answer, out);
	if (script->n_reasoning) {
		buf_puts(out, "{\"type\":\"thinking\",\"thinking\":\"");
		answer_add_texts(answer, out, 0, script->n_reasoning);
		buf_puts(out, "\",\"signature\":\"c2lt\"},");
	}
	buf_puts(out, "{\"type\":\"text\",\"text\":\"");
	answer_add_texts(answer, out, script->n_reasoning, answer->n_tokens);
	buf_puts(out, "\"}");
	if (script->tool)
		buf_puts(out, ",{\"type\":\"tool_use\",\"id\":\"toolu_sim_1\",\"name\":\"get_weather\",\"input\":{\"city\":\"Paris\"}}");
	buf_puts(out, "],\"stop_reason\":");
	buf_puts_json(out, script->no_end ? NULL : stop_reason(answer));
	buf_puts(out, ",\"stop_sequence\":null");
	if (!script->no_usage)
		buf_printf(out, ",\"usage\":{\"input_tokens\":%d,\"output_tokens\":%d}", answer->n_prompt_tokens, answer->n_tokens);
	buf_puts(out, "}");
}

const struct dialect dialect_anthropic = {add_token, add_end, add_error, add_whole, add_refusal, "event: content_block_delta\ndata: "};
