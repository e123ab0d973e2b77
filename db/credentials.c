/* Batches: while MAX_SENT of a kind are on their way, others gather; each that returns takes what has gathered with the next. */
#include "db/credentials.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "db/pool.h"
#include "db/statements.h"
#include "db/text_array.h"

enum { MAX_SENT = 2, TICK_MS = 100 };

static const struct statement find_logins = {
	"find_logins",
	"SELECT place, l.id, u.id, u.username, u.role, NULL, NULL, NULL, NULL, NULL"
	" FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS w (login_id, user_id, place)"
	" JOIN logins l ON l.id = w.login_id AND l.user_id = w.user_id JOIN users u ON u.id = l.user_id"
	" WHERE l.ended_at IS NULL AND l.expires_at > now() AND u.is_active",
	2,
};

/* That they were used is noted of those that nobody holds: he is noting the same, or is about to revoke them. So these never wait for a
 * lock, and two that take the same keys in another order cannot wait for each other. What is being revoked is good until that is committed. */
#define IS_GOOD "k.revoked_at IS NULL AND coalesce(k.expires_at > now(), true) AND u.is_active"
static const struct statement find_keys = {
	"find_keys",
	"WITH used AS (UPDATE api_keys SET last_used_at = now() WHERE id = ANY (ARRAY(SELECT k.id FROM api_keys k JOIN users u ON u.id = k.user_id"
	"  WHERE k.hash = ANY ($1::text[]) AND " IS_GOOD " FOR NO KEY UPDATE OF k SKIP LOCKED)))"
	" SELECT place, k.id, u.id, u.username, u.role, k.agents, ceil(extract(epoch FROM k.expires_at - now()))::bigint,"
	" k.requests_per_minute, k.tokens_per_minute, k.monthly_tokens"
	" FROM unnest($1::text[]) WITH ORDINALITY AS w (hash, place) JOIN api_keys k ON k.hash = w.hash JOIN users u ON u.id = k.user_id"
	" WHERE " IS_GOOD,
	1,
};

enum kind { LOGIN, KEY, N_KINDS };

static const struct statement *const statement_of[N_KINDS] = {[LOGIN] = &find_logins, [KEY] = &find_keys};

struct credentials {
	struct loop *loop;
	struct pool *pool;
	const struct conf *conf;
	struct list waiting[N_KINDS], batches;
	size_t n_sent[N_KINDS];
	struct defer send;
	struct timer tick; /* deadlines, while anybody waits */
	bool ticking;
};

/* Some look-ups in one statement. */
struct credential_batch {
	struct list node; /* in credentials->batches */
	struct credentials *credentials;
	enum kind kind;
	struct list items; /* those whose waiter is still there */
	struct query q;
	struct buf keys, user_ids; /* arrays as text, until the statement is done */
};

static void send_waiting(struct defer *d);

static void finish(struct credential *c, int err)
{
	list_remove(&c->node);
	op_finish(&c->op, err);
}

static void free_batch(struct credential_batch *b)
{
	b->credentials->n_sent[b->kind]--;
	list_remove(&b->node);
	query_fini(&b->q);
	buf_fini(&b->keys);
	buf_fini(&b->user_ids);
	free(b);
}

static void share_out(struct credential_batch *b)
{
	struct credential *by_place[CREDENTIALS_MAX] = {NULL};

	for (struct list *l = b->items.next; l != &b->items; l = l->next) {
		struct credential *c = CONTAINER_OF(l, struct credential, node);

		by_place[c->place] = c;
	}
	for (size_t row = 0; row < query_n_rows(&b->q); row++) {
		int64_t place = query_col_int(&b->q, row, 0) - 1;
		struct credential *c = place >= 0 && place < CREDENTIALS_MAX ? by_place[place] : NULL;

		if (!c)
			continue;
		c->found = true;
		c->row = row;
	}
}

static void on_batch_done(struct op *op)
{
	struct credential_batch *b = CONTAINER_OF(op, struct credential_batch, q.op);

	if (op->err == 0)
		share_out(b);
	while (!list_empty(&b->items))
		finish(CONTAINER_OF(b->items.next, struct credential, node), op->err);
	loop_defer(b->credentials->loop, &b->credentials->send, send_waiting);
	free_batch(b);
}

static void send_batch(struct credentials *credentials, enum kind kind)
{
	struct credential_batch *b = mem_alloc(sizeof(*b));
	struct list *node;
	size_t n = 0;

	b->credentials = credentials;
	b->kind = kind;
	list_init(&b->items);
	list_push(&credentials->batches, &b->node);
	query_init(&b->q);
	b->q.op.done = on_batch_done;
	while (n < CREDENTIALS_MAX && (node = list_pop(&credentials->waiting[kind]))) {
		struct credential *c = CONTAINER_OF(node, struct credential, node);

		list_push(&b->items, node);
		c->batch = b;
		c->place = n++;
		text_array_add(&b->keys, c->key);
		if (kind == LOGIN)
			text_array_add(&b->user_ids, c->user_id);
	}
	text_array_close(&b->keys);
	query_text(&b->q, buf_str(&b->keys));
	if (kind == LOGIN) {
		text_array_close(&b->user_ids);
		query_text(&b->q, buf_str(&b->user_ids));
	}
	credentials->n_sent[kind]++;
	query_start(credentials->pool, &b->q, statement_of[kind]);
}

static void send_waiting(struct defer *d)
{
	struct credentials *credentials = CONTAINER_OF(d, struct credentials, send);

	for (enum kind kind = 0; kind < N_KINDS; kind++)
		while (credentials->n_sent[kind] < MAX_SENT && !list_empty(&credentials->waiting[kind]))
			send_batch(credentials, kind);
	if (!list_empty(&credentials->batches) && !credentials->ticking) {
		credentials->ticking = true;
		timer_start(&credentials->tick, TICK_MS);
	}
}

static void expire(struct list *items, uint64_t now_us)
{
	while (!list_empty(items)) {
		struct credential *c = CONTAINER_OF(items->next, struct credential, node);

		if (c->give_up_us > now_us)
			return; /* those behind it came later */
		finish(c, -ERR_DB_UNAVAILABLE);
	}
}

/* It counts from when each began to wait: who came while others waited for a connection does not wait as long once more. */
static void on_tick(void *arg)
{
	struct credentials *credentials = arg;
	uint64_t now_us = clock_mono_us();
	struct list *l, *next;

	credentials->ticking = false;
	for (enum kind kind = 0; kind < N_KINDS; kind++)
		expire(&credentials->waiting[kind], now_us);
	for (l = credentials->batches.next; l != &credentials->batches; l = next) {
		struct credential_batch *b = CONTAINER_OF(l, struct credential_batch, node);

		next = l->next;
		if (query_was_sent(&b->q))
			continue;
		expire(&b->items, now_us);
		if (list_empty(&b->items))
			free_batch(b); /* nobody wants it any more */
	}
	loop_defer(credentials->loop, &credentials->send, send_waiting);
}

static void cancel(struct op *op)
{
	list_remove(&CONTAINER_OF(op, struct credential, op)->node);
}

static void start(struct credentials *credentials, struct credential *c, enum kind kind, struct str key, struct str user_id)
{
	c->found = false;
	c->key = key;
	c->user_id = user_id;
	c->batch = NULL;
	c->give_up_us = clock_mono_us() + (uint64_t)credentials->conf->db_connection_timeout_ms * 1000;
	c->op.cancel = cancel;
	list_push(&credentials->waiting[kind], &c->node);
	loop_defer(credentials->loop, &credentials->send, send_waiting); /* at the end of the turn: what begins in it goes together */
}

void credentials_find_login(struct credentials *credentials, struct credential *c, struct str login_id, struct str user_id)
{
	start(credentials, c, LOGIN, login_id, user_id);
}

void credentials_find_key(struct credentials *credentials, struct credential *c, struct str hash)
{
	start(credentials, c, KEY, hash, STR(""));
}

struct credential_holder credential_holder(const struct credential *c)
{
	const struct query *q = &c->batch->q;

	return (struct credential_holder){
		.id = query_col(q, c->row, 1),
		.user_id = query_col(q, c->row, 2),
		.username = query_col(q, c->row, 3),
		.role = query_col(q, c->row, 4),
		.agents = query_col(q, c->row, 5),
		.expires_in_s = query_col_int(q, c->row, 6),
		.limits = keys_limits(q, c->row, 7),
	};
}

struct credentials *credentials_new(struct loop *loop, struct pool *pool, const struct conf *conf)
{
	struct credentials *credentials = mem_alloc(sizeof(*credentials));

	credentials->loop = loop;
	credentials->pool = pool;
	credentials->conf = conf;
	for (enum kind kind = 0; kind < N_KINDS; kind++)
		list_init(&credentials->waiting[kind]);
	list_init(&credentials->batches);
	list_init(&credentials->send.node);
	timer_init(&credentials->tick, loop, on_tick, credentials);
	return credentials;
}

void credentials_free(struct credentials *credentials)
{
	struct list *node;

	if (!credentials)
		return;
	while ((node = list_pop(&credentials->batches)))
		free_batch(CONTAINER_OF(node, struct credential_batch, node));
	defer_cancel(&credentials->send);
	timer_fini(&credentials->tick);
	free(credentials);
}

const struct statement *const credentials_statements[] = {&find_logins, &find_keys, NULL};
