/* Which turns are being asked for, by what makes them the same: an Idempotency-Key, or the whole question in its session. Who asks for one
 * that is in flight here waits for its beginning and then reads it; Redis tells whether another responder works on it. */
#pragma once
#include "base/list.h"
#include "base/op.h"
#include "base/uuid.h"
#include "chat/turn_hash.h"

struct conf;
struct dedup;
struct flight;
struct loop;
struct redis;
struct turn;

/* What is asked for. */
struct dedup_id {
	char flight[TURN_HASH_SIZE]; /* requests with the same one are the same */
	char body[TURN_HASH_SIZE];   /* or should be: what it says */
	bool by_key;                 /* by an Idempotency-Key: PostgreSQL knows about the other responders, not Redis */
	int64_t ttl_ms;              /* no turn of this agent lasts longer */
};

enum dedup_verdict {
	DEDUP_BEGIN,     /* nobody has it: begin the turn under these ids, then say dedup_begun */
	DEDUP_ELSEWHERE, /* another responder has it: look for answer_id, then say dedup_stored or dedup_again */
	DEDUP_JOIN,      /* turn is live here: join it before the loop goes on */
	DEDUP_STORED,    /* it is over: answer_id is stored */
	DEDUP_DIFFERS,   /* another body under the same key */
};

/* One request that asks; storage belongs to the caller, all-zero before its first use. */
struct dedup_claim {
	struct op op; /* op.done is set by the caller; op.err is always 0. Not to be cancelled: dedup_leave does that */
	/* valid in done, or when dedup_enter says true: */
	enum dedup_verdict verdict;
	struct turn *turn;
	struct uuid question_id, answer_id;
	/* its own: */
	struct flight *flight;
	struct list node;
};

struct dedup *dedup_new(struct loop *loop, struct redis *redis); /* borrowed until dedup_free */
/* No claim may be in it. */
void dedup_free(struct dedup *d);

/* True: the verdict is there. False: op.done will come, when whoever came first knows more; the caller has a deadline of its own.
 * With DEDUP_BEGIN and DEDUP_ELSEWHERE all others wait for this one, until it says one of the following. */
MUST_CHECK bool dedup_enter(struct dedup *d, struct dedup_claim *claim, const struct dedup_id *id);
/* The turn has begun: the others join it, until dedup_over. */
void dedup_begun(struct dedup_claim *claim, struct turn *turn);
/* The answer is there, or will be no better: the others read it where it is stored. */
void dedup_stored(struct dedup_claim *claim, struct str answer_id);
/* After DEDUP_ELSEWHERE: nobody works on that any more, it does not count. As dedup_enter. */
MUST_CHECK bool dedup_again(struct dedup_claim *claim);
/* Wants no more, whatever it was told; the next one takes its place. Nothing happens if it waits for nothing and owes nothing. */
void dedup_leave(struct dedup_claim *claim);
/* For chat/turn.c: its outcome is known, nobody else joins. */
void dedup_over(struct turn *turn);
