/* The calls of one turn, until somebody answers: its agent's provider, tried again where that may help, then the agent's fallbacks. Once
 * the first event has come it is that one call and no other. Breakers, retry budget and places are asked here, and told. */
#pragma once
#include "base/breaker.h"
#include "chat/places.h"
#include "llm/stream.h"

struct agent;
struct turns;

/* What is asked, whoever answers; borrowed until the first event, or until the call is over. */
struct call_ask {
	struct llm_request request; /* without what is an agent's: provider, endpoint, key, model, prompt, timeouts; its settings, where they are not the asker's */
	struct str agents;          /* JSON array of the only agents that may answer; empty: all */
	uint64_t first_event_until_us, over_until_us; /* clock_mono_us; the latter 0: the agent's totalMs alone */
};

struct call {
	/* When it is over. op.err: 0 the answer is whole; as llm_stream's; -ERR_CIRCUIT_OPEN; -ERR_OVERLOADED. op_cancel leaves the provider. */
	struct op op;
	/* Each event, from the first on; it may cancel the call. */
	void (*on_event)(struct call *call, const struct llm_event *event);
	/* Valid at any time: */
	struct agent *agent;  /* who is asked, or has answered; a reference, until call_fini */
	struct agent *asked;  /* who was asked at first; the same */
	const char *reason;   /* of the last end, for the log */
	int retry_after_s;    /* -1: nobody knows */
	uint64_t called_us;   /* clock_mono_us of the first call; 0: none yet */
	struct llm_stream stream; /* the last one */
	/* its own: */
	struct turns *turns;
	const struct call_ask *ask; /* borrowed; NULL once somebody answers */
	struct str user;
	const struct log_ctx *log;
	struct place place;
	struct breaker_pass pass;
	struct timer pause;
	struct defer over;
	unsigned n_retries; /* of this agent's */
	size_t n_fallbacks; /* that were looked at */
	uint64_t had_ms;    /* until the first event, of REQUEST_TIMEOUT */
	bool passed, heard;
};

/* On an all-zero call whose op.done and on_event are set. */
void call_start(struct call *call, struct turns *turns, struct agent *agent, const struct call_ask *ask);
/* Cancels it if it is under way. Right for an all-zero call too. */
void call_fini(struct call *call);
/* Does another agent answer than the one that was asked? */
bool call_went_elsewhere(const struct call *call);
