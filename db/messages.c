/* Statements on chat_sessions and chat_messages, each beside the function that decodes its rows. */
#include "db/messages.h"

#include "base/process.h"
#include "base/uuid.h"
#include "db/sessions_sql.h"
#include "db/statements.h"

static const struct statement find_owners = {
	"find_owners",
	"SELECT DISTINCT owner_slot, owner_generation FROM chat_messages"
	" WHERE status = 'streaming' AND owner_node = $1 AND owner_generation <> $2::bigint"
	" ORDER BY owner_generation LIMIT 100",
	2,
};

void messages_find_owners(struct pool *pool, struct query *q, const struct process *self)
{
	query_text(q, str_from(self->node));
	query_int(q, self->generation);
	query_start(pool, q, &find_owners);
}

void messages_owner_row(const struct query *q, size_t i, int *slot, int64_t *generation)
{
	*slot = (int)query_col_int(q, i, 0);
	*generation = query_col_int(q, i, 1);
}

static const struct statement interrupt_owned = {
	"interrupt_owned",
	"UPDATE chat_messages SET status = 'interrupted', error_code = 'SERVER_DIED', ended_at = now() WHERE id IN ("
	" SELECT id FROM chat_messages WHERE status = 'streaming' AND owner_node = $1 AND owner_slot = $2::integer"
	" AND owner_generation = $3::bigint LIMIT 10000)"
	/* once more: the owner's last statement may just have ended it */
	" AND status = 'streaming'",
	3,
};

void messages_interrupt(struct pool *pool, struct query *q, const struct process *self, int slot, int64_t generation)
{
	query_text(q, str_from(self->node));
	query_int(q, slot);
	query_int(q, generation);
	query_start(pool, q, &interrupt_owned);
}

/* What message_row is made of: m and, beside it, f: what the owner thinks of it, a: how many answers its question has, and which it is. The
 * answers to one question have its created_at, so that they are found by the index that the page itself comes from. */
#define COLUMNS                                                                                                       \
	"m.id, m.parent_id, m.client_id, m.role, m.content, m.status, m.agent_id, m.model, m.finish_reason, m.error_code, "    \
	SQL_ISO("coalesce(m.retried_at, m.created_at)") ", m.prompt_tokens, m.completion_tokens, m.total_tokens, m.usage_estimated," \
	" f.rating, f.comment, a.n, a.place, " SQL_US("m.created_at")
#define BESIDE(owner)                                                                                                 \
	" LEFT JOIN chat_feedback f ON f.message_id = m.id AND f.user_id = " owner                                         \
	" LEFT JOIN LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE o.id <= m.id) AS place FROM chat_messages o"     \
	"  WHERE o.session_id = m.session_id AND o.created_at = m.created_at AND o.parent_id = m.parent_id) a ON m.parent_id IS NOT NULL"

static struct message_row row_at(const struct query *q, size_t i, size_t col)
{
	return (struct message_row){
		.present = !query_is_null(q, i, col),
		.id = query_col(q, i, col),
		.parent_id = query_col(q, i, col + 1),
		.client_id = query_col(q, i, col + 2),
		.role = query_col(q, i, col + 3),
		.content = query_col(q, i, col + 4),
		.status = query_col(q, i, col + 5),
		.agent_id = query_col(q, i, col + 6),
		.model = query_col(q, i, col + 7),
		.finish_reason = query_col(q, i, col + 8),
		.error_code = query_col(q, i, col + 9),
		.created_at = query_col(q, i, col + 10),
		.has_usage = !query_is_null(q, i, col + 13),
		.prompt_tokens = query_col_int(q, i, col + 11),
		.completion_tokens = query_col_int(q, i, col + 12),
		.total_tokens = query_col_int(q, i, col + 13),
		.usage_estimated = query_col_bool(q, i, col + 14),
		.rating = query_col(q, i, col + 15),
		.comment = query_col(q, i, col + 16),
		.n_answers = query_col_int(q, i, col + 17),
		.answer_place = query_col_int(q, i, col + 18),
		.created_us = query_col_int(q, i, col + 19),
	};
}

/* The page is cut where the rows before it hold 8 MiB: a page of 200 long answers must not fill our memory. */
static const struct statement list_messages = {
	"list_messages",
	"SELECT CASE WHEN $5 = '' THEN s.message_count"
	"  ELSE (SELECT count(*) FROM chat_messages c WHERE c.session_id = s.id AND c.role = $5) END, " COLUMNS
	" FROM chat_sessions s LEFT JOIN LATERAL ("
	"  SELECT *, sum(octet_length(content)) OVER (ORDER BY created_at, id) - octet_length(content) AS bytes_before FROM ("
	"   SELECT * FROM (SELECT * FROM chat_messages WHERE session_id = s.id AND ($5 = '' OR role = $5)"
	"    ORDER BY created_at" SQL_FIRST("$6::bigint + $7::bigint") ") upto ORDER BY created_at, id LIMIT $6::bigint OFFSET $7::bigint) page"
	" ) m ON m.bytes_before < 8388608" BESIDE("$1::uuid")
	" WHERE s.id = " SESSION_ID " ORDER BY m.created_at, m.id",
	7,
};

void messages_list(struct pool *pool, struct query *q, const struct session_owner *owner, struct str ref, struct str role, int64_t limit,
		   int64_t offset)
{
	session_owner_params(q, owner);
	session_ref_params(q, ref);
	query_text(q, role);
	query_int(q, limit);
	query_int(q, offset);
	query_start(pool, q, &list_messages);
}

int64_t messages_total(const struct query *q)
{
	return query_col_int(q, 0, 0);
}

struct message_row messages_row(const struct query *q, size_t i)
{
	return row_at(q, i, 1);
}

static const struct statement export_messages = {
	"export_messages",
	"SELECT " COLUMNS " FROM ("
	" SELECT *, sum(octet_length(content)) OVER (ORDER BY created_at, id) - octet_length(content) AS bytes_before FROM ("
	"  SELECT * FROM (SELECT * FROM chat_messages WHERE session_id = $2::uuid AND (created_at, id) > (" SQL_AT_US("$3") ", $4::uuid)"
	"   ORDER BY created_at" SQL_FIRST("$5::bigint") ") upto ORDER BY created_at, id LIMIT $5::bigint) page"
	" ) m" BESIDE("$1::uuid") " WHERE m.bytes_before < $6::bigint ORDER BY m.created_at, m.id",
	6,
};

void messages_export(struct pool *pool, struct query *q, struct str user_id, struct str session_id, int64_t after_us, struct str after_id,
		     int64_t limit, int64_t max_bytes)
{
	query_text(q, user_id);
	query_text(q, session_id);
	query_int(q, after_us);
	query_text(q, after_id);
	query_int(q, limit);
	query_int(q, max_bytes);
	query_start_heavy(pool, q, &export_messages);
}

struct message_row messages_exported(const struct query *q, size_t i)
{
	return row_at(q, i, 0);
}

/* ---- one message, by its id or the client's ---- */

/* The message of session s that $5 names ($6: the same if it could be an id). A client's id has no index: the latest messages are looked at
 * first, and what is asked for is nearly always among them. */
#define BY_ID "SELECT i.* FROM chat_messages i WHERE i.id = $6::uuid AND i.session_id = s.id"
#define MESSAGE                                                                                                       \
	"(" BY_ID " UNION ALL SELECT * FROM (SELECT * FROM (SELECT * FROM chat_messages WHERE session_id = s.id AND client_id = $5" \
	"  AND NOT EXISTS (" BY_ID ") ORDER BY created_at DESC" SQL_FIRST("1") ") c ORDER BY id DESC LIMIT 1) latest)"

static const struct statement find_question = {
	"find_question",
	"SELECT s.id, s.name, x.id, x.content, x.parts, x.agent_id FROM chat_sessions s"
	" LEFT JOIN LATERAL (SELECT q.id, q.content, q.parts, coalesce(m.agent_id, s.agent_id) AS agent_id FROM " MESSAGE " m"
	"  JOIN chat_messages q ON q.id = CASE WHEN m.role = 'user' THEN m.id ELSE m.parent_id END AND q.session_id = s.id) x ON true"
	" WHERE s.id = " SESSION_ID,
	6,
};

static void message_ref_params(struct query *q, struct str ref)
{
	query_text(q, ref);
	query_text_or_null(q, uuid_valid(ref) ? ref : STR(""));
}

void messages_find_question(struct pool *pool, struct query *q, const struct session_owner *owner, struct str session_ref, struct str message_ref)
{
	session_owner_params(q, owner);
	session_ref_params(q, session_ref);
	message_ref_params(q, message_ref);
	query_start(pool, q, &find_question);
}

struct question_row messages_question(const struct query *q)
{
	return (struct question_row){
		.present = !query_is_null(q, 0, 2),
		.session_id = query_col(q, 0, 0),
		.chat_id = query_col(q, 0, 1),
		.id = query_col(q, 0, 2),
		.content = query_col(q, 0, 3),
		.parts = query_col(q, 0, 4),
		.agent_id = query_col(q, 0, 5),
	};
}

#define IS_ANSWER "m.role = 'assistant' AND ($2::jsonb IS NULL OR $2::jsonb ? m.agent_id)"
static const struct statement find_answer = {
	"find_answer",
	"SELECT id, status FROM ("
	" SELECT m.id, m.status, 1 AS place FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id"
	"  WHERE m.id = $4::uuid AND s.user_id = $1::uuid AND s.status <> 'deleted' AND " IS_ANSWER
	" UNION ALL SELECT m.id, m.status, 2 FROM"
	"  (SELECT id FROM chat_sessions WHERE user_id = $1::uuid AND status = 'active' ORDER BY updated_at DESC LIMIT 10) s"
	"  CROSS JOIN LATERAL (SELECT * FROM chat_messages WHERE session_id = s.id ORDER BY created_at DESC" SQL_FIRST("20") ") m"
	"  WHERE m.client_id = $3 AND " IS_ANSWER
	") found ORDER BY place, id DESC LIMIT 1",
	4,
};

void messages_find_answer(struct pool *pool, struct query *q, const struct session_owner *owner, struct str answer_ref)
{
	session_owner_params(q, owner);
	message_ref_params(q, answer_ref);
	query_start(pool, q, &find_answer);
}

struct answer_row messages_answer(const struct query *q)
{
	return (struct answer_row){.id = query_col(q, 0, 0), .status = query_col(q, 0, 1)};
}

static const struct statement rate_message = {
	"rate_message",
	"WITH target AS MATERIALIZED (SELECT s.id AS session_id, m.id FROM chat_sessions s LEFT JOIN LATERAL " MESSAGE " m ON m.role = 'assistant'"
	"  WHERE s.id = " SESSION_ID "),"
	" gone AS (DELETE FROM chat_feedback f USING target t WHERE f.message_id = t.id AND f.user_id = $1::uuid AND $7::text IS NULL),"
	" put AS (INSERT INTO chat_feedback (message_id, user_id, rating, comment) SELECT id, $1::uuid, $7, $8 FROM target"
	"  WHERE id IS NOT NULL AND $7::text IS NOT NULL"
	"  ON CONFLICT (message_id, user_id) DO UPDATE SET rating = excluded.rating, comment = excluded.comment, updated_at = now())"
	" SELECT id FROM target",
	8,
};

void messages_rate(struct pool *pool, struct query *q, const struct session_owner *owner, struct str session_ref, struct str message_ref,
		   struct str rating, struct str comment)
{
	session_owner_params(q, owner);
	session_ref_params(q, session_ref);
	message_ref_params(q, message_ref);
	query_text_or_null(q, rating);
	query_text_or_null(q, comment);
	query_start(pool, q, &rate_message);
}

const struct statement *const messages_statements[] = {
	&find_owners, &interrupt_owned, &list_messages, &export_messages, &find_question, &find_answer, &rate_message, NULL,
};
