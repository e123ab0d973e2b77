/* A chat turn over HTTP: read the question, begin the turn, then be one of its readers. */
#include "handlers/chat.h"

#include "auth/people.h"
#include "base/clock.h"
#include "chat/agents.h"
#include "chat/turns.h"
#include "handlers/body.h"
#include "handlers/chat_request.h"
#include "handlers/render.h"
#include "handlers/request.h"
#include "handlers/reserve.h"

enum { PING_MS = 15000, SEND_BYTES = 32 * 1024, KEEP_BYTES = 256 * 1024 };

/* What the steps keep. */
struct reading {
	const struct chat_words *words;
	struct chat_view view;
};

static void on_more(struct reader *reader)
{
	flow_wake(CONTAINER_OF(reader, struct request, reader));
}

enum flow_next chat_question(struct request *r, const struct chat_words *words, const struct chat_request *chat)
{
	struct json_complaint complaint = {0};
	struct chat_question *question = arena_alloc(&r->arena, sizeof(*question));
	struct turn_request *turn = &question->chat.turn;

	*question = (struct chat_question){words, *chat};
	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	turn->agent = agents_find(r->app->agents, chat->agent_id);
	if (!turn->agent || !turn->agent->active)
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	if (r->person && !person_may_use_agent(r->person, chat->agent_id))
		return request_reject_because(r, ERR_FORBIDDEN, words->agent_field, "This API key does not open the agent %.*s.",
					      STR_ARG(chat->agent_id));
	if (!chat_request_suits(r, turn, &complaint))
		return request_reject_field(r, &complaint);
	turn->user_id = uuid_str(&r->user_id);
	turn->anonymous = r->anonymous;
	turn->agents = r->person ? r->person->agents : STR("");
	turn->plain = !chat->stream;
	turn->request_id = r->request_id;
	r->state = question;
	return FLOW_NEXT;
}

enum flow_next chat_read_question(struct request *r, const struct chat_words *words)
{
	struct json_complaint complaint = {0};
	struct chat_request chat;

	if (!words->read(r, &chat, &complaint))
		return request_reject_field(r, &complaint);
	return chat_question(r, words, &chat);
}

enum flow_next chat_begin_start(struct request *r)
{
	struct chat_question *question = r->state;
	const struct chat_request *chat = &question->chat;
	struct reading *reading;

	if (r->app->closing)
		return request_reject(r, ERR_DRAINING);
	question->chat.turn.reservation = r->reservation;
	r->turn = turn_start(r->app->turns, &chat->turn);
	if (!r->turn)
		return request_reject(r, ERR_OVERLOADED);
	r->reservation = NULL; /* the turn's */
	r->reader.on_more = on_more;
	turn_join(r->turn, &r->reader);
	reading = arena_alloc(&r->arena, sizeof(*reading));
	reading->words = question->words;
	reading->view = (struct chat_view){.turn = r->turn, .stream = chat->stream, .include_usage = chat->include_usage};
	r->state = reading;
	json_free(r->body); /* a long stream need not keep it */
	r->body = NULL;
	return FLOW_NEXT;
}

enum flow_next chat_read_start(struct request *r)
{
	(void)r;
	return FLOW_WAIT;
}

/* Something is sent in every quarter of a minute, so that nobody on the way takes the line for dead. */
static void on_ping_due(void *arg)
{
	struct request *r = arg;
	struct reading *reading = r->state;
	uint64_t silent_ms = (clock_mono_us() - reading->view.sent_us) / 1000;

	if (silent_ms >= PING_MS && request_can_send(r)) {
		request_send(r, STR(": ping\n\n"));
		reading->view.sent_us = clock_mono_us();
		silent_ms = 0;
	}
	timer_start(&r->timer, silent_ms < PING_MS ? PING_MS - silent_ms : PING_MS);
}

static enum flow_next refuse(struct request *r)
{
	const struct turn *turn = r->turn;

	r->not_ours_us = turn_upstream_us(turn);
	if (turn->retry_after_s >= 0)
		return request_reject_later(r, turn->err, turn->retry_after_s);
	return request_reject(r, turn->err);
}

static void begin_stream(struct request *r)
{
	r->not_ours_us = turn_upstream_us(r->turn);
	request_begin_stream(r);
	timer_init(&r->timer, r->app->loop, on_ping_due, r);
	timer_start(&r->timer, PING_MS);
}

/* Sends what lies behind the cursor, as long as the socket takes it. */
static enum flow_next read_stream(struct request *r)
{
	static struct buf out; /* shared: it is empty again before anybody else can run */
	struct reading *reading = r->state;
	struct answer_event event;
	bool more = true;

	while (more && request_can_send(r)) {
		out.len = 0;
		while (out.len < SEND_BYTES && (more = reader_next(&r->reader, &event)))
			reading->words->put_event(&out, &reading->view, &event);
		if (out.len == 0)
			break;
		if (!r->headers_sent)
			begin_stream(r);
		request_send(r, buf_str(&out));
		if (out.size > KEEP_BYTES)
			buf_fini(&out);
		reading->view.sent_us = clock_mono_us();
	}
	if (more || !r->turn->settled || !request_can_send(r))
		return FLOW_WAIT;
	return r->headers_sent ? request_end_stream(r) : refuse(r);
}

static enum flow_next read_plain(struct request *r)
{
	const struct reading *reading = r->state;

	if (!r->turn->settled)
		return FLOW_WAIT;
	if (r->turn->err)
		return refuse(r);
	r->not_ours_us = turn_upstream_us(r->turn);
	return reading->words->reply(r, r->turn);
}

enum flow_next chat_read_finish(struct request *r)
{
	const struct reading *reading = r->state;

	return reading->view.stream ? read_stream(r) : read_plain(r);
}

static void put_event(struct buf *out, struct chat_view *view, const struct answer_event *event)
{
	(void)view;
	render_event(out, event);
}

static enum flow_next reply(struct request *r, const struct turn *turn)
{
	struct buf b = {0};

	render_plain(&b, turn);
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct chat_words chat_api_words = {chat_request_read, "agentId", put_event, reply};

static enum flow_next question_start(struct request *r)
{
	return chat_read_question(r, &chat_api_words);
}

const struct step chat_steps[] = {
	{"parse_body", body_start, NULL},
	{"read_question", question_start, NULL},
	{"reserve", reserve_start, reserve_finish},
	{"begin_turn", chat_begin_start, NULL},
	{"read_answer", chat_read_start, chat_read_finish},
	{NULL, NULL, NULL},
};
