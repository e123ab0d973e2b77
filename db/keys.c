/* Statements on api_keys. */
#include "db/keys.h"

#include "db/sql.h"
#include "db/statements.h"

#define COLUMNS                                                                                                     \
	"k.id, k.user_id, u.username, k.name, k.shown, k.agents, " SQL_ISO("k.created_at") ", " SQL_ISO("k.expires_at") ", " \
	SQL_ISO("k.last_used_at") ", k.requests_per_minute, k.tokens_per_minute, k.monthly_tokens,"                          \
	" (SELECT m.used FROM key_months m WHERE m.key_id = k.id AND m.month = date_trunc('month', now() AT TIME ZONE 'UTC')::date)"

static const struct statement add_key = {
	"add_key",
	"WITH made AS (INSERT INTO api_keys (id, user_id, name, shown, hash, agents, expires_at, requests_per_minute, tokens_per_minute, monthly_tokens)"
	"  SELECT $5::uuid, $6::uuid, $7, $8, $9, $10::jsonb, now() + " SQL_SECONDS("nullif($11::bigint, 0)") ","
	"   nullif($13::integer, 0), nullif($14::integer, 0), nullif($15::bigint, 0)"
	"  WHERE (SELECT count(*) FROM api_keys WHERE user_id = $6::uuid AND revoked_at IS NULL AND coalesce(expires_at > now(), true)) < $12::bigint"
	"  RETURNING *),"
	" noted AS (" AUDIT_ENTRY "'key.created', user_id, jsonb_build_object('keyId', id, 'name', name, 'shown', shown) FROM made)"
	" SELECT 1, " COLUMNS " FROM made k JOIN users u ON u.id = k.user_id",
	15,
};

void keys_add(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_key *key)
{
	audit_who_params(q, who);
	query_text(q, key->id);
	query_text(q, key->user_id);
	query_text(q, key->name);
	query_text(q, key->shown);
	query_text(q, key->hash);
	query_text_or_null(q, key->agents);
	query_int(q, key->expires_after_s);
	query_int(q, KEYS_MAX_OF_USER);
	query_int(q, key->limits.requests_per_minute);
	query_int(q, key->limits.tokens_per_minute);
	query_int(q, key->limits.monthly_tokens);
	query_start(pool, q, &add_key);
}

#define LIST_KEYS(condition)                                                                                        \
	"SELECT count(*) OVER (), " COLUMNS " FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.revoked_at IS NULL AND " condition \
	" ORDER BY k.created_at DESC, k.id LIMIT $2::bigint OFFSET $3::bigint"

static const struct statement list_keys = {"list_keys", LIST_KEYS("$1::uuid IS NULL"), 3};
/* Another statement, whose plan uses the index: plans are made without knowing what is NULL. */
static const struct statement list_keys_of_user = {"list_keys_of_user", LIST_KEYS("k.user_id = $1::uuid"), 3};

void keys_list(struct pool *pool, struct query *q, struct str user_id, int64_t limit, int64_t offset)
{
	query_text_or_null(q, user_id);
	query_int(q, limit);
	query_int(q, offset);
	query_start(pool, q, user_id.len ? &list_keys_of_user : &list_keys);
}

struct key_limits keys_limits(const struct query *q, size_t i, size_t col)
{
	return (struct key_limits){query_col_int(q, i, col), query_col_int(q, i, col + 1), query_col_int(q, i, col + 2)};
}

struct key_row keys_row(const struct query *q, size_t i)
{
	return (struct key_row){
		.total = query_col_int(q, i, 0),
		.id = query_col(q, i, 1),
		.user_id = query_col(q, i, 2),
		.username = query_col(q, i, 3),
		.name = query_col(q, i, 4),
		.shown = query_col(q, i, 5),
		.agents = query_col(q, i, 6),
		.created_at = query_col(q, i, 7),
		.expires_at = query_col(q, i, 8),
		.last_used_at = query_col(q, i, 9),
		.limits = keys_limits(q, i, 10),
		.used_tokens = query_col_int(q, i, 13),
	};
}

static const struct statement revoke_key = {
	"revoke_key",
	"WITH gone AS (UPDATE api_keys SET revoked_at = now() WHERE id = $5::uuid AND ($6::uuid IS NULL OR user_id = $6::uuid)"
	"  AND revoked_at IS NULL RETURNING *),"
	" noted AS (" AUDIT_ENTRY "'key.revoked', user_id, jsonb_build_object('keyId', id, 'name', name, 'shown', shown) FROM gone)"
	" SELECT count(*) FROM gone",
	6,
};

void keys_revoke(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, struct str user_id)
{
	audit_who_params(q, who);
	query_text(q, id);
	query_text_or_null(q, user_id);
	query_start(pool, q, &revoke_key);
}

const struct statement *const keys_statements[] = {&add_key, &list_keys, &list_keys_of_user, &revoke_key, NULL};
