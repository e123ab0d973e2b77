/* What a responder shows the others of its host, and what they (and llmchatctl) may tell it over its control socket:
 *   state            counts, loop, database, and the live turns: ids, ages and states, never any text
 *   log LEVEL        from now on: debug, info, warn or error
 *   find USER_ID ID  this user's turn that writes this answer, which may be what the client called it: answerId, agentId, and status once
 *                    it is known how it ends
 *   stop ANSWER_ID   ends the live turn that writes this answer, as its user's stop does
 *   reset-breaker ID closes an agent's circuit breaker: {"ok":true,"changed":…}
 *   reset-breakers   closes all of them
 *   drain            as SIGTERM
 * Every answer is one JSON object: {"ok":true,…}, or {"ok":false,"code","error"} with the code BAD_COMMAND, NOT_FOUND or ENDING. */
#pragma once
#include "base/buf.h"

enum { HOST_MAX_TURNS = 200 }; /* in `state`, the oldest first */

/* Brings the counts that siblings see up to date; arg is the struct app. Live turns are counted when they come and go. */
void host_publish(void *arg);
/* Carries out a command and appends the answer; arg is the struct app. */
void host_command(void *arg, struct str command, struct buf *answer);
