/* A chat turn over HTTP: read the question, begin the turn, then be one of its readers. */
#include "handlers/chat.h"

#include "base/clock.h"
#include "chat/turn.h"
#include "handlers/body.h"
#include "handlers/chat_begin.h"
#include "handlers/chat_request.h"
#include "handlers/render.h"
#include "handlers/request.h"

enum { PING_MS = 15000, SEND_BYTES = 32 * 1024, KEEP_BYTES = 256 * 1024 };

/* What the steps keep. */
struct reading {
	const struct chat_words *words;
	struct chat_view view;
	bool late;
};

static void on_late(void *arg)
{
	struct request *r = arg;
	struct reading *reading = r->state;

	reading->late = true;
	flow_wake(r);
}

void chat_read_from(struct request *r, const struct chat_words *words, struct turn *turn, const struct chat_request *chat)
{
	struct reading *reading = arena_alloc(&r->arena, sizeof(*reading));

	reading->words = words;
	reading->view = (struct chat_view){.turn = turn, .stream = chat->stream, .include_usage = chat->include_usage};
	r->state = reading;
	if (words->chat_id_header) /* a name has no character that a header could not hold */
		r->more_head = arena_printf(&r->arena, "%s: %.*s\r\n%s", words->chat_id_header, STR_ARG(turn->chat_id),
					    r->more_head ? r->more_head : "")
				       .p;
	if (!chat->stream && !turn->plain && !turn->settled) { /* its turn has more time than a plain call */
		timer_init(&r->timer, r->app->loop, on_late, r);
		timer_start(&r->timer, request_left_ms(r));
	}
}

enum flow_next chat_read_start(struct request *r)
{
	return chat_read_finish(r); /* it may be there already */
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

	if (!turn->answer.held) /* else it was the database that was waited for */
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
		return reading->late ? request_reject(r, ERR_UPSTREAM_TIMEOUT) : FLOW_WAIT;
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

const struct chat_words chat_api_words = {chat_request_read, "agentId", NULL, put_event, reply};

static enum flow_next begin_start(struct request *r)
{
	return chat_read_and_begin(r, &chat_api_words);
}

const struct step chat_steps[] = {
	{"parse_body", body_start, NULL},
	{"begin_turn", begin_start, chat_begin_finish},
	{"read_answer", chat_read_start, chat_read_finish},
	{NULL, NULL, NULL},
};
