/* Seeding and loading. Ids and revisions of all agents come in one answer; only what has another revision is fetched, a hundred rows at a
 * time, so that five thousand agents hold up nobody. The new list takes the place of the old one when it is whole. */
#include "chat/agents.h"

#include <stdlib.h>

#include "base/backoff.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/seal.h"
#include "chat/agent_seeds.h"
#include "db/pool.h"
#include "db/text_array.h"

enum { SEEDS_AT_ONCE = 200, ROWS_AT_ONCE = 100 };

struct agent_list {
	struct agent **all; /* owned, as are the references; sorted by id */
	size_t n;
};

struct agents {
	struct pool *pool;
	const struct conf *conf;
	struct seal seal;
	struct agent_seeds seeds;
	struct agent_list now;
	char version[AGENTS_VERSION_SIZE];
	bool loading, loaded, again;
	bool all; /* nothing of `now` is as good as what is stored, and seeds may be missing */
	struct timer retry;
	struct backoff backoff;
	/* while it is loading: */
	struct query listing, query; /* listing keeps ids and revisions until the end */
	struct buf sent;             /* what query has borrowed */
	size_t at_seed, n_seeds;     /* of this statement */
	struct agent_list next;      /* a place for each row of listing; NULL: not fetched, or gone */
	size_t at, n_at;             /* places of this statement */
};

static void fetch_more(struct agents *agents);
static void add_seeds(struct agents *agents);

static void list_drop(struct agent_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		agent_unref(list->all[i]);
	free(list->all);
	*list = (struct agent_list){NULL, 0};
}

/* How many of them have an id that does not come after this one (or, not counting itself, before it). */
static size_t list_rank(const struct agent_list *list, struct str id, bool with_itself)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = str_compare(list->all[middle]->id, id);

		if (order < 0 || (order == 0 && with_itself))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct agent *agents_find(const struct agents *agents, struct str id)
{
	size_t at = list_rank(&agents->now, id, false);

	return at < agents->now.n && str_eq(agents->now.all[at]->id, id) ? agents->now.all[at] : NULL;
}

size_t agents_after(const struct agents *agents, struct str id)
{
	return list_rank(&agents->now, id, true);
}

/* Its own key, or the file's. */
struct agent *agents_make(const struct agents *agents, const struct agent_row *row)
{
	const struct agent_seed *seed = row->from_file && !row->own_key ? agent_seeds_find(&agents->seeds, row->id) : NULL;
	const struct agent *before = agents_find(agents, row->id);
	struct arena arena = {0};
	struct str key = {NULL, 0};
	struct agent *agent;

	if (row->sealed_api_key.len)
		key = seal_open(&agents->seal, row->sealed_with, row->id, row->sealed_api_key, &arena);
	agent = agent_new(row, row->sealed_api_key.len ? key.p : seed ? seed->api_key : NULL, agents->conf);
	if (row->sealed_api_key.len && !key.p)
		agent_disable(agent, "key_does_not_open", row->sealed_with);
	if (seed && seed->key_missing)
		agent_disable(agent, "variable_not_set", STR("apiKey"));
	if (before)
		agent_succeed(agent, before);
	arena_fini(&arena);
	return agent;
}

static void end_loading(struct agents *agents)
{
	query_fini(&agents->listing);
	query_fini(&agents->query);
	buf_fini(&agents->sent);
	list_drop(&agents->next);
	agents->loading = false;
}

static void try_later(struct agents *agents)
{
	uint32_t retry_ms = backoff_next_ms(&agents->backoff);

	log_warn(NULL, "agents_not_loaded", "sqlstate", query_sqlstate(agents->query.op.err ? &agents->query : &agents->listing),
		 "retry_ms", retry_ms);
	end_loading(agents);
	timer_start(&agents->retry, retry_ms);
}

/* Of a row its revision says all; the model may come from the environment, and so may what makes an agent inactive. */
static void name_version(struct agents *agents)
{
	char hash[2 * CRYPTO_HASH_BYTES + 1];
	struct buf all = {0};

	for (size_t i = 0; i < agents->now.n; i++) {
		const struct agent *agent = agents->now.all[i];

		buf_printf(&all, "%.*s %lld %d %zu %.*s\n", STR_ARG(agent->id), (long long)agent->row.revision, agent->active,
			   agent->model.len, STR_ARG(agent->model));
	}
	crypto_sha256_hex(buf_str(&all), hash);
	memcpy(agents->version, hash, sizeof(agents->version) - 1);
	buf_fini(&all);
}

static void finish(struct agents *agents)
{
	struct agent_list *next = &agents->next, old = agents->now;
	size_t n = 0, n_active = 0;

	for (size_t i = 0; i < next->n; i++) {
		if (!next->all[i])
			continue; /* deleted meanwhile */
		n_active += next->all[i]->active;
		next->all[n++] = next->all[i];
	}
	agents->now = (struct agent_list){next->all, n};
	*next = old; /* which end_loading drops */
	name_version(agents);
	agents->loaded = true;
	agents->all = false;
	backoff_reset(&agents->backoff);
	end_loading(agents);
	log_info(NULL, "agents_loaded", "agents", n, "active", n_active);
	if (agents->again)
		agents_load(agents);
}

static void on_fetched(struct op *op)
{
	struct agents *agents = CONTAINER_OF(op, struct agents, query.op);
	size_t row = 0;

	if (op->err) {
		try_later(agents);
		return;
	}
	for (size_t i = agents->at; i < agents->n_at && row < query_n_rows(&agents->query); i++) {
		struct agent_row stored = agents_row(&agents->query, row);

		if (agents->next.all[i] || !str_eq(stored.id, agents_revision_id(&agents->listing, i)))
			continue;
		agents->next.all[i] = agents_make(agents, &stored);
		row++;
	}
	agents->at = agents->n_at;
	query_fini(&agents->query);
	fetch_more(agents);
}

static void fetch_more(struct agents *agents)
{
	size_t n = 0;

	agents->sent.len = 0;
	for (agents->n_at = agents->at; agents->n_at < agents->next.n && n < ROWS_AT_ONCE; agents->n_at++) {
		if (agents->next.all[agents->n_at])
			continue;
		text_array_add(&agents->sent, agents_revision_id(&agents->listing, agents->n_at));
		n++;
	}
	if (n == 0) {
		finish(agents);
		return;
	}
	text_array_close(&agents->sent);
	agents->query.op.done = on_fetched;
	agents_get(agents->pool, &agents->query, buf_str(&agents->sent));
}

static void on_listed(struct op *op)
{
	struct agents *agents = CONTAINER_OF(op, struct agents, listing.op);
	size_t n = query_n_rows(&agents->listing);

	if (op->err) {
		try_later(agents);
		return;
	}
	agents->next = (struct agent_list){mem_alloc((n + 1) * sizeof(struct agent *)), n};
	for (size_t i = 0; i < n; i++) {
		struct agent *known = agents->all ? NULL : agents_find(agents, agents_revision_id(&agents->listing, i));

		if (known && known->row.revision == agents_revision(&agents->listing, i))
			agents->next.all[i] = agent_ref(known);
	}
	agents->at = 0;
	fetch_more(agents);
}

static void list_all(struct agents *agents)
{
	agents->again = false;
	agents_revisions(agents->pool, &agents->listing);
}

/* One that the database does not take is told by itself; the others of its statement are sent once more, each alone. */
static void on_added(struct op *op)
{
	struct agents *agents = CONTAINER_OF(op, struct agents, query.op);

	if (op->err == -ERR_DB_UNAVAILABLE || op->err == -ERR_OVERLOADED) {
		try_later(agents);
		return;
	}
	for (size_t i = 0; i < query_n_rows(&agents->query); i++)
		log_info(NULL, "agent_added", "agent", query_col(&agents->query, i, 0));
	if (op->err && agents->n_seeds == 1)
		log_error(NULL, "agent_not_added", "agent", agents->seeds.list[agents->at_seed].id, "sqlstate",
			  query_sqlstate(&agents->query));
	if (!op->err || agents->n_seeds == 1)
		agents->at_seed += agents->n_seeds;
	agents->n_seeds = op->err ? 1 : SEEDS_AT_ONCE;
	query_fini(&agents->query);
	add_seeds(agents);
}

static void add_seeds(struct agents *agents)
{
	size_t left = agents->seeds.n - agents->at_seed;

	if (left == 0) {
		list_all(agents);
		return;
	}
	if (agents->n_seeds > left)
		agents->n_seeds = left;
	agents->sent.len = 0;
	for (size_t i = 0; i < agents->n_seeds; i++) {
		buf_add_char(&agents->sent, i ? ',' : '[');
		buf_add_str(&agents->sent, agents->seeds.list[agents->at_seed + i].columns);
	}
	buf_add_char(&agents->sent, ']');
	agents->query.op.done = on_added;
	agents_add_missing(agents->pool, &agents->query, buf_str(&agents->sent));
}

void agents_load(struct agents *agents)
{
	agents->again = true;
	if (agents->loading)
		return;
	agents->loading = true;
	timer_stop(&agents->retry);
	agents->at_seed = agents->all ? 0 : agents->seeds.n;
	agents->n_seeds = SEEDS_AT_ONCE;
	add_seeds(agents);
}

/* What is under way is of no use any more. */
void agents_load_all(struct agents *agents)
{
	if (agents->loading)
		end_loading(agents);
	agents->all = true;
	agents_load(agents);
}

void agents_reload(struct agents *agents)
{
	struct agent_seeds seeds = {.n = 0};
	char why[512];

	if (agent_seeds_read(&seeds, agents->conf, why, sizeof(why)) == 0) {
		if (agents->loading)
			end_loading(agents); /* it may be sending what goes now */
		agent_seeds_fini(&agents->seeds);
		agents->seeds = seeds;
	} else {
		log_error(NULL, "agents_file_invalid", "reason", why);
		agent_seeds_fini(&seeds);
	}
	agents_load_all(agents);
}

static void load_again(void *arg)
{
	agents_load(arg);
}

struct agents *agents_new(struct loop *loop, struct pool *pool, const struct conf *conf, char *why, size_t why_size)
{
	struct agents *agents = mem_alloc(sizeof(*agents));

	agents->pool = pool;
	agents->conf = conf;
	agents->all = true;
	agents->backoff = (struct backoff){.base_ms = 500, .max_ms = 10000};
	seal_init(&agents->seal, conf);
	query_init(&agents->query);
	query_init(&agents->listing);
	agents->listing.op.done = on_listed;
	timer_init(&agents->retry, loop, load_again, agents);
	if (agent_seeds_read(&agents->seeds, conf, why, why_size) != 0) {
		agents_free(agents);
		return NULL;
	}
	return agents;
}

void agents_free(struct agents *agents)
{
	if (!agents)
		return;
	end_loading(agents);
	timer_fini(&agents->retry);
	list_drop(&agents->now);
	agent_seeds_fini(&agents->seeds);
	seal_fini(&agents->seal);
	free(agents);
}

bool agents_loaded(const struct agents *agents)
{
	return agents->loaded;
}

const char *agents_version(const struct agents *agents)
{
	return agents->version;
}

size_t agents_count(const struct agents *agents)
{
	return agents->now.n;
}

struct agent *agents_at(const struct agents *agents, size_t i)
{
	return agents->now.all[i];
}

const struct seal *agents_seal(const struct agents *agents)
{
	return &agents->seal;
}
