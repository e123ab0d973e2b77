/* Rows of chat_sessions, as their owners (and administrators, reading) deal with them. Turns make sessions too: db/turn_writes.h. */
#pragma once
#include "db/pool.h"

/* Whose sessions, and what of them may be seen. */
struct session_owner {
	struct str user_id;
	struct str agents; /* JSON array: sessions where others took part do not exist; empty: all do */
};
/* Appends two parameters: the user and the agents. */
void session_owner_params(struct query *q, const struct session_owner *owner);

struct session_row {
	struct str id, chat_id, user_id, agent_id, title, status, created_at, updated_at, deleted_at; /* the last is empty unless it is deleted */
	bool title_by_user;
	int64_t message_count, updated_us;
};

enum { SESSIONS_MAX_PAGE = 200, SESSIONS_MAX_BATCH = 200 };

struct session_list {
	struct str status;    /* active, archived, deleted; all: the first two */
	struct str agent_id;  /* empty: all */
	bool after;           /* only those after this place: */
	int64_t after_us;
	struct str after_id;
	int64_t limit, offset;
};
/* By updated_at, latest first. The first column is the total, which is kept, not counted; a limited key's may be too high by sessions
 * that it does not see. Without sessions in this page there is one row, for which sessions_present is false. */
void sessions_list(struct pool *pool, struct query *q, const struct session_owner *owner, const struct session_list *list);
int64_t sessions_total(const struct query *q);
bool sessions_present(const struct query *q, size_t i);
struct session_row sessions_listed(const struct query *q, size_t i);

/* ref below: a chatId, or the session's own id where no chatId is the same. */

/* No row: there is none, or it is deleted. */
void sessions_get(struct pool *pool, struct query *q, const struct session_owner *owner, struct str ref);
struct session_row sessions_row(const struct query *q, size_t i);

struct new_session {
	struct str id, chat_id, user_id, agent_id, title; /* title empty: the first question will be it */
	bool anonymous;
};
/* -ERR_CONFLICT: the owner has a session of that name. */
void sessions_add(struct pool *pool, struct query *q, const struct new_session *session);
/* The user's own title; no question changes it any more. No row: there is no such session. */
void sessions_set_title(struct pool *pool, struct query *q, const struct session_owner *owner, struct str ref, struct str title);

/* operation: archive, restore, delete. refs: a text array. Restoring takes deleted ones too, by id or by what they were called last; one
 * whose name is taken comes back under its id. One row for each ref, in their order. -ERR_CONFLICT: two did this at once. */
void sessions_change(struct pool *pool, struct query *q, const struct session_owner *owner, struct str refs, struct str operation);
enum session_change { SESSION_NOT_FOUND, SESSION_UNCHANGED, SESSION_CHANGED };
enum session_change sessions_changed(const struct query *q, size_t i);
/* Of one that was found. */
struct session_row sessions_changed_row(const struct query *q, size_t i);

/* One row for each agent, and none without sessions. */
void sessions_stats(struct pool *pool, struct query *q, const struct session_owner *owner);
struct session_stats_row {
	struct str agent_id;
	int64_t active, archived, deleted;
};
struct session_stats_row sessions_stats_row(const struct query *q, size_t i);
