/* What makes two questions the same: a hash over all that the answer depends upon, and over the ids that the client gave. Not over how the
 * answer is read: a stream and a plain call may share one. */
#pragma once
#include "base/str.h"

struct turn_request;

enum { TURN_HASH_SIZE = 44 }; /* URL-safe base64 of 32 bytes, and a NUL */

/* Everything of the request but agent (agent_id instead), plain and request_id. Of the same question by the same owner it is the same,
 * in every responder and for a day at least: idempotency keys are kept beside it. */
void turn_hash(const struct turn_request *request, struct str agent_id, char out[TURN_HASH_SIZE]);
/* Of an owner's Idempotency-Key; never that of a question. */
void turn_key_hash(struct str owner_id, struct str key, char out[TURN_HASH_SIZE]);
