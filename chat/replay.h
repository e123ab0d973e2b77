/* An answer that is stored, as a turn that is over: whoever reads it reads what the first ones read. */
#pragma once
#include "chat/turn.h"

struct stored_answer;

/* What an answer has beside its text, to be stored with it: reasoning, tool calls and what it asks its user, in their order. Appends
 * nothing if there is nothing. */
void replay_collect(const struct answer *answer, struct buf *out);

/* A turn that has settled; it counts for nothing, and goes when its last reader does. NULL if it has no room in memory. Its error is that
 * of the answer; then there is nothing to read. The caller joins a reader before the loop goes on. */
struct turn *turn_replay(struct turns *turns, struct agent *agent, const struct stored_answer *stored, const char *request_id);
