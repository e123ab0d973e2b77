/* How statements find the session that somebody means. */
#pragma once
#include "db/sessions.h"
#include "db/sql.h"

/* The id of a session, in brackets, by $1 owner, $2 agents (session_owner_params), $3 chatId, $4 the same if it could be an id
 * (session_ref_params). A chatId goes before an id. Deleted ones are not found. */
#define SESSION_ID                                                                                                     \
	"(SELECT f.id FROM (SELECT n.id, n.agent_id, 1 AS place FROM chat_sessions n WHERE n.user_id = $1::uuid AND n.name = $3 AND n.status <> 'deleted'" \
	" UNION ALL SELECT u.id, u.agent_id, 2 FROM chat_sessions u WHERE u.id = $4::uuid AND u.user_id = $1::uuid AND u.status <> 'deleted') f" \
	" WHERE " SQL_KEY_OPENS("f", "$2") " ORDER BY f.place LIMIT 1)"

/* Appends two parameters. */
void session_ref_params(struct query *q, struct str ref);
