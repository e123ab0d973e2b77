/* Reading what was answered before. */
#include "db/idempotency.h"

#include "db/sql.h"
#include "db/statements.h"

/* Of m and its session s. The content of a row that is still worked on is empty, so that looking again and again costs little. */
#define COLUMNS                                                                                                        \
	"m.id, m.parent_id, s.name, m.status, m.content, m.finish_reason, m.error_code, m.prompt_tokens, m.completion_tokens," \
	" m.total_tokens, m.usage_estimated, " SQL_US("coalesce(m.retried_at, m.created_at)") ","                          \
	" CASE WHEN m.ended_at IS NOT NULL THEN greatest(extract(epoch FROM clock_timestamp() - m.ended_at) * 1000, 0)::bigint END, m.beside"

static struct stored_answer answer_at(const struct query *q, size_t col)
{
	return (struct stored_answer){
		.present = !query_is_null(q, 0, col),
		.id = query_col(q, 0, col),
		.question_id = query_col(q, 0, col + 1),
		.chat_id = query_col(q, 0, col + 2),
		.status = query_col(q, 0, col + 3),
		.content = query_col(q, 0, col + 4),
		.finish_reason = query_col(q, 0, col + 5),
		.error_code = query_col(q, 0, col + 6),
		.has_usage = !query_is_null(q, 0, col + 9),
		.prompt_tokens = query_col_int(q, 0, col + 7),
		.completion_tokens = query_col_int(q, 0, col + 8),
		.total_tokens = query_col_int(q, 0, col + 9),
		.usage_estimated = query_col_bool(q, 0, col + 10),
		.created_us = query_col_int(q, 0, col + 11),
		.beside = query_col(q, 0, col + 13),
		.ended_ms_ago = query_is_null(q, 0, col + 12) ? -1 : query_col_int(q, 0, col + 12),
	};
}

static const struct statement find_idempotency_key = {
	"find_idempotency_key",
	"SELECT k.answer_id, k.body_hash, k.expires_at <= now(), k.created_at < now() - " SQL_SECONDS("$3") ", " COLUMNS
	" FROM idempotency_keys k LEFT JOIN (chat_messages m JOIN chat_sessions s ON s.id = m.session_id AND s.status <> 'deleted')"
	"  ON m.id = k.answer_id AND s.user_id = k.owner_id"
	" WHERE k.owner_id = $1::uuid AND k.key = $2 LIMIT 1",
	3,
};

void idempotency_find(struct pool *pool, struct query *q, struct str owner_id, struct str key, int64_t patience_s)
{
	query_text(q, owner_id);
	query_text(q, key);
	query_int(q, patience_s);
	query_start(pool, q, &find_idempotency_key);
}

struct idempotency_row idempotency_row(const struct query *q)
{
	return (struct idempotency_row){
		.answer_id = query_col(q, 0, 0),
		.body_hash = query_col(q, 0, 1),
		.expired = query_col_bool(q, 0, 2),
		.abandoned = query_col_bool(q, 0, 3),
		.answer = answer_at(q, 4),
	};
}

static const struct statement get_answer = {
	"get_answer",
	"SELECT " COLUMNS " FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id"
	" WHERE m.id = $2::uuid AND s.user_id = $1::uuid AND s.status <> 'deleted' LIMIT 1",
	2,
};

void idempotency_answer(struct pool *pool, struct query *q, struct str owner_id, struct str answer_id)
{
	query_text(q, owner_id);
	query_text(q, answer_id);
	query_start(pool, q, &get_answer);
}

struct stored_answer idempotency_stored(const struct query *q)
{
	return query_n_rows(q) ? answer_at(q, 0) : (struct stored_answer){.present = false};
}

const struct statement *const idempotency_statements[] = {&find_idempotency_key, &get_answer, NULL};
