/* Statements on audit_log. */
#include "db/audit.h"

#include "db/sql.h"
#include "db/statements.h"

void audit_who_params(struct query *q, const struct audit_who *who)
{
	query_text_or_null(q, who->actor_id);
	query_text(q, who->actor);
	query_text(q, who->address);
	query_text(q, who->request_id);
}

static const struct statement note_entry = {
	"note_audit",
	AUDIT_ENTRY "$5, NULL, jsonb_build_object($6::text, $7::text)",
	7,
};

void audit_note(struct pool *pool, struct query *q, const struct audit_who *who, const char *type, const char *key, struct str value)
{
	audit_who_params(q, who);
	query_text(q, str_from(type));
	query_text(q, str_from(key));
	query_text(q, value);
	query_start(pool, q, &note_entry);
}

static const struct statement note_reading = {
	"note_reading",
	AUDIT_ENTRY "'sessions.read', $5::uuid, jsonb_strip_nulls(jsonb_build_object('route', $6::text, 'session', $7::text))",
	7,
};

void audit_note_reading(struct pool *pool, struct query *q, const struct audit_who *who, struct str user_id, struct str route, struct str session)
{
	audit_who_params(q, who);
	query_text(q, user_id);
	query_text(q, route);
	query_text_or_null(q, session);
	query_start(pool, q, &note_reading);
}

#define FOUND(what)                                                                                                                        \
	" FROM audit_log WHERE " what                                                                                                      \
	" AND ($3::timestamptz IS NULL OR at >= $3::timestamptz) AND ($4::timestamptz IS NULL OR at < $4::timestamptz)"

/* The total is counted up to 100,000 only: nobody turns that many pages, and the log may hold millions. */
#define LIST(found)                                                                                                                        \
	"SELECT (SELECT count(*) FROM (SELECT 1" found                                                                                     \
	" LIMIT 100000) counted), id, " SQL_ISO("at") ", type, actor_id, actor, user_id,"                                                  \
						      " address, request_id, details" found                                                \
						      " ORDER BY id DESC LIMIT $5::bigint OFFSET $6::bigint"

/* $1 and what begins with it and a dot, up to the character behind the dot: byte by byte, as the index has them. */
#define OF_TYPE "(type = $1 OR (type ~>=~ ($1 || '.') AND type ~<~ ($1 || '/')))"

/* Several statements, whose plans use the indexes: plans are made without knowing what is NULL. */
static const struct statement list_audit = {"list_audit", LIST(FOUND("$1 = '' AND $2::uuid IS NULL")), 6};
static const struct statement list_audit_of_type = {"list_audit_of_type", LIST(FOUND(OF_TYPE " AND $2::uuid IS NULL")), 6};
static const struct statement list_audit_of_user = {
	"list_audit_of_user", LIST(FOUND("(user_id = $2::uuid OR actor_id = $2::uuid) AND ($1 = '' OR " OF_TYPE ")")), 6};

void audit_list(struct pool *pool, struct query *q, const struct audit_filter *filter)
{
	query_text(q, filter->type);
	query_text_or_null(q, filter->user_id);
	query_text_or_null(q, filter->from);
	query_text_or_null(q, filter->to);
	query_int(q, filter->limit);
	query_int(q, filter->offset);
	query_start(pool, q, filter->user_id.len ? &list_audit_of_user : filter->type.len ? &list_audit_of_type : &list_audit);
}

struct audit_row audit_row(const struct query *q, size_t i)
{
	return (struct audit_row){
		.total = query_col_int(q, i, 0),
		.id = query_col_int(q, i, 1),
		.at = query_col(q, i, 2),
		.type = query_col(q, i, 3),
		.actor_id = query_col(q, i, 4),
		.actor = query_col(q, i, 5),
		.user_id = query_col(q, i, 6),
		.address = query_col(q, i, 7),
		.request_id = query_col(q, i, 8),
		.details = query_col(q, i, 9),
	};
}

const struct statement *const audit_statements[] = {
	&note_entry, &note_reading, &list_audit, &list_audit_of_type, &list_audit_of_user, NULL,
};
