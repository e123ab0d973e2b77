/* Seeding and loading agents. The file's rows and keys stay in memory: the database never holds a key. */
#include "chat/agents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "db/agents.h"

enum { MAX_FILE_BYTES = 4 * 1024 * 1024 };

/* An agent of the file. */
struct seed {
	struct agent_row row;
	const char *api_key; /* expanded; NULL if it has none */
	bool key_missing;    /* the key's variable is not set: the agent cannot work until it is */
};

struct agents {
	struct pool *pool;
	const struct conf *conf;
	struct arena arena; /* of the seeds */
	struct seed *seeds;
	size_t n_seeds, at_seed;
	struct query query;
	bool loading, loaded;
	bool again; /* something has changed while it was loading */
	struct timer retry;
	struct backoff backoff;
	struct agent **list; /* sorted by id */
	size_t n;
};

static bool read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	do {
		n = fread(buf_reserve(out, 65536), 1, 65536, f);
		out->len += n;
	} while (n > 0 && out->len <= MAX_FILE_BYTES);
	fclose(f);
	return true;
}

static struct str json_copy(struct arena *arena, const struct json *j, const char *otherwise)
{
	return arena_copy(arena, j ? json_text(j) : str_from(otherwise));
}

static bool valid_id(struct str id)
{
	return id.len > 0 && id.len <= 64 && str_only(id, STR(NAME_CHARS));
}

static bool read_timeouts(const struct json *j, struct json_complaint *c)
{
	static const char *const names[] = {"connectMs", "headersMs", "firstTokenMs", "idleMs", "totalMs"};
	int64_t ms;

	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		if (!json_read_int(j, names[i], false, 1, 86400000, &ms, c))
			return false;
	return true;
}

/* Reads one agent of the file; false with a complaint if a field is wrong. */
static bool read_seed(const struct json *j, struct arena *arena, struct agent_row *row, struct str *api_key, struct json_complaint *c)
{
	double temperature = -1;

	*row = (struct agent_row){.is_active = true, .from_file = true, .context_tokens = 8000, .on_disconnect = STR("finish")};
	if (!json_read_str(j, "id", true, 1, 64, &row->id, c) || !json_read_str(j, "name", true, 1, 120, &row->name, c) ||
	    !json_read_str(j, "description", false, 0, 2000, &row->description, c) ||
	    !json_read_str(j, "provider", true, 1, 32, &row->provider, c) ||
	    !json_read_str(j, "endpoint", true, 1, 2000, &row->endpoint, c) || !json_read_str(j, "model", true, 1, 120, &row->model, c) ||
	    !json_read_str(j, "apiKey", false, 0, 1000, api_key, c) ||
	    !json_read_str(j, "systemPrompt", false, 0, 100000, &row->system_prompt, c) ||
	    !json_read_int(j, "maxTokens", false, 1, 32768, &row->max_tokens, c) ||
	    !json_read_int(j, "contextTokens", false, 0, 2000000, &row->context_tokens, c) ||
	    !json_read_number(j, "temperature", false, 0, 2, &temperature, c) ||
	    !json_read_str(j, "onDisconnect", false, 6, 6, &row->on_disconnect, c) ||
	    !json_read_bool(j, "isActive", &row->is_active, c) || !read_timeouts(json_get(j, "timeouts"), c))
		return false;
	if (!valid_id(row->id))
		return json_complain(c, "id", "id may have letters, digits, '.', '_' and '-' only.");
	if (!str_eq(row->on_disconnect, STR("finish")) && !str_eq(row->on_disconnect, STR("cancel")))
		return json_complain(c, "onDisconnect", "onDisconnect must be finish or cancel.");
	row->id = arena_copy(arena, row->id);
	row->name = arena_copy(arena, row->name);
	row->description = arena_copy(arena, row->description);
	row->provider = arena_copy(arena, row->provider);
	row->endpoint = arena_copy(arena, row->endpoint);
	row->model = arena_copy(arena, row->model);
	row->system_prompt = arena_copy(arena, row->system_prompt);
	row->on_disconnect = arena_copy(arena, row->on_disconnect);
	row->capabilities = json_copy(arena, json_get(j, "capabilities"), "[]");
	row->features = json_copy(arena, json_get(j, "features"), "{}");
	row->timeouts = json_copy(arena, json_get(j, "timeouts"), "{}");
	row->temperature = temperature >= 0 ? arena_printf(arena, "%.6g", temperature) : STR("");
	return true;
}

static void add_seed(struct agents *agents, const struct json *j)
{
	struct seed *seed = &agents->seeds[agents->n_seeds];
	struct json_complaint complaint = {0};
	struct str key = {NULL, 0}, missing;

	if (!read_seed(j, &agents->arena, &seed->row, &key, &complaint)) {
		log_error(NULL, "agent_invalid", "agent", json_as_str(json_get(j, "id")), "reason", complaint.sentence);
		return;
	}
	if (key.p && !agent_expand(key, agents->conf, &agents->arena, &key, &missing)) {
		log_warn(NULL, "agent_inactive", "agent", seed->row.id, "reason", "variable_not_set", "what", missing);
		seed->key_missing = true;
	}
	seed->api_key = key.len && !seed->key_missing ? arena_cstr(&agents->arena, key) : NULL;
	agents->n_seeds++;
}

/* 0, or -1 with a sentence. */
static int read_seeds(struct agents *agents, char *why, size_t why_size)
{
	const char *path = agents->conf->agents_config_path, *complaint = "it is larger than 4 MiB.";
	const struct json *list;
	struct buf text = {0};
	struct json *j = NULL;
	int result = -1;

	if (!read_file(path, &text)) {
		log_warn(NULL, "agents_file_missing", "path", path, "errno", errno);
		return 0;
	}
	if (text.len > MAX_FILE_BYTES || json_parse(buf_str(&text), &JSON_CAPS_USER, &j, &complaint) != 0) {
		snprintf(why, why_size, "AGENTS_CONFIG_PATH is %s: %s", path, complaint);
		goto out;
	}
	list = json_get(j, "agents");
	if (json_kind(list) != JSON_ARRAY || json_len(list) > AGENTS_MAX) {
		snprintf(why, why_size, "AGENTS_CONFIG_PATH is %s: it must hold {\"agents\":[…]} with at most %d agents.", path, (int)AGENTS_MAX);
		goto out;
	}
	agents->seeds = arena_alloc(&agents->arena, (json_len(list) + 1) * sizeof(*agents->seeds));
	for (size_t i = 0; i < json_len(list); i++)
		add_seed(agents, json_at(list, i));
	result = 0;
out:
	json_free(j);
	buf_fini(&text);
	return result;
}

static struct agent *make_agent(const struct agents *agents, const struct agent_row *row)
{
	const struct seed *seed = NULL;
	struct agent *agent;

	for (size_t i = 0; i < agents->n_seeds && !seed && row->from_file; i++)
		if (str_eq(agents->seeds[i].row.id, row->id))
			seed = &agents->seeds[i];
	agent = agent_new(row, seed ? seed->api_key : NULL, agents->conf);
	if (seed && seed->key_missing)
		agent->active = false;
	return agent;
}

static void drop_list(struct agents *agents)
{
	for (size_t i = 0; i < agents->n; i++)
		agent_unref(agents->list[i]);
	free(agents->list);
	agents->list = NULL;
	agents->n = 0;
}

static void take_rows(struct agents *agents)
{
	size_t n = query_n_rows(&agents->query), n_active = 0;

	drop_list(agents);
	agents->list = mem_alloc(n * sizeof(struct agent *));
	for (size_t i = 0; i < n; i++) {
		struct agent_row row = agents_row(&agents->query, i);
		struct agent *agent = make_agent(agents, &row);

		agents->list[agents->n++] = agent;
		n_active += agent->active;
	}
	agents->loaded = true;
	log_info(NULL, "agents_loaded", "agents", n, "active", n_active);
}

static void on_listed(struct op *op)
{
	struct agents *agents = CONTAINER_OF(op, struct agents, query.op);

	agents->loading = false;
	if (op->err) {
		uint32_t retry_ms = backoff_next_ms(&agents->backoff);

		log_warn(NULL, "agents_not_loaded", "sqlstate", query_sqlstate(&agents->query), "retry_ms", retry_ms);
		timer_start(&agents->retry, retry_ms);
	} else {
		backoff_reset(&agents->backoff);
		take_rows(agents);
	}
	query_fini(&agents->query);
	if (!op->err && agents->again)
		agents_load(agents);
}

static void add_next(struct agents *agents);

static void on_added(struct op *op)
{
	struct agents *agents = CONTAINER_OF(op, struct agents, query.op);
	struct str id = agents->seeds[agents->at_seed].row.id;

	if (op->err == -ERR_DB_UNAVAILABLE || op->err == -ERR_OVERLOADED) {
		on_listed(op);
		return;
	}
	if (op->err) /* this one only */
		log_error(NULL, "agent_not_added", "agent", id, "sqlstate", query_sqlstate(&agents->query));
	else if (query_n_affected(&agents->query) > 0)
		log_info(NULL, "agent_added", "agent", id);
	agents->at_seed++;
	query_fini(&agents->query);
	add_next(agents);
}

static void add_next(struct agents *agents)
{
	if (agents->at_seed < agents->n_seeds) {
		agents->query.op.done = on_added;
		agents_add_missing(agents->pool, &agents->query, &agents->seeds[agents->at_seed].row);
	} else {
		agents->query.op.done = on_listed;
		agents_list(agents->pool, &agents->query);
	}
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
	agents->backoff = (struct backoff){.base_ms = 500, .max_ms = 10000};
	query_init(&agents->query);
	timer_init(&agents->retry, loop, load_again, agents);
	if (read_seeds(agents, why, why_size) != 0) {
		agents_free(agents);
		return NULL;
	}
	return agents;
}

void agents_free(struct agents *agents)
{
	if (!agents)
		return;
	query_fini(&agents->query);
	timer_fini(&agents->retry);
	drop_list(agents);
	arena_fini(&agents->arena);
	free(agents);
}

void agents_load(struct agents *agents)
{
	agents->again = agents->loading;
	if (agents->loading)
		return;
	agents->loading = true;
	agents->at_seed = 0;
	timer_stop(&agents->retry);
	add_next(agents);
}

bool agents_loaded(const struct agents *agents)
{
	return agents->loaded;
}

struct agent *agents_find(const struct agents *agents, struct str id)
{
	for (size_t i = 0; i < agents->n; i++)
		if (str_eq(agents->list[i]->id, id))
			return agents->list[i];
	return NULL;
}

size_t agents_count(const struct agents *agents)
{
	return agents->n;
}

struct agent *agents_at(const struct agents *agents, size_t i)
{
	return agents->list[i];
}
