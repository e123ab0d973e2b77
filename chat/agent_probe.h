/* Does an agent work? One real call of its provider, for one token, and what happened in words that an operator understands. */
#pragma once
#include "chat/agent.h"
#include "llm/stream.h"

struct loop;

struct agent_probe {
	/* When it is known; op.err is always 0. op_cancel leaves the provider. */
	struct op op;
	/* Valid in op.done: */
	bool works;
	const char *reason;  /* as in the log of a turn: http_status, headers_timeout…; "complete" if it works */
	int status;          /* of HTTP, 0 if none came */
	int64_t response_ms; /* to the first event; -1: there was none */
	char sentence[256];
	/* the probe's own: */
	struct agent *agent; /* owned reference */
	struct loop *loop;
	struct llm_stream stream;
	struct defer tell;
	uint64_t began_us;
};

/* Set probe->op.done on an all-zero probe first. The agent's timeouts hold, and max_ms for all of it. log names the request upstream, and
 * is borrowed until the probe is over. An agent that cannot work is not called. */
void agent_probe_start(struct loop *loop, struct http *http, struct agent *agent, int64_t max_ms, const struct log_ctx *log,
		       struct agent_probe *probe);
/* After done as well as before it; also right for an all-zero probe. */
void agent_probe_fini(struct agent_probe *probe);
