/* Limits a minute on what turns take: of requests and of tokens, an agent's or a key's. What a turn may take is reserved before it begins,
 * of all its limits at once or of none, and settled when it has ended; what nobody settles lapses with its minute. All responders count
 * together in Redis; without it each counts alone, up to its share. */
#pragma once
#include "cache/redis.h"

struct quotas;

/* slot: this responder's, of conf's RESPONDERS. redis and conf are borrowed until quotas_free. */
struct quotas *quotas_new(struct redis *redis, const struct conf *conf, int slot);
void quotas_free(struct quotas *quotas); /* NULL is fine; settlements on their way may still happen */

enum { QUOTA_MAX = 4, QUOTA_KEY_SIZE = 112 };

enum quota_of { QUOTA_AGENT, QUOTA_API_KEY };
enum quota_what { QUOTA_REQUESTS, QUOTA_TOKENS };

struct quota {
	enum quota_of of;
	enum quota_what what;
	int64_t limit, reserved;
	/* valid once it is decided: */
	int64_t remaining, reset_ms; /* until the minute is over */
	/* its own: */
	char key[QUOTA_KEY_SIZE];
	int64_t window;    /* which of its minutes it is reserved in, as Redis calls it */
	uint64_t until_us; /* the same counted alone, by clock_mono_us */
};

/* What one turn takes; storage belongs to the caller. All zero: it takes nothing. */
struct quota_set {
	struct op op; /* op.done is set by the caller; op.err is always 0: there is always a decision */
	struct quota all[QUOTA_MAX];
	size_t n;
	int refused_by; /* the limit that is reached; -1: none, and all is reserved */
	bool taken;     /* there is something to settle */
	/* its own: */
	struct quotas *quotas;
	struct redis_command command;
	bool alone;
};

/* One limit more, of QUOTA_MAX. amount: what is reserved of it; never more than all of it, so that a turn that may take more can begin with
 * a fresh minute. */
void quota_add(struct quota_set *set, enum quota_of of, struct str id, enum quota_what what, int64_t limit, int64_t amount);
/* Reserves. True: it is decided. False: op.done will come, after REDIS_COMMAND_TIMEOUT at the latest; op_cancel forgets it, and what was
 * reserved lapses. */
MUST_CHECK bool quota_take(struct quotas *quotas, struct quota_set *set);
/* The turn has ended and took so many requests (none, if it never began) and tokens. What was reserved too much is given back to the minute
 * it was taken from; what it took beyond that counts in the minute that is now. Nobody waits for it. Does nothing if nothing is taken. */
void quota_settle(struct quota_set *set, int64_t requests, int64_t tokens);
