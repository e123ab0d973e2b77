/* Rows of chat_messages and the sessions they belong to, but for what turns write: see db/turn_writes.h. */
#pragma once
#include "db/pool.h"

struct process;

/* Other processes of this node that have `streaming` rows; at most 100, the oldest first. */
void messages_find_owners(struct pool *pool, struct query *q, const struct process *self);
void messages_owner_row(const struct query *q, size_t i, int *slot, int64_t *generation);
/* Marks the streaming rows of a process `interrupted`; at most 10,000 at once. */
void messages_interrupt(struct pool *pool, struct query *q, const struct process *self, int slot, int64_t generation);

enum { MESSAGES_MAX_PAGE = 200 };
/* Messages of a session of that owner, oldest first, at most limit of them and about 8 MiB of content (the page is then shorter).
 * agents: empty, or a JSON array: then a session with messages of other agents does not exist. role empty: all. No row: there is no
 * such session. A row whose id is NULL: it has none in this page. */
void messages_list(struct pool *pool, struct query *q, struct str user_id, struct str session_name, struct str agents, struct str role,
		   int64_t limit, int64_t offset);

struct message_row {
	int64_t total; /* of the session, in that role */
	bool present;  /* false: the session has no message in this page */
	struct str id, parent_id, client_id, role, content, status, agent_id, model, finish_reason, error_code, created_at;
	bool has_usage, usage_estimated;
	int64_t prompt_tokens, completion_tokens, total_tokens;
};
struct message_row messages_row(const struct query *q, size_t i);
