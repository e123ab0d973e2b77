/* One answer as text. */
#include "sim/answer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim/ask.h"
#include "sim/dialect.h"
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
	answer->dialect = ask->dialect ? ask->dialect : &dialect_openai;
	answer->n_tools = ask->after_tool ? 0 : script->n_tools;
	answer->seq = seq;
	answer->stream = ask->stream;
	answer->detail = ask->detail;
	answer->created_s = (long long)time(NULL);
	/* The model's name has been parsed: it is letters, digits and dashes, nothing to escape. */
	snprintf(answer->model, sizeof(answer->model), "%s", ask->model);
	snprintf(answer->conversation, sizeof(answer->conversation), "%s", ask->conversation);
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
void answer_add_inside(struct answer *answer, struct buf *out, int index)
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
		buf_printf(out, "%s%s\n\n", answer->dialect->frame, garbage);
}

void answer_add_token(struct answer *answer, struct buf *out)
{
	add_garbage(answer, out);
	answer->dialect->token(answer, out, answer->n_sent++);
}

void answer_add_end(struct answer *answer, struct buf *out)
{
	add_garbage(answer, out);
	if (!answer->script.no_end)
		answer->dialect->end(answer, out);
}

void answer_add_error(const struct answer *answer, struct buf *out)
{
	answer->dialect->error(answer, out);
}

void answer_add_texts(struct answer *answer, struct buf *out, int from, int to)
{
	for (int i = from; i < to; i++)
		answer_add_inside(answer, out, i);
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

	if (script->garbage_after != SCRIPT_NEVER && script->garbage_after <= answer->n_tokens)
		buf_puts(out, garbage);
	else
		answer->dialect->whole(answer, out);
}
