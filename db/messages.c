/* Statements on chat_sessions and chat_messages, each beside the function that decodes its rows. */
#include "db/messages.h"

#include "base/process.h"
#include "db/sql.h"

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
	" m.error_code, " SQL_ISO("m.created_at") ","
	" m.prompt_tokens, m.completion_tokens, m.total_tokens, m.usage_estimated"
	" FROM chat_sessions s LEFT JOIN LATERAL ("
	"  SELECT *, sum(octet_length(content)) OVER (ORDER BY created_at, id) - octet_length(content) AS bytes_before FROM ("
	"   SELECT * FROM chat_messages WHERE session_id = s.id AND ($3 = '' OR role = $3)"
	"   ORDER BY created_at, id LIMIT $4::bigint OFFSET $5::bigint) page"
	" ) m ON m.bytes_before < 8388608"
	" WHERE s.user_id = $1::uuid AND s.name = $2"
	" AND ($6::jsonb IS NULL OR NOT EXISTS (SELECT FROM chat_messages o WHERE o.session_id = s.id AND (o.agent_id IS NULL OR NOT $6::jsonb ? o.agent_id)))"
	" ORDER BY m.created_at, m.id",
	6,
};

void messages_list(struct pool *pool, struct query *q, struct str user_id, struct str session_name, struct str agents, struct str role,
		   int64_t limit, int64_t offset)
{
	query_text(q, user_id);
	query_text(q, session_name);
	query_text(q, role);
	query_int(q, limit);
	query_int(q, offset);
	query_text_or_null(q, agents);
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
