/* SET NX PX takes a lock; two scripts, which compare the token first, give it back. */
#include "cache/lock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "cache/resp.h"
#include "cache/script.h"

/* KEYS: lock, key; ARGV: token, value, milliseconds. Redis that is full refuses the SET, and then the lock goes when it expires. */
static const char write_script[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
				   "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])\n"
				   "return redis.call('DEL', KEYS[1])\n";

enum { TOKEN_BYTES = 16, NUMBER_SIZE = 24 };

struct locks {
	struct redis *redis; /* borrowed */
	struct script release, write;
	struct list endings; /* calls under way */
};

/* The end of a holding, on its way; it keeps what the call borrows. */
struct ending {
	struct script_call call;
	struct list node;
	char token[LOCK_TOKEN_SIZE], key[LOCK_KEY_MAX + 1], ttl[NUMBER_SIZE];
	char texts[]; /* the other key, the value */
};

struct locks *locks_new(struct redis *redis)
{
	struct locks *locks = mem_alloc(sizeof(*locks));

	locks->redis = redis;
	list_init(&locks->endings);
	script_init(&locks->release, redis, script_delete_ours);
	script_init(&locks->write, redis, write_script);
	return locks;
}

static void free_ending(struct ending *e)
{
	list_remove(&e->node);
	op_cancel(&e->call.op);
	free(e);
}

void locks_free(struct locks *locks)
{
	struct list *node;

	if (!locks)
		return;
	while ((node = list_pop(&locks->endings)))
		free_ending(CONTAINER_OF(node, struct ending, node));
	script_fini(&locks->release);
	script_fini(&locks->write);
	free(locks);
}

static void on_answered(struct op *op)
{
	struct lock *lock = CONTAINER_OF(op, struct lock, command.op);

	lock->held = op->err == 0 && lock->command.reply->value.type == RESP_STATUS;
	op_finish(&lock->op, 0);
}

static void cancel(struct op *op)
{
	struct lock *lock = CONTAINER_OF(op, struct lock, op);

	op_cancel(&lock->command.op);
	lock->held = true; /* perhaps */
	lock_release(lock);
}

void lock_take_start(struct locks *locks, struct lock *lock, struct str key, int64_t hold_ms)
{
	unsigned char random[TOKEN_BYTES];
	char hold[NUMBER_SIZE];

	assert(key.len <= LOCK_KEY_MAX);
	crypto_random(random, sizeof(random));
	crypto_base64(random, sizeof(random), lock->token);
	snprintf(lock->key, sizeof(lock->key), "%.*s", STR_ARG(key));
	snprintf(hold, sizeof(hold), "%lld", (long long)hold_ms);
	lock->locks = locks;
	lock->held = false;
	lock->op.cancel = cancel;
	lock->command.op.done = on_answered;
	lock->command.writes = true;
	redis_start(locks->redis, &lock->command,
		    (const struct str[]){STR("SET"), key, str_from(lock->token), STR("NX"), STR("PX"), str_from(hold)}, 6);
}

static void on_ended(struct op *op)
{
	free_ending(CONTAINER_OF(op, struct ending, call.op));
}

static struct ending *ending_new(struct lock *lock, size_t n_bytes)
{
	struct ending *e = mem_alloc(sizeof(*e) + n_bytes);

	memcpy(e->token, lock->token, sizeof(e->token));
	memcpy(e->key, lock->key, sizeof(e->key));
	e->call.op.done = on_ended;
	list_push(&lock->locks->endings, &e->node);
	lock->held = false;
	return e;
}

void lock_release(struct lock *lock)
{
	struct ending *e;

	if (!lock->held)
		return;
	e = ending_new(lock, 0);
	script_start(&lock->locks->release, &e->call, (const struct str[]){str_from(e->key), str_from(e->token)}, 2, 1);
}

void lock_write(struct lock *lock, struct str key, struct str value, int64_t ttl_ms)
{
	struct ending *e;

	if (!lock->held)
		return;
	e = ending_new(lock, key.len + value.len);
	memcpy(e->texts, key.p, key.len);
	memcpy(e->texts + key.len, value.p, value.len);
	snprintf(e->ttl, sizeof(e->ttl), "%lld", (long long)ttl_ms);
	script_start(&lock->locks->write, &e->call,
		     (const struct str[]){
			     str_from(e->key), {e->texts, key.len}, str_from(e->token), {e->texts + key.len, value.len}, str_from(e->ttl)},
		     5, 2);
}
