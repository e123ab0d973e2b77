/* A page of somebody's sessions, by number or after a cursor. */
#include "handlers/session_list.h"

#include <assert.h>

#include "base/conf.h"
#include "handlers/cursor.h"
#include "handlers/page.h"
#include "handlers/request.h"
#include "handlers/session_json.h"
#include "handlers/whose.h"

enum { DEFAULT_PAGE = 20, MAX_AGENT_ID = 64 };

struct listing {
	struct session_list list; /* its limit is one more than the page has: is there a next one? */
	struct page page;
	struct str scope; /* what a cursor is good for */
	struct uuid after_id;
};

static bool valid_status(struct str status)
{
	return str_eq(status, STR("active")) || str_eq(status, STR("archived")) || str_eq(status, STR("deleted")) ||
	       str_eq(status, STR("all"));
}

/* False: the request has been refused. */
static bool read_filters(struct request *r, struct listing *listing)
{
	struct session_list *list = &listing->list;

	if (request_query(r, "status", &list->status) && !valid_status(list->status)) {
		request_reject_because(r, ERR_VALIDATION, "status", "status must be active, archived, deleted or all.");
		return false;
	}
	if (request_query(r, "agentId", &list->agent_id) &&
	    (list->agent_id.len == 0 || list->agent_id.len > MAX_AGENT_ID || !str_only(list->agent_id, STR(NAME_CHARS)))) {
		request_reject_because(r, ERR_VALIDATION, "agentId", "agentId must be the id of an agent, 1 to %d characters.",
				       (int)MAX_AGENT_ID);
		return false;
	}
	listing->scope = arena_printf(&r->arena, "%s %.*s %.*s", r->user_id.text, STR_ARG(list->status), STR_ARG(list->agent_id));
	return true;
}

static bool read_place(struct request *r, struct listing *listing)
{
	struct str cursor, page;

	if (!page_read(r, &listing->page, SESSIONS_MAX_PAGE))
		return false;
	listing->list.limit = listing->page.size + 1;
	listing->list.offset = page_offset(&listing->page);
	if (!request_query(r, "cursor", &cursor) || cursor.len == 0)
		return true;
	if (request_query(r, "page", &page)) {
		request_reject_because(r, ERR_VALIDATION, "cursor", "Either cursor or page can be given, not both.");
		return false;
	}
	listing->list.after = true;
	listing->list.offset = 0;
	if (cursor_read(str_from(r->app->conf->token_secret), listing->scope, cursor, &listing->list.after_us, &listing->after_id)) {
		listing->list.after_id = uuid_str(&listing->after_id);
		return true;
	}
	request_reject_because(r, ERR_VALIDATION, "cursor",
			       "cursor must be the nextCursor of this list, with the same agentId and status.");
	return false;
}

static enum flow_next list_start(struct request *r)
{
	struct listing *listing = arena_alloc(&r->arena, sizeof(*listing));
	struct session_owner owner = whose(r);

	*listing = (struct listing){.list = {.status = STR("active")}, .page = {.size = DEFAULT_PAGE}};
	r->state = listing;
	if (!read_filters(r, listing) || !read_place(r, listing))
		return FLOW_DONE;
	sessions_list(r->app->pool, r->query, &owner, &listing->list);
	return FLOW_WAIT;
}

static void put_pagination(struct request *r, struct buf *out, const struct session_row *last)
{
	const struct listing *listing = r->state;
	int64_t total = sessions_total(r->query), size = listing->page.size;
	struct json_writer w = {.out = out};
	char cursor[CURSOR_SIZE];

	assert(size >= 1);
	json_open(&w, '{');
	if (!listing->list.after)
		json_add_int(&w, "page", listing->page.number);
	json_add_int(&w, "pageSize", size);
	json_add_int(&w, "total", total);
	json_add_int(&w, "totalPages", (total + size - 1) / size);
	if (last)
		cursor_make(str_from(r->app->conf->token_secret), listing->scope, last->updated_us, last->id, cursor);
	json_add_cstr(&w, "nextCursor", last ? cursor : NULL);
	json_close(&w, '}');
}

static enum flow_next list_finish(struct request *r)
{
	const struct listing *listing = r->state;
	size_t n_rows = query_n_rows(r->query), n = n_rows;
	struct buf b = {0}, pages = {0};
	struct json_writer w = {.out = &b};
	struct session_row row = {.id = STR("")};

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (n > (size_t)listing->page.size)
		n = (size_t)listing->page.size;
	json_open(&w, '[');
	for (size_t i = 0; i < n && sessions_present(r->query, i); i++) {
		row = sessions_listed(r->query, i);
		put_session(&w, &row);
	}
	json_close(&w, ']');
	put_pagination(r, &pages, n < n_rows ? &row : NULL);
	request_reply(r, buf_str(&b), buf_str(&pages));
	buf_fini(&b);
	buf_fini(&pages);
	return FLOW_DONE;
}

const struct step session_list_steps[] = {
	{"whose_sessions", whose_read_start, whose_read_finish},
	{"list_sessions", list_start, list_finish},
	{NULL, NULL, NULL},
};
