/* The responders are asked first, as a turn may live before its row does; the rows tell what has ended. Both once more for an answer that
 * was begun, or handed on to a responder just started, in between. */
#include "handlers/chat_stop.h"

#include "auth/people.h"
#include "db/messages.h"
#include "handlers/chat_content.h"
#include "handlers/request.h"
#include "handlers/round.h"
#include "handlers/whose.h"

#define NO_ANSWER_OF_HIS "There is no such answer of yours."

struct stopping {
	struct round *round;
	struct str command;
	struct uuid answer_id; /* of the turn that was found; else empty */
	bool looked_up;
};

static enum flow_next reply(struct request *r, struct str answer_id, bool stopped, struct str status)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_str(&w, "messageId", answer_id);
	json_add_bool(&w, "stopped", stopped);
	json_add_str(&w, "status", status);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

static enum flow_next find_start(struct request *r)
{
	struct stopping *stopping = r->state;
	struct str id = r->path_params[0];

	if (!stopping) {
		if (!request_text_valid(id) || utf8_count(id) > CHAT_MAX_NAME)
			return request_reject_because(r, ERR_VALIDATION, "id",
						      "The id of an answer is text in UTF-8 of 1 to %d characters.", (int)CHAT_MAX_NAME);
		stopping = arena_alloc(&r->arena, sizeof(*stopping));
		stopping->round = round_new(r);
		stopping->command = arena_printf(&r->arena, "find %s %.*s", r->user_id.text, STR_ARG(id));
		r->state = stopping;
	}
	return round_ask(stopping->round, stopping->command);
}

static enum flow_next find_finish(struct request *r)
{
	struct stopping *stopping = r->state;
	struct json *answer = round_answer(stopping->round);
	struct str status = json_as_str(json_get(answer, "status"));
	enum flow_next next = FLOW_NEXT;

	if (!json_as_bool(json_get(answer, "ok"), false)) {
		next = round_next(stopping->round) ? FLOW_AGAIN : FLOW_NEXT;
	} else if (r->person && !person_may_use_agent(r->person, json_as_str(json_get(answer, "agentId")))) {
		next = request_reject_because(r, ERR_MESSAGE_NOT_FOUND, NULL, NO_ANSWER_OF_HIS);
	} else {
		stopping->answer_id = uuid_from(json_as_str(json_get(answer, "answerId")));
		if (status.len)
			next = reply(r, uuid_str(&stopping->answer_id), false, status);
	}
	json_free(answer);
	return next;
}

static enum flow_next stop_start(struct request *r)
{
	struct stopping *stopping = r->state;

	if (!stopping->answer_id.text[0])
		return FLOW_NEXT;
	return round_ask(stopping->round, arena_printf(&r->arena, "stop %s", stopping->answer_id.text));
}

static enum flow_next stop_finish(struct request *r)
{
	struct stopping *stopping = r->state;
	struct json *answer = round_answer(stopping->round);
	bool stopped = json_as_bool(json_get(answer, "ok"), false);

	json_free(answer);
	return stopped ? reply(r, uuid_str(&stopping->answer_id), true, STR("stopped")) : FLOW_NEXT;
}

static enum flow_next look_up_start(struct request *r)
{
	struct session_owner owner = whose(r);

	messages_find_answer(r->app->pool, r->query, &owner, r->path_params[0]);
	return FLOW_WAIT;
}

static enum flow_next look_up_finish(struct request *r)
{
	struct stopping *stopping = r->state;
	struct answer_row answer;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject_because(r, ERR_MESSAGE_NOT_FOUND, NULL, NO_ANSWER_OF_HIS);
	answer = messages_answer(r->query);
	if (!str_eq(answer.status, STR("streaming")))
		return reply(r, answer.id, false, answer.status);
	if (stopping->looked_up)
		return request_reject(r, ERR_OVERLOADED); /* its responder hangs, or has died and is not yet swept up after */
	query_fini(r->query);
	siblings_look(r->app->siblings);
	*stopping = (struct stopping){.round = round_new(r), .command = stopping->command, .looked_up = true};
	return FLOW_NEXT;
}

const struct step chat_stop_steps[] = {
	{"find_turn", find_start, find_finish},
	{"stop_turn", stop_start, stop_finish},
	{"look_up_answer", look_up_start, look_up_finish},
	{"find_turn", find_start, find_finish}, /* once more */
	{"stop_turn", stop_start, stop_finish},
	{"look_up_answer", look_up_start, look_up_finish},
	{NULL, NULL, NULL},
};
