/* The state machine of one provider call.
 *
 *   HEADERS ──2xx event stream──> FIRST ──first event──> FLOWING ──end mark──> ENDING ──end of HTTP──> over
 *   HEADERS  waits headers_ms (connecting has connect_ms of its own, kept by net/http)
 *   FIRST    waits first_token_ms from the start
 *   FLOWING  waits idle_ms from the last byte
 *   ENDING   the answer is whole; waits ENDING_MS for the end of HTTP, so that the connection can be used again
 * and total_ms bounds all of it. One timer looks at the deadline of the state; a byte that arrives does not touch it. */
#include "llm/stream.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { ENDING_MS = 1000 };

static void set_state(struct llm_stream *s, int state);

static uint64_t deadline_us(const struct llm_stream *s)
{
	uint64_t total_us = s->began_us + (uint64_t)s->timeouts.total_ms * 1000, at_us = total_us;

	switch (s->state) {
	case LLM_HEADERS: at_us = s->began_us + (uint64_t)s->timeouts.headers_ms * 1000; break;
	case LLM_FIRST: at_us = s->began_us + (uint64_t)s->timeouts.first_token_ms * 1000; break;
	case LLM_FLOWING: at_us = s->last_bytes_us + (uint64_t)s->timeouts.idle_ms * 1000; break;
	case LLM_ENDING: at_us = s->ending_us + (uint64_t)ENDING_MS * 1000; break;
	case LLM_IDLE:
	case LLM_OVER: break;
	}
	return at_us < total_us || s->state == LLM_ENDING ? at_us : total_us;
}

static void arm(struct llm_stream *s)
{
	uint64_t now_us = clock_mono_us(), at_us = deadline_us(s);

	timer_start(&s->timer, at_us > now_us ? (at_us - now_us) / 1000 + 1 : 0);
}

static void set_state(struct llm_stream *s, int state)
{
	s->state = (unsigned)state;
	if (s->state != LLM_OVER)
		arm(s);
}

/* Gives everything back; nothing comes any more. */
static void release(struct llm_stream *s)
{
	set_state(s, LLM_OVER);
	op_cancel(&s->call.op);
	timer_fini(&s->timer);
	if (!s->feeding)
		sse_fini(&s->sse);
	defer_cancel(&s->end);
}

static void cancel(struct op *op)
{
	release(CONTAINER_OF(op, struct llm_stream, op));
}

static void tell_end(struct defer *d)
{
	struct llm_stream *s = CONTAINER_OF(d, struct llm_stream, end);
	int err = s->op.err;

	release(s);
	op_finish(&s->op, err);
}

/* Ends the call; the waiter is told once no frame of libcurl's is left above us. */
static void end(struct llm_stream *s, int err, const char *reason)
{
	if (defer_waiting(&s->end))
		return;
	s->op.err = err;
	s->reason = reason;
	op_cancel(&s->call.op);
	loop_defer(s->loop, &s->end, tell_end);
}

/* The model has said why it stopped, and this provider needs no other mark. */
static bool has_ended(const struct llm_stream *s)
{
	return s->finished && s->provider->finish_is_end;
}

static void on_timer(void *arg)
{
	static const char *const reasons[] = {
		[LLM_HEADERS] = "headers_timeout", [LLM_FIRST] = "first_token_timeout", [LLM_FLOWING] = "idle_timeout"};
	struct llm_stream *s = arg;
	uint64_t now_us = clock_mono_us();

	if (now_us < deadline_us(s))
		arm(s); /* bytes came since it was set */
	else if (s->state == LLM_ENDING || has_ended(s))
		end(s, 0, "complete");
	else if (now_us >= s->began_us + (uint64_t)s->timeouts.total_ms * 1000)
		end(s, -ERR_UPSTREAM_TIMEOUT, "total_timeout");
	else
		end(s, -ERR_UPSTREAM_TIMEOUT, reasons[s->state]);
}

static int err_of_status(int status)
{
	switch (status) {
	case 401:
	case 403: return -ERR_UPSTREAM_AUTH;
	case 429: return -ERR_UPSTREAM_LIMIT;
	case 408:
	case 504: return -ERR_UPSTREAM_TIMEOUT;
	default: return -ERR_UPSTREAM;
	}
}

static void on_headers(struct http_call *call)
{
	struct llm_stream *s = CONTAINER_OF(call, struct llm_stream, call);

	s->status = call->status;
	s->retry_after_s = call->retry_after_s;
	s->last_bytes_us = clock_mono_us();
	s->conversation_lost = call->status == 404 && s->knows_conversation && s->provider->names_are_lost;
	if (call->status < 200 || call->status > 299)
		end(s, err_of_status(call->status), "http_status");
	else if (strcmp(call->content_type, "text/event-stream") != 0)
		end(s, -ERR_UPSTREAM, "content_type");
	else
		set_state(s, LLM_FIRST);
}

static void emit(void *arg, const struct llm_event *event)
{
	struct llm_stream *s = arg;

	if (s->state == LLM_OVER || defer_waiting(&s->end))
		return; /* the sink has cancelled in the middle of a chunk */
	if (event->type == LLM_FINISH)
		s->finished = true;
	if (s->state == LLM_FIRST)
		set_state(s, LLM_FLOWING);
	s->on_event(s, event);
}

static bool on_sse_event(void *arg, struct str event, struct str data)
{
	struct llm_stream *s = arg;
	enum provider_result result;

	if (s->state == LLM_ENDING && !s->provider->more_after_end)
		return true;
	result = s->provider->on_event(&s->said, event, data, (struct llm_sink){emit, s});
	if (s->state == LLM_OVER || defer_waiting(&s->end))
		return false;
	if (s->state == LLM_ENDING)
		return true; /* the answer is whole, whatever follows */
	if (result == PROVIDER_FAILED || result == PROVIDER_GARBLED) {
		end(s, result == PROVIDER_FAILED ? err_of_status(s->said.error_status) : -ERR_UPSTREAM,
		    result == PROVIDER_FAILED ? "error_frame" : "bad_event");
		return false;
	}
	if (result == PROVIDER_ENDED) {
		s->ending_us = clock_mono_us();
		set_state(s, LLM_ENDING);
	}
	return true;
}

static void on_body(struct http_call *call, struct str bytes)
{
	struct llm_stream *s = CONTAINER_OF(call, struct llm_stream, call);
	int err;

	s->last_bytes_us = clock_mono_us();
	s->feeding = true;
	err = sse_feed(&s->sse, bytes);
	s->feeding = false;
	if (s->state == LLM_OVER) /* cancelled meanwhile */
		sse_fini(&s->sse);
	else if (err != 0 && s->state == LLM_ENDING)
		end(s, 0, "complete");
	else if (err != 0)
		end(s, -ERR_UPSTREAM, "event_too_large");
}

static void on_call_over(struct op *op)
{
	struct llm_stream *s = CONTAINER_OF(op, struct llm_stream, call.op);

	if (s->state == LLM_ENDING || (op->err == 0 && has_ended(s))) {
		end(s, 0, "complete");
	} else if (op->err) {
		snprintf(s->failure, sizeof(s->failure), "%s", s->call.failure ? s->call.failure : "");
		log_info(s->log, "provider_call_failed", "provider", s->provider->name, "error", s->call.failure);
		end(s, op->err, s->state == LLM_HEADERS ? "no_answer" : "cut");
	} else {
		end(s, -ERR_UPSTREAM, "no_end_mark");
	}
}

void llm_stream_start(struct loop *loop, struct http *http, struct llm_stream *s, const struct llm_request *request)
{
	struct arena arena = {0};
	struct http_post post;

	s->loop = loop;
	s->provider = request->provider;
	s->log = request->log;
	s->timeouts = request->timeouts;
	s->began_us = s->last_bytes_us = clock_mono_us();
	s->retry_after_s = -1;
	s->said = (struct llm_said){0};
	s->knows_conversation = request->conversation.len > 0;
	snprintf(s->said.offered, sizeof(s->said.offered), "%.*s",
		 STR_ARG(s->knows_conversation ? request->conversation : request->new_conversation));
	s->sse = (struct sse){.on_event = on_sse_event, .arg = s};
	s->op.cancel = cancel;
	s->call.op.done = on_call_over;
	s->call.on_headers = on_headers;
	s->call.on_body = on_body;
	list_init(&s->end.node);
	timer_init(&s->timer, loop, on_timer, s);
	set_state(s, LLM_HEADERS);
	request->provider->request(request, &arena, &post);
	http_post_start(http, &s->call, &post);
	arena_fini(&arena);
}
