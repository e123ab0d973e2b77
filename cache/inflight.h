/* Who works on what, for the other responders and hosts to see: one key in Redis for each thing that is being worked on, with the name of
 * the work. It expires, so that nobody who died is waited for; and nothing here is needed for correctness. */
#pragma once
#include "cache/redis.h"

enum { INFLIGHT_ID_SIZE = 64 }; /* an id has fewer characters */

/* Takes the key for mine, unless somebody has it; what is called stale (empty: nothing) does not count. Commands are the caller's,
 * command->op.done is set by it. The key expires after ttl_ms. */
void inflight_claim(struct redis *redis, struct redis_command *command, struct str id, struct str mine, struct str stale, int64_t ttl_ms);
/* In done: who has it, mine or another's; empty if nobody can tell. Borrowed as command->reply is. */
struct str inflight_holder(const struct redis_command *command);
/* Gives it back if it is mine. */
void inflight_release(struct redis *redis, struct redis_command *command, struct str id, struct str mine);
