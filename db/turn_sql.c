/* The statements of db/turn_writes, which sends them and reads their rows. */
#include "db/turn_sql.h"

#include "db/sql.h"
#include "db/statements.h"

/* What the model is told of a session, the newest of it that its budget holds. Of the answers to one question only one goes along: the newest
 * that came to its end, or, if none did, the newest of which there is something. Nothing far beyond the budget is unpacked to be counted.
 * session: which messages m are of it; agents: a JSON array of whose answers may go along, empty: everybody's; max: of so many messages;
 * tokens: the budget. */
#define HISTORY(session, agents, max, tokens)                                                                          \
	" SELECT role, content, created_at, id FROM ("                                                                     \
	"  SELECT *, sum(" SQL_TOKENS("content") ") OVER (ORDER BY created_at DESC, id DESC) AS tokens FROM ("               \
	"   SELECT *, sum(octet_length(content)) OVER (ORDER BY created_at DESC, id DESC) AS bytes FROM ("                  \
	"    SELECT *, row_number() OVER (PARTITION BY role, coalesce(parent_id, id) ORDER BY status = 'interrupted', created_at DESC, id DESC) AS choice FROM (" \
	"     SELECT m.role, m.content, m.created_at, m.id, m.parent_id, m.status FROM ("                                   \
	"      SELECT * FROM chat_messages m WHERE " session " AND m.status IN ('complete', 'stopped', 'interrupted') AND m.content <> ''" \
	"      AND CASE WHEN " agents " = '' THEN true ELSE " agents "::jsonb ? m.agent_id END ORDER BY m.created_at DESC" SQL_FIRST(max) \
	"     ) m ORDER BY m.created_at DESC, m.id DESC LIMIT " max                                                        \
	"    ) newest"                                                                                                     \
	"   ) chosen WHERE choice = 1"                                                                                      \
	"  ) near WHERE bytes <= " tokens " * 4" /* tokens_max_bytes */                                                                            \
	" ) counted WHERE tokens <= " tokens

/* What many turns begin with, as one array for each field. */
#define ROWS                                                                                                           \
	" SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[]," \
	"  $9::text[], $10::text[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::bigint[]) WITH ORDINALITY" \
	"  AS t (session_id, user_id, anonymous, name, agent_id, title, question_id, question_client_id,"                  \
	"  question, parts, answer_id, answer_client_id, provider, model, agents, max_history, max_tokens, place)"
#define SESSIONS                                                                                                       \
	"), session AS ("                                                                                                  \
	" INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count)"                        \
	" SELECT session_id, user_id, anonymous, name, agent_id, title, 2 FROM input ORDER BY user_id, name"
#define INPUT "WITH input AS MATERIALIZED (" ROWS SESSIONS
/* session: the id of the row's session. */
#define MESSAGES(session, from)                                                                                        \
	"), question AS ("                                                                                                 \
	" INSERT INTO chat_messages (id, session_id, client_id, role, content, parts, status, agent_id, ended_at)"         \
	" SELECT i.question_id, " session ", nullif(i.question_client_id, ''), 'user', i.question, nullif(i.parts, '')::jsonb, 'complete'," \
	"  i.agent_id, now() FROM " from                                                                                   \
	"), answer AS ("                                                                                                   \
	" INSERT INTO chat_messages (id, session_id, parent_id, client_id, role, content, status, agent_id, provider, model," \
	"  owner_node, owner_slot, owner_generation)"                                                                      \
	" SELECT i.answer_id, " session ", i.question_id, nullif(i.answer_client_id, ''), 'assistant', '', 'streaming', i.agent_id," \
	"  i.provider, i.model, $18, $19::integer, $20::bigint FROM " from                                                 \
	")"

/* Sessions that nobody knows yet: there is nothing to read and nobody to wait for, and a third less to plan and to start. */
const struct statement open_turns = {
	"open_turns",
	INPUT MESSAGES("i.session_id", "input i") " SELECT place FROM input",
	N_BEGIN_ARRAYS + 3,
};

/* In the order of the session's key, so that two batches never wait for each other's sessions. The history is read from the
 * snapshot before this statement, so it never holds a new question. created_at of a turn's rows is the same: their ids sort.
 * A session that was made without a title gets that of its first question. */
#define BEGUN                                                                                                          \
	" ON CONFLICT (user_id, name) DO UPDATE"                                                                           \
	" SET updated_at = now(), message_count = chat_sessions.message_count + 2,"                                        \
	"  title = CASE WHEN chat_sessions.title = '' THEN excluded.title ELSE chat_sessions.title END"                    \
	" RETURNING id, user_id, name"                                                                                     \
	MESSAGES("s.id", "input i JOIN session s USING (user_id, name)")                                                   \
	" SELECT place, role, content FROM ("                                                                              \
	" SELECT i.place, 'upstream' AS role, u.name AS content, NULL::timestamptz AS created_at, NULL::uuid AS id"        \
	" FROM input i CROSS JOIN LATERAL (SELECT s.upstream_names->>i.agent_id AS name FROM chat_sessions s"              \
	"  WHERE s.user_id = i.user_id AND s.name = i.name AND s.upstream_names ? i.agent_id LIMIT 1) u"                   \
	" UNION ALL SELECT i.place, h.role, h.content, h.created_at, h.id FROM input i CROSS JOIN LATERAL ("               \
	HISTORY("m.session_id = (SELECT s.id FROM chat_sessions s WHERE s.user_id = i.user_id AND s.name = i.name)", "i.agents", \
		"i.max_history", "i.max_tokens")                                                                                   \
	") h WHERE i.max_history > 0"
#define IN_ORDER ") r ORDER BY place, created_at NULLS FIRST, id"

const struct statement begin_turns = {"begin_turns", INPUT BEGUN IN_ORDER, N_BEGIN_ARRAYS + 3};

/* The key of a turn, taken in the same statement: nothing else happens if another turn has it, unless that is the one which this one is
 * instead of. Whoever comes second waits for the first one's commit, whatever responder or host they are of. */
#define KEY(owner, answer, key, body_hash, instead_of)                                                                 \
	"WITH claim AS ("                                                                                                  \
	" INSERT INTO idempotency_keys AS k (owner_id, key, body_hash, answer_id, expires_at)"                             \
	" VALUES (" owner ", " key ", " body_hash ", " answer ", now() + interval '24 hours')"                             \
	" ON CONFLICT (owner_id, key) DO UPDATE SET body_hash = excluded.body_hash, answer_id = excluded.answer_id,"       \
	"  created_at = excluded.created_at, expires_at = excluded.expires_at WHERE k.answer_id = nullif(" instead_of ", '')::uuid" \
	" RETURNING answer_id)"
#define TAKEN " UNION ALL SELECT 1, 'taken', NULL, NULL, NULL WHERE NOT EXISTS (SELECT FROM claim)"

const struct statement begin_keyed_turn = {
	"begin_keyed_turn",
	KEY("($2::uuid[])[1]", "($11::uuid[])[1]", "$21", "$22", "$23")
	", input AS MATERIALIZED (SELECT * FROM (" ROWS ") asked WHERE EXISTS (SELECT FROM claim)" SESSIONS BEGUN TAKEN IN_ORDER,
	N_BEGIN_ARRAYS + 6,
};

/* Another answer to a question that is there; by the way what was said before it. It has the question's created_at, and so stands beside the
 * first answer. A row without a role: there was nothing before. No row: the session or the question is gone. */
#define RETRIED(and)                                                                                                   \
	" session AS ("                                                                                                    \
	" UPDATE chat_sessions s SET updated_at = now(), message_count = message_count + 1 WHERE s.id = $1::uuid AND s.user_id = $2::uuid" \
	"  AND s.status <> 'deleted' AND EXISTS (SELECT FROM chat_messages m WHERE m.id = $3::uuid AND m.session_id = s.id AND m.role = 'user')" and \
	" RETURNING s.id"                                                                                                  \
	"), question AS MATERIALIZED ("                                                                                    \
	" SELECT m.id, m.session_id, m.created_at FROM chat_messages m JOIN session s ON s.id = m.session_id WHERE m.id = $3::uuid" \
	"), answer AS ("                                                                                                   \
	" INSERT INTO chat_messages (id, session_id, parent_id, client_id, role, content, status, agent_id, provider, model, created_at, retried_at," \
	"  owner_node, owner_slot, owner_generation)"                                                                      \
	" SELECT $4::uuid, session_id, id, nullif($5, ''), 'assistant', '', 'streaming', $6, $7, $8, created_at, now(),"   \
	"  $12, $13::integer, $14::bigint FROM question"                                                                   \
	") SELECT place, role, content FROM ("                                                                             \
	" SELECT 1 AS place, 'upstream' AS role, s.upstream_names->>$6 AS content, NULL::timestamptz AS created_at, NULL::uuid AS id" \
	" FROM question q JOIN chat_sessions s ON s.id = q.session_id WHERE s.upstream_names ? $6"                         \
	" UNION ALL SELECT 1, h.role, h.content, h.created_at, h.id FROM question q LEFT JOIN LATERAL ("                      \
	HISTORY("m.session_id = q.session_id AND (m.created_at, m.id) < (q.created_at, q.id)", "$9", "$10::bigint", "$11::bigint") \
	") h ON true"

const struct statement retry_turn = {"retry_turn", "WITH" RETRIED("") IN_ORDER, 14};

const struct statement retry_keyed_turn = {
	"retry_keyed_turn",
	KEY("$2::uuid", "$4::uuid", "$15", "$16", "$17") "," RETRIED(" AND EXISTS (SELECT FROM claim)") TAKEN IN_ORDER,
	17,
};

/* Beside what each ending has, news: arrays, their names, what is set by them. */
#define ENDED(arrays, names, set)                                                                                      \
	"UPDATE chat_messages m SET content = e.content, status = e.status, finish_reason = nullif(e.finish_reason, ''),"  \
	" error_code = e.error_code, prompt_tokens = e.prompt_tokens, completion_tokens = e.completion_tokens,"            \
	" total_tokens = e.total_tokens, first_event_ms = e.first_event_ms, took_ms = e.took_ms, ended_at = now(),"        \
	" usage_estimated = e.usage_estimated" set                                                                         \
	" FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[]," \
	"  $9::integer[], $10::integer[], $11::boolean[]" arrays ") WITH ORDINALITY"                                       \
	"  AS e (id, content, status, finish_reason, error_code, prompt_tokens, completion_tokens, total_tokens,"          \
	"  first_event_ms, took_ms, usage_estimated" names ", place)"                                                      \
	" WHERE m.id = e.id AND (m.status = 'streaming' OR (m.status = 'interrupted' AND m.error_code = 'SERVER_DIED'))"   \
	" RETURNING e.place"

const struct statement end_turns = {"end_turns", ENDED("", "", ""), N_END_ARRAYS};

/* Few have any news. What the provider calls the conversation belongs to the session and the agent. It changes with the first answer only;
 * then the sessions are locked in the order that beginnings lock them in. Arrays, as a join might be planned to walk over all sessions. */
#define ENDED_WITH_NEWS                                                                                                \
	"WITH ended AS ("                                                                                                  \
	ENDED(", $12::text[], $13::text[], $14::text[], $15::text[], $16::text[]", ", upstream_name, agent_id, provider, model, beside",        \
	      ", agent_id = coalesce(e.agent_id, m.agent_id), provider = coalesce(e.provider, m.provider), model = coalesce(e.model, m.model)," \
	      " beside = e.beside") \
	", e.upstream_name, m.session_id, m.agent_id, m.id, m.total_tokens"                                                \
	"), told AS MATERIALIZED ("                                                                                        \
	" SELECT s.id FROM chat_sessions s WHERE s.id = ANY (ARRAY(SELECT session_id FROM ended WHERE upstream_name IS NOT NULL))" \
	" ORDER BY s.user_id, s.name FOR NO KEY UPDATE"                                                                    \
	"), kept AS ("                                                                                                     \
	" UPDATE chat_sessions s SET upstream_names = CASE WHEN e.upstream_name = '' THEN s.upstream_names - e.agent_id"   \
	"  ELSE s.upstream_names || jsonb_build_object(e.agent_id, e.upstream_name) END"                                   \
	" FROM ended e WHERE s.id = ANY (ARRAY(SELECT id FROM told)) AND e.session_id = s.id AND e.upstream_name IS NOT NULL" \
	")"

const struct statement end_turns_with_news = {
	"end_turns_with_news",
	ENDED_WITH_NEWS " SELECT place FROM ended",
	N_END_ARRAYS + N_NEWS_ARRAYS,
};

/* What a key's budget was reserved for is settled with the ending (db/budgets.h): who has seen the end may count on what was given back. */
const struct statement end_turns_with_budget = {
	"end_turns_with_budget",
	ENDED_WITH_NEWS ", gone AS ("
	" DELETE FROM key_turns t USING ended e WHERE t.answer_id = e.id RETURNING t.key_id, t.month, t.reserved, e.total_tokens"
	"), counted AS ("
	" INSERT INTO key_months AS m (key_id, month, used, reserved)"
	" SELECT key_id, month, coalesce(sum(total_tokens), 0), -sum(reserved) FROM gone GROUP BY 1, 2 ORDER BY 1, 2"
	" ON CONFLICT (key_id, month) DO UPDATE SET used = m.used + excluded.used, reserved = m.reserved + excluded.reserved"
	") SELECT place FROM ended",
	N_END_ARRAYS + N_NEWS_ARRAYS,
};

const struct statement *const turn_sql_statements[] = {
	&open_turns, &begin_turns, &begin_keyed_turn, &retry_turn, &retry_keyed_turn, &end_turns, &end_turns_with_news,
	&end_turns_with_budget, NULL,
};
