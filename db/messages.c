/* Statements on chat_sessions and chat_messages, each beside the function that decodes its rows. */
#include "db/messages.h"

#include "base/process.h"

/* created_at of the two rows is the same; their ids are made in order, and history orders by both. The history is read from the
 * snapshot before this statement, so it never holds the new question. */
static const struct statement begin_turn = {
	"begin_turn",
	"WITH session AS ("
	" INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count)"
	" VALUES ($1::uuid, $2::uuid, $3::boolean, $4, $5, $6, 2)"
	" ON CONFLICT (user_id, name) DO UPDATE"
	" SET updated_at = now(), message_count = chat_sessions.message_count + 2"
	" RETURNING id"
	"), question AS ("
	" INSERT INTO chat_messages (id, session_id, client_id, role, content, parts, status, agent_id, ended_at)"
	" SELECT $7::uuid, session.id, nullif($8, ''), 'user', $9, nullif($10, '')::jsonb, 'complete', $5, now() FROM session"
	"), answer AS ("
	" INSERT INTO chat_messages (id, session_id, parent_id, client_id, role, content, status, agent_id, provider, model,"
	"  owner_node, owner_slot, owner_generation)"
	" SELECT $11::uuid, session.id, $7::uuid, nullif($12, ''), 'assistant', '', 'streaming', $5, $13, $14,"
	"  $15, $16::integer, $17::bigint FROM session"
	") SELECT role, content FROM ("
	" SELECT role, content, created_at, id, sum(octet_length(content)) OVER (ORDER BY created_at DESC, id DESC) AS bytes FROM ("
	"  SELECT m.role, m.content, m.created_at, m.id FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id"
	"  WHERE s.user_id = $2::uuid AND s.name = $4 AND m.status IN ('complete', 'stopped', 'interrupted') AND m.content <> ''"
	"  ORDER BY m.created_at DESC, m.id DESC LIMIT $18::bigint) newest"
	") history WHERE bytes <= $19::bigint ORDER BY created_at, id",
	19,
};

void messages_begin_turn(struct pool *pool, struct query *q, const struct new_turn *turn)
{
	query_text(q, turn->session_id);
	query_text(q, turn->user_id);
	query_bool(q, turn->anonymous);
	query_text(q, turn->session_name);
	query_text(q, turn->agent_id);
	query_text(q, turn->title);
	query_text(q, turn->question_id);
	query_text(q, turn->question_client_id);
	query_text(q, turn->question);
	query_text(q, turn->question_parts);
	query_text(q, turn->answer_id);
	query_text(q, turn->answer_client_id);
	query_text(q, turn->provider);
	query_text(q, turn->model);
	query_text(q, str_from(turn->owner->node));
	query_int(q, turn->owner->slot);
	query_int(q, turn->owner->generation);
	query_int(q, turn->max_history);
	query_int(q, turn->max_history_bytes);
	query_start(pool, q, &begin_turn);
}

struct history_row messages_history_row(const struct query *q, size_t i)
{
	return (struct history_row){.role = query_col(q, i, 0), .content = query_col(q, i, 1)};
}

/* An answer that a sweeper took for abandoned, wrongly as it turns out, gets its true ending. */
static const struct statement end_turn = {
	"end_turn",
	"UPDATE chat_messages SET content = $2, status = $3, finish_reason = nullif($4, ''), error_code = $5,"
	" prompt_tokens = $6::bigint, completion_tokens = $7::bigint, total_tokens = $8::bigint,"
	" first_event_ms = $9::integer, took_ms = $10::integer, ended_at = now(),"
	" usage_estimated = $11::boolean"
	" WHERE id = $1::uuid AND (status = 'streaming' OR (status = 'interrupted' AND error_code = 'SERVER_DIED'))",
	11,
};

static void query_int_or_null(struct query *q, bool present, int64_t value)
{
	if (present)
		query_int(q, value);
	else
		query_null(q);
}

void messages_end_turn(struct pool *pool, struct query *q, const struct turn_ending *ending)
{
	query_text(q, ending->answer_id);
	query_text(q, ending->content);
	query_text(q, str_from(ending->status));
	query_text(q, ending->finish_reason);
	query_text_or_null(q, str_from(ending->error_code));
	query_int_or_null(q, ending->has_usage, ending->prompt_tokens);
	query_int_or_null(q, ending->has_usage, ending->completion_tokens);
	query_int_or_null(q, ending->has_usage, ending->total_tokens);
	query_int_or_null(q, ending->first_event_ms >= 0, ending->first_event_ms);
	query_int(q, ending->took_ms);
	query_bool(q, ending->usage_estimated);
	query_start(pool, q, &end_turn);
}

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

/* The page is cut where the rows before it hold 8 MiB: a page of 200 long answers must not fill our memory. */
static const struct statement list_messages = {
	"list_messages",
	"SELECT CASE WHEN $3 = '' THEN s.message_count"
	"  ELSE (SELECT count(*) FROM chat_messages c WHERE c.session_id = s.id AND c.role = $3) END, m.id, m.parent_id, m.client_id, m.role, m.content, m.status, m.agent_id, m.model, m.finish_reason,"
	" m.error_code, to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),"
	" m.prompt_tokens, m.completion_tokens, m.total_tokens, m.usage_estimated"
	" FROM chat_sessions s LEFT JOIN LATERAL ("
	"  SELECT *, sum(octet_length(content)) OVER (ORDER BY created_at, id) - octet_length(content) AS bytes_before FROM ("
	"   SELECT * FROM chat_messages WHERE session_id = s.id AND ($3 = '' OR role = $3)"
	"   ORDER BY created_at, id LIMIT $4::bigint OFFSET $5::bigint) page"
	" ) m ON m.bytes_before < 8388608"
	" WHERE s.user_id = $1::uuid AND s.name = $2 ORDER BY m.created_at, m.id",
	5,
};

void messages_list(struct pool *pool, struct query *q, struct str user_id, struct str session_name, struct str role, int64_t limit,
		   int64_t offset)
{
	query_text(q, user_id);
	query_text(q, session_name);
	query_text(q, role);
	query_int(q, limit);
	query_int(q, offset);
	query_start(pool, q, &list_messages);
}

struct message_row messages_row(const struct query *q, size_t i)
{
	return (struct message_row){
		.total = query_col_int(q, i, 0),
		.present = !query_is_null(q, i, 1),
		.id = query_col(q, i, 1),
		.parent_id = query_col(q, i, 2),
		.client_id = query_col(q, i, 3),
		.role = query_col(q, i, 4),
		.content = query_col(q, i, 5),
		.status = query_col(q, i, 6),
		.agent_id = query_col(q, i, 7),
		.model = query_col(q, i, 8),
		.finish_reason = query_col(q, i, 9),
		.error_code = query_col(q, i, 10),
		.created_at = query_col(q, i, 11),
		.has_usage = !query_is_null(q, i, 14),
		.prompt_tokens = query_col_int(q, i, 12),
		.completion_tokens = query_col_int(q, i, 13),
		.total_tokens = query_col_int(q, i, 14),
		.usage_estimated = query_col_bool(q, i, 15),
	};
}
