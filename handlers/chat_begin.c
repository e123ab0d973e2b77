/* Who comes first leads, and looks: in memory (chat/dedup), and by an Idempotency-Key in PostgreSQL. What it finds decides for those who
 * asked the same meanwhile. Nobody waits for another's answer longer than REQUEST_TIMEOUT. */
#include "handlers/chat_begin.h"

#include "auth/people.h"
#include "base/clock.h"
#include "base/conf.h"
#include "chat/agents.h"
#include "chat/dedup.h"
#include "chat/replay.h"
#include "chat/turns.h"
#include "db/idempotency.h"
#include "fcgi/conn.h"
#include "handlers/chat_request.h"
#include "handlers/request.h"
#include "handlers/reserve.h"

/* KEPT_MS: for so long an ending may wait for the database; MISSING_MS: a row that does not come in that time will not come any more. */
enum { MAX_KEY = 255, FIRST_PAUSE_MS = 30, MAX_PAUSE_MS = 500, MAX_LOST = 8, KEPT_MS = 600000, MISSING_MS = 10000 };

#define KEY_HEADER "Idempotency-Key"
#define KEY_PARAM  "HTTP_IDEMPOTENCY_KEY"

enum beginning_state {
	ASKING,    /* waits for b->claim */
	LOOKING,   /* waits for b->look */
	PAUSING,   /* waits for r->timer, to look again */
	RESERVING, /* waits for r->reservation */
	BEGUN,     /* waits for the turn: it may turn out that another has its key */
};

/* In r->question, with all that it borrows. */
struct beginning {
	struct request *r;
	struct dedup_claim claim; /* on a turn that others may ask for too */
	struct query look;        /* for the answer to that, while the question may be in r->query */
	struct turns *turns;
	size_t held_bytes; /* in turns->asked_bytes, as long as it waits with its question */
	const struct chat_words *words;
	struct chat_request chat;
	struct str key; /* empty: none */
	struct dedup_id id;
	struct str instead_of; /* the answer that had the key before; empty: none */
	enum beginning_state state;
	unsigned pause_ms, n_lost; /* n_lost: times that another turn was quicker to take the key */
	uint64_t paused_us;        /* the provider's time, as whoever waits sees it */
	uint64_t missed_us;        /* since when the row is not there; 0: it is */
	bool seen_live;            /* so it was in flight when this was asked */
};

static enum flow_next ask(struct request *r, struct beginning *b);

/* ---- waiting ---- */

static void on_timer(void *arg)
{
	flow_wake(arg);
}

static enum flow_next wait_at_most(struct request *r, uint64_t ms)
{
	timer_fini(&r->timer);
	timer_init(&r->timer, r->app->loop, on_timer, r);
	timer_start(&r->timer, ms < request_left_ms(r) ? ms : request_left_ms(r));
	return FLOW_WAIT;
}

static enum flow_next refuse_late(struct request *r)
{
	return request_reject_because(r, ERR_UPSTREAM_TIMEOUT, NULL,
				      "The same question is still being answered; ask again for its answer.");
}

/* ---- an answer is found ---- */

static void let_go(struct beginning *b)
{
	turns_let_go(b->turns, b->held_bytes);
	b->held_bytes = 0;
}

static void leave(void *beginning)
{
	struct beginning *b = beginning;

	let_go(b);
	query_fini(&b->look);
	dedup_leave(&b->claim);
}

/* The end of the beginning. */
static enum flow_next read_from(struct request *r, struct beginning *b, struct turn *turn)
{
	timer_fini(&r->timer);
	chat_read_from(r, b->words, turn, &b->chat);
	request_end_question(r);
	json_free(r->body); /* a long stream need not keep it */
	r->body = NULL;
	return FLOW_NEXT;
}

static void on_more(struct reader *reader)
{
	flow_wake(CONTAINER_OF(reader, struct request, reader));
}

static void join(struct request *r, struct turn *turn)
{
	r->turn = turn;
	r->reader.on_more = on_more;
	turn_join(turn, &r->reader);
}

/* Is it this request's turn, as far as its key goes? That is known with its first event, or its failure. */
static enum flow_next await_beginning(struct request *r, struct beginning *b)
{
	if (b->key.len == 0)
		return read_from(r, b, r->turn);
	b->state = BEGUN;
	timer_fini(&r->timer);
	return FLOW_WAIT;
}

static enum flow_next on_begun(struct request *r, struct beginning *b)
{
	if (!r->turn->settled && (r->turn->rows_pending || r->turn->first_event_us == 0))
		return FLOW_WAIT;
	if (r->turn->err != -ERR_CONFLICT || b->n_lost++ == MAX_LOST)
		return read_from(r, b, r->turn);
	turn_leave(r->turn, &r->reader);
	r->turn = NULL;
	return ask(r, b);
}

static enum flow_next begin_reserved(struct request *r, struct beginning *b)
{
	struct turn_request *ask_for = &b->chat.turn;
	struct turn *turn;

	if (r->app->closing) /* by now */
		return request_reject(r, ERR_DRAINING);
	if (b->key.len)
		ask_for->key = (struct turn_key){b->key, str_from(b->id.body), b->instead_of};
	ask_for->reservation = r->reservation;
	let_go(b); /* the turn counts for itself */
	turn = turn_start(b->turns, ask_for);
	if (!turn)
		return request_reject(r, ERR_OVERLOADED);
	r->reservation = NULL; /* the turn's */
	if (b->claim.flight)
		dedup_begun(&b->claim, turn);
	join(r, turn);
	return await_beginning(r, b);
}

/* Only who leads takes of anybody's limits: those who join, or read what is stored, cost nothing. */
static enum flow_next begin(struct request *r, struct beginning *b, struct str instead_of)
{
	struct turn_request *ask_for = &b->chat.turn;
	bool claimed = b->claim.flight != NULL;
	enum flow_next next;

	b->instead_of = instead_of;
	ask_for->question_id = claimed ? b->claim.question_id : uuid_new();
	ask_for->answer_id = claimed ? b->claim.answer_id : uuid_new(); /* sorts after the question */
	b->state = RESERVING;
	timer_fini(&r->timer); /* of the claim: a reservation has deadlines of its own, and only it may wake us */
	next = reserve_start(r, ask_for);
	return next == FLOW_NEXT ? begin_reserved(r, b) : next;
}

static enum flow_next on_reserved(struct request *r, struct beginning *b)
{
	enum flow_next next = reserve_finish(r);

	return next == FLOW_NEXT ? begin_reserved(r, b) : next;
}

static enum flow_next read_stored(struct request *r, struct beginning *b, const struct stored_answer *stored)
{
	struct turn *turn = turn_replay(b->turns, b->chat.turn.agent, stored, r->request_id);

	if (!turn)
		return request_reject(r, ERR_OVERLOADED);
	if (b->key.len && !turn->err)
		r->more_head = "Idempotent-Replayed: true\r\n";
	turn->call.called_us = turn->over_us - b->paused_us;
	join(r, turn);
	return read_from(r, b, turn);
}

/* ---- looking for one that is stored ---- */

static void on_looked(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct beginning, look.op)->r);
}

static enum flow_next look(struct request *r, struct beginning *b)
{
	struct str owner = uuid_str(&r->user_id);

	b->state = LOOKING;
	timer_fini(&r->timer);
	query_fini(&b->look);
	b->look.op.done = on_looked;
	if (b->claim.verdict == DEDUP_BEGIN)
		idempotency_find(r->app->pool, &b->look, owner, b->key, (b->id.ttl_ms + KEPT_MS) / 1000);
	else
		idempotency_answer(r->app->pool, &b->look, owner, uuid_str(&b->claim.answer_id));
	return FLOW_WAIT;
}

static enum flow_next look_again_later(struct request *r, struct beginning *b)
{
	unsigned ms = b->pause_ms ? b->pause_ms : FIRST_PAUSE_MS;

	if (request_left_ms(r) == 0)
		return refuse_late(r);
	b->pause_ms = 2 * ms < MAX_PAUSE_MS ? 2 * ms : MAX_PAUSE_MS;
	b->state = PAUSING;
	b->paused_us += (uint64_t)ms * 1000;
	b->seen_live = b->missed_us == 0;
	return wait_at_most(r, ms);
}

static bool is_whole(const struct stored_answer *a)
{
	return str_eq(a->status, STR("complete")) || str_eq(a->status, STR("stopped"));
}

/* Had it ended before this was asked? Then it is no answer to this, unless a key says so. */
static bool is_old(const struct request *r, const struct beginning *b, const struct stored_answer *a)
{
	return !b->seen_live && (uint64_t)a->ended_ms_ago > (clock_mono_us() - r->began_us) / 1000;
}

/* Nobody heard how the provider would have ended: whoever still waits may have it asked again. */
static bool came_to_nothing(const struct stored_answer *a)
{
	return str_eq(a->status, STR("cancelled")) || str_eq(a->error_code, STR("SERVER_DIED"));
}

static bool is_live(const struct stored_answer *a)
{
	return a->present && a->ended_ms_ago < 0;
}

/* What the key stands for decides for all who wait with us. */
static enum flow_next found_key(struct request *r, struct beginning *b)
{
	struct idempotency_row row;
	struct str instead_of;

	if (query_n_rows(&b->look) == 0)
		return begin(r, b, STR(""));
	row = idempotency_row(&b->look);
	instead_of = arena_copy(&r->question, row.answer_id);
	if (row.expired)
		return begin(r, b, instead_of);
	if (!str_eq_cstr(row.body_hash, b->id.body))
		return request_reject(r, ERR_KEY_REUSED);
	if (is_live(&row.answer) && !row.abandoned)
		return look_again_later(r, b);
	if (!row.answer.present || is_live(&row.answer) || (!is_whole(&row.answer) && (!b->seen_live || came_to_nothing(&row.answer))))
		return begin(r, b, instead_of);
	dedup_stored(&b->claim, row.answer_id);
	return read_stored(r, b, &row.answer);
}

static enum flow_next on_verdict(struct request *r, struct beginning *b);

static enum flow_next ask_once_more(struct request *r, struct beginning *b)
{
	b->state = ASKING;
	b->missed_us = 0;
	b->seen_live = false;
	query_fini(&b->look);
	return dedup_again(&b->claim) ? on_verdict(r, b) : wait_at_most(r, request_left_ms(r));
}

/* The row of a turn that is just beginning may still come; but there must be time left to begin one here. */
static bool may_come(const struct request *r, struct beginning *b)
{
	uint64_t now_us = clock_mono_us(), half_ms = (uint64_t)r->app->conf->request_timeout_ms / 2;

	if (!b->missed_us)
		b->missed_us = now_us;
	return now_us - b->missed_us < 1000 * (half_ms < MISSING_MS ? half_ms : MISSING_MS);
}

static enum flow_next found_elsewhere(struct request *r, struct beginning *b)
{
	struct stored_answer a = idempotency_stored(&b->look);

	if (is_live(&a))
		b->missed_us = 0;
	if (is_live(&a) || (!a.present && may_come(r, b)))
		return look_again_later(r, b);
	if (!a.present || is_old(r, b, &a) || came_to_nothing(&a))
		return ask_once_more(r, b);
	dedup_stored(&b->claim, a.id);
	return read_stored(r, b, &a);
}

/* The turn that we waited for is over; somebody has looked, or it was ours. */
static enum flow_next found_stored(struct request *r, struct beginning *b)
{
	struct stored_answer a = idempotency_stored(&b->look);

	if (is_live(&a))
		return look_again_later(r, b); /* its ending waits for the database */
	if (!a.present || came_to_nothing(&a))
		return ask(r, b);
	return read_stored(r, b, &a);
}

static enum flow_next on_found(struct request *r, struct beginning *b)
{
	if (b->look.op.err) {
		if (b->claim.flight) /* the others look for themselves, at once rather than one after the other */
			dedup_stored(&b->claim, uuid_str(&b->claim.answer_id));
		return request_reject(r, b->look.op.err);
	}
	if (b->claim.verdict == DEDUP_BEGIN)
		return found_key(r, b);
	return b->claim.verdict == DEDUP_ELSEWHERE ? found_elsewhere(r, b) : found_stored(r, b);
}

/* ---- who else has asked? ---- */

static enum flow_next on_verdict(struct request *r, struct beginning *b)
{
	switch (b->claim.verdict) {
	case DEDUP_DIFFERS: return request_reject(r, ERR_KEY_REUSED);
	case DEDUP_JOIN: join(r, b->claim.turn); return await_beginning(r, b);
	case DEDUP_BEGIN: return b->key.len ? look(r, b) : begin(r, b, STR(""));
	case DEDUP_ELSEWHERE:
	case DEDUP_STORED: break;
	}
	return look(r, b);
}

static void on_claim_done(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct beginning, claim.op)->r);
}

static enum flow_next ask(struct request *r, struct beginning *b)
{
	if (request_left_ms(r) == 0)
		return refuse_late(r);
	if (!b->held_bytes && !turns_hold(b->turns, turn_request_bytes(&b->chat.turn)))
		return request_reject(r, ERR_OVERLOADED);
	b->held_bytes = turn_request_bytes(&b->chat.turn);
	b->state = ASKING;
	b->missed_us = 0;
	b->seen_live = false;
	query_fini(&b->look);
	b->claim.op.done = on_claim_done;
	return dedup_enter(b->turns->dedup, &b->claim, &b->id) ? on_verdict(r, b) : wait_at_most(r, request_left_ms(r));
}

enum flow_next chat_begin_finish(struct request *r)
{
	struct beginning *b = r->state;

	switch (b->state) {
	case ASKING: return op_waiting(&b->claim.op) ? refuse_late(r) : on_verdict(r, b);
	case LOOKING: return on_found(r, b);
	case PAUSING: return look(r, b);
	case RESERVING: return on_reserved(r, b);
	case BEGUN: break;
	}
	return on_begun(r, b);
}

/* ---- the question ---- */

static void unref_agent(void *agent)
{
	agent_unref(agent);
}

static bool read_key(struct request *r, struct str *key)
{
	size_t n = params_count(&r->fcgi->params, KEY_PARAM);

	*key = request_param(r, KEY_PARAM);
	if (n != 1)
		return n == 0;
	for (size_t i = 0; i < key->len; i++)
		if (key->p[i] < '!' || key->p[i] > '~')
			return false;
	return key->len >= 1 && key->len <= MAX_KEY;
}

static void make_id(struct beginning *b)
{
	struct turn_request *turn = &b->chat.turn;

	b->id.by_key = b->key.len > 0;
	b->id.ttl_ms = turn->agent->timeouts.total_ms + MISSING_MS;
	turn_hash(turn, b->chat.agent_id, b->id.body);
	if (b->id.by_key)
		turn_key_hash(turn->user_id, b->key, b->id.flight);
	else
		memcpy(b->id.flight, b->id.body, sizeof(b->id.flight));
}

enum flow_next chat_begin(struct request *r, const struct chat_words *words, const struct chat_request *chat)
{
	struct beginning *b = arena_alloc(&r->question, sizeof(*b));
	struct turn_request *turn = &b->chat.turn;
	struct json_complaint complaint = {0};

	b->r = r;
	b->turns = r->app->turns;
	arena_on_free(&r->question, leave, b);
	b->words = words;
	b->chat = *chat;
	if (r->app->closing)
		return request_reject(r, ERR_DRAINING);
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
	if (!read_key(r, &b->key))
		return request_reject_because(r, ERR_VALIDATION, KEY_HEADER, KEY_HEADER " must have 1 to %d visible ASCII characters.",
					      (int)MAX_KEY);
	turn->user_id = uuid_str(&r->user_id);
	turn->anonymous = r->anonymous;
	turn->agents = r->person ? r->person->agents : STR("");
	turn->plain = !chat->stream;
	turn->request_id = r->request_id;
	r->state = b;
	if (b->key.len == 0 && turn->chat_id.len == 0)
		return begin(r, b, STR(""));
	agent_ref(turn->agent); /* it may change while we wait */
	arena_on_free(&r->question, unref_agent, turn->agent);
	make_id(b);
	return ask(r, b);
}

enum flow_next chat_read_and_begin(struct request *r, const struct chat_words *words)
{
	struct json_complaint complaint = {0};
	struct chat_request chat;

	if (!words->read(r, &chat, &complaint))
		return request_reject_field(r, &complaint);
	return chat_begin(r, words, &chat);
}
