/* Statements on logins, refresh_tokens and login_failures. */
#include "db/logins.h"

#include "db/sql.h"
#include "db/statements.h"

#define REMAINING_S(row, max) "CASE WHEN " row ".failures >= " max "::integer THEN greatest(1, ceil(extract(epoch FROM " row ".expires_at - now())))::bigint ELSE 0 END"

static const struct statement look = {
	"login_look",
	"SELECT " REMAINING_S("n", "$3") ", " REMAINING_S("a", "$4") ", u.id, u.username, u.email, u.role, u.password_hash, u.is_active,"
	" u.password_changes"
	" FROM (SELECT 1) one LEFT JOIN users u ON lower(u.username) = lower($1)"
	" LEFT JOIN login_failures n ON n.kind = 'name' AND n.key = " SQL_NAME_KEY("$1") " AND n.expires_at > now()"
	" LEFT JOIN login_failures a ON a.kind = 'address' AND a.key = $2 AND a.expires_at > now()",
	4,
};

void logins_look(struct pool *pool, struct query *q, const struct login_attempt *attempt)
{
	query_text(q, attempt->username);
	query_text(q, attempt->address);
	query_int(q, attempt->limits->max_failures);
	query_int(q, attempt->limits->address_max);
	query_start(pool, q, &look);
}

struct login_look logins_looked(const struct query *q)
{
	return (struct login_look){
		.name_barred_s = query_col_int(q, 0, 0),
		.address_barred_s = query_col_int(q, 0, 1),
		.user_id = query_col(q, 0, 2),
		.username = query_col(q, 0, 3),
		.email = query_col(q, 0, 4),
		.role = query_col(q, 0, 5),
		.password_hash = query_col(q, 0, 6),
		.is_active = query_col_bool(q, 0, 7),
		.password_changes = query_col_int(q, 0, 8),
	};
}

/* Both statements below: $5 name, $6 and $7 how many failures of a name and of an address are too many. */
static void attempt_params(struct query *q, const struct login_attempt *attempt, struct str user_id, struct str actor)
{
	struct audit_who who = {user_id, actor, attempt->address, attempt->request_id};

	audit_who_params(q, &who);
	query_text(q, attempt->username);
	query_int(q, attempt->limits->max_failures);
	query_int(q, attempt->limits->address_max);
}

/* $8 lockout, $9 window. A name's count runs on from failure to failure until it is too high: from then on its time runs out, and
 * failures are counted only to know that they came too late. An address has a fixed window. */
static const struct statement fail = {
	"login_fail",
	"WITH name AS (INSERT INTO login_failures AS f (kind, key, failures, expires_at)"
	"  VALUES ('name', " SQL_NAME_KEY("$5") ", 1, now() + " SQL_SECONDS("$8") ")"
	"  ON CONFLICT (kind, key) DO UPDATE SET failures = CASE WHEN f.expires_at <= now() THEN 1 ELSE f.failures + 1 END,"
	"  expires_at = CASE WHEN f.expires_at > now() AND f.failures >= $6::integer THEN f.expires_at ELSE now() + " SQL_SECONDS("$8") " END"
	"  RETURNING failures),"
	" address AS (INSERT INTO login_failures AS f (kind, key, failures, expires_at)"
	"  VALUES ('address', $3, 1, now() + " SQL_SECONDS("$9") ")"
	"  ON CONFLICT (kind, key) DO UPDATE SET failures = CASE WHEN f.expires_at <= now() THEN 1 ELSE f.failures + 1 END,"
	"  expires_at = CASE WHEN f.expires_at > now() THEN f.expires_at ELSE now() + " SQL_SECONDS("$9") " END"
	"  RETURNING failures),"
	" noted AS (" AUDIT_ENTRY "CASE WHEN name.failures = $6::integer THEN 'login.locked' ELSE 'login.failed' END, $1::uuid, '{}' FROM name, address"
	"  WHERE name.failures <= $6::integer AND address.failures <= $7::integer)"
	" SELECT name.failures > $6::integer, address.failures > $7::integer FROM name, address",
	9,
};

void logins_fail(struct pool *pool, struct query *q, const struct login_attempt *attempt, struct str user_id)
{
	/* An unknown name may be anything, such as a password: it is not written down. */
	attempt_params(q, attempt, user_id, user_id.len ? attempt->username : STR(""));
	query_int(q, attempt->limits->lockout_s);
	query_int(q, attempt->limits->address_window_s);
	query_start(pool, q, &fail);
}

enum login_verdict logins_failed(const struct query *q)
{
	if (query_col_bool(q, 0, 0))
		return LOGIN_NAME_BARRED;
	return query_col_bool(q, 0, 1) ? LOGIN_ADDRESS_BARRED : LOGIN_FINE;
}

/* $8 login, $9 user, $10 hash of the refresh token, $11 its time, $12 user agent, $13 new password hash,
 * $14 what password_changes must still be. What bars is read without a lock: a failure that is not committed comes after this. */
static const struct statement open_login = {
	"login_open",
	"WITH barred AS (SELECT kind FROM login_failures WHERE expires_at > now()"
	"  AND ((kind = 'name' AND key = " SQL_NAME_KEY("$5") " AND failures >= $6::integer) OR (kind = 'address' AND key = $3 AND failures >= $7::integer))),"
	" person AS (UPDATE users SET last_login_at = now(), password_hash = coalesce($13, password_hash)"
	"  WHERE id = $9::uuid AND is_active AND password_changes = $14::integer AND NOT EXISTS (SELECT FROM barred) RETURNING id),"
	" made AS (INSERT INTO logins (id, user_id, address, user_agent, expires_at)"
	"  SELECT $8::uuid, id, $3, $12, now() + " SQL_SECONDS("$11") " FROM person RETURNING id),"
	" token AS (INSERT INTO refresh_tokens (hash, login_id) SELECT $10, id FROM made),"
	" forgotten AS (DELETE FROM login_failures WHERE kind = 'name' AND key = " SQL_NAME_KEY("$5") " AND EXISTS (SELECT FROM person)),"
	" noted AS (" AUDIT_ENTRY "'login', id, '{}' FROM person)"
	" SELECT EXISTS (SELECT FROM person), EXISTS (SELECT FROM barred WHERE kind = 'name'), EXISTS (SELECT FROM barred)",
	14,
};

void logins_open(struct pool *pool, struct query *q, const struct login_attempt *attempt, const struct new_login *login)
{
	attempt_params(q, attempt, login->user_id, login->username);
	query_text(q, login->id);
	query_text(q, login->user_id);
	query_text(q, login->refresh_hash);
	query_int(q, login->ttl_s);
	query_text(q, attempt->user_agent);
	query_text_or_null(q, login->password_hash);
	query_int(q, login->password_changes);
	query_start(pool, q, &open_login);
}

enum login_verdict logins_opened(const struct query *q)
{
	if (query_col_bool(q, 0, 0))
		return LOGIN_FINE;
	if (query_col_bool(q, 0, 1))
		return LOGIN_NAME_BARRED;
	return query_col_bool(q, 0, 2) ? LOGIN_ADDRESS_BARRED : LOGIN_INACTIVE;
}

/* $1 its hash, $2 that of the new one, $3 time, $4 grace, $5 address, $6 request id. The login is locked first, as by whoever deletes it
 * with its tokens. */
static const struct statement refresh = {
	"login_refresh",
	"WITH token AS (SELECT r.hash, l.id AS login_id, u.id AS user_id, u.username, u.email, u.role,"
	"  CASE WHEN l.ended_at IS NOT NULL OR l.expires_at <= now() OR NOT u.is_active THEN 1"
	"  WHEN r.used_at IS NULL OR r.used_at > now() - " SQL_SECONDS("$4") " THEN 0 ELSE 2 END AS state"
	"  FROM refresh_tokens r JOIN logins l ON l.id = r.login_id JOIN users u ON u.id = l.user_id WHERE r.hash = $1 FOR UPDATE OF l, r),"
	" used AS (UPDATE refresh_tokens r SET used_at = coalesce(r.used_at, now()) FROM token WHERE r.hash = token.hash AND state = 0),"
	" made AS (INSERT INTO refresh_tokens (hash, login_id) SELECT $2, login_id FROM token WHERE state = 0),"
	" moved AS (UPDATE logins SET expires_at = now() + " SQL_SECONDS("$3") " FROM token WHERE logins.id = login_id AND state = 0),"
	" ended AS (UPDATE logins SET ended_at = now(), ended_why = 'reused' FROM token WHERE logins.id = login_id AND state = 2),"
	" noted AS (INSERT INTO audit_log (actor_id, actor, address, request_id, type, user_id)"
	"  SELECT user_id, username, $5, $6, 'login.reused', user_id FROM token WHERE state = 2)"
	" SELECT state, login_id, user_id, username, email, role FROM token",
	6,
};

void logins_refresh(struct pool *pool, struct query *q, struct str hash, struct str new_hash, int64_t ttl_s, struct str address,
		    struct str request_id)
{
	query_text(q, hash);
	query_text(q, new_hash);
	query_int(q, ttl_s);
	query_int(q, REFRESH_GRACE_S);
	query_text(q, address);
	query_text(q, request_id);
	query_start(pool, q, &refresh);
}

struct login_refreshed logins_refreshed(const struct query *q)
{
	int64_t state = query_col_int(q, 0, 0);

	return (struct login_refreshed){
		.state = state == 0 ? REFRESH_FINE : state == 2 ? REFRESH_REUSED : REFRESH_ENDED,
		.login_id = query_col(q, 0, 1),
		.user_id = query_col(q, 0, 2),
		.username = query_col(q, 0, 3),
		.email = query_col(q, 0, 4),
		.role = query_col(q, 0, 5),
	};
}

static const struct statement end_login = {
	"login_end",
	"WITH ended AS (UPDATE logins SET ended_at = now(), ended_why = 'logout' WHERE id = $5::uuid AND ended_at IS NULL RETURNING user_id),"
	" noted AS (" AUDIT_ENTRY "'logout', user_id, '{}' FROM ended)"
	" SELECT count(*) FROM ended",
	5,
};

void logins_end(struct pool *pool, struct query *q, const struct audit_who *who, struct str login_id)
{
	audit_who_params(q, who);
	query_text(q, login_id);
	query_start(pool, q, &end_login);
}

/* $5 names, $6 ids of their logins, $7 when they end (seconds since 1970), $8 address; for the audit entry: $9 how many there are in all
 * parts together, NULL in all parts but one, $10 whose they all are, $11 seconds. A row with the login and its user for each, in the order
 * of $6; without those whose user is not there or inactive. The users are locked, so that whoever disables one meanwhile ends these logins. */
const struct statement logins_issue_statement = {
	"issue_logins",
	"WITH wanted AS (SELECT * FROM unnest($5::text[], $6::uuid[]) WITH ORDINALITY AS w (username, login_id, n)),"
	" people AS (SELECT u.id, login_id FROM wanted JOIN users u ON lower(u.username) = lower(wanted.username) WHERE u.is_active FOR SHARE OF u),"
	" made AS (INSERT INTO logins (id, user_id, address, expires_at) SELECT login_id, id, $8, to_timestamp($7::bigint) FROM people"
	"  RETURNING id, user_id),"
	" noted AS (" AUDIT_ENTRY "'token.issued', $10::uuid, jsonb_build_object('count', $9::bigint, 'seconds', $11::bigint) WHERE $9::bigint IS NOT NULL)"
	" SELECT made.id, made.user_id FROM made JOIN wanted ON login_id = made.id ORDER BY n",
	11,
};

const struct statement *const logins_statements[] = {
	&look, &fail, &open_login, &refresh, &end_login, &logins_issue_statement, NULL,
};
