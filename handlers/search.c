/* Full text search in one's own sessions. What counts as a word, and what matches, is PostgreSQL's to say (db/search.h). */
#include "handlers/search.h"

#include "auth/people.h"
#include "db/search.h"
#include "handlers/request.h"
#include "handlers/snippet.h"

enum { DEFAULT_LIMIT = 20, MAX_AGENT_ID = 64 };

static enum flow_next load_start(struct request *r)
{
	struct search search = {
		.user_id = uuid_str(&r->user_id), .agents = r->person ? r->person->agents : STR(""), .limit = DEFAULT_LIMIT};

	if (!request_query(r, "q", &search.text) || search.text.len == 0)
		return request_reject_because(r, ERR_VALIDATION, "q", "q is required: what to look for.");
	if (!request_text_valid(search.text))
		return request_reject_because(r, ERR_VALIDATION, "q", "q must be text in UTF-8, without NUL.");
	if (utf8_count(search.text) > SEARCH_MAX_QUERY)
		return request_reject_because(r, ERR_VALIDATION, "q", "q must have 1 to %d characters.", (int)SEARCH_MAX_QUERY);
	if (!request_query_int(r, "limit", 1, SEARCH_MAX_LIMIT, &search.limit))
		return FLOW_DONE;
	if (request_query(r, "agentId", &search.agent_id) &&
	    (search.agent_id.len == 0 || search.agent_id.len > MAX_AGENT_ID || !str_only(search.agent_id, STR(NAME_CHARS))))
		return request_reject_because(r, ERR_VALIDATION, "agentId", "agentId must be the id of an agent.");
	search_start(r->app->pool, r->query, &search);
	return FLOW_WAIT;
}

static void open_session(struct json_writer *w, const struct search_row *row)
{
	json_open(w, '{');
	json_add_str(w, "chatId", row->chat_id);
	json_add_str(w, "sessionId", row->session_id);
	json_add_str(w, "title", row->title);
	json_add_str(w, "agentId", row->agent_id);
	json_add_str(w, "updatedAt", row->updated_at);
	json_key(w, "score");
	json_put_raw(w, row->score);
	json_key(w, "matches");
	json_open(w, '[');
}

static void close_session(struct json_writer *w)
{
	json_close(w, ']');
	json_close(w, '}');
}

static void put_match(struct json_writer *w, const struct search_row *row)
{
	json_open(w, '{');
	json_add_str(w, "messageId", row->message_id);
	json_add_str(w, "role", row->role);
	json_add_str(w, "createdAt", row->created_at);
	snippet_add(w, row->text, row->cut, (struct snippet_terms){row->runs, row->stems});
	json_close(w, '}');
}

/* Rows of a session follow each other. */
static enum flow_next load_finish(struct request *r)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct str current = STR("");

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (!search_has_words(r->query))
		return request_reject_because(r, ERR_VALIDATION, "q", "q has no word to look for, only signs.");
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(r->query); i++) {
		struct search_row row = search_row(r->query, i);

		if (!row.present)
			continue;
		if (!str_eq(row.session_id, current)) {
			if (current.len)
				close_session(&w);
			open_session(&w, &row);
			current = row.session_id;
		}
		if (row.has_message)
			put_match(&w, &row);
	}
	if (current.len)
		close_session(&w);
	json_close(&w, ']');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step search_steps[] = {
	{"search", load_start, load_finish},
	{NULL, NULL, NULL},
};
