/* What the whole simulator shares: the loop, the counters and the last request seen. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <uv.h>

#include "sim/buf.h"
#include "sim/pace.h"

struct conn;

/* requests = completed + errors + closed_by_client + those open that began since the last reset. */
struct counters {
	unsigned long long requests;
	unsigned long long completed;
	unsigned long long closed_by_client;
	unsigned long long errors; /* error answers, frames of errors, cuts */
	unsigned long long tokens;
	unsigned long long stops; /* calls of Dify's that stop an answer */
};

struct last_request {
	char *authorization; /* owned; NULL if absent, like the next one */
	char *x_request_id;  /* owned, like all of these */
	char *x_api_key;
	char *version; /* Anthropic's */
	char *path;
	struct buf body; /* empty if it was not JSON */
	char *stop_path; /* of the last call that stopped an answer, since that request */
	struct buf stop_body;
};

struct sim {
	uv_loop_t *loop; /* borrowed */
	const char *key; /* borrowed; NULL: everyone may ask */
	struct counters counters;
	unsigned long long open;
	unsigned epoch; /* counts resets: what began before one is not counted after it */
	unsigned n_answers;
	unsigned n_odds; /* questions of which only every n-th goes wrong */
	struct last_request last;
	struct conn *conns;
	struct pace pace;
	struct buf scratch; /* what is about to be sent; nobody's between callbacks */
	char input[64 * 1024];
};

void last_request_fini(struct last_request *last);

#endif
