/* One agent after the other:
 *
 *   breaker ──closed──> place ──taken──> provider ──first event──> heard ──over──> done
 *      └─open─┐           └─none─┐          └─failed─┬─worth it──> pause ──> breaker
 *             └──────────────────┴───────────────────┴─else──> the next fallback, or done
 */
#include "chat/call.h"

#include "base/clock.h"
#include "base/conf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/json.h"
#include "chat/agents.h"
#include "chat/turns.h"
#include "llm/farewell.h"

enum {
	/* Whoever was told to wait comes as soon as he may, by a clock that is not ours: the breaker cools down a little less than that. */
	EARLY_MS = 50,
	/* When there may be places and descriptors again. */
	SHORTAGE_S = 1,
};

static void try_agent(struct call *call);

/* ---- what a failure means ---- */

/* The status that the provider gave, in its header or in an error frame; 0: none. */
static int status_of(const struct llm_stream *s)
{
	return strcmp(s->reason, "error_frame") == 0 ? s->said.error_status : s->status < 200 || s->status > 299 ? s->status : 0;
}

/* Had it much less time than its agent allows, because of what came before it? */
static bool was_hurried(const struct call *call)
{
	const struct llm_timeouts *allowed = &call->agent->timeouts;

	if (strcmp(call->stream.reason, "headers_timeout") == 0)
		return call->had_ms < (uint64_t)allowed->headers_ms / 2;
	return strcmp(call->stream.reason, "first_token_timeout") == 0 && call->had_ms < (uint64_t)allowed->first_token_ms / 2;
}

/* What it says of the provider's health. A refused question, a wrong key or a spent quota say nothing of it, nor does our own impatience
 * when little time was left, or a lack of our own. */
static enum breaker_outcome outcome_of(const struct call *call, int err)
{
	int status = status_of(&call->stream);

	if (err == 0)
		return BREAKER_SUCCESS;
	if (status >= 400 && status < 500 && status != 408)
		return BREAKER_NEITHER;
	if (err == -ERR_OVERLOADED || strcmp(call->stream.reason, "total_timeout") == 0 || was_hurried(call))
		return BREAKER_NEITHER;
	return BREAKER_FAILURE;
}

/* Could the same question have another end in a moment? What took our patience already could not. */
static bool passes_by(const struct call *call, int err)
{
	int status = status_of(&call->stream);

	if (err == -ERR_UPSTREAM_LIMIT || err == -ERR_OVERLOADED)
		return true;
	if (status)
		return status >= 500 || status == 408;
	if (err == -ERR_UPSTREAM_TIMEOUT)
		return strcmp(call->stream.reason, "no_answer") == 0; /* connecting took too long */
	return err == -ERR_UPSTREAM && strcmp(call->stream.reason, "content_type") != 0;
}

/* Is it about this provider, and not about the question? */
static bool another_may_do(const struct call *call)
{
	int status = status_of(&call->stream);

	return status != 400 && status != 413 && status != 422;
}

/* ---- the next one ---- */

static uint64_t left_ms(const struct call *call)
{
	uint64_t now_us = clock_mono_us();

	return call->ask->first_event_until_us > now_us ? (call->ask->first_event_until_us - now_us) / 1000 : 0;
}

/* With jitter anything up to it, so that many who failed together do not come back together. */
static uint64_t pause_ms(const struct call *call)
{
	const struct conf *conf = call->turns->conf;
	double ms = (double)conf->retry_base_ms;

	for (unsigned i = 0; i < call->n_retries && ms < (double)conf->retry_max_ms; i++)
		ms *= conf->retry_factor;
	if (ms > (double)conf->retry_max_ms)
		ms = (double)conf->retry_max_ms;
	return conf->retry_jitter ? crypto_random_below((uint32_t)ms + 1) : (uint64_t)ms;
}

static bool pause_and_retry(struct call *call, int err)
{
	const struct conf *conf = call->turns->conf;
	uint64_t ms = pause_ms(call), asked_ms = call->retry_after_s > 0 ? (uint64_t)call->retry_after_s * 1000 : 0;

	if (!passes_by(call, err) || call->n_retries >= (unsigned)conf->retry_max || asked_ms > (uint64_t)conf->retry_max_ms)
		return false;
	ms += asked_ms;
	if (ms >= left_ms(call) || !breakers_take_retry(call->turns->breakers))
		return false;
	call->n_retries++;
	log_info(call->log, "provider_retry", "agent", call->agent->id, "reason", call->reason, "status", call->stream.status, "retry",
		 call->n_retries, "wait_ms", ms);
	timer_start(&call->pause, ms);
	return true;
}

/* May it answer in place of the one that was asked, and can it be told the question? */
static bool may_stand_in(const struct call *call, const struct agent *agent)
{
	const struct llm_request *request = &call->ask->request;
	struct arena arena = {0};
	struct str why;
	size_t which;
	bool can = agent->active && (call->ask->agents.len == 0 || json_list_has(call->ask->agents, agent->id)) &&
		   provider_takes(agent->provider, request->messages, request->n_messages, &arena, &which, &why);

	arena_fini(&arena);
	return can;
}

static bool fall_back(struct call *call)
{
	while (left_ms(call) > 0 && call->n_fallbacks < call->asked->n_fallbacks) {
		struct str id = call->asked->fallbacks[call->n_fallbacks++];
		struct agent *next = agents_find(call->turns->agents, id);

		if (!next || !may_stand_in(call, next))
			continue;
		log_info(call->log, "provider_fallback", "from", call->agent->id, "to", id, "reason", call->reason);
		agent_unref(call->agent);
		call->agent = agent_ref(next);
		call->n_retries = 0;
		try_agent(call);
		return true;
	}
	return false;
}

/* ---- one call ---- */

static void leave_breaker(struct call *call, enum breaker_outcome outcome)
{
	if (call->passed)
		breaker_leave(call->turns->breakers, &call->pass, outcome);
	call->passed = false;
}

/* Some providers go on when the connection closes. */
static void say_farewell(const struct call *call)
{
	const struct agent *agent = call->agent;

	farewell_say(call->turns->farewells, agent->provider,
		     &(struct llm_stop){.endpoint = agent->endpoint,
					.api_key = agent->api_key,
					.request_id = call->log->request_id,
					.user = call->user,
					.task = call->stream.said.task});
}

static void tell_end(struct defer *d)
{
	struct call *call = CONTAINER_OF(d, struct call, over);

	timer_fini(&call->pause);
	op_finish(&call->op, call->op.err);
}

/* Told at the end of the loop turn: call_start may be above us. */
static void end(struct call *call, int err)
{
	call->op.err = err;
	loop_defer(call->turns->loop, &call->over, tell_end);
}

/* There was no call: nobody may be asked, or nobody has time. */
static void refuse(struct call *call, int err, const char *reason, int retry_after_s)
{
	call->reason = reason;
	call->retry_after_s = retry_after_s;
	if (!fall_back(call))
		end(call, err);
}

static void on_stream_event(struct llm_stream *s, const struct llm_event *event)
{
	struct call *call = CONTAINER_OF(s, struct call, stream);

	if (!call->heard) {
		call->heard = true;
		call->ask = NULL;
		agent_note_response(call->agent, (int64_t)((clock_mono_us() - s->began_us) / 1000));
		if (call->passed)
			breaker_answering(call->turns->breakers, &call->pass);
	}
	call->on_event(call, event);
}

static void on_stream_over(struct op *op)
{
	struct call *call = CONTAINER_OF(op, struct call, stream.op);
	int err = op->err;

	call->reason = call->stream.reason;
	call->retry_after_s = err == -ERR_OVERLOADED ? SHORTAGE_S : call->stream.retry_after_s;
	if (err == -ERR_UPSTREAM_LIMIT && call->retry_after_s > 0)
		breaker_cool_down(call->turns->breakers, call->agent->id, (int64_t)call->retry_after_s * 1000 - EARLY_MS);
	if (err && strcmp(call->reason, "error_frame") != 0)
		say_farewell(call);
	leave_breaker(call, outcome_of(call, err));
	place_give(&call->place);
	if (err == 0 || call->heard || (!pause_and_retry(call, err) && !(another_may_do(call) && fall_back(call))))
		end(call, err);
}

static int64_t at_most(int64_t ms, uint64_t left_ms)
{
	return (uint64_t)ms < left_ms ? ms : (int64_t)left_ms;
}

static void send(struct call *call)
{
	const struct agent *agent = call->agent;
	struct llm_request request = call->ask->request;
	uint64_t now_us = clock_mono_us(), left = left_ms(call), over_us = call->ask->over_until_us;

	request.provider = agent->provider;
	request.endpoint = agent->endpoint;
	request.api_key = agent->api_key;
	request.model = agent->model.p;
	request.system_prompt = agent->system_prompt;
	if (!request.has_temperature) {
		request.has_temperature = agent->has_temperature;
		request.temperature = agent->temperature;
	}
	if (request.max_tokens == 0)
		request.max_tokens = agent->max_tokens;
	if (call_went_elsewhere(call))
		request.conversation = STR(""); /* it is the other one's */
	request.timeouts = agent->timeouts;
	call->had_ms = left;
	request.timeouts.connect_ms = at_most(agent->timeouts.connect_ms, left);
	request.timeouts.headers_ms = at_most(agent->timeouts.headers_ms, left);
	request.timeouts.first_token_ms = at_most(agent->timeouts.first_token_ms, left);
	if (over_us)
		request.timeouts.total_ms = at_most(agent->timeouts.total_ms, over_us > now_us ? (over_us - now_us) / 1000 : 0);
	if (!call->called_us) {
		call->called_us = now_us;
		breakers_count_call(call->turns->breakers);
	}
	call->stream = (struct llm_stream){.op = {.done = on_stream_over}, .on_event = on_stream_event};
	llm_stream_start(call->turns->loop, call->turns->http, &call->stream, &request);
}

static bool pass_breaker(struct call *call)
{
	struct breakers *breakers = call->turns->breakers;
	struct breaker_view view;
	int64_t wait_ms = 0;

	call->passed = breaker_enter(breakers, call->agent->id, &call->pass, &wait_ms);
	if (call->passed)
		return true;
	breaker_look(breakers, call->agent->id, &view);
	refuse(call, view.cooling ? -ERR_UPSTREAM_LIMIT : -ERR_CIRCUIT_OPEN, view.cooling ? "cooling_down" : "circuit_open",
	       (int)((wait_ms + 999) / 1000));
	return false;
}

static void on_place(struct op *op)
{
	struct call *call = CONTAINER_OF(op, struct call, place.op);

	if (op->err)
		refuse(call, op->err, "no_place", SHORTAGE_S);
	else if (!pass_breaker(call)) /* it may have opened meanwhile */
		place_give(&call->place);
	else
		send(call);
}

static void try_agent(struct call *call)
{
	if (!pass_breaker(call))
		return;
	call->place.op.done = on_place;
	switch (place_take(&call->place, call->turns->loop, call->turns->process, call->turns->siblings, call->agent,
			   call->ask->first_event_until_us)) {
	case PLACE_TAKEN: send(call); break;
	case PLACE_WAITS:
		leave_breaker(call, BREAKER_NEITHER); /* others may be on trial meanwhile */
		break;
	case PLACE_REFUSED:
		leave_breaker(call, BREAKER_NEITHER);
		refuse(call, -ERR_OVERLOADED, "queue_full", SHORTAGE_S);
		break;
	}
}

static void on_pause_over(void *arg)
{
	try_agent(arg);
}

static void cancel(struct op *op)
{
	struct call *call = CONTAINER_OF(op, struct call, op);

	if (op_waiting(&call->stream.op))
		say_farewell(call);
	op_cancel(&call->stream.op);
	op_cancel(&call->place.op);
	leave_breaker(call, BREAKER_NEITHER);
	place_give(&call->place);
	timer_fini(&call->pause);
	defer_cancel(&call->over);
}

void call_start(struct call *call, struct turns *turns, struct agent *agent, const struct call_ask *ask)
{
	call->turns = turns;
	call->agent = agent_ref(agent);
	call->asked = agent_ref(agent);
	call->ask = ask;
	call->user = ask->request.user;
	call->log = ask->request.log;
	call->retry_after_s = -1;
	call->op.cancel = cancel;
	list_init(&call->over.node);
	list_init(&call->place.node);
	timer_init(&call->pause, turns->loop, on_pause_over, call);
	try_agent(call);
}

void call_fini(struct call *call)
{
	op_cancel(&call->op);
	agent_unref(call->agent);
	agent_unref(call->asked);
	call->agent = call->asked = NULL;
}

bool call_went_elsewhere(const struct call *call)
{
	return call->agent != call->asked;
}
