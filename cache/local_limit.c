/* A hash table of small sets: a key is in its set or nowhere. The hash is keyed, so nobody can choose who shares a set with whom. */
#include "cache/local_limit.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/mem.h"

struct entry {
	char key[LOCAL_LIMIT_KEY];
	size_t key_len;
	int64_t n;
	uint64_t until_us; /* over: the entry is free */
};

struct local_limit {
	uint64_t seed;
	struct entry entries[LOCAL_LIMIT_SETS][LOCAL_LIMIT_WAYS];
};

struct local_limit *local_limit_new(void)
{
	struct local_limit *l = mem_alloc(sizeof(*l));

	crypto_random(&l->seed, sizeof(l->seed));
	return l;
}

void local_limit_free(struct local_limit *l)
{
	free(l);
}

/* Multiply and mix, with the secret as beginning. */
static size_t set_of(const struct local_limit *l, struct str key)
{
	uint64_t h = l->seed;

	for (size_t i = 0; i < key.len; i++) {
		h = (h ^ (unsigned char)key.p[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return (size_t)(h >> 32) % LOCAL_LIMIT_SETS;
}

/* The key's entry; else a free one, else the one with the fewest requests. */
static struct entry *find(struct local_limit *l, struct str key, uint64_t now_us)
{
	struct entry *set, *least = NULL;

	if (key.len > LOCAL_LIMIT_KEY)
		key.len = LOCAL_LIMIT_KEY;
	set = l->entries[set_of(l, key)];
	for (size_t i = 0; i < LOCAL_LIMIT_WAYS; i++) {
		struct entry *e = &set[i];

		if (e->until_us <= now_us)
			e->n = 0;
		if (e->n > 0 && str_eq((struct str){e->key, e->key_len}, key))
			return e;
		if (!least || e->n < least->n)
			least = e;
	}
	memcpy(least->key, key.p, key.len);
	least->key_len = key.len;
	least->n = 0;
	return least;
}

static struct limit_count count_of(const struct entry *e, uint64_t now_us)
{
	return (struct limit_count){e->n, (int64_t)((e->until_us - now_us + 999) / 1000)};
}

struct limit_count local_limit_count(struct local_limit *l, struct str key, const struct limit_rule *rule, uint64_t now_us)
{
	struct entry *e = find(l, key, now_us);
	uint64_t block_us = (uint64_t)rule->block_ms * 1000;

	if (e->n++ == 0)
		e->until_us = now_us + (uint64_t)rule->window_ms * 1000;
	else if (e->n == rule->limit + 1 && now_us + block_us > e->until_us)
		e->until_us = now_us + block_us;
	return count_of(e, now_us);
}

struct limit_count local_limit_add(struct local_limit *l, struct str key, int64_t window_ms, int64_t amount, uint64_t now_us)
{
	struct entry *e = find(l, key, now_us);

	if (e->n == 0)
		e->until_us = now_us + (uint64_t)window_ms * 1000;
	e->n = e->n + amount > 0 ? e->n + amount : 0;
	return count_of(e, now_us);
}
