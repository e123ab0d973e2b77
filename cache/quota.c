/* Two scripts in Redis: one reserves, one settles. They are sent whole each time: a turn takes a thousand times longer, and there is
 * nothing that Redis could have forgotten. */
#include "cache/quota.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/local_limit.h"
#include "cache/resp.h"

enum { WINDOW_MS = 60000, NUMBER_SIZE = 24, LOCAL_PREFIX = sizeof("llmchat:quota:") - 1 };

/* ARGV: a name for minutes that begin now, a minute's length; then limit and amount of each key. First looks at all, then adds to all. A
 * minute begins with what is reserved first; a key that would not expire is taken for one that has. Returns the number of the key that
 * refuses (0: none), then for each key what is counted, milliseconds that are left, and the minute's name. */
static const char take_script[] = "local out, counts = {0}, {}\n"
				  "for i, key in ipairs(KEYS) do\n"
				  "  local left = redis.call('PTTL', key)\n"
				  "  local n, name = 0, ARGV[1]\n"
				  "  if left > 0 then\n"
				  "    local held = redis.call('HMGET', key, 'n', 'name')\n"
				  "    n, name = tonumber(held[1]) or 0, held[2] or name\n"
				  "  else\n"
				  "    left = tonumber(ARGV[2])\n"
				  "    redis.call('DEL', key)\n"
				  "  end\n"
				  "  out[3 * i - 1], out[3 * i], out[3 * i + 1] = n, left, tonumber(name) or 0\n"
				  "  if n + tonumber(ARGV[2 * i + 2]) > tonumber(ARGV[2 * i + 1]) and out[1] == 0 then out[1] = i end\n"
				  "end\n"
				  "for i, key in ipairs(KEYS) do\n"
				  "  if out[1] > 0 then break end\n"
				  "  out[3 * i - 1] = redis.call('HINCRBY', key, 'n', ARGV[2 * i + 2])\n"
				  "  redis.call('HSET', key, 'name', out[3 * i + 1])\n"
				  "  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[2]) end\n"
				  "end\n"
				  "return out\n";

/* ARGV: a minute's length; then for each key the minute's name, and how much more was taken than reserved (less than 0: it is given back). */
static const char settle_script[] = "for i, key in ipairs(KEYS) do\n"
				    "  local name, more = ARGV[2 * i], tonumber(ARGV[2 * i + 1])\n"
				    "  if redis.call('HGET', key, 'name') == name or more > 0 then\n"
				    "    redis.call('HINCRBY', key, 'n', more)\n"
				    "    redis.call('HSETNX', key, 'name', name)\n"
				    "    if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[1]) end\n"
				    "  end\n"
				    "end\n"
				    "return redis.status_reply('OK')\n";

struct quotas {
	struct redis *redis; /* borrowed */
	const struct conf *conf;
	int slot;
	struct local_limit *local; /* owned; NULL until it is wanted */
	struct list settling;
	bool failing; /* Redis does not understand us */
};

/* On its way to Redis; frees itself. */
struct settling {
	struct redis_command command;
	struct list node; /* in quotas->settling */
};

struct quotas *quotas_new(struct redis *redis, const struct conf *conf, int slot)
{
	struct quotas *quotas = mem_alloc(sizeof(*quotas));

	quotas->redis = redis;
	quotas->conf = conf;
	quotas->slot = slot;
	list_init(&quotas->settling);
	return quotas;
}

static void free_settling(struct settling *s)
{
	op_cancel(&s->command.op);
	list_remove(&s->node);
	free(s);
}

void quotas_free(struct quotas *quotas)
{
	struct list *node;

	if (!quotas)
		return;
	while ((node = list_pop(&quotas->settling)))
		free_settling(CONTAINER_OF(node, struct settling, node));
	local_limit_free(quotas->local);
	free(quotas);
}

void quota_add(struct quota_set *set, enum quota_of of, struct str id, enum quota_what what, int64_t limit, int64_t amount)
{
	struct quota *q = &set->all[set->n++];

	q->of = of;
	q->what = what;
	q->limit = limit;
	q->reserved = amount < limit ? amount : limit;
	snprintf(q->key, sizeof(q->key), "llmchat:quota:%s:%s:%.*s", what == QUOTA_REQUESTS ? "requests" : "tokens",
		 of == QUOTA_AGENT ? "agent" : "key", STR_ARG(id));
}

/* ---- alone ---- */

static struct limit_count add_alone(struct quotas *quotas, const struct quota *q, int64_t amount, uint64_t now_us)
{
	if (!quotas->local)
		quotas->local = local_limit_new();
	return local_limit_add(quotas->local, str_from(q->key + LOCAL_PREFIX), WINDOW_MS, amount, now_us);
}

static void take_alone(struct quota_set *set)
{
	struct quotas *quotas = set->quotas;
	uint64_t now_us = clock_mono_us();

	set->alone = true;
	set->refused_by = -1;
	for (size_t i = 0; i < set->n; i++) {
		struct quota *q = &set->all[i];
		struct limit_count held = add_alone(quotas, q, 0, now_us);

		q->limit = conf_share(q->limit, quotas->conf->responders, quotas->slot);
		q->reserved = q->reserved < q->limit ? q->reserved : q->limit;
		q->remaining = held.n < q->limit ? q->limit - held.n : 0;
		q->reset_ms = held.left_ms;
		if (q->reserved > q->remaining && set->refused_by < 0)
			set->refused_by = (int)i;
	}
	set->taken = set->refused_by < 0;
	for (size_t i = 0; set->taken && i < set->n; i++) {
		struct quota *q = &set->all[i];

		(void)add_alone(quotas, q, q->reserved, now_us);
		q->remaining -= q->reserved;
		q->until_us = now_us + (uint64_t)q->reset_ms * 1000;
	}
}

static void settle_alone(struct quotas *quotas, const struct quota *q, int64_t more)
{
	uint64_t now_us = clock_mono_us();

	if (more > 0 || now_us < q->until_us)
		(void)add_alone(quotas, q, more, now_us);
}

/* ---- together ---- */

static bool read_reply(struct quota_set *set, const struct resp_reply *reply)
{
	if (reply->value.type != RESP_ARRAY || reply->n != 1 + 3 * set->n)
		return false;
	for (size_t i = 0; i < reply->n; i++)
		if (reply->values[i].type != RESP_INTEGER)
			return false;
	if (reply->values[0].integer < 0 || reply->values[0].integer > (int64_t)set->n)
		return false;
	set->refused_by = (int)reply->values[0].integer - 1;
	set->taken = set->refused_by < 0;
	for (size_t i = 0; i < set->n; i++) {
		struct quota *q = &set->all[i];
		int64_t n = reply->values[1 + 3 * i].integer;

		q->remaining = n < q->limit ? q->limit - n : 0;
		q->reset_ms = reply->values[2 + 3 * i].integer;
		q->window = reply->values[3 + 3 * i].integer;
	}
	return true;
}

static void on_taken(struct op *op)
{
	struct quota_set *set = CONTAINER_OF(op, struct quota_set, command.op);
	struct quotas *quotas = set->quotas;
	const struct resp_reply *reply = set->command.reply;

	if (op->err == 0 && read_reply(set, reply)) {
		quotas->failing = false;
	} else {
		if (op->err != -ERR_REDIS_AWAY && !quotas->failing)
			log_error(NULL, "quota_script", "code", reply ? resp_error_code(reply) : STR("?"));
		quotas->failing = op->err != -ERR_REDIS_AWAY;
		take_alone(set);
	}
	op_finish(&set->op, 0);
}

static void cancel(struct op *op)
{
	op_cancel(&CONTAINER_OF(op, struct quota_set, op)->command.op);
}

/* The words of a command; numbers live in it. */
struct words {
	struct str all[REDIS_MAX_ARGS];
	char numbers[3 + 2 * QUOTA_MAX][NUMBER_SIZE];
	size_t n, n_numbers;
};

static void add_number(struct words *w, int64_t n)
{
	char *text = w->numbers[w->n_numbers++];

	snprintf(text, NUMBER_SIZE, "%lld", (long long)n);
	w->all[w->n++] = str_from(text);
}

static void add_script(struct words *w, struct str script, const struct quota_set *set)
{
	w->all[w->n++] = STR("EVAL");
	w->all[w->n++] = script;
	add_number(w, (int64_t)set->n);
	for (size_t i = 0; i < set->n; i++)
		w->all[w->n++] = str_from(set->all[i].key);
}

bool quota_take(struct quotas *quotas, struct quota_set *set)
{
	struct words w = {.n = 0};

	set->quotas = quotas;
	set->refused_by = -1;
	if (set->n == 0)
		return true;
	if (!redis_ready(quotas->redis)) {
		take_alone(set);
		return true;
	}
	add_script(&w, STR(take_script), set);
	add_number(&w, 1 + crypto_random_below(0x7fffffff));
	add_number(&w, WINDOW_MS);
	for (size_t i = 0; i < set->n; i++) {
		add_number(&w, set->all[i].limit);
		add_number(&w, set->all[i].reserved);
	}
	set->op.cancel = cancel;
	set->command.op.done = on_taken;
	set->command.writes = true;
	redis_start(quotas->redis, &set->command, w.all, w.n);
	return false;
}

/* Whatever came of it: a settlement that is lost lapses with its minute. */
static void on_settled(struct op *op)
{
	free_settling(CONTAINER_OF(op, struct settling, command.op));
}

void quota_settle(struct quota_set *set, int64_t requests, int64_t tokens)
{
	struct quotas *quotas = set->quotas;
	struct settling *s;
	struct words w = {.n = 0};
	bool any = false;

	if (!set->taken)
		return;
	set->taken = false;
	add_script(&w, STR(settle_script), set);
	add_number(&w, WINDOW_MS);
	for (size_t i = 0; i < set->n; i++) {
		const struct quota *q = &set->all[i];
		int64_t more = (q->what == QUOTA_REQUESTS ? requests : tokens) - q->reserved;

		any = any || more;
		if (set->alone && more)
			settle_alone(quotas, q, more);
		add_number(&w, q->window);
		add_number(&w, more);
	}
	if (set->alone || !any || !redis_ready(quotas->redis))
		return;
	s = mem_alloc(sizeof(*s));
	s->command.op.done = on_settled;
	s->command.writes = true;
	list_push(&quotas->settling, &s->node);
	redis_start(quotas->redis, &s->command, w.all, w.n);
}
