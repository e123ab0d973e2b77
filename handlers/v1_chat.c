/* The same turn as on /api, in OpenAI's words. */
#include "handlers/v1_chat.h"

#include "handlers/body.h"
#include "handlers/chat_begin.h"
#include "handlers/request.h"
#include "handlers/v1_render.h"
#include "handlers/v1_request.h"

static enum flow_next reply(struct request *r, const struct turn *turn)
{
	struct buf b = {0};

	v1_render_plain(&b, turn);
	request_reply_bare(r, 200, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

static const struct chat_words words = {v1_request_read, "model", "X-Chat-Id", v1_render_event, reply};

static enum flow_next begin_start(struct request *r)
{
	return chat_read_and_begin(r, &words);
}

const struct step v1_chat_steps[] = {
	{"parse_body", body_start, NULL},
	{"begin_turn", begin_start, chat_begin_finish},
	{"read_answer", chat_read_start, chat_read_finish},
	{NULL, NULL, NULL},
};
