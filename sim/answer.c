/* One answer as text. */
#include "sim/answer.h"

#include <string.h>
#include <time.h>

#include "sim/ask.h"
#include "sim/error.h"
#include "sim/text.h"

enum { LINE_PIECE_BYTES = 16 * 1024 };

static const char garbage[] = "<html>upstream {connect";

static int count_echo(const struct answer *answer)
{
	size_t at = 0;
	int n = 0;

	for (; at < answer->echo.len && n < SCRIPT_MAX_TOKENS; n++)
		at += text_echo_bytes(answer->echo.data + at, answer->echo.len - at, answer->script.token_bytes);
	return n;
}

void answer_init(struct answer *answer, const struct script *script, struct ask *ask, unsigned seq)
{
	int n = script->n_tokens == SCRIPT_NEVER ? 20 : script->n_tokens;

	*answer = (struct answer){.script = *script, .include_usage = ask->include_usage && !script->no_usage};
	answer->n_prompt_tokens = (int)(ask->text.len / 4) + 1;
	if (script->text == SCRIPT_ECHO) {
		int n_echo;

		answer->echo = ask->text;
		ask->text = (struct buf){0};
		n_echo = count_echo(answer);
		if (script->n_tokens == SCRIPT_NEVER || n > n_echo)
			n = n_echo;
	}
	answer->n_tokens = script->n_reasoning + n;
	/* The model's name has been parsed: it is letters, digits and dashes, nothing to escape. */
	buf_printf(&answer->opening, "{\"id\":\"chatcmpl-sim-%u\",\"object\":\"chat.completion%s\",\"created\":%lld,\"model\":\"%s\",", seq,
		   ask->stream ? ".chunk" : "", (long long)time(NULL), ask->model);
	if (ask->stream && answer->include_usage)
		buf_puts(&answer->opening, "\"usage\":null,");
}

void answer_fini(struct answer *answer)
{
	buf_fini(&answer->echo);
	buf_fini(&answer->opening);
}

enum answer_coming answer_coming(const struct answer *answer)
{
	const struct script *script = &answer->script;

	if (answer->n_sent == script->cut_after)
		return COMING_CUT;
	if (answer->n_sent == script->error_after)
		return COMING_ERROR;
	if (answer->n_sent == script->line_after)
		return COMING_LINE;
	if (answer->n_sent == script->stall_after)
		return COMING_STALL;
	return answer->n_sent < answer->n_tokens ? COMING_TOKEN : COMING_END;
}

int answer_reach(const struct answer *answer)
{
	const struct script *script = &answer->script;
	const int stops[] = {script->cut_after, script->error_after, script->line_after, script->stall_after};
	int reach = answer->n_tokens;

	for (int i = 0; i < 4; i++)
		if (stops[i] != SCRIPT_NEVER && stops[i] < reach)
			reach = stops[i];
	return reach;
}

/* Adds the index-th token of the text. */
static void add_text(struct answer *answer, struct buf *out, int index)
{
	const struct script *script = &answer->script;
	int n_text = answer->n_tokens - script->n_reasoning;

	if (script->nul && index == (n_text > 1 ? 1 : 0))
		buf_puts(out, "\\u0000");
	if (script->text == SCRIPT_ECHO) {
		const char *text = answer->echo.data + answer->echo_at;
		size_t len = text_echo_bytes(text, answer->echo.len - answer->echo_at, script->token_bytes);

		buf_add_json(out, text, len);
		answer->echo_at += len;
	} else {
		text_add_token(out, script->text, index, script->token_bytes);
	}
}

/* Adds the index-th token, reasoning first, as the inside of a JSON string. Tokens must be asked for in order. */
static void add_inside(struct answer *answer, struct buf *out, int index)
{
	const struct script *script = &answer->script;

	if (index == script->bad_utf8_after) /* a byte that is never used, a lead without its rest, half of a surrogate pair */
		buf_puts(out, "\xff\xc3(\xed\xa0\x80");
	if (index < script->n_reasoning)
		text_add_reasoning(out, index, script->token_bytes);
	else
		add_text(answer, out, index - script->n_reasoning);
}

/* A frame that is no JSON, if its time has come. The answer goes on after it: a client that passes over it finds
 * one that looks whole. */
static void add_garbage(const struct answer *answer, struct buf *out)
{
	if (answer->n_sent == answer->script.garbage_after)
		buf_printf(out, "data: %s\n\n", garbage);
}

static void add_opening(const struct answer *answer, struct buf *out)
{
	buf_puts(out, "data: ");
	buf_add(out, answer->opening.data, answer->opening.len);
}

void answer_add_token(struct answer *answer, struct buf *out)
{
	int index;

	add_garbage(answer, out);
	index = answer->n_sent++;
	if (index == 0) {
		add_opening(answer, out);
		buf_puts(out, "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
			      "\"logprobs\":null,\"finish_reason\":null}]}\n\n");
	}
	add_opening(answer, out);
	buf_printf(out, "\"choices\":[{\"index\":0,\"delta\":{\"%s\":\"",
		   index < answer->script.n_reasoning ? "reasoning_content" : "content");
	add_inside(answer, out, index);
	buf_puts(out, "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
}

static const char *finish_reason(const struct answer *answer)
{
	return answer->script.length_stop ? "length" : "stop";
}

static void add_usage(const struct answer *answer, struct buf *out)
{
	buf_printf(out,
		   "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
		   "\"completion_tokens_details\":{\"reasoning_tokens\":%d}}",
		   answer->n_prompt_tokens, answer->n_tokens, answer->n_prompt_tokens + answer->n_tokens, answer->script.n_reasoning);
}

void answer_add_end(const struct answer *answer, struct buf *out)
{
	add_garbage(answer, out);
	if (answer->script.no_end)
		return;
	add_opening(answer, out);
	buf_printf(out,
		   "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
		   "\"finish_reason\":\"%s\"}]}\n\n",
		   finish_reason(answer));
	if (answer->include_usage) {
		const size_t null_usage_len = sizeof("\"usage\":null,") - 1;

		buf_puts(out, "data: ");
		buf_add(out, answer->opening.data, answer->opening.len - null_usage_len);
		buf_printf(out, "\"choices\":%s,", answer->script.null_choices ? "null" : "[]");
		add_usage(answer, out);
		buf_puts(out, "}\n\n");
	}
	if (!answer->script.no_done)
		buf_puts(out, "data: [DONE]\n\n");
}

void answer_add_error(struct buf *out)
{
	buf_puts(out, "data: ");
	error_add(out, 500, "The server had an error while processing your request.", NULL, NULL);
	buf_puts(out, "\n\n");
}

bool answer_add_line(struct answer *answer, struct buf *out)
{
	if (!answer->line_bytes)
		buf_puts(out, "data: ");
	buf_reserve(out, LINE_PIECE_BYTES);
	memset(out->data + out->len, 'x', LINE_PIECE_BYTES);
	out->len += LINE_PIECE_BYTES;
	answer->line_bytes += LINE_PIECE_BYTES;
	return answer->line_bytes >= SCRIPT_LINE_BYTES;
}

void answer_add_page(struct buf *out)
{
	buf_puts(out, "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n");
}

void answer_add_whole(struct answer *answer, struct buf *out)
{
	const struct script *script = &answer->script;

	if (script->garbage_after != SCRIPT_NEVER && script->garbage_after <= answer->n_tokens) {
		buf_puts(out, garbage);
		return;
	}
	buf_add(out, answer->opening.data, answer->opening.len);
	buf_puts(out, "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",");
	if (script->n_reasoning) {
		buf_puts(out, "\"reasoning_content\":\"");
		for (int i = 0; i < script->n_reasoning; i++)
			add_inside(answer, out, i);
		buf_puts(out, "\",");
	}
	buf_puts(out, "\"content\":\"");
	for (int i = script->n_reasoning; i < answer->n_tokens; i++)
		add_inside(answer, out, i);
	buf_puts(out, "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":");
	buf_puts_json(out, script->no_end ? NULL : finish_reason(answer));
	buf_puts(out, "}]");
	if (!script->no_usage) {
		buf_puts(out, ",");
		add_usage(answer, out);
	}
	buf_puts(out, "}");
}
