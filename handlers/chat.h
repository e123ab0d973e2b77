/* POST /api/chat/completions, streamed and plain, and what every route that answers with a turn shares. */
#pragma once
#include "base/str.h"
#include "handlers/flow.h"

struct request;
struct turn_request;

extern const struct step chat_steps[];

/* Begins a turn and becomes one of its readers; fills in who asks, and whom. r->body and r->query may go. The step after it must be
 * {"read_answer", chat_read_start, chat_read_finish}. Refuses an agent that is not there or not open to the key. */
enum flow_next chat_begin(struct request *r, struct turn_request *turn, struct str agent_id, bool stream);
enum flow_next chat_read_start(struct request *r);
enum flow_next chat_read_finish(struct request *r);
