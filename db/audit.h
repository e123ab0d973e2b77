/* Rows of audit_log. Whoever changes something writes its entry in the statement of the change, so that there is neither without the
 * other; logins do the same. */
#pragma once
#include "db/pool.h"

/* Who does it, from where. All borrowed. */
struct audit_who {
	struct str actor_id; /* empty: nobody who is logged in */
	struct str actor;    /* his name, as it shall be read later */
	struct str address, request_id;
};

/* Appends $1..$4, which AUDIT_ENTRY takes. */
void audit_who_params(struct query *q, const struct audit_who *who);
/* Begins the INSERT of an entry; type, user_id and details (jsonb) follow, then FROM. */
#define AUDIT_ENTRY "INSERT INTO audit_log (actor_id, actor, address, request_id, type, user_id, details) SELECT $1::uuid, $2, $3, $4, "

/* An entry by itself, for what no statement does: details are {key: value}. */
void audit_note(struct pool *pool, struct query *q, const struct audit_who *who, const char *type, const char *key, struct str value);

/* An administrator reads a user's sessions by this route; session may be empty. */
void audit_note_reading(struct pool *pool, struct query *q, const struct audit_who *who, struct str user_id, struct str route, struct str session);

enum { AUDIT_MAX_PAGE = 200 };
struct audit_filter {
	struct str type;       /* empty: all; "login" finds login and login.failed alike */
	struct str user_id;    /* who did it or whom it concerns; empty: all */
	struct str from, to;   /* ISO 8601; empty: no bound */
	int64_t limit, offset;
};
/* Newest first. Each row has the total; without any entry there is no row. */
void audit_list(struct pool *pool, struct query *q, const struct audit_filter *filter);
struct audit_row {
	int64_t total, id;
	struct str at, type, actor_id, actor, user_id, address, request_id, details; /* ids may be empty; details is JSON */
};
struct audit_row audit_row(const struct query *q, size_t i);
