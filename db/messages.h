/* Rows of chat_messages and the sessions they belong to: a turn is one statement at its beginning and one at its end. */
#pragma once
#include "db/pool.h"

struct process;

/* A question and the answer that is about to be worked on; texts are borrowed until done. */
struct new_turn {
	struct str session_id;   /* used if the session does not exist yet */
	struct str user_id;
	bool anonymous;
	struct str session_name; /* chatId */
	struct str title;        /* used if the session does not exist yet */
	struct str agent_id, provider, model;
	struct str question_id, question, question_client_id, question_parts; /* the last two may be empty */
	struct str answer_id, answer_client_id;                               /* the last may be empty */
	const struct process *owner;
	int64_t max_history;       /* earlier messages wanted, 0: none */
	int64_t max_history_bytes; /* of their content together */
};
/* Makes the session if there is none of that name and inserts both rows (the answer `streaming`).
 * The rows of the query are the session's earlier messages, oldest first. */
void messages_begin_turn(struct pool *pool, struct query *q, const struct new_turn *turn);

struct history_row {
	struct str role, content; /* borrowed from the query */
};
struct history_row messages_history_row(const struct query *q, size_t i);

/* How an answer ended. */
struct turn_ending {
	struct str answer_id, content;
	const char *status;        /* complete, stopped, cancelled, interrupted, failed */
	struct str finish_reason;  /* may be empty */
	const char *error_code;    /* NULL: none */
	bool has_usage, usage_estimated;
	int64_t prompt_tokens, completion_tokens, total_tokens;
	int64_t first_event_ms;    /* -1: none came */
	int64_t took_ms;
};
/* Writes the ending unless the row has ended already: repeating it is safe. query_n_affected says whether there was such a row. */
void messages_end_turn(struct pool *pool, struct query *q, const struct turn_ending *ending);

/* Other processes of this node that have `streaming` rows; at most 100, the oldest first. */
void messages_find_owners(struct pool *pool, struct query *q, const struct process *self);
void messages_owner_row(const struct query *q, size_t i, int *slot, int64_t *generation);
/* Marks the streaming rows of a process `interrupted`; at most 10,000 at once. */
void messages_interrupt(struct pool *pool, struct query *q, const struct process *self, int slot, int64_t generation);

enum { MESSAGES_MAX_PAGE = 200 };
/* Messages of a session of that owner, oldest first, at most limit of them and about 8 MiB of content (the page is then shorter).
 * role empty: all. No row: there is no such session. A row whose id is NULL: it has none in this page. */
void messages_list(struct pool *pool, struct query *q, struct str user_id, struct str session_name, struct str role, int64_t limit,
		   int64_t offset);

struct message_row {
	int64_t total; /* of the session, in that role */
	bool present;  /* false: the session has no message in this page */
	struct str id, parent_id, client_id, role, content, status, agent_id, model, finish_reason, error_code, created_at;
	bool has_usage, usage_estimated;
	int64_t prompt_tokens, completion_tokens, total_tokens;
};
struct message_row messages_row(const struct query *q, size_t i);
