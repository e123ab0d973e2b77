/* Events of a turn, as they are written into its answer's log. */
#include "chat/turn_log.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/tokens.h"
#include "chat/turn.h"

static void append(struct turn *turn, enum event_type type, struct buf *data)
{
	if (answer_append(&turn->answer, type, buf_str(data)) != 0)
		log_error(&turn->log, "answer_event_lost");
	buf_fini(data);
}

void turn_log_open(struct turn *turn)
{
	char time[CLOCK_ISO_SIZE];
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_str(&w, "chatId", turn->chat_id);
	json_close(&w, '}');
	append(turn, EVENT_CHAT_ID, &b);
	clock_iso(clock_real_us(), time);
	w = (struct json_writer){.out = &b};
	json_open(&w, '{');
	json_add_str(&w, "id", uuid_str(&turn->answer_id));
	json_add_str(&w, "userMessageId", uuid_str(&turn->question_id));
	json_add_cstr(&w, "timestamp", time);
	json_add_str(&w, "agentId", turn->agent->id);
	json_add_str(&w, "model", turn->agent->model);
	json_close(&w, '}');
	append(turn, EVENT_START, &b);
}

void turn_put_usage(struct json_writer *w, const struct llm_usage *usage, bool estimated)
{
	json_open(w, '{');
	json_add_int(w, "prompt_tokens", usage->prompt_tokens);
	json_add_int(w, "completion_tokens", usage->completion_tokens);
	json_add_int(w, "total_tokens", usage->total_tokens);
	if (estimated)
		json_add_bool(w, "estimated", true);
	json_close(w, '}');
}

static int append_usage(struct turn *turn, const struct llm_usage *usage)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	int err;

	turn->has_usage = true;
	turn->usage = *usage;
	turn_put_usage(&w, usage, false);
	err = answer_append(&turn->answer, EVENT_USAGE, buf_str(&b));
	buf_fini(&b);
	return err;
}

/* PostgreSQL has no NUL: U+FFFD stands for it. */
static int append_text(struct turn *turn, enum event_type type, struct str text)
{
	struct buf b = {0};
	int err;

	if (!memchr(text.p, '\0', text.len))
		return answer_append(&turn->answer, type, text);
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i])
			buf_add_char(&b, text.p[i]);
		else
			buf_add_str(&b, STR("\xEF\xBF\xBD"));
	}
	err = answer_append(&turn->answer, type, buf_str(&b));
	buf_fini(&b);
	return err;
}

static void take_finish_reason(struct turn *turn, struct str reason)
{
	enum { MAX_CHARS = (sizeof(turn->finish_reason) - 1) / 4 }; /* whole characters, of four bytes at most */

	if (memchr(reason.p, '\0', reason.len))
		return;
	reason.len = utf8_prefix(reason, reason.len < sizeof(turn->finish_reason) ? reason.len : MAX_CHARS);
	snprintf(turn->finish_reason, sizeof(turn->finish_reason), "%.*s", STR_ARG(reason));
}

int turn_log_add(struct turn *turn, const struct llm_event *event)
{
	switch (event->type) {
	case LLM_TEXT: return append_text(turn, EVENT_CHUNK, event->text);
	case LLM_REASONING: return append_text(turn, EVENT_REASONING, event->text);
	case LLM_TOOL: return answer_append(&turn->answer, EVENT_TOOL, event->text);
	case LLM_USAGE: return append_usage(turn, &event->usage);
	case LLM_STATUS: return answer_append(&turn->answer, EVENT_PROGRESS, event->text);
	case LLM_INTERACTIVE: return answer_append(&turn->answer, EVENT_INTERACTIVE, event->text);
	case LLM_REPLACE: return append_text(turn, EVENT_REPLACE, event->text);
	case LLM_FINISH: take_finish_reason(turn, event->text); break;
	}
	return 0;
}

void turn_log_estimate_usage(struct turn *turn)
{
	struct buf reasoning = {0};

	answer_collect(&turn->answer, EVENT_REASONING, &reasoning);
	turn->has_usage = turn->usage_estimated = true;
	turn->usage.prompt_tokens = turn->prompt_tokens;
	turn->usage.completion_tokens = tokens_estimate(buf_str(&turn->text)) + tokens_estimate(buf_str(&reasoning));
	turn->usage.total_tokens = turn->usage.prompt_tokens + turn->usage.completion_tokens;
	buf_fini(&reasoning);
}

static void append_error(struct turn *turn, const char *time)
{
	const struct err_info *info = err_info(turn->err);
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_cstr(&w, "type", "error");
	json_add_cstr(&w, "status", "error");
	json_add_cstr(&w, "error", info->sentence);
	json_close(&w, '}');
	append(turn, EVENT_STATUS, &b);
	w = (struct json_writer){.out = &b};
	json_open(&w, '{');
	json_add_cstr(&w, "code", info->code);
	json_add_cstr(&w, "message", info->sentence);
	json_add_bool(&w, "retryable", err_retryable(turn->err));
	json_add_cstr(&w, "timestamp", time);
	json_close(&w, '}');
	append(turn, EVENT_ERROR, &b);
}

void turn_log_end(struct turn *turn)
{
	char time[CLOCK_ISO_SIZE];
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	clock_iso(clock_real_us(), time);
	if (turn->err)
		append_error(turn, time);
	else if (answer_append(&turn->answer, EVENT_STATUS, STR("{\"type\":\"complete\",\"status\":\"completed\"}")) != 0)
		log_error(&turn->log, "answer_event_lost");
	json_open(&w, '{');
	json_add_cstr(&w, "timestamp", time);
	json_add_cstr(&w, "finishReason", turn->err ? "error" : turn->finish_reason[0] ? turn->finish_reason : "stop");
	json_close(&w, '}');
	append(turn, EVENT_END, &b);
}
