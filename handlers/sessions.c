/* Stored messages of a session, for its owner. */
#include "handlers/sessions.h"

#include "auth/people.h"
#include "chat/turn.h"
#include "db/messages.h"
#include "handlers/request.h"

struct page {
	int64_t limit, offset;
	struct str role;
};

static bool valid_role(struct str role)
{
	return str_eq(role, STR("user")) || str_eq(role, STR("assistant")) || str_eq(role, STR("system"));
}

static enum flow_next load_start(struct request *r)
{
	struct page *page = arena_alloc(&r->arena, sizeof(*page));

	*page = (struct page){.limit = 50, .role = STR("")};
	r->state = page;
	if (!request_query_int(r, "limit", 1, MESSAGES_MAX_PAGE, &page->limit) || !request_query_int(r, "offset", 0, 1000000000, &page->offset))
		return FLOW_DONE;
	if (request_query(r, "role", &page->role) && !valid_role(page->role))
		return request_reject_because(r, ERR_VALIDATION, "role", "role must be user, assistant or system.");
	if (!request_text_valid(r->path_params[0]))
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	messages_list(r->app->pool, &r->query, uuid_str(&r->user_id), r->path_params[0], r->person ? r->person->agents : STR(""), page->role,
		      page->limit, page->offset);
	return FLOW_WAIT;
}

static void add_if_any(struct json_writer *w, const char *key, struct str s)
{
	if (s.len)
		json_add_str(w, key, s);
}

static void put_message(struct json_writer *w, const struct message_row *m)
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
	json_close(w, '}');
}

/* nextOffset: a page may end before its limit (its bytes are bounded too). */
static void put_pagination(struct buf *out, const struct page *page, int64_t n, int64_t total)
{
	struct json_writer w = {.out = out};

	json_open(&w, '{');
	json_add_int(&w, "page", page->offset / page->limit + 1);
	json_add_int(&w, "pageSize", page->limit);
	json_add_int(&w, "total", total);
	json_add_int(&w, "totalPages", (total + page->limit - 1) / page->limit);
	if (n > 0 && page->offset + n < total)
		json_add_int(&w, "nextOffset", page->offset + n);
	json_close(&w, '}');
}

static enum flow_next load_finish(struct request *r)
{
	const struct page *page = r->state;
	struct buf b = {0}, pages = {0};
	struct json_writer w = {.out = &b};
	int64_t total = 0, n = 0;

	if (r->query.op.err)
		return request_reject(r, r->query.op.err);
	if (query_n_rows(&r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(&r->query); i++) {
		struct message_row m = messages_row(&r->query, i);

		total = m.total;
		if (m.present)
			put_message(&w, &m);
		n += m.present;
	}
	json_close(&w, ']');
	put_pagination(&pages, page, n, total);
	request_reply(r, buf_str(&b), buf_str(&pages));
	buf_fini(&b);
	buf_fini(&pages);
	return FLOW_DONE;
}

const struct step sessions_messages_steps[] = {
	{"load_messages", load_start, load_finish},
	{NULL, NULL, NULL},
};
