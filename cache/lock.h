/* Locks that responders of all hosts share, in Redis: each is a key that holds its owner's token and expires by itself. It only spares
 * work, or keeps something out of Redis; nothing else may depend on one. Without Redis nobody gets any. */
#pragma once
#include "cache/redis.h"

struct locks;

enum { LOCK_TOKEN_SIZE = 23, LOCK_KEY_MAX = 320 };

/* redis is borrowed until locks_free. */
struct locks *locks_new(struct redis *redis);
/* Nobody may wait any more; what was sent still happens. NULL is fine. */
void locks_free(struct locks *locks);

/* A lock that is wanted, or held; storage belongs to the caller. */
struct lock {
	struct op op; /* op.done is set by the caller; op.err is always 0 */
	bool held;    /* valid in done; false: another has it, or Redis cannot be asked */
	/* its own: */
	struct locks *locks;
	struct redis_command command;
	char token[LOCK_TOKEN_SIZE];
	char key[LOCK_KEY_MAX + 1];
};

/* Asks for the lock for hold_ms, once: it waits for nobody. key has at most LOCK_KEY_MAX bytes and no NUL. */
void lock_take_start(struct locks *locks, struct lock *lock, struct str key, int64_t hold_ms);
/* Both end the holding and return at once. They do nothing if it has expired, or another has taken it. */
void lock_release(struct lock *lock);
/* Writes a value under another key, in the same instant: whoever deletes the lock first keeps the value out. */
void lock_write(struct lock *lock, struct str key, struct str value, int64_t ttl_ms);
