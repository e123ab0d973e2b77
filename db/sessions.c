/* Statements on chat_sessions. */
#include "db/sessions.h"

#include "base/uuid.h"
#include "db/sessions_sql.h"
#include "db/sql.h"
#include "db/statements.h"

/* What session_row is made of. */
#define COLUMNS(s)                                                                                                       \
	s ".id, coalesce(" s ".deleted_name, " s ".name), " s ".user_id, " s ".agent_id, " s ".title, " s ".status, " SQL_ISO(s ".created_at") \
	", " SQL_ISO(s ".updated_at") ", " SQL_ISO(s ".deleted_at") ", " s ".title_by_user, " s ".message_count, " SQL_US(s ".updated_at")

void session_owner_params(struct query *q, const struct session_owner *owner)
{
	query_text(q, owner->user_id);
	query_text_or_null(q, owner->agents);
}

void session_ref_params(struct query *q, struct str ref)
{
	query_text(q, ref);
	query_text_or_null(q, uuid_valid(ref) ? ref : STR(""));
}

static struct session_row row_at(const struct query *q, size_t i, size_t col)
{
	return (struct session_row){
		.id = query_col(q, i, col),
		.chat_id = query_col(q, i, col + 1),
		.user_id = query_col(q, i, col + 2),
		.agent_id = query_col(q, i, col + 3),
		.title = query_col(q, i, col + 4),
		.status = query_col(q, i, col + 5),
		.created_at = query_col(q, i, col + 6),
		.updated_at = query_col(q, i, col + 7),
		.deleted_at = query_col(q, i, col + 8),
		.title_by_user = query_col_bool(q, i, col + 9),
		.message_count = query_col_int(q, i, col + 10),
		.updated_us = query_col_int(q, i, col + 11),
	};
}

/* ---- list ---- */

/* One status at a time, each with an index of its own; the planner leaves out at once those that are not asked for. */
#define OF_STATUS(status, asked)                                                                                         \
	"(SELECT * FROM chat_sessions s WHERE s.user_id = $1::uuid AND s.status = '" status "' AND $3 IN (" asked ")"      \
	" AND ($4::text IS NULL OR s.agent_id = $4)"                                                                       \
	" AND (s.updated_at, s.id) < (coalesce(" SQL_AT_US("$5") ", 'infinity'), coalesce($6::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))" \
	" AND " SQL_KEY_OPENS("s", "$2") " ORDER BY s.updated_at DESC" SQL_FIRST("$7::bigint + $8::bigint") ")"

/* session_counts has keys such as "active/agent"; no status and no agent's id has a slash. */
static const struct statement list_sessions = {
	"list_sessions",
	"SELECT t.total, " COLUMNS("p") " FROM (SELECT coalesce(sum(e.value::bigint), 0) AS total"
	"  FROM session_counts c, jsonb_each_text(c.counts) e,"
	"  LATERAL (SELECT split_part(e.key, '/', 1) AS status, split_part(e.key, '/', 2) AS agent_id) k"
	"  WHERE c.user_id = $1::uuid AND (k.status = $3 OR ($3 = 'all' AND k.status <> 'deleted'))"
	"  AND ($4::text IS NULL OR k.agent_id = $4) AND ($2::jsonb IS NULL OR $2::jsonb ? k.agent_id)) t"
	" LEFT JOIN (SELECT * FROM ("
	OF_STATUS("active", "'active', 'all'") " UNION ALL " OF_STATUS("archived", "'archived', 'all'") " UNION ALL " OF_STATUS("deleted", "'deleted'")
	") u ORDER BY updated_at DESC, id DESC LIMIT $7::bigint OFFSET $8::bigint) p ON true ORDER BY p.updated_at DESC, p.id DESC",
	8,
};

void sessions_list(struct pool *pool, struct query *q, const struct session_owner *owner, const struct session_list *list)
{
	session_owner_params(q, owner);
	query_text(q, list->status);
	query_text_or_null(q, list->agent_id);
	if (list->after)
		query_int(q, list->after_us);
	else
		query_null(q);
	query_text_or_null(q, list->after ? list->after_id : STR(""));
	query_int(q, list->limit);
	query_int(q, list->offset);
	query_start(pool, q, &list_sessions);
}

int64_t sessions_total(const struct query *q)
{
	return query_col_int(q, 0, 0);
}

bool sessions_present(const struct query *q, size_t i)
{
	return !query_is_null(q, i, 1);
}

struct session_row sessions_listed(const struct query *q, size_t i)
{
	return row_at(q, i, 1);
}

/* ---- one ---- */

static const struct statement get_session = {
	"get_session",
	"SELECT " COLUMNS("s") " FROM chat_sessions s WHERE s.id = " SESSION_ID "",
	4,
};

void sessions_get(struct pool *pool, struct query *q, const struct session_owner *owner, struct str ref)
{
	session_owner_params(q, owner);
	session_ref_params(q, ref);
	query_start(pool, q, &get_session);
}

struct session_row sessions_row(const struct query *q, size_t i)
{
	return row_at(q, i, 0);
}

static const struct statement add_session = {
	"add_session",
	"INSERT INTO chat_sessions AS s (id, user_id, anonymous, name, agent_id, title, title_by_user)"
	" VALUES ($1::uuid, $2::uuid, $3::boolean, $4, $5, $6, $6 <> '') RETURNING " COLUMNS("s"),
	6,
};

void sessions_add(struct pool *pool, struct query *q, const struct new_session *session)
{
	query_text(q, session->id);
	query_text(q, session->user_id);
	query_bool(q, session->anonymous);
	query_text(q, session->chat_id);
	query_text(q, session->agent_id);
	query_text(q, session->title);
	query_start(pool, q, &add_session);
}

/* A title is no sign of life: the session stays where it is in the list. */
static const struct statement set_title = {
	"set_session_title",
	"UPDATE chat_sessions s SET title = $5, title_by_user = true WHERE s.id = " SESSION_ID " RETURNING " COLUMNS("s"),
	5,
};

void sessions_set_title(struct pool *pool, struct query *q, const struct session_owner *owner, struct str ref, struct str title)
{
	session_owner_params(q, owner);
	session_ref_params(q, ref);
	query_text(q, title);
	query_start(pool, q, &set_title);
}

/* ---- archive, restore, delete ---- */

/* Rows are locked in the order of turns' beginnings. A deleted one that comes back gets its name again unless somebody has it by now. */
static const struct statement change_sessions = {
	"change_sessions",
	"WITH input AS MATERIALIZED (SELECT * FROM unnest($3::text[]) WITH ORDINALITY AS i (ref, place)),"
	" found AS MATERIALIZED ("
	"  SELECT i.place, coalesce(n.id, u.id, d.id) AS id FROM input i"
	"  LEFT JOIN chat_sessions n ON n.user_id = $1::uuid AND n.name = i.ref AND n.status <> 'deleted'"
	"  LEFT JOIN chat_sessions u ON n.id IS NULL AND u.user_id = $1::uuid"
	"   AND u.id = CASE WHEN i.ref ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN i.ref::uuid END"
	"   AND (u.status <> 'deleted' OR $4 = 'restore')"
	"  LEFT JOIN LATERAL (SELECT id FROM chat_sessions WHERE n.id IS NULL AND u.id IS NULL AND $4 = 'restore' AND user_id = $1::uuid"
	"   AND deleted_name = i.ref AND status = 'deleted' ORDER BY deleted_at DESC LIMIT 1) d ON true),"
	" locked AS MATERIALIZED ("
	"  SELECT s.* FROM chat_sessions s WHERE s.id = ANY (SELECT id FROM found) AND " SQL_KEY_OPENS("s", "$2")
	"  ORDER BY s.user_id, s.name FOR UPDATE OF s),"
	" named AS MATERIALIZED ("
	"  SELECT l.*, CASE $4 WHEN 'delete' THEN 'deleted' WHEN 'archive' THEN 'archived' ELSE 'active' END AS becomes,"
	"   row_number() OVER (PARTITION BY l.deleted_name ORDER BY l.deleted_at DESC) > 1"
	"    OR EXISTS (SELECT FROM chat_sessions t WHERE t.user_id = l.user_id AND t.name = l.deleted_name) AS taken FROM locked l),"
	" changed AS ("
	"  UPDATE chat_sessions s SET status = n.becomes,"
	"   name = CASE WHEN n.becomes = 'deleted' THEN '#' || s.id WHEN s.status <> 'deleted' THEN s.name WHEN n.taken THEN s.id::text ELSE s.deleted_name END,"
	"   deleted_name = CASE WHEN n.becomes = 'deleted' THEN s.name END,"
	"   deleted_at = CASE WHEN n.becomes = 'deleted' THEN now() END"
	"  FROM named n WHERE s.id = n.id AND s.status <> n.becomes RETURNING s.*)"
	" SELECT c.id IS NOT NULL, " COLUMNS("s")
	" FROM found f LEFT JOIN changed c ON c.id = f.id"
	" LEFT JOIN LATERAL (SELECT c.* WHERE c.id IS NOT NULL UNION ALL SELECT l.* FROM locked l WHERE l.id = f.id AND c.id IS NULL) s ON true"
	" ORDER BY f.place",
	4,
};

void sessions_change(struct pool *pool, struct query *q, const struct session_owner *owner, struct str refs, struct str operation)
{
	session_owner_params(q, owner);
	query_text(q, refs);
	query_text(q, operation);
	query_start(pool, q, &change_sessions);
}

enum session_change sessions_changed(const struct query *q, size_t i)
{
	if (query_is_null(q, i, 1))
		return SESSION_NOT_FOUND;
	return query_col_bool(q, i, 0) ? SESSION_CHANGED : SESSION_UNCHANGED;
}

struct session_row sessions_changed_row(const struct query *q, size_t i)
{
	return row_at(q, i, 1);
}

/* ---- numbers ---- */

static const struct statement count_sessions = {
	"count_sessions",
	"SELECT k.agent_id, sum(k.n) FILTER (WHERE k.status = 'active'), sum(k.n) FILTER (WHERE k.status = 'archived'),"
	" sum(k.n) FILTER (WHERE k.status = 'deleted') FROM session_counts c, jsonb_each_text(c.counts) e,"
	" LATERAL (SELECT split_part(e.key, '/', 1) AS status, split_part(e.key, '/', 2) AS agent_id, e.value::bigint AS n) k"
	" WHERE c.user_id = $1::uuid AND ($2::jsonb IS NULL OR $2::jsonb ? k.agent_id)"
	" GROUP BY k.agent_id HAVING sum(k.n) > 0 ORDER BY k.agent_id",
	2,
};

void sessions_stats(struct pool *pool, struct query *q, const struct session_owner *owner)
{
	session_owner_params(q, owner);
	query_start(pool, q, &count_sessions);
}

struct session_stats_row sessions_stats_row(const struct query *q, size_t i)
{
	return (struct session_stats_row){
		.agent_id = query_col(q, i, 0),
		.active = query_col_int(q, i, 1),
		.archived = query_col_int(q, i, 2),
		.deleted = query_col_int(q, i, 3),
	};
}

const struct statement *const sessions_statements[] = {
	&list_sessions, &get_session, &add_session, &set_title, &change_sessions, &count_sessions, NULL,
};
