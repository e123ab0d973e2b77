/* Sessions and messages as JSON. */
#include "handlers/session_json.h"

#include "chat/turn.h"
#include "db/messages.h"
#include "db/sessions.h"

static void add_if_any(struct json_writer *w, const char *key, struct str s)
{
	if (s.len)
		json_add_str(w, key, s);
}

void put_session_members(struct json_writer *w, const struct session_row *s)
{
	json_add_str(w, "id", s->id);
	json_add_str(w, "chatId", s->chat_id);
	json_add_str(w, "agentId", s->agent_id);
	json_add_str(w, "title", s->title);
	json_add_bool(w, "titleByUser", s->title_by_user);
	json_add_str(w, "status", s->status);
	json_add_int(w, "messageCount", s->message_count);
	json_add_str(w, "createdAt", s->created_at);
	json_add_str(w, "updatedAt", s->updated_at);
	add_if_any(w, "deletedAt", s->deleted_at);
}

void put_session(struct json_writer *w, const struct session_row *s)
{
	json_open(w, '{');
	put_session_members(w, s);
	json_close(w, '}');
}

static void put_feedback(struct json_writer *w, const struct message_row *m)
{
	json_key(w, "feedback");
	json_open(w, '{');
	json_add_str(w, "rating", m->rating);
	add_if_any(w, "comment", m->comment);
	json_close(w, '}');
}

/* Only where a question has several answers. */
static void put_siblings(struct json_writer *w, const struct message_row *m)
{
	json_key(w, "siblings");
	json_open(w, '{');
	json_add_int(w, "index", m->answer_place);
	json_add_int(w, "count", m->n_answers);
	json_close(w, '}');
}

void put_message(struct json_writer *w, const struct message_row *m)
{
	json_open(w, '{');
	json_add_str(w, "id", m->id);
	json_add_str(w, "role", m->role);
	json_add_str(w, "content", m->content);
	json_add_str(w, "status", m->status);
	json_add_str(w, "createdAt", m->created_at);
	add_if_any(w, "parentId", m->parent_id);
	add_if_any(w, "clientId", m->client_id);
	add_if_any(w, "agentId", m->agent_id);
	add_if_any(w, "model", m->model);
	add_if_any(w, "finishReason", m->finish_reason);
	add_if_any(w, "errorCode", m->error_code);
	if (m->has_usage) {
		struct llm_usage usage = {m->prompt_tokens, m->completion_tokens, m->total_tokens};

		json_key(w, "usage");
		turn_put_usage(w, &usage, m->usage_estimated);
	}
	if (m->n_answers > 1)
		put_siblings(w, m);
	if (m->rating.len)
		put_feedback(w, m);
	json_close(w, '}');
}
