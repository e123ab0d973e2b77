/* Rows of chat_messages and the sessions they belong to, but for what turns write: see db/turn_writes.h. */
#pragma once
#include "db/sessions.h"

struct process;

/* Other processes of this node that have `streaming` rows; at most 100, the oldest first. */
void messages_find_owners(struct pool *pool, struct query *q, const struct process *self);
void messages_owner_row(const struct query *q, size_t i, int *slot, int64_t *generation);
/* Marks the streaming rows of a process `interrupted`; at most 10,000 at once. */
void messages_interrupt(struct pool *pool, struct query *q, const struct process *self, int slot, int64_t generation);

enum { MESSAGES_MAX_PAGE = 200 };
/* Messages of a session, oldest first, all answers to a question behind it; at most limit of them and about 8 MiB of content (the page is
 * then shorter). ref: a chatId or the session's id. role empty: all. No row: there is no such session. A row that is not present: it has
 * none in this page. */
void messages_list(struct pool *pool, struct query *q, const struct session_owner *owner, struct str ref, struct str role, int64_t limit,
		   int64_t offset);
/* Of the session, in that role. */
int64_t messages_total(const struct query *q);

struct message_row {
	bool present;  /* false: the session has no message in this page */
	struct str id, parent_id, client_id, role, content, status, agent_id, model, finish_reason, error_code, created_at;
	bool has_usage, usage_estimated;
	int64_t prompt_tokens, completion_tokens, total_tokens;
	struct str rating, comment;      /* of the owner; empty if there is none */
	int64_t n_answers, answer_place; /* of an answer: to how many of its question it belongs, and the how-manieth it is; else 0 */
	int64_t created_us;              /* its place in the session: for another answer that of its question */
};
struct message_row messages_row(const struct query *q, size_t i);

/* The next messages after a place in a session (0 and any id: the first), at most limit and max_bytes of content, but at least one.
 * user_id: whose ratings. */
void messages_export(struct pool *pool, struct query *q, struct str user_id, struct str session_id, int64_t after_us, struct str after_id,
		     int64_t limit, int64_t max_bytes);
struct message_row messages_exported(const struct query *q, size_t i);

/* The question that message_ref belongs to: the question's or an answer's id, or what the client called it. No row: no such session. */
void messages_find_question(struct pool *pool, struct query *q, const struct session_owner *owner, struct str session_ref, struct str message_ref);
struct question_row {
	bool present; /* false: the session has no such message */
	struct str session_id, chat_id, id, content, parts; /* parts: JSON, or empty */
	struct str agent_id; /* who was asked */
};
struct question_row messages_question(const struct query *q);

/* How an answer of the owner's ended, or `streaming`. answer_ref: its id, or what the client called it: that is looked for among the latest
 * messages of the latest sessions only. No row: there is none. */
void messages_find_answer(struct pool *pool, struct query *q, const struct session_owner *owner, struct str answer_ref);
struct answer_row {
	struct str id, status;
};
struct answer_row messages_answer(const struct query *q);

/* The owner's rating of an answer: good, bad, or empty to take it back. No row: no such session; a NULL: no such answer in it. */
void messages_rate(struct pool *pool, struct query *q, const struct session_owner *owner, struct str session_ref, struct str message_ref,
		   struct str rating, struct str comment);
