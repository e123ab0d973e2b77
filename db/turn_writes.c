/* Batches: while MAX_SENT of a kind are on their way, others gather; each that returns takes what has gathered with the next. Kinds that come
 * thick and fast (two within THICK_US) also gather for a few milliseconds: twenty turns in one statement cost PostgreSQL a fifth each of one alone. */
#include "db/turn_writes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/process.h"
#include "db/text_array.h"
#include "db/turn_sql.h"

enum { MAX_SENT = 4, MAX_BATCH_BYTES = 1048576, TICK_MS = 100, SOON_US = 500000, THICK_US = 4000 };

enum kind { OPEN, BEGIN, BEGIN_KEYED, RETRY, RETRY_KEYED, END, END_WITH_NEWS, END_WITH_BUDGET, N_KINDS };

static const struct {
	const struct statement *statement;
	size_t n_arrays;
	bool alone;        /* these are few, and go one by one */
	unsigned every_us; /* between two statements, if they come thick and fast */
} kinds[N_KINDS] = {
	[OPEN] = {&open_turns, N_BEGIN_ARRAYS, false, 20000}, /* who waits for one says so: turn_writes_hurry */
	[BEGIN] = {&begin_turns, N_BEGIN_ARRAYS, false, 0},
	[BEGIN_KEYED] = {&begin_keyed_turn, N_BEGIN_ARRAYS, true, 0},
	[RETRY] = {&retry_turn, 0, true, 0},
	[RETRY_KEYED] = {&retry_keyed_turn, 0, true, 0},
	[END] = {&end_turns, N_END_ARRAYS, false, 10000},
	[END_WITH_NEWS] = {&end_turns_with_news, N_END_ARRAYS + N_NEWS_ARRAYS, false, 10000},
	[END_WITH_BUDGET] = {&end_turns_with_budget, N_END_ARRAYS + N_NEWS_ARRAYS, false, 10000},
};

static bool is_end(enum kind kind)
{
	return kind >= END;
}

static bool is_retry(enum kind kind)
{
	return kind == RETRY || kind == RETRY_KEYED;
}

static bool has_key(enum kind kind)
{
	return kind == BEGIN_KEYED || kind == RETRY_KEYED;
}

struct turn_writes {
	struct loop *loop;
	struct pool *pool;
	const struct conf *conf;
	const struct process *owner;
	struct gathering {
		struct list waiting;
		size_t n_sent;                     /* statements on their way */
		size_t n_gathered;                 /* since the last was sent */
		uint64_t came_us, sent_us, due_us; /* of the last that came; of the last statement, of the next */
	} of[N_KINDS];
	struct list batches;
	struct defer send;
	struct timer gather; /* the next that is due */
	struct timer tick;   /* deadlines, while anybody waits */
	bool ticking;
	bool came_through; /* the last one, PostgreSQL having said yes or no to it */
};

/* Some writes in one statement. */
struct turn_batch {
	struct list node; /* in writes->batches */
	struct turn_writes *writes;
	enum kind kind;
	uint64_t sent_us;
	size_t n, n_bytes; /* of text */
	struct list items; /* those whose waiter is still there */
	struct query q;
	struct buf arrays[N_BEGIN_ARRAYS]; /* as text, until the statement is done */
};

static void send_waiting(struct defer *d);

static void finish(struct turn_write *w, int err)
{
	w->writes->came_through = err != -ERR_DB_UNAVAILABLE && err != -ERR_OVERLOADED;
	list_remove(&w->node);
	op_finish(&w->op, err);
}

static void fill_begin(struct buf *a, const struct new_turn *t)
{
	const struct str texts[] = {t->session_id,
				    t->user_id,
				    t->anonymous ? STR("t") : STR("f"),
				    t->session_name,
				    t->agent_id,
				    t->title,
				    t->question_id,
				    t->question_client_id,
				    t->question,
				    t->question_parts,
				    t->answer_id,
				    t->answer_client_id,
				    t->provider,
				    t->model,
				    t->agents};

	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		text_array_add(&a[i], texts[i]);
	text_array_add_int(&a[N_ELEMENTS(texts)], t->max_history);
	text_array_add_int(&a[N_ELEMENTS(texts) + 1], t->max_history_tokens);
}

static void fill_retry(struct query *q, const struct new_turn *t)
{
	query_text(q, t->session_id);
	query_text(q, t->user_id);
	query_text(q, t->question_id);
	query_text(q, t->answer_id);
	query_text(q, t->answer_client_id);
	query_text(q, t->agent_id);
	query_text(q, t->provider);
	query_text(q, t->model);
	query_text(q, t->agents);
	query_int(q, t->max_history);
	query_int(q, t->max_history_tokens);
}

static void fill_key(struct query *q, const struct turn_key *key)
{
	query_text(q, key->key);
	query_text(q, key->body_hash);
	query_text(q, key->instead_of);
}

static void add_int_or_null(struct buf *a, bool present, int64_t n)
{
	if (present)
		text_array_add_int(a, n);
	else
		text_array_add_null(a);
}

static void fill_end(struct buf *a, const struct turn_ending *e)
{
	text_array_add(&a[0], e->answer_id);
	text_array_add(&a[1], e->content);
	text_array_add(&a[2], str_from(e->status));
	text_array_add(&a[3], e->finish_reason);
	if (e->error_code)
		text_array_add(&a[4], str_from(e->error_code));
	else
		text_array_add_null(&a[4]);
	add_int_or_null(&a[5], e->has_usage, e->prompt_tokens);
	add_int_or_null(&a[6], e->has_usage, e->completion_tokens);
	add_int_or_null(&a[7], e->has_usage, e->total_tokens);
	add_int_or_null(&a[8], e->first_event_ms >= 0, e->first_event_ms);
	text_array_add_int(&a[9], e->took_ms);
	text_array_add(&a[10], e->usage_estimated ? STR("t") : STR("f"));
}

static void add_text_or_null(struct buf *a, bool present, struct str text)
{
	if (present)
		text_array_add(a, text);
	else
		text_array_add_null(a);
}

static void fill_news(struct buf *a, const struct turn_ending *e)
{
	add_text_or_null(&a[N_END_ARRAYS], e->upstream_name, e->upstream_name ? str_from(e->upstream_name) : STR(""));
	add_text_or_null(&a[N_END_ARRAYS + 1], e->agent_id.len, e->agent_id);
	add_text_or_null(&a[N_END_ARRAYS + 2], e->agent_id.len, e->provider);
	add_text_or_null(&a[N_END_ARRAYS + 3], e->agent_id.len, e->model);
	add_text_or_null(&a[N_END_ARRAYS + 4], e->beside.len, e->beside);
}

static size_t n_text_bytes(enum kind kind, const struct turn_write *w)
{
	return is_end(kind) ? w->end.content.len + w->end.beside.len : w->begin.question.len + w->begin.question_parts.len;
}

/* Long texts go alone: 64 answers of 8 MiB in one statement would be gigabytes. One statement cannot touch a session twice. */
static bool fits(struct turn_batch *b, const struct turn_write *w)
{
	if (b->n == 0)
		return true;
	if (kinds[b->kind].alone)
		return false;
	if (b->n_bytes + n_text_bytes(b->kind, w) > MAX_BATCH_BYTES)
		return false;
	if (b->n == TURN_WRITES_MAX || w->alone || CONTAINER_OF(b->items.next, struct turn_write, node)->alone)
		return false;
	for (struct list *l = b->items.next; b->kind == BEGIN && l != &b->items; l = l->next) {
		const struct new_turn *other = &CONTAINER_OF(l, struct turn_write, node)->begin;

		if (str_eq(other->session_name, w->begin.session_name) && str_eq(other->user_id, w->begin.user_id))
			return false;
	}
	return true;
}

static void on_batch_done(struct op *op);

static void add_item(struct turn_batch *b, const struct turn_write *w)
{
	if (is_end(b->kind)) {
		fill_end(b->arrays, &w->end);
		if (b->kind > END)
			fill_news(b->arrays, &w->end);
	} else if (is_retry(b->kind)) {
		fill_retry(&b->q, &w->begin);
	} else {
		fill_begin(b->arrays, &w->begin);
	}
}

static void send_batch(struct turn_writes *writes, enum kind kind)
{
	struct gathering *g = &writes->of[kind];
	struct turn_batch *b = mem_alloc(sizeof(*b));

	b->writes = writes;
	b->kind = kind;
	b->sent_us = g->sent_us = clock_mono_us();
	g->n_gathered = 0;
	list_init(&b->items);
	query_init(&b->q);
	b->q.op.done = on_batch_done;
	list_push(&writes->batches, &b->node);
	for (struct list *l = g->waiting.next, *next; l != &g->waiting; l = next) {
		struct turn_write *w = CONTAINER_OF(l, struct turn_write, node);

		next = l->next;
		if (!fits(b, w))
			continue;
		list_remove(l);
		list_push(&b->items, l);
		w->batch = b;
		w->at = b->n++;
		b->n_bytes += n_text_bytes(kind, w);
		add_item(b, w);
	}
	for (size_t i = 0; i < kinds[kind].n_arrays; i++) {
		text_array_close(&b->arrays[i]);
		query_text(&b->q, buf_str(&b->arrays[i]));
	}
	if (!is_end(kind)) {
		query_text(&b->q, str_from(writes->owner->node));
		query_int(&b->q, writes->owner->slot);
		query_int(&b->q, writes->owner->generation);
	}
	if (has_key(kind))
		fill_key(&b->q, &CONTAINER_OF(b->items.next, struct turn_write, node)->begin.key);
	g->n_sent++;
	query_start(writes->pool, &b->q, kinds[kind].statement);
}

static void free_batch(struct turn_batch *b)
{
	list_remove(&b->node);
	query_fini(&b->q);
	for (size_t i = 0; i < N_BEGIN_ARRAYS; i++)
		buf_fini(&b->arrays[i]);
	free(b);
}

/* Gives each item its rows: they come in the order of places. */
static void share_out(struct turn_batch *b)
{
	struct turn_write *by_place[TURN_WRITES_MAX] = {NULL};

	for (struct list *l = b->items.next; l != &b->items; l = l->next) {
		struct turn_write *w = CONTAINER_OF(l, struct turn_write, node);

		by_place[w->at] = w;
	}
	for (size_t row = 0; row < query_n_rows(&b->q); row++) {
		int64_t place = query_col_int(&b->q, row, 0) - 1;
		struct turn_write *w = place >= 0 && place < TURN_WRITES_MAX ? by_place[place] : NULL;

		if (!w)
			continue;
		w->found = true;
		if (b->kind == OPEN || is_end(b->kind) || query_is_null(&b->q, row, 1))
			continue;
		if (str_eq(query_col(&b->q, row, 1), STR("taken"))) {
			w->taken = true;
			w->found = false; /* the row that there is, is another's */
		} else if (str_eq(query_col(&b->q, row, 1), STR("upstream"))) {
			w->has_upstream = true;
			w->upstream_row = row;
		} else if (w->n_history++ == 0) {
			w->first_row = row;
		}
	}
}

/* What PostgreSQL did, though it did as it was told. */
static int outcome(const struct turn_batch *b, const struct turn_write *w)
{
	if (w->taken)
		return -ERR_CONFLICT;
	return is_retry(b->kind) && !w->found ? -ERR_MESSAGE_NOT_FOUND : 0;
}

/* The whole of it was refused: nothing has happened, and most of it may be all right by itself. */
static bool worth_repeating(const struct turn_batch *b, int err)
{
	return b->n > 1 && (err == -ERR_VALIDATION || (err && *query_sqlstate(&b->q)));
}

static void on_batch_done(struct op *op)
{
	struct turn_batch *b = CONTAINER_OF(op, struct turn_batch, q.op);
	struct turn_writes *writes = b->writes;
	bool repeat = worth_repeating(b, op->err);
	int err = op->err;

	writes->of[b->kind].n_sent--;
	if (err == 0)
		share_out(b);
	while (!list_empty(&b->items)) {
		struct turn_write *w = CONTAINER_OF(b->items.next, struct turn_write, node);

		if (repeat) {
			list_remove(&w->node);
			w->batch = NULL;
			w->alone = true;
			list_push(&writes->of[b->kind].waiting, &w->node);
			writes->of[b->kind].due_us = 0;
			continue;
		}
		snprintf(w->sqlstate, sizeof(w->sqlstate), "%s", query_sqlstate(&b->q));
		w->was_sent = query_was_sent(&b->q);
		finish(w, err ? err : outcome(b, w));
	}
	loop_defer(writes->loop, &writes->send, send_waiting);
	free_batch(b);
}

static void on_tick(void *arg)
{
	struct turn_writes *writes = arg;
	uint64_t now_us = clock_mono_us();

	writes->ticking = false;
	for (enum kind kind = 0; kind < N_KINDS; kind++) {
		for (struct list *l = writes->of[kind].waiting.next, *next; l != &writes->of[kind].waiting; l = next) {
			struct turn_write *w = CONTAINER_OF(l, struct turn_write, node);

			next = l->next;
			if (w->give_up_us <= now_us)
				finish(w, -ERR_DB_UNAVAILABLE);
		}
	}
	loop_defer(writes->loop, &writes->send, send_waiting);
}

static bool is_due(const struct gathering *g, uint64_t now_us)
{
	return g->due_us <= now_us || g->n_gathered >= TURN_WRITES_MAX;
}

static void send_waiting(struct defer *d)
{
	struct turn_writes *writes = CONTAINER_OF(d, struct turn_writes, send);
	uint64_t now_us = clock_mono_us(), next_us = UINT64_MAX;
	bool anybody = false;

	for (enum kind kind = 0; kind < N_KINDS; kind++) {
		struct gathering *g = &writes->of[kind];
		bool due = is_due(g, now_us);

		while (due && g->n_sent < MAX_SENT && !list_empty(&g->waiting))
			send_batch(writes, kind);
		anybody |= !list_empty(&g->waiting);
		if (!due && !list_empty(&g->waiting) && g->due_us < next_us)
			next_us = g->due_us;
	}
	if (next_us != UINT64_MAX)
		timer_start(&writes->gather, (next_us - now_us + 999) / 1000);
	if (anybody && !writes->ticking) {
		writes->ticking = true;
		timer_start(&writes->tick, TICK_MS);
	}
}

static void on_gathered(void *arg)
{
	struct turn_writes *writes = arg;

	loop_defer(writes->loop, &writes->send, send_waiting);
}

static void cancel(struct op *op)
{
	list_remove(&CONTAINER_OF(op, struct turn_write, op)->node);
}

static void start(struct turn_writes *writes, struct turn_write *w, enum kind kind)
{
	struct gathering *g = &writes->of[kind];
	uint64_t now_us = clock_mono_us();

	w->writes = writes;
	w->batch = NULL;
	w->found = w->was_sent = w->alone = w->taken = false;
	w->has_upstream = false;
	w->n_history = 0;
	w->sqlstate[0] = '\0';
	w->give_up_us = now_us + (uint64_t)writes->conf->db_connection_timeout_ms * 1000;
	w->op.cancel = cancel;
	if (list_empty(&g->waiting))
		g->due_us = now_us - g->came_us < THICK_US ? g->sent_us + kinds[kind].every_us : now_us;
	g->came_us = now_us;
	g->n_gathered++;
	list_push(&g->waiting, &w->node);
	loop_defer(writes->loop, &writes->send, send_waiting); /* at the end of the turn: what begins in it goes together */
}

bool turn_writes_flow(const struct turn_writes *writes)
{
	const struct list *oldest = writes->batches.next;

	if (!writes->came_through || pool_stats(writes->pool).away)
		return false;
	return oldest == &writes->batches || clock_mono_us() - CONTAINER_OF(oldest, struct turn_batch, node)->sent_us < SOON_US;
}

void turn_writes_hurry(struct turn_write *w)
{
	if (w->batch)
		return;
	w->writes->of[OPEN].due_us = 0;
	loop_defer(w->writes->loop, &w->writes->send, send_waiting);
}

void turn_writes_begin(struct turn_writes *writes, struct turn_write *w, const struct new_turn *turn)
{
	w->begin = *turn;
	start(writes, w, turn->key.key.len ? BEGIN_KEYED : turn->session_is_new ? OPEN : BEGIN);
}

void turn_writes_retry(struct turn_writes *writes, struct turn_write *w, const struct new_turn *turn)
{
	w->begin = *turn;
	start(writes, w, turn->key.key.len ? RETRY_KEYED : RETRY);
}

void turn_writes_end(struct turn_writes *writes, struct turn_write *w, const struct turn_ending *ending)
{
	w->end = *ending;
	start(writes, w,
	      ending->has_budget                                                    ? END_WITH_BUDGET
	      : ending->upstream_name || ending->agent_id.len || ending->beside.len ? END_WITH_NEWS
										    : END);
}

struct history_row turn_write_history(const struct turn_write *w, size_t i)
{
	return (struct history_row){query_col(&w->batch->q, w->first_row + i, 1), query_col(&w->batch->q, w->first_row + i, 2)};
}

struct str turn_write_upstream(const struct turn_write *w)
{
	return w->has_upstream ? query_col(&w->batch->q, w->upstream_row, 2) : STR("");
}

struct turn_writes *turn_writes_new(struct loop *loop, struct pool *pool, const struct conf *conf, const struct process *owner)
{
	struct turn_writes *writes = mem_alloc(sizeof(*writes));

	writes->loop = loop;
	writes->pool = pool;
	writes->conf = conf;
	writes->owner = owner;
	for (enum kind kind = 0; kind < N_KINDS; kind++)
		list_init(&writes->of[kind].waiting);
	list_init(&writes->batches);
	list_init(&writes->send.node);
	timer_init(&writes->tick, loop, on_tick, writes);
	timer_init(&writes->gather, loop, on_gathered, writes);
	return writes;
}

void turn_writes_free(struct turn_writes *writes)
{
	while (!list_empty(&writes->batches))
		free_batch(CONTAINER_OF(writes->batches.next, struct turn_batch, node));
	defer_cancel(&writes->send);
	timer_fini(&writes->tick);
	timer_fini(&writes->gather);
	free(writes);
}
