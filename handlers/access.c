/* Who asks: the holder of a token or a key, or an anonymous visitor. What this process knows of him is used, else PostgreSQL is asked. */
#include "handlers/access.h"

#include "auth/auth.h"
#include "auth/people.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/jwt.h"
#include "base/secret.h"
#include "db/credentials.h"
#include "fcgi/conn.h"
#include "handlers/limit.h"
#include "handlers/owner.h"
#include "handlers/request.h"
#include "handlers/router.h"

/* What a request says of who asks; kept until that is known. */
struct asking {
	int err; /* what it says is none; the sentence may be NULL */
	const char *sentence;
	enum person_by by;
	struct str credential; /* what copies are found by: the login's id, or the key's hash */
	struct uuid login_id, user_id;
	uint64_t era;
	struct credential wait; /* while PostgreSQL is asked */
	struct request *request;
};

#define BAD_KEY     "This API key is not valid: it is unknown, revoked or expired."
#define TWO_HEADERS "There must be one Authorization header only."
#define BAD_HEADER  "The Authorization header must be \"Bearer\", a blank and the token."

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

/* A copy of him, if this process has one. */
static void find_copy(struct request *r, const struct asking *asking)
{
	struct person *person = people_find(r->app->auth->people, asking->credential);

	/* A login's copy is found by the login's id alone, and the token must be its user's. */
	if (person && (asking->by == PERSON_BY_KEY || str_eq(uuid_str(&person->user_id), uuid_str(&asking->user_id))))
		r->person = person_ref(person);
}

static void read_key(struct request *r, struct asking *asking, struct str key)
{
	char hash[SECRET_HASH_SIZE];

	if (!secret_valid(SECRET_API_KEY, key)) {
		asking->err = ERR_TOKEN_INVALID;
		asking->sentence = BAD_KEY;
		return;
	}
	secret_hash(key, hash);
	asking->by = PERSON_BY_KEY;
	asking->credential = arena_copy(&r->question, str_from(hash));
}

static void read_token(struct request *r, struct asking *asking, struct str token)
{
	const struct conf *conf = r->app->conf;
	struct str secrets[] = {str_from(conf->token_secret), str_from(conf->token_secret_previous)};
	struct jwt_claims claims;

	asking->err = jwt_check(token, secrets, N_ELEMENTS(secrets), (int64_t)(clock_real_us() / 1000000), &claims);
	if (asking->err)
		return;
	asking->by = PERSON_BY_LOGIN;
	asking->login_id = claims.session_id;
	asking->user_id = claims.user_id;
	asking->credential = uuid_str(&asking->login_id);
}

/* Reads what the request says, so that it can be counted; refuses nothing yet: what is refused counts too. */
static enum flow_next identify_start(struct request *r)
{
	struct asking *asking;
	struct str header, scheme, secret;

	if (!r->route || r->route->who == WHO_PROBE || r->route->who == WHO_PUBLIC)
		return FLOW_NEXT;
	header = str_trim(request_param(r, "HTTP_AUTHORIZATION"));
	if (header.len == 0 && params_count(&r->fcgi->params, "HTTP_AUTHORIZATION") <= 1)
		return FLOW_NEXT;
	asking = arena_alloc(&r->question, sizeof(*asking));
	r->state = asking;
	r->claims_identity = true;
	secret = header;
	scheme = str_cut(&secret, ' ');
	secret = str_trim(secret);
	/* Of two, somebody before us may have looked at the other one. */
	if (params_count(&r->fcgi->params, "HTTP_AUTHORIZATION") > 1) {
		asking->err = ERR_TOKEN_INVALID;
		asking->sentence = TWO_HEADERS;
	} else if (!str_eq_nocase(scheme, STR("Bearer")) || secret.len == 0) {
		asking->err = ERR_TOKEN_INVALID;
		asking->sentence = BAD_HEADER;
	} else if (str_starts(secret, STR(SECRET_API_KEY))) {
		read_key(r, asking, secret);
	} else {
		read_token(r, asking, secret);
	}
	if (!asking->err)
		find_copy(r, asking);
	return FLOW_NEXT;
}

static void on_credential_done(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct asking, wait.op)->request);
}

static void cancel_wait(void *op)
{
	op_cancel(op);
}

static enum flow_next find_out(struct request *r, struct asking *asking)
{
	struct credentials *credentials = r->app->auth->credentials;

	asking->era = people_era(r->app->auth->people);
	asking->request = r;
	asking->wait.op.done = on_credential_done;
	arena_on_free(&r->question, cancel_wait, &asking->wait.op);
	if (asking->by == PERSON_BY_KEY)
		credentials_find_key(credentials, &asking->wait, asking->credential);
	else
		credentials_find_login(credentials, &asking->wait, asking->credential, uuid_str(&asking->user_id));
	return FLOW_WAIT;
}

static enum flow_next access_start(struct request *r)
{
	struct asking *asking = r->state;

	if (!r->route || r->route->who == WHO_PROBE || r->route->who == WHO_PUBLIC)
		return FLOW_NEXT;
	if (!asking && r->route->who == WHO_OPEN)
		return FLOW_NEXT;
	if (!asking)
		return r->route->who == WHO_OWNER ? owner_from_cookie(r) : request_reject(r, ERR_AUTH_REQUIRED);
	if (!asking->err && !r->person)
		find_copy(r, asking); /* another request may have brought him since */
	if (asking->err || r->person)
		r->state = NULL; /* the route's steps find it empty */
	if (asking->err && asking->sentence)
		return request_reject_because(r, asking->err, NULL, "%s", asking->sentence);
	if (asking->err)
		return request_reject(r, asking->err);
	if (r->person)
		return authorize(r);
	return find_out(r, asking);
}

static enum flow_next access_finish(struct request *r)
{
	const struct asking *asking = r->state;
	struct credential_holder holder;
	struct person facts;

	r->state = NULL;
	if (asking->wait.op.err) /* nobody knows: never "not logged in" */
		return request_reject(r, asking->wait.op.err);
	if (!asking->wait.found)
		return asking->by == PERSON_BY_KEY ? request_reject_because(r, ERR_TOKEN_INVALID, NULL, BAD_KEY)
						   : request_reject(r, ERR_TOKEN_INVALID);
	holder = credential_holder(&asking->wait);
	facts = (struct person){
		.by = asking->by,
		.user_id = uuid_from(holder.user_id),
		.credential_id = uuid_from(holder.id),
		.is_admin = str_eq(holder.role, STR("admin")),
		.username = holder.username,
		.agents = holder.agents,
		.limits = holder.limits,
	};
	r->person = people_add(r->app->auth->people, asking->era, asking->credential, &facts, holder.expires_in_s);
	return authorize(r);
}

const struct step access_steps[] = {
	{"identify", identify_start, NULL},
	{"limit", limit_start, limit_finish},
	{"authenticate", access_start, access_finish},
	{"limit_identity", limit_identity_start, limit_finish},
	{NULL, NULL, NULL},
};
