/* Another answer, a rating, and what a conversation begins with. */
#include "handlers/history.h"

#include "auth/people.h"
#include "chat/agents.h"
#include "chat/turn.h"
#include "db/messages.h"
#include "handlers/body.h"
#include "handlers/chat_begin.h"
#include "handlers/chat_request.h"
#include "handlers/request.h"
#include "handlers/whose.h"

enum { MAX_MESSAGE_ID = 128, MAX_COMMENT = 2000, MAX_AGENT_ID = 64 };

/* ---- retry ---- */

static enum flow_next find_start(struct request *r)
{
	struct chat_request *chat = arena_alloc(&r->question, sizeof(*chat));
	struct session_owner owner = whose(r);
	struct json_complaint complaint = {0};
	struct str data_id = STR("");

	r->state = chat;
	if (!json_read_str(r->body, "dataId", true, 1, MAX_MESSAGE_ID, &data_id, &complaint) ||
	    !chat_request_read_how(r->body, &chat->turn, &chat->stream, &complaint))
		return request_reject_field(r, &complaint);
	messages_find_question(r->app->pool, r->query, &owner, r->path_params[0], data_id);
	return FLOW_WAIT;
}

static enum flow_next find_finish(struct request *r)
{
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	if (!messages_question(r->query).present)
		return request_reject(r, ERR_MESSAGE_NOT_FOUND);
	return FLOW_NEXT;
}

static enum flow_next begin_start(struct request *r)
{
	struct chat_request *chat = r->state;
	struct question_row question = messages_question(r->query);
	struct llm_message *message = arena_alloc(&r->question, sizeof(*message));
	struct turn_request *turn = &chat->turn;

	message->role = STR("user");
	message->content = turn->question = question.content; /* borrowed from r->query, as all of these */
	message->parts = turn->question_parts = question.parts;
	turn->chat_id = question.chat_id;
	turn->retry_session_id = question.session_id;
	turn->retry_question_id = question.id;
	turn->messages = message;
	turn->n_messages = 1;
	turn->with_history = true;
	chat->agent_id = question.agent_id;
	return chat_begin(r, &chat_api_words, chat);
}

const struct step history_retry_steps[] = {
	{"whose_session", whose_write_start, NULL},         {"parse_body", body_start, NULL},
	{"find_question", find_start, find_finish},         {"begin_turn", begin_start, chat_begin_finish},
	{"read_answer", chat_read_start, chat_read_finish}, {NULL, NULL, NULL},
};

/* ---- feedback ---- */

/* messageId and dataId are two names of one thing. */
static bool read_message_id(const struct json *body, struct str *id, struct json_complaint *c)
{
	*id = STR("");
	return json_read_str(body, "messageId", false, 1, MAX_MESSAGE_ID, id, c) &&
	       (id->len || json_read_str(body, "dataId", true, 1, MAX_MESSAGE_ID, id, c));
}

static bool read_rating(const struct json *body, struct str *rating, struct json_complaint *c)
{
	*rating = STR("");
	if (!json_has(body, "rating"))
		return json_complain(c, "rating", "rating is required: good, bad, or null to take it back.");
	if (!json_get(body, "rating"))
		return true;
	*rating = json_as_str(json_get(body, "rating"));
	return str_eq(*rating, STR("good")) || str_eq(*rating, STR("bad")) ||
	       json_complain(c, "rating", "rating must be good, bad or null.");
}

static enum flow_next rate_start(struct request *r)
{
	struct str chat_id = STR(""), message_id, rating, comment = STR("");
	struct session_owner owner = whose(r);
	struct json_complaint complaint = {0};

	if (!json_read_str(r->body, "chatId", true, 1, CHAT_ID_MAX, &chat_id, &complaint) ||
	    !read_message_id(r->body, &message_id, &complaint) || !read_rating(r->body, &rating, &complaint) ||
	    !json_read_str(r->body, "comment", false, 0, MAX_COMMENT, &comment, &complaint))
		return request_reject_field(r, &complaint);
	if (!chat_id_valid(chat_id))
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	messages_rate(r->app->pool, r->query, &owner, chat_id, message_id, rating, comment);
	return FLOW_WAIT;
}

static enum flow_next rate_finish(struct request *r)
{
	struct str rating = json_as_str(json_get(r->body, "rating")), comment = json_as_str(json_get(r->body, "comment"));
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	if (query_is_null(r->query, 0, 0))
		return request_reject(r, ERR_MESSAGE_NOT_FOUND);
	json_open(&w, '{');
	json_add_str(&w, "messageId", query_col(r->query, 0, 0));
	json_key(&w, "rating");
	if (rating.len)
		json_put_str(&w, rating);
	else
		json_put_null(&w);
	if (rating.len && comment.len)
		json_add_str(&w, "comment", comment);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step feedback_steps[] = {
	{"whose_session", whose_write_start, NULL},
	{"parse_body", body_start, NULL},
	{"rate_message", rate_start, rate_finish},
	{NULL, NULL, NULL},
};

/* ---- init ---- */

/* Of an agent's features only these two are for everybody. */
static void put_features(struct json_writer *w, struct str features)
{
	struct json *j = NULL;
	const char *why;

	if (json_parse(features, &JSON_CAPS_USER, &j, &why) != 0)
		j = NULL;
	json_add_str(w, "welcomeText", json_as_str(json_get(j, "welcomeText")));
	json_key(w, "variables");
	if (json_kind(json_get(j, "variables")) == JSON_ARRAY)
		json_put_raw(w, json_text(json_get(j, "variables")));
	else
		json_put_raw(w, STR("[]"));
	json_free(j);
}

static enum flow_next init_start(struct request *r)
{
	struct str agent_id = STR("");
	const struct agent *agent;
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (!request_query(r, "agentId", &agent_id) || agent_id.len == 0 || agent_id.len > MAX_AGENT_ID)
		return request_reject_because(r, ERR_VALIDATION, "agentId", "agentId is required: the id of an agent, 1 to %d characters.",
					      (int)MAX_AGENT_ID);
	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	agent = agents_find(r->app->agents, agent_id);
	if (!agent || !agent->active)
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	if (r->person && !person_may_use_agent(r->person, agent_id))
		return request_reject_because(r, ERR_FORBIDDEN, "agentId", "This API key does not open the agent %.*s.", STR_ARG(agent_id));
	json_open(&w, '{');
	json_add_str(&w, "agentId", agent->id);
	json_add_str(&w, "name", agent->name);
	json_add_str(&w, "description", agent->description);
	json_add_str(&w, "model", agent->model);
	put_features(&w, agent->features);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step chat_init_steps[] = {{"begin_conversation", init_start, NULL}, {NULL, NULL, NULL}};
