/* Making, listing and revoking keys. The key itself is in one answer only, that of its making. */
#include "handlers/keys.h"

#include "auth/auth.h"
#include "auth/people.h"
#include "base/secret.h"
#include "db/keys.h"
#include "handlers/access.h"
#include "handlers/accounts_json.h"
#include "handlers/body.h"
#include "handlers/page.h"
#include "handlers/request.h"

/* As an agent's rateLimit, and as the database checks. */
#define MAX_REQUESTS INT64_C(1000000)
#define MAX_TOKENS   INT64_C(1000000000)
#define MAX_MONTHLY  INT64_C(1000000000000)

enum { MAX_NAME = 120, MAX_AGENTS = 50, MAX_AGENT_ID = 64, MAX_DAYS = 3650, DAY_S = 86400, DEFAULT_PAGE = 50 };

static void put_limit(struct json_writer *w, const char *name, int64_t limit, int64_t value)
{
	if (limit) {
		json_add_int(w, name, value);
	} else {
		json_key(w, name);
		json_put_null(w);
	}
}

static void put_limits(struct json_writer *w, const struct key_row *key)
{
	const struct key_limits *limits = &key->limits;

	json_key(w, "rateLimit");
	json_open(w, '{');
	if (limits->requests_per_minute)
		json_add_int(w, "requestsPerMinute", limits->requests_per_minute);
	if (limits->tokens_per_minute)
		json_add_int(w, "tokensPerMinute", limits->tokens_per_minute);
	json_close(w, '}');
	put_limit(w, "monthlyTokens", limits->monthly_tokens, limits->monthly_tokens);
	put_limit(w, "usedTokens", limits->monthly_tokens, key->used_tokens);
}

/* secret: the whole key, while it is new; else empty. */
static void put_key(struct json_writer *w, const struct key_row *key, struct str secret)
{
	json_open(w, '{');
	json_add_str(w, "id", key->id);
	json_add_str(w, "userId", key->user_id);
	json_add_str(w, "username", key->username);
	json_add_str(w, "name", key->name);
	json_add_str(w, "prefix", key->shown);
	json_key(w, "agents");
	json_put_raw(w, key->agents.len ? key->agents : STR("null"));
	json_add_str(w, "createdAt", key->created_at);
	put_text_or_null(w, "expiresAt", key->expires_at);
	put_text_or_null(w, "lastUsedAt", key->last_used_at);
	put_limits(w, key);
	if (secret.len)
		json_add_str(w, "key", secret);
	json_close(w, '}');
}

/* ---- list ---- */

static enum flow_next list_of(struct request *r, struct str user_id)
{
	struct page *page = arena_alloc(&r->arena, sizeof(*page));

	r->state = page;
	page->size = DEFAULT_PAGE;
	if (!page_read(r, page, KEYS_MAX_PAGE))
		return FLOW_DONE;
	keys_list(r->app->pool, r->query, user_id, page->size, page_offset(page));
	return FLOW_WAIT;
}

static enum flow_next list_start(struct request *r)
{
	return list_of(r, uuid_str(&r->user_id));
}

static int64_t put_row(struct json_writer *w, const struct query *q, size_t i)
{
	struct key_row key = keys_row(q, i);

	put_key(w, &key, STR(""));
	return key.total;
}

static enum flow_next list_finish(struct request *r)
{
	return page_reply_rows(r, put_row);
}

const struct step keys_list_steps[] = {{"list_keys", list_start, list_finish}, {NULL, NULL, NULL}};

static enum flow_next list_all_start(struct request *r)
{
	struct str user_id = STR("");

	if (request_query(r, "userId", &user_id) && !uuid_valid(user_id))
		return request_reject_because(r, ERR_VALIDATION, "userId", "userId must be the id of a user.");
	return list_of(r, user_id);
}

const struct step admin_keys_list_steps[] = {{"list_keys", list_all_start, list_finish}, {NULL, NULL, NULL}};

/* ---- create ---- */

/* A key that is about to be; in the request's arena. */
struct making {
	char secret[SECRET_SIZE], hash[SECRET_HASH_SIZE], shown[SECRET_SHOWN_SIZE];
	struct uuid id;
};

static bool read_agents(struct request *r, struct str *out, struct json_complaint *c)
{
	const struct json *list = json_get(r->body, "agents");

	if (!list)
		return true;
	if (json_kind(list) != JSON_ARRAY || json_len(list) < 1 || json_len(list) > MAX_AGENTS)
		return json_complain(c, "agents", "agents must be a list of 1 to %d ids of agents, or absent for all.", (int)MAX_AGENTS);
	for (size_t i = 0; i < json_len(list); i++) {
		struct str id = json_as_str(json_at(list, i));

		if (id.len == 0 || id.len > MAX_AGENT_ID || !str_only(id, STR(NAME_CHARS)))
			return json_complain(c, "agents", "agents[%zu] must be the id of an agent.", i);
	}
	*out = json_text(list);
	return true;
}

static bool read_rate(const struct json *rates, const char *name, int64_t max, int64_t *out, struct json_complaint *c)
{
	struct json_complaint inner;

	return json_read_int(rates, name, false, 1, max, out, &inner) || json_complain(c, "rateLimit", "rateLimit.%s", inner.sentence);
}

static bool read_limits(const struct json *body, struct key_limits *out, struct json_complaint *c)
{
	const struct json *rates = json_get(body, "rateLimit");

	if (rates && json_kind(rates) != JSON_OBJECT)
		return json_complain(c, "rateLimit", "rateLimit must be an object.");
	return read_rate(rates, "requestsPerMinute", MAX_REQUESTS, &out->requests_per_minute, c) &&
	       read_rate(rates, "tokensPerMinute", MAX_TOKENS, &out->tokens_per_minute, c) &&
	       json_read_int(body, "monthlyTokens", false, 1, MAX_MONTHLY, &out->monthly_tokens, c);
}

static enum flow_next create_start(struct request *r)
{
	struct making *making = arena_alloc(&r->arena, sizeof(*making));
	struct json_complaint complaint = {0};
	struct audit_who who = access_who(r);
	struct new_key key = {.agents = STR("")};
	int64_t days = 0;

	r->state = making;
	if (!json_read_str(r->body, "name", true, 1, MAX_NAME, &key.name, &complaint) ||
	    !json_read_int(r->body, "expiresInDays", false, 1, MAX_DAYS, &days, &complaint) || !read_agents(r, &key.agents, &complaint) ||
	    !read_limits(r->body, &key.limits, &complaint))
		return request_reject_field(r, &complaint);
	making->id = uuid_new();
	secret_make(SECRET_API_KEY, making->secret);
	secret_hash(str_from(making->secret), making->hash);
	secret_shown(str_from(making->secret), making->shown);
	key.id = uuid_str(&making->id);
	key.user_id = uuid_str(&r->user_id);
	key.shown = str_from(making->shown);
	key.hash = str_from(making->hash);
	key.expires_after_s = days * DAY_S;
	keys_add(r->app->pool, r->query, &who, &key);
	return FLOW_WAIT;
}

static enum flow_next create_finish(struct request *r)
{
	struct making *making = r->state;
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct key_row key;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject_because(r, ERR_CONFLICT, NULL, "You have %d keys already; please revoke some first.", (int)KEYS_MAX_OF_USER);
	key = keys_row(r->query, 0);
	put_key(&w, &key, str_from(making->secret));
	request_reply_created(r, buf_str(&b));
	crypto_wipe(making->secret, sizeof(making->secret));
	crypto_wipe(b.p, b.len);
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step keys_create_steps[] = {
	{"parse_body", body_start, NULL},
	{"create_key", create_start, create_finish},
	{NULL, NULL, NULL},
};

/* ---- revoke ---- */

static enum flow_next revoke_of(struct request *r, struct str user_id)
{
	struct audit_who who = access_who(r);

	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_KEY_NOT_FOUND);
	keys_revoke(r->app->pool, r->query, &who, r->path_params[0], user_id);
	return FLOW_WAIT;
}

static enum flow_next revoke_start(struct request *r)
{
	return revoke_of(r, uuid_str(&r->user_id));
}

static enum flow_next revoke_any_start(struct request *r)
{
	return revoke_of(r, STR(""));
}

static enum flow_next revoke_finish(struct request *r)
{
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_col_int(r->query, 0, 0) == 0)
		return request_reject(r, ERR_KEY_NOT_FOUND);
	people_forget(r->app->auth->people, STR("key"), r->path_params[0]);
	return request_reply(r, STR("null"), STR(""));
}

const struct step keys_revoke_steps[] = {{"revoke_key", revoke_start, revoke_finish}, {NULL, NULL, NULL}};
const struct step admin_keys_revoke_steps[] = {{"revoke_key", revoke_any_start, revoke_finish}, {NULL, NULL, NULL}};
