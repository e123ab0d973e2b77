/* Statements on what the migration "search" keeps and finds. */
#include "db/search.h"

#include "db/sql.h"
#include "db/statements.h"

/* A row for each that was added, so that whoever runs it can count them. */
static const struct statement index_ended = {
	"search_index",
	"SELECT FROM generate_series(1, search_index($1::integer))",
	1,
};

void search_index(struct pool *pool, struct query *q, int64_t max)
{
	query_int(q, max);
	query_start(pool, q, &index_ended);
}

/* Which sessions can be found at all. */
#define SHOWN "s.status <> 'deleted'"

#define UPDATED_AT SQL_ISO("s.updated_at")
#define CREATED_AT SQL_ISO("m.created_at")

/* Slices are asked one after the other, the newest first, until there are three candidates for each session that is wanted: what is
 * common costs little more than what is rare. OFFSET 0 keeps each step where it is: no plan may begin with the sessions. A short text that
 * matches is better than a long one, a title better than a message, more matches and younger ones are better. Sessions are looked at one
 * by one only where some of the owner's are not to be found; a slice has nobody else's. Texts come whole: only the best five sessions
 * have up to three. */
static const struct statement find = {
	"search",
	"WITH asked AS MATERIALIZED (SELECT *, $4::text IS NOT NULL OR (SELECT"
	"  counts @? '$.keyvalue() ? (@.key starts with \"deleted/\" && @.value > 0)' FROM session_counts WHERE user_id = $1::uuid) AS "
	"some_hidden"
	" FROM search_query($2)),"
	" found AS MATERIALIZED ("
	"  SELECT e.id, e.session_id, e.title IS NOT NULL AS in_title, e.ended_at,"
	"   CASE WHEN e.title IS NULL THEN 1 / (1 + e.n_words / 200::float8) ELSE 1 + 1 / (1 + e.n_words / 10::float8) END AS score"
	"  FROM asked a CROSS JOIN LATERAL ("
	"   SELECT to_hex(id) || '.' AS name FROM search_slices WHERE owner_id = $1::uuid AND a.wanted IS NOT NULL"
	"   ORDER BY id DESC OFFSET 0) slice"
	"  CROSS JOIN LATERAL (SELECT w.* FROM ("
	"    SELECT id, session_id, title, ended_at, n_words FROM search_entries"
	"    WHERE words @@ replace(a.wanted, E'\\x02', slice.name)::tsquery ORDER BY ended_at DESC OFFSET 0) w"
	"   WHERE (w.title IS NULL AND NOT a.some_hidden OR EXISTS (SELECT FROM chat_sessions s WHERE s.id = w.session_id AND " SHOWN
	"    AND ($4::text IS NULL OR s.agent_id = $4) AND (w.title IS NULL OR w.title = s.title) OFFSET 0))"
	"   AND ($5::jsonb IS NULL OR NOT EXISTS (SELECT FROM chat_messages o"
	"    WHERE o.session_id = w.session_id AND (o.agent_id IS NULL OR NOT $5::jsonb ? o.agent_id)))"
	"   AND (a.exact OR search_holds(coalesce(w.title, (SELECT content FROM chat_messages m WHERE m.id = w.id)),"
	"    a.runs, a.phrases))"
	"  ) e LIMIT 3 * $3::integer"
	"), best AS MATERIALIZED ("
	"  SELECT *, row_number() OVER (ORDER BY score DESC, newest DESC) AS place FROM ("
	"   SELECT session_id, max(ended_at) AS newest, max(score) + ln(count(*)::float8) / 4"
	"    - ln(1 + greatest(date_part('epoch', now() - max(ended_at)), 0) / 2592000) / 8 AS score,"
	"    array_agg(id) FILTER (WHERE NOT in_title) AS messages"
	"   FROM (SELECT * FROM found ORDER BY score DESC, ended_at DESC) f GROUP BY session_id) g"
	"  ORDER BY score DESC, newest DESC LIMIT $3::integer"
	") SELECT a.wanted IS NOT NULL, s.id, s.name, s.title, s.agent_id, " UPDATED_AT ", round(b.score::numeric, 3),"
	" m.id, m.role, " CREATED_AT ","
	" CASE WHEN octet_length(m.content) <= 65536 THEN m.content ELSE search_head(m.content) END, octet_length(m.content) > 65536,"
	" array_to_string(a.runs, ' '), array_to_string(a.stems, ' ')"
	" FROM asked a LEFT JOIN best b ON true LEFT JOIN chat_sessions s ON s.id = b.session_id"
	" LEFT JOIN LATERAL unnest(b.messages[:CASE WHEN b.place <= 5 THEN 3 ELSE 1 END]) WITH ORDINALITY AS f (id, n) ON true"
	" LEFT JOIN chat_messages m ON m.id = f.id"
	" ORDER BY b.place, f.n",
	5,
};

void search_start(struct pool *pool, struct query *q, const struct search *search)
{
	query_text(q, search->user_id);
	query_text(q, search->text);
	query_int(q, search->limit);
	query_text_or_null(q, search->agent_id);
	query_text_or_null(q, search->agents);
	query_start_heavy(pool, q, &find);
}

bool search_has_words(const struct query *q)
{
	return query_col_bool(q, 0, 0);
}

struct search_row search_row(const struct query *q, size_t i)
{
	return (struct search_row){
		.present = !query_is_null(q, i, 1),
		.session_id = query_col(q, i, 1),
		.chat_id = query_col(q, i, 2),
		.title = query_col(q, i, 3),
		.agent_id = query_col(q, i, 4),
		.updated_at = query_col(q, i, 5),
		.score = query_col(q, i, 6),
		.has_message = !query_is_null(q, i, 7),
		.message_id = query_col(q, i, 7),
		.role = query_col(q, i, 8),
		.created_at = query_col(q, i, 9),
		.text = query_col(q, i, 10),
		.cut = query_col_bool(q, i, 11),
		.runs = query_col(q, i, 12),
		.stems = query_col(q, i, 13),
	};
}

const struct statement *const search_statements[] = {&index_ended, &find, NULL};
