/* Rows that nobody needs any more. Each deletes at most max of them, in one statement, and leaves alone those that somebody else has
 * locked: two hosts may do this at once. query_n_affected says how many have gone. */
#pragma once
#include "db/pool.h"

/* Logins that expired or ended more than 30 days ago, and their refresh tokens. ttl_s is REFRESH_TOKEN_TTL: it tells how long after
 * its end a login can expire, and with that where in the index to look. */
void retention_logins(struct pool *pool, struct query *q, int64_t ttl_s, int64_t max);
/* Failed logins that do not count any more. */
void retention_login_failures(struct pool *pool, struct query *q, int64_t max);
/* Changes that every responder has read long ago: those of more than an hour, but for the newest thousand. */
void retention_changes(struct pool *pool, struct query *q, int64_t max);
/* Audit entries that are older. */
void retention_audit(struct pool *pool, struct query *q, int64_t days, int64_t max);
/* Idempotency keys that stand for nothing any more. */
void retention_idempotency_keys(struct pool *pool, struct query *q, int64_t max);
/* Messages of sessions that were deleted longer ago; about 32 MiB of them at most, so that it may be fewer than max while there are more. */
void retention_session_messages(struct pool *pool, struct query *q, int64_t days, int64_t max);
/* Those sessions themselves, once they are empty. */
void retention_sessions(struct pool *pool, struct query *q, int64_t days, int64_t max);
