/* Statements that delete by age. */
#include "db/retention.h"

#include "db/sql.h"
#include "db/statements.h"

/* ended_at has no index; a login that ended then had at most a whole lifetime before it. */
static const struct statement expire_logins = {
	"expire_logins",
	"DELETE FROM logins WHERE id IN (SELECT id FROM logins"
	" WHERE expires_at < now() - interval '30 days' + " SQL_SECONDS(
		"$1") " AND (expires_at < now() - interval '30 days' OR ended_at < now() - interval '30 days')"
		      " ORDER BY expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED)",
	2,
};

void retention_logins(struct pool *pool, struct query *q, int64_t ttl_s, int64_t max)
{
	query_int(q, ttl_s);
	query_int(q, max);
	query_start(pool, q, &expire_logins);
}

static const struct statement expire_login_failures = {
	"expire_login_failures",
	"DELETE FROM login_failures WHERE (kind, key) IN (SELECT kind, key FROM login_failures WHERE expires_at < now()"
	" ORDER BY expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED)",
	1,
};

void retention_login_failures(struct pool *pool, struct query *q, int64_t max)
{
	query_int(q, max);
	query_start(pool, q, &expire_login_failures);
}

static const struct statement expire_changes = {
	"expire_changes",
	"DELETE FROM changes WHERE n IN (SELECT n FROM changes WHERE at < now() - interval '1 hour'"
	" AND n <= (SELECT n FROM changes ORDER BY n DESC OFFSET 1000 LIMIT 1)"
	" ORDER BY at LIMIT $1::bigint FOR UPDATE SKIP LOCKED)",
	1,
};

void retention_changes(struct pool *pool, struct query *q, int64_t max)
{
	query_int(q, max);
	query_start(pool, q, &expire_changes);
}

static const struct statement expire_audit = {
	"expire_audit",
	"DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < now() - make_interval(days => $1::integer)"
	" ORDER BY at LIMIT $2::bigint FOR UPDATE SKIP LOCKED)",
	2,
};

void retention_audit(struct pool *pool, struct query *q, int64_t days, int64_t max)
{
	query_int(q, days);
	query_int(q, max);
	query_start(pool, q, &expire_audit);
}

static const struct statement expire_idempotency_keys = {
	"expire_idempotency_keys",
	"DELETE FROM idempotency_keys WHERE (owner_id, key) IN (SELECT owner_id, key FROM idempotency_keys WHERE expires_at < now()"
	" ORDER BY expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED)",
	1,
};

void retention_idempotency_keys(struct pool *pool, struct query *q, int64_t max)
{
	query_int(q, max);
	query_start(pool, q, &expire_idempotency_keys);
}

/* Messages first, a slice at a time: a session with fifty thousand of them must not be one long statement. Answers may have megabytes each. */
static const struct statement expire_session_messages = {
	"expire_session_messages",
	"DELETE FROM chat_messages WHERE id IN (SELECT id FROM ("
	"  SELECT id, sum(octet_length(content)) OVER (ORDER BY session_id, created_at, id) - octet_length(content) AS bytes_before FROM ("
	"   SELECT m.id, m.session_id, m.created_at, m.content FROM chat_messages m WHERE m.session_id = ANY (ARRAY("
	"    SELECT s.id FROM chat_sessions s WHERE s.status = 'deleted' AND s.deleted_at < now() - make_interval(days => $1::integer)"
	"     AND EXISTS (SELECT FROM chat_messages o WHERE o.session_id = s.id) ORDER BY s.deleted_at LIMIT 100 FOR UPDATE SKIP LOCKED))"
	"   LIMIT $2::bigint FOR UPDATE SKIP LOCKED) slice"
	" ) counted WHERE bytes_before < 33554432)",
	2,
};

void retention_session_messages(struct pool *pool, struct query *q, int64_t days, int64_t max)
{
	query_int(q, days);
	query_int(q, max);
	query_start(pool, q, &expire_session_messages);
}

static const struct statement expire_sessions = {
	"expire_sessions",
	"DELETE FROM chat_sessions WHERE id IN (SELECT s.id FROM chat_sessions s WHERE s.status = 'deleted'"
	" AND s.deleted_at < now() - make_interval(days => $1::integer) AND NOT EXISTS (SELECT FROM chat_messages o WHERE o.session_id = s.id)"
	" ORDER BY s.deleted_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED)",
	2,
};

void retention_sessions(struct pool *pool, struct query *q, int64_t days, int64_t max)
{
	query_int(q, days);
	query_int(q, max);
	query_start(pool, q, &expire_sessions);
}

const struct statement *const retention_statements[] = {
	&expire_logins, &expire_login_failures, &expire_changes, &expire_audit, &expire_idempotency_keys, &expire_session_messages,
	&expire_sessions, NULL,
};
