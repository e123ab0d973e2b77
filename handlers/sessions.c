/* Reading a session. */
#include "handlers/sessions.h"

#include "chat/session_copy.h"
#include "db/messages.h"
#include "handlers/cached.h"
#include "handlers/request.h"
#include "handlers/session_json.h"
#include "handlers/whose.h"

enum { DEFAULT_PAGE = 50, MAX_OFFSET = 1000000000 };

/* A page of messages, and for /history the session before it. */
struct reading {
	int64_t limit, offset;
	struct str role;
	struct buf session; /* a JSON object */
};

static bool valid_role(struct str role)
{
	return str_eq(role, STR("user")) || str_eq(role, STR("assistant")) || str_eq(role, STR("system"));
}

static void free_buf(void *b)
{
	buf_fini(b);
}

static struct reading *new_reading(struct request *r)
{
	struct reading *reading = arena_alloc(&r->arena, sizeof(*reading));

	*reading = (struct reading){.limit = DEFAULT_PAGE, .role = STR("")};
	arena_on_free(&r->arena, free_buf, &reading->session);
	r->state = reading;
	return reading;
}

static enum flow_next load(struct request *r)
{
	const struct reading *reading = r->state;
	struct session_owner owner = whose(r);

	messages_list(r->app->pool, r->query, &owner, r->path_params[0], reading->role, reading->limit, reading->offset);
	return FLOW_WAIT;
}

static enum flow_next load_start(struct request *r)
{
	struct reading *reading = new_reading(r);

	if (!request_query_int(r, "limit", 1, MESSAGES_MAX_PAGE, &reading->limit) ||
	    !request_query_int(r, "offset", 0, MAX_OFFSET, &reading->offset))
		return FLOW_DONE;
	if (request_query(r, "role", &reading->role) && !valid_role(reading->role))
		return request_reject_because(r, ERR_VALIDATION, "role", "role must be user, assistant or system.");
	return load(r);
}

/* nextOffset: a page may end before its limit (its bytes are bounded too). */
static void put_pagination(struct buf *out, const struct reading *reading, int64_t n, int64_t total)
{
	struct json_writer w = {.out = out};

	json_open(&w, '{');
	json_add_int(&w, "page", reading->offset / reading->limit + 1);
	json_add_int(&w, "pageSize", reading->limit);
	json_add_int(&w, "total", total);
	json_add_int(&w, "totalPages", (total + reading->limit - 1) / reading->limit);
	if (n > 0 && reading->offset + n < total)
		json_add_int(&w, "nextOffset", reading->offset + n);
	json_close(&w, '}');
}

/* How many there are in the page. */
static int64_t put_messages(struct json_writer *w, const struct query *q)
{
	int64_t n = 0;

	json_open(w, '[');
	for (size_t i = 0; i < query_n_rows(q); i++) {
		struct message_row m = messages_row(q, i);

		if (m.present)
			put_message(w, &m);
		n += m.present;
	}
	json_close(w, ']');
	return n;
}

static enum flow_next load_finish(struct request *r)
{
	const struct reading *reading = r->state;
	struct buf b = {0}, pages = {0};
	struct json_writer w = {.out = &b};
	int64_t n;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	if (reading->session.len) {
		json_put_raw(&w, (struct str){reading->session.p, reading->session.len - 1}); /* its brace closes later */
		w.comma = true;
		json_key(&w, "messages");
	}
	n = put_messages(&w, r->query);
	if (reading->session.len)
		json_close(&w, '}');
	put_pagination(&pages, reading, n, messages_total(r->query));
	request_reply(r, buf_str(&b), buf_str(&pages));
	buf_fini(&b);
	buf_fini(&pages);
	return FLOW_DONE;
}

const struct step sessions_messages_steps[] = {
	{"whose_session", whose_read_start, whose_read_finish},
	{"load_messages", load_start, load_finish},
	{NULL, NULL, NULL},
};

/* ---- the session itself ---- */

/* A key that opens some agents only does not see all sessions: it asks the database. */
static enum flow_next ask_for_copy(struct request *r)
{
	struct session_owner owner = whose(r);
	struct session_copy_id id = {.text = ""};

	if (owner.agents.len)
		return FLOW_NEXT;
	return cached_ask(r, CACHE_SESSION, session_copy_id(&id, owner.user_id, r->path_params[0]));
}

static enum flow_next refuse_copy(struct request *r)
{
	return request_reject(r, r->cached.op.err ? r->cached.op.err : ERR_SESSION_NOT_FOUND);
}

static enum flow_next get_start(struct request *r)
{
	struct session_owner owner = whose(r);

	sessions_get(r->app->pool, r->query, &owner, r->path_params[0]);
	return FLOW_WAIT;
}

/* What the database has said, into out and the cache. False: the request has been refused. */
static bool take_session(struct request *r, struct buf *out)
{
	struct json_writer w = {.out = out};
	struct session_row s;

	if (r->query->op.err) {
		cache_fail(&r->cached, r->query->op.err);
		request_reject(r, r->query->op.err);
		return false;
	}
	if (query_n_rows(r->query) == 0) {
		cache_give_nothing(&r->cached);
		request_reject(r, ERR_SESSION_NOT_FOUND);
		return false;
	}
	s = sessions_row(r->query, 0);
	put_session(&w, &s);
	/* Only under its chatId: who changes it knows that one. */
	cache_give(&r->cached, buf_str(out), str_eq(s.chat_id, r->path_params[0]));
	return true;
}

static enum flow_next get_ask_finish(struct request *r)
{
	if (r->cached.op.err || r->cached.found == CACHE_NONE)
		return refuse_copy(r);
	if (r->cached.found == CACHE_LOAD)
		return FLOW_NEXT;
	return request_reply(r, (struct str){r->cached.text->p, r->cached.text->len}, STR(""));
}

static enum flow_next get_ask_start(struct request *r)
{
	enum flow_next next = ask_for_copy(r);

	return next == FLOW_NEXT ? get_ask_finish(r) : next;
}

static enum flow_next get_finish(struct request *r)
{
	struct buf b = {0};

	if (take_session(r, &b))
		request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step sessions_get_steps[] = {
	{"whose_session", whose_read_start, whose_read_finish},
	{"ask_cache", get_ask_start, get_ask_finish},
	{"get_session", get_start, get_finish},
	{NULL, NULL, NULL},
};

/* ---- both ---- */

static enum flow_next history_ask_finish(struct request *r)
{
	struct reading *reading = r->state;

	if (r->cached.op.err || r->cached.found == CACHE_NONE)
		return refuse_copy(r);
	if (r->cached.found == CACHE_FOUND)
		buf_add(&reading->session, r->cached.text->p, r->cached.text->len);
	return FLOW_NEXT;
}

static enum flow_next history_ask_start(struct request *r)
{
	struct reading *reading = new_reading(r);
	int64_t page = 1;
	enum flow_next next;

	if (!request_query_int(r, "page", 1, MAX_OFFSET / MESSAGES_MAX_PAGE, &page) ||
	    !request_query_int(r, "pageSize", 1, MESSAGES_MAX_PAGE, &reading->limit))
		return FLOW_DONE;
	reading->offset = (page - 1) * reading->limit;
	next = ask_for_copy(r);
	return next == FLOW_NEXT ? history_ask_finish(r) : next;
}

static enum flow_next history_start(struct request *r)
{
	const struct reading *reading = r->state;

	return reading->session.len ? FLOW_NEXT : get_start(r);
}

static enum flow_next history_finish(struct request *r)
{
	struct reading *reading = r->state;

	if (!take_session(r, &reading->session))
		return FLOW_DONE;
	query_fini(r->query);
	return FLOW_NEXT;
}

const struct step sessions_history_steps[] = {
	{"whose_session", whose_read_start, whose_read_finish},
	{"ask_cache", history_ask_start, history_ask_finish},
	{"get_session", history_start, history_finish},
	{"load_messages", load, load_finish},
	{NULL, NULL, NULL},
};

/* ---- numbers ---- */

static enum flow_next stats_start(struct request *r)
{
	struct session_owner owner = whose(r);

	sessions_stats(r->app->pool, r->query, &owner);
	return FLOW_WAIT;
}

static enum flow_next stats_finish(struct request *r)
{
	struct session_stats_row sum = {.agent_id = STR("")};
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	json_open(&w, '{');
	json_key(&w, "agents");
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(r->query); i++) {
		struct session_stats_row row = sessions_stats_row(r->query, i);

		json_open(&w, '{');
		json_add_str(&w, "agentId", row.agent_id);
		json_add_int(&w, "active", row.active);
		json_add_int(&w, "archived", row.archived);
		json_close(&w, '}');
		sum.active += row.active;
		sum.archived += row.archived;
		sum.deleted += row.deleted;
	}
	json_close(&w, ']');
	json_add_int(&w, "total", sum.active + sum.archived);
	json_add_int(&w, "active", sum.active);
	json_add_int(&w, "archived", sum.archived);
	json_add_int(&w, "deleted", sum.deleted);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step sessions_stats_steps[] = {
	{"whose_sessions", whose_read_start, whose_read_finish},
	{"count_sessions", stats_start, stats_finish},
	{NULL, NULL, NULL},
};
