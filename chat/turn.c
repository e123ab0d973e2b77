/* The state machine of a turn. */
#include "chat/turn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/process.h"
#include "chat/turns.h"

enum {
	TITLE_CHARS = 30,
	MAX_HISTORY = 100,
	BYTES_PER_TOKEN = 3, /* of the context budget: a Chinese character is three bytes and about one token */
	GIVE_UP_US = 600000000,
	MAX_KEPT = 10000,
};

static void set_state(struct turn *turn, enum turn_state state)
{
	turn->state = state;
}

static void free_later(struct defer *d)
{
	turn_free(CONTAINER_OF(d, struct turn, gone));
}

static void free_if_unused(struct turn *turn)
{
	if (turn->state == TURN_OVER && list_empty(&turn->answer.readers))
		loop_defer(turn->turns->loop, &turn->gone, free_later);
}

static void append(struct turn *turn, enum event_type type, struct buf *data)
{
	if (answer_append(&turn->answer, type, buf_str(data)) != 0)
		log_error(&turn->log, "answer_event_lost");
	buf_fini(data);
}

static void append_error(struct turn *turn, const char *time)
{
	const struct err_info *info = err_info(turn->err);
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_cstr(&w, "type", "error");
	json_add_cstr(&w, "status", "error");
	json_add_cstr(&w, "error", info->sentence);
	json_close(&w, '}');
	append(turn, EVENT_STATUS, &b);
	w = (struct json_writer){.out = &b};
	json_open(&w, '{');
	json_add_cstr(&w, "code", info->code);
	json_add_cstr(&w, "message", info->sentence);
	json_add_bool(&w, "retryable", err_retryable(turn->err));
	json_add_cstr(&w, "timestamp", time);
	json_close(&w, '}');
	append(turn, EVENT_ERROR, &b);
}

/* The last events: only when the ending is stored, or queued to be. */
static void append_end(struct turn *turn)
{
	char time[CLOCK_ISO_SIZE];
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	clock_iso(clock_real_us(), time);
	if (turn->err)
		append_error(turn, time);
	else if (answer_append(&turn->answer, EVENT_STATUS, STR("{\"type\":\"complete\",\"status\":\"completed\"}")) != 0)
		log_error(&turn->log, "answer_event_lost");
	json_open(&w, '{');
	json_add_cstr(&w, "timestamp", time);
	json_add_cstr(&w, "finishReason", turn->err ? "error" : turn->finish_reason[0] ? turn->finish_reason : "stop");
	json_close(&w, '}');
	append(turn, EVENT_END, &b);
}

/* Readers learn the outcome; a turn that never streamed has nothing in its log and only an err. */
static void settle(struct turn *turn)
{
	if (turn->settled)
		return;
	turn->settled = true;
	if (turn->first_event_us)
		append_end(turn);
	answer_wake(&turn->answer);
}

static void finish(struct turn *turn)
{
	if (turn->kept) {
		turn->kept = false;
		turn->turns->n_kept--;
	}
	set_state(turn, TURN_OVER);
	settle(turn);
	timer_fini(&turn->retry);
	query_fini(&turn->query);
	buf_fini(&turn->text);
	free_if_unused(turn);
}

static void store_ending(void *arg);

/* The database is away: the ending is kept and tried again, and readers need not wait for that. */
static void keep_ending(struct turn *turn)
{
	uint64_t now_us = clock_mono_us();

	if (!turn->kept && turn->turns->n_kept < MAX_KEPT) {
		turn->kept = true;
		turn->turns->n_kept++;
		turn->give_up_us = now_us + GIVE_UP_US;
		timer_init(&turn->retry, turn->turns->loop, store_ending, turn);
		settle(turn);
	}
	if (!turn->kept || now_us > turn->give_up_us) {
		log_error(&turn->log, "ending_lost", "message", turn->answer_id.text, "status", turn->status);
		if (!turn->settled)
			turn->err = -ERR_DB_UNAVAILABLE;
		finish(turn);
		return;
	}
	timer_start(&turn->retry, backoff_next_ms(&turn->backoff));
}

static void on_ending_stored(struct op *op)
{
	struct turn *turn = CONTAINER_OF(op, struct turn, query.op);

	if (op->err == -ERR_DB_UNAVAILABLE || op->err == -ERR_OVERLOADED) {
		keep_ending(turn);
		return;
	}
	if (op->err) {
		log_error(&turn->log, "ending_refused", "message", turn->answer_id.text, "sqlstate", query_sqlstate(&turn->query));
		if (!turn->err)
			turn->err = -ERR_INTERNAL;
	} else {
		log_debug(&turn->log, "turn_stored", "message", turn->answer_id.text);
	}
	finish(turn);
}

static void store_ending(void *arg)
{
	struct turn *turn = arg;
	struct turn_ending ending = {
		.answer_id = uuid_str(&turn->answer_id),
		.content = turn->text.p ? buf_str(&turn->text) : STR(""),
		.status = turn->status,
		.finish_reason = str_from(turn->finish_reason),
		.error_code = turn->err ? err_info(turn->err)->code : NULL,
		.has_usage = turn->has_usage,
		.prompt_tokens = turn->usage.prompt_tokens,
		.completion_tokens = turn->usage.completion_tokens,
		.total_tokens = turn->usage.total_tokens,
		.first_event_ms = turn->first_event_us ? (int64_t)((turn->first_event_us - turn->began_us) / 1000) : -1,
		.took_ms = (int64_t)((turn->over_us - turn->began_us) / 1000),
	};

	query_fini(&turn->query);
	turn->query.op.done = on_ending_stored;
	messages_end_turn(turn->turns->pool, &turn->query, &ending);
}

/* It is known how the turn ends. */
static void end(struct turn *turn, const char *status, int err, const char *reason)
{
	turn->over_us = clock_mono_us();
	turn->status = status;
	turn->err = err;
	arena_fini(&turn->ask_arena);
	answer_collect(&turn->answer, EVENT_CHUNK, &turn->text);
	log_info(&turn->log, "turn_ended", "message", turn->answer_id.text, "agent", turn->agent->id, "status", status, "reason", reason,
		 "first_event_ms", turn->first_event_us ? (int64_t)((turn->first_event_us - turn->began_us) / 1000) : -1, "took_ms",
		 (turn->over_us - turn->began_us) / 1000, "bytes", turn->text.len);
	set_state(turn, TURN_ENDING);
	store_ending(turn);
}

static const char *broken_status(const struct turn *turn)
{
	return turn->first_event_us ? "interrupted" : "failed";
}

/* Leaves the provider. */
static void break_off(struct turn *turn, const char *status, int err, const char *reason)
{
	op_cancel(&turn->stream.op);
	end(turn, status, err, reason);
}

static void open_log(struct turn *turn)
{
	char time[CLOCK_ISO_SIZE];
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	turn->first_event_us = clock_mono_us();
	set_state(turn, TURN_STREAMING);
	json_open(&w, '{');
	json_add_str(&w, "chatId", turn->chat_id);
	json_close(&w, '}');
	append(turn, EVENT_CHAT_ID, &b);
	clock_iso(clock_real_us(), time);
	w = (struct json_writer){.out = &b};
	json_open(&w, '{');
	json_add_str(&w, "id", uuid_str(&turn->answer_id));
	json_add_str(&w, "userMessageId", uuid_str(&turn->question_id));
	json_add_cstr(&w, "timestamp", time);
	json_add_str(&w, "agentId", turn->agent->id);
	json_add_str(&w, "model", turn->agent->model);
	json_close(&w, '}');
	append(turn, EVENT_START, &b);
}

void turn_put_usage(struct json_writer *w, const struct llm_usage *usage)
{
	json_open(w, '{');
	json_add_int(w, "prompt_tokens", usage->prompt_tokens);
	json_add_int(w, "completion_tokens", usage->completion_tokens);
	json_add_int(w, "total_tokens", usage->total_tokens);
	json_close(w, '}');
}

static int append_usage(struct turn *turn, const struct llm_usage *usage)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	int err;

	turn->has_usage = true;
	turn->usage = *usage;
	turn_put_usage(&w, usage);
	err = answer_append(&turn->answer, EVENT_USAGE, buf_str(&b));
	buf_fini(&b);
	return err;
}

/* PostgreSQL has no NUL: U+FFFD stands for it. */
static int append_text(struct turn *turn, enum event_type type, struct str text)
{
	struct buf b = {0};
	int err;

	if (!memchr(text.p, '\0', text.len))
		return answer_append(&turn->answer, type, text);
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i])
			buf_add_char(&b, text.p[i]);
		else
			buf_add_str(&b, STR("\xEF\xBF\xBD"));
	}
	err = answer_append(&turn->answer, type, buf_str(&b));
	buf_fini(&b);
	return err;
}

static void on_stream_event(struct llm_stream *s, const struct llm_event *event)
{
	struct turn *turn = CONTAINER_OF(s, struct turn, stream);
	int err = 0;

	if (!turn->first_event_us)
		open_log(turn);
	switch (event->type) {
	case LLM_TEXT: err = append_text(turn, EVENT_CHUNK, event->text); break;
	case LLM_REASONING: err = append_text(turn, EVENT_REASONING, event->text); break;
	case LLM_TOOL: err = answer_append(&turn->answer, EVENT_TOOL, event->text); break;
	case LLM_USAGE: err = append_usage(turn, &event->usage); break;
	case LLM_FINISH: snprintf(turn->finish_reason, sizeof(turn->finish_reason), "%.*s", STR_ARG(event->text)); break;
	}
	if (err)
		break_off(turn, "interrupted", -ERR_UPSTREAM, "answer_too_large");
}

static void on_stream_over(struct op *op)
{
	struct turn *turn = CONTAINER_OF(op, struct turn, stream.op);

	turn->retry_after_s = turn->stream.retry_after_s;
	if (op->err == 0 && !turn->first_event_us)
		open_log(turn); /* a whole answer without a single word */
	if (op->err == 0)
		end(turn, "complete", 0, "complete");
	else
		end(turn, broken_status(turn), op->err, turn->stream.reason);
}

/* What the model is told: the stored history, if the client sent only its question, then what the client sent. */
static struct llm_message *collect_messages(struct turn *turn, size_t *n)
{
	size_t n_history = query_n_rows(&turn->query);
	struct llm_message *list = arena_alloc(&turn->ask_arena, (n_history + turn->ask.n_messages) * sizeof(*list));

	for (*n = 0; *n < n_history; (*n)++) {
		struct history_row row = messages_history_row(&turn->query, *n);

		list[*n] = (struct llm_message){.role = row.role, .content = row.content};
	}
	for (size_t i = 0; i < turn->ask.n_messages; i++)
		list[(*n)++] = turn->ask.messages[i];
	return list;
}

static void call_provider(struct turn *turn)
{
	const struct agent *agent = turn->agent;
	struct llm_request request = {
		.provider = agent->provider,
		.endpoint = agent->endpoint,
		.api_key = agent->api_key,
		.model = agent->model.p,
		.system_prompt = agent->system_prompt,
		.has_temperature = turn->ask.has_temperature || agent->has_temperature,
		.temperature = turn->ask.has_temperature ? turn->ask.temperature : agent->temperature,
		.max_tokens = turn->ask.max_tokens ? turn->ask.max_tokens : agent->max_tokens,
		.request_id = turn->log.request_id,
		.timeouts = agent->timeouts,
	};

	request.messages = collect_messages(turn, &request.n_messages);
	if (turn->plain && request.timeouts.total_ms > turn->turns->conf->request_timeout_ms)
		request.timeouts.total_ms = turn->turns->conf->request_timeout_ms;
	turn->called_us = clock_mono_us();
	set_state(turn, TURN_CALLING);
	turn->stream.op.done = on_stream_over;
	turn->stream.on_event = on_stream_event;
	llm_stream_start(turn->turns->loop, turn->turns->http, &turn->stream, &request);
	arena_fini(&turn->ask_arena);
	turn->ask = (struct turn_request){0};
	query_fini(&turn->query);
}

static void on_begun(struct op *op)
{
	struct turn *turn = CONTAINER_OF(op, struct turn, query.op);

	if (turn->status) { /* cancelled or interrupted meanwhile */
		end(turn, turn->status, turn->err, "before_the_call");
	} else if (op->err == 0) {
		call_provider(turn);
	} else if (query_was_sent(&turn->query) && op->err == -ERR_DB_UNAVAILABLE) {
		/* Nobody knows whether the rows are there: the ending is stored as soon as the database is back. */
		end(turn, "failed", op->err, "begin_unknown");
	} else {
		turn->err = op->err;
		turn->over_us = clock_mono_us();
		arena_fini(&turn->ask_arena);
		finish(turn);
	}
}

/* The first characters of the question, on one line. */
static struct str make_title(struct turn *turn, struct str question)
{
	struct str title = {question.p, utf8_prefix(question, TITLE_CHARS)};
	char *p = arena_alloc(&turn->ask_arena, title.len + 1);

	for (size_t i = 0; i < title.len; i++)
		p[i] = (unsigned char)title.p[i] < 0x20 ? ' ' : title.p[i];
	return (struct str){p, title.len};
}

static struct str copy_ask(struct turn *turn, struct str s)
{
	return s.len ? arena_copy(&turn->ask_arena, s) : STR("");
}

/* What is needed until the provider is called. */
static void keep_request(struct turn *turn, const struct turn_request *request)
{
	struct llm_message *messages = arena_alloc(&turn->ask_arena, request->n_messages * sizeof(*messages));

	for (size_t i = 0; i < request->n_messages; i++)
		messages[i] = (struct llm_message){
			.role = copy_ask(turn, request->messages[i].role),
			.content = copy_ask(turn, request->messages[i].content),
			.parts = copy_ask(turn, request->messages[i].parts),
		};
	turn->ask = *request;
	turn->ask.messages = messages;
	turn->ask.user_id = copy_ask(turn, request->user_id);
	turn->ask.question = copy_ask(turn, request->question);
	turn->ask.question_client_id = copy_ask(turn, request->question_client_id);
	turn->ask.answer_client_id = copy_ask(turn, request->answer_client_id);
}

static void store_beginning(struct turn *turn, bool wants_history)
{
	const struct turn_request *ask = &turn->ask;
	struct new_turn row = {
		.session_id = uuid_str(&turn->session_id),
		.user_id = ask->user_id,
		.anonymous = ask->anonymous,
		.session_name = turn->chat_id,
		.title = make_title(turn, ask->question),
		.agent_id = turn->agent->id,
		.provider = turn->agent->provider_name,
		.model = turn->agent->model,
		.question_id = uuid_str(&turn->question_id),
		.question = ask->question,
		.question_client_id = ask->question_client_id,
		.question_parts = ask->messages[ask->n_messages - 1].parts,
		.answer_id = uuid_str(&turn->answer_id),
		.answer_client_id = ask->answer_client_id,
		.owner = turn->turns->process,
		.max_history = wants_history ? MAX_HISTORY : 0,
		.max_history_bytes = turn->agent->context_tokens * BYTES_PER_TOKEN,
	};

	turn->query.op.done = on_begun;
	messages_begin_turn(turn->turns->pool, &turn->query, &row);
}

struct turn *turn_start(struct turns *turns, const struct turn_request *request)
{
	struct turn *turn;

	if ((int64_t)turns->n_live >= turns->conf->max_concurrent)
		return NULL;
	turn = mem_alloc(sizeof(*turn));
	turn->turns = turns;
	turn->agent = agent_ref(request->agent);
	turn->plain = request->plain;
	turn->retry_after_s = -1;
	turn->began_us = clock_mono_us();
	turn->created_real_us = clock_real_us();
	turn->backoff = (struct backoff){.base_ms = 200, .max_ms = 5000};
	turn->session_id = uuid_new();
	turn->question_id = uuid_new();
	turn->answer_id = uuid_new(); /* sorts after the question */
	turn->chat_id = arena_copy(&turn->arena, request->chat_id.len ? request->chat_id : uuid_str(&turn->session_id));
	turn->log = (struct log_ctx){.request_id = arena_cstr(&turn->arena, str_from(request->request_id)), .step = "turn"};
	answer_init(&turn->answer, turns->loop, &turns->budget);
	query_init(&turn->query);
	list_init(&turn->gone.node);
	list_push(&turns->live, &turn->node);
	turns->n_live++;
	keep_request(turn, request);
	store_beginning(turn, request->chat_id.len > 0 && request->n_messages == 1);
	return turn;
}

void turn_join(struct turn *turn, struct reader *reader)
{
	reader_join(reader, &turn->answer);
	if (turn->settled)
		answer_wake(&turn->answer);
}

/* Ends it early, or notes that for when its rows are there. */
static void end_early(struct turn *turn, const char *status, int err, const char *reason)
{
	if (turn->state == TURN_BEGINNING && !turn->status) {
		turn->status = status;
		turn->err = err;
	} else if (turn->state == TURN_CALLING || turn->state == TURN_STREAMING) {
		break_off(turn, status, err, reason);
	}
}

void turn_leave(struct turn *turn, struct reader *reader)
{
	reader_leave(reader);
	if (list_empty(&turn->answer.readers) && turn->agent->cancel_on_disconnect)
		end_early(turn, "cancelled", -ERR_CANCELLED, "reader_left");
	free_if_unused(turn);
}

uint64_t turn_upstream_us(const struct turn *turn)
{
	uint64_t until_us = turn->over_us ? turn->over_us : clock_mono_us();

	return turn->called_us ? until_us - turn->called_us : 0;
}

void turn_interrupt(struct turn *turn)
{
	end_early(turn, broken_status(turn), -ERR_DRAINING, "responder_stops");
}

void turn_free(struct turn *turn)
{
	op_cancel(&turn->stream.op);
	query_fini(&turn->query);
	timer_fini(&turn->retry);
	answer_fini(&turn->answer);
	arena_fini(&turn->ask_arena);
	arena_fini(&turn->arena);
	buf_fini(&turn->text);
	defer_cancel(&turn->gone);
	list_remove(&turn->node);
	turn->turns->n_live--;
	agent_unref(turn->agent);
	free(turn);
}
