/* Statements on agent_configs. */
#include "db/agents.h"

#include "db/sql.h"
#include "db/statements.h"

static const struct statement list_revisions = {
	"list_agent_revisions",
	"SELECT id, revision FROM agent_configs WHERE deleted_at IS NULL ORDER BY id COLLATE \"C\" LIMIT 5000",
	0,
};

void agents_revisions(struct pool *pool, struct query *q)
{
	query_start(pool, q, &list_revisions);
}

struct str agents_revision_id(const struct query *q, size_t i)
{
	return query_col(q, i, 0);
}

int64_t agents_revision(const struct query *q, size_t i)
{
	return query_col_int(q, i, 1);
}

static const struct statement get_agents = {
	"get_agents",
	"SELECT id, name, description, provider, endpoint, model, system_prompt, temperature, max_tokens, context_tokens, capabilities,"
	" features, timeouts, on_disconnect, is_active, from_file, app_id, rate_limit, fallbacks, max_concurrent, coalesce(max_queue, -1),"
	" sealed_api_key, sealed_with, own_key, created_by, " SQL_ISO("created_at") ", " SQL_ISO(
		"updated_at") ", revision, extract(epoch FROM created_at)::bigint"
			      " FROM agent_configs WHERE id = ANY ($1::text[]) AND deleted_at IS NULL ORDER BY id COLLATE \"C\"",
	1,
};

void agents_get(struct pool *pool, struct query *q, struct str ids)
{
	query_text(q, ids);
	query_start(pool, q, &get_agents);
}

struct agent_row agents_row(const struct query *q, size_t i)
{
	return (struct agent_row){
		.id = query_col(q, i, 0),
		.name = query_col(q, i, 1),
		.description = query_col(q, i, 2),
		.provider = query_col(q, i, 3),
		.endpoint = query_col(q, i, 4),
		.model = query_col(q, i, 5),
		.system_prompt = query_col(q, i, 6),
		.temperature = query_col(q, i, 7),
		.max_tokens = query_col_int(q, i, 8),
		.context_tokens = query_col_int(q, i, 9),
		.capabilities = query_col(q, i, 10),
		.features = query_col(q, i, 11),
		.timeouts = query_col(q, i, 12),
		.on_disconnect = query_col(q, i, 13),
		.is_active = query_col_bool(q, i, 14),
		.from_file = query_col_bool(q, i, 15),
		.app_id = query_col(q, i, 16),
		.rate_limit = query_col(q, i, 17),
		.fallbacks = query_col(q, i, 18),
		.max_concurrent = query_col_int(q, i, 19),
		.max_queue = query_col_int(q, i, 20),
		.sealed_api_key = query_col(q, i, 21),
		.sealed_with = query_col(q, i, 22),
		.own_key = query_col_bool(q, i, 23),
		.created_by = query_col(q, i, 24),
		.created_at = query_col(q, i, 25),
		.updated_at = query_col(q, i, 26),
		.revision = query_col_int(q, i, 27),
		.created_s = query_col_int(q, i, 28),
	};
}

/* What is written of an agent, each column after p. */
#define WRITTEN(p)                                                                                                                         \
	p "name, " p "description, " p "provider, " p "endpoint, " p "model, " p "system_prompt, " p "temperature, " p "max_tokens, " p    \
	  "context_tokens, " p "capabilities, " p "features, " p "timeouts, " p "on_disconnect, " p "is_active, " p "app_id, " p           \
	  "rate_limit, " p "fallbacks, " p "max_concurrent, " p "max_queue, " p "sealed_api_key, " p "sealed_with, " p "own_key"

/* An agent of which nothing is said. */
#define DEFAULTS                                                                                                                           \
	"'{\"description\":\"\",\"system_prompt\":\"\",\"context_tokens\":8000,\"capabilities\":[],\"features\":{},\"timeouts\":{},"       \
	"\"on_disconnect\":\"finish\",\"is_active\":true,\"rate_limit\":{},\"fallbacks\":[],\"own_key\":false}'::jsonb"

/* Their names as the API has them. */
#define FIELDS                                                                                                                             \
	"(VALUES ('name', 'name'), ('description', 'description'), ('provider', 'provider'), ('endpoint', 'endpoint'), ('model', "         \
	"'model'),"                                                                                                                        \
	" ('system_prompt', 'systemPrompt'), ('temperature', 'temperature'), ('max_tokens', 'maxTokens'), ('context_tokens', "             \
	"'contextTokens'),"                                                                                                                \
	" ('capabilities', 'capabilities'), ('features', 'features'), ('timeouts', 'timeouts'), ('on_disconnect', 'onDisconnect'),"        \
	" ('is_active', 'isActive'), ('app_id', 'appId'), ('rate_limit', 'rateLimit'), ('fallbacks', 'fallbacks'),"                        \
	" ('max_concurrent', 'maxConcurrent'), ('max_queue', 'maxQueue'), ('sealed_api_key', 'apiKey'), ('own_key', 'apiKey'))"

static const struct statement add_missing = {
	"add_missing_agents",
	"WITH given AS (SELECT jsonb_populate_record(NULL::agent_configs, " DEFAULTS
	" || j) AS will FROM jsonb_array_elements($1::jsonb) j)"
	" INSERT INTO agent_configs (id, " WRITTEN("") ", from_file) SELECT (will).id, " WRITTEN(
		"(will).") ", true FROM given ORDER BY 1"
			   " ON CONFLICT (id) DO NOTHING RETURNING id",
	1,
};

void agents_add_missing(struct pool *pool, struct query *q, struct str agents)
{
	query_text(q, agents);
	query_start(pool, q, &add_missing);
}

#define ORIGIN(endpoint) "lower(substring(" endpoint " FROM '^[A-Za-z]+://[^/?#]+'))"

/* $5 the agents, $6 how. Those that exist are locked first, in one order, so that what is compared is what is overwritten; what is not
 * said stays. A key is never sent to a host for which it was not given: who moves an endpoint says the key anew. */
/* clang-format off */
static const struct statement write_agents = {
	"write_agents",
	"WITH given AS MATERIALIZED (SELECT place, j, j ->> 'id' AS id FROM jsonb_array_elements($5::jsonb) WITH ORDINALITY t (j, place)),"
	" locked AS MATERIALIZED (SELECT a.id, a.revision, a.deleted_at IS NOT NULL AS gone, a AS was FROM agent_configs a"
	"  WHERE a.id IN (SELECT id FROM given) ORDER BY a.id FOR UPDATE),"
	" said AS MATERIALIZED (SELECT place, g.id, l.id IS NULL AS fresh, coalesce(gone, true) AS made, l.was,"
	"  CASE WHEN revision = (j ->> 'same_key_as')::bigint THEN j - 'sealed_api_key' - 'sealed_with' ELSE j END AS j"
	"  FROM given g LEFT JOIN locked l ON l.id = g.id),"
	" meant AS MATERIALIZED (SELECT *, CASE WHEN made THEN jsonb_populate_record(NULL::agent_configs, " DEFAULTS " || j)"
	"  ELSE jsonb_populate_record(was, j) END AS will FROM said),"
	" judged AS MATERIALIZED (SELECT *, to_jsonb(was) AS o, to_jsonb(will) AS n, CASE"
	"  WHEN $6 = 'create' AND NOT made THEN 'exists'"
	"  WHEN $6 = 'update' AND made THEN 'missing'"
	"  WHEN NOT made AND NOT j ? 'own_key' AND ((was).sealed_api_key IS NOT NULL OR ((was).from_file AND NOT (was).own_key))"
	"   AND " ORIGIN("(was).endpoint") " IS DISTINCT FROM " ORIGIN("(will).endpoint") " THEN 'moved'"
	"  WHEN made AND (SELECT count(*) FROM agent_configs WHERE deleted_at IS NULL)"
	"   + (SELECT count(*) FROM said WHERE made) > $7::bigint THEN 'full' END AS problem FROM meant),"
	" compared AS MATERIALIZED (SELECT place, id, fresh, made, will, problem, CASE WHEN made THEN '{}' ELSE"
	"  ARRAY(SELECT DISTINCT field FROM " FIELDS " f (col, field) WHERE o -> col IS DISTINCT FROM n -> col ORDER BY field) END AS fields"
	"  FROM judged),"
	" fine AS MATERIALIZED (SELECT *, CASE WHEN made THEN 'created' WHEN fields = '{}' THEN 'unchanged' ELSE 'updated' END AS outcome"
	"  FROM compared WHERE NOT EXISTS (SELECT FROM compared WHERE problem IS NOT NULL)),"
	" inserted AS (INSERT INTO agent_configs (id, " WRITTEN("") ", created_by)"
	"  SELECT id, " WRITTEN("(will).") ", $1::uuid FROM fine WHERE fresh ORDER BY id),"
	" updated AS (UPDATE agent_configs a SET (" WRITTEN("") ") = ROW (" WRITTEN("(will).") "),"
	"  from_file = from_file AND NOT made, deleted_at = NULL, created_by = CASE WHEN made THEN $1::uuid ELSE created_by END,"
	"  created_at = CASE WHEN made THEN now() ELSE created_at END"
	"  FROM fine WHERE a.id = fine.id AND NOT fresh AND outcome <> 'unchanged'),"
	" noted AS (" AUDIT_ENTRY "'agent.' || outcome, NULL::uuid, jsonb_build_object('agentId', id, 'name', (will).name)"
	"  || CASE WHEN made THEN '{}' ELSE jsonb_build_object('fields', fields) END FROM fine WHERE outcome <> 'unchanged'"
	"  UNION ALL SELECT $1::uuid, $2, $3, $4, 'agents.imported', NULL, jsonb_build_object("
	"   'created', count(*) FILTER (WHERE outcome = 'created'), 'updated', count(*) FILTER (WHERE outcome = 'updated'),"
	"   'unchanged', count(*) FILTER (WHERE outcome = 'unchanged')) FROM fine WHERE $6 = 'import' HAVING count(*) > 0)"
	" SELECT c.id, coalesce(c.problem, fine.outcome, ''), array_to_json(c.fields)"
	" FROM compared c LEFT JOIN fine USING (place) ORDER BY place",
	7,
};
/* clang-format on */

void agents_write(struct pool *pool, struct query *q, const struct audit_who *who, enum agents_write how, struct str agents)
{
	static const char *const names[] = {[AGENTS_CREATE] = "create", [AGENTS_UPDATE] = "update", [AGENTS_IMPORT] = "import"};

	audit_who_params(q, who);
	query_text(q, agents);
	query_text(q, str_from(names[how]));
	query_int(q, AGENTS_MAX);
	query_start(pool, q, &write_agents);
}

struct agent_written agents_written(const struct query *q, size_t i)
{
	return (struct agent_written){query_col(q, i, 0), query_col(q, i, 1), query_col(q, i, 2)};
}

bool agents_refused(const struct agent_written *written)
{
	return !str_eq(written->outcome, STR("created")) && !str_eq(written->outcome, STR("updated")) &&
	       !str_eq(written->outcome, STR("unchanged"));
}

static const struct statement delete_agent = {
	"delete_agent",
	"WITH found AS (SELECT id FROM agent_configs WHERE id = $5 AND deleted_at IS NULL FOR UPDATE),"
	" used AS (SELECT EXISTS (SELECT FROM chat_sessions WHERE agent_id = $5) AS yes),"
	" gone AS (UPDATE agent_configs a SET deleted_at = now(), is_active = false, endpoint = '', system_prompt = '', sealed_api_key = "
	"NULL,"
	"  sealed_with = NULL, own_key = true FROM found, used WHERE a.id = found.id AND ($6::boolean OR NOT yes) RETURNING a.id, a.name, "
	"yes),"
	" noted AS (" AUDIT_ENTRY "'agent.deleted', NULL, jsonb_build_object('agentId', id, 'name', name, 'hadSessions', yes) FROM gone)"
	" SELECT EXISTS (SELECT FROM gone) FROM found",
	6,
};

void agents_delete(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, bool although_it_has_sessions)
{
	audit_who_params(q, who);
	query_text(q, id);
	query_bool(q, although_it_has_sessions);
	query_start(pool, q, &delete_agent);
}

bool agents_deleted(const struct query *q)
{
	return query_col_bool(q, 0, 0);
}

static const struct statement announce_reload = {
	"announce_reload",
	"WITH counted AS (UPDATE version SET n = n + 1 RETURNING n), noted AS (" AUDIT_ENTRY "'agents.reloaded', NULL, '{}' FROM counted)"
	" INSERT INTO changes (n, kind, key) SELECT n, 'agents', 'reload' FROM counted",
	4,
};

void agents_announce_reload(struct pool *pool, struct query *q, const struct audit_who *who)
{
	audit_who_params(q, who);
	query_start(pool, q, &announce_reload);
}

const struct statement agents_sealed_otherwise_statement = {
	"agents_sealed_otherwise",
	"SELECT id, sealed_api_key, sealed_with FROM agent_configs WHERE sealed_with <> $1 AND id > $2 ORDER BY id LIMIT $3::bigint",
	3,
};

const struct statement agents_seal_anew_statement = {
	"agents_seal_anew",
	"WITH given AS (SELECT * FROM unnest($5::text[], $6::text[], $7::text[]) t (id, was, will)),"
	" locked AS (SELECT a.id FROM agent_configs a JOIN given g ON g.id = a.id ORDER BY a.id FOR UPDATE OF a),"
	" sealed AS (UPDATE agent_configs a SET sealed_api_key = g.will, sealed_with = $8 FROM given g, locked l"
	"  WHERE a.id = g.id AND l.id = g.id AND a.sealed_api_key = g.was RETURNING a.id),"
	" noted AS (" AUDIT_ENTRY
	"'secrets.rotated', NULL, jsonb_build_object('keys', count(*), 'sealedWith', $8) FROM sealed HAVING count(*) > 0)"
	" SELECT count(*) FROM sealed",
	8,
};

const struct statement *const agents_statements[] = {
	&list_revisions, &get_agents, &add_missing, &write_agents, &delete_agent, &announce_reload, &agents_sealed_otherwise_statement,
	&agents_seal_anew_statement, NULL,
};
