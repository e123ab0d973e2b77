/* An agent has an entry from its first failure on. Its word holds state, count and the time of the last change; state and time
 * together are the era. Times that cannot be (from a damaged file) count as over: nothing there can shut an agent out for long. */
#include "base/breaker.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/breaker_table.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/retry_budget.h"

enum {
	STATE_BITS = 2,
	COUNT_BITS = 16,
	SKEW_MS = 1000,            /* another process's time may be a little ahead of one that was read just before */
	LEASE_SLACK_MS = 2000,     /* beyond the longest that a call may wait for its first event */
	MAX_LEASE_MS = 15 * 60000, /* above the highest REQUEST_TIMEOUT */
};
#define COUNT_MASK (((UINT64_C(1) << COUNT_BITS) - 1) << STATE_BITS)

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share these");

struct breakers {
	struct breaker_table *table;
	bool shared; /* mapped, not this process's alone */
	bool said_full;
	uint64_t n_failures, n_successes, reset_ms, lease_ms;
	int n_probes;
};

static uint64_t now_ms(void)
{
	return clock_mono_us() / 1000;
}

/* ---- words ---- */

static uint64_t pack(enum breaker_state state, uint64_t count, uint64_t since_ms)
{
	return (uint64_t)state | count << STATE_BITS | since_ms << (STATE_BITS + COUNT_BITS);
}

static enum breaker_state state_of(uint64_t word)
{
	uint64_t state = word & ((1U << STATE_BITS) - 1);

	return state > BREAKER_HALF_OPEN ? BREAKER_CLOSED : (enum breaker_state)state;
}

static uint64_t count_of(uint64_t word)
{
	return (word & COUNT_MASK) >> STATE_BITS;
}

static uint64_t since_of(uint64_t word)
{
	return word >> (STATE_BITS + COUNT_BITS);
}

static uint64_t era_of(uint64_t word)
{
	return word & ~COUNT_MASK;
}

static uint64_t left_ms(uint64_t until_ms, uint64_t now, uint64_t longest_ms)
{
	return until_ms > now && until_ms <= now + longest_ms + SKEW_MS ? until_ms - now : 0;
}

/* ---- entries ---- */

/* FNV-1a, its bits then mixed (splitmix64). Two of 5000 ids share one with a chance of one in 10^12. */
static uint64_t key_of(struct str id)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < id.len; i++)
		h = (h ^ (unsigned char)id.p[i]) * UINT64_C(0x100000001b3);
	h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
	h ^= h >> 31;
	return h ? h : 1;
}

/* Everybody who finds it without writes the same. */
static void write_id(struct breaker_entry *e, struct str id)
{
	uint64_t words[BREAKER_ID_BYTES / 8] = {0};

	memcpy(words, id.p, id.len);
	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		atomic_store(&e->id[i], words[i]);
}

/* False: whoever claimed the entry has not written it yet. */
static bool read_id(const struct breaker_entry *e, char out[BREAKER_ID_BYTES + 1])
{
	uint64_t words[BREAKER_ID_BYTES / 8] = {0};

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		words[i] = atomic_load(&e->id[i]);
	memcpy(out, words, BREAKER_ID_BYTES);
	out[BREAKER_ID_BYTES] = '\0';
	return key_of(str_from(out)) == atomic_load(&e->key);
}

static void say_full(struct breakers *b)
{
	if (!b->said_full)
		log_error(NULL, "breakers_full", "entries", (int)BREAKER_ENTRIES);
	b->said_full = true;
}

/* NULL: it has none, and (if it is to be made) there is no room. */
static struct breaker_entry *entry_of(const struct breakers *b, struct str id)
{
	uint64_t key = key_of(id);

	if (id.len == 0 || id.len > BREAKER_ID_BYTES)
		return NULL;
	for (size_t i = 0; i < BREAKER_ENTRIES; i++) {
		struct breaker_entry *e = &b->table->entries[(key + i) % BREAKER_ENTRIES];
		uint64_t found = atomic_load(&e->key);

		if (found == key)
			return e;
		if (found == 0)
			return NULL;
	}
	return NULL;
}

static struct breaker_entry *make_entry(struct breakers *b, struct str id)
{
	uint64_t key = key_of(id);

	if (id.len == 0 || id.len > BREAKER_ID_BYTES)
		return NULL;
	for (size_t i = 0; i < BREAKER_ENTRIES; i++) {
		struct breaker_entry *e = &b->table->entries[(key + i) % BREAKER_ENTRIES];
		uint64_t found = 0;

		if (!atomic_compare_exchange_strong(&e->key, &found, key) && found != key)
			continue;
		if (atomic_load(&e->id[0]) == 0)
			write_id(e, id);
		return e;
	}
	say_full(b);
	return NULL;
}

/* ---- half-open: places for those who try ---- */

static bool take_place(const struct breakers *b, struct breaker_entry *e, struct breaker_pass *pass, uint64_t now)
{
	for (int i = 0; i < b->n_probes; i++) {
		uint64_t lease = atomic_load(&e->probes[i]);

		if (left_ms(lease, now, MAX_LEASE_MS) > 0)
			continue;
		pass->lease = now + b->lease_ms;
		if (atomic_compare_exchange_strong(&e->probes[i], &lease, pass->lease)) {
			pass->probe = (int8_t)(i + 1);
			return true;
		}
	}
	return false;
}

/* Unless it has lapsed, and is another's. */
static void give_place_back(struct breaker_pass *pass)
{
	uint64_t lease = pass->lease;

	if (pass->probe)
		atomic_compare_exchange_strong(&pass->entry->probes[pass->probe - 1], &lease, 0);
	pass->probe = 0;
}

/* ---- calls ---- */

/* How long nothing may go out, for its state or the provider's wish. */
static uint64_t pause_ms(const struct breakers *b, const struct breaker_entry *e, uint64_t word, uint64_t now)
{
	uint64_t cool_ms = left_ms(atomic_load(&e->cool_until_ms), now, BREAKER_MAX_COOL_DOWN_MS);
	uint64_t open_ms = state_of(word) == BREAKER_OPEN ? left_ms(since_of(word) + b->reset_ms, now, b->reset_ms) : 0;

	return open_ms > cool_ms ? open_ms : cool_ms;
}

static bool try_half_open(const struct breakers *b, struct breaker_pass *pass, uint64_t word, uint64_t now)
{
	pass->era = era_of(word);
	return take_place(b, pass->entry, pass, now);
}

bool breaker_enter(struct breakers *b, struct str agent_id, struct breaker_pass *pass, int64_t *retry_after_ms)
{
	uint64_t now = now_ms();
	struct breaker_entry *e = entry_of(b, agent_id);

	*pass = (struct breaker_pass){.entry = e};
	*retry_after_ms = 0;
	if (agent_id.len > 0 && agent_id.len <= BREAKER_ID_BYTES) {
		memcpy(pass->agent_id, agent_id.p, agent_id.len);
		pass->id_len = (uint8_t)agent_id.len;
	}
	while (e) { /* until nobody has changed it meanwhile */
		uint64_t word = atomic_load(&e->word), pause = pause_ms(b, e, word, now);

		if (pause > 0) {
			*retry_after_ms = (int64_t)pause;
			return false;
		}
		switch (state_of(word)) {
		case BREAKER_CLOSED: pass->era = era_of(word); return true;
		case BREAKER_OPEN:
			if (atomic_compare_exchange_strong(&e->word, &word, pack(BREAKER_HALF_OPEN, 0, now)))
				log_info(NULL, "breaker_half_open", "agent", agent_id);
			break;
		case BREAKER_HALF_OPEN:
			if (!try_half_open(b, pass, word, now)) {
				*retry_after_ms = BREAKER_BUSY_MS;
				return false;
			}
			if (era_of(atomic_load(&e->word)) == pass->era)
				return true;
			give_place_back(pass);
			break;
		}
	}
	return true;
}

void breaker_answering(struct breakers *b, struct breaker_pass *pass)
{
	(void)b;
	give_place_back(pass);
}

/* What becomes of the word. */
static uint64_t after(const struct breakers *b, uint64_t word, bool failed, uint64_t now)
{
	bool half_open = state_of(word) == BREAKER_HALF_OPEN;
	uint64_t n = count_of(word) + 1;

	if (failed)
		return half_open || n >= b->n_failures ? pack(BREAKER_OPEN, 0, now) : pack(BREAKER_CLOSED, n, since_of(word));
	if (!half_open)
		return era_of(word);
	return n >= b->n_successes ? pack(BREAKER_CLOSED, 0, now) : pack(BREAKER_HALF_OPEN, n, since_of(word));
}

static void count(const struct breakers *b, const struct breaker_pass *pass, bool failed)
{
	struct str id = {pass->agent_id, pass->id_len};
	uint64_t now = now_ms(), word = atomic_load(&pass->entry->word), next;

	do {
		if (era_of(word) != pass->era)
			return;
		next = after(b, word, failed, now);
		if (next == word)
			return;
	} while (!atomic_compare_exchange_weak(&pass->entry->word, &word, next));
	if (state_of(next) == state_of(word))
		return;
	if (failed)
		log_warn(NULL, "breaker_opened", "agent", id, "from", breaker_state_name(state_of(word)), "failures", count_of(word) + 1,
			 "pause_ms", b->reset_ms);
	else
		log_info(NULL, "breaker_closed", "agent", id, "why", "successes");
}

void breaker_leave(struct breakers *b, struct breaker_pass *pass, enum breaker_outcome outcome)
{
	struct str id = {pass->agent_id, pass->id_len};

	if (!pass->entry && outcome != BREAKER_NEITHER)
		pass->entry = outcome == BREAKER_FAILURE ? make_entry(b, id) : entry_of(b, id);
	if (pass->entry && outcome != BREAKER_NEITHER)
		count(b, pass, outcome == BREAKER_FAILURE);
	give_place_back(pass); /* last: whoever gets it sees what it led to */
}

void breaker_cool_down(struct breakers *b, struct str agent_id, int64_t ms)
{
	uint64_t now = now_ms(), cool_ms = ms > BREAKER_MAX_COOL_DOWN_MS ? BREAKER_MAX_COOL_DOWN_MS : (uint64_t)ms, old;
	struct breaker_entry *e = ms > 0 ? make_entry(b, agent_id) : NULL;

	if (!e)
		return;
	old = atomic_load(&e->cool_until_ms);
	do {
		if (left_ms(old, now, BREAKER_MAX_COOL_DOWN_MS) >= cool_ms)
			return; /* another call was told to wait even longer */
	} while (!atomic_compare_exchange_weak(&e->cool_until_ms, &old, now + cool_ms));
	if (left_ms(old, now, BREAKER_MAX_COOL_DOWN_MS) == 0)
		log_info(NULL, "breaker_cool_down", "agent", agent_id, "ms", cool_ms);
}

/* ---- for administrators ---- */

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {"closed", "open", "half_open"};

	return names[state];
}

static void view(const struct breakers *b, const struct breaker_entry *e, struct breaker_view *out)
{
	uint64_t now = now_ms(), word = atomic_load(&e->word), since_ms = since_of(word);

	out->state = state_of(word);
	out->n = (unsigned)count_of(word);
	out->for_ms = since_ms == 0 ? -1 : since_ms < now ? (int64_t)(now - since_ms) : 0;
	out->retry_after_ms = (int64_t)pause_ms(b, e, word, now);
	out->cooling = left_ms(atomic_load(&e->cool_until_ms), now, BREAKER_MAX_COOL_DOWN_MS) > 0;
	for (size_t i = 0; i < BREAKER_MAX_PROBES; i++)
		out->n_probes += left_ms(atomic_load(&e->probes[i]), now, MAX_LEASE_MS) > 0;
}

void breaker_look(const struct breakers *b, struct str agent_id, struct breaker_view *out)
{
	const struct breaker_entry *e = entry_of(b, agent_id);

	*out = (struct breaker_view){.for_ms = -1};
	memcpy(out->agent_id, agent_id.p, agent_id.len < BREAKER_ID_BYTES ? agent_id.len : BREAKER_ID_BYTES);
	if (e)
		view(b, e, out);
}

bool breakers_next(const struct breakers *b, size_t *at, struct breaker_view *out)
{
	while (*at < BREAKER_ENTRIES) {
		const struct breaker_entry *e = &b->table->entries[(*at)++];

		*out = (struct breaker_view){0};
		if (atomic_load(&e->key) && read_id(e, out->agent_id)) {
			view(b, e, out);
			return true;
		}
	}
	return false;
}

/* Also a closed one begins a new era: what failed before says nothing about what the administrator has mended. */
static bool reset(struct breaker_entry *e, struct str id)
{
	uint64_t now = now_ms(), word = atomic_load(&e->word);
	bool cooled = left_ms(atomic_exchange(&e->cool_until_ms, 0), now, BREAKER_MAX_COOL_DOWN_MS) > 0;

	while (!atomic_compare_exchange_weak(&e->word, &word, pack(BREAKER_CLOSED, 0, now)))
		;
	if (state_of(word) != BREAKER_CLOSED)
		log_info(NULL, "breaker_closed", "agent", id, "why", "reset");
	return state_of(word) != BREAKER_CLOSED || count_of(word) > 0 || cooled;
}

bool breaker_reset(struct breakers *b, struct str agent_id)
{
	struct breaker_entry *e = entry_of(b, agent_id);

	return e && reset(e, agent_id);
}

size_t breakers_reset_all(struct breakers *b)
{
	char id[BREAKER_ID_BYTES + 1];
	size_t n = 0;

	for (size_t i = 0; i < BREAKER_ENTRIES; i++) {
		struct breaker_entry *e = &b->table->entries[i];

		if (atomic_load(&e->key) && read_id(e, id))
			n += reset(e, str_from(id));
	}
	return n;
}

/* ---- the budget of retries ---- */

void breakers_count_call(struct breakers *b)
{
	retry_budget_add(&b->table->budget);
}

bool breakers_take_retry(struct breakers *b)
{
	return retry_budget_take(&b->table->budget);
}

/* ---- life ---- */

static struct breakers *make(struct breaker_table *table, const struct conf *conf)
{
	struct breakers *b = mem_alloc(sizeof(*b));

	b->table = table;
	b->n_failures = (uint64_t)conf->breaker_failures;
	b->n_successes = (uint64_t)conf->breaker_successes;
	b->reset_ms = (uint64_t)conf->breaker_reset_ms;
	b->lease_ms = (uint64_t)conf->request_timeout_ms + LEASE_SLACK_MS;
	b->n_probes = conf->breaker_successes < BREAKER_MAX_PROBES ? (int)conf->breaker_successes : BREAKER_MAX_PROBES;
	return b;
}

struct breakers *breakers_open(const char *run_dir, const struct conf *conf)
{
	char why[512];
	struct breaker_table *table = breaker_table_open(run_dir, why, sizeof(why));
	struct breakers *b = make(table ? table : mem_alloc(sizeof(*table)), conf);

	b->shared = table != NULL;
	if (!table)
		log_error(NULL, "breakers_not_shared", "why", why);
	return b;
}

struct breakers *breakers_peek(const char *run_dir, const struct conf *conf, char *why, size_t why_size)
{
	struct breaker_table *table = breaker_table_peek(run_dir, why, why_size);
	struct breakers *b = table ? make(table, conf) : NULL;

	if (b)
		b->shared = true;
	return b;
}

void breakers_close(struct breakers *b)
{
	if (!b)
		return;
	if (b->shared)
		breaker_table_close(b->table);
	else
		free(b->table);
	free(b);
}
