/* Reading a session. */
#include "handlers/sessions.h"

#include "db/messages.h"
#include "handlers/request.h"
#include "handlers/session_json.h"
#include "handlers/whose.h"

enum { DEFAULT_PAGE = 50, MAX_OFFSET = 1000000000 };

/* A page of messages, and for /history the session before it. */
struct reading {
	int64_t limit, offset;
	struct str role;
	struct buf session; /* JSON members */
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

	messages_list(r->app->pool, &r->query, &owner, r->path_params[0], reading->role, reading->limit, reading->offset);
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

	if (r->query.op.err)
		return request_reject(r, r->query.op.err);
	if (query_n_rows(&r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	if (reading->session.len) {
		json_put_raw(&w, buf_str(&reading->session));
		w.comma = true;
		json_key(&w, "messages");
	}
	n = put_messages(&w, &r->query);
	if (reading->session.len)
		json_close(&w, '}');
	put_pagination(&pages, reading, n, messages_total(&r->query));
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

static enum flow_next get_start(struct request *r)
{
	struct session_owner owner = whose(r);

	sessions_get(r->app->pool, &r->query, &owner, r->path_params[0]);
	return FLOW_WAIT;
}

/* Leaves the object open, for what follows. */
static void put_open_session(struct buf *out, const struct query *q)
{
	struct json_writer w = {.out = out};
	struct session_row s = sessions_row(q, 0);

	json_open(&w, '{');
	put_session_members(&w, &s);
}

static enum flow_next get_finish(struct request *r)
{
	struct buf b = {0};

	if (r->query.op.err)
		return request_reject(r, r->query.op.err);
	if (query_n_rows(&r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	put_open_session(&b, &r->query);
	buf_add_char(&b, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step sessions_get_steps[] = {
	{"whose_session", whose_read_start, whose_read_finish},
	{"get_session", get_start, get_finish},
	{NULL, NULL, NULL},
};

/* ---- both ---- */

static enum flow_next history_start(struct request *r)
{
	struct reading *reading = new_reading(r);
	int64_t page = 1;

	if (!request_query_int(r, "page", 1, MAX_OFFSET / MESSAGES_MAX_PAGE, &page) ||
	    !request_query_int(r, "pageSize", 1, MESSAGES_MAX_PAGE, &reading->limit))
		return FLOW_DONE;
	reading->offset = (page - 1) * reading->limit;
	return get_start(r);
}

static enum flow_next history_finish(struct request *r)
{
	struct reading *reading = r->state;

	if (r->query.op.err)
		return request_reject(r, r->query.op.err);
	if (query_n_rows(&r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	put_open_session(&reading->session, &r->query);
	query_fini(&r->query);
	return FLOW_NEXT;
}

const struct step sessions_history_steps[] = {
	{"whose_session", whose_read_start, whose_read_finish},
	{"get_session", history_start, history_finish},
	{"load_messages", load, load_finish},
	{NULL, NULL, NULL},
};

/* ---- numbers ---- */

static enum flow_next stats_start(struct request *r)
{
	struct session_owner owner = whose(r);

	sessions_stats(r->app->pool, &r->query, &owner);
	return FLOW_WAIT;
}

static enum flow_next stats_finish(struct request *r)
{
	struct session_stats_row sum = {.agent_id = STR("")};
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	if (r->query.op.err)
		return request_reject(r, r->query.op.err);
	json_open(&w, '{');
	json_key(&w, "agents");
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(&r->query); i++) {
		struct session_stats_row row = sessions_stats_row(&r->query, i);

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
