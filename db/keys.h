/* Rows of api_keys. Of the key itself there is only a hash. */
#pragma once
#include "db/audit.h"

/* 0: none */
struct key_limits {
	int64_t requests_per_minute, tokens_per_minute, monthly_tokens;
};
/* Of three columns from this one on. */
struct key_limits keys_limits(const struct query *q, size_t i, size_t col);

struct new_key {
	struct str id, user_id, name, shown, hash;
	struct str agents;        /* JSON array of ids; empty: all agents */
	int64_t expires_after_s;  /* 0: never */
	struct key_limits limits;
};
enum { KEYS_MAX_OF_USER = 100 };
/* One row for keys_row. No row: the user has KEYS_MAX_OF_USER keys that are neither revoked nor expired. Some that are added at the very
 * same time may pass that by a few. */
void keys_add(struct pool *pool, struct query *q, const struct audit_who *who, const struct new_key *key);

/* Keys that are not revoked, newest first; user_id empty: everybody's. */
enum { KEYS_MAX_PAGE = 200 };
void keys_list(struct pool *pool, struct query *q, struct str user_id, int64_t limit, int64_t offset);
struct key_row {
	int64_t total;
	struct str id, user_id, username, name, shown, agents, created_at, expires_at, last_used_at; /* the last three and agents may be empty */
	struct key_limits limits;
	int64_t used_tokens; /* this month, without turns that run; while there is a monthly limit */
};
struct key_row keys_row(const struct query *q, size_t i);
/* user_id empty: whoever's it is. One row, a count: 0 if there is no such key, or it is revoked already. */
void keys_revoke(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, struct str user_id);
