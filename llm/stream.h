/* One call to a provider, from connecting to the end mark: HTTP, server-sent events, the provider's parser and every deadline.
 * It knows nothing of turns; what comes is handed to on_event. */
#pragma once
#include "base/loop.h"
#include "llm/provider.h"
#include "llm/sse.h"

struct llm_stream {
	/* When the call is over. op.err: 0 the answer is whole; -ERR_UPSTREAM, -ERR_UPSTREAM_AUTH, -ERR_UPSTREAM_LIMIT,
	 * -ERR_UPSTREAM_TIMEOUT, -ERR_OVERLOADED (see net/http.h) otherwise, with a fixed word in `reason`. op_cancel closes the connection within the loop turn. */
	struct op op;
	/* Each normalised event; it may cancel the stream. */
	void (*on_event)(struct llm_stream *s, const struct llm_event *event);
	/* Valid in op.done: */
	const char *reason; /* for the log: http_status, cut, idle_timeout… */
	int status;         /* of HTTP, 0 if none came */
	int retry_after_s;  /* -1: the provider said nothing */
	char failure[128];  /* why there was no connection, or no HTTP, in libcurl's words; empty: there was */
	/* Valid at any time: */
	struct llm_said said;
	bool conversation_lost; /* the provider does not know the conversation that was sent, or may not */
	/* the stream's own: */
	struct loop *loop;
	const struct provider *provider;
	const struct log_ctx *log;
	struct llm_timeouts timeouts;
	enum { LLM_IDLE, LLM_HEADERS, LLM_FIRST, LLM_FLOWING, LLM_ENDING, LLM_OVER } state;
	struct http_call call;
	struct sse sse;
	struct timer timer;
	struct defer end;
	uint64_t began_us, last_bytes_us, ending_us;
	bool knows_conversation; /* one was sent that the provider had named */
	bool finished;           /* a finish reason came */
	bool feeding;            /* sse_feed is on the stack: what it reads from stays, whatever on_event does */
};

/* Set s->op.done and s->on_event on an all-zero stream first. */
void llm_stream_start(struct loop *loop, struct http *http, struct llm_stream *s, const struct llm_request *request);
