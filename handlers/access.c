/* Who asks: the holder of a token or a key, or an anonymous visitor. What this process knows of him is used, else PostgreSQL is asked. */
#include "handlers/access.h"

#include "auth/auth.h"
#include "auth/people.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/jwt.h"
#include "base/secret.h"
#include "db/keys.h"
#include "fcgi/conn.h"
#include "handlers/owner.h"
#include "handlers/request.h"
#include "handlers/router.h"

/* What is kept while PostgreSQL is asked. */
struct asking {
	enum person_by by;
	struct str credential; /* what copies are found by: the login's id, or the key's hash */
	struct uuid login_id, user_id;
	uint64_t era;
};

struct audit_who access_who(const struct request *r)
{
	return (struct audit_who){
		.actor_id = r->person ? uuid_str(&r->person->user_id) : STR(""),
		.actor = r->person ? r->person->username : STR(""),
		.address = request_address(r),
		.request_id = str_from(r->request_id),
	};
}

bool access_is_admin(const struct request *r)
{
	return r->person && r->person->is_admin && r->person->by == PERSON_BY_LOGIN;
}

static enum flow_next refuse_key(struct request *r)
{
	return request_reject_because(r, ERR_TOKEN_INVALID, NULL, "This API key is not valid: it is unknown, revoked or expired.");
}

/* The person is known: may he do this? */
static enum flow_next authorize(struct request *r)
{
	const struct person *person = r->person;
	enum route_who who = r->route->who;

	r->user_id = person->user_id;
	if (person->by == PERSON_BY_KEY) {
		if (who == WHO_LOGIN || who == WHO_ADMIN)
			return request_reject_because(r, ERR_FORBIDDEN, NULL, "An API key does not do for this; please log in.");
		if (person->agents.len && who != WHO_OWNER && who != WHO_OPEN)
			return request_reject_because(r, ERR_FORBIDDEN, NULL, "This API key is for chatting with certain agents only.");
	}
	if (who == WHO_ADMIN && !person->is_admin)
		return request_reject(r, ERR_ADMIN_REQUIRED);
	return FLOW_NEXT;
}

static enum flow_next look_up(struct request *r, struct asking *asking)
{
	struct people *people = r->app->auth->people;
	struct person *person = people_find(people, asking->credential);

	/* A login's copy is found by the login's id alone, and the token must be its user's. */
	if (person && (asking->by == PERSON_BY_KEY || str_eq(uuid_str(&person->user_id), uuid_str(&asking->user_id)))) {
		r->person = person_ref(person);
		return authorize(r);
	}
	asking->era = people_era(people);
	r->state = asking;
	if (asking->by == PERSON_BY_KEY)
		keys_find(r->app->pool, &r->query, asking->credential);
	else
		logins_find(r->app->pool, &r->query, uuid_str(&asking->login_id), uuid_str(&asking->user_id));
	return FLOW_WAIT;
}

static enum flow_next check_key(struct request *r, struct str key)
{
	struct asking *asking = arena_alloc(&r->arena, sizeof(*asking));
	char hash[SECRET_HASH_SIZE];

	if (!secret_valid(SECRET_API_KEY, key))
		return refuse_key(r);
	secret_hash(key, hash);
	asking->by = PERSON_BY_KEY;
	asking->credential = arena_copy(&r->arena, str_from(hash));
	return look_up(r, asking);
}

static enum flow_next check_token(struct request *r, struct str token)
{
	const struct conf *conf = r->app->conf;
	struct str secrets[] = {str_from(conf->token_secret), str_from(conf->token_secret_previous)};
	struct asking *asking = arena_alloc(&r->arena, sizeof(*asking));
	struct jwt_claims claims;
	int err = jwt_check(token, secrets, N_ELEMENTS(secrets), (int64_t)(clock_real_us() / 1000000), &claims);

	if (err)
		return request_reject(r, err);
	asking->by = PERSON_BY_LOGIN;
	asking->login_id = claims.session_id;
	asking->user_id = claims.user_id;
	asking->credential = uuid_str(&asking->login_id);
	return look_up(r, asking);
}

static enum flow_next access_start(struct request *r)
{
	struct str header, scheme, secret;

	if (!r->route || r->route->who == WHO_PUBLIC)
		return FLOW_NEXT;
	/* Of two, somebody before us may have looked at the other one. */
	if (params_count(&r->fcgi->params, "HTTP_AUTHORIZATION") > 1)
		return request_reject_because(r, ERR_TOKEN_INVALID, NULL, "There must be one Authorization header only.");
	header = str_trim(request_param(r, "HTTP_AUTHORIZATION"));
	if (header.len == 0 && r->route->who == WHO_OPEN)
		return FLOW_NEXT;
	if (header.len == 0)
		return r->route->who == WHO_OWNER ? owner_from_cookie(r) : request_reject(r, ERR_AUTH_REQUIRED);
	secret = header;
	scheme = str_cut(&secret, ' ');
	secret = str_trim(secret);
	if (!str_eq_nocase(scheme, STR("Bearer")) || secret.len == 0)
		return request_reject_because(r, ERR_TOKEN_INVALID, NULL,
					      "The Authorization header must be \"Bearer\", a blank and the token.");
	return str_starts(secret, STR(SECRET_API_KEY)) ? check_key(r, secret) : check_token(r, secret);
}

static struct person key_facts(const struct query *q, int64_t *expires_in_s)
{
	struct key_owner owner = keys_owner(q);

	*expires_in_s = owner.expires_in_s;
	return (struct person){
		.by = PERSON_BY_KEY,
		.user_id = uuid_from(owner.user_id),
		.credential_id = uuid_from(owner.key_id),
		.is_admin = str_eq(owner.role, STR("admin")),
		.username = owner.username,
		.agents = owner.agents,
	};
}

static struct person login_facts(const struct query *q, const struct asking *asking)
{
	struct login_owner owner = logins_owner(q);

	return (struct person){
		.by = PERSON_BY_LOGIN,
		.user_id = uuid_from(owner.user_id),
		.credential_id = asking->login_id,
		.is_admin = str_eq(owner.role, STR("admin")),
		.username = owner.username,
	};
}

static enum flow_next access_finish(struct request *r)
{
	const struct asking *asking = r->state;
	int64_t expires_in_s = 0;
	struct person facts;

	r->state = NULL;     /* the route's steps find it empty */
	if (r->query.op.err) /* nobody knows: never "not logged in" */
		return request_reject(r, r->query.op.err);
	if (query_n_rows(&r->query) == 0)
		return asking->by == PERSON_BY_KEY ? refuse_key(r) : request_reject(r, ERR_TOKEN_INVALID);
	facts = asking->by == PERSON_BY_KEY ? key_facts(&r->query, &expires_in_s) : login_facts(&r->query, asking);
	r->person = people_add(r->app->auth->people, asking->era, asking->credential, &facts, expires_in_s);
	query_fini(&r->query);
	return authorize(r);
}

const struct step access_steps[] = {{"authenticate", access_start, access_finish}, {NULL, NULL, NULL}};
