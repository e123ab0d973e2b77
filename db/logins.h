/* Logins, their refresh tokens, and failed logins: what is decided about a login is decided in one statement, so that guesses which
 * race each other cannot learn more than those that come one after the other. */
#pragma once
#include "db/audit.h"

/* LOGIN_… of the configuration. */
struct login_limits {
	int64_t max_failures, lockout_s;          /* of a name */
	int64_t address_max, address_window_s;    /* of an address */
};

/* Who wants in. All borrowed. */
struct login_attempt {
	struct str username, address, user_agent, request_id;
	const struct login_limits *limits;
};

/* One row, whether there is such a user or not. */
void logins_look(struct pool *pool, struct query *q, const struct login_attempt *attempt);
struct login_look {
	int64_t name_barred_s, address_barred_s; /* seconds until they may try again; 0: they may */
	struct str user_id, username, email, role, password_hash; /* empty if there is none */
	bool is_active;
	int64_t password_changes; /* for logins_open and users_set_password, which refuse when the password has changed since */
};
struct login_look logins_looked(const struct query *q);

/* Counts a wrong password, or an unknown name: user_id is empty then. */
void logins_fail(struct pool *pool, struct query *q, const struct login_attempt *attempt, struct str user_id);

/* A login that comes to be. */
struct new_login {
	struct str id, user_id, username, refresh_hash;
	int64_t ttl_s;
	int64_t password_changes; /* as it was when the password was compared; 0 for a new user */
	struct str password_hash; /* the same password, hashed anew; empty: the hash is good as it is */
};
/* Makes the login unless too many guesses have failed or the password was changed meanwhile. One row for logins_opened. */
void logins_open(struct pool *pool, struct query *q, const struct login_attempt *attempt, const struct new_login *login);

/* INACTIVE: the user may not log in any more, or not with that password. */
enum login_verdict { LOGIN_FINE, LOGIN_NAME_BARRED, LOGIN_ADDRESS_BARRED, LOGIN_INACTIVE };
enum login_verdict logins_failed(const struct query *q); /* never LOGIN_INACTIVE; FINE: it was one that counted */
enum login_verdict logins_opened(const struct query *q);

/* Takes a refresh token for a new one. No row: nobody knows it. One that was used more than REFRESH_GRACE_S ago ends the login. */
enum { REFRESH_GRACE_S = 10 };
void logins_refresh(struct pool *pool, struct query *q, struct str hash, struct str new_hash, int64_t ttl_s, struct str address,
		    struct str request_id);
struct login_refreshed {
	enum { REFRESH_FINE, REFRESH_ENDED, REFRESH_REUSED } state;
	struct str login_id, user_id, username, email, role;
};
struct login_refreshed logins_refreshed(const struct query *q);

void logins_end(struct pool *pool, struct query *q, const struct audit_who *who, struct str login_id);

/* For llmchatctl: many logins at once; parameters as in logins.c. */
extern const struct statement logins_issue_statement;
