/* A call that is left at its first event: more would only cost. */
#include "chat/agent_probe.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"

static void tell(struct defer *d)
{
	op_finish(&CONTAINER_OF(d, struct agent_probe, tell)->op, 0);
}

static void on_event(struct llm_stream *s, const struct llm_event *event)
{
	struct agent_probe *probe = CONTAINER_OF(s, struct agent_probe, stream);

	if (event->type == LLM_USAGE)
		return;
	probe->works = true;
	probe->reason = "complete";
	probe->status = s->status;
	probe->response_ms = (int64_t)((clock_mono_us() - probe->began_us) / 1000);
	snprintf(probe->sentence, sizeof(probe->sentence), "The provider answered after %lld ms.", (long long)probe->response_ms);
	agent_note_response(probe->agent, probe->response_ms);
	op_cancel(&s->op);
	loop_defer(probe->loop, &probe->tell, tell);
}

static const char *explain_status(const struct agent *agent, int status)
{
	if (status == 401 || status == 403)
		return agent->api_key ? "The provider refused the key" : "The provider wants a key, and this agent has none";
	if (status == 404)
		return "The provider knows no such address, or no such model";
	if (status == 429)
		return "The provider asks us to slow down, or its account is used up";
	if (status >= 300 && status < 400)
		return "The endpoint sends us on to another address, which is never followed: give the last one";
	if (status >= 400 && status < 500)
		return "The provider does not understand the question: is the model's name right";
	return "The provider failed";
}

static void explain(struct agent_probe *probe, int err)
{
	static const struct {
		const char *reason, *sentence;
	} known[] = {
		{"content_type",
		 "What answered is no stream of events: a web page means that a gateway answered, or that the endpoint is wrong."},
		{"error_frame", "The provider began to answer, then said that it failed."},
		{"bad_event", "The provider sent what is not JSON in UTF-8, or nothing we understand; `provider` may be wrong."},
		{"event_too_large", "The provider sent an event of more than 1 MiB."},
		{"no_end_mark", "The provider ended its answer before it said anything."},
		{"complete", "The provider ended its answer without a word."},
		{"cut", "The provider closed the connection before it said anything."},
		{"headers_timeout", "The provider did not answer within timeouts.headersMs."},
		{"first_token_timeout", "The provider accepted the question, but said nothing within timeouts.firstTokenMs."},
		{"idle_timeout", "The provider fell silent."},
		{"total_timeout", "The provider said nothing in time."},
	};
	const struct llm_stream *s = &probe->stream;
	const char *sentence = "The call failed.";

	for (size_t i = 0; i < N_ELEMENTS(known); i++)
		if (strcmp(known[i].reason, s->reason) == 0)
			sentence = known[i].sentence;
	if (strcmp(s->reason, "http_status") == 0)
		snprintf(probe->sentence, sizeof(probe->sentence), "%s (HTTP %d).", explain_status(probe->agent, s->status), s->status);
	else if (strcmp(s->reason, "no_answer") == 0 && err == -ERR_UPSTREAM_TIMEOUT)
		snprintf(probe->sentence, sizeof(probe->sentence), "There was no connection to the provider within timeouts.connectMs.");
	else if (strcmp(s->reason, "no_answer") == 0)
		snprintf(probe->sentence, sizeof(probe->sentence), "The provider cannot be reached: %s.",
			 *s->failure ? s->failure : "it closed the connection");
	else
		snprintf(probe->sentence, sizeof(probe->sentence), "%s", sentence);
}

static void on_over(struct op *op)
{
	struct agent_probe *probe = CONTAINER_OF(op, struct agent_probe, stream.op);

	probe->reason = probe->stream.reason;
	probe->status = probe->stream.status;
	explain(probe, op->err);
	op_finish(&probe->op, 0);
}

static void cancel(struct op *op)
{
	struct agent_probe *probe = CONTAINER_OF(op, struct agent_probe, op);

	op_cancel(&probe->stream.op);
	defer_cancel(&probe->tell);
}

void agent_probe_start(struct loop *loop, struct http *http, struct agent *agent, int64_t max_ms, const struct log_ctx *log,
		       struct agent_probe *probe)
{
	const struct llm_message question = {.role = STR("user"), .content = STR("Hi")};
	struct llm_request request = {
		.provider = agent->provider,
		.endpoint = agent->endpoint,
		.api_key = agent->api_key,
		.model = agent->model.p,
		.messages = &question,
		.n_messages = 1,
		.max_tokens = 1,
		.log = log,
		.timeouts = agent->timeouts,
	};

	probe->agent = agent_ref(agent);
	probe->loop = loop;
	probe->response_ms = -1;
	probe->op.cancel = cancel;
	probe->began_us = clock_mono_us();
	list_init(&probe->tell.node);
	if (agent->problem) {
		probe->reason = agent->problem;
		snprintf(probe->sentence, sizeof(probe->sentence), "The agent cannot work as it is set up: %s (%.*s).", agent->problem,
			 (int)(agent->problem_with.len > 100 ? 100 : agent->problem_with.len), agent->problem_with.p);
		loop_defer(loop, &probe->tell, tell);
		return;
	}
	if (request.timeouts.total_ms > max_ms)
		request.timeouts.total_ms = max_ms;
	probe->stream.op.done = on_over;
	probe->stream.on_event = on_event;
	llm_stream_start(loop, http, &probe->stream, &request);
}

void agent_probe_fini(struct agent_probe *probe)
{
	if (!probe->agent)
		return;
	op_cancel(&probe->op);
	agent_unref(probe->agent);
	probe->agent = NULL;
}
