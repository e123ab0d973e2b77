/* First the limits of a minute, then the key's month: whoever is refused by the one asks nothing of PostgreSQL. */
#include "chat/reservation.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "chat/turn.h"

/* What an answer is taken to be long that nobody has limited. */
enum { COMPLETION_TOKENS = 1024 };

struct reservations {
	struct pool *pool; /* borrowed, as conf and quotas */
	const struct conf *conf;
	struct quotas *quotas;
	struct list live;
	/* Whose month is being asked for: of each key one, as the others would wait for its row with a connection each. */
	struct list asking;
	struct list waiting; /* those behind them, in the order in which they came */
};

struct reservations *reservations_new(struct pool *pool, const struct conf *conf, struct quotas *quotas)
{
	struct reservations *all = mem_alloc(sizeof(*all));

	all->pool = pool;
	all->conf = conf;
	all->quotas = quotas;
	list_init(&all->live);
	list_init(&all->asking);
	list_init(&all->waiting);
	return all;
}

static void free_reservation(struct reservation *r)
{
	op_cancel(&r->minute.op);
	query_fini(&r->query);
	list_remove(&r->node);
	list_remove(&r->turn_node);
	agent_unref(r->agent);
	free(r);
}

void reservations_free(struct reservations *all)
{
	struct list *node;

	if (!all)
		return;
	while ((node = list_pop(&all->live)))
		free_reservation(CONTAINER_OF(node, struct reservation, node));
	free(all);
}

/* ---- estimates ---- */

static int64_t prompt_tokens(const struct turn_request *request)
{
	int64_t n = tokens_estimate(request->agent->system_prompt) + tokens_estimate(request->extra);

	for (size_t i = 0; i < request->n_messages; i++)
		n += tokens_estimate(request->messages[i].content) + tokens_estimate(request->messages[i].extra);
	return n;
}

static int64_t completion_tokens(const struct turn_request *request)
{
	int64_t max = request->max_tokens ? request->max_tokens : request->agent->max_tokens;

	return max ? max : COMPLETION_TOKENS;
}

/* What was said before is not known yet, but for how much of it may go along. */
static int64_t history_tokens(const struct turn_request *request)
{
	bool goes_along = request->with_history && request->chat_id.len && request->n_messages == 1;

	return goes_along ? request->agent->context_tokens : 0;
}

/* A budget is money: all that may come is reserved of it. For a minute the history is left out, which is mostly short and would keep
 * others waiting; it is counted when the turn is settled. */
struct reservation *reservation_new(struct reservations *all, const struct turn_request *request, struct str key_id,
				    const struct key_limits *limits)
{
	static const struct key_limits none;
	const struct agent *agent = request->agent;
	struct reservation *r;
	int64_t tokens;

	if (!limits)
		limits = &none;
	if (!agent->requests_per_minute && !agent->tokens_per_minute && !limits->requests_per_minute && !limits->tokens_per_minute &&
	    !limits->monthly_tokens)
		return NULL;
	r = mem_alloc(sizeof(*r));
	r->all = all;
	r->agent = agent_ref(request->agent);
	r->answer_id = request->answer_id;
	r->key_id = uuid_from(key_id);
	query_init(&r->query);
	list_init(&r->turn_node);
	list_push(&all->live, &r->node);
	tokens = prompt_tokens(request) + completion_tokens(request);
	if (agent->requests_per_minute)
		quota_add(&r->minute, QUOTA_AGENT, agent->id, QUOTA_REQUESTS, agent->requests_per_minute, 1);
	if (limits->requests_per_minute)
		quota_add(&r->minute, QUOTA_API_KEY, key_id, QUOTA_REQUESTS, limits->requests_per_minute, 1);
	if (agent->tokens_per_minute)
		quota_add(&r->minute, QUOTA_AGENT, agent->id, QUOTA_TOKENS, agent->tokens_per_minute, tokens);
	if (limits->tokens_per_minute)
		quota_add(&r->minute, QUOTA_API_KEY, key_id, QUOTA_TOKENS, limits->tokens_per_minute, tokens);
	if (limits->monthly_tokens)
		r->month_tokens = tokens + history_tokens(request);
	return r;
}

/* ---- reserving ---- */

static void on_settled(struct op *op)
{
	struct reservation *r = CONTAINER_OF(op, struct reservation, query.op);

	if (op->err) /* a job sees to it */
		log_info(NULL, "budget_not_settled", "message", r->answer_id.text, "code", err_info(op->err)->code);
	free_reservation(r);
}

static void settle_month(struct reservation *r)
{
	if (!r->in_month) {
		free_reservation(r);
		return;
	}
	query_fini(&r->query);
	r->query.op.done = on_settled;
	budgets_settle(r->all->pool, &r->query, uuid_str(&r->answer_id));
}

/* The first of the same key; NULL if there is none. */
static struct reservation *first_of_key(const struct list *list, const struct uuid *key_id)
{
	for (struct list *l = list->next; l != list; l = l->next) {
		struct reservation *r = CONTAINER_OF(l, struct reservation, turn_node);

		if (str_eq(uuid_str(&r->key_id), uuid_str(key_id)))
			return r;
	}
	return NULL;
}

static void finish_month(struct reservation *r, int err)
{
	if (err || r->refused_by)
		quota_settle(&r->minute, 0, 0);
	op_finish(&r->op, err);
}

static void on_month(struct op *op);

static void ask_month(struct reservation *r)
{
	list_remove(&r->turn_node);
	list_push(&r->all->asking, &r->turn_node);
	r->query.op.done = on_month;
	budgets_reserve(r->all->pool, &r->query, uuid_str(&r->key_id), uuid_str(&r->answer_id), r->month_tokens);
}

/* It is the next one's turn. When PostgreSQL is away all are told at once, and nobody waits for longer than he would for a connection. */
static void serve_next(struct reservations *all, const struct uuid *key_id, int err)
{
	uint64_t now_us = clock_mono_us();
	struct reservation *next;

	while ((next = first_of_key(&all->waiting, key_id)) && (err || next->give_up_us <= now_us)) {
		list_remove(&next->turn_node);
		finish_month(next, err ? err : -ERR_DB_UNAVAILABLE);
	}
	if (next)
		ask_month(next);
}

static void on_month(struct op *op)
{
	struct reservation *r = CONTAINER_OF(op, struct reservation, query.op);
	struct reservations *all = r->all;
	struct uuid key_id = r->key_id;
	int err = op->err;

	list_remove(&r->turn_node);
	if (err == 0)
		r->budget = budget_reserved(&r->query);
	r->in_month = err ? query_was_sent(&r->query) : r->budget.reserved;
	if (err == 0 && !r->budget.reserved && !r->budget.no_budget)
		r->refused_by = LIMIT_BUDGET;
	if (r->given_up)
		settle_month(r);
	else
		finish_month(r, err);
	serve_next(all, &key_id, err);
}

static void give_up(struct op *op)
{
	struct reservation *r = CONTAINER_OF(op, struct reservation, op);

	op_cancel(&r->minute.op);
	r->given_up = true;
}

/* True: nothing more is to be asked. */
static bool judge_minute(struct reservation *r)
{
	if (r->minute.refused_by >= 0)
		r->refused_by = LIMIT_MINUTE;
	if (r->refused_by || !r->month_tokens)
		return true;
	r->give_up_us = clock_mono_us() + (uint64_t)r->all->conf->db_connection_timeout_ms * 1000;
	if (first_of_key(&r->all->asking, &r->key_id))
		list_push(&r->all->waiting, &r->turn_node);
	else
		ask_month(r);
	return false;
}

static void on_minute(struct op *op)
{
	struct reservation *r = CONTAINER_OF(op, struct reservation, minute.op);

	if (judge_minute(r))
		op_finish(&r->op, 0);
}

bool reservation_start(struct reservation *r)
{
	r->minute.op.done = on_minute;
	if (quota_take(r->all->quotas, &r->minute) && judge_minute(r))
		return true;
	r->op.cancel = give_up;
	return false;
}

void reservation_settle(struct reservation *r, int64_t tokens)
{
	if (r)
		quota_settle(&r->minute, 1, tokens);
}

void reservation_end(struct reservation *r, bool stored)
{
	if (!r)
		return;
	op_cancel(&r->op);
	quota_settle(&r->minute, 0, 0);
	r->in_month = r->in_month && !stored;
	if (op_waiting(&r->query.op))
		r->given_up = true; /* what has been sent happens, and is then settled */
	else
		settle_month(r);
}
