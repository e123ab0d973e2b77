/* Rate limits: so many requests of one address, so many of one identity. All responders count together in Redis, one round trip a
 * request; without Redis each counts alone, up to its share of the limits. */
#pragma once
#include "cache/local_limit.h"
#include "cache/script.h"

struct ratelimit;

/* slot: this responder's, of conf's RESPONDERS. redis and conf are borrowed until ratelimit_free. */
struct ratelimit *ratelimit_new(struct redis *redis, const struct conf *conf, int slot);
void ratelimit_free(struct ratelimit *l); /* NULL is fine */
/* Does this responder count alone? */
bool ratelimit_degraded(const struct ratelimit *l);

enum { RATELIMIT_KEY_SIZE = 96, RATELIMIT_MAX_KEYS = 2 };

struct ratelimit_verdict {
	bool refused;
	int64_t limit, remaining; /* of the bucket that refuses, or that has the least left */
	int64_t reset_ms;         /* until it is full again */
};

struct ratelimit_bucket;

struct ratelimit_key {
	const struct ratelimit_bucket *bucket;
	char text[RATELIMIT_KEY_SIZE];
};

/* One request's count; storage belongs to the caller. */
struct ratelimit_check {
	struct op op;                     /* op.done is set by the caller; op.err is always 0: there is always a verdict */
	struct ratelimit_verdict verdict; /* valid in done, or when ratelimit_start says true */
	/* its own: */
	struct script_call call;
	struct ratelimit *limit;
	struct ratelimit_key keys[RATELIMIT_MAX_KEYS];
	size_t n_keys;
};

/* Counts one request. address: the client's, empty if it has been counted; identity: the user's, the key's or the visitor's, empty if
 * it is not known yet. Of IPv6 addresses the first 64 bits count: a customer of a provider has at least all of those. True: the
 * verdict is there. False: op.done will come, after REDIS_COMMAND_TIMEOUT at the latest; op_cancel forgets it. */
MUST_CHECK bool ratelimit_start(struct ratelimit *l, struct ratelimit_check *c, struct str address, struct str identity);
