/* Answers that are there already: which one an Idempotency-Key stands for, and what is stored of it. db/turn_writes takes keys. */
#pragma once
#include "db/pool.h"

struct stored_answer {
	bool present; /* false: there is none, or its session is deleted */
	struct str id, question_id, chat_id, status, content, finish_reason, error_code, beside;
	bool has_usage, usage_estimated;
	int64_t prompt_tokens, completion_tokens, total_tokens;
	int64_t created_us;   /* since 1970 */
	int64_t ended_ms_ago; /* -1: it has not ended */
};

/* What an owner's key stands for. No row: nothing. patience_s: how long a turn may take at most. */
void idempotency_find(struct pool *pool, struct query *q, struct str owner_id, struct str key, int64_t patience_s);
struct idempotency_row {
	struct str answer_id, body_hash;
	bool expired;   /* it stands for nothing any more */
	bool abandoned; /* whoever took it should have ended long ago */
	struct stored_answer answer;
};
struct idempotency_row idempotency_row(const struct query *q);

/* One answer of an owner; it need not be there. */
void idempotency_answer(struct pool *pool, struct query *q, struct str owner_id, struct str answer_id);
struct stored_answer idempotency_stored(const struct query *q);
