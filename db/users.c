/* Statements on users. */
#include "db/users.h"

#include "db/sql.h"
#include "db/statements.h"

#define COLUMNS "id, username, email, role, is_active, " SQL_ISO("created_at") ", " SQL_ISO("last_login_at")

/* $5 id, $6 name, $7 email, $8 hash, $9 role, $10 audit type */
#define ADD_USER(condition)                                                                                         \
	"WITH made AS (INSERT INTO users (id, username, email, password_hash, role)"                                \
	"  SELECT $5::uuid, $6, $7, $8, $9" condition " RETURNING *),"                                              \
	" noted AS (" AUDIT_ENTRY "$10, id, jsonb_build_object('username', username, 'role', role) FROM made)"      \
	" SELECT 1, " COLUMNS " FROM made"

const struct statement users_add_statement = {"add_user", ADD_USER(""), 10};

static const struct statement add_first_admin = {
	"add_first_admin",
	ADD_USER(" WHERE NOT EXISTS (SELECT FROM users WHERE role = 'admin')"),
	10,
};

static void add(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_user *user, const struct statement *stmt)
{
	audit_who_params(q, who);
	query_text(q, user->id);
	query_text(q, user->username);
	query_text_or_null(q, user->email);
	query_text_or_null(q, user->password_hash);
	query_text(q, user->role);
	query_text(q, str_from(user->audit_type));
	query_start(pool, q, stmt);
}

void users_add(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_user *user)
{
	add(pool, q, who, user, &users_add_statement);
}

void users_add_first_admin(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_user *user)
{
	add(pool, q, who, user, &add_first_admin);
}

static const struct statement have_admin = {"have_admin", "SELECT EXISTS (SELECT FROM users WHERE role = 'admin')", 0};

void users_have_admin(struct pool *pool, struct query *q)
{
	query_start(pool, q, &have_admin);
}

static const struct statement list_users = {
	"list_users",
	"SELECT count(*) OVER (), " COLUMNS " FROM users"
	" WHERE $1 = '' OR position(lower($1) IN lower(username)) > 0 OR position(lower($1) IN lower(coalesce(email, ''))) > 0"
	" ORDER BY lower(username) LIMIT $2::bigint OFFSET $3::bigint",
	3,
};

void users_list(struct pool *pool, struct query *q, struct str search, int64_t limit, int64_t offset)
{
	query_text(q, search);
	query_int(q, limit);
	query_int(q, offset);
	query_start(pool, q, &list_users);
}

static const struct statement get_user = {"get_user", "SELECT 1, " COLUMNS " FROM users WHERE id = $1::uuid", 1};

void users_get(struct pool *pool, struct query *q, struct str id)
{
	query_text(q, id);
	query_start(pool, q, &get_user);
}

/* $1 name, in any letter case */
const struct statement users_find_statement = {"find_user", "SELECT 1, " COLUMNS " FROM users WHERE lower(username) = lower($1)", 1};

/* $1 the name that the last page ended with ('' for the first page), $2 how many. All users can be read so, however many there are. */
const struct statement users_list_after_statement = {
	"list_users_after",
	"SELECT 1, " COLUMNS " FROM users WHERE lower(username) > lower($1) ORDER BY lower(username) LIMIT $2::bigint",
	2,
};

struct user_row users_row(const struct query *q, size_t i)
{
	return (struct user_row){
		.total = query_col_int(q, i, 0),
		.id = query_col(q, i, 1),
		.username = query_col(q, i, 2),
		.email = query_col(q, i, 3),
		.role = query_col(q, i, 4),
		.is_active = query_col_bool(q, i, 5),
		.created_at = query_col(q, i, 6),
		.last_login_at = query_col(q, i, 7),
	};
}

/* $5 id, $6 name, $7 email ('' takes it away), $8 role, $9 active; NULL: as it is. The administrators are locked, in one order, so
 * that no two statements each leave the other's for the last one; whether the user is one himself is asked of the row that is changed,
 * which may have become one while the statement waited for it. */
const struct statement users_update_statement = {
	"update_user",
	"WITH admins AS (SELECT id FROM users WHERE role = 'admin' AND is_active ORDER BY id FOR UPDATE),"
	" allowed AS (SELECT (coalesce($8, 'admin') = 'admin' AND coalesce($9::boolean, true)) OR EXISTS (SELECT FROM admins WHERE id <> $5::uuid) AS yes),"
	" changed AS (UPDATE users SET username = coalesce($6, username), email = nullif(coalesce($7, email), ''), role = coalesce($8, role),"
	"  is_active = coalesce($9::boolean, is_active), updated_at = now() FROM allowed"
	"  WHERE id = $5::uuid AND (yes OR NOT (role = 'admin' AND is_active)) RETURNING users.*),"
	" ended AS (SELECT sum(end_logins(id, NULL, 'revoked')) FROM changed WHERE NOT is_active),"
	" noted AS (" AUDIT_ENTRY "'user.updated', id, jsonb_strip_nulls(jsonb_build_object('username', $6::text, 'email', $7::text, 'role', $8::text,"
	"  'isActive', $9::boolean)) FROM changed)"
	" SELECT 1, " COLUMNS " FROM changed, ended"
	" UNION ALL SELECT 0, " COLUMNS " FROM users WHERE id = $5::uuid AND NOT (SELECT yes FROM allowed)"
	"  AND NOT EXISTS (SELECT FROM changed)",
	9,
};

static void text_if_any(struct query *q, const struct str *s)
{
	if (s)
		query_text(q, *s);
	else
		query_null(q);
}

void users_update(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, const struct user_patch *patch)
{
	audit_who_params(q, who);
	query_text(q, id);
	text_if_any(q, patch->username);
	text_if_any(q, patch->email);
	text_if_any(q, patch->role);
	if (patch->is_active)
		query_bool(q, *patch->is_active);
	else
		query_null(q);
	query_start(pool, q, &users_update_statement);
}

bool users_update_refused(const struct query *q)
{
	return query_col_int(q, 0, 0) == 0;
}

/* $5 id, $6 hash, $7 login to keep, $8 audit type, $9 what password_changes must still be, $10 how many failures of the name are too
 * many; NULL: neither matters */
const struct statement users_set_password_statement = {
	"set_password",
	"WITH barred AS (SELECT 1 FROM login_failures WHERE kind = 'name' AND expires_at > now() AND failures >= $10::integer"
	"  AND key = (SELECT " SQL_NAME_KEY("username") " FROM users WHERE id = $5::uuid)),"
	" changed AS (UPDATE users SET password_hash = $6, password_changes = password_changes + 1, updated_at = now()"
	"  WHERE id = $5::uuid AND password_changes = coalesce($9::integer, password_changes) AND NOT EXISTS (SELECT FROM barred) RETURNING *),"
	" ended AS (SELECT sum(end_logins(id, $7::uuid, 'password')) FROM changed),"
	" freed AS (DELETE FROM login_failures USING changed WHERE kind = 'name' AND key = " SQL_NAME_KEY("username") "),"
	" noted AS (" AUDIT_ENTRY "$8, id, '{}' FROM changed)"
	" SELECT 1, " COLUMNS " FROM changed, ended",
	10,
};

void users_set_password(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, struct str password_hash,
			struct str keep_login_id, const struct password_proof *proof, const char *type)
{
	audit_who_params(q, who);
	query_text(q, id);
	query_text(q, password_hash);
	query_text_or_null(q, keep_login_id);
	query_text(q, str_from(type));
	if (proof) {
		query_int(q, proof->password_changes);
		query_int(q, proof->max_failures);
	} else {
		query_null(q);
		query_null(q);
	}
	query_start(pool, q, &users_set_password_statement);
}

static const struct statement revoke_user = {
	"revoke_user",
	"WITH person AS (SELECT id FROM users WHERE id = $5::uuid),"
	" ended AS (UPDATE logins SET ended_at = now(), ended_why = 'revoked' FROM person WHERE user_id = person.id AND ended_at IS NULL RETURNING 1),"
	" revoked AS (UPDATE api_keys SET revoked_at = now() FROM person WHERE user_id = person.id AND revoked_at IS NULL RETURNING 1),"
	" noted AS (" AUDIT_ENTRY "'user.revoked', id, '{}' FROM person)"
	" SELECT (SELECT count(*) FROM ended), (SELECT count(*) FROM revoked) FROM person",
	5,
};

void users_revoke(struct pool *pool, struct query *q, const struct audit_who *who, struct str id)
{
	audit_who_params(q, who);
	query_text(q, id);
	query_start(pool, q, &revoke_user);
}

void users_revoked(const struct query *q, int64_t *n_logins, int64_t *n_keys)
{
	*n_logins = query_col_int(q, 0, 0);
	*n_keys = query_col_int(q, 0, 1);
}

static const struct statement get_password_hash = {"get_password_hash", "SELECT password_hash FROM users WHERE id = $1::uuid", 1};

void users_password_hash(struct pool *pool, struct query *q, struct str id)
{
	query_text(q, id);
	query_start(pool, q, &get_password_hash);
}

/* $5 id. One row: how many counts of failed logins there were. No row: there is no such user. */
const struct statement users_unlock_statement = {
	"unlock_user",
	"WITH person AS (SELECT id, username FROM users WHERE id = $5::uuid),"
	" freed AS (DELETE FROM login_failures USING person WHERE kind = 'name' AND key = " SQL_NAME_KEY("username") " RETURNING person.id),"
	" noted AS (" AUDIT_ENTRY "'user.unlocked', id, '{}' FROM freed)"
	" SELECT (SELECT count(*) FROM freed) FROM person",
	5,
};

/* $1 ids, $2 names: those whose name nobody has yet become users without a password. Writes no audit entry: see logins_issue_statement. */
const struct statement users_add_missing_statement = {
	"add_missing_users",
	"INSERT INTO users (id, username) SELECT * FROM unnest($1::uuid[], $2::text[]) ON CONFLICT (lower(username)) DO NOTHING",
	2,
};

const struct statement *const users_statements[] = {
	&users_add_statement, &add_first_admin, &have_admin, &list_users, &get_user, &users_find_statement, &users_list_after_statement,
	&users_update_statement, &users_set_password_statement, &revoke_user, &get_password_hash, &users_unlock_statement,
	&users_add_missing_statement, NULL,
};
