/* The two statements of a turn: its beginning (session, question, answer row) and its ending. What waits together is written
 * together, up to TURN_WRITES_MAX turns in one statement and so in one commit; under little load each goes at once, under more endings wait
 * for others for up to 10 ms, and beginnings of new sessions for up to 20 ms, or until turn_writes_hurry. */
#pragma once
#include "db/pool.h"

struct loop;
struct process;
struct turn_writes;

enum { TURN_WRITES_MAX = 64 };

/* The client's name for a turn (Idempotency-Key): asked for once more, it is the same turn, not another. */
struct turn_key {
	struct str key, body_hash; /* an empty key: none */
	struct str instead_of;     /* the answer that it stood for until now, if that is no good any more; else empty */
};

/* A question and the answer that is about to be worked on. */
struct new_turn {
	struct str session_id; /* used if the session does not exist yet */
	struct str user_id;
	bool anonymous;
	bool session_is_new;     /* nobody knows its name yet */
	struct str session_name; /* chatId */
	struct str title;        /* used if the session does not exist yet */
	struct str agent_id, provider, model;
	struct str question_id, question, question_client_id, question_parts; /* the last two may be empty */
	struct str answer_id, answer_client_id;                               /* the last may be empty */
	struct str agents;          /* JSON array: only what was said to these is history; empty: all is */
	int64_t max_history;        /* earlier messages wanted, 0: none */
	int64_t max_history_tokens; /* of their content together, as base/tokens.h counts */
	struct turn_key key;
};

/* How an answer ended. */
struct turn_ending {
	struct str answer_id, content;
	const char *status;       /* complete, stopped, cancelled, interrupted, failed */
	struct str finish_reason; /* may be empty */
	const char *error_code;   /* NULL: none */
	bool has_usage, usage_estimated;
	int64_t prompt_tokens, completion_tokens, total_tokens;
	int64_t first_event_ms; /* -1: none came */
	int64_t took_ms;
	bool has_budget;           /* something is reserved for it, see db/budgets.h */
	struct str beside;         /* what came beside the text, for chat/replay; may be empty */
	const char *upstream_name; /* the provider's name for the conversation, for the session; empty: forget it; NULL: no news */
	struct str agent_id, provider, model; /* who answered, if not who was asked; else empty */
};

struct history_row {
	struct str role, content;
};

/* One beginning or ending on its way; embedded in whoever waits, op.done set by it. Texts are borrowed until done. */
struct turn_write {
	struct op op; /* errors as for query_start */
	/* Valid in done: */
	bool was_sent; /* an error does not prove that it has not happened */
	bool found;    /* of an ending: there was such a row, not yet ended */
	char sqlstate[QUERY_SQLSTATE_SIZE];
	bool has_upstream; /* of a beginning: the provider has a name for the conversation, see turn_write_upstream */
	size_t n_history;  /* of a beginning: the session's earlier messages, see turn_write_history */
	/* its own: */
	struct turn_writes *writes;
	struct turn_batch *batch; /* while it is sent */
	struct list node;
	uint64_t give_up_us; /* while it waits to be sent */
	size_t upstream_row;
	size_t at, first_row; /* place in the batch; of its history in the rows */
	bool alone;           /* it was in a batch that failed */
	bool taken;           /* another turn has its key */
	union {
		struct new_turn begin;
		struct turn_ending end;
	};
};

/* All pointers are borrowed until turn_writes_free. */
struct turn_writes *turn_writes_new(struct loop *loop, struct pool *pool, const struct conf *conf, const struct process *owner);
/* Nobody may wait any more; what was sent still happens. */
void turn_writes_free(struct turn_writes *writes);

/* Do writes come through at the moment, and soon? Then whoever can may go on while his are on their way. */
bool turn_writes_flow(const struct turn_writes *writes);

/* There is nothing left to do but to wait for this beginning: if it still gathers others, it goes now. */
void turn_writes_hurry(struct turn_write *w);

/* Makes the session if there is none of that name and inserts both rows (the answer `streaming`). With a key it does so only if the key
 * can be had for it: -ERR_CONFLICT, and nothing has happened, if another turn has it meanwhile. */
void turn_writes_begin(struct turn_writes *writes, struct turn_write *w, const struct new_turn *turn);
/* Inserts another answer (`streaming`) to question_id of session_id; nothing is made but that. -ERR_MESSAGE_NOT_FOUND: it is not there. The
 * history is what was said before the question. Of turn, what is about the question and the session's making is not used. A key is as for
 * turn_writes_begin. */
void turn_writes_retry(struct turn_writes *writes, struct turn_write *w, const struct new_turn *turn);
/* Row i of the history, oldest first; in done only. */
struct history_row turn_write_history(const struct turn_write *w, size_t i);
/* How this agent's provider called the conversation when it was last asked in this session; empty if it had no name; in done only. */
struct str turn_write_upstream(const struct turn_write *w);
/* Writes the ending unless the row has ended already: repeating it is safe. An answer that a sweeper took for abandoned, wrongly
 * as it turns out, gets its true ending. */
void turn_writes_end(struct turn_writes *writes, struct turn_write *w, const struct turn_ending *ending);
