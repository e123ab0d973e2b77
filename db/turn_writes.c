/* Batches: while MAX_SENT of a kind are on their way, others gather; each that returns takes what has gathered with the next. */
#include "db/turn_writes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/process.h"
#include "db/sql.h"
#include "db/statements.h"
#include "db/text_array.h"

enum { MAX_SENT = 4, MAX_BATCH_BYTES = 1048576, TICK_MS = 100, SOON_US = 500000, N_BEGIN_ARRAYS = 17, N_END_ARRAYS = 11, N_NEWS_ARRAYS = 5 };

/* What the model is told of a session, the newest of it that its budget holds. Of the answers to one question only one goes along: the newest
 * that came to its end, or, if none did, the newest of which there is something. Nothing far beyond the budget is unpacked to be counted.
 * session: which messages m are of it; agents: a JSON array of whose answers may go along, empty: everybody's; max: of so many messages;
 * tokens: the budget. */
#define HISTORY(session, agents, max, tokens)                                                                          \
	" SELECT role, content, created_at, id FROM ("                                                                     \
	"  SELECT *, sum(" SQL_TOKENS("content") ") OVER (ORDER BY created_at DESC, id DESC) AS tokens FROM ("               \
	"   SELECT *, sum(octet_length(content)) OVER (ORDER BY created_at DESC, id DESC) AS bytes FROM ("                  \
	"    SELECT *, row_number() OVER (PARTITION BY role, coalesce(parent_id, id) ORDER BY status = 'interrupted', created_at DESC, id DESC) AS choice FROM (" \
	"     SELECT m.role, m.content, m.created_at, m.id, m.parent_id, m.status FROM ("                                   \
	"      SELECT * FROM chat_messages m WHERE " session " AND m.status IN ('complete', 'stopped', 'interrupted') AND m.content <> ''" \
	"      AND CASE WHEN " agents " = '' THEN true ELSE " agents "::jsonb ? m.agent_id END ORDER BY m.created_at DESC" SQL_FIRST(max) \
	"     ) m ORDER BY m.created_at DESC, m.id DESC LIMIT " max                                                        \
	"    ) newest"                                                                                                     \
	"   ) chosen WHERE choice = 1"                                                                                      \
	"  ) near WHERE bytes <= " tokens " * 4" /* tokens_max_bytes */                                                                            \
	" ) counted WHERE tokens <= " tokens

/* What many turns begin with, as one array for each field. */
#define ROWS                                                                                                           \
	" SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[]," \
	"  $9::text[], $10::text[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::bigint[]) WITH ORDINALITY" \
	"  AS t (session_id, user_id, anonymous, name, agent_id, title, question_id, question_client_id,"                  \
	"  question, parts, answer_id, answer_client_id, provider, model, agents, max_history, max_tokens, place)"
#define SESSIONS                                                                                                       \
	"), session AS ("                                                                                                  \
	" INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count)"                        \
	" SELECT session_id, user_id, anonymous, name, agent_id, title, 2 FROM input ORDER BY user_id, name"
#define INPUT "WITH input AS MATERIALIZED (" ROWS SESSIONS
/* session: the id of the row's session. */
#define MESSAGES(session, from)                                                                                        \
	"), question AS ("                                                                                                 \
	" INSERT INTO chat_messages (id, session_id, client_id, role, content, parts, status, agent_id, ended_at)"         \
	" SELECT i.question_id, " session ", nullif(i.question_client_id, ''), 'user', i.question, nullif(i.parts, '')::jsonb, 'complete'," \
	"  i.agent_id, now() FROM " from                                                                                   \
	"), answer AS ("                                                                                                   \
	" INSERT INTO chat_messages (id, session_id, parent_id, client_id, role, content, status, agent_id, provider, model," \
	"  owner_node, owner_slot, owner_generation)"                                                                      \
	" SELECT i.answer_id, " session ", i.question_id, nullif(i.answer_client_id, ''), 'assistant', '', 'streaming', i.agent_id," \
	"  i.provider, i.model, $18, $19::integer, $20::bigint FROM " from                                                 \
	")"

/* Sessions that nobody knows yet: there is nothing to read and nobody to wait for, and a third less to plan and to start. */
static const struct statement open_turns = {
	"open_turns",
	INPUT MESSAGES("i.session_id", "input i") " SELECT place FROM input",
	N_BEGIN_ARRAYS + 3,
};

/* In the order of the session's key, so that two batches never wait for each other's sessions. The history is read from the
 * snapshot before this statement, so it never holds a new question. created_at of a turn's rows is the same: their ids sort.
 * A session that was made without a title gets that of its first question. */
#define BEGUN                                                                                                          \
	" ON CONFLICT (user_id, name) DO UPDATE"                                                                           \
	" SET updated_at = now(), message_count = chat_sessions.message_count + 2,"                                        \
	"  title = CASE WHEN chat_sessions.title = '' THEN excluded.title ELSE chat_sessions.title END"                    \
	" RETURNING id, user_id, name"                                                                                     \
	MESSAGES("s.id", "input i JOIN session s USING (user_id, name)")                                                   \
	" SELECT place, role, content FROM ("                                                                              \
	" SELECT i.place, 'upstream' AS role, u.name AS content, NULL::timestamptz AS created_at, NULL::uuid AS id"        \
	" FROM input i CROSS JOIN LATERAL (SELECT s.upstream_names->>i.agent_id AS name FROM chat_sessions s"              \
	"  WHERE s.user_id = i.user_id AND s.name = i.name AND s.upstream_names ? i.agent_id LIMIT 1) u"                   \
	" UNION ALL SELECT i.place, h.role, h.content, h.created_at, h.id FROM input i CROSS JOIN LATERAL ("               \
	HISTORY("m.session_id = (SELECT s.id FROM chat_sessions s WHERE s.user_id = i.user_id AND s.name = i.name)", "i.agents", \
		"i.max_history", "i.max_tokens")                                                                                   \
	") h WHERE i.max_history > 0"
#define IN_ORDER ") r ORDER BY place, created_at NULLS FIRST, id"

static const struct statement begin_turns = {"begin_turns", INPUT BEGUN IN_ORDER, N_BEGIN_ARRAYS + 3};

/* The key of a turn, taken in the same statement: nothing else happens if another turn has it, unless that is the one which this one is
 * instead of. Whoever comes second waits for the first one's commit, whatever responder or host they are of. */
#define KEY(owner, answer, key, body_hash, instead_of)                                                                 \
	"WITH claim AS ("                                                                                                  \
	" INSERT INTO idempotency_keys AS k (owner_id, key, body_hash, answer_id, expires_at)"                             \
	" VALUES (" owner ", " key ", " body_hash ", " answer ", now() + interval '24 hours')"                             \
	" ON CONFLICT (owner_id, key) DO UPDATE SET body_hash = excluded.body_hash, answer_id = excluded.answer_id,"       \
	"  created_at = excluded.created_at, expires_at = excluded.expires_at WHERE k.answer_id = nullif(" instead_of ", '')::uuid" \
	" RETURNING answer_id)"
#define TAKEN " UNION ALL SELECT 1, 'taken', NULL, NULL, NULL WHERE NOT EXISTS (SELECT FROM claim)"

static const struct statement begin_keyed_turn = {
	"begin_keyed_turn",
	KEY("($2::uuid[])[1]", "($11::uuid[])[1]", "$21", "$22", "$23")
	", input AS MATERIALIZED (SELECT * FROM (" ROWS ") asked WHERE EXISTS (SELECT FROM claim)" SESSIONS BEGUN TAKEN IN_ORDER,
	N_BEGIN_ARRAYS + 6,
};

/* Another answer to a question that is there; by the way what was said before it. It has the question's created_at, and so stands beside the
 * first answer. A row without a role: there was nothing before. No row: the session or the question is gone. */
#define RETRIED(and)                                                                                                   \
	" session AS ("                                                                                                    \
	" UPDATE chat_sessions s SET updated_at = now(), message_count = message_count + 1 WHERE s.id = $1::uuid AND s.user_id = $2::uuid" \
	"  AND s.status <> 'deleted' AND EXISTS (SELECT FROM chat_messages m WHERE m.id = $3::uuid AND m.session_id = s.id AND m.role = 'user')" and \
	" RETURNING s.id"                                                                                                  \
	"), question AS MATERIALIZED ("                                                                                    \
	" SELECT m.id, m.session_id, m.created_at FROM chat_messages m JOIN session s ON s.id = m.session_id WHERE m.id = $3::uuid" \
	"), answer AS ("                                                                                                   \
	" INSERT INTO chat_messages (id, session_id, parent_id, client_id, role, content, status, agent_id, provider, model, created_at, retried_at," \
	"  owner_node, owner_slot, owner_generation)"                                                                      \
	" SELECT $4::uuid, session_id, id, nullif($5, ''), 'assistant', '', 'streaming', $6, $7, $8, created_at, now(),"   \
	"  $12, $13::integer, $14::bigint FROM question"                                                                   \
	") SELECT place, role, content FROM ("                                                                             \
	" SELECT 1 AS place, 'upstream' AS role, s.upstream_names->>$6 AS content, NULL::timestamptz AS created_at, NULL::uuid AS id" \
	" FROM question q JOIN chat_sessions s ON s.id = q.session_id WHERE s.upstream_names ? $6"                         \
	" UNION ALL SELECT 1, h.role, h.content, h.created_at, h.id FROM question q LEFT JOIN LATERAL ("                      \
	HISTORY("m.session_id = q.session_id AND (m.created_at, m.id) < (q.created_at, q.id)", "$9", "$10::bigint", "$11::bigint") \
	") h ON true"

static const struct statement retry_turn = {"retry_turn", "WITH" RETRIED("") IN_ORDER, 14};

static const struct statement retry_keyed_turn = {
	"retry_keyed_turn",
	KEY("$2::uuid", "$4::uuid", "$15", "$16", "$17") "," RETRIED(" AND EXISTS (SELECT FROM claim)") TAKEN IN_ORDER,
	17,
};

/* Beside what each ending has, news: arrays, their names, what is set by them. */
#define ENDED(arrays, names, set)                                                                                      \
	"UPDATE chat_messages m SET content = e.content, status = e.status, finish_reason = nullif(e.finish_reason, ''),"  \
	" error_code = e.error_code, prompt_tokens = e.prompt_tokens, completion_tokens = e.completion_tokens,"            \
	" total_tokens = e.total_tokens, first_event_ms = e.first_event_ms, took_ms = e.took_ms, ended_at = now(),"        \
	" usage_estimated = e.usage_estimated" set                                                                         \
	" FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[]," \
	"  $9::integer[], $10::integer[], $11::boolean[]" arrays ") WITH ORDINALITY"                                       \
	"  AS e (id, content, status, finish_reason, error_code, prompt_tokens, completion_tokens, total_tokens,"          \
	"  first_event_ms, took_ms, usage_estimated" names ", place)"                                                      \
	" WHERE m.id = e.id AND (m.status = 'streaming' OR (m.status = 'interrupted' AND m.error_code = 'SERVER_DIED'))"   \
	" RETURNING e.place"

static const struct statement end_turns = {"end_turns", ENDED("", "", ""), N_END_ARRAYS};

/* Few have any news. What the provider calls the conversation belongs to the session and the agent. It changes with the first answer only;
 * then the sessions are locked in the order that beginnings lock them in. Arrays, as a join might be planned to walk over all sessions. */
#define ENDED_WITH_NEWS                                                                                                \
	"WITH ended AS ("                                                                                                  \
	ENDED(", $12::text[], $13::text[], $14::text[], $15::text[], $16::text[]", ", upstream_name, agent_id, provider, model, beside",        \
	      ", agent_id = coalesce(e.agent_id, m.agent_id), provider = coalesce(e.provider, m.provider), model = coalesce(e.model, m.model)," \
	      " beside = e.beside") \
	", e.upstream_name, m.session_id, m.agent_id, m.id, m.total_tokens"                                                \
	"), told AS MATERIALIZED ("                                                                                        \
	" SELECT s.id FROM chat_sessions s WHERE s.id = ANY (ARRAY(SELECT session_id FROM ended WHERE upstream_name IS NOT NULL))" \
	" ORDER BY s.user_id, s.name FOR NO KEY UPDATE"                                                                    \
	"), kept AS ("                                                                                                     \
	" UPDATE chat_sessions s SET upstream_names = CASE WHEN e.upstream_name = '' THEN s.upstream_names - e.agent_id"   \
	"  ELSE s.upstream_names || jsonb_build_object(e.agent_id, e.upstream_name) END"                                   \
	" FROM ended e WHERE s.id = ANY (ARRAY(SELECT id FROM told)) AND e.session_id = s.id AND e.upstream_name IS NOT NULL" \
	")"

static const struct statement end_turns_with_news = {
	"end_turns_with_news",
	ENDED_WITH_NEWS " SELECT place FROM ended",
	N_END_ARRAYS + N_NEWS_ARRAYS,
};

/* What a key's budget was reserved for is settled with the ending (db/budgets.h): who has seen the end may count on what was given back. */
static const struct statement end_turns_with_budget = {
	"end_turns_with_budget",
	ENDED_WITH_NEWS ", gone AS ("
	" DELETE FROM key_turns t USING ended e WHERE t.answer_id = e.id RETURNING t.key_id, t.month, t.reserved, e.total_tokens"
	"), counted AS ("
	" INSERT INTO key_months AS m (key_id, month, used, reserved)"
	" SELECT key_id, month, coalesce(sum(total_tokens), 0), -sum(reserved) FROM gone GROUP BY 1, 2 ORDER BY 1, 2"
	" ON CONFLICT (key_id, month) DO UPDATE SET used = m.used + excluded.used, reserved = m.reserved + excluded.reserved"
	") SELECT place FROM ended",
	N_END_ARRAYS + N_NEWS_ARRAYS,
};

enum kind { OPEN, BEGIN, BEGIN_KEYED, RETRY, RETRY_KEYED, END, END_WITH_NEWS, END_WITH_BUDGET, N_KINDS };

static const struct {
	const struct statement *statement;
	size_t n_arrays;
	bool alone; /* these are few, and go one by one */
} kinds[N_KINDS] = {
	[OPEN] = {&open_turns, N_BEGIN_ARRAYS, false},
	[BEGIN] = {&begin_turns, N_BEGIN_ARRAYS, false},
	[BEGIN_KEYED] = {&begin_keyed_turn, N_BEGIN_ARRAYS, true},
	[RETRY] = {&retry_turn, 0, true},
	[RETRY_KEYED] = {&retry_keyed_turn, 0, true},
	[END] = {&end_turns, N_END_ARRAYS, false},
	[END_WITH_NEWS] = {&end_turns_with_news, N_END_ARRAYS + N_NEWS_ARRAYS, false},
	[END_WITH_BUDGET] = {&end_turns_with_budget, N_END_ARRAYS + N_NEWS_ARRAYS, false},
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
	struct list waiting[N_KINDS], batches;
	size_t n_sent[N_KINDS];
	struct defer send;
	struct timer tick; /* deadlines, while anybody waits */
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
	const struct str texts[] = {t->session_id, t->user_id, t->anonymous ? STR("t") : STR("f"), t->session_name, t->agent_id, t->title,
				    t->question_id, t->question_client_id, t->question, t->question_parts, t->answer_id, t->answer_client_id,
				    t->provider, t->model, t->agents};

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
	struct turn_batch *b = mem_alloc(sizeof(*b));

	b->writes = writes;
	b->kind = kind;
	b->sent_us = clock_mono_us();
	list_init(&b->items);
	query_init(&b->q);
	b->q.op.done = on_batch_done;
	list_push(&writes->batches, &b->node);
	for (struct list *l = writes->waiting[kind].next, *next; l != &writes->waiting[kind]; l = next) {
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
	writes->n_sent[kind]++;
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

	writes->n_sent[b->kind]--;
	if (err == 0)
		share_out(b);
	while (!list_empty(&b->items)) {
		struct turn_write *w = CONTAINER_OF(b->items.next, struct turn_write, node);

		if (repeat) {
			list_remove(&w->node);
			w->batch = NULL;
			w->alone = true;
			list_push(&writes->waiting[b->kind], &w->node);
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
		for (struct list *l = writes->waiting[kind].next, *next; l != &writes->waiting[kind]; l = next) {
			struct turn_write *w = CONTAINER_OF(l, struct turn_write, node);

			next = l->next;
			if (w->give_up_us <= now_us)
				finish(w, -ERR_DB_UNAVAILABLE);
		}
	}
	loop_defer(writes->loop, &writes->send, send_waiting);
}

static void send_waiting(struct defer *d)
{
	struct turn_writes *writes = CONTAINER_OF(d, struct turn_writes, send);
	bool anybody = false;

	for (enum kind kind = 0; kind < N_KINDS; kind++) {
		while (writes->n_sent[kind] < MAX_SENT && !list_empty(&writes->waiting[kind]))
			send_batch(writes, kind);
		anybody |= !list_empty(&writes->waiting[kind]);
	}
	if (anybody && !writes->ticking) {
		writes->ticking = true;
		timer_start(&writes->tick, TICK_MS);
	}
}

static void cancel(struct op *op)
{
	list_remove(&CONTAINER_OF(op, struct turn_write, op)->node);
}

static void start(struct turn_writes *writes, struct turn_write *w, enum kind kind)
{
	w->writes = writes;
	w->batch = NULL;
	w->found = w->was_sent = w->alone = w->taken = false;
	w->has_upstream = false;
	w->n_history = 0;
	w->sqlstate[0] = '\0';
	w->give_up_us = clock_mono_us() + (uint64_t)writes->conf->db_connection_timeout_ms * 1000;
	w->op.cancel = cancel;
	list_push(&writes->waiting[kind], &w->node);
	loop_defer(writes->loop, &writes->send, send_waiting); /* at the end of the turn: what begins in it goes together */
}

bool turn_writes_flow(const struct turn_writes *writes)
{
	const struct list *oldest = writes->batches.next;

	if (!writes->came_through || pool_stats(writes->pool).away)
		return false;
	return oldest == &writes->batches || clock_mono_us() - CONTAINER_OF(oldest, struct turn_batch, node)->sent_us < SOON_US;
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
	start(writes, w, ending->has_budget ? END_WITH_BUDGET : ending->upstream_name || ending->agent_id.len || ending->beside.len ? END_WITH_NEWS : END);
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
		list_init(&writes->waiting[kind]);
	list_init(&writes->batches);
	list_init(&writes->send.node);
	timer_init(&writes->tick, loop, on_tick, writes);
	return writes;
}

void turn_writes_free(struct turn_writes *writes)
{
	while (!list_empty(&writes->batches))
		free_batch(CONTAINER_OF(writes->batches.next, struct turn_batch, node));
	defer_cancel(&writes->send);
	timer_fini(&writes->tick);
	free(writes);
}

const struct statement *const turn_writes_statements[] = {
	&open_turns, &begin_turns, &begin_keyed_turn, &retry_turn, &retry_keyed_turn, &end_turns, &end_turns_with_news,
	&end_turns_with_budget, NULL,
};
