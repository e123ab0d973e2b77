/* What the two files of the cache share: cache.c, where things are asked for, and cache_drop.c, where they are found to be old. Nobody else
 * includes this. */
#pragma once
#include "base/loop.h"
#include "cache/cache.h"
#include "cache/lock.h"

enum {
	CACHE_KEY_SIZE = sizeof("llmchat:agents:list:") + CACHE_ID_MAX,
	CACHE_SLOTS = 4096,
};

struct cache_kind_info {
	const char *name;
	int64_t ttl_s, none_ttl_s; /* none_ttl_s: of there being no such thing; 0: that is not kept */
	bool stamped;              /* else the version is in the id, and own copies are kept */
};
extern const struct cache_kind_info cache_kinds[N_CACHE_KINDS];

struct cache_key {
	char text[CACHE_KEY_SIZE];
	size_t len;
};

struct flight {
	struct cache_key key;
	struct cache *cache;
	enum cache_kind kind;
	struct list node; /* in cache->flights */
	struct cache_ask *leader;
	struct list followers;
	uint64_t began_us;
	int64_t stamp; /* of what the leader makes; -1: nothing that may be kept */
	bool in_tree;  /* it can be joined */
	struct redis_command get;
	struct lock lock;
};

struct cache {
	struct loop *loop; /* borrowed, as all of these */
	struct redis *redis;
	const struct conf *conf;
	void (*lost)(void *arg);
	void *arg;
	uint64_t born_us;
	struct copies *copies; /* owned */
	struct locks *locks;   /* owned */
	void *tree;            /* of tsearch: struct flight by key */
	struct list flights, told, errands;
	struct defer tell;
	struct timer tick; /* while somebody follows */
	bool ticking;
	struct timer doubt;
	bool doubting, doubted_again;
	size_t n_followers;
	int64_t heard; /* changes; -1: none yet */
	uint64_t heard_us;
	int64_t oldest; /* the least stamp that can be used; of some keys the slots know of a greater one */
	int64_t slots[CACHE_SLOTS];
	struct cache_counts counts[N_CACHE_KINDS];
};

static inline struct str cache_key_text(const struct cache_key *key)
{
	return (struct str){key->text, key->len};
}

void cache_key_make(struct cache_key *key, enum cache_kind kind, struct str id);
/* llmchat:session:… has llmchat:lock:session:… */
struct str cache_lock_key(const struct cache_key *key, char out[LOCK_KEY_MAX + 1]);
/* Has anything been heard of changes lately? */
bool cache_knows_changes(const struct cache *cache);
/* Has all been heard that was changed while Redis was away? */
bool cache_trusts_redis(const struct cache *cache);
bool cache_is_fresh(struct cache *cache, const struct cache_key *key, int64_t stamp);
/* Who asks for this from now on begins a flight of his own. */
void cache_stop_joining(struct cache *cache, const struct cache_key *key);
void cache_drop_init(struct cache *cache);
void cache_drop_fini(struct cache *cache);
