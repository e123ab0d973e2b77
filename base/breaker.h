/* The circuit breaker of each agent and the budget of retries, shared by all responders of this host: one mapped file of atomics,
 * RUN_DIR/breakers. Each change of state is one compare-and-swap, so a process may be killed at any instruction and leaves no lock.
 *
 *   closed     calls pass; CIRCUIT_BREAKER_FAILURE_THRESHOLD failures in a row open it
 *   open       nothing passes for CIRCUIT_BREAKER_RESET_TIMEOUT; the first call after that makes it half-open
 *   half-open  BREAKER_MAX_PROBES calls at once may try, in all processes together (fewer if fewer successes are wanted);
 *              CIRCUIT_BREAKER_SUCCESS_THRESHOLD successes close it, one failure opens it again
 *
 * What a call says counts only if the breaker is still in the state that let the call through. Nothing here blocks or waits. */
#pragma once
#include "base/str.h"

struct breaker_entry;
struct breakers;
struct conf;

enum {
	BREAKER_ID_BYTES = 64,  /* an agent's id, at most */
	BREAKER_MAX_PROBES = 3, /* calls that try a half-open breaker at once */
	BREAKER_MAX_COOL_DOWN_MS = 5 * 60000,
	BREAKER_BUSY_MS = 1000, /* when to ask again while others try */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
enum breaker_outcome {
	BREAKER_SUCCESS, /* the answer is whole */
	BREAKER_FAILURE, /* 5xx, no connection, a time limit, a cut stream */
	BREAKER_NEITHER, /* 4xx, a user's stop, a lack of our own: says nothing about the provider */
};

/* A call that was let through. Embedded by the caller, may be copied; all zero is a call of which nothing is kept. */
struct breaker_pass {
	char agent_id[BREAKER_ID_BYTES];
	uint8_t id_len;
	int8_t probe;                /* its place among the probes, from 1; 0: none */
	struct breaker_entry *entry; /* borrowed from struct breakers; NULL: the agent had none */
	uint64_t era;                /* the state that let it through, and since when */
	uint64_t lease;              /* what stands in its place */
};

/* Maps the file; makes it if it is not there, or is another boot's, another version's or damaged. Never NULL: if there is no file to be
 * had, that is logged and this process keeps its breakers alone. Reads and writes files: at start-up only. conf is read at once. */
struct breakers *breakers_open(const char *run_dir, const struct conf *conf);
/* The same file to look at only, for llmchatctl: nothing is made, nothing may be changed. NULL with a sentence in why. */
struct breakers *breakers_peek(const char *run_dir, const struct conf *conf, char *why, size_t why_size);
/* The file stays: it is the other processes' too. */
void breakers_close(struct breakers *b);

/* May a call to this agent go out now? If it may, *pass is filled and breaker_leave must follow. If not, *retry_after_ms (above 0)
 * says when it is worth asking again. */
MUST_CHECK bool breaker_enter(struct breakers *b, struct str agent_id, struct breaker_pass *pass, int64_t *retry_after_ms);
/* The provider has begun to answer: a probe's place is free for the next one. Its outcome is still to come. May be left out: a place
 * is given back by breaker_leave, or lapses when a call can no longer be waiting for its first event. */
void breaker_answering(struct breakers *b, struct breaker_pass *pass);
/* How the call ended; exactly once for each pass. Successes are whole answers: whoever said so at the first event would never see a
 * provider that cuts all its streams. */
void breaker_leave(struct breakers *b, struct breaker_pass *pass, enum breaker_outcome outcome);
/* The provider said 429 and Retry-After: no call goes out until then, BREAKER_MAX_COOL_DOWN_MS at most. That is no failure. */
void breaker_cool_down(struct breakers *b, struct str agent_id, int64_t ms);

/* The host's budget of retries (base/retry_budget.h). Once for each turn, with its first call. */
void breakers_count_call(struct breakers *b);
/* For each further call: is there one left? Then it is taken. */
MUST_CHECK bool breakers_take_retry(struct breakers *b);

/* ---- for administrators ---- */

struct breaker_view {
	char agent_id[BREAKER_ID_BYTES + 1];
	enum breaker_state state;
	unsigned n;             /* closed: failures in a row; half-open: successes */
	unsigned n_probes;      /* calls that try it right now */
	int64_t for_ms;         /* since its last change; -1: it never changed */
	int64_t retry_after_ms; /* 0: a call would be let through, or would try */
	bool cooling;           /* the provider asked for the pause */
};

/* One agent's; closed if it was never in trouble. */
void breaker_look(const struct breakers *b, struct str agent_id, struct breaker_view *out);
/* The next agent that was ever in trouble since the boot; *at begins with 0. False: there are no more. In no order. */
MUST_CHECK bool breakers_next(const struct breakers *b, size_t *at, struct breaker_view *out);
/* closed, open, half_open */
const char *breaker_state_name(enum breaker_state state);
/* Closes it and ends its cool-down; calls that are under way count no more. False if it was closed, without a failure. */
bool breaker_reset(struct breakers *b, struct str agent_id);
/* All of them; returns how many it was not true of. */
size_t breakers_reset_all(struct breakers *b);
