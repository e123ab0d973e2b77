/* Changing sessions. One goes the way of many: the same statement. */
#include "handlers/session_edit.h"

#include "auth/people.h"
#include "chat/agents.h"
#include "chat/session_copy.h"
#include "db/text_array.h"
#include "handlers/body.h"
#include "handlers/cached.h"
#include "handlers/request.h"
#include "handlers/session_json.h"
#include "handlers/whose.h"

enum { MAX_TITLE = 200, MAX_AGENT_ID = 64 };

static enum flow_next reply_session(struct request *r, const struct session_row *session, bool created)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	put_session(&w, session);
	if (created)
		request_reply_created(r, buf_str(&b));
	else
		request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

/* One line of it; the blanks around are not counted. */
static bool read_title(const struct json *body, bool required, struct str *title, struct json_complaint *c)
{
	if (!json_read_str(body, "title", required, 1, MAX_TITLE, title, c))
		return false;
	if (!title->p)
		return true;
	*title = str_trim(*title);
	if (title->len == 0)
		return json_complain(c, "title", "title must be 1 to %d characters, not only blanks.", (int)MAX_TITLE);
	for (size_t i = 0; i < title->len; i++)
		if ((unsigned char)title->p[i] < 0x20 || title->p[i] == 0x7f)
			return json_complain(c, "title", "title must be one line, without control characters.");
	return true;
}

/* The copies of sessions that have been changed: by their chatIds, which stay while they are dropped. */
static enum flow_next drop_copies(struct request *r, const struct str *chat_ids, size_t n)
{
	struct session_copy_id *texts = arena_alloc(&r->arena, n * sizeof(*texts) + 1);
	struct str *ids = arena_alloc(&r->arena, n * sizeof(*ids) + 1);

	for (size_t i = 0; i < n; i++)
		ids[i] = session_copy_id(&texts[i], uuid_str(&r->user_id), chat_ids[i]);
	return cached_drop(r, CACHE_SESSION, ids, n);
}

/* ---- create ---- */

/* False: the request has been refused. */
static bool check_agent(struct request *r, struct str agent_id)
{
	const struct agent *agent = agents_find(r->app->agents, agent_id);

	if (!agents_loaded(r->app->agents))
		request_reject(r, ERR_DB_UNAVAILABLE);
	else if (!agent || !agent->active)
		request_reject(r, ERR_AGENT_NOT_FOUND);
	else if (r->person && !person_may_use_agent(r->person, agent_id))
		request_reject_because(r, ERR_FORBIDDEN, "agentId", "This API key does not open the agent %.*s.", STR_ARG(agent_id));
	else
		return true;
	return false;
}

static enum flow_next create_start(struct request *r)
{
	struct new_session session = {.user_id = uuid_str(&r->user_id), .anonymous = r->anonymous, .title = {NULL, 0}};
	struct json_complaint complaint = {0};
	struct uuid *id = arena_alloc(&r->arena, sizeof(*id));

	*id = uuid_new();
	session.id = session.chat_id = uuid_str(id);
	if (!json_read_str(r->body, "agentId", true, 1, MAX_AGENT_ID, &session.agent_id, &complaint) ||
	    !json_read_str(r->body, "chatId", false, 1, CHAT_ID_MAX, &session.chat_id, &complaint) ||
	    !read_title(r->body, false, &session.title, &complaint))
		return request_reject_field(r, &complaint);
	if (!chat_id_valid(session.chat_id))
		return request_reject_because(r, ERR_VALIDATION, "chatId",
					      "chatId may have letters, digits, '.', '_', ':' and '-' only, at most %d of them.",
					      (int)CHAT_ID_MAX);
	if (!check_agent(r, session.agent_id))
		return FLOW_DONE;
	sessions_add(r->app->pool, r->query, &session);
	return FLOW_WAIT;
}

static enum flow_next create_finish(struct request *r)
{
	struct session_row row;

	if (r->query->op.err == -ERR_CONFLICT)
		return request_reject_because(r, ERR_CONFLICT, "chatId", "You have a session with this chatId already.");
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	row = sessions_row(r->query, 0);
	return reply_session(r, &row, true);
}

const struct step session_create_steps[] = {
	{"whose_session", whose_write_start, NULL},
	{"parse_body", body_start, NULL},
	{"add_session", create_start, create_finish},
	{NULL, NULL, NULL},
};

/* ---- title ---- */

static enum flow_next title_start(struct request *r)
{
	struct session_owner owner = whose(r);
	struct json_complaint complaint = {0};
	struct str title = {NULL, 0};

	if (!read_title(r->body, true, &title, &complaint))
		return request_reject_field(r, &complaint);
	sessions_set_title(r->app->pool, r->query, &owner, r->path_params[0], title);
	return FLOW_WAIT;
}

static enum flow_next title_finish(struct request *r)
{
	cached_doubt(r);
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	return FLOW_NEXT;
}

static enum flow_next title_drop_start(struct request *r)
{
	struct session_row row = sessions_row(r->query, 0);

	return drop_copies(r, &row.chat_id, 1);
}

static enum flow_next title_show_start(struct request *r)
{
	struct session_row row = sessions_row(r->query, 0);

	return reply_session(r, &row, false);
}

const struct step session_title_steps[] = {
	{"whose_session", whose_write_start, NULL}, {"parse_body", body_start, NULL},
	{"set_title", title_start, title_finish},   {"drop_copies", title_drop_start, cached_dropped},
	{"show_session", title_show_start, NULL},   {NULL, NULL, NULL},
};

/* ---- archive, restore, delete ---- */

static enum flow_next change(struct request *r, struct str refs, struct str operation)
{
	struct session_owner owner = whose(r);

	sessions_change(r->app->pool, r->query, &owner, refs, operation);
	return FLOW_WAIT;
}

static enum flow_next change_one(struct request *r, struct str operation)
{
	struct buf refs = {0};
	struct str copy;

	text_array_add(&refs, r->path_params[0]);
	text_array_close(&refs);
	copy = arena_copy(&r->arena, buf_str(&refs));
	buf_fini(&refs);
	return change(r, copy, operation);
}

static enum flow_next archive_start(struct request *r)
{
	return change_one(r, STR("archive"));
}

static enum flow_next restore_start(struct request *r)
{
	return change_one(r, STR("restore"));
}

static enum flow_next delete_start(struct request *r)
{
	return change_one(r, STR("delete"));
}

static enum flow_next refuse_change(struct request *r)
{
	cached_doubt(r);
	if (r->query->op.err == -ERR_CONFLICT)
		return request_reject_because(r, ERR_CONFLICT, NULL,
					      "Somebody did the same to these sessions at this moment; please try again.");
	return request_reject(r, r->query->op.err);
}

static enum flow_next change_finish(struct request *r)
{
	if (r->query->op.err)
		return refuse_change(r);
	if (sessions_changed(r->query, 0) == SESSION_NOT_FOUND)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	return FLOW_NEXT;
}

static enum flow_next changed_drop_start(struct request *r)
{
	struct str *chat_ids = arena_alloc(&r->arena, query_n_rows(r->query) * sizeof(*chat_ids) + 1);
	size_t n = 0;

	for (size_t i = 0; i < query_n_rows(r->query); i++)
		if (sessions_changed(r->query, i) == SESSION_CHANGED)
			chat_ids[n++] = sessions_changed_row(r->query, i).chat_id;
	return drop_copies(r, chat_ids, n);
}

static enum flow_next change_show_start(struct request *r)
{
	struct session_row row = sessions_changed_row(r->query, 0);

	return reply_session(r, &row, false);
}

#define CHANGE(name, start)                                                                                                                \
	const struct step name[] = {{"whose_session", whose_write_start, NULL},                                                            \
				    {"change_session", start, change_finish},                                                              \
				    {"drop_copies", changed_drop_start, cached_dropped},                                                   \
				    {"show_session", change_show_start, NULL},                                                             \
				    {NULL, NULL, NULL}}
CHANGE(session_archive_steps, archive_start);
CHANGE(session_restore_steps, restore_start);
CHANGE(session_delete_steps, delete_start);

/* ---- many ---- */

static const char *const results[][2] = {
	/* operation, what it is called when it is done */
	{"archive", "archived"},
	{"restore", "restored"},
	{"delete", "deleted"},
};

static const char *result_of(struct str operation)
{
	for (size_t i = 0; i < N_ELEMENTS(results); i++)
		if (str_eq_cstr(operation, results[i][0]))
			return results[i][1];
	return NULL;
}

static bool read_ids(const struct json *body, struct buf *refs, struct json_complaint *c)
{
	const struct json *list = json_get(body, "ids");

	if (json_kind(list) != JSON_ARRAY || json_len(list) < 1 || json_len(list) > SESSIONS_MAX_BATCH)
		return json_complain(c, "ids", "ids must be a list of 1 to %d ids of sessions.", (int)SESSIONS_MAX_BATCH);
	for (size_t i = 0; i < json_len(list); i++) {
		if (json_kind(json_at(list, i)) != JSON_STRING || !chat_id_valid(json_as_str(json_at(list, i))))
			return json_complain(c, "ids", "ids[%zu] must be a chatId, 1 to %d letters, digits, '.', '_', ':' and '-'.", i,
					     (int)CHAT_ID_MAX);
		text_array_add(refs, json_as_str(json_at(list, i)));
	}
	text_array_close(refs);
	return true;
}

static enum flow_next batch_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct str operation = {NULL, 0}, copy;
	struct buf refs = {0};

	if (!json_read_str(r->body, "operation", true, 1, sizeof("restore"), &operation, &complaint) ||
	    !read_ids(r->body, &refs, &complaint)) {
		buf_fini(&refs);
		return request_reject_field(r, &complaint);
	}
	copy = arena_copy(&r->arena, buf_str(&refs));
	buf_fini(&refs);
	if (!result_of(operation))
		return request_reject_because(r, ERR_VALIDATION, "operation", "operation must be archive, restore or delete.");
	return change(r, copy, operation);
}

static enum flow_next batch_finish(struct request *r)
{
	return r->query->op.err ? refuse_change(r) : FLOW_NEXT;
}

static enum flow_next batch_show_start(struct request *r)
{
	const struct json *ids = json_get(r->body, "ids");
	const char *done = result_of(json_as_str(json_get(r->body, "operation")));
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	int64_t n_changed = 0;

	json_open(&w, '{');
	json_key(&w, "results");
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(r->query); i++) {
		enum session_change what = sessions_changed(r->query, i);

		json_open(&w, '{');
		json_add_str(&w, "id", json_as_str(json_at(ids, i)));
		json_add_cstr(&w, "result", what == SESSION_CHANGED ? done : what == SESSION_UNCHANGED ? "unchanged" : "not_found");
		json_close(&w, '}');
		n_changed += what == SESSION_CHANGED;
	}
	json_close(&w, ']');
	json_add_int(&w, "changed", n_changed);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step session_batch_steps[] = {
	{"whose_session", whose_write_start, NULL},     {"parse_body", body_start, NULL},
	{"change_sessions", batch_start, batch_finish}, {"drop_copies", changed_drop_start, cached_dropped},
	{"show_results", batch_show_start, NULL},       {NULL, NULL, NULL},
};
