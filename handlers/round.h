/* A command to each responder of the host, this one first, one after the other, over their control sockets (handlers/host.h). A dead one costs
 * nothing, one that hangs CONTROL_PATIENCE_MS. */
#pragma once
#include "base/control.h"
#include "base/siblings.h"
#include "handlers/flow.h"

struct json;
struct request;

/* In the request's arena, and cancelled with it. */
struct round {
	struct control_ask ask;
	struct request *request;
	struct process_id ids[MAX_SIBLINGS + 1];
	size_t n, at; /* ids[at] is who is asked */
};

struct round *round_new(struct request *r);
/* Asks ids[at] and returns FLOW_WAIT; command is borrowed until the answer. */
enum flow_next round_ask(struct round *round, struct str command);
/* What it said; NULL if it did not, or not in JSON. To be freed with json_free. */
struct json *round_answer(const struct round *round);
/* Goes on to the next one; false, and it is the first one's turn again, if there is none. */
bool round_next(struct round *round);
