/* Flights: each is one key that somebody is looking for, its leader, and those who asked for the same meanwhile. */
#include "cache/cache_inside.h"

#include <assert.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cache/entry.h"
#include "cache/resp.h"

enum {
	HOLD_MS = 10000, /* of a lock: what takes longer to make is not kept */
	JOIN_MS = 500,   /* who asks later than that gets something younger */
	TICK_MS = 100,
};

static int compare(const void *a, const void *b)
{
	return str_compare(cache_key_text(&((const struct flight *)a)->key), cache_key_text(&((const struct flight *)b)->key));
}

/* ---- telling who asked ---- */

static void tell(struct defer *d)
{
	struct cache *cache = CONTAINER_OF(d, struct cache, tell);
	struct list batch, *node;

	list_init(&batch);
	list_move_all(&batch, &cache->told);
	while ((node = list_pop(&batch))) {
		struct cache_ask *ask = CONTAINER_OF(node, struct cache_ask, node);

		op_finish(&ask->op, ask->op.err);
	}
}

/* At the end of the turn. */
static void tell_later(struct cache_ask *ask, enum cache_found found, struct copy_text *text, int err)
{
	list_remove(&ask->node);
	ask->found = found;
	ask->text = text ? copy_text_ref(text) : NULL;
	ask->op.err = err;
	list_push(&ask->cache->told, &ask->node);
	loop_defer(ask->cache->loop, &ask->cache->tell, tell);
}

/* ---- flights ---- */

static void leave_tree(struct flight *flight)
{
	if (flight->in_tree)
		tdelete(flight, &flight->cache->tree, compare);
	flight->in_tree = false;
}

static void free_flight(struct flight *flight)
{
	leave_tree(flight);
	op_cancel(&flight->get.op);
	op_cancel(&flight->lock.op);
	lock_release(&flight->lock);
	list_remove(&flight->node);
	free(flight);
}

/* The leader has, or has not, what all of them wanted. */
static void land(struct flight *flight, enum cache_found found, struct copy_text *text, int err)
{
	struct list *node;

	while ((node = list_pop(&flight->followers))) {
		struct cache_ask *ask = CONTAINER_OF(node, struct cache_ask, node);

		ask->flight = NULL;
		flight->cache->n_followers--;
		flight->cache->counts[flight->kind].hits += err == 0;
		tell_later(ask, found, text, err);
	}
	if (flight->leader)
		flight->leader->flight = NULL;
	free_flight(flight);
}

/* Whoever is to make it knows that much now. */
static void note_stamp(struct flight *flight)
{
	struct cache *cache = flight->cache;

	flight->stamp = !cache_kinds[flight->kind].stamped ? 0 : cache_knows_changes(cache) ? cache->heard : -1;
}

static void let_leader_load(struct flight *flight)
{
	note_stamp(flight);
	flight->leader->found = CACHE_LOAD;
	flight->cache->counts[flight->kind].misses++;
}

/* The leader has gone: the next one takes his place, with his lock if he had it. */
static void lose_leader(struct flight *flight)
{
	struct list *node = list_pop(&flight->followers);

	flight->leader = NULL;
	if (!node) {
		free_flight(flight);
		return;
	}
	op_cancel(&flight->get.op);
	op_cancel(&flight->lock.op);
	flight->cache->n_followers--;
	flight->leader = CONTAINER_OF(node, struct cache_ask, node);
	let_leader_load(flight);
	tell_later(flight->leader, CACHE_LOAD, NULL, 0);
}

static void cancel_ask(struct op *op)
{
	struct cache_ask *ask = CONTAINER_OF(op, struct cache_ask, op);
	struct flight *flight = ask->flight;

	list_remove(&ask->node);
	ask->flight = NULL;
	if (flight && flight->leader == ask)
		lose_leader(flight);
	else if (flight)
		ask->cache->n_followers--;
}

/* Those who have waited long enough make it themselves, for themselves. */
static void on_tick(void *arg)
{
	struct cache *cache = arg;
	uint64_t now_us = clock_mono_us();

	for (struct list *l = cache->flights.next; l != &cache->flights; l = l->next) {
		struct flight *flight = CONTAINER_OF(l, struct flight, node);

		for (struct list *f = flight->followers.next, *next; f != &flight->followers; f = next) {
			struct cache_ask *ask = CONTAINER_OF(f, struct cache_ask, node);

			next = f->next;
			if (now_us < ask->asked_us + (uint64_t)CACHE_WAIT_MS * 1000)
				continue;
			ask->flight = NULL;
			cache->n_followers--;
			cache->counts[flight->kind].misses++;
			tell_later(ask, CACHE_LOAD, NULL, 0);
		}
	}
	cache->ticking = cache->n_followers > 0;
	if (cache->ticking)
		timer_start(&cache->tick, TICK_MS);
}

static void follow(struct flight *flight, struct cache_ask *ask)
{
	struct cache *cache = flight->cache;

	ask->flight = flight;
	list_push(&flight->followers, &ask->node);
	cache->n_followers++;
	if (!cache->ticking)
		timer_start(&cache->tick, TICK_MS);
	cache->ticking = true;
}

/* ---- Redis ---- */

static void keep_copy(struct flight *flight, struct copy_text *text)
{
	if (!cache_kinds[flight->kind].stamped)
		copies_keep(flight->cache->copies, cache_key_text(&flight->key), text,
			    clock_mono_us() + (uint64_t)cache_kinds[flight->kind].ttl_s * 1000000);
}

static void on_locked(struct op *op)
{
	struct flight *flight = CONTAINER_OF(op, struct flight, lock.op);

	let_leader_load(flight);
	op_finish(&flight->leader->op, 0);
}

static void found_in_redis(struct flight *flight, struct str text)
{
	struct cache_ask *leader = flight->leader;
	struct cache *cache = flight->cache;

	leader->found = text.len ? CACHE_FOUND : CACHE_NONE;
	leader->text = text.len ? copy_text_new(text) : NULL;
	if (leader->text)
		keep_copy(flight, leader->text);
	cache->counts[flight->kind].hits++;
	land(flight, leader->found, leader->text, 0);
	op_finish(&leader->op, 0);
}

static void on_got(struct op *op)
{
	struct flight *flight = CONTAINER_OF(op, struct flight, get.op);
	const struct resp_reply *reply = flight->get.reply;
	struct cache *cache = flight->cache;
	char lock[LOCK_KEY_MAX + 1];
	struct str text;
	int64_t stamp;

	if (op->err == 0 && reply->value.type == RESP_STRING &&
	    entry_read(reply->value.text, str_from(cache->conf->token_secret), cache_key_text(&flight->key), &stamp, &text) &&
	    (!cache_kinds[flight->kind].stamped || cache_is_fresh(cache, &flight->key, stamp))) {
		found_in_redis(flight, text);
		return;
	}
	flight->lock.op.done = on_locked;
	lock_take_start(cache->locks, &flight->lock, cache_lock_key(&flight->key, lock), HOLD_MS);
}

/* A part of it rather than all: whatever lies there, no more than an entry can have will come. */
static void look_in_redis(struct flight *flight)
{
	char last[24];

	snprintf(last, sizeof(last), "%d", ENTRY_MAX_BYTES - 1);
	flight->get.op.done = on_got;
	redis_start(flight->cache->redis, &flight->get,
		    (const struct str[]){STR("GETRANGE"), cache_key_text(&flight->key), STR("0"), str_from(last)}, 4);
}

/* ---- asking ---- */

static struct flight *flight_of(struct cache *cache, const struct cache_key *key)
{
	struct flight wanted = {.key = *key};
	struct flight *const *found = tfind(&wanted, &cache->tree, compare);

	return found ? *found : NULL;
}

static struct flight *take_off(struct cache *cache, enum cache_kind kind, const struct cache_key *key, struct cache_ask *leader)
{
	struct flight *flight = mem_alloc(sizeof(*flight));

	flight->key = *key;
	flight->cache = cache;
	flight->kind = kind;
	flight->leader = leader;
	leader->flight = flight;
	list_init(&flight->followers);
	flight->began_us = leader->asked_us;
	list_push(&cache->flights, &flight->node);
	flight->in_tree = tsearch(flight, &cache->tree, compare) != NULL;
	return flight;
}

bool cache_ask_start(struct cache *cache, struct cache_ask *ask, enum cache_kind kind, struct str id)
{
	struct copy_text *copy = NULL;
	struct flight *flight;
	struct cache_key key;

	cache_key_make(&key, kind, id);
	ask->cache = cache;
	ask->asked_us = clock_mono_us();
	ask->text = NULL;
	list_init(&ask->node);
	if (!cache_kinds[kind].stamped)
		copy = copies_find(cache->copies, cache_key_text(&key), ask->asked_us);
	if (copy) {
		ask->found = CACHE_FOUND;
		ask->text = copy_text_ref(copy);
		cache->counts[kind].hits++;
		return true;
	}
	flight = flight_of(cache, &key);
	ask->op.cancel = cancel_ask;
	if (flight && ask->asked_us < flight->began_us + (uint64_t)JOIN_MS * 1000) {
		follow(flight, ask);
		return false;
	}
	if (flight)
		leave_tree(flight);
	flight = take_off(cache, kind, &key, ask);
	if (redis_ready(cache->redis) && (!cache_kinds[kind].stamped || (cache_knows_changes(cache) && cache_trusts_redis(cache)))) {
		look_in_redis(flight);
		return false;
	}
	ask->op.cancel = NULL;
	let_leader_load(flight);
	return true;
}

static void write_entry(struct flight *flight, struct str text, int64_t ttl_s)
{
	struct buf entry = {0};

	if (!flight->lock.held || flight->stamp < 0)
		return;
	entry_put(&entry, str_from(flight->cache->conf->token_secret), cache_key_text(&flight->key), flight->stamp, text);
	if (entry.len <= ENTRY_MAX_BYTES)
		lock_write(&flight->lock, cache_key_text(&flight->key), buf_str(&entry), ttl_s * 1000);
	buf_fini(&entry);
}

void cache_give(struct cache_ask *ask, struct str text, bool keep)
{
	struct flight *flight = ask->flight;
	struct copy_text *copy;

	if (!flight)
		return;
	assert(text.len > 0);
	copy = copy_text_new(text);
	if (keep) {
		keep_copy(flight, copy);
		write_entry(flight, text, cache_kinds[flight->kind].ttl_s);
	}
	land(flight, CACHE_FOUND, copy, 0);
	copy_text_unref(copy);
}

void cache_give_nothing(struct cache_ask *ask)
{
	struct flight *flight = ask->flight;

	if (!flight)
		return;
	if (cache_kinds[flight->kind].none_ttl_s)
		write_entry(flight, STR(""), cache_kinds[flight->kind].none_ttl_s);
	land(flight, CACHE_NONE, NULL, 0);
}

void cache_fail(struct cache_ask *ask, int err)
{
	if (ask->flight)
		land(ask->flight, CACHE_LOAD, NULL, err);
}

void cache_ask_end(struct cache_ask *ask)
{
	op_cancel(&ask->op);
	if (ask->flight) { /* it was to make something, and has not */
		struct flight *flight = ask->flight;

		ask->flight = NULL;
		lose_leader(flight);
	}
	copy_text_unref(ask->text);
	ask->text = NULL;
}

/* Who has asked gets what he would have got, had he been quicker. */
void cache_stop_joining(struct cache *cache, const struct cache_key *key)
{
	struct flight *flight = flight_of(cache, key);

	if (flight)
		leave_tree(flight);
}

/* ---- the rest ---- */

struct cache *cache_new(struct loop *loop, struct redis *redis, const struct conf *conf, void (*lost)(void *arg), void *arg)
{
	struct cache *cache = mem_alloc(sizeof(*cache));

	*cache = (struct cache){
		.loop = loop, .redis = redis, .conf = conf, .lost = lost, .arg = arg, .born_us = clock_mono_us(), .heard = -1};
	cache->copies = copies_new();
	cache->locks = locks_new(redis);
	list_init(&cache->flights);
	list_init(&cache->told);
	cache_drop_init(cache);
	timer_init(&cache->tick, loop, on_tick, cache);
	return cache;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	cache_drop_fini(cache);
	defer_cancel(&cache->tell);
	timer_fini(&cache->tick);
	locks_free(cache->locks);
	copies_free(cache->copies);
	free(cache);
}

struct cache_counts cache_counts(const struct cache *cache, enum cache_kind kind)
{
	return cache->counts[kind];
}

const char *cache_kind_name(enum cache_kind kind)
{
	static const char *const names[N_CACHE_KINDS] = {"agents", "sessions", "users"};

	return names[kind];
}
