/* Keys, stamps, and dropping: what keeps old things from being used. */
#include "cache/cache_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/mem.h"

#define PREFIX "llmchat:"

enum { IDS_A_COMMAND = 10, BEGINNING_MS = 1000, WARY_MS = 1500 };

const struct cache_kind_info cache_kinds[N_CACHE_KINDS] = {
	[CACHE_AGENTS] = {"agents:list", 300, 0, false},
	[CACHE_SESSION] = {"session", 600, 0, true}, /* anybody may begin one under an unknown name at any time */
	[CACHE_USER] = {"user", 900, 30, true},
};

/* A command that deletes, on its way. */
struct errand {
	struct redis_command command;
	struct cache *cache;
	struct cache_drop *drop; /* NULL: nobody waits */
	struct list node;
};

void cache_key_make(struct cache_key *key, enum cache_kind kind, struct str id)
{
	assert(id.len <= CACHE_ID_MAX);
	key->len = (size_t)snprintf(key->text, sizeof(key->text), PREFIX "%s:%.*s", cache_kinds[kind].name, STR_ARG(id));
}

/* llmchat:session:… has llmchat:lock:session:… */
struct str cache_lock_key(const struct cache_key *key, char out[LOCK_KEY_MAX + 1])
{
	int n = snprintf(out, LOCK_KEY_MAX + 1, PREFIX "lock:%s", key->text + sizeof(PREFIX) - 1);

	return (struct str){out, (size_t)n};
}

/* ---- stamps ---- */

static int64_t *slot_of(struct cache *cache, const struct cache_key *key)
{
	uint64_t h = 0;

	for (size_t i = 0; i < key->len; i++) {
		h = (h ^ (unsigned char)key->text[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return &cache->slots[(h >> 32) % CACHE_SLOTS];
}

bool cache_knows_changes(const struct cache *cache)
{
	return cache->heard >= 0 && clock_mono_us() < cache->heard_us + (uint64_t)CACHE_HEARD_MS * 1000;
}

/* Those who could not drop something say so at once, or half a second after they last said so, and it is heard within another half. A connection
 * that was there from the beginning has seen no outage. */
bool cache_trusts_redis(const struct cache *cache)
{
	uint64_t since_us = redis_stats(cache->redis).ready_since_us;

	return since_us < cache->born_us + (uint64_t)BEGINNING_MS * 1000 || clock_mono_us() >= since_us + (uint64_t)WARY_MS * 1000;
}

/* One from the future was made by who knew of more changes than we do, or from another database than ours is by now. */
bool cache_is_fresh(struct cache *cache, const struct cache_key *key, int64_t stamp)
{
	return stamp >= cache->oldest && stamp >= *slot_of(cache, key) && stamp <= cache->heard;
}

void cache_heard(struct cache *cache, int64_t n_changes)
{
	cache->heard = n_changes;
	cache->heard_us = clock_mono_us();
}

void cache_outdate(struct cache *cache, enum cache_kind kind, struct str id)
{
	struct cache_key key;

	if (id.len > CACHE_ID_MAX)
		return;
	cache_key_make(&key, kind, id);
	*slot_of(cache, &key) = cache->heard;
}

void cache_outdate_all(struct cache *cache)
{
	cache->oldest = cache->heard;
	memset(cache->slots, 0, sizeof(cache->slots));
}

/* ---- dropping ---- */

static void on_deleted(struct op *op)
{
	struct errand *errand = CONTAINER_OF(op, struct errand, command.op);
	struct cache *cache = errand->cache;
	struct cache_drop *drop = errand->drop;
	int err = op->err;

	list_remove(&errand->node);
	free(errand);
	if (err)
		cache->lost(cache->arg);
	if (drop && --drop->n_left == 0)
		op_finish(&drop->op, 0);
}

static void forget_drop(struct op *op)
{
	struct cache_drop *drop = CONTAINER_OF(op, struct cache_drop, op);

	for (struct list *l = drop->cache->errands.next; l != &drop->cache->errands; l = l->next) {
		struct errand *errand = CONTAINER_OF(l, struct errand, node);

		if (errand->drop == drop)
			errand->drop = NULL;
	}
}

/* A few at a time. Their locks go with them, so that nothing is written which was read before. */
static void delete_keys(struct cache *cache, struct cache_drop *drop, const struct cache_key *keys, size_t n)
{
	struct errand *errand = mem_alloc(sizeof(*errand));
	char locks[IDS_A_COMMAND][LOCK_KEY_MAX + 1];
	struct str args[1 + 2 * IDS_A_COMMAND] = {STR("DEL")};

	for (size_t i = 0; i < n; i++) {
		args[1 + 2 * i] = cache_key_text(&keys[i]);
		args[2 + 2 * i] = cache_lock_key(&keys[i], locks[i]);
	}
	errand->cache = cache;
	errand->drop = drop;
	if (drop)
		drop->n_left++;
	list_push(&cache->errands, &errand->node);
	errand->command.op.done = on_deleted;
	errand->command.writes = true;
	redis_start(cache->redis, &errand->command, args, 1 + 2 * n);
}

/* Is there a Redis that others may be reading, though we cannot? */
static bool is_wanted(const struct cache *cache)
{
	return redis_stats(cache->redis).state != REDIS_OFF;
}

static void drop_all(struct cache *cache, struct cache_drop *drop, enum cache_kind kind, const struct str *ids, size_t n_ids)
{
	const bool wanted = is_wanted(cache);
	struct cache_key keys[IDS_A_COMMAND];
	size_t n = 0;

	assert(cache_kinds[kind].stamped);
	for (size_t i = 0; i < n_ids; i++) {
		cache_key_make(&keys[n], kind, ids[i]);
		cache_stop_joining(cache, &keys[n++]);
		if (n < IDS_A_COMMAND && i + 1 < n_ids)
			continue;
		if (wanted)
			delete_keys(cache, drop, keys, n);
		n = 0;
	}
}

bool cache_drop_start(struct cache *cache, struct cache_drop *drop, enum cache_kind kind, const struct str *ids, size_t n_ids)
{
	drop->cache = cache;
	drop->n_left = 0;
	drop_all(cache, drop, kind, ids, n_ids);
	if (drop->n_left == 0)
		return true;
	drop->op.cancel = forget_drop;
	return false;
}

void cache_drop(struct cache *cache, enum cache_kind kind, struct str id)
{
	drop_all(cache, NULL, kind, &id, 1);
}

static void start_doubting(struct cache *cache)
{
	cache->doubting = true;
	cache->doubted_again = false;
	timer_start(&cache->doubt, 2 * (uint64_t)cache->conf->db_statement_timeout_ms);
}

static void on_doubt(void *arg)
{
	struct cache *cache = arg;

	cache->doubting = false;
	cache->lost(cache->arg);
	if (cache->doubted_again)
		start_doubting(cache);
}

void cache_doubt(struct cache *cache)
{
	if (cache->doubting)
		cache->doubted_again = true;
	else if (is_wanted(cache))
		start_doubting(cache);
}

void cache_drop_init(struct cache *cache)
{
	list_init(&cache->errands);
	timer_init(&cache->doubt, cache->loop, on_doubt, cache);
}

void cache_drop_fini(struct cache *cache)
{
	struct list *node;

	timer_fini(&cache->doubt);
	while ((node = list_pop(&cache->errands))) {
		struct errand *errand = CONTAINER_OF(node, struct errand, node);

		op_cancel(&errand->command.op);
		free(errand);
	}
}
