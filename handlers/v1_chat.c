/* The same turn as on /api, in OpenAI's words. */
#include "handlers/v1_chat.h"

#include "handlers/body.h"
#include "handlers/chat.h"
#include "handlers/request.h"
#include "handlers/reserve.h"
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

static const struct chat_words words = {v1_request_read, "model", v1_render_event, reply};

static enum flow_next question_start(struct request *r)
{
	return chat_read_question(r, &words);
}

static enum flow_next begin_start(struct request *r)
{
	enum flow_next next = chat_begin_start(r);

	if (next == FLOW_NEXT) /* a name has no character that a header could not hold */
		r->more_head = arena_printf(&r->arena, "X-Chat-Id: %.*s\r\n", STR_ARG(r->turn->chat_id)).p;
	return next;
}

const struct step v1_chat_steps[] = {
	{"parse_body", body_start, NULL},
	{"read_question", question_start, NULL},
	{"reserve", reserve_start, reserve_finish},
	{"begin_turn", begin_start, NULL},
	{"read_answer", chat_read_start, chat_read_finish},
	{NULL, NULL, NULL},
};
