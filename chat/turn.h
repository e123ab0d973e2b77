/* A turn: one question and its answer. It owns the provider call, the answer's log and the ending in the database, and outlives
 * every request that reads it. chat/turns.h has the parts that all turns share. */
#pragma once
#include "base/backoff.h"
#include "base/log.h"
#include "base/uuid.h"
#include "chat/agent.h"
#include "chat/answer.h"
#include "chat/call.h"
#include "db/turn_writes.h"

struct flight;
struct json_writer;
struct reservation;
struct turns;

/* What is asked; everything is borrowed until turn_start returns. */
struct turn_request {
	struct agent *agent;
	struct str user_id;
	struct str agents; /* JSON array of the only agents whose messages he may see; empty: all */
	bool anonymous;
	struct str chat_id; /* empty: a new session gets a name of its own */
	const struct llm_message *messages;
	size_t n_messages;
	bool with_history; /* a single message goes with what was said in its session before */
	struct str question, question_parts;     /* which of them is stored: its text, its parts or empty */
	struct str question_client_id;           /* the client's id for it, or empty */
	struct str answer_client_id;             /* the client's id for the answer, or empty */
	struct str retry_session_id, retry_question_id; /* another answer to this question, which is messages' only one; else empty */
	struct uuid question_id, answer_id; /* what they are to be called; empty: turn_start makes names. The question's sorts first */
	struct turn_key key;                /* an Idempotency-Key; an empty one: none */
	bool has_temperature;
	double temperature;
	struct str variables; /* JSON object, or empty */
	int64_t max_tokens;   /* 0: the agent's */
	bool limits_completion; /* see struct llm_request; so is extra */
	struct str extra;
	bool plain;           /* the whole answer is waited for: REQUEST_TIMEOUT bounds all of it */
	const char *request_id;
	/* What it may take of limits; NULL: nothing limits it. The turn takes it if it begins. */
	struct reservation *reservation;
};

/*   BEGINNING ──both rows stored──> CALLING ──first event──> STREAMING ──over──> ENDING ──stored or given up──> OVER
 *   BEGINNING waits for the database; CALLING and STREAMING for a provider (chat/call, whose deadlines are llm/stream's);
 *   ENDING for the database, again and again while that is away. Failures lead to ENDING from anywhere, or to OVER if there
 *   is no row.
 *
 * The provider of a new session is called while its rows are on their way (rows_pending), if the database is well: there is nothing to
 * read for it. Readers are shown nothing until the rows are stored; a call that is over by then leads back to BEGINNING. */
enum turn_state { TURN_BEGINNING, TURN_CALLING, TURN_STREAMING, TURN_ENDING, TURN_OVER };

struct turn {
	struct list node; /* in turns->live, unless it is replayed */
	struct turns *turns;
	enum turn_state state;
	struct agent *agent; /* who was asked; who answers, once he does */
	struct answer answer;
	struct str chat_id, user_id, answer_client_id; /* in arena; the last may be empty */
	struct uuid session_id, question_id, answer_id;
	struct log_ctx log;
	bool plain, settled;
	bool rows_pending;  /* neither stored nor known not to be */
	bool new_session; /* nobody can have asked for it yet */
	bool replayed; /* it was over before: chat/replay */
	struct flight *flight; /* chat/dedup: others may ask for the same; NULL: none can */
	int err;            /* 0 or -ERR_*: how it ended, valid once settled */
	int retry_after_s;  /* what the provider said, else -1 */
	const char *status; /* of the row, once it is known how it ended */
	const char *reason; /* why it ended so, for the log */
	char finish_reason[32];
	bool has_usage, usage_estimated; /* estimated: the provider did not say, counted from the text */
	struct llm_usage usage;
	uint64_t began_us, first_event_us, over_us; /* clock_mono_us; 0: not yet */
	uint64_t created_real_us;
	/* the turn's own: */
	struct arena arena;
	struct turn_request *ask; /* in ask_arena, until its rows are stored and somebody answers */
	struct arena ask_arena;
	size_t asked_bytes;    /* in turns->asked_bytes, as long as ask */
	int64_t prompt_tokens; /* estimate */
	/* owned, until it is over; may be NULL */
	struct reservation *reservation;
	struct turn_write write;
	struct call call;
	struct buf text; /* the answer's, while its ending is stored */
	struct buf beside; /* what came beside it, likewise */
	struct backoff backoff;
	struct timer retry;
	struct defer gone;
	uint64_t give_up_us;
	bool kept;          /* its ending waits for the database */
	bool begin_unknown; /* its rows may not be there */
	bool unheard;       /* stopped before the provider's first event: first_event_us is not its */
};

/* What a question takes until the provider answers: our copy, and the body of the call. */
size_t turn_request_bytes(const struct turn_request *request);
/* Begins a turn. NULL if too many are live already, or they hold too much of what was asked. The caller joins a reader before the loop goes on. */
struct turn *turn_start(struct turns *turns, const struct turn_request *request);

/* Reading: set reader->on_more first. More may lie in the log, or the turn has settled: its outcome is known, and stored (or
 * safely queued to be). After turn_leave the turn may go at any time; whether it goes on without readers is the agent's policy. */
void turn_join(struct turn *turn, struct reader *reader);
void turn_leave(struct turn *turn, struct reader *reader);
/* Microseconds that the provider has had for its first event, or, once it is over, for all of it: not ours. */
uint64_t turn_upstream_us(const struct turn *turn);
/* {"prompt_tokens":…}: how usage looks wherever it is shown. */
void turn_put_usage(struct json_writer *w, const struct llm_usage *usage, bool estimated);
/* Ends it now as interrupted, because this responder stops. */
void turn_interrupt(struct turn *turn);
/* Ends it now as stopped, because its user (or the operator) wants no more: the provider is left, what came is kept, and for its
 * readers it is a whole answer with the finish reason "stopped". False if it is ending already. */
bool turn_stop(struct turn *turn);
