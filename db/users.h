/* Rows of users. */
#pragma once
#include "db/audit.h"

struct user_row {
	int64_t total; /* of users_list */
	struct str id, username, email, role, created_at, last_login_at; /* email and last_login_at may be empty */
	bool is_active;
};

struct new_user {
	struct str id, username, email, password_hash, role; /* email and password_hash may be empty */
	const char *audit_type; /* user.created, user.registered */
};
/* -ERR_CONFLICT if the name or the e-mail address is taken: see query_constraint. One row: users_row. */
void users_add(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_user *user);
/* The same unless there is an administrator already: then there is no row. */
void users_add_first_admin(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_user *user);
/* One row with a bool: is there an administrator? */
void users_have_admin(struct pool *pool, struct query *q);

enum { USERS_MAX_PAGE = 200 };
/* By name; search: part of a name or an e-mail address, empty: all. No row: none in this page. */
void users_list(struct pool *pool, struct query *q, struct str search, int64_t limit, int64_t offset);
void users_get(struct pool *pool, struct query *q, struct str id);
struct user_row users_row(const struct query *q, size_t i);

/* What is NULL stays as it is. */
struct user_patch {
	const struct str *username, *email, *role; /* an empty email takes it away */
	const bool *is_active;
};
/* Ends all logins of a user that is made inactive. No row: there is no such user. */
void users_update(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, const struct user_patch *patch);
/* Was it refused because there would be no active administrator any more? Else users_row(q, 0) is the user as it is now. */
bool users_update_refused(const struct query *q);

/* Of somebody who knew the old password: what must still be so when the new one is stored. */
struct password_proof {
	int64_t password_changes; /* as logins_looked gave it before the old password was compared */
	int64_t max_failures;     /* of the name, after which no password is the right one */
};
/* A new password, which also ends what bars the name from logging in. Ends the user's logins, but for keep_login_id (may be empty).
 * proof NULL: nobody asked for the old one. No row: there is no such user, or the proof does not hold any more. type: user.password_changed, user.password_reset. */
void users_set_password(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, struct str password_hash,
			struct str keep_login_id, const struct password_proof *proof, const char *type);
/* Ends all logins and revokes all keys. No row: there is no such user. */
void users_revoke(struct pool *pool, struct query *q, const struct audit_who *who, struct str id);
void users_revoked(const struct query *q, int64_t *n_logins, int64_t *n_keys);
/* One row: the hash; it is empty for whoever may not log in with a password. No row: there is no such user. */
void users_password_hash(struct pool *pool, struct query *q, struct str id);

/* For llmchatctl, which runs statements without a pool; parameters as in users.c. Their rows have users_row's columns, but for the last two. */
extern const struct statement users_add_statement, users_set_password_statement, users_update_statement, users_find_statement,
	users_list_after_statement;
extern const struct statement users_unlock_statement, users_add_missing_statement;
