/* Rendering for /v1. As on /api it is called for every token and every reader, and allocates nothing if the buffer has room. */
#include "handlers/v1_render.h"

#include "base/json.h"
#include "chat/turn.h"
#include "handlers/chat.h"
#include "handlers/v1_error.h"
#include "handlers/v1_tools.h"

static void put_opening(struct json_writer *w, const struct turn *turn, const char *object)
{
	json_open(w, '{');
	json_key(w, "id");
	buf_add_str(w->out, STR("\"chatcmpl-"));
	json_put_raw(w, uuid_str(&turn->answer_id));
	buf_add_char(w->out, '"');
	json_add_cstr(w, "object", object);
	json_add_int(w, "created", (int64_t)(turn->created_real_us / 1000000));
	json_add_str(w, "model", turn->agent->id);
}

/* ---- a stream ---- */

static void open_chunk(struct json_writer *w, const struct chat_view *view)
{
	buf_add_str(w->out, STR("data: "));
	put_opening(w, view->turn, "chat.completion.chunk");
	json_key(w, "choices");
	json_open(w, '[');
}

static void close_chunk(struct json_writer *w, const struct chat_view *view, bool with_usage)
{
	json_close(w, ']');
	if (view->include_usage) {
		json_key(w, "usage");
		if (with_usage)
			turn_put_usage(w, &view->turn->usage, view->turn->usage_estimated);
		else
			json_put_null(w);
	}
	json_close(w, '}');
	buf_add_str(w->out, STR("\n\n"));
}

/* A chunk whose delta has what is in the event under this key; no key: an empty one, with the reason why it is the last. */
static void put_chunk(struct buf *out, const struct chat_view *view, const char *key, struct str data, const char *finish_reason)
{
	struct json_writer w = {.out = out};

	open_chunk(&w, view);
	json_open(&w, '{');
	json_add_int(&w, "index", 0);
	json_key(&w, "delta");
	json_open(&w, '{');
	if (key && strcmp(key, "tool_calls") == 0) {
		json_key(&w, key);
		json_put_raw(&w, data);
	} else if (key) {
		json_add_str(&w, key, data);
	}
	if (key && strcmp(key, "role") == 0)
		json_add_cstr(&w, "content", "");
	json_close(&w, '}');
	json_add_cstr(&w, "finish_reason", finish_reason);
	json_close(&w, '}');
	close_chunk(&w, view, false);
}

/* OpenAI's clients know no word for an answer that somebody stopped; it has come to its end. */
static const char *finish_reason(const struct turn *turn)
{
	return !turn->finish_reason[0] || strcmp(turn->finish_reason, "stopped") == 0 ? "stop" : turn->finish_reason;
}

static void put_end(struct buf *out, const struct chat_view *view)
{
	struct json_writer w = {.out = out};

	put_chunk(out, view, NULL, STR(""), finish_reason(view->turn));
	if (view->include_usage) {
		open_chunk(&w, view);
		close_chunk(&w, view, true);
	}
	buf_add_str(out, STR("data: [DONE]\n\n"));
}

static void put_error(struct buf *out, struct chat_view *view)
{
	view->failed = true;
	buf_add_str(out, STR("data: "));
	v1_put_error(out, view->turn->err, NULL, NULL);
	buf_add_str(out, STR("\n\n"));
}

void v1_render_event(struct buf *out, struct chat_view *view, const struct answer_event *event)
{
	switch (event->type) {
	case EVENT_START: put_chunk(out, view, "role", STR("assistant"), NULL); break;
	case EVENT_CHUNK: put_chunk(out, view, "content", event->data, NULL); break;
	case EVENT_REASONING: put_chunk(out, view, "reasoning_content", event->data, NULL); break;
	case EVENT_TOOL: put_chunk(out, view, "tool_calls", event->data, NULL); break;
	case EVENT_ERROR: put_error(out, view); break;
	case EVENT_END:
		if (!view->failed) /* after an error nothing comes: [DONE] would make the answer look whole */
			put_end(out, view);
		break;
	case EVENT_CHAT_ID: /* it is in a header */
	case EVENT_USAGE:   /* comes with the end */
	case EVENT_PROGRESS: /* OpenAI's clients have no word for the rest */
	case EVENT_INTERACTIVE:
	case EVENT_REPLACE: /* what was said cannot be taken back; a plain answer and the stored one are right */
	case EVENT_STATUS: break;
	}
}

/* ---- all of it at once ---- */

static void put_message(struct json_writer *w, const struct turn *turn)
{
	struct buf text = {0}, reasoning = {0}, calls = {0};

	answer_collect(&turn->answer, EVENT_CHUNK, &text);
	answer_collect(&turn->answer, EVENT_REASONING, &reasoning);
	v1_tools_collect(&turn->answer, &calls);
	json_open(w, '{');
	json_add_cstr(w, "role", "assistant");
	json_key(w, "content");
	if (text.len || !calls.len)
		json_put_str(w, buf_str(&text));
	else
		json_put_null(w);
	if (reasoning.len)
		json_add_str(w, "reasoning_content", buf_str(&reasoning));
	json_add_cstr(w, "refusal", NULL);
	if (calls.len) {
		json_key(w, "tool_calls");
		json_put_raw(w, buf_str(&calls));
	}
	json_close(w, '}');
	buf_fini(&text);
	buf_fini(&reasoning);
	buf_fini(&calls);
}

void v1_render_plain(struct buf *out, const struct turn *turn)
{
	struct json_writer w = {.out = out};

	put_opening(&w, turn, "chat.completion");
	json_key(&w, "choices");
	json_open(&w, '[');
	json_open(&w, '{');
	json_add_int(&w, "index", 0);
	json_key(&w, "message");
	put_message(&w, turn);
	json_add_cstr(&w, "logprobs", NULL);
	json_add_cstr(&w, "finish_reason", finish_reason(turn));
	json_close(&w, '}');
	json_close(&w, ']');
	json_key(&w, "usage");
	turn_put_usage(&w, &turn->usage, turn->usage_estimated);
	json_close(&w, '}');
}
