/* One script in Redis counts, by Redis' clock; what it returns is judged here. */
#include "cache/ratelimit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/resp.h"

/* For each key: limit, window and block as arguments; count and milliseconds that are left as results, up to the key that refuses.
 * Every key expires: the window begins with its first request, and is stretched to the block by the first one above the limit. */
static const char count_script[] =
	"local out = {}\n"
	"for i, key in ipairs(KEYS) do\n"
	"  local limit, window, block = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])\n"
	"  local n = redis.call('INCR', key)\n"
	"  local left = n > 1 and redis.call('PTTL', key) or -1\n"
	"  if left < 0 then\n"
	"    left = window\n"
	"    redis.call('PEXPIRE', key, left)\n"
	"  elseif n == limit + 1 and block > left then\n"
	"    left = block\n"
	"    redis.call('PEXPIRE', key, left)\n"
	"  end\n"
	"  out[2 * i - 1], out[2 * i] = n, left\n"
	"  if n > limit then break end\n"
	"end\n"
	"return out\n";

enum { N_WORDS = 3, NUMBER_SIZE = 24 };

/* What one kind of key is counted by. */
struct ratelimit_bucket {
	struct limit_rule rule;           /* of all responders together */
	struct limit_rule share;          /* of this one alone */
	char words[N_WORDS][NUMBER_SIZE]; /* the rule, as the script takes it */
};

struct ratelimit {
	struct redis *redis; /* borrowed */
	struct ratelimit_bucket address, identity;
	struct local_limit *local; /* owned; NULL until it is wanted */
	bool degraded;
	struct script count;
};

static void bucket_init(struct ratelimit_bucket *b, struct limit_rule rule, const struct conf *conf, int slot)
{
	const int64_t values[N_WORDS] = {rule.limit, rule.window_ms, rule.block_ms};

	b->rule = b->share = rule;
	b->share.limit = conf_share(rule.limit, conf->responders, slot);
	for (size_t i = 0; i < N_WORDS; i++)
		snprintf(b->words[i], sizeof(b->words[i]), "%lld", (long long)values[i]);
}

struct ratelimit *ratelimit_new(struct redis *redis, const struct conf *conf, int slot)
{
	struct ratelimit *l = mem_alloc(sizeof(*l));

	l->redis = redis;
	bucket_init(&l->address, (struct limit_rule){conf->rate_limit_max_requests, conf->rate_limit_window_ms, 0}, conf, slot);
	bucket_init(&l->identity,
		    (struct limit_rule){conf->rate_limit_points, conf->rate_limit_duration_s * 1000, conf->rate_limit_block_s * 1000}, conf,
		    slot);
	script_init(&l->count, redis, count_script);
	return l;
}

void ratelimit_free(struct ratelimit *l)
{
	if (!l)
		return;
	script_fini(&l->count);
	local_limit_free(l->local);
	free(l);
}

bool ratelimit_degraded(const struct ratelimit *l)
{
	return l->degraded;
}

static void consider(struct ratelimit_verdict *v, bool first, const struct limit_rule *rule, struct limit_count count)
{
	int64_t remaining = count.n < rule->limit ? rule->limit - count.n : 0;
	bool refused = count.n > rule->limit;

	if (first || refused || remaining < v->remaining)
		*v = (struct ratelimit_verdict){refused, rule->limit, remaining, count.left_ms};
}

static void count_alone(struct ratelimit_check *c)
{
	struct ratelimit *l = c->limit;
	const struct ratelimit_key *key = c->keys, *end = key + c->n_keys;
	uint64_t now_us = clock_mono_us();

	if (!l->degraded)
		log_warn(NULL, "rate_limit_degraded", "because", "Redis cannot be asked, so each responder allows its share");
	l->degraded = true;
	if (!l->local)
		l->local = local_limit_new();
	while (key != end && !c->verdict.refused) {
		const struct limit_rule *share = &key->bucket->share;

		consider(&c->verdict, key == c->keys, share, local_limit_count(l->local, str_from(key->text), share, now_us));
		key++;
	}
}

/* False if it is not what the script returns. */
static bool take_counts(struct ratelimit_check *c, const struct resp_reply *reply)
{
	if (reply->value.type != RESP_ARRAY || reply->n < 2 || reply->n % 2 || reply->n > 2 * c->n_keys)
		return false;
	for (size_t i = 0; i < reply->n; i++)
		if (reply->values[i].type != RESP_INTEGER || reply->values[i].integer < 0)
			return false;
	for (size_t i = 0; 2 * i < reply->n; i++)
		consider(&c->verdict, i == 0, &c->keys[i].bucket->rule,
			 (struct limit_count){reply->values[2 * i].integer, reply->values[2 * i + 1].integer});
	return c->verdict.refused || reply->n == 2 * c->n_keys;
}

static void on_counted(struct op *op)
{
	struct ratelimit_check *c = CONTAINER_OF(op, struct ratelimit_check, call.op);
	struct ratelimit *l = c->limit;
	const struct resp_reply *reply = c->call.reply;

	if (op->err == 0 && take_counts(c, reply)) {
		if (l->degraded)
			log_info(NULL, "rate_limit_shared", "because", "Redis answers again; all responders count together");
		l->degraded = false;
	} else {
		if (op->err != -ERR_REDIS_AWAY && !l->degraded)
			log_error(NULL, "rate_limit_script", "code", reply ? resp_error_code(reply) : STR("?"));
		c->verdict = (struct ratelimit_verdict){0};
		count_alone(c);
	}
	op_finish(&c->op, 0);
}

static void cancel(struct op *op)
{
	op_cancel(&CONTAINER_OF(op, struct ratelimit_check, op)->call.op);
}

/* An IPv4 address as it is, of an IPv6 address the first 64 bits. */
static void put_address(char *out, size_t size, const char *prefix, struct str address)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char v6[16];

	if (address.len < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", STR_ARG(address));
		if (inet_pton(AF_INET6, text, v6) == 1) {
			static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
			bool is_v4 = memcmp(v6, mapped, sizeof(mapped)) == 0;

			if (!is_v4)
				memset(v6 + 8, 0, 8);
			inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? v6 + 12 : v6, text, sizeof(text));
			snprintf(out, size, "%s%s%s", prefix, text, is_v4 ? "" : "/64");
			return;
		}
	}
	snprintf(out, size, "%s%.*s", prefix, STR_ARG(address));
}

static void add_key(struct ratelimit_check *c, const struct ratelimit_bucket *bucket, const char *prefix, struct str of)
{
	struct ratelimit_key *key = &c->keys[c->n_keys];

	if (of.len == 0)
		return;
	key->bucket = bucket;
	put_address(key->text, sizeof(key->text), prefix, of);
	c->n_keys++;
}

bool ratelimit_start(struct ratelimit *l, struct ratelimit_check *c, struct str address, struct str identity)
{
	struct str args[SCRIPT_MAX_ARGS];
	size_t n = 0;

	c->limit = l;
	c->verdict = (struct ratelimit_verdict){0};
	c->n_keys = 0;
	add_key(c, &l->address, "llmchat:limit:address:", address);
	add_key(c, &l->identity, "llmchat:limit:identity:", identity);
	if (c->n_keys == 0)
		return true;
	if (!redis_ready(l->redis)) {
		count_alone(c);
		return true;
	}
	for (size_t i = 0; i < c->n_keys; i++)
		args[n++] = str_from(c->keys[i].text);
	for (size_t i = 0; i < c->n_keys; i++)
		for (size_t j = 0; j < N_WORDS; j++)
			args[n++] = str_from(c->keys[i].bucket->words[j]);
	c->op.cancel = cancel;
	c->call.op.done = on_counted;
	script_start(&l->count, &c->call, args, n, c->n_keys);
	return false;
}
