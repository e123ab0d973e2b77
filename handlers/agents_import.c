/* A hundred agents are read, then others have their turn; one statement writes them all. */
#include "handlers/agents_import.h"

#include <stdlib.h>

#include "chat/agents.h"
#include "handlers/access.h"
#include "handlers/agent_write.h"
#include "handlers/body.h"
#include "handlers/request.h"

enum { AT_ONCE = 100, MAX_ERRORS = 100 };

struct import {
	const struct json *list;
	struct buf array; /* borrowed by the query */
	struct str *ids;  /* in the request's arena, sorted before the first is read */
	size_t at, n_errors;
	struct buf errors;    /* the array of those that are told */
	struct json_writer w; /* on errors */
};

static void end_import(void *arg)
{
	struct import *import = arg;

	buf_fini(&import->array);
	buf_fini(&import->errors);
}

static void put_outcome(struct json_writer *w, size_t i, struct str id, struct str outcome)
{
	json_open(w, '{');
	json_add_int(w, "index", (int64_t)i);
	json_add_str(w, "id", id);
	json_add_str(w, "outcome", outcome);
}

static void add_error(struct import *import, size_t i, struct str id, const char *field, const char *sentence)
{
	if (import->n_errors++ >= MAX_ERRORS)
		return;
	put_outcome(&import->w, i, id, STR("error"));
	json_add_cstr(&import->w, "field", field);
	json_add_cstr(&import->w, "message", sentence);
	json_close(&import->w, '}');
}

static enum flow_next refuse(struct request *r, struct import *import)
{
	struct buf b = {0};
	const char *sentence = arena_printf(&r->arena, "Nothing was imported: %zu of agents %s wrong.", import->n_errors,
					    import->n_errors == 1 ? "is" : "are")
				       .p;

	json_close(&import->w, ']');
	buf_add_cstr(&b, "{\"field\":\"agents\",\"agents\":");
	buf_add_str(&b, buf_str(&import->errors));
	buf_add_char(&b, '}');
	request_reject_details(r, ERR_VALIDATION, sentence, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

static int compare(const void *a, const void *b)
{
	const struct str *x = a, *y = b;

	return str_compare(*x, *y);
}

/* Is the id there more than once? */
static bool is_double(const struct import *import, struct str id)
{
	const struct str *found = bsearch(&id, import->ids, json_len(import->list), sizeof(id), compare);
	size_t i = found ? (size_t)(found - import->ids) : 0;

	return found && ((i > 0 && str_eq(import->ids[i - 1], id)) || (i + 1 < json_len(import->list) && str_eq(import->ids[i + 1], id)));
}

static struct import *import_new(struct request *r)
{
	struct import *import = arena_alloc(&r->arena, sizeof(*import));
	size_t n;

	arena_on_free(&r->arena, end_import, import);
	import->list = json_get(r->body, "agents");
	import->w.out = &import->errors;
	json_open(&import->w, '[');
	n = json_len(import->list);
	import->ids = arena_alloc(&r->arena, (n + 1) * sizeof(*import->ids));
	for (size_t i = 0; i < n && n <= AGENTS_MAX; i++)
		import->ids[i] = json_as_str(json_get(json_at(import->list, i), "id"));
	if (n <= AGENTS_MAX)
		qsort(import->ids, n, sizeof(*import->ids), compare);
	return import;
}

static void read_one(struct request *r, struct import *import, size_t i)
{
	const struct json *j = json_at(import->list, i);
	struct str id = json_as_str(json_get(j, "id"));
	struct json_complaint complaint = {0};
	size_t before = import->array.len;
	bool good;

	buf_add_char(&import->array, i ? ',' : '[');
	if (json_kind(j) != JSON_OBJECT)
		good = json_complain(&complaint, "agents", "agents[%zu] must be an object.", i);
	else if (!agent_id_valid(id))
		good = json_complain(&complaint, "id", "id is required; it may have letters, digits, '.', '_' and '-' only, at most 64.");
	else if (is_double(import, id))
		good = json_complain(&complaint, "id", "id is there more than once.");
	else
		good = agent_write_put(r, j, true, id, agents_find(r->app->agents, id), &import->array, &complaint);
	if (good)
		return;
	import->array.len = before;
	add_error(import, i, id.len <= 64 ? id : STR(""), complaint.field, complaint.sentence);
}

static enum flow_next read_start(struct request *r)
{
	struct import *import = r->state;
	size_t n;

	if (!import) {
		import = r->state = import_new(r);
		n = json_len(import->list);
		if (json_kind(import->list) != JSON_ARRAY || n < 1 || n > AGENTS_MAX)
			return request_reject_because(r, ERR_VALIDATION, "agents", "agents must be a list of 1 to %d agents.",
						      (int)AGENTS_MAX);
	}
	n = json_len(import->list);
	for (size_t i = 0; i < AT_ONCE && import->at < n; i++, import->at++)
		read_one(r, import, import->at);
	if (import->at < n)
		return FLOW_AGAIN;
	buf_add_char(&import->array, ']');
	return import->n_errors ? refuse(r, import) : FLOW_NEXT;
}

static enum flow_next write_start(struct request *r)
{
	struct import *import = r->state;
	struct audit_who who = access_who(r);

	agents_write(r->app->pool, r->query, &who, AGENTS_IMPORT, buf_str(&import->array));
	return FLOW_WAIT;
}

/* What only the database knows. */
static void take_problems(struct request *r, struct import *import)
{
	for (size_t i = 0; i < query_n_rows(r->query); i++) {
		struct agent_written written = agents_written(r->query, i);
		const char *field, *sentence;

		if (!agents_refused(&written) || written.outcome.len == 0)
			continue;
		sentence = agent_write_problem(&written, &field);
		add_error(import, i, written.id, field, sentence);
	}
}

static void reply_outcomes(struct request *r)
{
	static const char *const names[] = {"created", "updated", "unchanged"};
	int64_t counts[N_ELEMENTS(names)] = {0};
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_key(&w, "agents");
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(r->query); i++) {
		struct agent_written written = agents_written(r->query, i);

		for (size_t k = 0; k < N_ELEMENTS(names); k++)
			counts[k] += str_eq_cstr(written.outcome, names[k]);
		put_outcome(&w, i, written.id, written.outcome);
		json_key(&w, "fields");
		json_put_raw(&w, written.fields);
		json_close(&w, '}');
	}
	json_close(&w, ']');
	for (size_t k = 0; k < N_ELEMENTS(names); k++)
		json_add_int(&w, names[k], counts[k]);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
}

static enum flow_next write_finish(struct request *r)
{
	struct import *import = r->state;

	if (r->query->op.err == -ERR_CONFLICT)
		return request_reject_because(r, ERR_CONFLICT, NULL,
					      "Somebody else has just made one of these agents; nothing was imported.");
	if (r->query->op.err && strncmp(query_sqlstate(r->query), "22", 2) == 0)
		return request_reject_because(r, ERR_VALIDATION, "features", "features of one of them holds a number that is too large.");
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	take_problems(r, import);
	if (import->n_errors)
		return refuse(r, import);
	agents_load(r->app->agents);
	reply_outcomes(r);
	return FLOW_DONE;
}

const struct step agents_import_steps[] = {
	{"parse_body", body_import_start, NULL},
	{"read_agents", read_start, NULL},
	{"write_agents", write_start, write_finish},
	{NULL, NULL, NULL},
};
