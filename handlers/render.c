/* Rendering for /api. Called for every token and every reader: it allocates nothing if the buffer has room. */
#include "handlers/render.h"

#include "base/json.h"
#include "chat/turn.h"

static const char *const names[] = {
	[EVENT_CHAT_ID] = "chatId",
	[EVENT_START] = "start",
	[EVENT_CHUNK] = "chunk",
	[EVENT_REASONING] = "reasoning",
	[EVENT_TOOL] = "tool",
	[EVENT_USAGE] = "usage",
	[EVENT_STATUS] = "status",
	[EVENT_ERROR] = "error",
	[EVENT_END] = "end",
	[EVENT_PROGRESS] = "status",
	[EVENT_INTERACTIVE] = "interactive",
	[EVENT_REPLACE] = "replace",
};

static void add_number(struct buf *out, size_t n)
{
	char digits[24], *p = digits + sizeof(digits);

	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	buf_add(out, p, (size_t)(digits + sizeof(digits) - p));
}

void render_event(struct buf *out, const struct answer_event *event)
{
	buf_add_str(out, STR("id: "));
	add_number(out, event->offset);
	buf_add_str(out, STR("\nevent: "));
	buf_add_cstr(out, names[event->type]);
	buf_add_str(out, STR("\ndata: "));
	if (event->type == EVENT_CHUNK || event->type == EVENT_REASONING || event->type == EVENT_REPLACE) {
		buf_add_str(out, STR("{\"content\":"));
		json_quote(out, event->data);
		buf_add_char(out, '}');
	} else {
		buf_add_str(out, event->data);
	}
	buf_add_str(out, STR("\n\n"));
}

void render_plain(struct buf *out, const struct turn *turn)
{
	struct json_writer w = {.out = out};
	struct buf text = {0};

	answer_collect(&turn->answer, EVENT_CHUNK, &text);
	json_open(&w, '{');
	json_add_str(&w, "content", buf_str(&text));
	json_add_str(&w, "chatId", turn->chat_id);
	json_add_str(&w, "id", uuid_str(&turn->answer_id));
	json_add_cstr(&w, "object", "chat.completion");
	json_add_int(&w, "created", (int64_t)(turn->created_real_us / 1000000));
	json_add_str(&w, "model", turn->agent->model);
	json_key(&w, "choices");
	json_open(&w, '[');
	json_open(&w, '{');
	json_add_int(&w, "index", 0);
	json_key(&w, "message");
	json_open(&w, '{');
	json_add_cstr(&w, "role", "assistant");
	json_add_str(&w, "content", buf_str(&text));
	json_close(&w, '}');
	json_add_cstr(&w, "finish_reason", turn->finish_reason[0] ? turn->finish_reason : "stop");
	json_close(&w, '}');
	json_close(&w, ']');
	json_key(&w, "usage");
	turn_put_usage(&w, &turn->usage, turn->usage_estimated);
	json_close(&w, '}');
	buf_fini(&text);
}
