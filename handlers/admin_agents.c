/* Each change is one statement, its audit entry included; this responder loads it at once, the others within a second. */
#include "handlers/admin_agents.h"

#include "base/conf.h"
#include "base/crypto.h"
#include "chat/agent_probe.h"
#include "chat/agents.h"
#include "chat/turns.h"
#include "db/text_array.h"
#include "handlers/access.h"
#include "handlers/agent_write.h"
#include "handlers/agents_json.h"
#include "handlers/body.h"
#include "handlers/request.h"

enum { MAX_SLUG = 40 };

/* What is written, and about which agent. */
struct change {
	struct str id;
	bool is_new;
	struct buf array; /* borrowed by the query */
};

static void end_change(void *arg)
{
	struct change *change = arg;

	buf_fini(&change->array);
}

/* ---- an id for those who gave none ---- */

static struct str make_id(struct request *r, struct str name)
{
	char slug[MAX_SLUG + 1];
	unsigned char random[4];
	size_t n = 0;
	struct str id;

	for (size_t i = 0; i < name.len && n < MAX_SLUG; i++) {
		char c = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] | 0x20) : name.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (plain || (n > 0 && slug[n - 1] != '-'))
			slug[n++] = plain ? c : '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	id = arena_copy(&r->arena, n ? (struct str){slug, n} : STR("agent"));
	if (n && !agents_find(r->app->agents, id))
		return id;
	crypto_random(random, sizeof(random));
	return arena_printf(&r->arena, "%.*s-%02x%02x%02x%02x", STR_ARG(id), random[0], random[1], random[2], random[3]);
}

/* ---- create, update ---- */

static enum flow_next write_start(struct request *r, struct str id, bool is_new)
{
	const struct agent *known = is_new ? NULL : agents_find(r->app->agents, id);
	struct change *change = arena_alloc(&r->arena, sizeof(*change));
	struct audit_who who = access_who(r);
	struct json_complaint complaint = {0};

	r->state = change;
	arena_on_free(&r->arena, end_change, change);
	change->id = id;
	change->is_new = is_new;
	buf_add_char(&change->array, '[');
	if (!agent_write_put(r, r->body, is_new, id, known, &change->array, &complaint))
		return request_reject_field(r, &complaint);
	buf_add_char(&change->array, ']');
	agents_write(r->app->pool, r->query, &who, is_new ? AGENTS_CREATE : AGENTS_UPDATE, buf_str(&change->array));
	return FLOW_WAIT;
}

static enum flow_next create_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct str id = STR(""), name = STR("");

	if (!json_read_str(r->body, "id", false, 1, 64, &id, &complaint) ||
	    !json_read_str(r->body, "name", true, 1, 120, &name, &complaint))
		return request_reject_field(r, &complaint);
	if (id.len && !agent_id_valid(id))
		return request_reject_because(r, ERR_VALIDATION, "id", "id may have letters, digits, '.', '_' and '-' only.");
	return write_start(r, id.len ? id : make_id(r, name), true);
}

static enum flow_next update_start(struct request *r)
{
	if (!agent_id_valid(r->path_params[0]))
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	return write_start(r, r->path_params[0], false);
}

/* Class 22: a number in features is larger than PostgreSQL can hold. */
static bool cannot_be_held(const struct query *q)
{
	return strncmp(query_sqlstate(q), "22", 2) == 0;
}

static enum flow_next write_finish(struct request *r)
{
	struct agent_written written;
	const char *field, *sentence;

	if (r->query->op.err == -ERR_CONFLICT)
		return request_reject_because(r, ERR_CONFLICT, "id", "id is taken by another agent.");
	if (r->query->op.err && cannot_be_held(r->query))
		return request_reject_because(r, ERR_VALIDATION, "features", "features holds a number that is too large.");
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	written = agents_written(r->query, 0);
	if (!agents_refused(&written)) {
		query_fini(r->query);
		return FLOW_NEXT;
	}
	if (str_eq(written.outcome, STR("missing")))
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	sentence = agent_write_problem(&written, &field);
	return request_reject_because(r, str_eq(written.outcome, STR("moved")) ? ERR_VALIDATION : ERR_CONFLICT, field, "%s", sentence);
}

static enum flow_next read_start(struct request *r)
{
	struct change *change = r->state;

	agents_load(r->app->agents);
	change->array.len = 0;
	text_array_add(&change->array, change->id);
	text_array_close(&change->array);
	agents_get(r->app->pool, r->query, buf_str(&change->array));
	return FLOW_WAIT;
}

static enum flow_next read_finish(struct request *r)
{
	const struct change *change = r->state;
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct agent_row row;
	struct agent *agent;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	row = agents_row(r->query, 0);
	agent = agents_make(r->app->agents, &row);
	put_agent_whole(&w, agent, true);
	agent_unref(agent);
	if (change->is_new)
		request_reply_created(r, buf_str(&b));
	else
		request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step admin_agents_create_steps[] = {
	{"parse_body", body_start, NULL},
	{"add_agent", create_start, write_finish},
	{"read_agent", read_start, read_finish},
	{NULL, NULL, NULL},
};
const struct step admin_agents_update_steps[] = {
	{"parse_body", body_start, NULL},
	{"change_agent", update_start, write_finish},
	{"read_agent", read_start, read_finish},
	{NULL, NULL, NULL},
};

/* ---- delete ---- */

static enum flow_next delete_start(struct request *r)
{
	struct audit_who who = access_who(r);
	struct str force = STR("false");

	request_query(r, "force", &force);
	if (!str_eq(force, STR("true")) && !str_eq(force, STR("false")))
		return request_reject_because(r, ERR_VALIDATION, "force", "force must be true or false.");
	if (!agent_id_valid(r->path_params[0]))
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	agents_delete(r->app->pool, r->query, &who, r->path_params[0], str_eq(force, STR("true")));
	return FLOW_WAIT;
}

static enum flow_next delete_finish(struct request *r)
{
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	if (!agents_deleted(r->query))
		return request_reject_because(
			r, ERR_CONFLICT, NULL,
			"People have sessions with this agent. With ?force=true it goes, and they keep what was said.");
	agents_load(r->app->agents);
	return request_reply(r, STR("null"), STR(""));
}

const struct step admin_agents_delete_steps[] = {{"delete_agent", delete_start, delete_finish}, {NULL, NULL, NULL}};

/* ---- reload ---- */

static enum flow_next reload_start(struct request *r)
{
	struct audit_who who = access_who(r);

	agents_announce_reload(r->app->pool, r->query, &who);
	return FLOW_WAIT;
}

static enum flow_next reload_finish(struct request *r)
{
	return r->query->op.err ? request_reject(r, r->query->op.err) : request_reply(r, STR("null"), STR(""));
}

const struct step admin_agents_reload_steps[] = {{"announce_reload", reload_start, reload_finish}, {NULL, NULL, NULL}};

/* ---- validate ---- */

struct validation {
	struct agent_probe probe;
	struct request *request;
};

static void on_probed(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct validation, probe.op)->request);
}

static void end_validation(void *arg)
{
	struct validation *validation = arg;

	agent_probe_fini(&validation->probe);
}

static enum flow_next validate_start(struct request *r)
{
	struct agent *agent = agents_find(r->app->agents, r->path_params[0]);
	struct validation *validation;

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	if (!agent)
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	validation = arena_alloc(&r->arena, sizeof(*validation));
	validation->request = r;
	validation->probe.op.done = on_probed;
	r->state = validation;
	arena_on_free(&r->arena, end_validation, validation);
	agent_probe_start(r->app->loop, r->app->turns->http, agent, r->app->conf->request_timeout_ms, &r->log, &validation->probe);
	return FLOW_WAIT;
}

static enum flow_next validate_finish(struct request *r)
{
	const struct agent_probe *probe = &((const struct validation *)r->state)->probe;
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_str(&w, "agentId", probe->agent->id);
	json_add_bool(&w, "valid", probe->works);
	json_add_cstr(&w, "reason", probe->works ? NULL : probe->reason);
	json_add_cstr(&w, "message", probe->sentence);
	json_key(&w, "httpStatus");
	if (probe->status)
		json_put_int(&w, probe->status);
	else
		json_put_null(&w);
	json_key(&w, "responseTime");
	if (probe->response_ms >= 0)
		json_put_int(&w, probe->response_ms);
	else
		json_put_null(&w);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step admin_agents_validate_steps[] = {{"call_provider", validate_start, validate_finish}, {NULL, NULL, NULL}};
