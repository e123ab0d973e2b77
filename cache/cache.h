/* Get or set: what takes effort to make is looked for in this process's own copies, then in Redis, and only then made, by whoever asked;
 * he gives it to those who asked meanwhile and leaves it for those who come. Redis may be away, slow, full, or hold garbage: all of that
 * is a miss, never an error.
 *
 * Nothing that is old may come back. Three things keep it out:
 * - An entry is written by who holds the key's lock in Redis, in the same instant that he gives it back. cache_drop deletes both: what was
 *   read before a change is not written after it.
 * - An entry has a stamp: how many changes (db/changes) its maker knew of before he read. It is used by those alone who know that nothing has
 *   changed it since, which cache_outdate tells them. What cannot be dropped, because Redis is away, is told to all in that way.
 * - What has a version is asked for with the version in its id, and has no stamp; that is the only kind of which own copies are kept. */
#pragma once
#include "cache/copies.h"
#include "cache/redis.h"

struct cache;

enum cache_kind {
	CACHE_AGENTS,  /* agents:list, 300 s: the id begins with the agents' version */
	CACHE_SESSION, /* session:, 600 s: a stamp */
	CACHE_USER,    /* user:, 900 s: a stamp */
	N_CACHE_KINDS
};

enum { CACHE_ID_MAX = 240 };

/* lost is called when entries could not be dropped: whoever hears of it sees to it that every responder calls cache_outdate_all, before a
 * second has passed. The pointers are borrowed until cache_free. */
struct cache *cache_new(struct loop *loop, struct redis *redis, const struct conf *conf, void (*lost)(void *arg), void *arg);
/* Nobody may hold an ask any more. NULL is fine. */
void cache_free(struct cache *cache);

/* ---- asking ---- */

struct flight;

/* What is asked for; storage belongs to the caller. An all-zero one is over. */
struct cache_ask {
	struct op op; /* op.done is set by the caller; op.err: 0, or what cache_fail was told by who made it */
	enum cache_found {
		CACHE_LOAD,  /* nobody has it: the caller makes it, then calls cache_give, cache_give_nothing or cache_fail */
		CACHE_FOUND, /* text */
		CACHE_NONE,  /* there is no such thing */
	} found;
	struct copy_text *text; /* owned reference, until cache_ask_end */
	/* its own: */
	struct cache *cache;
	struct flight *flight; /* while it leads or follows one */
	struct list node;
	uint64_t asked_us;
};

/* Asks for kind:id; id has at most CACHE_ID_MAX bytes, without NUL. True: the answer is there. False: op.done will come, after two commands
 * of Redis or what another request takes to make it, CACHE_WAIT_MS at most; op_cancel forgets it. */
enum { CACHE_WAIT_MS = 2000 };
MUST_CHECK bool cache_ask_start(struct cache *cache, struct cache_ask *ask, enum cache_kind kind, struct str id);
/* What the caller has made. keep: leave it for others, too; those who wait for it get it in any case. */
void cache_give(struct cache_ask *ask, struct str text, bool keep);
void cache_give_nothing(struct cache_ask *ask);
void cache_fail(struct cache_ask *ask, int err);
/* Cancels it if it waits, and forgets the text. If the caller should have made something and has not, another one who waits makes it. */
void cache_ask_end(struct cache_ask *ask);

/* ---- changing ---- */

/* A drop on its way; storage belongs to the caller. */
struct cache_drop {
	struct op op; /* op.done is set by the caller; op.err is always 0 */
	struct cache *cache;
	size_t n_left;
};
/* What these ids stand for has been changed, or may have been. Once the drop is done nobody gets what was there before; where Redis cannot be
 * told, lost is called. Nothing is to be waited for: true, else op.done will come. The ids are copied. */
MUST_CHECK bool cache_drop_start(struct cache *cache, struct cache_drop *drop, enum cache_kind kind, const struct str *ids, size_t n_ids);
/* The same without waiting for it. */
void cache_drop(struct cache *cache, enum cache_kind kind, struct str id);

/* Something may have been changed, or be changed within the next moments, and nobody will know: lost is called once that is over, after twice
 * DB_STATEMENT_TIMEOUT. */
void cache_doubt(struct cache *cache);

/* So many changes are known of by now. To be told again and again: what cannot be known to be fresh, because nothing was heard for
 * CACHE_HEARD_MS, is not used. */
enum { CACHE_HEARD_MS = 2000 };
void cache_heard(struct cache *cache, int64_t n_changes);
/* One of them concerns this: no entry with an older stamp is used any more. After cache_heard. */
void cache_outdate(struct cache *cache, enum cache_kind kind, struct str id);
void cache_outdate_all(struct cache *cache);

/* ---- counts, since the start ---- */

struct cache_counts {
	uint64_t hits, misses;
};
struct cache_counts cache_counts(const struct cache *cache, enum cache_kind kind);
const char *cache_kind_name(enum cache_kind kind);
