/* Words of SQL that several statements use. */
#pragma once

/* A timestamp as the API shows it: ISO 8601, milliseconds, UTC. */
#define SQL_ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
/* A parameter in seconds as an interval. */
#define SQL_SECONDS(param) "make_interval(secs => " param "::bigint)"
/* What failed logins of a name are counted under. */
#define SQL_NAME_KEY(name) "encode(sha256(convert_to(lower(" name "), 'UTF8')), 'hex')"
/* base/tokens.h's estimate of a text. */
#define SQL_TOKENS(text) "((3 * octet_length(" text ")::bigint - char_length(" text ") + 7) / 8)"
/* A timestamp in microseconds, exactly, and the other way. */
#define SQL_US(column)   "(extract(epoch FROM " column ") * 1000000)::bigint"
#define SQL_AT_US(param) "(timestamptz 'epoch' + " param "::bigint * interval '1 microsecond')"
/* May somebody see this session whose key opens some agents only (a JSON array; NULL: it opens all)? Only if no other agent took part. OFFSET 0
 * has it looked up session by session: for the few of a page, not for all messages that there are. */
#define SQL_KEY_OPENS(session, agents)                                                                    \
	"(" agents "::jsonb IS NULL OR (" agents "::jsonb ? " session ".agent_id AND NOT EXISTS (SELECT FROM chat_messages o" \
	" WHERE o.session_id = " session ".id AND (o.agent_id IS NULL OR NOT " agents "::jsonb ? o.agent_id) OFFSET 0)))"
/* After ORDER BY a column whose order an index has: reads no further than it must, and what ties with the last one is for the query around
 * it to sort by id. ORDER BY both columns and LIMIT would be the same, but PostgreSQL, which takes every owner and every session for an
 * average one, then reads and sorts all rows of a large one. */
#define SQL_FIRST(n) " FETCH FIRST (" n ") ROWS WITH TIES"
