/* The state machine of a turn. */
#include "chat/turn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "chat/dedup.h"
#include "chat/replay.h"
#include "chat/reservation.h"
#include "chat/session_copy.h"
#include "chat/turn_log.h"
#include "chat/turns.h"

enum {
	TITLE_CHARS = 30,
	MAX_HISTORY = 100,
	UNKNOWN_MS = 10000,
	GIVE_UP_US = 600000000,
	MAX_KEPT = 10000,
};

static void set_state(struct turn *turn, enum turn_state state)
{
	turn->state = state;
}

static void count_asked(struct turn *turn, size_t bytes)
{
	turn->turns->asked_bytes += bytes - turn->asked_bytes;
	turn->asked_bytes = bytes;
}

/* Nobody else will be asked. */
static void drop_ask(struct turn *turn)
{
	arena_fini(&turn->ask_arena);
	turn->ask = NULL;
	count_asked(turn, 0);
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

/* Readers learn the outcome; a turn that never streamed has nothing in its log, or nothing that is shown, and only an err. */
static void settle(struct turn *turn)
{
	if (turn->settled)
		return;
	turn->settled = true;
	dedup_over(turn);
	if (turn->first_event_us && !turn->answer.held)
		turn_log_end(turn);
	answer_wake(&turn->answer);
}

/* Its title, its count of messages or its time are not what they were. */
static void drop_session_copy(const struct turn *turn)
{
	if (!turn->new_session)
		session_copy_drop(turn->turns->cache, turn->user_id, turn->chat_id);
}

static void finish(struct turn *turn)
{
	if (turn->begin_unknown) /* by now it has happened or will not */
		drop_session_copy(turn);
	if (turn->kept) {
		turn->kept = false;
		turn->turns->n_kept--;
	}
	set_state(turn, TURN_OVER);
	count_asked(turn, 0);
	reservation_end(turn->reservation, turn->write.found);
	turn->reservation = NULL;
	settle(turn);
	timer_fini(&turn->retry);
	op_cancel(&turn->write.op);
	buf_fini(&turn->text);
	buf_fini(&turn->beside);
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

/* PostgreSQL will never take it: a value that it cannot hold (class 22), or a constraint (23). All else may be mended. */
static bool refused_for_good(const struct turn_write *w)
{
	return strncmp(w->sqlstate, "22", 2) == 0 || strncmp(w->sqlstate, "23", 2) == 0;
}

/* The statement that began the turn was cut off, and PostgreSQL may yet carry it out: a row without an ending would stay. */
static bool rows_may_still_come(const struct turn *turn)
{
	uint64_t patience_us = (2 * (uint64_t)turn->turns->conf->db_statement_timeout_ms + UNKNOWN_MS) * 1000;

	return turn->begin_unknown && !turn->write.found && clock_mono_us() < turn->over_us + patience_us;
}

static void on_ending_stored(struct op *op)
{
	struct turn *turn = CONTAINER_OF(op, struct turn, write.op);

	if (op->err ? !refused_for_good(&turn->write) : rows_may_still_come(turn)) {
		keep_ending(turn);
		return;
	}
	/* An ending that is repeated may have been stored the first time. */
	if (op->err || (!turn->write.found && !turn->begin_unknown && !turn->kept)) {
		log_error(&turn->log, op->err ? "ending_refused" : "ending_without_row", "message", turn->answer_id.text, "sqlstate",
			  turn->write.sqlstate);
		if (!turn->err)
			turn->err = -ERR_INTERNAL;
	}
	finish(turn);
}

static int64_t first_event_ms(const struct turn *turn)
{
	return turn->first_event_us && !turn->unheard ? (int64_t)((turn->first_event_us - turn->began_us) / 1000) : -1;
}

/* How the provider calls the conversation, if the session has to be told; empty: it does not know it any more. */
static const char *upstream_name(const struct turn *turn)
{
	const struct llm_stream *s = &turn->call.stream;
	bool known = s->knows_conversation && strcmp(s->said.conversation, s->said.offered) == 0;

	if (s->conversation_lost)
		return "";
	return s->said.conversation[0] && !known ? s->said.conversation : NULL;
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
		.usage_estimated = turn->usage_estimated,
		.prompt_tokens = turn->usage.prompt_tokens,
		.completion_tokens = turn->usage.completion_tokens,
		.total_tokens = turn->usage.total_tokens,
		.first_event_ms = first_event_ms(turn),
		.took_ms = (int64_t)((turn->over_us - turn->began_us) / 1000),
		.has_budget = turn->reservation && turn->reservation->in_month,
		.upstream_name = upstream_name(turn),
		.beside = turn->beside.p ? buf_str(&turn->beside) : STR(""),
	};

	if (call_went_elsewhere(&turn->call) && turn->first_event_us) {
		ending.agent_id = turn->agent->id;
		ending.provider = turn->agent->provider_name;
		ending.model = turn->agent->model;
	}

	turn->write.op.done = on_ending_stored;
	turn_writes_end(turn->turns->writes, &turn->write, &ending);
}

/* What it took counts, whatever became of it. Without a descriptor nothing has left this server. */
static void count_usage(struct turn *turn)
{
	answer_collect(&turn->answer, EVENT_CHUNK, &turn->text);
	if (!turn->has_usage && turn->call.called_us && turn->err != -ERR_OVERLOADED)
		turn_log_estimate_usage(turn);
	reservation_settle(turn->reservation, turn->has_usage ? turn->usage.total_tokens : 0);
}

/* Its rows are there, and it is known how it ends. */
static void store_end(struct turn *turn)
{
	drop_ask(turn);
	count_usage(turn);
	if (turn->flight)
		replay_collect(&turn->answer, &turn->beside);
	log_info(&turn->log, "turn_ended", "message", turn->answer_id.text, "agent", turn->agent->id, "status", turn->status, "reason",
		 turn->reason, "first_event_ms", first_event_ms(turn), "took_ms", (turn->over_us - turn->began_us) / 1000, "bytes",
		 turn->text.len);
	set_state(turn, TURN_ENDING);
	store_ending(turn);
}

/* It is known how the turn ends. */
static void end(struct turn *turn, const char *status, int err, const char *reason)
{
	turn->over_us = clock_mono_us();
	turn->status = status;
	turn->err = err;
	turn->reason = reason;
	if (turn->rows_pending) {
		set_state(turn, TURN_BEGINNING);
		turn_writes_hurry(&turn->write);
	} else {
		store_end(turn);
	}
}

static const char *broken_status(const struct turn *turn)
{
	return turn->first_event_us && !turn->unheard ? "interrupted" : "failed";
}

static void break_off(struct turn *turn, const char *status, int err, const char *reason)
{
	op_cancel(&turn->call.op);
	end(turn, status, err, reason);
}

/* The answer begins. */
static void open_log(struct turn *turn)
{
	turn->first_event_us = clock_mono_us();
	set_state(turn, TURN_STREAMING);
	if (turn->rows_pending)
		turn_writes_hurry(&turn->write);
	else
		drop_ask(turn);
	turn_log_open(turn);
}

/* What its user ended is a whole answer to its readers, however short. */
static void end_stopped(struct turn *turn)
{
	op_cancel(&turn->call.op);
	if (!turn->first_event_us) {
		turn->unheard = true;
		open_log(turn);
	}
	snprintf(turn->finish_reason, sizeof(turn->finish_reason), "stopped");
	end(turn, "stopped", 0, "stopped");
}

/* Somebody answers: the one who was asked, or another. */
static void hear(struct turn *turn)
{
	agent_unref(turn->agent);
	turn->agent = agent_ref(turn->call.agent);
	open_log(turn);
}

static void on_call_event(struct call *call, const struct llm_event *event)
{
	struct turn *turn = CONTAINER_OF(call, struct turn, call);

	if (!turn->first_event_us)
		hear(turn);
	if (turn_log_add(turn, event) != 0)
		break_off(turn, "interrupted", -ERR_UPSTREAM, "answer_too_large");
}

static void on_call_over(struct op *op)
{
	struct turn *turn = CONTAINER_OF(op, struct turn, call.op);

	turn->retry_after_s = turn->call.retry_after_s;
	if (op->err == 0 && !turn->first_event_us)
		hear(turn); /* a whole answer without a single word */
	if (op->err == 0)
		end(turn, "complete", 0, "complete");
	else
		end(turn, broken_status(turn), op->err, turn->call.reason);
}

static struct str copy_ask(struct turn *turn, struct str s)
{
	return s.len ? arena_copy(&turn->ask_arena, s) : STR("");
}

/* What the model is told: the stored history, if the client sent only its question, then what the client sent. A copy, as it may have to be
 * told more than once. */
static struct llm_message *collect_messages(struct turn *turn, size_t *n)
{
	size_t n_history = turn->write.n_history;
	struct llm_message *list = arena_alloc(&turn->ask_arena, (n_history + turn->ask->n_messages) * sizeof(*list));

	for (*n = 0; *n < n_history; (*n)++) {
		struct history_row row = turn_write_history(&turn->write, *n);

		list[*n] = (struct llm_message){.role = copy_ask(turn, row.role), .content = copy_ask(turn, row.content)};
	}
	for (size_t i = 0; i < turn->ask->n_messages; i++)
		list[(*n)++] = turn->ask->messages[i];
	return list;
}

static void call_provider(struct turn *turn)
{
	uint64_t patience_us = (uint64_t)turn->turns->conf->request_timeout_ms * 1000;
	struct call_ask *ask = arena_alloc(&turn->ask_arena, sizeof(*ask));
	struct llm_request *request = &ask->request;

	*request = (struct llm_request){
		.user = turn->user_id,
		.answer_id = uuid_str(&turn->answer_id),
		.conversation = copy_ask(turn, turn_write_upstream(&turn->write)),
		.new_conversation = uuid_str(&turn->session_id),
		.variables = turn->ask->variables,
		.has_temperature = turn->ask->has_temperature,
		.temperature = turn->ask->temperature,
		.max_tokens = turn->ask->max_tokens,
		.limits_completion = turn->ask->limits_completion,
		.extra = turn->ask->extra,
		.log = &turn->log,
	};
	request->messages = collect_messages(turn, &request->n_messages);
	ask->agents = turn->ask->agents;
	ask->first_event_until_us = turn->began_us + patience_us;
	/* REQUEST_TIMEOUT bounds all of a plain call, what has passed already included. */
	ask->over_until_us = turn->plain ? ask->first_event_until_us : 0;
	for (size_t i = 0; i < request->n_messages; i++)
		turn->prompt_tokens += tokens_estimate(request->messages[i].content) + tokens_estimate(request->messages[i].extra);
	turn->prompt_tokens += tokens_estimate(turn->agent->system_prompt) + tokens_estimate(request->extra);
	set_state(turn, TURN_CALLING);
	turn->call.op.done = on_call_over;
	turn->call.on_event = on_call_event;
	call_start(&turn->call, turn->turns, turn->agent, ask);
}

/* Its rows are stored. What came of the call, if it went out already, may be shown. */
static void go_on(struct turn *turn)
{
	drop_session_copy(turn);
	answer_release(&turn->answer);
	if (turn->status) /* it is over, or was ended meanwhile */
		store_end(turn);
	else if (turn->first_event_us)
		drop_ask(turn);
	else if (turn->state == TURN_BEGINNING)
		call_provider(turn);
}

static void on_begun(struct op *op)
{
	struct turn *turn = CONTAINER_OF(op, struct turn, write.op);

	turn->rows_pending = false;
	if (op->err == 0) {
		go_on(turn);
		return;
	}
	/* What the call came to, if it went out already, is nobody's answer. */
	op_cancel(&turn->call.op);
	turn->retry_after_s = -1;
	turn->finish_reason[0] = '\0';
	turn->begin_unknown = op->err == -ERR_DB_UNAVAILABLE && turn->write.was_sent;
	if (turn->begin_unknown) {
		/* Nobody knows whether the rows are there: the ending is stored as soon as the database is back. */
		end(turn, broken_status(turn), op->err, "begin_unknown");
		return;
	}
	/* Class 22: a number in the question's parts is larger than PostgreSQL can hold. */
	turn->err = strncmp(turn->write.sqlstate, "22", 2) == 0 ? -ERR_VALIDATION : op->err;
	turn->over_us = clock_mono_us();
	drop_ask(turn);
	if (turn->call.called_us) {
		log_warn(&turn->log, "call_without_rows", "agent", turn->agent->id, "error", err_info(turn->err)->code);
		count_usage(turn);
	}
	finish(turn);
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

/* What is needed until the provider is called. */
static void keep_request(struct turn *turn, const struct turn_request *request, size_t n_bytes)
{
	struct llm_message *messages = arena_alloc(&turn->ask_arena, request->n_messages * sizeof(*messages));

	for (size_t i = 0; i < request->n_messages; i++)
		messages[i] = (struct llm_message){
			.role = copy_ask(turn, request->messages[i].role),
			.content = copy_ask(turn, request->messages[i].content),
			.parts = copy_ask(turn, request->messages[i].parts),
			.no_content = request->messages[i].no_content,
			.extra = copy_ask(turn, request->messages[i].extra),
		};
	turn->ask = arena_alloc(&turn->ask_arena, sizeof(*turn->ask));
	*turn->ask = *request;
	turn->ask->messages = messages;
	count_asked(turn, n_bytes);
	turn->ask->variables = copy_ask(turn, request->variables);
	turn->ask->user_id = copy_ask(turn, request->user_id);
	turn->ask->agents = copy_ask(turn, request->agents);
	turn->ask->question = copy_ask(turn, request->question);
	turn->ask->question_parts = copy_ask(turn, request->question_parts);
	turn->ask->question_client_id = copy_ask(turn, request->question_client_id);
	turn->ask->answer_client_id = copy_ask(turn, request->answer_client_id);
	turn->ask->retry_question_id = copy_ask(turn, request->retry_question_id);
	turn->ask->extra = copy_ask(turn, request->extra);
	turn->ask->key.key = copy_ask(turn, request->key.key);
	turn->ask->key.body_hash = copy_ask(turn, request->key.body_hash);
	turn->ask->key.instead_of = copy_ask(turn, request->key.instead_of);
}

static void store_beginning(struct turn *turn, bool wants_history)
{
	const struct turn_request *ask = turn->ask;
	struct new_turn row = {
		.session_id = uuid_str(&turn->session_id),
		.user_id = ask->user_id,
		.anonymous = ask->anonymous,
		.session_is_new = turn->new_session,
		.session_name = turn->chat_id,
		.title = make_title(turn, ask->question),
		.agent_id = turn->agent->id,
		.provider = turn->agent->provider_name,
		.model = turn->agent->model,
		.question_id = uuid_str(&turn->question_id),
		.question = ask->question,
		.question_client_id = ask->question_client_id,
		.question_parts = ask->question_parts,
		.answer_id = uuid_str(&turn->answer_id),
		.answer_client_id = ask->answer_client_id,
		.agents = ask->agents,
		.max_history = wants_history ? MAX_HISTORY : 0,
		.max_history_tokens = turn->agent->context_tokens,
		.key = ask->key,
	};

	turn->write.op.done = on_begun;
	if (ask->retry_question_id.len)
		turn_writes_retry(turn->turns->writes, &turn->write, &row);
	else
		turn_writes_begin(turn->turns->writes, &turn->write, &row);
}

/* Nothing is read for it, nobody else can have begun it, PostgreSQL has no reason to refuse it (parts may hold numbers beyond its own), and
 * its rows will be there soon. */
static bool may_call_at_once(const struct turn *turn)
{
	return turn->new_session && turn->ask->key.key.len == 0 && turn->ask->question_parts.len == 0 &&
	       turn_writes_flow(turn->turns->writes);
}

size_t turn_request_bytes(const struct turn_request *request)
{
	size_t n = request->variables.len + request->extra.len;

	for (size_t i = 0; i < request->n_messages; i++)
		n += request->messages[i].content.len + request->messages[i].parts.len + request->messages[i].extra.len;
	return 2 * n;
}

struct turn *turn_start(struct turns *turns, const struct turn_request *request)
{
	size_t n_bytes = turn_request_bytes(request);
	struct turn *turn;

	if (!turns_have_room(turns) || turns->asked_bytes + n_bytes > (size_t)turns->conf->max_buffered_bytes)
		return NULL;
	turn = mem_alloc(sizeof(*turn));
	turn->turns = turns;
	turn->agent = agent_ref(request->agent);
	turn->plain = request->plain;
	turn->retry_after_s = -1;
	turn->began_us = clock_mono_us();
	turn->created_real_us = clock_real_us();
	turn->backoff = (struct backoff){.base_ms = 200, .max_ms = 5000};
	turn->session_id = request->retry_session_id.len ? uuid_from(request->retry_session_id) : uuid_new();
	turn->reservation = request->reservation;
	turn->question_id = request->retry_question_id.len ? uuid_from(request->retry_question_id)
			    : request->question_id.text[0] ? request->question_id
							   : uuid_new();
	turn->answer_id = request->answer_id.text[0] ? request->answer_id : uuid_new(); /* sorts after the question */
	turn->chat_id = arena_copy(&turn->arena, request->chat_id.len ? request->chat_id : uuid_str(&turn->session_id));
	turn->new_session = request->chat_id.len == 0;
	turn->log = (struct log_ctx){.request_id = arena_cstr(&turn->arena, str_from(request->request_id)), .step = "turn"};
	turn->user_id = arena_copy(&turn->arena, request->user_id);
	turn->answer_client_id = request->answer_client_id.len ? arena_copy(&turn->arena, request->answer_client_id) : STR("");
	answer_init(&turn->answer, turns->loop, &turns->budget);
	list_init(&turn->write.node);
	list_init(&turn->gone.node);
	list_push(&turns->live, &turn->node);
	turns_count(turns, 1);
	keep_request(turn, request, n_bytes);
	turn->rows_pending = turn->answer.held = true;
	store_beginning(turn, request->with_history && request->chat_id.len > 0 && request->n_messages == 1);
	if (may_call_at_once(turn))
		call_provider(turn);
	else if (turn->new_session)
		turn_writes_hurry(&turn->write);
	return turn;
}

void turn_join(struct turn *turn, struct reader *reader)
{
	defer_cancel(&turn->gone);
	reader_join(reader, &turn->answer);
	if (turn->settled)
		answer_wake(&turn->answer);
}

static bool is_going_on(const struct turn *turn)
{
	return turn->state < TURN_ENDING && !turn->status;
}

void turn_leave(struct turn *turn, struct reader *reader)
{
	reader_leave(reader);
	if (list_empty(&turn->answer.readers) && turn->agent->cancel_on_disconnect) {
		dedup_over(turn); /* who asks now asks anew */
		if (is_going_on(turn))
			break_off(turn, "cancelled", -ERR_CANCELLED, "reader_left");
	}
	free_if_unused(turn);
}

uint64_t turn_upstream_us(const struct turn *turn)
{
	uint64_t until_us = turn->over_us ? turn->over_us : turn->first_event_us ? turn->first_event_us : clock_mono_us();

	return turn->call.called_us ? until_us - turn->call.called_us : 0;
}

void turn_interrupt(struct turn *turn)
{
	if (is_going_on(turn))
		break_off(turn, broken_status(turn), -ERR_DRAINING, "responder_stops");
}

bool turn_stop(struct turn *turn)
{
	if (!is_going_on(turn))
		return false;
	end_stopped(turn);
	return true;
}

void turn_free(struct turn *turn)
{
	dedup_over(turn);
	call_fini(&turn->call);
	op_cancel(&turn->write.op);
	timer_fini(&turn->retry);
	answer_fini(&turn->answer);
	arena_fini(&turn->ask_arena);
	arena_fini(&turn->arena);
	buf_fini(&turn->text);
	buf_fini(&turn->beside);
	defer_cancel(&turn->gone);
	count_asked(turn, 0);
	list_remove(&turn->node);
	if (!turn->replayed)
		turns_count(turn->turns, -1);
	agent_unref(turn->agent);
	free(turn);
}
