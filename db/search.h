/* Full text search in one's own sessions. What is found by what is made in PostgreSQL: the migration "search", docs/decisions/0013. */
#pragma once
#include "db/pool.h"

enum { SEARCH_MAX_LIMIT = 50, SEARCH_MAX_QUERY = 200 };

/* Adds what has ended to the index: at most max messages and titles. query_n_rows says how many; fewer than max: there is no more. */
void search_index(struct pool *pool, struct query *q, int64_t max);

struct search {
	struct str user_id, text;
	struct str agents;   /* JSON array: sessions where others took part are not found; empty: all are */
	struct str agent_id; /* only sessions that began with this one; empty: all */
	int64_t limit;       /* of sessions */
};
/* Rows of sessions, best first, and of up to three messages of the best five, one of others, together. There is always a row: see search_has_words, search_row. */
void search_start(struct pool *pool, struct query *q, const struct search *search);
/* Was there any word in what was looked for? */
bool search_has_words(const struct query *q);

struct search_row {
	bool present; /* false: nothing was found, or it has just gone */
	struct str session_id, chat_id, title, agent_id, updated_at;
	struct str score; /* a JSON number */
	bool has_message; /* false: only the title matches */
	struct str message_id, role, created_at;
	struct str text; /* of the message what can be found: the first 64 KB */
	bool cut;        /* there is more of it */
	struct str runs, stems; /* of what was looked for, with blanks between: what stands anywhere, and stems of words */
};
struct search_row search_row(const struct query *q, size_t i);
